"""How much a server gives to one request, one connection, one address and all together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in seconds.

    Each duration covers a whole phase, however its bytes trickle in, so that a slow
    client holds one of its address's connections for a bounded time and nothing else.
    """

    target_bytes: int = 4096
    head_bytes: int = 16384
    header_count: int = 64
    body_bytes: int = 2 * 1024 * 1024  # a session of 1 MiB, escaped as JSON

    connections: int = 800  # below the usual limit of 1024 descriptors
    connections_per_address: int = 200

    handshake_s: float = 10.0
    idle_s: float = 60.0
    request_s: float = 30.0  # from a request's first byte to its last
    handler_s: float = 60.0
    write_s: float = 20.0  # for an answer, and one second more for each
    write_bytes_per_s: int = 16384  # ... so many bytes of it
    linger_s: float = 2.0  # until the peer has read a refusal (RFC 9112, 9.6)
