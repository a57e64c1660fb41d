"""One-time passwords (RFC 6238): HMAC-SHA-1, six digits, time-steps of 30 seconds.

The code of the current time-step and of the one before are accepted (RFC 6238, 5.2: one step for
a slow network or clock). That a code works once is the caller's to keep: it remembers the step.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError

STEP_S: Final = 30
MIN_SECRET_BYTES: Final = 16
_ALPHABET: Final = {
    letter: value for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


def otp_secret(text: str, place: str) -> SecretBytes:
    """The shared secret in a base32 text (RFC 4648, without padding).

    Bits that fill no byte are dropped: authenticator programs show texts of any length.

    Raises:
        MalformedError: another alphabet, or less than 128 bits; without the text.
    """
    value = 0
    for letter in text:
        if letter not in _ALPHABET:
            raise MalformedError(place, "base32 without padding (A-Z, 2-7)")
        value = value << 5 | _ALPHABET[letter]
    size, rest = divmod(5 * len(text), 8)
    if size < MIN_SECRET_BYTES:
        raise MalformedError(place, f"a secret of at least {8 * MIN_SECRET_BYTES} bits in base32")
    return SecretBytes((value >> rest).to_bytes(size, "big"))


def is_otp_secret(text: str) -> bool:
    """Whether `otp_secret` reads this text."""
    try:
        otp_secret(text, "")
    except MalformedError:
        return False
    return True


def time_step(now: datetime) -> int:
    """The number of the time-step since 1970."""
    return int(now.timestamp()) // STEP_S


def otp_code(secret: SecretBytes, step: int) -> str:
    """The code of a time-step (RFC 4226, 5.3)."""
    import hmac  # here: readers of sessions need no code, and loading OpenSSL takes time

    digest = hmac.digest(secret.reveal(), step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06}"


def matching_step(secret: SecretBytes, code: str, now: datetime) -> int | None:
    """The newest accepted time-step whose code this is, None for a wrong one."""
    if _CODE.fullmatch(code) is None:
        return None
    import hmac

    current = time_step(now)
    matching = [
        step for step in (current, current - 1) if hmac.compare_digest(otp_code(secret, step), code)
    ]
    return matching[0] if matching else None
