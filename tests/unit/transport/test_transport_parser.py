"""HTTP/1.1 framing: the same events however bytes arrive, or one protocol error."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scone.errors import NetworkError
from scone.transport.http import Response
from scone.transport.http_parser import (
    ContinueExpected,
    ParsedRequest,
    ProtocolError,
    RequestParser,
    ResponseParser,
)
from scone.transport.limits import Limits

LIMITS = Limits(target_bytes=100, head_bytes=400, header_count=8, body_bytes=1000)
HOST = b"Host: cas\r\n"


def parse(data, step=None, limits=LIMITS):
    parser = RequestParser(limits)
    step = step or max(1, len(data))
    events = []
    for at in range(0, len(data), step):
        events += parser.feed(data[at : at + step])
    return events


def post(head, body=b"", line=b"POST /x HTTP/1.1\r\n", host=HOST):
    return line + host + head + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"

ACCEPTED = {
    "get": (post(b"", line=b"GET /a?b=c HTTP/1.1\r\n"), ["GET /a True b''"]),
    "head": (post(b"", line=b"HEAD /a HTTP/1.1\r\n"), ["HEAD /a True b''"]),
    "options": (post(b"", line=b"OPTIONS /a HTTP/1.1\r\n"), ["OPTIONS /a True b''"]),
    "body": (post(b"Content-Length: 3\r\n", b"abc"), ["POST /x True b'abc'"]),
    "chunked": (post(CHUNKED, b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n"), ["POST /x True b'abcd'"]),
    "close": (post(b"Connection: close\r\n"), ["POST /x False b''"]),
    "http/1.0": (b"GET / HTTP/1.0\r\n\r\n", ["GET / False b''"]),
    "http/1.0 keep-alive": (
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ["GET / False b''"],
    ),
    "two": (
        post(b"Content-Length: 1\r\n", b"a") + post(b"", line=b"PUT /y HTTP/1.1\r\n"),
        ["POST /x True b'a'", "PUT /y True b''"],
    ),
    "continue": (
        post(b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"a"),
        ["continue", "POST /x True b'a'"],
    ),
    "continue without body": (post(b"Expect: 100-continue\r\n"), ["POST /x True b''"]),
    "empty lines first": (b"\r\n\r\n" + post(b""), ["POST /x True b''"]),
}

REFUSED = {
    "no http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
    "garbage": (b"hello\r\n\r\n", 400),
    "http/0.9": (b"GET /\r\n\r\n", 505),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (post(b"Host: other\r\n"), 400),
    "method": (post(b"", line=b"PROPFIND /x HTTP/1.1\r\n"), 501),
    "method in lower case": (post(b"", line=b"get /x HTTP/1.1\r\n"), 400),
    "connect": (post(b"", line=b"CONNECT cas:1 HTTP/1.1\r\n"), 501),
    "absolute form": (post(b"", line=b"GET http://cas/x HTTP/1.1\r\n"), 400),
    "asterisk form": (post(b"", line=b"OPTIONS * HTTP/1.1\r\n"), 400),
    "dot segment": (post(b"", line=b"GET /a/%2e%2e/b HTTP/1.1\r\n"), 400),
    "upgrade": (post(b"Connection: upgrade\r\nUpgrade: h2c\r\n"), 400),
    "two lengths": (post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"a"), 400),
    "list of lengths": (post(b"Content-Length: 1, 1\r\n", b"a"), 400),
    "signed length": (post(b"Content-Length: +1\r\n", b"a"), 400),
    "length of 2**64": (post(b"Content-Length: 18446744073709551616\r\n"), 400),
    "length and chunked": (post(b"Content-Length: 1\r\n" + CHUNKED, b"0\r\n\r\n"), 400),
    "chunked and length": (post(CHUNKED + b"Content-Length: 1\r\n", b"0\r\n\r\n"), 400),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "chunked twice": (post(CHUNKED + CHUNKED, b"0\r\n\r\n"), 400),
    "chunked in 1.0": (post(CHUNKED, b"0\r\n\r\n", line=b"POST /x HTTP/1.0\r\n"), 501),
    "chunk size": (post(CHUNKED, b"-1\r\na\r\n0\r\n\r\n"), 400),
    "chunk size with 0x": (post(CHUNKED, b"0x1\r\na\r\n0\r\n\r\n"), 400),
    "trailer": (post(CHUNKED, b"0\r\nX: y\r\n\r\n"), 400),
    "bare line feed": (b"GET / HTTP/1.1\nHost: cas\n\n", 400),
    "folded field": (post(b"X: a\r\n b\r\n"), 400),
    "space before colon": (post(b"X : a\r\n"), 400),
    "nul in field": (post(b"X: a\0b\r\n"), 400),
    "expectation": (post(b"Expect: tea\r\n"), 417),
    "target too long": (post(b"", line=b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n"), 414),
    "field too long": (post(b"X: " + b"a" * 400 + b"\r\n"), 431),
    "too many fields": (post(b"".join(b"X%d: a\r\n" % n for n in range(8))), 431),
    "length too large": (post(b"Content-Length: 1001\r\n"), 413),
    "length too large, awaited": (
        post(b"Expect: 100-continue\r\nContent-Length: 1001\r\n"),
        413,
    ),
    "chunks too large": (post(CHUNKED, b"1f4\r\n" + b"a" * 500 + b"\r\n1f5\r\n" + b"a" * 501), 413),
}


def told(event):
    match event:
        case ContinueExpected():
            return "continue"
        case ParsedRequest():
            return f"{event.method} {event.path} {event.keep_alive} {event.body!r}"
    return event


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_gives_its_events(name, step):
    data, expected = ACCEPTED[name]
    assert [told(event) for event in parse(data, step)] == expected


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_gives_one_error_with_its_status(name, step):
    data, status = REFUSED[name]
    events = parse(data, step)
    assert isinstance(events[-1], ProtocolError)
    assert events[-1].status == status
    assert not any(isinstance(event, ParsedRequest) for event in events)


def test_fields_have_lower_case_names_and_repeated_lists_are_joined():
    (request,) = parse(post(b"X-A:  b \t\r\nx-a: c\r\nEmpty:\r\n"))
    assert request.headers == {"host": "cas", "x-a": "b, c", "empty": ""}


def test_the_query_reaches_the_event():
    (request,) = parse(post(b"", line=b"GET /a?b=c%20d HTTP/1.1\r\n"))
    assert (request.path, request.query) == ("/a", {"b": "c d"})


def test_a_request_before_an_error_is_delivered():
    events = parse(post(b"") + b"\0")
    assert isinstance(events[0], ParsedRequest)
    assert isinstance(events[1], ProtocolError)
    assert len(events) == 2


def test_nothing_follows_an_error():
    parser = RequestParser(LIMITS)
    assert isinstance(parser.feed(b"\0")[-1], ProtocolError)
    assert parser.feed(post(b"")) == []


def test_a_field_that_never_ends_is_refused_before_it_is_whole():
    parser = RequestParser(LIMITS)
    parser.feed(b"GET / HTTP/1.1\r\nX: ")
    events = []
    fed = 0
    while not events:
        events = parser.feed(b"a" * 1000)
        fed += 1000
        assert fed < 200_000
    assert events[0].status == 431


def test_endless_empty_lines_are_refused():
    parser = RequestParser(LIMITS)
    events = []
    for _ in range(200):
        events += parser.feed(b"\r\n" * 500)
    assert [event.status for event in events] == [431]


def test_many_small_requests_on_one_connection_are_no_large_head():
    parser = RequestParser(LIMITS)
    count = 3000
    assert sum(len(parser.feed(post(b""))) for _ in range(count)) == count


def test_a_body_of_the_exact_limit_is_accepted():
    body = b"b" * LIMITS.body_bytes
    (request,) = parse(post(b"Content-Length: 1000\r\n", body))
    assert request.body == body


def test_a_large_body_fed_at_once_is_no_large_head():
    limits = replace(LIMITS, body_bytes=1_000_000)
    body = b"b" * 1_000_000
    (request,) = parse(post(b"Content-Length: 1000000\r\n", body), limits=limits)
    assert len(request.body) == 1_000_000


def test_a_begun_request_is_known():
    parser = RequestParser(LIMITS)
    seen = [parser.in_message]
    for part in (b"POST", b" /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n", b"a"):
        parser.feed(part)
        seen.append(parser.in_message)
    assert seen == [False, True, True, False]


PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b=c HTTP/1.1\r\n",
        b"HTTP/1.0\r\n",
        HOST,
        b"\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        CHUNKED,
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: x\r\nConnection: upgrade\r\n",
        b"X: y\r\n",
        b": ",
        b"%2e",
        b"\0",
        b"\n",
        b" ",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=20).map(b"".join),
    )
)
@example(post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n") * 2)
def test_any_bytes_give_requests_then_at_most_one_error_however_they_arrive(data):
    whole = parse(data)
    assert [event for event in whole if isinstance(event, ProtocolError)] in (
        [],
        [whole[-1]] if whole else [],
    )
    bytewise = parse(data, 1)
    strip = [event for event in whole if not isinstance(event, ProtocolError)]
    assert [event for event in bytewise if not isinstance(event, ProtocolError)] == strip
    assert [e.status for e in whole if isinstance(e, ProtocolError)] == [
        e.status for e in bytewise if isinstance(e, ProtocolError)
    ]


# Answers, as a client reads them.


def answer(data, step=None, **options):
    parser = ResponseParser(max_body=options.pop("max_body", 100), **options)
    step = step or len(data)
    for at in range(0, len(data), step):
        parser.feed(data[at : at + step])
    return parser


@pytest.mark.parametrize("step", [None, 1])
def test_an_answer_is_read(step):
    parser = answer(b"HTTP/1.1 200 OK\r\nX-A: b \r\nContent-Length: 2\r\n\r\nok", step)
    assert parser.response == Response(200, b"ok", (("x-a", "b"), ("content-length", "2")))
    assert parser.response.body == b"ok"
    assert parser.keep_alive


@pytest.mark.parametrize("step", [None, 1])
def test_a_chunked_answer_is_read_and_its_trailers_dropped(step):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    parser = answer(head + b"2\r\nok\r\n0\r\nT: x\r\n\r\n", step)
    assert parser.response is not None
    assert parser.response.body == b"ok"
    assert parser.response.header("t") is None
    assert not parser.keep_alive


@pytest.mark.parametrize("step", [None, 1])
def test_interim_answers_are_passed_over(step):
    data = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 2 + b"HTTP/1.1 204 No Content\r\n\r\n"
    assert answer(data, step).response == Response(204, b"", ())


def test_the_answer_to_head_has_no_body():
    parser = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", bodiless=True)
    assert parser.response == Response(200, b"", (("content-length", "9"),))
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"a" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"a" * 101,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_or_too_large_is_a_network_error(data):
    with pytest.raises(NetworkError):
        assert answer(data).response is None
        raise AssertionError("accepted")


def test_an_answer_without_a_length_is_not_whole():
    assert answer(b"HTTP/1.1 200 OK\r\n\r\nabc").response is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail) | st.binary())
def test_any_bytes_give_an_answer_or_one_network_error(data):
    parser = ResponseParser(max_body=100)
    with contextlib.suppress(NetworkError):  # any other exception fails the test
        parser.feed(data)
    assert parser.response is None or parser.response.status >= 200
