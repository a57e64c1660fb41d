"""Decrypted values that were used lately, bounded in bytes, for any thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Final

_ENTRY_BYTES: Final = 256  # keys and bookkeeping of one entry, roughly

Name = tuple[str, str]


class Miss(Enum):
    """Not cached, as opposed to cached as absent."""

    MISS = 0


class ValueCache:
    """Least recently used values leave first; None is a known absence."""

    __slots__ = ("_bytes", "_lock", "_max_bytes", "_values")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[Name, bytes | None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What the entries take, roughly."""
        return self._bytes

    def get(self, name: Name) -> bytes | Miss | None:
        """The value, None for a known absence, or MISS."""
        with self._lock:
            found = self._values.get(name, Miss.MISS)
            if found is not Miss.MISS:
                self._values.move_to_end(name)
            return found

    def put(self, entries: Iterable[tuple[Name, bytes | None]]) -> None:
        """Set several values at once; no reader sees some of them only."""
        with self._lock:
            for name, value in entries:
                if name in self._values:
                    self._bytes -= _size(self._values.pop(name))
                if _size(value) <= self._max_bytes // 4:  # one value must not empty the cache
                    self._values[name] = value
                    self._bytes += _size(value)
            while self._bytes > self._max_bytes:
                _, dropped = self._values.popitem(last=False)
                self._bytes -= _size(dropped)


def _size(value: bytes | None) -> int:
    return _ENTRY_BYTES + len(value or b"")
