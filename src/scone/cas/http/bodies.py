"""Request bodies: JSON objects whose every member is named, typed and expected."""

from __future__ import annotations

from scone.documents import Node, read_json
from scone.errors import MalformedError
from scone.strict_json import decode, parse_base64, parse_hex, read_object, read_spans

_PLACE = "request body"


class Body:
    """Reads one JSON object member by member; `end` refuses what is left over."""

    def __init__(self, raw: bytes) -> None:
        """Parse the object.

        Raises:
            MalformedError: not one JSON object in UTF-8.
        """
        self._text = decode(raw, _PLACE, len(raw))
        self._left = read_object(self._text, _PLACE)

    def document(self, name: str) -> Node:
        """A mandatory member as a tree with positions.

        Raises:
            MalformedError: there is none.
            DocumentError: it is outside the limits of documents.
        """
        if name not in self._left:
            raise MalformedError(_PLACE, f"the member {name!r}", "an object without it")
        del self._left[name]
        return read_json(read_spans(self._text, _PLACE)[name], name)

    def text(self, name: str) -> str:
        """A mandatory string.

        Raises:
            MalformedError: there is none.
        """
        found = self.optional_text(name)
        if found is None:
            raise MalformedError(f"{_PLACE}.{name}", "a string", "none")
        return found

    def optional_text(self, name: str) -> str | None:
        """A string, or None where it is absent or null.

        Raises:
            MalformedError: another type.
        """
        found = self._left.pop(name, None)
        if found is not None and not isinstance(found, str):
            raise MalformedError(f"{_PLACE}.{name}", "a string", "another type")
        return found

    def hexadecimal(self, name: str, length: int) -> bytes:
        """A string of 2 * length hexadecimal digits.

        Raises:
            MalformedError: absent or something else.
        """
        return parse_hex(self.text(name), f"{_PLACE}.{name}", length)

    def optional_hexadecimal(self, name: str, length: int) -> bytes | None:
        """The same, or None where it is absent or null.

        Raises:
            MalformedError: something else.
        """
        text = self.optional_text(name)
        return None if text is None else parse_hex(text, f"{_PLACE}.{name}", length)

    def base64(self, name: str) -> bytes:
        """Bytes in canonical base64.

        Raises:
            MalformedError: absent or something else.
        """
        text = self.text(name)
        return parse_base64(text, f"{_PLACE}.{name}", len(text))

    def optional_base64(self, name: str) -> bytes | None:
        """The same, or None where it is absent or null.

        Raises:
            MalformedError: something else.
        """
        text = self.optional_text(name)
        return None if text is None else parse_base64(text, f"{_PLACE}.{name}", len(text))

    def raw(self, name: str) -> bytes:
        """A mandatory member as its bytes as received.

        Raises:
            MalformedError: there is none.
        """
        if self._left.pop(name, None) is None:
            raise MalformedError(_PLACE, f"the member {name!r}", "an object without it")
        return read_spans(self._text, _PLACE)[name].encode()

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A mandatory list of 1 to `most` different strings.

        Raises:
            MalformedError: something else.
        """
        listed = self._left.pop(name, None)
        found = listed if isinstance(listed, list) else []
        texts = tuple(item for item in found if isinstance(item, str))
        if not 1 <= len(set(texts)) == len(found) <= most:
            raise MalformedError(f"{_PLACE}.{name}", f"a list of 1 to {most} different strings")
        return texts

    def integer(self, name: str, least: int, most: int) -> int:
        """A mandatory whole number within bounds.

        Raises:
            MalformedError: something else.
        """
        found = self._left.pop(name, None)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise MalformedError(f"{_PLACE}.{name}", f"a whole number from {least} to {most}")
        return found

    def end(self) -> None:
        """Refuse members that nobody asked for.

        Raises:
            MalformedError: there are some.
        """
        if self._left:
            raise MalformedError(_PLACE, "no other members", f"{min(self._left)[:64]!r}")
