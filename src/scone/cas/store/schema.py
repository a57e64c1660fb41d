"""The SQLite form of the database: connection settings, tables, and the check at opening.

`load` rebuilds what the head must equal. The schema is compared as text, because a
trigger or a view in a foreign schema would run or answer in place of our statements.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from scone.cas.store.base import DatabaseIdentity
from scone.cas.store.lock import in_use
from scone.cas.store.records import (
    ID_BYTES,
    SCHEMA_VERSION,
    TAG_BYTES,
    Head,
    Link,
    RecordCodec,
    Row,
    add_modular,
    altered,
    head_hash,
    version,
)
from scone.errors import IntegrityError, MalformedError, SconeError, StateError

# A process that is further behind than this opens the database anew (and trusts it as at a
# start). 16,384 links are 1.7 MB and take some 0.1 s to check.
CHAIN_ROWS: Final = 16_384
_TABLES: Final = {
    "about": "CREATE TABLE about (only_row INTEGER PRIMARY KEY, schema_version INTEGER NOT NULL,"
    " database_id BLOB NOT NULL, epoch INTEGER NOT NULL, key_check BLOB NOT NULL)",
    "head": "CREATE TABLE head (only_row INTEGER PRIMARY KEY, commit_number INTEGER NOT NULL,"
    " sealed BLOB NOT NULL)",
    "chain": "CREATE TABLE chain (commit_number INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    # tag before data: the check at opening then never touches a row's overflow pages
    "records": "CREATE TABLE records (id BLOB PRIMARY KEY, commit_number INTEGER NOT NULL,"
    " tag BLOB NOT NULL, data BLOB NOT NULL)",
}
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_IN_USE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


@dataclass(slots=True)
class Loaded:
    """A database whose head holds: what a process keeps in memory of it."""

    head: Head
    head_hash: bytes
    versions: dict[bytes, bytes]


def side_files(path: Path) -> tuple[Path, ...]:
    """The files that SQLite keeps beside a database."""
    return tuple(path.with_name(path.name + suffix) for suffix in _SIDE_FILES)


def translated(path: Path, error: sqlite3.Error) -> SconeError:
    """An error of SQLite as one of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _IN_USE:
        return in_use(path)
    if code in _DAMAGED or (
        isinstance(error, sqlite3.OperationalError) and "no such" in str(error)
    ):
        return altered(str(path), f"the file is damaged or no database ({error})")
    return StateError(
        f"{path}: the database cannot be used: {error}", hint="look at the disk and its free space"
    )


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing database for this process alone: WAL, each commit on disk.

    Raises:
        StateError: absent, unreadable, or open in another process.
        IntegrityError: not a database.
    """
    if not path.is_file():
        raise StateError(f"{path}: there is no database file")
    try:
        connection = _open(path, "mode=rw")
    except sqlite3.Error as error:
        raise translated(path, error) from error
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        if mode != ("wal",):
            raise StateError(f"{path}: expected journal mode wal, found {mode}")
        # Takes the lock now: until the first write SQLite would only share it.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise translated(path, error) from error
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database that nobody uses, changing nothing on disk.

    Raises:
        StateError: absent or unreadable.
    """
    if not path.is_file():
        raise StateError(f"{path}: there is no database file")
    try:
        return _open(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise translated(path, error) from error


def create(path: Path) -> sqlite3.Connection:
    """A new file (0600) with the tables, in an open transaction of a rollback journal.

    Raises:
        StateError: it exists or cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = _open(path, "mode=rw")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.values():
            connection.execute(statement)
    except OSError as error:
        raise StateError(f"{path}: cannot create the database: {error.strerror}") from error
    except sqlite3.Error as error:
        raise translated(path, error) from error
    return connection


def insert_about(connection: sqlite3.Connection, codec: RecordCodec) -> None:
    """The row in clear that says which database this is."""
    identity = codec.identity
    connection.execute(
        "INSERT INTO about VALUES (1, ?, ?, ?, ?)",
        (SCHEMA_VERSION, identity.database_id, identity.epoch, codec.key_check),
    )


def write_commit(
    connection: sqlite3.Connection, rows: list[Row], head: Head, sealed_head: bytes, link: bytes
) -> None:
    """The rows, head and link of one commit, within the caller's transaction."""
    connection.executemany(
        "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " commit_number = excluded.commit_number, tag = excluded.tag, data = excluded.data",
        rows,
    )
    connection.execute(
        "INSERT INTO head VALUES (1, ?, ?) ON CONFLICT (only_row) DO UPDATE SET"
        " commit_number = excluded.commit_number, sealed = excluded.sealed",
        (head.commit_number, sealed_head),
    )
    connection.execute("INSERT INTO chain VALUES (?, ?)", (head.commit_number, link))
    connection.execute("DELETE FROM chain WHERE commit_number < ?", (head.chain_start,))


def read_identity(path: Path, connection: sqlite3.Connection) -> DatabaseIdentity:
    """Which database the file says to be; only the head proves it.

    Raises:
        IntegrityError: it does not say so in the one form.
        StateError: it was written by a newer version.
    """
    _check_schema(path, connection)
    rows = connection.execute(
        "SELECT only_row, schema_version, database_id, epoch FROM about"
    ).fetchall()
    match rows:
        case [(1, int(schema), bytes(database_id), int(epoch))]:
            pass
        case _:
            raise altered(str(path), "does not say which database it is")
    if schema != SCHEMA_VERSION:
        raise StateError(
            f"{path}: expected schema version {SCHEMA_VERSION}, found {schema}",
            hint="open the database with the version of the CAS that wrote it",
        )
    try:
        return DatabaseIdentity(database_id, epoch)
    except MalformedError as error:
        raise altered(str(path), f"does not say which database it is ({error})") from error


def read_head(path: Path, connection: sqlite3.Connection, codec: RecordCodec) -> tuple[Head, bytes]:
    """The head and its hash; key, database id and epoch are the expected ones.

    Raises:
        IntegrityError: another key's or another database's file, no head, or an altered one.
        StateError: it was written by a newer version.
    """
    found, expected = read_identity(path, connection), codec.identity
    if found.database_id != expected.database_id:
        raise IntegrityError(
            f"{path}: expected database {expected.database_id.hex()},"
            f" found {found.database_id.hex()}",
            hint="the key store belongs to another database: put both from one backup in place",
        )
    if found.epoch != expected.epoch:
        age = "an older" if found.epoch < expected.epoch else "a newer"
        raise IntegrityError(
            f"{path}: expected epoch {expected.epoch}, found {found.epoch}:"
            f" {age} database than the key store's",
            hint="put database and key store from one backup in place",
        )
    check = connection.execute("SELECT key_check FROM about").fetchone()
    if check != (codec.key_check,):
        raise IntegrityError(
            f"{path}: the database is encrypted under another key",
            hint="check the database key; put database and key store from one backup in place",
        )
    match connection.execute("SELECT only_row, commit_number, sealed FROM head").fetchall():
        case [(1, int(number), bytes(sealed))] if number >= 0:
            return codec.open_head(number, sealed), head_hash(sealed)
        case _:
            raise altered(str(path), "expected exactly one head, found none or another")


def load(path: Path, connection: sqlite3.Connection, codec: RecordCodec) -> Loaded:
    """Rebuild the map of ids and check it, and the chain, against the head.

    Raises:
        IntegrityError: records were removed, added, exchanged or replaced by older ones, or the
            head was.
        StateError: the disk cannot be read.
    """
    try:
        head, hashed = read_head(path, connection, codec)
        versions = _read_versions(path, connection, codec, head)
        _check_chain(path, connection, codec, head, hashed)
    except sqlite3.Error as error:
        raise translated(path, error) from error
    return Loaded(head, hashed, versions)


def read_row(path: Path, connection: sqlite3.Connection, row_id: bytes, row_version: bytes) -> Row:
    """The row of an id, which must be the one last written.

    Raises:
        IntegrityError: it is gone, older or altered.
        StateError: the disk cannot be read.
    """
    place = f"{path}: record {row_id.hex()[:16]}"
    try:
        found = connection.execute(
            "SELECT commit_number, tag, data FROM records WHERE id = ?", (row_id,)
        ).fetchall()
    except sqlite3.Error as error:
        raise translated(path, error) from error
    match found:
        case [(int(number), bytes(tag), bytes(data))] if 0 <= number < 2**63:
            pass
        case []:
            raise altered(place, "was removed from the database")
        case _:
            raise altered(place, "is not in the form of a record")
    if version(number, tag) != row_version:
        raise altered(place, "is not the one last written: older, or exchanged")
    return Row(row_id, number, tag, data)


def _open(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
    # A text where a blob belongs is refused by its type, whatever bytes it holds.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    if sorted(found) != sorted(_TABLES.items()):
        raise altered(str(path), "the tables are not those of a CAS database")


def _read_versions(
    path: Path, connection: sqlite3.Connection, codec: RecordCodec, head: Head
) -> dict[bytes, bytes]:
    versions: dict[bytes, bytes] = {}
    total, newest = 0, 0
    # NOT INDEXED: the index could list other rows than the table holds.
    for row_id, number, tag in connection.execute(
        "SELECT id, commit_number, tag FROM records NOT INDEXED"
    ):
        # Written for speed: this loop is what a start takes.
        if not (
            type(row_id) is bytes
            and type(number) is int
            and type(tag) is bytes
            and len(row_id) == ID_BYTES
            and len(tag) == TAG_BYTES
            and number >= 0
        ):
            raise altered(str(path), "holds a row that is not in the form of a record")
        if row_id in versions:
            raise altered(str(path), f"holds record {row_id.hex()[:16]} twice")
        versions[row_id] = row_version = version(number, tag)
        newest = max(newest, number)
        total += codec.share(row_id, row_version)
    if newest > head.commit_number:
        raise altered(
            str(path),
            f"the head of commit {head.commit_number} is older than a record of commit {newest}",
        )
    if len(versions) != head.rows:
        raise altered(str(path), f"expected {head.rows} records, found {len(versions)}")
    if add_modular(total) != head.sum:
        raise altered(
            str(path), "the records are not those of its head: some are older, exchanged or foreign"
        )
    return versions


def _check_chain(
    path: Path, connection: sqlite3.Connection, codec: RecordCodec, head: Head, hashed: bytes
) -> None:
    place = f"{path}: the chain of commits"
    expected = head.chain_start
    link: Link | None = None
    for row in connection.execute("SELECT commit_number, sealed FROM chain ORDER BY commit_number"):
        match row:
            case (int(number), bytes(sealed)) if number == expected:
                pass
            case _:
                raise altered(place, f"expected commit {expected}, found another")
        before, link = link, codec.open_link(number, sealed)
        if before is not None and link.previous != before.head:
            raise altered(place, f"commit {number} does not follow commit {number - 1}")
        expected += 1
    if link is None or expected != head.commit_number + 1 or link.head != hashed:
        raise altered(place, f"expected it to end at the head, commit {head.commit_number}")
