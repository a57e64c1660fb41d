"""From a request to an operation and back: parsing and encoding, no decisions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from scone.attestation.report_data import NONCE_BYTES, SHARING_EXPORTER_LABEL
from scone.cas.http.bodies import Body
from scone.cas.operations import backups
from scone.cas.operations.attest_cas import attest_cas
from scone.cas.operations.create_session import (
    Created,
    create_encrypted_session,
    create_signed_session,
)
from scone.cas.operations.create_session import create_session as run_create_session
from scone.cas.operations.list_sessions import list_sessions as run_list_sessions
from scone.cas.operations.provide_service import (
    ServiceRequest,
    prove_access_token,
    provide_service,
)
from scone.cas.operations.provision import ProvisioningRequest, WrongTokens
from scone.cas.operations.provision import provision as run_provision
from scone.cas.operations.read_session import read_hash, read_history
from scone.cas.operations.read_session import read_session as run_read_session
from scone.cas.operations.read_values import read_values as run_read_values
from scone.cas.operations.registration import make_registration
from scone.cas.operations.share_secret import MAX_SECRETS, ShareRequest
from scone.cas.operations.share_secret import share_secret as run_share_secret
from scone.cas.operations.update_config import update_config as run_update_config
from scone.cas.state import Cas
from scone.crypto.der import to_pem
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, MalformedError, UnavailableError
from scone.owner_config import owner_config_from_node
from scone.session.access import ClientCertificate, Requester
from scone.session.names import canonical_name
from scone.session.sharing import MAX_STEPS, parse_values_path
from scone.strict_json import to_base64
from scone.transport.http import Exporter, Request, Response

_NONCE = re.compile(r"[0-9a-fA-F]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,5}")

MAX_LISTED: Final = 1000
MAX_HISTORY: Final = 100
"""Entries of one page; what a client asks for is at most this."""


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
    client = _client(certificate, spki)
    return _created(await run_create_session(call.cas, _text(call), client, certificate))


async def signed_session(call: Call) -> Response:
    """PUT /v1/signed_sessions."""
    return _created(await create_signed_session(call.cas, _text(call)))


async def encrypted_session(call: Call) -> Response:
    """PUT /v1/encrypted_sessions."""
    return _created(await create_encrypted_session(call.cas, _text(call)))


async def read_session(call: Call) -> Response:
    """GET /v1/sessions/{name}."""
    found = await run_read_session(
        call.cas, _name(call), _hash(call.request, "hash"), _requester(call.request)
    )
    return _json(200, {"session": found.text, "hash": found.hash})


async def session_hash(call: Call) -> Response:
    """GET /v1/session_hashes/{name}."""
    return _json(200, {"hash": await read_hash(call.cas, _name(call), _requester(call.request))})


async def session_history(call: Call) -> Response:
    """GET /v1/session_history/{name}."""
    request = call.request
    before, limit = _hash(request, "before"), _limit(request, MAX_HISTORY)
    found, following = await read_history(call.cas, _name(call), before, limit, _requester(request))
    versions = [
        {
            "hash": one.hash,
            "predecessor": one.predecessor,
            "uploaded_at": one.uploaded_at,
            "uploader": ",".join(one.signers) or one.uploader,
            "signed": bool(one.signers),
        }
        for one in found
    ]
    return _json(200, {"versions": versions, "next": following})


async def session_list(call: Call) -> Response:
    """GET /v1/session_list."""
    request = call.request
    namespace, after = _query(request, "namespace") or "/", _query(request, "after")
    limit = _limit(request, MAX_LISTED)
    found, following = await run_list_sessions(
        call.cas, namespace, after, limit, _requester(request)
    )
    return _json(200, {"sessions": found, "next": following})


async def read_values(call: Call) -> Response:
    """GET /v1/values/{reference}."""
    path = parse_values_path(call.rest)
    found = await run_read_values(call.cas, path)
    return _json(200, {"values": found} if path.secret is None else {**found[path.secret]})


async def share_secret(call: Call) -> Response:
    """POST /v1/shared."""
    _, spki = _certificate(call.request)
    if call.request.exporter is None:
        raise UnavailableError("this connection has no exporter for channel binding")
    body = Body(call.request.body)
    expected = body.optional_hexadecimal("exporter_hash", 32)
    request = ShareRequest(
        importer=canonical_name(body.text("importer"), place="importer"),
        importer_hash=body.hexadecimal("importer_hash", 32).hex(),
        exporter=canonical_name(body.text("exporter"), place="exporter"),
        exporter_hash=None if expected is None else expected.hex(),
        secrets=body.texts("secrets", MAX_SECRETS),
        step=body.integer("step", 1, MAX_STEPS),
        document=body.raw("attestation"),
        nonce=call.request.exporter(SHARING_EXPORTER_LABEL, NONCE_BYTES).hex(),
        peer_spki=spki,
    )
    body.end()
    values = await run_share_secret(call.cas, request)
    return Response(200, values, (("content-type", "application/json"),))


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
    return _json(200, {"public_key": made.public_key.hex(), "quote": to_base64(made.quote)})


async def service(call: Call) -> Response:
    """POST /v1/service."""
    exporter = _exporter(call.request)
    body = Body(call.request.body)
    request = ServiceRequest(
        config_id=body.text("config_id"),
        instance_key=body.base64("instance_key"),
        quote=body.optional_base64("quote"),
        service_hash=body.optional_hexadecimal("service_hash", 32),
        exporter=exporter,
        token_proof=body.optional_hexadecimal("token_proof", 32),
    )
    body.end()
    config = await provide_service(call.cas, request)
    return Response(200, config, (("content-type", "application/json"),))


async def service_token(call: Call) -> Response:
    """POST /v1/service_token."""
    body = Body(call.request.body)
    config_id = body.text("config_id")
    body.end()
    proof = await prove_access_token(call.cas, config_id, _exporter(call.request))
    return _json(200, {"proof": proof.hex()})


def _exporter(request: Request) -> Exporter:
    if request.exporter is None:
        raise UnavailableError("this connection has no exporter for channel binding")
    return request.exporter


def _certificate(request: Request) -> tuple[bytes, bytes]:
    if request.peer_certificate_der is None or request.peer_spki_der is None:
        raise ForbiddenError(
            "this request needs a client certificate",
            hint="any X.509 certificate is an identity, a self-signed one too",
        )
    return request.peer_certificate_der, request.peer_spki_der


def _client(certificate: bytes, spki: bytes) -> ClientCertificate:
    pem = to_pem("CERTIFICATE", certificate).encode()
    return ClientCertificate(hashlib.sha256(spki).digest(), hashlib.sha256(pem).digest())


def _requester(request: Request) -> Requester:
    if request.peer_certificate_der is None or request.peer_spki_der is None:
        return None
    return _client(request.peer_certificate_der, request.peer_spki_der)


def _created(created: Created) -> Response:
    return _json(201, {"hash": created.hash, "warnings": [list(w) for w in created.warnings]})


def _text(call: Call) -> str:
    try:
        return call.request.body.decode()
    except UnicodeDecodeError:
        raise MalformedError("session", "text in UTF-8", "other bytes") from None


def _name(call: Call) -> str:
    # A path cannot end in the name `/`: the empty rest is the root session.
    return call.rest or "/"


def _hash(request: Request, name: str) -> str | None:
    text = _query(request, name)
    if text is not None and not _HASH.fullmatch(text):
        raise MalformedError(name, "64 lower-case hexadecimal digits")
    return text


def _limit(request: Request, most: int) -> int:
    text = _query(request, "limit")
    if text is None:
        return most
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise MalformedError("limit", f"a number from 1 to {most}")
    return int(text)


def _secret(value: bytes | None) -> SecretBytes | None:
    return None if value is None else SecretBytes(value)


def _query(request: Request, name: str) -> str | None:
    return dict(request.query).get(name)


def _backup(found: backups.Backup) -> dict[str, object]:
    return {name: getattr(found, name) for name in backups.Backup.__slots__}


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _json(status: int, value: dict[str, object]) -> Response:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(status, body, (("content-type", "application/json"),))
