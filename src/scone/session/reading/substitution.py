"""Variables in a session template: `$NAME` and `${NAME}`, inside one value at a time.

A value that is put in can only ever be text of that one scalar: it makes no key, no
line, no further variable. Keys are left alone. `$$` begins no variable, so that
placeholders for secrets stay as they are. A plain scalar that is one variable with
the value `~` becomes null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from dataclasses import replace
from typing import Final

from scone.documents import Mapping, Node, Scalar, Sequence
from scone.documents.limits import MAX_BYTES
from scone.session.placeholders import WHOLE
from scone.session.reading.collect import Collector

_NAME: Final = "[A-Za-z_][A-Za-z0-9_]*"
_PIECES: Final = re.compile(
    rf"(?P<keep>{re.sub('[(][?]P<[a-z]+>', '(?:', WHOLE.pattern)}|\$\$)"
    rf"|\$(?P<bare>{_NAME})|\$\{{(?P<braced>{_NAME})\}}|(?P<broken>\$\{{)"
)
_REFUSED: Final = re.compile("[\0\ud800-\udfff]")


def substitute(c: Collector, node: Node, variables: MappingType[str, str]) -> Node:
    """The tree with every variable in its values replaced; problems go to the collector."""
    return _Substitution(c, variables).node(node, "")


class _Substitution:
    """One pass over one tree."""

    def __init__(self, c: Collector, variables: MappingType[str, str]) -> None:
        self.c = c
        self.variables = variables
        self.budget = MAX_BYTES

    def node(self, node: Node, path: str) -> Node:
        match node:
            case Scalar():
                return self.scalar(node, path) if "$" in node.text else node
            case Sequence():
                items = (self.node(item, f"{path}[{i}]") for i, item in enumerate(node.items))
                return Sequence(tuple(items), node.mark)
            case Mapping():
                prefix = f"{path}." if path else ""
                return Mapping(
                    tuple(
                        (key, self.node(value, prefix + key.text)) for key, value in node.entries
                    ),
                    node.mark,
                    node.tag,
                )

    def scalar(self, node: Scalar, path: str) -> Scalar:
        used: dict[str, None] = {}

        def value(found: re.Match[str]) -> str:
            if found["keep"] is not None:
                return found["keep"]
            name = found["bare"] or found["braced"]
            if name is None:
                self.c.problem(node, path, "expected ${NAME} with a name in it")
                return ""
            if name not in self.variables:
                self.c.problem(node, path, f"Value for variable ${name} is missing")
                return ""
            text = self.variables[name]
            used[name] = None
            if _REFUSED.search(text):
                self.c.problem(node, path, f"expected text without NUL in the value of ${name}")
                return ""
            self.budget -= len(text)
            if self.budget < 0:
                self.c.problem(node, path, f"expected values of at most {MAX_BYTES} characters")
                return ""
            return text

        text = _PIECES.sub(value, node.text)
        if not used:
            return replace(node, text=text)
        first = next(iter(used))
        whole = node.style == "plain" and node.text in {f"${first}", f"${{{first}}}"}
        if whole and text == "~":
            return Scalar("~", "plain", node.mark)
        return replace(node, text=text, variables=tuple(used))
