"""Putting secret values into texts, once for a whole configuration and within its limits.

A value is data: it is never looked at again for placeholders, quotes or spaces. Each placeholder
is rendered once, however often it stands there, and the values together have a limit, because a
short text can name a long secret many times.
"""

from __future__ import annotations

from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, UsageError
from scone.service_config.model import MAX_CONTENT
from scone.session.placeholders import Placeholder, find
from scone.session.secrets import Loaded, SecretValues, render


class Expansion:
    """Expands texts with one set of secret values; counts what it has given out."""

    __slots__ = ("_identity", "_left", "_loaded", "_rendered", "_values")

    def __init__(
        self, values: SecretValues, software_identity: str | None, limit: int = MAX_CONTENT
    ) -> None:
        """`software_identity` is the measurement of the attested program; None: nothing was."""
        self._values = values
        self._identity = software_identity
        self._rendered: dict[Placeholder, bytes] = {}
        self._loaded = Loaded()
        self._left = limit

    def file(self, text: str, place: str) -> SecretBytes:
        """A text with its placeholders replaced, any bytes allowed.

        Raises:
            NotFoundError: a placeholder for a secret that is not there.
            UsageError: a format that the secret does not have.
            MalformedError: something begins like a placeholder and is none.
            LimitError: the configuration becomes too large.
        """
        # "surrogateescape": a template from the launcher's disk may hold any bytes.
        parts = (
            part.encode("utf-8", "surrogateescape") if isinstance(part, str) else self._value(part)
            for part in find(text, place=place)
        )
        return self._joined(list(parts), place)

    def string(self, text: str, place: str) -> SecretBytes:
        """As `file`, for an argument or an environment variable, which cannot hold NUL.

        Raises:
            UsageError: a NUL in the text, or in a secret, which is named; and as `file`.
            NotFoundError: as `file`.
            MalformedError: as `file`.
            LimitError: as `file`.
        """
        parts: list[bytes] = []
        for part in find(text, place=place):
            if isinstance(part, str):
                content, what = part.encode("utf-8"), "the text"
            else:
                content, what = self._value(part), f"the value of {part}"
            if b"\0" in content:
                raise UsageError(
                    f"{place}: {what} has a NUL byte, which ends a C string",
                    hint="use a text format, such as :hex or :base64",
                )
            parts.append(content)
        return self._joined(parts, place)

    def _value(self, placeholder: Placeholder) -> bytes:
        if placeholder.builtin:
            if self._identity is None:
                raise UsageError(
                    f"{placeholder}: no program was attested that could be meant",
                    hint="a session with mode: none attests no program",
                )
            return self._identity.encode("ascii")
        if placeholder not in self._rendered:
            self._rendered[placeholder] = render(self._values, placeholder, self._loaded)
        return self._rendered[placeholder]

    def _joined(self, parts: list[bytes], place: str) -> SecretBytes:
        self._left -= sum(map(len, parts))
        if self._left < 0:
            raise LimitError(f"{place}: the configuration exceeds {MAX_CONTENT} bytes here")
        return SecretBytes(b"".join(parts))
