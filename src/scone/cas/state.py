"""What a running CAS holds: its platform, its keys, its store, its owner's configuration.

One process, one event loop. `Unprovisioned` and `Provisioned` are values; the one
mutable thing is which of them `Cas.phase` is, and it changes under `Cas.changing`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakValueDictionary

from scone.attestation.collateral import Collateral
from scone.attestation.receipt import Receipt
from scone.attestation.verify import Anchor, VerificationCache, VerifiedEvidence
from scone.cas.audit import AuditLog, FileAuditLog, NoAuditLog
from scone.cas.azure import Azure
from scone.cas.calls import Calls
from scone.cas.config import Availability
from scone.cas.factors import WrongPasswords
from scone.cas.keys import CasKeys
from scone.cas.sessions import Quota, Sessions
from scone.cas.store.base import Store
from scone.cas.store.key_store import KeyStorePayload, OpenKeyStore
from scone.cas.store.lock import DatabaseLock
from scone.cas.workers import Workers
from scone.crypto.secret import SecretBytes
from scone.errors import UnavailableError
from scone.owner_config import OwnerConfig
from scone.tee.base import Tee


@dataclass(frozen=True, slots=True)
class Platform:
    """The TEE that this CAS runs in, and what it proved about itself at start."""

    tee: Tee
    own: VerifiedEvidence
    anchors: tuple[Anchor, ...]

    @property
    def software(self) -> str:
        """The measurement, in hex."""
        return self.own.report.mrenclave.hex()

    def software_at(self, epoch: int) -> str:
        """The name of the software key of this measurement in an epoch."""
        return f"{self.software}:{epoch}"


@dataclass(frozen=True, slots=True)
class Unprovisioned:
    """Waiting for an owner: keys of this start only, and the token for the first claim."""

    keys: CasKeys
    token: SecretBytes


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Serving sessions."""

    keys: CasKeys
    store: Store
    key_store: OpenKeyStore
    config: OwnerConfig
    owner_spki_sha256: bytes
    owner_chain_pem: str
    receipt: Receipt
    audit: AuditLog

    @property
    def payload(self) -> KeyStorePayload:
        """What is sealed beside the database key."""
        return self.key_store.payload

    @property
    def quota(self) -> Quota:
        """Limits for each top-level namespace."""
        return Quota(self.config.max_sessions_per_namespace, self.config.max_bytes_per_namespace)


@dataclass(slots=True)
class Cas:
    """The mutable root of a CAS process."""

    availability: Availability
    platform: Platform
    now: Callable[[], datetime]
    phase: Unprovisioned | Provisioned
    collateral: Collateral
    version: str
    lock: DatabaseLock
    sessions: Sessions = field(default_factory=Sessions)
    cache: VerificationCache = field(default_factory=VerificationCache)
    quick_builds: set[tuple[str, str]] = field(default_factory=set)
    wrong_passwords: WrongPasswords = field(default_factory=WrongPasswords)
    workers: Workers = field(default_factory=lambda: Workers("sessions"))
    attestations: Workers = field(default_factory=lambda: Workers("CASes"))
    """Of other CASes, which ask for secrets."""
    calls: Calls = field(default_factory=Calls)
    azure: Azure = field(default_factory=Azure)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    renewing: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """By hash of the session's version: a vault that hangs holds up no other session."""

    @property
    def provisioned(self) -> Provisioned:
        """The provisioned state.

        Raises:
            UnavailableError: nobody has provisioned this CAS yet.
        """
        if isinstance(self.phase, Provisioned):
            return self.phase
        raise UnavailableError(
            "the CAS is not provisioned",
            hint="claim it with scone cas provision; its console shows the key hash and the token",
        )

    def close(self) -> None:
        """Finish what was submitted and give the database back.

        Raises:
            StateError: the disk does not take it.
        """
        self.workers.close()
        self.attestations.close()
        self.calls.close()
        self.azure.close()
        self.sessions.close()
        try:
            if isinstance(self.phase, Provisioned):
                self.phase.store.close()
                self.phase.audit.close()
        finally:
            self.lock.release()

    def is_owner(self, peer_spki_der: bytes | None) -> bool:
        """Whether a TLS client proved possession of the owner's key."""
        return (
            isinstance(self.phase, Provisioned)
            and peer_spki_der is not None
            and hashlib.sha256(peer_spki_der).digest() == self.phase.owner_spki_sha256
        )


def audit_log(
    config: OwnerConfig, availability: Availability, now: Callable[[], datetime]
) -> AuditLog:
    """The audit log that an owner configuration asks for.

    Raises:
        UnavailableError: its file cannot be opened.
    """
    if config.audit_log_mode == "disabled":
        return NoAuditLog()
    return FileAuditLog(availability.audit_log_path, now)
