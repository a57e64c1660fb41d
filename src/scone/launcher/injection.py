"""Injection files: what the host must prepare before, and undo after, the service.

Files lie in memory and are mounted over their paths in the service's own mount namespace
(`placement`). A mount needs something below it: an existing file is covered; where there
is none and the folder is writable, an empty placeholder is made and removed afterwards;
elsewhere a copy of the folder's listing in memory carries it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, NotFoundError, UsageError
from scone.launcher.console import Console
from scone.log_level import INFO
from scone.service_config.model import InjectedFile, ServiceConfig

_MAX_TEMPLATE: Final = 8 * 1024 * 1024
_KERNEL_FOLDERS: Final = ("/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Placed:
    """A file of the service: canonical path, content, permission bits."""

    path: str
    content: SecretBytes
    permission: int
    replica: str | None = None
    """The existing folder that must be copied in memory, because it cannot be written."""


@dataclass(slots=True)
class Preparation:
    """What was made on the host for one start; `undo` removes exactly that."""

    files: list[Placed] = field(default_factory=list)
    _made: list[tuple[str, int, int]] = field(default_factory=list)
    _folders: list[str] = field(default_factory=list)
    _locks: list[int] = field(default_factory=list)

    def add(self, file: InjectedFile, content: SecretBytes) -> None:
        """Prepare one file.

        Raises:
            UsageError: a place that cannot carry a file.
        """
        if not file.path.startswith("/"):
            raise UsageError(f"injection file {file.path}: expected an absolute path")
        path = os.path.realpath(file.path)
        if any(other.path == path for other in self.files):
            raise UsageError(
                f"injection file {file.path}: expected each file once, got {path} twice"
            )
        if path.startswith(tuple(f"{folder}/" for folder in _KERNEL_FOLDERS)):
            raise UsageError(
                f"injection file {file.path}: the kernel makes what is in /proc and /sys"
            )
        replica: str | None = None
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            replica = self._missing(path)
        except OSError as error:
            raise UsageError(f"injection file {file.path}: {error.strerror}") from error
        else:
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(
                    f"injection file {file.path}: expected a regular file or none there, "
                    f"got {stat.filemode(status.st_mode)}"
                )
            self._use(path, status)
        self.files.append(Placed(path, content, file.permission, replica))

    def undo(self) -> None:
        """Remove placeholders and folders that were made here and that nobody else uses."""
        for path, device, inode in self._made:
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_dev, status.st_ino, status.st_size) != (device, inode, 0):
                    continue
                # Unlinking a mount point unmounts it everywhere, also for another service.
                if self._alone(inode):
                    Path(path).unlink()
        for folder in reversed(self._folders):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        for descriptor in self._locks:
            os.close(descriptor)
        self._made, self._folders, self._locks = [], [], []

    def _missing(self, path: str) -> str | None:
        """Make a placeholder, or name the folder that needs a replica."""
        folder = Path(path).parent
        while not folder.is_dir():
            if folder.exists():
                raise UsageError(f"injection file {path}: {folder} is not a folder")
            folder = folder.parent
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return str(folder)
        try:
            for part in reversed(Path(path).relative_to(folder).parents):
                inner = folder / part
                if not inner.is_dir():
                    inner.mkdir(mode=0o755)
                    self._folders.append(str(inner))
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise UsageError(
                f"injection file {path}: cannot be prepared: {error.strerror}"
            ) from error
        status = os.fstat(descriptor)
        self._made.append((path, status.st_dev, status.st_ino))
        self._locks.append(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return None

    def _use(self, path: str, status: os.stat_result) -> None:
        """Hold a lock on what looks like another start's placeholder, so that it stays."""
        if status.st_size or stat.S_IMODE(status.st_mode) != 0o600:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._locks.append(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _alone(self, inode: int) -> bool:
        for descriptor in self._locks:
            if os.fstat(descriptor).st_ino == inode:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
        return True


def prepare(config: ServiceConfig, software_identity: str, out: Console) -> Preparation:
    """Contents and places of all injection files of a configuration.

    Raises:
        NotFoundError: a file without content that is not on the disk either.
        UsageError: a place that cannot carry a file, or a template that cannot be read.
        SconeError: a template that cannot be expanded.
    """
    preparation = Preparation()
    try:
        for file in config.files:
            content = file.content
            if content is None:
                from scone.service_config.template import expand_template  # slow, rarely needed

                template = _template(file.path)
                content = expand_template(
                    config,
                    template,
                    place=f"injection file {file.path}",
                    software_identity=software_identity,
                )
            elif _has_content(file.path):
                out.log(
                    INFO,
                    f"Ignoring secret injection file (template) content from {file.path} in the "
                    "file system, since the file content is provided in the CAS session already.",
                )
            preparation.add(file, content)
    except BaseException:
        preparation.undo()
        raise
    return preparation


def _template(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = file.read(_MAX_TEMPLATE + 1) if regular else b""
    except FileNotFoundError as error:
        raise NotFoundError(
            f"injection file {path}: the session gives no content and there is no such file",
            hint="put a template there, or give the content in the session",
        ) from error
    except OSError as error:
        raise UsageError(f"injection file {path}: cannot be read: {error.strerror}") from error
    if not regular:
        raise UsageError(f"injection file {path}: expected a regular file as template")
    if len(content) > _MAX_TEMPLATE:
        raise LimitError(f"injection file {path}: expected at most {_MAX_TEMPLATE} bytes")
    return content


def _has_content(path: str) -> bool:
    try:
        return Path(path).stat().st_size > 0
    except OSError:
        return False
