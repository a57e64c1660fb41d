"""The `scone` program: top-level options, the table of commands, and the end of every run."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Final

import click

from scone import __version__
from scone.cli import output
from scone.cli.lazy import Entry, LazyGroup, suggestion
from scone.cli.parameters import FileName
from scone.errors import SconeError

COMMANDS: Final = "scone.cli.commands"
_CLOSED: Final = (
    "gcc",
    "g++",
    "gccgo",
    "gfortran",
    "rustc",
    "cargo",
    "gdb",
    "host",
    "swarm",
    "service",
    "stack",
)
_LATER: Final = ("fspf", "binary-fs", "binaryfs", "las", "signer")

ENTRIES: Final = {
    "cas": Entry(f"{COMMANDS}.cas:cas", "Attest, provision and manage CASes"),
    "cert": Entry(f"{COMMANDS}.cert:cert", "Work with X.509 certificates"),
    "completion": Entry(f"{COMMANDS}.completion:completion", "Print a shell completion script"),
    "help-markdown": Entry(
        f"{COMMANDS}.help_markdown:help_markdown", "Print the help of all commands as Markdown"
    ),
    "self": Entry(f"{COMMANDS}.self_:self_", "Show the identity of this instance of the CLI"),
    "session": Entry(f"{COMMANDS}.session:session", "Check, upload, read and verify sessions"),
    "version": Entry(
        f"{COMMANDS}.version:version", "Show the version and what is trusted by default"
    ),
    **{
        name: Entry(f"{COMMANDS}.absent:closed", "Not in this program", hidden=True)
        for name in _CLOSED
    },
    **{
        name: Entry(f"{COMMANDS}.absent:later", "Not in this version yet", hidden=True)
        for name in _LATER
    },
}


def _print_version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.result(f"Scone CLI {__version__}")
        ctx.exit()


@click.group(
    "scone",
    cls=LazyGroup,
    entries=ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Work with the SCONE platform: identities, trust in CASes, sessions.

An argument @FILE stands for the arguments in FILE, one a line; such files may name others.
@@3 is an argument of its own. A value @FILE of --token, --database-key and -e VAR= is read by
that option.""",
)
@click.option(
    "-c",
    "--config",
    metavar="CONFIG",
    type=FileName(),
    envvar="SCONE_CLI_CONFIG",
    show_envvar=True,
    default="~/.cas/config.json",
    show_default=True,
    help="The state file to use.",
)
@click.option(
    "-o",
    "output_path",
    metavar="OUTPUT",
    type=FileName(),
    help="Write the output to this file, as a whole or not at all.",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.pass_context
def scone(ctx: click.Context, config: str, output_path: str | None) -> None:
    """Entry of every command; the commands read the options through the context."""
    del config  # the commands read it through the context
    if output_path is None:
        output.check_stdout()
    else:
        ctx.with_resource(output.to_file(output_path, ctx.meta))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is returned."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8")  # a session is the same bytes in every locale
    try:
        return _run(arguments)
    except SconeError as error:
        output.report(error.messages, error.hint)
        return output.exit_code(error)
    except click.exceptions.NoArgsIsHelpError as error:
        output.message(error.format_message())
        return output.EXIT_USAGE
    except click.NoSuchOption as error:
        output.report([_no_such_option(error)], _usage_hint(error))
        return output.EXIT_USAGE
    except click.ClickException as error:
        # click lists choices on lines of their own
        text = error.format_message().replace("\n\t", " ")
        output.report([text], _usage_hint(error))
        return output.EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        output.message("")
        return output.EXIT_INTERRUPTED
    except BrokenPipeError:
        output.discard(1)
        return output.EXIT_BROKEN_PIPE
    except OSError as error:
        if output.of_stdout(error):
            return _stdout_failed(error)
        output.report_bug(error)
        return output.EXIT_BUG
    except Exception as error:  # noqa: BLE001 - the one place that ends a command
        output.report_bug(error)
        return output.EXIT_BUG


def _run(arguments: list[str]) -> int:
    from scone.cli.argfile import expand

    if any(argument.startswith("@") for argument in arguments):
        arguments = expand(arguments)
    if "_SCONE_COMPLETE" in os.environ:
        return _complete(arguments)
    changes: list[str] = []
    try:
        status = _invoke(arguments, changes)
        output.flush()
    except BaseException:
        for change in changes:
            output.message(f"Note: {output.printable(change)}")
        raise
    return status


def _complete(arguments: list[str]) -> int:
    """Print completions; words that lead nowhere complete to nothing, in silence."""
    try:
        scone.main(arguments, "scone")  # exits
    except (click.ClickException, SconeError, LookupError, ValueError):
        pass
    return output.EXIT_FAILED


def _invoke(arguments: list[str], changes: list[str]) -> int:
    # Not click's main(): it ends the program itself where a pipe breaks.
    try:
        with scone.make_context("scone", arguments, obj=changes) as context:
            scone.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    return 0


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return "" if context is None else f"see {context.command_path} --help"


def _no_such_option(error: click.NoSuchOption) -> str:
    context = error.ctx
    options = [] if context is None else context.command.get_params(context)
    names = [
        name
        for option in options
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
        if name.startswith("--")
    ]
    return f"no such option {error.option_name!r}.{suggestion(error.option_name, names)}"


def _stdout_failed(error: OSError) -> int:
    output.discard(1)
    output.report([f"standard output: {error.strerror}"])
    return output.EXIT_FAILED
