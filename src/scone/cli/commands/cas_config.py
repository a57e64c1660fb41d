"""`scone cas update-config` and `scone cas version`."""

from __future__ import annotations

import click

from scone.cli import output
from scone.cli.context import open_client
from scone.cli.options import SETTINGS, json_option, network_options
from scone.cli.parameters import FileName
from scone.errors import SconeError


@click.command("update-config", context_settings=SETTINGS)
@click.option(
    "--config-file",
    "config_path",
    metavar="CONFIG_FILE",
    type=FileName(),
    required=True,
    help="Owner configuration in TOML, JSON or YAML.",
)
@network_options
@json_option
def update_config(
    *,
    config_path: str,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Update the owner configuration of a CAS; by the identity that provisioned it only."""
    from scone.cli.commands.cas_provision import read_config_file
    from scone.crypto.secret import SecretBytes

    config = read_config_file(config_path)
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            client.update_config(SecretBytes(config.to_json()))
        except SconeError as error:
            raise error.within("Updating the CAS configuration failed") from error
        url = client.url
    if as_json:
        output.facts({"url": url, "updated": True})
    output.message("CAS configuration updated")


@click.command("version", context_settings=SETTINGS)
@network_options
@json_option
def version(
    *,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Ask a CAS for the version of its software."""
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            found = client.version()
        except SconeError as error:
            raise error.within("Querying the CAS version failed") from error
    if as_json:
        output.facts({"url": client.url, "version": found})
    else:
        output.result(output.printable(found))
