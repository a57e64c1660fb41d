"""Who may read, update, create and list: parties, and whether one implies the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scone.crypto.der import pem_to_der, spki_of_certificate
from scone.crypto.keyhash import key_hash, key_hash_of_digest, parse_key_hash
from scone.errors import MalformedError
from scone.session.access import rule_of
from scone.session.model import (
    ANY,
    CREATOR,
    NONE,
    AccessEntry,
    AccessPolicy,
    Creator,
    Rule,
    Session,
    SessionSigner,
)
from scone.session.placeholders import START
from scone.session.resolve import UnresolvedError, entries_of, resolved_access_policy
from scone.session.review.rights.changes import Changes
from scone.session.review.rights.decided import deciding, fragments, specs_of, undecided
from scone.session.secrets.values import SecretValue
from scone.session.uses import names_for_access

_WHERE: Final = ("access", "access_policy")
_OPERATIONS: Final = {
    "read": "read the session",
    "update": "update the session",
    "create_sessions": "create sessions in its namespace",
    "list_sessions": "list the sessions of its namespace",
}


def compare_access(found: Changes, old: Session, new: Session) -> None:
    """Who may do what with the session."""
    known = None not in (old.creator, new.creator)
    decisive = [specs_of(one, names_for_access(one)) for one in (old, new)]
    policies = [_policy(one) for one in (old, new)]
    if policies[0] is None or policies[1] is None:
        undecided(found, "access", "access_policy", old.access_policy, new.access_policy)
        deciding(found, _WHERE, *decisive, fragments_count=True)
        return
    for operation, what in _OPERATIONS.items():
        before, after = (
            _parties(one, policy, operation, known=known)
            for one, policy in zip((old, new), policies, strict=True)
            if policy is not None
        )
        found.grants(
            "access",
            f"access_policy.{operation}",
            before,
            after,
            texts=(f"{{}} may {what} now", f"{{}} may no longer {what}"),
            implies=_party_implies,
        )
    deciding(found, _WHERE, *decisive, fragments_count=False)


def _policy(session: Session) -> AccessPolicy | None:
    try:
        return resolved_access_policy(session, fragments(session))
    except UnresolvedError:
        return None


@dataclass(frozen=True, slots=True)
class _Party:
    """So many of these; a single one is one of one.

    `distinct`: each by another signer (in require-all of rules one signer may stand in several).
    """

    at_least: int
    members: frozenset[str]
    distinct: bool = True

    def __str__(self) -> str:
        listed = sorted(self.members)
        if len(listed) == 1:
            return listed[0]
        quorum = "all" if self.at_least == len(listed) else f"{self.at_least}"
        return f"{quorum} of ({', '.join(listed)}) together"


_ANYBODY: Final = _Party(1, frozenset({"everybody"}))


def _party_implies(one: _Party, other: _Party) -> bool:
    """Whether all who satisfy one satisfy the other."""
    outside = len(one.members - other.members)
    apart = one.distinct or not other.distinct or other.at_least <= 1
    return other == _ANYBODY or (apart and one.at_least - outside >= other.at_least)


def _parties(
    session: Session, policy: AccessPolicy, operation: str, *, known: bool
) -> list[_Party]:
    entries: tuple[AccessEntry, ...] = getattr(
        policy, f"effective_{operation}" if "_" in operation else operation
    )
    creator = session.creator if known else None
    values = fragments(session)
    parties: list[_Party] = []
    for entry in _expanded(entries, session, values, governed=operation in _GOVERNED):
        if entry == ANY:
            parties.append(_ANYBODY)
        elif entry != NONE:
            parties.append(_party(entry, session.version, creator))
    return parties


_GOVERNED: Final = ("update", "create_sessions")


def _expanded(
    entries: Iterable[AccessEntry],
    session: Session,
    values: Mapping[str, SecretValue],
    *,
    governed: bool,
) -> list[AccessEntry]:
    """Entries with those that fragments of the session bring in the places of references."""
    listed: list[AccessEntry] = []
    for entry in entries:
        if isinstance(entry, Rule):
            inner = (
                tuple(_expanded((one,), session, values, governed=governed))
                for one in entry.entries
            )
            listed.append(rule_of(entry, inner))
        elif isinstance(entry, str) and entry.startswith(START):
            try:
                listed += entries_of(entry, session, values, rules=governed)
            except UnresolvedError:
                listed.append(entry)
        else:
            listed.append(entry)
    return listed


def _party(entry: AccessEntry, version: str, creator: Creator | None) -> _Party:
    if not isinstance(entry, Rule):
        return _Party(1, frozenset({_who(entry, version, creator)}))
    members = frozenset(str(_party(one, version, creator)) for one in entry.entries)
    if entry.at_least is not None:
        return _Party(entry.at_least, members)
    # In require-all one signer may stand in several entries, in single ones only if they are one.
    apart = not any(isinstance(one, Rule) for one in entry.entries)
    return _Party(len(members), members, distinct=apart)


def _who(entry: str | SessionSigner, version: str, creator: Creator | None) -> str:
    if isinstance(entry, SessionSigner):
        return _signer(entry.public_key_pem)
    if entry == CREATOR:
        if creator is None:
            return "the creator"
        if creator.signer_pem is not None:
            return f"the creator ({_signer(creator.signer_pem)})"
        return f"the creator ({_certificate(creator.certificate_pem or '', version)})"
    if entry.startswith(START):
        return f"whoever {entry} names"
    if entry.startswith("-----BEGIN "):
        return _certificate(entry, version)
    try:
        return f"key {key_hash_of_digest(parse_key_hash(entry))}"
    except MalformedError:
        return f"certificate with SHA-256 {entry.lower()}"


def _signer(pem: str) -> str:
    return f"signer {key_hash(pem_to_der(pem, 'PUBLIC KEY', 'signer'))}"


def _certificate(pem: str, version: str) -> str:
    key = key_hash(spki_of_certificate(pem_to_der(pem, "CERTIFICATE", "certificate")))
    return f"certificate of key {key}" if version == "0.2" else f"key {key}"
