"""Audit events: one JSON line for each operation, written before its answer leaves.

Mode `unsigned` of the owner configuration. The signed chain and its verification are
not part of this version (docs/conformance.md); an unsigned log proves nothing to
somebody who does not trust the machine that keeps it. No secret, hash of a session
or text of a user's document is in an event: names, identities and outcomes only.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from scone.errors import StateError, UnavailableError


class AuditLog(Protocol):
    """Where events go; `append` returns when the event is durable."""

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Record one event.

        Raises:
            StateError: the event could not be written; the operation must not go on.
        """
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class NoAuditLog:
    """Mode `disabled`."""

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Record nothing."""

    def close(self) -> None:
        """Nothing to give back."""


class FileAuditLog:
    """Mode `unsigned` with sink `file`: JSON lines, fsynced, one writer at a time.

    Raises:
        UnavailableError: the operator's path cannot be opened.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise UnavailableError(
                f"cannot open the audit log {path}: {error.strerror}",
                hint="the operator of the CAS names it: [audit_log] path in the availability "
                "configuration",
            ) from error

    def append(self, event: str, **fields: str | int | bool) -> None:
        """Append one line and wait until it is on disk.

        Raises:
            StateError: the disk does not take it.
        """
        entry = {"time": self._now().astimezone(UTC).isoformat(), "event": event, **fields}
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                if os.write(self._file, line) != len(line):
                    raise StateError("cannot write the audit log: the disk is full")
                os.fdatasync(self._file)
        except OSError as error:
            raise StateError(f"cannot write the audit log: {error.strerror}") from error

    def close(self) -> None:
        """Give the file back; later events are refused."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
