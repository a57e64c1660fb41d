"""Rules across the parts of a session: names once, references that lead somewhere.

Works on what could be read; problems point at the place in the file. What is only
advisable is in `advice`.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import Protocol

from scone.documents import Scalar
from scone.session.model import (
    MAX_GENERATED,
    MAX_ISSUERS,
    Image,
    SecretConfig,
    SecretKind,
    SecretSpec,
    Security,
    Session,
    SessionReference,
)
from scone.session.reading.check_placeholders import check_key_size, check_placeholders
from scone.session.reading.collect import Collector
from scone.session.reading.parts import Parts
from scone.session.reading.versions import Version


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def check(c: Collector, parts: Parts, session: Session, version: Version) -> None:
    """All rules across the parts of a session."""
    for section, items in (
        ("secrets", parts.secrets),
        ("volumes", parts.volumes),
        ("images", parts.images),
        ("services", parts.services),
    ):
        _once(c, section, items)
    for index, secret in enumerate(parts.secrets):
        if secret:
            _secret(c, parts, secret, f"secrets[{index}]", version)
    _sizes(c, parts)
    _aliases(c, parts)
    for index, image in enumerate(parts.images):
        if image:
            _image(c, parts, image, f"images[{index}]")
    _secret_config(c, parts, session.secret_config)
    # What a secret decides about the mode is known only when a service starts.
    attested = isinstance(session.security, Security) and session.security.mode != "none"
    attested = attested and not c.is_unknown(c.nodes.get("security"))
    for index, service in enumerate(parts.services):
        path = f"services[{index}]"
        image_name = service.image_name if service else None
        if image_name is not None and image_name not in parts.images_by_name:
            if not parts.all_images_read:
                continue  # the image may be one that could not be read
            hint = c.suggestion(image_name, parts.images_by_name)
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
    check_placeholders(c, parts, session, version)


def _image(c: Collector, parts: Parts, image: Image, path: str) -> None:
    for number, volume in enumerate(image.volumes):
        if volume.name not in parts.volume_names and parts.all_volumes_read:
            where = f"{path}.volumes[{number}].name"
            hint = c.suggestion(volume.name, parts.volume_names)
            c.problem_at(where, "expected the name of a volume of this session", hint)
    for where, item in c.items(
        c.nodes.get(f"{path}.provide_secrets"), f"{path}.provide_secrets", scalar=True
    ):
        if not isinstance(item, Scalar) or item.is_null:
            continue
        name = item.text
        if name not in parts.by_name and not parts.is_unreadable(name):
            hint = c.suggestion(name, parts.by_name)
            named = c.said(where, f" named {name}")
            c.problem_at(where, f"expected a secret{named} in this session", hint)


def _secret(c: Collector, parts: Parts, secret: SecretSpec, path: str, version: Version) -> None:
    if secret.akv is not None:
        _token(c, parts, secret.akv.token, f"{path}.import_akv")
        if secret.akv.decryption_key is not None:
            where = f"{path}.import_akv.decryption_key"
            _refers(c, parts, secret.akv.decryption_key, where, "binary")
            key = parts.by_name.get(secret.akv.decryption_key)
            if key is not None:
                check_key_size(c, key, where)
    if secret.is_foreign:
        return
    if secret.kind in {"x509", "x509-ca"}:
        _certificate(c, parts, secret, path, version)
    elif secret.kind == "public-key":
        if secret.private_key is not None:
            _refers(c, parts, secret.private_key, f"{path}.private_key", "private-key")
        if (secret.private_key is None) == (secret.value is None):
            c.problem_at(path, "expected either private_key or value in a public-key")
    elif secret.kind == "config-fragment" and secret.value is None:
        c.problem_at(path, "expected value or import in a config-fragment")
    elif secret.jwt is not None:
        _refers(c, parts, secret.jwt.signer, f"{path}.signer", "private-key")
        key = parts.by_name.get(secret.jwt.signer)
        made = key and key.kind == "private-key" and key.value is None and not key.is_foreign
        if made and key and key.effective_key_type != "P-384":
            hint = f"give {c.said(f'{path}.signer', key.name) or 'it'} key_type: P-384"
            c.problem_at(f"{path}.signer", "expected a key of type P-384 for ES384", hint)


def _token(c: Collector, parts: Parts, name: str | None, path: str) -> None:
    """The aad-token that is named, or the only one."""
    if name is not None:
        _refers(c, parts, name, f"{path}.token", "aad-token")
        return
    count = len(parts.by_kind.get("aad-token", ()))
    if count != 1 and not (count == 0 and None in parts.secrets):
        c.problem_at(path, f"expected token: the session has {count} secrets of kind aad-token")


def _secret_config(c: Collector, parts: Parts, config: SecretConfig) -> None:
    if config.store_in == "akv":
        _token(c, parts, config.token, "secret_config.store_in")


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


def _aliases(c: Collector, parts: Parts) -> None:
    """One session sees each name once, whether it is a volume's own or an alias."""
    seen: dict[tuple[SessionReference, str], str] = {}
    for index, volume in enumerate(parts.volumes):
        for number, export in enumerate(volume.exports if volume else ()):
            if volume is None:
                continue
            name = export.alias or volume.name
            other = seen.setdefault((export.to, name), volume.name)
            if other != volume.name:
                path = f"volumes[{index}].export[{number}]"
                message = f"expected another volume_alias: that session sees {other} under it too"
                c.problem(
                    c.nodes.get(path) or c.nodes.get(f"volumes[{index}].export"), path, message
                )


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
                c.problem_at(f"{path}.size" if f"{path}.size" in c.nodes else path, message, hint)
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
                f"give {c.said(f'{path}.issuer', issuer.name) or 'it'} its private_key",
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
    """A secret of this name and kind is there; one that is imported may be of any kind."""
    found = parts.by_name.get(name)
    if found is None:
        if parts.is_unreadable(name):
            return
        hint = c.suggestion(name, parts.by_kind.get(kind, ()))
        c.problem_at(path, f"expected the name of a secret of kind {kind}", hint)
    elif found.kind not in {kind, None}:
        got = c.said(path, f", {name} is of kind {found.kind}")
        c.problem_at(path, f"expected a secret of kind {kind}{got}")
