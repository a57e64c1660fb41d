"""Reads a session file: text to checked session, or every problem that it has.

Languages 0.2 and 0.3 to 0.3.12 (docs/formats/session.md). Without `variables` the text is taken as it is (the CAS);
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
from scone.documents.tree import Mapping, Sequence
from scone.errors import MalformedError
from scone.session.canonical import Value, canonical_json, session_value
from scone.session.model import Session
from scone.session.names import ALPHABET, ROOT, parse_name
from scone.session.normal_form import to_yaml
from scone.session.reading.access import read_access_policy, read_creator
from scone.session.reading.advice import advise
from scone.session.reading.checks import check
from scone.session.reading.collect import Collector
from scone.session.reading.fields import SESSION
from scone.session.reading.fragments import check_fragments
from scone.session.reading.images import read_images
from scone.session.reading.parts import Parts
from scone.session.reading.secrets import read_secrets
from scone.session.reading.security import read_secret_config, read_security
from scone.session.reading.services import read_services
from scone.session.reading.substitution import substitute
from scone.session.reading.versions import SUPPORTED, Version, parse_version
from scone.session.reading.volumes import read_volumes
from scone.session.reading.words import HEX_32, HEX_64

# Escapes, indentation and defaults make a normal form at most some twelve times as long
# and give it three times as many values: below this the limits cannot be met.
_SURELY_SMALL: Final = 12 * 1024
_RESERVED_BYTES: Final = 64 * 1024
_RESERVED_NODES: Final = 16
TAGS: Final = ("!akv", "!cas")
_MAY_HOLD_TAGS: Final = re.compile("!akv|!cas")


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
        node = read_yaml(text, source, tags=TAGS)
    except DocumentError as error:
        raise document_error(error.problems, outer) from error
    c = Collector(source)
    if _MAY_HOLD_TAGS.search(text):
        _check_tags(c, node, "")
    if variables is not None:
        node = substitute(c, node, variables)
    session = session_of(c, node, name=name)
    if session is None or c.problems:
        raise document_error(c.in_order(), outer)
    if len(text) > _SURELY_SMALL or variables:
        _check_size(c, session)
        if c.problems:
            raise document_error(c.problems, outer)
    return Checked(session, c.warnings_in_order())


def _check_size(c: Collector, session: Session) -> None:
    """What is accepted can be stored and read back, also with a predecessor and a creator."""
    if _count(session_value(session)) > MAX_NODES - _RESERVED_NODES:
        c.problem(None, "", f"expected less than {MAX_NODES} values in normal form")
    for form, made in (("canonical", canonical_json(session)), ("normal", to_yaml(session))):
        if len(made.encode()) > MAX_BYTES - _RESERVED_BYTES:
            c.problem(None, "", f"expected less than {MAX_BYTES} bytes in {form} form")


def stored_form(session: Session) -> str:
    """The canonical form of a session with its creator, which is sure to be read again.

    Raises:
        MalformedError: it would not be, or is too large, or its normal form is.
    """
    text = canonical_json(session)
    if len(text) > _SURELY_SMALL:
        for form, made in (("canonical", text), ("normal", to_yaml(session))):
            size = len(made.encode())
            if size > MAX_BYTES:
                what = f"at most {MAX_BYTES} bytes in {form} form, its creator included"
                raise MalformedError("session", what, f"{size}")
        count = _count(session_value(session))
        if count > MAX_NODES:
            what = f"at most {MAX_NODES} values in normal form, its creator included"
            raise MalformedError("session", what, f"{count}")
    what = "a session whose canonical form can be read again"
    try:
        again = from_canonical(text)
    except MalformedError as error:
        raise MalformedError("session", what, f"({error})") from error
    if again != session:
        raise MalformedError("session", what, "one that would be another session then")
    return text


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
        read_volumes(c, fields.get("volumes"), version),
        read_images(c, fields.get("images"), version, canonical=canonical),
        read_services(c, fields.get("services"), version),
    )
    access = read_access_policy(c, fields.get("access_policy"), version)
    security = read_security(c, fields.get("security"), version)
    predecessor = _hex(c, fields, "predecessor", HEX_64, "a session hash of 64 hex digits")
    namespace_hash = _hex(c, fields, "namespace_hash", HEX_64, "a session hash of 64 hex digits")
    if predecessor and namespace_hash:
        hint = "it is compared when a session is created; leave it out in updates"
        c.problem_at("namespace_hash", "expected no namespace_hash beside predecessor", hint)
    session = Session(
        version=version.text,
        name=_name(c, fields.get("name"), version) or "",
        predecessor=predecessor,
        namespace_hash=namespace_hash,
        salt=_hex(c, fields, "salt", HEX_32, "a salt of 32 hex digits (openssl rand -hex 16)"),
        secrets=tuple(secret for secret in parts.secrets if secret),
        volumes=tuple(volume for volume in parts.volumes if volume),
        images=tuple(image for image in parts.images if image),
        services=tuple(service for service in parts.services if service),
        access_policy=access,
        security=security,
        secret_config=read_secret_config(c, fields.get("secret_config"), version),
        creator=read_creator(c, fields.get("creator"), version),
    )
    if canonical:  # it was checked when it was taken; later rules are for later uploads
        return session
    check(c, parts, session, version)
    if not c.problems:
        check_fragments(c, session)
    if not c.problems:
        advise(c, node, parts, session, version)
    return session


def _hex(
    c: Collector, fields: dict[str, Node], key: str, form: re.Pattern[str], what: str
) -> str | None:
    text = c.matching(fields.get(key), key, form, what, got=key != "salt")
    return text and text.lower()


def _check_tags(c: Collector, node: Node, path: str) -> None:
    """The tags of the subset stand at one place only."""
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _check_tags(c, item, f"{path}[{index}]")
        return
    if node.tag and path != "secret_config.store_in":
        c.problem(node, path, "expected no tag (!)", "quote text that starts with !")
    if isinstance(node, Mapping):
        for key, value in node.entries:
            if key.tag:
                c.problem(key, path, "expected no tag (!)", "quote text that starts with !")
            _check_tags(c, value, f"{path}.{key.text}" if path else key.text)


def _version(c: Collector, node: Node) -> Version | None:
    if not isinstance(node, Mapping):
        if isinstance(node, Scalar) and node.is_null and not node.text:
            message = "the file is empty, expected a mapping with version and name"
            c.problem(node, "", message)
        else:
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
    if text == ROOT and not version.admits("0.3.11"):
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
