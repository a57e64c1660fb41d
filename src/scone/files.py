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

_WRITE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_MAX_LINKS: Final = 40  # as the kernel has it, path_resolution(7)


def replace(target: Path, content: bytes, mode: int, *, like: os.stat_result | None = None) -> None:
    """Put a new file in place of another (or of a link), whole and on the disk.

    With `like` its permissions and owner are those of that file, as far as this user may set them.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    beside = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    # Nobody else's file, not even through a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if like is not None:
                _take_over(descriptor, like)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(target.parent)


def rewrite(target: Path, content: bytes, mode: int) -> None:
    """As `replace`, for a file that a user named: who may read and write it stays as it is.

    `mode`, less the umask, is that of a new file.

    Raises:
        OSError: it cannot be written, or is read-only; a file that was there is as it was.
    """
    before = check_writable(target)
    if before is None:
        replace(target, content, mode)
    else:
        replace(target, content, stat.S_IRUSR | stat.S_IWUSR, like=before)


def check_writable(target: Path) -> os.stat_result | None:
    """Look whether a file can be replaced, or made; the status of one that is there.

    Raises:
        OSError: it is read-only, or its folder is not there or takes no files.
    """
    try:
        found = target.stat()
    except FileNotFoundError:
        found = None
        target.parent.stat()
    writable = found is None or (
        stat.S_IMODE(found.st_mode) & _WRITE and os.access(target, os.W_OK)  # root may all
    )
    if not writable:
        raise PermissionError(errno.EACCES, "it is read-only", str(target))
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "its folder is read-only", str(target.parent))
    return found


def _take_over(descriptor: int, like: os.stat_result) -> None:
    mode = stat.S_IMODE(like.st_mode) & (stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except PermissionError:
        try:
            os.fchown(descriptor, -1, like.st_gid)
        except PermissionError:
            mode &= ~stat.S_IRWXG  # they would be those of another group
    os.fchmod(descriptor, mode)


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
