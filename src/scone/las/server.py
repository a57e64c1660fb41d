"""Serving LAS connections: a thread for each, bounded in number, size and time.

Whatever bytes come, the answer is one error and the LAS goes on. Only processes of the same
user or root are served (SO_PEERCRED).
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from scone.errors import ForbiddenError, LimitError, NetworkError, SconeError, places_of
from scone.las.operations import Conversation, Platform
from scone.tee.las_protocol import (
    MAX_REQUEST_BYTES,
    error_to_json,
    receive_frame,
    send_frame,
)

MAX_CONNECTIONS: Final = 64
_PAUSE_S: Final = 0.1  # out of descriptors: others must close first
_TIMEOUT_S: Final = 10.0  # for one whole message; the connection may then rest

_log: Final = logging.getLogger("scone.las")


class Server:
    """Accepts connections until it is stopped."""

    def __init__(
        self, listener: socket.socket, platform: Platform, now: Callable[[], datetime]
    ) -> None:
        self._listener = listener
        self._platform = platform
        self._now = now
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="las-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._accepting.start()

    def stop(self) -> None:
        """Accept no more, and close every connection."""
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        with self._lock:
            for connection in self._open:
                connection.shutdown(socket.SHUT_RDWR)
        self._accepting.join(_TIMEOUT_S)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                _log.warning("accepting a connection failed: %s", error.strerror)
                time.sleep(_PAUSE_S)
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_TIMEOUT_S)
            with self._lock:
                full = len(self._open) >= MAX_CONNECTIONS or self._stopping.is_set()
                if not full:
                    self._open.add(connection)
            try:
                if full:
                    raise LimitError(f"the LAS serves {MAX_CONNECTIONS} connections already")
                _require_own_user(connection)
                self._converse(connection)
            except SconeError as error:
                _refuse(connection, error)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _converse(self, connection: socket.socket) -> None:
        conversation = Conversation(self._platform, self._now)
        while True:
            frame = receive_frame(connection, MAX_REQUEST_BYTES, "LAS request")
            if frame is None:
                return
            try:
                answer = conversation.answer(frame)
            except SconeError as error:
                _log.info("refused: %s", error)
                answer = error_to_json(error)
            except Exception as error:  # noqa: BLE001 - ends the request
                _log.error("a request failed with %s", places_of(error))
                answer = error_to_json(SconeError("internal error"))
            finally:
                frame.close()
            send_frame(connection, answer)
            _wait_for_more(connection)


def _wait_for_more(connection: socket.socket) -> None:
    """Wait, for as long as it takes, until the next request begins or the caller closes."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.poll()


def _require_own_user(connection: socket.socket) -> None:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    if uid not in (os.geteuid(), 0):
        raise ForbiddenError(
            f"the LAS runs as user {os.geteuid()} and serves that user and root, not {uid}",
            hint="start a LAS as your own user",
        )


def _refuse(connection: socket.socket, error: SconeError) -> None:
    try:
        send_frame(connection, error_to_json(error))
    except NetworkError:
        return  # it has gone
