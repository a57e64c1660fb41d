"""A program as a file: opened once, refused when it cannot be measured and run honestly."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scone.errors import AppraisalError, NotFoundError, SconeError, UsageError
from scone.tee.elf import ELF_MAGIC

_CHUNK: Final = 1 << 20
_MAX_FILE: Final = 4 << 30  # a program of more than 4 GiB is a mistake, not a program
_MAX_SHEBANG: Final = 256  # BINPRM_BUF_SIZE: the kernel reads no more of a #! line
# Without O_NONBLOCK a named pipe would hold the open until somebody writes to it.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class OpenedProgram:
    """A file that was opened once, by its canonical path: what is measured is executed."""

    path: str
    descriptor: int

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Shebang:
    """The `#!` line of a script: its interpreter and the one argument that may follow."""

    interpreter: str
    argument: str | None


def open_program(path: str) -> OpenedProgram:
    """Open a program.

    Raises:
        NotFoundError: no such file.
        UsageError: it cannot be measured and run (setuid, unreadable, not regular).
    """
    program = _open(path)
    try:
        require_program(program)
        if not os.access(program.path, os.X_OK):
            raise UsageError(f"{path}: expected an executable file, got a mode without x")
    except SconeError:
        program.close()
        raise
    return program


@contextlib.contextmanager
def opened(path: str, *, executable: bool) -> Iterator[OpenedProgram]:
    """A program (or a library, which need not be executable) for the time of a block.

    Raises:
        NotFoundError: no such file.
        UsageError: it cannot be measured.
    """
    program = open_program(path) if executable else _open(path)
    try:
        yield program
    finally:
        program.close()


def require_program(program: OpenedProgram) -> None:
    """Refuse what is no ordinary file, and what gains privileges when it is executed.

    Raises:
        UsageError: not regular, too large, setuid, setgid, or with file capabilities.
    """
    require_regular(program)
    if os.fstat(program.descriptor).st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise UsageError(
            f"{program.path}: a setuid or setgid program is not started",
            hint="remove the bit with chmod ug-s, or start a copy",
        )
    try:
        capabilities = os.getxattr(program.descriptor, "security.capability")
    except OSError:
        return  # none, or a file system that has no attributes
    if capabilities:
        raise UsageError(
            f"{program.path}: a program with file capabilities is not started",
            hint="remove them with setcap -r, or start a copy",
        )


def require_regular(program: OpenedProgram) -> None:
    """Refuse what has no end, such as a device or a pipe, and what is too large for a program.

    Raises:
        UsageError: not a regular file, or too large.
    """
    status = os.fstat(program.descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE:
        raise _unmeasurable(program, stat.filemode(status.st_mode), status.st_size)


def require_same(program: OpenedProgram) -> None:
    """Refuse a path that does not lead to the opened file (device and inode).

    Raises:
        AppraisalError: the file was moved or replaced.
    """
    held = os.fstat(program.descriptor)
    try:
        named = os.lstat(program.path)
    except (OSError, ValueError) as error:
        raise AppraisalError(f"{program.path} does not lead to the opened program") from error
    if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
        raise AppraisalError(
            f"{program.path} is not the opened program any more: the file was replaced"
        )


def digest_of(program: OpenedProgram) -> str:
    """SHA-256 of the content, in hex.

    Raises:
        UsageError: it cannot be read, or grew too large meanwhile.
    """
    digest = hashlib.sha256()
    at = 0
    try:
        while chunk := os.pread(program.descriptor, _CHUNK, at):
            digest.update(chunk)
            at += len(chunk)
            if at > _MAX_FILE:  # its size is not always told beforehand (/proc)
                raise _unmeasurable(program, "a file", at)
    except OSError as error:
        raise UsageError(f"{program.path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def digest_of_path(path: str) -> str:
    """SHA-256 of the content of a regular file, in hex; a link is not followed.

    Raises:
        OSError: it cannot be opened.
        UsageError: it is not regular, too large, or cannot be read.
    """
    program = OpenedProgram(path, os.open(path, _FLAGS))
    try:
        require_regular(program)
        return digest_of(program)
    finally:
        program.close()


def read_shebang(program: OpenedProgram) -> Shebang | None:
    """The `#!` line of a script, or None for an ELF file.

    Raises:
        UsageError: neither, or a script whose interpreter cannot be known beforehand.
    """
    head = os.pread(program.descriptor, _MAX_SHEBANG, 0)
    if head.startswith(ELF_MAGIC):
        return None
    if not head.startswith(b"#!"):
        raise UsageError(
            f"{program.path}: expected an ELF program or a script with a #! line",
            hint="start a script without one through its interpreter",
        )
    line, newline, _ = head[2:].partition(b"\n")
    if not newline and len(head) == _MAX_SHEBANG:
        raise UsageError(f"{program.path}: expected a #! line of at most {_MAX_SHEBANG - 2} bytes")
    try:
        text = line.decode("utf-8").strip(" \t")
    except UnicodeDecodeError as error:
        raise UsageError(f"{program.path}: expected a #! line in UTF-8") from error
    interpreter, *argument = re.split(r"[ \t]+", text, maxsplit=1)
    if not interpreter.startswith("/") or not text.replace("\t", " ").isprintable():
        raise UsageError(f"{program.path}: expected an absolute path in the #! line")
    if interpreter.rpartition("/")[2] == "env":
        raise UsageError(
            f"{program.path}: which program env starts is not known when it is measured",
            hint="name the interpreter in the #! line by its path",
        )
    return Shebang(interpreter, argument[0] if argument else None)


def _open(path: str) -> OpenedProgram:
    try:
        canonical = os.path.realpath(path, strict=True)
        canonical.encode("utf-8")  # it stands in JSON
        descriptor = os.open(canonical, _FLAGS)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path in UTF-8"
        raise UsageError(
            f"{path!r}: expected a file that can be read, got: {reason}",
            hint="what cannot be read cannot be measured",
        ) from error
    program = OpenedProgram(canonical, descriptor)
    try:
        require_regular(program)
    except SconeError:
        program.close()
        raise
    return program


def _unmeasurable(program: OpenedProgram, kind: str, size: int) -> UsageError:
    return UsageError(
        f"{program.path}: expected a regular file of at most {_MAX_FILE} bytes, "
        f"got {kind} with {size} bytes"
    )
