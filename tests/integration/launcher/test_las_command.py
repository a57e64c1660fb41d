"""The command `las` as a process: what it prints, refuses and leaves behind."""

import os
import re
import signal
import subprocess
import sys

import pytest

from scone.attestation.verify import verify
from scone.las.main import main
from scone.tee.las_client import LasTee
from scone.tee.measurement import (
    EnclaveOptions,
    measure_program,
    measure_python,
    open_program,
)
from scone.tee.python_trees import installed_trees
from scone.tee.simulation import load


def las(*arguments, home):
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "scone.las.main", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*arguments, home, status=1):
    process = las(*arguments, home=home)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in error
    return error


def started(*arguments, home):
    """A LAS that listens, and the lines that it printed."""
    process = las(*arguments, home=home)
    lines = [process.stdout.readline().rstrip("\n") for _ in range(5)]
    assert "Listening on" in lines[-1], (lines, process.poll() and process.stderr.read())
    return process, lines


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert error == ""
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_makes_a_platform_says_where_it_is_and_stops_cleanly(tmp_path, number):
    process, lines = started("--simulation", home=tmp_path)
    folder = tmp_path / ".cas" / "simulated-platform"
    socket = folder / "las.sock"
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "
    assert re.fullmatch(stamp + " WARN SIMULATION: anybody .* This is not secure!", lines[0])
    qe_id = re.fullmatch(stamp + r" INFO Intel QE ID: ([0-9a-f]{32})", lines[1])[1]
    assert lines[2].endswith(f"Platform: INTEL_QE_ID:{qe_id} (UpToDate)")
    assert lines[3].endswith(f"Root certificate: {folder / 'root.pem'}")
    assert lines[4].endswith(f"Listening on: {socket}")
    with LasTee(str(socket)) as tee:
        assert tee.root_certificate_pem() == (folder / "root.pem").read_text()
    assert stop(process, number).endswith("stopped\n")
    assert not socket.exists()
    again, lines = started("--simulation", home=tmp_path)
    assert qe_id in lines[1]
    stop(again)


def test_its_quotes_pass_the_real_verifier(tmp_path):
    from datetime import UTC, datetime

    process, _ = started("--simulation", "--platform", tmp_path / "p", home=tmp_path)
    with LasTee(str(tmp_path / "p" / "las.sock")) as tee:
        evidence = tee.quote(bytes(64))
        anchor = load(tmp_path / "p").anchor
        verified = verify(evidence.quote, tee.collateral(), [anchor], datetime.now(UTC))
        interpreter = open_program(sys.executable)
        expected = measure_python(interpreter, installed_trees(), EnclaveOptions())
        interpreter.close()
        assert verified.report.mrenclave == expected.mrenclave
        assert verified.anchor.simulated
    stop(process)


def test_a_socket_elsewhere_and_a_joined_platform_at_another_level(tmp_path):
    first, _ = started("--simulation", "--platform", tmp_path / "a", home=tmp_path)
    second, lines = started(
        "--simulation", "--platform", tmp_path / "b", "--join", tmp_path / "a",
        "--tcb", "OutOfDate", "--socket", tmp_path / "s" / "b.sock", home=tmp_path,
    )  # fmt: skip
    assert "(OutOfDate)" in lines[2]
    one, two = LasTee(str(tmp_path / "a" / "las.sock")), LasTee(str(tmp_path / "s" / "b.sock"))
    assert one.root_certificate_pem() == two.root_certificate_pem()
    assert load(tmp_path / "a").platform_id != load(tmp_path / "b").platform_id
    assert lines[1].endswith(load(tmp_path / "b").platform_id.rpartition(":")[2])
    stop(first)
    stop(second)
    error = refused(
        "--simulation", "--platform", tmp_path / "b", "--tcb", "UpToDate", home=tmp_path
    )
    assert "expected a platform with TCB level UpToDate, got OutOfDate" in error


def test_without_simulation_it_says_what_to_do(tmp_path):
    error = refused(home=tmp_path)
    assert "no quoting for SGX hardware" in error
    assert "las --simulation" in error
    assert not (tmp_path / ".cas").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:18766", "las:18766", "[::1]:1"])
def test_a_network_address_is_refused_by_name(tmp_path, address):
    error = refused("--simulation", "--socket", address, home=tmp_path)
    assert f"got {address!r}: simulated attestation is refused over TCP" in error


def test_a_second_one_on_the_same_socket_is_refused(tmp_path):
    process, _ = started("--simulation", home=tmp_path)
    assert "another LAS serves this socket" in refused("--simulation", home=tmp_path)
    with LasTee(str(tmp_path / ".cas" / "simulated-platform" / "las.sock")) as tee:
        assert (
            tee.root_certificate_pem()
            == load(tmp_path / ".cas" / "simulated-platform").root_certificate_pem
        )
    stop(process)


def test_after_a_kill_the_next_one_replaces_the_socket(tmp_path):
    process, _ = started("--simulation", home=tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert (tmp_path / ".cas" / "simulated-platform" / "las.sock").exists()
    again, _ = started("--simulation", home=tmp_path)
    stop(again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--simulation", "--tcb", "Best"], "--tcb"),
        (["--wrong"], "--wrong"),
        (["--simul"], "--simul"),
        (["--simulation", "--platform", ""], "--platform: expected a path, got an empty text"),
        (["--simulation", "--socket", ""], "--socket: expected a path, got an empty text"),
        (["--simulation", "--join", ""], "--join: expected a path, got an empty text"),
    ],
)
def test_a_wrong_command_line_is_told(tmp_path, arguments, message):
    assert message in refused(*arguments, home=tmp_path, status=2)


def test_no_folder_of_other_things_is_told_to_be_removed(tmp_path):
    (tmp_path / "thesis.tex").touch()
    error = refused("--simulation", "--platform", tmp_path, home=tmp_path)
    assert "not empty, so no simulated platform is made in it" in error
    assert error.endswith("Hint: name another folder\n")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_told(tmp_path, option):
    out, _ = las(option, home=tmp_path).communicate(timeout=60)
    assert re.fullmatch(r"las [0-9]+\.[0-9]+.*\n", out)


def test_a_home_of_any_length_will_do_and_survives_a_kill(tmp_path):
    home = tmp_path / ("a" * 120) / ("b" * 120)
    home.mkdir(parents=True)
    process, lines = started("--simulation", home=home)
    socket = home / ".cas" / "simulated-platform" / "las.sock"
    assert lines[4].endswith(f"Listening on: {socket}")
    assert "another LAS serves this socket" in refused("--simulation", home=home)
    process.kill()
    process.communicate(timeout=30)
    again, _ = started("--simulation", home=home)
    with LasTee(str(socket)) as tee:
        tee.quote(bytes(64))
    stop(again)


def test_a_full_disk_behind_standard_output_is_one_message(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "scone.las.main", "--simulation"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    message = "Error: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_an_error_of_the_program_itself_is_one_line_without_its_message(monkeypatch, capsys):
    def fail():
        raise RuntimeError("secret")

    monkeypatch.setattr("scone.las.main.make_undumpable", fail)
    assert main(["--simulation"]) == 70
    error = capsys.readouterr().err
    assert re.fullmatch(r"Error: internal error: RuntimeError at main:\d+ > .*fail:\d+\n", error)


def test_a_damaged_platform_is_refused_and_kept(tmp_path):
    folder = tmp_path / "p"
    stop(started("--simulation", "--platform", folder, home=tmp_path)[0])
    (folder / "platform.json").write_text("{")
    (folder / "platform.json").chmod(0o600)
    error = refused("--simulation", "--platform", folder, home=tmp_path)
    assert "platform.json" in error
    assert (folder / "platform.json").read_text() == "{"


def test_the_measurement_of_a_program_is_the_same_in_any_process(tmp_path):
    process, _ = started("--simulation", home=tmp_path)
    program = open_program("/usr/bin/openssl")
    from scone.tee.las_client import attest_program

    socket = str(tmp_path / ".cas" / "simulated-platform" / "las.sock")
    attested = attest_program(socket, program, EnclaveOptions(), bytes(64))
    assert attested.mrenclave == measure_program(program, EnclaveOptions()).mrenclave
    program.close()
    stop(process)
