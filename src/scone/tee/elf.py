"""What an ELF file asks for at its start: its interpreter, and libraries that audit it.

System V ABI, chapters 4 and 5 (32 and 64 bits, little-endian). Other libraries are not
looked up here: only the interpreter itself knows which ones it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scone.errors import MalformedError
from scone.wire import Reader

ELF_MAGIC: Final = b"\x7fELF"

_HEADER_BYTES: Final = {1: 52, 2: 64}  # by class: 32, 64 bits
_PROGRAM_HEADER_BYTES: Final = {1: 32, 2: 56}
_LITTLE_ENDIAN: Final = 1
_EXECUTABLE: Final = 2
_SHARED: Final = 3
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_PT_INTERP: Final = 3
_DT_NULL: Final = 0
_DT_AUDIT: Final = {0x6FFFFEFB: "DT_DEPAUDIT", 0x6FFFFEFC: "DT_AUDIT"}
# Programs have 10 to 15 program headers; Linux itself refuses more than 64 KiB of them.
_MAX_PROGRAM_HEADERS: Final = 256
_MAX_INTERPRETER: Final = 4096  # PATH_MAX, as fs/binfmt_elf.c has it
_MAX_OFFSET: Final = 1 << 62  # beyond any file, and beyond what pread takes
_MAX_DYNAMIC: Final = 1 << 16  # 4096 entries; a program with 250 libraries has about 300

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, length)`: at most `length` bytes of the file from `offset`."""


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What starts a program: its class and its interpreter (None for a static program).

    `audit` names the tags by which glibc loads further libraries, unlisted.
    """

    bits: int
    interpreter: str | None
    audit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Segment:
    """One program header, as far as it is used."""

    kind: int
    offset: int
    address: int
    length: int


def read_elf(read_at: ReadAt, what: str = "program") -> ElfFile:
    """The class, interpreter and auditing tags of an ELF executable.

    Raises:
        MalformedError: not an ELF executable of this form.
    """
    identification = Reader(what, _exactly(read_at, 0, 16, f"{what}.ident"))
    magic = identification.bytes("magic", 4)
    if magic != ELF_MAGIC:
        raise MalformedError(what, "an ELF file", "another format")
    elf_class = identification.uint("class", 1)
    if elf_class not in _HEADER_BYTES:
        raise MalformedError(f"{what}.class", "1 (32 bits) or 2 (64 bits)", f"{elf_class}")
    encoding = identification.uint("data", 1)
    if encoding != _LITTLE_ENDIAN:
        raise MalformedError(f"{what}.data", "1 (little-endian)", f"{encoding}")
    word = 4 * elf_class
    header_bytes = _HEADER_BYTES[elf_class]
    header = Reader(what, _exactly(read_at, 16, header_bytes - 16, f"{what}.header"))
    kind = header.uint("type", 2)
    if kind not in (_EXECUTABLE, _SHARED):
        raise MalformedError(f"{what}.type", "2 (executable) or 3 (shared)", f"{kind}")
    header.bytes("machine and version", 6)
    header.uint("entry", word)
    table = header.uint("phoff", word)
    header.uint("shoff", word)
    header.bytes("flags and ehsize", 6)
    entry_bytes = header.uint("phentsize", 2)
    count = header.uint("phnum", 2)
    if entry_bytes != _PROGRAM_HEADER_BYTES[elf_class]:
        raise MalformedError(
            f"{what}.phentsize", f"{_PROGRAM_HEADER_BYTES[elf_class]}", f"{entry_bytes}"
        )
    if not 1 <= count <= _MAX_PROGRAM_HEADERS:
        raise MalformedError(f"{what}.phnum", f"1 to {_MAX_PROGRAM_HEADERS}", f"{count}")
    entries = Reader(what, _exactly(read_at, table, count * entry_bytes, f"{what}.phdr"))
    segments = [_segment(entries.sub(f"phdr[{at}]", entry_bytes), word) for at in range(count)]
    for at, segment in enumerate(segments):
        _require_whole(read_at, segment, f"{what}.phdr[{at}]")
    interpreter = _single(segments, _PT_INTERP, f"{what}.interp", "interpreter")
    dynamic = _single(segments, _PT_DYNAMIC, f"{what}.dynamic", "dynamic section")
    return ElfFile(
        8 * word,
        _interpreter(read_at, interpreter, f"{what}.interp") if interpreter else None,
        _audit_tags(read_at, dynamic, segments, word, f"{what}.dynamic") if dynamic else (),
    )


def _segment(entry: Reader, word: int) -> _Segment:
    kind = entry.uint("type", 4)
    if word == 8:
        entry.uint("flags", 4)
    offset = entry.uint("offset", word)
    address = entry.uint("vaddr", word)
    entry.uint("paddr", word)
    return _Segment(kind, offset, address, entry.uint("filesz", word))


def _require_whole(read_at: ReadAt, segment: _Segment, place: str) -> None:
    """The loader would end by a signal in a file that lacks a part of what it loads."""
    end = segment.offset + segment.length
    if segment.kind != _PT_LOAD or segment.length == 0:
        return
    if end > _MAX_OFFSET or not read_at(end - 1, 1):
        raise MalformedError(
            place,
            "a segment that ends inside the file",
            f"one that ends at byte {end}: the file is cut",
            hint="copy, download or build it again",
        )


def _single(segments: list[_Segment], kind: int, place: str, name: str) -> _Segment | None:
    found = [segment for segment in segments if segment.kind == kind]
    if len(found) > 1:
        raise MalformedError(place, f"at most one {name}", f"{len(found)}")
    return found[0] if found else None


def _audit_tags(
    read_at: ReadAt, dynamic: _Segment, segments: list[_Segment], word: int, place: str
) -> tuple[str, ...]:
    if not 2 * word <= dynamic.length <= _MAX_DYNAMIC:
        raise MalformedError(place, f"{2 * word} to {_MAX_DYNAMIC} bytes", f"{dynamic.length}")
    # The loader reads it in memory, by address: that must be the same bytes.
    if not any(_loads(segment, dynamic) for segment in segments):
        raise MalformedError(place, "a part of one loaded segment", "another address")
    count = dynamic.length // (2 * word)
    entries = Reader(place, _exactly(read_at, dynamic.offset, count * 2 * word, place))
    found: list[str] = []
    for _ in range(count):
        tag = entries.uint("tag", word)
        entries.uint("value", word)
        if tag == _DT_NULL:
            return tuple(found)
        if tag in _DT_AUDIT:
            found.append(_DT_AUDIT[tag])
    raise MalformedError(place, "an end (DT_NULL)", "none")


def _loads(segment: _Segment, part: _Segment) -> bool:
    before = part.address - segment.address
    return (
        segment.kind == _PT_LOAD
        and before >= 0
        and before + part.length <= segment.length
        and part.offset - segment.offset == before
    )


def _interpreter(read_at: ReadAt, segment: _Segment, place: str) -> str:
    length = segment.length
    if not 2 <= length <= _MAX_INTERPRETER:
        raise MalformedError(place, f"2 to {_MAX_INTERPRETER} bytes", f"{length}")
    raw = _exactly(read_at, segment.offset, length, place)
    path, end = raw[:-1], raw[-1:]
    if end != b"\0" or b"\0" in path:
        raise MalformedError(place, "one path that ends with a zero byte", "another text")
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(place, "a path in UTF-8", "other bytes") from error
    if not text.startswith("/") or not text.isprintable():
        raise MalformedError(place, "an absolute path", repr(text[:80]))
    return text


def _exactly(read_at: ReadAt, offset: int, length: int, place: str) -> bytes:
    if offset >= _MAX_OFFSET:
        raise MalformedError(place, "an offset inside the file", f"{offset}")
    data = read_at(offset, length)
    if len(data) != length:
        raise MalformedError(place, f"{length} bytes at offset {offset}", f"{len(data)}")
    return data
