"""Names of sessions, services and secrets, and references made of them.

A session name is a path of segments (namespaces, language 0.3.5); the root session
is `/` (0.3.11). SCONE limits a name to 128 characters, since 5.9 to 512: read here
as 128 for a segment and 512 for the whole.
"""

from __future__ import annotations

import re
from typing import Final

from scone.errors import MalformedError, UnsupportedError

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


def service_reference(text: str) -> tuple[str, str]:
    """Session name and service name of `NAMESPACE/SESSION/SERVICE` (`SCONE_CONFIG_ID`).

    Raises:
        MalformedError: no session or no service in it.
        UnsupportedError: a one-time password after `@`.
    """
    if "@" in text:
        raise UnsupportedError("a one-time password in SCONE_CONFIG_ID is not supported yet")
    session, slash, service = text.rpartition("/")
    if not slash or not is_segment(service):
        raise MalformedError("SCONE_CONFIG_ID", "SESSION/SERVICE")
    parse_name(session or ROOT, place="SCONE_CONFIG_ID")
    return session or ROOT, service
