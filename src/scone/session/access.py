"""Who may read, update and create: entries of an access policy against a requester.

Denied unless an entry says otherwise. Language 0.3 compares keys, so that a renewed
certificate still counts; 0.2 compares certificates (SHA-256 of the PEM text).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from scone.crypto.keyhash import parse_key_hash
from scone.errors import MalformedError
from scone.session.model import ANY, CREATOR, NONE, Creator


@dataclass(frozen=True, slots=True)
class Requester:
    """A client that showed it holds its certificate's key."""

    spki_sha256: bytes
    certificate_pem_sha256: bytes

    @classmethod
    def of_pem(cls, pem: str) -> Requester:
        """The requester with this certificate, given in PEM with LF line ends.

        Raises:
            MalformedError: not a certificate.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            spki = certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        except ValueError as error:
            raise MalformedError("certificate", "an X.509 certificate in PEM") from error
        return cls(hashlib.sha256(spki).digest(), hashlib.sha256(pem.encode()).digest())


def allows(
    entries: Iterable[str], requester: Requester | None, creator: Creator | None, version: str
) -> bool:
    """Whether one of the entries admits the requester (None: no client certificate)."""
    listed = dict.fromkeys(entries)  # each once: a certificate is parsed for its entry
    if NONE in listed:
        return False
    if ANY in listed:
        return True
    if requester is None:
        return False
    return any(_matches(entry, requester, creator, version) for entry in listed)


def _matches(entry: str, requester: Requester, creator: Creator | None, version: str) -> bool:
    if entry == CREATOR:
        return creator is not None and _same(
            Requester.of_pem(creator.certificate_pem), requester, version
        )
    if entry.startswith("-----BEGIN "):
        return _same(Requester.of_pem(entry), requester, version)
    if version == "0.2":
        return hmac.compare_digest(entry.encode(), requester.certificate_pem_sha256.hex().encode())
    return hmac.compare_digest(parse_key_hash(entry, place="access policy"), requester.spki_sha256)


def _same(one: Requester, other: Requester, version: str) -> bool:
    if version == "0.2":
        return hmac.compare_digest(one.certificate_pem_sha256, other.certificate_pem_sha256)
    return hmac.compare_digest(one.spki_sha256, other.spki_sha256)
