"""The CLI page against the real programs: LAS, CAS and `scone` as processes."""

import base64
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e
SHARED = Path(__file__).resolve().parents[3] / "shared" / "sessions"
HASH = re.compile(r"[0-9a-f]{64}\n")
KEY = "cfadf5e00443f15e4670e253e353dda80eac0b1295903fdc96339554a78cde0a"
MEASUREMENT = "3be304015fb399cf88d76a8f58f04e16997010dab573cb1a91eb6257c2a452ac"


class World:
    """A LAS, a CAS, a HOME; `scone` runs there."""

    def __init__(self, home):
        self.home = home
        self.cas = programs.CasProcess(home).start()
        self.address = f"localhost:{self.cas.ports[0]}"
        self.root = home / ".cas/simulated-platform/root.pem"
        (home / "owner.toml").write_text('[api_identity]\ncommon_name = "mycas"\n')

    def scone(self, *words, status=0, stdin="", config=None):
        env = programs.environment(self.home, MORE="not a variable of any template")
        if config is not None:
            env["SCONE_CLI_CONFIG"] = str(self.home / config)
        done = subprocess.run(
            [str(programs.BIN / "scone"), *map(str, words)],
            cwd=self.home,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done

    def provision(self, *more, status=0):
        return self.scone(
            "cas",
            "provision",
            self.address,
            "-c",
            self.cas.line("CAS key hash"),
            "--token",
            self.cas.line("CAS provisioning token"),
            "--config-file",
            "owner.toml",
            *more,
            "with-attestation",
            "--only_for_testing-simulation",
            self.root,
            status=status,
        )


@pytest.fixture
def world(tmp_path):
    with programs.las(tmp_path):
        made = World(tmp_path)
        try:
            yield made
        finally:
            made.cas.stop()


def test_the_console_lines_are_cut_as_scripts_cut_them(world):
    assert re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{49,52}", world.cas.line("CAS key hash"))
    assert re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{49,52}", world.cas.line("CAS software-key hash"))
    assert re.fullmatch(r"[0-9a-f]{32}", world.cas.line("CAS provisioning token"))


def test_the_story_of_the_cli_page(world):
    done = world.provision()
    assert "Done, CAS configuration was successfully provisioned. You are now owner" in done.stdout
    assert "warning" in done.stderr.lower()  # the token stands on the command line
    assert world.scone("cas", "list").stdout.startswith(
        f"* {world.address}: https://{world.address}/"
    )
    key = world.scone("cas", "show-identification", "-c").stdout.strip()
    assert key in done.stdout
    assert key != world.cas.line("CAS key hash")
    attested = world.scone(
        "cas",
        "attest",
        world.address,
        "-c",
        key,
        "--only_for_testing-simulation",
        world.root,
        config="second.json",
    )
    assert attested.stdout == f"CAS {world.address} at https://{world.address}/ is trustworthy\n"
    assert "SIMULATED" in attested.stderr
    assert "0.1.0" in world.scone("cas", "version", config="second.json").stdout
    refused = world.scone("cas", "attest", world.address, status=4, config="third.json")
    assert "imulat" in refused.stderr
    wrong = world.scone(
        "cas",
        "attest",
        world.address,
        MEASUREMENT,
        "-GCS",
        "--only_for_testing-simulation",
        world.root,
        status=4,
        config="third.json",
    )
    assert "Enclave hash does not match expectation:" in wrong.stderr
    assert "had provisioned the CAS before" in world.provision().stderr
    other = world.provision("--identity", identity_file(world.home), status=1)
    assert "only the first claim succeeds" in other.stderr


def test_the_pages_two_session_files_run_unchanged(world):
    if not SHARED.is_dir():
        pytest.skip("the documentation's session files are not beside the repository")
    world.provision()
    one, two = "CAS_cli-intro__10.yml", "CAS_cli-intro__14.yml"
    for name in (one, two):
        shutil.copyfile(SHARED / name, world.home / name)
    variable = ("-e", f"NGINX_MRENCLAVE={MEASUREMENT}")
    assert "my-example-session" in world.scone("cas", "session", "check", one).stdout
    created = world.scone("session", "create", one).stdout
    assert HASH.fullmatch(created)
    missing = world.scone("session", "update", two, status=1)
    assert "Value for variable $NGINX_MRENCLAVE is missing at line 7" in missing.stderr
    updated = world.scone("cas", "session", "update", *variable, two).stdout
    assert HASH.fullmatch(updated)
    assert world.scone("cas", "session", "verify", *variable, two).stdout == updated
    world.scone("session", "verify", "-e", f"NGINX_MRENCLAVE={'0' * 64}", two, status=1)
    read = world.scone("session", "read", "my-example-session").stdout
    assert re.search(rf'predecessor: "?{created.strip()}"?\n', read)
    (world.home / "read.yml").write_text(read)
    assert world.scone("session", "calculate-hash", "read.yml").stdout == updated
    again = world.scone("session", "create", one, status=1)
    assert "Session already exists, please specify predecessor hash" in again.stderr
    absent = world.scone("session", "update", "-n", "absent", one, status=1)
    assert "absent" in absent.stderr


def test_only_the_owner_updates_the_configuration(world):
    world.provision()
    key = world.scone("cas", "show-identification", "-c").stdout.strip()
    (world.home / "new.yml").write_text("api_identity:\n  common_name: other.example\n")
    world.scone("cas", "update-config", "--config-file", "new.yml")
    attest = (
        "cas",
        "attest",
        world.address,
        "-c",
        key,
        "--only_for_testing-simulation",
        world.root,
    )
    world.scone(*attest, config="second.json")
    refused = world.scone(
        "cas", "update-config", "--config-file", "new.yml", status=1, config="second.json"
    )
    assert "only the owner" in refused.stderr


def test_database_key_injection_as_the_page_tells_it(world):
    (world.home / "key").write_text(KEY + "\n")
    bad = world.provision("--database-key", KEY[:-1], status=2)
    assert "64" in bad.stderr
    done = world.provision("--database-key", "@key")
    assert "attest" in done.stdout + done.stderr
    assert world.scone("cas", "list").stdout == ""
    attest = ("cas", "attest", world.address, "--only_for_testing-simulation", world.root)
    refused = world.scone(*attest, status=4)
    assert "--allow-cas-owner-secret-access" in refused.stderr
    world.scone(*attest, "--allow-cas-owner-secret-access")
    (world.home / "s.yml").write_text(
        'name: s\nversion: "0.3.10"\nsecrets:\n  - {name: p, kind: ascii, value: planted-value}\n'
    )
    world.scone("session", "create", "s.yml")
    show = [
        str(programs.BIN / "cas"), "database", "show", "--database", str(world.home / "cas.db"),
        "--key-file", str(world.home / "key"),
    ]  # fmt: skip
    env = programs.environment(world.home)
    running = subprocess.run(show, env=env, capture_output=True, text=True)
    assert running.returncode == 1
    assert "another CAS uses the database" in running.stderr
    world.cas.stop()
    shown = subprocess.run(show, env=env, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "planted-value" in shown.stdout
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    owner_key = next(record["value"] for record in records if record["key"] == "owner-key")
    assert base64.b64decode(owner_key["base64"]).startswith(b"0")
    command = shlex.join(show) + " | head -n 0; echo ${PIPESTATUS[0]}"
    cut = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    assert (cut.stdout, cut.stderr) == ("141\n", "")
    command = shlex.join(show) + " > /dev/full"
    full = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
    assert full.returncode == 1
    assert full.stderr.startswith("Error: standard output: No space left")
    (world.home / "key").write_text("00" * 32)
    other = subprocess.run(show, env=env, capture_output=True, text=True)
    assert other.returncode == 1
    assert "Traceback" not in other.stderr
    assert b"planted-value" not in (world.home / "cas.db").read_bytes()


def test_a_backup_takes_over(world, tmp_path):
    world.provision()
    second = tmp_path / "machine2"
    second.mkdir()
    las_command = [
        str(programs.BIN / "las"), "--simulation", "--join",
        str(world.home / ".cas/simulated-platform"),
    ]  # fmt: skip
    log = (second / "las.log").open("wb")
    las2 = subprocess.Popen(las_command, env=programs.environment(second), stderr=log)
    backup = programs.CasProcess(second)
    try:
        programs.wait_until(
            (second / ".cas/simulated-platform/las.sock").exists, las2, second / "las.log"
        )
        backup.start()
        address = f"localhost:{backup.ports[0]}"
        hashes = ("--key-hash", backup.line("CAS key hash"))
        done = world.scone("cas", "register-backup", address, *hashes)
        assert "Backup CAS registered" in done.stdout
        listed = world.scone("cas", "list-backups").stdout
        assert address in listed
        (world.home / "s.yml").write_text('name: s\nversion: "0.3.10"\n')
        created = world.scone("session", "create", "s.yml").stdout
        stranger = world.scone(
            "cas", "list-backups", "--identity", identity_file(world.home), status=1
        )
        assert "only the owner" in stranger.stderr
        world.cas.stop()
        backup.stop()
        for name in ("cas.db", "cas.db.key-store"):
            shutil.copyfile(world.home / name, second / name)
        backup.start()
        key = world.scone("cas", "show-identification", "-c").stdout.strip()
        assert backup.line("CAS key hash") == key
        root = second / ".cas/simulated-platform/root.pem"
        world.scone("cas", "attest", address, "-c", key, "--only_for_testing-simulation", root)
        assert world.scone("session", "verify", "-c", address, "s.yml").stdout == created
        backup_id = re.search(r"\b[0-9a-f]{16}\b", listed).group()
        world.scone("cas", "unregister-backup", "-c", address, backup_id)
        assert (
            backup_id
            not in world.scone(
                "cas", "attest", address, "-c", key, "--only_for_testing-simulation", root
            ).stdout
        )
        assert backup_id not in world.scone("cas", "list-backups", "-c", address).stdout
    finally:
        backup.stop()
        programs.end(las2)
        log.close()


def identity_file(home):
    path = home / "identity.pem"
    path.write_bytes(programs.identity().pem.reveal())
    path.chmod(0o600)
    return path


def test_a_cas_without_a_las_and_a_cas_without_simulation_say_what_to_do(tmp_path):
    env = programs.environment(tmp_path)
    for words, expected in (
        (["--simulation"], "las --simulation"),
        ([], "cas --simulation"),
        (["-c", str(tmp_path / "absent.toml")], "cannot read"),
    ):
        done = subprocess.run(
            [str(programs.BIN / "cas"), *words], env=env, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    (tmp_path / "cas.toml").write_text('[database]\npath = "x"\n')
    done = subprocess.run(
        [str(programs.BIN / "cas"), "-c", str(tmp_path / "cas.toml")],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "simulated platform only" in done.stderr


def test_the_cas_is_undumpable_and_its_files_are_private(world):
    world.provision()
    status = Path(f"/proc/{world.cas.process.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", status)
    for name in ("cas.db", "cas.db.key-store", "cas.db.lock"):
        assert (world.home / name).stat().st_mode & 0o077 == 0, name
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{world.cas.process.pid}/environ").read_bytes()
    world.cas.stop(signal.SIGINT)
    assert world.cas.process.returncode == 0
