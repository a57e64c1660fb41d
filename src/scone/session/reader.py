"""Reads a session file: text to checked session, or every problem that it has.

Languages 0.2 and 0.3 to 0.3.12, as far as `fields` marks a construct as read
(docs/formats/session.md). Without `variables` the text is taken as it is (the CAS);
with them, `$NAME` is replaced in values first (the CLI).
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Final

from scone.documents import (
    DocumentError,
    Node,
    Problem,
    Scalar,
    document_error,
    read_json,
    read_yaml,
)
from scone.documents.limits import MAX_BYTES, MAX_NODES
from scone.documents.tree import Mapping
from scone.errors import MalformedError
from scone.session.advice import advise
from scone.session.canonical import Value, canonical_json, session_value
from scone.session.checks import check
from scone.session.collect import Collector
from scone.session.fields import SESSION
from scone.session.model import Session
from scone.session.names import ALPHABET, ROOT, parse_name
from scone.session.normal_form import to_yaml
from scone.session.parts import Parts
from scone.session.read_images import read_images
from scone.session.read_policy import read_access_policy, read_creator, read_security
from scone.session.read_secrets import read_secrets
from scone.session.read_services import read_services
from scone.session.substitution import substitute
from scone.session.versions import SUPPORTED, Version, parse_version

# Escapes, indentation and defaults make a normal form at most some twelve times as long
# and give it three times as many values: below this the limits cannot be met.
_SURELY_SMALL: Final = 12 * 1024
_RESERVED_BYTES: Final = 64 * 1024
_RESERVED_NODES: Final = 16
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Checked:
    """A session without problems, and what is worth a look in it."""

    session: Session
    warnings: tuple[Problem, ...] = ()


def read_session(
    text: str,
    *,
    source: str = "session",
    variables: MappingType[str, str] | None = None,
    name: str | None = None,
) -> Checked:
    """The session in a text; `name` replaces its name after substitution.

    Raises:
        DocumentError: with every problem found, each with its place.
    """
    outer = (
        f"Parsing {source} failed"
        if variables is None
        else f"Parsing session from session template file '{source}' failed"
    )
    try:
        node = read_yaml(text, source)
    except DocumentError as error:
        raise document_error(error.problems, outer) from error
    c = Collector(source)
    if variables is not None:
        node = substitute(c, node, variables)
        if c.problems:  # what would be read now is not what was meant
            raise document_error(c.in_order(), outer)
    session = session_of(c, node, name=name)
    if session is None or c.problems:
        raise document_error(c.in_order(), outer)
    if len(text) > _SURELY_SMALL or variables:
        _check_size(c, session)
        if c.problems:
            raise document_error(c.problems, outer)
    return Checked(session, tuple(c.warnings))


def _check_size(c: Collector, session: Session) -> None:
    """What is accepted can be stored and read back, also with a predecessor and a creator."""
    if _count(session_value(session)) > MAX_NODES - _RESERVED_NODES:
        c.problem(None, "", f"expected less than {MAX_NODES} values in normal form")
    for form, made in (("canonical", canonical_json(session)), ("normal", to_yaml(session))):
        if len(made.encode()) > MAX_BYTES - _RESERVED_BYTES:
            c.problem(None, "", f"expected less than {MAX_BYTES} bytes in {form} form")


def _count(value: Value) -> int:
    """Events of a YAML parser for this data."""
    match value:
        case dict():
            return 2 + len(value) + sum(map(_count, value.values()))
        case list():
            return 2 + sum(map(_count, value))
        case _:
            return 1


def from_canonical(text: str) -> Session:
    """The session with this canonical form.

    Raises:
        MalformedError: not the canonical form of a session.
    """
    place = "canonical session"
    try:
        c = Collector(place)
        session = session_of(c, read_json(text, place), canonical=True)
    except DocumentError as error:
        raise MalformedError(place, "JSON", str(error.problems[0])) from error
    if session is None or c.problems:
        raise MalformedError(place, "a session", str(c.problems[0]))
    if canonical_json(session) != text:
        raise MalformedError(place, "the canonical form", "another form of the same session")
    return session


def session_of(
    c: Collector, node: Node, *, name: str | None = None, canonical: bool = False
) -> Session | None:
    """The session in a tree; problems and warnings are left in the collector."""
    version = _version(c, node)
    if version is None:
        return None
    if name is not None:
        node = _renamed(node, name)
    fields = c.table(node, "", SESSION, version)
    if fields is None:
        return None
    parts = Parts(
        c,
        read_secrets(c, fields.get("secrets"), version),
        read_images(c, fields.get("images"), version, canonical=canonical),
        read_services(c, fields.get("services"), version),
    )
    security = read_security(c, fields.get("security"), version)
    predecessor = c.matching(
        fields.get("predecessor"), "predecessor", _HASH, "a session hash of 64 hex digits"
    )
    session = Session(
        version=version.text,
        name=_name(c, fields.get("name"), version) or "",
        predecessor=predecessor and predecessor.lower(),
        secrets=tuple(secret for secret in parts.secrets if secret),
        images=tuple(image for image in parts.images if image),
        services=tuple(service for service in parts.services if service),
        access_policy=read_access_policy(c, fields.get("access_policy"), version),
        security=security,
        creator=read_creator(c, fields.get("creator")),
    )
    check(c, parts, version, attested=security.mode != "none")
    if not c.problems and not canonical:
        advise(c, node, parts, security, version)
    return session


def _version(c: Collector, node: Node) -> Version | None:
    if not isinstance(node, Mapping):
        c.expected(node, "", "a session: a mapping with version and name", got=False)
        return None
    found = next((value for key, value in node.entries if key.text == "version"), None)
    if found is None or (isinstance(found, Scalar) and found.is_null):
        c.problem(
            node,
            "version",
            "expected the version of the session language, got nothing",
            'without it the file is of version 0.1, which is not supported; add version: "0.3"',
        )
        return None
    text = c.text(found, "version", f"version {SUPPORTED}")
    version = None if text is None else parse_version(text)
    if version is None and text is not None:
        hint = "it was the language before 0.2 and is not supported" if text == "0.1" else ""
        c.expected(found, "version", f"version {SUPPORTED}", hint)
    return version


def _renamed(node: Node, name: str) -> Node:
    if not isinstance(node, Mapping):
        return node
    key = next((key for key, _ in node.entries if key.text == "name"), None)
    given = Scalar(name, "double", key.mark if key else node.mark)
    rest = tuple(entry for entry in node.entries if entry[0].text != "name")
    return Mapping(((key or Scalar("name", "plain", node.mark), given), *rest), node.mark)


def _name(c: Collector, node: Node | None, version: Version) -> str | None:
    text = c.text(node, "name", "the name of the session")
    if text is None:
        return None
    if version.is_0_2 and "/" in text:
        c.problem(node, "name", "namespaces need version 0.3.5 or newer")
    elif text == ROOT and not version.admits("0.3.11"):
        c.problem(node, "name", "the root namespace needs version 0.3.11 or newer")
    elif not version.admits("0.3.5") and "/" in text:
        c.problem(node, "name", "namespaces need version 0.3.5 or newer")
    try:
        parse_name(text)
    except MalformedError as error:
        unset = "$" in text and not (isinstance(node, Scalar) and node.variables)
        hint = "a variable that was not replaced?" if unset else error.hint
        c.problem(node, "name", f"expected {error.expected}", hint or f"allowed: {ALPHABET}")
    return text
