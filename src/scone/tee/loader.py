"""Which files the dynamic loader takes for a program: asked from the loader itself.

`INTERPRETER --list PROGRAM` (glibc and musl) maps the libraries and runs no code of them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scone.errors import AppraisalError, MalformedError, NotFoundError, UsageError
from scone.tee.elf import read_elf
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


def loader_closure(
    program: OpenedProgram, environment: Mapping[bytes, bytes], *, folder: str = "/"
) -> dict[str, str]:
    """Canonical path and SHA-256 of the ELF interpreter and the libraries that it lists.

    Empty for a static program. `folder` is the working directory of the listing.

    Raises:
        NotFoundError: naming a library that is not there.
        UsageError: the interpreter cannot be run, or a library cannot be read.
        MalformedError: an ELF file or a listing that is not of the known form.
        AppraisalError: the program was replaced meanwhile, or /etc/ld.so.preload is not empty.
    """
    elf = read_elf(lambda at, length: os.pread(program.descriptor, length, at), program.path)
    if elf.interpreter is None:
        return {}
    _refuse_preload_file()
    digests: dict[str, str] = {}
    with opened(elf.interpreter, executable=True) as loader:
        digests[loader.path] = digest_of(loader)
    require_same(program)
    # The canonical path, not /proc/self/fd: there $ORIGIN leads nowhere.
    listing = _list(elf.interpreter, program.path, environment, folder)
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


def _list(interpreter: str, program: str, environment: Mapping[bytes, bytes], folder: str) -> str:
    try:
        done = subprocess.run(
            [interpreter, "--list", program],
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
        reason = lines[-1][:500] if lines else "no reason"
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
