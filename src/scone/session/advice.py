"""Warnings about sessions that are valid and probably not what is wanted.

Each has a stable code in `Problem.code`; docs/formats/session.md lists them. They
never repeat a value.
"""

from __future__ import annotations

from typing import Final

from scone.documents import Node
from scone.session.check_placeholders import resolve
from scone.session.collect import Collector
from scone.session.fields import ENVIRONMENT_OF_LOADER, ENVIRONMENT_WITHOUT_EFFECT
from scone.session.model import Security, Service
from scone.session.parts import Parts
from scone.session.placeholders import START, Placeholder, find
from scone.session.versions import Version

WILDCARD: Final = (
    "Using the wildcard (*) in security.attestation.ignore_advisories accepts services with any"
    " known and future security issues, which is heavily discouraged for production mode."
)


def advise(c: Collector, root: Node, parts: Parts, security: Security, version: Version) -> None:
    """Note every warning for a session without problems."""
    if "access_policy" not in c.nodes:
        message = "there is none: only the creator may read and update the session"
        c.warn("access_policy", "access-policy-missing", message, node=root)
    _security(c, security)
    for index, service in enumerate(parts.services):
        if service is not None:
            _service(c, parts, service, f"services[{index}]", version)
    for index, secret in enumerate(parts.secrets):
        path = f"secrets[{index}]"
        if secret is None:
            continue
        if secret.value is not None and not secret.kind.startswith("x509"):
            message = "an explicit value is seen by everybody who may read the session"
            hint = "leave it out to have one generated"
            c.warn(f"{path}.value", "explicit-secret-value", message, hint)
        if secret.value is not None and secret.size is not None:
            message = "has no effect beside an explicit value"
            c.warn(f"{path}.size", "size-without-effect", message)
        if secret.dns and version.states("0.3.10"):
            c.warn(f"{path}.dns", "deprecated-dns", "superseded by san since 0.3.10")


def _security(c: Collector, security: Security) -> None:
    path = "security.attestation"
    if security.mode == "none":
        message = "nothing attests the services: whoever reaches the CAS gets their secrets"
        c.warn(f"{path}.mode", "attestation-none", message)
    if "debug-mode" in security.tolerate:
        message = "debug-mode is tolerated: the host can read the memory of such a service"
        c.warn(f"{path}.tolerate", "debug-mode-tolerated", message)
    elif security.ignore_advisories == "*":
        c.warn(f"{path}.ignore_advisories", "advisory-wildcard", WILDCARD)


def _service(c: Collector, parts: Parts, service: Service, path: str, version: Version) -> None:
    if service.mrenclaves and version.states("0.3.7"):
        message = "superseded by attestation.mrenclave since 0.3.7"
        c.warn(f"{path}.mrenclaves", "deprecated-mrenclaves", message)
    for name, _ in service.environment:
        where = f"{path}.environment.{name}"
        if name in ENVIRONMENT_WITHOUT_EFFECT:
            message = "has no effect in a session: it acts before the session is there"
            hint = "set it where the program is started"
            c.warn(where, "environment-without-effect", message, hint)
        elif name in ENVIRONMENT_OF_LOADER:
            message = "may replace measured libraries; the launcher refuses the service if it does"
            c.warn(where, "environment-of-loader", message)
    command = service.command or ""
    words = (command,) if isinstance(command, str) else command
    named = {
        secret.name
        for word in words
        if START in word
        for part in find(word)
        if isinstance(part, Placeholder) and (secret := resolve(part, parts.by_name)[0]) is not None
    }
    for name in sorted(named):
        message = f"the secret {name} in arguments is visible to the host outside a TEE"
        hint = "use environment or an injection file"
        c.warn(f"{path}.command", "secret-in-command", message, hint)
