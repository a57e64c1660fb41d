"""One-time passwords: which texts are one secret."""

import hashlib

import pytest

from scone.cas.factors import record_of
from scone.crypto.secret import SecretBytes
from scone.session.otp import otp_code

SECRET, LONG = bytes(range(1, 21)), bytes(range(100))


@pytest.mark.parametrize(
    ("one", "other"), [(SECRET, SECRET + bytes(12)), (LONG, hashlib.sha1(LONG).digest())]
)
def test_secrets_with_the_same_codes_share_what_is_used_and_guessed(one, other):
    one, other = SecretBytes(one), SecretBytes(other)
    assert otp_code(one, 1) == otp_code(other, 1)
    assert record_of(one) == record_of(other)
    assert record_of(one) != record_of(SecretBytes(b"x" + SECRET))
