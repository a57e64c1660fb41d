"""The simulated counterpart of Intel: root CA, PCK CA, TCB signer, and what they publish.

Everything is a function of the keys, the random source and the time that come in, so
that a fixed seed gives the same bytes each time (signatures are deterministic, RFC 6979).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from scone.attestation.certificates import to_pem
from scone.attestation.collateral import Collateral
from scone.attestation.sgx import pck
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import Anchor
from scone.crypto.secret import SecretBytes
from scone.strict_json import JsonValue

Random: TypeAlias = Callable[[int], bytes]

FMSPC: Final = bytes.fromhex("53494d000001")
PCEID: Final = bytes.fromhex("0000")
PCESVN: Final = 13
QE_MRSIGNER: Final = b"SIMULATED QE not signed by Intel"
QE_ISVPRODID: Final = 1
QE_ISVSVN: Final = 2
QE_ATTRIBUTES: Final = bytes.fromhex("1100000000000000e700000000000000")

COLLATERAL_DAYS: Final = 30
"""How long collateral is valid, as Intel's."""

_CURVE: Final = ec.SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_CERTIFICATE_DAYS: Final = 25 * 365
_BACKDATED: Final = timedelta(days=1)
_DISTRIBUTION_POINT: Final = "https://simulated.invalid/crl.der"
_DETERMINISTIC: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

# One level for each status, told apart by the first component.
LEVELS: Final[tuple[tuple[TcbStatus, int, tuple[str, ...]], ...]] = (
    (TcbStatus.UP_TO_DATE, 7, ()),
    (TcbStatus.SW_HARDENING_NEEDED, 6, ("SIM-SA-00001",)),
    (TcbStatus.CONFIGURATION_NEEDED, 5, ("SIM-SA-00002",)),
    (TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED, 4, ("SIM-SA-00001", "SIM-SA-00002")),
    (TcbStatus.OUT_OF_DATE, 3, ("SIM-SA-00003",)),
    (TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED, 2, ("SIM-SA-00002", "SIM-SA-00003")),
    (TcbStatus.REVOKED, 1, ("SIM-SA-00004",)),
)


def components(first: int) -> tuple[int, ...]:
    """The sixteen SVNs of a simulated platform."""
    return (first, 7, *([0] * 14))


def new_key(random: Random) -> ec.EllipticCurvePrivateKey:
    """A P-256 key; FIPS 186-5, A.2.1: reduction of 384 random bits."""
    secret = int.from_bytes(random(48), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(secret, _CURVE)


def sign_raw(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """ECDSA with SHA-256 as 64 bytes r || s."""
    r, s = decode_dss_signature(key.sign(data, _DETERMINISTIC))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class Authority:
    """A key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return to_pem(self.der)

    def private_pem(self) -> SecretBytes:
        """The key as PKCS#8 PEM."""
        return SecretBytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def issue(
    issuer: Authority | None,
    common_name: str,
    *,
    now: datetime,
    random: Random,
    ca_depth: int | None = None,
    extension: pck.SgxExtension | None = None,
    days: int = _CERTIFICATE_DAYS,
) -> Authority:
    """A certificate as Intel's hierarchy has them; without an issuer it signs itself."""
    key = new_key(random)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED - not Intel, not secure"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Santa Clara"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "CA"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )
    signer = key if issuer is None else issuer.key
    is_ca = ca_depth is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random(19), "big") | 1 << 144)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_distribution_point(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=ca_depth), critical=True)
    )
    if extension is not None:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(pck.OID), extension.to_der()),
            critical=False,
        )
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return Authority(key, certificate)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _distribution_point() -> x509.CRLDistributionPoints:
    # Intel's library requires the extension; nothing is ever fetched from it.
    name = x509.UniformResourceIdentifier(_DISTRIBUTION_POINT)
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)])


@dataclass(frozen=True, slots=True)
class SimulatedVendor:
    """Root CA, PCK CA and TCB signer with their keys: whoever has this can forge all."""

    root: Authority
    pck_ca: Authority
    tcb_signer: Authority

    @classmethod
    def generate(cls, now: datetime, random: Random = os.urandom) -> SimulatedVendor:
        """A vendor of its own: evidence under it is nothing to any other."""
        # Names: Intel's library looks for the phrases after "SIM".
        root = issue(None, "SIM SGX Root CA SIMULATED", now=now, random=random, ca_depth=1)
        pck_ca = issue(
            root, "SIM SGX PCK Platform CA SIMULATED", now=now, random=random, ca_depth=0
        )
        tcb_signer = issue(root, "SIM SGX TCB Signing SIMULATED", now=now, random=random)
        return cls(root=root, pck_ca=pck_ca, tcb_signer=tcb_signer)

    @property
    def anchor(self) -> Anchor:
        """What a verifier must trust to accept evidence of this vendor's platforms."""
        fingerprint = self.root.certificate.fingerprint(hashes.SHA256()).hex()
        return Anchor(f"simulated root {fingerprint[:16]}", self.root.der, simulated=True)

    def collateral(
        self,
        now: datetime,
        *,
        revoked_by_root: Sequence[int] = (),
        revoked_by_pck_ca: Sequence[int] = (),
    ) -> Collateral:
        """Endorsements valid for 30 days from the start of the day before `now`.

        The same day gives the same bytes. The revoked are serial numbers.
        """
        start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - _BACKDATED
        end = start + timedelta(days=COLLATERAL_DAYS)
        tcb_info, qe_identity = (
            _text(tcb_info_body(start, end)),
            _text(qe_identity_body(start, end)),
        )
        signer_chain = self.tcb_signer.pem + self.root.pem
        return Collateral(
            pck_crl_issuer_chain=self.pck_ca.pem + self.root.pem,
            root_ca_crl=revocation_list(self.root, revoked_by_root, start, end),
            pck_crl=revocation_list(self.pck_ca, revoked_by_pck_ca, start, end),
            tcb_info_issuer_chain=signer_chain,
            tcb_info=tcb_info,
            tcb_info_signature=sign_raw(self.tcb_signer.key, tcb_info.encode()),
            qe_identity_issuer_chain=signer_chain,
            qe_identity=qe_identity,
            qe_identity_signature=sign_raw(self.tcb_signer.key, qe_identity.encode()),
        )


def revocation_list(
    issuer: Authority, serials: Sequence[int], start: datetime, end: datetime
) -> bytes:
    """A revocation list in DER; its number is the day it was issued."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(start)
        .next_update(end)
        .add_extension(x509.CRLNumber(start.toordinal()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(issuer.key, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(serialization.Encoding.DER)


def tcb_info_body(start: datetime, end: datetime) -> dict[str, JsonValue]:
    """TCB info of the simulated kind of platform (version 3)."""
    levels: list[JsonValue] = []
    for status, first, advisories in LEVELS:
        svns: list[JsonValue] = [{"svn": svn} for svn in components(first)]
        level: dict[str, JsonValue] = {
            "tcb": {"sgxtcbcomponents": svns, "pcesvn": PCESVN},
            "tcbDate": "2024-03-13T00:00:00Z",
            "tcbStatus": status.value,
        }
        if advisories:
            level["advisoryIDs"] = list(advisories)
        levels.append(level)
    return {
        "id": "SGX",
        "version": 3,
        "issueDate": _date(start),
        "nextUpdate": _date(end),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCEID.hex(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": 1,
        "tcbLevels": levels,
    }


def qe_identity_body(start: datetime, end: datetime) -> dict[str, JsonValue]:
    """Identity of the simulated quoting enclave (version 2)."""
    return {
        "id": "QE",
        "version": 2,
        "issueDate": _date(start),
        "nextUpdate": _date(end),
        "tcbEvaluationDataNumber": 1,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_MRSIGNER.hex().upper(),
        "isvprodid": QE_ISVPRODID,
        "tcbLevels": [
            {
                "tcb": {"isvsvn": QE_ISVSVN},
                "tcbDate": "2024-03-13T00:00:00Z",
                "tcbStatus": "UpToDate",
            },
            {
                "tcb": {"isvsvn": 1},
                "tcbDate": "2021-11-10T00:00:00Z",
                "tcbStatus": "OutOfDate",
                "advisoryIDs": ["SIM-SA-00005"],
            },
        ],
    }


def _text(body: Mapping[str, JsonValue]) -> str:
    return json.dumps(body, separators=(",", ":"))


def _date(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
