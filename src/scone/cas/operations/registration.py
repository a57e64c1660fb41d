"""The newcomer's side of a backup registration: a key made here, bound by this CAS's quote."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from scone.attestation.report_data import registration_report_data
from scone.cas.registration_key import load_or_create_registration_key, registration_key_path
from scone.cas.state import Cas, Provisioned
from scone.crypto import sealing
from scone.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Registration:
    """What the newcomer answers; the primary decides on it."""

    public_key: bytes
    quote: bytes


async def make_registration(cas: Cas, nonce: bytes) -> Registration:
    """Make (or reuse) the key, and a quote that binds it to the primary's nonce.

    Raises:
        ConflictError: this CAS has an owner and a database of its own.
    """
    if isinstance(cas.phase, Provisioned):
        raise ConflictError("this CAS is provisioned: it has a database and cannot be a backup")
    async with cas.changing:
        path = registration_key_path(cas.availability.database_path)
        private = await asyncio.to_thread(load_or_create_registration_key, path, cas.platform.tee)
    public = sealing.x25519_public_key(private)
    evidence = await asyncio.to_thread(
        cas.platform.tee.quote, registration_report_data("backup", nonce, public)
    )
    return Registration(public, evidence.quote)
