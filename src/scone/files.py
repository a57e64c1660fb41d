"""Files that must be whole: written beside and renamed, synced; links followed only with care.

Cheap to import: the command line needs a part of it for every command.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MAX_LINKS: Final = 40  # as the kernel has it, path_resolution(7)


def replace(target: Path, content: bytes, mode: int) -> None:
    """Put a new file in place of another (or of a link), whole and on the disk.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    beside = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    # Nobody else's file, not even through a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(target.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def followed(path: str) -> str:
    """Where a path leads, by symbolic links of this user and of root only.

    What somebody else put into a shared folder must not decide which file is written. The
    end, and folders before it, need not exist.

    Raises:
        OSError: a link of another user, too many links, a folder that cannot be searched.
    """
    place, links = "/", 0
    waiting = os.path.join(os.getcwd(), path).split("/")[::-1]  # noqa: PTH109, PTH118 - no pathlib
    while waiting:
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            place = place.rpartition("/")[0] or "/"
            continue
        step = f"{place.rstrip('/')}/{name}"
        target = _link(step)
        if target is None:
            place = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            place = "/"
        waiting += target.split("/")[::-1]
    return place


def _link(path: str) -> str | None:
    """The text of a symbolic link that may be followed; None for anything else, or nothing."""
    try:
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(
                errno.EPERM,
                f"{path} is a symbolic link of user {status.st_uid}; expected one of user "
                f"{os.geteuid()} or root",
                path,
            )
        return os.readlink(path)  # noqa: PTH115 - no pathlib
    except FileNotFoundError:
        return None
