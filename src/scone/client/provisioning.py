"""Claim a CAS: it proves itself, then the token and the configuration leave, then it proves again.

Provisioning gives the CAS new keys. The key that it had before signs a receipt over the new
key, the owner's key and the hash of the request, so that an owner whose answer was lost
recognises the claim as their own and sends nothing a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scone.attestation.receipt import Receipt, verify_receipt
from scone.client.cas import DEFAULT_RETRIES, CasClient, ProvisioningAnswer
from scone.client.known import KnownCas
from scone.client.trust import AttestedCas, Clock, TrustPolicy, attest_cas, check_continuity
from scone.crypto.der import spki_of_certificate
from scone.crypto.identity import Identity
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import (
    AppraisalError,
    ConflictError,
    MalformedError,
    NetworkError,
    VerificationError,
)
from scone.owner_config import OwnerConfig


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim on a CAS: who, with which token, to which configuration."""

    identity: Identity
    token: SecretBytes
    config: OwnerConfig
    database_key: SecretBytes | None = None

    @property
    def body(self) -> SecretBytes:
        """The request: the same claim is the same bytes, so that a retry can be recognised."""
        parts = [b'{"token":"', self.token.reveal(), b'","config":', self.config.to_json()]
        if self.database_key is not None:
            parts += [b',"database_key":"', self.database_key.reveal(), b'"']
        return SecretBytes(b"".join([*parts, b"}"]))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed CAS. `attested` is None where it has to be attested again by the user."""

    cas_key_hash: str
    software_key_hash: str
    attested: AttestedCas | None
    recovered: bool = False


def provision_cas(
    address: str,
    policy: TrustPolicy,
    claim: Claim,
    *,
    on_trusted: Callable[[AttestedCas], None],
    remembered: Iterable[KnownCas] = (),
    retries: int = DEFAULT_RETRIES,
    clock: Clock | None = None,
) -> Claimed:
    """Attest a CAS, claim it, attest it again with its new keys.

    `policy.cas_key_hash` is the key that the console shows. `on_trusted` is called when the CAS
    has proved itself, before anything leaves.

    Raises:
        ConflictError: somebody else, or another request, has claimed it.
        SconeError: as `attest_cas`, and the refusals of the CAS.
    """
    expected = policy.cas_key_hash
    if expected is None:
        raise AppraisalError("provisioning needs the CAS key hash that the console shows")
    remembered = tuple(remembered)
    # The keys change on the way: -c and -s are compared here, not by the policy.
    free = replace(
        policy,
        cas_key_hash=None,
        software_key_hash=None,
        state="any",
        allow_owner_secret_access=claim.database_key is not None
        or policy.allow_owner_secret_access,
    )
    found = attest_cas(address, free, retries=retries, clock=clock)
    body = claim.body
    if found.accepted.cas.provisioned:
        _check_own(found, claim, body, expected)
        on_trusted(found)
        return _claimed(found, claim, remembered, recovered=True)
    _check_console(found.known, policy)
    on_trusted(found)
    # Another connection, because the first one showed no identity; its key is the attested one.
    with CasClient.of(found.known, identity_pem=claim.identity.pem, retries=retries) as client:
        try:
            answer: ProvisioningAnswer | None = client.provision(body)
            lost: NetworkError | None = None
        except NetworkError as error:
            answer, lost = None, error
    try:
        after = attest_cas(address, free, retries=retries, clock=clock)
    except NetworkError:
        raise lost or _unproved(address) from None
    if not after.accepted.cas.provisioned:
        raise lost or _unproved(address)
    _check_own(after, claim, body, expected)
    if answer is not None and answer.cas_key_hash != after.known.cas_key_hash:
        raise VerificationError(
            f"the CAS answered with the key {answer.cas_key_hash}, but proves {after.known.cas_key_hash}"
        )
    return _claimed(after, claim, remembered, recovered=lost is not None)


def provision_unattested(
    address: str,
    expected_cas_key_hash: str,
    software_key_hash: str | None,
    claim: Claim,
    *,
    retries: int = DEFAULT_RETRIES,
) -> Claimed:
    """Claim a CAS that proves possession of the expected key and nothing else (testing only).

    Raises:
        VerificationError: another key, or a receipt that is not for this claim.
        SconeError: the refusals of the CAS.
    """

    def check_peer(chain: tuple[bytes, ...]) -> None:
        from scone.crypto.certificates import verify_issued_by

        if len(chain) != 2:
            raise VerificationError(
                f"expected the CAS certificate behind its own, got {len(chain)}"
            )
        verify_issued_by(chain[0], chain[1], now=datetime.now(UTC))
        _check_hashes(
            key_hash(spki_of_certificate(chain[1])),
            key_hash(spki_of_certificate(chain[0])),
            expected_cas_key_hash,
            software_key_hash,
        )

    body = claim.body
    with CasClient.to(
        address,
        check_peer=check_peer,
        identity_pem=claim.identity.pem,
        retries=retries,
        whole_chain=True,
    ) as client:
        answer = client.provision(body)
    _check_receipt_by_hash(answer, claim, body, expected_cas_key_hash)
    return Claimed(answer.cas_key_hash, answer.software_key_hash, None)


def _claimed(
    found: AttestedCas, claim: Claim, remembered: tuple[KnownCas, ...], *, recovered: bool
) -> Claimed:
    known = found.known
    if claim.database_key is not None:
        return Claimed(known.cas_key_hash, known.software_key_hash, None, recovered)
    # The new key is proved by the receipt of the key that -c names: as good as stated.
    warnings = check_continuity(known, remembered, stated_cas_key=known.cas_key_hash)
    attested = AttestedCas(known, found.accepted, warnings)
    return Claimed(known.cas_key_hash, known.software_key_hash, attested, recovered)


def _check_console(known: KnownCas, policy: TrustPolicy) -> None:
    _check_hashes(
        known.cas_key_hash,
        known.software_key_hash,
        policy.cas_key_hash or "",
        policy.software_key_hash,
    )


def _check_hashes(cas: str, software: str, expected: str, expected_software: str | None) -> None:
    if cas != expected:
        raise AppraisalError(
            f"another CAS key: expected the hash {expected}, got {cas}",
            hint="nothing was sent; the console of the CAS shows its key hash",
        )
    if expected_software is not None and software != expected_software:
        raise AppraisalError(
            f"another CAS software key: expected the hash {expected_software}, got {software}",
            hint="nothing was sent; the console of the CAS shows its key hash",
        )


def _check_own(found: AttestedCas, claim: Claim, body: SecretBytes, expected: str) -> None:
    """The CAS was claimed by this identity with this very request, coming from the expected key."""
    receipt = found.accepted.cas.provisioning_receipt
    if receipt is None or found.known.cas_key_hash == expected:
        raise _already()
    try:
        verify_receipt(
            receipt,
            new_cas_spki=spki_of_certificate(found.accepted.root.der),
            owner_spki=claim.identity.spki_der,
            request_sha256=hashlib.sha256(body.reveal()).digest(),
            expected_old_key_hash=expected,
        )
    except VerificationError as error:
        raise _already(str(error)) from error


def _already(reason: str = "") -> ConflictError:
    error = ConflictError(
        "the CAS is provisioned, and not by this request",
        hint="only the first claim succeeds; its owner changes the configuration with "
        "scone cas update-config",
    )
    if reason:
        error.messages = (*error.messages, reason)
    return error


def _check_receipt_by_hash(
    answer: ProvisioningAnswer, claim: Claim, body: SecretBytes, expected: str
) -> None:
    """As `_check_own`, where only the hash of the new key is known."""
    try:
        receipt = Receipt.from_dict(answer.receipt)
        parse_key_hash(answer.cas_key_hash)
    except MalformedError as error:
        raise VerificationError(f"answer to the claim: {error}") from error
    if (
        key_hash(receipt.unprovisioned_cas_key) != expected
        or receipt.owner_key != claim.identity.key_hash
        or receipt.request_sha256 != hashlib.sha256(body.reveal()).digest()
    ):
        raise VerificationError("provisioning receipt: not for this claim")


def _unproved(address: str) -> VerificationError:
    return VerificationError(
        f"the CAS at {address} took the claim, but does not prove it",
        hint="run the same command again: nothing is sent twice",
    )
