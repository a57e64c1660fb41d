"""What operations see of the store: a reader, transactions, and which database it is.

Collections and keys are texts, values are bytes. A transaction function runs alone
and leaves all of its changes or none; nothing that it read can have changed before
its changes are on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError

T = TypeVar("T")
DATABASE_ID_BYTES: Final = 16
DATABASE_KEY_BYTES: Final = 32
MAX_EPOCH: Final = 2**63 - 1  # SQLite's integers are signed


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which database: a random id, and the epoch that rises with each new key.

    Raises:
        MalformedError: an id that is not 16 bytes, an epoch out of range.
    """

    database_id: bytes
    epoch: int

    def __post_init__(self) -> None:
        if len(self.database_id) != DATABASE_ID_BYTES:
            raise MalformedError(
                "database id", f"{DATABASE_ID_BYTES} bytes", f"{len(self.database_id)}"
            )
        if not 0 <= self.epoch <= MAX_EPOCH:
            raise MalformedError("database epoch", f"0 to {MAX_EPOCH}", f"{self.epoch}")

    @classmethod
    def new(cls, random: Random, epoch: int) -> DatabaseIdentity:
        """A database that did not exist before."""
        return cls(random(DATABASE_ID_BYTES), epoch)


@dataclass(frozen=True, slots=True)
class DatabaseKey:
    """What a key store holds for the database: its key and which database it opens."""

    key: SecretBytes
    identity: DatabaseIdentity


class Records(Protocol):
    """What reading needs of the store or of a transaction."""

    def get(self, collection: str, key: str) -> bytes | None:
        """The value, or None where there is none (an authenticated absence)."""
        ...


class Transaction(Protocol):
    """The records as one transaction function sees and changes them."""

    def get(self, collection: str, key: str) -> bytes | None:
        """The value with this transaction's own changes, None where there is none.

        Raises:
            IntegrityError: the record on disk is not the one last written.
        """
        ...

    def put(self, collection: str, key: str, value: bytes) -> None:
        """Set a value.

        Raises:
            MalformedError: a name that cannot be stored.
            LimitError: a value that is too large.
        """
        ...

    def delete(self, collection: str, key: str) -> None:
        """Remove a value; absent already is fine."""
        ...

    def scan(self, collection: str) -> Iterator[tuple[str, bytes]]:
        """All keys and values of a collection in the order of keys; reads each record.

        Raises:
            IntegrityError: a record on disk is not the one last written.
        """
        ...


class Store(Protocol):
    """Durable records that survive a crash and show when they were altered.

    Raises (every method):
        StateError: the store was closed, or ended because a write failed.
    """

    @property
    def commit_number(self) -> int:
        """Number of the last commit; only ever rises."""
        ...

    @property
    def identity(self) -> DatabaseIdentity:
        """Which database this is."""
        ...

    def get(self, collection: str, key: str) -> bytes | None:
        """The last committed value, from any thread.

        Raises:
            IntegrityError: the record on disk is not the one last written.
        """
        ...

    def transact(self, function: Callable[[Transaction], T]) -> Future[T]:
        """Run a function as one transaction; the future resolves when it is on disk.

        What the function raises, the future raises, and nothing of it is kept. The function
        must not wait for another transaction: all run in one thread.
        """
        ...

    def rekey(
        self,
        key: SecretBytes,
        identity: DatabaseIdentity,
        *,
        write_key_store: Callable[[], None],
        change: Callable[[Transaction], object] | None = None,
    ) -> None:
        """Write all records under a new key into a new file and go on there.

        Raises:
            IntegrityError: a record is not the one last written; nothing is replaced.
        """
        ...

    def close(self) -> None:
        """Finish what was submitted and release the database."""
        ...
