"""The ELF reader: real programs, every broken header, any bytes."""

import os
import struct
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scone.errors import MalformedError
from scone.tee.elf import ElfFile, read_elf


def read(data):
    return read_elf(lambda at, length: data[at : at + length])


def elf(
    *,
    bits=64,
    interpreters=(b"/lib/ld.so\0",),
    magic=b"\x7fELF",
    elf_class=None,
    data=1,
    kind=3,
    entry_bytes=None,
    count=None,
    table=None,
    text_at=None,
    text_bytes=None,
):
    """A small ELF file, right unless told otherwise."""
    wide = bits == 64
    header_bytes, phdr_bytes = (64, 56) if wide else (52, 32)
    entries, texts, at = b"", b"", header_bytes + phdr_bytes * (1 + len(interpreters))
    form = struct.Struct("<IIQQQQQQ" if wide else "<IIIIIIII")
    for text in interpreters:
        offset = at + len(texts) if text_at is None else text_at
        size = len(text) if text_bytes is None else text_bytes
        if wide:
            entries += form.pack(3, 4, offset, 0, 0, size, size, 1)
        else:
            entries += form.pack(3, offset, 0, 0, size, size, 4, 1)
        texts += text
    entries += form.pack(1, *[0] * 7)
    header = magic + bytes([elf_class or bits // 32, data, 1]) + bytes(9)
    header += struct.pack(
        "<HHI" + ("QQQ" if wide else "III") + "IHHHHHH",
        kind, 62, 1, 0, header_bytes if table is None else table, 0, 0, header_bytes,
        phdr_bytes if entry_bytes is None else entry_bytes,
        len(interpreters) + 1 if count is None else count, 0, 0, 0,
    )  # fmt: skip
    return header + entries + texts


@pytest.mark.parametrize("bits", [32, 64])
def test_class_and_interpreter_are_read(bits):
    assert read(elf(bits=bits)) == ElfFile(bits, "/lib/ld.so")


@pytest.mark.parametrize("kind", [2, 3])
def test_a_static_program_has_no_interpreter(kind):
    assert read(elf(interpreters=(), kind=kind)) == ElfFile(64, None)


def test_a_real_program_is_read():
    with open(os.path.realpath(sys.executable), "rb") as file:
        found = read_elf(lambda at, length: os.pread(file.fileno(), length, at))
    assert found.bits == 64
    assert found.interpreter is not None
    assert os.access(found.interpreter, os.X_OK)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "program.ident"),
        (b"#!/bin/sh\n" + bytes(20), "program: expected an ELF file"),
        (elf(elf_class=3), "program.class"),
        (elf(data=2), "program.data: expected 1 (little-endian), got 2"),
        (elf(kind=1), "program.type"),
        (elf(kind=4), "program.type"),
        (elf(entry_bytes=32), "program.phentsize"),
        (elf(count=0), "program.phnum"),
        (elf(count=257), "program.phnum"),
        (elf(count=0xFFFF), "program.phnum"),
        (elf(table=10**6), "program.phdr"),
        (elf(table=2**64 - 1), "program.phdr"),
        (elf(interpreters=(b"/a\0", b"/b\0")), "program.interp: expected at most one"),
        (elf(interpreters=(b"\0",)), "program.interp: expected 2 to 4096 bytes"),
        (elf(text_bytes=2**40), "program.interp: expected 2 to 4096 bytes"),
        (elf(text_at=2**63), "program.interp: expected an offset inside the file"),
        (elf(text_at=10**6), "program.interp"),
        (elf(interpreters=(b"/lib/ld",)), "program.interp: expected one path that ends"),
        (elf(interpreters=(b"/lib\0ld\0",)), "program.interp: expected one path that ends"),
        (elf(interpreters=(b"lib/ld\0",)), "program.interp: expected an absolute path"),
        (elf(interpreters=(b"/lib\nld\0",)), "program.interp: expected an absolute path"),
        (elf(interpreters=(b"/\xff\0",)), "program.interp: expected a path in UTF-8"),
    ],
)
def test_what_is_wrong_is_named(data, place):
    with pytest.raises(MalformedError) as error:
        read(data)
    assert place in str(error.value)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_file_cut_short_anywhere_is_malformed(bits):
    whole = elf(bits=bits)
    read(whole)
    for length in range(len(whole)):
        with pytest.raises(MalformedError):
            read(whole[:length])


@given(st.binary(max_size=200) | st.builds(lambda tail: b"\x7fELF\x02\x01" + tail, st.binary()))
@example(b"\x7fELF")
def test_any_bytes_are_a_value_or_one_error(data):
    try:
        found = read(data)
    except MalformedError:
        return
    assert found.bits in (32, 64)


@given(st.data(), st.sampled_from([32, 64]))
def test_a_changed_header_is_a_value_or_one_error(data, bits):
    changed = bytearray(elf(bits=bits))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed))
    except MalformedError:
        return
    assert found.interpreter is None or found.interpreter.startswith("/")
