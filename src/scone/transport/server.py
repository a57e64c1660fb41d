"""The HTTPS server of every program: TLS 1.3, HTTP/1.1, any client certificate, one handler.

A handler sees a request with the key that its sender proved to hold, and answers
it; who may do what is its business. Limits hold for a request, a connection, an
address and all together, and every phase of a connection ends in bounded time.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Final, Self, TypeVar

from scone.transport.channel import Channel, Handler, Phase
from scone.transport.limits import Limits
from scone.transport.memory_tls import MemoryTls
from scone.transport.tls import Contexts, Peer, ServerTls, check_peer

__all__ = ["Handler", "Limits", "Server", "ServerTls", "run", "serve"]

T = TypeVar("T")
_PEERS: Final = 1024  # certificates whose key is remembered
_SWEEP_S: Final = 0.5


def serve(
    listener: socket.socket, tls: ServerTls, handler: Handler, limits: Limits | None = None
) -> Server:
    """A server on a listening socket; `start` begins, `stop` ends and closes the socket."""
    return Server(listener, tls, handler, limits or Limits())


class Server:
    """A server; all of it runs in the event loop that called `start`."""

    def __init__(
        self, listener: socket.socket, tls: ServerTls, handler: Handler, limits: Limits
    ) -> None:
        self.limits: Final = limits
        self.handler: Final = handler
        self.peer: Final[Callable[[bytes], Peer]] = functools.lru_cache(_PEERS)(check_peer)
        self.stopping = False
        self._listener = listener
        self._contexts = Contexts(tls)
        self._channels: dict[Channel, str] = {}
        self._per_address: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._all_gone = asyncio.Event()
        self._date_at, self._date = 0, ""
        durations = (limits.handshake_s, limits.idle_s, limits.request_s, limits.handler_s)
        self._sweep_s = min(_SWEEP_S, *(seconds / 4 for seconds in durations))

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listener.getsockname()[1])

    @property
    def open_connections(self) -> int:
        """Connections that are open, or whose request is still running."""
        return len(self._channels)

    async def start(self) -> Self:
        """Begin to accept connections.

        Raises:
            StateError: the TLS identity cannot be used.
        """
        self.loop = asyncio.get_running_loop()
        self._contexts.current()
        self._server = await self.loop.create_server(lambda: Channel(self), sock=self._listener)
        self._sweep = self.loop.call_later(self._sweep_s, self._expire)
        return self

    async def stop(self, grace_s: float = 10.0) -> None:
        """Accept nothing more, let running requests finish for `grace_s`, then close all."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        self._listener.close()
        for channel in tuple(self._channels):
            channel.stop()
        if not await self._wait_until_gone(grace_s):
            for channel in tuple(self._channels):
                channel.abort()
            await self._wait_until_gone(self.limits.linger_s)
        if self._sweep is not None:
            self._sweep.cancel()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _wait_until_gone(self, seconds: float) -> bool:
        if not self._channels:
            return True
        self._all_gone.clear()
        try:
            await asyncio.wait_for(self._all_gone.wait(), seconds)
        except TimeoutError:
            return False
        return True

    # What channels ask for.

    def admit(self, channel: Channel, address: str) -> bool:
        """Whether one more connection from there may be served."""
        key = _address_key(address)
        if self.stopping or self._per_address[key] >= self.limits.connections_per_address:
            return False
        if len(self._channels) >= self.limits.connections and not self._make_room():
            return False
        self._channels[channel] = key
        self._per_address[key] += 1
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if there is one."""
        idle = (channel for channel in self._channels if channel.phase is Phase.IDLE)
        oldest = min(idle, key=lambda channel: channel.deadline, default=None)
        if oldest is None:
            return False
        oldest.abort()
        self.release(oldest)
        return True

    def release(self, channel: Channel) -> None:
        """The connection and its request are over."""
        key = self._channels.pop(channel, None)
        if key is None:
            return
        self._per_address[key] -= 1
        if not self._per_address[key]:
            del self._per_address[key]
        if not self._channels:
            self._all_gone.set()

    def new_tls(self) -> MemoryTls:
        """The TLS end of a new connection.

        Raises:
            StateError: the TLS identity cannot be used.
        """
        return MemoryTls(self._contexts.current(), server=True)

    def date(self) -> str:
        """The time as HTTP writes it (RFC 9110, 5.6.7), made once a second."""
        now = int(time.time())
        if now != self._date_at:
            self._date_at, self._date = now, formatdate(now, usegmt=True)
        return self._date

    def _expire(self) -> None:
        now = self.loop.time()
        for channel in tuple(self._channels):
            if channel.deadline <= now:
                channel.expire()
        self._sweep = self.loop.call_later(self._sweep_s, self._expire)


def _address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in address:
        return address
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    mapped = packed[:12] == bytes(10) + b"\xff\xff"
    return socket.inet_ntoa(packed[12:]) if mapped else packed[:8].hex()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's main coroutine, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        with asyncio.Runner() as plain:
            return plain.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
