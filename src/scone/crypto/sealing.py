"""Encryption at rest (AES-256-GCM) and to a public key (HPKE, RFC 9180), and derived keys.

Sealed form: 12-byte nonce, ciphertext, 16-byte tag. HPKE form: 32-byte encapsulated key,
ciphertext, 16-byte tag; DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 32


def seal(key: SecretBytes, plaintext: bytes, associated_data: bytes, random: Random) -> bytes:
    """Nonce, ciphertext and tag of AES-256-GCM under a 32-byte key and a random nonce."""
    nonce = random(_NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plaintext, associated_data)


def open_sealed(
    key: SecretBytes, sealed: bytes, associated_data: bytes, place: str = "sealed data"
) -> bytes:
    """The plaintext of `seal`.

    Raises:
        IntegrityError: altered, cut, sealed under another key or for another place.
    """
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(rest) < _TAG_BYTES:
        raise IntegrityError(f"{place}: expected at least 28 bytes, got {len(sealed)}")
    try:
        return AESGCM(key.reveal()).decrypt(nonce, rest, associated_data)
    except InvalidTag:
        raise IntegrityError(
            f"{place}: expected what was sealed here, got altered bytes or another key's"
        ) from None


def hmac_key(key: SecretBytes, label: str, *parts: bytes) -> SecretBytes:
    """A 32-byte key for one purpose: HMAC-SHA256 over the label and each part with its length.

    Distinct (label, parts) never share an input: each is preceded by its length in 4 bytes.
    """
    mac = hmac.new(key.reveal(), digestmod="sha256")
    for part in (label.encode("utf-8"), *parts):
        mac.update(len(part).to_bytes(4, "big"))
        mac.update(part)
    return SecretBytes(mac.digest())


def new_x25519_key(random: Random) -> SecretBytes:
    """A new X25519 private key, 32 bytes."""
    return SecretBytes(random(_KEY_BYTES))


def x25519_public_key(private_key: SecretBytes) -> bytes:
    """The 32-byte public key of an X25519 private key.

    Raises:
        MalformedError: not 32 bytes.
    """
    return _x25519(private_key).public_key().public_bytes_raw()


def hpke_seal(public_key: bytes, info: bytes, associated_data: bytes, plaintext: bytes) -> bytes:
    """Encrypt to an X25519 public key; only `hpke_open` with equal info and data opens it.

    Raises:
        MalformedError: a public key that is not 32 bytes or that no key pair has.
    """
    if len(public_key) != _KEY_BYTES:
        raise MalformedError("X25519 public key", f"{_KEY_BYTES} bytes", f"{len(public_key)}")
    recipient = x25519.X25519PublicKey.from_public_bytes(public_key)
    try:
        return _suite().encrypt(plaintext, recipient, _bound(info, associated_data))
    except ValueError:  # a point of small order, whose shared secret is zero (RFC 7748, 6.1)
        raise MalformedError("X25519 public key", "a key of large order") from None


def hpke_open(
    private_key: SecretBytes,
    info: bytes,
    associated_data: bytes,
    sealed: bytes,
    place: str = "encrypted message",
) -> SecretBytes:
    """The plaintext of `hpke_seal`.

    Raises:
        IntegrityError: altered, encrypted to another key or for another purpose.
        MalformedError: a private key that is not 32 bytes.
    """
    recipient = _x25519(private_key)
    try:
        opened = _suite().decrypt(sealed, recipient, _bound(info, associated_data))
    except (InvalidTag, ValueError):
        raise IntegrityError(
            f"{place}: expected a message to this key for this purpose, got another or altered one"
        ) from None
    return SecretBytes(opened)


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _bound(info: bytes, associated_data: bytes) -> bytes:
    # The library's single-shot form takes no AEAD associated data. RFC 9180, section 8.1:
    # in a single-shot use the data may be part of `info`, which the key schedule binds.
    return len(info).to_bytes(4, "big") + info + associated_data


def _x25519(private_key: SecretBytes) -> x25519.X25519PrivateKey:
    if len(private_key) != _KEY_BYTES:
        raise MalformedError("X25519 private key", f"{_KEY_BYTES} bytes", f"{len(private_key)}")
    return x25519.X25519PrivateKey.from_private_bytes(private_key.reveal())
