"""A user's identity: a private key and the certificate that it presents (TLS client).

On disk one PEM text: PKCS#8 private key, then X.509 certificate, as the SCONE CLI keeps it in
`identity` of its state (docs/formats/certificates.md). Showing an identity imports only `der`;
the checks that need `cryptography` are in `parse_identity`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scone.crypto.der import (
    PemBlock,
    pem_blocks,
    pem_to_der,
    pkcs8_version_1,
    spki_of_certificate,
    to_pem,
)
from scone.crypto.keyhash import key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError

_EXPECTED: Final = "a PEM PKCS#8 private key followed by an X.509 certificate"
_HINT: Final = "put both into one file: cat key.pkcs8.pem certificate.pem > identity.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key pair with its certificate; the access policies of sessions name its key hash."""

    private_key_pem: SecretBytes
    certificate_pem: str

    @property
    def pem(self) -> SecretBytes:
        """Key, then certificate, one text: the form of the state file and of `--identity`."""
        return SecretBytes(self.private_key_pem.reveal() + self.certificate_pem.encode("ascii"))

    @property
    def certificate_der(self) -> bytes:
        """The certificate in DER."""
        return pem_to_der(self.certificate_pem, "CERTIFICATE", "identity certificate")

    @property
    def spki_der(self) -> bytes:
        """The certificate's SubjectPublicKeyInfo in DER."""
        return spki_of_certificate(self.certificate_der)

    @property
    def key_hash(self) -> str:
        """The SCONE key hash of the public key."""
        return key_hash(self.spki_der)


def create_identity(random: Callable[[int], bytes]) -> Identity:
    """A new identity as the SCONE CLI makes one: P-256, self-signed, valid 1975 to 4096."""
    from scone.crypto.certificates import create_identity_certificate
    from scone.crypto.keys import generate_private_key, private_key_pem

    key = generate_private_key("P-256", random)
    certificate = create_identity_certificate(key, random=random)
    return Identity(private_key_pem(key), to_pem("CERTIFICATE", certificate))


def read_identity(data: bytes, source: str = "identity") -> Identity:
    """An identity by its form alone: two PEM blocks in order, a certificate with a public key.

    For a state file that this program wrote; anything else goes through `parse_identity`.

    Raises:
        MalformedError: another form.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError(source, _EXPECTED, "bytes that are not ASCII", hint=_HINT) from None
    blocks = pem_blocks(text, source)
    _check_order(blocks, source)
    key, certificate = blocks
    identity = Identity(
        SecretBytes(to_pem("PRIVATE KEY", pkcs8_version_1(key.der)).encode("ascii")),
        to_pem("CERTIFICATE", certificate.der),
    )
    try:
        spki_of_certificate(certificate.der)
    except MalformedError as error:
        raise error.within(f"{source}: the certificate is damaged") from None
    return identity


def parse_identity(data: bytes, source: str = "identity") -> Identity:
    """An identity that is whole: accepted key type, and key and certificate belong together.

    Raises:
        MalformedError: another form, key format or key type, or a certificate of another key.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    from scone.crypto.keys import check_public_key, spki_of_private_key, spki_of_public_key

    identity = read_identity(data, source)
    place = f"{source}: private key"
    key_der = SecretBytes(
        pem_to_der(identity.private_key_pem.reveal().decode("ascii"), "PRIVATE KEY", place)
    )
    own = spki_of_private_key(key_der, place)
    place = f"{source}: certificate"
    try:
        certificate = x509.load_der_x509_certificate(identity.certificate_der)
        public_key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise MalformedError(place, "an X.509 certificate in DER") from error
    if spki_of_public_key(check_public_key(public_key, place)) != own:
        raise MalformedError(
            source,
            "a certificate of this private key",
            "a certificate of another key",
            hint="check which certificate belongs to the key: openssl pkey -in key.pem -pubout",
        )
    return identity


def _check_order(blocks: tuple[PemBlock, ...], source: str) -> None:
    from scone.crypto.pem_labels import refuse_foreign_key_format

    for block in blocks:
        refuse_foreign_key_format(block.label, source)
    labels = [block.label for block in blocks]
    if labels == ["PRIVATE KEY", "CERTIFICATE"]:
        return
    if labels == ["CERTIFICATE", "PRIVATE KEY"]:
        got = "the certificate first"
    elif not labels:
        got = "no PEM block"
    elif labels == ["PRIVATE KEY"]:
        got = "no certificate"
    elif labels == ["CERTIFICATE"]:
        got = "no private key"
    else:
        got = ", ".join(labels)
    raise MalformedError(source, _EXPECTED, got, hint=_HINT)
