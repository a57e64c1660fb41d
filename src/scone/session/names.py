"""Names of sessions, services and secrets, and references made of them.

A session name is a path of segments (namespaces, language 0.3.5); the root session
is `/` (0.3.11). SCONE limits a name to 128 characters, since 5.9 to 512: read here
as 128 for a segment and 512 for the whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from scone.errors import MalformedError

MAX_SEGMENT: Final = 128
MAX_NAME: Final = 512
ROOT: Final = "/"
ALPHABET: Final = "letters, digits, _ - . ~"

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_\-.~]{1,128}")


def is_segment(text: str) -> bool:
    """Whether a text is one segment of a name; `.` and `..` are not."""
    return _SEGMENT.fullmatch(text) is not None and text not in {".", ".."}


def parse_name(text: str, *, place: str = "session name") -> tuple[str, ...]:
    """The segments of a session name, outermost namespace first; the root has none.

    Raises:
        MalformedError: another alphabet, an empty or too long segment, `.` or `..`.
    """
    if text == ROOT:
        return ()
    segments = tuple(text.split("/"))
    if len(text) > MAX_NAME or not all(map(is_segment, segments)):
        expected = f"a name of 1 to {MAX_SEGMENT} characters ({ALPHABET}) per segment"
        hint = f"segments are separated by one /, at most {MAX_NAME} characters in all"
        raise MalformedError(place, expected, hint=hint)
    return segments


def canonical_name(text: str, *, place: str = "session name") -> str:
    """The one spelling of a session name, checked.

    Raises:
        MalformedError: not a session name.
    """
    return "/".join(parse_name(text, place=place)) or ROOT


def parent_name(name: str) -> str | None:
    """The session in whose namespace `name` lives; None for the root itself."""
    if name == ROOT:
        return None
    return name.rpartition("/")[0] or ROOT


@dataclass(frozen=True, slots=True)
class ServiceReference:
    """What `SCONE_CONFIG_ID` says: a service, and a one-time password if one was given."""

    session: str
    service: str
    one_time_password: str | None = field(default=None, repr=False)


def service_reference(text: str) -> ServiceReference:
    """The parts of `NAMESPACE/SESSION/SERVICE[@CODE]` (`SCONE_CONFIG_ID`).

    Raises:
        MalformedError: no session or no service in it; the code is not shown.
    """
    name, at, code = text.rpartition("@")
    session, slash, service = (name if at else text).rpartition("/")
    if not slash or not is_segment(service):
        raise MalformedError("SCONE_CONFIG_ID", "SESSION/SERVICE or SESSION/SERVICE@CODE")
    parse_name(session or ROOT, place="SCONE_CONFIG_ID")
    return ServiceReference(session or ROOT, service, code if at else None)
