"""Verification of evidence (RFC 9334): is a quote genuine, and what does it say?

The steps are those of Intel's quote verification library, in its order. Nothing here
decides whether a claim is acceptable: debug, TCB status and advisories are returned,
`appraise` decides. `Revoked` is a status; a platform that matches no level is an error.

The trust anchors are the caller's: the same code verifies hardware and the simulated
platform, and the result says which anchor it was.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import datetime
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from scone.attestation.certificates import (
    Certificate,
    RevocationList,
    Window,
    load_key,
    parse_chain,
    require_signature,
)
from scone.attestation.collateral import Collateral
from scone.attestation.intel import INTEL_SGX_ROOT_CA_DER
from scone.attestation.sgx import pck
from scone.attestation.sgx.quote import Quote, ReportBody
from scone.attestation.sgx.tcb import QeIdentity, TcbInfo, TcbLevel, TcbStatus, converge
from scone.errors import MalformedError, VerificationError

_PROOF: Final = object()
_MAX_COLLATERALS: Final = 16
_MAX_PLATFORMS: Final = 1024

Value = TypeVar("Value")


class UntrustedRootError(VerificationError):
    """The chain ends in a root that is no anchor; `simulated` if it says so of itself."""

    def __init__(self, message: str, *, hint: str = "", simulated: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.simulated = simulated


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root certificate that the caller trusts, and what it stands for."""

    name: str
    certificate_der: bytes = field(repr=False)
    simulated: bool


INTEL_SGX_ROOT: Final = Anchor("Intel SGX Root CA", INTEL_SGX_ROOT_CA_DER, simulated=False)


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """What a genuine quote says; only `verify` can make one."""

    tee: str
    report: ReportBody
    tcb_status: TcbStatus
    advisories: tuple[str, ...]
    smt: bool
    platform_id: str
    fmspc: bytes
    anchor: Anchor
    valid_until: datetime
    _: KW_ONLY
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only verify() makes VerifiedEvidence")

    @property
    def debug(self) -> bool:
        """Whether a debugger can read everything in the enclave."""
        return self.report.debug

    @property
    def simulated(self) -> bool:
        """Whether anybody on that machine could have forged this."""
        return self.anchor.simulated


@dataclass(frozen=True, slots=True)
class _Endorsed:
    """What one set of endorsements proves, whatever the quote."""

    anchor: Anchor
    root: Certificate
    root_crl: RevocationList
    pck_ca: Certificate
    pck_crl: RevocationList
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    window: Window


@dataclass(frozen=True, slots=True)
class _Platform:
    """What one PCK chain proves under one set of endorsements."""

    key: ec.EllipticCurvePublicKey
    extension: pck.SgxExtension
    level: TcbLevel
    window: Window


class _Recent(Generic[Value]):
    """At most `size` values, the least recently used leave first; for one thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)


class VerificationCache:
    """What was proved of endorsements and PCK chains, so that it is proved once.

    Keys are the exact bytes (collateral by the SHA-256 of all its fields), so bytes that
    were altered are other entries. Only successes are kept; each hit checks the validity
    window and that the anchor is still trusted. Signatures of the quote itself are never
    cached.
    """

    __slots__ = ("_endorsed", "_platforms")

    def __init__(
        self, *, collaterals: int = _MAX_COLLATERALS, platforms: int = _MAX_PLATFORMS
    ) -> None:
        self._endorsed: _Recent[_Endorsed] = _Recent(collaterals)
        self._platforms: _Recent[_Platform] = _Recent(platforms)

    def __len__(self) -> int:
        return len(self._endorsed) + len(self._platforms)


def verify(
    quote: bytes,
    collateral: Collateral,
    anchors: Sequence[Anchor],
    now: datetime,
    cache: VerificationCache | None = None,
) -> VerifiedEvidence:
    """What an SGX quote says, after proof that it is genuine and current at `now`.

    Raises:
        MalformedError: bytes that are not a quote, a certificate, a document.
        VerificationError: not genuine, revoked, expired, or of an unknown root.
    """
    if now.tzinfo is None:
        raise TypeError("now must be an aware datetime")
    parsed = Quote.parse(quote)

    # 1. Endorsements: chains to a trusted root, revocation lists, signed documents, dates.
    endorsed = _endorsed(collateral, anchors, now, cache)

    # 2. PCK certificate chain of the quote, its revocation, its platform's TCB level.
    platform = _platform(parsed.pck_chain, collateral, endorsed, now, cache)

    # 3. The quoting enclave's report: signed by the PCK, made by the expected enclave.
    require_signature(
        platform.key, parsed.qe_report_signature, parsed.qe_report_bytes, "quote.qe report"
    )
    # 4. The attestation key is the one that the quoting enclave vouches for.
    bound = hashlib.sha256(parsed.attestation_key + parsed.qe_auth_data).digest() + bytes(32)
    if parsed.qe_report.report_data != bound:
        raise VerificationError("quote: the attestation key is not bound to the quoting enclave")
    qe_level = endorsed.qe_identity.level_for(parsed.qe_report)

    # 5. The quote: signed by the attestation key.
    attestation_key = load_key(parsed.attestation_key, "quote.attestation key")
    require_signature(attestation_key, parsed.signature, parsed.signed, "quote")

    # 6. One status and all advisories from platform and quoting enclave.
    return VerifiedEvidence(
        tee="sgx",
        report=parsed.report,
        tcb_status=converge(platform.level.status, qe_level.status),
        advisories=tuple(sorted({*platform.level.advisories, *qe_level.advisories})),
        smt=platform.extension.smt is True,
        platform_id=f"INTEL_QE_ID:{parsed.qe_id.hex()}",
        fmspc=platform.extension.fmspc,
        anchor=endorsed.anchor,
        valid_until=platform.window.end,
        proof=_PROOF,
    )


def _endorsed(
    collateral: Collateral,
    anchors: Sequence[Anchor],
    now: datetime,
    cache: VerificationCache | None,
) -> _Endorsed:
    if cache is not None:
        known = cache._endorsed.get(collateral.id)  # noqa: SLF001 -- one module, one invariant
        if known is not None and known.anchor in anchors:
            known.window.require(now, "collateral")
            return known
    checked = _check_collateral(collateral, anchors, now)
    if cache is not None:
        cache._endorsed.put(collateral.id, checked)  # noqa: SLF001 -- as above
    return checked


def _check_collateral(
    collateral: Collateral, anchors: Sequence[Anchor], now: datetime
) -> _Endorsed:
    # Root CA: the anchor itself, byte for byte; a chain that ends elsewhere is foreign.
    what = "collateral.pck_crl_issuer_chain"
    pck_ca, root = parse_chain(collateral.pck_crl_issuer_chain, what, 2)
    anchor = _anchor_of(root, anchors)
    window = root.window.require(now, f"{what}: root CA")
    root.require_ca(f"{what}: root CA")
    root_crl = RevocationList.load(collateral.root_ca_crl, root, now, "collateral.root_ca_crl")
    window = window.meet(root_crl.window)

    # Intermediate CA and the list of revoked PCK certificates that it issues.
    window = window.meet(_check_ca(pck_ca, root, root_crl, now, f"{what}: PCK CA"))
    pck_crl = RevocationList.load(collateral.pck_crl, pck_ca, now, "collateral.pck_crl")
    window = window.meet(pck_crl.window)

    # TCB info and QE identity: chain of the signer, signature over the exact text, dates.
    signer, seen = _check_signer(
        collateral.tcb_info_issuer_chain, "tcb_info", (root,), root_crl, now
    )
    require_signature(
        signer.key, collateral.tcb_info_signature, collateral.tcb_info.encode(), "tcb info"
    )
    tcb_info = TcbInfo.parse(collateral.tcb_info)
    window = window.meet(seen).meet(tcb_info.window.require(now, "tcb info"))

    signer, seen = _check_signer(
        collateral.qe_identity_issuer_chain, "qe_identity", (root, signer), root_crl, now
    )
    require_signature(
        signer.key, collateral.qe_identity_signature, collateral.qe_identity.encode(), "qe identity"
    )
    qe_identity = QeIdentity.parse(collateral.qe_identity)
    window = window.meet(seen).meet(qe_identity.window.require(now, "qe identity"))

    return _Endorsed(
        anchor=anchor,
        root=root,
        root_crl=root_crl,
        pck_ca=pck_ca,
        pck_crl=pck_crl,
        tcb_info=tcb_info,
        qe_identity=qe_identity,
        window=window,
    )


def _anchor_of(root: Certificate, anchors: Sequence[Anchor]) -> Anchor:
    for anchor in anchors:
        if anchor.certificate_der == root.der:
            root.require_issued_by(root, "root CA")
            return anchor
    names = ", ".join(anchor.name for anchor in anchors) or "none"
    simulated = "SIMULATED" in root.subject
    raise UntrustedRootError(
        f"root CA: {root.subject} is not a trusted root (trusted: {names})",
        hint="this is simulated evidence, which proves nothing" if simulated else "",
        simulated=simulated,
    )


def _check_ca(
    ca: Certificate, root: Certificate, root_crl: RevocationList, now: datetime, what: str
) -> Window:
    ca.require_issued_by(root, what)
    ca.require_ca(what)
    root_crl.require_not_revoked(ca, what)
    return ca.window.require(now, what)


def _check_signer(
    pem: str,
    name: str,
    known: tuple[Certificate, ...],
    root_crl: RevocationList,
    now: datetime,
) -> tuple[Certificate, Window]:
    what, root = f"collateral.{name}_issuer_chain", known[0]
    signer, issuer = parse_chain(pem, what, 2, known)
    if issuer.der != root.der:
        raise VerificationError(f"{what}: another root CA than the revocation lists'")
    signer.require_issued_by(root, what)
    signer.require_signer(what)
    root_crl.require_not_revoked(signer, what)
    return signer, signer.window.require(now, what)


def _platform(
    chain: bytes,
    collateral: Collateral,
    endorsed: _Endorsed,
    now: datetime,
    cache: VerificationCache | None,
) -> _Platform:
    key = (collateral.id, endorsed.anchor, chain)
    if cache is not None:
        known = cache._platforms.get(key)  # noqa: SLF001 -- one module, one invariant
        if known is not None:
            known.window.require(now, "quote.pck chain")
            return known
    checked = _check_platform(chain, endorsed, now)
    if cache is not None:
        cache._platforms.put(key, checked)  # noqa: SLF001 -- as above
    return checked


def _check_platform(chain: bytes, endorsed: _Endorsed, now: datetime) -> _Platform:
    what = "quote.pck chain"
    try:
        # Intel's library ends the chain with one NUL; others do not.
        pem = chain.removesuffix(b"\0").decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedError(what, "PEM", "bytes that are not ASCII") from error
    leaf, ca, root = parse_chain(pem, what, 3, (endorsed.pck_ca, endorsed.root))
    if root.der != endorsed.root.der:
        raise VerificationError(f"{what}: another root CA than the collateral's")
    window = endorsed.window
    if ca.der != endorsed.pck_ca.der:
        # A reissued CA certificate has the same name and key as the list's issuer.
        if ca.x509.subject != endorsed.pck_ca.x509.subject or ca.key != endorsed.pck_ca.key:
            raise VerificationError(
                f"{what}: issued by {ca.subject}, the collateral is for {endorsed.pck_ca.subject}"
            )
        window = window.meet(_check_ca(ca, endorsed.root, endorsed.root_crl, now, f"{what}: CA"))
    leaf.require_issued_by(ca, what)
    leaf.require_signer(what)
    endorsed.pck_crl.require_not_revoked(leaf, "pck certificate")
    window = window.meet(leaf.window.require(now, what))
    extension = pck.SgxExtension.parse(leaf.extension(pck.OID, what))
    level = endorsed.tcb_info.level_for(extension)
    return _Platform(key=leaf.key, extension=extension, level=level, window=window)
