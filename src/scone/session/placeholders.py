"""Placeholders for secrets: `$$SCONE::name[:format][|escape(json)]$$`.

And for what the CAS knows itself: `$$SCONE::self::software_identity$$`, the measurement of the
program that is attested.

Two may stand side by side (`$$SCONE::a$$$$SCONE::b$$`). A value that was put in is
never looked at again. In a name like `server.crt` the dot may belong to the name or
be a format of SCONE before 5.2: an exact secret name wins, the caller knows them.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from scone.errors import MalformedError

START: Final = "$$SCONE:"
LEGACY_SUFFIXES: Final = ("crt", "key", "chain", "hex")

SOFTWARE_IDENTITY: Final = "software_identity"
BUILTINS: Final = (SOFTWARE_IDENTITY,)

WHOLE: Final = re.compile(
    r"\$\$SCONE(?P<colons>::?)(?:self::(?P<builtin>[a-z_]{1,64})|(?P<name>[A-Za-z0-9_\-.~]{1,128})"
    r"(?P<format>(?::[a-z0-9-]+)*))(?P<escape>\|escape\(json\))?\$\$"
)
_BUILT_IN: Final = re.compile(r"\$\$SCONE::?[A-Za-z0-9_\-.~]+::")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder: `format` without its first colon, legacy dots still in `name`.

    With `builtin`, one of `BUILTINS`, it means no secret and the name is empty.
    """

    name: str
    format: str = ""
    escape_json: bool = False
    single_colon: bool = False
    builtin: str = ""

    def meant(self, names: Container[str | None]) -> tuple[str, str] | None:
        """The secret of these names that is meant, and the format; an exact name wins."""
        return next((found for found in self.secret_candidates if found[0] in names), None)

    @property
    def secret_candidates(self) -> tuple[tuple[str, str], ...]:
        """(secret name, format) in the order to try; a legacy format begins with a dot."""
        if self.builtin:
            return ()
        stem, dot, suffix = self.name.rpartition(".")
        exact = (self.name, self.format)
        if dot and stem and suffix in LEGACY_SUFFIXES and not self.format:
            return exact, (stem, f".{suffix}")
        return (exact,)

    def __str__(self) -> str:
        suffix = f":{self.format}" if self.format else ""
        name = f"self::{self.builtin}" if self.builtin else self.name
        return f"$$SCONE::{name}{suffix}{'|escape(json)' if self.escape_json else ''}$$"


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
        if found is None or not _is_known(found):
            known = ", ".join(f"$$SCONE::self::{name}$$" for name in BUILTINS)
            built_in = _BUILT_IN.match(text, start) is not None
            raise MalformedError(
                place,
                "$$SCONE::name[:format][|escape(json)]$$",
                "an unknown built-in value" if built_in else "",
                hint=f"there is {known}" if built_in else "is the closing $$ missing?",
            )
        if start > at:
            parts.append(text[at:start])
        parts.append(_placeholder(found))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def reference(text: str) -> Placeholder | None:
    """The placeholder that a text consists of, None for any other text."""
    found = WHOLE.fullmatch(text)
    return None if found is None or not _is_known(found) else _placeholder(found)


def _is_known(found: re.Match[str]) -> bool:
    return not found["builtin"] or found["builtin"] in BUILTINS


def _placeholder(found: re.Match[str]) -> Placeholder:
    return Placeholder(
        name=found["name"] or "",
        format=(found["format"] or "").removeprefix(":"),
        escape_json=found["escape"] is not None,
        single_colon=found["colons"] == ":",
        builtin=found["builtin"] or "",
    )
