"""What appraisal gives: accepted evidence, or a refusal that lists its clauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Final

from scone.attestation.maa import VerifiedToken
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import VerifiedEvidence
from scone.errors import AppraisalError

PROOF: Final = object()
"""Only the modules of this package may use it (a test looks)."""

NOT_TRUSTWORTHY: Final = "The program enclave is not trustworthy"
DEBUG_MODE: Final = (
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

PROBLEMS: Final = {
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
        if proof is not PROOF:
            raise TypeError("only appraisal makes AcceptedEvidence")


@dataclass(frozen=True, slots=True)
class AcceptedToken:
    """A token of Microsoft Azure Attestation that met a policy; only `appraise_token` makes one."""

    evidence: VerifiedToken
    _: KW_ONLY
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not PROOF:
            raise TypeError("only appraisal makes AcceptedToken")


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement that is not met, and what would accept it (empty: nothing does).

    The text names the remedy unless it is an option of a program: those only that program tells.
    """

    name: str
    text: str
    remedy: str = ""
    is_option: bool = False

    def __str__(self) -> str:
        shown = self.remedy and not self.is_option
        return f"{self.text} (accepted with {self.remedy})" if shown else self.text


class NotTrustedError(AppraisalError):
    """A refusal with all clauses that failed."""

    def __init__(self, chain: Sequence[str], clauses: Sequence[Clause], *, hint: str = "") -> None:
        super().__init__(chain[0], hint=hint)
        self.messages = tuple(chain)
        self.clauses = tuple(clauses)


_OPTIONS: Final = {
    OUTDATED: "-G (--accept-group-out-of-date)",
    CONFIGURATION: "-C (--accept-configuration-needed)",
    HARDENING: "-S (--accept-sw-hardening-needed)",
}


def tcb_options(verified: VerifiedEvidence, accepted: dict[str, bool]) -> list[Clause]:
    """What of the platform's state is not accepted, with the CLI's option for each."""
    if verified.tcb_status is TcbStatus.REVOKED:
        return [revoked()]
    return [
        Clause(category, problem(category, verified), _OPTIONS[category], is_option=True)
        for category in sorted(CATEGORIES[verified.tcb_status])
        if not accepted[category]
    ]


def pinned_platform(verified: VerifiedEvidence, platforms: Sequence[str]) -> list[Clause]:
    """The platform is not among those given; none given: any."""
    if not platforms or verified.platform_id in platforms:
        return []
    return [
        Clause(
            "platform",
            f"Unexpected platform ({verified.platform_id}) - Expected {' or '.join(platforms)}",
        )
    ]


def revoked() -> Clause:
    """The clause that nothing excuses."""
    return Clause("revoked", "The TCB is revoked: its keys are known to be compromised")


def problem(category: str, verified: VerifiedEvidence) -> str:
    """A category in words, with all advisories."""
    lines = [f"{PROBLEMS[category]} (TCB status {verified.tcb_status})"]
    lines += [f"- {see(advisory)}" for advisory in verified.advisories]
    return "\n".join(lines)


def see(advisory: str) -> str:
    """A pointer to an advisory."""
    link = f" ({_ADVISORY_URL}{advisory})" if advisory.startswith("INTEL-SA-") else ""
    return f"See advisory {advisory}{link}"
