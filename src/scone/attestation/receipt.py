"""The provisioning receipt: an unprovisioned CAS's word on who claimed it.

Provisioning gives a CAS new keys. The key that it had before signs who did it and with
which request, so that an owner whose answer was lost can prove that the claim was theirs
(docs/formats/cas-attestation.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from scone.crypto.keyhash import key_hash
from scone.crypto.keys import sign_p256, verify_p256
from scone.crypto.secret import SecretBytes
from scone.errors import VerificationError
from scone.strict_json import JsonValue, base64_of, bounded_text_of, hex_of, to_base64

_RECEIPT_LABEL: Final = b"scone-provisioning-receipt-v1\0"
_MAX_SPKI_BYTES: Final = 1024
_MAX_SIGNATURE_BYTES: Final = 80


@dataclass(frozen=True, slots=True)
class Receipt:
    """The unprovisioned CAS's word on who claimed it, and which request did."""

    unprovisioned_cas_key: bytes
    request_sha256: bytes
    owner_key: str
    signature: bytes

    def to_dict(self) -> dict[str, JsonValue]:
        """The JSON object as published."""
        return {
            "unprovisioned_cas_key": to_base64(self.unprovisioned_cas_key),
            "request_sha256": self.request_sha256.hex(),
            "owner_key": self.owner_key,
            "signature": to_base64(self.signature),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, JsonValue], place: str = "receipt") -> Self:
        """A receipt from its JSON object; unknown members are ignored.

        Raises:
            MalformedError: a missing member or one of another form.
        """
        return cls(
            unprovisioned_cas_key=base64_of(value, "unprovisioned_cas_key", place, _MAX_SPKI_BYTES),
            request_sha256=hex_of(value, "request_sha256", place, 32),
            owner_key=bounded_text_of(value, "owner_key", place, 128),
            signature=base64_of(value, "signature", place, _MAX_SIGNATURE_BYTES),
        )


def _receipt_bytes(new_cas_spki: bytes, owner_spki: bytes, request_sha256: bytes) -> bytes:
    return (
        _RECEIPT_LABEL
        + hashlib.sha256(new_cas_spki).digest()
        + hashlib.sha256(owner_spki).digest()
        + request_sha256
    )


def make_receipt(
    unprovisioned_key: SecretBytes,
    *,
    unprovisioned_spki: bytes,
    new_cas_spki: bytes,
    owner_spki: bytes,
    request_sha256: bytes,
) -> Receipt:
    """A receipt, signed by the key that the CAS had before the claim (PKCS#8 DER, P-256).

    Raises:
        MalformedError: not a private key.
        UsageError: not a P-256 key.
    """
    signed = _receipt_bytes(new_cas_spki, owner_spki, request_sha256)
    return Receipt(
        unprovisioned_cas_key=unprovisioned_spki,
        request_sha256=request_sha256,
        owner_key=key_hash(owner_spki),
        signature=sign_p256(unprovisioned_key, signed),
    )


def verify_receipt(
    receipt: Receipt,
    *,
    new_cas_spki: bytes,
    owner_spki: bytes,
    request_sha256: bytes,
    expected_old_key_hash: str,
) -> None:
    """The CAS that had the expected key was claimed by this owner with this request.

    Raises:
        VerificationError: another CAS, owner, request, or a signature that is not its.
        MalformedError: its key is none.
    """
    if key_hash(receipt.unprovisioned_cas_key) != expected_old_key_hash:
        raise VerificationError("provisioning receipt: of another CAS than the one expected")
    if receipt.owner_key != key_hash(owner_spki):
        raise VerificationError("provisioning receipt: another identity claimed the CAS")
    if not hmac.compare_digest(receipt.request_sha256, request_sha256):
        raise VerificationError("provisioning receipt: another request claimed the CAS")
    verify_p256(
        receipt.unprovisioned_cas_key,
        receipt.signature,
        _receipt_bytes(new_cas_spki, owner_spki, request_sha256),
        "provisioning receipt",
    )
