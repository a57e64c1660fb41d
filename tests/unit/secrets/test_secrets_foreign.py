"""Imported secrets in the making of others: keys and issuers from elsewhere, and updates."""

import os
import shutil
import subprocess

import pytest

from fakes.secrets import DAY, NOW, made, session
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import LimitError, UsageError
from scone.session.model import (
    AadToken,
    AkvImport,
    Duration,
    Import,
    SecretSpec,
    SessionReference,
)
from scone.session.placeholders import find
from scone.session.secrets import (
    AsciiValue,
    CertificateValue,
    PrivateKeyValue,
    needs_renewal,
    render,
    renew,
    without_private_key,
)

FROM = Import(SessionReference(session="other"), "theirs")
MONTH = Duration("30 days", 30 * 86_400)
KEY = SecretSpec("k", "private-key")
ISSUER = SecretSpec("ca", "x509-ca", imported=FROM)
LEAF = SecretSpec("leaf", "x509", private_key="k", issuer="ca", valid_for=MONTH)
SELF = SecretSpec("self", "x509", private_key="k")


def authority(now=NOW, key_type="P-256"):
    """What another session exports: an authority below another one."""
    keys = (SecretSpec("k0", "private-key"), SecretSpec("k1", "private-key", key_type=key_type))
    root = SecretSpec("root", "x509-ca", private_key="k0")
    return made(*keys, root, SecretSpec("ca", "x509-ca", private_key="k1", issuer="root"), now=now)[
        "ca"
    ]


def openssl_verify(folder, value):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    *middle, root = value.chain
    (folder / "leaf").write_text(to_pem("CERTIFICATE", value.certificate))
    (folder / "middle").write_text("".join(to_pem("CERTIFICATE", der) for der in middle))
    untrusted = ["-untrusted", "middle"] if middle else []
    (folder / "root").write_text(to_pem("CERTIFICATE", root))
    command = [openssl, "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())),
               "-CAfile", "root", *untrusted, "leaf"]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_an_imported_authority_issues_a_certificate(tmp_path):
    ca = authority()
    values = made(KEY, LEAF, ISSUER, foreign={"ca": ca})
    assert list(values) == ["k", "leaf"]
    assert values["leaf"].chain == (ca.certificate, *ca.chain)
    assert openssl_verify(tmp_path, values["leaf"]) == "leaf: OK\n"


def test_a_certificate_and_a_public_key_may_be_of_an_imported_private_key():
    theirs = PrivateKeyValue(generate_private_key("Ed25519", os.urandom))
    imported = SecretSpec("k", None, imported=FROM)
    public = SecretSpec("p", "public-key", private_key="k")
    values = made(imported, SELF, public, foreign={"k": theirs})
    assert list(values) == ["p", "self"]
    assert values["self"].private_key == theirs.pkcs8
    assert values["p"].spki_der == spki_of_private_key(theirs.pkcs8)


def test_an_explicit_certificate_may_stand_below_an_imported_authority():
    ca = authority()
    issued = made(KEY, LEAF, ISSUER, foreign={"ca": ca})["leaf"]
    explicit = SecretSpec(
        "leaf", "x509", value=to_pem("CERTIFICATE", issued.certificate), issuer="ca"
    )
    assert made(explicit, ISSUER, foreign={"ca": ca})["leaf"].chain == issued.chain
    with pytest.raises(UsageError, match="each certificate to be issued by the next"):
        made(explicit, ISSUER, foreign={"ca": authority()})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the imported secret 'ca' is none"),
        (AsciiValue(generate_private_key("P-256", os.urandom)), "the imported secret 'ca' is none"),
        (made(KEY, SELF)["self"], "the imported secret 'ca' is none"),
        (without_private_key(authority()), "the issuer 'ca' has no private_key to sign with"),
    ],
)
def test_what_cannot_issue_is_refused(value, message):
    with pytest.raises(UsageError) as caught:
        made(KEY, LEAF, ISSUER, foreign={} if value is None else {"ca": value})
    assert message in str(caught.value)
    assert str(caught.value).startswith("secret leaf: ")


def test_an_imported_key_that_is_none_or_missing_is_refused():
    imported = SecretSpec("k", "private-key", imported=FROM)
    for foreign in ({}, {"k": authority()}):
        with pytest.raises(UsageError, match=r"secret self: .* as private_key, got 'k'"):
            made(imported, SELF, foreign=foreign)


def test_the_legacy_chain_of_an_imported_authority_is_the_authority():
    root = made(KEY, SecretSpec("ca", "x509-ca", private_key="k"))["ca"]
    (placeholder,) = find("$$SCONE::ca.chain$$")
    expected = to_pem("CERTIFICATE", root.certificate).encode()
    assert render({"ca": without_private_key(root)}, placeholder) == expected


def test_imported_values_of_every_kind_and_azure_tokens_are_not_stored():
    kinds = ("ascii", "binary", "private-key", "public-key", "x509", "pgp-key", "x509-ca", None)
    specs = [SecretSpec(f"i{n}", kind, imported=FROM) for n, kind in enumerate(kinds)]
    vault = SecretSpec("v", "binary", akv=AkvImport("https://vault.example"))
    token = SecretSpec("t", "aad-token", aad=AadToken("tenant", "client", "secret"))
    assert list(made(*specs, vault, token)) == []
    old = (SecretSpec("a", "ascii", imported=FROM), SecretSpec("c", "session-ca", imported=FROM))
    assert list(made(*old, SecretSpec("x", "x509", imported=FROM), version="0.2")) == []


@pytest.mark.parametrize("kind", ["ascii", "binary", "pgp-key"])
@pytest.mark.parametrize("origin", [{"imported": FROM}, {"akv": AkvImport("https://v.example")}])
def test_a_secret_that_came_from_elsewhere_is_fresh_when_it_becomes_generated(kind, origin):
    before = made(SecretSpec("s", kind))  # even if a value lay there
    was = session(SecretSpec("s", kind, **origin))
    after = made(SecretSpec("s", kind), previous=(was, before))
    assert after["s"] != before["s"]


@pytest.mark.parametrize("kind", ["ascii", "binary"])
def test_values_are_kept_from_language_0_2_to_0_3(kind):
    spec = SecretSpec("s", kind, size=30)
    before = made(spec, version="0.2")
    after = made(spec, previous=(session(spec, version="0.2"), before))
    assert after == before


# Renewal.


def test_a_due_certificate_is_renewed_below_the_imported_authority(tmp_path):
    before_now, ca = NOW - 25 * DAY, authority(NOW - 25 * DAY)
    spec = session(KEY, LEAF, ISSUER)
    before = made(*spec.secrets, foreign={"ca": ca}, now=before_now)
    assert needs_renewal(before, NOW)
    after = renew(spec, before, NOW, os.urandom, foreign={"ca": ca})
    assert list(after) == list(before)
    assert after["leaf"].certificate != before["leaf"].certificate
    assert openssl_verify(tmp_path, after["leaf"]) == "leaf: OK\n"
    with pytest.raises(UsageError, match="the imported secret 'ca' is none"):
        renew(spec, before, NOW, os.urandom)


def test_a_certificate_that_is_not_due_keeps_the_chain_it_was_issued_under(tmp_path):
    long = SecretSpec("long", "x509", private_key="k", issuer="ca")
    spec = session(KEY, LEAF, long, ISSUER)
    old, new = authority(NOW - 25 * DAY), authority()
    before = made(*spec.secrets, foreign={"ca": old}, now=NOW - 25 * DAY)
    after = renew(spec, before, NOW, os.urandom, foreign={"ca": new})
    assert after["long"] == before["long"]
    assert after["leaf"].chain == (new.certificate, *new.chain)
    for name in ("long", "leaf"):
        assert openssl_verify(tmp_path, after[name]) == "leaf: OK\n"


def test_a_renewed_imported_authority_stands_behind_what_is_not_due(tmp_path):
    # The exporter renewed its certificate over the same key.
    keys = (SecretSpec("ck", "private-key"),)
    ca = SecretSpec("ca", "x509-ca", private_key="ck", valid_for=MONTH)
    old_values = made(*keys, ca, now=NOW - 25 * DAY)
    new_values = renew(session(*keys, ca), old_values, NOW, os.urandom)
    long = SecretSpec("long", "x509", private_key="k", issuer="ca")
    spec = session(KEY, LEAF, long, ISSUER)
    before = made(*spec.secrets, foreign={"ca": old_values["ca"]}, now=NOW - 25 * DAY)
    after = renew(spec, before, NOW, os.urandom, foreign={"ca": new_values["ca"]})
    assert after["long"].certificate == before["long"].certificate
    assert after["long"].chain == (new_values["ca"].certificate,)
    assert openssl_verify(tmp_path, after["long"]) == "leaf: OK\n"


# Limits.


def test_signatures_by_imported_rsa_keys_count():
    ca = authority(key_type="RSA-2048")
    leaves = [SecretSpec(f"c{n}", "x509", private_key="k", issuer="ca") for n in range(33)]
    with pytest.raises(LimitError, match="at most 32 certificates signed by RSA keys, got 33"):
        made(KEY, ISSUER, *leaves, foreign={"ca": ca})
    theirs = PrivateKeyValue(generate_private_key("RSA-2048", os.urandom))
    imported = SecretSpec("k", "private-key", imported=FROM)
    alone = [SecretSpec(f"c{n}", "x509", private_key="k") for n in range(33)]
    with pytest.raises(LimitError, match="got 33"):
        made(imported, *alone, foreign={"k": theirs})
    bare = CertificateValue(ca.certificate, None)
    with pytest.raises(UsageError, match="has no private_key to sign with"):
        made(KEY, ISSUER, *leaves, foreign={"ca": bare})
