"""The line of a session file that a problem is about, with a caret under its column.

A line is shown up to the first value that may be secret, by the keys that lead to it: only values
of keys that are known to be public are shown, and nothing behind a value. Of a text that is no
YAML nothing is shown but known keys. Variables are shown as the file has them, by name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from scone.documents import (
    DocumentError,
    Mapping,
    Mark,
    Node,
    Problem,
    Scalar,
    Sequence,
    read_yaml,
)
from scone.session.reading.fields import SECRET_KEYS, SECTIONS
from scone.session.reading.reader import TAGS

MAX_WIDTH: Final = 120
"""Columns of a terminal that an excerpt takes at most, line number included."""

_LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1, 5.4
_COMMENT: Final = re.compile(r"[ \t]#.*|^#.*")
_SYNTAX: Final = re.compile(r"[ \t\-{}\[\],?:]*")
_KEY: Final = re.compile(r"[ \t\-{\[?]*[\"']?([A-Za-z_-]+)[\"']?[ \t]*:")
_KNOWN: Final = frozenset(key for section in SECTIONS.values() for key in section)
_RULE: Final = re.compile(r"require-(all|at-least-[0-9]+)")

# Their values are secret, or may be: names of secrets stand at some of them, too.
_SECRET: Final = SECRET_KEYS | {"private_key", "salt", "token"}
# Secret values whose own keys are names; below others a key may be a piece of the value.
_NAMED_BELOW: Final = frozenset({"environment", "payload"})
# What stands in them by itself, where a list or mapping belongs, may be anything.
_CONTAINERS: Final = frozenset({"", "secrets", "volumes", "images", "services", "injection_files"})
_HIDDEN: Final = "…"

Excerpt = Callable[[Problem], str]


def excerpts(text: str) -> Excerpt:
    """The function that gives the excerpt for a problem of this text.

    It has two lines, the second with a caret; nothing for a problem without a place, or whose
    line has nothing to show.
    """
    text = text.removeprefix("\ufeff")
    lines = _LINE_END.split(text)
    try:
        places = _places(read_yaml(text, tags=TAGS))
    except DocumentError:
        places = None

    def excerpt(problem: Problem) -> str:
        mark = problem.mark
        if mark is None or not 1 <= mark.line <= len(lines):
            return ""
        line = lines[mark.line - 1]
        shown = _public_of_unknown(line) if places is None else _public(line, mark.line, places)
        if not shown.strip():
            return ""
        return _drawn(shown, mark, cut=len(shown) < len(line.rstrip()))

    return excerpt


_Place = tuple[Mark, bool]
"""Where a scalar begins, and whether it may be shown."""


def _places(root: Node) -> list[_Place]:
    """All scalars of a document in their order."""
    return sorted(_walk(root, "", public=True), key=lambda place: (place[0].line, place[0].column))


def _walk(node: Node, key: str, *, public: bool) -> Iterator[_Place]:
    match node:
        case Scalar():
            if node.mark is not None and node.text:
                yield node.mark, public and key not in _CONTAINERS
        case Sequence():
            for item in node.items:
                yield from _walk(item, key, public=public)
        case Mapping():
            for name, value in node.entries:
                if name.mark is not None:
                    yield name.mark, public or key in _NAMED_BELOW
                known = name.text in _KNOWN or _RULE.fullmatch(name.text) is not None
                yield from _walk(
                    value, name.text, public=public and known and name.text not in _SECRET
                )


def _public(line: str, number: int, places: list[_Place]) -> str:
    """The part of a line before the first value that may be secret, or before a comment."""
    before = [public for mark, public in places if mark.line < number]
    on_it = [(mark.column - 1, public) for mark, public in places if mark.line == number]
    first = on_it[0][0] if on_it else len(line)
    if before and not before[-1] and not _SYNTAX.fullmatch(line[:first]):
        return ""  # a value of several lines ends here
    end = next((start for start, public in on_it if not public), len(line))
    return _COMMENT.sub("", line[:end]).rstrip()


def _public_of_unknown(line: str) -> str:
    """A known key at the beginning of a line, with its colon; or nothing."""
    found = _KEY.match(line)
    return found[0] if found and found[1] in _KNOWN else ""


def _drawn(shown: str, mark: Mark, *, cut: bool) -> str:
    """The part of a line and the caret, within the width; tabs are one column wide."""
    if cut:
        shown = f"{shown} {_HIDDEN}" if shown.strip() else _HIDDEN
    column = min(mark.column - 1, max(len(shown) - 1, 0))
    margin = f"{mark.line:>5} | "
    room = MAX_WIDTH - len(margin)
    text = "".join(one if one.isprintable() else " " for one in shown)
    while _width(text[: column + 1]) > room - 1:  # its beginning goes
        text, column = text[1:], column - 1
        if _width(text[: column + 1]) <= room - 1:
            text = _HIDDEN + text[1:]
    if _width(text) > room:
        while _width(text) > room - 1:
            text = text[:-1]
        text += _HIDDEN
    pad = " " * _width(text[:column])
    return f"{margin}{text}\n{' ' * (len(margin) - 2)}| {pad}^"


def _width(text: str) -> int:
    """Columns of a text in a terminal."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
