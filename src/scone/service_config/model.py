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

_FORM: Final = 1
_MAX_JSON: Final = 32 * 1024 * 1024  # base64 of the contents, and the secrets for templates
_MAX_PATH: Final = 4096  # Linux, PATH_MAX
_MAX_PERMISSION: Final = 0o777


@dataclass(frozen=True, slots=True)
class InjectedFile:
    """A file that the service alone sees; without content the launcher's disk has the template."""

    path: str
    content: SecretBytes | None
    permission: int


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A service's configuration, secrets put in.

    `template_secrets` is there exactly if a file has no content: the launcher then reads the file
    at that path and expands it with `expand_template`.

    Raises:
        MalformedError: a value that no process can receive.
    """

    arguments: tuple[SecretBytes, ...]
    environment: tuple[tuple[bytes, SecretBytes], ...]
    pwd: str
    files: tuple[InjectedFile, ...] = ()
    template_secrets: SecretValues | None = None

    def __post_init__(self) -> None:
        place = "service configuration"
        for argument in self.arguments:
            _no_nul(argument.reveal(), f"{place}.arguments")
        names = [name for name, _ in self.environment]
        for name, value in self.environment:
            if not name or b"=" in name or b"\0" in name:
                raise MalformedError(f"{place}.environment", "a name without = and NUL")
            _no_nul(value.reveal(), f"{place}.environment")
        if len(set(names)) != len(names):
            raise MalformedError(f"{place}.environment", "each name once")
        _path(self.pwd, f"{place}.pwd")
        for file in self.files:
            _path(file.path, f"{place}.files.path")
            if not file.path.startswith("/"):
                raise MalformedError(f"{place}.files.path", "an absolute path")
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
            "arguments": [to_base64(argument.reveal()) for argument in self.arguments],
            "environment": [
                [to_base64(name), to_base64(value.reveal())] for name, value in self.environment
            ],
            "pwd": self.pwd,
            "files": [_write_file(file) for file in self.files],
            "template_secrets": (
                None if self.template_secrets is None else self.template_secrets.to_object()
            ),
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
        keys(
            document,
            place,
            ("form", "arguments", "environment", "pwd", "files", "template_secrets"),
            (),
        )
        if int_of(document, "form", place, 1000) != _FORM:
            raise MalformedError(f"{place}.form", f"{_FORM}", "another form (a newer CAS's?)")
        secrets = None
        if document["template_secrets"] is not None:
            # Imported here: few configurations have any, and the launcher's start is timed.
            from scone.session.secrets.values import SecretValues

            secrets = SecretValues.from_object(
                object_of(document, "template_secrets", place), f"{place}.template_secrets"
            )
        return cls(
            arguments=tuple(
                SecretBytes(parse_base64(item, f"{place}.arguments", _MAX_JSON))
                for item in list_of(document, "arguments", place)
            ),
            environment=tuple(
                _read_variable(item, f"{place}.environment")
                for item in list_of(document, "environment", place)
            ),
            pwd=text_of(document, "pwd", place),
            files=tuple(_read_files(list_of(document, "files", place), f"{place}.files")),
            template_secrets=secrets,
        )


def _write_file(file: InjectedFile) -> JsonObject:
    return {
        "path": file.path,
        "content": None if file.content is None else to_base64(file.content.reveal()),
        "permission": file.permission,
    }


def _read_variable(item: JsonValue, place: str) -> tuple[bytes, SecretBytes]:
    if not isinstance(item, list) or len(item) != 2:
        raise MalformedError(place, "pairs of name and value")
    name, value = (parse_base64(part, place, _MAX_JSON) for part in item)
    return name, SecretBytes(value)


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
