"""Files that a user names: read whole within a limit, written whole or not at all.

Imported where it is needed only: `pathlib` costs more to import than the identity to show.
"""

from __future__ import annotations

import os
from pathlib import Path

from scone.errors import UsageError


def read_small(path: str, what: str, limit: int = 1024 * 1024) -> bytes:
    """The bytes of a file that a user named.

    Raises:
        UsageError: it cannot be read, or is larger than a file of its kind can be.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{what} {path!r}: {reason(error)}") from error
    if len(raw) > limit:
        raise UsageError(f"{what} {path!r}: expected at most {limit} bytes")
    return raw


def write_result(path: str, content: bytes) -> None:
    """Replace a file, or write to a device or pipe of that name.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            file.write(content)
        return
    replace(target, content, 0o666)  # as far as the umask allows: a result is no secret


def replace(target: Path, content: bytes, mode: int) -> None:
    """Put a new file in place of another, whole and on the disk.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    # O_EXCL: nobody else's file, not even through a link.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink()
        raise
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: Exception) -> str:
    """What the system says, without the path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
