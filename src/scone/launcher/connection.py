"""The channel to the CAS: TLS 1.3 whose server certificate the pinned CAS key issued."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scone.crypto.certificates import load_certificate, verify_issued_by
from scone.crypto.der import spki_of_certificate
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.errors import MalformedError, VerificationError
from scone.transport.address import Address
from scone.transport.client import Connection, Options, connect

_TIMEOUT_S: Final = 30.0
_MAX_ANSWER: Final = 32 * 1024 * 1024  # a service configuration


def connect_to_cas(address: Address, cas_key: str, now: datetime | None = None) -> Connection:
    """Open a channel on which nothing was sent before the CAS key was compared.

    Raises:
        NetworkError: no connection.
        VerificationError: another CAS, or no CAS at all.
    """
    moment = now or datetime.now(UTC)

    def check(chain: tuple[bytes, ...]) -> None:
        check_chain(chain, cas_key, moment, str(address))

    options = Options(
        timeout_s=_TIMEOUT_S, check_peer=check, exporter=True, max_response_bytes=_MAX_ANSWER
    )
    return connect(address, options)


def check_chain(chain: tuple[bytes, ...], cas_key: str, now: datetime, place: str) -> None:
    """Accept exactly a CAS instance certificate followed by the root with the pinned key.

    Raises:
        VerificationError: anything else.
    """
    if len(chain) != 2:
        raise VerificationError(
            f"{place}: expected the certificates of a CAS (instance and root), got {len(chain)}"
        )
    leaf, root = chain
    try:
        _require_key(root, cas_key, place)
        verify_issued_by(leaf, root, now=now)
        _require_instance(load_certificate(leaf), place)
    except MalformedError as error:
        raise VerificationError(f"{place}: {error}") from error


def _require_key(root: bytes, cas_key: str, place: str) -> None:
    found = key_hash(spki_of_certificate(root))
    if not hmac.compare_digest(parse_key_hash(found), parse_key_hash(cas_key)):
        raise VerificationError(
            f"{place}: expected the CAS with key hash {cas_key}, got {found}",
            hint="nothing was sent; is SCONE_CAS_ADDR right, and SCONE_CAS_KEY current?",
        )


def _require_instance(certificate: x509.Certificate, place: str) -> None:
    """The CAS key also certifies keys that serve nothing, such as that of the audit log."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        serves = ExtendedKeyUsageOID.SERVER_AUTH in usage
    except x509.ExtensionNotFound:
        serves = False
    if not serves or [name.value for name in names] != ["cas-instance"]:
        raise VerificationError(
            f"{place}: expected a certificate CN=cas-instance for servers, got another one"
        )
