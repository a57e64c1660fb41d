"""Values of secrets: generated, explicit, kept over updates, refused."""

import os

import pytest
from cryptography import x509

from fakes.secrets import NOW, made, session
from scone.crypto.keys import generate_private_key, key_type_of, private_key_pem
from scone.errors import IntegrityError, LimitError, MalformedError, UsageError
from scone.session.model import SecretSpec
from scone.session.secrets import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    PrivateKeyValue,
    SecretValues,
    generate,
)


def test_a_generated_ascii_secret_is_printable_without_spaces_and_of_its_size():
    values = made(SecretSpec("a", "ascii"), SecretSpec("b", "ascii", size=4000))
    first, long = values["a"].value.reveal(), values["b"].value.reveal()
    assert (len(first), len(long)) == (20, 4000)
    assert set(long) == set(range(0x21, 0x7F))


def test_an_ascii_secret_does_not_favour_characters():
    # Bytes at and above 188 are drawn again: 94 divides 188.
    def random(length):
        return bytes((255, 188, 187, 93, 0)[at % 5] for at in range(length))

    values = generate(
        session(SecretSpec("a", "ascii", size=6)), previous=None, now=NOW, random=random
    )
    assert values["a"].value.reveal() == b"~~!~~!"


def test_a_generated_binary_secret_is_what_the_random_source_gave():
    values = generate(
        session(SecretSpec("a", "binary"), SecretSpec("b", "binary", size=3)),
        previous=None,
        now=NOW,
        random=lambda n: bytes(range(n)),
    )
    assert values["a"].value.reveal() == bytes(range(20))
    assert values["b"].value.reveal() == b"\0\1\2"


def test_explicit_values_are_taken_as_they_are():
    values = made(
        SecretSpec("a", "ascii", value="pässword\n"), SecretSpec("b", "binary", value="DEADbeef")
    )
    assert values["a"].value.reveal() == "pässword\n".encode()
    assert values["b"].value.reveal() == b"\xde\xad\xbe\xef"


@pytest.mark.parametrize("key_type", ["P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072"])
def test_a_private_key_is_of_its_type(key_type):
    values = made(SecretSpec("k", "private-key", key_type=key_type))
    assert key_type_of(values["k"].pkcs8) == key_type


def test_a_private_key_is_p256_by_default_and_may_be_explicit():
    pem = private_key_pem(generate_private_key("Ed25519", os.urandom)).reveal().decode()
    values = made(SecretSpec("k", "private-key"), SecretSpec("e", "private-key", value=pem))
    assert key_type_of(values["k"].pkcs8) == "P-256"
    assert private_key_pem(values["e"].pkcs8).reveal().decode() == pem


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (SecretSpec("a", "ascii", value="x\0y"), UsageError, "secret a: value: .* without NUL"),
        (SecretSpec("a", "binary", value="abc"), MalformedError, "an even number of hex"),
        (SecretSpec("a", "binary", value="zz"), MalformedError, "an even number of hex"),
        (SecretSpec("a", "binary", value="0 "), MalformedError, "an even number of hex"),
        (SecretSpec("a", "ascii", size=0), LimitError, "a size of 1 to 65536, got 0"),
        (SecretSpec("a", "binary", size=65537), LimitError, "a size of 1 to 65536, got 65537"),
        (SecretSpec("k", "private-key", value="key"), MalformedError, "BEGIN PRIVATE KEY"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_refused(spec, error, message):
    with pytest.raises(error, match=message) as caught:
        made(spec)
    if spec.value is not None and len(spec.value) > 2:
        assert spec.value not in str(caught.value).replace("private key", "")


def test_many_rsa_keys_in_one_session_are_refused_before_any_is_made():
    specs = [SecretSpec(f"k{n}", "private-key", key_type="RSA-3072") for n in range(33)]
    with pytest.raises(LimitError, match="at most 32 RSA keys, got 33"):
        made(*specs)


def test_an_sec1_key_gets_the_command_that_converts_it():
    text = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"
    with pytest.raises(MalformedError, match="got a SEC 1") as caught:
        made(SecretSpec("k", "private-key", value=text))
    assert "openssl pkcs8 -topk8" in caught.value.hint


# Migration on an update.

A12 = SecretSpec("s", "ascii", size=12)
A20 = SecretSpec("s", "ascii")
A20_WRITTEN = SecretSpec("s", "ascii", size=20)
A_EXPLICIT = SecretSpec("s", "ascii", value="x" * 12)
B12 = SecretSpec("s", "binary", size=12)
KEY = SecretSpec("s", "private-key")
KEY_KEPT = SecretSpec("s", "private-key", migrate=True)
KEY_KEPT_WRITTEN = SecretSpec("s", "private-key", key_type="P-256", migrate=True)
KEY_384 = SecretSpec("s", "private-key", key_type="P-384", migrate=True)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (A12, A12, True),
        (A20, A20_WRITTEN, True),
        (A12, A20, False),
        (A12, B12, False),
        (B12, B12, True),
        (B12, A12, False),
        (A_EXPLICIT, A12, False),
        (A12, A_EXPLICIT, False),
        (KEY, KEY, False),
        (KEY_KEPT, KEY, False),
        (KEY, KEY_KEPT, False),
        (KEY_KEPT, KEY_KEPT, True),
        (KEY_KEPT, KEY_KEPT_WRITTEN, True),
        (KEY_KEPT, KEY_384, False),
        (A12, KEY_KEPT, False),
    ],
)
@pytest.mark.parametrize("old_version", ["0.2", "0.3"])
def test_a_generated_value_is_kept_only_if_kind_size_and_migrate_agree(old, new, kept, old_version):
    before = made(old, version=old_version)
    after = made(new, previous=(session(old, version=old_version), before))
    assert (after["s"] == before["s"]) is kept
    if new.value is not None:
        assert after["s"].value.reveal() == new.value.encode()


def test_an_explicit_value_does_not_become_a_generated_one():
    before = made(A_EXPLICIT)
    after = made(A12, previous=(session(A_EXPLICIT), before))
    assert after["s"].value.reveal() != b"x" * 12


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_certificates_are_made_anew_on_each_update(version):
    specs = (SecretSpec("c", "x509"),)
    if version == "0.3":
        specs = (
            SecretSpec("k", "private-key", migrate=True),
            SecretSpec("c", "x509", private_key="k"),
        )
    before = made(*specs, version=version)
    after = made(*specs, version=version, previous=(session(*specs, version=version), before))
    assert after["c"].certificate != before["c"].certificate
    assert (after["c"].private_key == before["c"].private_key) is (version == "0.3")


def test_stored_values_that_lack_a_kept_secret_are_an_integrity_error():
    for lost in (SecretValues({}), made(B12)):
        with pytest.raises(IntegrityError, match="secret s: the stored values"):
            made(A12, previous=(session(A12), lost))


# The stored form.


def every_kind():
    return made(
        SecretSpec("text", "ascii"),
        SecretSpec("bytes", "binary"),
        SecretSpec("key", "private-key"),
        SecretSpec("ca", "x509-ca", private_key="key"),
        SecretSpec("cert", "x509", private_key="key", issuer="ca"),
    )


def test_values_survive_their_stored_form_and_give_equal_bytes():
    values = every_kind()
    raw = values.to_json()
    again = SecretValues.from_json(raw)
    assert again == values
    assert again.to_json() == raw
    assert list(again) == ["bytes", "ca", "cert", "key", "text"]
    assert [type(value) for value in again.values()] == [
        BinaryValue, CertificateValue, CertificateValue, PrivateKeyValue, AsciiValue,
    ]  # fmt: skip
    assert b" " not in raw


def test_the_order_of_definition_does_not_change_the_stored_form():
    a, b = AsciiValue(made(A12)["s"].value), BinaryValue(made(B12)["s"].value)
    assert SecretValues({"a": a, "b": b}).to_json() == SecretValues({"b": b, "a": a}).to_json()


def test_the_representation_shows_names_only():
    values = every_kind()
    shown = f"{values!r} {values} {dict(values)!r}"
    assert "text: AsciiValue" in shown
    for kind in ("text", "bytes"):
        secret = values[kind].value.reveal()
        assert secret.decode("latin-1") not in shown
        assert repr(secret)[2:-1] not in shown
    assert repr(values["cert"].certificate)[2:40] not in shown


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"form":1}',
        b'{"form":2,"values":{}}',
        b'{"form":true,"values":{}}',
        b'{"form":1,"values":{},"more":1}',
        b'{"form":1,"values":{"a":{"kind":"ascii"}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":"YQ=="},"a":{"kind":"ascii","value":""}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":"YR=="}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":"Y Q=="}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":7}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":"\xc3\xa4"}}}',
        b'{"form":1,"values":{"a":{"kind":"volume","value":"YQ=="}}}',
        b'{"form":1,"values":{"a":{"kind":"ascii","value":"YQ==","chain":[]}}}',
        b'{"form":1,"values":{"a":{"kind":"x509","value":"YQ==","chain":[],"private_key":null}}}',
        b'{"form":1,"values":{"a":{"kind":"x509","value":"YQ==","chain":"","private_key":null,"renew_at":null}}}',
        b'{"form":1,"values":{"a":{"kind":"x509","value":"YQ==","chain":[],"private_key":null,"renew_at":-1}}}',
        b"\xff",
    ],
)
def test_another_stored_form_is_malformed(raw):
    with pytest.raises(MalformedError):
        SecretValues.from_json(raw)


def test_the_smallest_stored_form_is_read():
    raw = b'{"form":1,"values":{"a":{"kind":"ascii","value":"YQ=="}}}'
    assert SecretValues.from_json(raw)["a"].value.reveal() == b"a"
    assert SecretValues.from_json(raw).to_json() == raw


def test_generation_from_the_same_randomness_gives_the_same_secrets_but_for_signatures():
    spec = session(
        SecretSpec("a", "ascii"),
        SecretSpec("k", "private-key"),
        SecretSpec("c", "x509", private_key="k"),
    )
    one, two = (
        generate(spec, previous=None, now=NOW, random=lambda n: b"\x11" * n) for _ in range(2)
    )
    assert (one["a"], one["k"]) == (two["a"], two["k"])
    tbs = [
        x509.load_der_x509_certificate(values["c"].certificate).tbs_certificate_bytes
        for values in (one, two)
    ]
    assert tbs[0] == tbs[1]
