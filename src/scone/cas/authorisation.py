"""Whether a requester may do something with a session, as its policy and its secrets say now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas, Provisioned
from scone.cas.values import Resolution
from scone.errors import ForbiddenError, IntegrityError, SconeError, StateError
from scone.session.access import (
    ClientCertificate,
    Operation,
    Requester,
    Signers,
    decide,
    identity_of,
)
from scone.session.names import ROOT
from scone.session.secrets.values import SecretValue
from scone.session.uses import names_for_access


async def authorise(
    cas: Cas,
    phase: Provisioned,
    version: StoredVersion,
    operation: Operation,
    requester: Requester,
    *,
    refusal: str,
) -> bool:
    """Let through who may; whether anybody may, is the answer.

    What other sessions and vaults hold is asked for only where the rest admits nobody: it can
    admit more, never less.

    Raises:
        ForbiddenError: with the text `refusal`, and the entries of the policy that say nothing.
    """
    session = version.session
    names = names_for_access(session)
    if not names:
        decision = decide(session, operation, requester, {}, digests=version.digests)
    else:
        resolution = Resolution(cas, phase)
        values: dict[str, SecretValue] = dict(await resolution.stored(version))
        decision = await asyncio.to_thread(decide, session, operation, requester, values)
        if not decision.granted and decision.unresolved:
            values |= await _found(resolution, version, names)
            decision = await asyncio.to_thread(decide, session, operation, requester, values)
    if decision.granted:
        return decision.anybody
    if not decision.unresolved:
        raise ForbiddenError(refusal, hint=_hint(session.name, operation, requester))
    raise ForbiddenError(
        f"entries of its access policy that could not be resolved: {', '.join(decision.unresolved)}",
        hint="a secret that does not exist, cannot be read now or holds no access entry grants nothing",
    ).within(refusal)


def _hint(name: str, operation: Operation, requester: Requester) -> str:
    """As whom the requester was judged, and what would admit a signer."""
    match requester:
        case None:
            return "without a client certificate only what admits ANY is permitted"
        case ClientCertificate():
            return f"you are {identity_of(requester)}"
        case Signers():
            text = (
                "of a signed session its signatures count, not the client's identity; it is signed by "
                f"{', '.join(requester.key_hashes)}, and the session {name} would have to admit that: "
                f"{operation}: with - signer: and the public key"
            )
            anybody = ', or sessions.root_create = "any" when the CAS is provisioned'
            return text + (anybody if (name, operation) == (ROOT, "create_sessions") else "")


async def _found(
    resolution: Resolution, version: StoredVersion, names: Iterable[str]
) -> dict[str, SecretValue]:
    """Those of the values that can be had: one that fails keeps no other from counting."""
    results = await asyncio.gather(
        *(resolution.foreign(version, (name,)) for name in sorted(names)),
        return_exceptions=True,
    )
    found: dict[str, SecretValue] = {}
    for result in results:
        if isinstance(result, dict):
            found |= result
        elif not isinstance(result, SconeError) or isinstance(result, IntegrityError | StateError):
            raise result  # of this CAS itself
    return found
