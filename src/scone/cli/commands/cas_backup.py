"""`scone cas register-backup`, `list-backups`, `unregister-backup`: by the owner of a CAS."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from scone.cli import output
from scone.cli.context import config_file, open_client, select, tell_dangers
from scone.cli.options import SETTINGS, json_option, network_options, peer_options
from scone.errors import MalformedError, SconeError, UsageError

if TYPE_CHECKING:
    from scone.client.known import KnownCas
    from scone.client.trust import TrustPolicy


@click.command("register-backup", context_settings=SETTINGS)
@click.argument("address", metavar="BACKUP_CAS")
@click.option(
    "--key-hash",
    metavar="HASH",
    help="Expected CAS public key hash of the backup CAS; its console shows it.",
)
@peer_options
@network_options
@json_option
def register_backup(
    *,
    address: str,
    key_hash: str | None,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Give the CAS at BACKUP_CAS, not yet provisioned, access to the database of a CAS.

    It must be signed as the CAS is, be of the same or a higher version, and its platform must be
    as good: the CLI and the CAS both check.
    """
    from scone.client.backups import register_backup as give_access
    from scone.client.cas import CasClient
    from scone.client.trust import attest_cas, canonical_url

    try:
        canonical_url(address)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    with open_client(cas_name, identity_path, retries, unattested=unattested) as primary:
        try:
            if unattested:
                newcomer_client = CasClient.to(address, check_peer=None, retries=retries)
            else:
                policy = _peer_policy(_known(cas_name), key_hash, given)
                newcomer = attest_cas(address, policy, retries=retries)
                tell_dangers(newcomer.known)
                newcomer_client = CasClient.of(newcomer.known, retries=retries)
                if key_hash is None:
                    output.message(
                        "Note: this proves the software of the backup CAS, not which instance it is; "
                        f"compare {newcomer.known.cas_key_hash} with its console, or give --key-hash HASH"
                    )
            with newcomer_client as client:
                backup = give_access(primary, client, address)
        except SconeError as error:
            raise error.within("Registering the backup CAS failed") from error
    if as_json:
        output.facts(asdict(backup))
        return
    output.result("Backup CAS registered")
    output.message(f"Platform of the backup CAS: {output.printable(backup.platform_id)}")
    output.message(
        f"It is withdrawn with: scone cas unregister-backup {output.printable(backup.id)}"
    )


@click.command("list-backups", context_settings=SETTINGS)
@network_options
@json_option
def list_backups(
    *,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """List the backup CASes registered at a CAS; by its owner only."""
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            backups = client.list_backups()
        except SconeError as error:
            raise error.within("Listing the backup CASes failed") from error
    if as_json:
        output.facts([asdict(backup) for backup in backups])
        return
    for backup in backups:
        output.result(
            output.printable(
                f"{backup.id}: {backup.address} {backup.platform_id} ISVSVN {backup.isvsvn} "
                f"{backup.tcb_status} {backup.registered_at}"
            )
        )


@click.command("unregister-backup", context_settings=SETTINGS)
@click.argument("backup_id", metavar="ID")
@network_options
@json_option
def unregister_backup(
    *,
    backup_id: str,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Withdraw a registration. ID is as list-backups shows it.

    The database and the software of the CAS get new keys: everybody who uses it attests it again.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", backup_id):
        raise UsageError("ID: expected one as scone cas list-backups shows it")
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            client.unregister_backup(backup_id)
        except SconeError as error:
            raise error.within("Withdrawing the backup CAS failed") from error
        name = client.url if client.known is None else client.known.name
    if as_json:
        output.facts({"id": backup_id, "withdrawn": True})
    output.message("Backup CAS withdrawn")
    output.message(
        "The CAS has a new software key now: everybody who uses it must attest it again, this user "
        f"too: scone cas attest {name}"
    )


def _known(cas_name: str | None) -> KnownCas:
    config = config_file().load()
    name = cas_name or config.default_cas
    return config.cas(name) if name in config.names else select(config, cas_name)


def _peer_policy(primary: KnownCas, key_hash: str | None, given: dict[str, Any]) -> TrustPolicy:
    from scone.cli.policy import platform_ids
    from scone.client.backups import backup_policy

    return backup_policy(
        primary,
        cas_key_hash=key_hash,
        platforms=platform_ids(given["platforms"]),
        accept_outdated=given["accept_group_out_of_date"],
        accept_configuration=given["accept_configuration_needed"],
        accept_sw_hardening=given["accept_sw_hardening_needed"],
    )
