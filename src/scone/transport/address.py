"""Addresses as users write them: a host with an optional port, or an `https` URL.

Nothing is resolved here. The host becomes the TLS server name (RFC 6066, 3), which has no
case; an IP address has none.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scone.errors import MalformedError

CLIENT_PORT: Final = 8081
"""Where a CAS serves users (SCONE documentation, page CAS_config)."""
ENCLAVE_PORT: Final = 18765
"""Where it serves attested programs."""

_EXPECTED: Final = "HOST, HOST:PORT, [IPV6]:PORT or https://HOST:PORT/"
_MAX_HOST: Final = 253  # RFC 1035, 2.3.4, without the final dot
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a host name or IP address, and a port."""

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address and not a name."""
        return _is_ip(socket.AF_INET, self.host) or _is_ip(socket.AF_INET6, self.host)

    @property
    def url(self) -> str:
        """The address as an `https` URL that ends in a slash."""
        return f"https://{self}/"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, default_port: int, place: str = "address") -> Address:
    """The address that a user wrote.

    Raises:
        MalformedError: none of the accepted forms.
    """
    rest = text
    if "://" in rest:
        scheme, rest = rest.split("://", 1)
        if scheme.lower() != "https":
            raise MalformedError(place, _EXPECTED, f"the scheme {scheme!r}")
        rest, slash, tail = rest.partition("/")
        if slash and tail:
            raise MalformedError(place, _EXPECTED, f"the path {'/' + tail!r}")
    if rest.startswith("["):
        host, bracket, after = rest[1:].partition("]")
        if not bracket or not _is_ip(socket.AF_INET6, host):
            raise MalformedError(place, _EXPECTED, repr(text))
        if after and not after.startswith(":"):
            raise MalformedError(place, _EXPECTED, repr(text))
        port_text = after[1:] if after else None
    elif rest.count(":") > 1:
        hint = "write an IPv6 address in brackets: [::1]:8081"
        raise MalformedError(place, _EXPECTED, repr(text), hint=hint)
    else:
        host, colon, port = rest.partition(":")
        port_text = port if colon else None
        if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
            raise MalformedError(place, _EXPECTED, repr(text))
    return Address(
        host.lower(), default_port if port_text is None else _port(port_text, place, text)
    )


def is_allowed(address: Address, allowed: Iterable[str], default_port: int = CLIENT_PORT) -> bool:
    """Whether one of the entries means the address.

    An entry is HOST, `*.DOMAIN` (every host below it) or `*`, with `:PORT` if that is not the
    default, 8081.
    """
    for entry in allowed:
        wild = entry.startswith("*")
        meant = parse_address(f"x{entry[1:]}" if wild else entry, default_port=default_port)
        below = meant.host.removeprefix("x")
        same = address.host.endswith(below) if wild else address.host == meant.host
        if same and address.port == meant.port:
            return True
    return False


def _port(digits: str, place: str, text: str) -> int:
    if not _PORT.fullmatch(digits) or not 1 <= int(digits) <= 65535:
        raise MalformedError(place, "a port from 1 to 65535", repr(text))
    return int(digits)


def _is_ip(family: socket.AddressFamily, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except (OSError, UnicodeEncodeError, ValueError):
        return False
    return True
