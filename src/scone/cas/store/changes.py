"""Changes of a transaction in memory, over what lies below: a savepoint that costs a dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from scone.cas.store.cache import Name
from scone.cas.store.records import check_name, check_value
from scone.errors import StateError


class Below(Protocol):
    """What changes are laid over: committed records, or other changes."""

    def get(self, collection: str, key: str) -> bytes | None:
        """The value, None where there is none."""
        ...

    def scan(self, collection: str) -> Iterator[tuple[str, bytes]]:
        """All keys and values of a collection."""
        ...


class Nothing:
    """An empty database."""

    def get(self, collection: str, key: str) -> bytes | None:  # noqa: ARG002 - the port's signature
        """None: there is no record."""
        return None

    def scan(self, collection: str) -> Iterator[tuple[str, bytes]]:  # noqa: ARG002 - see above
        """No records."""
        return iter(())


class Changes:
    """A transaction over `below`; its changes reach it by `merge` or are forgotten."""

    __slots__ = ("_below", "_changes", "_ended")

    def __init__(self, below: Below) -> None:
        self._below = below
        self._changes: dict[Name, bytes | None] = {}
        self._ended = False

    @property
    def changes(self) -> Mapping[Name, bytes | None]:
        """New values by name; None is a deletion."""
        return self._changes

    def get(self, collection: str, key: str) -> bytes | None:
        """The value with these changes."""
        self._check()
        name = (collection, key)
        if name in self._changes:
            return self._changes[name]
        return self._below.get(collection, key)

    def put(self, collection: str, key: str, value: bytes) -> None:
        """Set a value.

        Raises:
            MalformedError: a name that cannot be stored.
            LimitError: a value that is too large.
        """
        self._check()
        check_name(collection, key)
        check_value(value)
        self._changes[collection, key] = bytes(value)

    def delete(self, collection: str, key: str) -> None:
        """Remove a value.

        Raises:
            MalformedError: a name that cannot be stored.
        """
        self._check()
        check_name(collection, key)
        self._changes[collection, key] = None

    def scan(self, collection: str) -> Iterator[tuple[str, bytes]]:
        """All keys and values of a collection in the order of keys."""
        self._check()
        found: dict[str, bytes | None] = dict(self._below.scan(collection))
        found.update(
            {key: value for (kind, key), value in self._changes.items() if kind == collection}
        )
        for key in sorted(found):
            value = found[key]
            if value is not None:
                yield key, value

    def merge(self, above: Changes) -> None:
        """Take over the changes of a transaction that ended well."""
        self._changes.update(above.changes)

    def end(self) -> None:
        """Refuse further use: a function kept its transaction."""
        self._ended = True

    def _check(self) -> None:
        if self._ended:
            raise StateError("a transaction was used after its end")
