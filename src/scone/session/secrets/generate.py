"""Values for the secrets of a session: explicit, kept from the version before, or new.

Kept on an update ("Secret Migration"): generated ascii and binary values of the same size, and
private keys of the same type where both versions say `migrate: true`; certificates never. A value
that was explicit never becomes a generated one. The language versions may differ.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from secrets import token_bytes
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from scone.crypto.der import pem_to_der
from scone.crypto.keys import Random, generate_private_key, private_key_from_pem
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, LimitError, MalformedError, UsageError
from scone.session.model import MAX_GENERATED, MAX_SECRET_SIZE, SecretSpec, Session
from scone.session.secrets.certificates import certificates_02, certificates_03
from scone.session.secrets.loading import load_unchecked_key
from scone.session.secrets.values import (
    MAX_STORED,
    AsciiValue,
    BinaryValue,
    CertificateValue,
    PrivateKeyValue,
    SecretValue,
    SecretValues,
)

_MAX_RSA_KEYS: Final = 32  # a tenth of a second and more of the CAS for each
_MAX_RSA_SIGNATURES: Final = 32  # made again at each renewal
# Testing the primes of an explicit key takes 0.4 s for 4096 bits, eight times that for 8192.
_LONG_RSA_BITS: Final = 4096
_WEIGHT_OF_LONG_KEYS: Final = 8
# Printable ASCII without the space: the language's page allows any, and a space at an end is
# lost in too many configuration files.
_FIRST, _LAST = 0x21, 0x7E
_KINDS: Final = {
    "ascii": AsciiValue,
    "binary": BinaryValue,
    "private-key": PrivateKeyValue,
}


def generate(
    session: Session,
    *,
    previous: tuple[Session, SecretValues] | None,
    now: dt.datetime,
    random: Random = token_bytes,
) -> SecretValues:
    """The values of a new version of a session; `previous` is the version that it replaces.

    Raises:
        UsageError: secrets whose references or parameters do not fit together.
        MalformedError: an explicit value that is not of its kind.
        LimitError: a generated value of more than 65536 bytes, or 1 MiB together; more than 32
            RSA keys, or certificates signed by them; more than 8 issuers in a row; more than
            8 MiB in stored form.
        IntegrityError: stored values of the previous version that do not fit its description.
    """
    _limit_sizes(session)
    _limit_rsa(session)
    before = None if previous is None else _Before(previous)
    values: dict[str, SecretValue] = {
        spec.name: _kept(spec, before) or _made(spec, random)
        for spec in session.secrets
        if spec.kind in _KINDS
    }
    if session.version == "0.2":
        values.update(certificates_02(session, now=now, random=random))
    else:
        values.update(_certificates(session, values, {}, now, random))
    made = SecretValues(values)
    if made.stored_size > MAX_STORED:
        raise LimitError(
            f"expected secret values of at most {MAX_STORED} bytes together with the issuers of "
            "each certificate, got more",
            hint="the issuers of explicit certificates stand behind every certificate below them",
        )
    return made


def needs_renewal(values: SecretValues, now: dt.datetime) -> bool:
    """Whether a generated certificate with `valid_for` is in the last third of its validity."""
    return any(_is_due(value, now) for value in values.values())


def renew(
    session: Session, values: SecretValues, now: dt.datetime, random: Random = token_bytes
) -> SecretValues:
    """The same values, with new certificates (over the same keys) for those that are due.

    Raises:
        UsageError: as `generate`.
        MalformedError: as `generate`.
    """
    if session.version == "0.2":  # no valid_for, so nothing is ever due
        return values
    others: dict[str, SecretValue] = {
        name: value for name, value in values.items() if not isinstance(value, CertificateValue)
    }
    kept = {
        name: value
        for name, value in values.items()
        if isinstance(value, CertificateValue) and not _is_due(value, now)
    }
    return SecretValues({**others, **_certificates(session, others, kept, now, random)})


def _certificates(
    session: Session,
    values: dict[str, SecretValue],
    kept: dict[str, CertificateValue],
    now: dt.datetime,
    random: Random,
) -> dict[str, CertificateValue]:
    private_keys = {
        name: value.pkcs8 for name, value in values.items() if isinstance(value, PrivateKeyValue)
    }
    return certificates_03(session, private_keys, kept=kept, now=now, random=random)


def _is_due(value: SecretValue, now: dt.datetime) -> bool:
    return (
        isinstance(value, CertificateValue) and value.renew_at is not None and now >= value.renew_at
    )


class _Before:
    """The version that is replaced: how its secrets were described, and their values."""

    def __init__(self, previous: tuple[Session, SecretValues]) -> None:
        session, self.values = previous
        self.specs = {spec.name: spec for spec in session.secrets}


def _kept(spec: SecretSpec, before: _Before | None) -> SecretValue | None:
    if before is None or spec.value is not None:
        return None
    old = before.specs.get(spec.name)
    if old is None or old.value is not None or old.kind != spec.kind:
        return None
    if spec.kind == "private-key":
        same = spec.migrate and old.migrate and spec.effective_key_type == old.effective_key_type
    else:
        same = spec.effective_size == old.effective_size
    if not same:
        return None
    value = before.values.get(spec.name)
    if not isinstance(value, _KINDS[spec.kind]):
        raise IntegrityError(
            f"secret {spec.name}: the stored values of the previous version do not hold it"
        )
    return value


def _limit_sizes(session: Session) -> None:
    total = sum(spec.effective_size for spec in session.secrets if spec.is_sized)
    if total > MAX_GENERATED:
        raise LimitError(
            f"expected generated values of at most {MAX_GENERATED} bytes together, got {total}"
        )


def _limit_rsa(session: Session) -> None:
    bits = {spec.name: _rsa_bits(spec) for spec in session.secrets if spec.kind == "private-key"}
    keys = sum(
        _WEIGHT_OF_LONG_KEYS if size > _LONG_RSA_BITS else 1 for size in bits.values() if size
    )
    if keys > _MAX_RSA_KEYS:
        raise LimitError(
            f"expected at most {_MAX_RSA_KEYS} RSA keys, got {keys}",
            hint=f"a key of more than {_LONG_RSA_BITS} bits counts as {_WEIGHT_OF_LONG_KEYS}",
        )
    specs = {spec.name: spec for spec in session.secrets}
    signed = sum(
        bits.get(_signing_key(spec, specs), 0) > 0
        for spec in session.secrets
        if spec.kind in {"x509", "x509-ca"} and spec.value is None
    )
    if signed > _MAX_RSA_SIGNATURES:
        raise LimitError(
            f"expected at most {_MAX_RSA_SIGNATURES} certificates signed by RSA keys, got {signed}",
            hint="signing with a P-256 key costs next to nothing",
        )


def _rsa_bits(spec: SecretSpec) -> int:
    """Bits of an RSA key, 0 of another one; an explicit value that is no key is refused later."""
    if spec.value is None:
        kind, _, size = spec.effective_key_type.partition("-")
        return int(size) if kind == "RSA" else 0
    try:
        key = load_unchecked_key(SecretBytes(pem_to_der(spec.value, "PRIVATE KEY")))
    except MalformedError:
        return 0
    return key.key_size if isinstance(key, rsa.RSAPrivateKey) else 0


def _signing_key(spec: SecretSpec, specs: Mapping[str, SecretSpec]) -> str:
    """Name of the key that signs a generated certificate, or nothing."""
    signer = spec if spec.issuer is None else specs.get(spec.issuer)
    return (signer and signer.private_key) or ""


def _made(spec: SecretSpec, random: Random) -> SecretValue:
    place = f"secret {spec.name}: value"
    size = spec.effective_size
    if spec.is_sized and not 1 <= size <= MAX_SECRET_SIZE:
        raise LimitError(
            f"secret {spec.name}: expected a size of 1 to {MAX_SECRET_SIZE}, got {size}"
        )
    match spec.kind:
        case "ascii":
            if spec.value is None:
                return AsciiValue(_printable(size, random))
            if "\0" in spec.value:
                raise UsageError(f"{place}: expected text without NUL")
            return AsciiValue(SecretBytes(spec.value.encode("utf-8")))
        case "binary":
            if spec.value is None:
                return BinaryValue(SecretBytes(random(size)))
            return BinaryValue(_hexadecimal(spec.value, place))
        case _:
            if spec.value is None:
                return PrivateKeyValue(generate_private_key(spec.effective_key_type, random))
            return PrivateKeyValue(private_key_from_pem(spec.value, place))


def _printable(size: int, random: Random) -> SecretBytes:
    """Characters that are each equally likely: bytes beyond a multiple of 94 are drawn again."""
    count = _LAST - _FIRST + 1
    usable = 256 - 256 % count
    found = bytearray()
    while len(found) < size:
        drawn = random(size - len(found) + 8)
        found += bytes(_FIRST + byte % count for byte in drawn if byte < usable)
    return SecretBytes(bytes(found[:size]))


def _hexadecimal(text: str, place: str) -> SecretBytes:
    if len(text) % 2 or not all(character in "0123456789abcdefABCDEF" for character in text):
        raise MalformedError(
            place, "an even number of hexadecimal digits", f"{len(text)} characters"
        )
    return SecretBytes(bytes.fromhex(text))
