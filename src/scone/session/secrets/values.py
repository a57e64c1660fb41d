"""Values of a session's secrets, and the JSON form in which the store keeps them (encrypted).

Form in docs/formats/service-configuration.md, "Secret values": compact JSON, names sorted, bytes
in base64, so that equal values give equal bytes. `repr` shows names and kinds only.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.strict_json import (
    JsonObject,
    JsonValue,
    decode,
    int_of,
    keys,
    list_of,
    object_of,
    read_object,
    text_of,
)

_FORM: Final = 1
_MAX_JSON: Final = 16 * 1024 * 1024  # far above what a session of 1 MiB can define
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


SecretValue = AsciiValue | BinaryValue | PrivateKeyValue | CertificateValue


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

    def to_json(self) -> bytes:
        """The stored form; equal values give equal bytes."""
        document = {"form": _FORM, "values": {name: _write(self[name]) for name in self}}
        return json.dumps(document, separators=(",", ":")).encode("ascii")

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


def to_base64(value: bytes) -> str:
    """Base64 on one line (RFC 4648, section 4)."""
    return base64.b64encode(value).decode("ascii")


def from_base64(text: JsonValue, place: str) -> bytes:
    """The bytes of `to_base64`, of which there is one text only.

    Raises:
        MalformedError: not base64, not a string, or bits left over.
    """
    if not isinstance(text, str):
        raise MalformedError(place, "a base64 string", type(text).__name__)
    try:
        value = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise MalformedError(place, "a base64 string") from None
    if to_base64(value) != text:
        raise MalformedError(place, "a base64 string", "bits left over")
    return value


def _write(value: SecretValue) -> JsonObject:
    match value:
        case AsciiValue(content):
            return {"kind": "ascii", "value": to_base64(content.reveal())}
        case BinaryValue(content):
            return {"kind": "binary", "value": to_base64(content.reveal())}
        case PrivateKeyValue(content):
            return {"kind": "private-key", "value": to_base64(content.reveal())}
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
    content = from_base64(entry["value"], f"{place}.value")
    match kind:
        case "ascii":
            return AsciiValue(SecretBytes(content))
        case "binary":
            return BinaryValue(SecretBytes(content))
        case "private-key":
            return PrivateKeyValue(SecretBytes(content))
        case "x509":
            key, renew_at = entry["private_key"], None
            if entry["renew_at"] is not None:
                seconds = int_of(entry, "renew_at", place, _MAX_SECONDS)
                renew_at = dt.datetime.fromtimestamp(seconds, dt.UTC)
            return CertificateValue(
                content,
                None if key is None else SecretBytes(from_base64(key, f"{place}.private_key")),
                tuple(
                    from_base64(item, f"{place}.chain") for item in list_of(entry, "chain", place)
                ),
                renew_at,
            )
        case _:
            raise MalformedError(f"{place}.kind", "ascii, binary, private-key or x509", kind[:64])
