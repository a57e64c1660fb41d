"""What a CAS answered: JSON of a known shape, or its refusal as an error of ours.

An answer comes from an attested CAS, yet is read as strictly as anybody's: its size is
bounded by the transport, its members are typed here. Redirects are not followed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from scone.errors import (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    MalformedError,
    NetworkError,
    NotFoundError,
    RejectedError,
    SconeError,
    UnavailableError,
    UnsupportedError,
    VerificationError,
)
from scone.strict_json import (
    JsonObject,
    decode,
    read_object,
    text_of,
)
from scone.transport.http import Response

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024  # a session of 1 MiB, escaped as JSON
_MAX_MESSAGES: Final = 50
_MAX_HINT: Final = 500


_ERRORS: Final[dict[str, type[SconeError]]] = {
    error.code: error
    for error in (
        AppraisalError,
        ConflictError,
        ForbiddenError,
        LimitError,
        NotFoundError,
        UnavailableError,
        UnsupportedError,
        VerificationError,
    )
}
# Kinds of their own, since the same codes say something else of this side.
_REJECTED: Final[dict[str, type[SconeError]]] = {
    code: type("RejectedError", (RejectedError,), {"code": code, "__doc__": RejectedError.__doc__})
    for code in ("malformed", "usage", "unresolved", "integrity", "state")
}
_BY_STATUS: Final = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: LimitError,
    429: LimitError,
    503: UnavailableError,
}


def read_answer(response: Response, url: str) -> JsonObject:
    """The JSON object of a successful answer.

    Raises:
        SconeError: the CAS's refusal, by its code.
        NetworkError: neither success nor refusal, or not JSON.
    """
    if not 200 <= response.status < 300:
        raise refusal(response, url)
    try:
        return read_object(decode(response.body, "answer", MAX_ANSWER_BYTES), "answer")
    except MalformedError as error:
        raise _not_understood(url, error) from error


def refusal(response: Response, url: str) -> SconeError:
    """The error that an answer other than success stands for."""
    status = response.status
    outer = f"CAS at '{url}' returned HTTP error status code {_status(status)}"
    if status < 400:
        return NetworkError(f"{outer}: a redirect or an unfinished answer, which is not followed")
    code, messages = "", []
    try:
        body = read_object(decode(response.body, "answer", MAX_ANSWER_BYTES), "answer")
    except MalformedError:
        body = {}
    listed = body.get("msg")
    if isinstance(listed, list):
        messages = [item for item in listed[:_MAX_MESSAGES] if isinstance(item, str) and item]
    if isinstance(body.get("code"), str):
        code = str(body["code"])
    known = _ERRORS | _REJECTED if code else {}
    kind = known.get(code) or (None if code else _BY_STATUS.get(status)) or RejectedError
    hint = body.get("hint")
    error = kind(outer, hint=hint[:_MAX_HINT] if isinstance(hint, str) else "")
    error.messages = (outer, *messages)
    return error


def text_member(answer: JsonObject, name: str, url: str) -> str:
    """A member that is a string.

    Raises:
        NetworkError: absent or of another type.
    """
    try:
        return text_of(answer, name, "answer")
    except MalformedError as error:
        raise _not_understood(url, error) from error


def hash_member(answer: JsonObject, name: str, url: str) -> str:
    """A member that is a session hash: 64 hex digits in lower case.

    Raises:
        NetworkError: anything else.
    """
    text = text_member(answer, name, url)
    if len(text) != 64 or any(character not in "0123456789abcdef" for character in text):
        raise NetworkError(
            f"CAS at '{url}' did not answer properly: expected a hash of 64 hex digits"
        )
    return text


def _not_understood(url: str, error: MalformedError) -> NetworkError:
    return NetworkError(f"CAS at '{url}' did not answer properly: {error}")


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
