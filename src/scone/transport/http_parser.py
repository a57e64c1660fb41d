"""HTTP/1.1 framing (RFC 9112): bytes in, events out, bounded at every step.

`httptools` (llhttp in its strict mode) splits the bytes; this module adds the
limits and refuses what two readers could read differently. A parser does no I/O,
so that it can be tested byte by byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import httptools

from scone.errors import LimitError, MalformedError, NetworkError
from scone.transport.http import Response, parse_target

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# RFC 9110, 5.3: fields that are not lists; a second one is an attempt to be read in two ways.
_SINGLE: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "authorization", "expect"}
)
_READ_SLACK: Final = 65536  # one read may hold the end of a message and the start of the next
_MAX_INTERIM: Final = 8  # 1xx answers before the final one


class MessageLimits(Protocol):
    """The limits that a parser holds."""

    @property
    def target_bytes(self) -> int:
        """Longest request target."""

    @property
    def head_bytes(self) -> int:
        """Request line and header fields together."""

    @property
    def header_count(self) -> int:
        """Number of header fields."""

    @property
    def body_bytes(self) -> int:
        """Longest body."""


class ParsedRequest(NamedTuple):
    """A whole request; `keep_alive` is whether another may follow."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class ContinueExpected:
    """The client waits for `100 Continue` before it sends its body."""


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """Bytes that are no request within the limits; the last event of a connection."""

    status: int
    code: str
    message: str


Event = ParsedRequest | ContinueExpected | ProtocolError


class _Refused(Exception):  # noqa: N818 - control flow through httptools' callbacks
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.error = ProtocolError(status, code, message)


def _malformed(message: str, status: int = 400) -> _Refused:
    return _Refused(status, MalformedError.code, message)


def _too_much(message: str, status: int) -> _Refused:
    return _Refused(status, LimitError.code, message)


class RequestParser:
    """Requests of one connection; after a `ProtocolError` it gives nothing more."""

    __slots__ = (
        "_body",
        "_error",
        "_events",
        "_fields",
        "_head_done",
        "_head_fed",
        "_head_size",
        "_headers",
        "_in_message",
        "_keep_alive",
        "_limits",
        "_method",
        "_moved",
        "_parser",
        "_path",
        "_query",
        "_url",
    )

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._events: list[Event] = []
        self._error: ProtocolError | None = None
        self._in_message = False
        self._moved = False
        self._head_fed = 0
        self._reset()
        self._parser = httptools.HttpRequestParser(self)

    def _reset(self) -> None:
        self._url = b""
        self._method = ""
        self._keep_alive = False
        self._path = ""
        self._query: dict[str, str] = {}
        self._headers: dict[str, str] = {}
        self._fields = 0
        self._head_size = 0
        self._head_done = False
        self._body = bytearray()

    @property
    def in_message(self) -> bool:
        """Whether a request has begun that is not whole yet."""
        return self._in_message

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes complete, in order; an error is the last event."""
        if self._error is not None:
            return []
        events: list[Event] = []
        self._events = events
        self._moved = False
        try:
            self._parser.feed_data(data)
            # httptools holds a field back until the next one starts, and llhttp passes
            # over empty lines: what made no callback yet is counted here.
            self._head_fed = 0 if self._moved or self._head_done else self._head_fed + len(data)
            if self._head_fed > self._limits.head_bytes + _READ_SLACK:
                self._fail(_too_much("request head too large", 431).error)
        except httptools.HttpParserUpgrade:
            self._fail(ProtocolError(400, MalformedError.code, "no upgrade is offered"))
        except httptools.HttpParserError as error:
            refused = error.__context__
            if isinstance(refused, _Refused):
                self._fail(refused.error)
            else:
                self._fail(ProtocolError(400, MalformedError.code, f"not HTTP/1.1: {error}"))
        return events

    def _fail(self, error: ProtocolError) -> None:
        self._error = error
        self._in_message = False
        self._events.append(error)

    # Callbacks of httptools, in the order of a message.

    def on_message_begin(self) -> None:
        """A request starts."""
        self._reset()
        self._moved = self._in_message = True

    def on_url(self, part: bytes) -> None:
        """Part of the request target."""
        self._url += part
        if len(self._url) > self._limits.target_bytes:
            raise _too_much("request target too long", 414)

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        """One header field, or a trailer field, which nobody needs here."""
        if self._head_done:
            raise _malformed("trailer fields are not accepted")
        self._fields += 1
        self._head_size += len(raw_name) + len(raw_value) + 4
        if self._fields > self._limits.header_count or self._head_size > self._limits.head_bytes:
            raise _too_much("request header fields too large", 431)
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1").strip(" \t")
        earlier = self._headers.get(name)
        if earlier is not None:
            if name in _SINGLE:
                raise _malformed(f"the header field {name} stands twice")
            value = f"{earlier}, {value}"
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is whole: everything that can be refused before the body is."""
        self._head_done = True
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _malformed("expected HTTP/1.1", 505)
        method = parser.get_method().decode("ascii")
        if method not in _METHODS:
            raise _malformed("method not implemented", 501)
        self._method = method
        self._keep_alive = version == "1.1" and parser.should_keep_alive()
        if parser.should_upgrade():
            raise _malformed("no upgrade is offered")
        if version == "1.1" and "host" not in headers:
            raise _malformed("expected a Host header field")
        try:
            self._path, self._query = parse_target(self._url)
        except MalformedError as error:
            raise _malformed(str(error)) from error
        chunked = "transfer-encoding" in headers
        if chunked and (headers["transfer-encoding"].lower() != "chunked" or version != "1.1"):
            raise _malformed("expected no transfer coding but chunked", 501)
        length = int(headers.get("content-length", "0"))  # llhttp admits digits only
        if length > self._limits.body_bytes:
            raise self._body_too_large()
        expectation = headers.get("expect")
        if expectation is not None and version == "1.1":
            if expectation.lower() != "100-continue":
                raise _malformed("expected no expectation but 100-continue", 417)
            if chunked or length:
                self._events.append(ContinueExpected())

    def on_body(self, part: bytes) -> None:
        """Part of the body."""
        if len(self._body) + len(part) > self._limits.body_bytes:
            raise self._body_too_large()
        self._body += part

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        self._moved = True
        request = ParsedRequest(
            self._method,
            self._path,
            self._query,
            self._headers,
            bytes(self._body),
            self._keep_alive,
        )
        self._events.append(request)
        self._reset()

    def _body_too_large(self) -> _Refused:
        return _too_much(f"request body larger than {self._limits.body_bytes} bytes", 413)


class ResponseParser:
    """The one answer to one request, bounded; interim answers are passed over."""

    def __init__(self, *, max_body: int, max_head: int = 65536, bodiless: bool = False) -> None:
        self._max_body = max_body
        self._max_head = max_head
        self._bodiless = bodiless
        self._interim = 0
        self._head_fed = 0
        self._begin()
        self.started = False
        self.response: Response | None = None
        self.keep_alive = False
        self._parser = httptools.HttpResponseParser(self)

    def _begin(self) -> None:
        self._headers: list[tuple[str, str]] = []
        self._head_done = False
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes of the answer; `response` is set once it is whole.

        Raises:
            NetworkError: not an HTTP/1.1 answer, or larger than accepted.
        """
        self.started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise NetworkError("expected an HTTP/1.1 answer, got an upgrade") from None
        except httptools.HttpParserError as error:
            if self.response is not None:
                return  # bytes behind the answer: the connection is not used again
            if isinstance(error.__context__, NetworkError):
                raise error.__context__ from None
            raise NetworkError(f"expected an HTTP/1.1 answer, got: {error}") from error
        if self.response is None and not self._head_done:
            self._head_fed += len(data)
            if self._head_fed > self._max_head:
                raise NetworkError(f"expected an answer's head of up to {self._max_head} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field; trailers are not kept."""
        if not self._head_done:
            text = value.decode("latin-1").strip(" \t")
            self._headers.append((name.decode("latin-1").lower(), text))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._parser.get_http_version() != "1.1":
            raise NetworkError("expected an HTTP/1.1 answer")
        self._head_done = True
        status = self._parser.get_status_code()
        if status >= 200 and self._bodiless:
            self._finish(status, keep_alive=False)

    def on_body(self, part: bytes) -> None:
        """Part of the body."""
        if len(self._body) + len(part) > self._max_body:
            raise NetworkError(f"expected an answer of up to {self._max_body} bytes, got more")
        self._body += part

    def on_message_complete(self) -> None:
        """The answer, or an interim one, is whole."""
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise NetworkError("expected an answer, got only interim ones")
            self._begin()
        elif self.response is None:
            self._finish(status, keep_alive=self._parser.should_keep_alive())

    def _finish(self, status: int, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response = Response(status, bytes(self._body), tuple(self._headers))
