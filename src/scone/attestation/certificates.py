"""Certificates and revocation lists of a DCAP hierarchy: strict, one error.

Only what Intel's hierarchy has is accepted: PEM in its one canonical form, P-256
keys, ECDSA with SHA-256. Foreign exceptions end here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from scone.attestation.sgx.der import INTEGER, SEQUENCE, element
from scone.errors import MalformedError, VerificationError
from scone.wire import Reader

_BEGIN: Final = "-----BEGIN CERTIFICATE-----\n"
_END: Final = "-----END CERTIFICATE-----\n"
_PEM_LINE: Final = 64
_MAX_CERTIFICATE_BYTES: Final = 8 * 1024
_ECDSA_SHA256: Final = ec.ECDSA(hashes.SHA256())

# Everything `cryptography` raises for bytes that it does not like.
_FOREIGN: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.ExtensionNotFound,
    Warning,  # where warnings are made errors
)


@contextmanager
def translated(place: str, expected: str) -> Iterator[None]:
    """Foreign exceptions become `MalformedError` at `place`.

    Raises:
        MalformedError: in their stead.
    """
    try:
        yield
    except _FOREIGN as error:
        raise MalformedError(place, expected, str(error).split("\n", 1)[0][:120]) from error


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which everything that was checked is valid; both ends belong to it."""

    start: datetime
    end: datetime

    def meet(self, other: Window) -> Window:
        """What both allow."""
        return Window(max(self.start, other.start), min(self.end, other.end))

    def require(self, now: datetime, what: str) -> Window:
        """Itself, when `now` lies in it.

        Raises:
            VerificationError: when not.
        """
        if now < self.start:
            raise VerificationError(f"{what}: not valid before {self.start:%Y-%m-%dT%H:%M:%SZ}")
        if now > self.end:
            raise VerificationError(
                f"{what}: expired at {self.end:%Y-%m-%dT%H:%M:%SZ}",
                hint="newer collateral is needed, or the clock is wrong",
            )
        return self


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that can be loaded; whether to trust it is another question."""

    der: bytes
    x509: x509.Certificate
    key: ec.EllipticCurvePublicKey
    window: Window

    @classmethod
    def load(cls, der: bytes, place: str) -> Certificate:
        """A P-256 certificate from DER.

        Raises:
            MalformedError: not a certificate of this hierarchy's kind.
        """
        if len(der) > _MAX_CERTIFICATE_BYTES:
            raise MalformedError(place, f"at most {_MAX_CERTIFICATE_BYTES} bytes", f"{len(der)}")
        # `cryptography` only warns of these.
        certificate = Reader(place, element(Reader(place, der), "certificate", SEQUENCE))
        tbs = Reader(place, element(certificate, "tbs", SEQUENCE))
        element(tbs, "version", 0xA0)
        if element(tbs, "serial number", INTEGER)[:1] >= b"\x80":
            raise MalformedError(place, "a positive serial number", "a negative one")
        with translated(place, "an X.509 certificate"):
            loaded = x509.load_der_x509_certificate(der)
            key = loaded.public_key()
            algorithm = loaded.signature_algorithm_oid
            window = Window(loaded.not_valid_before_utc, loaded.not_valid_after_utc)
            _ = loaded.extensions, loaded.subject, loaded.issuer  # parsed lazily: now or never
        if algorithm != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise MalformedError(place, "ecdsa-with-SHA256", algorithm.dotted_string)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise MalformedError(place, "a P-256 key", type(key).__name__)
        return cls(der=der, x509=loaded, key=key, window=window)

    @property
    def subject(self) -> str:
        """The subject, for messages."""
        return self.x509.subject.rfc4514_string().replace("\\", "")

    def require_issued_by(self, issuer: Certificate, what: str) -> None:
        """Name and signature: `issuer` issued this.

        Raises:
            VerificationError: it did not.
        """
        try:
            self.x509.verify_directly_issued_by(issuer.x509)
        except (InvalidSignature, *_FOREIGN) as error:
            raise VerificationError(f"{what}: not issued by {issuer.subject}") from error

    def require_ca(self, what: str) -> None:
        """May issue certificates (basicConstraints, keyCertSign).

        Raises:
            VerificationError: it may not.
        """
        is_ca, signs_certificates, _ = self._may(what)
        if not (is_ca and signs_certificates):
            raise VerificationError(f"{what}: not a certification authority")

    def require_signer(self, what: str) -> None:
        """May sign documents and nothing further.

        Raises:
            VerificationError: it is a certification authority or may not sign.
        """
        is_ca, signs_certificates, signs_data = self._may(what)
        if is_ca or signs_certificates or not signs_data:
            raise VerificationError(f"{what}: not an end-entity signing certificate")

    def extension(self, oid: str, what: str) -> bytes:
        """The value of an extension that `cryptography` does not know.

        Raises:
            MalformedError: the certificate does not have it.
        """
        with translated(what, f"the extension {oid}"):
            found = self.x509.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid))
            return found.value.public_bytes()

    def _may(self, what: str) -> tuple[bool, bool, bool]:
        """From basicConstraints and keyUsage: is a CA, signs certificates, signs data."""
        try:
            constraints = self.x509.extensions.get_extension_for_class(x509.BasicConstraints)
            usage = self.x509.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound as error:
            raise VerificationError(f"{what}: no basicConstraints or keyUsage") from error
        return constraints.value.ca, usage.key_cert_sign, usage.digital_signature


def parse_chain(
    pem: str, place: str, count: int, known: Sequence[Certificate] = ()
) -> tuple[Certificate, ...]:
    """Exactly `count` certificates in canonical PEM (64 columns, LF, nothing between).

    Those that are byte for byte among the `known` are not loaded again.

    Raises:
        MalformedError: another number, another form.
    """
    parts = pem.split(_BEGIN)
    if parts[0] or len(parts) - 1 != count:
        raise MalformedError(place, f"{count} PEM certificates", f"{len(parts) - 1}")
    if not pem.endswith("\n"):
        parts[-1] += "\n"  # services differ in the last line feed only
    loaded = {certificate.der: certificate for certificate in known}
    chain = []
    for index, part in enumerate(parts[1:]):
        der = _decode_pem(part, f"{place}[{index}]")
        chain.append(loaded.get(der) or Certificate.load(der, f"{place}[{index}]"))
    return tuple(chain)


def to_pem(der: bytes) -> str:
    """The one PEM form that `parse_chain` reads."""
    body = base64.b64encode(der).decode()
    lines = [body[at : at + _PEM_LINE] for at in range(0, len(body), _PEM_LINE)]
    return _BEGIN + "\n".join(lines) + "\n" + _END


def _decode_pem(part: str, place: str) -> bytes:
    try:
        der = base64.b64decode(part.removesuffix(_END).replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(place, "canonical PEM", "another text") from error
    if to_pem(der) != _BEGIN + part:
        raise MalformedError(place, "canonical PEM", "another form")
    return der


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list whose signature and dates were checked by `load`."""

    crl: x509.CertificateRevocationList
    window: Window

    @classmethod
    def load(cls, der: bytes, issuer: Certificate, now: datetime, what: str) -> RevocationList:
        """A list issued by `issuer` and current at `now`.

        Raises:
            MalformedError: not a revocation list.
            VerificationError: by another issuer, or not current.
        """
        with translated(what, "a DER revocation list"):
            crl = x509.load_der_x509_crl(der)
            name, start, end = crl.issuer, crl.last_update_utc, crl.next_update_utc
            _ = crl.extensions
            genuine = crl.is_signature_valid(issuer.key)
        if end is None:
            raise MalformedError(what, "a next update", "none")
        if name != issuer.x509.subject or not genuine:
            raise VerificationError(f"{what}: not issued by {issuer.subject}")
        return cls(crl=crl, window=Window(start, end).require(now, what))

    def require_not_revoked(self, certificate: Certificate, what: str) -> None:
        """The certificate is not on the list.

        Raises:
            MalformedError: a list with an entry that cannot be read.
            VerificationError: it is.
        """
        with translated(what, "a readable revocation list"):
            entry = self.crl.get_revoked_certificate_by_serial_number(
                certificate.x509.serial_number
            )
        if entry is not None:
            raise VerificationError(f"{what}: revoked")


def load_key(raw: bytes, place: str) -> ec.EllipticCurvePublicKey:
    """A P-256 point from 64 raw bytes.

    Raises:
        MalformedError: not a point of the curve.
    """
    with translated(place, "a point of P-256"):
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)


def require_signature(
    key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes, what: str
) -> None:
    """ECDSA P-256 with SHA-256, the signature as 64 bytes r || s.

    Raises:
        VerificationError: not made by that key over those bytes.
    """
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, _ECDSA_SHA256)
    except (InvalidSignature, *_FOREIGN) as error:
        raise VerificationError(f"{what}: the signature is not valid") from error
