"""CLI start: `scone self show-key-hash` on an existing config, beside the bare interpreter.

Goal: 120 ms wall as a first stage. Prints medians of alternating runs, the ratio, and what is imported.
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

SCONE = Path(sys.executable).parent / "scone"


def wall_ms(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        ours = [str(SCONE), "self", "show-key-hash"]
        bare = [sys.executable, "-c", "pass"]
        subprocess.run(ours, env=environment, check=True, stdout=subprocess.DEVNULL)
        wall_ms(bare, environment)
        pairs = [(wall_ms(ours, environment), wall_ms(bare, environment)) for _ in range(runs)]
        profile = subprocess.run(
            [sys.executable, "-X", "importtime", str(SCONE), "self", "show-key-hash"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stderr
    own = statistics.median(pair[0] for pair in pairs)
    peer = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    print("| command | wall ms (median) | ratio |")
    print("|---|---|---|")
    print(f"| scone self show-key-hash | {own:.1f} | {ratio:.2f} |")
    print(f"| python -c pass | {peer:.1f} | 1.00 |")
    rows = []
    for line in profile.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[1].strip().isdigit():
            rows.append((int(parts[1]), parts[2].strip()))
    print("\nimports, cumulative us (the largest):")
    for cumulative, name in sorted(rows, reverse=True)[:12]:
        print(f"{cumulative:8d}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
