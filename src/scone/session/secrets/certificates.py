"""Certificates that are secrets: explicit, self-signed, or issued inside their session.

Language 0.3: every certificate names its private key and may name an issuer, in any order of
definition; both may be imported. Language 0.2: one new root per session and version issues all
certificates, and is what a session-ca secret shows; its key is dropped when they are made. No key of the CAS signs here, so no certificate of a session can
stand for a CAS (docs/formats/certificates.md).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from scone.crypto.certificates import (
    BACKDATED,
    VIRTUALLY_UNLIMITED,
    add_key_identifiers,
    dns_name,
    is_ca,
    key_usage,
    load_certificate,
    sign,
    start_certificate,
    subject,
)
from scone.crypto.der import pem_blocks
from scone.crypto.keys import (
    PrivateKey,
    PublicKey,
    Random,
    check_public_key,
    generate_private_key,
    load_private_key,
    spki_of_public_key,
)
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, MalformedError, UsageError
from scone.session.model import MAX_COMMON_NAME, MAX_ISSUERS, MIN_VALID_FOR, SecretSpec, Session
from scone.session.secrets.loading import Loaded
from scone.session.secrets.values import CertificateValue, PrivateKeyValue, SecretValue

_RENEWED_AFTER: Final = 2 / 3


def certificates_02(
    session: Session, *, now: dt.datetime, random: Random
) -> dict[str, CertificateValue]:
    """All certificates of a session of language 0.2, under a root made for this version."""
    specs = [
        spec
        for spec in session.secrets
        if spec.kind in {"x509", "x509-ca", "session-ca"} and not spec.is_foreign
    ]
    if not specs:
        return {}
    root_key = load_private_key(generate_private_key("P-256", random))
    name = subject(_short(f"session CA of {session.name}"))
    root = _issue(
        name, root_key.public_key(), (root_key, None), ca=True, until=None, now=now, random=random
    )
    issuer = load_certificate(root)
    values: dict[str, CertificateValue] = {}
    for spec in specs:
        if spec.kind == "session-ca":
            values[spec.name] = CertificateValue(root, None)
            continue
        key = generate_private_key("P-256", random)
        certificate = _issue(
            subject(_short(spec.name)),
            load_private_key(key).public_key(),
            (root_key, issuer),
            ca=spec.kind == "x509-ca",
            until=None,
            now=now,
            random=random,
        )
        values[spec.name] = CertificateValue(certificate, key, (root,))
    return values


def certificates_03(
    session: Session,
    values: Mapping[str, SecretValue],
    *,
    kept: Mapping[str, CertificateValue],
    now: dt.datetime,
    random: Random,
) -> dict[str, CertificateValue]:
    """All certificates of a session of language 0.3 that are not imported themselves.

    `values` holds the private keys, and the imported issuers. Certificates in `kept` are taken as
    they are, with the chain of today's issuers; where an imported issuer has another key today,
    with the chain that they had.

    Raises:
        UsageError: a reference that cannot be followed, a cycle, an explicit value that does not
            fit its references, a name that no certificate carries.
        MalformedError: an explicit value that is not a certificate.
        LimitError: more than 8 issuers in a row.
    """
    specs = {
        spec.name: spec
        for spec in session.secrets
        if spec.kind in {"x509", "x509-ca"} and not spec.is_foreign
    }
    imported = {spec.name for spec in session.secrets if spec.is_foreign}
    done: dict[str, CertificateValue] = {}
    under_way: list[str] = []
    loaded = Loaded()

    def resolve(spec: SecretSpec) -> CertificateValue:
        if spec.name in done:
            return done[spec.name]
        if spec.name in under_way:
            path = " -> ".join([*under_way[under_way.index(spec.name) :], spec.name])
            raise UsageError(f"secret {spec.name}: the issuers form a cycle: {path}")
        if len(under_way) > MAX_ISSUERS:
            raise LimitError(f"secret {spec.name}: expected at most {MAX_ISSUERS} issuers in a row")
        under_way.append(spec.name)
        issuer = None
        if spec.issuer in imported:
            issuer = _imported_issuer(spec, values.get(spec.issuer or ""), loaded)
        elif spec.issuer is not None:
            found = specs.get(spec.issuer)
            if found is None or found.kind != "x509-ca":
                raise UsageError(
                    f"secret {spec.name}: expected the name of an x509-ca secret as issuer, "
                    f"got {spec.issuer!r}"
                )
            issuer = resolve(found)
        key = _referenced_key(spec, values)
        chain = () if issuer is None else (issuer.certificate, *issuer.chain)
        if spec.value is not None:
            value = _explicit(spec, spec.value, key, issuer, loaded)
        elif spec.name in kept:
            old = kept[spec.name]
            if spec.issuer in imported and issuer is not None:
                certificate = loaded.certificate(old.certificate)
                if not _issued_by(certificate, loaded.certificate(issuer.certificate)):
                    chain = old.chain
            value = CertificateValue(old.certificate, old.private_key, chain, old.renew_at)
        else:
            value = _generated(spec, key, issuer, loaded, now=now, random=random)
        under_way.pop()
        done[spec.name] = value
        return value

    for spec in specs.values():
        resolve(spec)
    return done


def _imported_issuer(
    spec: SecretSpec, value: SecretValue | None, loaded: Loaded
) -> CertificateValue:
    if not isinstance(value, CertificateValue) or not is_ca(loaded.certificate(value.certificate)):
        raise UsageError(
            f"secret {spec.name}: expected the certificate of an authority (CA:TRUE) as issuer, "
            f"the imported secret {spec.issuer!r} is none"
        )
    return value


def _referenced_key(spec: SecretSpec, values: Mapping[str, SecretValue]) -> SecretBytes | None:
    if spec.private_key is None:
        return None
    value = values.get(spec.private_key)
    if not isinstance(value, PrivateKeyValue):
        raise UsageError(
            f"secret {spec.name}: expected the name of a private-key secret as private_key, "
            f"got {spec.private_key!r}"
        )
    return value.pkcs8


def _explicit(
    spec: SecretSpec,
    text: str,
    key: SecretBytes | None,
    issuer: CertificateValue | None,
    loaded: Loaded,
) -> CertificateValue:
    place = f"secret {spec.name}: value"
    blocks = pem_blocks(text, place)
    if not blocks or any(block.label != "CERTIFICATE" for block in blocks):
        got = ", ".join(block.label for block in blocks) or "none"
        raise MalformedError(place, "PEM blocks -----BEGIN CERTIFICATE-----", got)
    ders = [block.der for block in blocks]
    certificates = [load_certificate(der, place) for der in ders]
    leaf = certificates[0]
    if spec.kind == "x509-ca" and not is_ca(leaf):
        raise UsageError(
            f"{place}: expected CA:TRUE in an x509-ca secret, got a certificate without"
        )
    if key is not None:
        own = spki_of_public_key(loaded.key(key).public_key())
        if spki_of_public_key(check_public_key(leaf.public_key(), place)) != own:
            raise UsageError(
                f"{place}: expected a certificate of the private key {spec.private_key!r}, "
                "got one of another key"
            )
    if issuer is not None:
        if len(ders) > 1:
            raise UsageError(
                f"{place}: expected an issuer or a chain behind the certificate, got both"
            )
        ders += [issuer.certificate, *issuer.chain]
        certificates.append(loaded.certificate(issuer.certificate))
    for child, parent in itertools.pairwise(certificates):
        if not _issued_by(child, parent):
            raise UsageError(
                f"{place}: expected each certificate to be issued by the next, "
                f"got one not issued by {parent.subject.rfc4514_string()[:100]!r}"
            )
    return CertificateValue(ders[0], key, tuple(ders[1:]))


def _generated(
    spec: SecretSpec,
    key: SecretBytes | None,
    issuer: CertificateValue | None,
    loaded: Loaded,
    *,
    now: dt.datetime,
    random: Random,
) -> CertificateValue:
    if key is None:
        raise UsageError(f"secret {spec.name}: a generated certificate needs a private_key")
    private = loaded.key(key)
    signer: PrivateKey = private
    issuer_certificate = None
    if issuer is not None:
        if issuer.private_key is None:
            raise UsageError(
                f"secret {spec.name}: the issuer {spec.issuer!r} has no private_key to sign with",
                hint="an imported certificate brings its key only if the key is exported as well",
            )
        signer = loaded.key(issuer.private_key)
        issuer_certificate = loaded.certificate(issuer.certificate)
        if not is_ca(issuer_certificate):
            raise UsageError(f"secret {spec.name}: the issuer {spec.issuer!r} is not CA:TRUE")
    until, renew_at = None, None
    if spec.valid_for is not None:
        if spec.valid_for.seconds < MIN_VALID_FOR:
            raise UsageError(f"secret {spec.name}: expected valid_for of one hour or more")
        longest = int((VIRTUALLY_UNLIMITED - now).total_seconds())
        span = dt.timedelta(seconds=min(spec.valid_for.seconds, longest))
        until = now + span
        renew_at = (now + span * _RENEWED_AFTER).replace(microsecond=0)
    try:
        certificate = _issue(
            subject(_common_name(spec)),
            private.public_key(),
            (signer, issuer_certificate),
            ca=spec.kind == "x509-ca",
            until=until,
            now=now,
            random=random,
            spec=spec,
        )
    except UsageError as error:
        raise error.within(f"secret {spec.name}") from None
    chain = () if issuer is None else (issuer.certificate, *issuer.chain)
    return CertificateValue(certificate, key, chain, renew_at)


def _issue(
    name: x509.Name,
    public: PublicKey,
    signer: tuple[PrivateKey, x509.Certificate | None],
    *,
    ca: bool,
    until: dt.datetime | None,
    now: dt.datetime,
    random: Random,
    spec: SecretSpec | None = None,
) -> bytes:
    """One certificate: by its own key where the signer has no certificate."""
    signer_key, issuer = signer
    backdated = BACKDATED if until is None else min(BACKDATED, until - now)
    builder = start_certificate(
        name,
        name if issuer is None else issuer.subject,
        public,
        not_before=(now - backdated).replace(microsecond=0),
        not_after=VIRTUALLY_UNLIMITED if until is None else until.replace(microsecond=0),
        random=random,
    )
    builder = add_key_identifiers(builder, public, issuer=issuer)
    # No path length: a program may hold the key of an x509-ca and issue further authorities.
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    encipherment = not ca and isinstance(public, rsa.RSAPublicKey)
    usage = key_usage(ca=ca, key_encipherment=encipherment)
    builder = builder.add_extension(usage, critical=True)
    if spec is not None and not ca:
        if spec.endpoint is not None:
            server = spec.endpoint == "server"
            purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        names = _alternative_names(spec)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return sign(builder, signer_key)


def _alternative_names(spec: SecretSpec) -> list[x509.GeneralName]:
    names: dict[str, x509.GeneralName] = {}
    for entry in (*(f"dns:{name}" for name in spec.dns), *spec.san):
        kind, _, text = entry.partition(":")
        if kind == "dns":
            names[entry] = dns_name(text)
        elif kind == "ip":
            try:
                names[entry] = x509.IPAddress(ipaddress.ip_address(text))
            except ValueError as error:
                raise UsageError(f"san: expected an IP address, got {text[:60]!r}") from error
        else:
            raise UsageError(f'san: expected "dns:NAME" or "ip:ADDRESS", got {entry[:60]!r}')
    return list(names.values())


def _common_name(spec: SecretSpec) -> str:
    """`common_name`, else the first DNS name, else the secret's name (shortened to 64)."""
    if spec.common_name is not None:
        return spec.common_name
    from_san = (entry[4:] for entry in spec.san if entry.startswith("dns:"))
    first = next(iter((*spec.dns, *from_san)), "")
    return first if 1 <= len(first) <= MAX_COMMON_NAME else _short(spec.name)


def _short(text: str) -> str:
    return text[:MAX_COMMON_NAME]


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return is_ca(issuer)
