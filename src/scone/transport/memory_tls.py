"""pyOpenSSL between two memory BIOs: ciphertext in and out as bytes, errors as one exception.

The one module that knows pyOpenSSL's exceptions. A server's channel drives it from
the event loop, a client's stream from a blocking socket.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL, crypto

_RECORD: Final = 16384  # RFC 8446, 5.1: the longest plaintext of a record
_OUTPUT: Final = 65536


class TlsError(ConnectionError):
    """The TLS connection is over; an alert may be waiting in the output."""


class MemoryTls:
    """One end of a TLS connection."""

    __slots__ = ("_tls", "export")

    def __init__(
        self, context: SSL.Context, *, server: bool, server_name: str | None = None
    ) -> None:
        self._tls = SSL.Connection(context, None)
        if server:
            self._tls.set_accept_state()
        else:
            if server_name is not None:
                self._tls.set_tlsext_host_name(server_name.encode("ascii"))
            self._tls.set_connect_state()
        self.export = self._tls.export_keying_material

    def feed(self, ciphertext: bytes) -> None:
        """Take what the other side sent."""
        self._tls.bio_write(ciphertext)

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is complete.

        Raises:
            TlsError: it failed.
        """
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise TlsError(f"TLS handshake: {_reason(error)}") from error
        return True

    def read(self) -> bytes | None:
        """Plaintext of one record; None: more ciphertext is needed; empty: the other side closed.

        Raises:
            TlsError: not what the other side can have sent.
        """
        try:
            return self._tls.recv(_RECORD)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise TlsError(f"TLS: {_reason(error)}") from error

    def write(self, plaintext: bytes | memoryview) -> int:
        """Encrypt; how much of it was taken.

        Raises:
            TlsError: this side is closed.
        """
        try:
            return self._tls.send(plaintext)
        except SSL.Error as error:
            raise TlsError(f"TLS: {_reason(error)}") from error

    def close(self) -> None:
        """Say that no more follows (RFC 8446, 6.1).

        Raises:
            TlsError: the connection is broken.
        """
        try:
            self._tls.shutdown()
        except SSL.Error as error:
            raise TlsError(f"TLS: {_reason(error)}") from error

    def output(self) -> list[bytes]:
        """Ciphertext for the other side, often none."""
        parts: list[bytes] = []
        try:
            while not parts or len(parts[-1]) == _OUTPUT:
                parts.append(self._tls.bio_read(_OUTPUT))
        except SSL.WantReadError:
            pass
        return parts

    def peer_certificate(self) -> bytes | None:
        """The certificate (DER) that the other side proved to hold the key of."""
        certificate = self._tls.get_peer_certificate()
        if certificate is None:
            return None
        return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates (DER) that a server sent, leaf first."""
        return tuple(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
            for certificate in self._tls.get_peer_cert_chain() or ()
        )


def _reason(error: SSL.Error) -> str:
    """OpenSSL's reason in words, without its file names."""
    first = error.args[0] if error.args else None
    if isinstance(first, list) and first and isinstance(first[0], tuple):
        return str(first[0][-1])
    return str(error.args[-1]) if error.args else type(error).__name__
