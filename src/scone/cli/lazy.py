"""Command groups that import a command only when it runs.

A group is a table: name, module and attribute, one line of help. The listing, the
suggestions for mistyped names and the completion of names come from the table alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import click

_NEAR: Final = 0.7
_SHORT: Final = 3


class Entry:
    """Where a command is, and its line in the listing; hidden ones are not listed.

    Not a dataclass: making one costs a millisecond at every start.
    """

    __slots__ = ("help", "hidden", "target")

    def __init__(self, target: str, help: str, *, hidden: bool = False) -> None:  # noqa: A002
        self.target = target
        self.help = help
        self.hidden = hidden


class LazyGroup(click.Group):
    """A group over a table of entries, with `help` as a command of its own."""

    def __init__(self, *args: Any, entries: dict[str, Entry], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that the listing shows, in alphabetical order."""
        del ctx
        return sorted([*(name for name, e in self.entries.items() if not e.hidden), "help"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name == "help":
            return _help_command(self)
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with the table's names as suggestions."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise self.no_such_command(ctx, name)
        return super().resolve_command(ctx, args)

    def no_such_command(self, ctx: click.Context, name: str) -> click.UsageError:
        """The error for a name that is not in the table."""
        near = suggestion(name, self.list_commands(ctx))
        return click.UsageError(f"no such command {name!r}.{near}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The listing, from the table."""
        rows = [
            (name, "Print the help of a command" if name == "help" else self.entries[name].help)
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Names from the table, then what click completes (options)."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=self.entries[name].help if name in self.entries else None)
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


class ArgumentGroup(LazyGroup):
    """A group with an argument: its own options come before and after it, up to a command's name.

    SCONE's command line has that shape.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, with the arguments cut at the name of a command."""
        at = next((n for n, _ in enumerate(args) if self._is_command(args, n)), len(args))
        if not args:
            raise click.exceptions.NoArgsIsHelpError(ctx)
        asks = args[0] == "help"
        at = 0 if asks else at
        ctx.allow_interspersed_args = True
        ctx.allow_extra_args = False
        # The help of a command is shown whether or not the options are complete.
        given = ctx.resilient_parsing
        asks = asks or not {"-h", "--help"}.isdisjoint(args[at:])
        ctx.resilient_parsing = given or asks
        rest = click.Command.parse_args(self, ctx, args[:at])
        ctx.resilient_parsing = given
        if at == len(args) and not (ctx.resilient_parsing or self.invoke_without_command):
            raise click.UsageError(f"missing command: {' or '.join(self.entries)}.", ctx)
        ctx._protected_args, ctx.args = args[at : at + 1], args[at + 1 :]  # noqa: SLF001 - as click.Group does
        return rest

    def _is_command(self, args: list[str], at: int) -> bool:
        """Whether a word ends the group's own arguments; `help` may be an option's value."""
        asks = args[at] == "help" and at > 0 and not args[at - 1].startswith("-")
        return asks or args[at] in self.entries

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As click; the command may be optional."""
        command = "[COMMAND] [ARGS]..." if self.invoke_without_command else "COMMAND [ARGS]..."
        return [*click.Command.collect_usage_pieces(self, ctx), command]


def suggestion(name: str, among: list[str]) -> str:
    """The names that a mistyped one may have meant, or the beginning of them, as a question."""
    from difflib import SequenceMatcher

    def likeness(candidate: str) -> float:
        meant = candidate.lstrip("-")
        if len(typed) > 1 and meant.startswith(typed):
            return 1.0
        whole = SequenceMatcher(None, typed, meant).ratio()
        start = SequenceMatcher(None, typed, meant[: len(typed) + 1]).ratio()
        return max(whole, start if len(typed) > _SHORT else 0.0)

    typed = name.lstrip("-")
    likely = sorted(((likeness(one), one) for one in among), key=lambda pair: (-pair[0], pair[1]))
    near = [one for ratio, one in likely if ratio >= _NEAR][:3]
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _complete_names(
    group: LazyGroup,
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        found: click.Command | None = group
        for name in ctx.params.get(param.name or "") or ():
            found = found.get_command(ctx, name) if isinstance(found, click.Group) else None
        if not isinstance(found, click.Group):
            return []
        return [name for name in found.list_commands(ctx) if name.startswith(incomplete)]

    return complete


def _help_command(group: LazyGroup) -> click.Command:
    @click.command("help", context_settings={"help_option_names": ["-h", "--help"]})
    @click.argument("command", nargs=-1, shell_complete=_complete_names(group))
    @click.pass_context
    def command(ctx: click.Context, command: tuple[str, ...]) -> None:
        """Print the help of this group or of one of its commands."""
        from scone.cli import output

        found: click.Command = group
        at = ctx.parent
        for name in command:
            inner = found.get_command(ctx, name) if isinstance(found, click.Group) else None
            if inner is None:
                if isinstance(found, LazyGroup):
                    raise found.no_such_command(at or ctx, name)
                raise click.UsageError(f"no such command {name!r}.", at or ctx)
            at = click.Context(inner, info_name=name, parent=at, **inner.context_settings)
            found = inner
        if at is None:
            raise click.UsageError("help needs a group.", ctx)
        output.result(found.get_help(at))

    return command
