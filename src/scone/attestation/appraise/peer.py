"""Another CAS that asks for our database key, as a backup or an upgrade."""

from __future__ import annotations

from scone.attestation.appraise.accepted import (
    CATEGORIES,
    CONFIGURATION,
    DEBUG_MODE,
    HARDENING,
    NOT_TRUSTWORTHY,
    OUTDATED,
    PROOF,
    AcceptedEvidence,
    Clause,
    NotTrustedError,
    tcb_options,
)
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import VerifiedEvidence
from scone.release import MIN_ISVSVN


def appraise_peer(newcomer: VerifiedEvidence, own: VerifiedEvidence) -> AcceptedEvidence:
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
    require(own.debug or not newcomer.debug, "debug-mode", DEBUG_MODE)
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
    clauses += tcb_options(
        newcomer, {one: one in has for one in (OUTDATED, CONFIGURATION, HARDENING)}
    )
    if clauses:
        raise NotTrustedError([NOT_TRUSTWORTHY, *map(str, clauses)], clauses)
    return AcceptedEvidence(newcomer, proof=PROOF)


def appraise_voucher(voucher: VerifiedEvidence, own: VerifiedEvidence) -> AcceptedEvidence:
    """The evidence of a CAS that let us into its key store: software that we take state from.

    Same root, TEE kind, signer and product, no version that we would not attest, not revoked, and
    debug only if we are. Its TCB was compared when it registered us, the other way round: a machine
    that is out of date may hand over to one that is not.

    Raises:
        NotTrustedError: every requirement that it does not meet.
    """
    theirs, ours = voucher.report, own.report
    failed = [
        Clause(name, f"The key store was made for us by a CAS with {what}")
        for name, what, holds in (
            ("root", "another root of trust", voucher.anchor == own.anchor),
            ("tee", "another TEE", voucher.tee == own.tee),
            ("debug-mode", "debug mode enabled", own.debug or not voucher.debug),
            ("mrsigner", "another signer (MRSIGNER)", theirs.mrsigner == ours.mrsigner),
            ("isvprodid", "another product ID (ISVPRODID)", theirs.isvprodid == ours.isvprodid),
            ("isvsvn", "a version that is too old (ISVSVN)", theirs.isvsvn >= MIN_ISVSVN),
            ("revoked", "a revoked platform", voucher.tcb_status is not TcbStatus.REVOKED),
        )
        if not holds
    ]
    if failed:
        raise NotTrustedError([NOT_TRUSTWORTHY, *map(str, failed)], failed)
    return AcceptedEvidence(voucher, proof=PROOF)
