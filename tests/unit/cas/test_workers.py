"""Work for strangers is bounded in threads and in what waits for them."""

import asyncio
import threading

import pytest

from scone.cas.workers import Workers
from scone.errors import LimitError


def test_too_much_work_is_refused_and_later_work_is_done():
    async def main():
        workers, gate = Workers(), threading.Event()
        held = [asyncio.create_task(workers.run(gate.wait)) for _ in range(66)]
        await asyncio.sleep(0)
        with pytest.raises(LimitError, match="too many"):
            await workers.run(int)
        gate.set()
        assert all(await asyncio.gather(*held))
        assert await workers.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        assert await workers.run(lambda: 8) == 8
        workers.close()

    asyncio.run(main())
