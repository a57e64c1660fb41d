"""The first claim of a CAS: token, owner, configuration, new keys, new database, in one step.

The unprovisioned CAS key signs {new CAS key, owner key, hash of the request}. The
signature (the receipt) is stored in the provisioning transaction and published in
the attestation document, so that an owner whose answer was lost can prove that the
claim was theirs without sending the token again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from scone.attestation.receipt import Receipt, make_receipt
from scone.cas.keys import create_keys
from scone.cas.opening import NewInstance, create_instance
from scone.cas.state import Cas, Provisioned, Unprovisioned
from scone.crypto.der import to_pem
from scone.crypto.secret import SecretBytes
from scone.errors import ConflictError, ForbiddenError, LimitError
from scone.owner_config import OwnerConfig
from scone.release import RELEASE_MRSIGNER

LOG: Final = logging.getLogger("scone.cas")
_MAX_WRONG_TOKENS: Final = 5
_WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ProvisioningRequest:
    """A claim as received: the body's hash identifies it in a retry."""

    token: SecretBytes
    config: OwnerConfig
    database_key: SecretBytes | None
    owner_spki: bytes
    owner_certificate: bytes
    body_sha256: bytes


@dataclass(frozen=True, slots=True)
class ProvisioningAnswer:
    """The new identity of the CAS and the proof that this request made it."""

    cas_key_hash: str
    software_key_hash: str
    receipt: Receipt


@dataclass(slots=True)
class WrongTokens:
    """Times of recent wrong tokens; a right one is never delayed by them."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_WRONG_TOKENS))

    def count(self, now: float) -> None:
        """Record one wrong token.

        Raises:
            LimitError: too many within a minute.
            ForbiddenError: otherwise.
        """
        recent = [seen for seen in self.times if now - seen < _WINDOW_S]
        self.times.append(now)
        if len(recent) >= _MAX_WRONG_TOKENS:
            raise LimitError(
                "too many wrong provisioning tokens, wait a minute",
                hint="the token is on the console of the CAS; a right one is accepted at any time",
            )
        raise ForbiddenError(
            "the provisioning token is wrong", hint="it is on the console of the CAS"
        )


async def provision(
    cas: Cas, wrong_tokens: WrongTokens, request: ProvisioningRequest
) -> ProvisioningAnswer:
    """Claim the CAS, or repeat the answer to the same claim.

    Raises:
        ForbiddenError: a wrong token, or database key injection into a released CAS.
        LimitError: too many wrong tokens.
        UnavailableError: the audit log that the configuration asks for cannot be opened.
        ConflictError: somebody else, or another request, has claimed it already.
    """
    async with cas.changing:
        phase = cas.phase
        if isinstance(phase, Provisioned):
            return _repeat(phase, request)
        if not hmac.compare_digest(phase.token.reveal(), request.token.reveal()):
            wrong_tokens.count(asyncio.get_running_loop().time())
        refuse_injection(cas.platform.own.report.mrsigner, request.database_key)
        cas.phase = await asyncio.to_thread(_claim, cas, phase, request)
        await asyncio.to_thread(
            cas.phase.audit.append, "provisioned", origin=cas.phase.payload.origin
        )
        LOG.info("provisioned; the keys of the CAS are new:")
        LOG.info("CAS key hash: %s", cas.phase.keys.cas_key_hash)
        LOG.info("CAS software-key hash: %s", cas.phase.keys.software_key_hash)
        return _answer(cas.phase)


def refuse_injection(mrsigner: bytes, database_key: SecretBytes | None) -> None:
    """A CAS signed by the project's release key takes no database key from anybody.

    Raises:
        ForbiddenError: it was asked to.
    """
    if database_key is not None and mrsigner == RELEASE_MRSIGNER:
        raise ForbiddenError(
            "this CAS is signed by the release key and refuses database key injection",
            hint="provision without --database-key, or run a CAS signed by your own key",
        )


def _claim(cas: Cas, phase: Unprovisioned, request: ProvisioningRequest) -> Provisioned:
    keys = create_keys(request.config.api_identity, cas.now())
    receipt = make_receipt(
        phase.keys.root_key,
        unprovisioned_spki=phase.keys.root_spki,
        new_cas_spki=keys.root_spki,
        owner_spki=request.owner_spki,
        request_sha256=request.body_sha256,
    )
    return create_instance(
        cas,
        NewInstance(
            keys=keys,
            config=request.config,
            owner_spki=request.owner_spki,
            owner_chain_pem=to_pem("CERTIFICATE", request.owner_certificate),
            receipt=receipt,
            token_sha256=hashlib.sha256(request.token.reveal()).digest(),
            database_key=request.database_key or SecretBytes(os.urandom(32)),
            origin="generated" if request.database_key is None else "injected",
        ),
    )


def _repeat(phase: Provisioned, request: ProvisioningRequest) -> ProvisioningAnswer:
    owner = hashlib.sha256(request.owner_spki).digest()
    token = phase.store.get("cas", "token-sha256")
    if (
        owner != phase.owner_spki_sha256
        or request.body_sha256 != phase.receipt.request_sha256
        or token is None
        or not hmac.compare_digest(token, hashlib.sha256(request.token.reveal()).digest())
    ):
        raise ConflictError(
            "the CAS is already provisioned: only the first claim succeeds",
            hint="its owner changes the configuration with scone cas update-config",
        )
    return _answer(phase)


def _answer(phase: Provisioned) -> ProvisioningAnswer:
    return ProvisioningAnswer(phase.keys.cas_key_hash, phase.keys.software_key_hash, phase.receipt)
