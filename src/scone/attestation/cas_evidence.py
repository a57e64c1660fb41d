"""The attestation document of a CAS: build it, read it, accept it (docs/formats/cas-attestation.md).

`{"proof_data": {quote, collateral}, "additional_data": {critical, non_critical}}`. The
quote's report data is SHA-512 of the bytes of `additional_data` as they came, so those
bytes are hashed first and read afterwards; no re-serialisation, no second copy.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Self

from cryptography.x509.oid import NameOID

from scone.attestation.appraise import AcceptedEvidence, CasPolicy, appraise_cas
from scone.attestation.certificates import Certificate, parse_chain
from scone.attestation.collateral import MAX_COLLATERAL_BYTES, Collateral
from scone.attestation.receipt import Receipt
from scone.attestation.report_data import cas_report_data
from scone.attestation.sgx.quote import MAX_QUOTE_BYTES
from scone.attestation.verify import Anchor, VerificationCache, VerifiedEvidence, verify
from scone.errors import MalformedError, UsageError, VerificationError
from scone.strict_json import (
    JsonObject,
    JsonValue,
    base64_of,
    bool_of,
    bounded_text_of,
    decode,
    hex_of,
    int_of,
    keys,
    object_of,
    read_object,
    read_spans,
    text_of,
    to_base64,
)

MAX_DOCUMENT_BYTES: Final = MAX_COLLATERAL_BYTES + 64 * 1024
NONCE_CHARACTERS: Final = 32

_TYPE: Final = "CasAttestationDataV5"
_PROOF_TYPE: Final = "DCAP"
_MAX_TEXT: Final = 64 * 1024
_COUNTER_LIMIT: Final = 2**63 - 1

__all__ = [
    "AcceptedCas",
    "CasDocument",
    "CasEvidence",
    "accept_cas",
    "build_document",
]

Origin = Literal["generated", "injected"]


# --- what a CAS says of itself -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CasEvidence:
    """`additional_data`: what a CAS says of itself, bound by its quote."""

    nonce: str | None
    provisioned: bool
    tee: str
    simulated: bool
    debug: bool
    database_key_origin: Origin | None
    cert_chain: str
    session_encryption_key: str | None
    cas_version: str
    provisioning_cas_owner_certificate_chain: str | None
    epoch: int
    commit: int
    provisioning_receipt: Receipt | None

    def to_json(self) -> bytes:
        """The bytes of `additional_data`, fields in the order of the format."""
        receipt = self.provisioning_receipt
        return _compact(
            {
                "critical": {
                    "type": _TYPE,
                    "nonce": self.nonce,
                    "provisioned": self.provisioned,
                    "platform": {
                        "tee": self.tee,
                        "simulated": self.simulated,
                        "debug": self.debug,
                    },
                    "database_key_origin": self.database_key_origin,
                },
                "non_critical": {
                    "cert_chain": self.cert_chain,
                    "session_encryption_key": self.session_encryption_key,
                    "cas_version": self.cas_version,
                    "provisioning_cas_owner_certificate_chain": (
                        self.provisioning_cas_owner_certificate_chain
                    ),
                    "epoch": self.epoch,
                    "commit": self.commit,
                    "provisioning_receipt": None if receipt is None else receipt.to_dict(),
                },
            }
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `additional_data` says; unknown members are refused where they are critical.

        Raises:
            MalformedError: another type, a missing member, an unknown critical one.
        """
        place = "additional_data"
        value = read_object(text, place)
        keys(value, place, ("critical", "non_critical"), ())
        critical, other = (
            object_of(value, "critical", place),
            object_of(value, "non_critical", place),
        )
        place = "additional_data.critical"
        if text_of(critical, "type", place) != _TYPE:
            raise MalformedError(f"{place}.type", _TYPE, repr(critical["type"])[:64])
        keys(
            critical,
            place,
            ("type", "nonce", "provisioned", "platform", "database_key_origin"),
            (),
        )
        platform = object_of(critical, "platform", place)
        keys(platform, f"{place}.platform", ("tee", "simulated", "debug"), ())
        nonce = critical["nonce"]
        if nonce is not None:
            hex_of(critical, "nonce", place, NONCE_CHARACTERS // 2)
            nonce = bounded_text_of(critical, "nonce", place, NONCE_CHARACTERS)
        origin: Origin | None
        match critical["database_key_origin"]:
            case None:
                origin = None
            case "generated":
                origin = "generated"
            case "injected":
                origin = "injected"
            case _:
                raise MalformedError(
                    f"{place}.database_key_origin", "generated, injected or null", "another value"
                )
        provisioned = bool_of(critical, "provisioned", place)
        tee = bounded_text_of(platform, "tee", f"{place}.platform", 32)
        simulated = bool_of(platform, "simulated", f"{place}.platform")
        debug = bool_of(platform, "debug", f"{place}.platform")
        place = "additional_data.non_critical"
        return cls(
            nonce=nonce,
            provisioned=provisioned,
            tee=tee,
            simulated=simulated,
            debug=debug,
            database_key_origin=origin,
            cert_chain=bounded_text_of(other, "cert_chain", place, _MAX_TEXT),
            session_encryption_key=_encryption_key(other, place),
            cas_version=bounded_text_of(other, "cas_version", place, 64),
            provisioning_cas_owner_certificate_chain=_optional_text(
                other, "provisioning_cas_owner_certificate_chain", place, _MAX_TEXT
            ),
            epoch=int_of(other, "epoch", place, _COUNTER_LIMIT),
            commit=int_of(other, "commit", place, _COUNTER_LIMIT),
            provisioning_receipt=_optional_receipt(other, place),
        )

    def certificates(self) -> tuple[Certificate, Certificate]:
        """Root CN=cas (self-signed) and CN=cas-instance, which it issued.

        Raises:
            MalformedError: not two certificates.
            VerificationError: other names, or not issued so.
        """
        what = "additional_data.cert_chain"
        root, instance = parse_chain(self.cert_chain.replace("\r\n", "\n"), what, 2)
        for certificate, name in ((root, "cas"), (instance, "cas-instance")):
            names = certificate.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            if [item.value for item in names] != [name]:
                raise VerificationError(f"{what}: expected CN={name}, got {certificate.subject}")
        root.require_issued_by(root, what)
        root.require_ca(what)
        instance.require_issued_by(root, what)
        instance.require_signer(what)
        return root, instance


def build_document(quote: bytes, collateral: Collateral, additional_data: bytes) -> bytes:
    """The body of GET /v1/attest, `additional_data` byte for byte as it was quoted."""
    proof: JsonObject = {
        "type": _PROOF_TYPE,
        "quote": to_base64(quote),
        "collateral": collateral.to_object(),
    }
    return b'{"proof_data":' + _compact(proof) + b',"additional_data":' + additional_data + b"}"


@dataclass(frozen=True, slots=True)
class CasDocument:
    """A document as received: its shape is right, nothing of it is proved."""

    quote: bytes
    collateral: Collateral
    additional_data: bytes
    cas: CasEvidence

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The document that a CAS sent or a file holds.

        Raises:
            MalformedError: not such a document.
        """
        place = "attestation document"
        text = decode(body, place, MAX_DOCUMENT_BYTES)
        spans = read_spans(text, place)
        keys(dict.fromkeys(spans), place, ("proof_data", "additional_data"), ())
        proof = read_object(spans["proof_data"], "proof_data")
        keys(proof, "proof_data", ("type", "quote", "collateral"), ())
        if text_of(proof, "type", "proof_data") != _PROOF_TYPE:
            raise MalformedError("proof_data.type", _PROOF_TYPE, repr(proof["type"])[:64])
        return cls(
            quote=base64_of(proof, "quote", "proof_data", MAX_QUOTE_BYTES),
            collateral=Collateral.parse(
                object_of(proof, "collateral", "proof_data"), "proof_data.collateral"
            ),
            additional_data=spans["additional_data"].encode(),
            cas=CasEvidence.parse(spans["additional_data"]),
        )


@dataclass(frozen=True, slots=True)
class AcceptedCas:
    """A CAS that met the policy, and what it proved of itself."""

    accepted: AcceptedEvidence
    cas: CasEvidence
    root: Certificate
    instance: Certificate

    @property
    def evidence(self) -> VerifiedEvidence:
        """What its quote says."""
        return self.accepted.evidence


def accept_cas(
    document: CasDocument,
    policy: CasPolicy,
    *,
    nonce: str | None,
    anchors: Sequence[Anchor],
    now: datetime,
    cache: VerificationCache | None = None,
) -> AcceptedCas:
    """The CAS that a document speaks of, after every check: genuine, fresh, bound, acceptable.

    `nonce` is None only for an offline report whose freshness nobody asks about.

    Raises:
        VerificationError: not genuine, another nonce, or not bound to what it says.
        AppraisalError: genuine, but not what the policy asks for.
        MalformedError: a quote or certificate that cannot be read.
        UsageError: a nonce that is none.
    """
    if nonce is not None and (len(nonce) != NONCE_CHARACTERS or not _is_hex(nonce)):
        raise UsageError(f"a nonce is {NONCE_CHARACTERS} hex digits")
    verified = verify(document.quote, document.collateral, anchors, now, cache)
    if not hmac.compare_digest(
        verified.report.report_data, cas_report_data(document.additional_data)
    ):
        raise VerificationError("the quote is not for this additional_data")
    cas = document.cas
    if nonce is not None and (cas.nonce is None or cas.nonce.lower() != nonce.lower()):
        raise VerificationError(
            "the attestation is for another nonce: an old one may have been replayed"
        )
    said = (cas.tee, cas.simulated, cas.debug)
    if said != (verified.tee, verified.simulated, verified.debug):
        raise VerificationError("the CAS describes another platform than the one that quoted it")
    root, instance = cas.certificates()
    accepted = appraise_cas(verified, policy)
    return AcceptedCas(accepted=accepted, cas=cas, root=root, instance=instance)


# --- helpers -----------------------------------------------------------------------------------


def _compact(value: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def _optional_text(value: JsonObject, key: str, place: str, limit: int) -> str | None:
    return None if value.get(key) is None else bounded_text_of(value, key, place, limit)


def _encryption_key(value: JsonObject, place: str) -> str | None:
    if value.get("session_encryption_key") is None:
        return None
    return hex_of(value, "session_encryption_key", place, 32).hex()


def _optional_receipt(value: JsonObject, place: str) -> Receipt | None:
    if value.get("provisioning_receipt") is None:
        return None
    receipt = object_of(value, "provisioning_receipt", place)
    return Receipt.from_dict(receipt, f"{place}.provisioning_receipt")
