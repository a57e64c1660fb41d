"""Commands that SCONE's CLI has and this one has not, each with the reason."""

from __future__ import annotations

import click

from scone.errors import UnsupportedError

_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

_WRAPPERS = {
    "host": "manages hosts of SCONE's container runtime",
    "swarm": "manages Docker swarms for SCONE",
    "service": "manages services of a Docker swarm",
    "stack": "manages stacks of a Docker swarm",
    "gdb": "is SCONE's debugger for its own enclaves",
}


@click.command(context_settings=_SETTINGS, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def closed(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """A command of SCONE's closed tool chain."""
    del arguments
    name = ctx.info_name or ""
    what = _WRAPPERS.get(name, "is part of SCONE's cross compiler")
    raise UnsupportedError(
        f"scone {name} {what}, which is closed source and not part of this program",
        hint="programs run unmodified here: scone-run PROGRAM",
    )


@click.command(context_settings=_SETTINGS, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def later(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """A command that this version does not have yet."""
    del arguments
    raise UnsupportedError(f"{ctx.command_path} is not in this version yet")
