"""`scone cas provision`: claim a CAS, with or (for testing) without attestation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from scone.cli import output
from scone.cli.lazy import ArgumentGroup, Entry
from scone.cli.options import (
    SETTINGS,
    evidence_options,
    identity_option,
    json_option,
    retries_option,
)
from scone.cli.parameters import FileName

_HERE = "scone.cli.commands.cas_provision"
_ENTRIES = {
    "with-attestation": Entry(f"{_HERE}:with_attestation", "Attest the CAS, then provision it"),
    "only_for_testing-without-attestation": Entry(
        f"{_HERE}:without_attestation", "Verify nothing but the CAS key. Not secure!"
    ),
}
_BANNER = """\
This command will provision and claim ownership of a CAS.
    The ownership will be bound to the cryptographic identity used during this provisioning.
    Holding the owner identity is necessary to change CAS settings, register backups and upgrade to \
new CAS versions.
    Please be sure to store the owner identity securely.
    Note: If no identity is specified on the command line, the identity stored in the CLI \
configuration file is used."""
_CONTAINER = """\
This tool seems to run inside of a container.
    Please be extra careful that the owner identity is not lost when the container is removed!"""
_DCAP = (
    "The provided CAS owner configuration contains DCAP PCS API credentials. Going to attempt to "
    "attest CAS using DCAP quote."
)
_OUTER = "Error during provisioning of CAS"
_KINDS = {".toml": "toml", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}


@click.group("provision", cls=ArgumentGroup, entries=_ENTRIES, context_settings=SETTINGS)
@click.argument("address", metavar="ADDRESS")
@click.option(
    "-c",
    "cas_key_hash",
    metavar="CAS_KEY_HASH",
    required=True,
    help="CAS public key hash; the console of the CAS shows it.",
)
@click.option(
    "-s",
    "software_key_hash",
    metavar="CAS_SOFTWARE_KEY_HASH",
    help="CAS software public key hash; the console of the CAS shows it.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    required=True,
    help="Provisioning token, 32 hex digits; the console of the CAS shows it. @FILE and - read it.",
)
@click.option(
    "--config-file",
    "config_path",
    metavar="CONFIG_FILE",
    type=FileName(),
    required=True,
    help="Owner configuration in TOML, JSON or YAML.",
)
@click.option(
    "--database-key",
    metavar="DATABASE_KEY",
    help="Key of the database, 64 hex digits. Whoever has it can read all secrets of all sessions: "
    "discouraged. A CAS signed by the release key refuses it. @FILE and - read it.",
)
@identity_option
@retries_option
@json_option
def provision(**_options: Any) -> None:
    """Provision the CAS at ADDRESS and become its owner.

    Ownership is bound to the identity used here: keep it safe. The configuration and the token
    leave only after the CAS has proved itself. Repeating the same command after a crash is safe.
    """


@click.command("with-attestation", context_settings=SETTINGS)
@evidence_options
@click.pass_context
def with_attestation(ctx: click.Context, /, **given: Any) -> None:
    """Attest the CAS during provisioning; MRENCLAVE is the same as --mrenclave."""
    from scone.cli.commands.cas_attest import facts, remember, tell, trustworthy
    from scone.cli.context import config_file
    from scone.cli.policy import EvidenceOptions
    from scone.client.provisioning import provision_cas
    from scone.client.trust import AttestedCas, Clock
    from scone.errors import SconeError

    group = _group_parameters(ctx)
    options = EvidenceOptions.take(given)
    policy = options.trust_policy(
        cas_key_hash=group["cas_key_hash"],
        software_key_hash=group["software_key_hash"],
        state="any",
        allow_owner_secret_access=False,
    )
    as_json = group["as_json"]
    clock = Clock(evidence_time=options.evidence_time)
    claim = _claim(group)
    _banner(claim.config.dcap_subscription_key is not None)

    trusted: list[AttestedCas] = []

    def on_trusted(found: AttestedCas) -> None:
        trusted.append(found)
        tell(found)

    state = config_file()
    try:
        claimed = provision_cas(
            group["address"],
            policy,
            claim,
            on_trusted=on_trusted,
            remembered=state.load().all(),
            retries=group["retries"],
            clock=clock,
        )
        attested = claimed.attested
        if attested is not None:
            remember(state, attested, stated_cas_key=claimed.cas_key_hash)
    except SconeError as error:
        raise error.within(_OUTER) from error
    output.changed(f"the CAS WAS provisioned, its key hash is {claimed.cas_key_hash}")
    if claimed.recovered:
        output.message("This request had provisioned the CAS before: nothing was sent again.")
    if attested is not None:
        for line in attested.warnings:
            output.warning(line)
    if as_json:
        output.facts(
            {
                "cas_key_hash": claimed.cas_key_hash,
                "cas_software_key_hash": claimed.software_key_hash,
                "recovered": claimed.recovered,
                "attested": None if attested is None else facts(attested),
            }
        )
    else:
        # Not before: a failure after the attestation leaves nothing on stdout.
        output.result(trustworthy(trusted[0].known))
        _done(claimed.cas_key_hash, claimed.software_key_hash)
    if claim.database_key is not None:
        _tell_injected(group["address"], claimed.cas_key_hash)


@click.command("only_for_testing-without-attestation", context_settings=SETTINGS)
@click.pass_context
def without_attestation(ctx: click.Context) -> None:
    """Do not attest the CAS: nothing but its key is verified. Not secure!"""
    from scone.client.provisioning import provision_unattested
    from scone.client.trust import TrustPolicy
    from scone.errors import SconeError

    group = _group_parameters(ctx)
    policy = TrustPolicy(
        cas_key_hash=group["cas_key_hash"], software_key_hash=group["software_key_hash"]
    )
    claim = _claim(group)
    _banner(dcap=False)
    output.message(
        f"UNVERIFIED CAS {group['address']}: its software was not attested, as asked for"
    )
    try:
        claimed = provision_unattested(
            group["address"],
            group["cas_key_hash"],
            policy.software_key_hash,
            claim,
            retries=group["retries"],
        )
    except SconeError as error:
        raise error.within(_OUTER) from error
    output.changed(f"the CAS WAS provisioned, its key hash is {claimed.cas_key_hash}")
    if group["as_json"]:
        output.facts(
            {
                "cas_key_hash": claimed.cas_key_hash,
                "cas_software_key_hash": claimed.software_key_hash,
                "attested": None,
            }
        )
    else:
        _done(claimed.cas_key_hash, claimed.software_key_hash)
    output.message(
        "The CAS was not attested and is not in scone cas list; before it can be used: "
        f"scone cas attest {group['address']} -c {claimed.cas_key_hash}"
    )


def read_config_file(path: str) -> Any:
    """The owner configuration in a file; its warnings are told.

    Raises:
        UsageError: the file cannot be read, or says nothing.
        DocumentError: it is no owner configuration.
    """
    from scone.cli.files import read_small
    from scone.errors import MalformedError, UsageError
    from scone.owner_config import read_owner_config

    try:
        text = read_small(path, "owner configuration").decode()
    except UnicodeDecodeError:
        raise MalformedError(f"owner configuration {path!r}", "text in UTF-8") from None
    if all(_says_nothing(line.strip()) for line in text.splitlines()):
        raise UsageError(
            f"owner configuration {path!r}: expected at least one key, got an empty file",
            hint="a configuration that is empty on purpose is {}, in a file that ends in .json or .yaml",
        )
    kind = _KINDS.get(Path(path).suffix.lower())
    if kind is None:
        kind = "json" if text.lstrip().startswith("{") else "toml"
    config = read_owner_config(text, path, kind)  # type: ignore[arg-type]
    for problem in config.warnings:
        output.warning(f"{path}: {problem}")
    return config


def _says_nothing(line: str) -> bool:
    return line in ("", "---", "...") or line.startswith("#")


def _claim(group: dict[str, Any]) -> Any:
    from scone.cli.context import config_file, user_identity
    from scone.cli.secret_values import SecretReader
    from scone.client.provisioning import Claim
    from scone.client.trust import canonical_url
    from scone.crypto.identity import parse_identity
    from scone.errors import MalformedError, UsageError

    try:
        canonical_url(group["address"])
    except MalformedError as error:
        raise UsageError(str(error)) from error
    secrets = SecretReader()
    token = secrets.hexadecimal("--token", group["token"], 32)
    database_key = group["database_key"]
    if database_key is not None:
        database_key = secrets.hexadecimal("--database-key", database_key, 64)
    config = read_config_file(group["config_path"])
    identity = user_identity(group["identity_path"])
    if group["identity_path"] is None:
        identity = parse_identity(identity.pem.reveal(), f"identity in {config_file().path}")
    return Claim(identity, token, config, database_key)


def _group_parameters(ctx: click.Context) -> dict[str, Any]:
    if ctx.parent is None:
        raise click.UsageError("this command belongs to scone cas provision.", ctx)
    return ctx.parent.params


def _banner(dcap: bool) -> None:
    output.message(_BANNER)
    if _in_container(("/.dockerenv", "/run/.containerenv")):
        output.message(_CONTAINER)
    if dcap:
        output.message(_DCAP)


def _in_container(marks: Sequence[str]) -> bool:
    return any(Path(mark).exists() for mark in marks)


def _done(cas_key_hash: str, software_key_hash: str) -> None:
    output.result(f"New CAS public key hash: {cas_key_hash}")
    output.result(f"New CAS software public key hash: {software_key_hash}")
    output.result(
        "Done, CAS configuration was successfully provisioned. You are now owner of the CAS."
    )


def _tell_injected(address: str, cas_key_hash: str) -> None:
    output.message(
        "The database key was injected: whoever has it can read all secrets of all sessions. The CAS is "
        "not in scone cas list and must be attested again: "
        f"scone cas attest {address} -c {cas_key_hash} --allow-cas-owner-secret-access"
    )
