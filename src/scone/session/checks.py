"""Rules across the parts of a session: names once, references that lead somewhere.

Works on what could be read; problems point at the place in the file. What is only
advisable is in `advice`.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from scone.documents import Scalar
from scone.errors import MalformedError
from scone.session.collect import Collector, suggestion
from scone.session.fields import formats_of
from scone.session.model import MAX_ISSUERS, Image, SecretSpec, Service
from scone.session.placeholders import START, Placeholder, find
from scone.session.versions import Version

# Each may become a chain of certificates at every start of a service.
_MAX_PLACEHOLDERS: Final = 1000


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Parts:
    """What was read of a session, by its position in the file."""

    def __init__(
        self,
        secrets: Items[SecretSpec | None],
        images: Items[Image | None],
        services: Items[Service | None],
    ) -> None:
        self.secrets = secrets
        self.images = images
        self.services = services
        self.by_name = {secret.name: secret for secret in secrets if secret}


def check(c: Collector, parts: Parts, version: Version, *, attested: bool) -> None:
    """All rules; `attested` False when the session's mode is none."""
    for section, items in (
        ("secrets", parts.secrets),
        ("images", parts.images),
        ("services", parts.services),
    ):
        _once(c, section, items)
    for index, secret in enumerate(parts.secrets):
        if secret and secret.kind.startswith("x509"):
            _certificate(c, parts, secret, f"secrets[{index}]", version)
    images = [image.name for image in parts.images if image]
    for index, service in enumerate(parts.services):
        path = f"services[{index}]"
        if service and service.image_name is not None and service.image_name not in images:
            if not all(parts.images):
                continue  # the image may be one that could not be read
            hint = suggestion(service.image_name, images)
            c.problem_at(
                f"{path}.image_name", "expected the name of an image of this session", hint
            )
        needs = attested or version.is_0_2
        if service and needs and not service.variants and not _given(c, path):
            c.problem_at(
                path,
                f"expected {'mrenclaves' if version.is_0_2 else 'attestation or mrenclaves'}",
                "SCONE_HASH=1 with the program prints its measurement",
            )
    left = _MAX_PLACEHOLDERS
    for use in _uses(parts):
        left -= use.text.count(START)
        if left < 0:
            message = f"expected at most {_MAX_PLACEHOLDERS} placeholders in a session"
            c.problem_at(use.path, message)
            break
        _placeholders(c, parts, use, version)


def _given(c: Collector, path: str) -> bool:
    """Whether the service says something about attestation, or has problems to solve first."""
    if f"{path}.attestation" in c.nodes or f"{path}.mrenclaves" in c.nodes:
        return True
    return any(problem.path.startswith(f"{path}.") for problem in c.problems)


def _once(c: Collector, section: str, items: Items[_Named | None]) -> None:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if item is None:
            continue
        if item.name in first:
            there = f"{section}[{first[item.name]}]"
            c.problem_at(f"{section}[{index}].name", f"expected each name once, {there} has it too")
        first.setdefault(item.name, index)


def _certificate(
    c: Collector, parts: Parts, secret: SecretSpec, path: str, version: Version
) -> None:
    if secret.private_key is not None:
        _refers(c, parts, secret.private_key, f"{path}.private_key", "private-key")
    elif secret.value is None and not version.is_0_2:
        hint = "add a secret of kind private-key and name it here"
        c.problem_at(path, "expected private_key beside a generated certificate", hint)
    if secret.issuer is not None:
        _refers(c, parts, secret.issuer, f"{path}.issuer", "x509-ca")
        issuer = parts.by_name.get(secret.issuer)
        if issuer and issuer.value is not None and not issuer.private_key and secret.value is None:
            c.problem_at(
                f"{path}.issuer",
                "expected an issuer whose private key is there to sign with",
                f"give {issuer.name} its private_key",
            )
        if issuer and not _rooted(parts, secret):
            message = f"expected at most {MAX_ISSUERS} issuers, the last one self-signed"
            c.problem_at(f"{path}.issuer", message)
    if secret.endpoint == "client" and secret.dns:
        c.problem_at(f"{path}.dns", "expected no dns with endpoint client", "use san")


def _rooted(parts: Parts, secret: SecretSpec) -> bool:
    """Whether the issuers above a certificate end; a missing one is another problem."""
    at: SecretSpec | None = secret
    for _ in range(MAX_ISSUERS + 1):
        if at is None or at.issuer is None:
            return True
        at = parts.by_name.get(at.issuer)
    return False


def _refers(c: Collector, parts: Parts, name: str, path: str, kind: str) -> None:
    found = parts.by_name.get(name)
    if found is None:
        if _unreadable(c, parts, name):
            return
        fitting = [secret.name for secret in parts.by_name.values() if secret.kind == kind]
        c.problem_at(path, f"expected the name of a {kind} secret", suggestion(name, fitting))
    elif found.kind != kind:
        c.problem_at(path, f"expected a secret of kind {kind}, {name} is of kind {found.kind}")


def _unreadable(c: Collector, parts: Parts, name: str) -> bool:
    """Whether a secret of this name is in the file but has problems of its own."""
    for index, secret in enumerate(parts.secrets):
        node = c.nodes.get(f"secrets[{index}].name")
        if secret is None and isinstance(node, Scalar) and node.text == name:
            return True
    return False


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


def _placeholders(c: Collector, parts: Parts, use: _Use, version: Version) -> None:
    if START not in use.text:
        return
    path = use.path
    try:
        found = [part for part in find(use.text, place=path) if isinstance(part, Placeholder)]
    except MalformedError as error:
        if error.got:
            c.unsupported(c.nodes.get(path), path, "built-in values")
        else:
            c.malformed(c.nodes.get(path), path, error)
        return
    for placeholder in found:
        secret, form = resolve(placeholder, parts.by_name)
        if placeholder.single_colon:
            message = f"$$SCONE:{placeholder.name} is written with two colons"
            c.warn(path, "deprecated-single-colon", message, f"write {placeholder}")
        if secret is not None:
            _form(c, use, secret, form, version=version, escaped=placeholder.escape_json)
        elif not any(_unreadable(c, parts, name) for name, _ in placeholder.secret_candidates):
            hint = suggestion(placeholder.name, parts.by_name)
            c.problem_at(path, f"expected a secret named {placeholder.name}", hint)


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
