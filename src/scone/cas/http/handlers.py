"""From a request to an operation and back: parsing and encoding, no decisions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scone.cas.http.bodies import Body
from scone.cas.operations import backups
from scone.cas.operations.attest_cas import attest_cas
from scone.cas.operations.create_session import create_session as run_create_session
from scone.cas.operations.provide_service import ServiceRequest, provide_service
from scone.cas.operations.provision import ProvisioningRequest, WrongTokens
from scone.cas.operations.provision import provision as run_provision
from scone.cas.operations.read_session import read_session as run_read_session
from scone.cas.operations.registration import make_registration
from scone.cas.operations.update_config import update_config as run_update_config
from scone.cas.state import Cas
from scone.crypto.der import to_pem
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, MalformedError, UnavailableError
from scone.owner_config import owner_config_from_node
from scone.session.access import Requester
from scone.transport.http import Request, Response

_NONCE = re.compile(r"[0-9a-fA-F]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the router let through, and the state it acts on."""

    cas: Cas
    request: Request
    rest: str
    openapi: bytes
    wrong_tokens: WrongTokens
    nonces: backups.Nonces


Handler = Callable[[Call], Awaitable[Response]]


async def version(call: Call) -> Response:
    """GET /v1/version."""
    return _json(200, {"version": call.cas.version})


async def openapi(call: Call) -> Response:
    """GET /v1/openapi.json."""
    return Response(200, call.openapi, (("content-type", "application/json"),))


async def attest(call: Call) -> Response:
    """GET /v1/attest."""
    nonce = _query(call.request, "nonce")
    if nonce is not None and not _NONCE.fullmatch(nonce):
        raise MalformedError("nonce", "32 hexadecimal digits")
    document = await attest_cas(call.cas, nonce)
    return Response(200, document, (("content-type", "application/json"),))


async def provision(call: Call) -> Response:
    """POST /v1/provision."""
    certificate, spki = _certificate(call.request)
    body = Body(call.request.body)
    request = ProvisioningRequest(
        token=SecretBytes(body.hexadecimal("token", 16)),
        config=owner_config_from_node(body.document("config"), "config"),
        database_key=_secret(body.optional_hexadecimal("database_key", 32)),
        owner_spki=spki,
        owner_certificate=certificate,
        body_sha256=hashlib.sha256(call.request.body).digest(),
    )
    body.end()
    answer = await run_provision(call.cas, call.wrong_tokens, request)
    return _json(
        200,
        {
            "cas_key_hash": answer.cas_key_hash,
            "cas_software_key_hash": answer.software_key_hash,
            "receipt": answer.receipt.to_dict(),
        },
    )


async def update_config(call: Call) -> Response:
    """PUT /v1/config."""
    body = Body(call.request.body)
    config = owner_config_from_node(body.document("config"), "config")
    body.end()
    await run_update_config(call.cas, config)
    return _json(200, {})


async def create_session(call: Call) -> Response:
    """POST /v1/sessions."""
    certificate, spki = _certificate(call.request)
    try:
        text = call.request.body.decode()
    except UnicodeDecodeError:
        raise MalformedError("session", "text in UTF-8", "other bytes") from None
    created = await run_create_session(
        call.cas, text, _requester(certificate, spki), certificate, spki
    )
    return _json(201, {"hash": created.hash, "warnings": [list(w) for w in created.warnings]})


async def read_session(call: Call) -> Response:
    """GET /v1/sessions/{name}."""
    wanted = _query(call.request, "hash")
    if wanted is not None and not _HASH.fullmatch(wanted):
        raise MalformedError("hash", "64 lower-case hexadecimal digits")
    peer = call.request
    requester = (
        None
        if peer.peer_certificate_der is None or peer.peer_spki_der is None
        else _requester(peer.peer_certificate_der, peer.peer_spki_der)
    )
    # A path cannot end in the name `/`: the empty rest is the root session.
    found = await run_read_session(call.cas, call.rest or "/", wanted, requester)
    return _json(200, {"session": found.text, "hash": found.hash})


async def backup_nonce(call: Call) -> Response:
    """POST /v1/backups/nonce."""
    return _json(200, {"nonce": call.nonces.issue(_seconds()).hex()})


async def register_backup(call: Call) -> Response:
    """POST /v1/backups."""
    body = Body(call.request.body)
    newcomer = backups.Newcomer(
        nonce=body.hexadecimal("nonce", 16),
        public_key=body.hexadecimal("public_key", 32),
        quote=body.base64("quote"),
        address=body.optional_text("address") or "",
    )
    body.end()
    backup = await backups.register_backup(call.cas, call.nonces, newcomer)
    return _json(201, _backup(backup))


async def list_backups(call: Call) -> Response:
    """GET /v1/backups."""
    return _json(
        200, {"backups": [_backup(found) for found in await backups.list_backups(call.cas)]}
    )


async def withdraw_backup(call: Call) -> Response:
    """DELETE /v1/backups/{id}."""
    await backups.withdraw_backup(call.cas, call.rest)
    return _json(200, {})


async def registration(call: Call) -> Response:
    """POST /v1/registration."""
    body = Body(call.request.body)
    nonce = body.hexadecimal("nonce", 16)
    role = body.text("role")
    body.end()
    if role != "backup":
        raise MalformedError("request body.role", "backup", repr(role))
    made = await make_registration(call.cas, nonce)
    return _json(200, {"public_key": made.public_key.hex(), "quote": _base64(made.quote)})


async def service(call: Call) -> Response:
    """POST /v1/service."""
    exporter = call.request.exporter
    if exporter is None:
        raise UnavailableError("this connection has no exporter for channel binding")
    body = Body(call.request.body)
    request = ServiceRequest(
        config_id=body.text("config_id"),
        instance_key=body.base64("instance_key"),
        quote=body.optional_base64("quote"),
        service_hash=body.optional_hexadecimal("service_hash", 32),
        exporter=exporter,
    )
    body.end()
    config = await provide_service(call.cas, request)
    return Response(200, config, (("content-type", "application/json"),))


def _certificate(request: Request) -> tuple[bytes, bytes]:
    if request.peer_certificate_der is None or request.peer_spki_der is None:
        raise ForbiddenError(
            "this request needs a client certificate",
            hint="any X.509 certificate is an identity, a self-signed one too",
        )
    return request.peer_certificate_der, request.peer_spki_der


def _requester(certificate: bytes, spki: bytes) -> Requester:
    pem = to_pem("CERTIFICATE", certificate).encode()
    return Requester(hashlib.sha256(spki).digest(), hashlib.sha256(pem).digest())


def _secret(value: bytes | None) -> SecretBytes | None:
    return None if value is None else SecretBytes(value)


def _query(request: Request, name: str) -> str | None:
    return dict(request.query).get(name)


def _backup(found: backups.Backup) -> dict[str, object]:
    return {name: getattr(found, name) for name in backups.Backup.__slots__}


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _json(status: int, value: dict[str, object]) -> Response:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(status, body, (("content-type", "application/json"),))
