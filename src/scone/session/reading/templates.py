"""Sections in which secrets stand for parts (page "Delegating Security Decisions").

Such a section is kept as data: the reader checks what is not a placeholder, `resolve` puts the
secrets in and reads the result with the same code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from scone.documents import Mapping, Node, Scalar, Sequence
from scone.session.model import Template
from scone.session.placeholders import START, Placeholder, reference
from scone.session.reading.collect import Collector
from scone.session.reading.fields import (
    ACCESS_POLICY,
    ATTESTATION,
    SECURITY,
    SIGNER,
    VARIANT,
)
from scone.session.reading.versions import Version

_T = TypeVar("_T")

MAX_KEY: Final = 256

Data = str | list["Data"] | dict[str, "Data"]

_ORDER: Final = {
    key: number
    for number, key in enumerate(
        dict.fromkeys((*ACCESS_POLICY, *SECURITY, *ATTESTATION, *VARIANT, *SIGNER))
    )
}


def holds_placeholder(node: Node | None) -> bool:
    """Whether a placeholder for a secret stands anywhere in a tree."""
    match node:
        case Scalar():
            return START in node.text
        case Sequence():
            return any(map(holds_placeholder, node.items))
        case Mapping():
            return any(holds_placeholder(value) for _, value in node.entries)
        case None:
            return False


def templated(
    c: Collector, node: Node, path: str, version: Version, read: Callable[[], _T]
) -> _T | Template:
    """What `read` makes of a section, or the section as data where secrets stand for parts.

    Also then it is read, for the problems of all that is no placeholder.
    """
    if not holds_placeholder(node):
        return read()
    if not version.admits("0.3.10"):
        c.problem(node, path, "secrets here need version 0.3.10 or newer")
    c.templating = True
    if not c.passes(node):
        read()
    c.templating = False
    return template(c, node, path)


def template(c: Collector, node: Node, path: str) -> Template:
    """The section as data; placeholders that are only a part of a text are problems."""
    return Template(_compact(_data(c, node, path)))


def fragment(c: Collector, node: Node, path: str) -> str:
    """The value of a config-fragment as compact JSON, all scalars as text."""
    return _compact(_data(c, node, path, placeholders=False))


def put_in(data: Any, value: Callable[[Placeholder], Node]) -> Node:
    """The tree of a section's data; a list that a secret brings into a list becomes part of it."""
    match data:
        case str():
            found = reference(data)
            return Scalar(data, "double", None) if found is None else value(found)
        case list():
            items: list[Node] = []
            for item in data:
                node = put_in(item, value)
                brings = isinstance(item, str) and isinstance(node, Sequence)
                items += node.items if brings and isinstance(node, Sequence) else (node,)
            return Sequence(tuple(items), None)
        case _:
            return Mapping(
                tuple(
                    (Scalar(key, "plain", None), put_in(item, value)) for key, item in data.items()
                ),
                None,
            )


def _compact(data: Data) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _data(c: Collector, node: Node, path: str, *, placeholders: bool = True) -> Data:
    match node:
        case Scalar():
            if START in node.text:
                if not placeholders:
                    c.problem(node, path, "expected no placeholder inside a fragment")
                elif reference(node.text) is None:
                    c.problem(node, path, "expected $$SCONE::name$$ alone, without other text")
            elif node.is_null:
                c.expected(node, path, "a value")
            return node.text
        case Sequence():
            return [
                _data(c, item, f"{path}[{index}]", placeholders=placeholders)
                for index, item in enumerate(node.items)
            ]
        case Mapping():
            for key, _ in node.entries:
                # As for environments: the normal form must stay within YAML's 1024 characters.
                if not 1 <= len(key.text) <= MAX_KEY or not key.text.isprintable():
                    c.problem(key, path, f"expected keys of 1 to {MAX_KEY} printable characters")
            entries = {
                key.text: _data(c, value, f"{path}.{key.text}", placeholders=placeholders)
                for key, value in node.entries
                if not (isinstance(value, Scalar) and value.is_null)
            }
            return dict(sorted(entries.items(), key=lambda entry: _place(entry[0])))


def _place(key: str) -> tuple[int, str]:
    return _ORDER.get(key, len(_ORDER)), key
