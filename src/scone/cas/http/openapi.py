"""The OpenAPI document, made from the route table; served at /v1/openapi.json."""

from __future__ import annotations

from typing import Final

from scone.cas.http.routes import ROUTES, Authorisation, Listener, Route

_HEX_32: Final = {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
_HEX_64: Final = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_TEXT: Final = {"type": "string"}
_BYTES: Final = {"type": "string", "contentEncoding": "base64"}


def _object(required: tuple[str, ...], **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


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
    ("POST", "/v1/service"): _object(
        ("config_id", "instance_key"),
        config_id=_TEXT,
        instance_key=_BYTES,
        quote=_BYTES,
        service_hash=_HEX_64,
    ),
}
_QUERIES: Final = {
    "/v1/attest": ("nonce", _HEX_32),
    "/v1/sessions/{name}": ("hash", _HEX_64),
    "/session/{name}": ("hash", _HEX_64),
}
_ERROR: Final = _object(
    ("msg", "code", "cas_version"),
    msg={"type": "array", "items": _TEXT, "minItems": 1},
    code=_TEXT,
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
        "responses": {
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
            "2XX": {
                "description": "done",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
    }
    parameters: list[dict[str, object]] = []
    if "{" in route.path:
        name = route.path.partition("{")[2].rstrip("}")
        parameters.append({"name": name, "in": "path", "required": True, "schema": _TEXT})
    if route.path in _QUERIES:
        name, schema = _QUERIES[route.path]
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
            "content": {"application/yaml": {"schema": _TEXT}},
        }
    if route.listener is Listener.CLIENT and route.authorisation is not Authorisation.NOTHING:
        operation["security"] = [{"clientCertificate": []}]
    return operation
