"""Values of a session's secrets, and the JSON form in which the store keeps them (encrypted).

Form in docs/formats/service-configuration.md, "Secret values": compact JSON, names sorted, bytes
in base64, so that equal values give equal bytes. `repr` shows names and kinds only.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.strict_json import (
    JsonObject,
    decode,
    int_of,
    keys,
    list_of,
    object_of,
    parse_base64,
    read_object,
    text_of,
    to_base64,
)

_FORM: Final = 1
MAX_STORED: Final = 8 * 1024 * 1024
"""Bytes that the values made for one session may have in their stored form.

Explicit values are as long as the session's text, generated ones have their own limit; but each
certificate comes with a copy of its issuers, of any length where those are explicit.
"""
# Twice what is made: a renewed certificate may be some bytes longer than the one before.
_MAX_JSON: Final = 2 * MAX_STORED
_MAX_FRAME: Final = 128  # keys, punctuation, kind and time of one value
_MAX_SECONDS: Final = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class AsciiValue:
    """Text without NUL; explicit values may hold any Unicode text, in UTF-8."""

    value: SecretBytes


@dataclass(frozen=True, slots=True)
class BinaryValue:
    """Any bytes."""

    value: SecretBytes


@dataclass(frozen=True, slots=True)
class PrivateKeyValue:
    """A private key, PKCS#8 DER."""

    pkcs8: SecretBytes


@dataclass(frozen=True, slots=True)
class PublicKeyValue:
    """A public key, SubjectPublicKeyInfo DER."""

    spki_der: bytes

    def __repr__(self) -> str:
        """Without the bytes of the key."""
        return f"PublicKeyValue(<{len(self.spki_der)} bytes>)"


@dataclass(frozen=True, slots=True)
class PgpKeyValue:
    """An OpenPGP key with its secret parts, binary (`scone.crypto.pgp`)."""

    secret_key: SecretBytes


@dataclass(frozen=True, slots=True)
class FragmentValue:
    """A part of a session's configuration as compact JSON, all scalars as text."""

    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateValue:
    """A certificate (DER), its key if it is known, and its issuers, the direct one first.

    `renew_at` is set for generated certificates with `valid_for` only.
    """

    certificate: bytes
    private_key: SecretBytes | None
    chain: tuple[bytes, ...] = ()
    renew_at: dt.datetime | None = None

    def __repr__(self) -> str:
        """Without the bytes of the certificate."""
        return f"CertificateValue(<{len(self.certificate)} bytes>, chain={len(self.chain)})"


SecretValue = (
    AsciiValue
    | BinaryValue
    | PrivateKeyValue
    | PublicKeyValue
    | PgpKeyValue
    | FragmentValue
    | CertificateValue
)


def without_private_key(value: CertificateValue) -> CertificateValue:
    """The certificate and its chain alone, for those who may not have its key."""
    return replace(value, private_key=None)


@final
class SecretValues(Mapping[str, SecretValue]):
    """The values of all secrets of one version of a session, by name; immutable."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, SecretValue]) -> None:
        self._values = {name: values[name] for name in sorted(values)}

    def __getitem__(self, name: str) -> SecretValue:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {type(value).__name__}" for name, value in self.items())
        return f"SecretValues({shown})"

    @property
    def stored_size(self) -> int:
        """Bytes that the stored form has at most, known without making it."""
        return 64 + sum(len(json.dumps(name)) + _size(value) for name, value in self.items())

    def to_json(self) -> bytes:
        """The stored form; equal values give equal bytes."""
        return json.dumps(self.to_object(), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, raw: bytes, place: str = "secret values") -> SecretValues:
        """The values of `to_json`.

        Raises:
            MalformedError: anything else.
        """
        return cls.from_object(read_object(decode(raw, place, _MAX_JSON), place), place)

    def to_object(self) -> JsonObject:
        """The stored form as a JSON object, to stand inside another document."""
        return {"form": _FORM, "values": {name: _write(self[name]) for name in self}}

    @classmethod
    def from_object(cls, document: JsonObject, place: str = "secret values") -> SecretValues:
        """The values of `to_object`.

        Raises:
            MalformedError: anything else.
        """
        keys(document, place, ("form", "values"), ())
        if int_of(document, "form", place, 1000) != _FORM:
            raise MalformedError(f"{place}.form", f"{_FORM}", "another form (a newer version's?)")
        found = object_of(document, "values", place)
        return cls({name: _read(found, name, place) for name in found})


def _size(value: SecretValue) -> int:
    match value:
        case AsciiValue(content) | BinaryValue(content) | PrivateKeyValue(content):
            lengths = [len(content)]
        case PgpKeyValue(secret_key):
            lengths = [len(secret_key)]
        case PublicKeyValue(spki_der):
            lengths = [len(spki_der)]
        case FragmentValue(data):
            lengths = [len(data.encode("utf-8"))]
        case CertificateValue(certificate, private_key, chain):
            lengths = [len(certificate), len(private_key or b""), *map(len, chain)]
    return _MAX_FRAME + sum((length + 2) // 3 * 4 + len('"",') for length in lengths)


def _write(value: SecretValue) -> JsonObject:
    match value:
        case AsciiValue(content):
            return {"kind": "ascii", "value": to_base64(content.reveal())}
        case BinaryValue(content):
            return {"kind": "binary", "value": to_base64(content.reveal())}
        case PrivateKeyValue(content):
            return {"kind": "private-key", "value": to_base64(content.reveal())}
        case PublicKeyValue(spki_der):
            return {"kind": "public-key", "value": to_base64(spki_der)}
        case PgpKeyValue(secret_key):
            return {"kind": "pgp-key", "value": to_base64(secret_key.reveal())}
        case FragmentValue(data):
            return {"kind": "config-fragment", "value": to_base64(data.encode("utf-8"))}
        case CertificateValue(certificate, private_key, chain, renew_at):
            return {
                "kind": "x509",
                "value": to_base64(certificate),
                "private_key": None if private_key is None else to_base64(private_key.reveal()),
                "chain": [to_base64(issuer) for issuer in chain],
                "renew_at": None if renew_at is None else int(renew_at.timestamp()),
            }


def _read(found: JsonObject, name: str, parent: str) -> SecretValue:
    entry = object_of(found, name, f"{parent}.values")
    place = f"{parent}.values.{name[:128]}"
    kind = text_of(entry, "kind", place)
    more = ("private_key", "chain", "renew_at") if kind == "x509" else ()
    keys(entry, place, ("kind", "value", *more), ())
    content = parse_base64(entry["value"], f"{place}.value", _MAX_JSON)
    match kind:
        case "ascii":
            return AsciiValue(SecretBytes(content))
        case "binary":
            return BinaryValue(SecretBytes(content))
        case "private-key":
            return PrivateKeyValue(SecretBytes(content))
        case "public-key":
            return PublicKeyValue(content)
        case "pgp-key":
            return PgpKeyValue(SecretBytes(content))
        case "config-fragment":
            return FragmentValue(_fragment(content, f"{place}.value"))
        case "x509":
            key, renew_at = entry["private_key"], None
            if entry["renew_at"] is not None:
                seconds = int_of(entry, "renew_at", place, _MAX_SECONDS)
                renew_at = dt.datetime.fromtimestamp(seconds, dt.UTC)
            return CertificateValue(
                content,
                None
                if key is None
                else SecretBytes(parse_base64(key, f"{place}.private_key", _MAX_JSON)),
                tuple(
                    parse_base64(item, f"{place}.chain", _MAX_JSON)
                    for item in list_of(entry, "chain", place)
                ),
                renew_at,
            )
        case _:
            known = "ascii, binary, private-key, public-key, pgp-key, config-fragment or x509"
            raise MalformedError(f"{place}.kind", known, kind[:64])


def _fragment(content: bytes, place: str) -> str:
    """Compact JSON without anything but texts, lists and objects: it may come from elsewhere."""
    text = decode(content, place, _MAX_JSON)
    value = read_object(f'{{"value":{text}}}', place).get("value")
    if json.dumps(value, ensure_ascii=False, separators=(",", ":")) != text:
        raise MalformedError(place, "compact JSON", "another text")
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list | dict):
            left += item.values() if isinstance(item, dict) else item
        elif not isinstance(item, str):
            raise MalformedError(place, "text, lists and objects", type(item).__name__)
    return text
