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
    from OpenSSL import SSL

_READ: Final = 65536
_RECORD: Final = 16384


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
    return _StdlibStream(context.wrap_socket(sock, server_hostname=name))


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
    from OpenSSL import SSL

    from scone.transport.tls import client_context

    tls = SSL.Connection(client_context(identity), None)
    if not address.is_ip:
        tls.set_tlsext_host_name(address.host.encode("ascii"))
    tls.set_connect_state()
    stream = _BindingStream(sock, tls)
    stream.handshake(deadline)
    return stream


class _BindingStream:
    """pyOpenSSL between two memory BIOs: a socket with a timeout would not block for it."""

    def __init__(self, sock: socket.socket, tls: SSL.Connection) -> None:
        self._sock = sock
        self._tls = tls
        self.peer_chain_der: tuple[bytes, ...] = ()

    def handshake(self, deadline: float) -> None:
        from OpenSSL import SSL, crypto

        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush(deadline)
                if not self._fill(deadline):
                    raise ConnectionError("closed during the TLS handshake") from None
            except SSL.Error as error:
                self._flush(deadline)
                raise ConnectionError(f"TLS handshake: {_reason(error)}") from error
            else:
                break
        self._flush(deadline)
        chain = self._tls.get_peer_cert_chain() or []
        self.peer_chain_der = tuple(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in chain
        )

    def send(self, data: bytes, deadline: float) -> None:
        from OpenSSL import SSL

        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.send(view[:_READ]) :]
                self._flush(deadline)
        except SSL.Error as error:
            raise ConnectionError(f"TLS: {_reason(error)}") from error

    def receive(self, deadline: float) -> bytes:
        from OpenSSL import SSL

        while True:
            try:
                return self._tls.recv(_RECORD)
            except SSL.WantReadError:
                if not self._fill(deadline):
                    raise ConnectionError("closed without a TLS close") from None
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as error:
                raise ConnectionError(f"TLS: {_reason(error)}") from error

    def export(self, label: bytes, length: int) -> bytes:
        return self._tls.export_keying_material(label, length)

    def close(self) -> None:
        self._sock.close()

    def _fill(self, deadline: float) -> bool:
        self._sock.settimeout(remaining(deadline))
        data = self._sock.recv(_READ)
        if data:
            self._tls.bio_write(data)
        return bool(data)

    def _flush(self, deadline: float) -> None:
        from OpenSSL import SSL

        while True:
            try:
                data = self._tls.bio_read(_READ)
            except SSL.WantReadError:
                return
            self._sock.settimeout(remaining(deadline))
            self._sock.sendall(data)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's reason in words, without its file names."""
    first = error.args[0] if error.args else None
    if isinstance(first, list) and first and isinstance(first[0], tuple):
        return str(first[0][-1])
    return str(error.args[-1]) if error.args else type(error).__name__
