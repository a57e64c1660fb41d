"""The primary's side of backups: nonce, registration, list, withdrawal. By the owner only."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from scone.attestation.appraise import appraise_peer
from scone.attestation.report_data import registration_report_data
from scone.attestation.verify import verify
from scone.cas.opening import add_backup, roll_database_key
from scone.cas.opening import backup_id as name_of
from scone.cas.state import Cas
from scone.cas.store.base import Transaction
from scone.errors import ConflictError, NotFoundError, VerificationError

LOG: Final = logging.getLogger("scone.cas")
_NONCE_VALID_S: Final = 120.0
_MAX_NONCES: Final = 64


@dataclass(slots=True)
class Nonces:
    """Challenges for newcomers: each used once, within two minutes."""

    issued: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def issue(self, now: float) -> bytes:
        """A new challenge of 16 bytes."""
        while len(self.issued) >= _MAX_NONCES:
            self.issued.popitem(last=False)
        nonce = os.urandom(16)
        self.issued[nonce] = now
        return nonce

    def consume(self, nonce: bytes, now: float) -> None:
        """Use a challenge up.

        Raises:
            ConflictError: it was not issued here, is used, or is too old.
        """
        issued_at = self.issued.pop(nonce, None)
        if issued_at is None or now - issued_at > _NONCE_VALID_S:
            raise ConflictError(
                "the registration's nonce is unknown, used or older than two minutes",
                hint="run scone cas register-backup again",
            )


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What the backup CAS answered to the challenge."""

    nonce: bytes
    public_key: bytes
    quote: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A registered backup, as listed."""

    id: str
    address: str
    platform_id: str
    mrenclave: str
    isvsvn: int
    tcb_status: str
    registered_at: str


async def register_backup(cas: Cas, nonces: Nonces, newcomer: Newcomer) -> Backup:
    """Admit a newcomer whose quote binds its key to our nonce and whose software and TCB equal ours.

    Raises:
        ConflictError: the nonce is not fresh.
        VerificationError: the evidence is not genuine, or not for this key and nonce.
        AppraisalError: other signer or product, lower ISVSVN, worse TCB, debug.
    """
    async with cas.changing:
        phase = cas.provisioned
        nonces.consume(newcomer.nonce, asyncio.get_running_loop().time())
        # Our collateral, not the newcomer's: it could show us an older TCB level as the newest.
        verified = verify(newcomer.quote, cas.collateral, cas.platform.anchors, cas.now())
        expected = registration_report_data("backup", newcomer.nonce, newcomer.public_key)
        if verified.report.report_data != expected:
            raise VerificationError("the backup's evidence is not for its key and our nonce")
        appraise_peer(verified, cas.platform.own)
        backup = Backup(
            id=name_of(newcomer.public_key),
            address=newcomer.address,
            platform_id=verified.platform_id,
            mrenclave=verified.report.mrenclave.hex(),
            isvsvn=verified.report.isvsvn,
            tcb_status=verified.tcb_status,
            registered_at=cas.now().isoformat(),
        )

        def commit(records: Transaction) -> None:
            record = {name: getattr(backup, name) for name in Backup.__slots__}
            record["public_key"] = newcomer.public_key.hex()
            records.put("backup", backup.id, json.dumps(record).encode())
            phase.audit.append("backup_registered", id=backup.id, platform=backup.platform_id)

        # Listed before it can open anything: a crash between the two leaves a listed backup
        # without access, never an unlisted one with access.
        await asyncio.wrap_future(phase.store.transact(commit))
        cas.phase = await asyncio.to_thread(add_backup, cas, phase, newcomer.public_key)
        LOG.info("backup %s registered", backup.id)
        return backup


async def list_backups(cas: Cas) -> tuple[Backup, ...]:
    """The registered backups."""
    phase = cas.provisioned
    records = await asyncio.wrap_future(
        phase.store.transact(lambda records: [value for _, value in records.scan("backup")])
    )
    return tuple(_backup(json.loads(record)) for record in records)


async def withdraw_backup(cas: Cas, backup_id: str) -> None:
    """Withdraw a registration: a new database key that the withdrawn backup cannot open.

    Raises:
        NotFoundError: no such registration.
    """
    async with cas.changing:
        phase = cas.provisioned
        if phase.store.get("backup", backup_id) is None:
            raise NotFoundError(
                f"no backup is registered as {backup_id!r}", hint="see scone cas list-backups"
            )

        cas.phase = await asyncio.to_thread(roll_database_key, cas, phase, backup_id)
        LOG.info("backup %s withdrawn; the software key of the CAS is new:", backup_id)
        LOG.info("CAS software-key hash: %s", cas.phase.keys.software_key_hash)


def _backup(record: dict[str, str | int]) -> Backup:
    return Backup(**{name: record[name] for name in Backup.__slots__})  # type: ignore[arg-type]
