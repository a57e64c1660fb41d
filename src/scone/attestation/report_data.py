"""Report data: what evidence is bound to (docs/formats/report-data.md).

A quote proves software; its 64 bytes of report data say for which channel, which
key or which document. Each use has its own label, so that evidence made for one
is never evidence for another.
"""

from __future__ import annotations

import hashlib
from typing import Final

from scone.errors import MalformedError

SERVICE_EXPORTER_LABEL: Final = b"EXPORTER-scone-service-attestation-v1"
"""Label of the TLS exporter (RFC 9266, RFC 8446 7.5): no context, 32 bytes."""

SHARING_EXPORTER_LABEL: Final = b"EXPORTER-scone-secret-sharing-v1"
"""The same for a CAS that asks another one for secrets: `NONCE_BYTES`, the document's nonce."""
NONCE_BYTES: Final = 16

_SERVICE_LABEL: Final = b"scone-service-attestation-v1\0"
_REGISTRATION_LABEL: Final = b"scone-registration-v1\0"
_VOUCHER_LABEL: Final = b"scone-key-store-voucher-v1\0"
_NO_SERVICE_HASH: Final = bytes(32)


def _exactly(field: str, value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise MalformedError(f"report data.{field}", f"{length} bytes", f"{len(value)}")
    return value


def service_report_data(
    exporter: bytes, config_id: str, instance_spki_der: bytes, service_hash: bytes | None
) -> bytes:
    """Report data of a service: this channel, this configuration, this instance key.

    Raises:
        MalformedError: exporter or service hash that are not 32 bytes, an empty key.
    """
    if not instance_spki_der:
        raise MalformedError("report data.instance key", "a SubjectPublicKeyInfo", "nothing")
    return hashlib.sha512(
        _SERVICE_LABEL
        + _exactly("exporter", exporter, 32)
        + hashlib.sha256(config_id.encode()).digest()
        + hashlib.sha256(instance_spki_der).digest()
        + (_NO_SERVICE_HASH if service_hash is None else _exactly("service hash", service_hash, 32))
    ).digest()


def cas_report_data(additional_data: bytes) -> bytes:
    """Report data of a CAS: SHA-512 of `additional_data`, its bytes as sent."""
    return hashlib.sha512(additional_data).digest()


def registration_report_data(role: str, nonce: bytes, public_key: bytes) -> bytes:
    """Report data of a newcomer (a backup, an upgrade): its key and the primary's nonce.

    Raises:
        MalformedError: a nonce that is not 16 bytes, a key that is not 32.
    """
    return hashlib.sha512(
        _REGISTRATION_LABEL
        + hashlib.sha256(role.encode()).digest()
        + _exactly("nonce", nonce, 16)
        + _exactly("public key", public_key, 32)
    ).digest()


def voucher_report_data(public_key: bytes, wrapped_key: bytes) -> bytes:
    """Report data of a CAS that lets another one into its key store: whom, and with what.

    Raises:
        MalformedError: a public key that is not 32 bytes.
    """
    return hashlib.sha512(
        _VOUCHER_LABEL
        + _exactly("public key", public_key, 32)
        + hashlib.sha256(wrapped_key).digest()
    ).digest()
