"""A complete new database in place of the old one (or of none), safe at every crash point.

Steps: 1. `write` makes `<path>.new`, complete and synced. 2. The caller replaces the key
store, atomically: from here on only the new database counts. 3. `discard_old_log` removes
what SQLite keeps beside the old file. 4. `move_into_place` renames. `recover` finishes or
forgets, depending on whether step 2 had happened.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scone.cas.store.base import DatabaseKey
from scone.cas.store.lock import DatabaseLock
from scone.cas.store.records import (
    NO_HEAD,
    Head,
    Link,
    Record,
    RecordCodec,
    Row,
    add_modular,
    head_hash,
    version,
)
from scone.cas.store.schema import (
    connect,
    connect_read_only,
    create,
    insert_about,
    load,
    read_head,
    side_files,
    translated,
    write_commit,
)
from scone.crypto.keys import Random
from scone.errors import IntegrityError, StateError
from scone.files import sync

_RESTORE = "put database and key store from one backup in place; nothing was changed"


class Replacement:
    """The steps by which a database comes into place; the caller holds the lock of `path`."""

    __slots__ = ("new_path", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.new_path = path.with_name(path.name + ".new")

    def write(
        self,
        key: DatabaseKey,
        records: Iterable[Record],
        *,
        commit_number: int = 0,
        previous_head: bytes = NO_HEAD,
        random: Random = os.urandom,
    ) -> None:
        """Step 1: the new database beside the old one, every byte on disk.

        Raises:
            StateError: the disk does not take it; nothing is left behind.
        """
        self.abandon()
        try:
            connection = create(self.new_path)
            with contextlib.closing(connection):
                fill = _Fill(connection, RecordCodec(key.key, key.identity), random)
                fill(records, commit_number, previous_head)
            _sync(self.new_path)
            _sync(self.path.parent)
        except sqlite3.Error as error:
            self.abandon()
            raise translated(self.new_path, error) from error
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Instead of steps 2 to 4: remove the new database.

        Raises:
            StateError: it cannot be removed.
        """
        for path in (*side_files(self.new_path), self.new_path):
            _remove(path)

    def discard_old_log(self) -> None:
        """Step 3: the old database's log must not be taken for the new one's.

        Raises:
            StateError: it cannot be removed.
        """
        for path in side_files(self.path):
            _remove(path)
        _sync(self.path.parent)

    def move_into_place(self) -> None:
        """Step 4: the new database under the name of the old one.

        Raises:
            StateError: it cannot be renamed.
        """
        try:
            self.new_path.rename(self.path)
        except OSError as error:
            raise StateError(f"{self.new_path}: cannot rename: {error.strerror}") from error
        _sync(self.path.parent)


def finish_replace(path: Path) -> None:
    """Steps 3 and 4, after the key store names the new database.

    Raises:
        StateError: the disk refuses.
    """
    replacement = Replacement(path)
    replacement.discard_old_log()
    replacement.move_into_place()


def recover(
    path: Path,
    open_key_store: Callable[[], DatabaseKey | None],
    *,
    lock: DatabaseLock | None = None,
) -> bool:
    """Finish or forget an interrupted replacement; whether there is a database to open.

    `open_key_store` is called under the lock and gives None where no key store exists. False
    means an unprovisioned CAS. An existing database or key store is never removed.

    Raises:
        StateError: another CAS uses the database; a database without key store, a key store
            without database.
        IntegrityError: the key store opens neither database.
    """
    if lock is None:
        with DatabaseLock.acquire(path) as taken:
            return recover(path, open_key_store, lock=taken)
    replacement = Replacement(path)
    key = open_key_store()
    present, waiting = path.exists(), replacement.new_path.exists()
    if key is None:
        if present:
            raise StateError(f"{path}: there is a database but no key store for it", hint=_RESTORE)
        replacement.abandon()  # of a provisioning that never came to its key store
        return False
    if present:
        try:
            _check_head(path, key)
        except IntegrityError:
            if not waiting or not _opens(replacement.new_path, key):
                raise
        else:
            replacement.abandon()  # of a roll-over that never came to its key store
            return True
    elif not waiting:
        raise StateError(f"{path}: there is a key store but no database for it", hint=_RESTORE)
    _check_whole(replacement.new_path, key)
    finish_replace(path)
    return True


def _check_head(path: Path, key: DatabaseKey) -> None:
    with contextlib.closing(connect(path)) as connection:
        try:
            read_head(path, connection, RecordCodec(key.key, key.identity))
        except sqlite3.Error as error:
            raise translated(path, error) from error


def _check_whole(path: Path, key: DatabaseKey) -> None:
    # A finished `.new` has no log, so reading it without a lock and a log is exact.
    with contextlib.closing(connect_read_only(path)) as connection:
        load(path, connection, RecordCodec(key.key, key.identity))


def _opens(path: Path, key: DatabaseKey) -> bool:
    try:
        _check_whole(path, key)
    except IntegrityError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Fill:
    """Writes the only commit of a new database."""

    connection: sqlite3.Connection
    codec: RecordCodec
    random: Random

    def __call__(self, records: Iterable[Record], number: int, previous_head: bytes) -> None:
        total, count = 0, 0

        def rows() -> Iterator[Row]:
            nonlocal total, count
            for record in records:
                row = self.codec.seal_record(record, number, self.random)
                share = self.codec.share(row.id, version(number, row.tag))
                total, count = add_modular(total, added=share), count + 1
                yield row

        insert_about(self.connection, self.codec)
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows())
        head = Head(self.codec.identity, number, number, count, total)
        sealed = self.codec.seal_head(head, self.random)
        link = Link(previous_head, head_hash(sealed))
        sealed_link = self.codec.seal_link(number, link, self.random)
        write_commit(self.connection, [], head, sealed, sealed_link)
        self.connection.execute("COMMIT")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{path}: cannot remove: {error.strerror}") from error


def _sync(path: Path) -> None:
    try:
        sync(path)
    except OSError as error:
        raise StateError(f"{path}: cannot write to disk: {error.strerror}") from error
