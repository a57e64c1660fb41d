"""Reads `export` and `import`: which other sessions, on which CAS, under which name.

Language 0.2 writes `NAME[:HASH]`, 0.3 a mapping or a SCONE URL such as
`cas.example.com/cas_key=HASH,session=NAME` (page "Referencing Other Sessions"). A bare name is
read in 0.3 too, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingType
from typing import Final, cast

from scone.crypto.keyhash import parse_key_hash
from scone.documents import Mapping, Node, Scalar, Sequence
from scone.errors import MalformedError
from scone.session.model import Import, SessionReference, TagPolicy, VolumeExport
from scone.session.names import ALPHABET, is_segment, parse_name
from scone.session.reading.collect import Collector
from scone.session.reading.fields import (
    EXPORT,
    IMPORT,
    TAG_POLICIES,
    VOLUME_EXPORT,
    VOLUME_EXPORT_TO,
    VOLUME_IMPORT,
    Field,
)
from scone.session.reading.versions import Version
from scone.session.reading.words import HEX_64

_HASH_FORM: Final = "a session hash of 64 hex digits"
_ADDRESS: Final = re.compile(
    r"(?:https://)?(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?/?"
)
# Names beside the own one: `..`, `../x`, `../../x`, `./x`.
_RELATIVE: Final = re.compile(r"(?:\.|\.\.(?:/\.\.)*)(?:/(?P<rest>[^.].*|\.[^./].*|\.\.[^/].*))?")
_NOT_IN_URLS: Final = ("cas_url", "to", "update_policy", "volume_alias")
_URL_EXAMPLE: Final = "a SCONE URL such as cas.example.com/cas_key=HASH,session=NAME"


def read_secret_exports(
    c: Collector, node: Node | None, path: str, version: Version
) -> tuple[SessionReference, ...]:
    """Who may import a secret."""
    return tuple(
        found.reference
        for where, item in _list(c, node, path)
        if (found := _read(c, item, where, EXPORT, version)) is not None
    )


def read_secret_import(
    c: Collector, node: Node | None, path: str, version: Version, own_name: str
) -> Import | None:
    """Where a secret comes from; without a name of its own it has the same there."""
    if node is None:
        return None
    found = _read(c, node, path, IMPORT, version)
    if found is None:
        return None
    return Import(found.reference, _item(c, found, path, "secret", own_name))


def read_volume_exports(
    c: Collector, node: Node | None, path: str, version: Version
) -> tuple[VolumeExport, ...]:
    """Who may import a volume, with what policy and under what name."""
    exports = []
    for where, item in _list(c, node, path):
        found = _read(c, item, where, VOLUME_EXPORT, version)
        if found is None:
            continue
        alias = c.text(found.fields.get("volume_alias"), f"{where}.volume_alias", "a name")
        if alias == "":
            c.expected(found.fields["volume_alias"], f"{where}.volume_alias", "a name")
        policy = c.word(found.fields.get("update_policy"), f"{where}.update_policy", TAG_POLICIES)
        exports.append(
            VolumeExport(found.reference, cast("TagPolicy", policy or "rollback_protected"), alias)
        )
    return tuple(exports)


def read_volume_import(
    c: Collector, node: Node | None, path: str, version: Version, own_name: str
) -> Import | None:
    """Where a volume comes from; volumes are shared within one CAS only."""
    if node is None:
        return None
    found = _read(c, node, path, VOLUME_IMPORT, version)
    if found is None:
        return None
    return Import(found.reference, _item(c, found, path, "volume", own_name))


class _Found:
    """A reference and the other keys that stood beside it."""

    def __init__(self, reference: SessionReference, fields: dict[str, Node]) -> None:
        self.reference = reference
        self.fields = fields


def _list(c: Collector, node: Node | None, path: str) -> list[tuple[str, Node]]:
    if node is None:
        return []
    return c.items(node, path) if isinstance(node, Sequence) else [(path, node)]


def _item(c: Collector, found: _Found, path: str, key: str, own_name: str) -> str:
    node = found.fields.get(key)
    if node is None:
        return own_name
    text = c.text(node, f"{path}.{key}", f"the name of a {key}")
    if text is not None and key == "secret" and not is_segment(text):
        c.expected(node, f"{path}.{key}", f"a name of 1 to 128 characters ({ALPHABET})")
    elif text == "":
        c.expected(node, f"{path}.{key}", f"the name of a {key}")
    return own_name if text is None else text


def _read(
    c: Collector, node: Node, path: str, section: MappingType[str, Field], version: Version
) -> _Found | None:
    if isinstance(node, Scalar) and not node.is_null:
        if version.is_0_2 or "=" not in node.text:
            return _bare(c, node, path, version)
        fields = _url(c, node, path, section)
        relative = False
    elif version.is_0_2:
        c.expected(node, path, "NAME or NAME:HASH", "mappings need version 0.3", got=False)
        return None
    else:
        fields = c.table(node, path, section, version)
        relative = version.admits("0.3.10")
    if fields is None:
        return None
    if (to := fields.pop("to", None)) is not None:
        if "session" in fields or "session_hash" in fields:
            c.problem(to, f"{path}.to", "expected session under to alone, got both")
        if isinstance(to, Scalar) and not to.is_null:
            inner = _bare(c, to, f"{path}.to", version)
            return None if inner is None else _Found(inner.reference, fields)
        named = c.table(to, f"{path}.to", VOLUME_EXPORT_TO, version)
        if named is None:
            return None
        fields.update(named)
    elif isinstance(node, Mapping) and ("update_policy" in fields or "volume_alias" in fields):
        hint = "to: {session: NAME}, beside update_policy and volume_alias"
        c.problem(node, path, "expected the session under to", hint)
    reference = _reference(c, node, path, fields, section, relative=relative)
    return None if reference is None else _Found(reference, fields)


def _bare(c: Collector, node: Scalar, path: str, version: Version) -> _Found | None:
    name, colon, digest = node.text.partition(":")
    if not version.is_0_2:
        message = "a name alone is the form of language 0.2"
        c.warn(path, "deprecated-reference", message, "write session: NAME", node=node)
    if colon and not HEX_64.fullmatch(digest):
        c.expected(node, path, f"NAME:HASH with {_HASH_FORM}", got=False)
        return None
    checked = _name(c, node, path, name, relative=version.admits("0.3.10"))
    if checked is None:
        return None
    return _Found(SessionReference(session=checked, session_hash=digest.lower() or None), {})


def _url(
    c: Collector, node: Scalar, path: str, section: MappingType[str, Field]
) -> dict[str, Node] | None:
    """The keys of a SCONE URL, each as a scalar at the place of the whole."""
    address, slash, rest = node.text.removeprefix("https://").partition("/")
    keys = [key for key in section if key not in _NOT_IN_URLS]
    fields: dict[str, Node] = {}
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if not slash or not equals or not value or key not in keys or key in fields:
            c.expected(node, path, _URL_EXAMPLE, f"its keys: {', '.join(keys)}", got=False)
            return None
        fields[key] = Scalar(value, "double", node.mark, node.variables)
    if address:
        if "cas_url" not in section:
            c.problem(node, path, "expected no address: volumes are shared within one CAS")
            return None
        fields["cas_url"] = Scalar(address, "double", node.mark, node.variables)
    return fields


def _reference(
    c: Collector,
    node: Node,
    path: str,
    fields: dict[str, Node],
    section: MappingType[str, Field],
    *,
    relative: bool,
) -> SessionReference | None:
    before = len(c.problems)
    targets = [key for key in ("session", "namespace") if key in fields]
    if len(targets) != 1:
        either = "either session or namespace" if "namespace" in section else "session"
        c.problem(node, path, f"expected {either}, got {'both' if targets else 'neither'}")
        return None
    url = c.matching(fields.get("cas_url"), f"{path}.cas_url", _ADDRESS, "HOST or HOST:PORT")
    keys = [key for key in ("cas_key", "cas_software_key") if key in fields]
    if "cas_url" in fields and len(keys) != 1:
        hint = "it authenticates that CAS; scone cas show-identification -c prints it"
        c.problem(node, path, "expected one of cas_key and cas_software_key beside cas_url", hint)
    elif keys and "cas_url" not in fields:
        c.problem(fields[keys[0]], f"{path}.{keys[0]}", "expected cas_url beside it")
    if "namespace" in fields and "session_hash" in fields:
        hint = "a namespace has sessions of many hashes"
        c.problem(
            fields["session_hash"], f"{path}.session_hash", "expected session beside it", hint
        )
    at, where = fields[targets[0]], f"{path}.{targets[0]}"
    text = c.text(at, where, "the name of a session")
    name = None if text is None else _name(c, at, where, text, relative=relative and url is None)
    digest = c.matching(fields.get("session_hash"), f"{path}.session_hash", HEX_64, _HASH_FORM)
    hashes = {key: _key_hash(c, fields.get(key), f"{path}.{key}") for key in keys}
    if len(c.problems) > before or not name:
        return None
    return SessionReference(
        session=name if targets[0] == "session" else None,
        namespace=name if targets[0] == "namespace" else None,
        session_hash=digest and digest.lower(),
        cas_url=url and url.removeprefix("https://").rstrip("/").lower(),
        cas_key=hashes.get("cas_key"),
        cas_software_key=hashes.get("cas_software_key"),
    )


def _name(c: Collector, node: Node, path: str, text: str, *, relative: bool) -> str | None:
    """A session name, or one relative to the session's own."""
    found = _RELATIVE.fullmatch(text)
    if found is not None:
        if not relative:
            hint = "relative names need 0.3.10, and a mapping without cas_url"
            c.problem(node, path, "expected the whole name of a session", hint)
            return None
        if found["rest"] is None:
            if text != ".":
                return text
        elif all(map(is_segment, found["rest"].split("/"))):
            return text
    else:
        try:
            parse_name(text)
        except MalformedError as error:
            c.malformed(node, path, error)
            return None
        return text
    c.expected(node, path, "a name relative to this session: .., ../NAME or ./NAME")
    return None


def _key_hash(c: Collector, node: Node | None, path: str) -> str | None:
    text = c.text(node, path, "a key hash")
    if text is None or node is None:
        return None
    try:
        parse_key_hash(text)
    except MalformedError as error:
        c.malformed(node, path, error)
        return None
    return text
