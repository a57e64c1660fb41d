"""From a session, its secret values and accepted evidence to a service's configuration.

The type rule: without `AcceptedEvidence`, which only appraisal can make, nothing is built unless
the session's attestation mode is `none`. The caller appraises the evidence for this service of
this session; what is checked here is that it still holds.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from scone.attestation.appraise import AcceptedEvidence
from scone.errors import AppraisalError, NotFoundError
from scone.service_config.expansion import Expansion
from scone.service_config.model import InjectedFile, ServiceConfig
from scone.session.command import arguments
from scone.session.model import InjectionFile, Service, Session
from scone.session.secrets import SecretValues

_WORKING_DIRECTORY: Final = "/"


def build(
    session: Session,
    service_name: str,
    values: SecretValues,
    accepted: AcceptedEvidence | None,
    now: dt.datetime,
) -> ServiceConfig:
    """The configuration of one service; `accepted` is None only where the mode is `none`.

    Raises:
        AppraisalError: no accepted evidence although the session asks for it, or outdated one.
        NotFoundError: no such service, image or secret.
        UsageError: a secret in a form that its place cannot hold, named.
        LimitError: the configuration becomes too large.
    """
    service = session.service(service_name)
    place = f"session {session.name} service {service.name}"
    if accepted is None:
        if session.security.mode != "none":
            raise AppraisalError(
                f"{place}: expected accepted evidence (attestation mode "
                f"{session.security.mode}), got none"
            )
    elif now > accepted.evidence.valid_until:
        raise AppraisalError(
            f"{place}: expected evidence that is valid now, got one valid until "
            f"{accepted.evidence.valid_until:%Y-%m-%d %H:%M:%S} UTC"
        )
    expansion = Expansion(values)
    words = tuple(
        expansion.string(word, f"{place} command argument {number}")
        for number, word in enumerate(arguments(service, session.version))
    )
    environment = tuple(
        (name.encode("utf-8"), expansion.string(text, f"{place} environment {name}"))
        for name, text in service.environment
    )
    files = tuple(
        InjectedFile(
            file.path,
            None if file.content is None else expansion.file(file.content, f"{place} {file.path}"),
            file.permission,
        )
        for file in _injection_files(session, service, place)
    )
    templates = any(file.content is None for file in files)
    return ServiceConfig(
        arguments=words,
        environment=environment,
        pwd=_WORKING_DIRECTORY if service.pwd is None else service.pwd,
        files=files,
        template_secrets=values if templates else None,
    )


def _injection_files(session: Session, service: Service, place: str) -> tuple[InjectionFile, ...]:
    if service.image_name is None:
        return ()
    image = session.image(service.image_name)
    if image is None:
        raise NotFoundError(f"{place}: the session has no image {service.image_name}")
    return image.injection_files
