"""PEM texts inside sessions (RFC 7468), rewritten in one form so that hashes agree.

Certificates are parsed; of a private key only the outer shape is looked at here, the key
itself is read where secrets are made.
"""

from __future__ import annotations

from typing import Final

from scone.crypto.der import check_pkcs8, pem_blocks, to_pem
from scone.crypto.keyhash import decode_base58check
from scone.errors import MalformedError

_OLD_SIGNER_VERSION: Final = 0x0A
ED25519_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
P384_SPKI_PREFIX: Final = bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200")
_MAX_CERTIFICATES: Final = 8  # a leaf and its chain


def _blocks(text: str, label: str, place: str, hint: str = "") -> list[bytes]:
    blocks = pem_blocks(text, place)
    other = next((block.label for block in blocks if block.label != label), "")
    if other or not blocks:
        raise MalformedError(place, f"PEM with -----BEGIN {label}-----", other, hint=hint)
    return [block.der for block in blocks]


def certificates_text(text: str, *, place: str) -> str:
    """One or more certificates, rewritten: 64 columns, LF, one final newline.

    Raises:
        MalformedError: not PEM, or not X.509.
    """
    ders = _blocks(text, "CERTIFICATE", place)
    if len(ders) > _MAX_CERTIFICATES:
        raise MalformedError(place, f"at most {_MAX_CERTIFICATES} certificates", f"{len(ders)}")
    # Imported here: sessions without certificates are read by commands whose start is timed.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    for der in ders:
        try:
            x509.load_der_x509_certificate(der).public_key()
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise MalformedError(place, "an X.509 certificate with a supported key") from error
    return "".join(to_pem("CERTIFICATE", der) for der in ders)


def certificate_text(text: str, *, place: str) -> str:
    """Exactly one certificate, rewritten.

    Raises:
        MalformedError: not PEM, not X.509, or several.
    """
    rewritten = certificates_text(text, place=place)
    if rewritten.count("-----BEGIN ") != 1:
        raise MalformedError(place, "one certificate", "several")
    return rewritten


def private_key_text(text: str, *, place: str) -> str:
    """One PKCS#8 private key, rewritten; only its outer shape is checked.

    Raises:
        MalformedError: not one PKCS#8 PEM block.
    """
    hint = "convert it: openssl pkcs8 -topk8 -nocrypt -in KEY"
    keys = _blocks(text, "PRIVATE KEY", place, hint)
    if len(keys) != 1:
        raise MalformedError(place, "one private key", f"{len(keys)}")
    try:
        check_pkcs8(keys[0])
    except MalformedError:  # its words are about DER
        expected = "a PKCS#8 private key (RSA, elliptic curve or Ed25519)"
        raise MalformedError(place, expected, "other data", hint=hint) from None
    return to_pem("PRIVATE KEY", keys[0])


def public_key_text(text: str, *, place: str) -> str:
    """One public key (SubjectPublicKeyInfo), rewritten.

    Raises:
        MalformedError: not one PUBLIC KEY in PEM, or a key that is not supported.
    """
    return to_pem("PUBLIC KEY", _public_key(text, place))


def signing_key_text(text: str, *, place: str) -> str:
    """The public key of a session signer, Ed25519 or P-384, as PEM in one form.

    The older notation (Base58Check of 0x0a and the raw Ed25519 key) is read too.

    Raises:
        MalformedError: another key, or none.
    """
    expected = "a public key (Ed25519 or P-384) in PEM"
    if not text.lstrip().startswith("-----BEGIN "):
        try:
            version, raw = decode_base58check(text.strip(), place=place)
        except MalformedError as error:
            raise MalformedError(place, expected) from error
        if version != _OLD_SIGNER_VERSION:
            hint = "scone self show-session-signing-key prints the key of a signer"
            raise MalformedError(place, expected, "the hash of a key", hint=hint)
        return to_pem("PUBLIC KEY", ED25519_SPKI_PREFIX + raw)
    der = _public_key(text, place)
    if not der.startswith((ED25519_SPKI_PREFIX, P384_SPKI_PREFIX)):
        raise MalformedError(place, expected, "a key of another type")
    return to_pem("PUBLIC KEY", der)


def _public_key(text: str, place: str) -> bytes:
    keys = _blocks(text, "PUBLIC KEY", place)
    if len(keys) != 1:
        raise MalformedError(place, "one public key", f"{len(keys)}")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    try:
        key = load_der_public_key(keys[0])
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError(place, "a public key of a supported type") from error
    # Written again, so that one key has one text.
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
