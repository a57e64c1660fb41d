"""OpenPGP keys of SCONE's one shape: v4, Ed25519 primary key, Curve25519 ECDH subkey.

Packets as in RFC 9580 (section 5.5 keys, 5.2 signatures, 6 armor) with the algorithms 18 and 22
that GnuPG 2.2 reads. Written here because no maintained library lets this shape and its
preferences be chosen (docs/decisions/0006-dependencies.md). Nothing here encrypts, decrypts or
verifies; keys of other programs are not read.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError

_SIGNATURE, _SECRET_KEY, _PUBLIC_KEY, _SECRET_SUBKEY, _USER_ID, _PUBLIC_SUBKEY = 2, 5, 6, 7, 13, 14
_SHAPE: Final = (_SECRET_KEY, _USER_ID, _SIGNATURE, _SECRET_SUBKEY, _SIGNATURE)
_V4: Final = 4
_EDDSA: Final = 22
_ECDH: Final = 18
_SHA256: Final = 8
_AES128: Final = 7
_AES256: Final = 9
_ZLIB: Final = 2
# Section 9.2: the curves by their object identifiers, each with its length.
_ED25519: Final = bytes.fromhex("092b06010401da470f01")
_CURVE25519: Final = bytes.fromhex("0a2b060104019755010501")
# Section 11.5: what wraps a session key for this curve: SHA-256, AES-128.
_KDF: Final = bytes([3, 1, _SHA256, _AES128])
_POSITIVE_CERTIFICATION: Final = 0x13
_SUBKEY_BINDING: Final = 0x18
_CERTIFIES_AND_SIGNS: Final = 0x03
_ENCRYPTS: Final = 0x0C
# Every packet of this shape is shorter, so that its length is one octet (section 4.2.1.1).
_MAX_BODY: Final = 191
# Version, time, algorithm, curve with its length, one MPI of 33 bytes (0x40 and the point).
_EDDSA_PUBLIC: Final = 6 + len(_ED25519) + 2 + 33
_ECDH_PUBLIC: Final = 6 + len(_CURVE25519) + 2 + 33 + len(_KDF)

ArmorKind = Literal["PRIVATE KEY", "PUBLIC KEY"]


def generate_pgp_key(user_id: str, *, created: dt.datetime, random: Random) -> SecretBytes:
    """A new key without password and expiry, as binary transferable secret key.

    The primary key certifies and signs, the subkey encrypts; AES-256, SHA-256 and ZLIB are the
    preferred algorithms. The user id has at most 191 bytes in UTF-8.
    """
    signing = ed25519.Ed25519PrivateKey.from_private_bytes(random(32))
    scalar = bytearray(random(32))
    scalar[0] &= 0xF8  # RFC 7748, section 5, decodeScalar25519; OpenPGP keeps the result
    scalar[31] = scalar[31] & 0x7F | 0x40
    decrypting = x25519.X25519PrivateKey.from_private_bytes(bytes(scalar))
    at = int(created.timestamp()).to_bytes(4, "big")
    primary = (
        bytes([_V4]) + at + bytes([_EDDSA]) + _ED25519
        + _mpi(b"\x40" + signing.public_key().public_bytes_raw())
    )  # fmt: skip
    subkey = (
        bytes([_V4]) + at + bytes([_ECDH]) + _CURVE25519
        + _mpi(b"\x40" + decrypting.public_key().public_bytes_raw()) + _KDF
    )  # fmt: skip
    name = user_id.encode("utf-8")
    certification = _signature(
        signing,
        primary,
        _POSITIVE_CERTIFICATION,
        b"\xb4" + len(name).to_bytes(4, "big") + name,
        _subpacket(2, at)
        + _subpacket(11, bytes([_AES256]))
        + _subpacket(21, bytes([_SHA256]))
        + _subpacket(22, bytes([_ZLIB]))
        + _subpacket(25, b"\x01")  # the primary user id
        + _subpacket(27, bytes([_CERTIFIES_AND_SIGNS]))
        + _subpacket(30, b"\x01"),  # reads messages that are integrity protected
    )
    binding = _signature(
        signing,
        primary,
        _SUBKEY_BINDING,
        _hashed_key(subkey),
        _subpacket(2, at) + _subpacket(27, bytes([_ENCRYPTS])),
    )
    return SecretBytes(
        _packet(_SECRET_KEY, primary + _secret(signing.private_bytes_raw()))
        + _packet(_USER_ID, name)
        + _packet(_SIGNATURE, certification)
        # The scalar is little-endian in RFC 7748 and a number here (section 5.5.5.6.1.1).
        + _packet(_SECRET_SUBKEY, subkey + _secret(bytes(reversed(scalar))))
        + _packet(_SIGNATURE, binding)
    )


def pgp_public_key(secret_key: SecretBytes, place: str = "OpenPGP key") -> bytes:
    """The binary transferable public key of a key of `generate_pgp_key`.

    Raises:
        MalformedError: not such a key.
    """
    packets = _packets(secret_key.reveal(), place)
    if tuple(tag for tag, _ in packets) != _SHAPE:
        raise MalformedError(place, "a v4 key with one user id and one subkey", "other packets")
    (_, primary), (_, name), (_, certification), (_, subkey), (_, binding) = packets
    return (
        _packet(_PUBLIC_KEY, _public_part(primary, _EDDSA, _ED25519, _EDDSA_PUBLIC, place))
        + _packet(_USER_ID, name)
        + _packet(_SIGNATURE, certification)
        + _packet(_PUBLIC_SUBKEY, _public_part(subkey, _ECDH, _CURVE25519, _ECDH_PUBLIC, place))
        + _packet(_SIGNATURE, binding)
    )


def pgp_armor(kind: ArmorKind, content: bytes) -> bytes:
    """ASCII armor of a binary key, with the checksum that older programs expect."""
    text = base64.b64encode(content).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    checksum = base64.b64encode(_crc24(content).to_bytes(3, "big")).decode("ascii")
    return "\n".join(
        [f"-----BEGIN PGP {kind} BLOCK-----", "", *lines, f"={checksum}",
         f"-----END PGP {kind} BLOCK-----", ""]
    ).encode("ascii")  # fmt: skip


def _public_part(body: bytes, algorithm: int, curve: bytes, length: int, place: str) -> bytes:
    if (
        len(body) < length
        or body[0] != _V4
        or body[5 : 6 + len(curve)] != bytes([algorithm]) + curve
    ):
        raise MalformedError(place, "a v4 key on Curve25519", "another key")
    return body[:length]


def _signature(
    key: ed25519.Ed25519PrivateKey, primary: bytes, kind: int, signed: bytes, subpackets: bytes
) -> bytes:
    """Body of a v4 signature by the primary key over itself and `signed` (section 5.2.4)."""
    # SHA-1 is the fingerprint of a v4 key (section 5.5.4.2), whatever else is thought of it.
    fingerprint = hashlib.sha1(_hashed_key(primary), usedforsecurity=False).digest()
    hashed = subpackets + _subpacket(33, bytes([_V4]) + fingerprint)
    unhashed = _subpacket(16, fingerprint[-8:])
    head = bytes([_V4, kind, _EDDSA, _SHA256]) + len(hashed).to_bytes(2, "big") + hashed
    trailer = bytes([_V4, 0xFF]) + len(head).to_bytes(4, "big")
    digest = hashlib.sha256(_hashed_key(primary) + signed + head + trailer).digest()
    signature = key.sign(digest)
    return (
        head + len(unhashed).to_bytes(2, "big") + unhashed + digest[:2]
        + _mpi(signature[:32]) + _mpi(signature[32:])
    )  # fmt: skip


def _hashed_key(body: bytes) -> bytes:
    return b"\x99" + len(body).to_bytes(2, "big") + body


def _secret(number: bytes) -> bytes:
    """The secret part of a key packet without a password: its number and a checksum."""
    mpi = _mpi(number)
    return b"\x00" + mpi + (sum(mpi) & 0xFFFF).to_bytes(2, "big")


def _mpi(number: bytes) -> bytes:
    stripped = number.lstrip(b"\0")
    return int.from_bytes(stripped, "big").bit_length().to_bytes(2, "big") + stripped


def _subpacket(kind: int, content: bytes) -> bytes:
    return bytes([len(content) + 1, kind]) + content


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, len(body)]) + body


def _packets(content: bytes, place: str) -> list[tuple[int, bytes]]:
    """Tag and body of each packet, with the headers that `_packet` writes."""
    packets: list[tuple[int, bytes]] = []
    at = 0
    while at < len(content):
        head = content[at : at + 2]
        if len(head) < 2 or head[0] < 0xC0 or head[1] > _MAX_BODY:
            raise MalformedError(place, "the header of a short OpenPGP packet", "something else")
        at += 2 + head[1]
        if at > len(content):
            raise MalformedError(place, f"a packet of {head[1]} bytes", "the end")
        packets.append((head[0] & 0x3F, content[at - head[1] : at]))
    return packets


def _crc24(content: bytes) -> int:
    """Section 6.1.1."""
    crc = 0xB704CE
    for byte in content:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc
