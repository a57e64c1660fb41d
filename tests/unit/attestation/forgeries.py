"""Evidence that is not genuine, by name: each differs from a genuine quote in one thing.

`FORGERIES` maps a name to (maker, what the refusal says). Used by the tests of `verify`
and by the test that leaves out one check at a time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fakes.evidence import (
    IDENTITY,
    NOW,
    REPORT_DATA,
    collateral,
    forge_quote,
    platform,
    resign,
    seeded,
    vendor,
)
from scone.attestation import verify as verify_module
from scone.attestation.certificates import to_pem
from scone.attestation.collateral import Collateral
from scone.attestation.sgx import der
from scone.attestation.sgx.pck import SgxExtension
from scone.attestation.verify import Anchor, VerificationCache, VerifiedEvidence
from scone.tee.simulation.platform import SimulatedPlatform
from scone.tee.simulation.vendor import (
    Authority,
    SimulatedVendor,
    issue,
    new_key,
    revocation_list,
    sign_raw,
)
from scone.wire import Reader


@dataclass(frozen=True)
class Case:
    quote: bytes
    collateral: Collateral
    anchors: tuple[Anchor, ...]
    now: datetime = NOW
    warm_at: datetime | None = None  # verified with a cache then, and again at `now`


MACHINE = platform()
START = NOW - timedelta(days=1)
END = NOW + timedelta(days=29)


def run(case: Case, cache: VerificationCache | None = None) -> VerifiedEvidence:
    """Verify a case, with a cache that was warmed at the time that it says."""
    if case.warm_at is not None:
        cache = VerificationCache() if cache is None else cache
        verify_module.verify(case.quote, case.collateral, case.anchors, case.warm_at, cache)
    return verify_module.verify(case.quote, case.collateral, case.anchors, case.now, cache)


def genuine() -> Case:
    return Case(MACHINE.quote(IDENTITY, REPORT_DATA), collateral(), (MACHINE.anchor,))


def with_quote(quote: bytes) -> Case:
    return replace(genuine(), quote=quote)


def with_collateral(**changes: Any) -> Case:
    return replace(genuine(), collateral=replace(collateral(), **changes))


def _set(raw: bytearray, at: int, value: bytes) -> None:
    raw[at : at + len(value)] = value


def with_qe(edit: Callable[[bytearray], None]) -> Case:
    return with_quote(forge_quote(MACHINE, qe_report=edit))


def with_tcb_info(edit: Callable[[dict[str, Any]], None]) -> Case:
    return replace(genuine(), collateral=resign(MACHINE.vendor, collateral(), tcb_info=edit))


def with_qe_identity(edit: Callable[[dict[str, Any]], None]) -> Case:
    return replace(genuine(), collateral=resign(MACHINE.vendor, collateral(), qe_identity=edit))


def set_keys(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.update(values)


@cache
def foreign() -> SimulatedPlatform:
    return platform(vendor_seed="attacker", seed="attacker")


def other_vendor(**parts: Any) -> tuple[SimulatedVendor, SimulatedPlatform]:
    """The same root with some parts of the hierarchy replaced, and a machine under it."""
    made = replace(vendor(), **parts)
    machine = SimulatedPlatform.generate(
        made, NOW - timedelta(days=300), random=seeded("other machine")
    )
    return made, machine


def under(made: SimulatedVendor, machine: SimulatedPlatform, now: datetime = NOW) -> Case:
    return Case(machine.quote(IDENTITY, REPORT_DATA), made.collateral(now), (vendor().anchor,), now)


def issued(
    issuer: Authority | None, name: str, *, days: int = 9000, at: datetime = NOW, **more: Any
) -> Authority:
    return issue(issuer, name, now=at - timedelta(days=2), random=seeded(name), days=days, **more)


def with_leaf(leaf: Authority) -> Case:
    """Another PCK certificate, with everything that it signs."""
    machine = SimulatedPlatform(
        vendor=vendor(), secrets=replace(MACHINE.secrets, pck=leaf), tcb=MACHINE.tcb, smt=False
    )
    return with_quote(machine.quote(IDENTITY, REPORT_DATA))


@cache
def extension() -> SgxExtension:
    value = next(
        item.value.value
        for item in MACHINE.secrets.pck.certificate.extensions
        if item.oid.dotted_string == "1.2.840.113741.1.13.1"
    )
    return SgxExtension.parse(value)


PCK_NAME = "SIM SGX PCK Certificate SIMULATED"
PCK_CA_NAME = "SIM SGX PCK Platform CA SIMULATED"
TCB_NAME = "SIM SGX TCB Signing SIMULATED"


def pck_by(issuer: Authority | None, **more: Any) -> Authority:
    return issued(issuer, PCK_NAME, extension=extension(), **more)


def foreign_root() -> Case:
    machine = foreign()
    return Case(machine.quote(IDENTITY, REPORT_DATA), machine.collateral(NOW), (MACHINE.anchor,))


def foreign_quote() -> Case:
    return with_quote(foreign().quote(IDENTITY, REPORT_DATA))


def foreign_root_of_same_name() -> Case:
    """Same subject as the trusted root, another key."""
    root = issued(None, "SIM SGX Root CA SIMULATED", ca_depth=1)
    made = SimulatedVendor(
        root=root,
        pck_ca=issued(root, PCK_CA_NAME, ca_depth=0),
        tcb_signer=issued(root, TCB_NAME),
    )
    machine = SimulatedPlatform.generate(made, NOW, random=seeded("same name"))
    return under(made, machine)


def flip(raw: bytes, at: int, bit: int = 0) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 1 << bit
    return bytes(changed)


def pck_ca_case(pck_ca: Authority) -> Case:
    made, machine = other_vendor(pck_ca=pck_ca)
    return under(made, machine)


def tcb_signer_case(name: str, signer: Authority, issuer: Authority | None = None) -> Case:
    """One document signed by another signer than the genuine one."""
    body = getattr(collateral(), name)
    chain = signer.pem + (issuer or vendor().root).pem
    return with_collateral(
        **{
            f"{name}_issuer_chain": chain,
            f"{name}_signature": sign_raw(signer.key, body.encode()),
        }
    )


def reissued_ca(**more: Any) -> Authority:
    """A PCK CA certificate over the genuine key, issued again."""
    return issued(vendor().root, PCK_CA_NAME, ca_depth=0, **more)


def chain_with_ca(ca: Authority, leaf: Authority | None = None) -> bytes:
    return ((leaf or MACHINE.secrets.pck).pem + ca.pem + vendor().root.pem).encode()


def anchor_not_self_signed() -> Case:
    """A caller's mistake: an anchor that another key signed does not become a root."""
    attacker = foreign().vendor
    root = issued(attacker.root, "SIM SGX Root CA SIMULATED", ca_depth=1)
    made = SimulatedVendor(
        root=root, pck_ca=issued(root, PCK_CA_NAME, ca_depth=0), tcb_signer=issued(root, TCB_NAME)
    )
    machine = SimulatedPlatform.generate(made, NOW, random=seeded("not self-signed"))
    return replace(under(made, machine), anchors=(made.anchor,))


def anchor_without_ca() -> Case:
    root = issued(None, "SIM SGX Root CA SIMULATED")
    made = SimulatedVendor(
        root=root, pck_ca=issued(root, PCK_CA_NAME, ca_depth=0), tcb_signer=issued(root, TCB_NAME)
    )
    machine = SimulatedPlatform.generate(made, NOW, random=seeded("no ca"))
    return replace(under(made, machine), anchors=(made.anchor,))


def anchor_expired() -> Case:
    root = issued(None, "SIM SGX Root CA SIMULATED", ca_depth=1, days=1, at=NOW)
    made = SimulatedVendor(
        root=root, pck_ca=issued(root, PCK_CA_NAME, ca_depth=0), tcb_signer=issued(root, TCB_NAME)
    )
    machine = SimulatedPlatform.generate(made, NOW, random=seeded("expired root"))
    return replace(under(made, machine), anchors=(made.anchor,))


def serial(authority: Authority) -> int:
    return authority.certificate.serial_number


OLD = NOW - timedelta(days=60)
FUTURE = NOW + timedelta(days=60)


def stale_crl(issuer: Authority) -> bytes:
    return revocation_list(issuer, (), OLD, NOW - timedelta(days=30))


def swap_documents() -> Case:
    genuine_set = collateral()
    return with_collateral(
        tcb_info=genuine_set.qe_identity, tcb_info_signature=genuine_set.qe_identity_signature
    )


def lower_qe_levels(body: dict[str, Any]) -> None:
    body["tcbLevels"] = [{**body["tcbLevels"][0], "tcb": {"isvsvn": 9}}]


def higher_levels(body: dict[str, Any]) -> None:
    for level in body["tcbLevels"]:
        level["tcb"]["pcesvn"] = 100


def own_tcb_info() -> Case:
    """An attacker's TCB info: everything up to date, signed by the attacker."""

    def edit(body: dict[str, Any]) -> None:
        body["tcbLevels"] = [{**body["tcbLevels"][0]}]

    return replace(genuine(), collateral=resign(foreign().vendor, collateral(), tcb_info=edit))


def own_qe_identity() -> Case:
    return replace(
        genuine(),
        collateral=resign(foreign().vendor, collateral(), qe_identity=set_keys(mrsigner="AB" * 32)),
    )


def again(
    authority: Authority,
    issuer: Authority,
    *,
    algorithm: hashes.HashAlgorithm | None = None,
    public_key: Any = None,
    more: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """A certificate issued again with one thing changed."""
    old = authority.certificate
    extensions = list(old.extensions)
    if more is not None:
        extensions.append(x509.Extension(more.oid, False, more))
    builder = x509.CertificateBuilder(
        subject_name=old.subject,
        issuer_name=old.issuer,
        public_key=public_key or old.public_key(),
        serial_number=old.serial_number,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
        extensions=extensions,
    )
    return builder.sign(issuer.key, algorithm or hashes.SHA256())


def leaf_again(**changes: Any) -> Case:
    leaf = again(MACHINE.secrets.pck, vendor().pck_ca, **changes)
    chain = to_pem(leaf.public_bytes(Encoding.DER)) + vendor().pck_ca.pem + vendor().root.pem
    return with_quote(forge_quote(MACHINE, pck_chain=chain.encode()))


def large_extension() -> x509.ExtensionType:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), bytes(8000))


def crl_without_next_update() -> bytes:
    """The builder refuses to leave it out: taken out of the DER and signed again."""
    outer = Reader("crl", vendor().collateral(NOW).root_ca_crl)
    read = Reader("crl", der.element(outer, "crl", der.SEQUENCE))
    tbs = Reader("crl", der.element(read, "tbs", der.SEQUENCE))
    algorithm = der.write(der.SEQUENCE, der.element(read, "algorithm", der.SEQUENCE))
    parts = [
        der.write(tag, der.element(tbs, "part", tag))
        for tag in (der.INTEGER, der.SEQUENCE, der.SEQUENCE, 0x17, 0x17, 0xA0)
    ]
    del parts[4]
    body = der.write(der.SEQUENCE, b"".join(parts))
    signature = vendor().root.key.sign(body, ec.ECDSA(hashes.SHA256()))
    return der.write(der.SEQUENCE, body + algorithm + der.write(0x03, b"\0" + signature))


def pem_in_long_lines() -> bytes:
    body = base64.b64encode(vendor().root.der).decode()
    lines = [body[at : at + 76] for at in range(0, len(body), 76)]
    joined = "\n".join(lines)
    root = f"-----BEGIN CERTIFICATE-----\n{joined}\n-----END CERTIFICATE-----\n"
    return (MACHINE.secrets.pck.pem + vendor().pck_ca.pem + root).encode()


def negative_serial() -> bytes:
    """The sign bit set in the DER; whoever loads it warns or refuses."""
    leaf = MACHINE.secrets.pck.der
    at = leaf.index(serial(MACHINE.secrets.pck).to_bytes(19, "big"))
    assert leaf[at - 1] == 0
    changed = leaf[: at - 1] + b"\x80" + leaf[at:]
    return (to_pem(changed) + vendor().pck_ca.pem + vendor().root.pem).encode()


def with_chain(chain: bytes) -> Case:
    return with_quote(forge_quote(MACHINE, pck_chain=chain))


def genuine_chain() -> bytes:
    return chain_with_ca(vendor().pck_ca)


def first_level(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["tcbLevels"][0].update(changes)


def short_lived_pck() -> Case:
    case = with_leaf(pck_by(vendor().pck_ca, days=3))
    return replace(case, warm_at=NOW, now=NOW + timedelta(days=2))


Maker = Callable[[], Case]
FORGERIES: dict[str, tuple[Maker, str]] = {
    # the hierarchy
    "foreign root": (foreign_root, "not a trusted root"),
    "foreign root with the trusted root's name": (
        foreign_root_of_same_name,
        "not a trusted root",
    ),
    "no anchor at all": (lambda: replace(genuine(), anchors=()), "not a trusted root"),
    "anchor that is not self-signed": (anchor_not_self_signed, "root CA: not issued by"),
    "anchor that is no certification authority": (
        anchor_without_ca,
        "root CA: not a certification authority",
    ),
    "anchor expired": (anchor_expired, "root CA: expired"),
    "quote of another root's platform": (foreign_quote, "quote.pck chain: another root CA"),
    "pck ca that the root did not issue": (
        lambda: pck_ca_case(issued(None, PCK_CA_NAME, ca_depth=0)),
        "PCK CA: not issued by",
    ),
    "pck ca that may not issue": (
        lambda: pck_ca_case(issued(vendor().root, PCK_CA_NAME)),
        "PCK CA: not a certification authority",
    ),
    "pck ca expired": (
        lambda: pck_ca_case(issued(vendor().root, PCK_CA_NAME, ca_depth=0, days=1)),
        "PCK CA: expired",
    ),
    "pck ca not yet valid": (
        lambda: pck_ca_case(issued(vendor().root, PCK_CA_NAME, ca_depth=0, at=FUTURE)),
        "PCK CA: not valid before",
    ),
    "pck ca revoked": (
        lambda: with_collateral(
            root_ca_crl=revocation_list(vendor().root, [serial(vendor().pck_ca)], START, END)
        ),
        "PCK CA: revoked",
    ),
    # revocation lists
    "root crl by another key": (
        lambda: with_collateral(
            root_ca_crl=revocation_list(
                replace(vendor().root, key=new_key(seeded("crl"))), (), START, END
            )
        ),
        "root_ca_crl: not issued by",
    ),
    "root crl with another issuer name": (
        lambda: with_collateral(
            root_ca_crl=revocation_list(
                replace(vendor().pck_ca, key=vendor().root.key), (), START, END
            )
        ),
        "root_ca_crl: not issued by",
    ),
    "root crl expired": (
        lambda: with_collateral(root_ca_crl=stale_crl(vendor().root)),
        "root_ca_crl: expired",
    ),
    "pck crl of another ca": (
        lambda: with_collateral(pck_crl=revocation_list(vendor().root, (), START, END)),
        "collateral.pck_crl: not issued by",
    ),
    "pck crl expired": (
        lambda: with_collateral(pck_crl=stale_crl(vendor().pck_ca)),
        "collateral.pck_crl: expired",
    ),
    "pck crl not yet valid": (
        lambda: with_collateral(
            pck_crl=revocation_list(vendor().pck_ca, (), FUTURE, FUTURE + timedelta(days=30))
        ),
        "collateral.pck_crl: not valid before",
    ),
    "revoked pck": (
        lambda: with_collateral(
            pck_crl=revocation_list(vendor().pck_ca, [serial(MACHINE.secrets.pck)], START, END)
        ),
        "pck certificate: revoked",
    ),
    # TCB info
    "own tcb info": (own_tcb_info, "tcb info: the signature"),
    "tcb info altered": (
        lambda: with_collateral(tcb_info=collateral().tcb_info.replace("Revoked", "UpToDate")),
        "tcb info: the signature",
    ),
    "tcb info chain of a foreign root": (
        lambda: tcb_signer_case("tcb_info", foreign().vendor.tcb_signer, foreign().vendor.root),
        "tcb_info_issuer_chain: another root CA",
    ),
    "tcb info signer not issued by the root": (
        lambda: tcb_signer_case("tcb_info", foreign().vendor.tcb_signer),
        "tcb_info_issuer_chain: not issued by",
    ),
    "tcb info signed by the pck ca": (
        lambda: tcb_signer_case("tcb_info", vendor().pck_ca),
        "tcb_info_issuer_chain: not an end-entity",
    ),
    "tcb info signed by a pck": (
        lambda: tcb_signer_case("tcb_info", MACHINE.secrets.pck),
        "tcb_info_issuer_chain: not issued by",
    ),
    "tcb signer revoked": (
        lambda: with_collateral(
            root_ca_crl=revocation_list(vendor().root, [serial(vendor().tcb_signer)], START, END)
        ),
        "tcb_info_issuer_chain: revoked",
    ),
    "tcb signer expired": (
        lambda: tcb_signer_case("tcb_info", issued(vendor().root, TCB_NAME, days=1)),
        "tcb_info_issuer_chain: expired",
    ),
    "tcb info expired": (
        lambda: with_tcb_info(
            set_keys(issueDate="2025-12-01T00:00:00Z", nextUpdate="2025-12-31T00:00:00Z")
        ),
        "tcb info: expired",
    ),
    "tcb info not yet valid": (
        lambda: with_tcb_info(
            set_keys(issueDate="2026-06-01T00:00:00Z", nextUpdate="2026-07-01T00:00:00Z")
        ),
        "tcb info: not valid before",
    ),
    "tcb info of another platform kind": (
        lambda: with_tcb_info(set_keys(fmspc="00A067110000")),
        "tcb info: for FMSPC",
    ),
    "tcb info of another pce": (
        lambda: with_tcb_info(set_keys(pceId="0001")),
        "tcb info: for FMSPC",
    ),
    "tcb info without a level for the platform": (
        lambda: with_tcb_info(higher_levels),
        "no level matches",
    ),
    "tcb info and qe identity swapped": (swap_documents, "tcb info.id: expected SGX"),
    "tcb info of tdx": (lambda: with_tcb_info(set_keys(id="TDX")), "tcb info.id"),
    "tcb info version 2": (lambda: with_tcb_info(set_keys(version=2)), "tcb info.version"),
    "tcb info of another tcb type": (
        lambda: with_tcb_info(set_keys(tcbType=1)),
        "tcb info.tcbType",
    ),
    # QE identity
    "own qe identity": (own_qe_identity, "qe identity: the signature"),
    "qe identity signer not issued by the root": (
        lambda: tcb_signer_case("qe_identity", foreign().vendor.tcb_signer),
        "qe_identity_issuer_chain: not issued by",
    ),
    "qe identity expired": (
        lambda: with_qe_identity(
            set_keys(issueDate="2025-12-01T00:00:00Z", nextUpdate="2025-12-31T00:00:00Z")
        ),
        "qe identity: expired",
    ),
    "qe identity of tdx": (lambda: with_qe_identity(set_keys(id="TD_QE")), "qe identity.id"),
    "qe identity version 1": (
        lambda: with_qe_identity(set_keys(version=1)),
        "qe identity.version",
    ),
    "qe of another signer": (
        lambda: with_qe_identity(set_keys(mrsigner="AB" * 32)),
        "MRSIGNER of the quoting enclave",
    ),
    "qe of another product": (
        lambda: with_qe_identity(set_keys(isvprodid=2)),
        "ISVPRODID of the quoting enclave",
    ),
    "qe in debug mode": (
        lambda: with_qe(lambda report: _set(report, 48, b"\x13")),
        "ATTRIBUTES of the quoting enclave",
    ),
    "qe with another miscselect": (
        lambda: with_qe(lambda report: _set(report, 16, b"\x01")),
        "MISCSELECT of the quoting enclave",
    ),
    # PCK chain
    "pck that the ca did not issue": (
        lambda: with_leaf(pck_by(foreign().vendor.pck_ca)),
        "quote.pck chain: not issued by",
    ),
    "self-signed pck": (lambda: with_leaf(pck_by(None)), "quote.pck chain: not issued by"),
    "pck issued by the root": (
        lambda: with_leaf(pck_by(vendor().root)),
        "quote.pck chain: not issued by",
    ),
    "pck that is a ca": (
        lambda: with_leaf(pck_by(vendor().pck_ca, ca_depth=0)),
        "quote.pck chain: not an end-entity",
    ),
    "pck expired": (
        lambda: with_leaf(pck_by(vendor().pck_ca, days=1)),
        "quote.pck chain: expired",
    ),
    "pck without the sgx extension": (
        lambda: with_leaf(issued(vendor().pck_ca, PCK_NAME)),
        "the extension 1.2.840.113741.1.13.1",
    ),
    "pck ca of another key in the quote": (
        lambda: with_quote(forge_quote(MACHINE, pck_chain=chain_with_ca(reissued_ca()))),
        "quote.pck chain: issued by",
    ),
    "pck as ca of another pck": (
        lambda: with_quote(
            forge_quote(
                MACHINE,
                pck_chain=chain_with_ca(MACHINE.secrets.pck, pck_by(MACHINE.secrets.pck)),
            )
        ),
        "quote.pck chain: issued by",
    ),
    # the quote
    "qe report signed by another key": (
        lambda: with_quote(forge_quote(MACHINE, qe_signer=new_key(seeded("not the pck")))),
        "quote.qe report: the signature",
    ),
    "qe report altered": (
        lambda: with_quote(flip(genuine().quote, 436 + 128 + 256)),
        "quote.qe report: the signature",
    ),
    "attestation key not bound": (
        lambda: with_quote(
            forge_quote(MACHINE, attestation_key=new_key(seeded("own")), bind=False)
        ),
        "the attestation key is not bound",
    ),
    "attestation key bound in the first half only": (
        lambda: with_qe(lambda report: _set(report, 352, b"\x01")),
        "the attestation key is not bound",
    ),
    "quote signed by another key": (
        lambda: with_quote(forge_quote(MACHINE, quote_signer=new_key(seeded("own")))),
        "quote: the signature",
    ),
    "quote signature one bit flipped": (
        lambda: with_quote(flip(genuine().quote, 436 + 63)),
        "quote: the signature",
    ),
    "mrenclave one bit flipped": (
        lambda: with_quote(flip(genuine().quote, 48 + 64)),
        "quote: the signature",
    ),
    "report data one bit flipped": (
        lambda: with_quote(flip(genuine().quote, 48 + 320)),
        "quote: the signature",
    ),
    "qe id one bit flipped": (
        lambda: with_quote(flip(genuine().quote, 28)),
        "quote: the signature",
    ),
    "signature of zeros": (
        lambda: with_quote(genuine().quote[:436] + bytes(64) + genuine().quote[500:]),
        "quote: the signature",
    ),
    "attestation key that is no point": (
        lambda: with_quote(_bad_point()),
        "quote.attestation key",
    ),
    # forms
    "certificate of eight thousand bytes": (
        lambda: leaf_again(more=large_extension()),
        "expected at most 8192 bytes",
    ),
    "pck with a negative serial number": (
        lambda: with_chain(negative_serial()),
        "expected a positive serial number",
    ),
    "pck signed with sha-384": (
        lambda: leaf_again(algorithm=hashes.SHA384()),
        "expected ecdsa-with-SHA256",
    ),
    "pck with a p-384 key": (
        lambda: leaf_again(public_key=ec.derive_private_key(4711, ec.SECP384R1()).public_key()),
        "expected a P-256 key",
    ),
    "pck chain with a fourth certificate": (
        lambda: with_chain(genuine_chain() + vendor().root.pem.encode()),
        "expected 3 PEM certificates",
    ),
    "pck chain with text before it": (
        lambda: with_chain(b"subject=me\n" + genuine_chain()),
        "expected 3 PEM certificates",
    ),
    "pck chain in other line lengths": (
        lambda: with_chain(pem_in_long_lines()),
        "expected canonical PEM",
    ),
    "pck chain with two bytes behind it": (
        lambda: with_chain(genuine_chain() + b"\0\0"),
        "expected canonical PEM",
    ),
    "revocation list without end": (
        lambda: with_collateral(root_ca_crl=crl_without_next_update()),
        "expected a next update",
    ),
    "tcb info without levels": (
        lambda: with_tcb_info(set_keys(tcbLevels=[])),
        "tcb info.tcbLevels: expected 1 to 256",
    ),
    "tcb info with a thousand levels": (
        lambda: with_tcb_info(lambda body: body.update(tcbLevels=body["tcbLevels"] * 150)),
        "tcb info.tcbLevels: expected 1 to 256",
    ),
    "tcb level that is a number": (
        lambda: with_tcb_info(set_keys(tcbLevels=[1])),
        "tcb info.tcbLevels[0]: expected an object",
    ),
    "tcb level with fifteen components": (
        lambda: with_tcb_info(lambda body: body["tcbLevels"][0]["tcb"]["sgxtcbcomponents"].pop()),
        "sgxtcbcomponents: expected 16",
    ),
    "tcb level of an unknown status": (
        lambda: with_tcb_info(first_level(tcbStatus="Fine")),
        "expected a known status",
    ),
    "tcb level with a thousand advisories": (
        lambda: with_tcb_info(first_level(advisoryIDs=["INTEL-SA-00615"] * 1000)),
        "advisoryIDs: expected at most 512",
    ),
    "advisory with a line feed": (
        lambda: with_tcb_info(first_level(advisoryIDs=["INTEL-SA-1\nfine"])),
        "advisoryIDs: expected names",
    ),
    "date in a longer or shorter form": (
        lambda: with_tcb_info(set_keys(issueDate="2026-2-28T00:00:00Z")),
        "expected a time as",
    ),
    # time
    "everything expired since the cache was filled": (
        lambda: replace(genuine(), warm_at=NOW, now=NOW + timedelta(days=31)),
        "collateral: expired",
    ),
    "pck expired since the cache was filled": (short_lived_pck, "quote.pck chain: expired"),
    "everything expired": (
        lambda: replace(genuine(), now=NOW + timedelta(days=31)),
        "expired",
    ),
    "everything in the future": (
        lambda: replace(genuine(), now=NOW - timedelta(days=3)),
        "not valid before",
    ),
}


def _bad_point() -> bytes:
    """A QE that vouches for bytes that are not on the curve."""
    genuine_quote = MACHINE.quote(IDENTITY, REPORT_DATA)
    auth = genuine_quote[436 + 128 + 384 + 64 + 2 :][:32]
    point = b"\x01" * 64

    def bind(report: bytearray) -> None:
        _set(report, 320, hashlib.sha256(point + auth).digest())

    raw = forge_quote(MACHINE, bind=False, qe_report=bind)
    return raw[:500] + point + raw[564:]
