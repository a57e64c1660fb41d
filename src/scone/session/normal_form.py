"""A session as the YAML text that `scone session read` prints.

Keys in canonical order, lists without indentation, text of several lines as block
scalars. Text that YAML 1.1 or 1.2 would read as something else is quoted, so that
other tools and this reader agree; reading the text gives the same session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from scone.session.canonical import Value, session_value
from scone.session.model import Session

_CHARACTERS: Final = r"A-Za-z0-9_./$+=~@%^,()|;\-"
# Plain: words of harmless characters, single spaces between them, no colon before a space.
_PLAIN: Final = re.compile(
    rf"[A-Za-z0-9_./$][{_CHARACTERS}:]*(?:(?<!:) [{_CHARACTERS}][{_CHARACTERS}:]*)*(?<!:)"
)
# What YAML 1.1 or 1.2 takes for null, a truth value, a number, a date or a merge key.
_TYPED: Final = re.compile(
    r"~|null|true|false|yes|no|on|off|y|n|[-+]?\.(?:inf|nan)|=|<<"
    r"|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]*)?|[-+]?\.[0-9][0-9_]*(?:e[-+]?[0-9]*)?"
    r"|[-+]?0(?:x[0-9a-f_]*|o[0-7_]*|b[01_]*)|[-+]?[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-.*",
    re.IGNORECASE,
)
# A line of a block scalar: printable, no blank at its end, nothing that breaks lines.
_BREAKS: Final = r"\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff"
_BLOCK: Final = re.compile(rf"(?: *[^\s{_BREAKS}](?:[^{_BREAKS}]*[^\s{_BREAKS}])?)?")
_ESCAPED: Final = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def to_yaml(session: Session) -> str:
    """The normal form of a session."""
    return "".join(_mapping(session_value(session), ""))


def _mapping(value: dict[str, Value], indent: str, first: str | None = None) -> Iterator[str]:
    """Lines of a mapping; the first one may stand behind the dash of a list."""
    for key, item in value.items():
        lead = indent if first is None else first
        first = None
        yield from _entry(f"{lead}{_word(key)}:", item, indent, key=key)


def _entry(lead: str, item: Value, indent: str, *, key: str) -> Iterator[str]:
    match item:
        case {"akv": dict() as vault} if key == "store_in":
            yield f"{lead} !akv\n"
            yield from _mapping(vault, f"{indent}  ")
        case dict() | list() if not item:
            yield f"{lead} {json.dumps(item)}\n"
        case dict():
            yield f"{lead}\n"
            yield from _mapping(item, f"{indent}  ")
        case list():
            yield f"{lead}\n"
            for element in item:
                if isinstance(element, dict) and element:
                    yield from _mapping(element, f"{indent}  ", f"{indent}- ")
                elif isinstance(element, dict | list):  # only fragments have lists in lists
                    flow = json.dumps(element, ensure_ascii=False)
                    yield f"{indent}- {_escape(flow)}\n"
                else:
                    yield from _scalar(f"{indent}-", element, f"{indent}  ")
        case int() if key == "permission":
            yield f"{lead} 0o{item:o}\n"
        case _:
            yield from _scalar(lead, item, f"{indent}  ")


def _scalar(lead: str, item: Value, indent: str) -> Iterator[str]:
    if not isinstance(item, str):
        yield f"{lead} {json.dumps(item)}\n"
    elif "\n" in item and (style := _block_style(item)):
        yield f"{lead} {style}\n"
        for line in item.removesuffix("\n").split("\n"):
            yield f"{indent}{line}\n" if line else "\n"
    else:
        yield f"{lead} {_word(item)}\n"


def _block_style(text: str) -> str | None:
    """`|` for text with one final newline, `|-` for none; None where a block cannot hold it."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if not lines[-1] or not all(map(_BLOCK.fullmatch, lines)):
        return None
    if not lines[0] or lines[0].startswith(" "):  # its indentation is how YAML finds the text's
        return None
    return "|" if text.endswith("\n") else "|-"


def _word(text: str) -> str:
    """A text on one line, plain where that reads back as the same text everywhere."""
    if _PLAIN.fullmatch(text) and not _TYPED.fullmatch(text):
        return text
    return _escape(json.dumps(text, ensure_ascii=False))


def _escape(quoted: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
