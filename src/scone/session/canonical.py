"""The canonical form of a session and its hash (docs/formats/session-hash.md).

Compact JSON in SCONE's field order, UTF-8 without escapes that JSON does not need;
SHA-256 over it. The order is SCONE's where a published pair of session and hash
determines it, and chosen here where none does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from scone.session.model import (
    CREATOR,
    DEFAULT_FSPF_POLICY,
    DEFAULT_PERMISSION,
    DEFAULT_TAG_POLICY,
    AadToken,
    AccessEntry,
    AccessPolicy,
    AkvImport,
    Creator,
    Image,
    Import,
    Jwt,
    Rule,
    SecretConfig,
    SecretSpec,
    Security,
    Service,
    Session,
    SessionReference,
    SessionSigner,
    Signer,
    Template,
    Variant,
    Volume,
    VolumeExport,
)
from scone.session.placeholders import START, Placeholder

Value = str | int | bool | None | list["Value"] | dict[str, "Value"]


def session_value(session: Session) -> dict[str, Value]:
    """The session as JSON data in canonical order: what is hashed, printed and compared."""
    old = session.version == "0.2"
    value: dict[str, Value] = {
        "version": session.version,
        "name": session.name,
        "predecessor": session.predecessor,
    }
    optional: dict[str, Value] = {
        "namespace_hash": session.namespace_hash,
        "salt": session.salt,
        "secrets": [_secret(secret, old=old) for secret in session.secrets] or None,
        "volumes": [_volume(volume, old=old) for volume in session.volumes] or None,
        "images": [_image(image) for image in session.images] or None,
        "services": [_service(service) for service in session.services] or None,
        "access_policy": _access_policy(session.access_policy),
        "security": _security(session.security) or None,
        "secret_config": _secret_config(session.secret_config),
        "creator": _creator(session.creator),
    }
    return value | _present(optional)


def canonical_json(session: Session) -> str:
    """The text whose hash is the session's."""
    return json.dumps(session_value(session), ensure_ascii=False, separators=(",", ":"))


def session_hash(session: Session) -> str:
    """SHA-256 of the canonical form, 64 hex digits."""
    import hashlib  # here: `scone session check` needs no hash, and loading OpenSSL takes time

    return hashlib.sha256(canonical_json(session).encode()).hexdigest()


def references_creator(session: Session) -> bool:
    """Whether an access policy list, by itself or by default, names the creator.

    A list that a secret stands for may name it.
    """
    policy = session.access_policy
    if isinstance(policy, Template):
        return True
    texts = (entry for entry in policy.leaves if isinstance(entry, str))
    return any(text == CREATOR or text.startswith(START) for text in texts)


def _secret(secret: SecretSpec, *, old: bool) -> dict[str, Value]:
    value: Value = secret.value
    if secret.kind == "config-fragment" and secret.value is not None:
        value = json.loads(secret.value)
    aad, jwt, akv = secret.aad, secret.jwt, secret.akv
    described: dict[str, Value] = {
        "name": secret.name,
        "kind": secret.kind,
        "value": value,
        "size": secret.size,
        "key_type": secret.key_type,
        "migrate": secret.migrate or None,
        "private_key": secret.private_key,
        "issuer": secret.issuer,
        "common_name": secret.common_name,
        "endpoint": secret.endpoint,
        "dns": list(secret.dns) or None,
        "san": list(secret.san) or None,
        "valid_for": secret.valid_for.text if secret.valid_for else None,
    }
    shared: dict[str, Value] = {
        "import": _import(secret.imported, "secret", old=old),
        "import_akv": None if akv is None else _akv(akv),
        "export": [_reference(export, old=old) for export in secret.exports] or None,
        "export_public": secret.export_public or None,
    }
    own = _jwt(jwt) if jwt else _aad_token(aad) if aad else {}
    return _present(described | own | shared)


def _jwt(jwt: Jwt) -> dict[str, Value]:
    return {
        "signer": jwt.signer,
        "alg": jwt.alg,
        "validity": {"for": jwt.valid_for.text},
        "payload": dict(jwt.payload) or None,
    }


def _aad_token(aad: AadToken) -> dict[str, Value]:
    return {
        "tenant_id": aad.tenant_id,
        "client_id": aad.client_id,
        "application_secret": aad.application_secret,
        "private_key": aad.private_key,
        "certificate_thumbprint": aad.certificate_thumbprint,
    }


def _akv(akv: AkvImport) -> dict[str, Value]:
    return _present(
        {
            "vault": akv.vault,
            "secret_name": akv.secret_name,
            "token": _placeholder(akv.token),
            "decryption_key": _placeholder(akv.decryption_key),
        }
    )


def _placeholder(name: str | None) -> str | None:
    return None if name is None else str(Placeholder(name))


def _reference(reference: SessionReference, *, old: bool) -> Value:
    if old:
        hashed = f":{reference.session_hash}" if reference.session_hash else ""
        return f"{reference.session}{hashed}"
    return _present(
        {
            "cas_url": reference.cas_url,
            "cas_key": reference.cas_key,
            "cas_software_key": reference.cas_software_key,
            "session": reference.session,
            "namespace": reference.namespace,
            "session_hash": reference.session_hash,
        }
    )


def _import(imported: Import | None, key: str, *, old: bool) -> Value:
    if imported is None:
        return None
    source = _reference(imported.source, old=old)
    if not isinstance(source, dict):
        return source
    return source | {key: imported.name}


def _volume(volume: Volume, *, old: bool) -> dict[str, Value]:
    return _present(
        {
            "name": volume.name,
            "fspf_key": volume.fspf_key,
            "fspf_tag": volume.fspf_tag,
            "files": None if volume.files == "encrypted" else volume.files,
            "import": _import(volume.imported, "volume", old=old),
            "export": [_volume_export(export, old=old) for export in volume.exports] or None,
        }
    )


def _volume_export(export: VolumeExport, *, old: bool) -> Value:
    to = _reference(export.to, old=old)
    if export.update_policy == DEFAULT_TAG_POLICY and export.alias is None:
        return to
    return _present(
        {
            "to": to,
            "update_policy": _unless(export.update_policy, DEFAULT_TAG_POLICY),
            "volume_alias": export.alias,
        }
    )


def _unless(value: str, default: str) -> str | None:
    return None if value == default else value


def _image(image: Image) -> dict[str, Value]:
    volumes: list[Value] = [
        _present(
            {
                "name": volume.name,
                "path": volume.path,
                "update_policy": _unless(volume.update_policy, DEFAULT_TAG_POLICY),
            }
        )
        for volume in image.volumes
    ]
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
    provided = image.provide_secrets
    return _present(
        {
            "name": image.name,
            "volumes": volumes or None,
            "injection_files": files or None,
            "provide_secrets": None if provided is None else list(provided),
        }
    )


def _service(service: Service) -> dict[str, Value]:
    command: Value = (
        list(service.command) if isinstance(service.command, tuple) else service.command
    )
    attestation, platforms = service.attestation, service.platforms
    return _present(
        {
            "name": service.name,
            "image_name": service.image_name,
            "mrenclaves": list(service.mrenclaves) or None,
            "attestation": _data(attestation)
            if isinstance(attestation, Template)
            else [_variant(variant) for variant in attestation] or None,
            "platforms": _data(platforms)
            if isinstance(platforms, Template)
            else list(platforms) or None,
            "environment": dict(service.environment) or None,
            "command": command,
            "pwd": service.pwd,
            "fspf_path": service.fspf_path,
            "fspf_key": service.fspf_key,
            "fspf_tag": service.fspf_tag,
            "fspf_update_policy": _unless(service.fspf_update_policy, DEFAULT_FSPF_POLICY),
            "one_time_password_shared_secret": service.one_time_password_shared_secret,
            "persistency": "None",
        }
    )


def _data(template: Template) -> Value:
    data: Value = json.loads(template.data)
    return data


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


def _access_policy(policy: AccessPolicy | Template) -> Value:
    if isinstance(policy, Template):
        return _data(policy)
    access: dict[str, Value] = {"read": _entries(policy.read), "update": _entries(policy.update)}
    if policy.create_sessions is not None:
        access["create_sessions"] = _entries(policy.create_sessions)
    if policy.list_sessions is not None:
        access["list_sessions"] = _entries(policy.list_sessions)
    return access


def _entries(entries: Iterable[AccessEntry]) -> list[Value]:
    return [_entry(entry) for entry in entries]


def _entry(entry: AccessEntry) -> Value:
    match entry:
        case SessionSigner(public_key_pem):
            return {"signer": public_key_pem}
        case Rule(None, entries):
            return {"require-all": _entries(entries)}
        case Rule(at_least, entries):
            return {f"require-at-least-{at_least}": _entries(entries)}
        case text:
            return text


def _security(security: Security | Template) -> Value:
    if isinstance(security, Template):
        return _data(security)
    advisories = security.ignore_advisories
    attestation = _present(
        {
            "mode": _unless(security.mode, "hardware"),
            "tolerate": list(security.tolerate) or None,
            "ignore_advisories": advisories if advisories == "*" else list(advisories) or None,
            "trusted_scone_qe_pubkeys": list(security.trusted_scone_qe_pubkeys) or None,
            "url": security.url,
            "certificates": list(security.certificates) or None,
            "min_rsa_signing_key_size": security.min_rsa_signing_key_size,
            "one_time_password_shared_secret": security.one_time_password_shared_secret,
            "must_be_sgx_local": security.must_be_sgx_local or None,
        }
    )
    return _present(
        {
            "attestation": attestation or None,
            "singleton_enclaves": security.singleton_enclaves or None,
            "service_access_token": security.service_access_token,
        }
    )


def _secret_config(config: SecretConfig) -> Value:
    if config.store_in == "cas":
        return None
    vault = _present({"vault": config.vault, "token": _placeholder(config.token)})
    return {"store_in": {"akv": vault}}


def _creator(creator: Creator | None) -> Value:
    if creator is None:
        return None
    if creator.signer_pem is not None:
        return {"signer": creator.signer_pem}
    return creator.certificate_pem


def _present(value: Mapping[str, Value]) -> dict[str, Value]:
    return {key: item for key, item in value.items() if item is not None}
