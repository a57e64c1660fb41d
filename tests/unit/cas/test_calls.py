"""Calls to elsewhere: what hangs, fails or floods at one address costs no other one anything."""

import asyncio
import threading
import time

import pytest

from scone.cas import calls as module
from scone.cas.calls import Calls
from scone.errors import LimitError, NetworkError, UnreachableError, VerificationError


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


async def held(runner, address, gate, count):
    """Calls that wait for the gate, begun."""
    calls = [asyncio.create_task(runner.run(address, gate.wait)) for _ in range(count)]
    await asyncio.sleep(0)
    return calls


def test_an_address_that_hangs_holds_no_other_one_up(gate):
    async def main():
        runner = Calls()
        calls = await held(runner, "hangs", gate, 4 * 16)
        with pytest.raises(LimitError, match="too many imports from other CASes wait"):
            await runner.run("hangs", int)
        assert await asyncio.wait_for(runner.run("other", lambda: 7), 5) == 7
        gate.set()
        assert all(await asyncio.gather(*calls))
        assert await runner.run("hangs", lambda: 8) == 8

    asyncio.run(main())


def test_all_calls_together_are_limited(gate):
    async def main():
        runner = Calls()
        calls = [call for n in range(4) for call in await held(runner, n, gate, 64)]
        with pytest.raises(LimitError):
            await runner.run("other", int)
        gate.set()
        await asyncio.gather(*calls)

    asyncio.run(main())


def test_threads_end_with_the_calls():
    async def main():
        runner = Calls()
        await asyncio.gather(*(runner.run(n, lambda: None) for n in range(20)))

    before = threading.active_count()
    asyncio.run(main())
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_call_counts_until_its_thread_is_free_although_nobody_waits_for_it(gate):
    async def main():
        runner = Calls(threads=1)
        calls = await held(runner, "hangs", gate, 16)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        again = await held(runner, "hangs", gate, 15)  # one still runs
        with pytest.raises(LimitError):
            await runner.run("hangs", int)
        gate.set()
        assert all(await asyncio.gather(*again))

    asyncio.run(main())


def failing(error, calls=None):
    def call():
        if calls is not None:
            calls.append(error)
        raise error

    return call


def test_only_that_an_address_is_away_is_remembered_and_for_a_while(monkeypatch):
    async def main():
        runner, calls = Calls(), []
        for answer in (NetworkError("odd answer"), VerificationError("another key")):
            with pytest.raises(type(answer)):
                await runner.run("a", failing(answer))
            assert await runner.run("a", lambda: 1) == 1
        away = UnreachableError("cannot connect", hint="is it on?")
        with pytest.raises(UnreachableError, match=r"cannot connect$"):
            await runner.run("a", failing(away.within("secret of a tenant"), calls))
        with pytest.raises(UnreachableError) as error:
            await runner.run("a", failing(away, calls))
        assert error.value.messages == ("cannot connect (some seconds ago)",)
        assert error.value.hint == "is it on?"
        assert len(calls) == 1
        assert await runner.run("b", lambda: 2) == 2
        monkeypatch.setattr(module, "_REMEMBERED_S", 0.0)
        assert await runner.run("a", lambda: 3) == 3

    asyncio.run(main())


def test_who_waited_for_an_address_that_is_away_does_not_try_again(gate):
    async def main():
        runner, calls = Calls(threads=1), []

        def first():
            gate.wait()
            raise UnreachableError("cannot connect")

        waiting = [asyncio.create_task(runner.run("a", first))]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(runner.run("a", lambda: calls.append(1))) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, UnreachableError) for result in results)
        assert calls == []

    asyncio.run(main())
