"""What an Azure Key Vault holds, as the value of a secret: decrypted, and of its kind.

SCONE documentation, page "Session Language 0.3", "Microsoft Azure Key Vault Import". Encrypted,
a value is base64 of: version 0x00A1, key type 0x0002, payload length (two bytes each, big-endian),
12 bytes of initialisation vector, the payload encrypted by AES-256-GCM, 16 bytes of tag.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from scone.crypto.certificates import load_certificate
from scone.crypto.der import PemBlock, pem_blocks, pem_to_der, spki_of_certificate
from scone.crypto.keys import (
    load_private_key,
    load_public_key,
    private_key_from_pem,
    spki_of_private_key,
    spki_of_public_key,
)
from scone.crypto.secret import SecretBytes
from scone.documents import DocumentError, read_yaml
from scone.errors import LimitError, MalformedError, UsageError, VerificationError
from scone.session.model import MAX_SECRET_SIZE, SecretKind
from scone.session.reading.collect import Collector
from scone.session.reading.templates import fragment
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PrivateKeyValue,
    PublicKeyValue,
    SecretValue,
)
from scone.strict_json import parse_base64, parse_hex

BINARY: Final = "binary"
PKCS1: Final = "PKCS#1"
_HEAD: Final = struct.Struct(">HHH12s")
_VERSION: Final = 0x00A1
_KEY_TYPE: Final = 0x0002
_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_MAX_CERTIFICATES: Final = 8
_AS_TEXT: Final = "with kind: ascii it is taken as text, whatever it is"


def vault_secret(
    text: SecretBytes,
    content_type: str | None,
    kind: SecretKind | None,
    decryption_key: SecretBytes | None = None,
) -> SecretValue:
    """The value that a vault's text means; without `kind` as it looks: certificate, key, or text.

    An unencrypted `binary` is written in hexadecimal digits, as in a session.

    Raises:
        MalformedError: not of the kind, or not of the encrypted form.
        VerificationError: encrypted with another key, or altered.
        LimitError: longer than 65536 bytes.
        UsageError: a kind that a vault cannot hold, or a key that is none.
    """
    if len(text) > MAX_SECRET_SIZE:
        raise LimitError(f"the vault's value has more than {MAX_SECRET_SIZE} bytes")
    if decryption_key is None:
        return _from_text(text, kind)
    payload = decrypt(text, decryption_key)
    match (content_type or "").strip():
        case "binary":
            return _of_kind(BinaryValue(payload), kind, "binary", BINARY)
        case "PKCS#1":
            return _of_kind(PrivateKeyValue(_from_pkcs1(payload)), kind, "private-key", PKCS1)
        case _:
            return _from_text(payload, kind)


def decrypt(text: SecretBytes, key: SecretBytes) -> SecretBytes:
    """The payload of the encrypted form.

    Raises:
        MalformedError: another form; says which part of it.
        VerificationError: encrypted with another key, or altered.
        UsageError: the key has not 32 bytes.
    """
    place = "encrypted value"
    if len(key) != _KEY_BYTES:
        raise UsageError(
            f"decryption_key: expected a binary secret of {_KEY_BYTES} bytes, got {len(key)}"
        )
    try:
        raw = parse_base64(text.reveal().strip().decode("ascii"), place, len(text))
    except (UnicodeDecodeError, MalformedError):
        hint = "is the vault's value encrypted at all? Then leave out decryption_key"
        raise MalformedError(place, "base64", hint=hint) from None
    if len(raw) < _HEAD.size + _TAG_BYTES:
        raise MalformedError(
            place, f"at least {_HEAD.size + _TAG_BYTES} bytes", f"{len(raw)} bytes"
        )
    version, key_type, length, vector = _HEAD.unpack_from(raw)
    if version != _VERSION:
        raise MalformedError(f"{place}.version", f"0x{_VERSION:04X}", f"0x{version:04X}")
    if key_type != _KEY_TYPE:
        raise MalformedError(f"{place}.key_type", f"0x{_KEY_TYPE:04X}", f"0x{key_type:04X}")
    found = len(raw) - _HEAD.size - _TAG_BYTES
    if length != found:
        raise MalformedError(f"{place}.payload_length", f"{found}, as many as follow", f"{length}")
    try:
        return SecretBytes(AESGCM(key.reveal()).decrypt(vector, raw[_HEAD.size :], None))
    except InvalidTag:
        raise VerificationError(
            "the vault's value is encrypted with another key than decryption_key, or altered"
        ) from None


def _of_kind(
    value: SecretValue, kind: SecretKind | None, found: str, content_type: str
) -> SecretValue:
    if kind in {None, found}:
        return value
    raise MalformedError(
        "kind", f"{found}, as the vault says (content type {content_type})", f"{kind}"
    )


def _from_text(raw: SecretBytes, kind: SecretKind | None) -> SecretValue:
    place = "the vault's value"
    try:
        text = raw.reveal().decode("utf-8")
    except UnicodeDecodeError:
        hint = f"set the content type of the secret in the vault to {BINARY}"
        raise MalformedError(place, "UTF-8 text", hint=hint) from None
    match kind:
        case None:
            try:
                return _from_text(raw, _looks_like(text))
            except MalformedError as error:
                error.hint = error.hint or _AS_TEXT
                raise
        case "binary":
            return BinaryValue(_hexadecimal(text, place))
        case "private-key":
            return PrivateKeyValue(private_key_from_pem(text, place))
        case "public-key":
            key = load_public_key(pem_to_der(text, "PUBLIC KEY", place), place)
            return PublicKeyValue(spki_of_public_key(key))
        case "x509" | "x509-ca":
            return _certificate(text, place)
        case "config-fragment":
            return FragmentValue(_fragment(text, place))
        case "ascii" | "aad-token" | "jwt":
            if "\0" in text:
                raise MalformedError(place, "text without NUL")
            return AsciiValue(raw)
        case "pgp-key" | "session-ca":
            raise UsageError(f"a secret of kind {kind} cannot come from a key vault")


def _looks_like(text: str) -> SecretKind:
    """What PEM says that it is; everything else, PKCS#12 in base64 too, is text."""
    if not text.lstrip().startswith("-----BEGIN "):
        return "ascii"
    try:
        labels = [block.label for block in pem_blocks(text)]
    except MalformedError:
        return "ascii"
    if "CERTIFICATE" in labels and set(labels) <= {"CERTIFICATE", "PRIVATE KEY"}:
        return "x509"
    match labels:
        case ["PRIVATE KEY"]:
            return "private-key"
        case ["PUBLIC KEY"]:
            return "public-key"
        case _:
            return "ascii"


def _fragment(text: str, place: str) -> str:
    """YAML or JSON, kept as an explicit value is."""
    c = Collector(place)
    try:
        data = fragment(c, read_yaml(text, place), place)
    except DocumentError:
        data = ""
    if not data or c.problems:
        raise MalformedError(place, "a configuration fragment in YAML or JSON")
    return data


def _certificate(text: str, place: str) -> CertificateValue:
    """A certificate, its issuers behind it, and its key anywhere, as a vault exports them."""
    blocks = pem_blocks(text, place)
    ders = [block.der for block in blocks if block.label == "CERTIFICATE"]
    keys = [block for block in blocks if block.label == "PRIVATE KEY"]
    expected = "certificates in PEM, and at most one PRIVATE KEY"
    if not ders or len(keys) > 1 or len(ders) + len(keys) != len(blocks):
        raise MalformedError(place, expected, ", ".join(block.label for block in blocks) or "none")
    if len(ders) > _MAX_CERTIFICATES:
        raise MalformedError(place, f"at most {_MAX_CERTIFICATES} certificates", f"{len(ders)}")
    for der in ders:
        load_certificate(der, place)
    return CertificateValue(ders[0], _key_of(ders[0], keys, place), tuple(ders[1:]))


def _key_of(certificate: bytes, keys: list[PemBlock], place: str) -> SecretBytes | None:
    if not keys:
        return None
    key = SecretBytes(keys[0].der)
    if spki_of_private_key(key, place) != spki_of_certificate(certificate):
        raise MalformedError(place, "the private key of its first certificate", "another key")
    return key


def _from_pkcs1(payload: SecretBytes) -> SecretBytes:
    place = "decrypted value"
    try:
        key = load_der_private_key(payload.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedError(place, "a PKCS#1 private key in DER") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise MalformedError(place, "a PKCS#1 private key in DER", "a key of another type")
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    value = SecretBytes(pkcs8)
    load_private_key(value, place)
    return value


def _hexadecimal(text: str, place: str) -> SecretBytes:
    try:
        return SecretBytes(parse_hex(text.strip(), place))
    except MalformedError as error:
        error.hint = (
            "leave out kind to have it as text, or encrypt it (decryption_key) and set the "
            f"content type in the vault to {BINARY}"
        )
        raise
