"""Give secrets to a session of another CAS: evidence on this channel, the exports, the values."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass
from functools import partial
from typing import Final

from scone.attestation.appraise import CasPolicy
from scone.attestation.appraise.accepted import CATEGORIES, CONFIGURATION, HARDENING, OUTDATED
from scone.attestation.cas_evidence import AcceptedCas, CasDocument, accept_cas
from scone.cas.exports import find_export
from scone.cas.state import Cas, Provisioned
from scone.cas.store.base import Transaction
from scone.cas.values import Resolution
from scone.crypto.der import spki_of_certificate
from scone.crypto.keyhash import key_hash
from scone.errors import AppraisalError, SconeError, VerificationError
from scone.release import MIN_ISVSVN
from scone.session.model import Import, SessionReference
from scone.session.secrets import SecretValues
from scone.session.sharing import Importer

MAX_SECRETS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """What the other CAS sent, and what the channel proved: its key, and the nonce of the channel.

    `importer` and `exporter` are session names with the hash of the active version there, and
    the one that is expected here; `step` counts the imports in a row so far, this one included.
    """

    importer: str
    importer_hash: str
    exporter: str
    exporter_hash: str | None
    secrets: tuple[str, ...]
    step: int
    document: bytes
    nonce: str
    peer_spki: bytes


async def share_secret(cas: Cas, request: ShareRequest) -> bytes:
    """Steps in order: genuine and fresh? this channel? acceptable? not gone back? exported? audit.

    Which session asks, the attested software of the other CAS says; this CAS believes it.
    What is returned are the values in their stored form, secrets as a whole.

    Raises:
        VerificationError: evidence that is not genuine, not for this channel, or went back.
        AppraisalError: the other CAS is not what a CAS must be, or its owner can read secrets.
        NotFoundError: a secret does not exist or is not exported to the importer.
        ConflictError: the session has another hash than the import says.
    """
    phase = cas.provisioned
    peer = await cas.attestations.run(partial(_attest, cas, request))
    asks = Importer(
        request.importer,
        request.importer_hash,
        key_hash(spki_of_certificate(peer.root.der)),
        key_hash(spki_of_certificate(peer.instance.der)),
    )
    source = SessionReference(session=request.exporter, session_hash=request.exporter_hash)
    resolution = Resolution(cas, phase, steps=request.step)
    values = {}
    await cas.sessions.fetch_active(phase.store, request.exporter)
    for name in request.secrets:
        version, spec = find_export(cas, phase.store, Import(source, name), request.exporter, asks)
        values[name] = await resolution.exported(version, spec, asks)
    await _remember(phase, str(asks.cas_key_hash), peer)
    await asyncio.to_thread(
        phase.audit.append,
        "secrets_shared",
        session=request.exporter,
        secrets=",".join(request.secrets),
        importer=request.importer,
        cas_key_hash=str(asks.cas_key_hash),
    )
    return SecretValues(values).to_json()


def _attest(cas: Cas, request: ShareRequest) -> AcceptedCas:
    """The CAS that asks, as `scone cas attest` would accept it."""
    try:
        peer = accept_cas(
            CasDocument.parse(request.document),
            _policy(cas),
            nonce=request.nonce,
            anchors=cas.platform.anchors,
            now=cas.now(),
            cache=cas.cache,
        )
        channel = hmac.compare_digest(spki_of_certificate(peer.instance.der), request.peer_spki)
        if not channel:
            raise VerificationError(
                "the evidence is not of the CAS that sent it: somebody may be relaying it"
            )
        if not peer.cas.provisioned:
            raise AppraisalError("it is not provisioned: it changes its keys when it is")
        if peer.cas.database_key_origin != "generated":
            raise AppraisalError(
                "its database key was injected by its owner, who can read all secrets of all "
                "sessions; an export has no way to consent to that",
                hint="import into a CAS whose database key was not injected",
            )
    except SconeError as error:
        raise error.within("the CAS that asks for secrets is not accepted") from None
    return peer


def _policy(cas: Cas) -> CasPolicy:
    """Our own signer and product, no debug, and no problem of the platform that ours has not."""
    own = cas.platform.own
    has = CATEGORIES.get(own.tcb_status, frozenset())
    return CasPolicy(
        mrsigner=own.report.mrsigner.hex(),
        isvprodid=own.report.isvprodid,
        isvsvn_min=MIN_ISVSVN,
        accept_outdated=OUTDATED in has,
        accept_configuration=CONFIGURATION in has,
        accept_sw_hardening=HARDENING in has,
    )


async def _remember(phase: Provisioned, cas_key_hash: str, peer: AcceptedCas) -> None:
    """Keep the highest epoch and version seen of a CAS; refuse one that went back."""
    now = {"epoch": peer.cas.epoch, "isvsvn": peer.evidence.report.isvsvn}

    def seen(raw: bytes | None) -> dict[str, int]:
        return dict.fromkeys(now, 0) if raw is None else json.loads(raw)

    before = seen(phase.store.get("peer", cas_key_hash))
    for what, value in now.items():
        if value < before[what]:
            raise VerificationError(
                f"the CAS that asks for secrets went back: expected at least {what} "
                f"{before[what]}, as seen before, got {value}",
                hint="an old copy of its database or of its software may have been started",
            )
    if now == before:
        return

    def commit(records: Transaction) -> None:
        latest = seen(records.get("peer", cas_key_hash))
        highest = {what: max(value, latest[what]) for what, value in now.items()}
        records.put("peer", cas_key_hash, json.dumps(highest).encode())

    await asyncio.wrap_future(phase.store.transact(commit))
