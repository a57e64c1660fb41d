"""Variables in a session template: `$NAME` and `${NAME}`, inside one value at a time.

A value that is put in can only ever be text of that one scalar: it makes no key, no
line, no further variable. Keys are left alone. `$$` begins no variable, so that
placeholders for secrets stay as they are. A plain scalar that is one variable with
the value `~` becomes null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
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
_GIVE: Final = "give it with -e NAME=VALUE or --use-env"
_REFUSED: Final = re.compile("[\0\ud800-\udfff]")


def substitute(c: Collector, node: Node, variables: MappingType[str, str]) -> Node:
    """The tree with every variable in its values replaced; problems go to the collector.

    What has a problem here stays as it was, and the collector says nothing more about it.
    """
    return _Substitution(c, variables).node(node, "")


def variables_of(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """Each variable in the values of a template, with the path of the value that it stands in."""
    match node:
        case Scalar():
            for found in _PIECES.finditer(node.text):
                name = found["bare"] or found["braced"]
                if name is not None:
                    yield name, path
        case Sequence():
            for index, item in enumerate(node.items):
                yield from variables_of(item, f"{path}[{index}]")
        case Mapping():
            for key, value in node.entries:
                yield from variables_of(value, f"{path}.{key.text}" if path else key.text)


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
        failed = False

        def problem(message: str, hint: str = "") -> str:
            nonlocal failed
            failed = True
            self.c.problem(node, path, message, hint)
            return ""

        def value(found: re.Match[str]) -> str:
            if found["keep"] is not None:
                return found["keep"]
            name = found["bare"] or found["braced"]
            if name is None:
                return problem("expected ${NAME} with a name in it")
            if name not in self.variables:
                return problem(f"Value for variable ${name} is missing", _GIVE)
            text = self.variables[name]
            used[name] = None
            if _REFUSED.search(text):
                return problem(f"expected text without NUL in the value of ${name}")
            self.budget -= len(text)
            if self.budget < 0:
                return problem(f"expected values of at most {MAX_BYTES} characters")
            return text

        text = _PIECES.sub(value, node.text)
        if failed:
            self.c.unknown.add(node.mark)
            return node
        if not used:
            return node._replace(text=text)
        first = next(iter(used))
        whole = node.style == "plain" and node.text in {f"${first}", f"${{{first}}}"}
        if whole and text == "~":
            return Scalar("~", "plain", node.mark)
        return node._replace(text=text, variables=tuple(used))
