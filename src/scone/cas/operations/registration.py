"""The newcomer's side of a backup registration: a key made here, bound by this CAS's quote.

The private half is kept beside the database path, sealed to this platform and
software, so that the CAS can open a copied key store after a restart.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scone.attestation.report_data import registration_report_data
from scone.cas.files import write_atomically
from scone.cas.state import Cas, Provisioned
from scone.crypto import sealing
from scone.crypto.secret import SecretBytes
from scone.errors import ConflictError, IntegrityError
from scone.tee.base import Tee

_LABEL: Final = b"scone-cas-registration-key-v1"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the newcomer answers; the primary decides on it."""

    public_key: bytes
    quote: bytes


def registration_key_path(database: Path) -> Path:
    """Where the sealed private key of a registration lies."""
    return database.with_name(database.name + ".registration-key")


async def make_registration(cas: Cas, nonce: bytes) -> Registration:
    """Make (or reuse) the key, and a quote that binds it to the primary's nonce.

    Raises:
        ConflictError: this CAS has an owner and a database of its own.
    """
    if isinstance(cas.phase, Provisioned):
        raise ConflictError("this CAS is provisioned: it has a database and cannot be a backup")
    async with cas.changing:
        path = registration_key_path(cas.availability.database_path)
        private = await asyncio.to_thread(_load_or_create, path, cas.platform.tee)
    public = sealing.x25519_public_key(private)
    evidence = await asyncio.to_thread(
        cas.platform.tee.quote, registration_report_data("backup", nonce, public)
    )
    return Registration(public, evidence.quote)


def load_registration_key(path: Path, tee: Tee) -> SecretBytes | None:
    """The private key of an earlier registration, or None.

    Raises:
        IntegrityError: the file was made on another machine or by other software.
    """
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return SecretBytes(sealing.open_sealed(tee.sealing_key(_LABEL.decode()), sealed, _LABEL))
    except IntegrityError as error:
        raise IntegrityError(
            f"{path}: the registration key was sealed on another machine or by other software",
            hint="register this CAS as a backup again",
        ) from error


def _load_or_create(path: Path, tee: Tee) -> SecretBytes:
    found = load_registration_key(path, tee)
    if found is not None:
        return found
    private = sealing.new_x25519_key(os.urandom)
    sealed = sealing.seal(tee.sealing_key(_LABEL.decode()), private.reveal(), _LABEL, os.urandom)
    write_atomically(path, sealed)
    return private
