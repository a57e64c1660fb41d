"""Which secrets of a session a purpose needs, so that others, and what they depend on, do not count.

An import that fails blocks only what uses it. Names are closed over what a secret needs to have a
value when it is handed out: signers and claims of tokens, credentials and keys for vaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scone.session.command import arguments
from scone.session.model import (
    Image,
    SecretSpec,
    Security,
    Service,
    Session,
    Template,
    Volume,
)
from scone.session.placeholders import START, Placeholder, find, reference

HOST_VARIABLE: Final = ("\\@\\@", "@@")
"""What the name of a variable of the host begins with; its value in the session never counts."""
_NONE: Final = Volume("")


def names_for_service(session: Session, service: Service) -> frozenset[str]:
    """The secrets that one start of a service needs, its appraisal included.

    Raises:
        MalformedError: a text that begins like a placeholder and is none.
    """
    image = session.image_of(service)
    mounts = image.volumes if image else ()
    texts = [
        *arguments(service, session.version),
        *(text for name, text in service.environment if not name.startswith(HOST_VARIABLE)),
        service.fspf_key or "",
        *(file.content or "" for file in (image.injection_files if image else ())),
        *((session.volume(mount.name) or _NONE).fspf_key or "" for mount in mounts),
    ]
    specs = _specs(session)
    names = _referred(specs, texts)
    if image is not None and any(file.content is None for file in image.injection_files):
        names |= provided(session, image)
    return _closed(specs, names) | names_for_appraisal(session, service)


def names_for_appraisal(session: Session, service: Service) -> frozenset[str]:
    """The secrets that decide whether a service is admitted: sections and one-time passwords.

    Raises:
        MalformedError: as `names_for_service`.
    """
    texts = [service.one_time_password_shared_secret or ""]
    for section in (session.security, service.attestation, service.platforms):
        if isinstance(section, Template):
            texts += _texts(section)
        elif isinstance(section, Security):
            texts.append(section.one_time_password_shared_secret or "")
    specs = _specs(session)
    return _closed(specs, _referred(specs, texts))


def names_for_volume(session: Session, volume: Volume) -> frozenset[str]:
    """The secrets that the key of a volume needs.

    Raises:
        MalformedError: as `names_for_service`.
    """
    specs = _specs(session)
    return _closed(specs, _referred(specs, (volume.fspf_key or "",)))


def names_for_secret(session: Session, spec: SecretSpec) -> frozenset[str]:
    """A secret with all that its value needs when it is handed out."""
    return _closed(_specs(session), (spec.name,))


def names_for_access(session: Session) -> frozenset[str]:
    """The secrets that the access policy refers to.

    Raises:
        MalformedError: as `names_for_service`.
    """
    policy = session.access_policy
    if isinstance(policy, Template):
        texts = _texts(policy)
    else:
        texts = [entry for entry in policy.leaves if isinstance(entry, str)]
    specs = _specs(session)
    return _closed(specs, _referred(specs, texts))


def names_for_generation(session: Session) -> frozenset[str]:
    """The foreign secrets that generated ones are made of: private keys and issuers."""
    specs = _specs(session)
    names = {
        name
        for spec in session.secrets
        if not spec.is_foreign and spec.kind in {"x509", "x509-ca", "public-key"}
        for name in (spec.private_key, spec.issuer)
        if name is not None and name in specs and specs[name].is_foreign
    }
    return _closed(specs, names)


def provided(session: Session, image: Image) -> frozenset[str]:
    """The secrets that templates on the disk of the launcher may name; fragments never can."""
    listed = None if image.provide_secrets is None else set(image.provide_secrets)
    return frozenset(
        spec.name
        for spec in session.secrets
        if spec.kind != "config-fragment" and (listed is None or spec.name in listed)
    )


def _texts(section: Template) -> list[str]:
    """All texts of a section's data; placeholders stand alone there."""
    found: list[str] = []
    left = [json.loads(section.data)]
    while left:
        data = left.pop()
        if isinstance(data, str):
            found.append(data)
        else:
            left += data.values() if isinstance(data, dict) else data
    return found


def _specs(session: Session) -> dict[str | None, SecretSpec]:
    return {spec.name: spec for spec in session.secrets}


def _referred(specs: Mapping[str | None, SecretSpec], texts: Iterable[str]) -> set[str]:
    """The secrets that placeholders in texts mean; what no secret is meant by is left out."""
    return {
        meant[0]
        for text in texts
        if START in text
        for part in find(text)
        if isinstance(part, Placeholder) and (meant := part.meant(specs)) is not None
    }


def _closed(specs: Mapping[str | None, SecretSpec], names: Iterable[str]) -> frozenset[str]:
    """The names with all that their values need when they are handed out."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found and name in specs:
            found.add(name)
            left += _needs(specs, specs[name])
    return frozenset(found)


def _needs(specs: Mapping[str | None, SecretSpec], spec: SecretSpec) -> Iterator[str]:
    if spec.akv is not None:
        # Without a name the only aad-token is meant.
        only = (other.name for other in specs.values() if other.kind == "aad-token")
        yield spec.akv.token or next(only, "")
        yield spec.akv.decryption_key or ""
    if spec.jwt is not None and not spec.is_foreign:
        yield spec.jwt.signer
        for _, text in spec.jwt.payload:
            claim = reference(text)
            if claim is not None and (meant := claim.meant(specs)) is not None:
                yield meant[0]
