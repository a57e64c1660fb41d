"""The session as a value: what it means, without how it was written.

Defaults are filled in or None as the fields say; texts are as the canonical form
has them (docs/formats/session-hash.md). Text that may carry secrets is not in `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from scone.errors import MalformedError, NotFoundError
from scone.session.pem import certificate_text

SecretKind = Literal["ascii", "binary", "private-key", "x509", "x509-ca"]
KeyType = Literal["P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072"]
Endpoint = Literal["server", "client"]
AttestationMode = Literal["hardware", "none"]

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
DEFAULT_KEY_TYPE: Final[KeyType] = "P-256"
DEFAULT_PERMISSION: Final = 0o700


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
    """A program, its configuration and who may receive it.

    `environment` is sorted by name; `attestation` and `mrenclaves` exclude each other.
    """

    name: str
    command: str | tuple[str, ...] | None = field(default=None, repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pwd: str | None = None
    image_name: str | None = None
    attestation: tuple[Variant, ...] = ()
    mrenclaves: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All variants, of which one must match, however they were written."""
        return (Variant(self.mrenclaves),) if self.mrenclaves else self.attestation


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span as it was written, and in whole seconds."""

    text: str
    seconds: int


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret to generate, or with its explicit `value` (binary: lower-case hex).

    None stands for the default of the kind (`effective_size`, `effective_key_type`).
    """

    name: str
    kind: SecretKind
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

    @property
    def is_sized(self) -> bool:
        """Whether a value of `effective_size` is generated."""
        return self.value is None and self.kind in {"ascii", "binary"}

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
class Image:
    """Files that services share."""

    name: str
    injection_files: tuple[InjectionFile, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may do what; `create_sessions` None means the same as `update`."""

    read: tuple[str, ...] = (CREATOR,)
    update: tuple[str, ...] = (CREATOR,)
    create_sessions: tuple[str, ...] | None = None

    @property
    def effective_create_sessions(self) -> tuple[str, ...]:
        """Who may create sessions in this namespace."""
        return self.update if self.create_sessions is None else self.create_sessions


@dataclass(frozen=True, slots=True)
class Security:
    """How services must prove themselves and what of their platform is tolerated."""

    mode: AttestationMode = "hardware"
    tolerate: tuple[str, ...] = ()
    ignore_advisories: tuple[str, ...] | Literal["*"] = ()


@dataclass(frozen=True, slots=True)
class Creator:
    """Who uploaded the session: a client certificate in PEM, one final newline."""

    certificate_pem: str


@dataclass(frozen=True, slots=True)
class Session:
    """A checked session description."""

    version: str
    name: str
    predecessor: str | None = None
    secrets: tuple[SecretSpec, ...] = ()
    images: tuple[Image, ...] = ()
    services: tuple[Service, ...] = ()
    access_policy: AccessPolicy = AccessPolicy()
    security: Security = Security()
    creator: Creator | None = None

    def with_predecessor(self, predecessor: str | None) -> Session:
        """The same session as successor of the version with this hash.

        Raises:
            MalformedError: not 64 hex digits.
        """
        if predecessor is not None and not (
            len(predecessor) == 64 and set(predecessor) <= set("0123456789abcdef")
        ):
            raise MalformedError("predecessor", "64 lower-case hex digits")
        return replace(self, predecessor=predecessor)

    def with_creator(self, pem: str | None) -> Session:
        """The same session created by the owner of this client certificate.

        Raises:
            MalformedError: not one certificate in PEM.
        """
        creator = None if pem is None else Creator(certificate_text(pem, place="creator"))
        return replace(self, creator=creator)

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

    def image(self, name: str) -> Image | None:
        """The image of this name, if there is one."""
        return next((image for image in self.images if image.name == name), None)
