"""What all parts of the session reader share: typed access to nodes, problems collected.

Every getter returns None (or nothing) after noting a problem, so that reading goes
on and all problems of a file are reported at once. A value that was substituted is
never repeated in a message; its variable is named instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from heapq import nsmallest
from typing import Final

from scone.documents import Mapping, Mark, Node, Problem, Scalar, Sequence, shown
from scone.errors import MalformedError
from scone.session.placeholders import START, reference
from scone.session.reading.fields import SECTIONS, Field
from scone.session.reading.versions import Version

# Readers stay linear and answers readable whatever a hostile file holds.
MAX_PROBLEMS: Final = 100
# Comparing words costs some 20 us each: in a file with many mistakes the first ones get hints.
_MAX_PROBLEMS_WITH_HINTS: Final = 20
_MAX_COMPARED: Final = 50
_MAX_WORD: Final = 64
_MIN_BEGINNING: Final = 3
_SUGGESTION: Final = "did you mean "

_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def _nearest(word: str, known: Iterable[str]) -> str:
    """The nearest of those known words that are most alike in length and first letter.

    Else the one that begins with the word: `env` for `environment`.
    """
    if len(word) > _MAX_WORD:
        return ""
    alike = nsmallest(
        _MAX_COMPARED,
        known,
        key=lambda other: (abs(len(other) - len(word)), other[:1] != word[:1]),
    )
    from difflib import get_close_matches  # here: most files have no mistake

    close = get_close_matches(word, alike, 1)
    if not close and len(word) >= _MIN_BEGINNING:
        close = [other for other in alike if other.startswith(word)]
    return close[0] if len(close) == 1 else ""


def type_name(node: Node) -> str:
    """What kind of node this is, in the words of an error."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    return "null" if node.is_null else "text"


class Collector:
    """Problems and warnings of one file, and the nodes by path for later checks."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.nodes: dict[str, Node] = {}
        self.access_references: list[tuple[str, str]] = []
        """Placeholders that are entries of the access policy, each with its place."""
        self.unknown: set[Mark | None] = set()
        """Where the scalars stand whose variables are missing: nothing is said about them."""
        self.templating = False
        """Whether secrets may stand for parts of what is read now: getters let placeholders pass."""

    def in_order(self) -> list[Problem]:
        """The problems by their position in the file."""
        return sorted(self.problems, key=lambda p: _position(p.mark))

    def warnings_in_order(self) -> tuple[Problem, ...]:
        """The warnings by their position in the file."""
        return tuple(sorted(self.warnings, key=lambda p: _position(p.mark)))

    def problem(self, node: Node | None, path: str, message: str, hint: str = "") -> None:
        """Note something to correct."""
        if isinstance(node, Scalar) and self.is_unknown(node):
            return
        if len(self.problems) == MAX_PROBLEMS:
            message, hint, path = "further problems are not listed", "", ""
        elif len(self.problems) > MAX_PROBLEMS:
            return
        if isinstance(node, Scalar) and node.variables:
            message += f" (in the value of ${', $'.join(node.variables)})"
            if hint.startswith(_SUGGESTION):  # which tells what the value is like
                hint = ""
        self.problems.append(
            Problem(self.source, self._mark(node), path, message, hint, "malformed")
        )

    def is_unknown(self, node: Node | None) -> bool:
        """Whether a variable is missing in a value, or anywhere below it."""
        if not self.unknown or node is None:
            return False
        if isinstance(node, Scalar):
            return node.mark in self.unknown
        below = node.items if isinstance(node, Sequence) else [value for _, value in node.entries]
        return any(map(self.is_unknown, below))

    def said(self, path: str, words: str) -> str:
        """Words that repeat a part of the value at a place; nothing if a variable brought it."""
        return "" if self._is_put_in(self.nodes.get(path)) else words

    @staticmethod
    def _is_put_in(node: Node | None) -> bool:
        return isinstance(node, Scalar) and bool(node.variables)

    def problem_at(self, path: str, message: str, hint: str = "") -> None:
        """Note something to correct at a place that was read before."""
        self.problem(self.nodes.get(path), path, message, hint)

    def expected(
        self, node: Node, path: str, what: str, hint: str = "", *, got: bool = True
    ) -> None:
        """Note that something else was expected; `got` False where the value may be secret."""
        if not isinstance(node, Scalar) or node.is_null:
            found = f", got {type_name(node)}"
        else:
            found = f", got {shown(node.text)}" if got and not node.variables else ""
        self.problem(node, path, f"expected {what}{found}", hint)

    def malformed(self, node: Node | None, path: str, error: MalformedError) -> None:
        """Note an error of a value's own parser, without repeating the value."""
        got = f", got {error.got}" if error.got and not self._is_put_in(node) else ""
        self.problem(node, path, f"expected {error.expected}{got}", error.hint)

    def warn(
        self, path: str, code: str, message: str, hint: str = "", node: Node | None = None
    ) -> None:
        """Note something that works and should be looked at."""
        if len(self.warnings) > MAX_PROBLEMS:
            return
        at = node or self.nodes.get(path)
        if len(self.warnings) == MAX_PROBLEMS:
            message, hint, path, at = "further warnings are not listed", "", "", None
            code = "further-warnings"
        self.warnings.append(Problem(self.source, self._mark(at), path, message, hint, code))

    @staticmethod
    def _mark(node: Node | None) -> Mark | None:
        return None if node is None else node.mark

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """The known word that is probably meant, or nothing; nothing once problems are many."""
        many = len(self.problems) >= _MAX_PROBLEMS_WITH_HINTS
        return "" if many else _nearest(word, known)

    def suggestion(self, word: str, known: Iterable[str]) -> str:
        """`did you mean 'x'?` for the word that `nearest` finds, or nothing."""
        near = self.nearest(word, known)
        return f"{_SUGGESTION}{near!r}?" if near else ""

    def table(
        self, node: Node, path: str, section: MappingType[str, Field], version: Version
    ) -> dict[str, Node] | None:
        """The known keys of a mapping that are not null; every other key is a problem."""
        if not isinstance(node, Mapping):
            if not self.passes(node):
                self.expected(node, path, "a mapping", got=False)
            return None
        found: dict[str, Node] = {}
        mistyped: set[str] = set()
        prefix = f"{path}." if path else ""
        for key, value in node.entries:
            field = section.get(key.text)
            where = prefix + key.text
            if field is None:
                mistyped.add(self._unknown(key, prefix, section))
                continue
            if isinstance(value, Scalar) and value.is_null:
                continue
            if not version.admits(field.since):
                self.problem(key, where, f"needs version {field.since} or newer")
            else:
                found[key.text] = value
                self.nodes[where] = value
        for field in section.values():
            if field.required and field.name not in found and field.name not in mistyped:
                self.problem(node, prefix + field.name, "required, got nothing", field.what)
        return found

    def passes(self, node: Node) -> bool:
        """Whether this is a placeholder where a section lets secrets stand for its parts."""
        return self.templating and isinstance(node, Scalar) and reference(node.text) is not None

    def _unknown(self, key: Scalar, prefix: str, section: MappingType[str, Field]) -> str:
        """Note an unknown key; the known one that was probably meant, or nothing."""
        if key.variables:  # a secret brought it
            self.problem(
                key, prefix.removesuffix("."), "unknown key", f"known: {', '.join(section)}"
            )
            return ""
        near = self.nearest(key.text, section)
        homes = [place for place, other in SECTIONS.items() if key.text in other]
        hints = [f"did you mean {near!r}?"] if near else []
        hints += [f"it belongs to {' or '.join(homes)}"] if homes else []
        hint = " ".join(hints) or f"known keys: {', '.join(section)}"
        self.problem(key, f"{prefix}{shown(key.text)[1:-1]}", "unknown key", hint)
        return near

    def items(
        self, node: Node | None, path: str, *, scalar: bool = False
    ) -> list[tuple[str, Node]]:
        """The items of a list with their paths; with `scalar`, one value stands for a list of one."""
        if node is None:
            return []
        if isinstance(node, Sequence):
            named = [(f"{path}[{index}]", item) for index, item in enumerate(node.items)]
            self.nodes.update(named)
            return named
        if scalar and isinstance(node, Scalar):
            return [(path, node)]
        self.expected(node, path, "a list", got=False)
        return []

    def text(self, node: Node | None, path: str, what: str = "text") -> str | None:
        """The text of a scalar that is not null."""
        if isinstance(node, Scalar) and not node.is_null:
            return None if self.is_unknown(node) else node.text
        if node is not None:
            self.expected(node, path, what)
        return None

    def matching(
        self, node: Node | None, path: str, pattern: re.Pattern[str], what: str, *, got: bool = True
    ) -> str | None:
        """The text of a scalar of the given form; `got` False where the value may be secret."""
        text = self.text(node, path, what)
        if text is None or node is None:
            return None
        if pattern.fullmatch(text):
            return text
        if not self.passes(node):
            hint = "a secret cannot stand here" if START in text else ""
            self.expected(node, path, what, hint, got=got)
        return None

    def word(self, node: Node | None, path: str, known: Iterable[str]) -> str | None:
        """One of the known words."""
        choices = tuple(known)
        text = self.text(node, path, f"one of {', '.join(choices)}")
        if text is None or node is None or text in choices:
            return text
        if not self.passes(node):
            variables = isinstance(node, Scalar) and node.variables
            hint = "" if variables else self.suggestion(text, choices)
            self.expected(node, path, f"one of {', '.join(choices)}", hint)
        return None

    def integer(self, node: Node | None, path: str, low: int, high: int) -> int | None:
        """A decimal number within bounds."""
        what = f"a number from {low} to {high}"
        text = self.matching(node, path, _DECIMAL, what)
        if text is None or node is None:
            return None
        if low <= int(text) <= high:
            return int(text)
        self.expected(node, path, what)
        return None

    def boolean(self, node: Node | None, path: str) -> bool | None:
        """`true` or `false`."""
        text = self.text(node, path, "true or false")
        if text is None or node is None:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if self.passes(node):
            return None
        self.expected(node, path, "true or false")
        return None


def _position(mark: Mark | None) -> tuple[int, int]:
    """Sort key of a place; what has none comes last."""
    return (2**31, 0) if mark is None else (mark.line, mark.column)
