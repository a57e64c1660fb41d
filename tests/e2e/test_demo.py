"""The main job: `demo/demo.py` does what it says, and its transcript stays as documented."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRANSCRIPT = ROOT / "docs" / "guide" / "demo-transcript.txt"

MASKS = (
    (r"/[^\s'\"]*/scone-demo-[a-z0-9_]+", "DEMO"),
    (r"/[^\s'\":]*/bin(?=:/usr/local/sbin)", "PROGRAMS"),
    (re.escape(str(ROOT)), "REPOSITORY"),
    (r"\b[0-9a-f]{64}\b", "HEX64"),
    (r"\b[0-9a-f]{32}\b", "HEX32"),
    (r"\b[1-9A-HJ-NP-Za-km-z]{49,52}\b", "KEYHASH"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"localhost:\d+", "localhost:PORT"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b(port|PORT=|port=)( ?)\d{2,5}\b", r"\1\2PORT"),
    (r"/proc/\d+", "/proc/PID"),
    (r"searched \d+ command lines and environments, \d+ files", "searched N, N files"),
    (r"in \d+ s\.", "in N s."),
    (r"-accept \d+", "-accept PORT"),
)


# Changed on purpose? python tests/e2e/test_demo.py writes the transcript again.


def masked(text: str) -> list[str]:
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.e2e
def test_the_demo_succeeds_and_its_commands_are_those_of_the_documented_transcript():
    done = subprocess.run(
        [sys.executable, "demo/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "All steps did what they say" in done.stdout
    commands = [line for line in masked(done.stdout) if line.startswith(("$ ", "=== "))]
    documented = [
        line for line in masked(TRANSCRIPT.read_text()) if line.startswith(("$ ", "=== "))
    ]
    assert commands == documented
    assert len(commands) > 25


@pytest.mark.e2e
def test_a_step_that_fails_makes_the_demo_fail(tmp_path):
    copy = tmp_path / "demo"
    subprocess.run(["cp", "-r", ROOT / "demo", copy], check=True)
    text = (copy / "session.yml").read_text()
    (copy / "session.yml").write_text(
        text.replace("mrenclave: $MRENCLAVE", f"mrenclave: {'0' * 64}")
    )
    done = subprocess.run(
        [sys.executable, "demo.py"], cwd=copy, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "Unexpected enclave measurement" in done.stdout


if __name__ == "__main__":
    run = subprocess.run([sys.executable, "demo/demo.py"], cwd=ROOT, capture_output=True, text=True)
    TRANSCRIPT.write_text("\n".join(masked(run.stdout)) + "\n")
    sys.exit(run.returncode)
