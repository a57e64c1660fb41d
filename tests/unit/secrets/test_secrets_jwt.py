"""Tokens: their parts, their signature as OpenSSL sees it, what is replaced and what is refused."""

import base64
import datetime as dt
import json
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from fakes.secrets import made
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import LimitError, NotFoundError, UsageError
from scone.session.model import Duration, Import, Jwt, SecretSpec, SessionReference
from scone.session.placeholders import find
from scone.session.secrets import AsciiValue, PrivateKeyValue, mint_jwt, render

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, 999_999, tzinfo=dt.UTC)
ISSUED = 1_795_608_000
DAY = Duration("24h", 86_400)
SIGNER = SecretSpec("signer", "private-key", key_type="P-384")
IDENTITY = "0123456789abcdef" * 4


def token(payload=(), signer="signer"):
    return SecretSpec("token", "jwt", jwt=Jwt(signer, DAY, payload=tuple(payload)))


@pytest.fixture(scope="module")
def values():
    return made(
        SIGNER,
        SecretSpec("other", "private-key"),
        SecretSpec("text", "ascii", value='a "secret" ä $$SCONE::data:hex$$'),
        SecretSpec("data", "binary", value="00ff"),
        SecretSpec("part", "config-fragment", value='{"a":"b"}'),
    )


def parts(value):
    assert isinstance(value, AsciiValue)
    header, payload, signature = value.value.reveal().split(b".")
    return [json.loads(decoded(header)), json.loads(decoded(payload)), decoded(signature)]


def decoded(text):
    assert b"=" not in text
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def test_a_token_says_who_signed_how_and_when_it_is_valid(values):
    header, payload, signature = parts(mint_jwt(token([("b", "1"), ("a", "")]), values, NOW, None))
    assert header == {"alg": "ES384", "typ": "JWT"}
    assert payload == {
        "b": "1", "a": "", "iat": ISSUED, "nbf": ISSUED, "exp": ISSUED + 86_400,
    }  # fmt: skip
    assert list(payload) == ["b", "a", "iat", "nbf", "exp"]
    assert len(signature) == 96


def test_openssl_verifies_the_signature_and_refuses_another_token(values, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    raw = mint_jwt(token([("a", "b")]), values, NOW, None).value.reveal()
    signed, _, signature = raw.rpartition(b".")
    numbers = decoded(signature)
    r, s = (int.from_bytes(numbers[at : at + 48], "big") for at in (0, 48))
    (tmp_path / "sig").write_bytes(encode_dss_signature(r, s))
    (tmp_path / "key").write_text(to_pem("PUBLIC KEY", spki_of_private_key(values["signer"].pkcs8)))

    def verified(content):
        (tmp_path / "token").write_bytes(content)
        command = [openssl, "dgst", "-sha384", "-verify", "key", "-signature", "sig", "token"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout

    assert verified(signed) == "Verified OK\n"
    assert verified(signed + b"x") == "Verification failure\n"


def test_short_numbers_of_a_signature_keep_their_48_bytes(values, monkeypatch):
    monkeypatch.setitem(mint_jwt.__globals__, "decode_dss_signature", lambda _der: (1, 2))
    signature = parts(mint_jwt(token(), values, NOW, None))[2]
    assert signature == bytes(47) + b"\x01" + bytes(47) + b"\x02"


@pytest.mark.parametrize(
    ("written", "claim"),
    [
        ("$$SCONE::text$$", 'a "secret" ä $$SCONE::data:hex$$'),
        ("$$SCONE::data:hex$$", "00ff"),
        ("$$SCONE::data.hex$$", "00ff"),
        ("$$SCONE::self::software_identity$$", IDENTITY),
        ("secret: $$SCONE::text$$", "secret: $$SCONE::text$$"),
        ("$$SCONE::data:hex$$$$SCONE::data:hex$$", "$$SCONE::data:hex$$$$SCONE::data:hex$$"),
        (" $$SCONE::self::software_identity$$", " $$SCONE::self::software_identity$$"),
        ("$$SCONE::text", "$$SCONE::text"),
    ],
)
def test_only_a_claim_that_is_one_placeholder_is_replaced_and_only_once(values, written, claim):
    assert parts(mint_jwt(token([("c", written)]), values, NOW, IDENTITY))[1]["c"] == claim


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (token([("c", "$$SCONE::self::software_identity$$")]), UsageError,
         "secret token: payload.c: there is no software identity"),
        (token([("c", "$$SCONE::data$$")]), UsageError, "payload.c: expected text, got bytes"),
        (token([("c", "$$SCONE::part$$")]), UsageError, "secret part: a config-fragment stands"),
        (token([("c", "$$SCONE::no$$")]), NotFoundError, "the session has no secret of this name"),
        (token([("c", "$$SCONE::token$$")]), NotFoundError, "has no secret of this name"),
        *((token([(name, "1")]), UsageError, f"payload.{name} is set by the CAS")
          for name in ("iat", "nbf", "exp")),
        (token(signer="other"), UsageError, "ES384 needs a P-384 key, the signer 'other' is of an"),
        (token(signer="text"), UsageError, "the name of a private-key secret as signer, got 'text'"),
        (token(signer="no"), UsageError, "the name of a private-key secret as signer, got 'no'"),
        (SIGNER, UsageError, "expected a secret of kind jwt, got private-key"),
    ],
)  # fmt: skip
def test_what_cannot_be_in_a_token_is_refused(values, given, error, message):
    with pytest.raises(error) as caught:
        mint_jwt(given, values, NOW, None)
    assert message in str(caught.value)


@pytest.mark.parametrize("key_type", ["P-256", "Ed25519", "RSA-2048"])
def test_a_session_whose_signer_is_no_p384_key_is_refused_when_it_is_made(key_type):
    signer = SecretSpec("signer", "private-key", key_type=key_type)
    with pytest.raises(UsageError, match="secret token: ES384 needs a P-384 key") as caught:
        made(signer, token())
    assert caught.value.hint == "write key_type: P-384 in the signer"


def test_a_token_has_no_stored_value_and_its_signer_may_be_imported():
    assert list(made(SIGNER, token())) == ["signer"]
    imported = SecretSpec(
        "signer", "private-key", imported=Import(SessionReference(session="o"), "k")
    )
    assert list(made(imported, token())) == []
    key = PrivateKeyValue(generate_private_key("P-384", os.urandom))
    assert parts(mint_jwt(token(), {"signer": key}, NOW, None))[1]["iat"] == ISSUED
    with pytest.raises(UsageError, match="ES384 needs a P-384 key"):
        wrong = PrivateKeyValue(generate_private_key("P-256", os.urandom))
        made(imported, token(), foreign={"signer": wrong})


def test_a_token_is_put_in_like_an_ascii_secret(values):
    minted = mint_jwt(token(), values, NOW, None)
    (placeholder,) = find("$$SCONE::token$$")
    assert render({**values, "token": minted}, placeholder) == minted.value.reveal()
    (with_format,) = find("$$SCONE::token:der$$")
    with pytest.raises(UsageError, match=r"secret token: .* has the format no format, got :der"):
        render({**values, "token": minted}, with_format)


def test_a_session_has_at_most_64_tokens():
    tokens = [SecretSpec(f"t{n}", "jwt", jwt=Jwt("signer", DAY)) for n in range(65)]
    with pytest.raises(LimitError, match="at most 64 secrets of kind jwt, got 65"):
        made(SIGNER, *tokens)
    assert len(made(SIGNER, *tokens[:64])) == 1


def test_claims_have_at_most_64_kib_while_they_are_put_together():
    values = made(SIGNER, SecretSpec("big", "ascii", value="x" * 32_000))
    claim = "$$SCONE::big$$"
    assert mint_jwt(token((("a", claim), ("b", claim))), values, NOW, None)
    with pytest.raises(LimitError, match="secret token: expected claims of at most 65536 bytes"):
        mint_jwt(token((("a", claim), ("b", claim), ("c", claim))), values, NOW, None)
