"""The configuration of one service as a value, and its JSON form on the enclave port.

Form in docs/formats/service-configuration.md. Bytes travel in base64; unknown keys are refused,
because a key that the launcher does not know could be one that it must obey.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.strict_json import (
    JsonObject,
    JsonValue,
    decode,
    int_of,
    keys,
    list_of,
    object_of,
    parse_base64,
    read_object,
    text_of,
    to_base64,
)

if TYPE_CHECKING:
    from scone.session.secrets.values import SecretValues

MAX_CONTENT: Final = 8 * 1024 * 1024
"""Bytes that the expanded values of one configuration may have together."""

_FORM: Final = 2
_MAX_JSON: Final = 32 * 1024 * 1024  # base64 of the contents, and the secrets for templates
_MAX_PATH: Final = 4096  # Linux, PATH_MAX
_MAX_PERMISSION: Final = 0o777
MAX_HOST_ARGUMENT: Final = 1000  # as in the session language
# As VOLUME_KEY_BYTES of the session language, which a launcher does not load.
_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_TAG_POLICIES: Final = ("rollback_protected", "ephemeral", "no_rollback_protection")
_FSPF_POLICIES: Final = ("rollback_protected_reinitializable", "no_rollback_protection")
_FILES_MODES: Final = ("encrypted", "authenticated-only")


@dataclass(frozen=True, slots=True)
class HostArgument:
    """Stands for an argument that the host gives to the launcher, the first one is 1."""

    position: int


@dataclass(frozen=True, slots=True)
class InjectedFile:
    """A file that the service alone sees; without content the launcher's disk has the template."""

    path: str
    content: SecretBytes | None
    permission: int


@dataclass(frozen=True, slots=True)
class ProtectedVolume:
    """A volume, where it is mounted, and its state; without a tag it is to be initialised."""

    name: str
    path: str
    key: SecretBytes
    tag: bytes | None
    files: str
    update_policy: str


@dataclass(frozen=True, slots=True)
class MainFileSystem:
    """The main file system protection file; without a tag any state is accepted."""

    path: str
    key: SecretBytes
    tag: bytes | None
    update_policy: str


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A service's configuration, secrets put in.

    Arguments and variables of the host are marked: a `HostArgument`, a variable with None. They
    are put in by the launcher (`invocation`) and are data: no words, no placeholders.

    `template_secrets` is there exactly if a file has no content: the launcher then reads the file
    at that path and expands it with `expand_template`.

    Raises:
        MalformedError: a value that no process can receive.
    """

    arguments: tuple[SecretBytes | HostArgument, ...]
    environment: tuple[tuple[bytes, SecretBytes | None], ...]
    pwd: str
    files: tuple[InjectedFile, ...] = ()
    template_secrets: SecretValues | None = None
    volumes: tuple[ProtectedVolume, ...] = ()
    fspf: MainFileSystem | None = None

    def __post_init__(self) -> None:
        place = "service configuration"
        _check_arguments(self.arguments, f"{place}.arguments")
        names = [name for name, _ in self.environment]
        for name, value in self.environment:
            if not name or b"=" in name or b"\0" in name:
                raise MalformedError(f"{place}.environment", "a name without = and NUL")
            if value is not None:
                _no_nul(value.reveal(), f"{place}.environment")
        if len(set(names)) != len(names):
            raise MalformedError(f"{place}.environment", "each name once")
        _path(self.pwd, f"{place}.pwd")
        for volume in self.volumes:
            _check_protected(volume, _TAG_POLICIES, f"{place}.volumes")
            if volume.files not in _FILES_MODES:
                raise MalformedError(f"{place}.volumes.files", " or ".join(_FILES_MODES))
        if self.fspf is not None:
            _check_protected(self.fspf, _FSPF_POLICIES, f"{place}.fspf")
        for file in self.files:
            _absolute(file.path, f"{place}.files.path")
            if not 0 <= file.permission <= _MAX_PERMISSION:
                raise MalformedError(f"{place}.files.permission", "0 to 0o777")
        templates = any(file.content is None for file in self.files)
        if templates != (self.template_secrets is not None):
            raise MalformedError(
                f"{place}.template_secrets", "secrets if a file has no content, else null"
            )

    def to_json(self) -> bytes:
        """The form on the wire; it is a secret as a whole."""
        document: JsonObject = {
            "form": _FORM,
            "arguments": [
                word.position if isinstance(word, HostArgument) else to_base64(word.reveal())
                for word in self.arguments
            ],
            "environment": [
                [to_base64(name), None if value is None else to_base64(value.reveal())]
                for name, value in self.environment
            ],
            "pwd": self.pwd,
            "files": [_write_file(file) for file in self.files],
            "template_secrets": (
                None if self.template_secrets is None else self.template_secrets.to_object()
            ),
            "volumes": [
                {"name": volume.name, "files": volume.files, **_write_protected(volume)}
                for volume in self.volumes
            ],
            "fspf": None if self.fspf is None else _write_protected(self.fspf),
        }
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, raw: bytes) -> ServiceConfig:
        """The configuration of `to_json`.

        Raises:
            MalformedError: anything else.
        """
        place = "service configuration"
        document = read_object(decode(raw, place, _MAX_JSON), place)
        # Before the keys: those of another form would only confuse.
        if "form" not in document or int_of(document, "form", place, 1000) != _FORM:
            raise MalformedError(
                f"{place}.form", f"{_FORM}", "another form (another version's CAS?)"
            )
        keys(document, place, _KEYS, ())
        secrets = None
        if document["template_secrets"] is not None:
            # Imported here: few configurations have any, and the launcher's start is timed.
            from scone.session.secrets.values import SecretValues

            secrets = SecretValues.from_object(
                object_of(document, "template_secrets", place), f"{place}.template_secrets"
            )
        return cls(
            arguments=tuple(
                _read_argument(item, f"{place}.arguments")
                for item in list_of(document, "arguments", place)
            ),
            environment=tuple(
                _read_variable(item, f"{place}.environment")
                for item in list_of(document, "environment", place)
            ),
            pwd=text_of(document, "pwd", place),
            files=tuple(_read_files(list_of(document, "files", place), f"{place}.files")),
            template_secrets=secrets,
            volumes=tuple(_read_volumes(list_of(document, "volumes", place), f"{place}.volumes")),
            fspf=_read_fspf(document, place),
        )


_KEYS: Final = (
    "form",
    "arguments",
    "environment",
    "pwd",
    "files",
    "template_secrets",
    "volumes",
    "fspf",
)
_PROTECTED: Final = ("path", "key", "tag", "update_policy")


def _check_arguments(arguments: Iterable[SecretBytes | HostArgument], place: str) -> None:
    seen: set[int] = set()
    for word in arguments:
        if isinstance(word, SecretBytes):
            _no_nul(word.reveal(), place)
            continue
        if not 1 <= word.position <= MAX_HOST_ARGUMENT:
            raise MalformedError(place, f"positions from 1 to {MAX_HOST_ARGUMENT}")
        if word.position in seen:
            raise MalformedError(
                place, "each argument of the host once", f"@@{word.position} twice"
            )
        seen.add(word.position)


def _check_protected(
    found: ProtectedVolume | MainFileSystem, policies: tuple[str, ...], place: str
) -> None:
    _absolute(found.path, f"{place}.path")
    if len(found.key) != _KEY_BYTES:
        raise MalformedError(f"{place}.key", f"{_KEY_BYTES} bytes")
    if found.tag is not None and len(found.tag) != _TAG_BYTES:
        raise MalformedError(f"{place}.tag", f"{_TAG_BYTES} bytes")
    if found.update_policy not in policies:
        raise MalformedError(f"{place}.update_policy", " or ".join(policies))


def _write_protected(found: ProtectedVolume | MainFileSystem) -> JsonObject:
    return {
        "path": found.path,
        "key": to_base64(found.key.reveal()),
        "tag": None if found.tag is None else to_base64(found.tag),
        "update_policy": found.update_policy,
    }


def _read_key_and_tag(found: JsonObject, place: str) -> tuple[SecretBytes, bytes | None]:
    tag = found["tag"]
    return (
        SecretBytes(parse_base64(found["key"], f"{place}.key", _MAX_JSON)),
        None if tag is None else parse_base64(tag, f"{place}.tag", _MAX_JSON),
    )


def _read_volumes(items: Iterable[JsonValue], place: str) -> Iterable[ProtectedVolume]:
    for item in items:
        if not isinstance(item, dict):
            raise MalformedError(place, "a list of objects")
        keys(item, place, ("name", "files", *_PROTECTED), ())
        yield ProtectedVolume(
            text_of(item, "name", place),
            text_of(item, "path", place),
            *_read_key_and_tag(item, place),
            text_of(item, "files", place),
            text_of(item, "update_policy", place),
        )


def _read_fspf(document: JsonObject, parent: str) -> MainFileSystem | None:
    if document["fspf"] is None:
        return None
    found, place = object_of(document, "fspf", parent), f"{parent}.fspf"
    keys(found, place, _PROTECTED, ())
    return MainFileSystem(
        text_of(found, "path", place),
        *_read_key_and_tag(found, place),
        text_of(found, "update_policy", place),
    )


def _write_file(file: InjectedFile) -> JsonObject:
    return {
        "path": file.path,
        "content": None if file.content is None else to_base64(file.content.reveal()),
        "permission": file.permission,
    }


def _read_argument(item: JsonValue, place: str) -> SecretBytes | HostArgument:
    if isinstance(item, int) and not isinstance(item, bool):
        return HostArgument(item)
    return SecretBytes(parse_base64(item, place, _MAX_JSON))


def _read_variable(item: JsonValue, place: str) -> tuple[bytes, SecretBytes | None]:
    if not isinstance(item, list) or len(item) != 2:
        raise MalformedError(place, "pairs of name and value")
    name, value = item
    return (
        parse_base64(name, place, _MAX_JSON),
        None if value is None else SecretBytes(parse_base64(value, place, _MAX_JSON)),
    )


def _read_files(items: Iterable[JsonValue], place: str) -> Iterable[InjectedFile]:
    for item in items:
        if not isinstance(item, dict):
            raise MalformedError(place, "a list of objects")
        keys(item, place, ("path", "content", "permission"), ())
        content = item["content"]
        yield InjectedFile(
            text_of(item, "path", place),
            (
                None
                if content is None
                else SecretBytes(parse_base64(content, f"{place}.content", _MAX_JSON))
            ),
            int_of(item, "permission", place, _MAX_PERMISSION),
        )


def _no_nul(value: bytes, place: str) -> None:
    if b"\0" in value:
        raise MalformedError(place, "bytes without NUL")


def _path(text: str, place: str) -> None:
    if not text or "\0" in text or len(text.encode("utf-8", "surrogatepass")) > _MAX_PATH:
        raise MalformedError(place, f"a path of 1 to {_MAX_PATH} bytes without NUL")


def _absolute(text: str, place: str) -> None:
    _path(text, place)
    if not text.startswith("/"):
        raise MalformedError(place, "an absolute path")
