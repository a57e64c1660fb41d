"""One simulated machine: a PCK, a quoting enclave, a sealing secret."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scone.attestation.collateral import Collateral
from scone.attestation.sgx.pck import SgxExtension
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import Anchor
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError
from scone.tee.base import EnclaveIdentity, Evidence
from scone.tee.simulation.vendor import (
    COLLATERAL_DAYS,
    FMSPC,
    LEVELS,
    PCEID,
    PCESVN,
    QE_ATTRIBUTES,
    QE_ISVPRODID,
    QE_ISVSVN,
    QE_MRSIGNER,
    Authority,
    Random,
    SimulatedVendor,
    components,
    issue,
    new_key,
    sign_raw,
)

_INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_MRENCLAVE: Final = hashlib.sha256(b"SIMULATED quoting enclave").digest()
_QE_AUTH_DATA: Final = bytes(range(32))
_SEAL_LABEL: Final = b"scone-simulated-seal-v1\0"
_ATTRIBUTES: Final = bytes.fromhex("0500000000000000e700000000000000")  # INIT, MODE64BIT, XFRM
_DEBUG: Final = 0x02
_RENEW_BEFORE_DAYS: Final = 7
_REPORT: Final = struct.Struct("<16sI28s16s32s32x32s32x64sHHH42x16s64s")


def report_body(
    identity: EnclaveIdentity,
    report_data: bytes,
    *,
    cpu_svn: bytes = bytes(16),
    attributes: bytes | None = None,
) -> bytes:
    """The 384 bytes of a report."""
    if attributes is None:
        flags = _ATTRIBUTES[0] | (_DEBUG if identity.debug else 0)
        attributes = bytes([flags]) + _ATTRIBUTES[1:]
    return _REPORT.pack(
        cpu_svn,
        0,
        b"",
        attributes,
        identity.mrenclave,
        identity.mrsigner,
        b"",
        identity.isvprodid,
        identity.isvsvn,
        0,
        b"",
        report_data,
    )


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What a machine's files hold: keys and identifiers."""

    pck: Authority
    attestation_key: ec.EllipticCurvePrivateKey
    sealing: SecretBytes
    qe_id: bytes


@dataclass(slots=True, repr=False)
class SimulatedPlatform:
    """A machine that can quote any program and seal for any measurement."""

    vendor: SimulatedVendor
    secrets: Secrets
    tcb: TcbStatus
    smt: bool
    _head: bytes = field(init=False)
    _tail: bytes = field(init=False)
    _collateral: tuple[datetime, Collateral] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        cpu_svn = self.cpu_svn
        self._head = struct.pack(
            "<HHIHH16s20s", 3, 2, 0, QE_ISVSVN, PCESVN, _INTEL_QE_VENDOR, self.secrets.qe_id
        )
        point = self.secrets.attestation_key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )[1:]
        # The quoting enclave's report is made once: it binds the attestation key, not the quote.
        qe_report = report_body(
            EnclaveIdentity(_QE_MRENCLAVE, QE_MRSIGNER, QE_ISVPRODID, QE_ISVSVN),
            hashlib.sha256(point + _QE_AUTH_DATA).digest() + bytes(32),
            cpu_svn=cpu_svn,
            attributes=QE_ATTRIBUTES,
        )
        chain = (self.secrets.pck.pem + self.vendor.pck_ca.pem + self.vendor.root.pem).encode()
        self._tail = (
            point
            + qe_report
            + sign_raw(self.secrets.pck.key, qe_report)
            + struct.pack("<H", len(_QE_AUTH_DATA))
            + _QE_AUTH_DATA
            + struct.pack("<HI", 5, len(chain))
            + chain
        )

    def __repr__(self) -> str:
        return f"SimulatedPlatform({self.platform_id}, {self.tcb})"

    @classmethod
    def generate(
        cls,
        vendor: SimulatedVendor,
        now: datetime,
        *,
        tcb: str = TcbStatus.UP_TO_DATE,
        smt: bool = False,
        random: Random = os.urandom,
    ) -> SimulatedPlatform:
        """A new machine of this vendor, at a TCB level.

        Raises:
            UsageError: not the name of a level.
        """
        status = parse_level(tcb)
        first = next(number for level, number, _ in LEVELS if level is status)
        extension = SgxExtension(
            ppid=random(16),
            components=components(first),
            pcesvn=PCESVN,
            cpu_svn=bytes(components(first)),
            pceid=PCEID,
            fmspc=FMSPC,
            sgx_type=1,
            platform_instance_id=random(16),
            dynamic=True,
            cached_keys=True,
            smt=smt,
        )
        pck = issue(
            vendor.pck_ca,
            "SIM SGX PCK Certificate SIMULATED",
            now=now,
            random=random,
            extension=extension,
        )
        secrets = Secrets(
            pck=pck,
            attestation_key=new_key(random),
            sealing=SecretBytes(random(32)),
            qe_id=random(16),
        )
        return cls(vendor=vendor, secrets=secrets, tcb=status, smt=smt)

    @property
    def cpu_svn(self) -> bytes:
        """CPUSVN as the platform reports it."""
        return bytes(components(next(first for level, first, _ in LEVELS if level is self.tcb)))

    @property
    def platform_id(self) -> str:
        """The platform as CLI and policies name it."""
        return f"INTEL_QE_ID:{self.secrets.qe_id.hex()}"

    @property
    def anchor(self) -> Anchor:
        """What a verifier must trust to accept this platform's evidence."""
        return self.vendor.anchor

    @property
    def root_certificate_pem(self) -> str:
        """The root, for `--only_for_testing-simulation`."""
        return self.vendor.root.pem

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """A DCAP v3 quote that this machine runs such a program.

        Raises:
            MalformedError: report data that is not 64 bytes, measurements that are not 32.
        """
        for name, value, length in (
            ("report data", report_data, 64),
            ("mrenclave", identity.mrenclave, 32),
            ("mrsigner", identity.mrsigner, 32),
        ):
            if len(value) != length:
                raise MalformedError(f"quote.{name}", f"{length} bytes", f"{len(value)}")
        signed = self._head + report_body(identity, report_data, cpu_svn=self.cpu_svn)
        signature = sign_raw(self.secrets.attestation_key, signed)
        size = struct.pack("<I", len(signature) + len(self._tail))
        return b"".join((signed, size, signature, self._tail))

    def collateral(self, now: datetime) -> Collateral:
        """Endorsements that verify this platform's quotes; renewed a week before they expire."""
        if self._collateral is not None:
            made, collateral = self._collateral
            if timedelta() <= now - made < timedelta(days=COLLATERAL_DAYS - 1 - _RENEW_BEFORE_DAYS):
                return collateral
        collateral = self.vendor.collateral(now)
        self._collateral = (now, collateral)
        return collateral

    def seal_key(self, mrenclave: bytes, label: str) -> SecretBytes:
        """32 bytes for one measurement on this machine.

        Raises:
            MalformedError: a measurement that is not 32 bytes.
        """
        if len(mrenclave) != 32:
            raise MalformedError("mrenclave", "32 bytes", f"{len(mrenclave)}")
        message = _SEAL_LABEL + mrenclave + label.encode()
        return SecretBytes(hmac.digest(self.secrets.sealing.reveal(), message, hashlib.sha256))


def parse_level(text: str) -> TcbStatus:
    """A TCB status by its name.

    Raises:
        UsageError: another text.
    """
    try:
        return TcbStatus(text)
    except ValueError as error:
        known = ", ".join(status.value for status in TcbStatus)
        raise UsageError(f"unknown TCB level {text[:64]!r}", hint=f"one of {known}") from error


@dataclass(frozen=True, slots=True)
class SimulatedTee:
    """The port `Tee` for a program in this process: it says whatever it is told to be."""

    platform: SimulatedPlatform
    identity: EnclaveIdentity
    clock: Callable[[], datetime]

    def quote(self, report_data: bytes) -> Evidence:
        """Evidence over 64 bytes of report data."""
        return Evidence(self.platform.quote(self.identity, report_data))

    def collateral(self) -> Collateral:
        """Endorsements for now."""
        return self.platform.collateral(self.clock())

    def sealing_key(self, label: str) -> SecretBytes:
        """32 bytes for this measurement on this machine."""
        return self.platform.seal_key(self.identity.mrenclave, label)
