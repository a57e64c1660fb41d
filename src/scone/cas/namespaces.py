"""Names of the sessions in each namespace, in order, in blocks of bounded size.

Collections: `names` (namespace -> with which name each of its blocks begins) and `block`
(namespace:number -> names, and the block that follows). Written in the transaction that creates
a session; sessions are never deleted. A block that grew too long gives its upper half to a new
one that follows it, so that a reader whose `names` record is older still meets every name.
"""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from scone.cas.store.base import Records, Transaction
from scone.session.names import ROOT, parent_name

_MAX_BLOCK: Final = 128
_MARK: Final = ("cas", "names")  # written when all sessions are in the index


@dataclass(slots=True)
class _Block:
    names: list[str]
    following: int | None = None


def create(records: Transaction) -> None:
    """Begin the index of a new database."""
    records.put(*_MARK, b"1")


def is_complete(records: Records) -> bool:
    """Whether all sessions are in the index: not in databases that are older than it."""
    return records.get(*_MARK) is not None


def complete(records: Transaction) -> None:
    """Make the index of a database that is older than it."""
    for name, _ in records.scan("session"):
        add(records, name)
    create(records)


def add(records: Transaction, name: str) -> None:
    """Put a new session into the index of its namespace."""
    namespace = parent_name(name)
    if namespace is None:
        return
    child = name.rpartition("/")[2]
    begins = _begins(records, namespace)
    at = bisect_right(begins, child, key=itemgetter(0)) - 1
    number = begins[at][1]
    block = _block(records, namespace, number)
    insort(block.names, child)
    if len(block.names) > _MAX_BLOCK:
        upper = _Block(block.names[_MAX_BLOCK // 2 :], block.following)
        block = _Block(block.names[: _MAX_BLOCK // 2], len(begins))
        begins.insert(at + 1, (upper.names[0], len(begins)))
        _put(records, namespace, begins[at + 1][1], upper)
        records.put("names", namespace, json.dumps(begins, separators=(",", ":")).encode())
    _put(records, namespace, number, block)


def has_sessions(records: Records, namespace: str) -> bool:
    """Whether there is a session in a namespace."""
    return records.get("block", f"{namespace}:0") is not None


def names(records: Records, namespace: str, after: str, limit: int) -> tuple[list[str], bool]:
    """Whole names of sessions directly in a namespace, and whether there are more.

    In the order of code points, at most `limit` of those that stand behind `after`, the last
    segment of a name.
    """
    prefix = "" if namespace == ROOT else f"{namespace}/"
    found: list[str] = []
    for child in _children(records, namespace, after):
        if len(found) == limit:
            return found, True
        found.append(prefix + child)
    return found, False


def _children(records: Records, namespace: str, after: str) -> Iterator[str]:
    begins = _begins(records, namespace)
    number: int | None = begins[bisect_right(begins, after, key=itemgetter(0)) - 1][1]
    while number is not None:
        block = _block(records, namespace, number)
        yield from block.names[bisect_right(block.names, after) :]
        number = block.following


def _begins(records: Records, namespace: str) -> list[tuple[str, int]]:
    raw = records.get("names", namespace)
    return [("", 0)] if raw is None else [(first, number) for first, number in json.loads(raw)]


def _block(records: Records, namespace: str, number: int) -> _Block:
    raw = records.get("block", f"{namespace}:{number}")
    return _Block([]) if raw is None else _Block(*json.loads(raw))


def _put(records: Transaction, namespace: str, number: int, block: _Block) -> None:
    value = json.dumps([block.names, block.following], separators=(",", ":")).encode()
    records.put("block", f"{namespace}:{number}", value)
