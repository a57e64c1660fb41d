"""What differs between a session file and the active session, for `scone session verify`.

An absent predecessor or creator in the file matches any, and so does its namespace hash once
the session was updated. Values that may be secret
(`fields.SECRET_KEYS`) are said to differ and not shown.
"""

from __future__ import annotations

import json
import re
from itertools import takewhile, zip_longest
from typing import Final

from scone.session.canonical import Value, session_value
from scone.session.model import Session
from scone.session.reading.fields import SECRET_KEYS

_NAMES: Final = re.compile(r"\[.*?\]")
_MAX_SHOWN: Final = 80
_CONTEXT: Final = 20


def differences(expected: Session, active: Session) -> list[str]:
    """One line for each difference; empty when the active session is the expected one."""
    wanted = session_value(expected)
    found = session_value(active)
    if expected.predecessor is None:
        if active.predecessor is not None:  # a successor has no namespace hash
            wanted.pop("namespace_hash", None)
        found["predecessor"] = None
    if expected.creator is None:
        found.pop("creator", None)
    lines: list[str] = []
    _compare(wanted, found, "", lines)
    return lines


def _compare(wanted: Value, found: Value, path: str, lines: list[str]) -> None:
    if wanted == found:
        return
    wanted, found = _section(wanted, found), _section(found, wanted)
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*wanted, *found)):
            _compare(wanted.get(key), found.get(key), f"{path}.{key}" if path else key, lines)
        return
    by_name = _by_name(wanted), _by_name(found)
    if by_name[0] is not None and by_name[1] is not None and (by_name[0] or by_name[1]):
        names = dict.fromkeys((*by_name[0], *by_name[1]))
        before = len(lines)
        for name in names:
            _compare(by_name[0].get(name), by_name[1].get(name), f"{path}[{name}]", lines)
        if len(lines) == before:
            wanted_order, found_order = map(", ".join, (by_name[0], by_name[1]))
            lines.append(f"{path}: expected the order {wanted_order}, found {found_order}")
        return
    if isinstance(wanted, list) and isinstance(found, list) and not _is_secret(path):
        for index, (one, other) in enumerate(zip_longest(wanted, found)):
            _compare(one, other, f"{path}[{index}]", lines)
        return
    if _is_pem(wanted) and _is_pem(found):
        lines.append(f"{path}: expected another certificate than the one found")
    elif _is_secret(path) and wanted is not None and found is not None:
        lines.append(f"{path}: differs (not shown)")
    else:
        one, other = _where_they_differ(_shown(wanted, path), _shown(found, path))
        lines.append(f"{path}: expected {one}, found {other}")


def _section(value: Value, other: Value) -> Value:
    """An absent section beside one that is there: its keys are compared one by one."""
    is_item = isinstance(other, dict) and ("name" in other or "path" in other)
    return {} if value is None and isinstance(other, dict) and not is_item else value


def _by_name(value: Value) -> dict[str, Value] | None:
    """List items that have names of their own (services, secrets, images, files) by name."""
    if not isinstance(value, list):
        return {} if value is None else None
    named: dict[str, Value] = {}
    for item in value:
        name = (item.get("name") or item.get("path")) if isinstance(item, dict) else None
        if not isinstance(name, str):
            return None
        named[name] = item
    return named


def _is_secret(path: str) -> bool:
    return not SECRET_KEYS.isdisjoint(_NAMES.sub("", path).split("."))


def _is_pem(value: Value) -> bool:
    return isinstance(value, str) and value.startswith("-----BEGIN ")


def _shown(value: Value, path: str) -> str:
    if value is None:
        return "nothing"
    if _is_pem(value):
        return "a certificate"
    if isinstance(value, dict) and ("name" in value or "path" in value):
        return "one"
    if _is_secret(path):
        return "a value (not shown)"
    return json.dumps(value, ensure_ascii=False)


def _where_they_differ(one: str, other: str) -> tuple[str, str]:
    """Both texts; of long ones the part that begins shortly before the first difference."""
    if max(len(one), len(other)) <= _MAX_SHOWN:
        return one, other
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    start = max(sum(1 for _ in alike) - _CONTEXT, 0)
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + _MAX_SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
