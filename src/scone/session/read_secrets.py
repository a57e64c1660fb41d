"""Reads the `secrets` section: kinds and the parameters that each kind has."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, cast

from scone.documents import Node
from scone.errors import MalformedError
from scone.session.collect import Collector
from scone.session.durations import parse_duration
from scone.session.fields import (
    ENDPOINTS,
    KEY_TYPES,
    LATER_SECRET_KINDS,
    SECRET,
    SECRET_KINDS,
)
from scone.session.model import (
    MAX_SECRET_SIZE,
    MIN_VALID_FOR,
    Duration,
    Endpoint,
    KeyType,
    SecretKind,
    SecretSpec,
)
from scone.session.pem import certificates_text, private_key_text
from scone.session.read_services import segment
from scone.session.versions import Version

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_DNS: Final = re.compile(
    r"(?=.{1,253}\Z)(?:\*\.)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)
_MAX_COMMON_NAME: Final = 64  # RFC 5280, A.1: ub-common-name
_ONLY_GENERATED: Final = ("key_type", "common_name", "endpoint", "dns", "san", "valid_for")
_KINDS_OF_0_2: Final = frozenset({"ascii", "binary", "x509", "x509-ca"})


def read_secrets(c: Collector, node: Node | None, version: Version) -> list[SecretSpec | None]:
    """The secrets in the order of the file; None for one without usable name or kind."""
    return [_secret(c, item, path, version) for path, item in c.items(node, "secrets")]


def _secret(c: Collector, node: Node, path: str, version: Version) -> SecretSpec | None:
    before = len(c.problems)
    fields = c.table(node, path, SECRET, version)
    if fields is None:
        return None
    kind = _kind(c, fields, path, version)
    if kind is None and len(c.problems) > before and c.problems[-1].code == "unsupported":
        # One line says that the kind is not there; its parameters would only add noise.
        del c.problems[before:-1]
        return None
    name = segment(c, fields, path)
    if name is None or kind is None:
        return None
    allowed = SECRET_KINDS[kind]
    for key in fields:
        if key not in allowed and key not in {"name", "kind"}:
            parameters = ", ".join(sorted(allowed))
            c.problem_at(f"{path}.{key}", f"a secret of kind {kind} has no {key}", parameters)
        elif key in _ONLY_GENERATED and "value" in fields:
            c.problem_at(
                f"{path}.{key}",
                f"expected no {key} beside an explicit value",
                "it describes values that the CAS generates",
            )
    names = {
        key: c.text(fields.get(key), f"{path}.{key}", "the name of a secret")
        for key in ("private_key", "issuer")
    }
    return SecretSpec(
        name=name,
        kind=kind,
        value=_value(c, fields.get("value"), f"{path}.value", kind, version),
        size=c.integer(fields.get("size"), f"{path}.size", 1, MAX_SECRET_SIZE),
        key_type=cast(
            "KeyType | None", c.word(fields.get("key_type"), f"{path}.key_type", KEY_TYPES)
        ),
        migrate=c.boolean(fields.get("migrate"), f"{path}.migrate") or False,
        private_key=names["private_key"],
        issuer=names["issuer"],
        common_name=_common_name(c, fields.get("common_name"), f"{path}.common_name"),
        endpoint=cast(
            "Endpoint | None", c.word(fields.get("endpoint"), f"{path}.endpoint", ENDPOINTS)
        ),
        dns=_dns(c, fields.get("dns"), f"{path}.dns"),
        san=_san(c, fields.get("san"), f"{path}.san"),
        valid_for=_duration(c, fields.get("valid_for"), f"{path}.valid_for"),
    )


def _kind(c: Collector, fields: dict[str, Node], path: str, version: Version) -> SecretKind | None:
    node = fields.get("kind")
    kind = c.text(node, f"{path}.kind", "a kind of secret")
    if kind is None or node is None:
        return None
    known = [k for k in SECRET_KINDS if not version.is_0_2 or k in _KINDS_OF_0_2]
    if kind in known:
        return cast("SecretKind", kind)
    if kind in LATER_SECRET_KINDS:
        c.unsupported(node, f"{path}.kind", f"secrets of kind {kind}")
    elif kind in SECRET_KINDS:
        c.problem(node, f"{path}.kind", f"secrets of kind {kind} need version 0.3 or newer")
    else:
        hint = c.suggestion(kind, (*known, *LATER_SECRET_KINDS))
        c.expected(node, f"{path}.kind", f"one of {', '.join(known)}", hint)
    return None


def _value(
    c: Collector, node: Node | None, path: str, kind: SecretKind, version: Version
) -> str | None:
    if node is None:
        return None
    if kind.startswith("x509") and version.is_0_2:
        c.problem(node, path, "certificates of language 0.2 have no explicit value")
        return None
    text = c.text(node, path, "the value of the secret")
    if text is None:
        return None
    try:
        match kind:
            case "ascii":
                return text
            case "binary":
                if not _HEX.fullmatch(text):
                    c.expected(node, path, "an even number of hex digits", got=False)
                return text.lower()
            case "private-key":
                return private_key_text(text, place=path)
            case "x509" | "x509-ca":
                return certificates_text(text, place=path)
    except MalformedError as error:
        c.malformed(node, path, error)
        return text


def _common_name(c: Collector, node: Node | None, path: str) -> str | None:
    text = c.text(node, path)
    if text is not None and node is not None and not 1 <= len(text) <= _MAX_COMMON_NAME:
        c.expected(node, path, f"1 to {_MAX_COMMON_NAME} characters")
    return text


def _dns(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names = [
        c.matching(item, where, _DNS, "a DNS name")
        for where, item in c.items(node, path, scalar=True)
    ]
    return tuple(name for name in names if name is not None)


def _san(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names: list[str] = []
    what = '"dns:NAME" or "ip:ADDRESS"'
    for where, item in c.items(node, path, scalar=True):
        text = c.text(item, where, what)
        if text is None:
            continue
        kind, _, name = text.partition(":")
        if kind == "ip":
            try:
                names.append(f"ip:{ipaddress.ip_address(name)}")
                continue
            except ValueError:
                pass  # reported with the other forms, below
        elif kind == "dns" and _DNS.fullmatch(name):
            names.append(text)
            continue
        c.expected(item, where, what)
    return tuple(names)


def _duration(c: Collector, node: Node | None, path: str) -> Duration | None:
    text = c.text(node, path, "a duration")
    if text is None:
        return None
    try:
        duration = parse_duration(text, place=path)
    except MalformedError as error:
        c.malformed(node, path, error)
        return None
    if node is not None and duration.seconds < MIN_VALID_FOR:
        hint = "a certificate is renewed in the last third of its validity"
        c.expected(node, path, "one hour or more", hint)
    return duration
