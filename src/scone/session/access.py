"""Who may read, update, create and list: entries of an access policy against a requester.

Denied unless an entry says otherwise. Language 0.3 compares keys, so that a renewed
certificate still counts; 0.2 compares certificates (SHA-256 of the PEM text). What a secret
stands for is the caller's to look up; what cannot be looked up never grants. How rules count
signers: docs/formats/session.md, "Access".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from scone.crypto.der import pem_to_der
from scone.crypto.keyhash import key_hash, key_hash_of_digest, parse_key_hash
from scone.errors import MalformedError, SconeError
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
from scone.session.reading.access import MAX_ENTRIES
from scone.session.resolve import UnresolvedError, entries_of, resolved_access_policy
from scone.session.secrets.values import SecretValue

Operation = Literal["read", "update", "create_sessions", "list_sessions"]
Resolve = Callable[[str], "tuple[AccessEntry, ...]"]
"""The entries that a placeholder stands for; raises a `SconeError` where there are none."""

_NEVER: Final = Rule(None, ())
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client that showed it holds its certificate's key."""

    spki_sha256: bytes
    certificate_pem_sha256: bytes

    @classmethod
    def of_pem(cls, pem: str) -> ClientCertificate:
        """The holder of this certificate, given in PEM with LF line ends.

        Raises:
            MalformedError: not a certificate.
        """
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            spki = certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise MalformedError("certificate", "an X.509 certificate in PEM") from error
        return cls(hashlib.sha256(spki).digest(), hashlib.sha256(pem.encode()).digest())

    def digest(self, version: str) -> bytes:
        """What an entry is compared with in this version of the language."""
        return self.certificate_pem_sha256 if version == "0.2" else self.spki_sha256


@dataclass(frozen=True, slots=True)
class Signers:
    """All whose verified signatures are under a session: public keys, PEM in normal form."""

    public_keys: frozenset[str]

    @property
    def key_hashes(self) -> tuple[str, ...]:
        """Their key hashes, sorted."""
        ders = (pem_to_der(pem, "PUBLIC KEY", "signer") for pem in self.public_keys)
        return tuple(sorted(map(key_hash, ders)))


Requester: TypeAlias = ClientCertificate | Signers | None
"""Who asks; None: nobody that is known."""


def identity_of(requester: Requester) -> str:
    """The requester as audit entries name it: key hashes, or `anonymous`."""
    match requester:
        case ClientCertificate():
            return key_hash_of_digest(requester.spki_sha256)
        case Signers():
            return ",".join(requester.key_hashes)
        case None:
            return "anonymous"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the policy admits the requester, and which of its entries say nothing now.

    With `anybody` it admits all, also those who show nothing.
    """

    granted: bool
    unresolved: tuple[str, ...] = ()
    anybody: bool = field(default=False, compare=False)


def digests_of(session: Session) -> dict[str, bytes]:
    """By entry, what client certificates are compared with; of what stands in the session itself.

    Parsing the longest policy takes tens of milliseconds: to be kept beside a parsed session.
    """
    policy, creator = session.access_policy, session.creator
    found: dict[str, bytes] = {}
    texts = [*policy.leaves] if isinstance(policy, AccessPolicy) else []
    for text in (*texts, creator and creator.certificate_pem):
        if isinstance(text, str) and not (text in {ANY, NONE, CREATOR} or text.startswith(START)):
            found[text] = _digest(text, session.version)
    return found


def _digest(text: str, version: str) -> bytes:
    """What client certificates are compared with, of a certificate, its hash or its key's."""
    if text.startswith("-----BEGIN "):
        return ClientCertificate.of_pem(text).digest(version)
    if version != "0.2":
        return parse_key_hash(text, place="access policy")
    if not _DIGEST.fullmatch(text):
        raise MalformedError("access policy", "the hash of a certificate")
    return bytes.fromhex(text)


def decide(
    session: Session,
    operation: Operation,
    requester: Requester,
    values: Mapping[str, SecretValue],
    *,
    digests: Mapping[str, bytes] = {},
) -> Decision:
    """What a session's policy says; `values` are those of its secrets, as far as they are known.

    Whoever may create sessions in a namespace may also list them. `digests` are those of
    `digests_of`, where they are kept.
    """
    policy = session.access_policy
    if not isinstance(policy, AccessPolicy):
        try:
            policy = resolved_access_policy(session, values)
        except UnresolvedError as error:
            return Decision(granted=False, unresolved=(f"access_policy ({error})",))

    def judged(entries: Iterable[AccessEntry], *, governed: bool = False) -> Decision:
        return judge(
            entries,
            requester,
            creator=session.creator,
            version=session.version,
            resolve=lambda text: entries_of(text, session, values, rules=governed),
            governed=governed,
            digests=digests,
        )

    create = policy.effective_create_sessions
    match operation:
        case "read":
            return judged(policy.read)
        case "update":
            return judged(policy.update, governed=True)
        case "create_sessions":
            return judged(create, governed=True)
        case "list_sessions":
            listed, created = judged(policy.effective_list_sessions), judged(create, governed=True)
            unresolved = dict.fromkeys((*listed.unresolved, *created.unresolved))
            anybody = listed.anybody or created.anybody
            return Decision(listed.granted or created.granted, tuple(unresolved), anybody)


def rule_of(rule: Rule, brought: Iterable[tuple[AccessEntry, ...]]) -> Rule:
    """A rule with what each of its entries brings: one seat for each, whatever a secret brings."""
    if rule.at_least is None:
        return Rule(None, tuple(entry for entries in brought for entry in entries))
    seats = (one[0] if len(one) == 1 else Rule(1, one) for one in brought)
    return Rule(rule.at_least, tuple(seats))


def _nothing(text: str) -> tuple[AccessEntry, ...]:
    raise MalformedError("access policy", "no placeholder", text)


def judge(
    entries: Iterable[AccessEntry],
    requester: Requester,
    *,
    creator: Creator | None,
    version: str,
    resolve: Resolve = _nothing,
    governed: bool = False,
    digests: Mapping[str, bytes] = {},
) -> Decision:
    """Whether one of the entries admits the requester.

    `governed` lists may hold signers and rules. ANY and NONE count alone only, also where a
    secret brings them.
    """
    case = _Case(requester, creator, version, resolve, governed, digests)
    listed = tuple(dict.fromkeys(entries))  # each once: a certificate is parsed for its entry
    expanded = tuple(case.expanded(listed, alone=len(listed) == 1))
    anybody = expanded == (ANY,)
    granted = anybody or (NONE not in expanded and any(map(case.standing, expanded)))
    return Decision(granted, tuple(case.unresolved), anybody)


@dataclass(slots=True)
class _Case:
    """One requester before one list."""

    requester: Requester
    creator: Creator | None
    version: str
    resolve: Resolve
    governed: bool
    digests: Mapping[str, bytes]
    left: int = MAX_ENTRIES
    """How many entries secrets may still bring."""
    unresolved: dict[str, None] = field(default_factory=dict)
    matched: dict[str | SessionSigner, frozenset[str]] = field(default_factory=dict)

    def expanded(
        self, entries: Iterable[AccessEntry], *, alone: bool = False
    ) -> Iterator[AccessEntry]:
        """The entries with what placeholders stand for in their places."""
        for entry in entries:
            if isinstance(entry, Rule):
                yield rule_of(entry, [tuple(self.expanded((one,))) for one in entry.entries])
            elif isinstance(entry, str) and entry.startswith(START):
                yield from self._resolved(entry, alone=alone)
            else:
                yield entry

    def _resolved(self, text: str, *, alone: bool) -> tuple[AccessEntry, ...]:
        if text in self.unresolved:
            return (_NEVER,)
        try:
            found = self.resolve(text) if self.left >= 0 else ()
            self.left -= sum(map(_size, found))
            if self.left < 0:
                raise MalformedError("access policy", f"at most {MAX_ENTRIES} entries from secrets")
            for entry in found:
                self._check(entry, alone=alone and len(found) == 1)
        except SconeError:
            self.unresolved[text] = None
            return (_NEVER,)  # one more entry of a rule, which nobody satisfies
        return found or (_NEVER,)

    def _check(self, entry: AccessEntry, *, alone: bool) -> None:
        """Refuse what a secret must not bring to this list."""
        match entry:
            case SessionSigner() | Rule() if not self.governed:
                raise MalformedError("access policy", "no signers and rules in this list")
            case Rule():
                for inner in entry.entries:
                    self._check(inner, alone=False)
            case str() if entry in {ANY, NONE} and not alone:
                raise MalformedError("access policy", f"{entry} alone")
            case str() if entry.startswith(START):
                raise MalformedError("access policy", "no placeholder behind a placeholder")
            case str() if entry not in {ANY, NONE, CREATOR}:
                _digest(entry, self.version)  # raises if it is none
            case _:
                pass

    def standing(self, entry: AccessEntry) -> frozenset[str]:
        """The keys of the requester that satisfy an entry; none where it is not satisfied.

        An entry of a rule that is not satisfied gives nobody a standing. Each of the entries that
        a rule counts needs a key of its own among those that satisfy it.
        """
        if not isinstance(entry, Rule):
            if entry not in self.matched:
                self.matched[entry] = self._matches(entry)
            return self.matched[entry]
        found = [self.standing(one) for one in entry.entries]
        n = entry.at_least
        satisfied = all(found) if n is None else 1 <= n <= _seats(found)
        return frozenset[str]().union(*found) if satisfied else frozenset()

    def _matches(self, entry: str | SessionSigner) -> frozenset[str]:
        match self.requester:
            case Signers(public_keys):
                if isinstance(entry, SessionSigner):
                    return public_keys & {entry.public_key_pem}
                if entry == CREATOR and self.creator is not None and self.creator.signer_pem:
                    return public_keys & {self.creator.signer_pem}
            case ClientCertificate() as client:
                if isinstance(entry, str) and self._is(entry, client):
                    return frozenset({"client certificate"})
            case None:
                pass
        return frozenset()

    def _is(self, entry: str, client: ClientCertificate) -> bool:
        if entry in {ANY, NONE}:
            return False
        text = entry
        if entry == CREATOR:
            text = (self.creator and self.creator.certificate_pem) or ""
        if not text:
            return False
        digest = self.digests.get(text) or _digest(text, self.version)
        return hmac.compare_digest(digest, client.digest(self.version))


def _size(entry: AccessEntry) -> int:
    return 1 + (sum(map(_size, entry.entries)) if isinstance(entry, Rule) else 0)


def _seats(standing: Iterable[frozenset[str]]) -> int:
    """How many entries can have a key of their own: a maximum bipartite matching (Kuhn)."""
    holders: dict[str, frozenset[str]] = {}  # by key, all keys of the entry that has it

    def seat(keys: frozenset[str], tried: set[str]) -> bool:
        for key in keys - tried:
            if key in tried:
                continue
            tried.add(key)
            if key not in holders or seat(holders[key], tried):
                holders[key] = keys
                return True
        return False

    return sum(seat(keys, set()) for keys in standing)
