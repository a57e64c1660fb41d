"""One-time passwords: the codes of RFC 6238, which of them count, which secrets are secrets."""

import base64
from datetime import UTC, datetime

import pytest

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.session.otp import is_otp_secret, matching_step, otp_code, otp_secret, time_step

SECRET = SecretBytes(b"12345678901234567890")


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),  # RFC 6238, appendix B (SHA1), the last six of eight digits
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238(seconds, code):
    assert otp_code(SECRET, time_step(at(seconds))) == code
    assert matching_step(SECRET, code, at(seconds)) == seconds // 30


def test_the_code_of_the_step_before_counts_and_no_other():
    code = "081804"
    step = 1111111109 // 30
    begin = step * 30
    assert matching_step(SECRET, code, at(begin)) == step
    assert matching_step(SECRET, code, at(begin + 59)) == step
    assert matching_step(SECRET, code, at(begin + 60)) is None
    assert matching_step(SECRET, code, at(begin - 1)) is None


@pytest.mark.parametrize("code", ["", "81804", "0818044", "08180a", " 081804", "٠٨١٨٠٤", "081805"])
def test_other_texts_match_nothing(code):
    assert matching_step(SECRET, code, at(1111111109)) is None


@pytest.mark.parametrize("size", [16, 17, 18, 19, 20, 32, 64])
def test_a_secret_is_base32_without_padding(size):
    raw = bytes(range(size))
    text = base64.b32encode(raw).decode().rstrip("=")
    assert otp_secret(text, "p") == SecretBytes(raw)
    assert is_otp_secret(text)


def test_bits_that_fill_no_byte_are_dropped():
    assert otp_secret("A" * 27, "p") == SecretBytes(bytes(16))


@pytest.mark.parametrize(
    "text",
    ["", "A" * 25, "a" * 32, "A" * 31 + "1", "A" * 31 + " ", "A=" * 16, "A" * 32 + "=", "Ä" * 32],
)
def test_another_text_is_no_secret_and_is_not_shown(text):
    with pytest.raises(MalformedError, match="base32") as caught:
        otp_secret(text, "the place")
    assert str(caught.value).startswith("the place: expected")
    assert not is_otp_secret(text)
    assert not text or text not in str(caught.value)
