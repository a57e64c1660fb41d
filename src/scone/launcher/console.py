"""Lines on stderr in the form of SCONE's runtime: `[SCONE|LEVEL] file:line:function(): text`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Final

from scone.errors import SconeError, printable
from scone.log_level import LEVELS, WARNING

_SHOWN: Final = {number: name for name, number in LEVELS.items()} | {WARNING: "WARN"}


class Console:
    """Writes what is at most as detailed as its level; never the value of a secret."""

    def __init__(self, level: int) -> None:
        self._level = level

    def always(self, level: int, text: str) -> None:
        """A line that no level turns off."""
        write(f"[SCONE|{_SHOWN[level]}] {_caller(2)}: {text}")

    def log(self, level: int, text: str) -> None:
        """A line, if the level asks for it."""
        if level <= self._level:
            write(f"[SCONE|{_SHOWN[level]}] {_caller(2)}: {text}")

    def fatal(self, text: str, causes: Sequence[str], hint: str = "", note: str = "") -> None:
        """The last lines before the launcher gives up."""
        lines = [f"[SCONE|FATAL] {_caller(2)}: {text}"]
        for cause in causes:
            first, *more = cause.splitlines() or [""]
            lines.append(f"  Caused by: {first}")
            lines += [f"    {line.strip()}" for line in more]
        if hint:
            lines.append(f"Hint: {hint}")
        if note:
            lines.append(f"Note: {note}")
        write("\n".join(lines))


def write(text: str) -> None:
    """Printable text to stderr; what another machine sent cannot steer the terminal."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def write_error(error: SconeError) -> None:
    """An error of the command line or the environment."""
    lines = [f"scone-run: {error.messages[0]}"]
    lines += [f"  Caused by: {cause}" for cause in error.messages[1:]]
    if error.hint:
        lines.append(f"scone-run: hint: {error.hint}")
    write("\n".join(lines))


def _caller(depth: int) -> str:
    frame = inspect.currentframe()
    for _ in range(depth):
        frame = frame.f_back if frame is not None else None
    if frame is None:
        return "src/scone/launcher"
    name = frame.f_code.co_filename.rpartition("/scone/")[2]
    return f"src/scone/{name}:{frame.f_lineno}:{frame.f_code.co_name}()"
