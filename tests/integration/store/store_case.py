"""One small database on disk and ways to spoil it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scone.cas.store.base import DatabaseIdentity, DatabaseKey, Transaction
from scone.cas.store.records import RecordCodec
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.crypto.secret import SecretBytes

KEY = SecretBytes(bytes(range(32)))
NEW_KEY = SecretBytes(bytes(range(1, 33)))
IDENTITY = DatabaseIdentity(b"database-id-0016", 4)
NEW_IDENTITY = DatabaseIdentity(IDENTITY.database_id, 5)
OLD, NEW = DatabaseKey(KEY, IDENTITY), DatabaseKey(NEW_KEY, NEW_IDENTITY)
CODEC = RecordCodec(KEY, IDENTITY)


def put(store: SqliteStore, key: str, value: bytes, collection: str = "session") -> None:
    store.transact(lambda records: records.put(collection, key, value)).result()


def delete(store: SqliteStore, key: str, collection: str = "session") -> None:
    store.transact(lambda records: records.delete(collection, key)).result()


def content(store: SqliteStore, *collections: str) -> dict[tuple[str, str], bytes]:
    def read(records: Transaction) -> dict[tuple[str, str], bytes]:
        return {
            (collection, key): value
            for collection in collections or ("session",)
            for key, value in records.scan(collection)
        }

    return store.transact(read).result()


def small_database(path: Path) -> dict[tuple[str, str], bytes]:
    """Four sessions over several commits, one of them deleted; closed."""
    with create_store(
        path, KEY, IDENTITY, fill=lambda records: records.put("cas", "key", b"k")
    ) as store:
        for key in "abcd":
            put(store, key, b"first " + key.encode() * 300)
        put(store, "a", b"second a" * 40)
        delete(store, "d")
        return content(store, "session", "cas")


def reopened(path: Path) -> SqliteStore:
    return open_store(path, KEY, IDENTITY)


@contextmanager
def rows(path: Path) -> Iterator[sqlite3.Connection]:
    """The database as whoever owns the disk sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def spoil(path: Path, statement: str, *values: object) -> int:
    with rows(path) as connection:
        return connection.execute(statement, values).rowcount


def row_id(key: str, collection: str = "session") -> bytes:
    return CODEC.blinded(collection, key)


Spoil = Callable[[Path], None]


def limit_pages(store: SqliteStore) -> None:
    """From now on the disk is full, as far as SQLite is concerned."""

    def limit(_: Transaction) -> None:
        connection = store._database.connection
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")

    store.transact(limit).result()
