"""Sessions as records: the active version of each name, every version by hash, their secrets.

Collections: `session` (name -> hash of the active version), `version` (hash ->
canonical document and who uploaded it), `values` (hash -> generated secrets) and
`usage` (top-level namespace -> counts). What is evaluated is only the parse of the
canonical bytes whose hash is the record's key.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from scone.cas.store.base import Transaction
from scone.errors import IntegrityError, LimitError
from scone.session import Session, from_canonical
from scone.session.secrets import SecretValues

_T = TypeVar("_T")
_CACHED_BYTES: Final = 16 * 1024 * 1024
"""Bytes of the records whose values one cache keeps; there are two caches."""


class Records(Protocol):
    """What reading needs of the store or of a transaction."""

    def get(self, collection: str, key: str) -> bytes | None:
        """The value, or None where there is none (an authenticated absence)."""
        ...


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a session as the CAS keeps it."""

    hash: str
    session: Session
    uploaded_at: str
    uploader: str


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
    """Typed access; caches parses by hash, which never go stale."""

    def __init__(self) -> None:
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
        version = StoredVersion(
            session_hash, from_canonical(document), record["uploaded_at"], record["uploader"]
        )
        self._parsed.add(session_hash, version, len(raw), dropped)
        return version

    def values(self, records: Records, session_hash: str) -> SecretValues:
        """The secrets of a version.

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

    def forget_values(self, session_hash: str) -> None:
        """Drop cached secrets after they were renewed."""
        self._values.drop(session_hash)

    def write(
        self,
        records: Transaction,
        version: StoredVersion,
        document: str,
        values: SecretValues,
        quota: Quota,
    ) -> None:
        """Make a version the active one of its name, within its namespace's quota.

        Raises:
            LimitError: the quota of the top-level namespace would be exceeded.
        """
        name = version.session.name
        record = {
            "document": document,
            "uploaded_at": version.uploaded_at,
            "uploader": version.uploader,
        }
        encoded = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        secrets = values.to_json()
        self._charge(records, name, len(encoded) + len(secrets), quota)
        records.put("version", version.hash, encoded)
        records.put("values", version.hash, secrets)
        records.put("session", name, version.hash.encode())

    def _charge(self, records: Transaction, name: str, size: int, quota: Quota) -> None:
        namespace = "/" if name == "/" else name.split("/", 1)[0]
        raw = records.get("usage", namespace)
        usage = {"sessions": 0, "bytes": 0} if raw is None else json.loads(raw)
        usage["bytes"] += size
        if records.get("session", name) is None:
            usage["sessions"] += 1
        if usage["sessions"] > quota.max_sessions:
            raise LimitError(
                f"the namespace {namespace!r} may hold {quota.max_sessions} sessions and is full"
            )
        if usage["bytes"] > quota.max_bytes:
            raise LimitError(
                f"the namespace {namespace!r} may hold {quota.max_bytes} bytes of sessions and is full",
                hint="old versions count; the CAS owner can raise sessions.max_bytes_per_namespace",
            )
        records.put("usage", namespace, json.dumps(usage, separators=(",", ":")).encode())
