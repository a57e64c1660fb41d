"""Sessions as records: the active version of each name, every version by hash, their secrets.

Collections: `session` (name -> hash of the active version), `version` (hash ->
canonical document and who uploaded it), `values` (hash -> generated secrets) and
`usage` (top-level namespace -> counts). What is evaluated is only the parse of the
canonical bytes whose hash is the record's key.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from scone.cas.store.base import Transaction
from scone.errors import IntegrityError, LimitError
from scone.session import Session, from_canonical
from scone.session.secrets import SecretValues

_T = TypeVar("_T")
_CACHED_VERSIONS: Final = 4096  # some 10 KB each


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


class Sessions:
    """Typed access; caches parses by hash, which never go stale."""

    def __init__(self) -> None:
        self._parsed: OrderedDict[str, StoredVersion] = OrderedDict()
        self._values: OrderedDict[str, SecretValues] = OrderedDict()

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
        cached = self._parsed.get(session_hash)
        if cached is not None:
            self._parsed.move_to_end(session_hash)
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
        _remember(self._parsed, session_hash, version)
        return version

    def values(self, records: Records, session_hash: str) -> SecretValues:
        """The secrets of a version.

        Raises:
            IntegrityError: they are missing.
        """
        cached = self._values.get(session_hash)
        if cached is not None:
            self._values.move_to_end(session_hash)
            return cached
        raw = records.get("values", session_hash)
        if raw is None:
            raise IntegrityError("the database holds a session without its secrets")
        values = SecretValues.from_json(raw)
        _remember(self._values, session_hash, values)
        return values

    def forget_values(self, session_hash: str) -> None:
        """Drop cached secrets after they were renewed."""
        self._values.pop(session_hash, None)

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


def _remember(cache: OrderedDict[str, _T], key: str, value: _T) -> None:
    cache[key] = value
    while len(cache) > _CACHED_VERSIONS:
        cache.popitem(last=False)
