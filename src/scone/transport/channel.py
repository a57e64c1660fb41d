"""One connection of a server: TLS records to requests, answers to TLS records.

A channel handles one request at a time and reads no further while it does. Each
phase has one deadline, which the server's sweep compares with the clock; nothing
here starts a timer of its own.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from scone.errors import ForbiddenError, StateError, places_of
from scone.transport.http import Request, Response, encode_response, error_response
from scone.transport.http_parser import (
    ContinueExpected,
    Event,
    ParsedRequest,
    ProtocolError,
    RequestParser,
)
from scone.transport.limits import Limits
from scone.transport.memory_tls import MemoryTls, TlsError
from scone.transport.tls import Peer

Handler = Callable[[Request], Awaitable[Response]]

_log: Final = logging.getLogger("scone.transport")
_SLICE: Final = 65536  # encrypted in one go
_TURN: Final = 4 * _SLICE  # sent in one turn of the event loop
_UNREAD: Final = 65536  # ciphertext kept while a request is being handled
_NEVER: Final = float("inf")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(enum.Enum):
    """Where a connection stands."""

    HANDSHAKE = enum.auto()
    IDLE = enum.auto()
    READING = enum.auto()
    HANDLING = enum.auto()
    WRITING = enum.auto()
    LINGER = enum.auto()  # refused: what still comes is dropped until the peer has read why
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Owner(Protocol):
    """What a channel needs of its server."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""

    @property
    def limits(self) -> Limits:
        """The limits."""

    @property
    def handler(self) -> Handler:
        """What answers requests."""

    @property
    def stopping(self) -> bool:
        """Whether no further request is taken."""

    def admit(self, channel: Channel, address: str) -> bool:
        """Whether one more connection from there may be served."""

    def release(self, channel: Channel) -> None:
        """The connection and its request are over."""

    def new_tls(self) -> MemoryTls:
        """The TLS end of a new connection."""

    def peer(self, certificate_der: bytes) -> Peer:
        """The identity in a client certificate."""

    def date(self) -> str:
        """The time as HTTP writes it."""


class Channel(asyncio.Protocol):
    """A connection; made by `Server` for each one that it accepts."""

    __slots__ = (
        "_address",
        "_blocked",
        "_close_after",
        "_events",
        "_out",
        "_owner",
        "_parser",
        "_paused",
        "_peer",
        "_refusal",
        "_task",
        "_tls",
        "_transport",
        "_unread",
        "deadline",
        "phase",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = RequestParser(owner.limits)
        self._events: deque[Event] = deque()
        self._out = memoryview(b"")
        self._address = ""
        self._peer: Peer | None = None
        self._refusal: ProtocolError | None = None
        self._task: asyncio.Task[None] | None = None
        self._unread = 0
        self._close_after = False
        self._blocked = False
        self._paused = False
        self.phase = Phase.CLOSED
        self.deadline = _NEVER

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self._address = str(peername[0]) if peername else ""
        if not self._owner.admit(self, self._address):
            self._transport.abort()
            return
        try:
            self._tls = self._owner.new_tls()
        except StateError as error:
            _log.error("no connection is taken: %s", error)
            self._transport.abort()
            return
        self._enter(Phase.HANDSHAKE, self._owner.limits.handshake_s)

    def data_received(self, data: bytes) -> None:
        """Ciphertext has arrived."""
        if self.phase in (Phase.LINGER, Phase.CLOSING, Phase.CLOSED):
            return
        self._tls.feed(data)
        if self.phase is Phase.HANDSHAKE and not self._handshake():
            return
        self._unread += len(data)
        if self.phase in (Phase.IDLE, Phase.READING) and not self._read():
            self._flush()  # what OpenSSL answers by itself, such as a key update
        self._regulate()

    def eof_received(self) -> bool:
        """The client sends no more; a request of its that is being answered stays."""
        self._close_after = True
        return self.phase in (Phase.HANDLING, Phase.WRITING)

    def pause_writing(self) -> None:
        """The client does not read: neither write nor read more."""
        self._blocked = True
        self._regulate()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._blocked = False
        self._regulate()
        if self.phase is Phase.WRITING:
            self._pump()

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone; a running handler is left to finish what it changes."""
        self.phase = Phase.CLOSED
        self._events.clear()
        self._out = memoryview(b"")
        if self._task is None:
            self.deadline = _NEVER
            self._owner.release(self)

    # The server's side.

    def expire(self) -> None:
        """The deadline of the present phase has passed."""
        match self.phase:
            case Phase.IDLE:
                self._close()
            case Phase.READING:
                self._refuse(ProtocolError(408, "limit", "the request took too long to arrive"))
            case Phase.HANDLING | Phase.CLOSED:  # a handler outlives its client, not its time
                self.deadline = _NEVER
                if self._task is not None:
                    self._task.cancel("timeout")
            case _:
                self._transport.abort()

    def stop(self) -> None:
        """Finish the request that is running, then close."""
        self._close_after = True
        if self.phase is Phase.IDLE:
            self._close()
        elif self.phase is Phase.HANDSHAKE:
            self._transport.abort()

    def abort(self) -> None:
        """Close now, whatever is running."""
        if self._task is not None:
            self._task.cancel("stopped")
        self._transport.abort()

    # Phases.

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self._owner.loop.time() + seconds

    def _handshake(self) -> bool:
        try:
            complete = self._tls.handshake()
        except TlsError:
            self._flush()  # the alert
            self._close_transport()
            return False
        if not complete:
            self._flush()
            return False
        certificate = self._tls.peer_certificate()
        if certificate is not None:
            try:
                self._peer = self._owner.peer(certificate)
            except ForbiddenError as error:
                self._refusal = ProtocolError(403, error.code, str(error))
        self._enter(Phase.IDLE, self._owner.limits.idle_s)
        return True

    def _read(self) -> bool:
        """Decrypt until a request is whole or nothing is left; whether there was anything."""
        fed = False
        while True:
            try:
                data = self._tls.read()
            except TlsError:
                self._flush()
                self._close_transport()
                return True
            if data is None:
                self._unread = 0
                return fed
            if not data:
                self._close()
                return True
            fed = True
            events = self._parser.feed(data)
            if events:
                self._events.extend(events)
                self._next()
                if self.phase not in (Phase.IDLE, Phase.READING):
                    return True
            elif self.phase is Phase.IDLE and self._parser.in_message:
                self._enter(Phase.READING, self._owner.limits.request_s)

    def _next(self) -> None:
        """Take the next event; without one, wait for the client."""
        while self._events:
            event = self._events.popleft()
            if self._refusal is not None:
                self._refuse(self._refusal)
                return
            match event:
                case ContinueExpected():
                    self._send_at_once(_CONTINUE)
                case ProtocolError():
                    self._refuse(event)
                    return
                case ParsedRequest():
                    self._enter(Phase.HANDLING, self._owner.limits.handler_s)
                    self._task = self._owner.loop.create_task(self._serve(event))
                    return
        if self._parser.in_message:
            self._enter(Phase.READING, self._owner.limits.request_s)
        else:
            self._enter(Phase.IDLE, self._owner.limits.idle_s)

    async def _serve(self, parsed: ParsedRequest) -> None:
        """Answer one request: the place where whatever a handler raises ends."""
        peer = self._peer
        request = Request(
            parsed.method,
            parsed.path,
            parsed.query,
            parsed.headers,
            parsed.body,
            None if peer is None else peer.spki_der,
            None if peer is None else peer.certificate_der,
            self._address,
            self._tls.export,
        )
        keep_alive = parsed.keep_alive
        try:
            response = await self._owner.handler(request)
            keep_alive = keep_alive and not (self._close_after or self._owner.stopping)
            payload = self._encode(response, keep_alive, parsed.method)
        except asyncio.CancelledError:
            keep_alive = False
            late = error_response(503, "unavailable", "the request took too long")
            payload = self._encode(late, keep_alive, parsed.method)
        except Exception as error:  # noqa: BLE001 - ends the request
            _log.error("a request handler failed with %s", places_of(error))
            keep_alive = False
            failed = error_response(500, "failed", "internal error")
            payload = self._encode(failed, keep_alive, parsed.method)
        self._task = None
        if self.phase is Phase.CLOSED:
            self._owner.release(self)
        else:
            self._answer(payload, keep_alive=keep_alive)

    def _encode(self, response: Response, keep_alive: bool, method: str) -> bytes:
        return encode_response(
            response,
            keep_alive=keep_alive,
            without_body=method == "HEAD",
            date=self._owner.date(),
        )

    def _answer(self, payload: bytes, *, keep_alive: bool) -> None:
        limits = self._owner.limits
        self._close_after = self._close_after or not keep_alive
        self._out = memoryview(payload)
        self._enter(Phase.WRITING, limits.write_s + len(payload) / limits.write_bytes_per_s)
        self._pump()

    def _pump(self) -> None:
        """Encrypt and send as much as the client takes, one turn's worth at a time."""
        if self.phase is not Phase.WRITING:
            return
        budget = _TURN
        while self._out and not self._blocked:
            if budget <= 0:
                self._owner.loop.call_soon(self._pump)
                return
            part = self._out[:_SLICE]
            try:
                sent = self._tls.write(part)
                self._out = self._out[sent:]
                if not self._out and self._close_after:
                    self._tls.close()
            except TlsError:
                self._transport.abort()
                return
            self._flush()
            budget -= sent
        if self._out:
            return
        if self._refusal is not None:
            self._linger()
        elif self._close_after:
            self._close_transport()
        else:
            self._after_answer()

    def _after_answer(self) -> None:
        self._next()
        if self.phase in (Phase.IDLE, Phase.READING):
            self._read()
        self._regulate()

    def _refuse(self, error: ProtocolError) -> None:
        """Say why nothing more is taken from this connection, then close it."""
        self._refusal = error
        self._events.clear()
        response = error_response(error.status, error.code, error.message)
        self._answer(self._encode(response, False, "GET"), keep_alive=False)

    def _linger(self) -> None:
        # RFC 9112, 9.6: closing with unread bytes would reset the connection, and the
        # client might never see the answer.
        self._enter(Phase.LINGER, self._owner.limits.linger_s)
        self._regulate()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        try:
            self._tls.close()
        except TlsError:
            self._transport.abort()
            return
        self._flush()
        self._close_transport()

    def _close_transport(self) -> None:
        self._enter(Phase.CLOSING, self._owner.limits.linger_s)
        self._transport.close()

    # Bytes.

    def _send_at_once(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except TlsError:
            self._transport.abort()
        else:
            self._flush()

    def _flush(self) -> None:
        """Hand what TLS has to say to the transport."""
        for data in self._tls.output():
            self._transport.write(data)

    def _regulate(self) -> None:
        """Read from the socket only what can be taken on."""
        busy = self.phase in (Phase.HANDLING, Phase.WRITING)
        pause = self._blocked or (busy and self._unread > _UNREAD)
        if self.phase is Phase.LINGER:
            pause = False
        if pause is self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
