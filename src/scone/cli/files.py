"""Files that a user names: read whole within a limit, written whole or not at all.

Reading imports nothing: `pathlib` costs more to import than a session to check.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, TextIO

from scone.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


class TooLargeError(UsageError):
    """A file that is larger than one of its kind can be."""


def read_small(path: str, what: str, limit: int = 1024 * 1024) -> bytes:
    """The bytes of a file that a user named.

    Raises:
        UsageError: it cannot be read.
        TooLargeError: it is larger than a file of its kind can be.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            raw = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{what} {path!r}: {reason(error)}") from error
    if len(raw) > limit:
        raise TooLargeError(f"{what} {path!r}: expected at most {limit} bytes")
    return raw


def read_standard_input(what: str, limit: int) -> bytes:
    """The bytes of standard input, whole.

    Raises:
        UsageError: it is closed; `what` says what it was to be.
        TooLargeError: it is longer than `limit`.
    """
    stream: TextIO | None = sys.stdin  # None where the program was started without one
    if stream is None:
        raise UsageError(f"{what}: standard input is closed")
    raw = stream.buffer.read(limit + 1)
    if len(raw) > limit:
        raise TooLargeError(f"{what}: expected at most {limit} bytes on standard input")
    return raw


def check_result(path: str) -> None:
    """Look, before there is a result, whether it can be written.

    Raises:
        OSError: it cannot.
    """
    from pathlib import Path

    from scone.files import check_writable, followed

    target = Path(followed(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if target.is_file() or not target.exists():
        check_writable(target)


def write_result(path: str, content: bytes, *, private: bool = False) -> None:
    """Replace a file, whose permissions stay, or write to a device or pipe of that name.

    A new file is readable as the umask has it, or with `private` by its owner only.

    Raises:
        OSError: it cannot be written (also: it is a link of another user); a file that was
            there is as it was.
    """
    from pathlib import Path

    from scone.files import followed, rewrite

    target = Path(followed(path))
    if target.exists() and not target.is_file():
        _write_into(target, content)
        return
    rewrite(target, content, 0o600 if private else 0o666)


def _write_into(target: Path, content: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EAGAIN, "it was replaced by a regular file meanwhile")
        file.write(content)


def reason(error: Exception) -> str:
    """What the system says, without the path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
