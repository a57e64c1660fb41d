"""Private keys as PKCS#8 and public keys as SubjectPublicKeyInfo, both DER.

The key types are those of SCONE's session language (0.3, "private-key"). Keys on curves
come from the `random` argument alone; RSA primes come from OpenSSL's own generator, which
takes no source of randomness (docs/formats/certificates.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scone.crypto.der import pem_blocks, pkcs8_version_1, to_pem
from scone.crypto.pem_labels import refuse_foreign_key_format
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError, VerificationError

Random = Callable[[int], bytes]
KeyType = Literal["P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072"]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

KEY_TYPES: Final[tuple[KeyType, ...]] = get_args(KeyType)
ACCEPTED_KEYS: Final = "a P-256, P-384, Ed25519 or RSA key (2048 to 8192 bits)"
# FIPS 186-5, appendix A.2.1: 64 bits more than the order, so that the bias is below 2^-64.
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER: Final = int(
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
    "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    16,
)
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # a larger modulus costs the verifier seconds
_CURVES: Final = ("secp256r1", "secp384r1")


def generate_private_key(key_type: KeyType, random: Random) -> SecretBytes:
    """A new private key, PKCS#8 DER."""
    key: PrivateKey
    match key_type:
        case "P-256":
            scalar = int.from_bytes(random(40), "big") % (_P256_ORDER - 1) + 1
            key = ec.derive_private_key(scalar, ec.SECP256R1())
        case "P-384":
            scalar = int.from_bytes(random(56), "big") % (_P384_ORDER - 1) + 1
            key = ec.derive_private_key(scalar, ec.SECP384R1())
        case "Ed25519":
            key = ed25519.Ed25519PrivateKey.from_private_bytes(random(32))
        case "RSA-2048":
            key = rsa.generate_private_key(65537, 2048)
        case "RSA-3072":
            key = rsa.generate_private_key(65537, 3072)
    return _pkcs8(key)


def load_private_key(pkcs8_der: SecretBytes, place: str = "private key") -> PrivateKey:
    """The key object of a PKCS#8 DER private key of an accepted type.

    Raises:
        MalformedError: not PKCS#8, or a key of another type.
    """
    try:
        key = serialization.load_der_private_key(pkcs8_der.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: OpenSSL's reason may quote the input.
        raise MalformedError(place, "a PKCS#8 private key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        check_public_key(key.public_key(), place)
        return key
    raise MalformedError(place, ACCEPTED_KEYS, "another type of key")


def load_public_key(spki_der: bytes, place: str = "public key") -> PublicKey:
    """The key object of a SubjectPublicKeyInfo (DER) of an accepted type.

    Raises:
        MalformedError: not a public key, or one of another type.
    """
    try:
        key = serialization.load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MalformedError(place, "a SubjectPublicKeyInfo in DER") from error
    return check_public_key(key, place)


def check_public_key(key: object, place: str) -> PublicKey:
    """The same key, if it is of an accepted type and size.

    Raises:
        MalformedError: another type of key, or an RSA key of another size.
    """
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        refusal = _refusal(key)
        if refusal is None:
            return key
        raise MalformedError(place, ACCEPTED_KEYS, refusal)
    raise MalformedError(place, ACCEPTED_KEYS, "another type of key")


def private_key_from_pem(text: str, place: str = "private key") -> SecretBytes:
    """PKCS#8 DER of a text with exactly one PEM PKCS#8 private key of an accepted type.

    Raises:
        MalformedError: another format (with the command that converts it), another type of key.
    """
    blocks = pem_blocks(text, place)
    for block in blocks:
        refuse_foreign_key_format(block.label, place)
    if len(blocks) != 1 or blocks[0].label != "PRIVATE KEY":
        got = ", ".join(block.label for block in blocks) or "no PEM block"
        raise MalformedError(place, "one block -----BEGIN PRIVATE KEY-----", got)
    value = SecretBytes(pkcs8_version_1(blocks[0].der))
    load_private_key(value, place)
    return value


def private_key_pem(pkcs8_der: SecretBytes) -> SecretBytes:
    """PEM (`BEGIN PRIVATE KEY`) of a PKCS#8 DER private key."""
    return SecretBytes(to_pem("PRIVATE KEY", pkcs8_der.reveal()).encode("ascii"))


def spki_of_private_key(pkcs8_der: SecretBytes, place: str = "private key") -> bytes:
    """SubjectPublicKeyInfo (DER) of the public half of a private key.

    Raises:
        MalformedError: not a private key of an accepted type.
    """
    return spki_of_public_key(load_private_key(pkcs8_der, place).public_key())


def spki_of_public_key(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo (DER) of a key object."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_type_of(pkcs8_der: SecretBytes) -> str:
    """`P-256`, `P-384`, `Ed25519` or `RSA-<bits>`.

    Raises:
        MalformedError: not a private key of an accepted type.
    """
    key = load_private_key(pkcs8_der)
    match key:
        case ed25519.Ed25519PrivateKey():
            return "Ed25519"
        case rsa.RSAPrivateKey():
            return f"RSA-{key.key_size}"
        case _:
            return f"P-{key.curve.key_size}"


def sign_p256(pkcs8_der: SecretBytes, message: bytes) -> bytes:
    """ECDSA with SHA-256 (FIPS 186-5) over a message, signature in DER.

    Raises:
        UsageError: a key that is not P-256.
        MalformedError: not a private key.
    """
    key = load_private_key(pkcs8_der)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise UsageError("only a P-256 key signs with ECDSA and SHA-256")
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def verify_p256(spki_der: bytes, signature: bytes, message: bytes, place: str) -> None:
    """Check an ECDSA signature with SHA-256 by a P-256 key.

    Raises:
        VerificationError: a wrong signature, or a key of another type.
        MalformedError: not a public key.
    """
    key = load_public_key(spki_der, place)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise VerificationError(f"{place}: expected a signature by a P-256 key, got another key")
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise VerificationError(f"{place}: the signature is not by this key") from None


def _pkcs8(key: PrivateKey) -> SecretBytes:
    return SecretBytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _refusal(key: PublicKey) -> str | None:
    """What is wrong with a key's size or curve, if anything."""
    match key:
        case ec.EllipticCurvePublicKey():
            return None if key.curve.name in _CURVES else f"the curve {key.curve.name}"
        case rsa.RSAPublicKey():
            good = _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS
            return None if good else f"an RSA key of {key.key_size} bits"
        case _:
            return None
