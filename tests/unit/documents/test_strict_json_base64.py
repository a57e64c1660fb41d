"""Base64 in JSON: one text for each value, bounded."""

import pytest

from scone.errors import MalformedError
from scone.strict_json import base64_of, parse_base64, parse_base64url, to_base64, to_base64url


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


@pytest.mark.parametrize("length", range(6))
def test_base64url_has_one_text_without_padding_for_each_value(length):
    raw = b"\xfb\xff\xfe\xfb\xff"[:length]
    text = to_base64url(raw)
    assert not set(text) & set("+/=")
    assert parse_base64url(text, "place", length) == raw


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "+/8", "A A", "AA\n", "ä"])
def test_another_text_is_no_base64url(text):
    with pytest.raises(MalformedError, match=r"^place: expected base64url without padding"):
        parse_base64url(text, "place", 100)


def test_base64url_of_more_than_the_limit_is_refused():
    for length in (3, 4, 100):
        with pytest.raises(MalformedError, match="at most 2 bytes"):
            parse_base64url(to_base64url(bytes(length)), "place", 2)
