"""kill -9 of a CAS in a loop: every acknowledged session is there after each restart.

python tests/e2e/cas_crash.py --kills 200
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import programs

from scone.errors import SconeError
from scone.session import read_session

TEXT = 'name: s{n}\nversion: "0.3.10"\nsecrets:\n  - {{name: p, kind: ascii, size: {size}}}\n'


class Writer(threading.Thread):
    """Creates and updates sessions of its own until the CAS dies; remembers what was acknowledged."""

    def __init__(self, cas, owner, number, acknowledged):
        super().__init__(daemon=True)
        self.cas, self.owner, self.number, self.acknowledged = cas, owner, number, acknowledged
        self.unexpected = []

    def run(self):
        round_number = 0
        while True:
            name = self.number * 1_000_000 + len(self.acknowledged) % 7
            text = TEXT.format(n=name, size=10 + round_number % 50)
            known = self.acknowledged.get(f"s{name}")
            if known is not None:
                text += f"predecessor: {known[-1]}\n"
            round_number += 1
            try:
                status, answer = self.cas.call("POST", "/v1/sessions", text.encode(), self.owner)
            except SconeError:
                return
            if status == 201:
                self.acknowledged.setdefault(f"s{name}", []).append(answer["hash"])
            else:
                # An update that was committed but whose answer was lost: read the hash.
                status, found = self.cas.call("GET", f"/v1/sessions/s{name}", b"", self.owner)
                if status != 200:
                    self.unexpected.append(answer)
                    return
                self.acknowledged.setdefault(f"s{name}", []).append(found["hash"])


def run(kills, seed=1, writers=4):
    """Number of acknowledged versions that were checked; raises where one is lost."""
    chance = random.Random(seed)
    checked = 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        owner = programs.identity()
        acknowledged = [{} for _ in range(writers)]
        with programs.las(home):
            cas = programs.CasProcess(home).start()
            cas.provision(owner, {"limits": {"max_requests_per_second_per_address": 0}})
            key = None
            try:
                for number in range(kills):
                    threads = [Writer(cas, owner, n, acknowledged[n]) for n in range(writers)]
                    for thread in threads:
                        thread.start()
                    threading.Event().wait(chance.uniform(0.05, 0.4))
                    cas.stop(signal.SIGKILL)
                    for thread in threads:
                        thread.join(30)
                        assert not thread.unexpected, thread.unexpected
                    cas.start()
                    assert key in (None, cas.line("CAS key hash"))
                    key = cas.line("CAS key hash")
                    checked += check(cas, owner, acknowledged)
                    if number % 20 == 19:
                        print(f"{number + 1} kills, {checked} versions checked", flush=True)
            finally:
                cas.stop(signal.SIGKILL)
    return checked


def check(cas, owner, acknowledged):
    """All versions acknowledged since the last check are readable by hash; the last is active
    or was followed by one whose answer was lost. The list names these sessions and no other."""
    _, listed = cas.call("GET", "/v1/session_list", b"", owner)
    unanswered = set(listed["sessions"]) - {name for one in acknowledged for name in one}
    assert len(listed["sessions"]) == len(unanswered) + sum(map(len, acknowledged))
    for name in unanswered:  # created, but the answer was lost
        assert cas.call("GET", f"/v1/sessions/{name}", b"", owner)[0] == 200
    count = 0
    for sessions in acknowledged:
        for name, hashes in sessions.items():
            for session_hash in hashes[-3:]:
                status, found = cas.call(
                    "GET", f"/v1/sessions/{name}?hash={session_hash}", b"", owner
                )
                assert status == 200, (name, session_hash, found)
                assert found["hash"] == session_hash
                count += 1
            _, active = cas.call("GET", f"/v1/sessions/{name}", b"", owner)
            if active["hash"] != hashes[-1]:
                parsed = read_session(active["session"], source=name).session
                assert parsed.predecessor == hashes[-1], name
                hashes.append(active["hash"])
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    total = run(options.kills)
    print(f"{options.kills} kills: {total} acknowledged versions checked, 0 lost")
