"""Whoever owns the disk edits the database: every kind of edit is refused, and says what it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from store_case import (
    CODEC,
    IDENTITY,
    KEY,
    Spoil,
    content,
    put,
    reopened,
    row_id,
    rows,
    small_database,
    spoil,
)

from scone.cas.store.base import DatabaseIdentity
from scone.cas.store.records import Record
from scone.cas.store.sqlite import create_store, open_store
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, StateError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cas.db"
    small_database(path)
    return path


def older_copy(path: Path) -> Path:
    """The database as it was one commit ago."""
    older = path.with_name("older.db")
    shutil.copy(path, older)
    with reopened(path) as store:
        put(store, "b", b"newer b")
    return older


def replace_row_by_older(path: Path) -> None:
    with rows(older_copy(path)) as old:
        before = old.execute(
            "SELECT commit_number, tag, data FROM records WHERE id = ?", (row_id("b"),)
        ).fetchone()
    sql = "UPDATE records SET commit_number = ?, tag = ?, data = ? WHERE id = ?"
    assert spoil(path, sql, *before, row_id("b")) == 1


def copy_head_back(path: Path) -> None:
    with rows(older_copy(path)) as old:
        before = old.execute("SELECT commit_number, sealed FROM head").fetchone()
    assert spoil(path, "UPDATE head SET commit_number = ?, sealed = ?", *before) == 1


def copy_head_and_chain_back(path: Path) -> None:
    copy_head_back(path)
    assert spoil(path, "DELETE FROM chain WHERE commit_number = 7") == 1


def swap_ids(path: Path) -> None:
    first, second = row_id("a"), row_id("b")
    for old, new in ((first, b"x"), (second, first), (b"x", second)):
        assert spoil(path, "UPDATE records SET id = ? WHERE id = ?", new, old) == 1


def rebuild_records(path: Path, table: str) -> None:
    with rows(path) as connection:
        connection.execute("ALTER TABLE records RENAME TO before")
        connection.execute(f"CREATE TABLE records ({table})")
        connection.execute("INSERT INTO records SELECT * FROM before")
        connection.execute("DROP TABLE before")


def twice(path: Path) -> None:
    # the same text of the schema, but without the index that keeps ids unique
    with rows(path) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_master WHERE type = 'index'")
        table = "CREATE TABLE records (id BLOB PRIMARY KEY, commit_number INTEGER NOT NULL, tag BLOB NOT NULL, data BLOB NOT NULL)"
        other = table.replace(" PRIMARY KEY", "")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'records'", (other,))
        connection.execute("PRAGMA writable_schema=RESET")
    with rows(path) as connection:
        connection.execute("INSERT INTO records SELECT * FROM records LIMIT 1")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'records'", (table,))


def foreign_row(path: Path) -> None:
    row = CODEC.seal_record(Record("session", "foreign", b"made by us once"), 6, bytes)
    assert spoil(path, "INSERT INTO records VALUES (?, ?, ?, ?)", *row) == 1


def exchange_row(path: Path) -> None:
    row = CODEC.seal_record(Record("session", "b", b"made by us once"), 6, bytes)
    sql = "UPDATE records SET commit_number = ?, tag = ?, data = ? WHERE id = ?"
    assert spoil(path, sql, row.commit_number, row.tag, row.data, row.id) == 1


def fake_chain_row(path: Path) -> None:
    assert spoil(path, "DELETE FROM chain WHERE commit_number = 4") == 1
    sql = "INSERT INTO chain SELECT 4, sealed FROM chain WHERE commit_number = 3"
    assert spoil(path, sql) == 1


AT_OPENING: list[tuple[str, Spoil, str]] = [
    ("a row replaced by an older version", replace_row_by_older, "some are older"),
    ("a row exchanged", exchange_row, "some are older, exchanged or foreign"),
    ("a foreign row", foreign_row, "expected 5 records, found 6"),
    (
        "a deleted row",
        lambda path: spoil(path, "DELETE FROM records WHERE id = ?", row_id("a")),
        "expected 5 records, found 4",
    ),
    (
        "a deleted tombstone",
        lambda path: spoil(path, "DELETE FROM records WHERE id = ?", row_id("d")),
        "expected 5 records, found 4",
    ),
    ("all rows deleted", lambda path: spoil(path, "DELETE FROM records"), "found 0"),
    ("two ids swapped", swap_ids, "exchanged"),
    ("a row twice", twice, "twice"),
    (
        "a flipped tag",
        lambda path: spoil(path, "UPDATE records SET tag = zeroblob(16) WHERE id = ?", row_id("a")),
        "some are older",
    ),
    (
        "another commit number",
        lambda path: spoil(path, "UPDATE records SET commit_number = 1 WHERE id = ?", row_id("b")),
        "some are older",
    ),
    (
        "a commit number beyond the head",
        lambda path: spoil(path, "UPDATE records SET commit_number = 7 WHERE id = ?", row_id("b")),
        "the head of commit 6 is older than a record of commit 7",
    ),
    (
        "a negative commit number",
        lambda path: spoil(path, "UPDATE records SET commit_number = -1 WHERE id = ?", row_id("b")),
        "not in the form of a record",
    ),
    (
        "a tag that is a text",
        lambda path: spoil(path, "UPDATE records SET tag = 'text' WHERE id = ?", row_id("b")),
        "not in the form of a record",
    ),
    (
        "an id cut short",
        lambda path: spoil(path, "UPDATE records SET id = x'00' WHERE id = ?", row_id("b")),
        "not in the form of a record",
    ),
    ("the head copied back", copy_head_back, "the head of commit 6 is older than a record"),
    ("head and chain copied back", copy_head_and_chain_back, "is older than a record"),
    ("a flipped head", lambda path: spoil(path, "UPDATE head SET sealed = zeroblob(110)"), "head"),
    (
        "a head cut short",
        lambda path: spoil(path, "UPDATE head SET sealed = x'00'"),
        "does not open",
    ),
    ("no head", lambda path: spoil(path, "DELETE FROM head"), "exactly one head"),
    ("a head that is a text", lambda path: spoil(path, "UPDATE head SET sealed = 'x'"), "one head"),
    ("two heads", lambda path: spoil(path, "INSERT INTO head VALUES (2, 6, x'00')"), "one head"),
    (
        "a higher number of the head",
        lambda path: spoil(path, "UPDATE head SET commit_number = 7"),
        "head: does not open",
    ),
    (
        "a chain row removed in the middle",
        lambda path: spoil(path, "DELETE FROM chain WHERE commit_number = 3"),
        "expected commit 3",
    ),
    (
        "the first chain row removed",
        lambda path: spoil(path, "DELETE FROM chain WHERE commit_number = 0"),
        "expected commit 0",
    ),
    (
        "the last chain row removed",
        lambda path: spoil(path, "DELETE FROM chain WHERE commit_number = 6"),
        "expected it to end at the head, commit 6",
    ),
    ("no chain", lambda path: spoil(path, "DELETE FROM chain"), "to end at the head"),
    ("a chain row copied", fake_chain_row, "commit 4: does not open"),
    (
        "a chain row more",
        lambda path: spoil(path, "INSERT INTO chain SELECT 7, sealed FROM chain LIMIT 1"),
        "commit 7: does not open",
    ),
    (
        "a column more",
        lambda path: spoil(path, "ALTER TABLE records ADD COLUMN more"),
        "tables are not those",
    ),
    (
        "a trigger",
        lambda path: spoil(
            path, "CREATE TRIGGER t AFTER INSERT ON chain BEGIN DELETE FROM records; END"
        ),
        "tables are not those",
    ),
    (
        "a view",
        lambda path: spoil(path, "CREATE VIEW more AS SELECT * FROM records"),
        "tables are not those",
    ),
    (
        "another form of the table",
        lambda path: rebuild_records(path, "id, commit_number, tag, data"),
        "tables are not those",
    ),
    ("a table less", lambda path: spoil(path, "DROP TABLE chain"), "tables are not those"),
    ("no identity", lambda path: spoil(path, "DELETE FROM about"), "which database it is"),
    (
        "a database id cut short",
        lambda path: spoil(path, "UPDATE about SET database_id = x'00'"),
        "which database it is",
    ),
    (
        "another database id",
        lambda path: spoil(path, "UPDATE about SET database_id = zeroblob(16)"),
        f"expected database {IDENTITY.database_id.hex()}, found {bytes(16).hex()}",
    ),
    (
        "a lower epoch",
        lambda path: spoil(path, "UPDATE about SET epoch = 3"),
        "expected epoch 4, found 3: an older database",
    ),
    (
        "another key check",
        lambda path: spoil(path, "UPDATE about SET key_check = x'00'"),
        "encrypted under another key",
    ),
    ("an empty file", lambda path: path.write_bytes(b""), "tables are not those"),
    ("a text file", lambda path: path.write_bytes(b"text" * 4096), "no database"),
]


@pytest.mark.parametrize(
    ("spoiling", "reason"), [case[1:] for case in AT_OPENING], ids=[case[0] for case in AT_OPENING]
)
def test_an_edited_database_is_not_opened(path: Path, spoiling: Spoil, reason: str) -> None:
    reopened(path).close()
    spoiling(path)
    with pytest.raises(IntegrityError) as caught:
        reopened(path)
    assert reason in str(caught.value)
    assert caught.value.hint
    # nothing was repaired: a second try says the same
    with pytest.raises(IntegrityError) as again:
        reopened(path)
    assert str(again.value) == str(caught.value)


def test_a_database_of_a_newer_version_is_refused_by_name(path: Path) -> None:
    spoil(path, "UPDATE about SET schema_version = 2")
    with pytest.raises(StateError, match="expected schema version 1, found 2"):
        reopened(path)


@pytest.mark.parametrize(
    ("key", "identity", "reason"),
    [
        (SecretBytes(bytes(32)), IDENTITY, "encrypted under another key"),
        (KEY, DatabaseIdentity(bytes(16), 4), "found " + IDENTITY.database_id.hex()),
        (KEY, DatabaseIdentity(IDENTITY.database_id, 5), "found 4: an older database"),
        (KEY, DatabaseIdentity(IDENTITY.database_id, 3), "found 4: a newer database"),
    ],
    ids=["key", "database id", "epoch behind", "epoch ahead"],
)
def test_a_database_that_is_not_the_key_stores_is_refused(
    path: Path, key: SecretBytes, identity: DatabaseIdentity, reason: str
) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_store(path, key, identity)
    assert reason in str(caught.value)
    assert "backup" in caught.value.hint


def test_claiming_the_expected_identity_does_not_help_a_foreign_database(
    path: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.db"
    create_store(foreign, KEY, DatabaseIdentity(bytes(16), 4)).close()
    spoil(foreign, "UPDATE about SET database_id = ?", IDENTITY.database_id)
    with pytest.raises(IntegrityError, match="belongs to another database"):
        reopened(foreign)


# Where the ciphertext of one record is, nothing but its key can see the damage: it is
# refused when it is read. All other records stay readable.
WHEN_READ = [
    (
        "a flipped ciphertext",
        "UPDATE records SET data = CAST(substr(data, 1, 99) || x'00' || substr(data, 101) AS BLOB)",
    ),
    (
        "a nonce of zeros",
        "UPDATE records SET data = CAST(zeroblob(12) || substr(data, 13) AS BLOB)",
    ),
    ("a ciphertext cut short", "UPDATE records SET data = substr(data, 1, 20)"),
    ("no ciphertext", "UPDATE records SET data = x''"),
    ("a text that is no UTF-8", "UPDATE records SET data = CAST(data AS TEXT)"),
    ("a text", "UPDATE records SET data = 'text'"),
]


@pytest.mark.parametrize(
    "statement", [case[1] for case in WHEN_READ], ids=[case[0] for case in WHEN_READ]
)
def test_a_damaged_ciphertext_is_refused_when_it_is_read(path: Path, statement: str) -> None:
    assert spoil(path, f"{statement} WHERE id = ?", row_id("a")) == 1
    with reopened(path) as store:
        for _ in range(2):
            with pytest.raises(IntegrityError, match=row_id("a").hex()[:16]):
                store.get("session", "a")
        with pytest.raises(IntegrityError):
            store.transact(lambda records: records.get("session", "a")).result()
        with pytest.raises(IntegrityError):
            content(store)
        assert store.get("session", "b") == b"first " + b"b" * 300
        put(store, "a", b"written again")
        assert store.get("session", "a") == b"written again"


def test_two_swapped_ciphertexts_are_refused_when_they_are_read(path: Path) -> None:
    with rows(path) as connection:
        data = dict(connection.execute("SELECT id, data FROM records").fetchall())
        for key, other in (("a", "b"), ("b", "a")):
            connection.execute(
                "UPDATE records SET data = ? WHERE id = ?", (data[row_id(other)], row_id(key))
            )
    with reopened(path) as store:
        for key in "ab":
            with pytest.raises(IntegrityError, match="does not open"):
                store.get("session", key)


@pytest.mark.parametrize("keep", [0, 100, 4096, 8192, 12288])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    data = path.read_bytes()
    assert len(data) > 5 * 4096
    path.write_bytes(data[:keep])
    with pytest.raises(IntegrityError):
        reopened(path)


def test_a_cut_anywhere_changes_no_answer_unnoticed(path: Path) -> None:
    data = path.read_bytes()
    with reopened(path) as store:
        expected = content(store, "session", "cas")
    refused = 0
    sizes = range(len(data) - 1, 0, -509)
    for size in sizes:
        path.write_bytes(data[:size])
        try:
            with reopened(path) as store:
                assert content(store, "session", "cas") == expected
        except IntegrityError:
            refused += 1
    assert refused > len(sizes) // 2


def test_a_flipped_bit_anywhere_changes_no_answer_unnoticed(path: Path) -> None:
    data = path.read_bytes()
    with reopened(path) as store:
        expected = content(store, "session", "cas")
    refused = 0
    for at in range(0, len(data), 211):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        try:
            with reopened(path) as store:
                assert content(store, "session", "cas") == expected
        except (IntegrityError, StateError):
            refused += 1
    assert refused > 20  # the rest of the file is free space and padding of pages


def test_a_whole_consistent_older_copy_opens_and_shows_in_the_commit_number(path: Path) -> None:
    # The documented limit: without a witness nothing here can know of the newer state.
    older = older_copy(path)
    with reopened(path) as store:
        newest = store.commit_number
    older.replace(path)
    with reopened(path) as store:
        assert store.commit_number == newest - 1
