"""Certificates of the CAS: their fields, and who may have issued them."""

import datetime as dt
import ipaddress
import os
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scone.crypto.certificates import (
    create_cas_root,
    create_identity_certificate,
    dns_name,
    issue_cas_instance,
    load_certificate,
    subject,
    verify_issued_by,
)
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import MalformedError, UsageError, VerificationError

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def cas():
    root_key = generate_private_key("P-256", os.urandom)
    key = generate_private_key("P-256", os.urandom)
    root = create_cas_root(root_key, now=NOW, random=os.urandom)
    leaf = issue_cas_instance(
        root_key,
        root,
        spki_of_private_key(key),
        now=NOW,
        random=os.urandom,
        dns_names=["cas.example.com", "localhost"],
        ip_addresses=[ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("::1")],
        subject_parts={"org_name": "Example", "country_name": "DE", "email": "a@example.com"},
    )
    return root_key, root, leaf


def test_the_root_is_a_self_signed_ca_valid_to_4096(cas):
    root = x509.load_der_x509_certificate(cas[1])
    assert root.subject.rfc4514_string() == "CN=cas"
    assert root.issuer == root.subject
    assert root.not_valid_after_utc == dt.datetime(4096, 1, 1, tzinfo=dt.UTC)
    assert root.not_valid_before_utc == NOW - dt.timedelta(days=1)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)


def test_the_instance_certificate_carries_the_names_and_no_ca_right(cas):
    leaf = x509.load_der_x509_certificate(cas[2])
    common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [attribute.value for attribute in common] == ["cas-instance"]
    assert leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Example"
    assert leaf.issuer.rfc4514_string() == "CN=cas"
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cas", "localhost", "cas.example.com"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_root_issued_its_instance(cas):
    verify_issued_by(cas[2], cas[1], now=NOW)


def test_another_root_of_the_same_name_did_not_issue_it(cas):
    other = create_cas_root(generate_private_key("P-256", os.urandom), now=NOW, random=os.urandom)
    with pytest.raises(VerificationError, match="certificate: not issued by the expected key"):
        verify_issued_by(cas[2], other, now=NOW)


def test_a_root_is_not_its_own_leaf(cas):
    with pytest.raises(VerificationError, match="expected CA:FALSE"):
        verify_issued_by(cas[1], cas[1], now=NOW)


def test_a_certificate_that_is_no_ca_is_no_root():
    identity = create_identity_certificate(
        generate_private_key("P-256", os.urandom), random=os.urandom
    )
    with pytest.raises(VerificationError, match="expected CA:TRUE"):
        verify_issued_by(identity, identity, now=NOW)


def test_a_leaf_in_the_place_of_the_root_is_refused(cas):
    with pytest.raises(VerificationError, match="root certificate: not issued"):
        verify_issued_by(cas[2], cas[2], now=NOW)


def test_a_changed_signature_is_refused(cas):
    altered = cas[2][:-1] + bytes([cas[2][-1] ^ 1])
    with pytest.raises(VerificationError, match="not issued"):
        verify_issued_by(altered, cas[1], now=NOW)


@pytest.mark.parametrize(
    "now", [NOW - dt.timedelta(days=2), dt.datetime(4096, 1, 2, tzinfo=dt.UTC)]
)
def test_a_certificate_outside_its_validity_is_refused(cas, now):
    with pytest.raises(VerificationError, match="expected a validity that covers"):
        verify_issued_by(cas[2], cas[1], now=now)


def test_bytes_that_are_no_certificate_are_malformed(cas):
    with pytest.raises(MalformedError, match=r"expected an X\.509 certificate in DER"):
        verify_issued_by(b"0", cas[1], now=NOW)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"country_name": "Germany"}, "country_name: expected two letters"),
        ({"org_name": ""}, "org_name: expected 1 to 128"),
        ({"org_name": "a\nb"}, "org_name: expected 1 to 128"),
        ({"nickname": "x"}, "unknown part 'nickname'"),
    ],
)
def test_a_subject_that_no_certificate_carries_is_refused(parts, message):
    with pytest.raises(UsageError, match=message):
        subject("cas-instance", parts)


@pytest.mark.parametrize("name", ["", "a b", "münchen.de", "x" * 254, "a\0b"])
def test_a_name_that_is_no_dns_name_is_refused(name):
    with pytest.raises(UsageError, match="expected 1 to 253 ASCII characters"):
        dns_name(name)


def test_a_certificate_over_an_unaccepted_key_is_refused():
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP521R1())
    name = subject("a")
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW)
    der = built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(MalformedError, match="got the curve secp521r1"):
        load_certificate(der)


def test_openssl_accepts_the_chain(cas, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "root.pem").write_text(to_pem("CERTIFICATE", cas[1]))
    (tmp_path / "leaf.pem").write_text(to_pem("CERTIFICATE", cas[2]))
    at = str(int(NOW.timestamp()))
    done = subprocess.run(
        [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-attime", at,
         "-verify_hostname", "cas.example.com", "-CAfile", "root.pem", "leaf.pem"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "leaf.pem: OK\n", done.stderr
