"""Secrets given as option values: `@FILE` and `-` keep them off the command line.

Whoever can list processes sees the command line; a value given there works, as SCONE
documents it, with a warning. One final newline of a file or of standard input is not
part of the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from scone.cli import output
from scone.cli.files import read_small, read_standard_input
from scone.crypto.secret import SecretBytes
from scone.errors import UsageError

_MAX_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class SecretReader:
    """Reads the secret values of one command; standard input serves one of them."""

    stdin_user: str = ""
    warned: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict, repr=False)

    def value(self, option: str, given: str) -> SecretBytes:
        """The secret that an option's value stands for.

        Raises:
            UsageError: its file cannot be read, or standard input is taken.
        """
        if given == "-":
            if self.stdin_user:
                raise UsageError(f"{option}: standard input is already read for {self.stdin_user}")
            self.stdin_user = option
            return SecretBytes(_without_newline(read_standard_input(option, _MAX_BYTES)))
        if given.startswith("@") and not given.startswith("@@"):
            return SecretBytes(
                _without_newline(read_small(given[1:], f"{option}: file", _MAX_BYTES))
            )
        if option not in self.warned:
            self.warned.add(option)
            output.warning(
                f"a value of {option} on the command line is visible to all users of this machine; "
                f"for secrets use @FILE or - (standard input)"
            )
        return SecretBytes(given.encode("utf-8", "surrogateescape"))

    def hexadecimal(self, option: str, given: str, digits: int) -> SecretBytes:
        """A secret of exactly so many hex digits, in lower case; errors do not repeat it.

        Raises:
            UsageError: another form, or as `value`.
        """
        raw = self.value(option, given).reveal().strip(b" \t\r\n").lower()
        if len(raw) != digits or any(byte not in b"0123456789abcdef" for byte in raw):
            raise UsageError(f"{option}: expected {digits} hexadecimal digits, got another text")
        return SecretBytes(raw)

    def variables(self, given: tuple[str, ...]) -> dict[str, str]:
        """The variables of `-e VAR=VALUE`; the last one of a name wins.

        Raises:
            UsageError: not of that form, or as `value`.
        """
        for item in given:
            name, equals, value = item.partition("=")
            if not equals or not _NAME.fullmatch(name):
                # The item may be a secret: it is not repeated.
                raise UsageError("-e: expected VAR=VALUE, with VAR of letters, digits and _")
            try:
                text = self.value("-e", value).reveal().decode()
            except UnicodeDecodeError:
                raise UsageError(f"-e {name}=: expected text in UTF-8") from None
            if self.given.setdefault(name, text) != text:
                output.warning(f"-e {name}= is given with different values; the last one counts")
            self.given[name] = text
        return dict(self.given)

    def warn_unused(self, template: str) -> None:
        """Tell which variables of `-e` a session file does not use."""
        for name in self.given:
            if not re.search(rf"\$(?:{name}(?![A-Za-z0-9_])|\{{{name}\}})", template):
                output.warning(f"-e {name}= is not used: the session file has no ${name}")


def _without_newline(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw
