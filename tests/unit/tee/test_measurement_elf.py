"""The ELF reader: real programs, every broken header, any bytes."""

import os
import struct
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scone.errors import MalformedError
from scone.tee.elf import ElfFile, read_elf

DEPAUDIT, AUDIT = 0x6FFFFEFB, 0x6FFFFEFC


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
    dynamic=None,
    dynamic_bytes=None,
    load=(0, 0),
    dynamics=1,
):
    """A small ELF file, right unless told otherwise.

    `dynamic` are the tags of its dynamic section, `load` is how much the one loaded segment
    differs from it in (address, length).
    """
    wide = bits == 64
    header_bytes, phdr_bytes = (64, 56) if wide else (52, 32)
    entries, texts, segments = b"", b"", len(interpreters) + 1 + dynamics * (dynamic is not None)
    at = header_bytes + phdr_bytes * segments
    form = struct.Struct("<IIQQQQQQ" if wide else "<IIIIIIII")

    def segment(kind, offset, address, size):
        if wide:
            return form.pack(kind, 4, offset, address, 0, size, size, 1)
        return form.pack(kind, offset, address, 0, size, size, 4, 1)

    for text in interpreters:
        offset = at + len(texts) if text_at is None else text_at
        size = len(text) if text_bytes is None else text_bytes
        entries += segment(3, offset, 0, size)
        texts += text
    if dynamic is None:
        entries += form.pack(1, *[0] * 7)
    else:
        place, table_of_tags = at + len(texts), b""
        for tag in dynamic:
            table_of_tags += struct.pack("<QQ" if wide else "<II", tag, 7)
        size = len(table_of_tags) if dynamic_bytes is None else dynamic_bytes
        entries += segment(2, place, 0x2000 + place, size) * dynamics
        entries += segment(1, 0, 0x2000 + load[0], place + len(table_of_tags) + load[1])
        texts += table_of_tags + bytes(max(0, load[1]))
    header = magic + bytes([elf_class or bits // 32, data, 1]) + bytes(9)
    header += struct.pack(
        "<HHI" + ("QQQ" if wide else "III") + "IHHHHHH",
        kind, 62, 1, 0, header_bytes if table is None else table, 0, 0, header_bytes,
        phdr_bytes if entry_bytes is None else entry_bytes,
        segments if count is None else count, 0, 0, 0,
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
    assert found.audit == ()


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ((0,), ()),
        ((1, 5, 6, 0x6FFFFEFA, 0x6FFFFEFD, 0), ()),
        ((1, AUDIT, 0), ("DT_AUDIT",)),
        ((DEPAUDIT, 1, 0, 0), ("DT_DEPAUDIT",)),
        ((AUDIT, DEPAUDIT, 0), ("DT_AUDIT", "DT_DEPAUDIT")),
        ((1, 0, AUDIT), ()),
    ],
)
def test_the_tags_that_load_auditing_libraries_are_named(bits, tags, names):
    assert read(elf(bits=bits, dynamic=tags)) == ElfFile(bits, "/lib/ld.so", names)


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
        (elf(dynamic=(1, 5)), "program.dynamic: expected an end (DT_NULL)"),
        (elf(dynamic=()), "program.dynamic: expected 16 to 65536 bytes, got 0"),
        (elf(dynamic=(0,), dynamic_bytes=65537), "expected 16 to 65536 bytes, got 65537"),
        (elf(dynamic=(0,), dynamic_bytes=2**63), "program.dynamic: expected 16 to 65536 bytes"),
        (elf(dynamic=(0,), dynamic_bytes=4096), "program.dynamic: expected a part of one loaded"),
        (elf(dynamic=(0,), dynamics=2), "program.dynamic: expected at most one"),
        (elf(dynamic=(0,), load=(1, 0)), "program.dynamic: expected a part of one loaded"),
        (elf(dynamic=(0,), load=(-1, 1)), "program.dynamic: expected a part of one loaded"),
        (elf(dynamic=(0,), load=(0, -1)), "program.dynamic: expected a part of one loaded"),
        (elf(dynamic=(0,), load=(4096, 0)), "program.dynamic: expected a part of one loaded"),
    ],
)
def test_what_is_wrong_is_named(data, place):
    with pytest.raises(MalformedError) as error:
        read(data)
    assert place in str(error.value)


def test_a_program_without_its_end_is_called_cut():
    with pytest.raises(MalformedError, match="got one that ends at byte 259: the file is cut"):
        read(elf(dynamic=(0,))[:-1])
    with open(os.path.realpath("/bin/true"), "rb") as file:
        whole = file.read()
    read(whole)
    with pytest.raises(MalformedError, match=r"phdr\[\d+\]: expected a segment that ends inside"):
        read(whole[: len(whole) // 2])


@pytest.mark.parametrize("bits", [32, 64])
def test_a_file_cut_short_anywhere_is_malformed(bits):
    whole = elf(bits=bits, dynamic=(1, 0))
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
    changed = bytearray(elf(bits=bits, dynamic=(1, AUDIT, 0)))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed))
    except MalformedError:
        return
    assert found.interpreter is None or found.interpreter.startswith("/")
