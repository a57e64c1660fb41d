"""The OpenAPI document, made from the route table; served at /v1/openapi.json."""

from __future__ import annotations

from typing import Final

from scone.cas.http.error_codes import ERROR_CODES
from scone.cas.http.routes import ROUTES, Authorisation, Listener, Route
from scone.cas.http.schemas import ANSWERS, BODIES, CREATED, ERROR, QUERIES, SESSION_TEXT, TEXT

_WITHOUT_CERTIFICATE: Final = {
    Authorisation.NOTHING,
    Authorisation.PUBLIC,
    Authorisation.SIGNATURES,
}


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
            "schemas": {"Error": ERROR},
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
        parameters.append({"name": name, "in": "path", "required": True, "schema": TEXT})
    for name, schema in QUERIES.get(route.path, {}).items():
        parameters.append({"name": name, "in": "query", "schema": schema})
    if parameters:
        operation["parameters"] = parameters
    body = BODIES.get((route.method, route.path))
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    elif route.authorisation is Authorisation.CERTIFICATE_AND_POLICY:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/yaml": {"schema": SESSION_TEXT}},
        }
    if route.listener is Listener.CLIENT and route.authorisation not in _WITHOUT_CERTIFICATE:
        operation["security"] = [{"clientCertificate": []}]
    return operation
