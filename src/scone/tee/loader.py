"""Which files the dynamic loader takes for a program: asked from the loader itself.

`INTERPRETER --list PROGRAM` (glibc and musl) maps the libraries; it runs the interpreter,
and no code of the program and its libraries. So the interpreter must be one that root put
there, whatever the program names. Auditing libraries are the exception: glibc runs them
even then, so they are refused before (DT_AUDIT and DT_DEPAUDIT here, LD_AUDIT in
`measurement`, which also says what is not covered).
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scone.errors import AppraisalError, MalformedError, NotFoundError, UsageError
from scone.tee.elf import ElfFile, read_elf
from scone.tee.program_file import OpenedProgram, digest_of, opened, require_same

_MAX_LIBRARIES: Final = 1024  # a large desktop program has about 250
_MAX_LISTING: Final = 1 << 20
_LIST_TIMEOUT_S: Final = 20
# One line of `--list`: a name alone, or a name and where it was found; then the address.
_LINE: Final = re.compile(r"\t(?P<name>[^\t]+?)(?: => (?P<path>[^\t]+))? \(0x[0-9a-f]+\)")
_NOT_FOUND: Final = re.compile(r"\t(?P<name>[^\t]+?) => not found")
_MISSING: Final = re.compile(
    r"error while loading shared libraries: (?P<name>[^:]+): cannot open shared object file"
)
_VDSO: Final = re.compile(r"linux-(?:vdso|gate)[^/]*")  # the kernel's own page: no file
_PRELOAD_FILE: Final = Path("/etc/ld.so.preload")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def loader_closure(
    program: OpenedProgram,
    environment: Mapping[bytes, bytes],
    *,
    folder: str = "/",
    known: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """Canonical path and SHA-256 of the ELF interpreter and the libraries that it lists.

    Empty for a static program. `folder` is the working directory of the listing. `known` is
    what this process measured before: an interpreter in it was checked then.

    Raises:
        NotFoundError: naming a library that is not there.
        UsageError: the interpreter cannot be run, or a library cannot be read.
        MalformedError: an ELF file or a listing that is not of the known form.
        AppraisalError: the program was replaced meanwhile, or names an interpreter that others
            than root can write, or loads an unlisted library (DT_AUDIT, /etc/ld.so.preload).
    """
    elf = _read_elf(program)
    if elf.audit:
        raise AppraisalError(
            f"{program.path}: its {' and '.join(elf.audit)} would load a library that is not measured",
            hint="link the program without --audit and --depaudit",
        )
    if elf.interpreter is None:
        return {}
    _refuse_preload_file()
    digests: dict[str, str] = {}
    with opened(elf.interpreter, executable=True) as loader:
        digests[loader.path] = digest_of(loader)
        # Not twice: in a user namespace the files of root seem to be nobody's.
        if known.get(loader.path) != digests[loader.path]:
            _require_loader_of_root(loader, program.path)
    require_same(program)
    # The canonical path, not /proc/self/fd: there $ORIGIN leads nowhere.
    listing = _list(loader.path, elf.interpreter, program.path, environment, folder)
    require_same(program)
    for path in parse_listing(listing, elf.interpreter, program.path):
        with opened(path, executable=False) as library:
            if library.path not in digests:
                digests[library.path] = digest_of(library)
    return digests


def parse_listing(listing: str, interpreter: str, program: str) -> tuple[str, ...]:
    """Paths of the libraries in what an ELF interpreter prints with `--list`.

    Raises:
        NotFoundError: naming a library that was not found.
        MalformedError: a line that is not of the known form.
    """
    place = f"{program}: libraries"
    paths: list[str] = []
    for line in listing.split("\n"):
        if line in ("", "\tstatically linked"):
            continue
        missing = _NOT_FOUND.fullmatch(line)
        if missing is not None:
            raise _not_found(program, missing["name"])
        found = _LINE.fullmatch(line)
        if found is None:
            raise MalformedError(place, "a line as --list prints it", repr(line[:120]))
        path = found["path"] or found["name"]
        if found["path"] is None and _VDSO.fullmatch(path):
            continue
        if not path.startswith("/"):
            raise MalformedError(
                place,
                "absolute paths",
                repr(path[:120]),
                hint="which file that is depends on the working directory",
            )
        if path != interpreter:
            paths.append(path)
        if len(paths) > _MAX_LIBRARIES:
            raise MalformedError(place, f"at most {_MAX_LIBRARIES}", "more")
    return tuple(paths)


def _read_elf(program: OpenedProgram) -> ElfFile:
    return read_elf(lambda at, length: os.pread(program.descriptor, length, at), program.path)


def _require_loader_of_root(loader: OpenedProgram, program: str) -> None:
    """Refuse to run an interpreter that the author of a program brought along."""
    hint = "let it name the interpreter of this system (patchelf --set-interpreter)"
    statuses = [(loader.path, os.fstat(loader.descriptor))]
    statuses += [(str(folder), folder.lstat()) for folder in Path(loader.path).parents]
    for place, status in statuses:
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AppraisalError(
                f"{program}: its interpreter {loader.path} is not run to measure it: expected a "
                f"file and folders of root that nobody else can write, got {place} of user "
                f"{status.st_uid} with mode {stat.S_IMODE(status.st_mode):04o}",
                hint=hint,
            )
    if _read_elf(loader).interpreter is not None:
        raise AppraisalError(
            f"{program}: expected an ELF interpreter, got the program {loader.path}, which "
            "itself needs one",
            hint=hint,
        )


def _list(
    interpreter: str, name: str, program: str, environment: Mapping[bytes, bytes], folder: str
) -> str:
    try:
        done = subprocess.run(
            [name, "--list", program],
            executable=interpreter,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIST_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{program}: {interpreter} --list did not end within {_LIST_TIMEOUT_S} s"
        ) from error
    except OSError as error:
        raise UsageError(f"{program}: cannot run {interpreter}: {error.strerror}") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1][:500] if lines else f"no reason, status {done.returncode}"
        missing = _MISSING.search(reason)
        if missing is not None:
            raise _not_found(program, missing["name"])
        raise UsageError(f"{program}: {interpreter} --list failed: {reason}")
    if len(done.stdout) > _MAX_LISTING:
        raise MalformedError(f"{program}: libraries", f"at most {_MAX_LISTING} bytes", "more")
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{program}: libraries", "paths in UTF-8", "other bytes") from error


def _not_found(program: str, library: str) -> NotFoundError:
    return NotFoundError(
        f"{program}: needs the library {library[:200]}, which was not found",
        hint="install it; LD_LIBRARY_PATH of the host does not count",
    )


def _refuse_preload_file() -> None:
    """A non-empty /etc/ld.so.preload puts a library in front of every program's own."""
    try:
        with _PRELOAD_FILE.open("rb") as file:
            content = file.read(4096)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{_PRELOAD_FILE}: cannot be read: {error.strerror}") from error
    if content.strip():
        raise AppraisalError(
            f"{_PRELOAD_FILE} is not empty: it loads libraries that are no part of the program",
            hint="empty that file",
        )
