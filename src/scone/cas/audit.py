"""Audit events: one JSON line for each operation, written before its answer leaves.

Mode `unsigned` of the owner configuration. The signed chain and its verification are
not part of this version (docs/conformance.md); an unsigned log proves nothing to
somebody who does not trust the machine that keeps it. No secret, hash of a session
or text of a user's document is in an event: names, identities and outcomes only.

What people unknown to the owner can cause as often as they like is recorded in bounds: beyond
them it is counted, and the log says where that begins and how many events are missing.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from scone.errors import StateError, UnavailableError

LINES_A_MINUTE: Final = 60
"""Of a bounded event, for each session and service: some 10 MB a day."""
_Entry = dict[str, str | int | bool]


class AuditLog(Protocol):
    """Where events go; `append` returns when the event is durable."""

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Record one event.

        Raises:
            StateError: the event could not be written; the operation must not go on.
        """
        ...

    def append_bounded(self, event: str, **fields: str | int | bool) -> None:
        """Record an event of a session, or count it where there are too many of them.

        Raises:
            StateError: as `append`.
        """
        ...

    def settle(self) -> None:
        """Tell now what was left out.

        Raises:
            StateError: as `append`.
        """
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class NoAuditLog:
    """Mode `disabled`."""

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Record nothing."""

    def append_bounded(self, event: str, **fields: str | int | bool) -> None:
        """Record nothing."""

    def settle(self) -> None:
        """Nothing was left out."""

    def close(self) -> None:
        """Nothing to give back."""


class FileAuditLog:
    """Mode `unsigned` with sink `file`: JSON lines, fsynced, one writer at a time.

    The file is closed with the last reference to the log: requests that wait hold it.

    Raises:
        UnavailableError: the operator's path cannot be opened.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._minute = 0
        self._counts = Counter[tuple[str, str, str]]()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise UnavailableError(
                f"cannot open the audit log {path}: {error.strerror}",
                hint="the operator of the CAS names it: [audit_log] path in the availability "
                "configuration",
            ) from error
        self._close = weakref.finalize(self, os.close, self._file)

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Append one line and wait until it is on disk.

        Raises:
            StateError: the disk does not take it.
        """
        with self._lock:
            now = self._now().astimezone(UTC)
            self._write(now, [*self._left_out(now), {"event": event, **fields}])

    def append_bounded(self, event: str, **fields: str | int | bool) -> None:
        """Append one line, but no more than `LINES_A_MINUTE` for the session and service.

        Raises:
            StateError: the disk does not take it.
        """
        with self._lock:
            now = self._now().astimezone(UTC)
            entries = self._left_out(now)
            what = event, str(fields["session"]), str(fields.get("service", ""))
            self._counts[what] += 1
            if self._counts[what] <= LINES_A_MINUTE:
                entries.append({"event": event, **fields})
            elif self._counts[what] == LINES_A_MINUTE + 1:
                entries.append(_missing(*what))
            self._write(now, entries)

    def settle(self) -> None:
        """Tell now what was left out in the running minute.

        Raises:
            StateError: as `append`.
        """
        with self._lock:
            self._write(self._now().astimezone(UTC), self._left_out(None))

    def close(self) -> None:
        """Tell what was left out and give the file back; later events are refused.

        Raises:
            StateError: the disk does not take it.
        """
        with self._lock:
            if self._close.alive:
                self._write(self._now().astimezone(UTC), self._left_out(None))
                self._close()
                self._file = -1

    def _left_out(self, now: datetime | None) -> list[_Entry]:
        """How many bounded events of a minute were left out, when it is over."""
        minute = 0 if now is None else int(now.timestamp()) // 60
        if minute == self._minute:
            return []
        self._minute = minute
        counts, self._counts = self._counts, Counter()
        return [
            {**_missing(*what), "count": count - LINES_A_MINUTE}
            for what, count in counts.items()
            if count > LINES_A_MINUTE
        ]

    def _write(self, now: datetime, entries: list[_Entry]) -> None:
        if not entries:
            return
        time = {"time": now.isoformat()}
        lines = b"".join(
            json.dumps({**time, **entry}, separators=(",", ":")).encode() + b"\n"
            for entry in entries
        )
        try:
            if os.write(self._file, lines) != len(lines):
                raise StateError("cannot write the audit log: the disk is full")
            os.fdatasync(self._file)
        except OSError as error:
            raise StateError(f"cannot write the audit log: {error.strerror}") from error


def _missing(event: str, session: str, service: str) -> _Entry:
    entry: _Entry = {"event": "events_left_out", "of": event, "session": session}
    return {**entry, "service": service} if service else entry
