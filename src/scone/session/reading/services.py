"""Reads the `services` section: commands, environments and attestation variants."""

from __future__ import annotations

import re
from collections.abc import Sequence as Sized
from typing import Final, cast

from scone.documents import Mapping, Node, Scalar, Sequence
from scone.errors import MalformedError
from scone.session.command import host_argument, split
from scone.session.model import FspfPolicy, Service, Signer, Template, Variant
from scone.session.placeholders import START
from scone.session.reading.collect import Collector
from scone.session.reading.fields import FSPF_POLICIES, SERVICE, SIGNER, VARIANT
from scone.session.reading.templates import templated
from scone.session.reading.versions import Version
from scone.session.reading.words import HEX_64, fspf_key, fspf_tag, otp_secret_text, segment

_MEASUREMENT: Final = "a measurement of 64 hex digits"
_HOST_VARIABLE: Final = re.compile(r"(?:\\@\\@|@@)(.*)", re.DOTALL)
_QE_ID: Final = re.compile(r"(?i:INTEL_QE_ID):([0-9a-fA-F]{32})")
_PLATFORM: Final = "INTEL_QE_ID: and 32 hex digits"
# A key of a YAML mapping may have 1024 characters (YAML 1.2, 7.4.2), escapes included.
_MAX_VARIABLE: Final = 256
_UINT16: Final = 0xFFFF


def read_services(c: Collector, node: Node | None, version: Version) -> list[Service | None]:
    """The services in the order of the file; None for one without a usable name."""
    return [_service(c, item, path, version) for path, item in c.items(node, "services")]


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
    otp = "one_time_password_shared_secret"
    _fspf(c, fields, path)
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
        pwd=_absolute(c, fields.get("pwd"), f"{path}.pwd"),
        image_name=c.text(fields.get("image_name"), f"{path}.image_name", "the name of an image"),
        attestation=attestation,
        mrenclaves=mrenclaves,
        platforms=_platforms(c, fields.get("platforms"), f"{path}.platforms", version),
        fspf_path=_absolute(c, fields.get("fspf_path"), f"{path}.fspf_path"),
        fspf_key=fspf_key(c, fields.get("fspf_key"), f"{path}.fspf_key", version, "0.3.5"),
        fspf_tag=fspf_tag(c, fields.get("fspf_tag"), f"{path}.fspf_tag"),
        fspf_update_policy=_fspf_policy(
            c, fields.get("fspf_update_policy"), f"{path}.fspf_update_policy"
        ),
        one_time_password_shared_secret=otp_secret_text(c, fields.get(otp), f"{path}.{otp}"),
    )
    return None if name is None else service


def _fspf(c: Collector, fields: dict[str, Node], path: str) -> None:
    """Path, key and tag together; without rollback protection the tag may be missing."""
    keys = ("fspf_path", "fspf_key", "fspf_tag", "fspf_update_policy")
    given = [key for key in keys if key in fields]
    if not given:
        return
    policy = fields.get("fspf_update_policy")
    free = isinstance(policy, Scalar) and policy.text == "no_rollback_protection"
    for key in keys[: 2 if free else 3]:
        if key not in fields:
            hint = "scone fspf create and encrypt print key and tag"
            c.problem_at(f"{path}.{given[0]}", f"expected {key} beside it", hint)


def _fspf_policy(c: Collector, node: Node | None, path: str) -> FspfPolicy:
    word = c.word(node, path, FSPF_POLICIES)
    return cast("FspfPolicy", word or "rollback_protected_reinitializable")


def _platforms(
    c: Collector, node: Node | None, path: str, version: Version
) -> tuple[str, ...] | Template:
    if node is None:
        return ()
    return templated(c, node, path, version, lambda: platforms(c, node, path))


def platforms(c: Collector, node: Node, path: str) -> tuple[str, ...]:
    """Platform ids: `INTEL_QE_ID:` and hex, or 64 hex digits as before SCONE 7."""
    found: dict[str, None] = {}
    listed = c.items(node, path, scalar=True)
    if not listed and isinstance(node, Sequence):
        c.expected(node, path, "at least one platform", got=False)
    for where, item in listed:
        text = c.text(item, where, _PLATFORM)
        if text is None or c.passes(item):
            continue
        if known := _QE_ID.fullmatch(text):
            found[f"INTEL_QE_ID:{known[1].lower()}"] = None
        elif HEX_64.fullmatch(text):
            found[text.lower()] = None
        else:
            hint = "the LAS prints it when it starts, scone cas attest that of a CAS"
            c.expected(item, where, _PLATFORM, hint)
    return tuple(found)


def _measurement(c: Collector, node: Node, path: str) -> str:
    return (c.matching(node, path, HEX_64, _MEASUREMENT) or "").lower()


def _command(
    c: Collector, node: Node | None, path: str, version: Version
) -> str | tuple[str, ...] | None:
    if node is None:
        return None
    if isinstance(node, Sequence):
        words = [c.text(item, where, "an argument") for where, item in c.items(node, path)]
        if not words or words[0] == "":
            c.expected(node, path, "a program and its arguments", got=False)
        places = c.items(node, path)
        _host_arguments(
            c, [(*place, word or "") for place, word in zip(places, words, strict=True)]
        )
        return tuple(word or "" for word in words)
    text = c.text(node, path, "a command line or a list of arguments")
    if text is None:
        return None
    try:
        words_of_text = split(text, quotes=not version.is_0_2, place=path)
    except MalformedError as error:
        c.malformed(node, path, error)
        return None
    if not words_of_text or not words_of_text[0]:
        c.expected(node, path, "a program and its arguments", got=False)
    _host_arguments(c, [(path, node, word) for word in words_of_text])
    return text


def _host_arguments(c: Collector, words: Sized[tuple[str, Node, str]]) -> None:
    """`@@N` stands for the Nth argument of the host; each at most once, none as the program."""
    seen: set[int] = set()
    for index, (path, node, word) in enumerate(words):
        try:
            number = host_argument(word)
        except MalformedError as error:
            c.malformed(node, path, error)
            continue
        if number is None:
            continue
        if number in seen:
            twice = c.said(path, f", {word} stands twice")
            c.problem(node, path, f"expected each argument of the host once{twice}")
        elif index == 0:
            c.problem(node, path, "expected a program, got @@N: the host must not choose it")
        seen.add(number)


def _environment(c: Collector, node: Node | None, path: str) -> tuple[tuple[str, str], ...]:
    if node is None:
        return ()
    if not isinstance(node, Mapping):
        hint = "write NAME: value, without dashes" if isinstance(node, Sequence) else ""
        c.expected(node, path, "a mapping of names to values", hint, got=False)
        return ()
    pairs: list[tuple[str, str]] = []
    names: set[str] = set()
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
        host = _HOST_VARIABLE.fullmatch(key.text)
        name = host[1] if host else key.text
        if START in name:
            c.problem(key, path, "expected a name without placeholder")
        elif not name or len(name) > _MAX_VARIABLE or "=" in name or not name.isprintable():
            expected = f"a name of 1 to {_MAX_VARIABLE} printable characters without ="
            c.problem(key, path, f"expected {expected}")
        elif name in names:
            c.problem(key, path, f"expected each variable once, {name} is also one of the host")
        names.add(name)
        # One spelling of a variable of the host, whose value here never counts.
        pairs.append((f"\\@\\@{name}", "") if host else (name, value.text))
    return tuple(sorted(pairs))


def _absolute(c: Collector, node: Node | None, path: str) -> str | None:
    text = c.text(node, path, "an absolute path")
    if text is None or node is None:
        return None
    if START in text:
        c.expected(node, path, "a path without placeholder", got=False)
    elif not text.startswith("/"):
        # A relative path would be the host's choice, which the session exists to take away.
        c.expected(node, path, "an absolute path")
    return text


def _attestation(
    c: Collector, node: Node | None, path: str, version: Version
) -> tuple[Variant, ...] | Template:
    if node is None:
        return ()
    return templated(c, node, path, version, lambda: variants(c, node, path, version))


def variants(c: Collector, node: Node, path: str, version: Version) -> tuple[Variant, ...]:
    """The variants of an attestation section, of which one must match."""
    listed = c.items(node, path) if isinstance(node, Sequence) else [(path, node)]
    if not listed:
        c.expected(node, path, "at least one variant", got=False)
    return tuple(
        variant
        for where, item in listed
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
        fields.get("mrsigner"), f"{path}.mrsigner", HEX_64, "a signer of 64 hex digits"
    )
    return Signer((mrsigner or "").lower(), product or 0, exact, low, high)
