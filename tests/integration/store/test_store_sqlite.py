"""The store as its users see it: transactions, reads, groups, failures, one opener."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_case import (
    CODEC,
    IDENTITY,
    KEY,
    content,
    delete,
    limit_pages,
    put,
    reopened,
    rows,
    small_database,
    spoil,
)

from scone.cas.store.base import DatabaseIdentity, Store, Transaction
from scone.cas.store.lock import DatabaseLock
from scone.cas.store.schema import CHAIN_ROWS
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.crypto.secret import SecretBytes
from scone.errors import ConflictError, IntegrityError, MalformedError, StateError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cas.db"


@pytest.fixture
def store(path: Path):
    with create_store(path, KEY, IDENTITY) as opened:
        yield opened


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    expected = small_database(path)
    with reopened(path) as store:
        assert content(store, "session", "cas") == expected
        assert {key for _, key in expected} == {"key", "a", "b", "c"}
        assert store.get("session", "a") == b"second a" * 40
        assert store.get("session", "d") is None
        assert store.get("session", "never") is None
        assert store.get("cas", "key") == b"k"
        assert (store.commit_number, store.identity.epoch) == (6, 4)


def test_a_new_database_is_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    put(store, "a", b"1")
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["cas.db", "cas.db-wal", "cas.db.lock"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_names_and_values_are_not_on_disk(path: Path) -> None:
    with create_store(path, KEY, IDENTITY) as store:
        put(store, "visible-name", b"visible-value")
        on_disk = path.read_bytes() + Path(f"{path}-wal").read_bytes()
    on_disk += path.read_bytes()
    assert len(on_disk) > 8192
    for text in (b"visible", b"session", KEY.reveal()):
        assert text not in on_disk


def test_a_transaction_that_raises_leaves_nothing(store: SqliteStore) -> None:
    put(store, "a", b"1")

    def failing(records: Transaction) -> None:
        records.put("session", "a", b"2")
        records.put("session", "b", b"2")
        raise ConflictError("lost the race")

    future = store.transact(failing)
    with pytest.raises(ConflictError, match="lost the race"):
        future.result()
    assert content(store) == {("session", "a"): b"1"}
    assert store.commit_number == 1


def test_a_transaction_returns_what_its_function_returns(store: SqliteStore) -> None:
    put(store, "a", b"1")
    assert store.transact(lambda records: records.get("session", "a")).result() == b"1"
    assert store.commit_number == 1  # reading commits nothing


def test_transactions_of_one_group_see_each_other_and_are_one_commit(store: SqliteStore) -> None:
    gate = threading.Event()

    def once(records: Transaction) -> str:
        if records.get("one-time", "token") is None:
            raise ConflictError("used")
        records.delete("one-time", "token")
        return "mine"

    put(store, "token", b"t", "one-time")
    before = store.commit_number
    blocked = store.transact(lambda _: gate.wait(10))
    claims = [store.transact(once) for _ in range(20)]
    others = [
        store.transact(lambda records, n=n: records.put("s", f"{n}", b"v")) for n in range(20)
    ]
    gate.set()
    assert blocked.result()
    outcomes = [claim.exception() for claim in claims]
    assert [error is None for error in outcomes].count(True) == 1
    assert all(isinstance(error, ConflictError) for error in outcomes if error)
    assert [other.result() for other in others] == [None] * 20
    assert before < store.commit_number <= before + 3


def test_no_update_is_lost_among_threads(path: Path) -> None:
    def count(records: Transaction) -> None:
        value = int(records.get("count", "n") or b"0")
        records.put("count", "n", b"%d" % (value + 1))

    with create_store(path, KEY, IDENTITY) as store:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: store.transact(count).result(), range(400)))
        assert store.get("count", "n") == b"400"
    with reopened(path) as store:
        assert store.get("count", "n") == b"400"


def test_a_cancelled_transaction_does_not_run(store: SqliteStore) -> None:
    gate = threading.Event()
    blocked = store.transact(lambda _: gate.wait(10))
    while not blocked.running():
        pass
    late = store.transact(lambda records: records.put("session", "late", b""))
    assert late.cancel()
    gate.set()
    assert blocked.result()
    assert content(store) == {}


def test_a_read_never_sees_what_is_not_committed(store: SqliteStore) -> None:
    put(store, "a", b"old")
    inside, gate = threading.Event(), threading.Event()

    def slow(records: Transaction) -> None:
        records.put("session", "a", b"new")
        inside.set()
        gate.wait(10)

    future = store.transact(slow)
    assert inside.wait(10)
    assert store.get("session", "a") == b"old"
    gate.set()
    future.result()
    assert store.get("session", "a") == b"new"


def test_a_value_that_left_the_cache_is_read_again(path: Path) -> None:
    small_database(path)
    with open_store(path, KEY, IDENTITY, cache_bytes=0) as store:
        with ThreadPoolExecutor(8) as pool:
            values = list(pool.map(lambda _: store.get("session", "b"), range(100)))
        assert values == [b"first " + b"b" * 300] * 100
        assert store.get("session", "d") is None


def test_a_transaction_function_may_read_the_store(path: Path) -> None:
    small_database(path)
    with open_store(path, KEY, IDENTITY, cache_bytes=0) as store:
        assert (
            store.transact(lambda _: store.get("session", "c")).result() == b"first " + b"c" * 300
        )


def test_a_transaction_kept_beyond_its_end_is_refused(store: SqliteStore) -> None:
    kept = store.transact(lambda records: records).result()
    with pytest.raises(StateError, match="after its end"):
        kept.put("session", "a", b"")


def test_deleting_what_never_was_commits_nothing(store: SqliteStore) -> None:
    delete(store, "never")
    assert store.commit_number == 0


def test_a_deleted_record_can_come_back(path: Path) -> None:
    small_database(path)
    with reopened(path) as store:
        put(store, "d", b"again")
    with reopened(path) as store:
        assert store.get("session", "d") == b"again"


def test_the_chain_keeps_the_latest_commits_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHAIN_ROWS == 16_384
    monkeypatch.setattr("scone.cas.store.database.CHAIN_ROWS", 5)
    with create_store(path, KEY, IDENTITY) as store:
        for n in range(12):
            put(store, f"{n}", b"")
    with rows(path) as connection:
        numbers = [n for (n,) in connection.execute("SELECT commit_number FROM chain")]
    assert numbers == [8, 9, 10, 11, 12]
    with reopened(path) as store:
        assert store.commit_number == 12


def test_close_finishes_what_was_submitted(path: Path) -> None:
    store = create_store(path, KEY, IDENTITY)
    futures = [
        store.transact(lambda records, n=n: records.put("s", f"{n}", b"")) for n in range(700)
    ]
    store.close()
    store.close()
    assert [future.result(0) for future in futures] == [None] * 700
    with reopened(path) as store:
        assert len(content(store, "s")) == 700


def test_a_closed_store_refuses_every_use(path: Path) -> None:
    store = create_store(path, KEY, IDENTITY)
    put(store, "a", b"1")
    store.close()
    for use in (
        lambda: store.get("session", "a"),
        lambda: store.get("session", "a"),
        lambda: store.transact(lambda _: None),
        lambda: store.rekey(KEY, IDENTITY, write_key_store=lambda: None),
    ):
        with pytest.raises(StateError, match="the store is closed"):
            use()


def test_a_failed_write_ends_the_store_and_loses_nothing_acknowledged(path: Path) -> None:
    store = create_store(path, KEY, IDENTITY)
    put(store, "a", b"1")
    limit_pages(store)
    gate = threading.Event()
    blocked = store.transact(lambda _: gate.wait(10))
    futures = [store.transact(lambda records: records.put("session", "big", bytes(1_000_000)))]
    futures.append(store.transact(lambda records: records.get("session", "a")))
    gate.set()
    assert blocked.exception() is None or isinstance(blocked.exception(), StateError)
    for future in futures:
        error = future.exception()
        assert isinstance(error, StateError)
        assert "full" in str(error)
        assert "stop the CAS" in error.hint
    for use in (
        lambda: store.get("session", "a"),
        lambda: store.transact(lambda _: None),
    ):
        with pytest.raises(StateError, match="the store has ended"):
            use()
    store.close()
    with reopened(path) as again:
        assert content(again) == {("session", "a"): b"1"}


def test_what_waits_when_the_store_ends_is_refused(path: Path) -> None:
    store = create_store(path, KEY, IDENTITY)
    limit_pages(store)
    inside, gate = threading.Event(), threading.Event()

    def big(records: Transaction) -> None:
        inside.set()
        gate.wait(10)
        records.put("session", "big", bytes(1_000_000))

    first = store.transact(big)
    assert inside.wait(10)
    second = store.transact(lambda _: "never")
    gate.set()
    assert isinstance(first.exception(10), StateError)
    assert isinstance(second.exception(10), StateError)
    store.close()


OPENER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from scone.errors import StateError
from store_case import reopened
from scone.cas.store.schema import connect
path = Path(sys.argv[1])
for opening in (reopened, connect):
    try:
        opening(path)
    except StateError as error:
        print(error)
"""


def test_a_second_process_is_refused_by_the_lock_and_by_sqlite(
    store: SqliteStore, path: Path
) -> None:
    put(store, "a", b"1")
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", OPENER, str(path), folder], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{path}: another CAS uses the database"] * 2
    put(store, "b", b"2")
    assert len(content(store)) == 2


def test_a_second_opener_in_this_process_is_refused(store: SqliteStore, path: Path) -> None:
    for opening in (reopened, DatabaseLock.acquire):
        with pytest.raises(StateError, match="another CAS uses the database"):
            opening(path)
    with pytest.raises(StateError, match="another CAS uses the database"):
        create_store(path, KEY, IDENTITY)


def test_a_given_lock_stays_the_callers(path: Path) -> None:
    with DatabaseLock.acquire(path) as lock:
        create_store(path, KEY, IDENTITY, lock=lock).close()
        with pytest.raises(StateError, match="another CAS"):
            reopened(path)
        open_store(path, KEY, IDENTITY, lock=lock).close()
    lock.release()
    reopened(path).close()


def test_a_failed_opening_gives_the_lock_back(path: Path) -> None:
    small_database(path)
    with pytest.raises(IntegrityError):
        open_store(path, KEY, DatabaseIdentity(IDENTITY.database_id, 9))
    with pytest.raises(MalformedError):
        open_store(path, SecretBytes(b"short"), IDENTITY)
    reopened(path).close()


def test_creating_over_a_database_is_refused(path: Path) -> None:
    expected = small_database(path)
    with pytest.raises(StateError, match="there is a database already"):
        create_store(path, KEY, IDENTITY)
    with reopened(path) as store:
        assert content(store, "session", "cas") == expected


def test_opening_without_a_database_is_refused(path: Path) -> None:
    with pytest.raises(StateError, match="there is no database file"):
        reopened(path)
    assert not path.exists()


def test_a_failed_first_record_leaves_no_database(path: Path) -> None:
    def fill(records: Transaction) -> None:
        records.put("cas", "a", b"1")
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        create_store(path, KEY, IDENTITY, fill=fill)
    assert os.listdir(path.parent) == ["cas.db.lock"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot open the lock file"):
        create_store(tmp_path / "file" / "cas.db", KEY, IDENTITY)


def test_a_record_removed_while_the_cas_runs_is_refused_when_it_is_read(path: Path) -> None:
    small_database(path)
    with open_store(path, KEY, IDENTITY, cache_bytes=0) as store:
        database = store._database
        store.transact(
            lambda _: database.connection.execute(
                "DELETE FROM records WHERE id = ?", (CODEC.blinded("session", "b"),)
            )
        ).result()
        with pytest.raises(IntegrityError, match="was removed"):
            store.get("session", "b")
        assert store.get("session", "c") == b"first " + b"c" * 300  # others are still checked


def test_the_store_is_what_operations_are_written_against(store: SqliteStore) -> None:
    port: Store = store
    assert port.identity.epoch == 4


def test_the_head_follows_every_commit(path: Path) -> None:
    small_database(path)
    with rows(path) as connection:
        assert connection.execute("SELECT commit_number FROM head").fetchall() == [(6,)]
        chain = connection.execute("SELECT commit_number FROM chain").fetchall()
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (5,)
    assert chain == [(n,) for n in range(7)]
    assert spoil(path, "SELECT 1") == -1
