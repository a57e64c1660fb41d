"""SGX ECDSA quotes, version 3 (Intel SGX ECDSA QuoteLibReference, appendix A.4).

Parsing proves the shape only; `verify` says whether a quote is genuine. Of the
layout's choices only these are taken: P-256 attestation keys, a PCK chain in PEM as
certification data (type 5). Others are refused as not supported, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from scone.errors import MalformedError
from scone.wire import Reader

# Quotes with a PCK chain are 4 to 5 kB; the bound keeps a hostile one cheap.
MAX_QUOTE_BYTES: Final = 16 * 1024

REPORT_BYTES: Final = 384
_HEADER_BYTES: Final = 48
_VERSION: Final = 3
_ECDSA_P256: Final = 2
_PCK_CHAIN: Final = 5
_INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_INIT: Final = 0x01
_DEBUG: Final = 0x02


class UnsupportedQuoteError(MalformedError):
    """A quote of a documented kind that this version does not read."""

    code: ClassVar[str] = "unsupported"


@dataclass(frozen=True, slots=True)
class ReportBody:
    """An enclave's report (appendix A.4, table 5): its claims about itself."""

    cpu_svn: bytes
    miscselect: int
    isv_ext_prod_id: bytes
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    config_id: bytes
    isvprodid: int
    isvsvn: int
    config_svn: int
    isv_family_id: bytes
    report_data: bytes

    @property
    def debug(self) -> bool:
        """Whether a debugger can read everything in the enclave."""
        return bool(self.attributes[0] & _DEBUG)

    @classmethod
    def parse(cls, raw: bytes, what: str = "report") -> ReportBody:
        """A report body from exactly 384 bytes.

        Raises:
            MalformedError: another size, or reserved bytes that are not zero.
        """
        read = Reader(what, raw)
        cpu_svn = read.bytes("cpusvn", 16)
        miscselect = read.uint("miscselect", 4)
        _reserved(read, 12)
        isv_ext_prod_id = read.bytes("isvextprodid", 16)
        attributes = read.bytes("attributes", 16)
        mrenclave = read.bytes("mrenclave", 32)
        _reserved(read, 32)
        mrsigner = read.bytes("mrsigner", 32)
        _reserved(read, 32)
        config_id = read.bytes("configid", 64)
        isvprodid = read.uint("isvprodid", 2)
        isvsvn = read.uint("isvsvn", 2)
        config_svn = read.uint("configsvn", 2)
        _reserved(read, 42)
        isv_family_id = read.bytes("isvfamilyid", 16)
        report_data = read.bytes("reportdata", 64)
        read.end()
        if not attributes[0] & _INIT:
            raise MalformedError(f"{what}.attributes", "an initialised enclave", "INIT clear")
        return cls(
            cpu_svn=cpu_svn,
            miscselect=miscselect,
            isv_ext_prod_id=isv_ext_prod_id,
            attributes=attributes,
            mrenclave=mrenclave,
            mrsigner=mrsigner,
            config_id=config_id,
            isvprodid=isvprodid,
            isvsvn=isvsvn,
            config_svn=config_svn,
            isv_family_id=isv_family_id,
            report_data=report_data,
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote's parts; `signed` and `qe_report_bytes` are what the signatures cover."""

    qe_svn: int
    pce_svn: int
    qe_id: bytes
    report: ReportBody
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: ReportBody
    qe_report_bytes: bytes
    qe_report_signature: bytes
    qe_auth_data: bytes
    pck_chain: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Quote:
        """A quote from exactly its bytes; padding behind it is refused.

        Raises:
            MalformedError: bytes that are not a quote (`UnsupportedQuoteError`: a kind
                of quote that is documented but not read here).
        """
        if len(raw) > MAX_QUOTE_BYTES:
            raise MalformedError("quote", f"at most {MAX_QUOTE_BYTES} bytes", f"{len(raw)}")
        read = Reader("quote", raw)
        _require("quote.version", read.uint("version", 2), _VERSION)
        _require("quote.attestation key type", read.uint("key type", 2), _ECDSA_P256)
        _require("quote.tee type", read.uint("tee type", 4), 0)
        qe_svn = read.uint("qesvn", 2)
        pce_svn = read.uint("pcesvn", 2)
        vendor = read.bytes("qe vendor id", 16)
        if vendor != _INTEL_QE_VENDOR:
            raise UnsupportedQuoteError("quote.qe vendor id", _INTEL_QE_VENDOR.hex(), vendor.hex())
        user_data = read.bytes("user data", 20)
        report = ReportBody.parse(read.bytes("report", REPORT_BYTES), "quote.report")

        # Table 4: the size stated must be what is there.
        length = read.uint("signature data size", 4)
        if length != read.remaining:
            raise MalformedError("quote.signature data", f"{length} bytes", f"{read.remaining}")
        signature = read.bytes("signature", 64)
        attestation_key = read.bytes("attestation key", 64)
        qe_report_bytes = read.bytes("qe report", REPORT_BYTES)
        qe_report = ReportBody.parse(qe_report_bytes, "quote.qe report")
        qe_report_signature = read.bytes("qe report signature", 64)
        qe_auth_data = read.bytes("qe auth data", read.uint("qe auth data size", 2))

        # Table 9: certification data.
        _require("quote.certification data type", read.uint("data type", 2), _PCK_CHAIN)
        pck_chain = read.bytes("pck chain", read.uint("pck chain size", 4))
        read.end()
        return cls(
            qe_svn=qe_svn,
            pce_svn=pce_svn,
            qe_id=user_data[:16],
            report=report,
            signed=raw[: _HEADER_BYTES + REPORT_BYTES],
            signature=signature,
            attestation_key=attestation_key,
            qe_report=qe_report,
            qe_report_bytes=qe_report_bytes,
            qe_report_signature=qe_report_signature,
            qe_auth_data=qe_auth_data,
            pck_chain=pck_chain,
        )


def _require(place: str, value: int, wanted: int) -> None:
    if value != wanted:
        raise UnsupportedQuoteError(place, f"{wanted}", f"{value} (not supported)")


def _reserved(read: Reader, length: int) -> None:
    if any(read.bytes("reserved", length)):
        raise MalformedError(f"{read.what}.reserved", "zero bytes", "other values")
