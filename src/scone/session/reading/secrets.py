"""Reads the `secrets` section: kinds and the parameters that each kind has."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from collections.abc import Sequence as Items
from functools import cache
from typing import Any, Final, cast

from scone.documents import Mapping, Node
from scone.errors import MalformedError
from scone.session.model import (
    DEFAULT_KEY_TYPE,
    DEFAULT_SECRET_SIZE,
    MAX_COMMON_NAME,
    MAX_SECRET_SIZE,
    MIN_VALID_FOR,
    RESERVED_CLAIMS,
    AadToken,
    AkvImport,
    Duration,
    Jwt,
    SecretKind,
    SecretSpec,
)
from scone.session.pem import certificates_text, private_key_text, public_key_text
from scone.session.reading.collect import Collector
from scone.session.reading.durations import parse_duration
from scone.session.reading.fields import (
    ENDPOINTS,
    IMPORT_AKV,
    KEY_TYPES,
    KINDS_OF_0_2_ALONE,
    KINDS_SINCE,
    SECRET,
    SECRET_KINDS,
    VALIDITY,
)
from scone.session.reading.references import read_secret_exports, read_secret_import
from scone.session.reading.templates import MAX_KEY, fragment
from scone.session.reading.versions import Version
from scone.session.reading.words import secret_name, segment, vault_host

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_DNS: Final = re.compile(
    r"(?=.{1,253}\Z)(?:\*\.)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)
_ONLY_GENERATED: Final = ("key_type", "common_name", "endpoint", "dns", "san", "valid_for")
_BESIDE_IMPORT: Final = frozenset(
    {"name", "kind", "import", "import_akv", "export", "export_public"}
)
_MAX_CLAIMS: Final = 100
_AZURE_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9])?")
_AKV_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,127}")
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


def read_secrets(c: Collector, node: Node | None, version: Version) -> list[SecretSpec | None]:
    """The secrets in the order of the file; None for one without usable name or kind."""
    return [_secret(c, item, path, version) for path, item in c.items(node, "secrets")]


def _secret(c: Collector, node: Node, path: str, version: Version) -> SecretSpec | None:
    fields = c.table(node, path, SECRET, version)
    if fields is None:
        return None
    before = len(c.problems)
    kind = _kind(c, fields, path, version)
    name = segment(c, fields, path)
    if name is None or (kind is None and len(c.problems) > before):
        return None
    foreign = [key for key in ("import", "import_akv") if key in fields]
    _check_parameters(c, fields, path, kind, foreign)
    made: dict[str, Any] = {}
    match kind:
        case "aad-token" if not foreign:
            made["aad"] = _aad_token(c, node, fields, path)
        case "jwt" if not foreign:
            made["jwt"] = _jwt(c, node, fields, path, version)
        case _:
            made["private_key"] = c.text(
                fields.get("private_key"), f"{path}.private_key", "the name of a secret"
            )
    for key, node_of in fields.items():
        if (reader := _READERS.get(key)) is not None:
            made[reader[0]] = reader[1](c, node_of, f"{path}.{key}")
    if "value" in fields:
        made["value"] = _value(c, fields["value"], f"{path}.value", kind, version)
    if "import" in fields:
        made["imported"] = read_secret_import(c, fields["import"], f"{path}.import", version, name)
    if "import_akv" in fields:
        made["akv"] = _import_akv(c, fields["import_akv"], f"{path}.import_akv", version)
    if "export" in fields:
        made["exports"] = read_secret_exports(c, fields["export"], f"{path}.export", version)
    spec = SecretSpec(name=name, kind=kind, **made)
    if kind is None and not foreign:
        hint = f"one of {', '.join(_known_kinds(version))}"
        c.problem(node, f"{path}.kind", "required unless the secret is imported", hint)
        return None
    return None if c.is_unknown(node) else spec


def _check_parameters(
    c: Collector, fields: dict[str, Node], path: str, kind: SecretKind | None, foreign: Items[str]
) -> None:
    allowed = SECRET_KINDS[kind] if kind else frozenset()
    if len(foreign) == 2:
        c.problem_at(f"{path}.import_akv", "expected either import or import_akv, got both")
    for key in fields:
        where = f"{path}.{key}"
        if foreign:
            if key not in _BESIDE_IMPORT:
                message = f"expected no {key} beside {foreign[0]}"
                c.problem_at(where, message, "it describes values that are made here")
        elif key in _BESIDE_IMPORT:
            continue
        elif key not in allowed and kind:
            there = f"there is {', '.join(sorted(allowed))}" if allowed else "it has no parameters"
            c.problem_at(where, f"a secret of kind {kind} has no {key}", there)
        elif key in _ONLY_GENERATED and "value" in fields:
            hint = "it describes values that the CAS generates"
            c.problem_at(where, f"expected no {key} beside an explicit value", hint)


@cache
def _known_kinds(version: Version) -> tuple[SecretKind, ...]:
    return tuple(
        cast("SecretKind", kind)
        for kind in SECRET_KINDS
        if (version.is_0_2 or kind not in KINDS_OF_0_2_ALONE)
        and version.admits(KINDS_SINCE.get(kind, "0.2"))
    )


def _kind(c: Collector, fields: dict[str, Node], path: str, version: Version) -> SecretKind | None:
    node = fields.get("kind")
    kind = c.text(node, f"{path}.kind", "a kind of secret")
    if kind is None or node is None:
        return None
    known = _known_kinds(version)
    if kind in known:
        return kind
    if kind in KINDS_OF_0_2_ALONE:
        hint = "use an x509-ca secret and name it as issuer"
        shown = c.said(f"{path}.kind", f" of kind {kind}")
        c.problem(node, f"{path}.kind", f"secrets{shown} are for language 0.2", hint)
    elif kind in SECRET_KINDS:
        since = KINDS_SINCE[kind]
        shown = c.said(f"{path}.kind", f" of kind {kind}")
        c.problem(node, f"{path}.kind", f"secrets{shown} need version {since} or newer")
    else:
        hint = c.suggestion(kind, known)
        c.expected(node, f"{path}.kind", f"one of {', '.join(known)}", hint)
    return None


def _aad_token(c: Collector, node: Node, fields: dict[str, Node], path: str) -> AadToken | None:
    for key in ("tenant_id", "client_id"):
        if key not in fields:
            c.problem(node, f"{path}.{key}", "required, got nothing", "of the Azure application")
    ids = [
        c.matching(fields.get(key), f"{path}.{key}", _AZURE_ID, "an id such as a UUID")
        for key in ("tenant_id", "client_id")
    ]
    by_secret = "application_secret" in fields
    by_certificate = [key for key in ("private_key", "certificate_thumbprint") if key in fields]
    if by_secret == bool(by_certificate) or len(by_certificate) == 1:
        expected = "either application_secret, or private_key and certificate_thumbprint"
        c.problem(node, path, f"expected {expected}")
    thumbprint = c.matching(
        fields.get("certificate_thumbprint"),
        f"{path}.certificate_thumbprint",
        _THUMBPRINT,
        "a thumbprint of 40 hex digits",
    )
    pem = c.text(fields.get("private_key"), f"{path}.private_key", "a private key in PEM")
    if pem is not None:
        try:
            pem = private_key_text(pem, place=path)
        except MalformedError as error:
            c.malformed(fields.get("private_key"), f"{path}.private_key", error)
    secret = c.text(fields.get("application_secret"), f"{path}.application_secret", "a secret")
    if secret == "":
        c.expected(fields["application_secret"], f"{path}.application_secret", "a secret")
    return AadToken(ids[0] or "", ids[1] or "", secret, pem, thumbprint and thumbprint.upper())


def _jwt(
    c: Collector, node: Node, fields: dict[str, Node], path: str, version: Version
) -> Jwt | None:
    for key in ("signer", "alg", "validity"):
        if key not in fields:
            c.problem(node, f"{path}.{key}", "required, got nothing", SECRET[key].what)
    signer = c.text(fields.get("signer"), f"{path}.signer", "the name of a secret")
    c.word(fields.get("alg"), f"{path}.alg", ("ES384",))
    validity = fields.get("validity")
    spans = c.table(validity, f"{path}.validity", VALIDITY, version) if validity else None
    span = _duration(c, (spans or {}).get("for"), f"{path}.validity.for")
    payload = _claims(c, fields.get("payload"), f"{path}.payload")
    if signer is None or span is None:
        return None
    return Jwt(signer, span, payload=payload)


def _claims(c: Collector, node: Node | None, path: str) -> tuple[tuple[str, str], ...]:
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        c.expected(node, path, "a mapping of claims", got=False)
        return ()
    claims: dict[str, str] = {}
    if len(node.entries) > _MAX_CLAIMS:
        c.problem(node, path, f"expected at most {_MAX_CLAIMS} claims")
    for key, value in node.entries:
        where = f"{path}.{key.text}"
        if not 1 <= len(key.text) <= MAX_KEY or not key.text.isprintable():
            c.problem(key, path, f"expected names of 1 to {MAX_KEY} printable characters")
        elif key.text in RESERVED_CLAIMS:
            c.problem(key, where, "expected another claim: the CAS sets this one")
        text = c.text(value, where, "text (numbers and nested values are not supported)")
        c.nodes[where] = value
        claims[key.text] = text or ""
    return tuple(sorted(claims.items()))


def _import_akv(c: Collector, node: Node | None, path: str, version: Version) -> AkvImport | None:
    fields = c.table(node, path, IMPORT_AKV, version) if node is not None else None
    if fields is None:
        return None
    what = "letters, digits and - (1 to 127)"
    return AkvImport(
        vault=vault_host(c, fields.get("vault"), f"{path}.vault"),
        secret_name=c.matching(fields.get("secret_name"), f"{path}.secret_name", _AKV_NAME, what),
        token=secret_name(c, fields.get("token"), f"{path}.token"),
        decryption_key=secret_name(c, fields.get("decryption_key"), f"{path}.decryption_key"),
    )


def _value(
    c: Collector, node: Node | None, path: str, kind: SecretKind | None, version: Version
) -> str | None:
    if node is None:
        return None
    if kind == "config-fragment":
        return fragment(c, node, path)
    if kind in {"x509", "x509-ca"} and version.is_0_2:
        c.problem(node, path, "certificates of language 0.2 have no explicit value")
        return None
    text = c.text(node, path, "the value of the secret")
    if text is None:
        return None
    try:
        match kind:
            case "ascii":
                return text
            case "binary":
                if not _HEX.fullmatch(text):
                    c.expected(node, path, "an even number of hex digits", got=False)
                return text.lower()
            case "private-key":
                return private_key_text(text, place=path)
            case "public-key":
                return public_key_text(text, place=path)
            case "x509" | "x509-ca":
                return certificates_text(text, place=path)
            case _:
                return None
    except MalformedError as error:
        c.malformed(node, path, error)
        return text


def _common_name(c: Collector, node: Node | None, path: str) -> str | None:
    text = c.text(node, path)
    if text is not None and node is not None and not 1 <= len(text) <= MAX_COMMON_NAME:
        c.expected(node, path, f"1 to {MAX_COMMON_NAME} characters")
    return text


def _dns(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names = [
        c.matching(item, where, _DNS, "a DNS name")
        for where, item in c.items(node, path, scalar=True)
    ]
    return tuple(name for name in names if name is not None)


def _san(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names: list[str] = []
    what = '"dns:NAME" or "ip:ADDRESS"'
    for where, item in c.items(node, path, scalar=True):
        text = c.text(item, where, what)
        if text is None:
            continue
        kind, _, name = text.partition(":")
        if kind == "ip" and "%" not in name:  # a certificate has no place for a zone
            import ipaddress  # here: few sessions have one

            try:
                names.append(f"ip:{ipaddress.ip_address(name)}")
                continue
            except ValueError:
                pass  # reported with the other forms, below
        elif kind == "dns" and _DNS.fullmatch(name):
            names.append(text)
            continue
        c.expected(item, where, what)
    return tuple(names)


def _duration(c: Collector, node: Node | None, path: str) -> Duration | None:
    text = c.text(node, path, "a duration")
    if text is None:
        return None
    try:
        return parse_duration(text, place=path)
    except MalformedError as error:
        c.malformed(node, path, error)
        return None


def _valid_for(c: Collector, node: Node | None, path: str) -> Duration | None:
    duration = _duration(c, node, path)
    if node is not None and duration is not None and duration.seconds < MIN_VALID_FOR:
        hint = "a certificate is renewed in the last third of its validity"
        c.expected(node, path, "one hour or more", hint)
    return duration


def _size(c: Collector, node: Node, path: str) -> int | None:
    size = c.integer(node, path, 1, MAX_SECRET_SIZE)
    return None if size == DEFAULT_SECRET_SIZE else size


def _key_type(c: Collector, node: Node, path: str) -> str | None:
    word = c.word(node, path, KEY_TYPES)
    return None if word == DEFAULT_KEY_TYPE else word


def _issuer(c: Collector, node: Node, path: str) -> str | None:
    return c.text(node, path, "the name of a secret")


def _endpoint(c: Collector, node: Node, path: str) -> str | None:
    return c.word(node, path, ENDPOINTS)


def _flag(c: Collector, node: Node, path: str) -> bool:
    return c.boolean(node, path) or False


# Keys whose value says all by itself: the field of `SecretSpec` and what reads it.
_READERS: Final[MappingType[str, tuple[str, Callable[[Collector, Node, str], object]]]] = {
    "size": ("size", _size),
    "key_type": ("key_type", _key_type),
    "migrate": ("migrate", _flag),
    "issuer": ("issuer", _issuer),
    "common_name": ("common_name", _common_name),
    "endpoint": ("endpoint", _endpoint),
    "dns": ("dns", _dns),
    "san": ("san", _san),
    "valid_for": ("valid_for", _valid_for),
    "export_public": ("export_public", _flag),
}
