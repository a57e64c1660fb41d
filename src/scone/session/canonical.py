"""The canonical form of a session and its hash (docs/formats/session-hash.md).

Compact JSON in SCONE's field order, UTF-8 without escapes that JSON does not need;
SHA-256 over it. The order is SCONE's where a published pair of session and hash
determines it, and chosen here where none does.
"""

from __future__ import annotations

import hashlib
import json

from scone.session.model import (
    CREATOR,
    DEFAULT_KEY_TYPE,
    DEFAULT_PERMISSION,
    DEFAULT_SECRET_SIZE,
    Image,
    SecretSpec,
    Security,
    Service,
    Session,
    Signer,
    Variant,
)

Value = str | int | bool | None | list["Value"] | dict[str, "Value"]


def session_value(session: Session) -> dict[str, Value]:
    """The session as JSON data in canonical order: what is hashed, printed and compared."""
    value: dict[str, Value] = {
        "version": session.version,
        "name": session.name,
        "predecessor": session.predecessor,
    }
    if session.secrets:
        value["secrets"] = [_secret(secret) for secret in session.secrets]
    if session.images:
        value["images"] = [_image(image) for image in session.images]
    if session.services:
        value["services"] = [_service(service) for service in session.services]
    policy = session.access_policy
    access: dict[str, Value] = {"read": list(policy.read), "update": list(policy.update)}
    if policy.create_sessions is not None:
        access["create_sessions"] = list(policy.create_sessions)
    value["access_policy"] = access
    if attestation := _attestation(session.security):
        value["security"] = {"attestation": attestation}
    if session.creator is not None:
        value["creator"] = session.creator.certificate_pem
    return value


def canonical_json(session: Session) -> str:
    """The text whose hash is the session's."""
    return json.dumps(session_value(session), ensure_ascii=False, separators=(",", ":"))


def session_hash(session: Session) -> str:
    """SHA-256 of the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical_json(session).encode()).hexdigest()


def references_creator(session: Session) -> bool:
    """Whether an access policy list, by itself or by default, names the creator."""
    policy = session.access_policy
    return CREATOR in (*policy.read, *policy.update, *policy.effective_create_sessions)


def _secret(secret: SecretSpec) -> dict[str, Value]:
    default_size = secret.size in {None, DEFAULT_SECRET_SIZE}
    default_type = secret.key_type in {None, DEFAULT_KEY_TYPE}
    return _present(
        {
            "name": secret.name,
            "kind": secret.kind,
            "value": secret.value,
            "size": None if default_size else secret.size,
            "key_type": None if default_type else secret.key_type,
            "migrate": secret.migrate or None,
            "private_key": secret.private_key,
            "issuer": secret.issuer,
            "common_name": secret.common_name,
            "endpoint": secret.endpoint,
            "dns": list(secret.dns) or None,
            "san": list(secret.san) or None,
            "valid_for": secret.valid_for and secret.valid_for.text,
        }
    )


def _image(image: Image) -> dict[str, Value]:
    files: list[Value] = [
        _present(
            {
                "path": file.path,
                "content": file.content,
                "permission": None if file.permission == DEFAULT_PERMISSION else file.permission,
            }
        )
        for file in image.injection_files
    ]
    return _present({"name": image.name, "injection_files": files or None})


def _service(service: Service) -> dict[str, Value]:
    command: Value = (
        list(service.command) if isinstance(service.command, tuple) else service.command
    )
    return _present(
        {
            "name": service.name,
            "image_name": service.image_name,
            "mrenclaves": list(service.mrenclaves) or None,
            "attestation": [_variant(variant) for variant in service.attestation] or None,
            "environment": dict(service.environment) or None,
            "command": command,
            "pwd": service.pwd,
            "persistency": "None",
        }
    )


def _variant(variant: Variant) -> dict[str, Value]:
    return _present(
        {
            "mrenclave": list(variant.mrenclaves) or None,
            "signer": None if variant.signer is None else _signer(variant.signer),
        }
    )


def _signer(signer: Signer) -> dict[str, Value]:
    return _present(
        {
            "mrsigner": signer.mrsigner,
            "isvprodid": signer.isvprodid,
            "isvsvn": signer.isvsvn,
            "isvsvn_min": signer.isvsvn_min,
            "isvsvn_max": signer.isvsvn_max,
        }
    )


def _attestation(security: Security) -> dict[str, Value]:
    advisories = security.ignore_advisories
    return _present(
        {
            "mode": None if security.mode == "hardware" else security.mode,
            "tolerate": list(security.tolerate) or None,
            "ignore_advisories": advisories if advisories == "*" else list(advisories) or None,
        }
    )


def _present(value: dict[str, object]) -> dict[str, Value]:
    return {key: item for key, item in value.items() if item is not None}  # type: ignore[misc]
