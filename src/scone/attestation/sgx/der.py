"""Distinguished encoding rules (X.690), as much as the SGX extension needs."""

from __future__ import annotations

from typing import Final

from scone.errors import MalformedError
from scone.wire import Reader

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30


def element(read: Reader, field: str, tag: int) -> bytes:
    """Contents of the next element, which must have this tag.

    Raises:
        MalformedError: another tag, or a length that is not in its shortest form.
    """
    found = read.uint(field, 1)
    if found != tag:
        raise MalformedError(f"{read.what}.{field}", f"tag {tag:#04x}", f"{found:#04x}")
    length = read.uint(field, 1)
    if length >= 0x80:
        size = length & 0x7F
        if size not in (1, 2):
            raise MalformedError(f"{read.what}.{field}", "a length below 65536", "another")
        length = int.from_bytes(read.bytes(field, size), "big")
        if length < (0x80 if size == 1 else 0x100):
            raise MalformedError(f"{read.what}.{field}", "the shortest length", "a longer form")
    return read.bytes(field, length)


def small_integer(raw: bytes, place: str, limit: int) -> int:
    """A non-negative integer of at most three bytes, in its one form.

    Raises:
        MalformedError: negative, longer than needed, or above `limit`.
    """
    if not 1 <= len(raw) <= 3 or raw[0] >= 0x80 or (len(raw) > 1 and raw[0] == 0 and raw[1] < 0x80):
        raise MalformedError(place, f"an integer from 0 to {limit}", raw[:8].hex())
    value = int.from_bytes(raw, "big")
    if value > limit:
        raise MalformedError(place, f"an integer from 0 to {limit}", f"{value}")
    return value


def write(tag: int, contents: bytes) -> bytes:
    """One element."""
    length = len(contents)
    if length < 0x80:
        head = bytes([length])
    elif length < 0x100:
        head = bytes([0x81, length])
    else:
        head = b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + contents
