"""One HTTPS request to a server that a certification authority vouches for (RFC 9110, RFC 9525).

For services of others, known by their name; whom this project's own programs talk to is known
by key (`client`). No redirect is followed, no proxy and no variable of the environment counts.
"""

from __future__ import annotations

import socket
import ssl
import time

from scone.errors import NetworkError, UnreachableError, VerificationError
from scone.transport.address import Address
from scone.transport.http import Headers, Response, check_header
from scone.transport.http_parser import ResponseParser

_READ = 65536


def web_context(roots_pem: str) -> ssl.SSLContext:
    """A TLS context that trusts these authorities and no others.

    Raises:
        ValueError: not certificates in PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # name and chain are checked
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cadata=roots_pem)
    except (ssl.SSLError, ValueError):
        raise ValueError("expected certificates in PEM") from None
    return context


def exchange(
    address: Address,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    context: ssl.SSLContext,
    timeout_s: float,
    max_bytes: int,
) -> Response:
    """Send one request on a connection of its own and give the answer, whatever its status is.

    `timeout_s` covers everything but the look-up of the name.

    Raises:
        UnreachableError: no connection, and nothing was sent.
        NetworkError: no whole answer of at most `max_bytes` came in time.
        VerificationError: no trusted authority vouches for the server by this name.
    """
    host = address.host if address.port == 443 else str(address)
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", "connection: close"]
    for name, value in headers:
        check_header(name, value)
        lines.append(f"{name}: {value}")
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    message = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
    deadline = time.monotonic() + timeout_s
    parser = ResponseParser(max_body=max_bytes, bodiless=method == "HEAD")
    failure: type[NetworkError] = UnreachableError
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=address.host) as stream,
        ):
            stream.settimeout(_left(deadline))
            failure = NetworkError
            stream.sendall(message)
            response = _answer(stream, parser, deadline)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message or "its certificate is not accepted"
        raise VerificationError(f"{address}: TLS: {reason}") from None
    except TimeoutError:
        raise failure(f"{address}: no answer within {timeout_s:g} seconds") from None
    except OSError as error:
        raise failure(f"{address}: {error.strerror or type(error).__name__}") from None
    except NetworkError as error:
        raise error.within(str(address)) from None
    return response


def _answer(stream: ssl.SSLSocket, parser: ResponseParser, deadline: float) -> Response:
    while parser.response is None:
        stream.settimeout(_left(deadline))
        data = stream.recv(_READ)
        if not data:
            raise NetworkError("the connection ended before the answer")
        parser.feed(data)
    return parser.response


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
