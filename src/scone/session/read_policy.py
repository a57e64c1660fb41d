"""Reads who may do what (`access_policy`, `creator`) and how services attest (`security`)."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from scone.crypto.keyhash import parse_key_hash
from scone.documents import Mapping, Node, Scalar
from scone.errors import MalformedError
from scone.session.collect import Collector
from scone.session.fields import (
    ACCESS_POLICY,
    ATTESTATION,
    DEPRECATED_TOLERATE,
    LATER_MODES,
    MODES,
    SECURITY,
    TOLERATE,
)
from scone.session.model import (
    ANY,
    CREATOR,
    NONE,
    AccessPolicy,
    AttestationMode,
    Creator,
    Security,
)
from scone.session.pem import certificate_text
from scone.session.placeholders import START
from scone.session.versions import Version

_KEYWORDS: Final = (CREATOR, ANY, NONE)
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_GOVERNANCE: Final = re.compile(r"require-all|require-at-least-[0-9]+")
_ADVISORY: Final = re.compile(r"(?:INTEL|SIM)-SA-[0-9]{5}")  # SIM: a simulated vendor's


def read_access_policy(c: Collector, node: Node | None, version: Version) -> AccessPolicy:
    """The access policy with its defaults."""
    fields = c.table(node, "access_policy", ACCESS_POLICY, version) if node is not None else {}
    lists = {
        key: _entries(c, value, f"access_policy.{key}", version)
        for key, value in (fields or {}).items()
    }
    policy = AccessPolicy(
        read=lists.get("read", (CREATOR,)),
        update=lists.get("update", (CREATOR,)),
        create_sessions=lists.get("create_sessions"),
    )
    if version.is_0_2 and ANY not in policy.read:
        enough = {*policy.read, NONE, ""}
        for entry in policy.update:
            if entry not in enough:
                shown = "the certificate" if entry.startswith("-") else entry
                c.problem_at(
                    "access_policy.update" if "update" in lists else "access_policy.read",
                    f"expected {shown} under read too",
                    "language 0.2 requires it of all who may update",
                )
    return policy


def _entries(c: Collector, node: Node, path: str, version: Version) -> tuple[str, ...]:
    if isinstance(node, Mapping):
        listed = [(path, cast("Node", node))]
    else:
        listed = c.items(node, path, scalar=True)
    entries = tuple(_entry(c, item, where, version) for where, item in listed)
    if not entries:
        c.expected(node, path, "at least one entry", "write NONE to deny everybody", got=False)
    for word in (ANY, NONE):
        if word in entries and len(entries) > 1:
            c.problem(node, path, f"expected {word} to be the only entry")
    return entries


def _entry(c: Collector, node: Node, path: str, version: Version) -> str:
    if isinstance(node, Mapping) and len(node.entries) == 1:
        key = node.entries[0][0].text
        if key == "signer" or _GOVERNANCE.fullmatch(key):
            c.unsupported(node, path, f"{key} entries")
            return ""
    identity = (
        "SHA-256 of a certificate (64 hex digits)" if version.is_0_2 else "key hash (3s1pm8W6...)"
    )
    what = f"CREATOR, ANY, NONE, a {identity} or a certificate in PEM"
    text = c.text(node, path, what)
    if text is None or text in _KEYWORDS:
        return text or ""
    try:
        if text.startswith(START):
            c.unsupported(node, path, "secrets as entries")
        elif text.startswith("-----BEGIN "):
            return certificate_text(text, place=path)
        elif version.is_0_2:
            if _SHA256.fullmatch(text):
                return text.lower()
            c.expected(node, path, what, c.suggestion(text, _KEYWORDS))
        elif _SHA256.fullmatch(text):
            hint = "certificate hashes are for 0.2; use scone cert show-key-hash FILE"
            c.expected(node, path, what, hint)
        elif near := c.suggestion(text, _KEYWORDS):
            c.expected(node, path, what, near)
        else:
            parse_key_hash(text)
            return text
    except MalformedError as error:
        found = error.got if not (isinstance(node, Scalar) and node.variables) else ""
        c.problem(node, path, f"expected {what}" + (f", got {found}" if found else ""))
    return ""


def read_security(c: Collector, node: Node | None, version: Version) -> Security:
    """The security section with its defaults."""
    fields = c.table(node, "security", SECURITY, version) if node is not None else None
    attestation = (fields or {}).get("attestation")
    path = "security.attestation"
    found = c.table(attestation, path, ATTESTATION, version) if attestation is not None else None
    if not found:
        return Security()
    return Security(
        mode=cast(
            "AttestationMode",
            c.word(found.get("mode"), f"{path}.mode", MODES, LATER_MODES) or "hardware",
        ),
        tolerate=_tolerate(c, found.get("tolerate"), f"{path}.tolerate"),
        ignore_advisories=_advisories(
            c, found.get("ignore_advisories"), f"{path}.ignore_advisories"
        ),
    )


def _tolerate(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names: list[str] = []
    for where, item in c.items(node, path, scalar=True):
        text = c.text(item, where)
        if text in DEPRECATED_TOLERATE:
            word: str | None = DEPRECATED_TOLERATE[cast("str", text)]
            c.warn(where, "deprecated-tolerate", f"{text} is now called {word}", node=item)
        else:
            word = text and c.word(item, where, TOLERATE)
        if word is not None and word not in names:
            names.append(word)
    return tuple(names)


def _advisories(c: Collector, node: Node | None, path: str) -> tuple[str, ...] | Literal["*"]:
    what = 'INTEL-SA-NNNNN, or "*" alone'
    if isinstance(node, Scalar) and node.text == "*":
        return "*"
    found: dict[str, None] = {}
    for where, item in c.items(node, path, scalar=True):
        name = c.matching(item, where, _ADVISORY, what)
        if name is not None:
            found[name] = None
    return tuple(found)


def read_creator(c: Collector, node: Node | None) -> Creator | None:
    """The certificate that a read-back session carries."""
    if node is None:
        return None
    if isinstance(node, Mapping):
        c.unsupported(node, "creator", "a signer as creator")
        return None
    text = c.text(node, "creator", "a certificate in PEM")
    if text is None:
        return None
    try:
        return Creator(certificate_text(text, place="creator"))
    except MalformedError as error:
        c.malformed(node, "creator", error)
        return None
