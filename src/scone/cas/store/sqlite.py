"""The record store on SQLite: one thread owns the connection and commits in groups.

A process keeps id -> version of every row and checks each read, and each absence,
against it. Transaction functions that wait together are one commit: one fsync, one
new head, one link of the chain. A commit that fails ends the store for good, because
the disk and the memory may then differ; the caller stops the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Self, TypeVar, cast

from scone.cas.store.base import DatabaseIdentity, DatabaseKey, Transaction
from scone.cas.store.cache import Miss, Name, ValueCache
from scone.cas.store.changes import Changes, Nothing
from scone.cas.store.database import OpenDatabase
from scone.cas.store.lock import DatabaseLock
from scone.cas.store.records import Record
from scone.cas.store.replacement import Replacement, finish_replace
from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import SconeError, StateError

_T = TypeVar("_T")
_CACHE_BYTES: Final = 32 * 1024 * 1024  # some 8,000 sessions of 3 KB
_MAX_GROUP: Final = 256  # bounds the wait of the first in a group


@dataclass(slots=True)
class _Job:
    """A transaction function that waits for its group."""

    function: Callable[[Transaction], object]
    future: Future[object] = field(default_factory=Future)


@dataclass(slots=True)
class _Alone:
    """Work on committed state; resolves its future itself, and ends the store if it raises."""

    function: Callable[[Future[object]], None]
    future: Future[object] = field(default_factory=Future)


class SqliteStore:
    """A `Store` in one SQLite file; made by `open_store` and `create_store`."""

    def __init__(
        self,
        path: Path,
        key: DatabaseKey,
        lock: DatabaseLock,
        *,
        owns_lock: bool,
        cache_bytes: int,
        random: Random,
    ) -> None:
        self._path = path
        self._lock = lock
        self._owns_lock = owns_lock
        self._random = random
        self._cache = ValueCache(cache_bytes)
        self._queue: SimpleQueue[_Job | _Alone | None] = SimpleQueue()
        self._taken: list[_Job | _Alone] = []
        self._gate = threading.Lock()
        self._ended = ""
        opened: Future[OpenDatabase] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(key, opened), name="store", daemon=True
        )
        self._thread.start()
        self._database = opened.result()

    @property
    def commit_number(self) -> int:
        """Number of the last commit; only ever rises."""
        return self._database.head.commit_number

    @property
    def identity(self) -> DatabaseIdentity:
        """Which database this is."""
        return self._database.codec.identity

    def get(self, collection: str, key: str) -> bytes | None:
        """The last committed value, from any thread.

        Raises:
            IntegrityError: the record on disk is not the one last written.
            StateError: the store was closed, or ended because a write failed.
        """
        if self._ended:
            raise StateError(self._ended)
        cached = self._cache.get((collection, key))
        if cached is not Miss.MISS:
            return cached
        database = self._database
        if threading.current_thread() is self._thread:
            return database.get(collection, key)
        if database.codec.blinded(collection, key) not in database.versions:
            return None
        job = _Alone(partial(self._read, collection, key))
        self._submit(job)
        return cast("bytes | None", job.future.result())

    def transact(self, function: Callable[[Transaction], _T]) -> Future[_T]:
        """Run a function as one transaction; the future resolves when it is on disk.

        Raises:
            StateError: the store was closed, or ended because a write failed.
        """
        job = _Job(function)
        self._submit(job)
        return cast("Future[_T]", job.future)

    def rekey(
        self,
        key: SecretBytes,
        identity: DatabaseIdentity,
        *,
        write_key_store: Callable[[], None],
        change: Callable[[Transaction], object] | None = None,
    ) -> None:
        """Write all records under a new key into a new file and go on there.

        `change` is applied to the new database in the same step. `write_key_store` replaces
        the key store, in the owning thread, when the new file is complete. Transactions wait
        meanwhile, reads of what is in memory do not. What `change` raises leaves all as it was.

        Raises:
            MalformedError: a key that is not 32 bytes.
            IntegrityError: a record is not the one last written; nothing is replaced.
            StateError: the disk does not take the new file (the old goes on), or what comes
                after it failed (the store has ended, a restart finishes or forgets).
        """
        new = DatabaseKey(key, identity)
        job = _Alone(partial(self._rekey, new, write_key_store, change))
        self._submit(job)
        job.future.result()

    def close(self) -> None:
        """Finish what was submitted and release the database; again is fine."""
        with self._gate:
            if not self._ended:
                self._ended = f"{self._path}: the store is closed"
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, job: _Job | _Alone) -> None:
        with self._gate:
            if self._ended:
                raise StateError(self._ended)
            self._queue.put(job)

    def _run(self, key: DatabaseKey, opened: Future[OpenDatabase]) -> None:
        try:
            database = OpenDatabase(self._path, key, self._cache, self._random)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            self._release()
            opened.set_exception(error)
            return
        self._database = database
        opened.set_result(database)
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - ends the store; every later call says why
            self._end(error)
        finally:
            self._database.close()
            self._release()

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._take()
            # Reads first: they ask for what is committed, and need not wait for a commit.
            for job in self._taken:
                if isinstance(job, _Alone) and job.future.set_running_or_notify_cancel():
                    job.function(job.future)
            self._run_group([job for job in self._taken if isinstance(job, _Job)])
            self._taken.clear()

    def _take(self) -> bool:
        job = self._queue.get()
        while job is not None:
            self._taken.append(job)
            if len(self._taken) >= _MAX_GROUP:
                return False
            try:
                job = self._queue.get_nowait()
            except Empty:
                return False
        return True

    def _run_group(self, jobs: list[_Job]) -> None:
        group = Changes(self._database)
        results: list[tuple[Future[object], object]] = []
        errors: list[tuple[Future[object], Exception]] = []
        for job in jobs:
            if not job.future.set_running_or_notify_cancel():
                continue
            own = Changes(group)
            try:
                results.append((job.future, job.function(own)))
                group.merge(own)
            except Exception as error:  # noqa: BLE001 - what a transaction raises is its caller's
                errors.append((job.future, error))
            own.end()
        # Refusals wait as well: they may rest on what others in the group changed.
        self._database.commit(group.changes)
        for future, result in results:
            future.set_result(result)
        for future, refusal in errors:
            future.set_exception(refusal)

    def _read(self, collection: str, key: str, future: Future[object]) -> None:
        try:
            future.set_result(self._database.get(collection, key))
        except SconeError as error:
            future.set_exception(error)

    def _rekey(
        self,
        key: DatabaseKey,
        write_key_store: Callable[[], None],
        change: Callable[[Transaction], object] | None,
        future: Future[object],
    ) -> None:
        old = self._database
        changes = Changes(old)
        try:
            if change is not None:
                change(changes)
            Replacement(self._path).write(
                key,
                _changed(old.records(), changes.changes),
                commit_number=old.head.commit_number + 1,
                previous_head=old.head_hash,
                random=self._random,
            )
        except Exception as error:  # noqa: BLE001 - nothing was replaced: the caller's matter
            future.set_exception(error)
            return
        finally:
            changes.end()
        write_key_store()
        old.close()
        finish_replace(self._path)
        self._cache.put(changes.changes.items())
        self._database = OpenDatabase(self._path, key, self._cache, self._random)
        future.set_result(None)

    def _end(self, cause: BaseException) -> None:
        with self._gate:
            self._ended = f"{self._path}: the store has ended: {cause}"
        while not self._queue.empty():
            job = self._queue.get()
            if job is not None:
                self._taken.append(job)
        for job in self._taken:
            refusal = StateError(self._ended, hint="stop the CAS; what it acknowledged is on disk")
            refusal.__cause__ = cause
            pending = not job.future.done()
            if job.future.running() or (pending and job.future.set_running_or_notify_cancel()):
                job.future.set_exception(refusal)
        self._taken.clear()

    def _release(self) -> None:
        if self._owns_lock:
            self._lock.release()


def open_store(
    path: Path,
    key: SecretBytes,
    identity: DatabaseIdentity,
    *,
    lock: DatabaseLock | None = None,
    cache_bytes: int = _CACHE_BYTES,
    random: Random = os.urandom,
) -> SqliteStore:
    """Open a database and check it against its head; `recover` comes first.

    A given lock stays the caller's; without one the store takes and gives back its own.

    Raises:
        StateError: no database, another CAS uses it, or the disk cannot be read.
        IntegrityError: another key's, another database's or epoch's file, or an altered one.
        MalformedError: a key that is not 32 bytes.
    """
    return SqliteStore(
        path,
        DatabaseKey(key, identity),
        lock or DatabaseLock.acquire(path),
        owns_lock=lock is None,
        cache_bytes=cache_bytes,
        random=random,
    )


def create_store(
    path: Path,
    key: SecretBytes,
    identity: DatabaseIdentity,
    *,
    fill: Callable[[Transaction], object] | None = None,
    write_key_store: Callable[[], None] | None = None,
    lock: DatabaseLock | None = None,
    random: Random = os.urandom,
) -> SqliteStore:
    """Make a database with its first records and open it.

    `write_key_store` is called when the database is complete beside its place. If it raises,
    the process must stop: only `recover` at the next start knows whether the key store counts.

    Raises:
        StateError: there is a database, another CAS uses the path, or the disk refuses.
        MalformedError: a key that is not 32 bytes.
    """
    taken = lock or DatabaseLock.acquire(path)
    try:
        _refuse_existing(path)
        first = Changes(Nothing())
        if fill is not None:
            fill(first)
        first.end()
        replacement = Replacement(path)
        replacement.write(DatabaseKey(key, identity), _changed((), first.changes), random=random)
        if write_key_store is not None:
            write_key_store()
        finish_replace(path)
        return SqliteStore(
            path,
            DatabaseKey(key, identity),
            taken,
            owns_lock=lock is None,
            cache_bytes=_CACHE_BYTES,
            random=random,
        )
    except BaseException:
        if lock is None:
            taken.release()
        raise


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise StateError(f"{path}: there is a database already", hint="it is never overwritten")


def _changed(records: Iterable[Record], changes: Mapping[Name, bytes | None]) -> Iterator[Record]:
    for record in records:
        if (record.collection, record.key) not in changes:
            yield record
    for (collection, key), value in changes.items():
        if value is not None:
            yield Record(collection, key, value)
