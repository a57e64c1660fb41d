"""Threads for what strangers can make long: few of them, and few requests that wait for one.

The reading of a session, the making of its secrets and the evidence of another CAS come before
anything proves a right, so they must not take the threads that everything else uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from scone.errors import LimitError

_T = TypeVar("_T")
_THREADS: Final = 2
_WAITING: Final = 64


class Workers:
    """Runs functions that check `what` in threads of its own, at most so many at once."""

    __slots__ = ("_busy", "_pool", "_what")

    def __init__(self, what: str = "sessions") -> None:
        self._what = what
        self._pool = ThreadPoolExecutor(_THREADS, "worker")
        self._busy = 0

    async def run(self, function: Callable[[], _T]) -> _T:
        """The result of the function.

        Raises:
            LimitError: too many wait already.
        """
        if self._busy >= _THREADS + _WAITING:
            raise LimitError(f"too many {self._what} are being checked", hint="try again later")
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        finally:
            self._busy -= 1

    def close(self) -> None:
        """End the threads that have nothing to do; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
