"""Rules across the parts of a session: names once, references that lead somewhere.

Works on what could be read; problems point at the place in the file. What is only
advisable is in `advice`.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import Protocol

from scone.session.check_placeholders import check_placeholders
from scone.session.collect import Collector
from scone.session.model import MAX_GENERATED, MAX_ISSUERS, SecretKind, SecretSpec
from scone.session.parts import Parts
from scone.session.versions import Version


class _Named(Protocol):
    @property
    def name(self) -> str: ...


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
    _sizes(c, parts)
    for index, service in enumerate(parts.services):
        path = f"services[{index}]"
        image = service.image_name if service else None
        if image is not None and image not in parts.image_names:
            if not parts.all_images_read:
                continue  # the image may be one that could not be read
            hint = c.suggestion(image, parts.image_names)
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
    check_placeholders(c, parts, version)


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


def _sizes(c: Collector, parts: Parts) -> None:
    """What is generated stays as small as what a session can say itself."""
    total = 0
    for index, secret in enumerate(parts.secrets):
        if secret and secret.is_sized:
            total += secret.effective_size
            if total > MAX_GENERATED:
                path = f"secrets[{index}]"
                message = f"expected generated values of at most {MAX_GENERATED} bytes together"
                hint = "32 bytes are enough for a key"
                c.problem_at(f"{path}.size" if secret.size else path, message, hint)
                return


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


def _refers(c: Collector, parts: Parts, name: str, path: str, kind: SecretKind) -> None:
    found = parts.by_name.get(name)
    if found is None:
        if name in parts.unreadable:
            return
        hint = c.suggestion(name, parts.by_kind.get(kind, ()))
        c.problem_at(path, f"expected the name of a {kind} secret", hint)
    elif found.kind != kind:
        c.problem_at(path, f"expected a secret of kind {kind}, {name} is of kind {found.kind}")
