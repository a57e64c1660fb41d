"""Placeholders for secrets: `$$SCONE::name[:format][|escape(json)]$$`.

Two may stand side by side (`$$SCONE::a$$$$SCONE::b$$`). A value that was put in is
never looked at again. In a name like `server.crt` the dot may belong to the name or
be a format of SCONE before 5.2: an exact secret name wins, the caller knows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scone.errors import MalformedError

START: Final = "$$SCONE:"
LEGACY_SUFFIXES: Final = ("crt", "key", "chain", "hex")

WHOLE: Final = re.compile(
    r"\$\$SCONE(?P<colons>::?)(?P<name>[A-Za-z0-9_\-.~]{1,128})"
    r"(?P<format>(?::[a-z0-9-]+)*)(?P<escape>\|escape\(json\))?\$\$"
)
_NESTED: Final = re.compile(r"\$\$SCONE::?[A-Za-z0-9_\-.~]+::")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder: `format` without its first colon, legacy dots still in `name`."""

    name: str
    format: str = ""
    escape_json: bool = False
    single_colon: bool = False

    @property
    def secret_candidates(self) -> tuple[tuple[str, str], ...]:
        """(secret name, format) in the order to try; a legacy format begins with a dot."""
        stem, dot, suffix = self.name.rpartition(".")
        exact = (self.name, self.format)
        if dot and stem and suffix in LEGACY_SUFFIXES and not self.format:
            return exact, (stem, f".{suffix}")
        return (exact,)

    def __str__(self) -> str:
        suffix = f":{self.format}" if self.format else ""
        return f"$$SCONE::{self.name}{suffix}{'|escape(json)' if self.escape_json else ''}$$"


Part = str | Placeholder


def find(text: str, *, place: str = "text") -> tuple[Part, ...]:
    """A text as literal parts and placeholders.

    Raises:
        MalformedError: something begins like a placeholder and is none.
    """
    parts: list[Part] = []
    at = 0
    while (start := text.find(START, at)) >= 0:
        found = WHOLE.match(text, start)
        if found is None:
            nested = _NESTED.match(text, start) is not None
            raise MalformedError(
                place,
                "$$SCONE::name[:format][|escape(json)]$$",
                "a built-in value, not supported yet" if nested else "",
                hint="" if nested else "is the closing $$ missing?",
            )
        if start > at:
            parts.append(text[at:start])
        parts.append(
            Placeholder(
                name=found["name"],
                format=found["format"].removeprefix(":"),
                escape_json=found["escape"] is not None,
                single_colon=found["colons"] == ":",
            )
        )
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def expand(text: str, resolve: Callable[[Placeholder], bytes], *, place: str = "text") -> bytes:
    """The text in UTF-8 with each placeholder replaced by what `resolve` gives for it.

    Raises:
        MalformedError: something begins like a placeholder and is none.
    """
    return b"".join(
        part.encode() if isinstance(part, str) else resolve(part)
        for part in find(text, place=place)
    )
