"""The public key of an X.509 certificate, and PEM, without importing `cryptography`.

A walk over the DER of RFC 5280, section 4.1, down to the SubjectPublicKeyInfo and no
further; PEM as in RFC 7468. Nothing here checks a signature, a name or a date.
`scone self show-key-hash` is timed, and importing `cryptography.x509` costs 60 ms.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from scone.errors import MalformedError

_MAX_TEXT: Final = 256 * 1024  # a chain of several RSA certificates needs 20 KiB
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_OCTET_STRING: Final = 0x04
_OBJECT_IDENTIFIER: Final = 0x06
# rsaEncryption (RFC 8017), id-ecPublicKey (RFC 5480), id-Ed25519 (RFC 8410)
_KEY_ALGORITHMS: Final = frozenset(
    map(bytes.fromhex, ("2a864886f70d010101", "2a8648ce3d0201", "2b6570"))
)
_VERSION_TAG: Final = 0xA0
_BOUNDARY: Final = re.compile(r"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 #./]*)-----")
_BASE64_LINE: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True, repr=False)
class PemBlock:
    """One PEM block: its label (such as `CERTIFICATE`) and the bytes in it."""

    label: str
    der: bytes

    def __repr__(self) -> str:
        """The label and the length: the bytes may be a private key."""
        return f"PemBlock({self.label!r}, <{len(self.der)} bytes>)"


def pem_blocks(text: str, source: str = "PEM") -> tuple[PemBlock, ...]:
    """All PEM blocks of a text; text outside the blocks is skipped (RFC 7468, section 2).

    Raises:
        MalformedError: a boundary, a label or base64 that is not right.
    """
    if len(text) > _MAX_TEXT:
        raise MalformedError(source, f"at most {_MAX_TEXT} characters", f"{len(text)}")
    blocks: list[PemBlock] = []
    label: str | None = None
    body: list[str] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        place = f"{source} line {number}"
        if not line.startswith("-----"):
            if label is None:
                if "-----" in line:
                    raise MalformedError(place, "a PEM boundary at the start of the line")
            elif line:
                if ":" in line:
                    raise MalformedError(
                        place,
                        "base64 without PEM headers",
                        "a header line (an encrypted key?)",
                        hint="remove the encryption: openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.pkcs8.pem",
                    )
                if not _BASE64_LINE.fullmatch(line):
                    raise MalformedError(place, "a line of base64")
                body.append(line)
            continue
        boundary = _BOUNDARY.fullmatch(line)
        if boundary is None:
            raise MalformedError(place, "a boundary such as -----BEGIN CERTIFICATE-----")
        kind, name = boundary.groups()
        if kind == "BEGIN":
            if label is not None:
                raise MalformedError(place, f"-----END {label}-----", f"-----BEGIN {name}-----")
            label, body = name, []
            continue
        if name != label:
            expected = "-----BEGIN …----- first" if label is None else f"-----END {label}-----"
            raise MalformedError(place, expected, f"-----END {name}-----")
        blocks.append(PemBlock(name, _decode("".join(body), place)))
        label = None
    if label is not None:
        raise MalformedError(source, f"-----END {label}-----", "the end of the text (cut short?)")
    return tuple(blocks)


def pem_to_der(text: str, label: str, source: str = "PEM") -> bytes:
    """The bytes of a text that holds exactly one PEM block, of the given label.

    Raises:
        MalformedError: no block, several, another label, or not PEM.
    """
    blocks = pem_blocks(text, source)
    expected = f"one PEM block -----BEGIN {label}-----"
    if len(blocks) != 1:
        raise MalformedError(source, expected, f"{len(blocks)} blocks" if blocks else "none")
    if blocks[0].label != label:
        raise MalformedError(source, expected, f"-----BEGIN {blocks[0].label}-----")
    return blocks[0].der


def to_pem(label: str, der: bytes) -> str:
    """PEM with lines of 64 characters and LF, as OpenSSL writes it."""
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def spki_of_certificate(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of an X.509 certificate (DER).

    Raises:
        MalformedError: not a certificate in DER.
    """
    what = "certificate"
    start, end = _element(der, 0, len(der), _SEQUENCE, what)
    _nothing_left(end, len(der), what)
    tbs_at = start
    start, tbs_end = _element(der, tbs_at, end, _SEQUENCE, f"{what}.tbsCertificate")
    _, after_algorithm = _element(der, tbs_end, end, _SEQUENCE, f"{what}.signatureAlgorithm")
    _, after = _element(der, after_algorithm, end, _BIT_STRING, f"{what}.signatureValue")
    _nothing_left(after, end, what)
    at = start
    if at < tbs_end and der[at] == _VERSION_TAG:
        _, at = _element(der, at, tbs_end, _VERSION_TAG, f"{what}.version")
    _, at = _element(der, at, tbs_end, _INTEGER, f"{what}.serialNumber")
    for field in ("signature", "issuer", "validity", "subject"):
        _, at = _element(der, at, tbs_end, _SEQUENCE, f"{what}.{field}")
    place = f"{what}.subjectPublicKeyInfo"
    start, end = _element(der, at, tbs_end, _SEQUENCE, place)
    _, inner = _element(der, start, end, _SEQUENCE, f"{place}.algorithm")
    key_start, inner = _element(der, inner, end, _BIT_STRING, f"{place}.subjectPublicKey")
    _nothing_left(inner, end, place)
    if inner - key_start < 2 or der[key_start] != 0:
        raise MalformedError(f"{place}.subjectPublicKey", "whole bytes of a key")
    return der[at:end]


def pkcs8_version_1(der: bytes) -> bytes:
    """A PKCS#8 private key without the public key and the attributes of RFC 5958's version 2.

    SCONE writes Ed25519 keys in that version and OpenSSL 3.0 reads none of it. What is not PKCS#8
    of version 2 comes back as it is, for the reader of keys to judge.
    """
    try:
        version, algorithm, end = _pkcs8(der, "private key")
    except MalformedError:
        return der
    if version != b"\x01":
        return der
    body = b"\x02\x01\x00" + der[algorithm:end]
    size = len(body)
    octets = b"" if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    header = bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets
    return bytes([_SEQUENCE]) + header + body


def check_pkcs8(der: bytes, place: str = "private key") -> None:
    """Look at the outer shape of a PKCS#8 private key (DER) and at its algorithm, not at the key.

    Raises:
        MalformedError: another structure, or no RSA, elliptic-curve or Ed25519 key.
    """
    _, algorithm, _ = _pkcs8(der, place)
    start, end = _element(der, algorithm, len(der), _SEQUENCE, f"{place}.algorithm")
    at, after = _element(der, start, end, _OBJECT_IDENTIFIER, f"{place}.algorithm")
    if der[at:after] not in _KEY_ALGORITHMS:
        raise MalformedError(f"{place}.algorithm", "RSA, an elliptic curve or Ed25519")


def _pkcs8(der: bytes, place: str) -> tuple[bytes, int, int]:
    """The version of a PrivateKeyInfo, where its algorithm begins and where its key ends."""
    start, end = _element(der, 0, len(der), _SEQUENCE, place)
    _nothing_left(end, len(der), place)
    number, algorithm = _element(der, start, end, _INTEGER, f"{place}.version")
    _, at = _element(der, algorithm, end, _SEQUENCE, f"{place}.algorithm")
    _, at = _element(der, at, end, _OCTET_STRING, f"{place}.privateKey")
    return der[number:algorithm], algorithm, at


def _decode(text: str, place: str) -> bytes:
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise MalformedError(place, "base64 before this line", "text cut or altered") from None
    if not value or base64.b64encode(value).decode("ascii") != text:
        raise MalformedError(place, "base64 before this line", "no or left-over bits")
    return value


def _element(data: bytes, at: int, end: int, tag: int, place: str) -> tuple[int, int]:
    """Start and end of the content of the DER element at `at` (X.690, section 10.1)."""
    if end - at < 2:
        raise MalformedError(place, f"a DER element {tag:#04x}", "the end")
    if data[at] != tag:
        raise MalformedError(place, f"a DER element {tag:#04x}", f"{data[at]:#04x}")
    length = data[at + 1]
    start = at + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 3 or end - start < octets:
            raise MalformedError(place, "a definite length of at most 3 bytes", f"{length:#04x}")
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
        if length < 0x80 or length >> (8 * (octets - 1)) == 0:
            raise MalformedError(place, "the shortest length", f"{octets} bytes for {length}")
    if length > end - start:
        raise MalformedError(place, f"{length} bytes", f"{end - start}")
    return start, start + length


def _nothing_left(at: int, end: int, place: str) -> None:
    if at != end:
        raise MalformedError(place, "no further bytes", f"{end - at}")
