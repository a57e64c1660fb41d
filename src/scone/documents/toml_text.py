"""TOML 1.0 text as a tree; tomllib reads it, and the lines show where keys and values begin."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Final

from scone.documents.limits import MAX_DEPTH, check_text, check_value, fail, mark_at
from scone.documents.tree import Mapping, Mark, Node, Scalar, Sequence

_POSITION: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def read_toml(text: str, source: str = "document") -> Node:
    """The table that a TOML text is; nodes have the marks that its lines show.

    Raises:
        DocumentError: not TOML, or outside the limits.
    """
    check_text(text, source)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _POSITION.search(message)
        mark = Mark(int(at[1]), int(at[2])) if at else mark_at(text, len(text))
        words = _POSITION.sub("", message).removesuffix(" (at end of document)")
        raise fail(source, mark, words[:1].lower() + words[1:]) from error
    except (RecursionError, ValueError) as error:  # ValueError: an integer beyond 4300 digits
        raise fail(
            source, None, f"expected at most {MAX_DEPTH} levels and short numbers"
        ) from error
    return _Nodes(source, _marks(text)).node(table, (), None)


_Path = tuple[str, ...]
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_LINE = re.compile(
    rf"""[ \t]*(?:\[[ \t]*(?P<table>{_KEY})[ \t]*\]|(?P<key>{_KEY})[ \t]*=[ \t]*)""", re.ASCII
)
_LONG_TEXT = re.compile(r'''(?s:"""(?:\\.|[^\\])*?"""|\'{3}.*?\'{3})''')


def _marks(text: str) -> dict[_Path, tuple[Mark, Mark]]:
    """Where keys and their values begin, as far as lines show it; tomllib does not tell.

    Seen are `[table]` and `key = value` at the begin of a line, outside of texts of many lines.
    """
    without = _LONG_TEXT.sub(lambda found: "\n" * found[0].count("\n"), text)
    marks: dict[_Path, tuple[Mark, Mark]] = {}
    table: _Path = ()
    for number, line in enumerate(without.split("\n"), 1):
        found = _LINE.match(line)
        if found is None:
            if line.lstrip(" \t").startswith("[["):
                table = ("[[",)  # a list of tables: its keys have no path of their own
            continue
        group = "table" if found["table"] is not None else "key"
        parts = re.findall(_PART, found[group])
        path = tuple(part.strip("\"'") for part in parts)
        if group == "table":
            table = path
        else:
            path = (*table, *path)
        key = Mark(number, found.start(group) + 1)
        marks.setdefault(path, (key, Mark(number, found.end() + 1) if group == "key" else key))
    return marks


class _Nodes:
    """Makes nodes of what tomllib read."""

    def __init__(self, source: str, marks: dict[_Path, tuple[Mark, Mark]]) -> None:
        self._source = source
        self._marks = marks

    def node(self, value: object, path: _Path, mark: Mark | None) -> Node:
        """The node of a value; what is inside an inline value is marked where that begins."""
        if len(path) > MAX_DEPTH:
            raise fail(self._source, mark, f"expected at most {MAX_DEPTH} levels")
        match value:
            case dict():
                return Mapping(
                    tuple(self._entry(key, item, path, mark) for key, item in value.items()), mark
                )
            case list():
                items = (self.node(item, (*path, "[]"), mark) for item in value)
                return Sequence(tuple(items), mark)
            case str():
                return self._text(value, mark)
            case bool():
                return Scalar("true" if value else "false", "plain", mark)
            case datetime() | date() | time():
                return Scalar(value.isoformat(), "plain", mark)
            case _:
                return Scalar(str(value), "plain", mark)

    def _entry(
        self, key: str, value: object, path: _Path, mark: Mark | None
    ) -> tuple[Scalar, Node]:
        below = (*path, key)
        at_key, at_value = self._marks.get(below, (mark, mark))
        return self._text(key, at_key), self.node(value, below, at_value)

    def _text(self, text: str, mark: Mark | None) -> Scalar:
        check_value(text, self._source, mark)
        return Scalar(text, "double", mark)
