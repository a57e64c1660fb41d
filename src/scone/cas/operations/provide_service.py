"""Hand a service its configuration: evidence on this channel, the session's policy, its secrets."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scone.attestation.appraise import AcceptedEvidence, NotTrustedError, appraise_service
from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.attestation.verify import verify
from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas, Provisioned
from scone.cas.store.base import Transaction
from scone.errors import (
    AppraisalError,
    NotFoundError,
    SconeError,
    VerificationError,
)
from scone.service_config import build
from scone.session.model import Security, Service
from scone.session.names import service_reference
from scone.session.secrets import needs_renewal, renew

_QUICK_S: Final = 0.002
_MAX_QUICK: Final = 100_000


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What the launcher sends, and the channel that it came over."""

    config_id: str
    instance_key: bytes
    quote: bytes | None
    service_hash: bytes | None
    exporter: Callable[[bytes, int], bytes]


async def provide_service(cas: Cas, request: ServiceRequest) -> bytes:
    """Steps in order: name, session, genuine?, this channel?, acceptable?, renew, build, audit.

    What is returned is the configuration in its form on the wire, a secret as a whole.

    Raises:
        NotFoundError: there is no such session or service.
        VerificationError: the evidence is not genuine or not for this channel.
        AppraisalError: the policy does not admit the program.
    """
    phase = cas.provisioned
    try:
        session_name, service_name = service_reference(request.config_id)
        version = cas.sessions.active(phase.store, session_name)
        if version is None:
            raise NotFoundError(f"session {session_name} has no service {service_name}")
        service = version.session.service(service_name)
    except SconeError as error:
        raise error.within("Failed to retrieve service attestation configuration") from None
    accepted: AcceptedEvidence | None = None
    if version.session.security.mode != "none":
        try:
            accepted = _attest(cas, request, service, version.session.security)
        except SconeError as error:
            # Recorded where genuine evidence was refused: what anybody can send fills no disk.
            if isinstance(error, NotTrustedError):
                await asyncio.to_thread(
                    phase.audit.append,
                    "service_refused",
                    session=session_name,
                    service=service_name,
                    reason=error.code,
                )
            raise error.within("DCAP quote verification failed") from None
    await _renew(cas, phase, version)
    config = await _build(cas, phase, version, service_name, accepted)
    if phase.config.audit_log_mode != "disabled":
        await asyncio.to_thread(
            phase.audit.append, "service_attested", session=session_name, service=service_name
        )
    return config


async def _build(
    cas: Cas,
    phase: Provisioned,
    version: StoredVersion,
    service_name: str,
    accepted: AcceptedEvidence | None,
) -> bytes:
    """Build on the event loop what was quick before; the first time, and what is slow, not."""
    values = cas.sessions.values(phase.store, version.hash)
    what = (version.hash, service_name)

    def timed() -> bytes:
        begun = time.thread_time()
        config = build(version.session, service_name, values, accepted, cas.now()).to_json()
        if time.thread_time() - begun < _QUICK_S and len(cas.quick_builds) < _MAX_QUICK:
            cas.quick_builds.add(what)
        return config

    return timed() if what in cas.quick_builds else await asyncio.to_thread(timed)


def _attest(
    cas: Cas, request: ServiceRequest, service: Service, security: Security
) -> AcceptedEvidence:
    if request.quote is None:
        raise AppraisalError(
            "the program sent no evidence, and the session requires attestation",
            hint="SCONE_LAS_ADDR names the LAS that produces it",
        )
    verified = verify(
        request.quote, cas.collateral, cas.platform.anchors, cas.now(), cache=cas.cache
    )
    expected = service_report_data(
        request.exporter(SERVICE_EXPORTER_LABEL, 32),
        request.config_id,
        request.instance_key,
        request.service_hash,
    )
    if not hmac.compare_digest(verified.report.report_data, expected):
        raise VerificationError(
            "the evidence is not for this connection: its report data is that of another channel, "
            "configuration id or instance"
        )
    return appraise_service(verified, service.variants, security)


async def _renew(cas: Cas, phase: Provisioned, version: StoredVersion) -> None:
    """Make certificates that are about to expire again, once, durably, before they are used."""
    now = cas.now()
    if not needs_renewal(cas.sessions.values(phase.store, version.hash), now):
        return
    async with cas.renewing:
        values = cas.sessions.values(phase.store, version.hash)
        if not needs_renewal(values, now):  # another start has renewed them meanwhile
            return
        renewed = await asyncio.to_thread(renew, version.session, values, now, os.urandom)
        raw = renewed.to_json()

        def commit(records: Transaction) -> None:
            records.put("values", version.hash, raw)

        await asyncio.wrap_future(phase.store.transact(commit))
        cas.sessions.forget_values(version.hash)
