"""Injection files whose template lies on the launcher's disk (session language, "images").

The CAS sends all secrets that the template may name (`provide_secrets` of the image); the launcher
expands the bytes that it read, with the code that the CAS uses for the other files.
"""

from __future__ import annotations

from scone.crypto.secret import SecretBytes
from scone.errors import UsageError
from scone.service_config.expansion import Expansion
from scone.service_config.model import ServiceConfig


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
    return Expansion(config.template_secrets, software_identity).file(text, place)
