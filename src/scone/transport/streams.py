"""TLS 1.3 byte streams of a client, in two forms behind one Protocol.

`stdlib_stream` loads neither pyOpenSSL nor `cryptography`, for the command line;
`binding_stream` has the exporter (RFC 8446, 7.5) and the whole chain, for the
launcher and for peers. Neither verifies a chain: whoever opens one compares keys
before the first byte of HTTP.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final, Protocol

from scone.crypto.secret import SecretBytes
from scone.errors import NetworkError, StateError
from scone.transport.address import Address

if TYPE_CHECKING:
    from scone.transport.memory_tls import MemoryTls

_READ: Final = 65536


class Stream(Protocol):
    """A TLS connection after its handshake. A lapse of time or a cut is an `OSError`."""

    @property
    def peer_chain_der(self) -> tuple[bytes, ...]:
        """The server's certificates, leaf first."""

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of it."""

    def receive(self, deadline: float) -> bytes:
        """What has arrived; empty at the end."""

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material of this channel."""

    def close(self) -> None:
        """Close the connection."""


def remaining(deadline: float) -> float:
    """Seconds until the deadline.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def stdlib_stream(sock: socket.socket, address: Address, identity: SecretBytes | None) -> Stream:
    """TLS by the standard library over a connected socket.

    Raises:
        StateError: the identity cannot be used.
        OSError: the handshake failed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the key is compared in place of the name
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(["http/1.1"])
    if identity is not None:
        _load_identity(context, identity)
    name = None if address.is_ip else address.host
    wrapped = context.wrap_socket(sock, server_hostname=name)
    try:
        return _StdlibStream(wrapped)
    except BaseException:  # a server that is gone again: the handshake was silently left out
        wrapped.close()
        raise


def _load_identity(context: ssl.SSLContext, identity: SecretBytes) -> None:
    """Hand key and certificate to `ssl`, which takes files only, without a file on a disk."""
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as writer:
            writer.write(identity.reveal())
        # A passphrase is never asked for: an encrypted key fails here.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        expected = "a private key in PEM (PKCS#8, without a passphrase) and its certificate"
        raise StateError(f"identity: expected {expected}") from error
    finally:
        os.close(descriptor)


class _StdlibStream:
    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        leaf = sock.getpeercert(binary_form=True)
        self.peer_chain_der: tuple[bytes, ...] = () if leaf is None else (leaf,)

    def send(self, data: bytes, deadline: float) -> None:
        self._sock.settimeout(remaining(deadline))
        self._sock.sendall(data)

    def receive(self, deadline: float) -> bytes:
        self._sock.settimeout(remaining(deadline))
        return self._sock.recv(_READ)

    def export(self, _label: bytes, _length: int) -> bytes:
        raise NetworkError("this connection was opened without the TLS exporter")

    def close(self) -> None:
        self._sock.close()


def binding_stream(
    sock: socket.socket, address: Address, identity: SecretBytes | None, deadline: float
) -> Stream:
    """TLS by pyOpenSSL over a connected socket, with exporter and the peer's chain.

    Raises:
        StateError: the identity cannot be used.
        OSError: the handshake failed.
    """
    from scone.transport.memory_tls import MemoryTls
    from scone.transport.tls import client_context

    name = None if address.is_ip else address.host
    tls = MemoryTls(client_context(identity), server=False, server_name=name)
    stream = _BindingStream(sock, tls)
    stream.handshake(deadline)
    return stream


class _BindingStream:
    """Memory BIOs, because a socket with a timeout would not block for OpenSSL."""

    def __init__(self, sock: socket.socket, tls: MemoryTls) -> None:
        self._sock = sock
        self._tls = tls
        self.peer_chain_der: tuple[bytes, ...] = ()

    def handshake(self, deadline: float) -> None:
        try:
            while not self._tls.handshake():
                self._flush(deadline)
                self._fill(deadline, "closed during the TLS handshake")
        finally:
            self._flush(deadline)  # the last flight, or the alert
        self.peer_chain_der = self._tls.peer_chain()

    def send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[:_READ]) :]
            self._flush(deadline)

    def receive(self, deadline: float) -> bytes:
        while (data := self._tls.read()) is None:
            self._fill(deadline, "closed without a TLS close")
        return data

    def export(self, label: bytes, length: int) -> bytes:
        return self._tls.export(label, length)

    def close(self) -> None:
        self._sock.close()

    def _fill(self, deadline: float, at_the_end: str) -> None:
        self._sock.settimeout(remaining(deadline))
        data = self._sock.recv(_READ)
        if not data:
            raise ConnectionError(at_the_end)
        self._tls.feed(data)

    def _flush(self, deadline: float) -> None:
        for data in self._tls.output():
            self._sock.settimeout(remaining(deadline))
            self._sock.sendall(data)
