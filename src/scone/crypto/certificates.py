"""X.509 certificates of the trust plane: CLI identity, CAS root, CAS instance (RFC 5280).

Forms in docs/formats/certificates.md. Certificates that are secrets of a session are made in
`scone.session.secrets` with the helpers here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scone.crypto.keys import (
    PrivateKey,
    PublicKey,
    Random,
    check_public_key,
    load_private_key,
    load_public_key,
)
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError, VerificationError

VIRTUALLY_UNLIMITED: Final = dt.datetime(4096, 1, 1, tzinfo=dt.UTC)
"""The notAfter of SCONE's certificates without a limited validity."""

BACKDATED: Final = dt.timedelta(days=1)
"""How far notBefore lies before the time of issue: machines' clocks differ."""

_IDENTITY_NOT_BEFORE: Final = dt.datetime(1975, 1, 1, tzinfo=dt.UTC)
_MAX_COMMON_NAME: Final = 64  # RFC 5280, appendix A.1, ub-common-name
_SUBJECT_PARTS: Final = {
    "country_name": NameOID.COUNTRY_NAME,
    "state_or_province": NameOID.STATE_OR_PROVINCE_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "org_name": NameOID.ORGANIZATION_NAME,
    "email": NameOID.EMAIL_ADDRESS,
}


def create_identity_certificate(key: SecretBytes, *, random: Random) -> bytes:
    """The self-signed certificate of a CLI identity, as rcgen makes it for SCONE's CLI (DER)."""
    private = load_private_key(key)
    name = subject("rcgen self signed cert")
    builder = _builder(name, name, private.public_key(), random).add_extension(
        x509.SubjectAlternativeName([x509.DNSName("scone cli")]), critical=False
    )
    builder = _validity(builder, _IDENTITY_NOT_BEFORE, VIRTUALLY_UNLIMITED)
    return sign(builder, private)


def create_cas_root(key: SecretBytes, *, now: dt.datetime, random: Random) -> bytes:
    """The self-signed certificate CN=cas over the CAS key (DER)."""
    private = load_private_key(key)
    public = private.public_key()
    name = subject("cas")
    builder = _builder(name, name, public, random)
    builder = _validity(builder, now - BACKDATED, VIRTUALLY_UNLIMITED)
    builder = add_key_identifiers(builder, public, issuer=None)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(key_usage(ca=True), critical=True)
    return sign(builder, private)


def issue_cas_instance(
    root_key: SecretBytes,
    root_certificate: bytes,
    spki_der: bytes,
    *,
    now: dt.datetime,
    random: Random,
    dns_names: Iterable[str] = (),
    ip_addresses: Iterable[IPv4Address | IPv6Address] = (),
    subject_parts: Mapping[str, str] | None = None,
) -> bytes:
    """The certificate CN=cas-instance over the software key, issued by the CAS key (DER).

    The SANs are `cas`, `localhost`, then the owner's names; `subject_parts` are the owner's
    country_name, state_or_province, locality, org_name and email.

    Raises:
        UsageError: a name or a part of the subject that a certificate cannot carry.
        MalformedError: not a key or not a certificate.
    """
    issuer = load_certificate(root_certificate, "CAS root certificate")
    public = load_public_key(spki_der, "software key")
    name = subject("cas-instance", subject_parts or {})
    builder = _builder(name, issuer.subject, public, random)
    builder = _validity(builder, now - BACKDATED, VIRTUALLY_UNLIMITED)
    builder = add_key_identifiers(builder, public, issuer=issuer)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(key_usage(ca=False), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    names: list[x509.GeneralName] = [
        dns_name(text) for text in dict.fromkeys(["cas", "localhost", *dns_names])
    ]
    names += [x509.IPAddress(address) for address in dict.fromkeys(ip_addresses)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return sign(builder, load_private_key(root_key))


def verify_issued_by(leaf_der: bytes, root_der: bytes, *, now: dt.datetime) -> None:
    """Check that a self-signed CA certificate issued a certificate directly, both valid now.

    Signature, names, CA:TRUE of the root, CA:FALSE of the leaf, validity of both (RFC 5280,
    section 6.1, for a path of length one). Whether the root is to be trusted is not said here.

    Raises:
        VerificationError: it did not.
        MalformedError: not certificates in DER.
    """
    leaf = load_certificate(leaf_der, "certificate")
    root = load_certificate(root_der, "root certificate")
    _verify_signed_by(root, root, "root certificate")
    _verify_signed_by(leaf, root, "certificate")
    if not is_ca(root):
        raise VerificationError("root certificate: expected CA:TRUE, got a certificate without it")
    if is_ca(leaf):
        raise VerificationError("certificate: expected CA:FALSE, got a certification authority")
    for place, certificate in (("certificate", leaf), ("root certificate", root)):
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise VerificationError(
                f"{place}: expected a validity that covers {now:%Y-%m-%d %H:%M:%S} UTC, got "
                f"{certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            )


def cas_chain(chain: tuple[bytes, ...], *, now: dt.datetime) -> tuple[bytes, bytes]:
    """The certificates that a CAS shows in TLS: its instance, then the root that issued it (DER).

    Which CAS it is, only a comparison of one of their keys says.

    Raises:
        VerificationError: another chain, such as a certificate for something else than serving.
        MalformedError: not certificates in DER.
    """
    expected = "expected the certificates of a CAS (CN=cas-instance for servers, then CN=cas)"
    if len(chain) != 2:
        raise VerificationError(f"{expected}, got {len(chain)} certificates")
    leaf, root = chain
    verify_issued_by(leaf, root, now=now)
    # The CAS key also certifies keys that serve nothing, such as that of the audit log.
    certificate = load_certificate(leaf)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        serves = ExtendedKeyUsageOID.SERVER_AUTH in usage
    except x509.ExtensionNotFound:
        serves = False
    if not serves or [name.value for name in names] != ["cas-instance"]:
        raise VerificationError(f"{expected}, got another one")
    return leaf, root


def load_certificate(der: bytes, place: str = "certificate") -> x509.Certificate:
    """A certificate whose public key is of an accepted type.

    Raises:
        MalformedError: not an X.509 certificate in DER, or another type of key.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        public_key = certificate.public_key()
        _ = certificate.extensions, certificate.subject, certificate.issuer
    except (
        ValueError,
        TypeError,  # a name in a type of string that its attribute does not have
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise MalformedError(place, "an X.509 certificate in DER") from error
    check_public_key(public_key, place)
    return certificate


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether the basic constraints say CA:TRUE."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def subject(common_name: str, parts: Mapping[str, str] | None = None) -> x509.Name:
    """A subject with CN last, after the owner's parts in their usual order.

    Raises:
        UsageError: a part that is not known, empty, or too long (RFC 5280, appendix A.1).
    """
    given = dict(parts or {})
    attributes = []
    for key, oid in [*_SUBJECT_PARTS.items(), ("common_name", NameOID.COMMON_NAME)]:
        text = common_name if key == "common_name" else given.pop(key, None)
        if text is None:
            continue
        limit = _MAX_COMMON_NAME if key == "common_name" else 128
        if not text or len(text) > limit or not text.isprintable():
            raise UsageError(
                f"certificate subject {key}: expected 1 to {limit} printable characters, "
                f"got {len(text)}"
            )
        try:
            attributes.append(x509.NameAttribute(oid, text))
        except ValueError as error:
            raise UsageError(f"certificate subject {key}: expected two letters") from error
    if given:
        raise UsageError(f"certificate subject: unknown part {min(given)!r}")
    return x509.Name(attributes)


def dns_name(text: str) -> x509.DNSName:
    """A DNS name for a SAN extension.

    Raises:
        UsageError: empty, longer than 253 characters, or not printable ASCII without spaces.
    """
    if not 1 <= len(text) <= 253 or not all("!" <= character <= "~" for character in text):
        raise UsageError(
            f"DNS name {text[:60]!r}: expected 1 to 253 ASCII characters without spaces",
            hint="write an international name in its xn-- form",
        )
    return x509.DNSName(text)


def add_key_identifiers(
    builder: x509.CertificateBuilder, public: PublicKey, *, issuer: x509.Certificate | None
) -> x509.CertificateBuilder:
    """Subject key identifier, and the authority key identifier of the issuer, if there is one.

    Self-signed certificates carry no authority key identifier (RFC 5280, 4.2.1.1).
    """
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    if issuer is None:
        return builder
    try:
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)
    except x509.ExtensionNotFound:
        issuer_key = check_public_key(issuer.public_key(), "issuer certificate")
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return builder.add_extension(authority, critical=False)


def key_usage(*, ca: bool, key_encipherment: bool = False) -> x509.KeyUsage:
    """Signing of certificates and CRLs for a CA, digital signatures for the others."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def sign(builder: x509.CertificateBuilder, issuer_key: PrivateKey) -> bytes:
    """The certificate (DER) with the issuer's signature: Ed25519, or SHA-256 or SHA-384."""
    algorithm: hashes.SHA256 | hashes.SHA384 | None = hashes.SHA256()
    if isinstance(issuer_key, ed25519.Ed25519PrivateKey):
        algorithm = None
    elif issuer_key.key_size == 384:
        algorithm = hashes.SHA384()
    return der_of(builder.sign(issuer_key, algorithm))


def der_of(certificate: x509.Certificate) -> bytes:
    """The DER of a certificate object."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def start_certificate(
    subject_name: x509.Name,
    issuer_name: x509.Name,
    public: PublicKey,
    *,
    not_before: dt.datetime,
    not_after: dt.datetime,
    random: Random,
) -> x509.CertificateBuilder:
    """A builder with names, key, random serial number and validity, and no extension yet."""
    return _validity(_builder(subject_name, issuer_name, public, random), not_before, not_after)


def _builder(
    subject_name: x509.Name, issuer_name: x509.Name, public: PublicKey, random: Random
) -> x509.CertificateBuilder:
    # RFC 5280, 4.1.2.2: positive, at most 20 octets; the set bit keeps the length at 16.
    serial = (int.from_bytes(random(16), "big") | 1 << 126) & ~(1 << 127)
    return (
        x509.CertificateBuilder()
        .subject_name(subject_name)
        .issuer_name(issuer_name)
        .public_key(public)
        .serial_number(serial)
    )


def _validity(
    builder: x509.CertificateBuilder, not_before: dt.datetime, not_after: dt.datetime
) -> x509.CertificateBuilder:
    return builder.not_valid_before(not_before).not_valid_after(not_after)


def _verify_signed_by(certificate: x509.Certificate, issuer: x509.Certificate, place: str) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise VerificationError(f"{place}: not issued by the expected key") from error
