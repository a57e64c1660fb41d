"""Appraisal of evidence (RFC 9334): genuine claims against reference values.

Nothing here checks a signature; that is `verify`, which must come first and whose
result is the only input this module takes. A refusal names every clause that failed,
in SCONE's words where there are some. Report data is the caller's to compare: it knows
which channel, key or document the evidence must be for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Final, Literal, Protocol

from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.strict_json import parse_hex
from scone.attestation.verify import VerifiedEvidence
from scone.errors import AppraisalError, MalformedError, UsageError
from scone.release import DEVELOPMENT_MRSIGNER, MIN_ISVSVN, RELEASE_ISVPRODID, RELEASE_MRSIGNER

_PROOF: Final = object()

NOT_TRUSTWORTHY: Final = "The program enclave is not trustworthy"
_NONE_MET: Final = "None of the required enclave properties are met by the enclave"
_NOT_ALL_MET: Final = "Not all of the required enclave properties are met by the enclave"
_DEBUG: Final = (
    "Debug mode is enabled. Enclave protection is turned off, all secrets can be extracted with"
    " a debugger"
)
_ADVISORY_URL: Final = "https://www.intel.com/content/www/us/en/security-center/advisory/"

OUTDATED: Final = "outdated-tcb"
CONFIGURATION: Final = "insecure-configuration"
HARDENING: Final = "software-hardening-needed"

CATEGORIES: Final[dict[TcbStatus, frozenset[str]]] = {
    TcbStatus.UP_TO_DATE: frozenset(),
    TcbStatus.SW_HARDENING_NEEDED: frozenset({HARDENING}),
    TcbStatus.CONFIGURATION_NEEDED: frozenset({CONFIGURATION}),
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: frozenset({CONFIGURATION, HARDENING}),
    TcbStatus.OUT_OF_DATE: frozenset({OUTDATED}),
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: frozenset({OUTDATED, CONFIGURATION}),
}
"""What is wrong with a platform of each status; `Revoked` is not here: nothing excuses it."""

# Documentation "Tolerating Hardware Attestation Issues": shortcuts for one advisory each, which
# need no entry in ignore_advisories. Each excuses its own category only.
_SHORTCUTS: Final = {
    "hyperthreading": ("INTEL-SA-00233", CONFIGURATION),
    "insecure-igpu": ("INTEL-SA-00219", CONFIGURATION),
    "aepic-leak": ("INTEL-SA-00657", OUTDATED),
}
_PROBLEMS: Final = {
    OUTDATED: "The TCB is outdated and may be vulnerable",
    CONFIGURATION: "The platform needs to be reconfigured",
    HARDENING: "The program needs software hardening against advisories",
}


@dataclass(frozen=True, slots=True)
class AcceptedEvidence:
    """Evidence that met a policy; only the `appraise_...` functions make one."""

    evidence: VerifiedEvidence
    _: KW_ONLY
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only appraisal makes AcceptedEvidence")


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement that is not met, and what would accept it (empty: nothing does)."""

    name: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text} (accepted with {self.remedy})" if self.remedy else self.text


class NotTrustedError(AppraisalError):
    """A refusal with all clauses that failed."""

    def __init__(self, chain: Sequence[str], clauses: Sequence[Clause], *, hint: str = "") -> None:
        super().__init__(chain[0], hint=hint)
        self.messages = tuple(chain)
        self.clauses = tuple(clauses)


# --- a CAS, as `scone cas attest` does ---------------------------------------------------------


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
        clauses.append(Clause("debug-mode", _DEBUG))
    if policy.trust_any and not verified.debug:
        clauses.append(
            Clause(
                "trust-any",
                "Any measurement is trusted only if CAS is in debug mode, and this one is not",
            )
        )
    clauses += _tcb_options(
        verified,
        {
            OUTDATED: policy.accept_outdated,
            CONFIGURATION: policy.accept_configuration,
            HARDENING: policy.accept_sw_hardening,
        },
    )
    clauses += _platform(verified, policy.platforms)
    if not clauses:
        return AcceptedEvidence(verified, proof=_PROOF)
    texts = [str(clause) for clause in clauses]
    if [clause.name for clause in clauses] == ["mrenclave"]:
        raise NotTrustedError(texts, clauses)
    raise NotTrustedError(
        ["Remote attestation report verification failed", NOT_TRUSTWORTHY, *texts], clauses
    )


_OPTIONS: Final = {
    OUTDATED: "-G (--accept-group-out-of-date)",
    CONFIGURATION: "-C (--accept-configuration-needed)",
    HARDENING: "-S (--accept-sw-hardening-needed)",
}


def _tcb_options(verified: VerifiedEvidence, accepted: dict[str, bool]) -> list[Clause]:
    if verified.tcb_status is TcbStatus.REVOKED:
        return [_revoked()]
    return [
        Clause(category, _problem(category, verified), _OPTIONS[category])
        for category in sorted(CATEGORIES[verified.tcb_status])
        if not accepted[category]
    ]


def _platform(verified: VerifiedEvidence, platforms: Sequence[str]) -> list[Clause]:
    if not platforms or verified.platform_id in platforms:
        return []
    return [
        Clause(
            "platform",
            f"Unexpected platform ({verified.platform_id}) - Expected {' or '.join(platforms)}",
        )
    ]


def _revoked() -> Clause:
    return Clause("revoked", "The TCB is revoked: its keys are known to be compromised")


def _problem(category: str, verified: VerifiedEvidence) -> str:
    lines = [f"{_PROBLEMS[category]} (TCB status {verified.tcb_status})"]
    lines += [f"- {_see(advisory)}" for advisory in verified.advisories]
    return "\n".join(lines)


def _see(advisory: str) -> str:
    link = f" ({_ADVISORY_URL}{advisory})" if advisory.startswith("INTEL-SA-") else ""
    return f"See advisory {advisory}{link}"


# --- a service, as a session describes it ------------------------------------------------------


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
    """What of a service's platform is tolerated."""

    @property
    def tolerate(self) -> tuple[str, ...]:
        """Names as in the session language."""
        ...

    @property
    def ignore_advisories(self) -> tuple[str, ...] | Literal["*"]:
        """Advisories, or all of them (with `debug-mode` tolerated only)."""
        ...


def appraise_service(
    verified: VerifiedEvidence, variants: Sequence[VariantPolicy], security: SecurityPolicy
) -> AcceptedEvidence:
    """The evidence of a service, if one variant admits it and its platform is tolerated.

    Raises:
        NotTrustedError: every clause that failed, with the session text that would accept it.
    """
    failures = _Failures()
    _check_variants(verified, variants, failures)
    _check_debug(verified, security, failures)
    _check_tcb(verified, security, failures)
    if not failures.clauses:
        return AcceptedEvidence(verified, proof=_PROOF)
    hint = failures.session_text(security)
    chain = [NOT_TRUSTWORTHY, *failures.chain]
    if hint:
        chain.append(
            f"To accept the platform as it is, the session needs: {hint} (review it: attestation"
            " errors are not authenticated)"
        )
    raise NotTrustedError(chain, failures.clauses, hint=hint)


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
    verified: VerifiedEvidence, variants: Sequence[VariantPolicy], failures: _Failures
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


def _variant(verified: VerifiedEvidence, variant: VariantPolicy) -> list[Clause]:
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


def _check_debug(verified: VerifiedEvidence, security: SecurityPolicy, failures: _Failures) -> None:
    if not verified.debug or "debug-mode" in security.tolerate:
        return
    failures.clauses.append(Clause("debug-mode", _DEBUG, "tolerate: [debug-mode]"))
    failures.chain.append(_DEBUG)
    failures.tolerate.add("debug-mode")


def _check_tcb(verified: VerifiedEvidence, security: SecurityPolicy, failures: _Failures) -> None:
    if verified.tcb_status is TcbStatus.REVOKED:
        failures.clauses.append(_revoked())
        failures.chain.append(_revoked().text)
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
        fail(Clause(category, _PROBLEMS[category], f"tolerate: [{category}]"))
        failures.tolerate.add(category)
    wildcard = security.ignore_advisories == "*" and "debug-mode" in tolerated
    ignored = () if security.ignore_advisories == "*" else security.ignore_advisories
    if not wildcard:
        for advisory in sorted(present - by_shortcut - set(ignored)):
            fail(Clause(advisory, _see(advisory), f"ignore_advisories: [{advisory}]"))
            failures.advisories.add(advisory)
    if risks:
        failures.chain.append(
            "\n".join(["The enclave's TCB is not trustworthy", "Security risks:", *risks])
        )


# --- another CAS that asks to be a backup or an upgrade ----------------------------------------


def appraise_peer(
    newcomer: VerifiedEvidence,
    own: VerifiedEvidence,
    *,
    accept_outdated: bool = False,
    accept_configuration: bool = False,
    accept_sw_hardening: bool = False,
    platforms: Sequence[str] = (),
) -> AcceptedEvidence:
    """The evidence of a CAS that may receive our database key.

    It must have the same root, TEE kind, signer and product, at least our security version, be
    non-debug unless we are debug, and its platform must not have a problem that ours does not
    (`CATEGORIES`; a revoked one never).

    Raises:
        NotTrustedError: every requirement that it does not meet.
    """
    clauses: list[Clause] = []

    def require(holds: bool, name: str, text: str) -> None:
        if not holds:
            clauses.append(Clause(name, text))

    theirs, ours = newcomer.report, own.report
    require(
        newcomer.anchor == own.anchor,
        "root",
        f"Another root of trust ({newcomer.anchor.name}) - Expected {own.anchor.name}",
    )
    require(newcomer.tee == own.tee, "tee", f"Another TEE ({newcomer.tee}) - Expected {own.tee}")
    require(own.debug or not newcomer.debug, "debug-mode", _DEBUG)
    require(
        theirs.mrsigner == ours.mrsigner,
        "mrsigner",
        f"Unexpected enclave signer (MRSIGNER, {theirs.mrsigner.hex()})"
        f" - Expected {ours.mrsigner.hex()}",
    )
    require(
        theirs.isvprodid == ours.isvprodid,
        "isvprodid",
        f"Unexpected product ID (ISVPRODID, {theirs.isvprodid}) - Expected {ours.isvprodid}",
    )
    require(
        theirs.isvsvn >= ours.isvsvn,
        "isvsvn",
        f"Security version too low (ISVSVN, {theirs.isvsvn}) - Expected at least {ours.isvsvn}",
    )
    has = CATEGORIES.get(own.tcb_status, frozenset())
    clauses += _tcb_options(
        newcomer,
        {
            OUTDATED: accept_outdated or OUTDATED in has,
            CONFIGURATION: accept_configuration or CONFIGURATION in has,
            HARDENING: accept_sw_hardening or HARDENING in has,
        },
    )
    clauses += _platform(newcomer, platforms)
    if clauses:
        raise NotTrustedError([NOT_TRUSTWORTHY, *map(str, clauses)], clauses)
    return AcceptedEvidence(newcomer, proof=_PROOF)
