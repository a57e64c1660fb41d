"""One CAS for each database path: an flock on `<path>.lock`, held while the CAS runs.

SQLite's own exclusive lock guards one file. This one also covers the time without a
database, the file that is to replace it, and outlives a second open of the database
in this process (which would drop POSIX locks).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from scone.errors import StateError


def in_use(path: Path) -> StateError:
    """The refusal of a second opener."""
    return StateError(
        f"{path}: another CAS uses the database",
        hint="stop it first, or give this CAS another database.path",
    )


class DatabaseLock:
    """The right of this process to use a database path; given back by `release`."""

    __slots__ = ("_file", "path")

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file: int | None = file

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock, making the folder (0700) where there is none.

        Raises:
            StateError: another CAS holds it, or the lock file cannot be made.
        """
        beside = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{beside}: cannot open the lock file: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise in_use(path) from None
        except OSError as error:
            os.close(file)
            raise StateError(f"{beside}: cannot lock: {error.strerror}") from error
        return cls(path, file)

    def release(self) -> None:
        """Give the lock back; the lock file stays, since removing it would race."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
