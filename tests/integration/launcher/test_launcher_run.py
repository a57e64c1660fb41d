"""What a service receives, and what the launcher returns."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher_world import PYTHON, config, python

from scone.tee.measurement import EnclaveOptions, measure_program, open_program

REPORT = (
    "import json,os,sys;"
    "raw=lambda name: open('/proc/self/'+name,'rb').read().split(b'\\0')[:-1];"
    "print(json.dumps({'argv':[w.decode() for w in raw('cmdline')],"
    "'env':[w.decode() for w in raw('environ')],'pwd':os.getcwd(),"
    "'fds':sorted(os.listdir('/proc/self/fd'))}))"
)


def test_the_service_gets_exactly_the_arguments_and_environment_of_its_configuration(world):
    environment = {"SECRET": "äö = x\n", "EMPTY": ""}
    world.cas.give(python(REPORT, environment=environment, pwd="/usr"))
    status, out, error = world.run(PYTHON, "host", "arguments", HOST_VARIABLE="leak")
    assert status == 0, error
    seen = json.loads(out)
    assert seen["argv"] == [PYTHON, "-I", "-S", "-c", REPORT]
    assert seen["env"] == ["SECRET=äö = x\n", "EMPTY="]
    assert seen["pwd"] == "/usr"
    assert len(seen["fds"]) == 4  # 0, 1, 2 and the listing's own


def test_the_first_argument_is_the_configurations_and_not_the_programs_path(world):
    world.cas.give(config("another name", "-c", 'printf "%s|" "$0" "$@"', "a b", ""))
    assert world.run("/bin/sh")[:2] == (0, "a b||")
    world.cas.give(config("another name", "/proc/self/cmdline"))
    assert world.run("/bin/cat")[:2] == (0, "another name\0/proc/self/cmdline\0")


def test_the_request_carries_evidence_for_this_channel_and_the_hash_that_scone_hash_prints(world):
    world.cas.give(python("pass"))
    assert world.run(PYTHON)[0] == 0
    [(method, path, body)] = world.cas.requests
    assert (method, path) == ("POST", "/v1/service")
    assert list(body) == ["config_id", "instance_key", "quote", "service_hash"]
    assert body["config_id"] == "hello/service"
    status, out, error = world.run(PYTHON, SCONE_HASH="1", SCONE_LAS_ADDR=None, SCONE_CAS_ADDR="x")
    assert (status, error) == (0, "")
    assert re.fullmatch(r"[0-9a-f]{64}\n", out)
    assert world.cas.bound == [(True, out.strip())]


def test_the_debug_log_has_the_digest_of_every_measured_file(world):
    world.cas.refuse(403, "another measurement")
    error = world.run("/bin/true", SCONE_LOG="DEBUG")[2]
    program = open_program("/bin/true")
    files = measure_program(program, EnclaveOptions()).files
    program.close()
    assert len(files) >= 3
    for path, digest in files:
        assert f": measured {path} {digest}\n" in error


def test_the_measurement_covers_geometry_and_cas_key(world):
    program = open_program(PYTHON)
    options = EnclaveOptions(world.cas.key_hash, 1 << 30, 4 << 10, 3)
    expected = measure_program(program, options).mrenclave.hex()
    program.close()
    out = world.run(PYTHON, SCONE_HASH="1", SCONE_HEAP="1g", SCONE_STACK="4K", SCONE_TCS="3")[1]
    assert out.strip() == expected


@pytest.mark.parametrize("status", [0, 1, 42, 134, 255])
def test_the_exit_status_is_the_programs(world, status):
    world.cas.give(config("sh", "-c", f"exit {status}"))
    assert world.run("/bin/sh")[0] == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM, signal.SIGUSR1])
def test_the_launcher_dies_by_the_signal_that_ended_the_program(world, number):
    world.cas.give(config("sh", "-c", f"kill -{int(number)} $$"))
    status, _, error = world.run("/bin/sh")
    assert status == -number
    assert f"Enclave terminated due to signal: {signal.strsignal(number)}" in error


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_signals_reach_the_service(world, name):
    code = f"trap 'echo got; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    world.cas.give(config("sh", "-c", code, environment={"PATH": "/usr/bin:/bin"}))
    process = world.start("/bin/sh")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, b"got\n"), error


def test_the_service_does_not_outlive_the_launcher(world):
    world.cas.give(python("import os,time;print(os.getpid(),flush=True);time.sleep(60)"))
    process = world.start(PYTHON)
    service = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    for _ in range(200):
        try:
            state = Path(f"/proc/{service}/stat").read_text().split()[2]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the service is still there")


def test_signals_and_limits_are_those_that_programs_expect(world):
    # Python itself ignores SIGPIPE and SIGXFSZ: ask a shell for its child.
    world.cas.give(config("sh", "-c", "grep -E 'SigBlk|SigIgn' /proc/self/status; ulimit -c",
                          environment={"PATH": "/usr/bin:/bin"}))  # fmt: skip
    status, out, error = world.run("/bin/sh")
    assert status == 0, error
    found = re.fullmatch(r"SigBlk:\t0{16}\nSigIgn:\t([0-9a-f]{16})\n0\n", out)
    assert found, out
    # 32 and 33 are the C library's own, which its posix_spawn may leave ignored for ever.
    assert int(found[1], 16) & ~(0b11 << 31) == 0


def test_a_script_runs_by_its_measured_interpreter(world, tmp_path):
    script = tmp_path / "tool"
    script.write_text("#! /bin/sh -e\necho script:$0:$1:$-\nfalse\necho not reached\n")
    script.chmod(0o755)
    world.cas.give(config("ignored", "argument"))
    status, out, error = world.run(script)
    assert status == 1, error
    assert out.startswith(f"script:{script}:argument:e")
    assert "not reached" not in out


def test_a_program_by_name_is_found_in_path(world):
    world.cas.give(config("true"))
    assert world.run("true")[0] == 0


def test_without_a_configuration_id_the_program_runs_unattested_with_a_warning(world):
    status, out, error = world.run(
        "sh", "-c", 'echo "$0 $1 $HOST"; exit 3', "zero", "one", SCONE_CONFIG_ID=None, HOST="here"
    )
    assert (status, out) == (3, "zero one here\n")
    assert "SCONE_CONFIG_ID is not set: the program runs unattested" in error
    assert world.cas.requests == []


@pytest.mark.parametrize("level", ["FATAL", "1", "info", "7"])
def test_the_simulation_line_cannot_be_turned_off(world, level):
    world.cas.give(config("true"))
    line = (
        "Application runs in SGX simulation mode. Its memory can be read by the untrusted system!"
    )
    for config_id in ("hello/service", None):
        error = world.run("true", SCONE_LOG=level, SCONE_CONFIG_ID=config_id)[2]
        assert re.search(rf"^\[SCONE\|WARN\] \S+:\d+:\w+\(\): {re.escape(line)}", error, re.M)


def test_the_log_never_shows_what_the_service_received(world):
    values = ["Zargument", "Zenvironment", "Zfile"]
    world.cas.give(
        config(
            "true",
            values[0],
            environment={"NAME": values[1]},
            files=[(world.folder / "file", values[2], 0o600)],
        )
    )
    error = world.run("true", SCONE_LOG="TRACE")[2]
    assert "Received configuration from CAS!" in error
    assert [value for value in values if value in error] == []


def test_the_version_comes_with_settings_and_hash(world):
    world.cas.give(config("true"))
    error = world.run("true", SCONE_VERSION="1", SCONE_HEAP="64M")[2]
    found = world.run("true", SCONE_HASH="1")[1].strip()
    lines = error.splitlines()
    assert lines[0].startswith("[SCONE] Using the following values")
    assert {"SCONE_HEAP=67108864", "SCONE_MODE=sim", "SCONE_CONFIG_ID: hello/service"} < set(lines)
    assert f"Enclave hash: {found}" in lines


def test_a_session_without_evidence_can_be_served_without_a_las(world):
    world.cas.give(config("true"))
    status, _, error = world.run("true", SCONE_LAS_ADDR=str(world.folder / "none.sock"))
    assert status == 0
    assert world.cas.requests[0][2]["quote"] is None
    assert "Unable to connect to LAS" in error
    assert "enclave won't be able to attest itself" in error


def test_sigpipe_ends_an_unattested_program_as_usual(world):
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m scone.launcher.main yes | head -n 1; echo done"],
        env={**{k: v for k, v in world.environment.items() if k != "SCONE_CONFIG_ID"}},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=world.folder,
    )
    assert done.stdout == "y\ndone\n"
    assert "Broken pipe" not in done.stderr
