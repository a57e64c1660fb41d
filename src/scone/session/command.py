"""A service's command as arguments.

0.2 splits at white space; 0.3 lets single and double quotes keep white space, also
inside a word (`--name="a b"`). There is no escape character. Splitting comes before
secrets are put in, so that no value can make a further argument.
"""

from __future__ import annotations

import re
from typing import Final

from scone.documents import shown
from scone.errors import MalformedError
from scone.session.model import Service

_HOST_ARGUMENT: Final = re.compile(r"@@([1-9][0-9]{0,2}|1000)")
_SPACE: Final = re.compile(r"[ \t\n\r\v\f]+")
_WORD: Final = re.compile(r"""(?:[^ \t\n\r\v\f"']+|"[^"]*"|'[^']*')+""")
_PIECE: Final = re.compile(r"""[^"']+|"[^"]*"|'[^']*'""")


def split(command: str, *, quotes: bool, place: str = "command") -> tuple[str, ...]:
    """The words of a command line.

    Raises:
        MalformedError: a quote is not closed.
    """
    if not quotes or not ('"' in command or "'" in command):
        return tuple(filter(None, _SPACE.split(command)))
    words: list[str] = []
    at = 0
    while True:
        space = _SPACE.match(command, at)
        at = space.end() if space else at
        if at == len(command):
            return tuple(words)
        word = _WORD.match(command, at)
        if word is None or (word.end() < len(command) and command[word.end()] in "\"'"):
            raise MalformedError(place, "each quote closed", hint="or write the command as a list")
        at = word.end()
        pieces = _PIECE.findall(word[0])
        words.append("".join(p[1:-1] if p[0] in "\"'" else p for p in pieces))


def arguments(service: Service, version: str) -> tuple[str, ...]:
    """The arguments of a service, placeholders still in them; empty without a command.

    Raises:
        MalformedError: a quote is not closed.
    """
    if service.command is None:
        return ()
    if isinstance(service.command, tuple):
        return service.command
    return split(service.command, quotes=version != "0.2")


def host_argument(word: str, *, place: str = "command") -> int | None:
    """Which argument of the host a word `@@N` stands for; None: the word is the session's own.

    Raises:
        MalformedError: `@@` and a number that is not 1 to 1000 in its shortest form.
    """
    found = _HOST_ARGUMENT.fullmatch(word)
    if found is None and word.startswith("@@") and word[2:].isdigit():
        raise MalformedError(place, "@@1 to @@1000 without leading zeros", shown(word))
    return int(found[1]) if found else None
