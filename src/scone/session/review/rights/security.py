"""How services must be attested, all of them."""

from __future__ import annotations

from typing import Final

from scone.session.model import Security, Session
from scone.session.resolve import UnresolvedError, resolved_security
from scone.session.review.rights.changes import Changes
from scone.session.review.rights.decided import fragments, undecided

_STRICTEST_MODE: Final = ("hardware", "maa", "none")


def compare_security(found: Changes, old: Session, new: Session) -> None:
    """The attestation of all services, and second factors."""
    before, after = security_of(old), security_of(new)
    if before is None or after is None:
        undecided(found, "platform", "security", old.security, new.security)
        return
    subject = "security.attestation"
    if {before.mode, after.mode} == {"hardware", "maa"}:
        found.differs("platform", subject, "mode", before.mode, after.mode)
    else:
        found.ranked("platform", subject, "mode", (before.mode, after.mode), _STRICTEST_MODE)
    found.grants(
        "platform",
        f"{subject}.tolerate",
        before.tolerate,
        after.tolerate,
        texts=("{} is tolerated now", "{} is no longer tolerated"),
    )
    found.grants(
        "platform",
        f"{subject}.ignore_advisories",
        _advisories(before),
        _advisories(after),
        texts=("{} is ignored now", "{} is no longer ignored"),
        implies=lambda one, other: other in {one, _ALL_ADVISORIES},
    )
    found.differs("platform", subject, "url", before.url, after.url)
    found.hidden("platform", subject, "certificates", before.certificates, after.certificates)
    for topic, what, one, other in (
        ("platform", "local attestation", before.must_be_sgx_local, after.must_be_sgx_local),
        (
            "code",
            "a one-time password",
            before.one_time_password_shared_secret,
            after.one_time_password_shared_secret,
        ),
        (
            "code",
            "the service access token",
            before.service_access_token,
            after.service_access_token,
        ),
        ("code", "one start of each enclave", before.singleton_enclaves, after.singleton_enclaves),
    ):
        found.protection(topic, "security", what, one, other)


_ALL_ADVISORIES: Final = "every advisory, known or future,"


def _advisories(security: Security) -> tuple[str, ...]:
    listed = security.ignore_advisories
    return (_ALL_ADVISORIES,) if listed == "*" else listed


def security_of(session: Session) -> Security | None:
    """The section with fragments in place; None where other secrets decide."""
    try:
        return resolved_security(session, fragments(session))
    except UnresolvedError:
        return None
