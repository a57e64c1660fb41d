"""Levels of `SCONE_LOG`, by name or digit, as SCONE documents them (page SCONE_ENV)."""

from __future__ import annotations

from typing import Final

from scone.errors import UsageError

FATAL, ERROR, WARNING, INFO, DEBUG, TRACE = range(2, 8)
LEVELS: Final = {
    "FATAL": FATAL,
    "ERROR": ERROR,
    "WARNING": WARNING,
    "INFO": INFO,
    "DEBUG": DEBUG,
    "TRACE": TRACE,
}


def parse_level(text: str) -> int:
    """A level by its name, or by a digit (7 is the most).

    Raises:
        UsageError: another text.
    """
    name = text.upper()
    if name in LEVELS:
        return LEVELS[name]
    if len(text) == 1 and "0" <= text <= "7":
        return max(int(text), FATAL)
    raise UsageError(
        f"SCONE_LOG: expected one of {', '.join(LEVELS)} or a digit up to 7, got {text[:32]!r}"
    )
