"""JSON from the other side: one value, no duplicate keys, no NaN, bounded.

Byte spans are kept where a hash is taken over a value as it was received: UTF-8
decodes to exactly one text and back, so a span of the text is a span of the bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from scone.errors import MalformedError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

_SPACE: Final = " \t\n\r"
_MAX_DEPTH: Final = 32
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BRACKET: Final = re.compile(r"[\[\]{}]")


class _RefusedError(ValueError):
    """What the standard library would let pass."""


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RefusedError("a key twice")
    return result


def _constant(name: str) -> JsonValue:
    raise _RefusedError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def decode(raw: bytes, place: str, limit: int) -> str:
    """UTF-8 text of at most `limit` bytes.

    Raises:
        MalformedError: too long, or not UTF-8.
    """
    if len(raw) > limit:
        raise MalformedError(place, f"at most {limit} bytes", f"{len(raw)}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(place, "UTF-8 text", f"byte {error.start} is not") from error


def read_object(text: str, place: str) -> JsonObject:
    """The one JSON object that a text is.

    Raises:
        MalformedError: not JSON, a key twice, NaN, more than 32 levels, not an object.
    """
    value, end = _value(text, _skip(text, 0), place)
    if _skip(text, end) != len(text):
        raise MalformedError(place, "one JSON value", "text behind it")
    if not isinstance(value, dict):
        raise MalformedError(place, "a JSON object", type(value).__name__)
    return value


def read_spans(text: str, place: str) -> dict[str, str]:
    """The members of one JSON object, each as its text as received.

    Raises:
        MalformedError: as `read_object`.
    """
    read_object(text, place)  # whole and valid; what follows only finds the borders
    spans: dict[str, str] = {}
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, end) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(text, start)
        spans[key] = text[start:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def _value(text: str, at: int, place: str) -> tuple[JsonValue, int]:
    _bound_depth(text, place)
    try:
        value, end = _DECODER.raw_decode(text, at)
    except _RefusedError as error:
        raise MalformedError(place, "JSON", str(error)) from error
    except json.JSONDecodeError as error:
        raise MalformedError(place, "JSON", f"{error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits
        raise MalformedError(place, "JSON", "a value beyond the limits") from error
    if "\\u" in text and _has_surrogate(value):
        raise MalformedError(place, "Unicode text", "half of a surrogate pair")
    return value, end


def _bound_depth(text: str, place: str) -> None:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            raise MalformedError(place, f"at most {_MAX_DEPTH} levels", "more")


def _has_surrogate(value: JsonValue) -> bool:
    match value:
        case str():
            return any("\ud800" <= character <= "\udfff" for character in value)
        case list():
            return any(_has_surrogate(item) for item in value)
        case dict():
            return any(_has_surrogate(key) or _has_surrogate(item) for key, item in value.items())
        case _:
            return False


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def keys(
    value: Mapping[str, JsonValue], place: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    """Refuse missing and unknown keys.

    Raises:
        MalformedError: naming the first one.
    """
    for key in required:
        if key not in value:
            raise MalformedError(place, f"the key {key!r}", "none")
    for key in value:
        if key not in required and key not in optional:
            raise MalformedError(place, "known keys only", repr(key[:64]))


def text_of(value: Mapping[str, JsonValue], key: str, place: str) -> str:
    """A member that is a string.

    Raises:
        MalformedError: absent or of another type.
    """
    item = value.get(key)
    if not isinstance(item, str):
        raise MalformedError(f"{place}.{key}", "a string", type(item).__name__)
    return item


def int_of(value: Mapping[str, JsonValue], key: str, place: str, limit: int) -> int:
    """A member that is an integer from 0 to `limit`.

    Raises:
        MalformedError: absent, of another type or out of range.
    """
    item = value.get(key)
    if not isinstance(item, int) or isinstance(item, bool):
        raise MalformedError(f"{place}.{key}", "an integer", type(item).__name__)
    if not 0 <= item <= limit:
        raise MalformedError(f"{place}.{key}", f"0 to {limit}", "another integer")
    return item


def bool_of(value: Mapping[str, JsonValue], key: str, place: str) -> bool:
    """A member that is true or false.

    Raises:
        MalformedError: absent or of another type.
    """
    item = value.get(key)
    if not isinstance(item, bool):
        raise MalformedError(f"{place}.{key}", "true or false", type(item).__name__)
    return item


def object_of(value: Mapping[str, JsonValue], key: str, place: str) -> JsonObject:
    """A member that is an object.

    Raises:
        MalformedError: absent or of another type.
    """
    item = value.get(key)
    if not isinstance(item, dict):
        raise MalformedError(f"{place}.{key}", "an object", type(item).__name__)
    return item


def list_of(value: Mapping[str, JsonValue], key: str, place: str) -> list[JsonValue]:
    """A member that is a list.

    Raises:
        MalformedError: absent or of another type.
    """
    item = value.get(key)
    if not isinstance(item, list):
        raise MalformedError(f"{place}.{key}", "a list", type(item).__name__)
    return item


def hex_of(value: Mapping[str, JsonValue], key: str, place: str, length: int) -> bytes:
    """A member that is exactly `length` bytes as hex digits of either case.

    Raises:
        MalformedError: absent, of another type or length.
    """
    return parse_hex(text_of(value, key, place), f"{place}.{key}", length)


def parse_hex(text: str, place: str, length: int | None = None) -> bytes:
    """Bytes of a string of hex digits and nothing else (no spaces).

    Raises:
        MalformedError: another character, an odd number of them, another length.
    """
    expected = "an even number of hex digits" if length is None else f"{2 * length} hex digits"
    if length is not None and len(text) != 2 * length:
        raise MalformedError(place, expected, f"{len(text)} characters")
    if len(text) % 2 or not text.isascii() or not text.isalnum():
        raise MalformedError(place, expected, "another text")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise MalformedError(place, expected, "another text") from error


def bounded_text_of(value: Mapping[str, JsonValue], key: str, place: str, limit: int) -> str:
    """A member that is a string of at most `limit` characters.

    Raises:
        MalformedError: absent, of another type or longer.
    """
    text = text_of(value, key, place)
    if len(text) > limit:
        raise MalformedError(f"{place}.{key}", f"at most {limit} characters", f"{len(text)}")
    return text


def base64_of(value: Mapping[str, JsonValue], key: str, place: str, limit: int) -> bytes:
    """A member that is at most `limit` bytes in canonical base64.

    Raises:
        MalformedError: absent, of another type, longer or in another form.
    """
    return parse_base64(value.get(key), f"{place}.{key}", limit)


def parse_base64(text: JsonValue, place: str, limit: int) -> bytes:
    """The bytes of `to_base64`, at most `limit` of them; there is one text for each value.

    Raises:
        MalformedError: not a string, longer or in another form.
    """
    if not isinstance(text, str):
        raise MalformedError(place, "a string", type(text).__name__)
    if len(text) > (limit + 2) // 3 * 4:
        raise MalformedError(place, f"at most {limit} bytes", "more")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:  # also of characters that are not ASCII
        raise MalformedError(place, "base64", "another text") from error
    if to_base64(raw) != text:
        raise MalformedError(place, "canonical base64", "another form")
    if len(raw) > limit:
        raise MalformedError(place, f"at most {limit} bytes", "more")
    return raw


def to_base64(raw: bytes) -> str:
    """Base64 on one line, with padding (RFC 4648, section 4)."""
    return base64.b64encode(raw).decode("ascii")


def parse_base64url(text: str, place: str, limit: int) -> bytes:
    """The bytes of `to_base64url`, at most `limit` of them; there is one text for each value.

    Raises:
        MalformedError: longer or in another form.
    """
    if len(text) > (limit + 2) // 3 * 4:
        raise MalformedError(place, f"at most {limit} bytes", "more")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # also of characters that are not ASCII
        raise MalformedError(place, "base64url without padding") from None
    if to_base64url(raw) != text:  # the decoder skips what does not belong there
        raise MalformedError(place, "base64url without padding")
    if len(raw) > limit:
        raise MalformedError(place, f"at most {limit} bytes", "more")
    return raw


def to_base64url(raw: bytes) -> str:
    """Base64 for URLs on one line, without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
