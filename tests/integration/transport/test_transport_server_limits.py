"""The server's limits: nobody holds it, and it stops in bounded time."""

import asyncio
import contextlib
import json
import ssl
import threading
import time

import pytest

from integration.transport.transport_peers import (
    client_context,
    plain_client,
    raw_client,
    read_all,
    read_response,
    running,
)
from scone.transport.client import connect
from scone.transport.http import Response
from scone.transport.server import Limits

GET = b"GET / HTTP/1.1\r\nHost: cas\r\n\r\n"


async def ok(_request):
    return Response(200, b"ok")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    return pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None


def test_a_client_that_never_shakes_hands_is_closed(loop_factory):
    limits = Limits(handshake_s=0.2)
    with (
        running(ok, limits=limits, loop_factory=loop_factory) as server,
        plain_client(server.port) as sock,
    ):
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        assert 0.15 < time.monotonic() - started < 3


def test_an_idle_connection_is_closed(loop_factory):
    limits = Limits(idle_s=0.2)
    with (
        running(ok, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as sock,
    ):
        sock.sendall(GET)
        read_response(sock)
        started = time.monotonic()
        assert sock.recv(1) == b""
        assert 0.15 < time.monotonic() - started < 3


def test_a_request_that_trickles_in_is_refused_as_a_whole(loop_factory):
    limits = Limits(request_s=0.4)
    with (
        running(ok, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as sock,
    ):
        started = time.monotonic()
        sock.settimeout(0.05)
        data = b""
        for byte in GET * 10:
            try:
                sock.sendall(bytes([byte]) if byte not in b"\r\n" else b"a")
                data = sock.recv(1000)
                break
            except TimeoutError:
                assert time.monotonic() - started < 5
        assert data.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started > 0.3


def test_a_handler_that_takes_too_long_is_ended_with_503(loop_factory):
    ended = []

    async def slow(_request):
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)
        return Response(200)

    limits = Limits(handler_s=0.2)
    with (
        running(slow, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as sock,
    ):
        sock.sendall(GET)
        head, body = read_response(sock)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "unavailable"
    assert ended == [True]


def test_a_handler_whose_client_has_gone_has_the_same_time(loop_factory):
    entered, ended = threading.Event(), threading.Event()

    async def slow(_request):
        entered.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return Response(200)

    limits = Limits(handler_s=0.5)
    with running(slow, limits=limits, loop_factory=loop_factory) as server:
        with raw_client(server.port) as sock:
            sock.sendall(GET)
            assert entered.wait(10)
        assert ended.wait(10)
        server.wait_until_free()


async def large(_request):
    return Response(200, bytes(32 * 1024 * 1024), (("content-type", "x/y"),))


def test_a_client_that_does_not_read_holds_nobody_up_and_is_closed(loop_factory):
    limits = Limits(write_s=1.0, write_bytes_per_s=1 << 30)
    with (
        running(large, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as lazy,
    ):
        lazy.sendall(GET)
        assert lazy.recv(10) == b"HTTP/1.1 2"
        for _ in range(3):
            with raw_client(server.port) as quick:
                quick.sendall(b"HEAD / HTTP/1.1\r\nHost: cas\r\nConnection: close\r\n\r\n")
                assert b"content-length: 33554432" in read_all(quick)
        server.wait_until_free()
        assert len(read_all(lazy)) < 32 * 1024 * 1024  # what the kernel held, then the end


def test_a_large_answer_arrives_whole(loop_factory):
    with running(large, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        sock.sendall(GET)
        head, body = read_response(sock)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == bytes(32 * 1024 * 1024)


def test_a_client_that_sends_without_reading_is_no_longer_read(loop_factory):
    async def answer(_request):
        return Response(200, bytes(100_000), (("content-type", "x/y"),))

    with running(answer, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        sock.settimeout(0.5)
        sent = 0
        with pytest.raises((TimeoutError, ssl.SSLWantWriteError)):
            while sent < 64 * 1024 * 1024:
                sock.sendall(GET * 500)
                sent += 500 * len(GET)
        assert sent < 32 * 1024 * 1024  # what the kernel's buffers hold, and a little more


def test_an_address_has_a_limited_number_of_connections(loop_factory):
    limits = Limits(connections_per_address=2)
    with running(ok, limits=limits, loop_factory=loop_factory) as server:
        with raw_client(server.port) as first, raw_client(server.port) as second:
            with pytest.raises((ssl.SSLError, OSError)), raw_client(server.port):
                raise AssertionError("connected")
            for sock in (first, second):
                sock.sendall(GET)
                assert read_response(sock)[1] == b"ok"
        server.wait_until_free()
        with raw_client(server.port) as again:
            again.sendall(GET)
            assert read_response(again)[1] == b"ok"


def test_all_connections_together_are_limited_and_a_busy_one_is_kept(loop_factory):
    entered, leave = threading.Event(), threading.Event()

    async def busy(_request):
        entered.set()
        await asyncio.to_thread(leave.wait, 20)
        return Response(200, b"kept")

    limits = Limits(connections=1)
    with (
        running(busy, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as first,
    ):
        first.sendall(GET)
        assert entered.wait(10)
        with pytest.raises((ssl.SSLError, OSError)), raw_client(server.port):
            raise AssertionError("connected")
        leave.set()
        assert read_response(first)[1] == b"kept"


def test_the_connection_that_was_idle_longest_makes_room(loop_factory):
    limits = Limits(connections=2)
    with (
        running(ok, limits=limits, loop_factory=loop_factory) as server,
        raw_client(server.port) as first,
        raw_client(server.port) as second,
    ):
        for sock in (second, first):  # the second is idle for longer
            sock.sendall(GET)
            assert read_response(sock)[1] == b"ok"
            time.sleep(0.05)  # the loop's clock counts milliseconds
        with raw_client(server.port) as third:
            for sock in (first, third):
                sock.sendall(GET)
                assert read_response(sock)[1] == b"ok"
            assert second.recv(1) == b""


def test_stopping_finishes_the_running_request_and_closes_idle_connections(loop_factory):
    entered = []

    async def slow(_request):
        entered.append(True)
        await asyncio.sleep(0.3)
        return Response(200, b"finished")

    with running(slow, loop_factory=loop_factory) as server:
        with raw_client(server.port) as idle, raw_client(server.port) as busy:
            busy.sendall(GET)
            deadline = time.monotonic() + 5
            while not entered:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            server.call(lambda: server.server.stop(5))
            head, body = read_response(busy)
            assert body == b"finished"
            assert b"connection: close" in head
            assert idle.recv(1) == b""
        with pytest.raises(OSError):
            plain_client(server.port).close()


def test_stopping_is_bounded(loop_factory):
    entered = []

    async def endless(_request):
        entered.append(True)
        await asyncio.sleep(60)
        return Response(200)

    with running(endless, loop_factory=loop_factory) as server, raw_client(server.port) as busy:
        busy.sendall(GET)
        while not entered:
            time.sleep(0.01)
        started = time.monotonic()
        server.call(lambda: server.server.stop(0.2))
        assert time.monotonic() - started < 5
        assert server.server.open_connections == 0


def test_many_connections_leave_none_behind():
    context = client_context()
    with running(ok) as server:
        for _ in range(300):
            with raw_client(server.port, context):
                pass
        with connect(f"127.0.0.1:{server.port}") as connection:
            assert connection.request("GET", "/").body == b"ok"
        server.wait_until_free()
