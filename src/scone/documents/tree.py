"""The tree that every document becomes, and the problems found in it.

Scalars keep their source text: whether `1e5`, `no` or `0700` is a number, a word
or a key is for the schema to say, never for the syntax.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple

from scone.errors import SconeError, UnsupportedError

Style = Literal["plain", "single", "double", "literal", "folded"]

NULL_WORDS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class Mark(NamedTuple):  # as Scalar: a tuple is made in a third of a dataclass's time
    """A position in a text; both numbers start at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line} column {self.column}"


class Scalar(NamedTuple):
    """A value as it was written; `variables` names what was substituted into it."""

    text: str
    style: Style
    mark: Mark | None
    variables: tuple[str, ...] = ()
    tag: str = ""

    @property
    def is_null(self) -> bool:
        """An unquoted `~`, `null` or nothing at all."""
        return (
            self.style == "plain"
            and self.text in NULL_WORDS
            and not self.variables
            and not self.tag
        )


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the document; no key twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark | None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Values in the order of the document."""

    items: tuple[Node, ...]
    mark: Mark | None


Node = Scalar | Mapping | Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct: where (source, position, path of keys), what, and what to do.

    `code` is stable: `malformed` or `unsupported` for errors, one word of its own
    for each kind of warning.
    """

    source: str
    mark: Mark | None
    path: str
    message: str
    hint: str = ""
    code: str = "malformed"

    def __str__(self) -> str:
        where = f" at {self.mark}" if self.mark else ""
        hint = f" ({self.hint})" if self.hint else ""
        return (f"{self.path}: " if self.path else "") + f"{self.message}{where}{hint}"


class DocumentError(SconeError):
    """A document with at least one problem; `messages` has one line for each.

    With `outer`, that sentence comes first; without it each line names its source.
    """

    code: ClassVar[str] = "malformed"

    def __init__(self, problems: Items[Problem], outer: str = "") -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        lines = (
            [outer, *map(str, self.problems)]
            if outer
            else [f"{problem.source}: {problem}" for problem in self.problems]
        )
        super().__init__(lines[0])
        self.messages = tuple(lines)


class UnsupportedDocumentError(DocumentError, UnsupportedError):
    """A document whose only problems are constructs that this version does not have yet."""

    code: ClassVar[str] = "unsupported"


def document_error(problems: Items[Problem], outer: str = "") -> DocumentError:
    """The error for these problems: unsupported if all are, else malformed."""
    if all(problem.code == "unsupported" for problem in problems):
        return UnsupportedDocumentError(problems, outer)
    return DocumentError(problems, outer)


def shown(text: str) -> str:
    """A text as an error shows it: quoted, one line, cut after 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
