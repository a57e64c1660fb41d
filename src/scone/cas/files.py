"""Small files of the CAS that must be whole, private to its user."""

from __future__ import annotations

from pathlib import Path

from scone.errors import StateError
from scone.files import replace


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, mode 0600; after a crash the old or the new file is there.

    Raises:
        StateError: the file cannot be written; nothing is left beside it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, data, 0o600)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error
