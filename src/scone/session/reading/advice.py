"""Warnings about sessions that are valid and probably not what is wanted.

Each has a stable code in `Problem.code`; docs/formats/session.md lists them. They
never repeat a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scone.documents import Node
from scone.session.model import (
    ANY,
    CREATOR,
    MAX_ISSUERS,
    NONE,
    AccessEntry,
    AccessPolicy,
    SecretSpec,
    Security,
    Service,
    Session,
    SessionReference,
    Template,
)
from scone.session.names import ROOT, parse_name
from scone.session.placeholders import START, Placeholder, find
from scone.session.reading.collect import Collector
from scone.session.reading.fields import ENVIRONMENT_OF_LOADER, ENVIRONMENT_WITHOUT_EFFECT
from scone.session.reading.parts import Parts
from scone.session.reading.versions import Version
from scone.session.uses import names_for_service

WILDCARD: Final = (
    "Using the wildcard (*) in security.attestation.ignore_advisories accepts services with any"
    " known and future security issues, which is heavily discouraged for production mode."
)

_CATEGORIES: Final = frozenset(
    {"software-hardening-needed", "insecure-configuration", "outdated-tcb"}
)
_MIN_TOKEN: Final = 16
_MAX_COMPARED: Final = 20
_OTP: Final = "one_time_password_shared_secret"
_CONFIDENTIAL: Final = frozenset({"ascii", "binary", "private-key"})
_INTERPRETERS: Final = frozenset(
    {"python", "java", "node", "nodejs", "ruby", "perl", "php", "bash", "sh", "R", "Rscript", "lua"}
)


def advise(c: Collector, root: Node, parts: Parts, session: Session, version: Version) -> None:
    """Note every warning for a session without problems."""
    if "access_policy" not in c.nodes:
        message = "there is none: only the creator may read and update the session"
        c.warn("access_policy", "access-policy-missing", message, node=root)
    elif isinstance(session.access_policy, AccessPolicy):
        _access(c, session.access_policy)
    # Whom a secret lets read is not known here.
    read = session.access_policy.read if isinstance(session.access_policy, AccessPolicy) else ()
    _explicit_values(c, parts, session, read)
    _keys_made_again(c, parts)
    if isinstance(session.security, Security):
        _security(c, session.security)
    mode = session.security.mode if isinstance(session.security, Security) else ""
    for index, service in enumerate(parts.services):
        if service is not None:
            _service(c, parts, service, f"services[{index}]", version)
            if mode != "none":
                _interpreter(c, parts, service, f"services[{index}]")
            _without_effect(c, session.security, service, f"services[{index}]")
    if mode != "none":
        _shared_measurements(c, parts, session)
    _one_time_passwords(c, parts, session)
    for index, secret in enumerate(parts.secrets):
        if secret is not None:
            _secret(c, secret, f"secrets[{index}]", session.name, version)
    for index, volume in enumerate(parts.volumes):
        for number, export in enumerate(volume.exports if volume else ()):
            path = f"volumes[{index}].export"
            _export(c, export.to, path, number, session.name)
            _policy(c, export.update_policy, f"{path}[{number}].update_policy")
    for index, image in enumerate(parts.images):
        for number, mount in enumerate(image.volumes if image else ()):
            path = f"images[{index}].volumes[{number}].update_policy"
            _policy(c, mount.update_policy, path)


def _without_effect(
    c: Collector, security: Security | Template, service: Service, path: str
) -> None:
    """What a service says about attestation and the mode leaves out of account."""
    if isinstance(security, Template):
        return
    if security.mode == "none":
        for key in ("attestation", "mrenclaves", "platforms"):
            if getattr(service, key):
                message = "has no effect: with mode none nothing is attested"
                c.warn(f"{path}.{key}", "attestation-without-effect", message)
    elif service.platforms and (security.mode == "maa" or security.must_be_sgx_local):
        why = "with mode maa" if security.mode == "maa" else "with must_be_sgx_local"
        message = f"has no effect: {why} the platform is not looked at"
        c.warn(f"{path}.platforms", "attestation-without-effect", message)


def _access(c: Collector, policy: AccessPolicy) -> None:
    for key in ("update", "create_sessions"):
        if ANY in (getattr(policy, key) or ()) and f"access_policy.{key}" in c.nodes:
            message = "everybody who reaches the CAS may do it"
            c.warn(f"access_policy.{key}", "access-for-anybody", message)


def _secret(
    c: Collector, secret: SecretSpec, path: str, session_name: str, version: Version
) -> None:
    if secret.value is not None and f"{path}.size" in c.nodes:
        message = "has no effect beside an explicit value"
        c.warn(f"{path}.size", "size-without-effect", message)
    if secret.dns and version.states("0.3.10"):
        c.warn(f"{path}.dns", "deprecated-dns", "superseded by san since 0.3.10")
    if secret.export_public and secret.kind in {"private-key", "pgp-key", "aad-token", "jwt"}:
        message = f"everybody can read this {secret.kind}"
        c.warn(f"{path}.export_public", "public-private-key", message)
    for number, export in enumerate(secret.exports):
        _export(c, export, f"{path}.export", number, session_name)


def _export(c: Collector, to: SessionReference, path: str, number: int, session_name: str) -> None:
    """Whoever creates a session of that name first gets what is exported by name only.

    A single export has the path of the first item, as in the normal form that a CAS reads.
    """
    if to.session_hash is not None:
        return
    item = f"{path}[{number}]"
    at = c.nodes.get(item) or c.nodes.get(path)
    if to.cas_url is None and to.namespace is not None and _is_root(to.namespace, session_name):
        message = "exported to the root namespace: every session of this CAS may import it"
        c.warn(item, "export-by-name", message, node=at)
        return
    # What is below this session or above it is created with its or its parents' consent.
    names = (to.session or to.namespace or "").strip("./")
    own = not names or session_name in {to.session, to.namespace}
    if to.cas_url is None and (own or (to.session or "").startswith("./")):
        return
    if to.cas_url is None and f"{session_name}/".startswith(f"{to.session or to.namespace}/"):
        return
    message = "exported by name only: whoever has that session gets it, or creates it first"
    hint = "add session_hash" if to.namespace is None else "session and session_hash name one"
    c.warn(item, "export-by-name", message, hint, node=at)


def _explicit_values(
    c: Collector, parts: Parts, session: Session, read: Sequence[AccessEntry]
) -> None:
    """Secrets that the text itself holds, and who sees them there.

    Outside of `secrets[].value` nothing is said where only the creator may read, who has them.
    """
    message = "an explicit value is seen by everybody who may read the session"
    if ANY in read:
        message = "an explicit value, and everybody who reaches the CAS may read it (read: ANY)"

    def warn(path: str, hint: str) -> None:
        c.warn(path, "explicit-secret-value", message, hint)

    for index, secret in enumerate(parts.secrets):
        if secret and secret.value is not None and secret.kind in _CONFIDENTIAL:
            warn(f"secrets[{index}].value", "leave it out to have one generated")
    if all(entry in {CREATOR, NONE} for entry in read):
        return
    for index, secret in enumerate(parts.secrets):
        for key in ("application_secret", "private_key"):
            if secret and secret.aad and getattr(secret.aad, key) is not None:
                warn(f"secrets[{index}].{key}", "let only the creator read it and export the token")
    places: list[tuple[str, str | None]] = []
    for section, items in (("services", parts.services), ("volumes", parts.volumes)):
        places += [
            (f"{section}[{index}].{key}", getattr(item, key, None))
            for index, item in enumerate(items)
            for key in ("fspf_key", _OTP)
        ]
    if isinstance(session.security, Security):
        token = session.security.service_access_token
        otp = session.security.one_time_password_shared_secret
        places += [("security.service_access_token", token), (f"security.attestation.{_OTP}", otp)]
    for path, text in places:
        if text is not None and not text.startswith(START):
            warn(path, "name a secret instead: $$SCONE::NAME$$")


def _keys_made_again(c: Collector, parts: Parts) -> None:
    """An update makes a private key again that others know by what they import or fetch."""
    shown: dict[str, str] = {}
    for secret in parts.by_name.values():
        if not (secret.exports or secret.export_public):
            continue
        at: SecretSpec | None = secret
        for _ in range(MAX_ISSUERS + 1):
            if at is None or at.kind not in {"x509", "x509-ca", "public-key"}:
                break
            shown.setdefault(at.private_key or "", secret.name)
            at = parts.by_name.get(at.issuer or "")
    for index, key in enumerate(parts.secrets):
        if key is None or key.kind != "private-key" or key.name not in shown:
            continue
        if key.value is None and not (key.migrate or key.is_foreign):
            name = c.said(f"secrets[{index}].name", f", and so {shown[key.name]}")
            message = f"an update makes this key again{name}, which others have"
            c.warn(f"secrets[{index}]", "key-made-again", message, "migrate: true keeps it")


def _is_root(name: str, own: str) -> bool:
    """Whether a name as written in the session `own` means the root namespace."""
    steps = name.split("/")
    return name == ROOT or (set(steps) == {".."} and len(steps) >= len(parse_name(own)))


def _policy(c: Collector, policy: str, path: str) -> None:
    if policy == "no_rollback_protection" and path in c.nodes:
        message = "old states of the files are accepted without notice"
        c.warn(path, "no-rollback-protection", message)


def _interpreter(c: Collector, parts: Parts, service: Service, path: str) -> None:
    """The measurement of an interpreter says nothing about the script that it runs."""
    command = service.command or ""
    first = (command.split() or [""])[0] if isinstance(command, str) else command[0]
    name = first.rpartition("/")[2].rstrip("0123456789.")
    if name not in _INTERPRETERS or service.fspf_path is not None:
        return
    image = parts.images_by_name.get(service.image_name or "")
    if image is not None and image.volumes:
        return
    message = f"{name} runs code from files that nothing protects: only the interpreter is measured"
    hint = "protect them: fspf_path with fspf_key and fspf_tag, or a volume"
    c.warn(f"{path}.command", "interpreter-without-fspf", message, hint)


def _shared_measurements(c: Collector, parts: Parts, session: Session) -> None:
    """A program that two services admit can ask for the secrets of either."""
    first: dict[str, Service] = {}
    left = _MAX_COMPARED  # each comparison looks at the whole session
    for index, service in enumerate(parts.services):
        if service is None or isinstance(service.variants, Template):
            continue
        for measurement in {m for variant in service.variants for m in variant.mrenclaves}:
            other = first.setdefault(measurement, service)
            if other is service or left == 0:
                continue
            left -= 1
            if names_for_service(session, other) != names_for_service(session, service):
                message = (
                    f"{service.name} and {other.name} have different secrets and admit the same"
                    " measurement: either can be started as the other"
                )
                hint = "put them into different sessions, or tell them apart by signer or OTP"
                c.warn(f"services[{index}]", "shared-measurement", message, hint)
                break


def _one_time_passwords(c: Collector, parts: Parts, session: Session) -> None:
    if isinstance(session.security, Template) or session.security.one_time_password_shared_secret:
        return
    services = [service for service in parts.services if service]
    with_otp = [service for service in services if service.one_time_password_shared_secret]
    if with_otp and len(with_otp) < len(services):
        message = "some services of this session need a one-time password and others do not"
        c.warn("services", "otp-not-everywhere", message)


def _security(c: Collector, security: Security) -> None:
    path = "security.attestation"
    if security.mode == "none":
        message = "nothing attests the services: whoever reaches the CAS gets their secrets"
        c.warn(f"{path}.mode", "attestation-none", message)
    if "debug-mode" in security.tolerate:
        message = "debug-mode is tolerated: the host can read the memory of such a service"
        c.warn(f"{path}.tolerate", "debug-mode-tolerated", message)
    elif security.excuses_any_advisory:
        c.warn(f"{path}.ignore_advisories", "advisory-wildcard", WILDCARD)
    token = security.service_access_token
    if token is not None and not token.startswith(START) and len(token) < _MIN_TOKEN:
        message = f"has less than {_MIN_TOKEN} characters: whoever sees a proof can guess it"
        hint = "openssl rand -hex 16"
        c.warn("security.service_access_token", "short-access-token", message, hint)
    if security.singleton_enclaves and security.mode == "none":
        message = "has no effect with mode none"
        c.warn("security.singleton_enclaves", "singleton-without-effect", message)
    needless = _needless(security)
    if needless:
        message = f"{', '.join(needless)} has no effect here"
        c.warn(f"{path}.tolerate", "toleration-without-effect", message)
    for key in ("trusted_scone_qe_pubkeys", "min_rsa_signing_key_size"):
        if getattr(security, key):
            c.warn(f"{path}.{key}", "without-effect", "is accepted and has no effect")
    listed = security.ignore_advisories not in {(), "*"}
    if listed and not _CATEGORIES.intersection(security.tolerate):
        message = "has no effect without the category of the advisories in tolerate"
        hint = f"one of {', '.join(sorted(_CATEGORIES))}"
        c.warn(f"{path}.ignore_advisories", "advisories-without-category", message, hint)


def _needless(security: Security) -> list[str]:
    """Tolerations that change nothing in this mode."""
    if security.mode == "hardware":
        return [name for name in security.tolerate if name == "maa-managed-tcb"]
    kept = {"debug-mode", "maa-managed-tcb"} if security.mode == "maa" else set()
    return [name for name in security.tolerate if name not in kept]


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
    one = isinstance(command, str)
    words = (command,) if isinstance(command, str) else command
    named = {
        c.said(f"{path}.command" if one else f"{path}.command[{number}]", meant[0])
        for number, word in enumerate(words)
        if START in word
        for part in find(word)
        if isinstance(part, Placeholder) and (meant := part.meant(parts.by_name)) is not None
    }
    for name in sorted(named):
        message = f"the secret {name or 'there'} in arguments is visible to the host outside a TEE"
        hint = "use environment or an injection file"
        c.warn(f"{path}.command", "secret-in-command", message, hint)
