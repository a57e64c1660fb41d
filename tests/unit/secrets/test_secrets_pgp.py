"""OpenPGP keys: their shape, their formats, and that GnuPG and Sequoia use them."""

import base64
import os
import re
import shutil
import subprocess

import pysequoia
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.secrets import NOW, made, session
from scone.crypto.pgp import generate_pgp_key, pgp_armor, pgp_public_key
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, MalformedError, UsageError
from scone.session.model import SecretSpec
from scone.session.placeholders import find
from scone.session.secrets import PgpKeyValue, SecretValues, render

SPEC = SecretSpec("k", "pgp-key")
CLOCK = NOW.strftime("%Y%m%dT%H%M%S")


def rendered(values, form):
    (placeholder,) = find(f"$$SCONE::k:{form}$$")
    return render(values, placeholder)


@pytest.fixture(scope="module")
def values():
    return made(SPEC)


@pytest.fixture
def gpg(tmp_path_factory):
    """Makes a user of GnuPG with an own key ring; its agents end with the test."""
    program = shutil.which("gpg")
    if program is None:
        pytest.skip("gpg is not installed (package gnupg)")
    homes = []

    def user():
        home = tmp_path_factory.mktemp("g")
        home.chmod(0o700)
        homes.append(home)

        def run(*arguments, stdin=b""):
            return subprocess.run(
                [program, "--homedir", str(home), "--batch", "--faked-system-time", CLOCK,
                 "--trust-model", "always", *arguments],
                input=stdin, capture_output=True, timeout=60,
            )  # fmt: skip

        return run

    yield user
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], timeout=60)


def user_id(values):
    return pysequoia.Cert.from_bytes(rendered(values, "publickey:binary")).user_ids[0]


@pytest.mark.parametrize("form", ["asciiarmored", "binary"])
def test_gnupg_encrypts_with_the_public_key_and_decrypts_with_the_private_key(values, gpg, form):
    sender, receiver = gpg(), gpg()
    assert sender("--import", stdin=rendered(values, f"publickey:{form}")).returncode == 0
    imported = receiver("--import", stdin=rendered(values, f"privatekey:{form}"))
    assert b"secret keys imported: 1" in imported.stderr
    message = sender("--encrypt", "--recipient", str(user_id(values)), stdin=b"hello").stdout
    opened = receiver("--decrypt", "--status-fd", "2", stdin=message)
    assert opened.stdout == b"hello"
    # The preference of the key: AES-256 (9), with integrity protection (2).
    assert b"[GNUPG:] DECRYPTION_INFO 2 9" in opened.stderr
    signed = receiver("--sign", stdin=b"hello").stdout
    assert b"Good signature" in sender("--verify", stdin=signed).stderr


def test_gnupg_lists_an_ed25519_key_that_signs_and_a_subkey_that_encrypts(values, gpg):
    user = gpg()
    user("--import", stdin=rendered(values, "privatekey:binary"))
    listed = user("--list-secret-keys", "--with-colons").stdout.decode().splitlines()
    rows = {row.split(":")[0]: row.split(":") for row in listed}
    assert [row[:3] for row in listed if row[:3] in {"sec", "ssb", "uid"}] == ["sec", "uid", "ssb"]
    algorithm, expires, uses, curve = 3, 6, 11, 16
    assert [rows["sec"][n] for n in (algorithm, expires, curve)] == ["22", "", "ed25519"]
    assert [rows["ssb"][n] for n in (algorithm, expires, curve)] == ["18", "", "cv25519"]
    assert (rows["sec"][uses], rows["ssb"][uses]) == ("scESC", "e")
    assert rows["uid"][9] == str(user_id(values))


def test_the_packets_are_of_version_4_with_the_documented_preferences(values, gpg):
    shown = gpg()("--list-packets", stdin=rendered(values, "publickey:binary")).stdout.decode()
    assert re.findall(r"version (\d), algo (\d+), created", shown) == [("4", "22"), ("4", "18")]
    assert (
        re.findall(r"\tversion (\d), created (\d+)", shown)
        == [("4", str(int(NOW.timestamp()) - 86400))] * 2
    )
    preferences = re.findall(r"pref-(\w+)-algos: ([\d ]+)\)", shown)
    assert preferences == [("sym", "9"), ("hash", "8"), ("zip", "2")]  # AES-256, SHA-256, ZLIB


def test_sequoia_reads_the_key_and_encrypts_to_it(values):
    secret = pysequoia.Tsk.from_bytes(rendered(values, "privatekey:asciiarmored"))
    public = pysequoia.Cert.from_bytes(rendered(values, "publickey:asciiarmored"))
    assert secret.extract_certificate().fingerprint == public.fingerprint
    assert public.expiration is None
    message = pysequoia.encrypt(b"hello", recipients=[public])
    assert pysequoia.decrypt(message, decryptor=secret.decryptor()).bytes == b"hello"
    signed = pysequoia.sign(secret.signer(), b"hello")
    assert pysequoia.verify(signed, store=lambda _ids: [public]).bytes == b"hello"


def test_numbers_that_begin_with_zeros_are_read_by_others(gpg):
    # An MPI has no leading zeros (RFC 9580, section 3.2); most keys would never show that. The
    # subkey's number is written from its end and cannot begin with one (its top bit is set).
    key = generate_pgp_key("user", created=NOW, random=lambda n: b"\0\0" + b"\7" * (n - 2))
    secret = pysequoia.Tsk.from_bytes(key.reveal())
    public = pysequoia.Cert.from_bytes(pgp_public_key(key))
    signed = pysequoia.sign(secret.signer(), b"hello")
    assert pysequoia.verify(signed, store=lambda _ids: [public]).bytes == b"hello"
    user = gpg()
    assert b"secret keys imported: 1" in user("--import", stdin=key.reveal()).stderr
    message = user("--encrypt", "--sign", "--recipient", "user", stdin=b"hello").stdout
    assert user("--decrypt", stdin=message).stdout == b"hello"


def test_the_user_id_is_random_and_no_address(values):
    names = {str(user_id(made(SPEC))) for _ in range(3)} | {str(user_id(values))}
    assert len(names) == 4
    assert all(re.fullmatch("[a-z2-7]{26}", name) for name in names)


def test_the_formats_hold_the_same_key(values):
    for part in ("privatekey", "publickey"):
        binary = rendered(values, f"{part}:binary")
        assert base64.b64decode(rendered(values, f"{part}:base64"), validate=True) == binary
        label = {"privatekey": "PRIVATE", "publickey": "PUBLIC"}[part]
        armored = rendered(values, f"{part}:asciiarmored")
        assert armored.startswith(f"-----BEGIN PGP {label} KEY BLOCK-----\n\n".encode())
        assert armored.endswith(f"-----END PGP {label} KEY BLOCK-----\n".encode())
        kind = pysequoia.ArmorKind.SecretKey if label == "PRIVATE" else None
        kind = kind or pysequoia.ArmorKind.PublicKey
        theirs = [line for line in pysequoia.armor(binary, kind).splitlines() if line]
        ours = [line for line in armored.decode().splitlines() if line]
        assert [line for line in ours if line[0] != "="] == [l for l in theirs if l[0] != "="]


def test_the_armor_has_the_checksum_of_its_content():
    # RFC 9580, section 6.1.1: of nothing it is the initial value; the other was made by GnuPG.
    assert b"\n=twTO\n" in pgp_armor("PUBLIC KEY", b"")
    assert b"\naGVsbG8=\n=R/WK\n" in pgp_armor("PUBLIC KEY", b"hello")


def test_the_public_key_holds_nothing_of_the_private_one(values):
    secret, public = (rendered(values, f"{part}:binary") for part in ("privatekey", "publickey"))
    seed = secret[2 + 51 + 3 : 2 + 51 + 3 + 31]  # header, public part, usage and length
    assert secret.count(seed) == 1
    assert seed not in public
    assert len(secret) - len(public) > 64


@pytest.mark.parametrize("form", ["", ":privatekey", ":publickey", ":privatekey:der", ".key"])
def test_another_format_is_refused(values, form):
    (placeholder,) = find(f"$$SCONE::k{form}$$")
    written = form or "none"
    with pytest.raises(UsageError, match=f"one of :privatekey:asciiarmored, .*, got {written}"):
        render(values, placeholder)


def test_a_key_is_kept_on_an_update_and_lost_with_its_kind():
    before = made(SPEC)
    assert made(SPEC, previous=(session(SPEC), before)) == before
    other = SecretSpec("k", "binary")
    between = made(other, previous=(session(SPEC), before))
    after = made(SPEC, previous=(session(other), between))
    assert after["k"] != before["k"]


def test_the_stored_form_brings_the_key_back_and_the_representation_hides_it(values):
    raw = values.to_json()
    assert b'"kind":"pgp-key"' in raw
    assert SecretValues.from_json(raw) == values
    assert SecretValues.from_json(raw).to_json() == raw
    assert len(raw) <= values.stored_size
    length = len(values["k"].secret_key)
    assert repr(values["k"]) == f"PgpKeyValue(secret_key=SecretBytes(<{length} bytes>))"


def test_a_session_has_at_most_256_keys():
    specs = [SecretSpec(f"k{n}", "pgp-key") for n in range(257)]
    with pytest.raises(LimitError, match="at most 256 secrets of kind pgp-key, got 257"):
        made(*specs)
    assert len(made(*specs[:256])) == 256


def test_a_key_cut_short_or_of_another_shape_is_malformed(values):
    secret = values["k"].secret_key.reveal()
    for length in range(len(secret)):
        with pytest.raises(MalformedError):
            pgp_public_key(SecretBytes(secret[:length]))
    theirs = bytes(pysequoia.Tsk.generate(user_id="x", cipher_suite=pysequoia.CipherSuite.P256))
    for other in (secret + b"\0", secret + secret, pgp_public_key(values["k"].secret_key), theirs):
        with pytest.raises(MalformedError):
            pgp_public_key(SecretBytes(other))
    length = secret[1]
    for short in (1, 6, 15, 50):  # whole packets, the primary key in them cut
        cut = bytes([secret[0], short]) + secret[2 : 2 + short] + secret[2 + length :]
        with pytest.raises(MalformedError, match="expected a v4 key on Curve25519"):
            pgp_public_key(SecretBytes(cut))
    with pytest.raises(MalformedError, match="secret k: expected a v4 key with one user id"):
        rendered({"k": PgpKeyValue(SecretBytes(b""))}, "publickey:binary")


def test_the_longest_user_id_has_191_bytes():
    longest = generate_pgp_key("u" * 191, created=NOW, random=os.urandom)
    assert str(pysequoia.Cert.from_bytes(pgp_public_key(longest)).user_ids[0]) == "u" * 191
    with pytest.raises(MalformedError, match="the header of a short OpenPGP packet"):
        pgp_public_key(generate_pgp_key("u" * 192, created=NOW, random=os.urandom))


@given(st.binary(max_size=600))
def test_any_bytes_are_a_key_or_malformed(content):
    try:
        public = pgp_public_key(SecretBytes(content))
    except MalformedError:
        return
    assert len(public) < len(content)
