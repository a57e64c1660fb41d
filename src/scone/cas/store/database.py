"""One open SQLite file of records: reads checked against memory, commits with head and chain.

Belongs to one thread, the one that made it; which thread, and when it commits, is
the store's business.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from scone.cas.store.base import DatabaseKey
from scone.cas.store.cache import Miss, Name, ValueCache
from scone.cas.store.records import (
    Head,
    Link,
    Record,
    RecordCodec,
    add_modular,
    head_hash,
    version,
)
from scone.cas.store.schema import CHAIN_ROWS, connect, load, read_row, translated, write_commit
from scone.crypto.keys import Random


class OpenDatabase:
    """One open database: the connection and what is known of its rows."""

    __slots__ = ("_random", "cache", "codec", "connection", "head", "head_hash", "path", "versions")

    def __init__(self, path: Path, key: DatabaseKey, cache: ValueCache, random: Random) -> None:
        self.path = path
        self.codec = RecordCodec(key.key, key.identity)
        self.cache = cache
        self.connection = connect(path)
        try:
            loaded = load(path, self.connection, self.codec)
        except BaseException:
            self.connection.close()
            raise
        self.head, self.head_hash, self.versions = loaded.head, loaded.head_hash, loaded.versions
        self._random = random

    def get(self, collection: str, key: str) -> bytes | None:
        """The committed value; the owning thread only."""
        cached = self.cache.get((collection, key))
        if cached is not Miss.MISS:
            return cached
        row_id = self.codec.blinded(collection, key)
        if row_id not in self.versions:
            return None
        record = self._open(row_id)
        self.cache.put([((collection, key), record.value)])
        return record.value

    def scan(self, collection: str) -> Iterator[tuple[str, bytes]]:
        """The committed records of a collection; the owning thread only."""
        prefix = self.codec.collection_prefix(collection)
        for row_id in [row_id for row_id in self.versions if row_id.startswith(prefix)]:
            record = self._open(row_id)
            if record.collection == collection and record.value is not None:
                yield record.key, record.value

    def records(self) -> Iterator[Record]:
        """All committed records that are not deleted."""
        for row_id in self.versions:
            record = self._open(row_id)
            if record.value is not None:
                yield record

    def commit(self, changes: Mapping[Name, bytes | None]) -> None:
        """Write changes, head and link in one SQLite transaction, then know them.

        Raises:
            StateError: the disk does not take them.
            IntegrityError: the file was changed under us.
        """
        number = self.head.commit_number + 1
        rows, total, count = [], self.head.sum, self.head.rows
        for (collection, key), value in changes.items():
            row = self.codec.seal_record(Record(collection, key, value), number, self._random)
            before = self.versions.get(row.id)
            if before is None and value is None:
                continue  # deleted and never was
            if before is None:
                count += 1
            else:
                total = add_modular(total, removed=self.codec.share(row.id, before))
            share = self.codec.share(row.id, version(number, row.tag))
            total = add_modular(total, added=share)
            rows.append(row)
        if not rows:
            return
        start = max(self.head.chain_start, number - CHAIN_ROWS + 1)
        head = Head(self.codec.identity, number, start, count, total)
        sealed = self.codec.seal_head(head, self._random)
        hashed = head_hash(sealed)
        link = self.codec.seal_link(number, Link(self.head_hash, hashed), self._random)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            write_commit(self.connection, rows, head, sealed, link)
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(self.path, error) from error
        self.head, self.head_hash = head, hashed
        self.versions.update((row.id, version(number, row.tag)) for row in rows)
        self.cache.put(changes.items())

    def close(self) -> None:
        """Write the log back and close; what cannot be written back stays in the log."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def _open(self, row_id: bytes) -> Record:
        row = read_row(self.path, self.connection, row_id, self.versions[row_id])
        return self.codec.open_record(row)
