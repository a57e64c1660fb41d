"""TOML 1.0 text as a tree; positions only for errors of syntax, errors of meaning name the keys."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Final

from scone.documents.limits import MAX_DEPTH, check_text, check_value, fail, mark_at
from scone.documents.tree import Mapping, Mark, Node, Scalar, Sequence

_POSITION: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def read_toml(text: str, source: str = "document") -> Node:
    """The table that a TOML text is; its nodes have no marks.

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
    return _node(table, source, 0)


def _node(value: object, source: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise fail(source, None, f"expected at most {MAX_DEPTH} levels")
    match value:
        case dict():
            entries = (
                (_text(key, source), _node(item, source, depth + 1)) for key, item in value.items()
            )
            return Mapping(tuple(entries), None)
        case list():
            return Sequence(tuple(_node(item, source, depth + 1) for item in value), None)
        case str():
            return _text(value, source)
        case bool():
            return Scalar("true" if value else "false", "plain", None)
        case datetime() | date() | time():
            return Scalar(value.isoformat(), "plain", None)
        case _:
            return Scalar(str(value), "plain", None)


def _text(text: str, source: str) -> Scalar:
    check_value(text, source, None)
    return Scalar(text, "double", None)
