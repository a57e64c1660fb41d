"""Base64 in JSON: one text for each value, bounded."""

import pytest

from scone.errors import MalformedError
from scone.strict_json import base64_of, parse_base64, to_base64


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"", ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foobar", "Zm9vYmFy"), (b"\xff\xfe", "//4=")],
)
def test_bytes_have_one_text(raw, text):
    assert to_base64(raw) == text
    assert parse_base64(text, "place", len(raw)) == raw
    assert base64_of({"key": text}, "key", "place", len(raw)) == raw


@pytest.mark.parametrize(
    "text",
    ["Zg", "Zg=", "Zh==", "Zg==\n", " Zg==", "Z g==", "Zg==Zg==", "Zm9vYmFy=", "__4=", "Zä==", "="],
)
def test_another_text_is_malformed(text):
    with pytest.raises(MalformedError, match=r"^place: expected (canonical )?base64, got another"):
        parse_base64(text, "place", 100)


@pytest.mark.parametrize("value", [None, 7, True, ["Zg=="], {}])
def test_another_type_is_malformed(value):
    with pytest.raises(MalformedError, match=f"a string, got {type(value).__name__}"):
        parse_base64(value, "place", 100)
    with pytest.raises(MalformedError, match=r"^place\.key: expected a string"):
        base64_of({"key": value}, "key", "place", 100)


def test_an_absent_member_is_malformed():
    with pytest.raises(MalformedError, match=r"^place\.key: expected a string, got NoneType"):
        base64_of({}, "key", "place", 100)


@pytest.mark.parametrize("limit", range(6))
def test_the_limit_is_in_bytes(limit):
    assert parse_base64(to_base64(b"x" * limit), "place", limit) == b"x" * limit
    for length in (limit + 1, limit + 3, limit + 100):
        with pytest.raises(MalformedError, match=f"at most {limit} bytes, got more"):
            parse_base64(to_base64(b"x" * length), "place", limit)
