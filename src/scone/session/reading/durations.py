"""Time spans as SCONE writes them: `1 year`, `59d`, `24h0m0s`, `90 days`.

The grammar and the lengths of a month (30.44 days) and a year (365.25 days) are
those of the Rust crate humantime, which the documentation's examples follow.
"""

from __future__ import annotations

import re
from typing import Final

from scone.errors import MalformedError
from scone.session.model import Duration

# Certificates end with the year 9999 (RFC 5280, 4.1.2.5); no span needs more.
_MAX_SECONDS: Final = 1000 * 31_557_600
_UNITS: Final = {
    "s sec secs second seconds": 1,
    "m min mins minute minutes": 60,
    "h hr hrs hour hours": 3600,
    "d day days": 86_400,
    "w wk wks week weeks": 604_800,
    "M month months": 2_630_016,
    "y yr yrs year years": 31_557_600,
}
_SECONDS: Final = {unit: factor for units, factor in _UNITS.items() for unit in units.split()}
_PART: Final = re.compile(r"\s*([0-9]{1,12})\s*([a-zA-Z]+)\s*")


def parse_duration(text: str, *, place: str = "duration") -> Duration:
    """A time span of at least one second.

    Raises:
        MalformedError: another form, a unit below seconds, zero, or over 1000 years.
    """
    expected = "a duration of at least one second such as 90 days, 1 year or 24h"
    seconds = at = 0
    if len(text) > 128:
        raise MalformedError(place, expected)
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in _SECONDS:
            raise MalformedError(place, expected)
        seconds += int(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if not 0 < seconds <= _MAX_SECONDS:
        raise MalformedError(place, expected, hint="at most 1000 years")
    return Duration(" ".join(text.split()), seconds)
