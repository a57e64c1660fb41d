"""Further factors of a service's start: access token, one-time password, one attestation a start.

What counts once is kept in the store and decided in the one commit thread: of two at the same
time one wins, and a restart of the CAS forgets nothing. It counts against the quota of the
session's namespace. Wrong passwords are counted in memory only, because anybody can send them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from scone.attestation.access_token import TOKEN_EXPORTER_LABEL, proves_token, token_proof
from scone.attestation.appraise import Clause, NotTrustedError
from scone.cas.sessions import SMALL_RECORD, Quota, charge
from scone.cas.store.base import Store, Transaction
from scone.crypto.sealing import hmac_key
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, LimitError, UsageError
from scone.session.model import Security
from scone.session.names import ServiceReference
from scone.session.otp import matching_step, time_step

Exporter = Callable[[bytes, int], bytes]

MAX_WRONG_PASSWORDS: Final = 5
"""For one secret in one time-step. Two codes of a million are right: 3 % in a day of guessing."""

USED: Final = (
    "A One-time Password was already used within this time-step. "
    "Please try again in the next time-step"
)
WRONG: Final = "The given One-time Password is invalid. Please try again."

# Starts are kept in so many records of so many identifiers for each session: about the newest
# quarter of a million in 6 MiB. A record that is replaced leaves nothing behind in the database.
_HMAC_BLOCK: Final = 64  # of SHA-1
_BUCKETS: Final = 4096
_ID_BYTES: Final = 16
_IDS_IN_BUCKET: Final = 64
_BUCKET_BYTES: Final = SMALL_RECORD + _IDS_IN_BUCKET * _ID_BYTES
_SINGLETON: Final = "scone-singleton-enclave-v1"
_AGAIN: Final = (
    "This start of the program was attested before, and the session admits each start once "
    "(singleton_enclaves)"
)


@dataclass(slots=True)
class WrongPasswords:
    """Counts wrong one-time passwords for each secret in the present time-step."""

    _step: int = 0
    _counts: Counter[str] = field(default_factory=Counter)

    def require_left(self, secret: str, step: int) -> None:
        """Refuse all passwords, right ones too, after too many wrong ones in this step.

        Raises:
            LimitError: there were too many.
        """
        if step != self._step:
            self._step, self._counts = step, Counter()
        if self._counts[secret] >= MAX_WRONG_PASSWORDS:
            raise LimitError(
                f"more than {MAX_WRONG_PASSWORDS} wrong One-time Passwords in this time-step",
                hint="try again in the next time-step",
            )

    def add(self, secret: str) -> None:
        """Count one in the step that was looked at last."""
        self._counts[secret] += 1


def prove_token(security: Security, reference: ServiceReference, exporter: Exporter) -> bytes:
    """What shows a launcher that this CAS has its session: it knows the token.

    Raises:
        ForbiddenError: the session has no token.
    """
    if security.service_access_token is None:
        raise ForbiddenError(
            f"session {reference.session} has no service access token",
            hint="SCONE_SERVICE_ACCESS_TOKEN is set: unset it, or give the session the token "
            "(security.service_access_token)",
        )
    token = SecretBytes(security.service_access_token.encode())
    return token_proof(token, "cas", exporter(TOKEN_EXPORTER_LABEL, 32))


def check_token(
    security: Security, reference: ServiceReference, proof: bytes | None, exporter: Exporter
) -> None:
    """Let only those go on who know the session's token, if it has one.

    Raises:
        ForbiddenError: no proof, or one with another token or of another channel.
        UsageError: a proof although there is no token.
    """
    if security.service_access_token is None:
        if proof is not None:
            raise UsageError(f"session {reference.session} has no service access token")
        return
    if proof is None:
        raise ForbiddenError(
            f"session {reference.session} requires a service access token",
            hint="set SCONE_SERVICE_ACCESS_TOKEN to it where the service is started",
        )
    token = SecretBytes(security.service_access_token.encode())
    if not proves_token(proof, token, "service", exporter(TOKEN_EXPORTER_LABEL, 32)):
        raise ForbiddenError(f"the service access token is not that of session {reference.session}")


def record_of(secret: SecretBytes) -> str:
    """One name for all texts that make the same HMAC key (RFC 2104, 2): long ones, zeros behind."""
    raw = secret.reveal()
    if len(raw) > _HMAC_BLOCK:
        raw = hashlib.sha1(raw, usedforsecurity=False).digest()
    return hashlib.sha256(raw.rstrip(b"\0")).hexdigest()


async def use_password(
    store: Store,
    wrong: WrongPasswords,
    reference: ServiceReference,
    secret: SecretBytes,
    now: datetime,
    *,
    quota: Quota,
) -> None:
    """Take a one-time password: each works once, and older ones no more.

    It is used up also where the start fails later. The record is that of the shared secret:
    services and sessions that share one share its codes and its wrong guesses.

    Raises:
        ForbiddenError: no password, a wrong one, or a used one.
        LimitError: too many wrong ones, or the namespace is full.
    """
    if reference.one_time_password is None:
        name = f"{reference.session}/{reference.service}"
        raise ForbiddenError(
            f"service {name} requires a One-time Password",
            hint=f"append the current one to the configuration id: SCONE_CONFIG_ID={name}@123456",
        )
    key = record_of(secret)
    wrong.require_left(key, time_step(now))
    step = matching_step(secret, reference.one_time_password, now)
    if step is None:
        wrong.add(key)
        raise ForbiddenError(WRONG)

    def is_used(raw: bytes | None) -> bool:
        return raw is not None and step <= int.from_bytes(raw, "big")

    def commit(records: Transaction) -> bool:
        raw = records.get("otp", key)
        if is_used(raw):
            return False
        if raw is None:
            charge(records, reference.session, SMALL_RECORD, quota)
        records.put("otp", key, step.to_bytes(8, "big"))
        return True

    # The first look keeps what was used from costing a commit again.
    if is_used(store.get("otp", key)) or not await asyncio.wrap_future(store.transact(commit)):
        raise ForbiddenError(USED)


async def use_start(store: Store, session_name: str, instance_key: bytes, *, quota: Quota) -> None:
    """Take note of a start of an enclave, known by its instance key; each is attested once.

    Raises:
        NotTrustedError: a session of this name has seen it before.
        LimitError: the namespace is full.
    """

    def commit(records: Transaction) -> bool:
        secret = records.get("cas", "singleton-key")
        if secret is None:
            secret = os.urandom(32)
            records.put("cas", "singleton-key", secret)
        # With a key: whoever chooses instance keys could else drive one start out of its bucket.
        parts = session_name.encode(), instance_key
        digest = hmac_key(SecretBytes(secret), _SINGLETON, *parts).reveal()
        start, bucket = digest[:_ID_BYTES], int.from_bytes(digest[-2:], "big") % _BUCKETS
        key = f"{bucket:03x} {session_name}"
        raw = records.get("singleton", key)
        if raw is None:
            charge(records, session_name, _BUCKET_BYTES, quota)
            raw = b""
        known = [raw[at : at + _ID_BYTES] for at in range(0, len(raw), _ID_BYTES)]
        if start in known:
            return False
        records.put("singleton", key, b"".join([*known, start][-_IDS_IN_BUCKET:]))
        return True

    if not await asyncio.wrap_future(store.transact(commit)):
        raise NotTrustedError(
            ["The program enclave is not trustworthy", _AGAIN],
            [Clause("singleton", _AGAIN)],
            hint="start the program again: each start makes a new instance key",
        )
