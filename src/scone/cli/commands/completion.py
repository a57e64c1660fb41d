"""`scone completion`: scripts that complete commands and options in a shell."""

from __future__ import annotations

import click

from scone.cli import output
from scone.cli.options import SETTINGS
from scone.errors import StateError

_HELP = """\
Print the completion script of a shell.

\b
bash: source <(scone completion bash)
zsh:  source <(scone completion zsh)
fish: scone completion fish | source
"""


@click.command("completion", help=_HELP, context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script; `_HELP` is what users read."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise StateError(f"no completion for {shell}")
    complete = kind(ctx.find_root().command, {}, "scone", "_SCONE_COMPLETE")
    # Not source(): for bash it starts one to ask for its version.
    output.result(complete.source_template % complete.source_vars())
