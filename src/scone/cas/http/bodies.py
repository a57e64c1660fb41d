"""Request bodies: JSON objects whose every member is named, typed and expected."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from scone.documents import Mapping, Node, Scalar, read_json
from scone.errors import MalformedError


class Body:
    """Reads one JSON object member by member; `end` refuses what is left over."""

    def __init__(self, raw: bytes) -> None:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise MalformedError("request body", "JSON in UTF-8", "other bytes") from None
        root = read_json(text, "request body")
        if not isinstance(root, Mapping):
            raise MalformedError("request body", "a JSON object")
        self._left = {key.text: value for key, value in root.entries}

    def node(self, name: str) -> Node:
        """A mandatory member of any type."""
        if name not in self._left:
            raise MalformedError("request body", f"the member {name!r}", "an object without it")
        return self._left.pop(name)

    def text(self, name: str) -> str:
        """A mandatory string."""
        found = self.optional_text(name)
        if found is None:
            raise MalformedError(f"request body.{name}", "a string", "none")
        return found

    def optional_text(self, name: str) -> str | None:
        """A string, or None where it is absent or null."""
        found = self._left.pop(name, None)
        if found is None or _is_null(found):
            return None
        if not isinstance(found, Scalar) or found.style == "plain":
            raise MalformedError(f"request body.{name}", "a string")
        return found.text

    def hexadecimal(self, name: str, length: int) -> bytes:
        """A string of 2 * length hexadecimal digits."""
        text = self.text(name)
        return _decoded(name, text, bytes.fromhex, f"{2 * length} hexadecimal digits", length)

    def optional_hexadecimal(self, name: str, length: int) -> bytes | None:
        """The same, or None where it is absent or null."""
        text = self.optional_text(name)
        if text is None:
            return None
        return _decoded(name, text, bytes.fromhex, f"{2 * length} hexadecimal digits", length)

    def optional_base64(self, name: str) -> bytes | None:
        """Bytes in standard base64, or None where it is absent or null."""
        text = self.optional_text(name)
        return None if text is None else _decoded(name, text, _strict_base64, "base64", None)

    def base64(self, name: str) -> bytes:
        """Bytes in standard base64."""
        return _decoded(name, self.text(name), _strict_base64, "base64", None)

    def end(self) -> None:
        """Refuse members that nobody asked for.

        Raises:
            MalformedError: there are some.
        """
        if self._left:
            raise MalformedError("request body", "no other members", f"{min(self._left)!r}")


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.style == "plain" and node.text == "null"


def _strict_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _decoded(
    name: str, text: str, decode: Callable[[str], bytes], expected: str, length: int | None
) -> bytes:
    # bytes.fromhex skips white space; what was sent must be what is meant.
    try:
        value = decode(text)
    except (ValueError, binascii.Error):
        raise MalformedError(f"request body.{name}", expected) from None
    if length is not None and (len(value) != length or len(text) != 2 * length):
        raise MalformedError(f"request body.{name}", expected, f"{len(text)} characters")
    return value
