"""Injection files whose template lies on the launcher's disk (session language, "images").

The CAS sends all secrets that the template may name (`provide_secrets` of the image); the launcher
expands the bytes that it read, with the code that the CAS uses for the other files.
"""

from __future__ import annotations

from scone.crypto.secret import SecretBytes
from scone.errors import NotFoundError, UsageError
from scone.service_config.expansion import Expansion
from scone.service_config.model import ServiceConfig
from scone.session.placeholders import Placeholder, find


def expand_template(
    config: ServiceConfig, template: bytes, *, place: str, software_identity: str | None = None
) -> SecretBytes:
    """The content of an injection file, from a template's bytes; `place` is its path.

    `software_identity` is the measurement of the program that the file is for.

    Raises:
        UsageError: a configuration without template secrets, or a format that a secret lacks.
        NotFoundError: a placeholder for a secret that is not there.
        MalformedError: something begins like a placeholder and is none.
        LimitError: the expanded file is too large.
    """
    if config.template_secrets is None:
        raise UsageError(f"{place}: the CAS sent no secrets for templates from the disk")
    text = template.decode("utf-8", "surrogateescape")
    for part in find(text, place=place):
        if isinstance(part, Placeholder) and not (
            part.builtin or part.meant(config.template_secrets)
        ):
            raise NotFoundError(
                f"{place}: {part} is not among the secrets that the session provides to files of the "
                "host (provide_secrets of the image)"
            )
    return Expansion(config.template_secrets, software_identity).file(text, place)
