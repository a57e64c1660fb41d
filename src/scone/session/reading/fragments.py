"""Reads sections whose secrets are all explicit values of the same file, with these in place.

So a mistake in a fragment is found when the file is checked, at the fragment's own line, and not
when a service starts. `resolve` reads all other sections once their secrets are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from scone.documents import Mapping, Node, Scalar, Sequence
from scone.session.model import AccessEntry, Session, Template
from scone.session.placeholders import Placeholder, reference
from scone.session.reading.access import access_policy, entries
from scone.session.reading.collect import Collector
from scone.session.reading.security import security
from scone.session.reading.services import platforms, variants
from scone.session.reading.templates import put_in
from scone.session.reading.versions import Version, parse_version

# A section is read for each start of a service and each request: this bounds what it costs.
MAX_BROUGHT: Final = 10_000
"""Values that secrets may bring into one section."""
_ALL: Final = Version("0.3", None)
_Read = Callable[[Collector, Node], object]


class _ElsewhereError(Exception):
    """A section needs a value that is not in the file, or too many."""


def check_fragments(c: Collector, session: Session) -> None:
    """Note what is wrong in such sections; for sessions that were read without problems.

    What exceeds `MAX_BROUGHT` in all sections together is left to the start of services.
    """
    nodes: dict[str, Node] = {}
    sizes: dict[str, int] = {}
    within: dict[object, str] = {}
    left = MAX_BROUGHT
    for index, spec in enumerate(session.secrets):
        if spec.value is None:
            continue
        if spec.kind == "ascii":
            shown = f"$SCONE::{spec.name}$$"  # a $ is put before it, as before a variable
            nodes[spec.name] = Scalar(spec.value, "double", None, (shown,))
        elif spec.kind == "config-fragment":
            nodes[spec.name] = node = c.nodes[f"secrets[{index}].value"]
            marks = [part.mark for part in _walk(node)]
            said = c.said(f"secrets[{index}].name", f" (in the fragment {spec.name})")
            within |= dict.fromkeys(marks, said)
            sizes[spec.name] = len(marks)

    def value(placeholder: Placeholder) -> Node:
        nonlocal left
        name = placeholder.name
        left -= sizes.get(name, 1)
        if name not in nodes or placeholder.format or placeholder.escape_json or left < 0:
            raise _ElsewhereError
        return nodes[name]

    for path, data, read in _sections(c, session):
        inner = Collector(c.source)
        try:
            read(inner, put_in(data, value))
        except _ElsewhereError:
            continue
        at = c.nodes.get(path)
        for problem in inner.problems:
            mark = problem.mark or (at.mark if at else None)
            message = problem.message + within.get(problem.mark, "")
            c.problem(Scalar("", "double", mark), problem.path, message, problem.hint)


def brought_entries(
    session: Session, path: str, c: Collector, node: Node, *, rules: bool
) -> tuple[AccessEntry, ...]:
    """The access entries that a secret brings; references inside them are problems."""
    version = parse_version(session.version) if session.version == "0.2" else None
    found = entries(c, node, path, version or _ALL, rules=rules)
    if any(isinstance(entry, str) and reference(entry) for entry in found):
        c.problem(None, path, "expected no further secret in what a secret brings")
    return found


def _sections(c: Collector, session: Session) -> Iterator[tuple[str, Any, _Read]]:
    """The sections in which secrets stand for parts: place, data and reader."""
    if isinstance(session.security, Template):
        data = json.loads(session.security.data)
        yield "security", data, lambda inner, node: security(inner, node, _ALL)
    if isinstance(session.access_policy, Template):
        data = json.loads(session.access_policy.data)
        yield "access_policy", data, lambda inner, node: access_policy(inner, node, _ALL)
    for path, text in c.access_references:
        rules = path.startswith(("access_policy.update", "access_policy.create_sessions"))
        yield path, text, partial(brought_entries, session, path, rules=rules)
    for index, service in enumerate(session.services):
        if isinstance(service.attestation, Template):
            path = f"services[{index}].attestation"
            yield path, json.loads(service.attestation.data), partial(_variants, path)
        if isinstance(service.platforms, Template):
            path = f"services[{index}].platforms"
            yield path, json.loads(service.platforms.data), partial(_platforms, path)


def _variants(path: str, c: Collector, node: Node) -> object:
    return variants(c, node, path, _ALL)


def _platforms(path: str, c: Collector, node: Node) -> object:
    return platforms(c, node, path)


def _walk(node: Node) -> Iterator[Node]:
    """A tree's nodes, keys among them."""
    yield node
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _walk(item)
    elif isinstance(node, Mapping):
        for key, value in node.entries:
            yield key
            yield from _walk(value)
