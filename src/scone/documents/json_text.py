"""JSON text (RFC 8259) as a tree with positions.

Duplicate keys, NUL and lone surrogates are refused. Numbers keep their text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Final, cast

from scone.documents.limits import (
    MAX_DEPTH,
    MAX_JSON_NODES,
    NOT_IN_JSON,
    check_text,
    check_value,
    fail,
)
from scone.documents.tree import DocumentError, Mapping, Mark, Node, Scalar, Sequence, shown

_SPACES: Final = frozenset(" \t\r\n")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(
    r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
)
_PLAIN: Final = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.+-])"
)
_LINE_END: Final = re.compile(r"\n")


def read_json(text: str, source: str = "document") -> Node:
    """The value in a JSON text.

    Raises:
        DocumentError: not JSON, a key given twice, or outside the limits; with line and column.
    """
    check_text(text, source, forbidden=NOT_IN_JSON)
    return _Parser(text, source).document()


class _Parser:
    """One pass over one text."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.lines = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self.at = 0
        self.left = MAX_JSON_NODES

    def document(self) -> Node:
        node = self.value(0)
        if self.space() != len(self.text):
            raise self.error("expected the end of the text")
        return node

    def mark(self, index: int) -> Mark:
        line = bisect_right(self.lines, index)
        return Mark(line, index - self.lines[line - 1] + 1)

    def error(self, message: str, index: int | None = None) -> DocumentError:
        return fail(self.source, self.mark(self.at if index is None else index), message)

    def space(self) -> int:
        if self.text[self.at : self.at + 1] in _SPACES:
            self.at = cast("re.Match[str]", _SPACE.match(self.text, self.at)).end()
        return self.at

    def take(self, character: str) -> bool:
        if self.text.startswith(character, self.at) or self.text.startswith(
            character, self.space()
        ):
            self.at += 1
            return True
        return False

    def value(self, depth: int) -> Node:
        start = self.space()
        self.left -= 1
        if self.left < 0:
            raise self.error(f"expected at most {MAX_JSON_NODES} values")
        node: Node
        if self.text.startswith(("{", "["), start):
            if depth == MAX_DEPTH:
                raise self.error(f"expected at most {MAX_DEPTH} levels")
            self.at += 1
            opened = self.text[start]
            node = self.object(start, depth) if opened == "{" else self.array(start, depth)
        elif self.text.startswith('"', start):
            node = self.string()
        else:
            found = _PLAIN.match(self.text, start)
            if not found:
                raise self.error("expected a JSON value")
            self.at = found.end()
            node = Scalar(found[0], "plain", self.mark(start))
        return node

    def string(self) -> Scalar:
        start = self.at
        found = _STRING.match(self.text, start)
        if not found:
            raise self.error("expected a JSON string with its end quote and valid escapes")
        self.at = found.end()
        mark = self.mark(start)
        text = found[0][1:-1]
        if "\\" in text:
            text = json.loads(found[0])
            check_value(text, self.source, mark)
        return Scalar(text, "double", mark)

    def object(self, start: int, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        keys: set[str] = set()
        if self.take("}"):
            return Mapping((), self.mark(start))
        while True:
            if not self.text.startswith('"', self.space()):
                raise self.error("expected a key in double quotes")
            at = self.at
            key = self.string()
            if key.text in keys:
                raise self.error(f"expected each key once, got {shown(key.text)} again", at)
            keys.add(key.text)
            if not self.take(":"):
                raise self.error("expected ':'")
            entries.append((key, self.value(depth + 1)))
            if self.take("}"):
                return Mapping(tuple(entries), self.mark(start))
            if not self.take(","):
                raise self.error("expected ',' or '}'")

    def array(self, start: int, depth: int) -> Sequence:
        items: list[Node] = []
        if self.take("]"):
            return Sequence((), self.mark(start))
        while True:
            items.append(self.value(depth + 1))
            if self.take("]"):
                return Sequence(tuple(items), self.mark(start))
            if not self.take(","):
                raise self.error("expected ',' or ']'")
