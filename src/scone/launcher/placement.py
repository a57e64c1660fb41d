"""Mount injection files in the mount namespace of the calling process (the service's own).

Order matters: replicas of folders first, since a mount on a folder hides what was mounted
below it before; then one bind mount for each file. Descriptors name both ends of a mount,
so that the folder that holds the contents may cover anything meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scone.errors import LimitError, UnsupportedError, UsageError
from scone.launcher import kernel
from scone.launcher.console import Console
from scone.launcher.injection import Placed
from scone.log_level import WARNING

_SIZE: Final = 64 << 20
_STAGES: Final = ("/tmp", "/mnt", "/run", "/var", "/dev")  # noqa: S108 - covered, not written to
_MAX_ENTRIES: Final = 4096
_PATH: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def place(files: Sequence[Placed], out: Console) -> None:
    """Give this process a private view in which the files are there.

    Raises:
        UnsupportedError: the kernel or the container does not permit it.
        UsageError: a place that is not what it was.
    """
    kernel.enter_private_mounts()
    try:
        replicas = sorted({file.replica for file in files if file.replica is not None}, key=len)
        for folder in replicas:
            _replicate(folder, [file for file in files if file.replica == folder])
        _bind_all(files, out)
    except OSError as error:
        raise UnsupportedError(
            f"injection files cannot be placed: {error.filename or ''}: {error.strerror}"
        ) from error


def _bind_all(files: Sequence[Placed], out: Console) -> None:
    with contextlib.ExitStack() as held:
        targets = [_hold(held, file.path) for file in files]
        stage = _stage()
        unswappable = kernel.mount_tmpfs(stage, _SIZE)
        if not unswappable and kernel.has_swap():
            out.log(WARNING, "injection files may be written to swap: this machine has some")
        for number, (file, target) in enumerate(zip(files, targets, strict=True)):
            if not stat.S_ISREG(os.fstat(target).st_mode):
                raise UsageError(f"injection file {file.path}: not a regular file any more")
            source = f"{stage}/{number}"
            _write(source, file)
            kernel.bind(source, _name(target))
        kernel.detach(stage)


def _write(path: str, file: Placed) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.content.reveal())
        opened.flush()
        os.fchmod(descriptor, file.permission)


def _replicate(folder: str, files: Sequence[Placed]) -> None:
    """Cover a folder with a listing of it in memory that has room for more files.

    Everything in it is mounted through, so that nothing that the service writes is lost.
    """
    with contextlib.ExitStack() as held:
        entries = sorted(path.name for path in Path(folder).iterdir())
        if len(entries) > _MAX_ENTRIES:
            raise LimitError(
                f"injection file {files[0].path}: {folder} cannot be written and has more than "
                f"{_MAX_ENTRIES} entries"
            )
        originals = [(name, _hold(held, str(Path(folder, name)))) for name in entries]
        top = _hold(held, folder)
        mode = stat.S_IMODE(os.fstat(top).st_mode)
        stage = Path(_stage())
        kernel.mount_tmpfs(str(stage), _SIZE)
        for name, original in originals:
            _mirror(original, stage / name)
            if Path(folder, name) == stage:  # a recursive bind takes the cover along
                kernel.detach(str(stage / name))
        for file in files:
            missing = stage / Path(file.path).relative_to(folder)
            missing.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            missing.touch(mode=0o600)
        stage.chmod(mode)
        if folder == "/":
            _make_read_only(str(stage))
            kernel.change_root(str(stage))
            return
        kernel.bind(str(stage), _name(top), recursive=True)
        kernel.detach(str(stage))
        _make_read_only(folder)


def _mirror(original: int, path: Path) -> None:
    mode = os.fstat(original).st_mode
    if stat.S_ISLNK(mode):
        path.symlink_to(os.readlink("", dir_fd=original))
        return
    if stat.S_ISDIR(mode):
        path.mkdir()
    else:
        path.touch()
    kernel.bind(_name(original), str(path), recursive=True)


def _make_read_only(folder: str) -> None:
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY
    kernel.mount("none", folder, "", flags | kernel.MS_NOSUID | kernel.MS_NODEV, "")


def _stage() -> str:
    """A folder over which contents are mounted while they are being placed."""
    for folder in _STAGES:
        if Path(folder).is_dir():
            return folder
    raise UnsupportedError(f"injection files need one of the folders {', '.join(_STAGES)}")


def _hold(held: contextlib.ExitStack, path: str) -> int:
    descriptor = os.open(path, _PATH)
    held.callback(os.close, descriptor)
    return descriptor


def _name(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
