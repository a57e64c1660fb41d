"""What the command line prints and how it exits.

Results go to stdout, everything else to stderr: scripts compare stdout as a whole.
No colour anywhere (SCONE has none). Text from the other side is made printable, so
that no answer drives the terminal.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from scone import errors
from scone.errors import RejectedError, SconeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import TextIO

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_NOT_TRUSTED: Final = 4
EXIT_STATE: Final = 5
EXIT_DIFFERENT: Final = 6  # 1 and 2, as diff(1) ends, are taken
EXIT_BUG: Final = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell shows it
EXIT_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE

_EXIT_CODES: Final = {
    "usage": EXIT_USAGE,
    "network": EXIT_UNREACHABLE,
    "unavailable": EXIT_UNREACHABLE,
    "not-genuine": EXIT_NOT_TRUSTED,
    "not-trusted": EXIT_NOT_TRUSTED,
    "state": EXIT_STATE,
    "integrity": EXIT_STATE,
}
PRIVATE: Final = "scone.private"
_MAX_LINE: Final = 4000
_MAX_LINES: Final = 100


def exit_code(error: SconeError) -> int:
    """The exit status of an error (docs/guide/exit-codes.md)."""
    if isinstance(error, RejectedError):  # its code tells of the CAS, not of this side
        return EXIT_FAILED
    return _EXIT_CODES.get(error.code, EXIT_FAILED)


def result(text: str) -> None:
    """Print a result, with exactly one newline behind it.

    Raises:
        SconeError: standard output is closed.
    """
    exactly(text if text.endswith("\n") else text + "\n")


def exactly(text: str) -> None:
    """Print a result as it is, in UTF-8 and without a newline behind it.

    Raises:
        SconeError: standard output is closed.
    """
    check_stdout()
    sys.stdout.write(text)


def check_stdout() -> None:
    """Look whether there is a standard output: a result must not be lost after a change.

    Raises:
        SconeError: it is closed.
    """
    stream: TextIO | None = sys.stdout  # None where the program was started without one
    if stream is None:
        raise SconeError("standard output is closed", hint="send it to /dev/null to discard it")


def flush() -> None:
    """Have what was printed leave the program.

    Raises:
        OSError: nobody takes it.
    """
    stream: TextIO | None = sys.stdout
    if stream is not None:
        stream.flush()


def changed(text: str) -> None:
    """Note a change that was made elsewhere: it is told where the result cannot be."""
    import click

    click.get_current_context().find_root().obj.append(text)


def facts(value: Mapping[str, object] | list[object]) -> None:
    """Print a result as JSON."""
    import json

    result(json.dumps(value, indent=2, ensure_ascii=False))


def message(text: str) -> None:
    """Print something that is not a result."""
    _to_stderr(text + "\n")


def warning(text: str) -> None:
    """Print a warning."""
    message(f"Warning: {printable(text)}")


def made_again(secrets: Iterable[str]) -> None:
    """Say which secrets lost their values to an update."""
    names = ", ".join(secrets)
    if names:
        message(
            f"Note: the update made new values of: {printable(names)} (scone session diff tells why)"
        )


@contextmanager
def to_file(path: str, meta: Mapping[str, object]) -> Iterator[None]:
    """Collect what goes to stdout; write it to a file as a whole, unless the command fails.

    `meta` is the context's; a command sets PRIVATE in it where a new file is for its owner only.

    Raises:
        UsageError: the file cannot be written; told before the command runs.
        SconeError: it can be no more.
    """
    import io
    from contextlib import redirect_stdout

    from click.exceptions import Exit

    from scone.cli.files import check_result, reason, write_result

    try:
        check_result(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"-o {path!r}: {reason(error)}") from error
    buffer = io.StringIO()
    ended: Exit | None = None
    with redirect_stdout(buffer):
        try:
            yield
        except Exit as error:  # --help ends so, and a result that is a difference
            ended = error
    content = buffer.getvalue().encode("utf-8", "surrogateescape")
    try:
        write_result(path, content, private=PRIVATE in meta)
    except (OSError, ValueError) as error:
        raise SconeError(f"-o {path!r}: {reason(error)}") from error
    if ended is not None:
        raise ended


def report(messages: Iterable[str], hint: str = "") -> None:
    """Print an error as SCONE does: `Error:`, then `Caused by:` down to the cause."""
    lines = [printable(line) for line in messages]
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], f"… and {len(lines) - _MAX_LINES} more"]
    text = f"Error: {lines[0]}\n" + "".join(f"Caused by: {line}\n" for line in lines[1:])
    if hint:
        text += f"Hint: {printable(hint)}\n"
    _to_stderr(text)


def report_bug(error: BaseException) -> None:
    """One line for an internal error; the traceback only where SCONE_LOG asks for it.

    The message of the exception is left out: it may quote what it choked on.
    """
    where = _last_frame(error.__traceback__)
    _to_stderr(
        f"Error: internal error: {type(error).__name__} in {where} (SCONE_LOG=debug for more)\n"
    )
    if os.environ.get("SCONE_LOG", "").lower() in ("debug", "trace", "7"):
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        _to_stderr("".join(traceback.format_list(frames)))


def of_stdout(error: OSError) -> bool:
    """Whether an error came from writing a result, here or where click prints a help text."""
    module = _last_frame(error.__traceback__).rpartition(":")[0]
    return module in (__name__, "click.utils")


def printable(text: str) -> str:
    """Text from elsewhere, without control characters and of bounded length."""
    shown = errors.printable(text[:_MAX_LINE])
    return shown + "…" if len(text) > _MAX_LINE else shown


def discard(descriptor: int) -> None:
    """Nobody takes it: keep the interpreter from flushing into the void at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _to_stderr(text: str) -> None:
    stream: TextIO | None = sys.stderr  # None where the program was started without one
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except ValueError:
        pass
    except OSError:  # the exit status still tells
        discard(2)


def _last_frame(traceback: TracebackType | None) -> str:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown"
    return f"{traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}"
