"""Changes and cache: what a transaction sees, what is dropped first."""

from __future__ import annotations

import pytest

from scone.cas.store.cache import Miss, ValueCache
from scone.cas.store.changes import Changes, Nothing
from scone.errors import LimitError, MalformedError, StateError


def below(**values: bytes) -> Changes:
    changes = Changes(Nothing())
    for key, value in values.items():
        changes.put("c", key, value)
    return changes


def test_a_transaction_sees_what_is_below_and_its_own_changes() -> None:
    changes = Changes(below(a=b"1", b=b"2"))
    changes.put("c", "b", b"new")
    changes.delete("c", "a")
    changes.put("d", "a", b"elsewhere")
    assert changes.get("c", "a") is None
    assert changes.get("c", "b") == b"new"
    assert changes.get("c", "never") is None
    assert list(changes.scan("c")) == [("b", b"new")]
    assert list(changes.scan("d")) == [("a", b"elsewhere")]


def test_a_scan_is_in_the_order_of_keys_over_all_layers() -> None:
    changes = Changes(below(b=b"2", d=b"4"))
    changes.put("c", "c", b"3")
    changes.put("c", "a", b"1")
    assert [key for key, _ in changes.scan("c")] == ["a", "b", "c", "d"]


def test_changes_reach_what_is_below_by_merging_only() -> None:
    lower = below(a=b"1")
    upper = Changes(lower)
    upper.put("c", "a", b"2")
    assert lower.get("c", "a") == b"1"
    lower.merge(upper)
    assert lower.get("c", "a") == b"2"


def test_a_value_is_taken_as_it_was_when_it_was_put() -> None:
    changes, value = Changes(Nothing()), bytearray(b"abc")
    changes.put("c", "a", value)
    value[0] = 0
    assert changes.get("c", "a") == b"abc"


def test_a_transaction_that_ended_refuses_every_use() -> None:
    changes = below(a=b"1")
    changes.end()
    for use in (
        lambda: changes.get("c", "a"),
        lambda: changes.put("c", "a", b""),
        lambda: changes.delete("c", "a"),
        lambda: list(changes.scan("c")),
    ):
        with pytest.raises(StateError, match="after its end"):
            use()


def test_what_cannot_be_stored_is_refused_when_it_is_put() -> None:
    changes = Changes(Nothing())
    with pytest.raises(MalformedError):
        changes.put("", "a", b"")
    with pytest.raises(MalformedError):
        changes.delete("c", "\ud800")
    with pytest.raises(LimitError):
        changes.put("c", "a", bytes(64 * 1024 * 1024 + 1))
    assert changes.changes == {}


def test_the_least_recently_used_value_leaves_first() -> None:
    cache = ValueCache(4 * 1256)
    for name in "abcd":
        cache.put([(("c", name), bytes(1000))])
    assert cache.get(("c", "a")) == bytes(1000)
    cache.put([(("c", "e"), bytes(1000))])
    assert cache.get(("c", "b")) is Miss.MISS
    assert cache.get(("c", "a")) == bytes(1000)
    assert cache.used_bytes == 4 * 1256


def test_a_value_too_large_for_the_cache_drops_only_its_older_self() -> None:
    cache = ValueCache(8000)
    cache.put([(("c", "a"), b"old"), (("c", "b"), b"kept")])
    cache.put([(("c", "a"), bytes(4000))])
    assert cache.get(("c", "a")) is Miss.MISS
    assert cache.get(("c", "b")) == b"kept"


def test_an_absence_is_remembered_as_such() -> None:
    cache = ValueCache(8000)
    cache.put([(("c", "a"), None)])
    assert cache.get(("c", "a")) is None
    assert cache.get(("c", "b")) is Miss.MISS
