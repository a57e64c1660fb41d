"""Argument files: `@FILE` stands for the arguments in FILE, one a line.

`@@3` is an argument of its own (SCONE's runtime replaces it), an argument behind one
of the options that read their own value from `@FILE` belongs to that option, and
behind `--` nothing is expanded. Empty lines are skipped.
"""

from __future__ import annotations

from typing import Final

from scone.errors import UsageError

OWN_FILE_OPTIONS: Final = frozenset({"--token", "--database-key", "-e"})
"""Options whose value may itself be `@FILE`; such a value is not an argument file."""

_MAX_DEPTH: Final = 8
_MAX_BYTES: Final = 1024 * 1024
_MAX_ARGUMENTS: Final = 10_000


def expand(arguments: list[str]) -> list[str]:
    """All arguments, those in argument files included.

    Raises:
        UsageError: a file that cannot be read or is not text, too deep, too large.
    """
    expanded: list[str] = []
    _expand(arguments, expanded, depth=0)
    return expanded


def _expand(arguments: list[str], into: list[str], *, depth: int) -> None:
    for argument in arguments:
        if _is_argument_file(argument, into):
            if depth == _MAX_DEPTH:
                raise UsageError(
                    f"argument file {argument[1:]!r}: more than {_MAX_DEPTH} argument files inside each other"
                )
            _expand(_read(argument[1:]), into, depth=depth + 1)
        else:
            into.append(argument)
        if len(into) > _MAX_ARGUMENTS:
            raise UsageError(f"argument files: more than {_MAX_ARGUMENTS} arguments")


def _is_argument_file(argument: str, before: list[str]) -> bool:
    return (
        argument.startswith("@")
        and not argument.startswith("@@")
        and "--" not in before
        and not (before and before[-1] in OWN_FILE_OPTIONS)
    )


def _read(path: str) -> list[str]:
    from scone.cli.files import read_small

    if not path:
        raise UsageError("@: expected a file name, found an empty text")
    try:
        text = read_small(path, "argument file", _MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"argument file {path!r}: expected text in UTF-8") from error
    if "\0" in text:
        raise UsageError(f"argument file {path!r}: expected one argument a line, got a NUL byte")
    return [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]
