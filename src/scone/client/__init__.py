"""Everything that the command line does with a CAS, for programs: the public interface in Python.

docs/guide/client.md shows it at work. The names in `__all__` are stable; modules below this
package are not. An error is a `SconeError`; programs decide by its `code`. A name is imported
when it is used first: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scone.attestation.appraise import CasPolicy
    from scone.client.backups import backup_policy, register_backup
    from scone.client.cas import (
        Backup,
        CasClient,
        Created,
        Newcomer,
        PublicValue,
        ReadSession,
        Version,
    )
    from scone.client.known import KnownCas
    from scone.client.provisioning import Claim, Claimed, provision_cas
    from scone.client.sessions import (
        ActiveSession,
        Applied,
        SessionDiffersError,
        active_session,
        apply_session,
        create_session,
        create_signing_key,
        encrypt_session,
        signed_session,
        update_session,
        verify_session,
    )
    from scone.client.trust import AttestedCas, TrustPolicy, attest_cas, attest_report
    from scone.crypto.identity import Identity, create_identity, parse_identity
    from scone.crypto.secret import SecretBytes
    from scone.documents import DocumentError, Problem
    from scone.errors import (
        AppraisalError,
        ConflictError,
        ForbiddenError,
        IntegrityError,
        LimitError,
        MalformedError,
        NetworkError,
        NotFoundError,
        RejectedError,
        SconeError,
        StateError,
        UnavailableError,
        UnsupportedError,
        UsageError,
        VerificationError,
    )
    from scone.owner_config import OwnerConfig, read_owner_config
    from scone.session import Checked, Session, read_session, session_hash, to_yaml
    from scone.session.review.rights import Change, RightsDifference, rights_difference
    from scone.session.signed import SignedSession, parse_signed

_MODULES: Final = {
    "scone.attestation.appraise": ("CasPolicy",),
    "scone.client.backups": ("backup_policy", "register_backup"),
    "scone.client.cas": (
        "Backup",
        "CasClient",
        "Created",
        "Newcomer",
        "PublicValue",
        "ReadSession",
        "Version",
    ),
    "scone.client.known": ("KnownCas",),
    "scone.client.provisioning": ("Claim", "Claimed", "provision_cas"),
    "scone.client.sessions": (
        "ActiveSession",
        "Applied",
        "SessionDiffersError",
        "active_session",
        "apply_session",
        "create_session",
        "create_signing_key",
        "encrypt_session",
        "signed_session",
        "update_session",
        "verify_session",
    ),
    "scone.client.trust": ("AttestedCas", "TrustPolicy", "attest_cas", "attest_report"),
    "scone.crypto.identity": ("Identity", "create_identity", "parse_identity"),
    "scone.crypto.secret": ("SecretBytes",),
    "scone.documents": ("DocumentError", "Problem"),
    "scone.errors": (
        "AppraisalError",
        "ConflictError",
        "ForbiddenError",
        "IntegrityError",
        "LimitError",
        "MalformedError",
        "NetworkError",
        "NotFoundError",
        "RejectedError",
        "SconeError",
        "StateError",
        "UnavailableError",
        "UnsupportedError",
        "UsageError",
        "VerificationError",
    ),
    "scone.owner_config": ("OwnerConfig", "read_owner_config"),
    "scone.session": ("Checked", "Session", "read_session", "session_hash", "to_yaml"),
    "scone.session.review.rights": ("Change", "RightsDifference", "rights_difference"),
    "scone.session.signed": ("SignedSession", "parse_signed"),
}
_PLACES: Final = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ActiveSession",
    "Applied",
    "AppraisalError",
    "AttestedCas",
    "Backup",
    "CasClient",
    "CasPolicy",
    "Change",
    "Checked",
    "Claim",
    "Claimed",
    "ConflictError",
    "Created",
    "DocumentError",
    "ForbiddenError",
    "Identity",
    "IntegrityError",
    "KnownCas",
    "LimitError",
    "MalformedError",
    "NetworkError",
    "Newcomer",
    "NotFoundError",
    "OwnerConfig",
    "Problem",
    "PublicValue",
    "ReadSession",
    "RejectedError",
    "RightsDifference",
    "SconeError",
    "SecretBytes",
    "Session",
    "SessionDiffersError",
    "SignedSession",
    "StateError",
    "TrustPolicy",
    "UnavailableError",
    "UnsupportedError",
    "UsageError",
    "VerificationError",
    "Version",
    "active_session",
    "apply_session",
    "attest_cas",
    "attest_report",
    "backup_policy",
    "create_identity",
    "create_session",
    "create_signing_key",
    "encrypt_session",
    "parse_identity",
    "parse_signed",
    "provision_cas",
    "read_owner_config",
    "read_session",
    "register_backup",
    "rights_difference",
    "session_hash",
    "signed_session",
    "to_yaml",
    "update_session",
    "verify_session",
]


def __getattr__(name: str) -> Any:
    module = _PLACES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
