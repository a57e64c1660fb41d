"""A CAS in this process on a simulated platform in memory: real TLS, real store, no LAS."""

import asyncio
import base64
import hashlib
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.attestation.sgx.tcb import TcbStatus
from scone.cas.config import Availability
from scone.cas.http.app import App, RateLimit
from scone.cas.http.routes import Listener
from scone.cas.main import server_identity
from scone.cas.opening import start_cas
from scone.cas.operations.backups import Nonces
from scone.cas.operations.provision import WrongTokens
from scone.crypto.identity import create_identity
from scone.release import DEVELOPMENT_MRSIGNER
from scone.tee.base import EnclaveIdentity
from scone.tee.simulation import SimulatedPlatform, SimulatedTee, SimulatedVendor
from scone.transport.address import Address
from scone.transport.client import Options, connect
from scone.transport.limits import Limits
from scone.transport.listener import listen
from scone.transport.server import ServerTls, serve


def now():
    return datetime.now(UTC)


CAS_PROGRAM = EnclaveIdentity(hashlib.sha256(b"cas").digest(), DEVELOPMENT_MRSIGNER, 41316, 1)
SERVICE_PROGRAM = EnclaveIdentity(hashlib.sha256(b"service").digest(), CAS_PROGRAM.mrsigner, 7, 3)


@dataclass
class Running:
    """A running CAS and the ways to talk to it."""

    cas: object
    client_port: int
    enclave_port: int
    stop_reasons: list

    def call(self, method, path, body=b"", identity=None):
        """One request on the client port; status and JSON."""
        options = Options(identity_pem=None if identity is None else identity.pem, timeout_s=20)
        connection = connect(Address("127.0.0.1", self.client_port), options)
        try:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            response = connection.request(method, path, raw)
        finally:
            connection.close()
        return response.status, json.loads(response.body) if response.body else {}

    def attest_service(self, platform, config_id, program=SERVICE_PROGRAM, *, lie=None):
        """What a launcher does; `lie(values)` may change what it says."""
        options = Options(exporter=True, timeout_s=20)
        connection = connect(Address("127.0.0.1", self.enclave_port), options)
        try:
            values = {
                "exporter": connection.export(SERVICE_EXPORTER_LABEL, 32),
                "config_id": config_id,
                "instance": b"instance key of this start",
                "program": program,
            }
            if lie is not None:
                values.update(lie(values))
            data = service_report_data(
                values["exporter"], values["config_id"], values["instance"], None
            )
            quote = platform.quote(values["program"], data)
            if "quote" in values:
                quote = values["quote"]
            body = {
                "config_id": config_id,
                "instance_key": base64.b64encode(b"instance key of this start").decode(),
                "quote": None if quote is None else base64.b64encode(quote).decode(),
                "service_hash": None,
            }
            response = connection.request("POST", "/v1/service", json.dumps(body).encode())
        finally:
            connection.close()
        return response.status, json.loads(response.body)


def make_platform(vendor=None, tcb=TcbStatus.UP_TO_DATE):
    vendor = vendor or SimulatedVendor.generate(now())
    return SimulatedPlatform.generate(vendor, now(), tcb=tcb)


@contextmanager
def running_cas(folder: Path, platform, program=CAS_PROGRAM, database="cas.db", limits=None):
    """Start a CAS on free ports, stop it at the end."""
    availability = Availability(
        folder / database,
        Address("127.0.0.1", 0),
        Address("127.0.0.1", 0),
        folder / "audit.log",
    )
    tee = SimulatedTee(platform, program, now)
    cas = start_cas(availability, tee, platform.anchor, now, "test")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    reasons: list[str] = []
    shared = {"nonces": Nonces(), "wrong_tokens": WrongTokens(), "rates": RateLimit()}

    async def start():
        servers = []
        for listener in (Listener.CLIENT, Listener.ENCLAVE):
            app = App(cas, listener, reasons.append, **shared)
            tls = ServerTls(
                server_identity(cas), request_client_certificate=listener is Listener.CLIENT
            )
            server = serve(listen(Address("127.0.0.1", 0)), tls, app, limits or Limits())
            servers.append(await server.start())
        return servers

    async def stop(servers):
        for server in servers:
            await server.stop(grace_s=1)

    servers = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield Running(cas, servers[0].port, servers[1].port, reasons)
    finally:
        asyncio.run_coroutine_threadsafe(stop(servers), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        cas.close()


def provision(running, owner, config=None, **extra):
    """Claim the CAS; status and answer."""
    body = {"token": running.cas.phase.token.reveal().hex(), "config": config or {}, **extra}
    return running.call("POST", "/v1/provision", body, owner)


def identity():
    return create_identity(os.urandom)


SESSION = """
name: demo
version: "0.3.10"
services:
  - name: app
    command: app --flag
    environment:
      PASSWORD: $$SCONE::password$$
    image_name: files
    attestation:
      mrenclave: {mrenclave}
secrets:
  - name: password
    kind: ascii
    size: 24
  - name: key
    kind: private-key
    migrate: true
  - name: cert
    kind: x509
    private_key: key
    dns: localhost
images:
  - name: files
    injection_files:
      - path: /run/tls.pem
        content: $$SCONE::cert:privatekey$$$$SCONE::cert:crt$$
access_policy:
  read: [CREATOR]
  update: [CREATOR]
"""


def session_text(program=SERVICE_PROGRAM, **changes):
    text = SESSION.format(mrenclave=program.mrenclave.hex())
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def create(cas, text, identity):
    """Send a session; status and answer."""
    return cas.call("POST", "/v1/sessions", text.encode(), identity)


def read(cas, name, identity=None, session_hash=None):
    """Read a session, active or by hash; status and answer."""
    suffix = f"?hash={session_hash}" if session_hash else ""
    return cas.call("GET", f"/v1/sessions/{name}{suffix}", b"", identity)


def strings(value):
    """All texts in a JSON value."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in strings(item)]
