"""A LAS and a recording CAS for the launcher, which runs as a process of its own."""

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

from fakes.evidence import seeded
from scone.attestation.access_token import TOKEN_EXPORTER_LABEL, proves_token, token_proof
from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.attestation.sgx.quote import Quote
from scone.crypto.certificates import create_cas_root, issue_cas_instance
from scone.crypto.der import to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, private_key_pem, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.service_config import InjectedFile, ServiceConfig
from scone.service_config.model import HostArgument
from scone.transport.address import Address
from scone.transport.http import Response
from scone.transport.listener import listen
from scone.transport.server import ServerTls, serve

PYTHON = os.path.realpath(sys.executable)


def config(*arguments, environment=None, pwd="/", files=(), template_secrets=None):
    """A configuration; files are (path, content or None, permission)."""

    def secret(value):
        return None if value is None else SecretBytes(os.fsencode(value))

    return ServiceConfig(
        arguments=tuple(
            word if isinstance(word, HostArgument) else secret(word) for word in arguments
        ),
        environment=tuple(
            (os.fsencode(name), secret(value)) for name, value in (environment or {}).items()
        ),
        pwd=str(pwd),
        files=tuple(InjectedFile(str(path), secret(text), mode) for path, text, mode in files),
        template_secrets=template_secrets,
    )


def python(code, **more):
    """A configuration that runs Python code."""
    return config(PYTHON, "-I", "-S", "-c", code, **more)


class FakeCas:
    """Answers what it is told to; keeps what it received."""

    def __init__(self):
        root_key = generate_private_key("P-256", seeded("launcher root"))
        key = generate_private_key("P-256", seeded("launcher instance"))
        now = datetime.now(UTC)
        root = create_cas_root(root_key, now=now, random=os.urandom)
        leaf = issue_cas_instance(
            root_key, root, spki_of_private_key(key), now=now, random=os.urandom
        )
        chain = to_pem("CERTIFICATE", leaf) + to_pem("CERTIFICATE", root)
        self.identity = SecretBytes(private_key_pem(key).reveal() + chain.encode())
        self.key_hash = key_hash(spki_of_private_key(root_key))
        self.answer = Response(500)
        self.requests = []
        self.bound = []
        self.port = None
        self.token = None
        self.prove = lambda token, exporter: token_proof(token, "cas", exporter)
        self.proofs = []

    def give(self, configuration):
        self.answer = Response(200, configuration.to_json())

    def refuse(self, status, *messages):
        self.answer = Response(status, json.dumps({"msg": messages, "code": "x"}).encode())

    async def handle(self, request):
        body = json.loads(request.body)
        self.requests.append((request.method, request.path, body))
        if request.path == "/v1/service_token":
            return self._prove(request)
        if "token_proof" in body:
            exporter = request.exporter(TOKEN_EXPORTER_LABEL, 32)
            proof = bytes.fromhex(body["token_proof"])
            self.proofs.append(proves_token(proof, SecretBytes(self.token), "service", exporter))
        if body["quote"] is not None:
            quote = Quote.parse(base64.b64decode(body["quote"]))
            expected = service_report_data(
                request.exporter(SERVICE_EXPORTER_LABEL, 32),
                body["config_id"],
                base64.b64decode(body["instance_key"]),
                None,
            )
            self.bound.append((quote.report.report_data == expected, quote.report.mrenclave.hex()))
        return self.answer

    def _prove(self, request):
        if self.token is None:
            message = {"msg": ["session hello has no service access token"], "code": "forbidden"}
            return Response(403, json.dumps(message).encode())
        exporter = request.exporter(TOKEN_EXPORTER_LABEL, 32)
        proof = self.prove(SecretBytes(self.token), exporter)
        return Response(200, json.dumps({"proof": proof.hex()}).encode())

    @contextlib.contextmanager
    def running(self):
        ready, state = threading.Event(), {}

        async def main():
            server = serve(
                listen(Address("127.0.0.1", 0)),
                ServerTls(lambda: self.identity, False),
                self.handle,
            )
            finish = asyncio.Event()
            await server.start()
            state.update(port=server.port, loop=asyncio.get_running_loop(), finish=finish)
            ready.set()
            await finish.wait()
            await server.stop()

        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        assert ready.wait(20)
        self.port = state["port"]
        try:
            yield self
        finally:
            state["loop"].call_soon_threadsafe(state["finish"].set)
            thread.join(20)


class World:
    """The environment of a launcher, and how to start it."""

    def __init__(self, cas, las_socket, folder):
        self.cas = cas
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SCONE_CAS_ADDR": f"127.0.0.1:{cas.port}",
            "SCONE_CAS_KEY": cas.key_hash,
            "SCONE_LAS_ADDR": str(las_socket),
            "SCONE_CONFIG_ID": "hello/service",
        }

    def start(self, *words, prefix=(), **variables):
        environment = {**self.environment, **variables}
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "scone.launcher.main", *map(str, words)],
            env={name: value for name, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def run(self, *words, prefix=(), **variables):
        """(exit status, stdout, stderr)"""
        process = self.start(*words, prefix=prefix, **variables)
        out, error = process.communicate(timeout=60)
        return process.returncode, out.decode(), error.decode()
