"""From a session, its secret values and accepted evidence to a service's configuration.

The type rule: without `AcceptedEvidence`, which only appraisal can make, nothing is built unless
the session's attestation mode is `none`. The caller appraises the evidence for this service of
this session; what is checked here is that it still holds.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from scone.attestation.appraise import AcceptedEvidence, AcceptedToken
from scone.crypto.secret import SecretBytes
from scone.errors import AppraisalError, NotFoundError, UsageError
from scone.service_config.expansion import Expansion
from scone.service_config.model import (
    HostArgument,
    InjectedFile,
    MainFileSystem,
    ProtectedVolume,
    ServiceConfig,
)
from scone.session.command import arguments, host_argument
from scone.session.model import VOLUME_KEY_BYTES, Image, Service, Session
from scone.session.placeholders import Placeholder, find
from scone.session.resolve import resolved_security
from scone.session.secrets import BinaryValue, SecretValues
from scone.session.uses import HOST_VARIABLE, provided

_WORKING_DIRECTORY: Final = "/"


def build(
    session: Session,
    service_name: str,
    values: SecretValues,
    accepted: AcceptedEvidence | AcceptedToken | None,
    now: dt.datetime,
    *,
    volumes: tuple[ProtectedVolume, ...] = (),
) -> ServiceConfig:
    """The configuration of one service; `accepted` is None only where the mode is `none`.

    `values` are at least those that `names_for_service` names; `volumes` are those of its image.

    Raises:
        AppraisalError: no accepted evidence although the session asks for it, or outdated one.
        NotFoundError: no such service, image or secret.
        UsageError: a secret in a form that its place cannot hold, named.
        MalformedError: an argument of the host that stands twice or has no such number.
        LimitError: the configuration becomes too large.
    """
    service = session.service(service_name)
    place = f"session {session.name} service {service.name}"
    if accepted is None:
        mode = resolved_security(session, values).mode
        if mode != "none":
            raise AppraisalError(
                f"{place}: expected accepted evidence (attestation mode {mode}), got none"
            )
    elif now > accepted.evidence.valid_until:
        raise AppraisalError(
            f"{place}: expected evidence that is valid now, got one valid until "
            f"{accepted.evidence.valid_until:%Y-%m-%d %H:%M:%S} UTC"
        )
    identity = None if accepted is None else accepted.evidence.report.mrenclave.hex()
    expansion = Expansion(values, identity)
    image = _image(session, service, place)
    files = () if image is None else image.injection_files
    templates = any(file.content is None for file in files)
    return ServiceConfig(
        arguments=tuple(
            _word(expansion, word, f"{place} command argument {number}")
            for number, word in enumerate(arguments(service, session.version))
        ),
        environment=tuple(
            _variable(expansion, name, text, place) for name, text in service.environment
        ),
        pwd=_WORKING_DIRECTORY if service.pwd is None else service.pwd,
        files=tuple(
            InjectedFile(
                file.path,
                None
                if file.content is None
                else expansion.file(file.content, f"{place} {file.path}"),
                file.permission,
            )
            for file in files
        ),
        template_secrets=_for_templates(session, image, values) if image and templates else None,
        volumes=volumes,
        fspf=_main_file_system(service, values, place),
    )


def file_system_key(text: str, values: SecretValues, place: str) -> SecretBytes:
    """The key of a file system protection file: 64 hex digits, or a binary secret of 32 bytes.

    Raises:
        NotFoundError: a placeholder for a secret that is not there.
        UsageError: a secret of another kind or size, named.
    """
    (part,) = find(text, place=place)
    if not isinstance(part, Placeholder):
        return SecretBytes(bytes.fromhex(part))
    value = values.get(part.name)
    if value is None:
        raise NotFoundError(f"{place}: the session has no secret {part.name}")
    if not isinstance(value, BinaryValue) or len(value.value) != VOLUME_KEY_BYTES:
        raise UsageError(
            f"{place}: expected a binary secret of {VOLUME_KEY_BYTES} bytes as key, {part} is none"
        )
    return value.value


def _word(expansion: Expansion, word: str, place: str) -> SecretBytes | HostArgument:
    """An argument; only the session's own text, never a value, can mean one of the host."""
    position = host_argument(word, place=place)
    return expansion.string(word, place) if position is None else HostArgument(position)


def _variable(
    expansion: Expansion, name: str, text: str, place: str
) -> tuple[bytes, SecretBytes | None]:
    for prefix in HOST_VARIABLE:
        if name.startswith(prefix):
            return name.removeprefix(prefix).encode(), None
    return name.encode(), expansion.string(text, f"{place} environment {name}")


def _for_templates(session: Session, image: Image, values: SecretValues) -> SecretValues:
    names = provided(session, image)
    return SecretValues({name: value for name, value in values.items() if name in names})


def _main_file_system(service: Service, values: SecretValues, place: str) -> MainFileSystem | None:
    if service.fspf_path is None or service.fspf_key is None:
        return None
    return MainFileSystem(
        service.fspf_path,
        file_system_key(service.fspf_key, values, f"{place} fspf_key"),
        None if service.fspf_tag is None else bytes.fromhex(service.fspf_tag),
        service.fspf_update_policy,
    )


def _image(session: Session, service: Service, place: str) -> Image | None:
    if service.image_name is None:
        return None
    image = session.image(service.image_name)
    if image is None:
        raise NotFoundError(f"{place}: the session has no image {service.image_name}")
    return image
