"""Reads the `services` section: commands, environments and attestation variants."""

from __future__ import annotations

import re
from typing import Final

from scone.documents import Mapping, Node, Scalar, Sequence
from scone.errors import MalformedError
from scone.session.collect import Collector
from scone.session.command import split
from scone.session.fields import SERVICE, SIGNER, VARIANT
from scone.session.model import Service, Signer, Variant
from scone.session.names import ALPHABET, is_segment
from scone.session.placeholders import START
from scone.session.versions import Version

_HEX_64: Final = re.compile(r"[0-9a-fA-F]{64}")
_MEASUREMENT: Final = "a measurement of 64 hex digits"
_HOST_ARGUMENT: Final = re.compile(r"(?:^|[\s\"'])@@\d+(?:$|[\s\"'])")
_HOST_VARIABLE: Final = re.compile(r"\\?@\\?@")
# A key of a YAML mapping may have 1024 characters (YAML 1.2, 7.4.2), escapes included.
_MAX_VARIABLE: Final = 256
_UINT16: Final = 0xFFFF


def read_services(c: Collector, node: Node | None, version: Version) -> list[Service | None]:
    """The services in the order of the file; None for one without a usable name."""
    return [_service(c, item, path, version) for path, item in c.items(node, "services")]


def segment(c: Collector, fields: dict[str, Node], path: str) -> str | None:
    """The `name` of a service, secret or image."""
    node = fields.get("name")
    text = c.text(node, f"{path}.name", "a name")
    if text is None or node is None or is_segment(text):
        return text
    c.expected(node, f"{path}.name", f"a name of 1 to 128 characters ({ALPHABET})")
    return None


def _service(c: Collector, node: Node, path: str, version: Version) -> Service | None:
    fields = c.table(node, path, SERVICE, version)
    if fields is None:
        return None
    name = segment(c, fields, path)
    persistency = fields.get("persistency")
    if persistency is not None and c.text(persistency, f"{path}.persistency") != "None":
        c.expected(persistency, f"{path}.persistency", "None")
    mrenclaves = tuple(
        _measurement(c, item, where)
        for where, item in c.items(fields.get("mrenclaves"), f"{path}.mrenclaves", scalar=True)
    )
    attestation = _attestation(c, fields.get("attestation"), f"{path}.attestation", version)
    if "mrenclaves" in fields:
        if not mrenclaves:
            c.expected(fields["mrenclaves"], f"{path}.mrenclaves", "at least one measurement")
        if "attestation" in fields:
            c.problem(
                fields["mrenclaves"],
                f"{path}.mrenclaves",
                "expected either mrenclaves or attestation, got both",
                "mrenclaves is the older form of attestation.mrenclave",
            )
    service = Service(
        name=name or "",
        command=_command(c, fields.get("command"), f"{path}.command", version),
        environment=_environment(c, fields.get("environment"), f"{path}.environment"),
        pwd=_pwd(c, fields.get("pwd"), f"{path}.pwd"),
        image_name=c.text(fields.get("image_name"), f"{path}.image_name", "the name of an image"),
        attestation=attestation,
        mrenclaves=mrenclaves,
    )
    return None if name is None else service


def _measurement(c: Collector, node: Node, path: str) -> str:
    return (c.matching(node, path, _HEX_64, _MEASUREMENT) or "").lower()


def _command(
    c: Collector, node: Node | None, path: str, version: Version
) -> str | tuple[str, ...] | None:
    if node is None:
        return None
    if isinstance(node, Sequence):
        words = [c.text(item, where, "an argument") for where, item in c.items(node, path)]
        if not words or words[0] == "":
            c.expected(node, path, "a program and its arguments", got=False)
        for word, item in zip(words, node.items, strict=True):
            if word and re.fullmatch(r"@@\d+", word):
                c.unsupported(item, path, "arguments of the host (@@N)")
        return tuple(word or "" for word in words)
    text = c.text(node, path, "a command line or a list of arguments")
    if text is None:
        return None
    if _HOST_ARGUMENT.search(text):
        c.unsupported(node, path, "arguments of the host (@@N)")
    try:
        words_of_text = split(text, quotes=not version.is_0_2, place=path)
    except MalformedError as error:
        c.malformed(node, path, error)
        return None
    if not words_of_text or not words_of_text[0]:
        c.expected(node, path, "a program and its arguments", got=False)
    return text


def _environment(c: Collector, node: Node | None, path: str) -> tuple[tuple[str, str], ...]:
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        hint = "write NAME: value, without dashes" if isinstance(node, Sequence) else ""
        c.expected(node, path, "a mapping of names to values", hint, got=False)
        return ()
    pairs: list[tuple[str, str]] = []
    for key, value in node.entries:
        where = f"{path}.{key.text}"
        if not isinstance(value, Scalar) or value.is_null:
            hint = 'write "" for an empty value' if isinstance(value, Scalar) else ""
            c.expected(value, where, "a value", hint)
            continue
        if not key.text and not value.text:
            # scone-td-build writes such an entry; no program can see a variable without a name.
            c.warn(path, "environment-empty-name", "an entry without name is left out", node=key)
            continue
        c.nodes[where] = value
        if _HOST_VARIABLE.match(key.text):
            c.unsupported(key, where, "variables of the host (@@NAME)")
        elif START in key.text:
            c.problem(key, path, "expected a name without placeholder")
        elif (
            not key.text
            or len(key.text) > _MAX_VARIABLE
            or "=" in key.text
            or not key.text.isprintable()
        ):
            c.problem(
                key,
                path,
                f"expected a name of 1 to {_MAX_VARIABLE} printable characters without =",
            )
        pairs.append((key.text, value.text))
    return tuple(sorted(pairs))


def _pwd(c: Collector, node: Node | None, path: str) -> str | None:
    text = c.text(node, path, "an absolute path")
    if text is None or node is None:
        return None
    if START in text:
        c.unsupported(node, path, "a placeholder here")
    elif not text.startswith("/"):
        # A relative directory would be the host's choice, which pwd exists to take away.
        c.expected(node, path, "an absolute path")
    return text


def _attestation(
    c: Collector, node: Node | None, path: str, version: Version
) -> tuple[Variant, ...]:
    if node is None:
        return ()
    variants = c.items(node, path) if isinstance(node, Sequence) else [(path, node)]
    if not variants:
        c.expected(node, path, "at least one variant", got=False)
    return tuple(
        variant
        for where, item in variants
        if (variant := _variant(c, item, where, version)) is not None
    )


def _variant(c: Collector, node: Node, path: str, version: Version) -> Variant | None:
    fields = c.table(node, path, VARIANT, version)
    if fields is None:
        return None
    measured = fields.get("mrenclave")
    mrenclaves = tuple(
        _measurement(c, item, where)
        for where, item in c.items(measured, f"{path}.mrenclave", scalar=True)
    )
    if measured is not None and isinstance(measured, Sequence) and not mrenclaves:
        c.expected(measured, f"{path}.mrenclave", "at least one measurement", got=False)
    signer = fields.get("signer")
    if not fields:
        c.problem(node, path, "expected mrenclave, signer or both, got neither")
    return Variant(
        mrenclaves,
        None if signer is None else _signer(c, signer, f"{path}.signer", version),
    )


def _signer(c: Collector, node: Node, path: str, version: Version) -> Signer | None:
    fields = c.table(node, path, SIGNER, version)
    if fields is None:
        return None
    bounds = [name for name in ("isvsvn_min", "isvsvn_max") if name in fields]
    if "isvsvn" in fields and bounds:
        c.problem(
            fields["isvsvn"],
            f"{path}.isvsvn",
            f"expected either isvsvn or {' and '.join(bounds)}, got both",
        )
    product = c.integer(fields.get("isvprodid"), f"{path}.isvprodid", 0, _UINT16)
    low, high, exact = (
        c.integer(fields.get(name), f"{path}.{name}", 0, _UINT16)
        for name in ("isvsvn_min", "isvsvn_max", "isvsvn")
    )
    if low is not None and high is not None and low > high:
        c.problem(fields["isvsvn_min"], f"{path}.isvsvn_min", "expected isvsvn_min <= isvsvn_max")
    mrsigner = c.matching(
        fields.get("mrsigner"), f"{path}.mrsigner", _HEX_64, "a signer of 64 hex digits"
    )
    return Signer((mrsigner or "").lower(), product or 0, exact, low, high)
