"""A session of 200 lines: parse and check after start, and `scone session check` as a command.

Goals: 3 ms of CPU for the first, 200 ms wall for the second. Peers: PyYAML's C loader alone on
the same text, and the bare interpreter. Prints medians of alternating runs and the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from scone.session import canonical_json, from_canonical, read_session

SCONE = Path(sys.executable).parent / "scone"
FILE = Path(__file__).parent / "session.yml"


def cpu_ms(action) -> float:
    begun = time.process_time()
    action()
    return 1000 * (time.process_time() - begun)


def wall_ms(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return 1000 * (time.perf_counter() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--commands", type=int, default=21)
    options = parser.parse_args()
    text = FILE.read_text()
    document = canonical_json(read_session(text).session)
    actions = {
        "parse and check (read_session)": lambda: read_session(text),
        "canonical form and hash": lambda: canonical_json(from_canonical(document)),
        "yaml.load(CSafeLoader), no checks": lambda: yaml.load(text, yaml.CSafeLoader),
    }
    for action in actions.values():
        action()
    times = {name: [] for name in actions}
    for _ in range(options.runs):
        for name, action in actions.items():
            times[name].append(cpu_ms(action))
    peer = statistics.median(times["yaml.load(CSafeLoader), no checks"])
    print(f"{len(text.splitlines())} lines, {len(text)} bytes\n")
    print("| | CPU ms (median) | ratio |\n|---|---|---|")
    for name, found in times.items():
        own = statistics.median(found)
        print(f"| {name} | {own:.2f} | {own / peer:.2f} |")
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        ours = [str(SCONE), "session", "check", str(FILE)]
        bare = [sys.executable, "-c", "pass"]
        wall_ms(ours, environment)
        pairs = [
            (wall_ms(ours, environment), wall_ms(bare, environment))
            for _ in range(options.commands)
        ]
    own, start = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
    print("\n| command | wall ms (median) | ratio |\n|---|---|---|")
    print(f"| scone session check | {own:.1f} | {own / start:.2f} |")
    print(f"| python -c pass | {start:.1f} | 1.00 |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
