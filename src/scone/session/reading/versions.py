"""Versions of the session language and which constructs each has.

`0.3` without a third number admits every 0.3 construct, as SCONE's own files use it
(it is the spelling for a CAS before 5.8); `0.3.5` admits what existed at 0.3.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

NEWEST: Final = 12
SUPPORTED: Final = f"0.2, 0.3 or 0.3.1 to 0.3.{NEWEST}"

_FORM: Final = re.compile(r"0\.3(?:\.(0|[1-9][0-9]?))?")


@dataclass(frozen=True, slots=True)
class Version:
    """A supported version; `patch` None is all of 0.3, `-1` is 0.2."""

    text: str
    patch: int | None

    @property
    def is_0_2(self) -> bool:
        """Whether this is language 0.2."""
        return self.patch == -1

    def admits(self, since: str) -> bool:
        """Whether a construct that exists since this version may be used."""
        if since == "0.2":
            return True
        if self.patch == -1:
            return False
        return self.patch is None or self.patch >= int(since.rpartition(".")[2])

    def states(self, since: str) -> bool:
        """Whether the file says by its own number that it is at least that new."""
        return self.patch is not None and self.admits(since)


def parse_version(text: str) -> Version | None:
    """The version, None if it is not one that this implementation has."""
    if text == "0.2":
        return Version(text, -1)
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    patch = None if found[1] is None else int(found[1])
    return Version(text, patch) if patch is None or patch <= NEWEST else None
