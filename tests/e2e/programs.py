"""The programs as processes, for end-to-end tests: a LAS, a CAS, an identity; stopped by pid."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from scone.crypto.identity import create_identity
from scone.transport.address import Address
from scone.transport.client import Options, connect

BIN = Path(sys.executable).parent


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def environment(home, **more):
    return {
        "HOME": str(home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        **more,
    }


def end(process, number=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(check, process, log, seconds=30):
    deadline = time.monotonic() + seconds
    while not check():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{process.args} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.02)


@contextmanager
def las(home):
    log = home / "las.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(BIN / "las"), "--simulation"], env=environment(home), stderr=output
        )
    try:
        wait_until((home / ".cas/simulated-platform/las.sock").exists, process, log)
        yield process
    finally:
        end(process)


class CasProcess:
    """A CAS that can be killed and started again on the same ports and database."""

    def __init__(self, home):
        self.home = home
        self.ports = free_port(), free_port()
        self.config = home / "cas.toml"
        self.config.write_text(
            f'[database]\npath = "{home}/cas.db"\n[api]\n'
            f'api_listen = "127.0.0.1:{self.ports[0]}"\n'
            f'enclave_listen = "127.0.0.1:{self.ports[1]}"\n'
        )
        self.log = home / "cas.log"
        self.process = None

    def start(self):
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(BIN / "cas"), "--simulation", "-c", str(self.config)],
                env=environment(self.home),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "ready" in self.log.read_text(), self.process, self.log)
        return self

    def stop(self, number=signal.SIGTERM):
        end(self.process, number)

    def line(self, name):
        """The value of a console line, as scripts cut it: field 7."""
        lines = [text for text in self.log.read_text().splitlines() if name in text]
        fields = lines[0].split()
        assert fields[6] == fields[-1]
        return fields[6]

    def call(self, method, path, body=b"", identity=None):
        options = Options(
            identity_pem=None if identity is None else identity.pem, timeout_s=20, retries=0
        )
        connection = connect(Address("127.0.0.1", self.ports[0]), options)
        try:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            response = connection.request(method, path, raw)
        finally:
            connection.close()
        return response.status, json.loads(response.body) if response.body else {}

    def provision(self, owner, config=None):
        body = {"token": self.line("CAS provisioning token"), "config": config or {}}
        status, answer = self.call("POST", "/v1/provision", body, owner)
        assert status == 200, answer
        return answer


def identity():
    return create_identity(os.urandom)
