"""What is remembered of an attested CAS: enough to reach it again and nobody else.

Nothing here verifies; that was done by `trust.attest_cas`. Imports no `cryptography`:
listing attested CASes must start fast.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from scone.crypto.der import pem_blocks, spki_of_certificate, to_pem
from scone.crypto.keyhash import key_hash
from scone.errors import MalformedError


@dataclass(frozen=True, slots=True)
class KnownCas:
    """An attested CAS. `chain` is PEM: CN=cas-instance, then its issuer CN=cas."""

    name: str
    url: str
    chain: str
    session_encryption_key: str | None = None
    cas_version: str = ""
    simulated: bool = False
    debug: bool = False
    platform_id: str = ""
    simulation_root: str | None = None
    mrenclave: str = ""
    mrsigner: str = ""
    isvprodid: int = 0
    isvsvn: int = 0
    epoch: int = 0
    database_key_origin: str | None = None
    attested_at: str = ""

    @property
    def certificates(self) -> tuple[bytes, bytes]:
        """The instance certificate and the CAS certificate (DER).

        Raises:
            MalformedError: the chain is not two certificates.
        """
        place = f"chain of the CAS {self.name!r}"
        blocks = pem_blocks(self.chain, place)
        if [block.label for block in blocks] != ["CERTIFICATE", "CERTIFICATE"]:
            raise MalformedError(place, "two certificates in PEM", f"{len(blocks)} PEM blocks")
        leaf, root = blocks
        return leaf.der, root.der

    @property
    def instance_certificate(self) -> str:
        """The CAS software certificate in PEM."""
        return to_pem("CERTIFICATE", self.certificates[0])

    @property
    def cas_certificate(self) -> str:
        """The CAS certificate in PEM."""
        return to_pem("CERTIFICATE", self.certificates[1])

    @property
    def pin(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo that TLS must present."""
        return hashlib.sha256(spki_of_certificate(self.certificates[0])).digest()

    @property
    def cas_key_hash(self) -> str:
        """The hash that identifies this CAS instance."""
        return key_hash(spki_of_certificate(self.certificates[1]))

    @property
    def software_key_hash(self) -> str:
        """The hash of the key that serves TLS."""
        return key_hash(spki_of_certificate(self.certificates[0]))
