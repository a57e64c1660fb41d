"""Request targets and response bytes."""

import json

import pytest

from scone.errors import MalformedError
from scone.transport.http import Request, Response, encode_response, error_response, parse_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", {}),
        (b"/v1/sessions/ns/p1", "/v1/sessions/ns/p1", {}),
        (b"/v1/sessions/ns%2Fp1", "/v1/sessions/ns/p1", {}),
        (b"/v1/values/session=a,secret=b", "/v1/values/session=a,secret=b", {}),
        (b"/a%20b/", "/a b/", {}),
        (b"/%C3%A9", "/é", {}),
        (b"/a%252e", "/a%2e", {}),
        (b"/a+b", "/a+b", {}),
        (b"/a?hash=00ff", "/a", {"hash": "00ff"}),
        (b"/a?x=1&y=&z=a%3Db=c", "/a", {"x": "1", "y": "", "z": "a=b=c"}),
        (b"/a?p=/..", "/a", {"p": "/.."}),
    ],
)
def test_a_target_is_decoded_once(target, path, query):
    assert parse_target(target) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"v1/version",
        b"http://cas/v1/version",
        b"/a#b",
        b"//a",
        b"/a//b",
        b"/a/%2Fb",
        b"/.",
        b"/..",
        b"/a/./b",
        b"/a/../b",
        b"/a/%2e%2E/b",
        b"/a%2f..%2fb",
        b"/a%",
        b"/a%2",
        b"/a%zz",
        b"/a%+2",
        b"/%ff",
        b"/%c0%ae",
        b"/%ed%a0%80",
        b"/a%00",
        b"/a%0d%0a",
        b"/a%7f",
        b"/a?",
        b"/a?x",
        b"/a?=1",
        b"/a?x=1&",
        b"/a?x=1&x=2",
        b"/a?x=1&%78=2",
        b"/a?x=a+b",
        b"/a?x=%0a",
        b"/a?x=%",
    ],
)
def test_a_target_that_two_readers_could_read_differently_is_refused(target):
    with pytest.raises(MalformedError):
        parse_target(target)


def test_a_response_is_one_buffer_framed_by_its_length():
    response = Response(201, b"{}", (("Location", "/x"),))
    assert encode_response(response, keep_alive=True, date="D") == (
        b"HTTP/1.1 201 Created\r\nLocation: /x\r\ncontent-type: application/json\r\n"
        b"content-length: 2\r\ndate: D\r\n\r\n{}"
    )


def test_the_last_response_says_that_the_connection_closes():
    assert encode_response(Response(200), keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )


def test_a_head_response_tells_the_length_and_has_no_body():
    response = Response(200, b"text", (("content-type", "text/plain"),))
    assert encode_response(response, keep_alive=True, without_body=True) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n"
    )


def test_a_response_that_has_no_body_by_its_status_has_no_length():
    assert encode_response(Response(204), keep_alive=True) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_status_without_a_known_reason_is_written():
    assert encode_response(Response(299), keep_alive=True).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize(
    "header",
    [
        ("x", "a\r\nset-cookie: b"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x", "\u20ac"),
        ("x y", "a"),
        ("x:", "a"),
        ("", "a"),
        ("é", "a"),
        ("Content-Length", "7"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ],
)
def test_a_header_that_would_break_the_framing_is_refused(header):
    with pytest.raises(ValueError):
        encode_response(Response(200, b"", (header,)), keep_alive=True)


def test_an_error_has_the_form_of_the_rest_interface():
    response = error_response(413, "limit", 'too "large"')
    assert response.status == 413
    assert json.loads(response.body) == {"msg": ['too "large"'], "code": "limit"}


def test_a_header_is_found_whatever_its_case():
    response = Response(200, headers=(("Retry-After", "1"),))
    assert response.header("retry-after") == "1"
    assert response.header("age") is None


def test_no_header_and_no_body_is_in_a_repr():
    secret = "5f1d-hunter2"
    request = Request("POST", "/v1/provision", headers={"x": secret}, body=secret.encode())
    response = Response(200, secret.encode(), (("x", secret),))
    assert secret not in repr(request)
    assert secret not in repr(response)
    assert repr(response) == "Response(status=200)"
