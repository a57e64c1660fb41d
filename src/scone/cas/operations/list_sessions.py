"""List the sessions of a namespace."""

from __future__ import annotations

import asyncio

from scone.cas import namespaces
from scone.cas.authorisation import authorise
from scone.cas.state import Cas
from scone.errors import ForbiddenError, MalformedError, NotFoundError
from scone.session.access import Requester, identity_of
from scone.session.names import canonical_name, parent_name


async def list_sessions(
    cas: Cas, namespace: str, after: str | None, limit: int, requester: Requester
) -> tuple[list[str], str | None]:
    """Names of the sessions directly in a namespace, and after which the next page begins.

    Raises:
        NotFoundError: there is no such namespace.
        ForbiddenError: the requester may neither list nor create sessions in it.
        MalformedError: `after` is no name in this namespace.
    """
    phase = cas.provisioned
    outer = f"Failed to list the sessions of '{namespace}'"
    if after is not None and parent_name(canonical_name(after, place="after")) != namespace:
        raise MalformedError("after", f"the name of a session in the namespace {namespace}")
    name = canonical_name(namespace, place="namespace")
    version = await cas.sessions.fetch_active(phase.store, name)
    if version is None:
        raise NotFoundError("Session not found").within(outer)
    refusal = f"You have insufficient rights to list the sessions of {namespace}"
    try:
        anybody = await authorise(cas, phase, version, "list_sessions", requester, refusal=refusal)
    except ForbiddenError as error:
        raise error.within(outer) from None
    record = phase.audit.append_bounded if anybody else phase.audit.append
    behind = "" if after is None else after.rpartition("/")[2]
    found, more = namespaces.names(phase.store, namespace, behind, limit)
    await asyncio.to_thread(
        record, "sessions_listed", session=namespace, identity=identity_of(requester)
    )
    return found, found[-1] if more else None
