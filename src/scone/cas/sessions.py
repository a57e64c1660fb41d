"""Sessions as records: the active version of each name, every version by hash, their secrets.

Collections: `session` (name -> hash of the active version), `version` (hash ->
canonical document and who uploaded it), `values` (hash -> generated secrets),
`usage` (top-level namespace -> counts) and those of `namespaces`. What is evaluated is
only the parse of the canonical bytes whose hash is the record's key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

from scone.cas import namespaces
from scone.cas.store.base import Records, Transaction
from scone.errors import IntegrityError, LimitError, NotFoundError
from scone.session import Session, from_canonical
from scone.session.access import digests_of
from scone.session.secrets import SecretValues

_T = TypeVar("_T")
_HISTORY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of records that one page of a history reads: some 40 ms."""
_CACHED_BYTES: Final = 16 * 1024 * 1024
"""Bytes of the records whose values one cache keeps; there are two caches."""
SMALL_RECORD: Final = 512
"""Bytes that a small record takes on disk, about: what counts against a quota."""
_QUICK_BYTES: Final = 64 * 1024
"""Bytes of a record that the event loop parses itself: at most some 20 ms."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a session as the CAS keeps it.

    `uploader` is the key hash of the client certificate, empty where `signers` (key hashes,
    sorted) brought it. With `salted`, this version or one before it has a salt: its hash is public.
    `digests` are those of `access.digests_of`, where the version was read from the database.
    """

    hash: str
    session: Session
    uploaded_at: str
    uploader: str
    signers: tuple[str, ...] = ()
    salted: bool = False
    digests: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def public_hash(self) -> dict[str, str]:
        """The hash as a field for the audit log, if it may stand there."""
        return {"hash": self.hash} if self.salted else {}


@dataclass(frozen=True, slots=True)
class Upload:
    """An entry of a session's history; times in ISO 8601, UTC."""

    hash: str
    predecessor: str | None
    uploaded_at: str
    uploader: str
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits for one top-level namespace."""

    max_sessions: int
    max_bytes: int


class _Cache(Generic[_T]):
    """What was read last, by hash, as far as the bytes of its records stay within a limit.

    Used by the event loop and by the commit thread at the same time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[_T, int]] = OrderedDict()
        self._bytes = 0
        self._dropped = 0

    def get(self, key: str) -> tuple[_T | None, int]:
        """The value, and what `add` wants to know: how often something was dropped so far."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None, self._dropped
            self._entries.move_to_end(key)
            return found[0], self._dropped

    def add(self, key: str, value: _T, size: int, dropped: int) -> None:
        """Keep a value whose record has `size` bytes.

        Not if anything was dropped since `get`: the record may have been read before that.
        """
        with self._lock:
            if size > self._limit or dropped != self._dropped or key in self._entries:
                return
            self._entries[key] = value, size
            self._bytes += size
            while self._bytes > self._limit:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed

    def drop(self, key: str) -> None:
        """Forget a value whose record was changed."""
        with self._lock:
            self._dropped += 1
            found = self._entries.pop(key, None)
            if found is not None:
                self._bytes -= found[1]


class Sessions:
    """Typed access; caches parses by hash, which never go stale.

    `active`, `version` and `values` may be slow: the event loop has `fetch_*`.
    """

    def __init__(self) -> None:
        # One thread: what several requests wait for is parsed once.
        self._parser = ThreadPoolExecutor(1, "sessions")
        self._parsed: _Cache[StoredVersion] = _Cache(_CACHED_BYTES)
        self._values: _Cache[SecretValues] = _Cache(_CACHED_BYTES)

    def active_hash(self, records: Records, name: str) -> str | None:
        """Hash of the active version of a name."""
        found = records.get("session", name)
        return None if found is None else found.decode()

    def active(self, records: Records, name: str) -> StoredVersion | None:
        """The active version of a name."""
        found = self.active_hash(records, name)
        return None if found is None else self.version(records, found)

    def version(self, records: Records, session_hash: str) -> StoredVersion | None:
        """A version by its hash, superseded ones included.

        Raises:
            IntegrityError: the record is not what its key says.
        """
        cached, dropped = self._parsed.get(session_hash)
        if cached is not None:
            return cached
        raw = records.get("version", session_hash)
        if raw is None:
            return None
        record = json.loads(raw)
        document = record["document"]
        if hashlib.sha256(document.encode()).hexdigest() != session_hash:
            raise IntegrityError("the database holds a session under another hash than its own")
        session = from_canonical(document)
        version = StoredVersion(
            session_hash,
            session,
            record["uploaded_at"],
            record["uploader"],
            tuple(record.get("signers", ())),
            record.get("salted", False),
            digests_of(session),
        )
        self._parsed.add(session_hash, version, len(raw), dropped)
        return version

    def values(self, records: Records, session_hash: str) -> SecretValues:
        """The secrets of a version that has them in the database.

        Raises:
            IntegrityError: they are missing.
        """
        cached, dropped = self._values.get(session_hash)
        if cached is not None:
            return cached
        raw = records.get("values", session_hash)
        if raw is None:
            raise IntegrityError("the database holds a session without its secrets")
        values = SecretValues.from_json(raw)
        self._values.add(session_hash, values, len(raw), dropped)
        return values

    async def fetch_active(self, records: Records, name: str) -> StoredVersion | None:
        """As `active`; what is large is parsed in a thread."""
        found = self.active_hash(records, name)
        return None if found is None else await self.fetch_version(records, found)

    async def fetch_version(self, records: Records, session_hash: str) -> StoredVersion | None:
        """As `version`; what is large is parsed in a thread."""
        cached, _ = self._parsed.get(session_hash)
        if cached is not None:
            return cached
        raw = records.get("version", session_hash)
        return await self._quickly(raw, partial(self.version, records, session_hash))

    async def fetch_values(self, records: Records, session_hash: str) -> SecretValues:
        """As `values`; what is large is parsed in a thread."""
        cached, _ = self._values.get(session_hash)
        if cached is not None:
            return cached
        raw = records.get("values", session_hash)
        return await self._quickly(raw, partial(self.values, records, session_hash))

    async def _quickly(self, raw: bytes | None, read: Callable[[], _T]) -> _T:
        if raw is None or len(raw) <= _QUICK_BYTES:
            return read()
        return await asyncio.get_running_loop().run_in_executor(self._parser, read)

    def close(self) -> None:
        """End the thread; what it parses is not waited for."""
        self._parser.shutdown(wait=False, cancel_futures=True)

    def stored_secrets(self, records: Records, session_hash: str) -> bytes | None:
        """What is stored of the secrets of a version: their values, or where they are."""
        return records.get("values", session_hash)

    def history(
        self, records: Records, name: str, newest: str, limit: int
    ) -> tuple[list[Upload], str | None]:
        """Versions from `newest` backwards, and where the next page begins, if there is one.

        A page has at most `limit` entries, and fewer where their records are large. Slow: for a
        thread.

        Raises:
            NotFoundError: the name has no such version.
        """
        found: list[Upload] = []
        left = _HISTORY_BYTES
        following: str | None = newest
        while following is not None and len(found) < limit and left > 0:
            raw = records.get("version", following)
            record = {} if raw is None else json.loads(raw)
            document = json.loads(record.get("document", "{}"))
            if document.get("name") != name:
                if found:
                    raise IntegrityError("the database holds a session without its predecessor")
                raise NotFoundError("Session has no version with this hash")
            found.append(
                Upload(
                    following,
                    document["predecessor"],
                    record["uploaded_at"],
                    record["uploader"],
                    tuple(record.get("signers", ())),
                )
            )
            left -= len(raw or b"")
            following = document["predecessor"]
        return found, following

    def forget_values(self, session_hash: str) -> None:
        """Drop cached secrets after they were renewed."""
        self._values.drop(session_hash)

    def write(
        self,
        records: Transaction,
        version: StoredVersion,
        document: str,
        secrets: bytes,
        quota: Quota,
    ) -> None:
        """Make a version the active one of its name, within its namespace's quota.

        `secrets` is the stored form of its values, or the record that finds them in a vault.

        Raises:
            LimitError: the quota of the top-level namespace would be exceeded.
        """
        name = version.session.name
        record = {
            "document": document,
            "uploaded_at": version.uploaded_at,
            "uploader": version.uploader,
            "signers": version.signers,
            "salted": version.salted,
        }
        encoded = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        is_new = records.get("session", name) is None
        charge(records, name, len(encoded) + len(secrets), quota, sessions=int(is_new))
        if is_new:
            namespaces.add(records, name)
        records.put("version", version.hash, encoded)
        records.put("values", version.hash, secrets)
        records.put("session", name, version.hash.encode())


def charge(records: Transaction, name: str, size: int, quota: Quota, *, sessions: int = 0) -> None:
    """Count bytes of a session, and sessions, as used by its top-level namespace.

    Raises:
        LimitError: its quota would be exceeded.
    """
    namespace = "/" if name == "/" else name.split("/", 1)[0]
    raw = records.get("usage", namespace)
    usage = {"sessions": 0, "bytes": 0} if raw is None else json.loads(raw)
    usage["bytes"] += size
    usage["sessions"] += sessions
    if usage["sessions"] > quota.max_sessions:
        raise LimitError(
            f"the namespace {namespace!r} may hold {quota.max_sessions} sessions and is full"
        )
    if usage["bytes"] > quota.max_bytes:
        raise LimitError(
            f"the namespace {namespace!r} may hold {quota.max_bytes} bytes and is full",
            hint="old versions count, and what is kept of volumes and starts; the CAS owner can "
            "raise sessions.max_bytes_per_namespace",
        )
    records.put("usage", namespace, json.dumps(usage, separators=(",", ":")).encode())
