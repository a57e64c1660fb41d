"""The record store: commits alone and together, reads, and opening 100,000 records.

`python benchmarks/store.py [--records N]`. A commit writes a 3 KB record and a small one, as
an upload of a session does. Beside it stands what the disk gives: 8 KiB written and synced.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from scone.cas.store.base import DatabaseIdentity, DatabaseKey
from scone.cas.store.records import Record
from scone.cas.store.replacement import Replacement, finish_replace
from scone.cas.store.sqlite import SqliteStore, create_store, open_store
from scone.crypto.secret import SecretBytes

KEY = SecretBytes(bytes(32))
IDENTITY = DatabaseIdentity(bytes(16), 1)
SECONDS = 1.5
ROUNDS = 5


def disk(folder: Path) -> float:
    file = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    block, done, end = os.urandom(8192), 0, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        os.pwrite(file, block, done % 1000 * 8192)
        os.fdatasync(file)
        done += 1
    os.close(file)
    return done / SECONDS


def commits(folder: Path, writers: int) -> tuple[float, float, float, float]:
    """Writes a second, p50 and p99 in ms, CPU in us for each write."""
    path, value = folder / f"{writers}-{time.monotonic_ns()}.db", os.urandom(3000)
    times: list[float] = []
    with create_store(path, KEY, IDENTITY) as store:
        stop = time.perf_counter() + SECONDS
        before = cpu_s()

        def write(writer: int) -> None:
            own, n = [], 0
            while time.perf_counter() < stop:
                began = time.perf_counter()
                store.transact(
                    lambda records, n=n: upload(records, f"{writer}/{n % 500}", value)
                ).result()
                own.append(time.perf_counter() - began)
                n += 1
            times.extend(own)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        used = cpu_s() - before
    times.sort()
    return (
        len(times) / SECONDS,
        times[len(times) // 2] * 1e3,
        times[len(times) * 99 // 100] * 1e3,
        used / len(times) * 1e6,
    )


def upload(records, name: str, value: bytes) -> None:
    if records.get("session", name) is None:
        records.put("usage", name[:2], b"1")
    records.put("version", name, value)
    records.put("session", name, b"h" * 64)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def each_us(function: Callable[[int], object], times: int) -> float:
    began = time.perf_counter()
    for n in range(times):
        function(n)
    return (time.perf_counter() - began) / times * 1e6


def reads(path: Path, records: int) -> None:
    store: SqliteStore
    with open_store(path, KEY, IDENTITY, cache_bytes=0) as store:
        print(
            f"read, not cached, other thread   {each_us(lambda n: store.get('version', f'{n * 97 % records}'), 5000):8.1f} us"
        )
        inside = store.transact(
            lambda own: each_us(lambda n: own.get("version", f"{n * 89 % records}"), 5000)
        ).result()
        print(f"read, not cached, owning thread  {inside:8.1f} us")
        print(
            f"read, absent                     {each_us(lambda n: store.get('version', f'x{n}'), 20000):8.1f} us"
        )
        began = time.perf_counter()
        found = store.transact(lambda records: len(list(records.scan("backup")))).result()
        print(
            f"scan of {found} among {records} records    {(time.perf_counter() - began) * 1e3:8.1f} ms"
        )
    with open_store(path, KEY, IDENTITY) as store:
        store.get("version", "1")
        print(
            f"read, cached                     {each_us(lambda _: store.get('version', '1'), 100_000):8.1f} us"
        )


def opening(folder: Path, records: int) -> Path:
    path, value = folder / "large.db", os.urandom(3000)

    def every():
        yield from (Record("version", f"{n}", value) for n in range(records - 10))
        yield from (Record("backup", f"{n}", b"backup") for n in range(10))

    began = time.perf_counter()
    Replacement(path).write(DatabaseKey(KEY, IDENTITY), every())
    finish_replace(path)
    print(f"writing {records} records of 3 KB  {time.perf_counter() - began:8.2f} s")
    before, times = resident_mb(), []
    for _ in range(3):
        began = time.perf_counter()
        store = open_store(path, KEY, IDENTITY)
        times.append(time.perf_counter() - began)
        used = resident_mb() - before
        store.close()
    print(
        f"opening {records} records          {statistics.median(times):8.2f} s, {used:.0f} MB more resident"
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        print("writes/s, p50 ms, p99 ms, CPU us a write; medians of alternating rounds")
        found: dict[int, list[tuple[float, ...]]] = {1: [], 8: [], 32: []}
        raw = []
        for _ in range(ROUNDS):
            raw.append(disk(folder))
            for writers, results in found.items():
                results.append(commits(folder, writers))
        print(f"disk, 8 KiB and fdatasync        {statistics.median(raw):8.0f}")
        for writers, results in found.items():
            rate, p50, p99, cpu = (
                statistics.median(column) for column in zip(*results, strict=True)
            )
            ratio = statistics.median(row[0] / base for row, base in zip(results, raw, strict=True))
            print(
                f"{writers:2} writers                       {rate:8.0f} {p50:8.2f} {p99:8.2f} {cpu:8.0f}   {ratio:.2f} of the disk"
            )
        path = opening(folder, arguments.records)
        reads(path, arguments.records)


if __name__ == "__main__":
    main()
