"""Puts secrets into the sections of a session where they stand for parts, and reads the result.

A value is data: what a secret brings is never searched for placeholders, and a list brought into
a list becomes part of it (page "config-fragment"). The result is read by the code that reads
session files, with no placeholder left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from scone.crypto.secret import SecretBytes
from scone.documents import Mapping as MappingNode
from scone.documents import Node, Scalar, Sequence
from scone.errors import SconeError, UnavailableError
from scone.session.model import (
    AccessEntry,
    AccessPolicy,
    Security,
    Service,
    Session,
    Template,
    Variant,
)
from scone.session.placeholders import Placeholder
from scone.session.reading.access import access_policy
from scone.session.reading.collect import Collector
from scone.session.reading.fragments import MAX_BROUGHT, brought_entries
from scone.session.reading.security import security
from scone.session.reading.services import platforms, variants
from scone.session.reading.templates import put_in
from scone.session.reading.versions import Version
from scone.session.secrets import (
    AsciiValue,
    BinaryValue,
    FragmentValue,
    SecretValue,
    SecretValues,
    render,
)

_T = TypeVar("_T")
_ALL: Final = Version("0.3", None)


class UnresolvedError(UnavailableError):
    """A section whose secrets are not there or do not fit; names them, never their values."""

    code: ClassVar[str] = "unresolved"


def resolved_security(session: Session, values: Mapping[str, SecretValue]) -> Security:
    """The security section with its secrets in place.

    Raises:
        UnresolvedError: a secret is missing or what it brings does not fit.
    """
    if isinstance(session.security, Security):
        return session.security
    return _read(session, session.security, values, "security", lambda c, n: security(c, n, _ALL))


def resolved_variants(
    session: Session, service: Service, values: Mapping[str, SecretValue]
) -> tuple[Variant, ...]:
    """The attestation variants of a service with their secrets in place.

    Raises:
        UnresolvedError: as `resolved_security`.
    """
    found = service.variants
    if not isinstance(found, Template):
        return found
    place = f"services.{service.name}.attestation"

    return _read(session, found, values, place, lambda c, node: variants(c, node, place, _ALL))


def resolved_platforms(
    session: Session, service: Service, values: Mapping[str, SecretValue]
) -> tuple[str, ...]:
    """The platforms of a service with their secrets in place.

    Raises:
        UnresolvedError: as `resolved_security`.
    """
    found = service.platforms
    if not isinstance(found, Template):
        return found
    place = f"services.{service.name}.platforms"
    return _read(session, found, values, place, lambda c, node: platforms(c, node, place))


def resolved_access_policy(session: Session, values: Mapping[str, SecretValue]) -> AccessPolicy:
    """The access policy where one secret stands for all of it; its own entries stay references.

    Raises:
        UnresolvedError: as `resolved_security`.
    """
    if isinstance(session.access_policy, AccessPolicy):
        return session.access_policy
    return _read(
        session,
        session.access_policy,
        values,
        "access_policy",
        lambda c, n: access_policy(c, n, _ALL),
    )


def entries_of(
    text: str, session: Session, values: Mapping[str, SecretValue], *, rules: bool = False
) -> tuple[AccessEntry, ...]:
    """The entries that one `$$SCONE::NAME$$` of an access policy stands for.

    `rules` where governance rules may stand (update, create_sessions). In language 0.2 the
    secrets brought are compared as there; references inside them are not followed.

    Raises:
        UnresolvedError: as `resolved_security`.
    """
    read = partial(brought_entries, session, "access_policy", rules=rules)
    return _read(session, Template(json.dumps(text)), values, "access_policy", read)


def _read(
    session: Session,
    section: Template,
    values: Mapping[str, SecretValue],
    place: str,
    read: Callable[[Collector, Node], _T],
) -> _T:
    c = Collector(place)
    node = put_in(json.loads(section.data), _Putting(session.name, SecretValues(values)).value)
    found = read(c, node)
    if c.problems:
        first = c.problems[0]
        raise UnresolvedError(f"session {session.name}: {replace(first, hint='')}", hint=first.hint)
    return found


def explicit_values(session: Session) -> dict[str, SecretValue]:
    """The values in the session itself that may stand for parts of sections."""
    found: dict[str, SecretValue] = {}
    for spec in session.secrets:
        if spec.value is None:
            continue
        if spec.kind == "config-fragment":
            found[spec.name] = FragmentValue(spec.value)
        elif spec.kind == "ascii":
            found[spec.name] = AsciiValue(SecretBytes(spec.value.encode()))
        elif spec.kind == "binary":
            found[spec.name] = BinaryValue(SecretBytes(bytes.fromhex(spec.value)))
    return found


class _Putting:
    """Builds what secrets bring into a section; it carries its name into every error."""

    def __init__(self, session_name: str, values: SecretValues) -> None:
        self.session_name = session_name
        self.values = values
        self.left = MAX_BROUGHT

    def value(self, placeholder: Placeholder) -> Node:
        """What a secret brings: the tree of a fragment, or the text of another kind."""
        shown = str(placeholder).removeprefix("$")
        value = self.values.get(placeholder.name)
        if isinstance(value, FragmentValue) and not placeholder.format:
            return self.brought(json.loads(value.data), shown)
        try:
            text = render(self.values, placeholder).decode()
        except (SconeError, UnicodeDecodeError) as error:
            raise UnresolvedError(
                f"session {self.session_name}: expected text for {placeholder}"
                + (f": {error}" if isinstance(error, SconeError) else "")
            ) from None
        return Scalar(text, "double", None, (shown,))

    def brought(self, data: Any, shown: str) -> Node:
        """A fragment's data as a tree."""
        self.left -= 1
        if self.left < 0:
            raise UnresolvedError(
                f"session {self.session_name}: expected fragments of at most {MAX_BROUGHT} values"
            )
        match data:
            case str():
                return Scalar(data, "double", None, (shown,))
            case list():
                return Sequence(tuple(self.brought(item, shown) for item in data), None)
            case _:
                return MappingNode(
                    tuple(
                        (Scalar(key, "plain", None, (shown,)), self.brought(item, shown))
                        for key, item in data.items()
                    ),
                    None,
                )
