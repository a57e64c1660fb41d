"""What the session tests share: texts to vary, certificates, the facts beside the repository."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MEASUREMENT = "a5" * 32


def make_certificate(name, key):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1))
        .not_valid_after(dt.datetime(2120, 1, 1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="session")
def certificates():
    """Three certificates; the first two have the same key."""
    one, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    return (
        make_certificate("a", one),
        make_certificate("a renewed", one),
        make_certificate("b", other),
    )


@pytest.fixture(scope="session")
def documented():
    """The folder with session files of SCONE's documentation."""
    folder = Path(__file__).parents[4] / "shared" / "sessions"
    if not folder.is_dir():
        pytest.skip("the documentation's session files are not beside the repository")
    return folder
