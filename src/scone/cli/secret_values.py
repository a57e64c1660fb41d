"""Secrets given as option values: `@FILE` and `-` keep them off the command line.

Whoever can list processes sees the command line; a secret given there works, as SCONE
documents it, with a warning. One final newline of a file or of standard input is not
part of the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scone.cli import output
from scone.cli.files import read_small, read_standard_input
from scone.crypto.secret import SecretBytes
from scone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class SecretReader:
    """Reads the secret values of one command; standard input serves one of them."""

    stdin_user: str = ""
    warned: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict, repr=False)
    visible: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)

    def value(self, option: str, given: str) -> SecretBytes:
        """The secret that an option's value stands for.

        Raises:
            UsageError: its file cannot be read, or standard input is taken.
        """
        read = self._read(option, given)
        if read is not None:
            return read
        if option not in self.warned:
            self.warned.add(option)
            output.warning(
                f"a value of {option} on the command line is visible to all users of this machine; "
                f"for secrets use @FILE or - (standard input)"
            )
        return _bytes(given)

    def _read(self, option: str, given: str) -> SecretBytes | None:
        """The value in a file or on standard input; None where it stands on the command line."""
        if given == "-":
            if self.stdin_user:
                raise UsageError(f"{option}: standard input is already read for {self.stdin_user}")
            self.stdin_user = option
            return SecretBytes(_without_newline(read_standard_input(option, _MAX_BYTES)))
        if given.startswith("@") and not given.startswith("@@"):
            return SecretBytes(
                _without_newline(read_small(given[1:], f"{option}: file", _MAX_BYTES))
            )
        return None

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
            read = self._read(f"-e {name}=", value)
            if read is None:
                self.visible.add(name)
                read = _bytes(value)
            try:
                text = read.reveal().decode()
            except UnicodeDecodeError:
                raise UsageError(f"-e {name}=: expected text in UTF-8") from None
            if self.given.setdefault(name, text) != text:
                self.repeated.add(name)
            self.given[name] = text
        return dict(self.given)

    def doubts(self, places: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
        """What is doubtful about the variables of `-e`: a code and a sentence for each.

        `places` has the paths of values that each variable of the session files stands in, as far
        as they may be secret.
        """
        found = []
        for name in self.given:
            secret = next(iter(places.get(name, ())), None)
            if name in self.repeated:
                doubt = "is given with different values; the last one counts"
                found.append(("repeated-variable", f"-e {name}= {doubt}"))
            if name not in places:
                doubt = f"is not used: the session file has no ${name}"
                found.append(("unused-variable", f"-e {name}= {doubt}"))
            elif secret is not None and name in self.visible:
                doubt = (
                    f"puts a value into {secret}, which may be secret; on the command line it is visible "
                    "to all users of this machine: use @FILE or - (standard input)"
                )
                found.append(("visible-secret", f"-e {name}= {doubt}"))
        return found


def _bytes(text: str) -> SecretBytes:
    return SecretBytes(text.encode("utf-8", "surrogateescape"))


def _without_newline(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw
