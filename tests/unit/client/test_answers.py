"""Answers of a CAS become values or errors of one kind."""

from __future__ import annotations

import json

import pytest

from scone.cli.output import exit_code
from scone.client.answers import hash_member, read_answer, refusal, text_member
from scone.errors import (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    NetworkError,
    NotFoundError,
    RejectedError,
    SconeError,
    UnavailableError,
    UnsupportedError,
    VerificationError,
)
from scone.transport.http import Response

URL = "https://cas:8081/"


def answer(status: int, **members: object) -> Response:
    return Response(status, json.dumps(members).encode())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("forbidden", ForbiddenError),
        ("not-found", NotFoundError),
        ("conflict", ConflictError),
        ("limit", LimitError),
        ("unavailable", UnavailableError),
        ("unsupported", UnsupportedError),
        ("not-genuine", VerificationError),
        ("not-trusted", AppraisalError),
        ("malformed", RejectedError),
        ("usage", RejectedError),
        ("integrity", RejectedError),
        ("state", RejectedError),
        ("network", RejectedError),
        ("invented", RejectedError),
    ],
)
def test_the_code_says_which_error(code: str, kind: type[SconeError]) -> None:
    error = refusal(answer(400, msg=["outer", "inner"], code=code), URL)
    assert isinstance(error, kind)
    assert error.messages == (
        "CAS at 'https://cas:8081/' returned HTTP error status code 400 Bad Request",
        "outer",
        "inner",
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, ForbiddenError), (404, NotFoundError), (409, ConflictError), (429, LimitError),
     (503, UnavailableError), (500, RejectedError), (499, RejectedError)],
)  # fmt: skip
def test_without_a_code_the_status_says_it(status: int, kind: type[SconeError]) -> None:
    assert type(refusal(answer(status, msg=["old CAS"]), URL)) is kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"msg": "text"}',
        b'{"msg": [1, null, {}]}',
        b'{"msg": [], "code": 7}',
        b"\xff",
    ],
)
def test_a_refusal_of_any_shape_is_one(body: bytes) -> None:
    error = refusal(Response(500, body), URL)
    assert type(error) is RejectedError
    assert error.messages == (
        "CAS at 'https://cas:8081/' returned HTTP error status code 500 Internal Server Error",
    )


def test_a_flood_of_messages_is_bounded() -> None:
    assert len(refusal(answer(400, msg=["x"] * 10_000), URL).messages) == 51


@pytest.mark.parametrize("status", [100, 204 + 100, 301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    error = refusal(Response(status, b"", (("location", "https://elsewhere/"),)), URL)
    assert type(error) is NetworkError


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'{"a":1,"a":2}', b'{"a": NaN}', b"\xff", b"{}{}", b"[" * 5000],
)
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(NetworkError, match="did not answer properly"):
        read_answer(Response(200, body), URL)


def test_members_are_typed() -> None:
    found = read_answer(answer(201, hash="ab" * 32, text="x", number=1), URL)
    assert hash_member(found, "hash", URL) == "ab" * 32
    assert text_member(found, "text", URL) == "x"
    for name in ("number", "absent"):
        with pytest.raises(NetworkError):
            text_member(found, name, URL)
    for wrong in ("", "AB" * 32, "ab" * 31, "ab" * 33, "zz" * 32):
        with pytest.raises(NetworkError):
            hash_member({"hash": wrong}, "hash", URL)


@pytest.mark.parametrize("code", ["malformed", "usage", "unresolved", "integrity", "state"])
def test_a_refusal_has_the_code_of_the_cas_and_is_no_fault_of_this_side(code):
    body = json.dumps({"msg": ["no"], "code": code, "cas_version": "1"}).encode()
    error = refusal(Response(400, body), URL)
    assert isinstance(error, RejectedError)
    assert error.code == code
    assert exit_code(error) == 1
