"""Sealing and HPKE: what opens, and that everything else is refused."""

import os

import pytest

from scone.crypto.sealing import (
    hmac_key,
    hpke_open,
    hpke_seal,
    new_x25519_key,
    open_sealed,
    seal,
    x25519_public_key,
)
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError

KEY = SecretBytes(bytes(range(32)))


def test_what_was_sealed_opens():
    sealed = seal(KEY, b"plain", b"place", os.urandom)
    assert len(sealed) == 12 + 5 + 16
    assert open_sealed(KEY, sealed, b"place") == b"plain"


def test_the_same_plaintext_is_sealed_to_other_bytes_each_time():
    assert seal(KEY, b"plain", b"", os.urandom) != seal(KEY, b"plain", b"", os.urandom)


def test_every_altered_bit_and_every_cut_is_refused():
    sealed = seal(KEY, b"plain", b"place", os.urandom)
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            open_sealed(KEY, bytes(altered), b"place")
    for length in range(len(sealed)):
        with pytest.raises(IntegrityError):
            open_sealed(KEY, sealed[:length], b"place")


def test_another_key_or_another_place_does_not_open():
    sealed = seal(KEY, b"plain", b"place", os.urandom)
    with pytest.raises(IntegrityError, match="record 7: expected what was sealed here"):
        open_sealed(SecretBytes(bytes(32)), sealed, b"place", "record 7")
    with pytest.raises(IntegrityError):
        open_sealed(KEY, sealed, b"other place")


def test_known_answer_of_aes_256_gcm():
    # NIST SP 800-38D test case 13 (as in the GCM specification): empty plaintext, zero key.
    sealed = seal(SecretBytes(bytes(32)), b"", b"", bytes)
    assert sealed.hex() == "00" * 12 + "530f8afbc74536b9a963b4f1c4cb738b"


def test_hpke_opens_with_the_same_key_and_purpose_only():
    key, other = new_x25519_key(os.urandom), new_x25519_key(os.urandom)
    sealed = hpke_seal(x25519_public_key(key), b"backup", b"nonce", b"payload")
    assert len(sealed) == 32 + 7 + 16
    assert hpke_open(key, b"backup", b"nonce", sealed) == SecretBytes(b"payload")
    for args in (
        (other, b"backup", b"nonce", sealed),
        (key, b"upgrade", b"nonce", sealed),
        (key, b"backup", b"nonse", sealed),
        (key, b"backupn", b"once", sealed),
        (key, b"backup", b"nonce", sealed[:-1]),
        (key, b"backup", b"nonce", sealed[:20]),
        (key, b"backup", b"nonce", b""),
    ):
        with pytest.raises(IntegrityError, match="for this purpose"):
            hpke_open(*args)


def test_hpke_is_the_suite_of_rfc_9180_with_the_data_in_info():
    from cryptography.hazmat.primitives import hpke
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    key = X25519PrivateKey.generate()
    sealed = hpke_seal(key.public_key().public_bytes_raw(), b"info", b"aad", b"x")
    assert suite.decrypt(sealed, key, b"\0\0\0\x04infoaad") == b"x"


def test_an_x25519_key_of_another_length_or_of_small_order_is_malformed():
    with pytest.raises(MalformedError, match="X25519 public key: expected 32 bytes, got 31"):
        hpke_seal(bytes(31), b"", b"", b"x")
    with pytest.raises(MalformedError, match="X25519 private key: expected 32 bytes, got 33"):
        x25519_public_key(SecretBytes(bytes(33)))
    with pytest.raises(MalformedError, match="large order"):
        hpke_seal(bytes(32), b"", b"", b"x")


def test_an_x25519_public_key_is_that_of_rfc_7748():
    alice = "77076d0a7318a57d3c16c17251b26645"
    private = bytes.fromhex(alice + "df4c2f87ebc0992ab177fba51db92c2a")
    public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert x25519_public_key(SecretBytes(private)).hex() == public


def test_derived_keys_differ_by_label_and_by_where_the_parts_are_cut():
    derived = [
        hmac_key(KEY, "a").reveal(),
        hmac_key(KEY, "b").reveal(),
        hmac_key(KEY, "a", b"").reveal(),
        hmac_key(KEY, "a", b"xy").reveal(),
        hmac_key(KEY, "a", b"x", b"y").reveal(),
        hmac_key(KEY, "ax", b"y").reveal(),
        hmac_key(SecretBytes(bytes(32)), "a").reveal(),
    ]
    assert len(set(derived)) == len(derived)
    assert {len(key) for key in derived} == {32}
    assert hmac_key(KEY, "a", b"x") == hmac_key(KEY, "a", b"x")
