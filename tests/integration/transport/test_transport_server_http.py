"""The server's HTTP: order, framing, errors, and what a client may send when."""

import asyncio
import json
import logging
import socket
import threading

import pytest

from integration.transport.transport_peers import (
    LOOPBACK,
    raw_client,
    read_all,
    read_response,
    running,
)
from scone.errors import StateError
from scone.transport.address import Address
from scone.transport.http import Response
from scone.transport.listener import listen
from scone.transport.server import Limits

HEAD = b"Host: cas\r\n"


def get(path, extra=b""):
    return b"GET " + path + b" HTTP/1.1\r\n" + HEAD + extra + b"\r\n"


async def echo(request):
    body = json.dumps([request.method, request.path, dict(request.query), len(request.body)])
    return Response(200, body.encode())


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    return pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None


def test_requests_on_one_connection_are_answered_in_their_order(loop_factory):
    order = []

    async def handler(request):
        await asyncio.sleep(0.05 if request.path == "/1" else 0)
        order.append(request.path)
        return Response(200, request.path.encode(), (("content-type", "text/plain"),))

    with running(handler, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        sock.sendall(get(b"/1") + get(b"/2") + get(b"/3", b"Connection: close\r\n"))
        data = read_all(sock)
    assert order == ["/1", "/2", "/3"]
    assert [data.count(b"\r\n\r\n/%d" % n) for n in (1, 2, 3)] == [1, 1, 1]
    assert data.count(b"connection: close") == 1


def test_a_request_that_arrives_byte_by_byte_is_read(loop_factory):
    with running(echo, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        for byte in b"POST /a?b=c HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi":
            sock.sendall(bytes([byte]))
        assert json.loads(read_response(sock)[1]) == ["POST", "/a", {"b": "c"}, 2]


def test_a_large_body_arrives_whole(loop_factory):
    size = 2 * 1024 * 1024
    with running(echo, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        sock.sendall(b"PUT /b HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        assert json.loads(read_response(sock)[1]) == ["PUT", "/b", {}, size]


def test_a_head_request_has_a_length_and_no_body():
    with running(echo) as server, raw_client(server.port) as sock:
        sock.sendall(b"HEAD /h HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        data = read_all(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"content-length: 21" in head
    assert body == b""


def test_a_client_that_expects_100_continue_gets_it_before_its_body():
    with running(echo) as server, raw_client(server.port) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"x")
        assert json.loads(read_response(sock)[1]) == ["POST", "/", {}, 1]


def test_a_body_over_the_limit_is_refused_before_it_is_sent():
    with (
        running(echo, limits=Limits(body_bytes=10)) as server,
        raw_client(server.port) as sock,
    ):
        sock.sendall(
            b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"
        )
        head, body = read_response(sock)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert json.loads(body) == {"msg": ["request body larger than 10 bytes"], "code": "limit"}
        assert sock.recv(10) == b""


def test_a_refusal_reaches_a_client_that_is_still_sending(loop_factory):
    size = 1_000_000  # more than the peer reads before it refuses, less than it drains
    with (
        running(echo, limits=Limits(body_bytes=10), loop_factory=loop_factory) as server,
        raw_client(server.port) as sock,
    ):
        sock.sendall(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        assert read_response(sock)[0].startswith(b"HTTP/1.1 413 ")


def test_bytes_that_are_no_request_get_one_error_and_the_connection_closes():
    with running(echo) as server, raw_client(server.port) as sock:
        sock.sendall(get(b"/ok") + get(b"/../x"))
        assert read_response(sock)[0].startswith(b"HTTP/1.1 200 ")
        head, body = read_response(sock)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["code"] == "malformed"
        assert sock.recv(10) == b""


def test_a_failing_handler_gives_500_without_details_and_logs_none(caplog):
    caplog.set_level(logging.DEBUG)

    async def handler(request):
        raise RuntimeError("the key is hunter2 " + request.body.decode())

    with running(handler) as server, raw_client(server.port) as sock:
        sock.sendall(b"POST /s3 HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\n\r\nbody")
        head, body = read_response(sock)
        assert sock.recv(10) == b""
    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body) == {"msg": ["internal error"], "code": "failed"}
    assert "a request handler failed with RuntimeError at" in caplog.text
    for secret in ("hunter2", "body", "s3"):
        assert secret not in caplog.text


def test_a_response_that_cannot_be_framed_is_a_500():
    async def handler(_request):
        return Response(200, b"", (("x", "a\r\nb: c"),))

    with running(handler) as server, raw_client(server.port) as sock:
        sock.sendall(get(b"/"))
        assert read_response(sock)[0].startswith(b"HTTP/1.1 500 ")


def test_a_client_that_has_closed_its_side_still_gets_its_answer(loop_factory):
    async def handler(_request):
        await asyncio.sleep(0.1)
        return Response(200, b"late")

    with running(handler, loop_factory=loop_factory) as server, raw_client(server.port) as sock:
        sock.sendall(get(b"/"))
        socket.socket.shutdown(sock, socket.SHUT_WR)  # below TLS, as a crash would
        assert read_response(sock)[1] == b"late"


def test_a_handler_goes_on_when_its_client_has_gone(loop_factory):
    entered = threading.Event()
    finished = []

    async def handler(_request):
        entered.set()
        await asyncio.sleep(0.2)
        finished.append(True)
        return Response(200)

    with running(handler, loop_factory=loop_factory) as server:
        with raw_client(server.port) as sock:
            sock.sendall(get(b"/"))
            assert entered.wait(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.wait_until_free()
    assert finished == [True]


def test_a_second_server_on_the_port_is_noticed():
    with listen(LOOPBACK) as first:
        port = first.getsockname()[1]
        with pytest.raises(StateError) as caught:
            listen(Address("127.0.0.1", port))
        assert first.proto == socket.IPPROTO_TCP
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(StateError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen(Address("192.0.2.1", 0))


def test_ipv6_is_listened_on():
    with listen(Address("::1", 0)) as listener:
        assert listener.family == socket.AF_INET6
