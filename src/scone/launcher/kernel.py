"""Linux system calls that Python lacks: private mounts, user namespaces, process attributes.

The launcher's ctypes stand here. Man pages: mount(2), unshare(2),
pivot_root(2), prctl(2), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from pathlib import Path
from typing import Final

from scone.errors import UnsupportedError

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_SLAVE: Final = 1 << 19
MNT_DETACH: Final = 2

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (not its own children)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)


def enter_private_mounts() -> None:
    """A mount namespace of this process alone; by a user namespace where it is not privileged.

    Raises:
        UnsupportedError: the kernel permits neither; says what to change.
    """
    if _libc.unshare(_CLONE_NEWNS) == 0:
        _slave()
        return
    user, group = os.geteuid(), os.getegid()
    # /proc/self belongs to root while a process is undumpable; execve sets this anyway.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")
    try:
        _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        _slave()
    except OSError as error:
        raise UnsupportedError(
            "injection files need a private mount namespace, which this kernel or container "
            f"does not permit ({error.strerror})",
            hint="docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined --security-opt "
            "seccomp=unconfined, or allow user namespaces: sysctl user.max_user_namespaces=10000 "
            "(and kernel.apparmor_restrict_unprivileged_userns=0 where it exists)",
        ) from error


def mount_tmpfs(folder: str, size: int) -> bool:
    """A tmpfs over a folder; whether the kernel promised never to swap it out.

    Raises:
        OSError: it cannot be mounted.
    """
    flags = MS_NOSUID | MS_NODEV
    options = f"mode=0700,size={size}"
    try:
        mount("tmpfs", folder, "tmpfs", flags, options + ",noswap")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        mount("tmpfs", folder, "tmpfs", flags, options)
        return False
    return True


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Show a file or folder at another place too.

    Raises:
        OSError: it cannot be mounted.
    """
    mount(source, target, "", MS_BIND | (MS_REC if recursive else 0), "")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Mount, remount or bind; the flags say which.

    Raises:
        OSError: naming the target.
    """
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount on {target}")


def detach(folder: str) -> None:
    """Take a mount out of the tree; what is still used of it lives on.

    Raises:
        OSError: it is none.
    """
    _check(_libc.umount2(os.fsencode(folder), MNT_DETACH), f"umount {folder}")


def change_root(folder: str) -> None:
    """Make a mounted folder the root of this mount namespace.

    Raises:
        OSError: it cannot be.
    """
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"no pivot_root on {os.uname().machine}")
    os.chdir(folder)
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    detach(".")
    os.chdir("/")


def has_swap() -> bool:
    """Whether memory may be written to a disk."""
    try:
        return len(Path("/proc/swaps").read_text(encoding="utf-8").splitlines()) > 1
    except OSError:
        return True


def _slave() -> None:
    """Mounts made here do not appear outside; those made outside still appear here."""
    mount("none", "/", "", MS_REC | MS_SLAVE, "")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
