"""The keys of a CAS instance and where they live in the database.

CAS key: self-signed root CN=cas, whose hash identifies the instance. Software key:
CN=cas-instance, issued by it, one for each measurement and epoch; it serves TLS.
Session encryption key: X25519, for encrypted sessions. docs/secrets.md lists them.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from scone.cas.store.base import Records, Transaction
from scone.crypto import certificates, sealing
from scone.crypto.der import spki_of_certificate, to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, private_key_pem, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError
from scone.owner_config import ApiIdentity
from scone.strict_json import to_base64


@dataclass(frozen=True, slots=True)
class CasKeys:
    """Private keys (PKCS#8 DER; X25519 raw) and certificates (DER) of one instance."""

    root_key: SecretBytes
    root_certificate: bytes
    instance_key: SecretBytes
    instance_certificate: bytes
    encryption_key: SecretBytes

    @property
    def root_spki(self) -> bytes:
        """SubjectPublicKeyInfo of the CAS key."""
        return spki_of_certificate(self.root_certificate)

    @property
    def cas_key_hash(self) -> str:
        """The hash that identifies this CAS instance."""
        return key_hash(self.root_spki)

    @property
    def software_key_hash(self) -> str:
        """The hash of the key that serves TLS."""
        return key_hash(spki_of_certificate(self.instance_certificate))

    @property
    def encryption_public_key(self) -> bytes:
        """The public half of the session encryption key, 32 bytes."""
        return sealing.x25519_public_key(self.encryption_key)

    @property
    def document_chain(self) -> str:
        """PEM chain as the attestation document carries it: CN=cas, then CN=cas-instance."""
        return to_pem("CERTIFICATE", self.root_certificate) + to_pem(
            "CERTIFICATE", self.instance_certificate
        )

    @property
    def tls_chain(self) -> str:
        """PEM chain as TLS sends it: CN=cas-instance, then CN=cas."""
        return to_pem("CERTIFICATE", self.instance_certificate) + to_pem(
            "CERTIFICATE", self.root_certificate
        )

    @property
    def tls_identity(self) -> SecretBytes:
        """PEM of the software key and `tls_chain`: what TLS uses, as server and towards peers."""
        return SecretBytes(private_key_pem(self.instance_key).reveal() + self.tls_chain.encode())


def create_keys(identity: ApiIdentity, now: datetime) -> CasKeys:
    """New keys of every kind: a new instance."""
    root_key = generate_private_key("P-256", os.urandom)
    root_certificate = certificates.create_cas_root(root_key, now=now, random=os.urandom)
    instance_key, instance_certificate = _issue(root_key, root_certificate, None, identity, now)
    return CasKeys(
        root_key,
        root_certificate,
        instance_key,
        instance_certificate,
        sealing.new_x25519_key(os.urandom),
    )


def with_identity(keys: CasKeys, identity: ApiIdentity, now: datetime) -> CasKeys:
    """The same keys with a TLS certificate for other names."""
    _, certificate = _issue(keys.root_key, keys.root_certificate, keys.instance_key, identity, now)
    return CasKeys(
        keys.root_key, keys.root_certificate, keys.instance_key, certificate, keys.encryption_key
    )


def new_software_key(keys: CasKeys, identity: ApiIdentity, now: datetime) -> CasKeys:
    """The same instance with a new software key, for a new epoch."""
    instance_key, certificate = _issue(keys.root_key, keys.root_certificate, None, identity, now)
    return CasKeys(
        keys.root_key, keys.root_certificate, instance_key, certificate, keys.encryption_key
    )


def store_keys(records: Transaction, keys: CasKeys, software: str) -> None:
    """Write all keys; `software` names measurement and epoch of the running CAS."""
    records.put(
        "cas",
        "root-key",
        _json(
            {
                "key": to_base64(keys.root_key.reveal()),
                "certificate": to_base64(keys.root_certificate),
                "encryption_key": keys.encryption_key.reveal().hex(),
            }
        ),
    )
    store_instance(records, keys, software)


def store_instance(records: Transaction, keys: CasKeys, software: str) -> None:
    """Write the software key of the running CAS and its certificate."""
    records.put(
        "cas",
        f"instance-key:{software}",
        _json(
            {
                "key": to_base64(keys.instance_key.reveal()),
                "certificate": to_base64(keys.instance_certificate),
            }
        ),
    )


def load_keys(records: Records, software: str, identity: ApiIdentity, now: datetime) -> CasKeys:
    """The instance's keys; a software key is made where this measurement has none yet.

    The caller writes it (`store_instance`) before it is used.

    Raises:
        IntegrityError: the database holds no CAS key.
    """
    raw = records.get("cas", "root-key")
    if raw is None:
        raise IntegrityError("the database holds no CAS key: it was never provisioned completely")
    root = json.loads(raw)
    root_key = SecretBytes(base64.b64decode(root["key"]))
    root_certificate = base64.b64decode(root["certificate"])
    raw = records.get("cas", f"instance-key:{software}")
    if raw is None:
        instance_key, certificate = _issue(root_key, root_certificate, None, identity, now)
    else:
        instance = json.loads(raw)
        instance_key = SecretBytes(base64.b64decode(instance["key"]))
        certificate = base64.b64decode(instance["certificate"])
    return CasKeys(
        root_key,
        root_certificate,
        instance_key,
        certificate,
        SecretBytes(bytes.fromhex(root["encryption_key"])),
    )


def _issue(
    root_key: SecretBytes,
    root_certificate: bytes,
    instance_key: SecretBytes | None,
    identity: ApiIdentity,
    now: datetime,
) -> tuple[SecretBytes, bytes]:
    key = generate_private_key("P-256", os.urandom) if instance_key is None else instance_key
    names: list[str] = []
    addresses: list[IPv4Address | IPv6Address] = []
    for name in dict.fromkeys(("cas", "localhost", identity.common_name, *identity.alt_names)):
        try:
            addresses.append(ip_address(name))
        except ValueError:
            names.append(name)
    parts = {
        "country_name": identity.country_name,
        "org_name": identity.org_name,
        "state_or_province": identity.state_or_province,
        "locality": identity.locality,
        "email": identity.email,
    }
    certificate = certificates.issue_cas_instance(
        root_key,
        root_certificate,
        spki_of_private_key(key),
        now=now,
        random=os.urandom,
        dns_names=names,
        ip_addresses=addresses,
        subject_parts={name: text for name, text in parts.items() if text is not None},
    )
    return key, certificate


def _json(value: dict[str, str]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
