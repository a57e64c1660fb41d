"""Simulated measurement: which program, with which libraries, under which CAS and geometry.

Form in docs/formats/simulated-measurement.md. A program is opened once; the digest is that
of the descriptor which is executed later. Its library closure is what its own ELF
interpreter lists. Not covered: libraries that the program loads by itself (`dlopen`), other
programs that it starts, and a file that is overwritten in place afterwards.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from scone.crypto.keyhash import parse_key_hash
from scone.errors import AppraisalError, UsageError
from scone.tee.loader import loader_closure
from scone.tee.program_file import (
    OpenedProgram,
    digest_of,
    open_program,
    opened,
    read_shebang,
    require_program,
    require_same,
)
from scone.tee.python_trees import tree_digest

__all__ = [
    "LAYOUT",
    "EnclaveOptions",
    "FileDigest",
    "Measurement",
    "OpenedProgram",
    "measure_program",
    "measure_python",
    "open_program",
    "require_unchanged",
]

LAYOUT: Final = "scone-sim-layout-1"

FileDigest = tuple[str, str]
"""A canonical path (or `tree:<name>`) and the SHA-256 of its content, in hex."""

_SIZE: Final = re.compile(r"([0-9]{1,12})([KMG]?)")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MAX_SIZE: Final = 1 << 46
_MAX_THREADS: Final = 65535


@dataclass(frozen=True, slots=True)
class EnclaveOptions:
    """What besides files enters the measurement; the defaults are SCONE's."""

    cas_key: str | None = None
    heap: int = 64 << 20
    stack: int = 2 << 20
    threads: int = 8

    def __post_init__(self) -> None:
        """Refuse values that no environment could have given.

        Raises:
            UsageError: a size or a number out of range.
            MalformedError: not a key hash.
        """
        if self.cas_key is not None:
            parse_key_hash(self.cas_key, place="SCONE_CAS_KEY")
        for name, value in (("SCONE_HEAP", self.heap), ("SCONE_STACK", self.stack)):
            if not 0 < value <= _MAX_SIZE:
                raise UsageError(f"{name}: expected 1 to {_MAX_SIZE} bytes, got {value}")
        if not 1 <= self.threads <= _MAX_THREADS:
            raise UsageError(f"SCONE_TCS: expected 1 to {_MAX_THREADS}, got {self.threads}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """SCONE_CAS_KEY, SCONE_HEAP, SCONE_STACK and SCONE_TCS; an empty variable is none.

        Raises:
            UsageError: a size or a number that is none.
            MalformedError: SCONE_CAS_KEY is not a key hash.
        """
        default = cls()
        threads = environment.get("SCONE_TCS") or str(default.threads)
        if not re.fullmatch(r"[0-9]{1,5}", threads):
            raise UsageError(
                f"SCONE_TCS: expected a number of threads such as 8, got {threads[:32]!r}"
            )
        return cls(
            environment.get("SCONE_CAS_KEY") or None,
            _size(environment, "SCONE_HEAP", default.heap),
            _size(environment, "SCONE_STACK", default.stack),
            int(threads),
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """Files and options, and their one value."""

    options: EnclaveOptions
    files: tuple[FileDigest, ...]

    def to_json(self) -> bytes:
        """The bytes that are hashed: compact JSON, fields in the order of the format."""
        document = {
            "layout": LAYOUT,
            "cas_key": self.options.cas_key,
            "heap": self.options.heap,
            "stack": self.options.stack,
            "threads": self.options.threads,
            "files": self.files,
        }
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def mrenclave(self) -> bytes:
        """The simulated MRENCLAVE, 32 bytes."""
        return hashlib.sha256(self.to_json()).digest()


def measure_program(program: OpenedProgram, options: EnclaveOptions) -> Measurement:
    """Measure an opened program, the `#!` interpreter of a script, and their libraries.

    Raises:
        NotFoundError: an interpreter or a library that is not there.
        UsageError: it is not what can be measured.
        MalformedError: an ELF file or a listing that is not of the known form.
        AppraisalError: the path does not lead to the opened file any more; an ELF interpreter
            that is not the system's, a tag that loads an unlisted library.
    """
    return Measurement(options, _files(program, {}, "/", {}))


def measure_python(
    interpreter: OpenedProgram, trees: Iterable[tuple[str, str]], options: EnclaveOptions
) -> Measurement:
    """Measure a Python program: its interpreter with libraries, and named folders of code.

    Raises:
        SconeError: as `measure_program`; UsageError for a folder that cannot be read.
    """
    entries = sorted((f"tree:{name}", tree_digest(path)) for name, path in trees)
    return Measurement(options, (*_files(interpreter, {}, "/", {}), *entries))


def require_unchanged(
    program: OpenedProgram,
    measured: Iterable[FileDigest],
    environment: Mapping[bytes, bytes],
    *,
    folder: str,
) -> None:
    """Refuse an environment with which other files would be loaded than were measured.

    `folder` is the working directory in which the program will start.

    Raises:
        AppraisalError: naming the first file that differs.
        SconeError: as `measure_program`.
    """
    if environment.get(b"LD_AUDIT"):
        raise AppraisalError(
            "LD_AUDIT in the service's environment loads a library that was not measured",
            hint="remove LD_AUDIT from the session",
        )
    # The loader's own variables only: the others may be secrets, and change nothing here.
    seen = {
        name: value
        for name, value in environment.items()
        if name.startswith(b"LD_") or name == b"GLIBC_TUNABLES"
    }
    before = dict(measured)
    now = dict(_files(program, seen, folder, before))
    names = ", ".join(sorted(name.decode("ascii", "replace") for name in seen))
    cause = f", with {names} from the session" if names else ""
    for path, digest in now.items():
        if path not in before:
            raise AppraisalError(
                f"{path} would be loaded but was not measured{cause}",
                hint="remove the variable from the session, or link the program to that library",
            )
        if before[path] != digest:
            raise AppraisalError(f"{path} changed after it was measured")
    for path in before:
        if path not in now:
            raise AppraisalError(f"{path} was measured but would not be loaded{cause}")


def _files(
    program: OpenedProgram,
    environment: Mapping[bytes, bytes],
    folder: str,
    known: Mapping[str, str],
) -> tuple[FileDigest, ...]:
    """The program, then everything else by path; `known` was measured by this process before."""
    require_program(program)
    require_same(program)
    own = digest_of(program)
    script = read_shebang(program)
    if script is None:
        others = loader_closure(program, environment, folder=folder, known=known)
    else:
        with opened(script.interpreter, executable=True) as interpreter:
            if read_shebang(interpreter) is not None:
                raise UsageError(
                    f"{program.path}: its interpreter {interpreter.path} is itself a script",
                    hint="name an ELF program in the #! line",
                )
            others = loader_closure(interpreter, environment, folder=folder, known=known)
            others[interpreter.path] = digest_of(interpreter)
    require_same(program)
    others.pop(program.path, None)
    return ((program.path, own), *sorted(others.items()))


def _size(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or ""
    if not text:
        return default
    found = _SIZE.fullmatch(text.upper())
    if found is None:
        raise UsageError(f"{name}: expected a size such as 64M, 2G or 65536, got {text[:32]!r}")
    return int(found[1]) * _UNITS[found[2]]
