"""A service against its session: variants, platforms, and what of its platform is tolerated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from scone.attestation.appraise.accepted import (
    CATEGORIES,
    CONFIGURATION,
    DEBUG_MODE,
    NOT_TRUSTWORTHY,
    OUTDATED,
    PROBLEMS,
    PROOF,
    AcceptedEvidence,
    AcceptedToken,
    Clause,
    NotTrustedError,
    pinned_platform,
    revoked,
    see,
)
from scone.attestation.maa import VerifiedToken
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import VerifiedEvidence

_NONE_MET: Final = "None of the required enclave properties are met by the enclave"
_NOT_ALL_MET: Final = "Not all of the required enclave properties are met by the enclave"

_LOCAL_ONLY: Final = (
    "SGX local attestation is required (must_be_sgx_local), and local evidence is not available"
    " yet: the evidence is remote"
)
_MAA_TCB: Final = "maa-managed-tcb"
_MANAGED_BY_MAA: Final = (
    "The state of the platform's TCB is known to Microsoft Azure Attestation alone"
)
_OLD_PLATFORM: Final = re.compile(r"[0-9a-f]{64}")
_OLD_PLATFORM_MEANS: Final = (
    " (64 hex digits name a SCONE quoting enclave of before SCONE 7; no platform has one any more)"
)

# Documentation "Tolerating Hardware Attestation Issues": shortcuts for one advisory each, which
# need no entry in ignore_advisories. Each excuses its own category only.
_SHORTCUTS: Final = {
    "hyperthreading": ("INTEL-SA-00233", CONFIGURATION),
    "insecure-igpu": ("INTEL-SA-00219", CONFIGURATION),
    "aepic-leak": ("INTEL-SA-00657", OUTDATED),
}


class SignerPolicy(Protocol):
    """Who must have signed the program."""

    @property
    def mrsigner(self) -> str:
        """64 hex digits."""
        ...

    @property
    def isvprodid(self) -> int:
        """Product number."""
        ...

    def admits_svn(self, isvsvn: int) -> bool:
        """Whether this security version is among those meant."""
        ...


class VariantPolicy(Protocol):
    """One way to be the service: all that is given must match."""

    @property
    def mrenclaves(self) -> tuple[str, ...]:
        """Measurements of which one must match; empty: any."""
        ...

    @property
    def signer(self) -> SignerPolicy | None:
        """The signer, if one is required."""
        ...


class SecurityPolicy(Protocol):
    """How a service must prove itself, and what of its platform is tolerated."""

    @property
    def mode(self) -> str:
        """`hardware`, `maa` or `none`."""
        ...

    @property
    def must_be_sgx_local(self) -> bool:
        """Whether only local evidence, of the CAS's own machine, counts."""
        ...

    @property
    def tolerate(self) -> tuple[str, ...]:
        """Names as in the session language."""
        ...

    @property
    def ignore_advisories(self) -> tuple[str, ...] | Literal["*"]:
        """Advisories, or all of them."""
        ...


def appraise_service(
    verified: VerifiedEvidence,
    variants: Sequence[VariantPolicy],
    security: SecurityPolicy,
    platforms: Sequence[str] = (),
) -> AcceptedEvidence:
    """The evidence of a service, if one variant admits it and its platform is tolerated.

    `platforms`, if there are any, is a further requirement; it means nothing in mode `maa` and
    with `must_be_sgx_local` (page "Platform-based Attestation"). All evidence that can be
    verified is remote: tolerating local-attestation-trust-cas-tcb changes nothing for it.

    Raises:
        NotTrustedError: every clause that failed, with the session text that would accept it.
    """
    failures = _Failures()
    if security.must_be_sgx_local:
        failures.hopeless = True
        failures.clauses.append(Clause("local", _LOCAL_ONLY))
        failures.chain.append(_LOCAL_ONLY)
    elif security.mode == "hardware":
        _check_platform(verified, platforms, failures)
    _check_variants(verified, variants, failures)
    _check_debug(verified, security, failures)
    _check_tcb(verified, security, failures)
    if not failures.clauses:
        return AcceptedEvidence(verified, proof=PROOF)
    raise _refusal(failures, security)


def appraise_token(
    verified: VerifiedToken, variants: Sequence[VariantPolicy], security: SecurityPolicy
) -> AcceptedToken:
    """The token of a service, if one variant admits it and the session leaves the TCB to MAA.

    Platforms and advisories mean nothing here: a token says nothing of them (page "Microsoft
    Azure Attestation").

    Raises:
        NotTrustedError: every clause that failed, with the session text that would accept it.
    """
    failures = _Failures()
    if security.must_be_sgx_local:
        failures.hopeless = True
        failures.clauses.append(Clause("local", _LOCAL_ONLY))
        failures.chain.append(_LOCAL_ONLY)
    _check_variants(verified, variants, failures)
    _check_debug(verified, security, failures)
    if _MAA_TCB not in security.tolerate:
        failures.clauses.append(Clause(_MAA_TCB, _MANAGED_BY_MAA, f"tolerate: [{_MAA_TCB}]"))
        failures.chain.append(_MANAGED_BY_MAA)
        failures.tolerate.add(_MAA_TCB)
    if not failures.clauses:
        return AcceptedToken(verified, proof=PROOF)
    raise _refusal(failures, security)


def _refusal(failures: _Failures, security: SecurityPolicy) -> NotTrustedError:
    hint = failures.session_text(security)
    chain = [NOT_TRUSTWORTHY, *failures.chain]
    if hint:
        chain.append(
            f"To accept the platform as it is, the session needs: {hint} (review it: attestation"
            " errors are not authenticated)"
        )
    return NotTrustedError(chain, failures.clauses, hint=hint)


@dataclass(slots=True)
class _Failures:
    """What failed so far, and what the session would have to say."""

    chain: list[str] = field(default_factory=list)
    clauses: list[Clause] = field(default_factory=list)
    tolerate: set[str] = field(default_factory=set)
    advisories: set[str] = field(default_factory=set)
    hopeless: bool = False

    def session_text(self, security: SecurityPolicy) -> str:
        """The `security` section that accepts the platform; empty when none does."""
        if self.hopeless or not (self.tolerate or self.advisories):
            return ""
        tolerate = ", ".join([*dict.fromkeys([*security.tolerate, *sorted(self.tolerate)])])
        text = f"security.attestation.tolerate: [{tolerate}]"
        if self.advisories:
            listed = () if security.ignore_advisories == "*" else security.ignore_advisories
            known = dict.fromkeys([*listed, *sorted(self.advisories)])
            text += f", ignore_advisories: [{', '.join(known)}]"
        return text


def _check_variants(
    verified: VerifiedEvidence | VerifiedToken,
    variants: Sequence[VariantPolicy],
    failures: _Failures,
) -> None:
    texts: list[str] = []
    clauses: list[Clause] = []
    for variant in variants:
        found = _variant(verified, variant)
        if not found:
            return
        clauses += found
        measured = [clause.text for clause in found if clause.name == "mrenclave"]
        others = [clause.text for clause in found if clause.name != "mrenclave"]
        if measured:
            texts.append("\n".join([_NONE_MET, *_numbered(measured)]))
        if others:
            head = _NOT_ALL_MET if variant.mrenclaves else _NONE_MET
            texts.append("\n".join([head, *_numbered(others)]))
    if not variants:
        clauses.append(Clause("attestation", "The service has no attestation variant"))
        texts.append(clauses[0].text)
    failures.clauses += clauses
    failures.chain += [_NONE_MET, *texts]


def _numbered(texts: Sequence[str]) -> list[str]:
    return [f"Error {number} of {len(texts)}: {text}" for number, text in enumerate(texts, start=1)]


def _variant(verified: VerifiedEvidence | VerifiedToken, variant: VariantPolicy) -> list[Clause]:
    report = verified.report
    found = report.mrenclave.hex()
    clauses: list[Clause] = []
    if not variant.mrenclaves and variant.signer is None:
        return [Clause("attestation", "The attestation variant requires nothing")]
    if variant.mrenclaves and found not in map(str.lower, variant.mrenclaves):
        clauses += [
            Clause(
                "mrenclave",
                f"Unexpected enclave measurement (MRENCLAVE, {found}) - Expected {wanted.lower()}",
            )
            for wanted in variant.mrenclaves
        ]
    signer = variant.signer
    if signer is None:
        return clauses
    if report.mrsigner.hex() != signer.mrsigner.lower():
        clauses.append(
            Clause(
                "mrsigner",
                f"Unexpected enclave signer (MRSIGNER, {report.mrsigner.hex()}) - Expected"
                f" {signer.mrsigner.lower()}",
            )
        )
    if report.isvprodid != signer.isvprodid:
        clauses.append(
            Clause(
                "isvprodid",
                f"Unexpected product ID (ISVPRODID, {report.isvprodid}) - Expected"
                f" {signer.isvprodid}",
            )
        )
    if not signer.admits_svn(report.isvsvn):
        clauses.append(Clause("isvsvn", f"Unexpected security version (ISVSVN, {report.isvsvn})"))
    return clauses


def _check_platform(
    verified: VerifiedEvidence, platforms: Sequence[str], failures: _Failures
) -> None:
    for clause in pinned_platform(verified, platforms):
        text = clause.text
        if any(_OLD_PLATFORM.fullmatch(platform) for platform in platforms):
            text += _OLD_PLATFORM_MEANS
        failures.hopeless = True
        failures.clauses.append(Clause(clause.name, text))
        failures.chain.append(text)


def _check_debug(
    verified: VerifiedEvidence | VerifiedToken, security: SecurityPolicy, failures: _Failures
) -> None:
    if not verified.debug or "debug-mode" in security.tolerate:
        return
    failures.clauses.append(Clause("debug-mode", DEBUG_MODE, "tolerate: [debug-mode]"))
    failures.chain.append(DEBUG_MODE)
    failures.tolerate.add("debug-mode")


def _check_tcb(verified: VerifiedEvidence, security: SecurityPolicy, failures: _Failures) -> None:
    if verified.tcb_status is TcbStatus.REVOKED:
        failures.clauses.append(revoked())
        failures.chain.append(revoked().text)
        failures.hopeless = True
        return
    tolerated = set(security.tolerate)
    shortcuts = {_SHORTCUTS[name] for name in tolerated & set(_SHORTCUTS)}
    by_shortcut = {advisory for advisory, _ in shortcuts}
    present = set(verified.advisories)
    # A category is excused by shortcuts alone only where they explain every advisory and one
    # of them is of that category: they do not excuse a quoting enclave that is out of date.
    excused = (
        {category for advisory, category in shortcuts if advisory in present}
        if present and present <= by_shortcut
        else set()
    )
    risks: list[str] = []

    def fail(clause: Clause) -> None:
        failures.clauses.append(clause)
        risks.append(f"- {clause}")

    if verified.smt and "hyperthreading" not in tolerated:
        fail(Clause("hyperthreading", "Hyper-Threading is enabled", "tolerate: [hyperthreading]"))
        failures.tolerate.add("hyperthreading")
    for category in sorted(CATEGORIES[verified.tcb_status] - tolerated - excused):
        fail(Clause(category, PROBLEMS[category], f"tolerate: [{category}]"))
        failures.tolerate.add(category)
    # The wildcard counts without debug-mode too, as in the real CLI and CAS, which only warn
    # (docs/conformance.md); the category must be tolerated all the same.
    ignored = present if security.ignore_advisories == "*" else set(security.ignore_advisories)
    for advisory in sorted(present - by_shortcut - ignored):
        fail(Clause(advisory, see(advisory), f"ignore_advisories: [{advisory}]"))
        failures.advisories.add(advisory)
    if risks:
        failures.chain.append(
            "\n".join(["The enclave's TCB is not trustworthy", "Security risks:", *risks])
        )
