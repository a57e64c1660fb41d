"""Values for the secrets of a session: explicit, kept from the version before, or new.

Kept on an update ("Secret Migration"): generated ascii and binary values of the same size, and
private keys of the same type where both versions say `migrate: true`; certificates never. A value
that was explicit never becomes a generated one. The language versions may differ.
"""

from __future__ import annotations

import datetime as dt
from secrets import token_bytes
from typing import Final

from scone.crypto.keys import Random, generate_private_key, private_key_from_pem
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, LimitError, MalformedError, UsageError
from scone.session.model import SecretSpec, Session
from scone.session.secrets.certificates import certificates_02, certificates_03
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    PrivateKeyValue,
    SecretValue,
    SecretValues,
)

_MAX_RSA_KEYS: Final = 32  # a tenth of a second and more of the CAS for each
_MAX_SIZE: Final = 65_536  # characters or bytes of one generated value
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
        LimitError: a generated value of more than 65536 bytes, more than 32 RSA keys, more than
            16 issuers in a row.
        IntegrityError: stored values of the previous version that do not fit its description.
    """
    _limit_rsa_keys(session)
    values: dict[str, SecretValue] = {
        spec.name: _kept(spec, previous) or _made(spec, random)
        for spec in session.secrets
        if spec.kind in _KINDS
    }
    if session.version == "0.2":
        values.update(certificates_02(session, now=now, random=random))
    else:
        values.update(_certificates(session, values, {}, now, random))
    return SecretValues(values)


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


def _kept(spec: SecretSpec, previous: tuple[Session, SecretValues] | None) -> SecretValue | None:
    if previous is None or spec.value is not None:
        return None
    session, values = previous
    old = session.secret(spec.name)
    if old is None or old.value is not None or old.kind != spec.kind:
        return None
    if spec.kind == "private-key":
        same = spec.migrate and old.migrate and spec.effective_key_type == old.effective_key_type
    else:
        same = spec.effective_size == old.effective_size
    if not same:
        return None
    value = values.get(spec.name)
    if not isinstance(value, _KINDS[spec.kind]):
        raise IntegrityError(
            f"secret {spec.name}: the stored values of the previous version do not hold it"
        )
    return value


def _limit_rsa_keys(session: Session) -> None:
    count = sum(
        spec.kind == "private-key"
        and spec.value is None
        and spec.effective_key_type.startswith("RSA")
        for spec in session.secrets
    )
    if count > _MAX_RSA_KEYS:
        raise LimitError(f"expected at most {_MAX_RSA_KEYS} generated RSA keys, got {count}")


def _made(spec: SecretSpec, random: Random) -> SecretValue:
    place = f"secret {spec.name}: value"
    size = spec.effective_size
    if spec.value is None and spec.kind != "private-key" and not 1 <= size <= _MAX_SIZE:
        raise LimitError(f"secret {spec.name}: expected a size of 1 to {_MAX_SIZE}, got {size}")
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
