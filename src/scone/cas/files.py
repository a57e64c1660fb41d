"""Small files that must be whole: written beside, synced, renamed, directory synced."""

from __future__ import annotations

import os
from pathlib import Path

from scone.errors import StateError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, mode 0600; after a crash the old or the new file is there.

    Raises:
        StateError: the file cannot be written.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error
