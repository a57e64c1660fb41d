"""Create or update a session: whoever may, on the version they saw, durable before the answer."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial

from scone.cas.sessions import Records, StoredVersion
from scone.cas.state import Cas
from scone.cas.store.base import Transaction
from scone.crypto.der import to_pem
from scone.crypto.keyhash import key_hash
from scone.errors import ConflictError, ForbiddenError, NotFoundError, UsageError
from scone.session import (
    Session,
    canonical_json,
    read_session,
    references_creator,
    session_hash,
)
from scone.session.access import Requester, allows
from scone.session.names import parent_name
from scone.session.secrets import generate


@dataclass(frozen=True, slots=True)
class Created:
    """The answer: the hash of the now active version, and what the reader warned about."""

    hash: str
    warnings: tuple[tuple[str, ...], ...]


async def create_session(
    cas: Cas, text: str, requester: Requester, certificate_der: bytes, spki_der: bytes
) -> Created:
    """Check, authorise, generate secrets, store.

    Raises:
        DocumentError: the text is not a session that this CAS accepts.
        UsageError: the name is taken and no predecessor is given.
        ConflictError: the predecessor is not the active version.
        ForbiddenError: the requester may not.
        NotFoundError: the namespace does not exist.
        LimitError: the namespace's quota is used up, or too many sessions are being checked.
    """
    phase = cas.provisioned
    checked = await cas.workers.run(partial(read_session, text, source="session"))
    session = checked.session
    if session.creator is None and references_creator(session):
        session = session.with_creator(to_pem("CERTIFICATE", certificate_der))
    before = _authorise(cas, phase.store, session, requester)
    previous = (
        None if before is None else (before.session, cas.sessions.values(phase.store, before.hash))
    )
    values = await cas.workers.run(
        partial(generate, session, previous=previous, now=cas.now(), random=os.urandom)
    )
    document = canonical_json(session)
    version = StoredVersion(
        session_hash(session), session, cas.now().isoformat(), key_hash(spki_der)
    )

    def commit(records: Transaction) -> None:
        # Judged again in the one commit thread: between the first look and now another
        # update may have been committed. Lost updates end here.
        now_active = _authorise(cas, records, session, requester)
        if (now_active and now_active.hash) != (before and before.hash):
            raise ConflictError(
                f"session {session.name!r} was changed by another update at the same time",
                hint="read it again and repeat the update on the new version",
            )
        cas.sessions.write(records, version, document, values, phase.quota)
        phase.audit.append(
            "session_created" if before is None else "session_updated",
            session=session.name,
            identity=key_hash(spki_der),
        )

    await asyncio.wrap_future(phase.store.transact(commit))
    return Created(version.hash, tuple((w.path, w.message) for w in checked.warnings))


def _authorise(
    cas: Cas, records: Records, session: Session, requester: Requester
) -> StoredVersion | None:
    """The version that `session` replaces, or None; refuses what the policies do not allow."""
    active = cas.sessions.active(records, session.name)
    if active is not None:
        if session.predecessor is None:
            raise UsageError("Session already exists, please specify predecessor hash")
        policy = active.session.access_policy
        if not allows(policy.update, requester, active.session.creator, active.session.version):
            raise ForbiddenError(f"You have insufficient rights to update session {session.name}")
        if session.predecessor != active.hash:
            raise ConflictError(
                f"the predecessor {session.predecessor} is not the active version",
                hint=f"the active version is {active.hash}",
            )
        return active
    if session.predecessor is not None:
        raise ConflictError(
            "Predecessor hash specified albeit session alias unused",
            hint="create the session without predecessor",
        )
    above = parent_name(session.name)
    namespace = None if above is None else cas.sessions.active(records, above)
    if namespace is None:
        raise NotFoundError(f"the namespace {above!r} does not exist: create that session first")
    entries = namespace.session.access_policy.effective_create_sessions
    if not allows(entries, requester, namespace.session.creator, namespace.session.version):
        raise ForbiddenError(f"You have insufficient rights to create sessions in {above}")
    return None
