"""HTTP/1.1 messages as values (RFC 9110, RFC 9112): request, response, target.

No I/O and no parsing of framing, which is `http_parser`. A path is percent-decoded
once, here, and nothing behind this module decodes it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scone.errors import MalformedError

_REASONS: Final[Mapping[int, str]] = {
    100: "Continue",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_BODILESS: Final = frozenset({204, 304})  # RFC 9110, 6.4.1
_JSON: Final = "application/json"
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Headers = tuple[tuple[str, str], ...]
Exporter = Callable[[bytes, int], bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what the TLS channel proved about its sender.

    Header names are in lower case; repeated ones are joined with a comma. `repr`
    shows no header and no body, because either may hold a secret.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    peer_spki_der: bytes | None = field(default=None, repr=False)
    peer_certificate_der: bytes | None = field(default=None, repr=False)
    peer_address: str = ""
    exporter: Exporter | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; without a `content-type` header its body is JSON."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = field(default=(), repr=False)

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def error_response(status: int, code: str, message: str) -> Response:
    """An error in the form of the REST interface, for what never reaches a handler."""
    body = json.dumps({"msg": [message], "code": code}, separators=(",", ":"))
    return Response(status, body.encode())


def encode_response(
    response: Response, *, keep_alive: bool, without_body: bool = False, date: str = ""
) -> bytes:
    """The bytes of a response: one buffer, framed by Content-Length.

    `without_body` is for HEAD: the length is told and nothing follows.

    Raises:
        ValueError: a header that would break the framing (a fault of the handler).
    """
    reason = _REASONS.get(response.status, "")
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    typed = False
    for name, value in response.headers:
        key = name.lower()
        if key in ("content-length", "connection", "transfer-encoding"):
            raise ValueError(f"the header {key} is set by the server")
        check_header(name, value)
        typed = typed or key == "content-type"
        lines.append(f"{name}: {value}")
    bodiless = response.status in _BODILESS
    if not bodiless:
        if response.body and not typed:
            lines.append(f"content-type: {_JSON}")
        lines.append(f"content-length: {len(response.body)}")
    if date:
        lines.append(f"date: {date}")
    if not keep_alive:
        lines.append("connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if bodiless or without_body else head + response.body


def check_header(name: str, value: str) -> None:
    """Refuse a header that is not one line of a message.

    Raises:
        ValueError: a name that is no token, or a value with a line break.
    """
    if not _TOKEN.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        raise ValueError(f"not a header field: {name!r}")


def parse_target(target: bytes) -> tuple[str, dict[str, str]]:
    """Path and query of a request target in origin form (RFC 9112, 3.2.1).

    Raises:
        MalformedError: another form, an empty or dot segment, a query that is not
            a list of distinct `name=value`, a broken or non-UTF-8 percent escape.
    """
    if not target.startswith(b"/"):
        raise MalformedError("request target", "a path that starts with /")
    if b"#" in target:
        raise MalformedError("request target", "no fragment")
    raw_path, question, raw_query = target.partition(b"?")
    path = _unescape("request path", raw_path)
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        if segment in (".", "..") or (not segment and at != len(segments) - 1):
            raise MalformedError("request path", "no empty, . or .. segment")
    return path, _parse_query(raw_query) if question else {}


def _parse_query(raw: bytes) -> dict[str, str]:
    query: dict[str, str] = {}
    for pair in raw.split(b"&"):
        raw_name, equals, raw_value = pair.partition(b"=")
        if not equals or not raw_name:
            raise MalformedError("request query", "name=value pairs joined with &")
        if b"+" in pair:  # a space to some, a plus to others
            raise MalformedError("request query", "%20 or %2B in place of +")
        name = _unescape("request query", raw_name)
        if name in query:
            raise MalformedError("request query", "each name once", repr(name))
        query[name] = _unescape("request query", raw_value)
    return query


def _unescape(place: str, raw: bytes) -> str:
    if b"%" in raw:
        if raw.count(b"%") != len(_ESCAPE.findall(raw)):
            raise MalformedError(place, "two hexadecimal digits after each %")
        raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(place, "UTF-8") from error
    if _CONTROL.search(text):
        raise MalformedError(place, "no control character")
    return text
