"""Backups of a CAS: another CAS, not yet provisioned, gets access to its database."""

from __future__ import annotations

from collections.abc import Iterable

from scone.attestation.appraise import CasPolicy
from scone.client.cas import Backup, CasClient
from scone.client.known import KnownCas
from scone.client.trust import TrustPolicy


def backup_policy(
    primary: KnownCas,
    *,
    cas_key_hash: str | None = None,
    platforms: Iterable[str] = (),
    accept_outdated: bool = False,
    accept_configuration: bool = False,
    accept_sw_hardening: bool = False,
) -> TrustPolicy:
    """What a backup must be: as the primary was attested, same signer, product and root; not older.

    Raises:
        UsageError: the key hash is none.
    """
    platform = tuple(platforms)
    if primary.debug:
        cas = CasPolicy(
            mrenclaves=(primary.mrenclave,),
            ignore_signer=True,
            allow_debug=True,
            accept_outdated=accept_outdated,
            accept_configuration=accept_configuration,
            accept_sw_hardening=accept_sw_hardening,
            platforms=platform,
        )
    else:
        cas = CasPolicy(
            mrsigner=primary.mrsigner,
            isvprodid=primary.isvprodid,
            isvsvn_min=primary.isvsvn,
            accept_outdated=accept_outdated,
            accept_configuration=accept_configuration,
            accept_sw_hardening=accept_sw_hardening,
            platforms=platform,
        )
    return TrustPolicy(
        cas=cas, cas_key_hash=cas_key_hash, state="any", simulation_root=primary.simulation_root
    )


def register_backup(primary: CasClient, newcomer: CasClient, address: str) -> Backup:
    """Give the newcomer, which was attested, access to the primary's database; by the owner only.

    Raises:
        SconeError: the refusals of both; the primary attests the newcomer itself.
    """
    nonce = primary.backup_nonce()
    return primary.register_backup(nonce, newcomer.registration(nonce), address)
