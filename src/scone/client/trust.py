"""The one place that trusts a CAS.

In order: fetch evidence for a fresh nonce over a TLS channel; verify and appraise it; the
channel's key must be the one in the evidence; the CAS must be provisioned, its database
key its own; keys and platform as the caller expects; and nothing may have gone back since
it was last seen. What comes out is an `AttestedCas`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

from scone.attestation.appraise import CasPolicy
from scone.attestation.appraise.accepted import NotTrustedError
from scone.attestation.cas_evidence import AcceptedCas, CasDocument, accept_cas
from scone.attestation.verify import INTEL_SGX_ROOT, Anchor, UntrustedRootError
from scone.client.cas import DEFAULT_RETRIES, CasClient, another_cas_key
from scone.client.known import KnownCas
from scone.crypto.der import pem_to_der, spki_of_certificate, to_pem
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.errors import AppraisalError, MalformedError, UsageError, VerificationError
from scone.transport.address import CLIENT_PORT, parse_address

State = Literal["provisioned", "unprovisioned", "any"]

_SIMULATION: Final = (
    "this is simulated evidence, which proves nothing; "
    "--only_for_testing-simulation ROOT.pem accepts that of one platform"
)
_OTHER_SIMULATION: Final = (
    "this is evidence of another simulated platform than the one whose root was given; "
    "the LAS of a CAS prints where its root.pem is"
)


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a CAS must be: its software and platform (`cas`), its keys, its state.

    `simulation_root` (PEM) is a further trust anchor, of a simulated platform.

    Raises:
        UsageError: a key hash that is none.
    """

    cas: CasPolicy = field(default_factory=CasPolicy)
    cas_key_hash: str | None = None
    software_key_hash: str | None = None
    state: State = "provisioned"
    allow_owner_secret_access: bool = False
    simulation_root: str | None = None

    def __post_init__(self) -> None:
        for option, value in (("-c", self.cas_key_hash), ("-s", self.software_key_hash)):
            if value is not None:
                try:
                    parse_key_hash(value, place=option)
                except MalformedError as error:
                    raise UsageError(str(error)) from error

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The roots that evidence may chain to."""
        if self.simulation_root is None:
            return (INTEL_SGX_ROOT,)
        der = pem_to_der(self.simulation_root, "CERTIFICATE", "simulation root")
        return (INTEL_SGX_ROOT, Anchor("simulated platform", der, simulated=True))


@dataclass(frozen=True, slots=True)
class AttestedCas:
    """A CAS that was attested; `known` is what to keep of it, `warnings` what to tell."""

    known: KnownCas
    accepted: AcceptedCas
    warnings: tuple[str, ...] = ()

    @property
    def tcb_status(self) -> str:
        """The state of the platform's TCB, in Intel's words."""
        return str(self.accepted.evidence.tcb_status)


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and randomness of an attestation; `evidence_time` replaces the time for the evidence."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Callable[[int], bytes] = os.urandom
    evidence_time: datetime | None = None


def attest_cas(
    address: str,
    policy: TrustPolicy,
    *,
    remembered: Iterable[KnownCas] = (),
    retries: int = DEFAULT_RETRIES,
    clock: Clock | None = None,
) -> AttestedCas:
    """Attest the CAS at an address over the network.

    `remembered` are the CASes attested before: what was seen of this name, and of this CAS
    key under any name, must not have gone back.

    Raises:
        NetworkError: it cannot be reached or does not answer properly.
        VerificationError: not genuine, not fresh, not this channel, another CAS key.
            Evidence that cannot be read is not genuine either.
        AppraisalError: genuine, but not what the policy asks for.
    """
    clock = clock or Clock()
    nonce = clock.random(16).hex()
    # Without the identity: nothing of the user is shown to a server that is yet unknown.
    with CasClient.to(address, check_peer=None, retries=retries) as client:
        body = client.attestation(nonce)
        channel = client.peer_chain[0]
    accepted = _accept(body, policy, nonce, clock)
    if not hmac.compare_digest(_pin(channel), _pin(accepted.instance.der)):
        raise VerificationError(
            "the evidence is not of the server that sent it: somebody may be relaying it"
        )
    return _trusted(address, accepted, policy, tuple(remembered), clock)


def attest_report(
    address: str,
    report: bytes,
    policy: TrustPolicy,
    *,
    nonce: str | None,
    remembered: Iterable[KnownCas] = (),
    clock: Clock | None = None,
) -> AttestedCas:
    """Attest a CAS by a report fetched before; without a nonce it may be old.

    Raises:
        VerificationError: as `attest_cas`, but for the channel, which is not seen.
        AppraisalError: as `attest_cas`.
    """
    clock = clock or Clock()
    accepted = _accept(report, policy, nonce, clock)
    return _trusted(address, accepted, policy, tuple(remembered), clock)


def check_continuity(
    known: KnownCas, remembered: Iterable[KnownCas], *, stated_cas_key: str | None = None
) -> tuple[str, ...]:
    """Refuse what went back since it was last seen; tell what else changed.

    The same CAS is the same URL, however a user writes it. A CAS key other than the pinned one is
    accepted only where the user states it (`-c`).

    Raises:
        VerificationError: another CAS key, a lower epoch or a lower ISVSVN.
    """
    warnings: list[str] = []
    cas_key = known.cas_key_hash
    for before in remembered:
        same_key = before.cas_key_hash == cas_key
        if before.url == known.url and not same_key:
            if stated_cas_key != cas_key:
                raise another_cas_key(known.name, before.cas_key_hash, cas_key)
            warnings.append(
                f"the CAS {known.name!r} has another CAS key than before, as stated with -c; "
                f"it replaces {before.cas_key_hash}"
            )
        if not same_key:
            continue
        for what, now, then in (
            ("epoch", known.epoch, before.epoch),
            ("ISVSVN", known.isvsvn, before.isvsvn),
        ):
            if now < then:
                raise VerificationError(
                    f"the CAS {known.name!r} went back: expected at least {what} {then}, as seen "
                    f"before, got {now}",
                    hint="an old copy of its database or of its software may have been started",
                )
        if before.url == known.url and before.platform_id != known.platform_id:
            warnings.append(
                f"the CAS {known.name!r} runs on another platform than before: {known.platform_id}, "
                f"it was {before.platform_id}"
            )
    return tuple(warnings)


def canonical_url(address: str) -> str:
    """The URL of an address as a user writes it; the client port is the default.

    Raises:
        MalformedError: not an address.
    """
    return parse_address(address, default_port=CLIENT_PORT).url


def _accept(body: bytes, policy: TrustPolicy, nonce: str | None, clock: Clock) -> AcceptedCas:
    try:
        return accept_cas(
            CasDocument.parse(body),
            policy.cas,
            nonce=nonce,
            anchors=policy.anchors,
            now=clock.evidence_time or clock.now(),
        )
    except MalformedError as error:
        # Whatever was offered as evidence and is none: not genuine, like a forged one.
        refused = VerificationError(error.messages[0], hint=error.hint)
        refused.messages = error.messages
        raise refused from error
    except UntrustedRootError as error:
        if error.simulated:
            error.hint = _OTHER_SIMULATION if policy.simulation_root else _SIMULATION
        raise
    except NotTrustedError as error:
        options = [clause.remedy for clause in error.clauses if clause.is_option]
        if options:
            error.hint = f"the state of the platform is accepted with {' and '.join(options)}"
        raise


def _trusted(
    address: str,
    accepted: AcceptedCas,
    policy: TrustPolicy,
    remembered: tuple[KnownCas, ...],
    clock: Clock,
) -> AttestedCas:
    _check_keys(accepted, policy)
    _check_state(accepted, policy)
    known = replace(
        _known(address, accepted, policy), attested_at=clock.now().isoformat(timespec="seconds")
    )
    warnings = check_continuity(known, remembered, stated_cas_key=policy.cas_key_hash)
    return AttestedCas(known, accepted, warnings)


def _check_keys(accepted: AcceptedCas, policy: TrustPolicy) -> None:
    for what, expected, der in (
        ("CAS key", policy.cas_key_hash, accepted.root.der),
        ("CAS software key", policy.software_key_hash, accepted.instance.der),
    ):
        found = key_hash(spki_of_certificate(der))
        if expected is not None and expected != found:
            raise AppraisalError(f"another {what}: expected the hash {expected}, got {found}")


def _check_state(accepted: AcceptedCas, policy: TrustPolicy) -> None:
    cas = accepted.cas
    if policy.state == "provisioned" and not cas.provisioned:
        raise AppraisalError(
            "the CAS is not provisioned: it changes its keys when it is",
            hint="claim it with scone cas provision, or wait until its owner has",
        )
    if policy.state == "unprovisioned" and cas.provisioned:
        raise AppraisalError("the CAS is already provisioned")
    if cas.database_key_origin == "injected" and not policy.allow_owner_secret_access:
        raise AppraisalError(
            "the database key of this CAS was injected by its owner, who can read all secrets of "
            "all sessions",
            hint="if that is acceptable: --allow-cas-owner-secret-access",
        )
    if cas.provisioned and cas.database_key_origin is None:
        raise VerificationError("the CAS does not say where its database key comes from")


def _known(address: str, accepted: AcceptedCas, policy: TrustPolicy) -> KnownCas:
    evidence, cas = accepted.evidence, accepted.cas
    return KnownCas(
        name=address,
        url=canonical_url(address),
        chain=to_pem("CERTIFICATE", accepted.instance.der)
        + to_pem("CERTIFICATE", accepted.root.der),
        session_encryption_key=cas.session_encryption_key,
        cas_version=cas.cas_version,
        simulated=evidence.simulated,
        debug=evidence.debug,
        platform_id=evidence.platform_id,
        simulation_root=policy.simulation_root if evidence.simulated else None,
        mrenclave=evidence.report.mrenclave.hex(),
        mrsigner=evidence.report.mrsigner.hex(),
        isvprodid=evidence.report.isvprodid,
        isvsvn=evidence.report.isvsvn,
        epoch=cas.epoch,
        database_key_origin=cas.database_key_origin,
    )


def _pin(certificate_der: bytes) -> bytes:
    try:
        return hashlib.sha256(spki_of_certificate(certificate_der)).digest()
    except MalformedError as error:
        raise VerificationError(f"server certificate: {error}") from error
