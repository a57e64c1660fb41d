"""Rules for the placeholders of a session: their secret, their format, their place, their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from scone.errors import MalformedError
from scone.session.collect import Collector
from scone.session.fields import formats_of
from scone.session.model import SecretSpec
from scone.session.parts import Parts
from scone.session.placeholders import START, Placeholder, find
from scone.session.versions import Version

# Each may become a chain of certificates at every start of a service.
_MAX_PLACEHOLDERS: Final = 1000
# Each derives two keys from a password at every start of a service.
_ARCHIVE: Final = "pkcs12-with-private-key"
_MAX_ARCHIVES: Final = 32


def check_placeholders(c: Collector, parts: Parts, version: Version) -> None:
    """All rules for placeholders, in the order of the file."""
    left, archives_left = _MAX_PLACEHOLDERS, _MAX_ARCHIVES
    for use in _uses(parts):
        left -= use.text.count(START)
        if left < 0:
            message = f"expected at most {_MAX_PLACEHOLDERS} placeholders in a session"
            c.problem_at(use.path, message)
            break
        found = _placeholders(c, parts, use, version)
        archives = sum(placeholder.format == _ARCHIVE for placeholder in found)
        if archives > archives_left >= 0:
            message = f"expected at most {_MAX_ARCHIVES} placeholders :{_ARCHIVE} in a session"
            c.problem_at(use.path, message, "services can share the file of one image")
        archives_left -= archives


@dataclass(frozen=True, slots=True)
class _Use:
    """A text that secrets are put into: where it stands and of what kind that place is."""

    path: str
    place: Literal["command", "environment", "content"]
    text: str


def _uses(parts: Parts) -> Iterator[_Use]:
    for index, service in enumerate(parts.services):
        if service is None:
            continue
        path = f"services[{index}]"
        if isinstance(service.command, str):
            yield _Use(f"{path}.command", "command", service.command)
        else:
            for number, word in enumerate(service.command or ()):
                yield _Use(f"{path}.command[{number}]", "command", word)
        for name, value in service.environment:
            yield _Use(f"{path}.environment.{name}", "environment", value)
    for index, image in enumerate(parts.images):
        for number, file in enumerate(image.injection_files if image else ()):
            if file.content is not None:
                path = f"images[{index}].injection_files[{number}].content"
                yield _Use(path, "content", file.content)


def _placeholders(
    c: Collector, parts: Parts, use: _Use, version: Version
) -> tuple[Placeholder, ...]:
    if START not in use.text:
        return ()
    path = use.path
    try:
        parsed = find(use.text, place=path)
    except MalformedError as error:
        if error.got:
            c.unsupported(c.nodes.get(path), path, "built-in values")
        else:
            c.malformed(c.nodes.get(path), path, error)
        return ()
    found = tuple(part for part in parsed if isinstance(part, Placeholder))
    for placeholder in found:
        secret, form = resolve(placeholder, parts.by_name)
        if placeholder.single_colon:
            message = f"$$SCONE:{placeholder.name} is written with two colons"
            c.warn(path, "deprecated-single-colon", message, f"write {placeholder}")
        if secret is not None:
            _form(c, use, secret, form, version=version, escaped=placeholder.escape_json)
        elif not any(name in parts.unreadable for name, _ in placeholder.secret_candidates):
            hint = c.suggestion(placeholder.name, parts.by_name)
            c.problem_at(path, f"expected a secret named {placeholder.name}", hint)
    return found


def resolve(
    placeholder: Placeholder, secrets: dict[str, SecretSpec]
) -> tuple[SecretSpec | None, str]:
    """The secret that a placeholder means and the format; an exact name wins over a suffix."""
    for name, form in placeholder.secret_candidates:
        if name in secrets:
            return secrets[name], form
    return None, placeholder.format


def _form(
    c: Collector, use: _Use, secret: SecretSpec, form: str, *, version: Version, escaped: bool
) -> None:
    """Check the format of one placeholder against the kind of its secret and its place."""
    forms = formats_of(secret.kind)
    if form not in forms:
        named = [f":{name}" for name in forms if name and not name.startswith(".")]
        c.problem_at(
            use.path,
            f"expected a format of {secret.kind} secrets for {secret.name},"
            f" got {form if form.startswith('.') else ':' + form}",
            f"there is {', '.join(named) or 'none'}",
        )
        return
    if form.startswith(".") and not version.is_0_2:
        now = {".key": "privatekey", ".chain": "chain"}.get(form, form[1:])
        hint = f"write $$SCONE::{secret.name}:{now}$$"
        if form == ".chain":
            hint += ", which begins at the other end and leaves the certificate out"
        c.warn(use.path, "deprecated-format", f"the form {form} is deprecated", hint)
    private = "privatekey" in form or form in {".key", "pkcs12-with-private-key"}
    if private and secret.private_key is None and not version.is_0_2:
        c.problem_at(use.path, f"expected the private key of {secret.name} in this session")
    if forms[form] and use.place != "content":
        text_form = {"binary": "hex", "private-key": "pem"}.get(secret.kind, "crt")
        c.problem_at(
            use.path,
            f"expected a text form of {secret.name}: raw bytes may hold NUL",
            f"for instance $$SCONE::{secret.name}:{text_form}$$",
        )
    elif forms[form] and escaped:
        c.problem_at(use.path, f"expected a text form of {secret.name} under escape(json)")
