"""The document in the state file: which keys it may have, of which types.

Only the CLI writes it, yet people edit and copy it: everything is checked before any of it
is used, and the reason names the key or the line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from scone.errors import StateError

if TYPE_CHECKING:
    from scone.client.known import KnownCas

CONFIG_VERSION: Final = 1

Document = dict[str, Any]


def parse(raw: bytes, path: str) -> Document:
    """The checked document of a state file.

    Raises:
        StateError: not JSON, a known key of another type, or a newer version wrote it.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"expected JSON in UTF-8, byte {error.start} is not") from None
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_float
        )
    except json.JSONDecodeError as error:
        found = (
            "nothing (an empty file)"
            if not text.strip()
            else f"{error.msg} at line {error.lineno} column {error.colno}"
        )
        raise damaged(path, f"expected JSON, got {found}") from None
    except RecursionError:
        raise damaged(path, "expected JSON, got too many levels") from None
    except ValueError as error:  # ours (a key twice), or an integer of thousands of digits
        raise damaged(path, f"expected JSON, got {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise damaged(path, f"expected a JSON object, got {_kind(document)}")
    _check_version(document, path)
    _check_types(document, path)
    return document


def remember_in(document: Document, known: KnownCas) -> None:
    """Write an attested CAS into the document; keys that are not ours stay."""
    entries = document.setdefault("cas_db", {})
    entry = entries.setdefault(known.name, {})
    entry.update({key: getattr(known, key) for key in ENTRY_TYPES})
    if document.get("default_cas") not in entries:
        document["default_cas"] = known.name


def _check_version(document: Document, path: str) -> None:
    version = document.get("config_version", CONFIG_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise faulty(path, f"config_version: expected a number from 1, got {_kind(version)}")
    if version > CONFIG_VERSION:
        raise StateError(
            f"config file {path}: a newer version of scone wrote it (config_version {version}, "
            f"this one knows {CONFIG_VERSION})",
            hint="use that version, or another file: scone --config FILE",
        )


def _check_types(document: Document, path: str) -> None:
    for key in ("default_cas", "identity", "session_signing_key"):
        value = document.get(key)
        if value is not None and not isinstance(value, str):
            told = damaged if key == "identity" else faulty
            raise told(path, f"{key}: expected a string, got {_kind(value)}")
    entries = document.get("cas_db", {})
    if not isinstance(entries, dict):
        raise faulty(path, f"cas_db: expected an object, got {_kind(entries)}")
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise faulty(path, f"cas_db.{name}: expected an object, got {_kind(entry)}")
        for key, expected in ENTRY_TYPES.items():
            if key not in entry:
                if key in ("url", "chain"):
                    raise faulty(path, f"cas_db.{name}.{key}: expected a string, got nothing")
                continue
            # bool is an int to Python, not to us.
            if not isinstance(entry[key], expected) or (
                expected is int and isinstance(entry[key], bool)
            ):
                raise faulty(
                    path,
                    f"cas_db.{name}.{key}: expected {_NAMES[expected]}, got {_kind(entry[key])}",
                )
        if not entry["url"].startswith("https://"):
            raise faulty(path, f"cas_db.{name}.url: expected an https URL")


_TEXT_OR_NULL: Final = (str, type(None))
ENTRY_TYPES: Final[dict[str, Any]] = {
    "url": str,
    "chain": str,
    "session_encryption_key": _TEXT_OR_NULL,
    "cas_version": str,
    "simulated": bool,
    "debug": bool,
    "platform_id": str,
    "simulation_root": _TEXT_OR_NULL,
    "mrenclave": str,
    "mrsigner": str,
    "isvprodid": int,
    "isvsvn": int,
    "epoch": int,
    "database_key_origin": _TEXT_OR_NULL,
    "attested_at": str,
}
_NAMES: Final[dict[Any, str]] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    _TEXT_OR_NULL: "a string or null",
}


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _object(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key twice")
    return document


def _no_number(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number beyond the limits")
    return value


def damaged(path: str, what: str) -> StateError:
    """The error for a state file that nothing can be read from; it is never overwritten."""
    return StateError(
        f"config file {path}: {what}",
        hint="the file was left as it is. Restore a copy of it, or move it away: then a new identity "
        "is made, which has none of the rights of the old one",
    )


def faulty(path: str, what: str) -> StateError:
    """The error for one fault in a state file that whoever edits it can mend."""
    return StateError(
        f"config file {path}: {what}",
        hint="the file was left as it is. Correct it there, or restore a copy of it; the entry of a CAS "
        "may also be removed from cas_db and the CAS attested again",
    )
