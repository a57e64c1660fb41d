"""Kill a store with SIGKILL again and again; nothing acknowledged may be missing afterwards.

`python tests/integration/store/crash.py --kills 200`

A child recovers and opens the database, writes from eight threads, rolls the key over now
and then, and prints each write after its future resolved. The parent kills it at a random
moment, opens the database itself and compares. What was written and not acknowledged may
be there or not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scone.cas.store.base import DatabaseIdentity, DatabaseKey, Transaction
from scone.cas.store.key_store import (
    KeyStorePayload,
    OpenKeyStore,
    SealTo,
    new_key_store,
    open_with_seal,
    read_key_store,
)
from scone.cas.store.key_store_file import SealedUnder
from scone.cas.store.replacement import recover
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.crypto.secret import SecretBytes
from scone.errors import NotFoundError

WRITERS = 8
SEAL = SealTo(
    SecretBytes(bytes(32)),
    SealedUnder.of(
        tee="sgx", mrenclave=bytes(32), platform_id="crash", isvsvn=1, cpu_svn=bytes(16)
    ),
)


@dataclass(slots=True)
class Instance:
    """What a CAS has open: store and key store."""

    store: SqliteStore
    key_store: OpenKeyStore
    path: Path

    def roll_over(self) -> None:
        """A new key and epoch, while others write."""
        old = self.key_store.payload
        key = SecretBytes(os.urandom(32))
        payload = old.rolled_over(key, DatabaseIdentity(old.database_id, old.epoch + 1))
        new = self.key_store.succeeded_by(payload, [SEAL])
        self.store.rekey(
            key, payload.identity, write_key_store=lambda: new.write(key_store_path(self.path))
        )
        self.key_store = new


def key_store_path(path: Path) -> Path:
    return path.with_name("cas.key-store")


def start(path: Path) -> Instance:
    """As a CAS starts: recover, then open, or provision where nothing was."""
    found: list[OpenKeyStore] = []

    def open_key_store() -> DatabaseKey | None:
        with contextlib.suppress(NotFoundError):
            found.append(open_with_seal(read_key_store(key_store_path(path)), SEAL.key, SEAL.under))
            return found[0].payload.opens
        return None

    if recover(path, open_key_store):
        payload = found[0].payload
        return Instance(open_store(path, payload.database_key, payload.identity), found[0], path)
    identity = DatabaseIdentity(os.urandom(16), 1)
    payload = KeyStorePayload(
        SecretBytes(os.urandom(32)),
        "generated",
        "sgx",
        "root",
        identity.database_id,
        1,
        "cas",
        "owner",
        simulated=True,
        debug=False,
    )
    made = new_key_store(payload, [SEAL])
    store = create_store(
        path,
        payload.database_key,
        identity,
        fill=lambda records: records.put("cas", "provisioned", b"yes"),
        write_key_store=lambda: made.write(key_store_path(path)),
    )
    return Instance(store, made, path)


def child(path: Path, seed: int) -> None:
    """Write until killed."""
    chance = random.Random(seed)
    instance = start(path)
    os.write(1, b"open\n")

    def write(writer: int) -> None:
        own = random.Random(f"{seed} {writer}")
        while True:
            key, value = f"{writer}/{own.randrange(50)}", own.randbytes(own.randrange(2000))

            def change(records: Transaction, key: str = key, value: bytes = value) -> None:
                counter = int(records.get("count", f"{writer}") or b"0") + 1
                records.put("count", f"{writer}", b"%d" % counter)
                if len(value) < 200:
                    records.delete("data", key)
                else:
                    records.put("data", key, b"%d " % counter + value)

            instance.store.transact(change).result()
            shown = "-" if len(value) < 200 else value[:8].hex()
            os.write(1, f"{writer} {key} {shown}\n".encode())  # one write: never torn

    for writer in range(WRITERS):
        threading.Thread(target=write, args=(writer,), daemon=True).start()
    while True:
        time.sleep(chance.uniform(0.02, 0.3))
        instance.roll_over()


@dataclass(slots=True)
class Seen:
    """What was acknowledged over all rounds."""

    counts: dict[int, int] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0
    commit_number: int = 0
    epoch: int = 0
    provisioned: bool = False


def compare(path: Path, seen: Seen, lines: list[str]) -> list[str]:
    """Open the database as the next start would; what is missing or wrong."""
    acknowledged = [line.split(" ") for line in lines if line != "open"]
    for writer, key, value in acknowledged:
        seen.counts[int(writer)] = seen.counts.get(int(writer), 0) + 1
        seen.data[key] = value
    seen.acknowledged += len(acknowledged)
    seen.provisioned = seen.provisioned or "open" in lines
    if seen.provisioned and not path.exists() and not path.with_name("cas.db.new").exists():
        return ["the database is gone"]
    instance = start(path)
    problems = []
    with instance.store as store:
        if store.get("cas", "provisioned") != b"yes":
            problems.append("what was provisioned is gone")
        if store.commit_number < seen.commit_number or store.identity.epoch < seen.epoch:
            problems.append(
                f"commit {store.commit_number} or epoch {store.identity.epoch} went back"
            )
        seen.commit_number, seen.epoch = store.commit_number, store.identity.epoch
        for writer in range(WRITERS):  # also one whose only write was not acknowledged
            count = seen.counts.get(writer, 0)
            found = int(store.get("count", f"{writer}") or b"0")
            # Each writer has one write under way at most when it is killed.
            if not count <= found <= count + 1:
                problems.append(f"writer {writer}: {count} acknowledged, {found} found")
            extra, seen.counts[writer] = found - count, found
            problems.extend(compare_data(store, seen, writer, extra))
    return problems


def compare_data(store: SqliteStore, seen: Seen, writer: int, extra: int) -> list[str]:
    """Values as acknowledged, but for the one key that an unacknowledged write changed."""
    different = []
    for number in range(50):
        key = f"{writer}/{number}"
        stored = store.get("data", key)
        found = "-" if stored is None else stored.split(b" ", 1)[1][:8].hex()
        if found != seen.data.get(key, "-"):
            different.append(key)
            seen.data[key] = found
    if len(different) > extra:
        return [f"writer {writer}: {different} are not as acknowledged"]
    return []


def run(
    kills: int,
    seed: int,
    report: bool = False,
    enough: Callable[[Seen], bool] = lambda seen: True,
) -> tuple[Seen, list[str]]:
    """Kill so many times; what was seen, and what was wrong.

    On a busy machine a writer gets less done before it is killed: up to five times as many kills
    follow until enough was seen.
    """
    chance, seen, problems = random.Random(seed), Seen(), []
    with tempfile.TemporaryDirectory(prefix="store-crash-") as folder:
        path = Path(folder) / "cas.db"
        for kill in range(5 * kills):
            if kill >= kills and enough(seen):
                break
            arguments = [sys.executable, __file__, "--child", str(path), "--seed", f"{seed + kill}"]
            with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
                lines: list[str] = []
                reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
                reader.start()
                # A third of the kills come while it starts: in recovery, or in provisioning.
                time.sleep(chance.uniform(0.15, 0.9))
                process.kill()
                reader.join()
            lines = [line.rstrip("\n") for line in lines]
            problems.extend(f"kill {kill}: {problem}" for problem in compare(path, seen, lines))
            if report and (kill + 1) % 20 == 0:
                print(
                    f"{kill + 1} kills, {seen.acknowledged} acknowledged, {len(problems)} problems"
                )
    return seen, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child, arguments.seed)
    seen, problems = run(arguments.kills, arguments.seed, report=True)
    print("\n".join(problems))
    print(
        f"{arguments.kills} kills: {seen.acknowledged} acknowledged writes, commit"
        f" {seen.commit_number}, epoch {seen.epoch}, {len(problems)} problems"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
