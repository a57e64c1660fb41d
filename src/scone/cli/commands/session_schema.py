"""`scone session schema`: the JSON Schema of session files, for editors."""

from __future__ import annotations

import click

from scone.cli import output
from scone.cli.options import SETTINGS


@click.command("schema", context_settings=SETTINGS)
def schema() -> None:
    """Print the JSON Schema of session files, for editors and other tools."""
    from scone.session.editing.schema import session_schema_text

    output.result(session_schema_text())
