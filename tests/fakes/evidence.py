"""Simulated platforms with fixed seeds, and quotes and collateral that lie in one place.

`platform()` is honest; `forge_quote` and `resign` change one part and sign the rest again,
so that a test sees the one check that it is about. Everything is the same on each run.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scone.attestation.appraise import AcceptedEvidence, appraise_service
from scone.attestation.cas_evidence import CasEvidence, build_document
from scone.attestation.collateral import Collateral
from scone.attestation.receipt import Receipt
from scone.attestation.report_data import cas_report_data
from scone.attestation.sgx.quote import Quote
from scone.attestation.verify import VerifiedEvidence, verify
from scone.crypto import certificates
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, load_private_key, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.release import DEVELOPMENT_MRSIGNER, MIN_ISVSVN, RELEASE_ISVPRODID
from scone.tee.base import EnclaveIdentity
from scone.tee.simulation.platform import SimulatedPlatform, SimulatedTee
from scone.tee.simulation.vendor import SimulatedVendor, sign_raw

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NONCE = "000102030405060708090a0b0c0d0e0f"
IDENTITY = EnclaveIdentity(
    mrenclave=hashlib.sha256(b"a program").digest(),
    mrsigner=DEVELOPMENT_MRSIGNER,
    isvprodid=RELEASE_ISVPRODID,
    isvsvn=MIN_ISVSVN,
)
REPORT_DATA = bytes(range(64))


def seeded(seed: str) -> Callable[[int], bytes]:
    """A random source that gives the same bytes for the same seed. For tests only."""
    state = {"count": 0}

    def random(length: int) -> bytes:
        state["count"] += 1
        return hashlib.shake_256(f"{seed}/{state['count']}".encode()).digest(length)

    return random


@cache
def vendor(seed: str = "vendor", now: datetime = NOW - timedelta(days=400)) -> SimulatedVendor:
    """A vendor; another seed is another root."""
    return SimulatedVendor.generate(now, seeded(seed))


@cache
def platform(
    tcb: str = "UpToDate",
    *,
    smt: bool = False,
    seed: str = "platform",
    vendor_seed: str = "vendor",
) -> SimulatedPlatform:
    """A machine; another seed is another machine under the same root."""
    return SimulatedPlatform.generate(
        vendor(vendor_seed),
        NOW - timedelta(days=300),
        tcb=tcb,
        smt=smt,
        random=seeded(f"{seed}/{tcb}/{smt}"),
    )


def tee(
    machine: SimulatedPlatform | None = None,
    identity: EnclaveIdentity = IDENTITY,
    clock: Callable[[], datetime] = lambda: NOW,
) -> SimulatedTee:
    """The `Tee` of a program on a machine."""
    return SimulatedTee(machine or platform(), identity, clock)


def collateral(machine: SimulatedPlatform | None = None, now: datetime = NOW) -> Collateral:
    """Honest collateral."""
    return (machine or platform()).vendor.collateral(now)


def verified(
    machine: SimulatedPlatform | None = None,
    identity: EnclaveIdentity = IDENTITY,
    report_data: bytes = REPORT_DATA,
    *,
    advisories: tuple[str, ...] | None = None,
    now: datetime = NOW,
) -> VerifiedEvidence:
    """Verified evidence, by the real verifier; `advisories` replaces those of every TCB level."""
    machine = machine or platform()
    endorsements = machine.collateral(now)
    if advisories is not None:

        def change(body: dict[str, Any]) -> None:
            for level in body["tcbLevels"]:
                level["advisoryIDs"] = list(advisories)

        endorsements = resign(machine.vendor, endorsements, tcb_info=change)
    quote = machine.quote(identity, report_data)
    return verify(quote, endorsements, [machine.anchor], now)


def accepted(
    machine: SimulatedPlatform | None = None, identity: EnclaveIdentity = IDENTITY
) -> AcceptedEvidence:
    """Accepted evidence of a service whose session lists exactly its measurement."""

    class Variant:
        mrenclaves = (identity.mrenclave.hex(),)
        signer = None

    class Security:
        tolerate = ()
        ignore_advisories = ()

    return appraise_service(verified(machine, identity), [Variant()], Security())


def resign(
    signer: SimulatedVendor,
    genuine: Collateral,
    *,
    tcb_info: Callable[[dict[str, Any]], None] | None = None,
    qe_identity: Callable[[dict[str, Any]], None] | None = None,
) -> Collateral:
    """The collateral with its documents edited and signed by `signer`'s TCB signer."""
    changes: dict[str, Any] = {}
    for name, edit in (("tcb_info", tcb_info), ("qe_identity", qe_identity)):
        if edit is not None:
            body = json.loads(getattr(genuine, name))
            edit(body)
            text = json.dumps(body, separators=(",", ":"))
            changes[name] = text
            changes[f"{name}_signature"] = sign_raw(signer.tcb_signer.key, text.encode())
    return replace(genuine, **changes)


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The 64 bytes of a public key."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def forge_quote(
    machine: SimulatedPlatform,
    *,
    identity: EnclaveIdentity = IDENTITY,
    report_data: bytes = REPORT_DATA,
    attestation_key: ec.EllipticCurvePrivateKey | None = None,
    bind: bool = True,
    qe_report: Callable[[bytearray], None] | None = None,
    qe_signer: ec.EllipticCurvePrivateKey | None = None,
    quote_signer: ec.EllipticCurvePrivateKey | None = None,
    pck_chain: bytes | None = None,
) -> bytes:
    """A quote with some parts replaced and everything else made consistent again.

    `bind=False` leaves the QE report's binding as it was; `qe_report` edits it before signing.
    """
    raw = machine.quote(identity, report_data)
    quote = Quote.parse(raw)
    key = attestation_key or machine.secrets.attestation_key
    report = bytearray(quote.qe_report_bytes)
    if bind:
        report[320:352] = hashlib.sha256(point(key) + quote.qe_auth_data).digest()
    if qe_report is not None:
        qe_report(report)
    chain = quote.pck_chain if pck_chain is None else pck_chain
    body = b"".join(
        (
            sign_raw(quote_signer or key, quote.signed),
            point(key),
            bytes(report),
            sign_raw(qe_signer or machine.secrets.pck.key, bytes(report)),
            struct.pack("<H", len(quote.qe_auth_data)),
            quote.qe_auth_data,
            struct.pack("<HI", 5, len(chain)),
            chain,
        )
    )
    return quote.signed + struct.pack("<I", len(body)) + body


def _same_each_time(der: bytes, issuer_key: SecretBytes) -> bytes:
    """The certificate signed again without randomness, so that files made of it can be compared."""
    old = x509.load_der_x509_certificate(der)
    builder = x509.CertificateBuilder(
        subject_name=old.subject,
        issuer_name=old.issuer,
        public_key=old.public_key(),
        serial_number=old.serial_number,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
        extensions=list(old.extensions),
    )
    key = load_private_key(issuer_key)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


@cache
def cas_chain(seed: str = "cas") -> tuple[str, bytes]:
    """PEM chain CN=cas, CN=cas-instance of a CAS, and its root's SPKI."""
    random = seeded(seed)
    root_key = generate_private_key("P-256", random)
    root = _same_each_time(certificates.create_cas_root(root_key, now=NOW, random=random), root_key)
    instance_key = generate_private_key("P-256", random)
    instance = certificates.issue_cas_instance(
        root_key, root, spki_of_private_key(instance_key), now=NOW, random=random
    )
    instance = _same_each_time(instance, root_key)
    chain = to_pem("CERTIFICATE", root) + to_pem("CERTIFICATE", instance)
    return chain, spki_of_private_key(root_key)


def cas_evidence(
    *,
    nonce: str | None = NONCE,
    provisioned: bool = True,
    simulated: bool = True,
    debug: bool = False,
    origin: Any = "generated",
    chain: str | None = None,
    receipt: Receipt | None = None,
) -> CasEvidence:
    """What an honest simulated CAS says of itself."""
    return CasEvidence(
        nonce=nonce,
        provisioned=provisioned,
        tee="sgx",
        simulated=simulated,
        debug=debug,
        database_key_origin=origin,
        cert_chain=cas_chain()[0] if chain is None else chain,
        session_encryption_key="ab" * 32,
        cas_version="0.1.0",
        provisioning_cas_owner_certificate_chain=None,
        epoch=1,
        commit=7,
        provisioning_receipt=receipt,
    )


def cas_document(
    says: CasEvidence | bytes | None = None,
    *,
    machine: SimulatedPlatform | None = None,
    identity: EnclaveIdentity = IDENTITY,
    report_data: bytes | None = None,
    now: datetime = NOW,
) -> bytes:
    """The body of GET /v1/attest; `report_data` overrides the binding."""
    machine = machine or platform()
    says = cas_evidence() if says is None else says
    additional = says.to_json() if isinstance(says, CasEvidence) else says
    bound = cas_report_data(additional) if report_data is None else report_data
    quote = machine.quote(identity, bound)
    return build_document(quote, machine.collateral(now), additional)
