"""Values for the secrets of a session: explicit, kept from the version before, or new.

Kept on an update ("Secret Migration"): generated ascii and binary values of the same size,
OpenPGP keys, and private keys of the same type where both versions say `migrate: true`;
certificates never. A value that was explicit or came from elsewhere never becomes a generated
one. The language versions may differ. What is imported has no value here, and tokens are made
where they are handed out; what needs imported keys and issuers gets them as `foreign`.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from scone.crypto.der import pem_to_der
from scone.crypto.keys import (
    Random,
    generate_private_key,
    load_public_key,
    private_key_from_pem,
    spki_of_public_key,
)
from scone.crypto.pgp import generate_pgp_key
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, LimitError, MalformedError, UsageError
from scone.session.model import MAX_GENERATED, MAX_SECRET_SIZE, SecretSpec, Session
from scone.session.secrets.certificates import certificates_02, certificates_03
from scone.session.secrets.jwt import jwt_signing_key
from scone.session.secrets.loading import Loaded, load_unchecked_key
from scone.session.secrets.migration import why_made_again
from scone.session.secrets.values import (
    MAX_STORED,
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PgpKeyValue,
    PrivateKeyValue,
    PublicKeyValue,
    SecretValue,
    SecretValues,
)
from scone.strict_json import parse_hex

_MAX_RSA_KEYS: Final = 32  # a tenth of a second and more of the CAS for each
_MAX_RSA_SIGNATURES: Final = 32  # made again at each renewal
# Testing the primes of an explicit key takes a tenth of a second for so many bits, and grows with
# the third power: all that one session may ask for takes some three seconds of a thread.
_RSA_BITS: Final = 2048
# Printable ASCII without the space: the language's page allows any, and a space at an end is
# lost in too many configuration files.
_FIRST, _LAST = 0x21, 0x7E
_MAX_PGP_KEYS: Final = 256  # a third of a millisecond for each
_MAX_TOKENS: Final = 64  # signed again at every start of a service
_USER_ID_SIZE: Final = 16
# A key must not come from the future where it is used: machines' clocks differ.
_PGP_BACKDATED: Final = dt.timedelta(days=1)
_KINDS: Final[Mapping[str | None, type]] = {
    "ascii": AsciiValue,
    "binary": BinaryValue,
    "private-key": PrivateKeyValue,
    "pgp-key": PgpKeyValue,
    "config-fragment": FragmentValue,
}


def generate(
    session: Session,
    *,
    previous: tuple[Session, SecretValues] | None,
    now: dt.datetime,
    random: Random,
    foreign: Mapping[str, SecretValue] = MappingProxyType({}),
) -> SecretValues:
    """The values of a new version of a session; `previous` is the version that it replaces.

    `foreign` holds the values of imported private keys and issuers that others refer to.

    Raises:
        UsageError: secrets whose references or parameters do not fit together.
        MalformedError: an explicit value that is not of its kind.
        LimitError: a generated value of more than 65536 bytes, or 1 MiB together; more than 32
            RSA keys, or certificates signed by them; more than 256 OpenPGP keys or 64 tokens;
            more than 8 issuers in a row; more than 8 MiB in stored form.
        IntegrityError: stored values of the previous version that do not fit its description.
    """
    _limit_sizes(session)
    _limit_counts(session)
    _limit_rsa(session, foreign)
    before = None if previous is None else _Before(previous)
    values: dict[str, SecretValue] = {
        spec.name: _kept(spec, before) or _made(spec, now, random)
        for spec in session.secrets
        if spec.kind in _KINDS and not spec.is_foreign
    }
    usable = {**foreign, **values}
    values |= _public_keys(session, usable)
    if session.version == "0.2":
        values.update(certificates_02(session, now=now, random=random))
    else:
        values.update(certificates_03(session, usable, kept={}, now=now, random=random))
    _check_signers(session, usable)
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
    session: Session,
    values: SecretValues,
    now: dt.datetime,
    random: Random,
    foreign: Mapping[str, SecretValue] = MappingProxyType({}),
) -> SecretValues:
    """The same values, with new certificates (over the same keys) for those that are due.

    `foreign` as in `generate`.

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
    usable = {**foreign, **others}
    made = certificates_03(session, usable, kept=kept, now=now, random=random)
    return SecretValues({**others, **made})


def _public_keys(session: Session, values: Mapping[str, SecretValue]) -> dict[str, SecretValue]:
    """The public-key secrets, from their private keys or explicit."""
    loaded = Loaded()
    made: dict[str, SecretValue] = {}
    for spec in session.secrets:
        if spec.kind != "public-key" or spec.is_foreign:
            continue
        if spec.value is not None:
            place = f"secret {spec.name}: value"
            key = load_public_key(pem_to_der(spec.value, "PUBLIC KEY", place), place)
        else:
            source = values.get(spec.private_key or "")
            if not isinstance(source, PrivateKeyValue):
                raise UsageError(
                    f"secret {spec.name}: expected the name of a private-key secret as "
                    f"private_key, got {spec.private_key!r}"
                )
            key = loaded.key(source.pkcs8).public_key()
        made[spec.name] = PublicKeyValue(spki_of_public_key(key))
    return made


def _check_signers(session: Session, values: Mapping[str, SecretValue]) -> None:
    """Refuse tokens that could never be signed, as far as their signers are known here."""
    for spec in session.secrets:
        if spec.jwt is not None and spec.jwt.signer in values:
            jwt_signing_key(spec, values)


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
    if old is None or why_made_again(spec, old):
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


def _limit_counts(session: Session) -> None:
    for kind, limit in (("pgp-key", _MAX_PGP_KEYS), ("jwt", _MAX_TOKENS)):
        count = sum(spec.kind == kind and not spec.is_foreign for spec in session.secrets)
        if count > limit:
            raise LimitError(f"expected at most {limit} secrets of kind {kind}, got {count}")


def _limit_rsa(session: Session, foreign: Mapping[str, SecretValue]) -> None:
    bits = {
        spec.name: _rsa_bits(spec)
        for spec in session.secrets
        if spec.kind == "private-key" and not spec.is_foreign
    }
    specs = {spec.name: spec for spec in session.secrets}
    keys = sum(
        1 if specs[name].value is None else -(-(size**3) // _RSA_BITS**3)
        for name, size in bits.items()
        if size
    )
    if keys > _MAX_RSA_KEYS:
        raise LimitError(
            f"expected at most {_MAX_RSA_KEYS} RSA keys, got {keys}",
            hint="an explicit one of 3072 bits counts as 4, of 4096 as 8, of more than 6501 as too "
            "many: testing it takes that much longer",
        )
    bits |= {name: _rsa_bits_of(value) for name, value in foreign.items()}
    signed = sum(
        bits.get(_signing_key(spec, specs), 0) > 0
        for spec in session.secrets
        if spec.kind in {"x509", "x509-ca"} and spec.value is None and not spec.is_foreign
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


def _rsa_bits_of(value: SecretValue) -> int:
    """Bits of the RSA key that an imported value holds, 0 if it holds none."""
    match value:
        case PrivateKeyValue(pkcs8) | CertificateValue(private_key=SecretBytes() as pkcs8):
            key = load_unchecked_key(pkcs8)
            return key.key_size if isinstance(key, rsa.RSAPrivateKey) else 0
        case _:
            return 0


def _signing_key(spec: SecretSpec, specs: Mapping[str, SecretSpec]) -> str:
    """Name of the secret whose key signs a generated certificate, or nothing."""
    signer = spec if spec.issuer is None else specs.get(spec.issuer)
    if signer is not None and signer.is_foreign:
        return signer.name
    return (signer and signer.private_key) or ""


def _made(spec: SecretSpec, now: dt.datetime, random: Random) -> SecretValue:
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
            return BinaryValue(SecretBytes(parse_hex(spec.value, place)))
        case "pgp-key":
            # Base32, because GnuPG takes 32 hex digits for the fingerprint of a key.
            user_id = base64.b32encode(random(_USER_ID_SIZE)).decode("ascii").rstrip("=").lower()
            created = now - _PGP_BACKDATED
            return PgpKeyValue(generate_pgp_key(user_id, created=created, random=random))
        case "config-fragment":
            if spec.value is None:
                raise UsageError(f"secret {spec.name}: a config-fragment needs a value")
            return FragmentValue(spec.value)
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
