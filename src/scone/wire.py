"""A cursor over untrusted bytes: every read is bounds-checked and named.

Nothing here knows a format. A parser that ends with `end()` accepts one encoding
of each value and nothing behind it.
"""

from __future__ import annotations

from scone.errors import MalformedError


class Reader:
    """Reads fixed-width fields; errors name `<what>.<field>`.

    Raises:
        MalformedError: when fewer bytes are left than a field needs.
    """

    __slots__ = ("_at", "_data", "what")

    def __init__(self, what: str, data: bytes) -> None:
        self.what = what
        self._data = data
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def bytes(self, field: str, length: int) -> bytes:
        """The next `length` bytes."""
        if length < 0 or length > self.remaining:
            raise MalformedError(f"{self.what}.{field}", f"{length} bytes", f"{self.remaining}")
        start = self._at
        self._at = start + length
        return self._data[start : self._at]

    def uint(self, field: str, length: int) -> int:
        """The next `length` bytes as a little-endian unsigned integer."""
        return int.from_bytes(self.bytes(field, length), "little")

    def sub(self, field: str, length: int) -> Reader:
        """A reader over the next `length` bytes, named after the field."""
        return Reader(f"{self.what}.{field}", self.bytes(field, length))

    def end(self) -> None:
        """Refuse what is left over.

        Raises:
            MalformedError: when bytes are left.
        """
        if self.remaining:
            raise MalformedError(self.what, "no further bytes", f"{self.remaining}")
