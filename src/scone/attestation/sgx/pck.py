"""The SGX extension of a PCK certificate (Intel SGX PCK Certificate, chapter 3.5).

It says which platform the key belongs to and at which TCB it was certified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scone.attestation.sgx.der import (
    BOOLEAN,
    ENUMERATED,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    element,
    small_integer,
    write,
)
from scone.errors import MalformedError
from scone.wire import Reader

OID: Final = "1.2.840.113741.1.13.1"
_PREFIX: Final = bytes.fromhex("2a864886f84d010d01")
_COMPONENTS: Final = 16
_TYPES: Final = 2  # standard, scalable, scalable with integrity


@dataclass(frozen=True, slots=True)
class SgxExtension:
    """What a PCK certificate says of its platform; `smt` is None where it says nothing."""

    ppid: bytes
    components: tuple[int, ...]
    pcesvn: int
    cpu_svn: bytes
    pceid: bytes
    fmspc: bytes
    sgx_type: int
    platform_instance_id: bytes | None = None
    dynamic: bool | None = None
    cached_keys: bool | None = None
    smt: bool | None = None

    @classmethod
    def parse(cls, raw: bytes, place: str = "pck certificate.sgx extension") -> SgxExtension:
        """The extension's value.

        Raises:
            MalformedError: another structure, an item twice or missing.
        """
        items = _items(raw, place)
        tcb = _items_of(items, b"\x02", place)
        if set(tcb) != {bytes([number]) for number in range(1, 19)}:
            raise MalformedError(f"{place}.tcb", "items 1 to 18", f"{len(tcb)} items")
        components = tuple(
            small_integer(_plain(tcb, bytes([number]), INTEGER, f"{place}.tcb"), place, 255)
            for number in range(1, _COMPONENTS + 1)
        )
        configuration: dict[bytes, Reader] = {}
        if b"\x07" in items:
            configuration = _items_of(items, b"\x07", place)
        extension = cls(
            ppid=_octets(items, 1, 16, place),
            components=components,
            pcesvn=small_integer(_plain(tcb, b"\x11", INTEGER, f"{place}.tcb"), place, 0xFFFF),
            cpu_svn=_octets(tcb, 18, 16, f"{place}.tcb"),
            pceid=_octets(items, 3, 2, place),
            fmspc=_octets(items, 4, 6, place),
            sgx_type=small_integer(_plain(items, b"\x05", ENUMERATED, place), place, _TYPES),
            platform_instance_id=_octets(items, 6, 16, place) if b"\x06" in items else None,
            dynamic=_flag(configuration, 1, place),
            cached_keys=_flag(configuration, 2, place),
            smt=_flag(configuration, 3, place),
        )
        if items or configuration:  # what was read has been taken out
            raise MalformedError(place, "documented items", f"{len(items)} others")
        return extension

    def to_der(self) -> bytes:
        """The extension's value; `parse` of it is this."""
        tcb = [
            _item(b"\x02" + bytes([number]), write(INTEGER, _integer(svn)))
            for number, svn in enumerate(self.components, start=1)
        ]
        tcb.append(_item(b"\x02\x11", write(INTEGER, _integer(self.pcesvn))))
        tcb.append(_item(b"\x02\x12", write(OCTET_STRING, self.cpu_svn)))
        parts = [
            _item(b"\x01", write(OCTET_STRING, self.ppid)),
            _item(b"\x02", write(SEQUENCE, b"".join(tcb))),
            _item(b"\x03", write(OCTET_STRING, self.pceid)),
            _item(b"\x04", write(OCTET_STRING, self.fmspc)),
            _item(b"\x05", write(ENUMERATED, _integer(self.sgx_type))),
        ]
        if self.platform_instance_id is not None:
            parts.append(_item(b"\x06", write(OCTET_STRING, self.platform_instance_id)))
        flags = [
            _item(b"\x07" + bytes([number]), write(BOOLEAN, b"\xff" if flag else b"\x00"))
            for number, flag in enumerate((self.dynamic, self.cached_keys, self.smt), start=1)
            if flag is not None
        ]
        if flags:
            parts.append(_item(b"\x07", write(SEQUENCE, b"".join(flags))))
        return write(SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _item(suffix: bytes, value: bytes) -> bytes:
    return write(SEQUENCE, write(OBJECT_IDENTIFIER, _PREFIX + suffix) + value)


def _items(raw: bytes, place: str, prefix: bytes = _PREFIX) -> dict[bytes, Reader]:
    """A SEQUENCE of (identifier, value) pairs by the identifier's last arc."""
    outer = Reader(place, raw)
    read = Reader(place, element(outer, "sequence", SEQUENCE))
    outer.end()
    items: dict[bytes, Reader] = {}
    while read.remaining:
        pair = Reader(place, element(read, "item", SEQUENCE))
        identifier = element(pair, "identifier", OBJECT_IDENTIFIER)
        suffix = identifier.removeprefix(prefix)
        if len(suffix) != 1 or suffix == identifier or suffix in items:
            raise MalformedError(place, "each SGX item once", identifier.hex())
        items[suffix] = Reader(f"{place}.{suffix[0]}", pair.bytes("value", pair.remaining))
    return items


def _items_of(items: dict[bytes, Reader], number: bytes, place: str) -> dict[bytes, Reader]:
    value = _take(items, number, place)
    raw = value.bytes("value", value.remaining)
    return _items(raw, value.what, _PREFIX + number)


def _take(items: dict[bytes, Reader], number: bytes, place: str) -> Reader:
    value = items.pop(number, None)
    if value is None:
        raise MalformedError(place, f"item {number[0]}", "none")
    return value


def _plain(items: dict[bytes, Reader], number: bytes, tag: int, place: str) -> bytes:
    value = _take(items, number, place)
    contents = element(value, "value", tag)
    value.end()
    return contents


def _octets(items: dict[bytes, Reader], number: int, length: int, place: str) -> bytes:
    contents = _plain(items, bytes([number]), OCTET_STRING, place)
    if len(contents) != length:
        raise MalformedError(f"{place}.{number}", f"{length} bytes", f"{len(contents)}")
    return contents


def _flag(items: dict[bytes, Reader], number: int, place: str) -> bool | None:
    if bytes([number]) not in items:
        return None
    contents = _plain(items, bytes([number]), BOOLEAN, place)
    if contents not in (b"\x00", b"\xff"):
        raise MalformedError(f"{place}.{number}", "a DER boolean", contents.hex())
    return contents == b"\xff"
