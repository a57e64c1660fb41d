"""Prove to a client what this CAS is: a quote over the attestation document."""

from __future__ import annotations

import asyncio

from scone.attestation.cas_evidence import CasEvidence, build_document
from scone.attestation.report_data import cas_report_data
from scone.cas.state import Cas, Provisioned


async def attest_cas(cas: Cas, nonce: str | None) -> bytes:
    """The response body of GET /v1/attest: `{proof_data, additional_data}`."""
    phase = cas.phase
    provisioned = phase if isinstance(phase, Provisioned) else None
    own = cas.platform.own
    additional = CasEvidence(
        nonce=nonce,
        provisioned=provisioned is not None,
        tee=own.tee,
        simulated=own.anchor.simulated,
        debug=own.report.debug,
        database_key_origin=None if provisioned is None else provisioned.payload.origin,
        cert_chain=phase.keys.document_chain,
        session_encryption_key=None
        if provisioned is None
        else phase.keys.encryption_public_key.hex(),
        cas_version=cas.version,
        provisioning_cas_owner_certificate_chain=None
        if provisioned is None
        else provisioned.owner_chain_pem,
        epoch=0 if provisioned is None else provisioned.payload.epoch,
        commit=0 if provisioned is None else provisioned.store.commit_number,
        provisioning_receipt=None if provisioned is None else provisioned.receipt,
    ).to_json()
    evidence = await asyncio.to_thread(cas.platform.tee.quote, cas_report_data(additional))
    return build_document(evidence.quote, cas.collateral, additional)
