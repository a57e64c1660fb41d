"""The OpenAPI document, made from the route table; served at /v1/openapi.json."""

from __future__ import annotations

from typing import Final

from scone.cas.http.answers import ANSWERS, CREATED
from scone.cas.http.error_codes import ERROR_CODES
from scone.cas.http.handlers import MAX_HISTORY, MAX_LISTED
from scone.cas.http.routes import ROUTES, Authorisation, Listener, Route
from scone.cas.operations.share_secret import MAX_SECRETS
from scone.session.sharing import MAX_STEPS
from scone.session.signed import MAX_SIGNATURES

_HEX_32: Final[dict[str, object]] = {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
_HEX_64: Final[dict[str, object]] = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_TEXT: Final[dict[str, object]] = {"type": "string"}
_SESSION_TEXT: Final = {**_TEXT, "description": "docs/formats/session.md"}
_BYTES: Final[dict[str, object]] = {"type": "string", "contentEncoding": "base64"}


def _object(required: tuple[str, ...], **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _number(most: int) -> dict[str, object]:
    return {"type": "integer", "minimum": 1, "maximum": most}


_BODIES: Final[dict[tuple[str, str], dict[str, object]]] = {
    ("POST", "/v1/provision"): _object(
        ("token", "config"), token=_HEX_32, config={"type": "object"}, database_key=_HEX_64
    ),
    ("PUT", "/v1/config"): _object(("config",), config={"type": "object"}),
    ("POST", "/v1/backups"): _object(
        ("nonce", "public_key", "quote"),
        nonce=_HEX_32,
        public_key=_HEX_64,
        quote=_BYTES,
        address=_TEXT,
    ),
    ("POST", "/v1/registration"): _object(
        ("nonce", "role"), nonce=_HEX_32, role={"const": "backup"}
    ),
    ("PUT", "/v1/signed_sessions"): _object(
        ("session", "signatures"),
        session=_TEXT,
        signatures={
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_SIGNATURES,
            "items": _object(
                ("signer", "signature"),
                signer=_TEXT,
                signature={"type": "string", "pattern": "^[0-9a-fA-F]+$"},
                cas_key=_TEXT,
                not_after={"type": "string", "format": "date-time"},
            ),
        },
    ),
    ("PUT", "/v1/encrypted_sessions"): _object(
        ("encrypted_session", "encryption_key"), encrypted_session=_BYTES, encryption_key=_HEX_64
    ),
    ("POST", "/v1/shared"): _object(
        ("importer", "importer_hash", "exporter", "secrets", "step", "attestation"),
        importer=_TEXT,
        importer_hash=_HEX_64,
        exporter=_TEXT,
        exporter_hash=_HEX_64,
        secrets={"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_SECRETS},
        step=_number(MAX_STEPS),
        attestation={"type": "object"},
    ),
    ("POST", "/v1/service"): _object(
        ("config_id", "instance_key"),
        config_id=_TEXT,
        instance_key=_BYTES,
        quote=_BYTES,
        service_hash=_HEX_64,
        token_proof=_HEX_64,
    ),
    ("POST", "/v1/service_token"): _object(("config_id",), config_id=_TEXT),
}
_QUERIES: Final[dict[str, dict[str, dict[str, object]]]] = {
    "/v1/attest": {"nonce": _HEX_32},
    "/v1/sessions/{name}": {"hash": _HEX_64},
    "/session/{name}": {"hash": _HEX_64},
    "/v1/session_history/{name}": {"before": _HEX_64, "limit": _number(MAX_HISTORY)},
    "/v1/session_list": {"namespace": _TEXT, "after": _TEXT, "limit": _number(MAX_LISTED)},
}
_WITHOUT_CERTIFICATE: Final = {
    Authorisation.NOTHING,
    Authorisation.PUBLIC,
    Authorisation.SIGNATURES,
}
_ERROR: Final = _object(
    ("msg", "code", "cas_version"),
    msg={"type": "array", "items": _TEXT, "minItems": 1},
    code={"type": "string", "enum": [one.code for one in ERROR_CODES]},
    cas_version=_TEXT,
    hint=_TEXT,
)


def openapi_document(version: str) -> dict[str, object]:
    """OpenAPI 3.1 for both listeners; `x-listener` and `x-authorisation` say where and who."""
    paths: dict[str, dict[str, object]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Configuration and Attestation Service",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "x-error-codes": {
                one.code: {"status": [one.status, *one.others], "meaning": one.meaning}
                for one in ERROR_CODES
            },
            "securitySchemes": {"clientCertificate": {"type": "mutualTLS"}},
        },
    }


def _operation(route: Route) -> dict[str, object]:
    operation: dict[str, object] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_')}".replace(
            "{", ""
        ).replace("}", ""),
        "x-listener": route.listener.value,
        "x-authorisation": route.authorisation.value,
        "x-while-unprovisioned": route.while_unprovisioned,
        "x-max-body": route.max_body,
        "responses": {
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
            "201" if (route.method, route.path) in CREATED else "200": {
                "description": "done",
                "content": {"application/json": {"schema": ANSWERS[(route.method, route.path)]}},
            },
        },
    }
    parameters: list[dict[str, object]] = []
    if "{" in route.path:
        name = route.path.partition("{")[2].rstrip("}")
        parameters.append({"name": name, "in": "path", "required": True, "schema": _TEXT})
    for name, schema in _QUERIES.get(route.path, {}).items():
        parameters.append({"name": name, "in": "query", "schema": schema})
    if parameters:
        operation["parameters"] = parameters
    body = _BODIES.get((route.method, route.path))
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    elif route.authorisation is Authorisation.CERTIFICATE_AND_POLICY:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/yaml": {"schema": _SESSION_TEXT}},
        }
    if route.listener is Listener.CLIENT and route.authorisation not in _WITHOUT_CERTIFICATE:
        operation["security"] = [{"clientCertificate": []}]
    return operation
