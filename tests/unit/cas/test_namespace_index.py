"""The index of names: in order, whole, in bounded records, also for a reader that is behind."""

import json
import random

import pytest

from scone.cas import namespaces
from scone.cas.store.changes import Changes, Nothing


def filled(names):
    records = Changes(Nothing())
    for name in names:
        namespaces.add(records, name)
    return records


def all_names(records, namespace, limit=1000):
    found, after = [], ""
    while True:
        page, more = namespaces.names(records, namespace, after, limit)
        found += page
        if not more:
            return found
        after = page[-1].rpartition("/")[2]


def some_names(seed, count):
    chance = random.Random(seed)
    alphabet = "abcXYZ019_-.~"
    return list({"".join(chance.choices(alphabet, k=chance.randint(1, 9))) for _ in range(count)})


@pytest.mark.parametrize("order", ["random", "rising", "falling"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_every_name_is_there_once_and_in_order(order, limit):
    names = some_names(order, 900)
    if order != "random":
        names.sort(reverse=order == "falling")
    records = filled([f"n/{name}" for name in names])
    assert all_names(records, "n", limit) == [f"n/{name}" for name in sorted(names)]


def test_a_record_holds_a_bounded_number_of_names():
    records = filled(f"n/{number:05}" for number in range(3000))
    blocks = {key: json.loads(value) for key, value in records.scan("block")}
    assert max(len(names) for names, _ in blocks.values()) <= 128
    assert sum(len(names) for names, _ in blocks.values()) == 3000
    assert len(blocks) < 60


def test_namespaces_do_not_mix():
    records = filled(["a", "a/b", "a/b/c", "ab", "b", "a.b/c"])
    assert all_names(records, "/") == ["a", "ab", "b"]
    assert all_names(records, "a") == ["a/b"]
    assert all_names(records, "a/b") == ["a/b/c"]
    assert all_names(records, "a.b") == ["a.b/c"]
    assert all_names(records, "b") == []
    assert namespaces.has_sessions(records, "a")
    assert not namespaces.has_sessions(records, "b")


def test_the_root_is_in_no_namespace():
    records = filled(["/"])
    assert not namespaces.has_sessions(records, "/")


class Behind:
    """What a reader sees that read where the blocks begin before others split them."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def get(self, collection, key):
        return (self.old if collection == "names" else self.new).get(collection, key)


def test_a_reader_that_is_behind_by_many_splits_still_meets_every_name():
    names = some_names(3, 1200)
    old = filled([f"n/{name}" for name in names[:200]])
    new = filled([f"n/{name}" for name in names])
    assert all_names(Behind(old, new), "n", 50) == [f"n/{name}" for name in sorted(names)]


def test_the_index_of_an_older_database_is_made_from_its_sessions():
    records = Changes(Nothing())
    for name in ("/", "a", "a/b", "c"):
        records.put("session", name, b"hash")
    assert not namespaces.is_complete(records)
    namespaces.complete(records)
    assert namespaces.is_complete(records)
    assert all_names(records, "/") == ["a", "c"]
    assert all_names(records, "a") == ["a/b"]
