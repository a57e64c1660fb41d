"""A CAS that records what it receives and can lie: enough of the REST interface for the CLI.

It runs on a simulated platform, keeps sessions in memory and asks nobody for permission.
`override` answers a path with whatever a hostile server would.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from scone.attestation.cas_evidence import CasEvidence, build_document
from scone.attestation.receipt import Receipt, make_receipt
from scone.attestation.report_data import cas_report_data
from scone.crypto import certificates
from scone.crypto.der import spki_of_certificate, to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, private_key_pem, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.release import DEVELOPMENT_MRSIGNER
from scone.session import read_session, references_creator, session_hash, to_yaml
from scone.tee.base import EnclaveIdentity
from scone.tee.simulation import SimulatedPlatform, SimulatedVendor
from scone.transport.address import Address
from scone.transport.http import Request, Response
from scone.transport.listener import listen
from scone.transport.server import ServerTls, serve

MRENCLAVE = bytes.fromhex("5e" * 32)
IDENTITY = EnclaveIdentity(MRENCLAVE, DEVELOPMENT_MRSIGNER, 41316, 1)
TOKEN = "e59a91c9dbf4538f32c4f20668bdbc08"


@dataclass(frozen=True)
class Result:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Keys:
    """CAS key and software key, PKCS#8 DER, with their certificates."""

    root_key: SecretBytes
    root: bytes
    instance_key: SecretBytes
    instance: bytes

    @classmethod
    def make(cls, *, root_of: Keys | None = None) -> Keys:
        if root_of is None:
            root_key = generate_private_key("P-256", os.urandom)
            root = certificates.create_cas_root(root_key, now=now(), random=os.urandom)
        else:
            root_key, root = root_of.root_key, root_of.root
        instance_key = generate_private_key("P-256", os.urandom)
        instance = certificates.issue_cas_instance(
            root_key, root, spki_of_private_key(instance_key), now=now(), random=os.urandom
        )
        return cls(root_key, root, instance_key, instance)

    @property
    def cas_key_hash(self) -> str:
        return key_hash(spki_of_certificate(self.root))

    @property
    def software_key_hash(self) -> str:
        return key_hash(spki_of_certificate(self.instance))

    @property
    def tls(self) -> SecretBytes:
        chain = to_pem("CERTIFICATE", self.instance) + to_pem("CERTIFICATE", self.root)
        return SecretBytes(private_key_pem(self.instance_key).reveal() + chain.encode())


@dataclass
class FakeCas:
    """One CAS on a port of this machine; use it as a context manager."""

    platform: SimulatedPlatform
    provisioned: bool = True
    keys: Keys = field(default_factory=Keys.make)
    tls_keys: Keys | None = None
    identity: EnclaveIdentity = IDENTITY
    evidence: dict[str, Any] = field(default_factory=dict)
    receipt: Receipt | None = None
    sessions: dict[str, tuple[str, str]] = field(default_factory=dict)
    override: dict[str, Callable[[Request], Response]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    epoch: int = 1
    origin: str = "generated"

    def __enter__(self) -> Self:
        self._listener = listen(Address("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        tls = ServerTls(lambda: (self.tls_keys or self.keys).tls, request_client_certificate=True)
        self._server = serve(self._listener, tls, self._handle)
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        self.address = f"localhost:{self._server.port}"
        self.url = f"https://{self.address}/"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(0.1), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    @property
    def bodies(self) -> bytes:
        return b"".join(request.body for request in self.requests)

    def document(self, nonce: str | None, **changes: Any) -> bytes:
        additional = CasEvidence(
            nonce=nonce,
            provisioned=self.provisioned,
            tee="sgx",
            simulated=True,
            debug=self.identity.debug,
            database_key_origin=self.origin if self.provisioned else None,  # type: ignore[arg-type]
            cert_chain=to_pem("CERTIFICATE", self.keys.root)
            + to_pem("CERTIFICATE", self.keys.instance),
            session_encryption_key="ab" * 32 if self.provisioned else None,
            cas_version="0.1.0 (test)",
            provisioning_cas_owner_certificate_chain=None,
            epoch=self.epoch if self.provisioned else 0,
            commit=7,
            provisioning_receipt=self.receipt,
        )
        raw = replace(additional, **(self.evidence | changes)).to_json()
        quote = self.platform.quote(self.identity, cas_report_data(raw))
        return build_document(quote, self.platform.collateral(now()), raw)

    async def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        for prefix, answer in self.override.items():
            if f"{request.method} {request.path}".startswith(prefix):
                return answer(request)
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/v1/version":
                return ok({"version": "0.1.0 (test)"})
            case "GET", "/v1/attest":
                return Response(200, self.document(request.query.get("nonce")))
            case "POST", "/v1/provision":
                return self._provision(request)
            case "PUT", "/v1/config":
                return ok({})
            case "POST", "/v1/sessions":
                return self._create(request)
            case "POST", "/v1/backups/nonce":
                return ok({"nonce": "11" * 16})
            case "POST", "/v1/registration":
                return ok({"public_key": "22" * 32, "quote": "AAAA"})
            case "POST", "/v1/backups":
                return self._register(json.loads(request.body))
            case "GET", "/v1/backups":
                return ok({"backups": self.backups})
            case "DELETE", path if path.startswith("/v1/backups/"):
                self.backups = [b for b in self.backups if b["id"] != path.rpartition("/")[2]]
                return ok({})
            case "GET", path if path.startswith("/v1/sessions/"):
                return self._read(path.removeprefix("/v1/sessions/"))
            case _:
                return error(404, "not-found", "there is no such path")

    def _provision(self, request: Request) -> Response:
        body = json.loads(request.body)
        if self.provisioned:
            return error(409, "conflict", "the CAS is already provisioned")
        if body["token"] != TOKEN:
            return error(403, "forbidden", "the provisioning token is wrong")
        assert request.peer_spki_der is not None
        old, new = self.keys, Keys.make()
        self.receipt = make_receipt(
            old.root_key,
            unprovisioned_spki=spki_of_certificate(old.root),
            new_cas_spki=spki_of_certificate(new.root),
            owner_spki=request.peer_spki_der,
            request_sha256=hashlib.sha256(request.body).digest(),
        )
        self.keys, self.provisioned = new, True
        self.origin = "injected" if "database_key" in body else "generated"
        return ok(
            {
                "cas_key_hash": new.cas_key_hash,
                "cas_software_key_hash": new.software_key_hash,
                "receipt": self.receipt.to_dict(),
            }
        )

    def _create(self, request: Request) -> Response:
        session = read_session(request.body.decode()).session
        assert request.peer_certificate_der is not None
        if session.creator is None and references_creator(session):
            session = session.with_creator(to_pem("CERTIFICATE", request.peer_certificate_der))
        active = self.sessions.get(session.name)
        if active is not None and session.predecessor is None:
            return error(400, "usage", "Session already exists, please specify predecessor hash")
        if active is not None and session.predecessor != active[1]:
            return error(409, "conflict", "the predecessor is not the active version")
        if active is None and session.predecessor is not None:
            return error(409, "conflict", "Predecessor hash specified albeit session alias unused")
        self.sessions[session.name] = (to_yaml(session), session_hash(session))
        return ok({"hash": session_hash(session), "warnings": []}, 201)

    def _read(self, name: str) -> Response:
        if name not in self.sessions:
            return error(404, "not-found", f"Failed to read session '{name}'", "Session not found")
        text, digest = self.sessions[name]
        return ok({"session": text, "hash": digest})

    def _register(self, body: dict[str, Any]) -> Response:
        backup = {
            "id": "b1",
            "address": body["address"],
            "platform_id": "INTEL_QE_ID:00",
            "mrenclave": "5e" * 32,
            "isvsvn": 1,
            "tcb_status": "UpToDate",
            "registered_at": "2026-01-01T00:00:00+00:00",
        }
        self.backups.append(backup)
        return ok(backup, 201)


def ok(value: dict[str, Any], status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode())


def error(status: int, code: str, *messages: str) -> Response:
    return Response(status, json.dumps({"msg": list(messages), "code": code}).encode())


def platform() -> SimulatedPlatform:
    return SimulatedPlatform.generate(SimulatedVendor.generate(now()), now())
