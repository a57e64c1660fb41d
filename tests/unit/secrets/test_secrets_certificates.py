"""Certificates as secrets: fields, issuers, renewal, and that OpenSSL accepts the chains."""

import datetime as dt
import os
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fakes.secrets import DAY, NOW, made, session
from scone.crypto.der import to_pem
from scone.errors import LimitError, MalformedError, UsageError
from scone.session.model import Duration, SecretSpec
from scone.session.secrets import generate, needs_renewal, renew

KEYS = tuple(SecretSpec(name, "private-key") for name in ("k0", "k1", "k2"))


def loaded(value):
    return x509.load_der_x509_certificate(value.certificate)


def common_name(certificate):
    return certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def openssl_verify(folder, leaf, chain, root, *options):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    (folder / "leaf.pem").write_text(to_pem("CERTIFICATE", leaf))
    (folder / "chain.pem").write_text("".join(to_pem("CERTIFICATE", der) for der in chain))
    (folder / "root.pem").write_text(to_pem("CERTIFICATE", root))
    untrusted = ["-untrusted", "chain.pem"] if chain else []
    done = subprocess.run(
        [openssl, "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), *options,
         "-CAfile", "root.pem", *untrusted, "leaf.pem"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout, done.stderr


SERVER = SecretSpec(
    "server",
    "x509",
    private_key="k2",
    issuer="middle",
    endpoint="server",
    common_name="example.com",
    san=("dns:example.com", "dns:*.api.example.com", "dns:example.com", "ip:192.168.1.2", "ip:2001:db8::1"),
)  # fmt: skip
MIDDLE = SecretSpec("middle", "x509-ca", private_key="k1", issuer="root")
ROOT = SecretSpec("root", "x509-ca", private_key="k0", common_name="My own CA")


def test_a_leaf_under_two_authorities_defined_in_any_order_verifies(tmp_path):
    values = made(SERVER, MIDDLE, ROOT, *KEYS)
    leaf = values["server"]
    assert leaf.chain == (values["middle"].certificate, values["root"].certificate)
    assert values["root"].chain == ()
    assert leaf.private_key == values["k2"].pkcs8
    out = openssl_verify(
        tmp_path, leaf.certificate, leaf.chain[:1], leaf.chain[1],
        "-purpose", "sslserver", "-verify_hostname", "a.api.example.com",
    )  # fmt: skip
    assert out[0] == "leaf.pem: OK\n", out


def test_a_server_certificate_has_the_fields_of_its_description():
    values = made(SERVER, MIDDLE, ROOT, *KEYS)
    leaf = loaded(values["server"])
    assert common_name(leaf) == "example.com"
    assert leaf.issuer == loaded(values["middle"]).subject
    assert list(extension(leaf, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = extension(leaf, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["example.com", "*.api.example.com"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["192.168.1.2", "2001:db8::1"]
    assert extension(leaf, x509.BasicConstraints).ca is False
    assert extension(leaf, x509.KeyUsage).digital_signature is True
    assert leaf.not_valid_after_utc == dt.datetime(4096, 1, 1, tzinfo=dt.UTC)
    assert leaf.not_valid_before_utc == NOW - DAY
    authority = extension(leaf, x509.AuthorityKeyIdentifier).key_identifier
    assert authority == extension(loaded(values["middle"]), x509.SubjectKeyIdentifier).digest


def test_an_authority_may_sign_and_carries_no_name():
    values = made(MIDDLE, ROOT, *KEYS)
    root = loaded(values["root"])
    assert common_name(root) == "My own CA"
    assert extension(root, x509.BasicConstraints).ca is True
    assert extension(root, x509.KeyUsage).key_cert_sign is True
    for absent in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        with pytest.raises(x509.ExtensionNotFound):
            extension(root, absent)


def test_without_issuer_a_certificate_is_self_signed(tmp_path):
    values = made(SecretSpec("c", "x509", private_key="k0", endpoint="client"), *KEYS)
    certificate = loaded(values["c"])
    certificate.verify_directly_issued_by(certificate)
    assert values["c"].chain == ()
    assert list(extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    der = values["c"].certificate
    assert openssl_verify(tmp_path, der, (), der, "-purpose", "sslclient")[0] == "leaf.pem: OK\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"common_name": "given", "dns": ("a.example",)}, "given"),
        ({"dns": ("a.example", "b.example")}, "a.example"),
        ({"san": ("ip:192.0.2.1", "dns:c.example")}, "c.example"),
        ({}, "c"),
        ({"dns": ("a." * 40 + "example",)}, "c"),
    ],
)
def test_the_common_name_is_given_or_the_first_dns_name_or_the_secrets_name(given, expected):
    values = made(SecretSpec("c", "x509", private_key="k0", **given), *KEYS)
    assert common_name(loaded(values["c"])) == expected


def test_a_long_secret_name_is_shortened_in_the_common_name():
    values = made(SecretSpec("n" * 100, "x509", private_key="k0"), *KEYS)
    assert common_name(loaded(values["n" * 100])) == "n" * 64


@pytest.mark.parametrize("key_type", ["P-256", "P-384", "Ed25519", "RSA-2048"])
def test_every_type_of_key_issues_and_is_issued(key_type, tmp_path):
    values = made(
        SecretSpec("rk", "private-key", key_type=key_type),
        SecretSpec("lk", "private-key", key_type=key_type),
        SecretSpec("ca", "x509-ca", private_key="rk"),
        SecretSpec("leaf", "x509", private_key="lk", issuer="ca", dns=("a.example",)),
    )
    out = openssl_verify(tmp_path, values["leaf"].certificate, (), values["ca"].certificate)
    assert out[0] == "leaf.pem: OK\n", out
    usage = extension(loaded(values["leaf"]), x509.KeyUsage)
    assert usage.key_encipherment is (key_type == "RSA-2048")


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ((SecretSpec("c", "x509"),), "secret c: a generated certificate needs a private_key"),
        ((SecretSpec("c", "x509", private_key="no"),), "name of a private-key secret .* 'no'"),
        ((SecretSpec("c", "x509", private_key="c"),), "name of a private-key secret .* 'c'"),
        ((SecretSpec("c", "x509", private_key="k0", issuer="k1"),), "name of an x509-ca .* 'k1'"),
        (
            (
                SecretSpec("c", "x509", private_key="k0", issuer="d"),
                SecretSpec("d", "x509", private_key="k1"),
            ),
            "name of an x509-ca .* 'd'",
        ),
        (
            (SecretSpec("a", "x509-ca", private_key="k0", issuer="a"),),
            "the issuers form a cycle: a -> a",
        ),
        (
            (
                SecretSpec("c", "x509", private_key="k0", issuer="a"),
                SecretSpec("a", "x509-ca", private_key="k0", issuer="b"),
                SecretSpec("b", "x509-ca", private_key="k1", issuer="a"),
            ),
            "the issuers form a cycle: a -> b -> a",
        ),
        ((SecretSpec("c", "x509", private_key="k0", dns=("a b",)),), "secret c: DNS name 'a b'"),
        ((SecretSpec("c", "x509", private_key="k0", san=("ip:1.2.3",)),), "an IP address, got"),
        ((SecretSpec("c", "x509", private_key="k0", san=("uri:x",)),), 'expected "dns:NAME" or'),
        ((SecretSpec("c", "x509", private_key="k0", common_name="x" * 65),), "1 to 64 printable"),
        (
            (SecretSpec("c", "x509", private_key="k0", valid_for=Duration("x", 3599)),),
            "valid_for of one hour or more",
        ),
    ],
)
def test_a_certificate_that_cannot_be_made_is_refused(secrets, message):
    with pytest.raises(UsageError, match=message):
        made(*secrets, *KEYS)


def test_a_long_row_of_issuers_is_refused():
    row = [SecretSpec("c0", "x509-ca", private_key="k0")]
    row += [
        SecretSpec(f"c{n}", "x509-ca", private_key="k0", issuer=f"c{n - 1}") for n in range(1, 30)
    ]
    assert len(made(*row[:8], *KEYS)["c7"].chain) == 7
    with pytest.raises(LimitError, match="at most 8 issuers in a row"):
        made(*reversed(row), *KEYS)


# Explicit values.


def pem(*ders):
    return "".join(to_pem("CERTIFICATE", der) for der in ders)


def test_an_explicit_certificate_keeps_its_bytes_and_takes_its_references():
    values = made(SERVER, MIDDLE, ROOT, *KEYS)
    leaf, middle, root = (values[name].certificate for name in ("server", "middle", "root"))
    alone = made(SecretSpec("e", "x509", value=pem(leaf)))["e"]
    assert (alone.certificate, alone.private_key, alone.chain) == (leaf, None, ())
    bundled = made(SecretSpec("e", "x509", value=pem(leaf, middle, root)))["e"]
    assert bundled.chain == (middle, root)
    referring = made(
        SecretSpec("e", "x509", value=pem(leaf), issuer="m"),
        SecretSpec("m", "x509-ca", value=pem(middle, root)),
    )["e"]
    assert referring.chain == (middle, root)


def test_an_explicit_authority_with_its_key_issues():
    values = made(ROOT, *KEYS)
    from scone.session.placeholders import Placeholder
    from scone.session.secrets import render

    key_text = render(values, Placeholder("root", "privatekey")).decode()
    again = made(
        SecretSpec("rk", "private-key", value=key_text),
        SecretSpec("ca", "x509-ca", value=pem(values["root"].certificate), private_key="rk"),
        SecretSpec("leaf", "x509", private_key="k0", issuer="ca"),
        *KEYS,
    )
    loaded(again["leaf"]).verify_directly_issued_by(loaded(values["root"]))


def explicit_cases():
    values = made(SERVER, MIDDLE, ROOT, *KEYS)
    leaf, middle, root = (values[name].certificate for name in ("server", "middle", "root"))
    return {
        "no PEM": (MalformedError, "BEGIN CERTIFICATE", SecretSpec("e", "x509", value="x")),
        "another label": (
            MalformedError,
            "got PRIVATE KEY",
            SecretSpec("e", "x509", value=to_pem("PRIVATE KEY", leaf)),
        ),
        "not X.509": (
            MalformedError,
            "an X.509 certificate in DER",
            SecretSpec("e", "x509", value=to_pem("CERTIFICATE", b"\x30\x00")),
        ),
        "a leaf as authority": (
            UsageError,
            "expected CA:TRUE",
            SecretSpec("e", "x509-ca", value=pem(leaf)),
        ),
        "another key": (
            UsageError,
            "one of another key",
            SecretSpec("e", "x509", value=pem(leaf), private_key="k0"),
        ),
        "a chain in the wrong order": (
            UsageError,
            "each certificate to be issued by the next",
            SecretSpec("e", "x509", value=pem(leaf, root, middle)),
        ),
        "another issuer": (
            UsageError,
            "each certificate to be issued by the next",
            SecretSpec("e", "x509", value=pem(leaf), issuer="root"),
        ),
        "chain and issuer": (
            UsageError,
            "got both",
            SecretSpec("e", "x509", value=pem(leaf, middle), issuer="root"),
        ),
        "an issuer without key": (
            UsageError,
            "'x' has no private_key to sign with",
            SecretSpec("e", "x509", private_key="k0", issuer="x"),
        ),
    }, SecretSpec("x", "x509-ca", value=pem(root))


@pytest.mark.parametrize("case", list(explicit_cases()[0]))
def test_an_explicit_certificate_that_does_not_fit_is_refused(case):
    cases, authority = explicit_cases()
    error, message, spec = cases[case]
    with pytest.raises(error, match=message):
        made(spec, authority, ROOT, *KEYS)


# Language 0.2.


def test_in_language_0_2_one_root_of_the_session_issues_all_certificates(tmp_path):
    secrets = (SecretSpec("leaf", "x509"), SecretSpec("middle", "x509-ca"))
    values = made(*secrets, version="0.2")
    leaf, middle = values["leaf"], values["middle"]
    assert leaf.chain == middle.chain
    (root,) = leaf.chain
    authority = x509.load_der_x509_certificate(root)
    authority.verify_directly_issued_by(authority)
    assert common_name(authority) == "session CA of ns/session"
    assert common_name(loaded(leaf)) == "leaf"
    assert extension(loaded(middle), x509.BasicConstraints).ca is True
    assert leaf.private_key is not None
    assert leaf.private_key != middle.private_key
    assert openssl_verify(tmp_path, leaf.certificate, (), root)[0] == "leaf.pem: OK\n"
    assert openssl_verify(tmp_path, middle.certificate, (), root)[0] == "leaf.pem: OK\n"


def test_the_roots_of_two_sessions_differ():
    one, two = (made(SecretSpec("leaf", "x509"), version="0.2") for _ in range(2))
    assert one["leaf"].chain != two["leaf"].chain


def test_a_session_of_0_2_without_certificates_makes_no_root():
    drawn = []

    def random(length):
        drawn.append(length)
        return os.urandom(length)

    generate(
        session(SecretSpec("b", "binary"), version="0.2"), previous=None, now=NOW, random=random
    )
    assert drawn == [20]


# Renewal.


def month(name, **given):
    return SecretSpec(name, "x509", valid_for=Duration("30d", 30 * 86400), **given)


def test_a_certificate_with_valid_for_is_due_in_the_last_third_of_its_validity():
    values = made(month("c", private_key="k0"), *KEYS)
    assert loaded(values["c"]).not_valid_after_utc == NOW + 30 * DAY
    assert needs_renewal(values, NOW) is False
    assert needs_renewal(values, NOW + 20 * DAY - dt.timedelta(seconds=1)) is False
    assert needs_renewal(values, NOW + 20 * DAY) is True


def test_a_certificate_without_valid_for_is_never_due():
    values = made(SecretSpec("c", "x509", private_key="k0"), *KEYS)
    assert needs_renewal(values, dt.datetime(4095, 1, 1, tzinfo=dt.UTC)) is False


def test_renewal_replaces_what_is_due_and_keeps_every_key():
    spec = session(
        month("short", private_key="k0", issuer="root"),
        SecretSpec("long", "x509", private_key="k2", issuer="root"),
        SecretSpec("root", "x509-ca", private_key="k1", valid_for=Duration("1y", 365 * 86400)),
        SecretSpec("text", "ascii"),
        *KEYS,
    )
    before = generate(spec, previous=None, now=NOW, random=os.urandom)
    later = NOW + 25 * DAY
    after = renew(spec, before, later, os.urandom)
    assert {name for name in before if before[name] != after[name]} == {"short"}
    assert after["short"].private_key == before["short"].private_key
    assert loaded(after["short"]).not_valid_after_utc == later + 30 * DAY
    assert needs_renewal(after, later) is False


def test_a_renewed_issuer_stands_in_the_chain_of_the_certificates_it_issued(tmp_path):
    spec = session(
        SecretSpec("leaf", "x509", private_key="k0", issuer="root"),
        SecretSpec("root", "x509-ca", private_key="k1", valid_for=Duration("30d", 30 * 86400)),
        *KEYS,
    )
    before = generate(spec, previous=None, now=NOW - 25 * DAY, random=os.urandom)
    after = renew(spec, before, NOW, os.urandom)
    assert after["leaf"].certificate == before["leaf"].certificate
    assert after["root"].certificate != before["root"].certificate
    assert after["leaf"].chain == (after["root"].certificate,)
    leaf = after["leaf"]
    assert openssl_verify(tmp_path, leaf.certificate, (), leaf.chain[0])[0] == "leaf.pem: OK\n"


@pytest.mark.parametrize("seconds", [3600, 86_400, 10**15])
def test_very_short_and_very_long_validity_is_a_valid_certificate(seconds):
    values = made(
        SecretSpec("c", "x509", private_key="k0", valid_for=Duration("x", seconds)), *KEYS
    )
    certificate = loaded(values["c"])
    unlimited = dt.datetime(4096, 1, 1, tzinfo=dt.UTC)
    longest = NOW + dt.timedelta(seconds=seconds) if seconds < 10**15 else unlimited
    assert certificate.not_valid_after_utc == longest
    assert certificate.not_valid_before_utc < NOW
    assert NOW - certificate.not_valid_before_utc <= DAY


def test_a_session_of_0_2_is_never_renewed():
    spec = session(SecretSpec("leaf", "x509"), version="0.2")
    values = generate(spec, previous=None, now=NOW, random=os.urandom)
    assert renew(spec, values, NOW + 10000 * DAY, os.urandom) == values
