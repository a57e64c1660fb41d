"""Placeholders rendered: every documented suffix of every kind, and what is refused."""

import base64
import datetime as dt
import json
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

from scone.crypto.der import to_pem
from scone.errors import MalformedError, NotFoundError, UsageError
from scone.session.model import SecretSpec, Session
from scone.session.placeholders import find
from scone.session.secrets import generate, render

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, tzinfo=dt.UTC)
DATA = bytes.fromhex("00fffb10803e7f2041")


@pytest.fixture(scope="module")
def values():
    secrets = (
        SecretSpec("text", "ascii", value='a"b\\c\n\x7fä€'),
        SecretSpec("data", "binary", value=DATA.hex()),
        SecretSpec("key", "private-key"),
        SecretSpec("ed", "private-key", key_type="Ed25519"),
        SecretSpec("root", "x509-ca", private_key="key"),
        SecretSpec("middle", "x509-ca", private_key="key", issuer="root"),
        SecretSpec("cert", "x509", private_key="ed", issuer="middle"),
        SecretSpec("data.hex", "ascii", value="exact name"),
        SecretSpec("server.crt", "ascii", value="a text"),
        SecretSpec("server", "x509", private_key="ed"),
    )
    session = Session(version="0.3", name="s", secrets=secrets)
    made = generate(session, previous=None, now=NOW, random=os.urandom)
    explicit = SecretSpec("given", "x509", value=to_pem("CERTIFICATE", made["root"].certificate))
    return generate(
        Session(version="0.3", name="s", secrets=(*secrets, explicit)),
        previous=None,
        now=NOW,
        random=os.urandom,
    )


def rendered(values, text):
    (placeholder,) = find(text)
    return render(values, placeholder)


def pem(*ders):
    return "".join(to_pem("CERTIFICATE", der) for der in ders).encode()


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", DATA),
        (":bin", DATA),
        (":hex", b"00fffb10803e7f2041"),
        (".hex", b"exact name"),
        (":base64", b"AP/7EIA+fyBB"),
        (":base64url", b"AP_7EIA-fyBB"),
        (":base32", base64.b32encode(DATA)),
        (":base32nopad", base64.b32encode(DATA).rstrip(b"=")),
    ],
)
def test_binary_secrets_have_these_formats(values, suffix, expected):
    assert rendered(values, f"$$SCONE::data{suffix}$$") == expected


def test_base32_is_padded_and_without_padding_where_so_named(values):
    assert rendered(values, "$$SCONE::data:base32$$").endswith(b"=")
    assert b"=" not in rendered(values, "$$SCONE::data:base32nopad$$")


def test_the_legacy_hex_suffix_works_where_no_secret_has_the_whole_name():
    session = Session(version="0.2", name="s", secrets=(SecretSpec("d", "binary", value="00ff"),))
    made = generate(session, previous=None, now=NOW, random=os.urandom)
    assert rendered(made, "$$SCONE::d.hex$$") == b"00ff"


@pytest.mark.parametrize("name", ["key", "ed"])
@pytest.mark.parametrize(
    ("suffix", "is_pem"),
    [("", True), (":pem", True), (":pkcs8:pem", True), (":der", False), (":pkcs8:der", False)],
)
def test_private_keys_have_these_formats(values, name, suffix, is_pem):
    der = values[name].pkcs8.reveal()
    content = rendered(values, f"$$SCONE::{name}{suffix}$$")
    assert content == (to_pem("PRIVATE KEY", der).encode() if is_pem else der)
    assert (
        load_der_private_key(der, None).private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        == der
    )


@pytest.mark.parametrize("suffix", ["", ":crt", ":crt:pem", ":crt:der", ".crt", ":chain", ".chain"])
def test_certificates_have_these_formats(values, suffix):
    leaf, middle, root = (values[name].certificate for name in ("cert", "middle", "root"))
    expected = {
        ":crt:der": leaf,
        ":chain": pem(middle, root),
        ".chain": pem(root, middle, leaf),
    }.get(suffix, pem(leaf))
    assert rendered(values, f"$$SCONE::cert{suffix}$$") == expected


@pytest.mark.parametrize(
    ("suffix", "is_pem"),
    [
        (":privatekey", True),
        (":privatekey:pem", True),
        (":privatekey:pkcs8:pem", True),
        (":privatekey:der", False),
        (":privatekey:pkcs8:der", False),
        (".key", True),
    ],
)
def test_the_private_key_of_a_certificate_has_these_formats(values, suffix, is_pem):
    der = values["ed"].pkcs8.reveal()
    expected = to_pem("PRIVATE KEY", der).encode() if is_pem else der
    assert rendered(values, f"$$SCONE::cert{suffix}$$") == expected


def test_the_chain_of_a_self_signed_certificate_is_empty(values):
    assert rendered(values, "$$SCONE::root:chain$$") == b""
    assert rendered(values, "$$SCONE::root.chain$$") == pem(values["root"].certificate)


def test_pkcs12_opens_with_the_empty_password_and_holds_everything(values):
    content = rendered(values, "$$SCONE::cert:pkcs12-with-private-key$$")
    archive = pkcs12.load_pkcs12(content, b"")
    assert archive.cert.certificate.public_bytes(Encoding.DER) == values["cert"].certificate
    assert archive.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) == (
        values["ed"].pkcs8.reveal()
    )
    others = [item.certificate.public_bytes(Encoding.DER) for item in archive.additional_certs]
    assert others == [values["middle"].certificate, values["root"].certificate]
    assert values["ed"].pkcs8.reveal() not in content


def test_openssl_finds_the_encrypted_key_in_the_pkcs12_archive(values, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "a.p12"
    path.write_bytes(rendered(values, "$$SCONE::root:pkcs12-with-private-key$$"))
    done = subprocess.run(
        [openssl, "pkcs12", "-in", str(path), "-passin", "pass:", "-nodes", "-info"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Shrouded Keybag" in done.stderr
    assert "-----BEGIN PRIVATE KEY-----" in done.stdout
    assert done.returncode == 0


def test_the_exact_name_of_a_secret_wins_over_a_legacy_suffix(values):
    assert rendered(values, "$$SCONE::server.crt$$") == b"a text"
    assert rendered(values, "$$SCONE::server.key$$").startswith(b"-----BEGIN PRIVATE KEY-----")
    assert rendered(values, "$$SCONE::server:crt$$") == pem(values["server"].certificate)


def test_json_escaping_gives_the_inside_of_a_string_of_json_and_of_yaml(values):
    import yaml

    escaped = rendered(values, "$$SCONE::text|escape(json)$$")
    assert escaped == 'a\\"b\\\\c\\n\\u007fä€'.encode()
    plain = rendered(values, "$$SCONE::text$$").decode()
    quoted = b'"' + escaped + b'"'
    assert json.loads(quoted) == plain
    assert yaml.safe_load(quoted) == plain


def test_a_pem_text_is_one_line_after_json_escaping(values):
    escaped = rendered(values, "$$SCONE::cert:crt|escape(json)$$")
    assert b"\n" not in escaped
    assert json.loads(b'"' + escaped + b'"').encode() == pem(values["cert"].certificate)


@pytest.mark.parametrize("text", ["$$SCONE::no$$", "$$SCONE::no.crt$$", "$$SCONE::no:hex$$"])
def test_an_unknown_secret_is_named(values, text):
    with pytest.raises(NotFoundError, match="no secret of this name") as caught:
        rendered(values, text)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$$SCONE::text:hex$$", "secret text: an ascii secret has the format no format, got :hex"),
        ("$$SCONE::text.key$$", "an ascii secret has the format no format, got .key"),
        ("$$SCONE::data:pem$$", "a binary secret has the format one of :bin, :hex, :base64,"),
        ("$$SCONE::data.crt$$", "got .crt"),
        ("$$SCONE::key:crt$$", "a private key has the format one of :pem, :pkcs8:pem, :der"),
        ("$$SCONE::key.key$$", "got .key"),
        ("$$SCONE::cert:hex$$", "a certificate has the format one of :crt, :crt:pem, :crt:der"),
        ("$$SCONE::cert:privatekey:raw$$", "got :privatekey:raw"),
        ("$$SCONE::cert.hex$$", "got .hex"),
        ("$$SCONE::given:privatekey$$", "the certificate's private key is not in this session"),
        ("$$SCONE::given:pkcs12-with-private-key$$", "private key is not in this session"),
        ("$$SCONE::data|escape(json)$$", "got bytes that are not UTF-8"),
        ("$$SCONE::key:der|escape(json)$$", "got bytes that are not UTF-8"),
    ],
)
def test_a_format_that_a_secret_does_not_have_is_refused(values, text, message):
    with pytest.raises(UsageError) as caught:
        rendered(values, text)
    assert message in str(caught.value)
    assert DATA.hex() not in str(caught.value)


def test_an_unknown_encoding_is_no_placeholder(values):
    with pytest.raises(MalformedError):
        rendered(values, "$$SCONE::text|escape(yaml)$$")
