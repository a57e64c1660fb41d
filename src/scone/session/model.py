"""The session as a value: what it means, without how it was written.

Defaults are filled in or None as the fields say; texts are as the canonical form
has them (docs/formats/session-hash.md). Text that may carry secrets is not in `repr`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from scone.errors import MalformedError, NotFoundError
from scone.session.pem import certificate_text, signing_key_text

SecretKind = Literal[
    "ascii",
    "binary",
    "private-key",
    "public-key",
    "x509",
    "x509-ca",
    "session-ca",
    "pgp-key",
    "aad-token",
    "config-fragment",
    "jwt",
]
KeyType = Literal["P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072"]
Endpoint = Literal["server", "client"]
AttestationMode = Literal["hardware", "maa", "none"]
TagPolicy = Literal["rollback_protected", "ephemeral", "no_rollback_protection"]
FspfPolicy = Literal["rollback_protected_reinitializable", "no_rollback_protection"]
FilesMode = Literal["encrypted", "authenticated-only"]

CREATOR: Final = "CREATOR"
ANY: Final = "ANY"
NONE: Final = "NONE"

DEFAULT_SECRET_SIZE: Final = 20
# Arguments and environments are bounded by the kernel (128 KiB for one string), files by 1 MiB.
MAX_SECRET_SIZE: Final = 65_536
MAX_GENERATED: Final = 1024 * 1024
"""Sum of the sizes of a session's generated ascii and binary values: as much as its text."""
MIN_VALID_FOR: Final = 3600
"""Seconds; with less, starting a service would make certificates again each time."""
# Certificate chains in use have three or four; this also ends circles.
MAX_ISSUERS: Final = 8
MAX_COMMON_NAME: Final = 64  # RFC 5280, A.1: ub-common-name
VOLUME_KEY_BYTES: Final = 32  # AES-256
RESERVED_CLAIMS: Final = ("iat", "nbf", "exp")
"""The claims of a token that the CAS sets when it makes it, in seconds since 1970."""
DEFAULT_KEY_TYPE: Final[KeyType] = "P-256"
DEFAULT_PERMISSION: Final = 0o700
STRICTEST_FIRST: Final[tuple[TagPolicy | FspfPolicy, ...]] = (
    "ephemeral",
    "rollback_protected",
    "rollback_protected_reinitializable",
    "no_rollback_protection",
)
"""Update policies; the one that lets an attacker bring back less comes first."""
DEFAULT_TAG_POLICY: Final[TagPolicy] = "rollback_protected"
DEFAULT_FSPF_POLICY: Final[FspfPolicy] = "rollback_protected_reinitializable"


@dataclass(frozen=True, slots=True)
class Template:
    """A section in which secrets stand for parts; `read_resolved` gives its meaning.

    `data` is compact JSON: objects with keys in the order of `fields`, all scalars as text.
    """

    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionReference:
    """Which sessions are meant: one (`session`), or a namespace and all below it.

    Names are as written, also relative (`..`, `../x`, `./x`); `sharing` resolves them. With
    `cas_url`, exactly one of the key hashes says which CAS it must be.
    """

    session: str | None = None
    namespace: str | None = None
    session_hash: str | None = None
    cas_url: str | None = None
    cas_key: str | None = None
    cas_software_key: str | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """What another session exports: a secret or volume by its (or its alias's) name there."""

    source: SessionReference
    name: str


@dataclass(frozen=True, slots=True)
class AkvImport:
    """A secret of an Azure Key Vault; `token` and `decryption_key` name secrets.

    `secret_name` None: the name of the secret here; `token` None: the only aad-token.
    """

    vault: str
    secret_name: str | None = None
    token: str | None = None
    decryption_key: str | None = None


@dataclass(frozen=True, slots=True)
class AadToken:
    """Credentials of an Azure application: a shared secret, or a key (PEM) and a thumbprint."""

    tenant_id: str
    client_id: str
    application_secret: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    certificate_thumbprint: str | None = None


@dataclass(frozen=True, slots=True)
class Jwt:
    """What a token says and who signs it; `payload` in the order of the file, text only."""

    signer: str
    valid_for: Duration
    alg: Literal["ES384"] = "ES384"
    payload: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed the program: MRSIGNER, product and security version (bounds inclusive)."""

    mrsigner: str
    isvprodid: int
    isvsvn: int | None = None
    isvsvn_min: int | None = None
    isvsvn_max: int | None = None

    def admits_svn(self, isvsvn: int) -> bool:
        """Whether a program of this security version is meant."""
        if self.isvsvn is not None:
            return isvsvn == self.isvsvn
        return (self.isvsvn_min is None or isvsvn >= self.isvsvn_min) and (
            self.isvsvn_max is None or isvsvn <= self.isvsvn_max
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to be the service: all that is given must match, one of `mrenclaves` if any."""

    mrenclaves: tuple[str, ...] = ()
    signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class Service:
    r"""A program, its configuration and who may receive it.

    `environment` is sorted by name; `\@\@NAME` with an empty value is a variable of the host, as
    the word `@@1` is an argument of it. `attestation` and `mrenclaves` exclude each other. `fspf_key` and the
    OTP secret may be a placeholder.
    """

    name: str
    command: str | tuple[str, ...] | None = field(default=None, repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pwd: str | None = None
    image_name: str | None = None
    attestation: tuple[Variant, ...] | Template = ()
    mrenclaves: tuple[str, ...] = ()
    platforms: tuple[str, ...] | Template = ()
    fspf_path: str | None = None
    fspf_key: str | None = field(default=None, repr=False)
    fspf_tag: str | None = None
    fspf_update_policy: FspfPolicy = DEFAULT_FSPF_POLICY
    one_time_password_shared_secret: str | None = field(default=None, repr=False)

    @property
    def variants(self) -> tuple[Variant, ...] | Template:
        """All variants, of which one must match, however they were written."""
        return (Variant(self.mrenclaves),) if self.mrenclaves else self.attestation


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span as it was written, and in whole seconds."""

    text: str
    seconds: int


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret to generate, to fetch, or with its explicit `value`.

    `value` is lower-case hex for binary, compact JSON for config-fragment. `kind` is None only
    where an imported secret may be of any kind. None elsewhere stands for the default of the
    kind (`effective_size`, `effective_key_type`), which is never written out.
    """

    name: str
    kind: SecretKind | None
    value: str | None = field(default=None, repr=False)
    size: int | None = None
    key_type: KeyType | None = None
    migrate: bool = False
    private_key: str | None = None
    issuer: str | None = None
    common_name: str | None = None
    endpoint: Endpoint | None = None
    dns: tuple[str, ...] = ()
    san: tuple[str, ...] = ()
    valid_for: Duration | None = None
    aad: AadToken | None = None
    jwt: Jwt | None = None
    imported: Import | None = None
    akv: AkvImport | None = None
    exports: tuple[SessionReference, ...] = ()
    export_public: bool = False

    @property
    def is_foreign(self) -> bool:
        """Whether the value comes from another session or a vault each time it is needed."""
        return self.imported is not None or self.akv is not None

    @property
    def is_sized(self) -> bool:
        """Whether a value of `effective_size` is generated."""
        return self.value is None and not self.is_foreign and self.kind in {"ascii", "binary"}

    @property
    def effective_size(self) -> int:
        """Characters (ascii) or bytes (binary) to generate."""
        return DEFAULT_SECRET_SIZE if self.size is None else self.size

    @property
    def effective_key_type(self) -> KeyType:
        """Type of a private key to generate."""
        return self.key_type or DEFAULT_KEY_TYPE


@dataclass(frozen=True, slots=True)
class InjectionFile:
    """A file that the service sees; without `content` the host's file is the template."""

    path: str
    content: str | None = field(default=None, repr=False)
    permission: int = DEFAULT_PERMISSION


@dataclass(frozen=True, slots=True)
class VolumeExport:
    """Who may use a volume, how, and under which name there."""

    to: SessionReference
    update_policy: TagPolicy = DEFAULT_TAG_POLICY
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """An encrypted volume: initialised at its first use, given by key and tag, or imported."""

    name: str
    fspf_key: str | None = field(default=None, repr=False)
    fspf_tag: str | None = None
    files: FilesMode = "encrypted"
    imported: Import | None = None
    exports: tuple[VolumeExport, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageVolume:
    """Where a volume is mounted and what may change its state."""

    name: str
    path: str
    update_policy: TagPolicy = DEFAULT_TAG_POLICY


@dataclass(frozen=True, slots=True)
class Image:
    """Files and volumes that services share.

    `provide_secrets` are those that files of the host may name; None: all.
    """

    name: str
    volumes: tuple[ImageVolume, ...] = ()
    injection_files: tuple[InjectionFile, ...] = ()
    provide_secrets: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SessionSigner:
    """An access entry: whoever signs sessions with this key (SubjectPublicKeyInfo, PEM)."""

    public_key_pem: str


@dataclass(frozen=True, slots=True)
class Rule:
    """An access entry: so many of the entries, each counted once; `at_least` None: all."""

    at_least: int | None
    entries: tuple[AccessEntry, ...]


AccessEntry: TypeAlias = "str | SessionSigner | Rule"
"""A str is CREATOR, ANY, NONE, a key hash, a certificate in PEM, or a placeholder of a secret."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may do what; None means as `update` (create_sessions), as `read` (list_sessions)."""

    read: tuple[AccessEntry, ...] = (CREATOR,)
    update: tuple[AccessEntry, ...] = (CREATOR,)
    create_sessions: tuple[AccessEntry, ...] | None = None
    list_sessions: tuple[AccessEntry, ...] | None = None

    @property
    def effective_create_sessions(self) -> tuple[AccessEntry, ...]:
        """Who may create sessions in this namespace."""
        return self.update if self.create_sessions is None else self.create_sessions

    @property
    def effective_list_sessions(self) -> tuple[AccessEntry, ...]:
        """Who may list the sessions of this namespace, beside those who may create some."""
        return self.read if self.list_sessions is None else self.list_sessions

    @property
    def leaves(self) -> Iterator[str | SessionSigner]:
        """The entries of all lists, those inside rules included, without the rules."""
        left: list[AccessEntry] = [
            *self.read,
            *self.update,
            *(self.create_sessions or ()),
            *(self.list_sessions or ()),
        ]
        while left:
            entry = left.pop()
            if isinstance(entry, Rule):
                left += entry.entries
            else:
                yield entry


@dataclass(frozen=True, slots=True)
class Security:
    """How services must prove themselves and what of their platform is tolerated."""

    mode: AttestationMode = "hardware"
    tolerate: tuple[str, ...] = ()
    ignore_advisories: tuple[str, ...] | Literal["*"] = ()
    trusted_scone_qe_pubkeys: tuple[str, ...] = ()
    url: str | None = None
    certificates: tuple[str, ...] = ()
    min_rsa_signing_key_size: int | None = None
    one_time_password_shared_secret: str | None = field(default=None, repr=False)
    must_be_sgx_local: bool = False
    singleton_enclaves: bool = False
    service_access_token: str | None = field(default=None, repr=False)

    @property
    def excuses_any_advisory(self) -> bool:
        """Whether all known and future advisories are ignored outside debug mode."""
        return self.ignore_advisories == "*" and "debug-mode" not in self.tolerate


@dataclass(frozen=True, slots=True)
class SecretConfig:
    """Where values are stored: in the CAS, or encrypted in a vault with a token of this session."""

    store_in: Literal["cas", "akv"] = "cas"
    vault: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Creator:
    """Who uploaded or signed the session; one of the two, PEM with one final newline."""

    certificate_pem: str | None = None
    signer_pem: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A checked session description."""

    version: str
    name: str
    predecessor: str | None = None
    namespace_hash: str | None = None
    salt: str | None = None
    secrets: tuple[SecretSpec, ...] = ()
    volumes: tuple[Volume, ...] = ()
    images: tuple[Image, ...] = ()
    services: tuple[Service, ...] = ()
    access_policy: AccessPolicy | Template = AccessPolicy()
    security: Security | Template = Security()
    secret_config: SecretConfig = SecretConfig()
    creator: Creator | None = None

    def with_predecessor(self, predecessor: str | None) -> Session:
        """The same session as successor of the version with this hash.

        A successor has no namespace hash: it is compared when a session is created.

        Raises:
            MalformedError: not 64 hex digits.
        """
        if predecessor is not None and not (
            len(predecessor) == 64 and set(predecessor) <= set("0123456789abcdef")
        ):
            raise MalformedError("predecessor", "64 lower-case hex digits")
        kept = self.namespace_hash if predecessor is None else None
        return replace(self, predecessor=predecessor, namespace_hash=kept)

    def with_creator(self, pem: str | None) -> Session:
        """The same session created by the owner of this client certificate.

        Raises:
            MalformedError: not one certificate in PEM.
        """
        creator = None if pem is None else Creator(certificate_text(pem, place="creator"))
        return replace(self, creator=creator)

    def with_signer(self, public_key_pem: str) -> Session:
        """The same session created by the owner of this signing key.

        Raises:
            MalformedError: not a signing key (Ed25519 or P-384) in PEM.
        """
        signer = signing_key_text(public_key_pem, place="creator.signer")
        return replace(self, creator=Creator(signer_pem=signer))

    def service(self, name: str) -> Service:
        """The service of this name.

        Raises:
            NotFoundError: there is none.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise NotFoundError(f"session {self.name} has no service {name}")

    def secret(self, name: str) -> SecretSpec | None:
        """The secret of this name, if there is one."""
        return next((secret for secret in self.secrets if secret.name == name), None)

    def volume(self, name: str) -> Volume | None:
        """The volume of this name, if there is one."""
        return next((volume for volume in self.volumes if volume.name == name), None)

    def image_of(self, service: Service) -> Image | None:
        """The image whose files and volumes a service gets, if it names one."""
        return None if service.image_name is None else self.image(service.image_name)

    def image(self, name: str) -> Image | None:
        """The image of this name, if there is one."""
        return next((image for image in self.images if image.name == name), None)
