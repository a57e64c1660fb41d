"""The commands of README.md and of the guide to sessions, run in their order in an empty HOME."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"<!-- tour -->\n```console\n(.*?)```", re.DOTALL)


def script() -> str:
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    assert len(blocks) >= 5
    guide = BLOCK.findall((ROOT / "docs" / "guide" / "sessions.md").read_text())
    assert len(guide) >= 5
    blocks += guide
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    programs = f"export PATH={Path(sys.executable).parent}:$PATH"
    assert lines[0].startswith("export PATH=$PWD/.venv/bin")
    return "\n".join(["set -e", "trap 'kill $(jobs -p); wait' EXIT", programs, *lines[1:]])


@pytest.mark.e2e
def test_the_tour_of_the_readme_works_as_printed():
    with tempfile.TemporaryDirectory(prefix="tour-") as name:
        home = Path(name) / ("long-" * 20)  # beyond the 107 bytes of a socket's address
        home.mkdir()
        run_tour(home)


def run_tour(home):
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "HOST_ONLY": "must not appear"}
    done = subprocess.run(
        ["timeout", "100", "bash", "-c", script()],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=130,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "GREETING=hello from the session" in done.stdout
    assert re.search(r"^PASSWORD=.{16}$", done.stdout, re.MULTILINE)
    assert "HOST_ONLY" not in done.stdout
    assert "greetings from the session" in done.stdout
    hashes = re.findall(r"^[0-9a-f]{64}$", done.stdout, re.MULTILINE)
    assert hashes[1] == hashes[2] != hashes[0]
    assert hashes[3] == hashes[1]  # nothing to apply
    assert "everybody may read the session now" in done.stdout
    assert re.search(r"^DATABASE_PASSWORD=.{20}$", done.stdout, re.MULTILINE)
    assert "shop/web" in done.stdout.splitlines()
    assert done.stderr.count("You have insufficient rights to update session agreed") == 1
    assert done.stderr.count("nobody had claimed the root namespace") == 1
    assert "    ca-key: kept\n" in done.stdout
    assert re.search(
        r"^password = .{12}\nkey = .{43}=\na file of the host$", done.stdout, re.MULTILINE
    )
    assert "(it does not use @@2)" in done.stderr
    assert len(hashes) == 11
