"""`scone cas attest`: build trust into a CAS, and remember it."""

from __future__ import annotations

import re
from typing import Any

import click

from scone.cli import output
from scone.cli.context import config_file, tell_dangers
from scone.cli.files import read_small
from scone.cli.options import SETTINGS, evidence_options, json_option, retries_option
from scone.cli.parameters import FileName
from scone.cli.policy import EvidenceOptions
from scone.cli.state import Config, ConfigFile
from scone.cli.state_document import Document, remember_in
from scone.client.known import KnownCas
from scone.client.trust import (
    AttestedCas,
    Clock,
    attest_cas,
    attest_report,
    canonical_url,
    check_continuity,
)
from scone.errors import MalformedError, SconeError, UsageError

_OUTER = "Error during attestation of CAS"
_MAX_REPORT_BYTES = 2 * 1024 * 1024


@click.command("attest", context_settings=SETTINGS)
@click.argument("address", metavar="ADDRESS")
@evidence_options
@click.option("-c", "cas_key_hash", metavar="CAS_KEY_HASH", help="Expected CAS public key hash.")
@click.option(
    "-s",
    "software_key_hash",
    metavar="CAS_SOFTWARE_KEY_HASH",
    help="Expected CAS software public key hash.",
)
@click.option(
    "--allow-cas-owner-secret-access",
    "allow_owner",
    is_flag=True,
    help="Trust the CAS even if its owner injected its database key and can read all secrets.",
)
@click.option(
    "--offline-report",
    metavar="OFFLINE_REPORT",
    type=FileName(),
    help="Read the attestation from this file (of /v1/attest), and do not connect.",
)
@click.option(
    "--nonce",
    metavar="NONCE",
    help="The nonce that the offline report was requested with (32 hex digits).",
)
@click.option(
    "--only_for_testing_allow-unprovisioned-cas",
    "--only_for_testing-allow-unprovisioned-cas",
    "allow_unprovisioned",
    is_flag=True,
    help="Accept a CAS that was not provisioned; it changes its keys when it is.",
)
@retries_option
@json_option
def attest(
    *,
    address: str,
    cas_key_hash: str | None,
    software_key_hash: str | None,
    allow_owner: bool,
    offline_report: str | None,
    nonce: str | None,
    allow_unprovisioned: bool,
    retries: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Attest the CAS at ADDRESS, and remember its keys.

    By default it must be signed by the release signer, of at least this version, and run on an
    up-to-date platform. MRENCLAVE as an argument is the same as --mrenclave.
    """
    if nonce is not None and offline_report is None:
        raise UsageError("--nonce is for --offline-report; over the network a new one is made")
    if nonce is not None and not re.fullmatch("[0-9A-Fa-f]{32}", nonce):
        raise UsageError(f"--nonce: expected 32 hex digits, got {nonce[:64]!r}")
    options = EvidenceOptions.take(given)
    policy = options.trust_policy(
        cas_key_hash=cas_key_hash,
        software_key_hash=software_key_hash,
        state="any" if allow_unprovisioned else "provisioned",
        allow_owner_secret_access=allow_owner,
    )
    clock = Clock(evidence_time=options.evidence_time)
    try:
        canonical_url(address)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    report = (
        None
        if offline_report is None
        else read_small(offline_report, "--offline-report: file", _MAX_REPORT_BYTES)
    )
    state = config_file()
    state.identity()  # made on first use; a damaged state is told before the network is used
    remembered = state.load().all()
    try:
        if report is None:
            attested = attest_cas(
                address, policy, remembered=remembered, retries=retries, clock=clock
            )
        else:
            attested = attest_report(
                address, report, policy, nonce=nonce, remembered=remembered, clock=clock
            )
        default = remember(state, attested, stated_cas_key=cas_key_hash)
    except SconeError as error:
        raise error.within(_OUTER) from error
    if as_json:
        output.facts(facts(attested) | {"default": default})
    else:
        output.result(trustworthy(attested.known))
    tell(attested)
    if report is not None and nonce is None:
        output.warning(
            "without --nonce nothing proves that the report is fresh: the CAS may be another one by now"
        )
    if cas_key_hash is None:
        output.message(
            "Note: this proves the software of the CAS, not which instance it is. Its CAS key hash is "
            f"{attested.known.cas_key_hash}; get the right one over another channel (from its owner, who "
            "sees it with scone cas show-identification -c) and attest with -c HASH"
        )


def trustworthy(known: KnownCas) -> str:
    """The line that scripts compare stdout with."""
    return f"CAS {known.name} at {known.url} is trustworthy"


def tell(attested: AttestedCas) -> None:
    """What else there is to know, on stderr."""
    output.message(f"Version of attested CAS: {output.printable(attested.known.cas_version)}")
    output.message(f"Platform of attested CAS: {attested.known.platform_id}")
    for line in attested.warnings:
        output.warning(line)
    tell_dangers(attested.known)


def facts(attested: AttestedCas) -> dict[str, object]:
    """The same as JSON."""
    known = attested.known
    return {
        "name": known.name,
        "url": known.url,
        "trustworthy": True,
        "version": known.cas_version,
        "cas_key_hash": known.cas_key_hash,
        "cas_software_key_hash": known.software_key_hash,
        "mrenclave": known.mrenclave,
        "mrsigner": known.mrsigner,
        "isvprodid": known.isvprodid,
        "isvsvn": known.isvsvn,
        "tcb_status": attested.tcb_status,
        "advisories": list(attested.accepted.evidence.advisories),
        "platform_id": known.platform_id,
        "simulated": known.simulated,
        "debug": known.debug,
        "epoch": known.epoch,
        "database_key_origin": known.database_key_origin,
        "warnings": list(attested.warnings),
    }


def remember(state: ConfigFile, attested: AttestedCas, *, stated_cas_key: str | None) -> bool:
    """Write it down; says whether it is the default CAS now.

    Raises:
        VerificationError: another run has seen a newer state of this CAS meanwhile.
    """
    known = attested.known

    def change(document: Document) -> None:
        check_continuity(known, Config(state.path, document).all(), stated_cas_key=stated_cas_key)
        remember_in(document, known)

    return state.update(change).default_cas == known.name
