"""Public keys, config fragments and the session CA: values, formats, stored form."""

import os
import shutil
import subprocess

import pytest

from fakes.secrets import NOW, made, session
from scone.crypto.der import to_pem
from scone.crypto.keys import (
    KEY_TYPES,
    generate_private_key,
    private_key_pem,
    spki_of_private_key,
)
from scone.errors import MalformedError, UsageError
from scone.session.model import SecretSpec
from scone.session.placeholders import find
from scone.session.secrets import (
    CertificateValue,
    FragmentValue,
    PublicKeyValue,
    SecretValues,
    render,
    without_private_key,
)

KEY = SecretSpec("k", "private-key")
DERIVED = SecretSpec("p", "public-key", private_key="k")


def rendered(values, text):
    (placeholder,) = find(text)
    return render(values, placeholder)


def openssl(folder, *arguments):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, check=True).stdout


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_public_key_is_that_of_its_private_key_as_openssl_derives_it(key_type, tmp_path):
    values = made(DERIVED, SecretSpec("k", "private-key", key_type=key_type))
    (tmp_path / "k").write_bytes(rendered(values, "$$SCONE::k$$"))
    expected = openssl(tmp_path, "pkey", "-in", "k", "-pubout")
    assert rendered(values, "$$SCONE::p$$") == expected
    assert rendered(values, "$$SCONE::p:spki:pem$$") == expected
    der = openssl(tmp_path, "pkey", "-in", "k", "-pubout", "-outform", "DER")
    assert rendered(values, "$$SCONE::p:spki:der$$") == der


def test_an_explicit_public_key_is_taken_as_it_is():
    pem = to_pem("PUBLIC KEY", spki_of_private_key(generate_private_key("P-384", os.urandom)))
    values = made(SecretSpec("p", "public-key", value=pem))
    assert rendered(values, "$$SCONE::p$$").decode() == pem


PRIVATE_PEM = private_key_pem(generate_private_key("P-256", os.urandom)).reveal().decode()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (SecretSpec("p", "public-key", value="text"), MalformedError,
         "secret p: value: expected one PEM block -----BEGIN PUBLIC KEY-----"),
        (SecretSpec("p", "public-key", value=PRIVATE_PEM), MalformedError, "BEGIN PUBLIC KEY"),
        (SecretSpec("p", "public-key", value=to_pem("PUBLIC KEY", b"0")), MalformedError,
         "secret p: value: expected a SubjectPublicKeyInfo"),
        (SecretSpec("p", "public-key", private_key="no"), UsageError,
         "secret p: expected the name of a private-key secret as private_key, got 'no'"),
        (SecretSpec("p", "public-key", private_key="a"), UsageError, "got 'a'"),
        (SecretSpec("p", "public-key"), UsageError, "got None"),
    ],
)  # fmt: skip
def test_a_public_key_without_a_key_is_refused(spec, error, message):
    with pytest.raises(error) as caught:
        made(spec, SecretSpec("a", "ascii"))
    assert message in str(caught.value)


@pytest.mark.parametrize("form", [":pem", ":der", ":spki", ".crt", ":hex"])
def test_another_format_of_a_public_key_is_refused(form):
    with pytest.raises(UsageError, match="a public key has the format one of :spki:pem, :spki:der"):
        rendered(made(KEY, DERIVED), f"$$SCONE::p{form}$$")


def test_a_public_key_follows_its_private_key_over_updates():
    kept = SecretSpec("k", "private-key", migrate=True)
    before = made(kept, DERIVED)
    assert made(kept, DERIVED, previous=(session(kept, DERIVED), before)) == before
    after = made(KEY, DERIVED, previous=(session(kept, DERIVED), before))
    assert after["p"] != before["p"]
    assert after["p"].spki_der == spki_of_private_key(after["k"].pkcs8)


# Fragments of the configuration.

FRAGMENT = SecretSpec("f", "config-fragment", value='{"mode":"none","ä":"x"}')


def test_a_fragment_is_the_value_that_the_session_gives():
    assert made(FRAGMENT)["f"] == FragmentValue('{"mode":"none","ä":"x"}')
    with pytest.raises(UsageError, match="secret f: a config-fragment needs a value"):
        made(SecretSpec("f", "config-fragment"))


def test_a_fragment_is_never_put_into_texts_and_does_not_show():
    values = made(FRAGMENT)
    for text in ("$$SCONE::f$$", "$$SCONE::f|escape(json)$$", "$$SCONE::f:pem$$"):
        with pytest.raises(UsageError, match="secret f: a config-fragment stands in sections"):
            rendered(values, text)
    assert "mode" not in repr(values["f"])


def test_a_built_in_value_is_not_put_into_texts():
    with pytest.raises(UsageError, match="stands only in the payload of a jwt secret"):
        rendered(made(KEY), "$$SCONE::self::software_identity$$")


# The session CA of language 0.2.


def test_the_session_ca_is_the_root_of_all_certificates_of_its_session(tmp_path):
    specs = (SecretSpec("leaf", "x509"), SecretSpec("ca", "session-ca"), SecretSpec("m", "x509-ca"))
    values = made(*specs, version="0.2")
    assert values["ca"].private_key is None
    for name in ("leaf", "m"):
        assert values[name].chain == (values["ca"].certificate,)
        (tmp_path / name).write_bytes(rendered(values, f"$$SCONE::{name}.crt$$"))
    root = rendered(values, "$$SCONE::ca$$")
    (tmp_path / "ca").write_bytes(root)
    at = str(int(NOW.timestamp()))
    verified = openssl(
        tmp_path, "verify", "-x509_strict", "-attime", at, "-CAfile", "ca", "leaf", "m"
    )
    assert verified == b"leaf: OK\nm: OK\n"
    assert rendered(values, "$$SCONE::ca.crt$$") == root
    assert rendered(values, "$$SCONE::ca.chain$$") == root


def test_the_session_ca_shows_no_key_and_is_new_with_each_version():
    spec = SecretSpec("ca", "session-ca")
    values = made(spec, version="0.2")
    with pytest.raises(UsageError, match="secret ca: the certificate's private key is not in"):
        rendered(values, "$$SCONE::ca.key$$")
    after = made(spec, version="0.2", previous=(session(spec, version="0.2"), values))
    assert after["ca"].certificate != values["ca"].certificate


# Stored forms, and certificates for those who may not have the key.


def test_the_stored_forms_bring_the_values_back():
    values = made(KEY, DERIVED, FRAGMENT)
    raw = values.to_json()
    again = SecretValues.from_json(raw)
    assert again == values
    assert again.to_json() == raw
    assert isinstance(again["p"], PublicKeyValue)
    assert repr(again["p"]) == "PublicKeyValue(<91 bytes>)"
    for name in values:
        part = SecretValues({name: values[name]})
        assert len(part.to_json()) <= part.stored_size <= len(part.to_json()) + 200


@pytest.mark.parametrize(
    "value",
    [
        '{"kind":"public-key"}',
        '{"kind":"public-key","value":"YQ==","chain":[]}',
        '{"kind":"pgp-key","value":7}',
        '{"kind":"config-fragment","value":"/w=="}',
        '{"kind":"config-fragment","value":{"a":"b"}}',
        '{"kind":"jwt","value":"YQ=="}',
        '{"kind":"session-ca","value":"YQ=="}',
    ],
)
def test_another_stored_form_of_the_new_kinds_is_malformed(value):
    with pytest.raises(MalformedError):
        SecretValues.from_json(b'{"form":1,"values":{"a":%s}}' % value.encode())


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "7", "null", '{"a":true}', '["a",1.5]', '{"a": "b"}', '"a","b":"c"', '"a"}',
        '{"a":"b","a":"c"}', r'"\u0041"', "[" * 5000 + "]" * 5000,
    ],
)  # fmt: skip
def test_a_fragment_from_elsewhere_is_compact_json_of_texts_or_malformed(text):
    stored = SecretValues({"f": FragmentValue(text)}).to_json()
    with pytest.raises(MalformedError, match=r"values\.f\.value"):
        SecretValues.from_json(stored)
    for good in ('"ä"', "[]", '{"a":["b",{"c":""}]}'):
        value = SecretValues({"f": FragmentValue(good)})
        assert SecretValues.from_json(value.to_json()) == value


def test_a_certificate_without_its_key_keeps_everything_else():
    leaf = SecretSpec("c", "x509", private_key="k", issuer="ca")
    full = made(KEY, leaf, SecretSpec("ca", "x509-ca", private_key="k"))["c"]
    bare = without_private_key(full)
    assert full.private_key is not None
    assert bare == CertificateValue(full.certificate, None, full.chain, full.renew_at)
    assert rendered({"c": bare}, "$$SCONE::c.chain$$") == rendered(
        {"c": full}, "$$SCONE::c.chain$$"
    )
    with pytest.raises(UsageError, match="private key is not in this session"):
        rendered({"c": bare}, "$$SCONE::c:privatekey$$")
