"""Identities: the form the CLI makes, the key types it takes, and every hostile file."""

import datetime as dt
import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from scone.crypto.certificates import start_certificate, subject
from scone.crypto.der import to_pem
from scone.crypto.identity import Identity, create_identity, parse_identity, read_identity
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.crypto.keys import (
    KEY_TYPES,
    generate_private_key,
    load_private_key,
    private_key_pem,
)
from scone.errors import MalformedError

VECTORS = Path(__file__).parents[2] / "vectors" / "identity"
CASES = sorted(path.parent.name for path in VECTORS.glob("*/input.pem"))


def counting_random(start=0):
    state = [start]

    def random(length):
        state[0] += 1
        return hashlib.shake_256(str(state[0]).encode()).digest(length)

    return random


def make_identity(key_type):
    key = generate_private_key(key_type, counting_random())
    private = load_private_key(key)
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = start_certificate(
        subject("me"),
        subject("me"),
        private.public_key(),
        not_before=now,
        not_after=now + dt.timedelta(days=1),
        random=counting_random(),
    )
    algorithm = None if key_type == "Ed25519" else hashes.SHA256()
    der = builder.sign(private, algorithm).public_bytes(serialization.Encoding.DER)
    return private_key_pem(key).reveal() + to_pem("CERTIFICATE", der).encode()


def test_a_created_identity_has_the_form_of_scones_cli():
    identity = create_identity(counting_random())
    certificate = x509.load_der_x509_certificate(identity.certificate_der)
    assert certificate.subject.rfc4514_string() == "CN=rcgen self signed cert"
    assert certificate.issuer == certificate.subject
    assert certificate.not_valid_before_utc == dt.datetime(1975, 1, 1, tzinfo=dt.UTC)
    assert certificate.not_valid_after_utc == dt.datetime(4096, 1, 1, tzinfo=dt.UTC)
    assert [type(extension.value) for extension in certificate.extensions] == [
        x509.SubjectAlternativeName
    ]
    names = certificate.extensions[0].value
    assert list(names) == [x509.DNSName("scone cli")]
    assert certificate.public_key().curve.name == "secp256r1"
    assert certificate.serial_number > 0
    certificate.verify_directly_issued_by(certificate)


def test_the_identity_text_is_the_key_and_then_the_certificate():
    identity = create_identity(counting_random())
    text = identity.pem.reveal().decode()
    assert text.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert text.endswith("-----END CERTIFICATE-----\n")
    assert text.count("-----BEGIN") == 2
    assert parse_identity(identity.pem.reveal()) == identity
    assert read_identity(identity.pem.reveal()) == identity


def test_two_identities_differ_and_the_same_randomness_gives_the_same_key():
    assert (
        create_identity(counting_random()).key_hash == create_identity(counting_random()).key_hash
    )
    assert (
        create_identity(counting_random()).key_hash != create_identity(counting_random(9)).key_hash
    )


def test_the_key_hash_is_over_the_public_key_info():
    identity = create_identity(counting_random())
    certificate = x509.load_der_x509_certificate(identity.certificate_der)
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert identity.spki_der == spki
    assert identity.key_hash == key_hash(spki)
    assert parse_key_hash(identity.key_hash) == hashlib.sha256(spki).digest()


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_each_accepted_key_type_is_an_identity(key_type):
    data = make_identity(key_type)
    identity = parse_identity(data)
    assert identity.pem.reveal() == data


def test_line_ends_and_text_around_the_blocks_do_not_change_the_identity():
    data = make_identity("P-256")
    dressed = b"Bag Attributes: none\r\n" + data.replace(b"\n", b"\r\n") + b"\r\nend of file"
    assert parse_identity(dressed) == parse_identity(data)


def test_the_representation_shows_no_key():
    identity = create_identity(counting_random())
    secret_line = identity.private_key_pem.reveal().decode().splitlines()[1]
    assert secret_line not in repr(identity)


def test_a_file_beyond_the_limit_is_refused():
    with pytest.raises(MalformedError, match="expected at most 262144 characters"):
        parse_identity(b"\n" * (256 * 1024) + make_identity("P-256"))


def test_there_are_at_least_thirty_hostile_files():
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_identity_file_is_refused_with_the_reason_and_the_way_out(case):
    expected = tomllib.loads((VECTORS / case / "case.toml").read_text())
    data = (VECTORS / case / "input.pem").read_bytes()
    with pytest.raises(MalformedError) as caught:
        parse_identity(data, "me.pem")
    assert expected["error"] in str(caught.value)
    assert str(caught.value).startswith("me.pem")
    assert expected["hint"] in caught.value.hint
    assert bool(expected["hint"]) == bool(caught.value.hint)
    for line in data.splitlines():
        assert len(line) < 40 or line.decode("latin-1") not in str(caught.value)


def test_showing_an_identity_imports_no_cryptography(tmp_path):
    identity = create_identity(counting_random())
    path = tmp_path / "identity.pem"
    path.write_bytes(identity.pem.reveal())
    program = (
        "import sys; from scone.crypto.identity import read_identity;"
        "print(read_identity(open(sys.argv[1], 'rb').read()).key_hash,"
        " any(name.split('.')[0] == 'cryptography' for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [identity.key_hash, "False"]


def test_an_identity_is_a_value():
    identity = create_identity(counting_random())
    with pytest.raises(AttributeError):
        identity.certificate_pem = ""
    assert isinstance(identity, Identity)
