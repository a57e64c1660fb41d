"""The JSON Schema of session files (draft 2020-12), made from the tables `fields` and `schema_forms`.

It is for editors: it admits templates before substitution, and says what a schema can say. What
needs more than one look, such as whether a name leads somewhere, is for `reader`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from scone.session.editing.schema_forms import (
    DEFINITIONS,
    FORMS,
    KEY_HASH,
    NULL,
    REFERENCE_FORMS,
    VALUES,
    Schema,
    any_of,
    definition,
    ref,
)
from scone.session.reading.fields import (
    KINDS_OF_0_2_ALONE,
    KINDS_SINCE,
    SECRET_KINDS,
    SECTIONS,
    Field,
)
from scone.session.reading.versions import NEWEST

URN: Final = "urn:scone:session"
_RULE_PATTERN: Final = "^require-at-least-[1-9][0-9]{0,3}$"
_BESIDE_IMPORT: Final = ("name", "kind", "import", "import_akv", "export", "export_public")
_ONLY_GENERATED: Final = ("key_type", "common_name", "endpoint", "dns", "san", "valid_for")
_OF_0_2: Final[list[object]] = ["0.2", 0.2]


def session_schema() -> Schema:
    """The whole schema."""
    root = _section("the session")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": URN,
        "title": "Session file (SCONE session language 0.2 and 0.3)",
        "description": "A session before or after substitution of variables",
        **root,
        "allOf": [*_session_rules(), *_versions()],
        "$defs": {
            **DEFINITIONS,
            **{
                definition(name): _section(name) | _rules(name)
                for name in SECTIONS
                if name != "the session"
            },
        },
    }


def session_schema_text() -> str:
    """The schema as JSON, as it stands in `session.schema.json`."""
    return json.dumps(session_schema(), indent=1, ensure_ascii=False) + "\n"


def _section(name: str) -> Schema:
    """The keys of a section, each with what the table says of it; null is as if absent."""
    properties: Schema = {}
    patterns: Schema = {}
    table = SECTIONS[name]
    for key, field in table.items():
        form = FORMS[name][key] if key in FORMS[name] else REFERENCE_FORMS[key]
        described = _described(field) | (form if field.required else _or_null(form))
        if key == "require-at-least-N":
            patterns[_RULE_PATTERN] = described
        else:
            properties[key] = described
    required = [key for key, field in table.items() if field.required]
    return {
        "type": "object",
        "properties": properties,
        **({"patternProperties": patterns} if patterns else {}),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _rules(name: str) -> Schema:
    rules = _RULES.get(name, {})
    return rules if not rules or "allOf" in rules else {"allOf": [rules]}


def _described(field: Field) -> Schema:
    since = "" if field.since == "0.2" else f" (since {field.since})"
    return {"title": field.name, "description": f"{field.what}{since}"}


def _or_null(form: Schema) -> Schema:
    match form:
        case {"type": str(kind)}:
            return form | {"type": [kind, "null"]}
        case {"type": list(kinds)}:
            return form | {"type": [*kinds, "null"]}
        case {"anyOf": list(forms)}:
            return form | {"anyOf": [*forms, NULL]}
        case {}:
            return {} if not form else any_of(form, NULL)


# --- rules between keys


def _given(*keys: str) -> Schema:
    return {
        "type": "object",
        "required": list(keys),
        "properties": {key: {"not": NULL} for key in keys},
    }


def _absent(keys: Iterable[str], why: str = "") -> Schema:
    form = NULL | ({"errorMessage": why} if why else {})
    return {"properties": dict.fromkeys(keys, form)}


def _is(key: str, words: Iterable[object]) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: {"enum": list(words)}}}


def _when(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    rule: Schema = {"if": condition, "then": then}
    return rule if otherwise is None else rule | {"else": otherwise}


def _all(*schemas: Schema) -> Schema:
    return {"allOf": list(schemas)}


def _exactly_one(*keys: str) -> Schema:
    return {"oneOf": [_given(key) for key in keys]}


def _not_both(one: str, other: str) -> Schema:
    return {"not": _given(one, other)}


def _holds_word(word: str) -> Schema:
    item = any_of({"const": word}, ref("variable"))
    return any_of(item, {"type": "array", "contains": item})


def _secret_rules() -> list[Schema]:
    foreign = any_of(_given("import"), _given("import_akv"))
    made_here = [key for key in SECTIONS["secrets[]"] if key not in _BESIDE_IMPORT]
    rules = [
        _not_both("import", "import_akv"),
        _when(
            foreign,
            _absent(made_here, "it describes values that are made here; not beside an import"),
            _given("kind"),
        ),
        _when(_given("value"), _absent(_ONLY_GENERATED, "it describes generated values")),
    ]
    for kind, allowed in SECRET_KINDS.items():
        other = [key for key in made_here if key not in allowed]
        then = _absent(other, f"a secret of kind {kind} does not have it")
        if kind in VALUES:
            then = _all(then, {"properties": {"value": _or_null(VALUES[kind])}})
        if kind in _NEEDS:
            then = _all(then, _when(foreign, {}, _NEEDS[kind]))
        rules.append(_when(_is("kind", [kind]), then))
    return rules


_NEEDS: Final[dict[str, Schema]] = {
    "public-key": _exactly_one("private_key", "value"),
    "config-fragment": _given("value"),
    "jwt": _given("signer", "alg", "validity"),
    "aad-token": _all(
        _given("tenant_id", "client_id"),
        _exactly_one("application_secret", "private_key"),
        _exactly_one("application_secret", "certificate_thumbprint"),
        {
            "properties": {
                "private_key": any_of(VALUES["private-key"], NULL),
            }
        },
    ),
    "x509": _when(
        _is("endpoint", ["client"]),
        {"properties": {"dns": {"enum": [None, []], "errorMessage": "not with endpoint client"}}},
    ),
}

_WITH_RULES_OF_CAS: Final = _all(
    _when(
        _given("cas_url"),
        _all(
            _exactly_one("cas_key", "cas_software_key"),
            {"properties": {"session": {"not": {"type": "string", "pattern": r"^\.\.?(?:/|$)"}}}},
            {"properties": {"namespace": {"not": {"type": "string", "pattern": r"^\.\.?(?:/|$)"}}}},
        ),
        _absent(["cas_key", "cas_software_key"], "expected cas_url beside it"),
    ),
)
_TOLERATE: Final = "tolerate"
_MAA_ONLY: Final = ("url", "certificates", "min_rsa_signing_key_size")


def _mode_rules() -> list[Schema]:
    """Where no secret stands for a part of the section."""
    local = "local-attestation-trust-cas-tcb"
    hardware = _when(
        _given("mode"), {"properties": {"mode": any_of({"const": "hardware"}, ref("variable"))}}
    )
    return [
        _when(
            _is("mode", ["maa"]),
            _all(
                _given("url", _TOLERATE),
                {"properties": {_TOLERATE: _holds_word("maa-managed-tcb")}},
            ),
        ),
        _when(
            any_of({"not": _given("mode")}, _is("mode", ["hardware", "none"])),
            _absent(_MAA_ONLY, "expected mode: maa beside it"),
        ),
        _when(
            _is("must_be_sgx_local", [True, "true", "True", "TRUE"]),
            _all(hardware, _given(_TOLERATE), {"properties": {_TOLERATE: _holds_word(local)}}),
        ),
    ]


_NO_MAPPING: Final[Schema] = {"not": {"type": "object"}}
_NO_RULE: Final[Schema] = {"propertyNames": {"const": "signer"}}
_RULES: Final[dict[str, Schema]] = {
    "services[]": _all(
        _not_both("mrenclaves", "attestation"),
        _when(
            any_of(*map(_given, ("fspf_path", "fspf_key", "fspf_tag", "fspf_update_policy"))),
            _all(
                _given("fspf_path", "fspf_key"),
                any_of(
                    _given("fspf_tag"),
                    {
                        "required": ["fspf_update_policy"],
                        "properties": {
                            "fspf_update_policy": any_of(
                                {"const": "no_rollback_protection"}, ref("variable")
                            )
                        },
                    },
                ),
            ),
        ),
        {
            "properties": {
                "command": {
                    "if": {"type": "array"},
                    "then": {
                        "prefixItems": [{"not": {"type": "string", "pattern": "^(?:@@[0-9]+)?$"}}]
                    },
                }
            }
        },
    ),
    "services[].attestation": any_of(_given("mrenclave"), _given("signer")),
    "services[].attestation.signer": _all(
        _not_both("isvsvn", "isvsvn_min"), _not_both("isvsvn", "isvsvn_max")
    ),
    "secrets[]": {"allOf": _secret_rules()},
    "secrets[].import": _all(_given("session"), _WITH_RULES_OF_CAS),
    "secrets[].export[]": _all(
        _exactly_one("session", "namespace"),
        _not_both("namespace", "session_hash"),
        _WITH_RULES_OF_CAS,
    ),
    "volumes[]": _when(
        _given("import"),
        _absent(("fspf_key", "fspf_tag", "export", "files"), "expected no such key beside import"),
        any_of(
            _given("fspf_key", "fspf_tag"),
            {"not": any_of(_given("fspf_key"), _given("fspf_tag"))},
        ),
    ),
    "volumes[].import": _given("session"),
    "volumes[].export[]": _when(
        any_of(_given("to"), _given("update_policy"), _given("volume_alias")),
        _all(_given("to"), _absent(("session", "session_hash"), "expected it under to")),
        _given("session"),
    ),
    "volumes[].export[].to": _given("session"),
    "access_policy": {
        "properties": {
            "read": _NO_MAPPING | {"items": _NO_MAPPING},
            "list_sessions": _NO_RULE | {"items": _NO_RULE},
        }
    },
    "access_policy entry": {"minProperties": 1, "maxProperties": 1},
    "security": _when(ref("no-secret"), {"properties": {"attestation": {"allOf": _mode_rules()}}}),
    "creator": _given("signer"),
}


def _session_rules() -> list[Schema]:
    unattested: Schema = {
        "required": ["security"],
        "properties": {
            "security": any_of(
                {"not": ref("no-secret")},
                ref("variable"),
                {
                    "type": "object",
                    "required": ["attestation"],
                    "properties": {
                        "attestation": {
                            "type": "object",
                            "required": ["mode"],
                            "properties": {"mode": any_of({"const": "none"}, ref("variable"))},
                        }
                    },
                },
            )
        },
    }
    attested: Schema = {
        "properties": {"services": {"items": any_of(_given("attestation"), _given("mrenclaves"))}}
    }
    return [_not_both("predecessor", "namespace_hash"), _when(unattested, {}, attested)]


# --- versions


def _older_than(patch: int) -> Schema:
    return _is("version", [*_OF_0_2, *(f"0.3.{number}" for number in range(patch))])


_ALWAYS_LISTS: Final = ("secrets[]", "volumes[]", "images[]", "services[]", "injection_files[]")


def _at(section: str, inner: Schema) -> Schema:
    """A rule for all values at a section; where one may stand for a list of one, for it too."""
    if section == "the session":
        return inner
    for step in reversed(section.split(".")):
        within: Schema = {"items": inner}
        if step not in _ALWAYS_LISTS:
            within |= inner
        inner = {"properties": {step.removesuffix("[]"): within}}
    return inner


def _versions() -> list[Schema]:
    """What the version of a file does not have yet, or not any more."""
    rules = [
        _when(_older_than(patch), _all(*_since(f"0.3.{patch}")))
        for patch in range(NEWEST + 1)
        if _since(f"0.3.{patch}")
    ]
    secret = _at("secrets[]", _no_kind(KINDS_OF_0_2_ALONE, "for language 0.2 alone"))
    certificate = _is("kind", ["x509", "x509-ca"])
    has_key = any_of(*map(_given, ("private_key", "value", "import", "import_akv")))
    line: Schema = {"properties": {"command": {"pattern": _CLOSED_QUOTES}}}
    hashes: Schema = {"properties": {"access_policy": ref("no-form-of-0-2")}}
    return [
        *rules,
        _when(
            _is("version", _OF_0_2),
            _all(
                _at("secrets[]", _when(certificate, _absent(["value"], "not in language 0.2"))),
                *(_at(place, rule) for place in _REFERENCES for rule in (_NO_MAPPING, _NO_URL)),
                _at("services[]", _given("mrenclaves")),
                _at("access_policy.read", _NO_KEY_HASH),
                _at("access_policy.update", _NO_KEY_HASH),
            ),
            _all(
                secret,
                _at("secrets[]", _when(certificate, has_key)),
                _at("services[]", line),
                hashes,
            ),
        ),
    ]


def _no_kind(kinds: Iterable[str], why: str) -> Schema:
    # As a pattern: editors show the words of a pattern, and none of a `not`.
    pattern = f"^(?!(?:{'|'.join(sorted(kinds))})$)"
    return {"properties": {"kind": {"pattern": pattern, "errorMessage": why}}}


_REFERENCES: Final = (
    "secrets[].import",
    "secrets[].export",
    "volumes[].import",
    "volumes[].export",
)
_CLOSED_QUOTES: Final = "^(?:[^\"']|\"[^\"]*\"|'[^']*')*$|\\$"
_NO_URL: Final[Schema] = {"not": {"type": "string", "pattern": "="}}
_NO_KEY_HASH: Final[Schema] = {"not": {"type": "string", "pattern": f"^{KEY_HASH}$"}}


def _since(version: str) -> list[Schema]:
    """What came with a version."""
    why = f"needs version {version} or newer"
    rules: list[Schema] = []
    for section, table in SECTIONS.items():
        keys = [key for key, field in table.items() if field.since == version]
        if keys and section != "access_policy entry":
            rules.append(_at(section, _absent(keys, why)))
    kinds = [kind for kind, since in KINDS_SINCE.items() if since == version]
    if kinds:
        rules.append(_at("secrets[]", _no_kind(kinds, why)))
    return rules + _OTHER_SINCE.get(version, [])


_SECRET_KEY: Final[Schema] = {"properties": {"fspf_key": ref("no-secret")}}
_RELATIVE_NAME: Final[Schema] = {"not": {"type": "string", "pattern": r"^\.\.?(?:/|:|$)"}}
_RELATIVE: Final[Schema] = _RELATIVE_NAME | {
    "properties": {"session": _RELATIVE_NAME, "namespace": _RELATIVE_NAME, "to": _RELATIVE_NAME}
}
_OTHER_SINCE: Final[dict[str, list[Schema]]] = {
    "0.3.5": [
        {"properties": {"name": {"not": {"type": "string", "pattern": "^[^$]+/"}}}},
        _at("services[]", _SECRET_KEY),
    ],
    "0.3.7": [_at("volumes[]", _SECRET_KEY)],
    "0.3.10": [
        {
            "properties": {
                "security": ref("no-secret"),
                "access_policy": {"type": ["object", "null"]},
            }
        },
        _at(
            "services[]",
            {"properties": {"attestation": ref("no-secret"), "platforms": ref("no-secret")}},
        ),
        *(_at(f"access_policy.{key}", _NO_MAPPING) for key in SECTIONS["access_policy"]),
        *(
            _at(place, _RELATIVE)
            for place in (
                "secrets[].import",
                "secrets[].export",
                "volumes[].import",
                "volumes[].export",
            )
        ),
    ],
    "0.3.11": [{"properties": {"name": {"not": {"const": "/"}}}}],
}
