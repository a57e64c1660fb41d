"""Read a session, active or superseded, without the secrets that the CAS generated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from scone.cas.state import Cas
from scone.crypto.keyhash import key_hash_of_digest
from scone.errors import ForbiddenError, NotFoundError
from scone.session import to_yaml
from scone.session.access import Requester, allows
from scone.session.names import canonical_name


@dataclass(frozen=True, slots=True)
class ReadSession:
    """The session's text in normal form, and its hash."""

    text: str
    hash: str


async def read_session(
    cas: Cas, name: str, session_hash: str | None, requester: Requester | None
) -> ReadSession:
    """The version asked for; the active version's policy decides who reads the history.

    Raises:
        NotFoundError: no session of that name, or no such version of it.
        ForbiddenError: the requester may not read it.
    """
    phase = cas.provisioned
    name = canonical_name(name)
    active = cas.sessions.active(phase.store, name)
    if active is None:
        raise NotFoundError("Session not found").within(f"Failed to read session '{name}'")
    policy = active.session.access_policy
    if not allows(policy.read, requester, active.session.creator, active.session.version):
        raise ForbiddenError(f"You have insufficient rights to access session {name}").within(
            f"Failed to read session '{name}'"
        )
    version = active
    if session_hash is not None and session_hash != active.hash:
        found = cas.sessions.version(phase.store, session_hash)
        if found is None or found.session.name != name:
            raise NotFoundError("Session has no version with this hash").within(
                f"Failed to read session '{name}'"
            )
        version = found
    await asyncio.to_thread(
        phase.audit.append,
        "session_read",
        session=name,
        identity="anonymous" if requester is None else key_hash_of_digest(requester.spki_sha256),
    )
    return ReadSession(to_yaml(version.session), version.hash)
