"""Row "attested provisioning": a new connection each, a quote for its channel, policy, three secrets.

Beside it nginx with client certificates (the goal: half of its rate now, 0.7 later) and nginx
without. The CAS is a real one, in a process of its own, with a real LAS, provisioned by the CLI's
client; the load generator holds the simulated platform's attestation key and signs one quote
for each channel: nothing turns the binding off. Run: python benchmarks/provisioning.py
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path

import common
from cryptography.hazmat.primitives import serialization as ser

from scone.crypto.identity import create_identity
from scone.release import DEVELOPMENT_MRSIGNER
from scone.tee.base import EnclaveIdentity
from scone.tee.simulation import load as load_platform
from scone.transport.address import Address
from scone.transport.client import Options, connect

PROGRAM = EnclaveIdentity(hashlib.sha256(b"benchmark").digest(), DEVELOPMENT_MRSIGNER, 1, 1)
INSTANCE = b"instance key of the load generator"
CONFIG_ID = "bench/app"
SESSION = f"""
name: bench
version: "0.3.10"
services:
  - name: app
    command: app --listen 8443
    environment: {{PASSWORD: $$SCONE::password$$, TOKEN: "$$SCONE::token:hex$$"}}
    image_name: files
    attestation: {{mrenclave: {PROGRAM.mrenclave.hex()}}}
secrets:
  - {{name: password, kind: ascii, size: 32}}
  - {{name: token, kind: binary, size: 32}}
  - {{name: key, kind: private-key}}
images:
  - name: files
    injection_files:
      - path: /run/key.pem
        content: $$SCONE::key$$
      - path: /run/app.conf
        content: "{"# a configuration file of some size" * 40}"
access_policy: {{read: [CREATOR], update: [CREATOR]}}
"""
BIN = Path(sys.executable).parent


@contextlib.contextmanager
def cas(directory, *, cpus):
    """A provisioned CAS with the benchmark's session; enclave port, process, platform."""
    own = directory / f"cas-{time.monotonic_ns()}"
    own.mkdir()
    ports = common.free_port(), common.free_port()
    (own / "cas.toml").write_text(
        f'[database]\npath = "{own}/cas.db"\n[api]\napi_listen = "127.0.0.1:{ports[0]}"\n'
        f'enclave_listen = "127.0.0.1:{ports[1]}"\n'
    )
    env = {"HOME": str(own), "PATH": os.environ["PATH"], "SCONE_LOG": "WARNING"}
    platform = own / ".cas" / "simulated-platform"
    with contextlib.ExitStack() as stack:
        stack.enter_context(las(env, platform))
        command = [str(BIN / "cas"), "--simulation", "-c", str(own / "cas.toml")]
        env["SCONE_LOG"] = "INFO"
        log = (own / "cas.log").open("wb")
        stack.enter_context(log)
        process = stack.enter_context(
            common.started(command, ports[1], cpus=cpus, env=env, stdout=log)
        )
        token = next(
            line.split()[-1]
            for line in (own / "cas.log").read_text().splitlines()
            if "provisioning token" in line
        )
        identity = create_identity(os.urandom)
        options = Options(identity_pem=identity.pem, timeout_s=20)
        limits = {"max_requests_per_second_per_address": 0}
        body = json.dumps({"token": token, "config": {"limits": limits}}).encode()
        for method, path, data, status in (
            ("POST", "/v1/provision", body, 200),
            ("POST", "/v1/sessions", SESSION.encode(), 201),
        ):
            connection = connect(Address("127.0.0.1", ports[0]), options)
            answer = connection.request(method, path, data)
            connection.close()
            if answer.status != status:
                raise SystemExit(f"{path}: {answer.status} {answer.body!r}")
        yield ports[1], process, load_platform(platform)


@contextlib.contextmanager
def las(env, platform):
    """A LAS on a new simulated platform."""
    import signal
    import subprocess

    process = subprocess.Popen(
        [str(BIN / "las"), "--simulation"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not (platform / "las.sock").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the LAS does not start")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def quote_load(binary, directory, platform):
    """The load: one POST per connection, its quote signed for the channel."""
    key = platform.secrets.attestation_key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()
    )
    before = json.dumps(
        {"config_id": CONFIG_ID, "instance_key": b64encode(INSTANCE).decode(), "service_hash": None}
    )[:-1]
    rest = hashlib.sha256(CONFIG_ID.encode()).digest() + hashlib.sha256(INSTANCE).digest()
    template = common.QuoteTemplate(
        quote=platform.quote(PROGRAM, bytes(64)),
        attestation_key_pem=key,
        report_rest=rest + bytes(32),
        body_before=(before + ',"quote":"').encode(),
        body_after=b'"}',
    )
    return common.quote_load(binary, directory, template)


def measure_place(place, directory, binary, options):
    """One table: nginx with client certificates, nginx without, the CAS."""
    server, clients = common.write_identities(directory)
    body = json.dumps({"configuration": "x" * 2900})
    with contextlib.ExitStack() as stack:
        subjects = []
        for name, with_certificates in (("nginx mutual TLS", True), ("nginx TLS", False)):
            port, process = stack.enter_context(
                common.nginx(
                    directory,
                    server,
                    body=body,
                    client_certificates=with_certificates,
                    workers=place.nginx_workers,
                    cpus=place.server_cpus,
                )
            )
            load = common.request_load(
                binary, directory, identities=clients if with_certificates else None
            )
            subjects.append(common.Subject(name, port, process, load))
        port, process, platform = stack.enter_context(cas(directory, cpus=place.server_cpus))
        load = quote_load(binary, directory, platform)
        subjects.append(common.Subject("cas attested provisioning", port, process, load))
        common.measure(
            subjects,
            place,
            pairs=options.pairs,
            seconds=options.seconds,
            connections=options.connections,
        )
        return common.summary(subjects, subjects[0])


def main():
    """Measure and print."""
    options = common.arguments(__doc__.splitlines()[0]).parse_args()
    tables = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        binary = common.build_load(directory)
        for place in (common.one_core(), common.all_cores()):
            tables[place.title] = measure_place(place, directory, binary, options)
    common.report("attested provisioning, new connection each", tables, options.json)


if __name__ == "__main__":
    main()
