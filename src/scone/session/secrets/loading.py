"""Key and certificate objects of secret values, each loaded once for one piece of work.

The values of a session were checked when they were made. Loading a private key with all checks
takes 0.1 s and more for RSA (its primes are tested), so that is not repeated for each use.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scone.crypto.certificates import load_certificate
from scone.crypto.keys import PrivateKey
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError


def load_unchecked_key(pkcs8_der: SecretBytes) -> PrivateKey:
    """The key object of a PKCS#8 DER private key; the numbers of an RSA key are not tested.

    Raises:
        MalformedError: not PKCS#8, or a kind of key that no secret has.
    """
    try:
        key = serialization.load_der_private_key(
            pkcs8_der.reveal(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: OpenSSL's reason may quote the input.
        raise MalformedError("private key", "a PKCS#8 private key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        return key
    raise MalformedError("private key", "a private key of a session", "another type of key")


class Loaded:
    """Objects by the value they were loaded from, the same one and not an equal one."""

    __slots__ = ("_certificates", "_keys")

    def __init__(self) -> None:
        # With the values, whose identity is the key: it stays theirs as long as they live.
        self._keys: dict[int, tuple[SecretBytes, PrivateKey]] = {}
        self._certificates: dict[int, tuple[bytes, x509.Certificate]] = {}

    def key(self, pkcs8_der: SecretBytes) -> PrivateKey:
        """The key object of a private key that was checked when it was made.

        Raises:
            MalformedError: not a private key of a session.
        """
        found = self._keys.get(id(pkcs8_der))
        if found is None:
            found = self._keys[id(pkcs8_der)] = (pkcs8_der, load_unchecked_key(pkcs8_der))
        return found[1]

    def certificate(self, der: bytes) -> x509.Certificate:
        """The certificate object of a certificate in DER.

        Raises:
            MalformedError: not a certificate.
        """
        found = self._certificates.get(id(der))
        if found is None:
            found = self._certificates[id(der)] = (der, load_certificate(der))
        return found[1]
