"""Bounds of every document, checked before a parser sees it."""

from __future__ import annotations

import re
from typing import Final

from scone.documents.tree import DocumentError, Mark, Problem

# A session with all its files in it stays far below; 1 MiB bounds what a parser may cost.
MAX_BYTES: Final = 1024 * 1024
# The session language needs eight levels; recursion in readers stays harmless at 32.
MAX_DEPTH: Final = 32
# A node costs some 10 us: this bounds what a hostile document of one MiB may take to 0.3 s.
MAX_NODES: Final = 20_000
# The canonical form of a session is at most three times as many nodes as its YAML.
MAX_JSON_NODES: Final = 3 * MAX_NODES

# YAML 1.1, 5.1 (c-printable) without DEL and the C1 controls, and without surrogates.
NOT_IN_YAML: Final = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)
# RFC 8259, 7 leaves the rest to the grammar of strings; 8.1 asks for UTF-8.
NOT_IN_JSON: Final = re.compile("[\ud800-\udfff]")
# What an escape sequence must not bring in: C strings end at NUL, UTF-8 has no surrogates.
_FORBIDDEN_VALUE: Final = re.compile("[\0\ud800-\udfff]")


def fail(source: str, mark: Mark | None, message: str, hint: str = "") -> DocumentError:
    """The error for one problem of syntax."""
    return DocumentError([Problem(source, mark, "", message, hint)])


def mark_at(text: str, index: int) -> Mark:
    """Line and column of a character."""
    start = text.rfind("\n", 0, index) + 1
    return Mark(text.count("\n", 0, index) + 1, index - start + 1)


def check_text(text: str, source: str, *, forbidden: re.Pattern[str] = NOT_IN_YAML) -> None:
    """Refuse a text that is too large or holds characters that its format does not have.

    Raises:
        DocumentError: with the position of the first such character.
    """
    check_size(text, source)
    found = forbidden.search(text)
    if found:
        kind = "surrogate" if "\ud800" <= found[0] <= "\udfff" else "control character"
        raise fail(
            source,
            mark_at(text, found.start()),
            f"expected printable text, got the {kind} U+{ord(found[0]):04X}",
        )


def check_size(text: str, source: str, what: str = "text") -> None:
    """Refuse a text that is too large.

    Raises:
        DocumentError: more bytes in UTF-8 than a document may have.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise fail(source, None, f"expected at most {MAX_BYTES} bytes of {what}")


def check_value(text: str, source: str, mark: Mark | None) -> None:
    """Refuse NUL and surrogates that came in through an escape sequence.

    Raises:
        DocumentError: when the value holds one.
    """
    found = _FORBIDDEN_VALUE.search(text)
    if found:
        raise fail(source, mark, f"expected text without U+{ord(found[0]):04X}")
