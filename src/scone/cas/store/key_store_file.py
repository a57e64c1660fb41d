"""The key store file as bytes, after age's format: docs/formats/key-store.md.

A random file key encrypts the payload and authenticates the header. Each stanza of the
header wraps the file key for one TEE. Strict: one value has one encoding, which parsing
ensures by encoding again.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scone.attestation.report_data import voucher_report_data
from scone.crypto import sealing
from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError

MAX_BYTES: Final = 1024 * 1024  # a hundred registered stanzas with their vouchers
MAX_STANZAS: Final = 128
_MAX_VOUCHER: Final = 16 * 1024  # a quote with its certificates takes 4 to 5 KiB
FILE_KEY_BYTES: Final = 32
_MAX_PAYLOAD: Final = 8 * 1024
_MAGIC: Final = "scone-key-store/v1"
_PLACE: Final = "key store"
_COLUMNS: Final = 64  # as in age
_SEAL_DATA: Final = b"scone-key-store-seal-v1"
_PAYLOAD_DATA: Final = b"scone-key-store-payload-v1"
_HPKE_INFO: Final = b"scone-key-store-registered-v1"
_SEAL_BODY: Final = 12 + FILE_KEY_BYTES + 16
_REGISTERED_BODY: Final = 32 + FILE_KEY_BYTES + 16
_MEASUREMENT_DIGITS: Final = 16  # enough to compare, and never enough to be taken for a policy
_TEE: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")
_LABEL: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")
_PLATFORM: Final = re.compile(r"[!-~]{1,128}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_HEX: Final = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class SealedUnder:
    """What a seal depends on, in clear, so that a failed opening can say what changed.

    Raises:
        MalformedError: a field that the header cannot hold.
    """

    tee: str
    measurement: str
    platform_id: str
    isvsvn: int
    cpu_svn: str

    def __post_init__(self) -> None:
        for name, text, form in (
            ("tee", self.tee, _TEE),
            ("measurement", self.measurement, _HEX),
            ("platform id", self.platform_id, _PLATFORM),
            ("isvsvn", f"{self.isvsvn}", _NUMBER),
            ("cpu svn", self.cpu_svn, _HEX),
        ):
            if form.fullmatch(text) is None:
                raise MalformedError(f"{_PLACE}.seal {name}", form.pattern, repr(text[:80]))
        for name, text, digits in (
            ("measurement", self.measurement, _MEASUREMENT_DIGITS),
            ("cpu svn", self.cpu_svn, 32),
        ):
            if len(text) != digits:
                raise MalformedError(
                    f"{_PLACE}.seal {name}", f"{digits} hex digits", f"{len(text)}"
                )

    @classmethod
    def of(
        cls, *, tee: str, mrenclave: bytes, platform_id: str, isvsvn: int, cpu_svn: bytes
    ) -> SealedUnder:
        """What a seal made now, by this program on this platform, depends on."""
        prefix = mrenclave.hex()[:_MEASUREMENT_DIGITS]
        return cls(tee, prefix, platform_id, isvsvn, cpu_svn.hex())

    def differences(self, now: SealedUnder) -> tuple[str, ...]:
        """What is another now than when the seal was made."""
        pairs = (
            ("another TEE kind", self.tee, now.tee),
            ("another machine", self.platform_id, now.platform_id),
            ("other software, measurement", self.measurement, now.measurement),
            ("another ISVSVN", f"{self.isvsvn}", f"{now.isvsvn}"),
            ("another CPU SVN (a microcode update changes it)", self.cpu_svn, now.cpu_svn),
        )
        return tuple(f"{what} {then}, here {here}" for what, then, here in pairs if then != here)


@dataclass(frozen=True, slots=True)
class Seal:
    """The file key under a sealing key of one program on one machine."""

    under: SealedUnder
    body: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """The file key for the X25519 key of a registered CAS (`label`: backup or upgrade).

    Anybody can encrypt to a public key. The voucher is evidence of the CAS that did, over
    this key and body (`report_data`): without it a genuine CAS would take up a state that
    an attacker made.
    """

    label: str
    public_key: bytes
    body: bytes
    voucher: bytes

    @property
    def report_data(self) -> bytes:
        """What the voucher must be evidence over."""
        return voucher_report_data(self.public_key, self.body)


Stanza = Seal | Registered


@dataclass(frozen=True, slots=True)
class KeyStoreFile:
    """A key store as read: well-formed, and nothing in it proven."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    payload: bytes


def seal_stanza(
    file_key: SecretBytes, key: SecretBytes, under: SealedUnder, random: Random
) -> Seal:
    """A stanza that the holder of the sealing key opens."""
    return Seal(under, sealing.seal(key, file_key.reveal(), _SEAL_DATA, random))


def registered_stanza(
    file_key: SecretBytes, public_key: bytes, label: str, vouch: Callable[[bytes], bytes]
) -> Registered:
    """A stanza that the holder of the private key opens; `vouch` gives evidence over report data.

    Raises:
        MalformedError: no X25519 public key, or a label that the header cannot hold.
    """
    if _LABEL.fullmatch(label) is None:
        raise MalformedError(f"{_PLACE}.registered label", _LABEL.pattern, repr(label[:80]))
    body = sealing.hpke_seal(public_key, _HPKE_INFO, label.encode(), file_key.reveal())
    voucher = vouch(voucher_report_data(public_key, body))
    if not 1 <= len(voucher) <= _MAX_VOUCHER:
        raise MalformedError(f"{_PLACE}.voucher", f"1 to {_MAX_VOUCHER} bytes", f"{len(voucher)}")
    return Registered(label, public_key, body, voucher)


def public_key_of(private_key: SecretBytes) -> bytes:
    """The public key by which a `registered` stanza names its CAS.

    Raises:
        MalformedError: not 32 bytes.
    """
    return sealing.x25519_public_key(private_key)


def unseal(stanza: Seal, key: SecretBytes) -> SecretBytes:
    """The file key of a `seal` stanza.

    Raises:
        IntegrityError: another sealing key made it, or it is damaged.
    """
    return SecretBytes(sealing.open_sealed(key, stanza.body, _SEAL_DATA, "seal stanza"))


def open_registered(stanza: Registered, private_key: SecretBytes) -> SecretBytes:
    """The file key of a `registered` stanza.

    Raises:
        IntegrityError: it is for another key, or damaged.
    """
    return sealing.hpke_open(
        private_key, _HPKE_INFO, stanza.label.encode(), stanza.body, "registered stanza"
    )


def assemble(
    file_key: SecretBytes, stanzas: tuple[Stanza, ...], payload: bytes, random: Random
) -> bytes:
    """A whole key store.

    Raises:
        MalformedError: no stanza, too many, or too large a payload.
    """
    if not 1 <= len(stanzas) <= MAX_STANZAS:
        raise MalformedError(f"{_PLACE}.header", f"1 to {MAX_STANZAS} stanzas", f"{len(stanzas)}")
    key = sealing.hmac_key(file_key, "scone-key-store-payload-key-v1")
    sealed = sealing.seal(key, payload, _PAYLOAD_DATA, random)
    return encode(KeyStoreFile(stanzas, _mac(file_key, stanzas), sealed))


def open_payload(file: KeyStoreFile, file_key: SecretBytes) -> bytes:
    """The payload, after the header was found to be the one that was written.

    Raises:
        IntegrityError: header or payload was altered.
    """
    if SecretBytes(_mac(file_key, file.stanzas)) != SecretBytes(file.mac):
        raise IntegrityError(
            f"{_PLACE}.header: it was altered after it was written",
            hint="put the key store and the database from one backup in place",
        )
    key = sealing.hmac_key(file_key, "scone-key-store-payload-key-v1")
    return sealing.open_sealed(key, file.payload, _PAYLOAD_DATA, f"{_PLACE}.payload")


def encode(file: KeyStoreFile) -> bytes:
    """The bytes of a key store file."""
    return _header(file.stanzas).encode() + f" {_base64(file.mac)}\n".encode() + file.payload


def parse(data: bytes) -> KeyStoreFile:
    """The key store in the bytes of a file.

    Raises:
        MalformedError: not the one encoding of a key store.
    """
    if len(data) > MAX_BYTES:
        raise MalformedError(_PLACE, f"at most {MAX_BYTES} bytes", f"{len(data)}")
    lines = _Lines(data)
    if lines.next("first line") != _MAGIC:
        raise MalformedError(f"{_PLACE}.first line", _MAGIC, hint="is this a key store of a CAS?")
    stanzas: list[Stanza] = []
    line = lines.next("stanza")
    while line.startswith("-> ") and len(stanzas) < MAX_STANZAS:
        stanzas.append(_stanza(line.split(" ")[1:], lines))
        line = lines.next("stanza")
    words = line.split(" ")
    if not stanzas or words[0] != "---" or len(words) != 2:
        raise MalformedError(
            f"{_PLACE}.header", f"1 to {MAX_STANZAS} stanzas, then --- and the MAC"
        )
    mac = _from_base64(words[1], "MAC")
    if len(mac) != 32:
        raise MalformedError(f"{_PLACE}.MAC", "32 bytes", f"{len(mac)}")
    payload = lines.rest()
    if not 28 <= len(payload) <= _MAX_PAYLOAD:
        raise MalformedError(f"{_PLACE}.payload", f"28 to {_MAX_PAYLOAD} bytes", f"{len(payload)}")
    file = KeyStoreFile(tuple(stanzas), mac, payload)
    if encode(file) != data:
        raise MalformedError(_PLACE, "its one encoding (canonical Base64, no other spaces)")
    return file


class _Lines:
    """Short ASCII lines at the start of the file."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def next(self, field: str) -> str:
        """The next line without its end."""
        end = self._data.find(b"\n", self._at, self._at + 256)
        if end < 0:
            raise MalformedError(f"{_PLACE}.{field}", "a line of at most 255 bytes", "none")
        line, self._at = self._data[self._at : end], end + 1
        try:
            return line.decode("ascii")
        except UnicodeDecodeError:
            raise MalformedError(f"{_PLACE}.{field}", "ASCII") from None

    def rest(self) -> bytes:
        """What follows the header."""
        return self._data[self._at :]


def _stanza(words: list[str], lines: _Lines) -> Stanza:
    match words:
        case ["seal", tee, measurement, platform_id, isvsvn, cpu_svn]:
            if _NUMBER.fullmatch(isvsvn) is None:
                raise MalformedError(f"{_PLACE}.seal isvsvn", "a decimal number", repr(isvsvn))
            under = SealedUnder(tee, measurement, platform_id, int(isvsvn), cpu_svn)
            return Seal(under, _body(lines, _SEAL_BODY))
        case ["registered", label, public_key]:
            if _LABEL.fullmatch(label) is None:
                raise MalformedError(f"{_PLACE}.registered label", _LABEL.pattern, repr(label))
            if _HEX.fullmatch(public_key) is None or len(public_key) != 64:
                raise MalformedError(f"{_PLACE}.registered key", "64 hex digits", repr(public_key))
            body = _body(lines, _REGISTERED_BODY)
            return Registered(label, bytes.fromhex(public_key), body, _block(lines, _MAX_VOUCHER))
        case _:
            raise MalformedError(
                f"{_PLACE}.stanza",
                "seal or registered with their arguments",
                repr(" ".join(words)[:80]),
                hint="a newer version of the CAS may have written it",
            )


def _body(lines: _Lines, size: int) -> bytes:
    body = _block(lines, size)
    if len(body) != size:
        raise MalformedError(f"{_PLACE}.stanza body", f"{size} bytes", f"{len(body)}")
    return body


def _block(lines: _Lines, limit: int) -> bytes:
    """Base64 in full lines and a shorter last one."""
    parts: list[str] = []
    length = 0
    while True:
        line = lines.next("stanza body")
        parts.append(line)
        length += len(line)
        if len(line) > _COLUMNS or length > 2 * limit:
            raise MalformedError(f"{_PLACE}.stanza body", f"lines of {_COLUMNS} characters")
        if len(line) < _COLUMNS:
            return _from_base64("".join(parts), "stanza body")


def _header(stanzas: tuple[Stanza, ...]) -> str:
    lines = [_MAGIC]
    for stanza in stanzas:
        match stanza:
            case Seal(under):
                words: tuple[str, ...] = (
                    "seal",
                    under.tee,
                    under.measurement,
                    under.platform_id,
                    f"{under.isvsvn}",
                    under.cpu_svn,
                )
            case Registered(label, public_key):
                words = ("registered", label, public_key.hex())
        lines.append(" ".join(("->", *words)))
        blocks = [stanza.body, stanza.voucher] if isinstance(stanza, Registered) else [stanza.body]
        for text in map(_base64, blocks):
            lines.extend(text[at : at + _COLUMNS] for at in range(0, len(text) + 1, _COLUMNS))
    return "\n".join((*lines, "---"))


def _mac(file_key: SecretBytes, stanzas: tuple[Stanza, ...]) -> bytes:
    key = sealing.hmac_key(file_key, "scone-key-store-header-v1", _header(stanzas).encode())
    return key.reveal()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise MalformedError(f"{_PLACE}.{field}", "Base64 without padding") from None
