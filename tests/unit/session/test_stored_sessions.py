"""Caches of stored sessions: bounded by bytes, safe for two threads, never older than a renewal."""

import asyncio
import json
import threading
from collections import OrderedDict

import pytest

from scone.cas import sessions as module
from scone.cas.sessions import Sessions
from scone.crypto.secret import SecretBytes
from scone.session import canonical_json, session_hash
from scone.session.model import Image, InjectionFile, Session
from scone.session.secrets import BinaryValue, SecretValues

KIB = 1024


class Records:
    """Records by collection and key, and which were read."""

    def __init__(self):
        self.content = {}
        self.read = []

    def get(self, collection, key):
        self.read.append((collection, key))
        return self.content.get((collection, key))


def values_of(size, number=0):
    return SecretValues({"a": BinaryValue(SecretBytes(bytes([number]) * size))})


def store(records, count, size):
    """Versions and values with records of a little more than `size` bytes; their hashes."""
    hashes = []
    for number in range(count):
        image = Image("i", injection_files=(InjectionFile("/f", str(number % 10) * size),))
        session = Session(version="0.3", name=f"s{number}", images=(image,))
        found = session_hash(session)
        record = {"document": canonical_json(session), "uploaded_at": "", "uploader": "u"}
        records.content["version", found] = json.dumps(record).encode()
        records.content["values", found] = values_of(size * 3 // 4, number).to_json()
        hashes.append(found)
    return hashes


@pytest.fixture
def records():
    return Records()


@pytest.fixture
def small(monkeypatch):
    """Caches of 100 KiB."""
    monkeypatch.setattr(module, "_CACHED_BYTES", 100 * KIB)
    return Sessions()


def test_the_two_caches_together_keep_at_most_32_mebibytes():
    assert 2 * module._CACHED_BYTES == 32 * KIB * KIB


@pytest.mark.parametrize("read", ["version", "values"])
def test_a_cache_keeps_the_records_read_last_up_to_its_bytes(records, small, read):
    hashes = store(records, 12, 10 * KIB)
    fetch = getattr(small, read)
    first = [fetch(records, found) for found in hashes[:9]]
    assert records.read == [(read, found) for found in hashes[:9]]
    records.read.clear()
    assert [fetch(records, found) for found in hashes[:9]] == first
    assert fetch(records, hashes[0]) == first[0]
    assert records.read == []
    fetch(records, hashes[9])  # does not fit: the one used longest ago goes
    records.read.clear()
    fetch(records, hashes[0])
    assert records.read == []
    fetch(records, hashes[1])
    assert records.read == [(read, hashes[1])]


@pytest.mark.parametrize("read", ["version", "values"])
def test_a_record_larger_than_the_cache_is_read_each_time_and_drives_nothing_out(
    records, small, read
):
    (large,) = store(records, 1, 200 * KIB)
    (other,) = store(records, 1, KIB)
    fetch = getattr(small, read)
    fetch(records, other)
    assert fetch(records, large) == fetch(records, large)
    assert fetch(records, other)
    assert records.read == [(read, other), (read, large), (read, large)]


def test_forgotten_values_are_read_again_and_free_their_bytes(records, small):
    hashes = store(records, 9, 10 * KIB)
    for _ in range(30):
        small.values(records, hashes[0])
        small.forget_values(hashes[0])
    small.forget_values(hashes[0])
    for found in hashes:
        small.values(records, found)
    records.read.clear()
    for found in hashes:
        small.values(records, found)
    assert records.read == []


def test_values_that_were_read_before_a_renewal_are_not_kept_after_it(records, small):
    (found,) = store(records, 1, KIB)
    renewed = values_of(5, 7)
    read = records.get

    def slow(collection, key):
        raw = read(collection, key)
        records.content["values", found] = renewed.to_json()
        small.forget_values(found)  # the other thread renews between reading and keeping
        return raw

    records.get = slow
    assert small.values(records, found) != renewed
    records.get = read
    assert small.values(records, found) == renewed


class Guarded(OrderedDict):
    """Entries that must not be touched without the lock."""

    lock = None
    touched = 0

    def __getattribute__(self, name):
        if name in {"get", "pop", "popitem", "move_to_end"}:
            assert type(self).lock.locked()
            Guarded.touched += 1
        return super().__getattribute__(name)

    def __setitem__(self, key, value):
        assert type(self).lock.locked()
        Guarded.touched += 1
        super().__setitem__(key, value)


def test_entries_are_touched_only_under_the_lock(records, small):
    hashes = store(records, 12, 10 * KIB)
    cache = small._values
    Guarded.lock = cache._lock
    Guarded.touched = 0
    cache._entries = Guarded()
    for found in (*hashes, *hashes[-3:]):
        small.values(records, found)
    small.forget_values(hashes[-1])
    assert Guarded.touched > 30


def test_two_threads_read_and_forget_at_the_same_time(records, small):
    hashes = store(records, 20, 10 * KIB)
    wrong = []

    def work(order):
        try:
            for _ in range(20):
                for found in order:
                    if small.version(records, found).hash != found:
                        wrong.append(found)
                    small.values(records, found)
                    small.forget_values(found)
        except KeyError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (hashes, hashes[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(records.read) > 0


@pytest.mark.parametrize("read", ["version", "values"])
def test_large_records_are_parsed_in_one_thread_and_once(records, read, monkeypatch):
    sessions = Sessions()
    small, large = (store(records, 1, size)[0] for size in (KIB, 80 * KIB))
    threads = []

    def recorded(real):
        return lambda *args: threads.append(threading.current_thread()) or real(*args)

    monkeypatch.setattr(module, "from_canonical", recorded(module.from_canonical))
    monkeypatch.setattr(SecretValues, "from_json", recorded(SecretValues.from_json))

    async def fetch(found, times):
        calls = (getattr(sessions, f"fetch_{read}")(records, found) for _ in range(times))
        return await asyncio.gather(*calls)

    for found, times in ((small, 1), (large, 5)):
        assert (
            asyncio.run(fetch(found, times)) == [getattr(Sessions(), read)(records, found)] * times
        )
    sessions.close()
    here, there = threads[0], threads[2]
    assert threads == [here, here, there, here]  # the other two are those to compare with
    assert (here is threading.current_thread(), here is there) == (True, False)


def test_the_active_version_is_fetched_by_name(records):
    (found,) = store(records, 1, KIB)
    records.content["session", "s0"] = found.encode()
    sessions = Sessions()
    assert asyncio.run(sessions.fetch_active(records, "s0")).hash == found
    assert asyncio.run(sessions.fetch_active(records, "none")) is None
    assert asyncio.run(sessions.fetch_version(records, "0" * 64)) is None
