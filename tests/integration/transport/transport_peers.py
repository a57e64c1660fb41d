"""Makers of identities, servers and raw clients for the transport's tests."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from scone.crypto.secret import SecretBytes
from scone.transport.address import Address
from scone.transport.listener import listen
from scone.transport.server import Limits, ServerTls, serve

LOOPBACK = Address("127.0.0.1", 0)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(key, cn="test", *, issuer=None, issuer_key=None, days=3650):
    """A certificate; `days` below zero makes one that has expired."""
    start = dt.datetime(2020, 1, 1)
    algorithm = (
        None if isinstance(issuer_key or key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name(cn))
        .issuer_name(name(issuer or cn))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=max(days, 1)))
        .sign(issuer_key or key, algorithm)
    )


def key_pem(key):
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def cert_pem(cert):
    return cert.public_bytes(ser.Encoding.PEM)


def cert_der(cert):
    return cert.public_bytes(ser.Encoding.DER)


def spki(key):
    return key.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)


class Identity:
    """A key, its certificate, and issuers behind it, as one PEM text."""

    def __init__(self, key=None, cert=None, chain=()):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.cert = cert or certificate(self.key)
        self.pem = SecretBytes(key_pem(self.key) + b"".join(map(cert_pem, (self.cert, *chain))))
        self.spki = spki(self.key)
        self.der = cert_der(self.cert)


def issued_identity(cn="cas-instance", root_cn="cas"):
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    root = certificate(root_key, root_cn)
    leaf = certificate(key, cn, issuer=root_cn, issuer_key=root_key)
    return Identity(key, leaf, (root,)), cert_der(root)


class Running:
    """A server in a thread of its own; `call` runs a coroutine function in its loop."""

    def __init__(self, server, loop):
        self.server = server
        self.loop = loop
        self.port = server.port

    def wait_until_free(self):
        """Until no connection is open and no request is running."""
        deadline = time.monotonic() + 10
        while self.server.open_connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def call(self, make):
        return asyncio.run_coroutine_threadsafe(make(), self.loop).result(20)


@contextlib.contextmanager
def running(handler, *, identity=None, limits=None, request_certificate=True, loop_factory=None):
    """A server over loopback; `identity` may be a callable that gives the PEM."""
    if identity is None:
        identity = Identity().pem
    provider = identity if callable(identity) else lambda: identity
    ready = threading.Event()
    state = {}

    async def main():
        tls = ServerTls(provider, request_certificate)
        server = serve(listen(LOOPBACK), tls, handler, limits or Limits())
        finish = asyncio.Event()
        await server.start()
        state.update(server=server, loop=asyncio.get_running_loop(), finish=finish)
        ready.set()
        await finish.wait()
        await server.stop(0.5)

    def body():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())

    thread = threading.Thread(target=body)
    thread.start()
    assert ready.wait(10)
    try:
        yield Running(state["server"], state["loop"])
    finally:
        state["loop"].call_soon_threadsafe(state["finish"].set)
        thread.join(20)
        assert not thread.is_alive()


def client_context(pem_file=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pem_file is not None:
        context.load_cert_chain(pem_file)
    return context


@contextlib.contextmanager
def raw_client(port, context=None, **options):
    """A TLS socket whose bytes the test writes itself."""
    tls = context or client_context()
    with plain_client(port) as plain, tls.wrap_socket(plain, **options) as sock:
        yield sock


def plain_client(port):
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def read_all(sock):
    data = bytearray()
    while chunk := sock.recv(65536):
        data += chunk
    return bytes(data)


def read_response(sock):
    """Head and body of one answer that has a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        assert chunk, data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    body = bytearray(body)
    while len(body) < length:
        chunk = sock.recv(65536)
        assert chunk
        body += chunk
    assert len(body) == length
    return head, bytes(body)


class RecordingServer:
    """A TLS server that keeps what it was sent, and answers as `script` says.

    `script` gets (connection, received bytes so far) and returns bytes to send, None to
    wait for more, or False to close without a word.
    """

    def __init__(self, identity, script=lambda _received: False, configure=None):
        self.received = []
        self.server_names = []
        self._script = script
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate(identity.cert)
        self._context.use_privatekey(identity.key)
        if configure is not None:
            configure(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain:
                self._serve(plain)

    def _serve(self, plain):
        tls = SSL.Connection(self._context, plain)
        tls.set_accept_state()
        received = b""
        at = len(self.received)
        self.received.append(b"")
        try:
            tls.do_handshake()
            self.server_names.append(tls.get_servername())
            while True:
                received += tls.recv(65536)
                self.received[at] = received
                answer = self._script(received)
                if answer is False:
                    return
                if answer is not None:
                    tls.sendall(answer)
                    received = b""
        except SSL.Error:
            return
