"""Calls to servers elsewhere: threads for each address, few that wait, a memory of who is away.

A CAS or a vault that hangs must hold nothing else up: no event loop, no reading of sessions and
no call to another address. What one tenant asked and was answered is remembered for nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from scone.errors import LimitError, UnreachableError

_T = TypeVar("_T")
_THREADS: Final = 4  # for each address
_WAITING: Final = 15  # for each thread
_TOGETHER: Final = 256
_REMEMBERED_S: Final = 5.0
_MAX_REMEMBERED: Final = 1_000


@dataclass(slots=True)
class _Lane:
    """The threads of one address, as long as it has calls."""

    pool: ThreadPoolExecutor
    calls: int = 0


class Calls:
    """Runs calls in threads; an address that could not be reached is left alone for a while."""

    def __init__(self, name: str = "imports from other CASes", threads: int = _THREADS) -> None:
        self._name = name
        self._threads = threads
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, _Lane] = {}
        self._calls = 0
        self._away: OrderedDict[Hashable, tuple[float, UnreachableError]] = OrderedDict()

    async def run(self, address: Hashable, function: Callable[[], _T]) -> _T:
        """The result of the function, which calls the address and nobody else.

        Raises:
            UnreachableError: the address cannot be reached, now or some seconds ago.
            LimitError: too many calls wait already.
        """
        self._require_there(address)

        def call() -> _T:
            self._require_there(address)  # others may have tried while this one waited
            try:
                return function()
            except UnreachableError as error:
                self._remember(address, error)
                raise

        limit = self._threads * (1 + _WAITING)
        with self._lock:
            lane = self._lanes.get(address)
            if self._calls >= _TOGETHER or (lane is not None and lane.calls >= limit):
                raise LimitError(f"too many {self._name} wait", hint="try again later")
            if lane is None:
                lane = self._lanes[address] = _Lane(ThreadPoolExecutor(self._threads, "peer"))
            lane.calls += 1
            self._calls += 1
            future = lane.pool.submit(call)
        future.add_done_callback(lambda _: self._ended(address, lane))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads that have nothing to do; what runs is not waited for."""
        with self._lock:
            pools = [lane.pool for lane in self._lanes.values()]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, address: Hashable, lane: _Lane) -> None:
        """Count a call that ended, not one that nobody waits for any more."""
        with self._lock:
            self._calls -= 1
            lane.calls -= 1
            if lane.calls == 0:
                del self._lanes[address]
                lane.pool.shutdown(wait=False)

    def _remember(self, address: Hashable, error: UnreachableError) -> None:
        with self._lock:
            self._away[address] = time.monotonic(), error
            self._away.move_to_end(address)
            while len(self._away) > _MAX_REMEMBERED:
                self._away.popitem(last=False)

    def _require_there(self, address: Hashable) -> None:
        with self._lock:
            since, error = self._away.get(address, (0.0, None))
            if error is None or time.monotonic() - since > _REMEMBERED_S:
                self._away.pop(address, None)
                return
        raise UnreachableError(f"{error.messages[-1]} (some seconds ago)", hint=error.hint)
