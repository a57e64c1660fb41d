"""The Unix socket of a LAS: one LAS for each path, reachable by its own user only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scone.errors import StateError
from scone.tee.las_protocol import reachable

_BACKLOG: Final = 64
_PROBE_S: Final = 2.0


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket at a path, removed at the end.

    Raises:
        StateError: another LAS serves that path, or it cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # All that follows goes through one descriptor of the folder that was checked.
        with reachable(path) as place:
            _require_private(place.parent, path.parent)
            with _locked(place, path):
                _remove_stale(place, path)
                with _bound(place) as listener:
                    yield listener
    except OSError as error:
        raise StateError(f"{path}: cannot be used as a socket: {error.strerror}") from error


@contextlib.contextmanager
def _bound(place: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        before = os.umask(0o177)  # the socket is made with mode 0600, never wider
        try:
            listener.bind(os.fsencode(place))
        finally:
            os.umask(before)
        ours = place.lstat()
        listener.listen(_BACKLOG)
        try:
            yield listener
        finally:
            _remove_ours(place, ours)


def _require_private(place: Path, folder: Path) -> None:
    status = place.stat()
    if status.st_uid not in (os.geteuid(), 0) or (
        status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    ):
        raise StateError(
            f"{folder}: others can write here and could put another socket in its place",
            hint=f"chmod 700 {folder}, or name another folder with --socket",
        )


@contextlib.contextmanager
def _locked(place: Path, path: Path) -> Iterator[None]:
    """Two that start at the same time: one gets the lock, the other an answer."""
    descriptor = os.open(
        place.with_name(place.name + ".lock"),
        os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
        0o600,
    )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(path) from error
        yield
    finally:
        os.close(descriptor)


def _remove_stale(place: Path, path: Path) -> None:
    try:
        status = place.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise StateError(f"{path}: expected a socket or nothing, got another file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(os.fsencode(place))
        except ConnectionRefusedError:
            place.unlink()  # left behind by a LAS that was killed
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _in_use(path) from error
        else:
            raise _in_use(path)


def _remove_ours(place: Path, ours: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        now = place.lstat()
        if (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino):
            place.unlink()


def _in_use(path: Path) -> StateError:
    return StateError(
        f"{path}: another LAS serves this socket",
        hint="use that one, or name another socket with --socket",
    )
