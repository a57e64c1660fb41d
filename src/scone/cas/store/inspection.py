"""Reading a database offline with its key, changing nothing: `cas database show`.

For the owner who injected the database key, and for tests that look for what must
not be there. The CAS must be stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scone.cas.store.lock import in_use
from scone.cas.store.records import RecordCodec
from scone.cas.store.schema import (
    Loaded,
    connect,
    connect_read_only,
    load,
    read_identity,
    read_row,
    side_files,
    translated,
)
from scone.crypto.secret import SecretBytes
from scone.errors import StateError

_LOG_HEADER_BYTES: Final = 32  # a log of this size or less holds no commit


def inspect_database(path: Path, key: SecretBytes) -> Iterator[tuple[str, str, bytes]]:
    """All records as (collection, key, value), after head, rows and chain were checked.

    Raises:
        StateError: absent, unreadable, or in use by a CAS.
        IntegrityError: another key's database, or an altered one.
        MalformedError: a key that is not 32 bytes.
    """
    with _unused(path), _readable(path) as (place, connection):
        codec, loaded = _load(place, connection, key)
        for row_id, row_version in loaded.versions.items():
            record = codec.open_record(read_row(place, connection, row_id, row_version))
            if record.value is not None:
                yield record.collection, record.key, record.value


def _load(
    path: Path, connection: sqlite3.Connection, key: SecretBytes
) -> tuple[RecordCodec, Loaded]:
    try:
        codec = RecordCodec(key, read_identity(path, connection))
    except sqlite3.Error as error:
        raise translated(path, error) from error
    return codec, load(path, connection, codec)


@contextlib.contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Hold the lock file of a CAS if there is one; a copy elsewhere has none."""
    try:
        file = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise StateError(f"{path}: cannot open the lock file: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use(path) from None
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """The database as its last commit left it, which may still be in the log of a crashed CAS."""
    log = side_files(path)[0]
    if not log.exists() or log.stat().st_size <= _LOG_HEADER_BYTES:
        with contextlib.closing(connect_read_only(path)) as connection:
            yield path, connection
        return
    with tempfile.TemporaryDirectory(prefix="cas-database-") as folder:  # ciphertext only
        copy = Path(folder) / path.name
        try:
            shutil.copyfile(path, copy)
            shutil.copyfile(log, side_files(copy)[0])
        except OSError as error:
            raise StateError(f"{path}: cannot read the database: {error.strerror}") from error
        with contextlib.closing(connect(copy)) as connection:
            yield path, connection
