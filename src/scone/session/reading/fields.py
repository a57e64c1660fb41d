"""The one table of the session language: every documented key, kind and word.

The reader, its suggestions, the JSON Schema and the documentation work from this table;
what is not in it is unknown. `since` is the language version that introduced the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """One key of one section; `secret`: what stands there is never shown by errors and programs."""

    name: str
    what: str
    since: str = "0.2"
    required: bool = False
    secret: bool = False


def _section(*fields: Field) -> Mapping[str, Field]:
    return MappingProxyType({field.name: field for field in fields})


SESSION: Final = _section(
    Field("version", "version of the session language", required=True),
    Field("name", "name of the session, with its namespaces", required=True),
    Field("predecessor", "hash of the session that this one replaces"),
    Field("namespace_hash", "expected hash of the parent session", "0.3.11"),
    Field("salt", "16 bytes (32 hex digits) that make the hash unpredictable", "0.3.12"),
    Field("secrets", "list of secrets"),
    Field("volumes", "list of encrypted volumes"),
    Field("images", "list of images"),
    Field("services", "list of services"),
    Field("access_policy", "who may read, update, create and list"),
    Field("security", "how services must be attested", "0.3.1"),
    Field("secret_config", "where secrets are stored", "0.3.10"),
    Field("creator", "who uploaded or signed the session; filled in by the CAS or the CLI"),
)

SERVICE: Final = _section(
    Field("name", "name of the service", required=True),
    Field("command", "program and arguments, one string or a list", secret=True),
    Field("environment", "environment variables, a mapping", secret=True),
    Field("pwd", "working directory"),
    Field("image_name", "image whose files and volumes the service gets"),
    Field("mrenclaves", "list of measurements"),
    Field("attestation", "attestation variants", "0.3.7"),
    Field("platforms", "platforms that the service may run on", "0.3.0"),
    Field("fspf_path", "path of the main file system protection file"),
    Field("fspf_key", "key of the main file system protection file", secret=True),
    Field("fspf_tag", "tag of the main file system protection file"),
    Field("fspf_update_policy", "how that tag may change", "0.3.11"),
    Field("one_time_password_shared_secret", "second factor, base32", "0.3.10", secret=True),
    Field("persistency", "written by read-backs, always None"),
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
    Field("kind", "kind of the secret"),
    Field("value", "explicit value", secret=True),
    Field("size", "length of a generated value"),
    Field("key_type", "type of a generated private key", "0.3.4"),
    Field("migrate", "keep the private key at updates", "0.3.7"),
    Field("private_key", "secret with the private key (aad-token: the key itself, PEM)", "0.3.0"),
    Field("issuer", "x509-ca secret that signs the certificate", "0.3.0"),
    Field("common_name", "common name of the certificate", "0.3.0"),
    Field("endpoint", "server or client", "0.3.0"),
    Field("dns", "DNS name or list of them", "0.3.0"),
    Field("san", 'list of "dns:NAME" and "ip:ADDRESS"', "0.3.10"),
    Field("valid_for", "duration such as 90 days", "0.3.0"),
    Field("signer", "private-key secret (P-384) that signs the token", "0.3.12"),
    Field("alg", "algorithm of the token, ES384", "0.3.12"),
    Field("validity", "how long the token is valid", "0.3.12"),
    Field("payload", "claims of the token, a mapping of texts", "0.3.12", secret=True),
    Field("tenant_id", "Azure tenant", "0.3.7"),
    Field("client_id", "Azure application", "0.3.7"),
    Field("application_secret", "shared secret of the Azure application", "0.3.7", secret=True),
    Field("certificate_thumbprint", "certificate of the Azure application", "0.3.7"),
    Field("import", "secret of another session"),
    Field("import_akv", "secret of an Azure Key Vault", "0.3.7"),
    Field("export", "sessions that may import the secret"),
    Field("export_public", "everybody may read the secret"),
)

VALIDITY: Final = _section(Field("for", "duration such as 24h", "0.3.12", required=True))

IMPORT_AKV: Final = _section(
    Field("vault", "address of the key vault", "0.3.7", required=True),
    Field("secret_name", "name of the secret in the vault", "0.3.7"),
    Field("token", "$$SCONE::NAME$$ of an aad-token", "0.3.7"),
    Field("decryption_key", "$$SCONE::NAME$$ of a binary secret of 32 bytes", "0.3.10"),
)

_REFERENCE: Final = (
    Field("session", "name of a session"),
    Field("session_hash", "hash that its active version must have", "0.3.0"),
    Field("cas_url", "address of the CAS that has it", "0.3.0"),
    Field("cas_key", "key hash of that CAS", "0.3.0"),
    Field("cas_software_key", "software key hash of that CAS", "0.3.0"),
)

IMPORT: Final = _section(*_REFERENCE, Field("secret", "name of the secret there", "0.3.0"))

EXPORT: Final = _section(
    *_REFERENCE, Field("namespace", "name of a session: it and all below it", "0.3.6")
)

VOLUME: Final = _section(
    Field("name", "name of the volume", required=True),
    Field("fspf_key", "key, 64 hex digits or $$SCONE::NAME$$ of a binary secret", secret=True),
    Field("fspf_tag", "tag of the initial state, 32 hex digits"),
    Field("files", "encrypted or authenticated-only", "0.3.11"),
    Field("import", "volume of another session"),
    Field("export", "sessions that may import the volume"),
)

VOLUME_IMPORT: Final = _section(
    Field("session", "name of a session of this CAS"),
    Field("session_hash", "hash that its active version must have", "0.3.0"),
    Field("volume", "name or alias of the volume there", "0.3.0"),
)

VOLUME_EXPORT: Final = _section(
    Field("session", "name of a session of this CAS"),
    Field("session_hash", "hash that its active version must have", "0.3.0"),
    Field("to", "session and session_hash, beside an update_policy or alias", "0.3.2"),
    Field("update_policy", "what importing sessions may do to the state", "0.3.2"),
    Field("volume_alias", "name of the volume for that session", "0.3.10"),
)

VOLUME_EXPORT_TO: Final = _section(
    Field("session", "name of a session of this CAS"),
    Field("session_hash", "hash that its active version must have", "0.3.0"),
)

IMAGE: Final = _section(
    Field("name", "name of the image", required=True),
    Field("volumes", "volumes and where they are mounted"),
    Field("injection_files", "files with secrets in them"),
    Field("provide_secrets", "secrets that files of the host may use", "0.3.11"),
)

IMAGE_VOLUME: Final = _section(
    Field("name", "name of a volume of this session", required=True),
    Field("path", "absolute path of the directory", required=True),
    Field("update_policy", "how the state may change", "0.3.2"),
)

INJECTION_FILE: Final = _section(
    Field("path", "absolute path of the file", required=True),
    Field("content", "text with placeholders", secret=True),
    Field("permission", "octal, such as 0o400", "0.3.10"),
)

ACCESS_POLICY: Final = _section(
    Field("read", "who may read the session"),
    Field("update", "who may update the session"),
    Field("create_sessions", "who may create sessions in this namespace", "0.3.5"),
    Field("list_sessions", "who may list sessions in this namespace", "0.3.12"),
)

ACCESS_ENTRY: Final = _section(
    Field("signer", "public key of a session signer, PEM", "0.3.10"),
    Field("require-all", "every entry of a list", "0.3.10"),
    Field("require-at-least-N", "N entries of a list", "0.3.10"),
)

SECURITY: Final = _section(
    Field("attestation", "how services must be attested", "0.3.1"),
    Field("singleton_enclaves", "each start of a program is attested once", "0.3.9"),
    Field("service_access_token", "second factor", "0.3.9", secret=True),
)

ATTESTATION: Final = _section(
    Field("mode", "hardware, maa or none", "0.3.1"),
    Field("tolerate", "list of tolerated conditions", "0.3.1"),
    Field("ignore_advisories", 'list of INTEL-SA-NNNNN (simulated: SIM-SA-NNNNN), or "*"', "0.3.1"),
    Field("trusted_scone_qe_pubkeys", "keys of SCONE quoting enclaves; no effect", "0.3.1"),
    Field("url", "address of Microsoft Azure Attestation", "0.3.7"),
    Field("certificates", "CA certificates of that address", "0.3.7"),
    Field("min_rsa_signing_key_size", "no effect since SCONE 5.8", "0.3.7"),
    Field("one_time_password_shared_secret", "second factor, base32", "0.3.8", secret=True),
    Field("must_be_sgx_local", "local attestation only", "0.3.11"),
)

SECRET_CONFIG: Final = _section(Field("store_in", "!cas or !akv", "0.3.10", required=True))

AKV_STORE: Final = _section(
    Field("vault", "address of the key vault", "0.3.10", required=True),
    Field("token", "$$SCONE::NAME$$ of an aad-token", "0.3.10"),
)

SIGNED_CREATOR: Final = _section(
    Field("signer", "public key of the session's signer, PEM", "0.3.10")
)

SECTIONS: Final[Mapping[str, Mapping[str, Field]]] = MappingProxyType(
    {
        "the session": SESSION,
        "services[]": SERVICE,
        "services[].attestation": VARIANT,
        "services[].attestation.signer": SIGNER,
        "secrets[]": SECRET,
        "secrets[].validity": VALIDITY,
        "secrets[].import": IMPORT,
        "secrets[].export[]": EXPORT,
        "secrets[].import_akv": IMPORT_AKV,
        "volumes[]": VOLUME,
        "volumes[].import": VOLUME_IMPORT,
        "volumes[].export[]": VOLUME_EXPORT,
        "volumes[].export[].to": VOLUME_EXPORT_TO,
        "images[]": IMAGE,
        "images[].volumes[]": IMAGE_VOLUME,
        "images[].injection_files[]": INJECTION_FILE,
        "access_policy": ACCESS_POLICY,
        "access_policy entry": ACCESS_ENTRY,
        "security": SECURITY,
        "security.attestation": ATTESTATION,
        "secret_config": SECRET_CONFIG,
        "secret_config.store_in": AKV_STORE,
        "creator": SIGNED_CREATOR,
    }
)

SECRET_KEYS: Final = frozenset(
    field.name for section in SECTIONS.values() for field in section.values() if field.secret
)

# What each kind of secret may say beside name, kind, import, import_akv and the exports.
_CERTIFICATE_PARAMETERS: Final = frozenset(
    {"value", "private_key", "issuer", "common_name", "valid_for"}
)
SECRET_KINDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ascii": frozenset({"value", "size"}),
        "binary": frozenset({"value", "size"}),
        "private-key": frozenset({"value", "key_type", "migrate"}),
        "public-key": frozenset({"value", "private_key"}),
        "x509": _CERTIFICATE_PARAMETERS | {"endpoint", "dns", "san"},
        "x509-ca": _CERTIFICATE_PARAMETERS,
        "session-ca": frozenset(),
        "pgp-key": frozenset(),
        "aad-token": frozenset(
            {
                "tenant_id",
                "client_id",
                "application_secret",
                "private_key",
                "certificate_thumbprint",
            }
        ),
        "config-fragment": frozenset({"value"}),
        "jwt": frozenset({"signer", "alg", "validity", "payload"}),
    }
)
# The versions that have a kind; one that is not here is in all.
KINDS_SINCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "private-key": "0.3.0",
        "aad-token": "0.3.7",
        "config-fragment": "0.3.10",
        "pgp-key": "0.3.10",
        "public-key": "0.3.11",
        "jwt": "0.3.12",
    }
)
KINDS_OF_0_2_ALONE: Final = frozenset({"session-ca"})
KEY_TYPES: Final = ("P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072")
ENDPOINTS: Final = ("server", "client")

MODES: Final = ("hardware", "maa", "none")
TAG_POLICIES: Final = ("rollback_protected", "ephemeral", "no_rollback_protection")
FSPF_POLICIES: Final = ("rollback_protected_reinitializable", "no_rollback_protection")
FILES_MODES: Final = ("encrypted", "authenticated-only")
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
        "public-key": {"": False, "spki:pem": False, "spki:der": True},
        "pgp-key": {
            "privatekey:asciiarmored": False,
            "privatekey:binary": True,
            "privatekey:base64": False,
            "publickey:asciiarmored": False,
            "publickey:binary": True,
            "publickey:base64": False,
        },
        "session-ca": {"": False, ".crt": False, ".chain": False},
        "aad-token": {"": False},
        "jwt": {"": False},
        "config-fragment": {"": False},
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


def formats_of(kind: str | None) -> Mapping[str, bool]:
    """The placeholder formats of a kind of secret; of all kinds where it is not known (None)."""
    if kind is None:
        return _ALL_FORMATS
    return FORMATS["x509" if kind == "x509-ca" else kind]


_ALL_FORMATS: Final = {form: False for forms in FORMATS.values() for form in forms}
