"""Reads who may do what (`access_policy`) and who made the session (`creator`)."""

from __future__ import annotations

import re
from typing import Final, cast

from scone.crypto.keyhash import parse_key_hash
from scone.documents import Mapping, Node, Scalar, Sequence, shown
from scone.errors import MalformedError
from scone.session.model import (
    ANY,
    CREATOR,
    NONE,
    AccessEntry,
    AccessPolicy,
    Creator,
    Rule,
    SessionSigner,
    Template,
)
from scone.session.pem import certificate_text, signing_key_text
from scone.session.placeholders import START, reference
from scone.session.reading.collect import Collector
from scone.session.reading.fields import ACCESS_POLICY, SIGNED_CREATOR
from scone.session.reading.templates import template
from scone.session.reading.versions import Version
from scone.session.reading.words import HEX_64

_KEYWORDS: Final = (CREATOR, ANY, NONE)
_RULE: Final = re.compile(r"require-all|require-at-least-(0|[1-9][0-9]{0,3})")
_CLOSING: Final = "$$"
_SHORTEST_HASH: Final = 40
# Every entry is looked at for every request; 256 take some tens of milliseconds to parse.
MAX_ENTRIES: Final = 256
# Governance rules decide about updates; reading needs no agreement (page "Governance").
_WITH_RULES: Final = frozenset({"update", "create_sessions"})


def read_access_policy(
    c: Collector, node: Node | None, version: Version
) -> AccessPolicy | Template:
    """The access policy with its defaults, or the secret that stands for it."""
    if node is None:
        return AccessPolicy()
    if isinstance(node, Scalar) and START in node.text:
        if not version.admits("0.3.10"):
            c.problem(node, "access_policy", "a secret here needs version 0.3.10 or newer")
        return template(c, node, "access_policy")
    return access_policy(c, node, version)


def access_policy(c: Collector, node: Node, version: Version) -> AccessPolicy:
    """The access policy in a mapping, with its defaults."""
    fields = c.table(node, "access_policy", ACCESS_POLICY, version)
    lists = {
        key: entries(c, value, f"access_policy.{key}", version, rules=key in _WITH_RULES)
        for key, value in (fields or {}).items()
    }
    for key, listed in lists.items():
        if key == "read" and any(isinstance(entry, SessionSigner) for entry in listed):
            hint = "a signer signs sessions; who reads one has a client certificate"
            c.problem_at(f"access_policy.{key}", "expected no signer", hint)
    policy = AccessPolicy(
        read=lists.get("read", (CREATOR,)),
        update=lists.get("update", (CREATOR,)),
        create_sessions=lists.get("create_sessions"),
        list_sessions=lists.get("list_sessions"),
    )
    # The default is exempt, written or not: the page's own example has it beside another reader.
    known = not c.is_unknown(node)
    if version.is_0_2 and known and policy.update != (CREATOR,) and ANY not in policy.read:
        _check_readers(c, policy)
    return policy


def _check_readers(c: Collector, policy: AccessPolicy) -> None:
    """Whoever may update may read too (language 0.2)."""
    update = c.nodes.get("access_policy.update")
    items = update.items if isinstance(update, Sequence) else (update,)
    put_in = any(isinstance(item, Scalar) and item.variables for item in items)
    for entry in policy.update:
        if isinstance(entry, str) and entry not in {*policy.read, NONE, ""}:
            shown = "the certificate" if entry.startswith("-") else entry
            c.problem_at(
                "access_policy.update",
                f"expected {'who stands here' if put_in else shown} under read too",
                "language 0.2 requires it of all who may update",
            )


def entries(
    c: Collector, node: Node, path: str, version: Version, *, rules: bool
) -> tuple[AccessEntry, ...]:
    """The entries of one operation; `rules` where governance rules may stand."""
    if _count(node) > MAX_ENTRIES:
        expected = f"expected at most {MAX_ENTRIES} entries, rules and those inside them included"
        c.problem(node, path, f"{expected}, got {_count(node)}")
        return ()
    if isinstance(node, Mapping):
        listed = [(path, cast("Node", node))]
    else:
        # An exercise of SCONE's has an empty item in such a list: it grants nothing.
        listed = [
            (where, item)
            for where, item in c.items(node, path, scalar=True)
            if not (isinstance(item, Scalar) and item.is_null)
        ]
    found = tuple(_entry(c, item, where, version, rules=rules) for where, item in listed)
    if not found:
        c.expected(node, path, "at least one entry", "write NONE to deny everybody", got=False)
    for word in (ANY, NONE):
        if word in found and len(found) > 1:
            c.problem(node, path, f"expected {word} to be the only entry")
    return found


def _count(node: Node) -> int:
    if isinstance(node, Sequence):
        return sum(map(_count, node.items))
    values = (value for _, value in node.entries) if isinstance(node, Mapping) else ()
    return 1 + sum(_count(value) for value in values if isinstance(value, Sequence))


def _entry(c: Collector, node: Node, path: str, version: Version, *, rules: bool) -> AccessEntry:
    if isinstance(node, Mapping):
        return _structured(c, node, path, version, rules=rules)
    identity = (
        "SHA-256 of a certificate (64 hex digits)" if version.is_0_2 else "key hash (3s1pm8W6...)"
    )
    what = f"CREATOR, ANY, NONE, a {identity}, a certificate in PEM or $$SCONE::NAME$$"
    text = c.text(node, path, what)
    if text is None or text in _KEYWORDS:
        return text or ""
    try:
        if text.startswith(START):
            return _secret(c, node, path, text, version)
        if text.startswith("-----BEGIN PUBLIC"):
            c.problem(node, path, "expected signer: before a public key")
        elif text.startswith("-----BEGIN "):
            return certificate_text(text, place=path)
        elif version.is_0_2:
            if HEX_64.fullmatch(text):
                return text.lower()
            c.expected(node, path, what, c.suggestion(text, _KEYWORDS))
        elif HEX_64.fullmatch(text):
            hint = "certificate hashes are for 0.2; use scone cert show-key-hash FILE"
            c.expected(node, path, what, hint)
        elif near := c.suggestion(text, _KEYWORDS):
            c.expected(node, path, what, near)
        else:
            parse_key_hash(text)
            return text
    except MalformedError as error:
        found = "" if isinstance(node, Scalar) and node.variables else error.got
        if found and len(text) < _SHORTEST_HASH:  # a name rather than a mistyped hash
            found = shown(text)
        c.problem(node, path, f"expected {what}" + (f", got {found}" if found else ""))
    return ""


def _secret(c: Collector, node: Node, path: str, text: str, version: Version) -> str:
    if version.is_0_2 and not text.endswith(_CLOSING):
        # As an example of the 0.2 page writes it; nothing can follow the name there.
        c.warn(
            path, "unclosed-placeholder", "$$ is missing at the end of the placeholder", node=node
        )
        text += _CLOSING
    found = reference(text)
    if found is None or found.builtin:
        c.problem(node, path, "expected $$SCONE::NAME$$ alone", "is the closing $$ missing?")
    else:
        c.nodes[path] = node
        c.access_references.append((path, text))
    return text


def _structured(
    c: Collector, node: Mapping, path: str, version: Version, *, rules: bool
) -> AccessEntry:
    if len(node.entries) != 1:
        c.expected(node, path, "one of signer, require-all, require-at-least-N", got=False)
        return ""
    key, value = node.entries[0]
    rule = _RULE.fullmatch(key.text)
    where = f"{path}.{key.text}" if rule or key.text == "signer" else path
    if (rule or key.text == "signer") and not version.admits("0.3.10"):
        c.problem(key, where, "needs version 0.3.10 or newer")
    if key.text == "signer":
        text = c.text(value, where, "a public key in PEM")
        if text is None:
            return ""
        try:
            return SessionSigner(signing_key_text(text, place=where))
        except MalformedError as error:
            c.malformed(value, where, error)
            return ""
    if rule is None:
        hint = c.suggestion(key.text, ("signer", "require-all", "require-at-least-1"))
        c.problem(key, path, "expected signer, require-all or require-at-least-N", hint)
        return ""
    if not rules:
        hint = "they are for update and create_sessions"
        c.problem(key, where, "expected no governance rule here", hint)
    return _governance(c, value, where, version, None if rule[1] is None else int(rule[1]))


def _governance(
    c: Collector, node: Node, path: str, version: Version, at_least: int | None
) -> AccessEntry:
    listed = c.items(node, path)
    found = tuple(_entry(c, item, where, version, rules=True) for where, item in listed)
    if not found and not listed:
        c.expected(node, path, "at least one entry", got=False)
    for word in (ANY, NONE):
        if word in found:
            c.problem(node, path, f"expected no {word} inside a governance rule")
    if at_least == 0 or ((at_least or 0) > len(set(found)) and not c.is_unknown(node)):
        expected = f"1 to {len(set(found))}, the number of different entries"
        c.problem(node, path, f"expected require-at-least-N with N from {expected}")
    return Rule(at_least, found)


def read_creator(c: Collector, node: Node | None, version: Version) -> Creator | None:
    """The certificate that a read-back session carries, or the key of a signed one."""
    if node is None:
        return None
    place = "creator"
    try:
        if isinstance(node, Mapping):
            place = "creator.signer"
            fields = c.table(node, "creator", SIGNED_CREATOR, version) or {}
            node = fields.get("signer", node)
            if "signer" not in fields:
                c.expected(node, "creator", "signer: a public key in PEM", got=False)
                return None
            text = c.text(node, place, "a public key in PEM")
            if text is None:
                return None
            return Creator(signer_pem=signing_key_text(text, place=place))
        text = c.text(node, place, "a certificate in PEM")
        return Creator(certificate_text(text, place=place)) if text is not None else None
    except MalformedError as error:
        c.malformed(node, place, error)
        return None
