"""The forms of values in the JSON Schema of session files, one for each key of `fields`.

A schema sees what YAML made of a scalar: `7`, `0.3` and `true` come typed, so that text is
text, a number or a truth value. A variable may stand inside text, and as a whole where a
word, a number or a truth value is expected. Patterns are in what ECMA-262 and Python share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from scone.session.model import MAX_SECRET_SIZE
from scone.session.reading import fields
from scone.session.reading.access import MAX_ENTRIES

Schema = dict[str, object]

NULL: Final[Schema] = {"type": "null"}

_VARIABLE_NAME: Final = "[A-Za-z_][A-Za-z0-9_]*"
# Not after an odd number of dollars: `$$` begins no variable.
_HOLDS_VARIABLE: Final = rf"(?:^|[^$])(?:\$\$)*\$(?:[A-Za-z_]|\{{{_VARIABLE_NAME}\}})"
_IS_VARIABLE: Final = rf"\$(?:{_VARIABLE_NAME}|\{{{_VARIABLE_NAME}\}})"
START: Final = r"\$\$SCONE:"
_NAME: Final = "[A-Za-z0-9_.~-]{1,128}"
_NAMED: Final = rf"\$\$SCONE::?{_NAME}\$\$"
_FORMAT: Final = r"(?::[a-z0-9-]+)*(?:\|escape\(json\))?"
_SECRET: Final = rf"\$\$SCONE::?{_NAME}{_FORMAT}\$\$"
_PLACEHOLDER: Final = (
    rf"\$\$SCONE::?(?:self::software_identity(?:\|escape\(json\))?|{_NAME}{_FORMAT})\$\$"
)

HASH_64: Final = "[0-9a-fA-F]{64}"
# 37 bytes that begin with 0x01 or 0x0a (docs/formats/key-hash.md).
KEY_HASH: Final = "[1-9A-HJ-NP-Za-km-z]{50}"
_SEGMENT: Final = r"(?!\.{1,2}(?:[/:,]|$))[A-Za-z0-9_.~-]{1,128}"
_SESSION: Final = rf"(?:/|{_SEGMENT}(?:/{_SEGMENT})*)"
_RELATIVE: Final = rf"(?:\.\.(?:/\.\.)*(?:/{_SEGMENT})*|\.(?:/{_SEGMENT})+)"
_HOST: Final = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS: Final = rf"(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}"
_UNITS: Final = (
    "s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?|M|months?|y|yrs?|years?"
)
_STEP: Final = r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]+"
_SPACE: Final = r"[ \t\n\r\v\f]"  # what separates the words of a command
_NO_SECRET: Final = rf"(?![\s\S]*{START})"
_IP: Final = "[0-9A-Fa-f:.]{2,45}"


# --- makers


def ref(name: str) -> Schema:
    """A form of the schema's own `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def any_of(*forms: Schema) -> Schema:
    """One of several forms."""
    return {"anyOf": list(forms)}


def text(pattern: str = "", what: str = "", *, typed: bool = False, secret: bool = False) -> Schema:
    """Text of a form, or with a variable in it; `typed` where YAML may take it for a number.

    With `secret` a placeholder may stand for all of it.
    """
    kind: object = ["string", "number", "boolean"] if typed else "string"
    if not pattern:
        return {"type": kind}
    whole = f"{pattern}|{_SECRET}" if secret else pattern
    form: Schema = {"type": kind, "pattern": f"^(?:{whole})$|{_HOLDS_VARIABLE}"}
    if what:
        form["errorMessage"] = f"expected {what}"
    return form


def word(known: Iterable[object], *, secret: bool = False) -> Schema:
    """One of the known words, or a variable."""
    forms: list[Schema] = [{"enum": list(known)}, ref("variable")]
    return any_of(*forms, *([ref("secret")] if secret else []))


def whole_number(low: int, high: int, *, secret: bool = False) -> Schema:
    """A decimal number within bounds, also as text."""
    pattern = f"(?:0|[1-9][0-9]{{0,{len(str(high)) - 1}}})|{_IS_VARIABLE}"
    return {
        "type": ["integer", "string"],
        "minimum": low,
        "maximum": high,
        "pattern": f"^(?:{pattern}|{_SECRET})$" if secret else f"^(?:{pattern})$",
        "errorMessage": f"expected a number from {low} to {high}",
    }


def truth(*, secret: bool = False) -> Schema:
    """`true` or `false`, also as text."""
    pattern = f"true|True|TRUE|false|False|FALSE|{_IS_VARIABLE}"
    return {
        "type": ["boolean", "string"],
        "pattern": f"^(?:{pattern}|{_SECRET})$" if secret else f"^(?:{pattern})$",
        "errorMessage": "expected true or false",
    }


def list_of(item: Schema, *, least: int = 0) -> Schema:
    """A list."""
    return {"type": "array", "items": item} | ({"minItems": least} if least else {})


def one_or_list(item: Schema, *, least: int = 0) -> Schema:
    """A list, or one value that stands for a list of one."""
    return any_of(item, list_of(item, least=least))


def hexadecimal(digits: int, what: str, *, secret: bool = False) -> Schema:
    """Hex digits; YAML takes them for a number if none is a letter."""
    form = text(f"[0-9a-fA-F]{{{digits}}}", what, secret=secret)
    return form | {"type": ["string", "number"], "minimum": 0}


def pem(label: str, *, secret: bool = False) -> Schema:
    """PEM of one kind; what is inside is for the reader."""
    pattern = rf"\s*-----BEGIN {label}-----[ \t\r]*\n[A-Za-z0-9+/=\s]+-----END {label}-----"
    what = f"PEM with -----BEGIN {label}-----"
    more = rf"(?:\s+-----BEGIN {label}-----[A-Za-z0-9+/=\s]+-----END {label}-----){{0,7}}"
    return text(f"{pattern}{more if label == 'CERTIFICATE' else ''}\\s*", what, secret=secret)


def _reference(section: str, *, remote: bool) -> Schema:
    keys = {
        "session": _SESSION,
        "session_hash": HASH_64,
        "cas_key": KEY_HASH,
        "cas_software_key": KEY_HASH,
        "secret": _SEGMENT,
        "volume": "[^,]+",
        "namespace": _SESSION,
    }
    table = fields.SECTIONS[section]
    local, far = (
        "|".join(f"{key}={form}" for key, form in keys.items() if key in table and key in wanted)
        for wanted in (set(keys) - {"cas_key", "cas_software_key"}, set(keys))
    )
    target = "(?=[\\s\\S]*[/,](?:session|namespace)=)"
    urls = [rf"(?:https://)?{target}/(?:{local})(?:,(?:{local}))*"]
    if remote:
        key = "(?=(?:[\\s\\S]*,)?cas_(?:software_)?key=)"
        urls.append(rf"(?:https://)?{target}{_HOST}/{key}(?:{far})(?:,(?:{far}))*")
    bare = rf"(?:{_SESSION}|{_RELATIVE})(?::{HASH_64})?"
    what = "a mapping such as {session: NAME}, or a SCONE URL"
    return any_of(text("|".join([bare, *urls]), what, typed=True), ref(definition(section)))


def definition(section: str) -> str:
    """The name in `$defs` of a section of `fields.SECTIONS`."""
    return section.replace("[]", "").replace(".", "-").replace(" ", "-")


# --- forms in use

TEXT: Final = text(typed=True)
_NOT_EMPTY: Final = TEXT | {"minLength": 1}
_SEGMENT_FORM: Final = text(_SEGMENT, "letters, digits, _ - . ~ (1 to 128)", typed=True)
_PRINTABLE: Final = text(
    rf"{_NO_SECRET}[^\x00-\x1f\x7f]{{1,512}}", "1 to 512 printable characters", typed=True
)
_SESSION_NAME: Final = text(
    _SESSION, "names of letters, digits, _ - . ~ joined by /", typed=True
) | {"maxLength": 512}
_SESSION_OR_RELATIVE: Final = text(
    f"{_SESSION}|{_RELATIVE}", "the name of a session", typed=True
) | {"maxLength": 512}
_SESSION_HASH: Final = hexadecimal(64, "a session hash of 64 hex digits")
_ABSOLUTE: Final = text(rf"/{_NO_SECRET}[\s\S]*", "an absolute path")
_FILE: Final = text(rf"{_NO_SECRET}(?:/{_STEP})+", "an absolute path in its shortest form") | {
    "maxLength": 4095
}
_DIRECTORY: Final = text(
    rf"{_NO_SECRET}(?:/|(?:/{_STEP})+/?)", "an absolute path in its shortest form"
) | {"maxLength": 4096}
_WITH_SECRETS: Final = text(
    rf"(?:(?!{START})[\s\S]|{_PLACEHOLDER})*",
    "$$SCONE::name[:format][|escape(json)]$$ wherever $$SCONE: stands",
    typed=True,
)
_COMMAND: Final = text(
    rf"(?!(?:[^\x22']*{_SPACE})?@@0[0-9]*(?:{_SPACE}|$))(?!\s*@@[0-9]+(?:\s|$))(?=[\s\S]*\S)(?:(?!{START})[\s\S]|{_PLACEHOLDER})*",
    "a program and its arguments, with closed placeholders",
    typed=True,
)
_DURATION: Final = text(rf"\s*(?:[0-9]{{1,12}}\s*(?:{_UNITS})\s*)+", "a duration such as 90 days")
_DNS_NAME: Final = text(_DNS, "a DNS name", typed=True) | {"maxLength": 253}
_VAULT: Final = text(
    r"(?:https://)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?/?",
    "the address of a key vault such as NAME.vault.azure.net",
    typed=True,
)
_AZURE_ID: Final = text(
    "[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9])?", "an id such as a UUID", typed=True
)
_SECRET_REFERENCE: Final = text(_NAMED, "$$SCONE::NAME$$")
_KEY_HASH: Final = text(KEY_HASH, "a key hash")
_ADDRESS: Final = text(rf"(?:https://)?{_HOST}/?", "HOST or HOST:PORT", typed=True)
_FSPF_KEY: Final = text(f"{HASH_64}|{_NAMED}", "64 hex digits or $$SCONE::NAME$$") | {
    "type": ["string", "number"]
}
_FSPF_TAG: Final = hexadecimal(32, "a tag of 32 hex digits")
_OTP: Final = text(
    "[A-Z2-7]{26,}", "base32 without padding, 26 characters or more", secret=True
) | {"type": ["string", "number"]}
_SIGNING_KEY: Final = text(
    rf"\s*{KEY_HASH}\s*|\s*-----BEGIN PUBLIC KEY-----[ \t\r]*\n[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*",
    "a public key (Ed25519 or P-384) in PEM",
)
_UINT16: Final = whole_number(0, 0xFFFF, secret=True)
_PERMISSION: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": rf"^(?:0o?0?[0-7]{{1,3}}|{_IS_VARIABLE})$",
    "minimum": 0,
    "maximum": 777,
    "errorMessage": "expected an octal number up to 0o777 such as 0o400",
}
_ENTRIES: Final = any_of(
    ref("access-entry"),
    {
        "type": "array",
        "maxItems": MAX_ENTRIES,
        "items": any_of(ref("access-entry"), NULL),
        "contains": {"not": NULL},
        "if": {"contains": {"enum": ["ANY", "NONE"]}},
        "then": {"contains": {"not": NULL}, "maxContains": 1},
    },
)
_RULE_ENTRIES: Final[Schema] = list_of(
    {"$ref": "#/$defs/access-entry", "not": {"enum": ["ANY", "NONE"]}}, least=1
) | {"maxItems": MAX_ENTRIES}

DEFINITIONS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "variable": {
            "type": "string",
            "pattern": f"^{_IS_VARIABLE}$",
            "description": "a variable of the command line",
        },
        "secret": {
            "type": "string",
            "pattern": f"^{_SECRET}$|{_HOLDS_VARIABLE}",
            "description": "$$SCONE::NAME$$, a secret that stands for this part",
        },
        "no-secret": {
            "not": {"type": "string", "pattern": START},
            "items": ref("no-secret"),
            "additionalProperties": ref("no-secret"),
        },
        "no-form-of-0-2": {
            "not": {"type": "string", "pattern": rf"^(?:{HASH_64}|{START}[^$]*)$"},
            "items": ref("no-form-of-0-2"),
            "additionalProperties": ref("no-form-of-0-2"),
        },
        "access-entry": any_of(
            text(
                rf"CREATOR|ANY|NONE|{KEY_HASH}|{HASH_64}|{_SECRET}|{START}:?{_NAME}"
                r"|-----BEGIN CERTIFICATE-----[ \t\r]*\n[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*",
                "CREATOR, ANY, NONE, a key hash, a certificate in PEM or $$SCONE::NAME$$",
            )
            | {"type": ["string", "number"]},
            ref(definition("access_policy entry")),
        ),
        "fragment": any_of(
            text(rf"{_NO_SECRET}[\s\S]*", "text without placeholders", typed=True),
            {"type": "array", "items": ref("fragment")},
            {"type": "object", "additionalProperties": any_of(ref("fragment"), NULL)},
        ),
    }
)

FORMS: Final[Mapping[str, Mapping[str, Schema]]] = MappingProxyType(
    {
        "the session": {
            "version": word(
                [
                    "0.3",
                    "0.2",
                    *(f"0.3.{patch}" for patch in range(13)),
                    0.3,
                    0.2,
                ]
            ),
            "name": _SESSION_NAME,
            "predecessor": _SESSION_HASH,
            "namespace_hash": _SESSION_HASH,
            "salt": hexadecimal(32, "a salt of 32 hex digits (openssl rand -hex 16)"),
            "secrets": list_of(ref("secrets")),
            "volumes": list_of(ref("volumes")),
            "images": list_of(ref("images")),
            "services": list_of(ref("services")),
            "access_policy": any_of(ref("secret"), ref("access_policy")),
            "security": any_of(ref("secret"), ref("security")),
            "secret_config": ref("secret_config"),
            "creator": any_of(pem("CERTIFICATE"), ref("creator")),
        },
        "services[]": {
            "name": _SEGMENT_FORM,
            "command": any_of(
                _COMMAND,
                list_of(
                    _WITH_SECRETS | {"not": {"type": "string", "pattern": "^@@0[0-9]*$"}}, least=1
                ),
            ),
            "environment": {
                "type": "object",
                "propertyNames": {
                    "pattern": rf"^$|^{_NO_SECRET}(?!(?:\\@\\@|@@)$)(?:\\@\\@|@@)?[^=\x00-\x1f\x7f]{{1,256}}$"
                },
                "properties": {"": {"const": ""}},
                "patternProperties": {r"^(?:\\@\\@|@@)": TEXT},
                "additionalProperties": _WITH_SECRETS,
            },
            "pwd": _ABSOLUTE,
            "image_name": TEXT,
            "mrenclaves": one_or_list(hexadecimal(64, "a measurement of 64 hex digits"), least=1),
            "attestation": one_or_list(any_of(ref("services-attestation"), ref("secret")), least=1),
            "platforms": one_or_list(
                text(
                    rf"[Ii][Nn][Tt][Ee][Ll]_[Qq][Ee]_[Ii][Dd]:[0-9a-fA-F]{{32}}|{HASH_64}",
                    "INTEL_QE_ID: and 32 hex digits",
                    secret=True,
                )
                | {"type": ["string", "number"]},
                least=1,
            ),
            "fspf_path": _ABSOLUTE,
            "fspf_key": _FSPF_KEY,
            "fspf_tag": _FSPF_TAG,
            "fspf_update_policy": word(fields.FSPF_POLICIES),
            "one_time_password_shared_secret": _OTP,
            "persistency": word(["None"]),
        },
        "services[].attestation": {
            "mrenclave": one_or_list(
                hexadecimal(64, "a measurement of 64 hex digits", secret=True), least=1
            ),
            "signer": any_of(ref("services-attestation-signer"), ref("secret")),
        },
        "services[].attestation.signer": {
            "mrsigner": hexadecimal(64, "a signer of 64 hex digits", secret=True),
            "isvprodid": _UINT16,
            "isvsvn": _UINT16,
            "isvsvn_min": _UINT16,
            "isvsvn_max": _UINT16,
        },
        "secrets[]": {
            "name": _SEGMENT_FORM,
            "kind": word(fields.SECRET_KINDS),
            "value": {},
            "size": whole_number(1, MAX_SECRET_SIZE),
            "key_type": word(fields.KEY_TYPES),
            "migrate": truth(),
            "private_key": TEXT,
            "issuer": TEXT,
            "common_name": TEXT | {"minLength": 1, "maxLength": 64},
            "endpoint": word(fields.ENDPOINTS),
            "dns": one_or_list(_DNS_NAME),
            "san": one_or_list(text(rf"dns:{_DNS}|ip:{_IP}", '"dns:NAME" or "ip:ADDRESS"')),
            "valid_for": _DURATION,
            "signer": TEXT,
            "alg": word(["ES384"]),
            "validity": ref("secrets-validity"),
            "payload": {
                "type": "object",
                "maxProperties": 100,
                "propertyNames": {"not": {"enum": ["iat", "nbf", "exp"]}},
                "additionalProperties": TEXT,
            },
            "tenant_id": _AZURE_ID,
            "client_id": _AZURE_ID,
            "application_secret": TEXT,
            "certificate_thumbprint": text(
                f"[0-9A-Fa-f]{{40}}|{HASH_64}", "a thumbprint of 40 hex digits"
            )
            | {"type": ["string", "number"]},
            "import": _reference("secrets[].import", remote=True),
            "import_akv": ref("secrets-import_akv"),
            "export": one_or_list(_reference("secrets[].export[]", remote=True)),
            "export_public": truth(),
        },
        "secrets[].validity": {"for": _DURATION},
        "secrets[].import": {"secret": _SEGMENT_FORM},
        "secrets[].export[]": {"namespace": _SESSION_OR_RELATIVE},
        "secrets[].import_akv": {
            "vault": _VAULT,
            "secret_name": text("[A-Za-z0-9-]{1,127}", "letters, digits and -", typed=True),
            "token": _SECRET_REFERENCE,
            "decryption_key": _SECRET_REFERENCE,
        },
        "volumes[]": {
            "name": _PRINTABLE,
            "fspf_key": _FSPF_KEY,
            "fspf_tag": _FSPF_TAG,
            "files": word(fields.FILES_MODES),
            "import": _reference("volumes[].import", remote=False),
            "export": one_or_list(_reference("volumes[].export[]", remote=False)),
        },
        "volumes[].import": {"volume": _NOT_EMPTY},
        "volumes[].export[]": {
            "to": any_of(
                text(rf"(?:{_SESSION}|{_RELATIVE})(?::{HASH_64})?", "a session", typed=True),
                ref("volumes-export-to"),
            ),
            "update_policy": word(fields.TAG_POLICIES),
            "volume_alias": _NOT_EMPTY,
        },
        "volumes[].export[].to": {},
        "images[]": {
            "name": _PRINTABLE,
            "volumes": list_of(ref("images-volumes")),
            "injection_files": list_of(any_of(_FILE, ref("images-injection_files"))),
            "provide_secrets": one_or_list(TEXT),
        },
        "images[].volumes[]": {
            "name": TEXT,
            "path": _DIRECTORY,
            "update_policy": word(fields.TAG_POLICIES),
        },
        "images[].injection_files[]": {
            "path": _FILE,
            "content": _WITH_SECRETS,
            "permission": _PERMISSION,
        },
        "access_policy": dict.fromkeys(fields.ACCESS_POLICY, _ENTRIES),
        "access_policy entry": {
            "signer": _SIGNING_KEY,
            "require-all": _RULE_ENTRIES,
            "require-at-least-N": _RULE_ENTRIES,
        },
        "security": {
            "attestation": any_of(ref("security-attestation"), ref("secret")),
            "singleton_enclaves": truth(secret=True),
            "service_access_token": text(
                rf"{_NO_SECRET}[\s\S]+", "a token", typed=True, secret=True
            ),
        },
        "security.attestation": {
            "mode": word(fields.MODES, secret=True),
            "tolerate": one_or_list(
                word([*fields.TOLERATE, *fields.DEPRECATED_TOLERATE], secret=True)
            ),
            "ignore_advisories": any_of(
                {"enum": ["*", ["*"]]},
                one_or_list(text("(?:INTEL|SIM)-SA-[0-9]{5}", "INTEL-SA-NNNNN", secret=True)),
            ),
            "trusted_scone_qe_pubkeys": one_or_list(
                hexadecimal(64, "a key of 64 hex digits", secret=True)
            ),
            "url": text(
                r"https://[A-Za-z0-9][A-Za-z0-9.-]{0,251}(?::[0-9]{1,5})?/?",
                "https://<tenant>.<region>.attest.azure.net/",
                secret=True,
            ),
            "certificates": one_or_list(pem("CERTIFICATE", secret=True)),
            "min_rsa_signing_key_size": whole_number(0, 65_536, secret=True),
            "one_time_password_shared_secret": _OTP,
            "must_be_sgx_local": truth(secret=True),
        },
        "secret_config": {
            # An editor sees `!cas` as an empty text and `!akv` as its mapping.
            "store_in": any_of(
                {"enum": ["cas", ""]},
                ref("secret_config-store_in"),
                {
                    "type": "object",
                    "properties": {"akv": ref("secret_config-store_in")},
                    "required": ["akv"],
                    "additionalProperties": False,
                },
            )
        },
        "secret_config.store_in": {"vault": _VAULT, "token": _SECRET_REFERENCE},
        "creator": {"signer": _SIGNING_KEY},
    }
)
REFERENCE_FORMS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "session": _SESSION_OR_RELATIVE,
        "session_hash": _SESSION_HASH,
        "cas_url": _ADDRESS,
        "cas_key": _KEY_HASH,
        "cas_software_key": _KEY_HASH,
    }
)
"""Of the keys that all references to sessions share."""
VALUES: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "ascii": TEXT,
        "binary": text("(?:[0-9a-fA-F]{2})+", "an even number of hex digits")
        | {"type": ["string", "number"]},
        "private-key": pem("PRIVATE KEY"),
        "public-key": pem("PUBLIC KEY"),
        "x509": pem("CERTIFICATE"),
        "x509-ca": pem("CERTIFICATE"),
        "config-fragment": ref("fragment"),
    }
)
"""Of an explicit `value`, by the kind of its secret."""
