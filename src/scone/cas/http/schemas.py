"""What goes in and out at each route, as JSON Schemas, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from scone.cas.http.error_codes import ERROR_CODES
from scone.cas.http.handlers import MAX_HISTORY, MAX_LISTED
from scone.cas.operations.share_secret import MAX_SECRETS
from scone.session.sharing import MAX_STEPS
from scone.session.signed import MAX_SIGNATURES

Schema = Mapping[str, object]

TEXT: Final[Schema] = {"type": "string"}
SESSION_TEXT: Final[Schema] = {**TEXT, "description": "docs/formats/session.md"}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NONCE: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
# Requests may have digits of either case.
_DIGITS_32: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
_DIGITS_64: Final[Schema] = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
BYTES: Final[Schema] = {"type": "string", "contentEncoding": "base64"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
KEY_HASH: Final[Schema] = {
    "type": "string",
    "description": "base58check, as docs/formats/key-hash.md",
}
OBJECT: Final[Schema] = {"type": "object"}


def _body(required: tuple[str, ...], **properties: Schema) -> Schema:
    """A request (or an error): no other members."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _number(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def _answer(**properties: Schema) -> Schema:
    """All members are always there; more may come in later versions."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


BODIES: Final[Mapping[tuple[str, str], Schema]] = MappingProxyType(
    {
        ("POST", "/v1/provision"): _body(
            ("token", "config"), token=_DIGITS_32, config=OBJECT, database_key=_DIGITS_64
        ),
        ("PUT", "/v1/config"): _body(("config",), config=OBJECT),
        ("POST", "/v1/backups"): _body(
            ("nonce", "public_key", "quote"),
            nonce=_DIGITS_32,
            public_key=_DIGITS_64,
            quote=BYTES,
            address=TEXT,
        ),
        ("POST", "/v1/registration"): _body(
            ("nonce", "role"), nonce=_DIGITS_32, role={"const": "backup"}
        ),
        ("PUT", "/v1/signed_sessions"): _body(
            ("session", "signatures"),
            session=TEXT,
            signatures={
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_SIGNATURES,
                "items": _body(
                    ("signer", "signature"),
                    signer=TEXT,
                    signature={"type": "string", "pattern": "^[0-9a-fA-F]+$"},
                    cas_key=TEXT,
                    not_after=TIME,
                ),
            },
        ),
        ("PUT", "/v1/encrypted_sessions"): _body(
            ("encrypted_session", "encryption_key"),
            encrypted_session=BYTES,
            encryption_key=_DIGITS_64,
        ),
        ("POST", "/v1/shared"): _body(
            ("importer", "importer_hash", "exporter", "secrets", "step", "attestation"),
            importer=TEXT,
            importer_hash=_DIGITS_64,
            exporter=TEXT,
            exporter_hash=_DIGITS_64,
            secrets={"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_SECRETS},
            step=_number(MAX_STEPS),
            attestation=OBJECT,
        ),
        ("POST", "/v1/service"): _body(
            ("config_id", "instance_key"),
            config_id=TEXT,
            instance_key=BYTES,
            quote=BYTES,
            service_hash=_DIGITS_64,
            token_proof=_DIGITS_64,
        ),
        ("POST", "/v1/service_token"): _body(("config_id",), config_id=TEXT),
    }
)
QUERIES: Final[Mapping[str, Mapping[str, Schema]]] = MappingProxyType(
    {
        "/v1/attest": {"nonce": _DIGITS_32},
        "/v1/sessions/{name}": {"hash": _DIGITS_64},
        "/session/{name}": {"hash": _DIGITS_64},
        "/v1/session_history/{name}": {"before": _DIGITS_64, "limit": _number(MAX_HISTORY)},
        "/v1/session_list": {"namespace": TEXT, "after": TEXT, "limit": _number(MAX_LISTED)},
    }
)
ERROR: Final = _body(
    ("msg", "code", "cas_version"),
    msg={"type": "array", "items": TEXT, "minItems": 1},
    code={"type": "string", "enum": [one.code for one in ERROR_CODES]},
    cas_version=TEXT,
    hint=TEXT,
)
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

ANSWERS: Final[Mapping[tuple[str, str], Schema]] = MappingProxyType(
    {
        ("GET", "/v1/version"): _answer(version=TEXT),
        ("GET", "/v1/openapi.json"): {**OBJECT, "description": "OpenAPI 3.1"},
        ("GET", "/v1/attest"): {
            **_answer(proof_data=OBJECT, additional_data=OBJECT),
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
            **_answer(form=NUMBER, values=OBJECT),
            "description": "docs/formats/sharing.md",
        },
        ("POST", "/v1/backups/nonce"): _answer(nonce=NONCE),
        ("POST", "/v1/backups"): _BACKUP,
        ("GET", "/v1/backups"): _answer(backups=_list(_BACKUP)),
        ("DELETE", "/v1/backups/{id}"): _answer(),
        ("POST", "/v1/registration"): _answer(public_key=HASH, quote=BYTES),
        ("POST", "/v1/service"): {
            **OBJECT,
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
