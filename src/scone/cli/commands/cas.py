"""`scone cas`: the group, and the commands that show what was attested."""

from __future__ import annotations

import click

from scone.cli import output
from scone.cli.context import config_file, select
from scone.cli.lazy import Entry, LazyGroup
from scone.cli.options import SETTINGS, json_option
from scone.cli.parameters import CasName

_HERE = "scone.cli.commands"
_LATER = ("register-upgrade", "start-upgrade", "verify-audit-log", "attest-audit-log")
_ENTRIES = {
    "attest": Entry(f"{_HERE}.cas_attest:attest", "Attest a CAS"),
    "list": Entry(f"{_HERE}.cas:list_", "List attested CASes"),
    "list-backups": Entry(f"{_HERE}.cas_backup:list_backups", "List registered backup CASes"),
    "provision": Entry(f"{_HERE}.cas_provision:provision", "Provision a CAS and become its owner"),
    "register-backup": Entry(f"{_HERE}.cas_backup:register_backup", "Register a backup CAS"),
    "session": Entry(f"{_HERE}.session:session", "The same as scone session"),
    "set-default": Entry(f"{_HERE}.cas:set_default", "Set the default CAS"),
    "show-certificate": Entry(
        f"{_HERE}.cas:show_certificate", "Show the certificate chain of a CAS"
    ),
    "show-identification": Entry(
        f"{_HERE}.cas:show_identification", "Show what identifies an attested CAS"
    ),
    "unregister-backup": Entry(
        f"{_HERE}.cas_backup:unregister_backup", "Withdraw the registration of a backup CAS"
    ),
    "update-config": Entry(f"{_HERE}.cas_config:update_config", "Update the owner configuration"),
    "version": Entry(f"{_HERE}.cas_config:version", "Ask a CAS for its version"),
    **{
        name: Entry(f"{_HERE}.absent:later", "Not in this version yet", hidden=True)
        for name in _LATER
    },
}


@click.group("cas", cls=LazyGroup, entries=_ENTRIES, context_settings=SETTINGS)
def cas() -> None:
    """Attest, provision and manage CASes."""


@click.command("list", context_settings=SETTINGS)
@json_option
def list_(as_json: bool) -> None:
    """List attested CASes; * marks the default."""
    config = config_file().load()
    all_known = config.all()
    if as_json:
        output.facts(
            [
                {
                    "name": known.name,
                    "url": known.url,
                    "default": known.name == config.default_cas,
                    "simulated": known.simulated,
                    "debug": known.debug,
                    "database_key_origin": known.database_key_origin,
                    "cas_key_hash": known.cas_key_hash,
                    "cas_software_key_hash": known.software_key_hash,
                    "platform_id": known.platform_id,
                    "version": known.cas_version,
                    "epoch": known.epoch,
                    "attested_at": known.attested_at,
                }
                for known in all_known
            ]
        )
        return
    if not all_known:
        output.message("No CAS was attested yet: scone cas attest ADDRESS")
    for known in all_known:
        star = "*" if known.name == config.default_cas else " "
        marks = " SIMULATED" * known.simulated + " DEBUG" * known.debug
        if known.database_key_origin == "injected":
            marks += " DATABASE KEY INJECTED"
        output.result(f"{star} {known.name}: {known.url}{marks}")


@click.command("set-default", context_settings=SETTINGS)
@click.argument("cas_name", metavar="CAS", type=CasName())
def set_default(cas_name: str) -> None:
    """Make an attested CAS the one that commands use without --cas."""
    state = config_file()
    state.set_default(select(state.load(), cas_name).name)


@click.command("show-certificate", context_settings=SETTINGS)
@click.argument("cas_name", metavar="[CAS]", required=False, type=CasName())
@json_option
def show_certificate(cas_name: str | None, as_json: bool) -> None:
    """Show the certificate chain of an attested CAS: CN=cas-instance, then CN=cas."""
    known = select(config_file().load(), cas_name)
    chain = known.instance_certificate + known.cas_certificate
    if as_json:
        output.facts({"name": known.name, "certificate_chain": chain})
    else:
        output.result(chain)


@click.command("show-identification", context_settings=SETTINGS)
@click.argument("cas_name", metavar="[CAS]", required=False, type=CasName())
@click.option("-c", "--cas-key-hash", is_flag=True, help="Hash of the CAS public key.")
@click.option("-C", "--cas-certificate", is_flag=True, help="CAS certificate in PEM.")
@click.option(
    "-s", "--cas-software-key-hash", is_flag=True, help="Hash of the CAS software public key."
)
@click.option(
    "-S", "--cas-software-certificate", is_flag=True, help="CAS software certificate in PEM."
)
@click.option("--session-encryption-key", is_flag=True, help="Public key to encrypt sessions with.")
@click.option(
    "-T",
    "--certificate-chain",
    is_flag=True,
    help="Both certificates in PEM, the CAS's last [default].",
)
@json_option
def show_identification(cas_name: str | None, as_json: bool, **wanted: bool) -> None:
    """Show what identifies an attested CAS, to be compared over another channel."""
    from scone.errors import NotFoundError

    known = select(config_file().load(), cas_name)
    values = {
        "cas_key_hash": known.cas_key_hash,
        "cas_certificate": known.cas_certificate,
        "cas_software_key_hash": known.software_key_hash,
        "cas_software_certificate": known.instance_certificate,
        "session_encryption_key": known.session_encryption_key,
        "certificate_chain": known.instance_certificate + known.cas_certificate,
    }
    chosen = [name for name in values if wanted[name]]
    if as_json:
        told = {"name": known.name, "simulated": known.simulated}
        output.facts(told | {name: values[name] for name in chosen or values})
        return
    for name in chosen or ["certificate_chain"]:
        value = values[name]
        if value is None:
            raise NotFoundError(f"the CAS {known.name!r} told no session encryption key")
        output.result(value)
