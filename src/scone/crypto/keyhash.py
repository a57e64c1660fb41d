"""Key hashes as SCONE prints them: Base58Check over SHA-256 of the public key.

Form (docs/formats/key-hash.md): Bitcoin alphabet, version byte 0x01, the 32-byte
SHA-256 of the SubjectPublicKeyInfo DER (RFC 5280, 4.1.2.7), four bytes of double
SHA-256 as checksum. Imports as little as it can: `scone self show-key-hash` is timed.
"""

from __future__ import annotations

from typing import Final

from scone.errors import MalformedError

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_INDEX: Final = {character: value for value, character in enumerate(_ALPHABET)}
_KEY_HASH_VERSION: Final = 0x01
_DIGEST_BYTES: Final = 32
_MAX_CHARACTERS: Final = 52  # 37 bytes never need more


def _checksum(payload: bytes) -> bytes:
    import hashlib  # here: loading OpenSSL takes time, and most sessions have no key hash

    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]


def encode_base58check(version: int, payload: bytes) -> str:
    """Base58Check of one version byte and a payload."""
    body = bytes([version]) + payload
    raw = body + _checksum(body)
    number = int.from_bytes(raw, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + text


def decode_base58check(text: str, *, place: str = "key hash") -> tuple[int, bytes]:
    """Version byte and 32-byte payload of a Base58Check string.

    Raises:
        MalformedError: a character outside the alphabet, another length, a wrong checksum.
    """
    expected = "a Base58Check string such as 3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
    if not 1 <= len(text) <= _MAX_CHARACTERS:
        raise MalformedError(place, expected, f"{len(text)} characters")
    number = 0
    for character in text:
        if character not in _INDEX:
            raise MalformedError(place, expected, f"the character {character!r}")
        number = number * 58 + _INDEX[character]
    if number.bit_length() > 8 * (_DIGEST_BYTES + 5):
        raise MalformedError(place, expected, "a longer value")
    raw = number.to_bytes(_DIGEST_BYTES + 5, "big")
    body, checksum = raw[:-4], raw[-4:]
    if _checksum(body) != checksum or encode_base58check(body[0], body[1:]) != text:
        raise MalformedError(place, expected, "a wrong checksum (mistyped?)")
    return body[0], body[1:]


def key_hash(spki_der: bytes) -> str:
    """SCONE key hash of a SubjectPublicKeyInfo in DER."""
    import hashlib

    return key_hash_of_digest(hashlib.sha256(spki_der).digest())


def key_hash_of_digest(spki_sha256: bytes) -> str:
    """The same, of a digest that is already there."""
    return encode_base58check(_KEY_HASH_VERSION, spki_sha256)


def parse_key_hash(text: str, *, place: str = "key hash") -> bytes:
    """The SHA-256 digest that a key hash string carries.

    Raises:
        MalformedError: not a key hash.
    """
    version, digest = decode_base58check(text, place=place)
    if version != _KEY_HASH_VERSION:
        raise MalformedError(
            place, "a key hash (version byte 0x01)", f"version byte {version:#04x}"
        )
    return digest
