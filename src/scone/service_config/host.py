"""Arguments and variables of the host in a service's command.

Session language, "Host Program Arguments and Environment Variables". The session says where they stand; what the host gives there is data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scone.errors import UsageError
from scone.service_config.model import HostArgument, ServiceConfig


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the service is started with."""

    arguments: tuple[bytes, ...] = field(repr=False)
    environment: dict[bytes, bytes] = field(repr=False)


def invocation(
    config: ServiceConfig, arguments: Sequence[bytes], environment: Mapping[bytes, bytes]
) -> Invocation:
    """The command with what the host gives: its arguments after the program, its environment.

    A variable that the host does not have is defined empty.

    Raises:
        UsageError: an argument that the session expects and the host does not give.
    """
    words: list[bytes] = []
    for word in config.arguments:
        if not isinstance(word, HostArgument):
            words.append(word.reveal())
        elif word.position <= len(arguments):
            words.append(arguments[word.position - 1])
        else:
            raise UsageError(
                f"the command of the session needs argument {word.position} of the host "
                f"(@@{word.position}), got {len(arguments)} argument{'s' if len(arguments) != 1 else ''}",
                hint="give it after the program: scone-run PROGRAM ARGUMENTS...",
            )
    variables = {
        name: environment.get(name, b"") if value is None else value.reveal()
        for name, value in config.environment
    }
    return Invocation(tuple(words), variables)
