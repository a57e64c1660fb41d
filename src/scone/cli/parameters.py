"""Types of options and arguments: what they take, how they refuse the rest, what completes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class FileName(click.ParamType[str]):
    """The name of a file; the shell completes it."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is, if there is one."""
        if not value:
            _refuse(param, ctx, "expected a file name, found an empty text")
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
        from click.shell_completion import CompletionItem

        del ctx, param
        return [CompletionItem(incomplete, type="file")]


class CasName(click.ParamType[str]):
    """An attested CAS: its name, or its address."""

    name = "cas"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is, if there is one."""
        if not value:
            _refuse(param, ctx, "expected the name of an attested CAS, found an empty text")
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names in the state file, if it can be read."""
        from click.shell_completion import CompletionItem

        from scone.cli.state import DEFAULT_PATH, ConfigFile
        from scone.errors import SconeError

        del param
        path = ctx.find_root().params.get("config") or DEFAULT_PATH
        try:
            names = ConfigFile(path, warn=lambda _: None).load().names
        except (SconeError, OSError, ValueError):
            return []
        return [
            CompletionItem(name)
            for name in names
            if name.startswith(incomplete) and name.isprintable() and " " not in name
        ]


class SessionName(click.ParamType[str]):
    """The name of a session; slashes around it are no part of it, and / alone is the root."""

    name = "session"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in its one spelling."""
        from scone.errors import MalformedError
        from scone.session.names import ROOT, canonical_name

        if not value:
            what = "expected the name of a session, or / for the root, got an empty text"
            _refuse(param, ctx, what)
        try:
            return value if value == ROOT else canonical_name(value.strip("/"))
        except MalformedError as error:
            _refuse(param, ctx, f"expected {error.expected}, got {value[:80]!r}")


class WholeNumber(click.IntRange):
    """A number from `min` to `max`, in digits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value)
        low, high = int(self.min or 0), int(self.max or 0)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
            _refuse(param, ctx, f"expected a whole number from {low} to {high}, got {text[:40]!r}")
        return int(text)


class HashText(click.ParamType[str]):
    """The hash of a session."""

    name = "hash"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The hash as it is."""
        if not re.fullmatch("[0-9a-f]{64}", value):
            _refuse(param, ctx, f"expected 64 lower-case hex digits, got {value[:80]!r}")
        return value


def _refuse(param: click.Parameter | None, ctx: click.Context | None, what: str) -> NoReturn:
    raise click.UsageError(f"{_place(param, ctx)}: {what}", ctx)


def _place(param: click.Parameter | None, ctx: click.Context | None) -> str:
    """How the user gave it: by an option, by an argument, or by a variable."""
    if param is None:
        return "value"
    if ctx is not None and param.name is not None:
        source = ctx.get_parameter_source(param.name)
        if source is click.core.ParameterSource.ENVIRONMENT:
            return str(param.envvar)
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return (param.metavar or param.name or "argument").strip("[]")
