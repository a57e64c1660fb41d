"""Provisioning and key roll-over: stopped after every step, then started again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from store_case import (
    IDENTITY,
    KEY,
    NEW,
    NEW_IDENTITY,
    NEW_KEY,
    OLD,
    content,
    limit_pages,
    put,
    reopened,
    row_id,
    rows,
    small_database,
    spoil,
)

from scone.cas.store.base import DatabaseIdentity, DatabaseKey, Transaction
from scone.cas.store.lock import DatabaseLock
from scone.cas.store.records import Record
from scone.cas.store.replacement import Replacement, finish_replace, recover
from scone.cas.store.schema import connect
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.errors import ConflictError, IntegrityError, MalformedError, StateError

FRESH = [Record("cas", "key", b"new"), Record("session", "a", b"moved")]
NEW_CONTENT = {("cas", "key"): b"new", ("session", "a"): b"moved"}


class KeyStore:
    """Stands for the key store file: what it names now."""

    def __init__(self, key: DatabaseKey | None) -> None:
        self.key = key

    def __call__(self) -> DatabaseKey | None:
        return self.key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cas.db"


def files(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if not name.endswith(".lock"))


def opened(path: Path, key: DatabaseKey) -> dict[tuple[str, str], bytes]:
    with open_store(path, key.key, key.identity) as store:
        return content(store, "session", "cas")


def steps(path: Path, key_store: KeyStore) -> list[Callable[[], object]]:
    replacement = Replacement(path)
    return [
        lambda: replacement.write(NEW, FRESH),
        lambda: setattr(key_store, "key", NEW),
        replacement.discard_old_log,
        replacement.move_into_place,
    ]


@pytest.mark.parametrize("done", range(5))
def test_a_provisioning_that_stops_after_any_step_is_whole_or_never_was(
    path: Path, done: int
) -> None:
    key_store = KeyStore(None)
    for step in steps(path, key_store)[:done]:
        step()
    for _ in range(2):  # a recovery may itself be followed by a stop
        assert recover(path, key_store) is (done >= 2)
    if done < 2:
        assert files(path) == []
        with create_store(path, NEW.key, NEW.identity) as store:  # it can be claimed again
            put(store, "a", b"second try")
    else:
        assert files(path) == ["cas.db"]
        assert opened(path, NEW) == NEW_CONTENT


@pytest.mark.parametrize("log", [False, True], ids=["closed", "crashed"])
@pytest.mark.parametrize("done", range(5))
def test_a_roll_over_that_stops_after_any_step_has_the_old_or_the_new(
    path: Path, tmp_path: Path, done: int, log: bool
) -> None:
    expected = small_database(path)
    if log:
        expected = crash_with_log(path, tmp_path)
    key_store = KeyStore(OLD)
    for step in steps(path, key_store)[:done]:
        step()
    assert Path(f"{path}-wal").exists() is (log and done < 3)
    for _ in range(2):
        assert recover(path, key_store) is True
    assert files(path) == ["cas.db"]
    assert opened(path, OLD if done < 2 else NEW) == (expected if done < 2 else NEW_CONTENT)


def crash_with_log(path: Path, tmp_path: Path) -> dict[tuple[str, str], bytes]:
    """Leave the database as a killed CAS does: the last commits are in the log only."""
    with reopened(path) as store:
        put(store, "in-log", b"acknowledged")
        expected = content(store, "session", "cas")
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for name in ("cas.db", "cas.db-wal"):
            shutil.copy(path.with_name(name), crashed / name)
    for name in ("cas.db", "cas.db-wal"):
        (crashed / name).replace(path.with_name(name))
    crashed.rmdir()
    return expected


def test_commits_in_the_log_of_a_killed_cas_are_there_again(path: Path, tmp_path: Path) -> None:
    small_database(path)
    expected = crash_with_log(path, tmp_path)
    assert ("session", "in-log") in expected
    assert opened(path, OLD) == expected


def test_a_log_that_was_taken_away_is_refused_or_older_but_never_mixed(
    path: Path, tmp_path: Path
) -> None:
    before = small_database(path)
    crash_with_log(path, tmp_path)
    Path(f"{path}-wal").unlink()
    assert opened(path, OLD) == before  # a whole older copy: the documented limit


def test_half_a_new_database_is_forgotten_while_the_old_one_counts(path: Path) -> None:
    expected = small_database(path)
    Replacement(path).write(NEW, FRESH)
    new = path.with_name("cas.db.new")
    new.write_bytes(new.read_bytes()[:5000])
    path.with_name("cas.db.new-journal").write_bytes(b"half a journal")
    assert recover(path, KeyStore(OLD)) is True
    assert files(path) == ["cas.db"]
    assert opened(path, OLD) == expected


def test_half_a_first_database_is_forgotten(path: Path) -> None:
    path.with_name("cas.db.new").write_bytes(b"half")
    path.with_name("cas.db.new-journal").write_bytes(b"half a journal")
    assert recover(path, KeyStore(None)) is False
    assert files(path) == []


def refused(path: Path, key: DatabaseKey | None, kind: type[Exception], reason: str) -> None:
    before = {name: path.with_name(name).read_bytes() for name in files(path)}
    with pytest.raises(kind) as caught:
        recover(path, KeyStore(key))
    assert reason in str(caught.value)
    assert getattr(caught.value, "hint", "")
    assert {name: path.with_name(name).read_bytes() for name in files(path)} == before


def test_a_key_store_without_database_is_refused(path: Path) -> None:
    refused(path, OLD, StateError, "a key store but no database")


def test_a_database_without_key_store_is_refused_and_kept(path: Path) -> None:
    small_database(path)
    refused(path, None, StateError, "a database but no key store")
    Replacement(path).write(NEW, FRESH)
    refused(path, None, StateError, "a database but no key store")


def test_an_older_key_store_beside_a_newer_database_is_refused_and_kept(path: Path) -> None:
    create_store(path, NEW.key, NEW.identity).close()
    refused(path, OLD, IntegrityError, "expected epoch 4, found 5")


def test_a_foreign_new_database_is_not_put_in_place(path: Path) -> None:
    small_database(path)
    Replacement(path).write(replace(NEW, key=KEY), FRESH)
    refused(path, NEW, IntegrityError, "expected epoch 5, found 4")
    path.unlink()
    refused(path, NEW, IntegrityError, "encrypted under another key")


@pytest.mark.parametrize("with_old", [False, True])
def test_an_edited_new_database_is_not_put_in_place(path: Path, with_old: bool) -> None:
    if with_old:
        small_database(path)
    Replacement(path).write(NEW, FRESH)
    assert spoil(path.with_name("cas.db.new"), "DELETE FROM records WHERE rowid = 1") == 1
    reason = "found 4: an older database" if with_old else "expected 2 records, found 1"
    refused(path, NEW, IntegrityError, reason)


def test_an_edited_database_is_never_replaced_by_a_leftover(path: Path) -> None:
    small_database(path)
    spoil(path, "DELETE FROM head")
    Replacement(path).write(NEW, FRESH)
    refused(path, OLD, IntegrityError, "exactly one head")


def test_recovery_waits_for_nobody_and_touches_nothing_in_use(path: Path) -> None:
    asked = []
    with create_store(path, KEY, IDENTITY):
        Replacement(path).write(NEW, FRESH)
        with pytest.raises(StateError, match="another CAS uses the database"):
            recover(path, lambda: asked.append("key store") or NEW)
        assert asked == []
        assert path.with_name("cas.db.new").exists()
    with DatabaseLock.acquire(path) as lock:
        assert recover(path, KeyStore(OLD), lock=lock) is True
        with pytest.raises(StateError, match="another CAS"):
            recover(path, KeyStore(OLD))


def test_rekey_moves_all_records_and_goes_on(path: Path) -> None:
    expected = small_database(path)
    key_store = KeyStore(OLD)
    with reopened(path) as store:
        number = store.commit_number
        store.rekey(NEW_KEY, NEW_IDENTITY, write_key_store=lambda: setattr(key_store, "key", NEW))
        assert content(store, "session", "cas") == expected
        assert (store.commit_number, store.identity.epoch) == (number + 1, 5)
        put(store, "after", b"1")
        assert store.get("session", "a") == expected["session", "a"]
        assert store.get("session", "d") is None
    assert key_store.key == NEW
    assert files(path) == ["cas.db"]
    assert opened(path, NEW) == expected | {("session", "after"): b"1"}
    with pytest.raises(IntegrityError, match="found 5: a newer database"):
        reopened(path)


def test_rekey_drops_tombstones_and_links_to_the_old_head(path: Path) -> None:
    small_database(path)
    with reopened(path) as store:
        before = store._database.head_hash
        store.rekey(NEW_KEY, NEW_IDENTITY, write_key_store=lambda: None)
        database = store._database
        sealed = store.transact(
            lambda _: database.connection.execute("SELECT * FROM chain").fetchall()
        ).result()
        assert database.head.rows == 4
    [(number, link)] = sealed
    assert number == 7
    assert database.codec.open_link(7, link).previous == before


def test_rekey_applies_a_change_in_the_same_step(path: Path) -> None:
    small_database(path)

    def change(records: Transaction) -> None:
        assert records.get("session", "a") is not None
        records.delete("session", "a")
        records.put("session", "b", b"changed")
        records.put("session", "new", b"added")

    with reopened(path) as store:
        store.rekey(NEW_KEY, NEW_IDENTITY, write_key_store=lambda: None, change=change)
        assert store.get("session", "a") is None
        assert store.get("session", "b") == b"changed"
    assert sorted(key for kind, key in opened(path, NEW) if kind == "session") == ["b", "c", "new"]


def test_a_rekey_whose_change_fails_leaves_all_as_it_was(path: Path) -> None:
    expected = small_database(path)

    def change(records: Transaction) -> None:
        records.delete("session", "a")
        raise ConflictError("no such backup")

    written = []
    with reopened(path) as store:
        with pytest.raises(ConflictError, match="no such backup"):
            store.rekey(
                NEW_KEY, NEW_IDENTITY, write_key_store=lambda: written.append(1), change=change
            )
        with pytest.raises(MalformedError):
            store.rekey(
                KEY.__class__(b"short"), NEW_IDENTITY, write_key_store=lambda: written.append(1)
            )
        assert content(store, "session", "cas") == expected
        assert "cas.db.new" not in files(path)
    assert written == []
    assert opened(path, OLD) == expected


def test_a_rekey_that_meets_an_altered_record_replaces_nothing(path: Path) -> None:
    small_database(path)
    spoil(path, "UPDATE records SET data = zeroblob(268) WHERE id = ?", row_id("a"))
    with reopened(path) as store:
        with pytest.raises(IntegrityError, match="does not open"):
            store.rekey(NEW_KEY, NEW_IDENTITY, write_key_store=lambda: None)
        assert store.identity.epoch == 4
        assert store.get("session", "b") == b"first " + b"b" * 300
    assert files(path) == ["cas.db"]


def test_a_key_store_that_cannot_be_written_ends_the_store(path: Path) -> None:
    expected = small_database(path)

    def failing() -> None:
        raise StateError("no space left")

    store = reopened(path)
    with pytest.raises(StateError, match="the store has ended: no space left"):
        store.rekey(NEW_KEY, NEW_IDENTITY, write_key_store=failing)
    with pytest.raises(StateError, match="has ended"):
        put(store, "a", b"lost?")
    store.close()
    # the next start decides by what the key store says
    assert recover(path, KeyStore(OLD)) is True
    assert opened(path, OLD) == expected


def test_transactions_wait_for_a_rekey_and_reads_of_cached_values_do_not(path: Path) -> None:
    small_database(path)
    with reopened(path) as store:
        assert store.get("session", "b") is not None
        inside, gate = threading.Event(), threading.Event()

        def slow() -> None:
            inside.set()
            gate.wait(10)

        roll = threading.Thread(
            target=store.rekey, args=(NEW_KEY, NEW_IDENTITY), kwargs={"write_key_store": slow}
        )
        roll.start()
        assert inside.wait(10)
        assert store.get("session", "b") == b"first " + b"b" * 300
        future = store.transact(lambda records: records.put("session", "waited", b"1"))
        assert not future.done()
        gate.set()
        roll.join()
        future.result(10)
    assert opened(path, NEW)["session", "waited"] == b"1"


def test_create_writes_the_key_store_when_the_database_is_complete(path: Path) -> None:
    seen: list[list[str]] = []

    def write_key_store() -> None:
        seen.append(files(path))
        with rows(path.with_name("cas.db.new")) as connection:
            assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)

    with create_store(
        path,
        KEY,
        IDENTITY,
        fill=lambda records: records.put("cas", "key", b"k"),
        write_key_store=write_key_store,
    ) as store:
        assert store.get("cas", "key") == b"k"
    assert seen == [["cas.db.new"]]
    assert files(path) == ["cas.db"]


def test_finish_replace_is_the_last_two_steps(path: Path) -> None:
    Replacement(path).write(NEW, FRESH)
    finish_replace(path)
    assert opened(path, NEW) == NEW_CONTENT
    with pytest.raises(StateError, match="cannot rename"):
        finish_replace(path)


def test_a_new_database_that_does_not_fit_is_removed(path: Path) -> None:
    class Failing:
        def __iter__(self):
            yield Record("a", "b", b"c")
            raise StateError("the disk is full")

    with pytest.raises(StateError, match="the disk is full"):
        Replacement(path).write(NEW, Failing())
    assert files(path) == []


def test_the_same_record_twice_is_no_database(path: Path) -> None:
    with pytest.raises(StateError, match="UNIQUE"):
        Replacement(path).write(NEW, [FRESH[0], FRESH[0]])
    assert files(path) == []


def test_the_epoch_alone_tells_old_from_new(path: Path) -> None:
    small_database(path)
    newer = DatabaseKey(KEY, DatabaseIdentity(IDENTITY.database_id, 5))
    Replacement(path).write(newer, FRESH)
    assert recover(path, KeyStore(newer)) is True
    assert opened(path, newer) == NEW_CONTENT


def test_a_store_that_ended_can_be_opened_again(path: Path) -> None:
    store: SqliteStore = create_store(path, KEY, IDENTITY)
    put(store, "a", b"1")
    limit_pages(store)
    with pytest.raises(StateError):
        put(store, "big", bytes(1_000_000))
    store.close()
    assert recover(path, KeyStore(OLD)) is True
    connect(path).close()
    assert opened(path, OLD) == {("session", "a"): b"1"}
