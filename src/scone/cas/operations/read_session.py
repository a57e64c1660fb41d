"""Read a session, its hash or its history, without the secrets that the CAS generated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scone.cas.authorisation import authorise
from scone.cas.sessions import StoredVersion, Upload
from scone.cas.state import Cas, Provisioned
from scone.cas.values import stored_values
from scone.errors import ForbiddenError, NotFoundError
from scone.session import to_yaml
from scone.session.access import Requester, identity_of
from scone.session.names import canonical_name


@dataclass(frozen=True, slots=True)
class ReadSession:
    """The session's text in normal form, and its hash."""

    text: str = field(repr=False)
    hash: str


async def read_session(
    cas: Cas, name: str, session_hash: str | None, requester: Requester
) -> ReadSession:
    """The version asked for; the active version's policy decides who reads the history.

    Raises:
        NotFoundError: no session of that name, or no such version of it.
        ForbiddenError: the requester may not read it.
    """
    phase = cas.provisioned
    active, record = await _readable(cas, phase, name, requester)
    version = active
    if session_hash is not None and session_hash != active.hash:
        found = await cas.sessions.fetch_version(phase.store, session_hash)
        if found is None or found.session.name != name:
            raise NotFoundError("Session has no version with this hash").within(
                f"Failed to read session '{name}'"
            )
        version = found
    identity = identity_of(requester)

    def record_and_write() -> ReadSession:
        record("session_read", session=name, identity=identity, **version.public_hash)
        return ReadSession(to_yaml(version.session), version.hash)

    return await asyncio.to_thread(record_and_write)


async def read_hash(cas: Cas, name: str, requester: Requester) -> str:
    """The hash of the active version: with a salt in its past for everybody, else for readers.

    Raises:
        NotFoundError: no such session, or its hash is not for the requester: told alike.
    """
    phase = cas.provisioned
    active = await cas.sessions.fetch_active(phase.store, canonical_name(name))
    if active is not None and active.salted:
        return active.hash
    try:
        active, record = await _readable(cas, phase, name, requester)
    except (NotFoundError, ForbiddenError):
        raise NotFoundError(
            "Session not found, or its hash is not visible to you",
            hint="the hash of a session without salt needs the permission to read it",
        ) from None
    await asyncio.to_thread(
        record, "session_hash_read", session=name, identity=identity_of(requester)
    )
    return active.hash


async def read_history(
    cas: Cas, name: str, before: str | None, limit: int, requester: Requester
) -> tuple[list[Upload], str | None]:
    """The versions of a session, newest first, and where the next page begins.

    Raises:
        NotFoundError: no session of that name, or no such version of it.
        ForbiddenError: the requester may not read it.
    """
    phase = cas.provisioned
    active, record = await _readable(cas, phase, name, requester)
    page = await asyncio.to_thread(
        partial(cas.sessions.history, phase.store, name, before or active.hash, limit)
    )
    await asyncio.to_thread(
        record, "session_history_read", session=name, identity=identity_of(requester)
    )
    return page


async def _readable(
    cas: Cas, phase: Provisioned, name: str, requester: Requester
) -> tuple[StoredVersion, Callable[..., None]]:
    """The active version, for who may read it, and how it is recorded that they do."""
    outer = f"Failed to read session '{name}'"
    active = await cas.sessions.fetch_active(phase.store, canonical_name(name))
    if active is None:
        raise NotFoundError("Session not found").within(outer)
    refusal = f"You have insufficient rights to access session {name}"
    try:
        anybody = await authorise(cas, phase, active, "read", requester, refusal=refusal)
    except ForbiddenError as error:
        raise error.within(outer) from None
    if active.session.secret_config.store_in == "akv":
        # Not for their values: a session whose vault was tampered with is not to be used at all.
        await stored_values(cas, phase, active)
    return active, phase.audit.append_bounded if anybody else phase.audit.append
