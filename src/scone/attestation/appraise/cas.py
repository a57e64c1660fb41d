"""A CAS against a client's policy, as `scone cas attest` does."""

from __future__ import annotations

from dataclasses import dataclass

from scone.attestation.appraise.accepted import (
    CONFIGURATION,
    DEBUG_MODE,
    HARDENING,
    NOT_TRUSTWORTHY,
    OUTDATED,
    PROOF,
    AcceptedEvidence,
    Clause,
    NotTrustedError,
    pinned_platform,
    tcb_options,
)
from scone.attestation.verify import VerifiedEvidence
from scone.errors import MalformedError, UsageError
from scone.release import DEVELOPMENT_MRSIGNER, MIN_ISVSVN, RELEASE_ISVPRODID, RELEASE_MRSIGNER
from scone.strict_json import parse_hex


@dataclass(frozen=True, slots=True)
class CasPolicy:
    """Which CAS to trust: the options of `scone cas attest` (hex in lower case).

    By default: the release signer (the development signer when a simulated anchor
    verified the evidence), its product, at least its first version, TCB up to date, no debug.

    Raises:
        UsageError: options that contradict each other or lack one.
    """

    mrenclaves: tuple[str, ...] = ()
    mrsigner: str | None = None
    isvprodid: int | None = None
    isvsvn_min: int | None = None
    accept_outdated: bool = False
    accept_configuration: bool = False
    accept_sw_hardening: bool = False
    allow_debug: bool = False
    ignore_signer: bool = False
    trust_any: bool = False
    platforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in [("mrenclave", item) for item in self.mrenclaves] + [
            ("mrsigner", item) for item in (self.mrsigner,) if item is not None
        ]:
            try:
                parse_hex(value, name, 32)
            except MalformedError as error:
                raise UsageError(str(error)) from error
        if self.mrsigner is not None and (self.isvprodid is None or self.isvsvn_min is None):
            raise UsageError(
                "--mrsigner requires --isvprodid and --isvsvn",
                hint="a signer signs several products and versions: say which are meant",
            )
        if self.ignore_signer and self.mrsigner is not None:
            raise UsageError("--mrsigner contradicts --only_for_testing-ignore-signer")
        if self.allow_debug and not self.ignore_signer:
            raise UsageError(
                "--only_for_testing-debug is only allowed with --only_for_testing-ignore-signer"
            )
        if self.trust_any and not self.allow_debug:
            raise UsageError(
                "--only_for_testing-trust-any is only allowed with --only_for_testing-debug"
            )
        if self.trust_any and self.mrenclaves:
            raise UsageError("--mrenclave contradicts --only_for_testing-trust-any")
        if self.ignore_signer and not self.mrenclaves and not self.trust_any:
            raise UsageError(
                "--only_for_testing-ignore-signer requires --mrenclave",
                hint="without signer and measurement any program would be trusted",
            )


def appraise_cas(verified: VerifiedEvidence, policy: CasPolicy) -> AcceptedEvidence:
    """The evidence of a CAS, if it meets the policy.

    Raises:
        NotTrustedError: every clause that it does not meet.
    """
    report = verified.report
    clauses: list[Clause] = []
    if policy.mrenclaves and report.mrenclave.hex() not in map(str.lower, policy.mrenclaves):
        clauses.append(
            Clause(
                "mrenclave", f"Enclave hash does not match expectation:\n{report.mrenclave.hex()}"
            )
        )
    if not policy.ignore_signer:
        expected = RELEASE_MRSIGNER if not verified.simulated else DEVELOPMENT_MRSIGNER
        if policy.mrsigner is not None:
            expected = bytes.fromhex(policy.mrsigner)
        if report.mrsigner != expected:
            clauses.append(
                Clause(
                    "mrsigner",
                    f"Unexpected enclave signer (MRSIGNER, {report.mrsigner.hex()})"
                    f" - Expected {expected.hex()}",
                )
            )
    product = policy.isvprodid
    if product is None and not policy.ignore_signer:
        product = RELEASE_ISVPRODID
    if product is not None and report.isvprodid != product:
        clauses.append(
            Clause(
                "isvprodid",
                f"Unexpected product ID (ISVPRODID, {report.isvprodid}) - Expected {product}",
            )
        )
    lowest = policy.isvsvn_min
    if lowest is None and not policy.ignore_signer and not policy.mrenclaves:
        lowest = MIN_ISVSVN
    if lowest is not None and report.isvsvn < lowest:
        clauses.append(
            Clause(
                "isvsvn",
                f"Security version too low (ISVSVN, {report.isvsvn}) - Expected at least {lowest}",
            )
        )
    if verified.debug and not policy.allow_debug:
        clauses.append(Clause("debug-mode", DEBUG_MODE))
    if policy.trust_any and not verified.debug:
        clauses.append(
            Clause(
                "trust-any",
                "Any measurement is trusted only if CAS is in debug mode, and this one is not",
            )
        )
    clauses += tcb_options(
        verified,
        {
            OUTDATED: policy.accept_outdated,
            CONFIGURATION: policy.accept_configuration,
            HARDENING: policy.accept_sw_hardening,
        },
    )
    clauses += pinned_platform(verified, policy.platforms)
    if not clauses:
        return AcceptedEvidence(verified, proof=PROOF)
    texts = [str(clause) for clause in clauses]
    if [clause.name for clause in clauses] == ["mrenclave"]:
        raise NotTrustedError(texts, clauses)
    raise NotTrustedError(
        ["Remote attestation report verification failed", NOT_TRUSTWORTHY, *texts], clauses
    )
