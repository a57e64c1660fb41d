"""What secrets may cost the CAS: keys loaded once, RSA counted, sizes that can be read back."""

import datetime as dt
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from fakes.secrets import NOW, made, session
from scone.crypto.keys import generate_private_key, private_key_pem
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, MalformedError
from scone.service_config import build
from scone.session.model import (
    Image,
    InjectionFile,
    SecretSpec,
    Security,
    Service,
)
from scone.session.secrets import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    PrivateKeyValue,
    SecretValues,
    generate,
    renew,
)
from scone.session.secrets.loading import Loaded, load_unchecked_key
from scone.session.secrets.values import MAX_STORED

KEY = SecretSpec("k", "private-key")
RSA_KEY = SecretSpec("r", "private-key", key_type="RSA-2048")
RSA_DER = generate_private_key("RSA-2048", os.urandom)
RSA_PEM = private_key_pem(RSA_DER).reveal().decode()


@pytest.fixture
def loads(monkeypatch):
    """For each private key that was loaded, whether its numbers were tested."""
    found = []
    real = serialization.load_der_private_key

    def counting(*arguments, **options):
        found.append(not options.get("unsafe_skip_rsa_key_validation", False))
        return real(*arguments, **options)

    monkeypatch.setattr(serialization, "load_der_private_key", counting)
    return found


# Loading keys.


def test_a_configuration_loads_a_key_once_and_does_not_test_it_again(loads):
    names = [f"c{number}" for number in range(20)]
    certificates = [SecretSpec(name, "x509", private_key="r") for name in names]
    content = "".join(f"$$SCONE::{name}:pkcs12-with-private-key$$" for name in names)
    given = session(
        RSA_KEY,
        *certificates,
        images=(
            Image(
                "i", injection_files=(InjectionFile("/a", content), InjectionFile("/b", content))
            ),
        ),
        services=(Service("web", image_name="i"),),
        security=Security(mode="none"),
    )
    values = generate(given, previous=None, now=NOW, random=os.urandom)
    loads.clear()
    config = build(given, "web", values, None, NOW)
    assert config.files[0].content == config.files[1].content
    assert loads == [False]


def test_certificates_of_one_key_load_it_once_and_do_not_test_it_again(loads):
    leaves = [SecretSpec(f"c{n}", "x509", private_key="r", issuer="ca") for n in range(10)]
    made(RSA_KEY, KEY, SecretSpec("ca", "x509-ca", private_key="k"), *leaves)
    assert loads == [False, False]


def test_an_explicit_key_is_tested_once(loads):
    made(SecretSpec("r", "private-key", value=RSA_PEM), SecretSpec("c", "x509", private_key="r"))
    assert loads.count(True) == 1


def test_an_issuer_is_parsed_once_for_all_that_it_issues(monkeypatch):
    from scone.session.secrets import loading

    parsed = []
    real = loading.load_certificate
    monkeypatch.setattr(loading, "load_certificate", lambda der: parsed.append(der) or real(der))
    leaves = [SecretSpec(f"c{n}", "x509", private_key="k", issuer="ca") for n in range(10)]
    values = made(KEY, SecretSpec("ca", "x509-ca", private_key="k"), *leaves)
    assert parsed == [values["ca"].certificate]


def test_objects_are_kept_by_value_object_so_that_no_secret_is_hashed():
    loaded = Loaded()
    one, equal = SecretBytes(RSA_DER.reveal()), SecretBytes(RSA_DER.reveal())
    assert loaded.key(one) is loaded.key(one)
    assert loaded.key(one) is not loaded.key(equal)
    assert load_unchecked_key(one).private_numbers() == loaded.key(equal).private_numbers()


def other_key():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("der", [b"", b"\x30\x00", other_key()], ids=["none", "empty", "public"])
def test_what_is_no_private_key_is_malformed_without_the_checks_too(der):
    with pytest.raises(MalformedError, match="a PKCS#8 private key"):
        load_unchecked_key(SecretBytes(der))


def test_a_kind_of_key_that_no_secret_has_is_malformed():
    from cryptography.hazmat.primitives.asymmetric import x25519

    der = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(MalformedError, match="another type of key"):
        load_unchecked_key(SecretBytes(der))


# RSA.


@pytest.fixture
def no_rsa(monkeypatch):
    """Nothing may be made with RSA before the limits were looked at."""

    def refuse(*_arguments):
        raise AssertionError("an RSA key was made")

    monkeypatch.setattr(rsa, "generate_private_key", refuse)


@pytest.mark.usefixtures("no_rsa")
def test_generated_and_explicit_rsa_keys_are_counted_together_before_any_is_tested(loads):
    keys = [SecretSpec(f"g{n}", "private-key", key_type="RSA-3072") for n in range(20)]
    keys += [SecretSpec(f"e{n}", "private-key", value=RSA_PEM) for n in range(13)]
    with pytest.raises(LimitError, match="at most 32 RSA keys, got 33"):
        made(*keys)
    assert True not in loads


def test_an_explicit_rsa_key_counts_by_the_time_that_testing_it_takes(monkeypatch):
    monkeypatch.setitem(generate.__globals__, "_RSA_BITS", 1024)
    keys = [SecretSpec(f"e{n}", "private-key", value=RSA_PEM) for n in range(5)]
    assert len(made(*keys[:4])) == 4
    with pytest.raises(LimitError, match="at most 32 RSA keys, got 40") as caught:
        made(*keys)
    assert "of 4096 as 8" in caught.value.hint


def leaves(count, **more):
    return [SecretSpec(f"c{n}", "x509", **more) for n in range(count)]


ISSUER = SecretSpec("ca", "x509-ca", private_key="r")


@pytest.mark.parametrize(
    "secrets",
    [
        [RSA_KEY, *leaves(33, private_key="r")],
        [RSA_KEY, KEY, ISSUER, *leaves(32, private_key="k", issuer="ca")],
    ],
    ids=["self-signed", "issued, with the issuer itself"],
)
@pytest.mark.usefixtures("no_rsa")
def test_certificates_signed_by_rsa_keys_are_at_most_32(secrets):
    with pytest.raises(LimitError, match="at most 32 certificates signed by RSA keys, got 33"):
        made(*secrets)


@pytest.mark.usefixtures("no_rsa")
def test_signatures_of_explicit_rsa_keys_count_too():
    explicit = SecretSpec("r", "private-key", value=RSA_PEM)
    with pytest.raises(LimitError, match="at most 32 certificates signed by RSA keys, got 33"):
        made(explicit, *leaves(33, private_key="r"))


def test_32_signatures_by_rsa_keys_are_made_and_those_by_other_keys_are_not_counted():
    assert len(made(RSA_KEY, *leaves(32, private_key="r"))) == 33
    issued = leaves(40, private_key="r", issuer="ca")
    assert len(made(RSA_KEY, KEY, SecretSpec("ca", "x509-ca", private_key="k"), *issued)) == 43


# Sizes.


def sized(count):
    return [SecretSpec(f"b{n}", "binary", size=65_536) for n in range(count)]


def test_the_largest_values_that_are_generated_are_read_back():
    values = made(*sized(15), SecretSpec("a", "ascii", size=65_536))
    assert SecretValues.from_json(values.to_json()) == values


def test_generated_values_of_more_than_a_megabyte_are_refused():
    with pytest.raises(LimitError, match="at most 1048576 bytes together, got 1048577"):
        made(*sized(16), SecretSpec("a", "ascii", size=1))
    explicit = SecretSpec("e", "ascii", value="x" * 100)
    assert len(made(*sized(16), explicit, KEY)) == 18


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_the_stored_size_is_never_too_small(more):
    values = SecretValues(
        {
            "text": AsciiValue(SecretBytes(b"x" * more)),
            "n" * 128: BinaryValue(SecretBytes(b"x" * (30 + more))),
            "key": PrivateKeyValue(RSA_DER),
            "alone": CertificateValue(b"x" * (500 + more), None),
            "all": CertificateValue(
                b"x" * more, RSA_DER, (b"y" * more,) * 15, dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
            ),
        }
    )
    for part in (values, SecretValues({}), *(SecretValues({n: values[n]}) for n in values)):
        stored = len(part.to_json())
        assert stored <= part.stored_size <= stored + 64 + 128 * len(part)


def authority(length):
    """An explicit authority with its key, its certificate some `length` bytes long."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "large")])
    filler = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"x" * length)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(filler, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (
        SecretSpec("ak", "private-key", value=pem.decode()),
        SecretSpec(
            "ca",
            "x509-ca",
            private_key="ak",
            value=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        ),
    )


def test_a_long_issuer_behind_many_certificates_is_refused_and_what_fits_is_read_back():
    ca = authority(150_000)  # 200 KB in base64, behind each leaf
    values = made(*ca, KEY, *leaves(40, private_key="k", issuer="ca"))
    assert MAX_STORED - 500_000 < values.stored_size <= MAX_STORED
    assert SecretValues.from_json(values.to_json()) == values
    with pytest.raises(LimitError, match="at most 8388608 bytes together with the issuers"):
        made(*ca, KEY, *leaves(42, private_key="k", issuer="ca"))


def test_values_a_little_larger_than_what_is_made_are_read_back():
    values = SecretValues({"a": BinaryValue(SecretBytes(b"x" * (MAX_STORED // 4 * 3)))})
    assert len(values.to_json()) > MAX_STORED
    assert SecretValues.from_json(values.to_json()) == values
    with pytest.raises(MalformedError, match="at most 16777216 bytes"):
        SecretValues.from_json(b" " * (2 * MAX_STORED + 1))


def test_an_update_of_the_largest_session_keeps_its_values():
    given = session(*sized(16))
    values = generate(given, previous=None, now=NOW, random=os.urandom)
    stored = SecretValues.from_json(values.to_json())
    after = generate(given, previous=(given, stored), now=NOW, random=os.urandom)
    assert after == values
    assert renew(given, stored, NOW, os.urandom) == values
