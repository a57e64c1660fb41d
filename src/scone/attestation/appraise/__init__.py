"""Appraisal of evidence (RFC 9334): genuine claims against reference values.

Nothing here checks a signature; that is `verify`, which must come first and whose
result is the only input this package takes. A refusal names every clause that failed,
in SCONE's words where there are some. Report data is the caller's to compare: it knows
which channel, key or document the evidence must be for.
"""

from __future__ import annotations

from scone.attestation.appraise.accepted import (
    CATEGORIES,
    AcceptedEvidence,
    AcceptedToken,
    Clause,
    NotTrustedError,
)
from scone.attestation.appraise.cas import CasPolicy, appraise_cas
from scone.attestation.appraise.peer import appraise_peer, appraise_voucher
from scone.attestation.appraise.service import appraise_service, appraise_token

__all__ = [
    "CATEGORIES",
    "AcceptedEvidence",
    "AcceptedToken",
    "CasPolicy",
    "Clause",
    "NotTrustedError",
    "appraise_cas",
    "appraise_peer",
    "appraise_service",
    "appraise_token",
    "appraise_voucher",
]
