"""Private keys: generation from given randomness, formats, signatures."""

import base64
import hashlib
import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scone.crypto.der import to_pem
from scone.crypto.keys import (
    generate_private_key,
    key_type_of,
    load_public_key,
    private_key_from_pem,
    private_key_pem,
    sign_p256,
    spki_of_private_key,
    verify_p256,
)
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError, VerificationError


@pytest.mark.parametrize("key_type", ["P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072"])
def test_a_generated_key_is_of_its_type_and_survives_pem(key_type):
    key = generate_private_key(key_type, os.urandom)
    assert key_type_of(key) == key_type
    assert private_key_from_pem(private_key_pem(key).reveal().decode()) == key


@pytest.mark.parametrize("key_type", ["P-256", "P-384", "Ed25519"])
def test_keys_on_curves_come_from_the_given_randomness_alone(key_type):
    first, again = (generate_private_key(key_type, lambda n: b"\x07" * n) for _ in range(2))
    other = generate_private_key(key_type, lambda n: b"\x08" * n)
    assert first == again
    assert first != other


@pytest.mark.parametrize("filling", [b"\x00", b"\xff"])
@pytest.mark.parametrize("key_type", ["P-256", "P-384"])
def test_extreme_randomness_still_gives_a_scalar_below_the_order(key_type, filling):
    assert key_type_of(generate_private_key(key_type, lambda n: filling * n)) == key_type


def test_a_signature_verifies_for_its_message_and_key_only():
    key, other = (generate_private_key("P-256", os.urandom) for _ in range(2))
    signature = sign_p256(key, b"message")
    verify_p256(spki_of_private_key(key), signature, b"message", "receipt")
    for spki, message, text in (
        (spki_of_private_key(key), b"massage", signature),
        (spki_of_private_key(other), b"message", signature),
        (spki_of_private_key(key), b"message", signature[:-1]),
        (spki_of_private_key(key), b"message", b""),
    ):
        with pytest.raises(VerificationError, match="receipt: the signature is not by this key"):
            verify_p256(spki, text, message, "receipt")


def test_only_p256_keys_make_and_check_these_signatures():
    key = generate_private_key("Ed25519", os.urandom)
    with pytest.raises(UsageError, match="only a P-256 key"):
        sign_p256(key, b"")
    with pytest.raises(VerificationError, match="got another key"):
        verify_p256(spki_of_private_key(key), b"", b"", "receipt")


def test_bytes_that_are_no_key_are_malformed_and_not_quoted():
    with pytest.raises(MalformedError, match="key: expected a PKCS#8 private key") as caught:
        private_key_from_pem(to_pem("PRIVATE KEY", b"top secret bytes"), "key")
    assert caught.value.__cause__ is None
    assert "top" not in str(caught.value)
    with pytest.raises(MalformedError, match="SubjectPublicKeyInfo"):
        load_public_key(hashlib.sha256(b"").digest())


# RFC 8410, section 10.3: the same Ed25519 key in version 1, and in version 2 with an attribute
# and the public key.
VERSION_1 = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"
VERSION_2 = (
    "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhCoB8wHQYKKoZIhvcNAQkJFDEP"
    "DA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
)


def test_a_key_in_the_version_that_scone_writes_is_read_as_version_1():
    one, two = (base64.b64decode(text) for text in (VERSION_1, VERSION_2))
    assert private_key_from_pem(to_pem("PRIVATE KEY", two)) == SecretBytes(one)
    assert private_key_from_pem(to_pem("PRIVATE KEY", one)) == SecretBytes(one)
    with pytest.raises(MalformedError):
        private_key_from_pem(to_pem("PRIVATE KEY", two[:-1]))


def test_a_long_key_in_version_2_keeps_its_content():
    key = generate_private_key("RSA-2048", os.urandom).reveal()
    assert key[:4].hex() == "308204" + f"{key[3]:02x}"
    assert key[4:7].hex() == "020100"
    second = key[:4] + b"\x02\x01\x01" + key[7:]
    assert private_key_from_pem(to_pem("PRIVATE KEY", second)).reveal() == key


def test_two_keys_in_one_text_are_refused():
    text = private_key_pem(generate_private_key("P-256", os.urandom)).reveal().decode()
    with pytest.raises(MalformedError, match="got PRIVATE KEY, PRIVATE KEY"):
        private_key_from_pem(text * 2)


def test_a_secret_is_not_shown_pickled_or_hashed():
    import pickle

    secret = SecretBytes(b"hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"
    assert repr(secret) == "SecretBytes(<7 bytes>)"
    assert secret == SecretBytes(b"hunter2")
    assert secret != SecretBytes(b"hunter3")
    assert (secret == b"hunter2") is False
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_an_rsa_key_that_is_too_short_is_named_by_its_size():
    pem = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(MalformedError, match="got an RSA key of 1024 bits"):
        private_key_from_pem(pem.decode())
