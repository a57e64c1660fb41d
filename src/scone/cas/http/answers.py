"""The answers of the routes as JSON Schemas, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Schema = Mapping[str, object]

TEXT: Final[Schema] = {"type": "string"}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NONCE: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
BYTES: Final[Schema] = {"type": "string", "contentEncoding": "base64"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
KEY_HASH: Final[Schema] = {
    "type": "string",
    "description": "base58check, as docs/formats/key-hash.md",
}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def _answer(**properties: Schema) -> Schema:
    """All members are always there; more may come in later versions."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_CREATED: Final = _answer(
    hash=HASH, warnings={"type": "array", "items": _list(TEXT), "description": "pairs: path, text"}
)
_SESSION: Final = _answer(session=TEXT, hash=HASH)
_BACKUP: Final = _answer(
    id=TEXT,
    address=TEXT,
    platform_id=TEXT,
    mrenclave=HASH,
    isvsvn=NUMBER,
    tcb_status=TEXT,
    registered_at=TEXT,
)
_VALUE: Final = _answer(kind=TEXT, value=TEXT, expires=_or_null(TIME), renew=_or_null(TIME))
_VERSION: Final = _answer(
    hash=HASH,
    predecessor=_or_null(HASH),
    uploaded_at=TEXT,
    uploader=TEXT,
    signed={"type": "boolean"},
)
_DOCUMENTED: Final = {"type": "object"}

ANSWERS: Final[Mapping[tuple[str, str], Schema]] = MappingProxyType(
    {
        ("GET", "/v1/version"): _answer(version=TEXT),
        ("GET", "/v1/openapi.json"): {**_DOCUMENTED, "description": "OpenAPI 3.1"},
        ("GET", "/v1/attest"): {
            **_answer(proof_data=_DOCUMENTED, additional_data=_DOCUMENTED),
            "description": "docs/formats/cas-attestation.md",
        },
        ("POST", "/v1/provision"): _answer(
            cas_key_hash=KEY_HASH,
            cas_software_key_hash=KEY_HASH,
            receipt=_answer(
                unprovisioned_cas_key=BYTES,
                request_sha256=HASH,
                owner_key=KEY_HASH,
                signature=BYTES,
            ),
        ),
        ("PUT", "/v1/config"): _answer(),
        ("POST", "/v1/sessions"): _CREATED,
        ("POST", "/session"): _CREATED,
        ("PUT", "/v1/signed_sessions"): _CREATED,
        ("PUT", "/v1/encrypted_sessions"): _CREATED,
        ("GET", "/v1/sessions/{name}"): _SESSION,
        ("GET", "/session/{name}"): _SESSION,
        ("GET", "/v1/session_hashes/{name}"): _answer(hash=HASH),
        ("GET", "/v1/session_history/{name}"): _answer(
            versions=_list(_VERSION), next=_or_null(HASH)
        ),
        ("GET", "/v1/session_list"): _answer(sessions=_list(TEXT), next=_or_null(TEXT)),
        ("GET", "/v1/values/{reference}"): {
            "oneOf": [
                _answer(values={"type": "object", "additionalProperties": _VALUE}),
                _VALUE,
            ],
            "description": "all public values by name, or the one that the reference names",
        },
        ("POST", "/v1/shared"): {
            **_answer(form=NUMBER, values=_DOCUMENTED),
            "description": "docs/formats/sharing.md",
        },
        ("POST", "/v1/backups/nonce"): _answer(nonce=NONCE),
        ("POST", "/v1/backups"): _BACKUP,
        ("GET", "/v1/backups"): _answer(backups=_list(_BACKUP)),
        ("DELETE", "/v1/backups/{id}"): _answer(),
        ("POST", "/v1/registration"): _answer(public_key=HASH, quote=BYTES),
        ("POST", "/v1/service"): {
            **_DOCUMENTED,
            "description": "docs/formats/service-configuration.md",
        },
        ("POST", "/v1/service_token"): _answer(proof=HASH),
    }
)
CREATED: Final = frozenset(
    {
        ("POST", "/v1/sessions"),
        ("POST", "/session"),
        ("PUT", "/v1/signed_sessions"),
        ("PUT", "/v1/encrypted_sessions"),
        ("POST", "/v1/backups"),
    }
)
"""Routes that answer 201; all others answer 200."""
