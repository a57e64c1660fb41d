"""A blocking HTTPS client that knows its server by a key and by no authority.

Nothing of HTTP is sent before the server's key was compared with the pin or given
to `check_peer`; without either, only attestation may use a connection, because it
proves the key afterwards. Requests that may have been applied are not sent again.
"""

from __future__ import annotations

import random
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from scone.crypto.secret import SecretBytes
from scone.errors import NetworkError, UnreachableError, VerificationError
from scone.transport.address import CLIENT_PORT, Address, parse_address
from scone.transport.http import Headers, Response, check_header
from scone.transport.http_parser import ResponseParser
from scone.transport.streams import Stream, binding_stream, remaining, stdlib_stream

__all__ = ["Address", "Connection", "Options", "connect", "parse_address"]

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_FRESH_S: Final = 30.0  # an older open connection may be closed by the server at any moment
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect; `check_peer` says to whom.

    `check_peer` gets the server's certificates in DER, leaf first (the leaf alone
    without `exporter`), and raises to refuse. `timeout_s` covers the connection with
    its handshake, and then each request as a whole.
    """

    timeout_s: float = 30.0
    identity_pem: SecretBytes | None = None
    check_peer: Callable[[tuple[bytes, ...]], None] | None = None
    exporter: bool = False
    retries: int = 0
    max_response_bytes: int = 16 * 1024 * 1024
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)


def connect(address: Address | str, options: Options | None = None) -> Connection:
    """A connection whose server has the expected key; a text has the client port by default.

    Raises:
        MalformedError: not an address.
        UnreachableError: no connection, after `retries` further attempts.
        VerificationError: `check_peer` refuses the server; never tried again.
        StateError: the identity cannot be used.
    """
    where = (
        parse_address(address, default_port=CLIENT_PORT) if isinstance(address, str) else address
    )
    connection = Connection(where, options or Options())
    connection.open()
    return connection


class Connection:
    """One connection at a time to one server; reopened only where nothing depends on it."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address: Final = address
        self._options = options
        self._stream: Stream | None = None
        self._used = 0.0

    @property
    def peer_chain_der(self) -> tuple[bytes, ...]:
        """The server's certificates in DER, leaf first (the leaf alone without exporter)."""
        return self._open_stream().peer_chain_der

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material of this channel (RFC 8446, 7.5), without a context.

        Raises:
            NetworkError: closed, or opened without `exporter`.
        """
        return self._open_stream().export(label, length)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Headers = (),
        *,
        idempotent: bool | None = None,
    ) -> Response:
        """Send one request and give its answer, whatever its status is.

        Where the connection breaks before an answer, the request is sent again up to
        `retries` times if it is idempotent (GET, HEAD and OPTIONS are) and not bound
        to the channel by an exporter.

        Raises:
            NetworkError: no whole answer came; says whether the request may have been applied.
            VerificationError: a reopened connection met another key.
        """
        message = self._encode(method, path, body, headers)
        options = self._options
        repeatable = method in _SAFE if idempotent is None else idempotent
        if options.exporter:
            repeatable = False
            self._open_stream()  # never another channel than the one that was exported from
        elif time.monotonic() - self._used > _FRESH_S:
            self.close()
        for attempt in range(options.retries + 1):
            if attempt:
                options.pause(_pause(attempt))
            parser = ResponseParser(max_body=options.max_response_bytes, bodiless=method == "HEAD")
            sent = False
            try:
                self._open_once()
                sent = True
                response = self._exchange(message, parser)
            except (OSError, NetworkError) as error:
                self.close()
                again = not sent or (repeatable and not parser.started)
                if not again or attempt == options.retries:
                    raise self._failed(error, applied=sent and not repeatable) from error
            else:
                self._used = time.monotonic()
                if not parser.keep_alive:
                    self.close()
                return response
        raise AssertionError("the last attempt returns or raises")

    def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            UnreachableError: no connection, after `retries` further attempts.
            VerificationError: another key than the pinned one.
            StateError: the identity cannot be used.
        """
        for attempt in range(self._options.retries + 1):
            if attempt:
                self._options.pause(_pause(attempt))
            try:
                self._open_once()
            except OSError as error:
                if attempt == self._options.retries:
                    hint = "is the address right and the service running?"
                    text = f"cannot connect to {self.address}: {self._cause(error)}"
                    raise UnreachableError(text, hint=hint) from error
            else:
                return

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise NetworkError(f"the connection to {self.address} is closed")
        return self._stream

    def _open_once(self) -> None:
        if self._stream is not None:
            return
        options = self._options
        deadline = time.monotonic() + options.timeout_s
        where = (self.address.host, self.address.port)
        sock = socket.create_connection(where, timeout=remaining(deadline))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(remaining(deadline))
            if options.exporter:
                stream = binding_stream(sock, self.address, options.identity_pem, deadline)
            else:
                stream = stdlib_stream(sock, self.address, options.identity_pem)
        except BaseException:
            sock.close()
            raise
        try:
            self._check(stream.peer_chain_der)
        except BaseException:
            stream.close()
            raise
        self._stream = stream
        self._used = time.monotonic()

    def _check(self, chain: tuple[bytes, ...]) -> None:
        if not chain:
            raise VerificationError(f"{self.address}: expected a certificate, got none")
        if self._options.check_peer is not None:
            self._options.check_peer(chain)

    def _exchange(self, message: bytes, parser: ResponseParser) -> Response:
        stream = self._open_stream()
        deadline = time.monotonic() + self._options.timeout_s
        try:
            stream.send(message, deadline)
        except OSError:
            # A server may refuse a large request before it has read all of it.
            return self._receive(stream, parser, min(deadline, time.monotonic() + 1))
        return self._receive(stream, parser, deadline)

    def _receive(self, stream: Stream, parser: ResponseParser, deadline: float) -> Response:
        while parser.response is None:
            data = stream.receive(deadline)
            if not data:
                raise NetworkError("expected an answer, got the end of the connection")
            parser.feed(data)
        return parser.response

    def _encode(self, method: str, path: str, body: bytes, headers: Headers) -> bytes:
        if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
            raise ValueError("expected a percent-encoded path that starts with /")
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.address}"]
        for name, value in headers:
            check_header(name, value)
            lines.append(f"{name}: {value}")
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body

    def _failed(self, error: OSError | NetworkError, *, applied: bool) -> NetworkError:
        hint = "the request may have been applied: look before repeating it" if applied else ""
        return NetworkError(f"{self.address}: {self._cause(error)}", hint=hint)

    def _cause(self, error: OSError | NetworkError) -> str:
        match error:
            case NetworkError():
                return str(error)
            case TimeoutError():
                return f"no answer in time ({self._options.timeout_s:g} s)"
            case ssl.SSLError():
                return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
            case OSError(strerror=str(text)):
                return text[:1].lower() + text[1:]
            case _:
                return str(error) or type(error).__name__


def _pause(attempt: int) -> float:
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * (1 << (attempt - 1)))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads clients, hides nothing
