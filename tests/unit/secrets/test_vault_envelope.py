"""Values of a key vault: the encrypted form byte by byte, and what kind a text is of."""

import base64
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from fakes.azure import certificate, pem_key
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, MalformedError, SconeError, UsageError, VerificationError
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PrivateKeyValue,
    PublicKeyValue,
)
from scone.session.secrets.vault_envelope import vault_secret

KEY = bytes.fromhex("04fc23d9f50467d9d3ea5ce4ce9631d02469bea40c757b0868e2ee20517c2a52")


def envelope(payload, *, version=0xA1, key_type=2, length=None, key=KEY):
    vector = bytes(12)  # the same parameters in each process that collects the tests
    size = len(payload) if length is None else length
    head = struct.pack(">HHH", version, key_type, size)
    return base64.b64encode(head + vector + AESGCM(key).encrypt(vector, payload, None))


def value(text, content_type=None, kind=None, key=None):
    raw = text.encode() if isinstance(text, str) else text
    return vault_secret(SecretBytes(raw), content_type, kind, key and SecretBytes(key))


def test_an_encrypted_passphrase_is_text():
    assert value(envelope("pässword".encode()), key=KEY) == AsciiValue(
        SecretBytes("pässword".encode())
    )


def test_an_example_made_elsewhere_is_read():
    # Fixed bytes, so that reader and test cannot change together.
    text = "AKEAAgAFAAAAAAAAAAAAAAAA" + base64.b64encode(
        AESGCM(KEY).encrypt(bytes(12), b"hello", None)
    ).decode("ascii")
    assert value(text, key=KEY) == AsciiValue(SecretBytes(b"hello"))


def test_content_type_binary_is_not_decoded():
    raw = bytes(range(256))
    assert value(envelope(raw), "binary", None, KEY) == BinaryValue(SecretBytes(raw))
    assert value(envelope(raw), "binary", "binary", KEY) == BinaryValue(SecretBytes(raw))
    with pytest.raises(MalformedError, match=r"kind: expected binary, as the vault says"):
        value(envelope(raw), "binary", "ascii", KEY)
    with pytest.raises(MalformedError, match="UTF-8") as caught:
        value(envelope(raw), None, None, KEY)
    assert "content type" in caught.value.hint


def test_content_type_pkcs1_is_a_private_key():
    key = rsa.generate_private_key(65537, 2048)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    found = value(envelope(der), "PKCS#1", None, KEY)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert found == PrivateKeyValue(SecretBytes(pkcs8))
    with pytest.raises(MalformedError, match=r"PKCS#1 private key in DER"):
        value(envelope(b"no key"), "PKCS#1", None, KEY)


def test_the_content_type_means_nothing_without_decryption_key():
    assert value("abc", "binary") == AsciiValue(SecretBytes(b"abc"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("not base64!", MalformedError, "encrypted value: expected base64"),
        (base64.b64encode(bytes(33)), MalformedError, "expected at least 34 bytes, got 33 bytes"),
        (envelope(b"x", version=0xA2), MalformedError, "version: expected 0x00A1, got 0x00A2"),
        (envelope(b"x", key_type=1), MalformedError, "key_type: expected 0x0002, got 0x0001"),
        (envelope(b"xyz", length=2), MalformedError, "payload_length: expected 3"),
        (envelope(b"x", key=bytes(32)), VerificationError, "another key than decryption_key"),
    ],
)
def test_every_malformed_part_has_its_own_error(text, error, message):
    with pytest.raises(error, match=message):
        value(text, key=KEY)


def test_every_flipped_bit_of_an_encrypted_value_is_refused():
    raw = base64.b64decode(envelope(b"payload"))
    for at in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises((MalformedError, VerificationError)):
            value(base64.b64encode(bytes(changed)), key=KEY)


def test_the_key_has_32_bytes():
    with pytest.raises(UsageError, match="a binary secret of 32 bytes, got 16"):
        value(envelope(b"x"), key=KEY[:16])


def test_a_certificate_brings_its_key_and_issuers():
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate("root", root_key, ca=True)
    leaf = certificate("leaf", key, root, root_key)
    pem = [one.public_bytes(Encoding.PEM).decode() for one in (leaf, root)]
    found = value(pem_key(key) + pem[0] + pem[1])
    assert isinstance(found, CertificateValue)
    assert found.certificate == leaf.public_bytes(Encoding.DER)
    assert found.chain == (root.public_bytes(Encoding.DER),)
    assert found.private_key is not None
    assert value(pem[0]).private_key is None
    with pytest.raises(MalformedError, match="the private key of its first certificate") as caught:
        value(pem_key(root_key) + pem[0])
    assert "kind: ascii" in caught.value.hint


def test_keys_are_known_by_their_pem():
    key = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(value(pem_key(key)), PrivateKeyValue)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(value(public), PublicKeyValue)
    assert value(pem_key(key), kind="ascii") == AsciiValue(SecretBytes(pem_key(key).encode()))


def test_pkcs12_stays_text():
    key = ec.generate_private_key(ec.SECP256R1())
    archive = pkcs12.serialize_key_and_certificates(
        b"x", key, certificate("x", key), None, NoEncryption()
    )
    text = base64.b64encode(archive)
    assert value(text, "application/x-pkcs12") == AsciiValue(SecretBytes(text))


def test_a_text_that_only_begins_like_pem_is_text():
    for text in (
        "-----BEGIN SOMETHING",
        "-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----\n",
    ):
        assert value(text) == AsciiValue(SecretBytes(text.encode()))


def test_binary_is_written_in_hexadecimal_digits():
    assert value("00ff\n", kind="binary") == BinaryValue(SecretBytes(b"\x00\xff"))
    for text in ("0", "xyz!", "0x10"):
        with pytest.raises(MalformedError, match="even number of hex digits"):
            value(text, kind="binary")


@pytest.mark.parametrize("kind", ["private-key", "public-key", "x509", "x509-ca"])
def test_another_kind_than_the_session_says_is_refused(kind):
    with pytest.raises(MalformedError):
        value("just text", kind=kind)


def test_a_fragment_is_kept_as_an_explicit_one_is():
    assert value('{"b": [1, "x"]}', kind="config-fragment") == FragmentValue('{"b":["1","x"]}')
    assert value("- mrenclave: 00\n", kind="config-fragment") == FragmentValue(
        '[{"mrenclave":"00"}]'
    )
    for text in ("", "a: *b", "{", "a: $$SCONE::x$$", "a: 1\na: 2"):
        with pytest.raises(MalformedError, match="a configuration fragment"):
            value(text, kind="config-fragment")


@pytest.mark.parametrize("kind", ["ascii", "aad-token", "jwt"])
def test_a_token_is_text(kind):
    assert value("e30.e30.x", kind=kind) == AsciiValue(SecretBytes(b"e30.e30.x"))
    with pytest.raises(MalformedError, match="without NUL"):
        value("a\0b", kind=kind)


def test_other_kinds_cannot_come_from_a_vault():
    with pytest.raises(UsageError, match="pgp-key cannot come from a key vault"):
        value("x", kind="pgp-key")


def test_a_long_value_is_refused():
    with pytest.raises(LimitError):
        value("x" * 65_537)


def test_no_error_shows_the_value():
    secret = "hunter2-hunter2"
    for kind in ("binary", "private-key", "public-key", "x509"):
        with pytest.raises(MalformedError) as caught:
            value(secret, kind=kind)
        assert "hunter2" not in f"{caught.value}{caught.value.hint}{caught.value!r}"


@given(st.binary(max_size=200), st.sampled_from([None, "binary", "PKCS#1"]), st.booleans())
def test_any_bytes_give_a_value_or_our_error(raw, content_type, encrypted):
    try:
        value(raw, content_type, None, KEY if encrypted else None)
    except SconeError:
        pass
