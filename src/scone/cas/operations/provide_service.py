"""Hand a service its configuration: evidence on this channel, the session's policy, its secrets."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from scone.attestation.appraise import (
    AcceptedEvidence,
    AcceptedToken,
    NotTrustedError,
    appraise_service,
    appraise_token,
)
from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.attestation.verify import verify
from scone.cas.azure import attest_with_maa
from scone.cas.factors import check_token, prove_token, use_password, use_start
from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas, Provisioned
from scone.cas.values import Resolution
from scone.cas.volumes import volumes_of
from scone.errors import (
    AppraisalError,
    LimitError,
    MalformedError,
    NotFoundError,
    SconeError,
    UsageError,
    VerificationError,
)
from scone.service_config import build
from scone.service_config.model import ProtectedVolume
from scone.session.model import Security, Service, Template
from scone.session.names import ServiceReference, service_reference
from scone.session.otp import otp_secret
from scone.session.placeholders import reference as placeholder_in
from scone.session.resolve import resolved_platforms, resolved_security, resolved_variants
from scone.session.secrets import SecretValues, mint_jwt, render
from scone.session.uses import names_for_appraisal, names_for_service

_FAILED: Final = {
    "hardware": "DCAP quote verification failed",
    "maa": "Microsoft Azure Attestation failed",
}
_NOT_FOUND: Final = "Failed to retrieve service attestation configuration"
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
    token_proof: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """The service that is asked for, as the session is written."""

    reference: ServiceReference
    version: StoredVersion
    service: Service

    def refused(self, reason: str) -> dict[str, str]:
        """The fields of an audit event."""
        name = self.reference
        return {"session": name.session, "service": name.service, "reason": reason}


@dataclass(frozen=True, slots=True)
class _Decisive:
    """What decides about a service, secrets put in."""

    security: Security
    values: SecretValues = field(repr=False)
    resolution: Resolution
    all_stored: bool
    """Whether nothing of the session comes from elsewhere or is made for each start."""


async def provide_service(cas: Cas, request: ServiceRequest) -> bytes:
    """Steps: name, token, password, genuine? this channel? acceptable? first time? values, audit.

    What is returned is the configuration in its form on the wire, a secret as a whole.

    Raises:
        NotFoundError: there is no such session or service.
        ForbiddenError: the access token or the one-time password is missing, wrong or used.
        LimitError: too many wrong one-time passwords, or the namespace is full.
        VerificationError: the evidence is not genuine or not for this channel.
        AppraisalError: the policy does not admit the program.
        SconeError: a secret that the service needs cannot be had from elsewhere.
    """
    phase = cas.provisioned
    asked = await _find(cas, phase, request.config_id)
    security = asked.version.session.security
    # Before anybody else is asked for a secret of the session, as far as that is possible.
    checked = isinstance(security, Security) and await _check_factors(
        cas, phase, request, asked, security=security, values=None
    )
    decisive = await _decisive(cas, phase, asked)
    if not checked:
        await _check_factors(
            cas, phase, request, asked, security=decisive.security, values=decisive.values
        )
    accepted: AcceptedEvidence | AcceptedToken | None = None
    if decisive.security.mode != "none":
        try:
            accepted = await _attest(cas, request, asked, decisive)
            if decisive.security.singleton_enclaves:
                name, key = asked.reference.session, request.instance_key
                await use_start(phase.store, name, key, quota=phase.quota)
        except LimitError:
            raise
        except SconeError as error:
            # Recorded where genuine evidence was refused: what anybody can send fills no disk.
            if isinstance(error, NotTrustedError):
                fields = asked.refused(error.code)
                await asyncio.to_thread(
                    partial(phase.audit.append_bounded, "service_refused", **fields)
                )
            raise error.within(_FAILED[decisive.security.mode]) from None
    identity = None if accepted is None else accepted.evidence.report.mrenclave.hex()
    values = await _needed(cas, asked, decisive, identity)
    volumes = await volumes_of(cas, phase, decisive.resolution, asked.version, asked.service)
    config = await _build(cas, asked, values, accepted, volumes)
    if phase.config.audit_log_mode != "disabled":
        await asyncio.to_thread(
            phase.audit.append_bounded,
            "service_attested",
            session=asked.reference.session,
            service=asked.service.name,
        )
    return config


async def prove_access_token(
    cas: Cas, config_id: str, exporter: Callable[[bytes, int], bytes]
) -> bytes:
    """The CAS's proof that it knows the access token of a session, for this channel.

    Raises:
        NotFoundError: there is no such session or service.
        ForbiddenError: the session has no token.
    """
    phase = cas.provisioned
    asked = await _find(cas, phase, config_id)
    security = asked.version.session.security
    if not isinstance(security, Security):
        security = (await _decisive(cas, phase, asked)).security
    return prove_token(security, asked.reference, exporter)


async def _find(cas: Cas, phase: Provisioned, config_id: str) -> _Asked:
    """The service; nothing is fetched yet."""
    try:
        reference = service_reference(config_id)
        version = await cas.sessions.fetch_active(phase.store, reference.session)
        if version is None:
            raise NotFoundError(
                f"there is no session {reference.session} with a service {reference.service}"
            )
        return _Asked(reference, version, version.session.service(reference.service))
    except SconeError as error:
        raise error.within(_NOT_FOUND) from None


async def _decisive(cas: Cas, phase: Provisioned, asked: _Asked) -> _Decisive:
    """What decides about the service; of other secrets nothing is fetched yet."""
    version, session = asked.version, asked.version.session
    resolution = Resolution(cas, phase)
    try:
        all_stored = not any(
            spec.is_foreign or spec.kind in {"jwt", "aad-token"} for spec in session.secrets
        )
        in_vault = session.secret_config.store_in == "akv"
        names = (
            frozenset[str]()
            if all_stored and not in_vault
            else names_for_appraisal(session, asked.service)
        )
        # Strangers come as far as this: a vault is asked only where it decides whom to admit.
        values = SecretValues({}) if in_vault and not names else await resolution.stored(version)
        if names:
            values = SecretValues({**values, **await resolution.foreign(version, names)})
        security = resolved_security(session, values)
    except SconeError as error:
        raise error.within(_NOT_FOUND) from None
    if security.excuses_any_advisory and not phase.config.allow_advisory_wildcard:
        # A session older than the owner's decision, or a secret that brings the wildcard.
        security = replace(security, ignore_advisories=())
    return _Decisive(security, values, resolution, all_stored)


async def _check_factors(
    cas: Cas,
    phase: Provisioned,
    request: ServiceRequest,
    asked: _Asked,
    *,
    security: Security,
    values: SecretValues | None,
) -> bool:
    """The access token, then the one-time password, if they are wanted; nothing else is believed.

    False where the password is made of a secret, and `values` are not there yet.
    """
    check_token(security, asked.reference, request.token_proof, request.exporter)
    own = asked.service.one_time_password_shared_secret
    text = security.one_time_password_shared_secret if own is None else own
    name = f"{asked.reference.session}/{asked.reference.service}"
    if text is None:
        if asked.reference.one_time_password is not None:
            raise UsageError(
                f"service {name} has no One-time Password, and SCONE_CONFIG_ID has one after @",
                hint=f"SCONE_CONFIG_ID={name}, or one_time_password_shared_secret in the session",
            )
        return True
    place = f"session {asked.reference.session}: one_time_password_shared_secret"
    # What a secret brought into a delegated section is data, whatever it looks like.
    is_data = own is None and isinstance(asked.version.session.security, Template)
    placeholder = None if is_data else placeholder_in(text)
    if placeholder is not None:
        if values is None:
            return False
        try:
            text = render(values, placeholder).decode("ascii")
        except UnicodeDecodeError:
            raise MalformedError(place, "a secret in base32 (A-Z and 2-7)") from None
    secret = otp_secret(text, place)
    await use_password(
        phase.store, cas.wrong_passwords, asked.reference, secret, cas.now(), quota=phase.quota
    )
    return True


async def _attest(
    cas: Cas, request: ServiceRequest, asked: _Asked, decisive: _Decisive
) -> AcceptedEvidence | AcceptedToken:
    session = asked.version.session
    if request.quote is None:
        raise AppraisalError(
            "the program sent no evidence, and the session requires attestation",
            hint="SCONE_LAS_ADDR names the LAS that produces it",
        )
    expected = service_report_data(
        request.exporter(SERVICE_EXPORTER_LABEL, 32),
        request.config_id,
        request.instance_key,
        request.service_hash,
    )
    security = decisive.security
    variants = resolved_variants(session, asked.service, decisive.values)
    if security.mode == "maa":
        url = security.url or ""
        token = await attest_with_maa(cas, url, security.certificates, request.quote)
        _require_report_data(token.report.report_data, expected)
        return appraise_token(token, variants, security)
    verified = verify(
        request.quote, cas.collateral, cas.platform.anchors, cas.now(), cache=cas.cache
    )
    _require_report_data(verified.report.report_data, expected)
    platforms = resolved_platforms(session, asked.service, decisive.values)
    return appraise_service(verified, variants, security, platforms)


def _require_report_data(found: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(found, expected):
        raise VerificationError(
            "the evidence is not for this connection: its report data is that of another channel, "
            "configuration id or instance"
        )


async def _needed(
    cas: Cas, asked: _Asked, decisive: _Decisive, software_identity: str | None
) -> SecretValues:
    """Stored values, renewed if due, and of the others those that this service needs."""
    version, session = asked.version, asked.version.session
    stored = await decisive.resolution.current(version)
    if decisive.all_stored:
        return stored
    names = names_for_service(session, asked.service)
    values = {**stored, **await decisive.resolution.foreign(version, names)}
    tokens = [spec for spec in session.secrets if spec.jwt is not None and not spec.is_foreign]

    def mint() -> SecretValues:
        made = {
            spec.name: mint_jwt(spec, values, cas.now(), software_identity)
            for spec in tokens
            if spec.name in names
        }
        return SecretValues({**values, **made})

    return await asyncio.to_thread(mint)


async def _build(
    cas: Cas,
    asked: _Asked,
    values: SecretValues,
    accepted: AcceptedEvidence | AcceptedToken | None,
    volumes: tuple[ProtectedVolume, ...],
) -> bytes:
    """Build on the event loop what was quick before; the first time, and what is slow, not."""
    name = asked.service.name
    what = (asked.version.hash, name)

    def timed() -> bytes:
        begun = time.thread_time()
        config = build(asked.version.session, name, values, accepted, cas.now(), volumes=volumes)
        raw = config.to_json()
        if time.thread_time() - begun < _QUICK_S and len(cas.quick_builds) < _MAX_QUICK:
            cas.quick_builds.add(what)
        return raw

    return timed() if what in cas.quick_builds else await asyncio.to_thread(timed)
