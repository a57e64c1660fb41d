"""The one table of the session language: every documented key, kind and word.

The reader, its suggestions and its refusals work from this table. `later` marks
what SCONE documents and this version refuses as not yet supported; what is not in
the table is unknown. `since` is the language version that introduced the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """One key of one section."""

    name: str
    what: str
    since: str = "0.2"
    later: bool = False
    required: bool = False


def _section(*fields: Field) -> Mapping[str, Field]:
    return MappingProxyType({field.name: field for field in fields})


def _later(name: str, what: str, since: str = "0.2") -> Field:
    return Field(name, what, since, later=True)


SESSION: Final = _section(
    Field("version", "version of the session language", required=True),
    Field("name", "name of the session, with its namespaces", required=True),
    Field("predecessor", "hash of the session that this one replaces"),
    Field("secrets", "list of secrets"),
    Field("images", "list of images"),
    Field("services", "list of services"),
    Field("access_policy", "who may read, update and create"),
    Field("security", "how services must be attested", "0.3.1"),
    Field("creator", "certificate of who uploaded the session; filled in by the CAS"),
    _later("volumes", "encrypted volumes"),
    _later("salt", "16 bytes that make the hash unpredictable", "0.3.12"),
    _later("namespace_hash", "expected hash of the parent session", "0.3.11"),
    _later("secret_config", "where secrets are stored", "0.3.10"),
)

SERVICE: Final = _section(
    Field("name", "name of the service", required=True),
    Field("command", "program and arguments, one string or a list"),
    Field("environment", "environment variables, a mapping"),
    Field("pwd", "working directory"),
    Field("image_name", "image whose files the service gets"),
    Field("mrenclaves", "list of measurements"),
    Field("attestation", "attestation variants", "0.3.7"),
    Field("persistency", "written by read-backs, always None"),
    _later("platforms", "platforms that the service may run on", "0.3.0"),
    _later("fspf_path", "main file system protection file"),
    _later("fspf_key", "key of the main file system protection file"),
    _later("fspf_tag", "tag of the main file system protection file"),
    _later("fspf_update_policy", "tag update policy", "0.3.11"),
    _later("one_time_password_shared_secret", "second factor", "0.3.10"),
)

VARIANT: Final = _section(
    Field("mrenclave", "a measurement or a list of them", "0.3.7"),
    Field("signer", "who signed the program", "0.3.7"),
)

SIGNER: Final = _section(
    Field("mrsigner", "64 hex digits", "0.3.7", required=True),
    Field("isvprodid", "product number", "0.3.7", required=True),
    Field("isvsvn", "the one security version", "0.3.7"),
    Field("isvsvn_min", "lowest security version", "0.3.7"),
    Field("isvsvn_max", "highest security version", "0.3.7"),
)

SECRET: Final = _section(
    Field("name", "name of the secret", required=True),
    Field("kind", "kind of the secret", required=True),
    Field("value", "explicit value"),
    Field("size", "length of a generated value"),
    Field("key_type", "type of a generated private key", "0.3.4"),
    Field("migrate", "keep the private key at updates", "0.3.7"),
    Field("private_key", "secret with the certificate's private key", "0.3.0"),
    Field("issuer", "x509-ca secret that signs the certificate", "0.3.0"),
    Field("common_name", "common name of the certificate", "0.3.0"),
    Field("endpoint", "server or client", "0.3.0"),
    Field("dns", "DNS name or list of them", "0.3.0"),
    Field("san", 'list of "dns:NAME" and "ip:ADDRESS"', "0.3.10"),
    Field("valid_for", "duration such as 90 days", "0.3.0"),
    _later("import", "secret of another session"),
    _later("export", "sessions that may import the secret"),
    _later("export_public", "the secret is public"),
    _later("import_akv", "secret of a key vault", "0.3.7"),
)

IMAGE: Final = _section(
    Field("name", "name of the image", required=True),
    Field("injection_files", "files with secrets in them"),
    _later("volumes", "volumes and where they are mounted"),
    _later("provide_secrets", "secrets that files of the host may use", "0.3.11"),
)

INJECTION_FILE: Final = _section(
    Field("path", "absolute path of the file", required=True),
    Field("content", "text with placeholders"),
    Field("permission", "octal, such as 0o400", "0.3.10"),
)

ACCESS_POLICY: Final = _section(
    Field("read", "who may read the session"),
    Field("update", "who may update the session"),
    Field("create_sessions", "who may create sessions in this namespace", "0.3.5"),
    _later("list_sessions", "who may list sessions in this namespace", "0.3.12"),
)

ACCESS_ENTRY: Final = _section(
    _later("signer", "public key of a session signer", "0.3.10"),
    _later("require-all", "governance rule", "0.3.10"),
    _later("require-at-least-N", "governance rule", "0.3.10"),
)

SECURITY: Final = _section(
    Field("attestation", "how services must be attested", "0.3.1"),
    _later("singleton_enclaves", "each program is attested once", "0.3.9"),
    _later("service_access_token", "second factor", "0.3.9"),
)

ATTESTATION: Final = _section(
    Field("mode", "hardware or none", "0.3.1"),
    Field("tolerate", "list of tolerated conditions", "0.3.1"),
    Field("ignore_advisories", 'list of INTEL-SA-NNNNN (simulated: SIM-SA-NNNNN), or "*"', "0.3.1"),
    _later("trusted_scone_qe_pubkeys", "keys of quoting enclaves", "0.3.1"),
    _later("url", "address of an attestation service", "0.3.7"),
    _later("certificates", "certificates of an attestation service", "0.3.7"),
    _later("min_rsa_signing_key_size", "size of attestation service keys", "0.3.7"),
    _later("one_time_password_shared_secret", "second factor", "0.3.8"),
    _later("must_be_sgx_local", "local attestation only", "0.3.11"),
)

SECTIONS: Final[Mapping[str, Mapping[str, Field]]] = MappingProxyType(
    {
        "the session": SESSION,
        "services[]": SERVICE,
        "services[].attestation": VARIANT,
        "services[].attestation.signer": SIGNER,
        "secrets[]": SECRET,
        "images[]": IMAGE,
        "images[].injection_files[]": INJECTION_FILE,
        "access_policy": ACCESS_POLICY,
        "access_policy entry": ACCESS_ENTRY,
        "security": SECURITY,
        "security.attestation": ATTESTATION,
    }
)

# What each kind of secret may say beside name and kind.
SECRET_KINDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ascii": frozenset({"value", "size"}),
        "binary": frozenset({"value", "size"}),
        "private-key": frozenset({"value", "key_type", "migrate"}),
        "x509": frozenset(
            {
                "value",
                "private_key",
                "issuer",
                "common_name",
                "endpoint",
                "dns",
                "san",
                "valid_for",
            }
        ),
        "x509-ca": frozenset({"value", "private_key", "issuer", "common_name", "valid_for"}),
    }
)
LATER_SECRET_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "session-ca": "0.2",
        "aad-token": "0.3.7",
        "config-fragment": "0.3.10",
        "pgp-key": "0.3.10",
        "public-key": "0.3.11",
        "jwt": "0.3.12",
    }
)
KEY_TYPES: Final = ("P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072")
ENDPOINTS: Final = ("server", "client")

MODES: Final = ("hardware", "none")
LATER_MODES: Final = ("maa",)
TOLERATE: Final = (
    "debug-mode",
    "hyperthreading",
    "insecure-igpu",
    "software-hardening-needed",
    "aepic-leak",
    "insecure-configuration",
    "outdated-tcb",
    "maa-managed-tcb",
    "local-attestation-trust-cas-tcb",
)
DEPRECATED_TOLERATE: Final[Mapping[str, str]] = MappingProxyType({"debug": "debug-mode"})

# Formats of placeholders; True where the result is raw bytes that no C string can hold.
FORMATS: Final[Mapping[str, Mapping[str, bool]]] = MappingProxyType(
    {
        "ascii": {"": False},
        "binary": {
            "": True,
            "bin": True,
            "hex": False,
            "base64": False,
            "base64url": False,
            "base32": False,
            "base32nopad": False,
            ".hex": False,
        },
        "private-key": {
            "": False,
            "pem": False,
            "pkcs8:pem": False,
            "der": True,
            "pkcs8:der": True,
        },
        "x509": {
            "": False,
            "crt": False,
            "crt:pem": False,
            "crt:der": True,
            "privatekey": False,
            "privatekey:pem": False,
            "privatekey:pkcs8:pem": False,
            "privatekey:der": True,
            "privatekey:pkcs8:der": True,
            "chain": False,
            "pkcs12-with-private-key": True,
            ".crt": False,
            ".key": False,
            ".chain": False,
        },
    }
)

# They act before or while the program starts, so a session's value comes too late
# (SCONE documentation, language page, "environment").
ENVIRONMENT_WITHOUT_EFFECT: Final = frozenset(
    {
        "SCONE_CAS_ADDR",
        "SCONE_CAS_KEY",
        "SCONE_CONFIG_ID",
        "SCONE_HASH",
        "SCONE_HEAP",
        "SCONE_LAS_ADDR",
        "SCONE_MIN_HEAP",
        "SCONE_STACK",
        "SCONE_TCS",
        "SCONE_VERSION",
    }
)
# They change which libraries run after the measurement was taken.
ENVIRONMENT_OF_LOADER: Final = frozenset({"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"})


def formats_of(kind: str) -> Mapping[str, bool]:
    """The placeholder formats of a kind of secret."""
    return FORMATS["x509" if kind == "x509-ca" else kind]
