"""The walk to the public key agrees with `cryptography`, and nothing crashes it."""

import datetime as dt
import hashlib
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from scone.crypto.certificates import sign, start_certificate
from scone.crypto.der import pem_blocks, pem_to_der, spki_of_certificate, to_pem
from scone.crypto.keys import KEY_TYPES, generate_private_key, load_private_key
from scone.errors import MalformedError


@cache
def key_of(key_type):
    return load_private_key(generate_private_key(key_type, lambda n: b"\x2a" * n))


def build(key_type, name, serial, years, extra):
    key = key_of(key_type)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)] if name else [])
    start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    builder = start_certificate(
        subject,
        subject,
        key.public_key(),
        not_before=start,
        not_after=start.replace(year=2000 + years),
        random=lambda n: serial.to_bytes(n, "big"),
    )
    if extra:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), extra), critical=False
        )
    return sign(builder, key)


CERTIFICATES = st.builds(
    build,
    st.sampled_from(KEY_TYPES),
    st.text(alphabet="abcdefghij ÄÖ", max_size=60),
    st.integers(0, 2**128 - 1),
    st.integers(1, 2000),
    st.binary(max_size=400),
)


@settings(max_examples=60, deadline=None)
@given(CERTIFICATES)
def test_the_walk_finds_the_key_that_cryptography_finds(der):
    certificate = x509.load_der_x509_certificate(der)
    expected = certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert spki_of_certificate(der) == expected
    assert certificate.public_bytes(Encoding.DER) == der
    assert pem_to_der(certificate.public_bytes(Encoding.PEM).decode(), "CERTIFICATE") == der
    assert to_pem("CERTIFICATE", der) == certificate.public_bytes(Encoding.PEM).decode()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 255), st.booleans())
def test_an_altered_certificate_is_walked_or_malformed(at, change, cut):
    der = build("P-256", "x", 7, 30, b"")
    at %= len(der)
    altered = der[:at] if cut else der[:at] + bytes([der[at] ^ change]) + der[at + 1 :]
    try:
        found = spki_of_certificate(altered)
    except MalformedError:
        return
    assert not cut
    assert found in altered


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed(data):
    with pytest.raises(MalformedError):
        spki_of_certificate(data)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="-BEGIN CRTF\nA=+/:\r\té", max_size=200))
def test_arbitrary_text_gives_blocks_or_is_malformed(text):
    try:
        blocks = pem_blocks(text)
    except MalformedError:
        return
    assert len(blocks) == text.count("-----END ")


@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B C", "X509 CRL"]), st.binary(min_size=1)), max_size=4
    )
)
def test_blocks_survive_pem(values):
    text = "".join(to_pem(label, body) for label, body in values)
    assert [(block.label, block.der) for block in pem_blocks(text)] == values
    for _, body in values:
        digest = hashlib.sha256(body).hexdigest()
        assert digest not in repr(pem_blocks(text))


def test_the_keys_used_here_are_of_both_kinds():
    assert isinstance(key_of("P-384"), EllipticCurvePrivateKey)
    assert len(KEY_TYPES) == 5
