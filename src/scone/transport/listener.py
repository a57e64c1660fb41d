"""Listening sockets: one on a port, and a second program on it is noticed."""

from __future__ import annotations

import errno
import socket
from typing import Final

from scone.errors import StateError
from scone.transport.address import Address

_BACKLOG: Final = 1024


def listen(address: Address) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one.

    Raises:
        StateError: the address is in use or not one of this machine's.
    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StateError(f"cannot listen on {address}: {error.strerror}") from error
    family, _, _, _, where = found[0]
    # asyncio sets TCP_NODELAY only where the protocol is named. Without SO_REUSEPORT,
    # because with it a second server on the port would take half of the connections.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        hint = "is another CAS running?" if error.errno == errno.EADDRINUSE else ""
        raise StateError(f"cannot listen on {address}: {error.strerror}", hint=hint) from error
    return listener
