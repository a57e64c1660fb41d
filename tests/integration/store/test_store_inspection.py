"""Looking into a database offline: all of it, verified, without changing a byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from store_case import (
    KEY,
    NEW_KEY,
    content,
    put,
    reopened,
    row_id,
    small_database,
    spoil,
)

from scone.cas.store.inspection import inspect_database
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError, StateError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cas.db"
    small_database(path)
    return path


def shown(path: Path, key: SecretBytes = KEY) -> dict[tuple[str, str], bytes]:
    return {(collection, name): value for collection, name, value in inspect_database(path, key)}


def test_every_record_is_shown_and_the_file_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    names = sorted(file.name for file in path.parent.iterdir())
    records = shown(path)
    assert set(records) == {("cas", "key"), ("session", "a"), ("session", "b"), ("session", "c")}
    assert records["session", "a"] == b"second a" * 40
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == names


def test_a_copy_of_a_killed_cas_with_its_log_is_shown_up_to_the_last_commit(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / "cas.db"
    copy.parent.mkdir()
    with reopened(path) as store:
        put(store, "in-log", b"1")
        expected = content(store, "session", "cas")
        for name in ("cas.db", "cas.db-wal"):
            shutil.copy(path.with_name(name), copy.with_name(name))
    log = copy.with_name("cas.db-wal").read_bytes()
    assert shown(copy) == expected
    assert ("session", "in-log") in expected
    assert copy.with_name("cas.db-wal").read_bytes() == log


def test_a_database_in_use_is_not_inspected(path: Path) -> None:
    with reopened(path), pytest.raises(StateError, match="another CAS uses the database"):
        shown(path)
    assert len(shown(path)) == 4


def test_a_read_only_copy_can_be_inspected(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "read-only" / "copy.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    copy.chmod(0o400)
    copy.parent.chmod(0o500)
    try:
        assert len(shown(copy)) == 4
    finally:
        copy.parent.chmod(0o700)


def test_another_key_is_refused(path: Path) -> None:
    with pytest.raises(IntegrityError, match="encrypted under another key"):
        shown(path, NEW_KEY)
    with pytest.raises(MalformedError, match="32 bytes"):
        shown(path, SecretBytes(b"short"))


def test_an_edited_database_shows_nothing(path: Path) -> None:
    spoil(path, "DELETE FROM records WHERE id = ?", row_id("a"))
    with pytest.raises(IntegrityError, match="found 4"):
        next(iter(inspect_database(path, KEY)))


def test_a_damaged_record_is_refused(path: Path) -> None:
    spoil(path, "UPDATE records SET data = zeroblob(268) WHERE id = ?", row_id("a"))
    with pytest.raises(IntegrityError, match="does not open"):
        shown(path)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("text" * 4096)
    with pytest.raises(IntegrityError, match="no database"):
        shown(tmp_path / "text.db")
    with pytest.raises(StateError, match="there is no database file"):
        shown(tmp_path / "none.db")
