"""Who may use what of another session: names, exports, values as importers see them.

Rules of the language page, "Secret Sharing", "Volume Sharing" and "Referencing Other
Sessions". Nothing here looks a session up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scone.crypto.certificates import is_ca, load_certificate
from scone.crypto.keyhash import parse_key_hash
from scone.errors import ConflictError, MalformedError, UsageError
from scone.session.model import (
    STRICTEST_FIRST,
    SecretKind,
    SecretSpec,
    Session,
    SessionReference,
    TagPolicy,
    Volume,
)
from scone.session.names import ROOT, canonical_name, parse_name
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PgpKeyValue,
    PrivateKeyValue,
    PublicKeyValue,
    SecretValue,
    without_private_key,
)

MAX_STEPS: Final = 8
"""Imports in a row, on all CASes together: ends circles."""


@dataclass(frozen=True, slots=True)
class Importer:
    """A session that asks: `hash` of its active version; key hashes if on another CAS."""

    name: str
    hash: str
    cas_key_hash: str | None = None
    software_key_hash: str | None = None

    @property
    def is_remote(self) -> bool:
        """Whether it is a session of another CAS."""
        return self.cas_key_hash is not None or self.software_key_hash is not None


def resolve_name(written: str, own: str) -> str:
    """The session that a name means in the session `own`: `..`, `../x` and `./x` are relative.

    `..` is the namespace of `own`, `./x` a session in the namespace `own`.

    Raises:
        UsageError: it leads out of the root namespace.
        MalformedError: not the name of a session.
    """
    steps = written.split("/")
    if steps[0] not in {".", ".."}:
        return canonical_name(written)
    base = list(parse_name(own))
    while steps and steps[0] in {".", ".."}:
        if steps.pop(0) == ".":
            continue
        if not base:
            raise UsageError(
                f"session {own}: the name {written} leads out of the root namespace",
                hint=f"{own} lies {len(parse_name(own))} levels below the root; use fewer ..",
            )
        base.pop()
    return canonical_name("/".join([*base, *steps]) or ROOT)


def exported_to(
    exports: Iterable[SessionReference], exporter_name: str, importer: Importer
) -> bool:
    """Whether one of the entries admits the importer; denied unless one does.

    An entry without `cas_url` is for sessions of this CAS alone, one with it for those of the
    CAS with that key alone. An entry that means no session admits nobody.
    """
    return any(_admits(entry, exporter_name, importer) for entry in exports)


def importable(spec: SecretSpec, exporter_name: str, importer: Importer) -> bool:
    """Whether the importer may have this secret: exported to it, or to everybody."""
    return spec.export_public or exported_to(spec.exports, exporter_name, importer)


def as_imported(
    exporter: Session, spec: SecretSpec, value: SecretValue, importer: Importer
) -> SecretValue:
    """The value as an importer gets it: a certificate has its key only if that is exported too.

    In language 0.2 the key is part of the certificate; of a session-ca it never leaves.
    """
    if not isinstance(value, CertificateValue) or value.private_key is None:
        return value
    if exporter.version == "0.2":
        has_key = spec.kind == "x509"
    else:
        key = None if spec.private_key is None else exporter.secret(spec.private_key)
        has_key = key is not None and importable(key, exporter.name, importer)
    return value if has_key else without_private_key(value)


def volume_for(session: Session, name: str, importer: Importer) -> tuple[Volume, TagPolicy] | None:
    """The volume that the importer may use under this name, and the most it may do to the state.

    An alias hides the original name. Of several entries for the same importer the one that
    allows most counts: an export grants, it takes nothing away.
    """
    allowed: list[TagPolicy] = []
    for volume in session.volumes:
        if volume.imported is not None:
            continue
        for export in volume.exports:
            shown = volume.name if export.alias is None else export.alias
            if shown == name and _admits(export.to, session.name, importer):
                allowed.append(export.update_policy)
        if allowed:
            return volume, max(allowed, key=STRICTEST_FIRST.index)
    return None


def volume_policy(exported: TagPolicy, wanted: TagPolicy) -> TagPolicy:
    """The policy that an importer's service runs under: the exporter's if that is stricter.

    Raises:
        ConflictError: no_rollback_protection where the exporter wants protection.
    """
    if exported == "ephemeral":  # "any tag policy specified by the importing session is ignored"
        return exported
    if STRICTEST_FIRST.index(wanted) > STRICTEST_FIRST.index(exported):
        raise ConflictError(
            f"the volume is exported with update_policy {exported}, which does not allow {wanted}",
            hint=f"use {exported} or ephemeral, or ask for an export with {wanted}",
        )
    return wanted


@dataclass(frozen=True, slots=True)
class ValuesPath:
    """What is read at `/v1/values/`: the public secrets of a session, or one of them."""

    session: str
    session_hash: str | None = None
    secret: str | None = None


def parse_values_path(text: str) -> ValuesPath:
    """`session=NAME[,session_hash=H][,secret=S]`, the keys in any order.

    Raises:
        MalformedError: another form.
    """
    place, expected = "values", "session=NAME[,session_hash=HASH][,secret=NAME]"
    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not value or key in found or key not in ValuesPath.__slots__:
            raise MalformedError(place, expected)
        found[key] = value
    if "session" not in found:
        raise MalformedError(place, expected)
    digest = found.get("session_hash")
    if digest is not None and not (len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        raise MalformedError(f"{place}.session_hash", "64 lower-case hexadecimal digits")
    return ValuesPath(canonical_name(found["session"]), digest, found.get("secret"))


def is_of_kind(value: SecretValue, kind: SecretKind | None) -> bool:
    """Whether an imported value has the form that the importing session expects.

    An x509-ca is an x509 too; what another session made as jwt or aad-token arrives as text.
    """
    if kind is None:
        return True
    if not isinstance(value, _CLASSES[kind]):
        return False
    if kind in {"x509-ca", "session-ca"} and isinstance(value, CertificateValue):
        return is_ca(load_certificate(value.certificate))
    return True


_CLASSES: Final[dict[SecretKind, type]] = {
    "ascii": AsciiValue,
    "jwt": AsciiValue,
    "aad-token": AsciiValue,
    "binary": BinaryValue,
    "config-fragment": FragmentValue,
    "pgp-key": PgpKeyValue,
    "public-key": PublicKeyValue,
    "private-key": PrivateKeyValue,
    "x509": CertificateValue,
    "x509-ca": CertificateValue,
    "session-ca": CertificateValue,
}


def _admits(entry: SessionReference, exporter_name: str, importer: Importer) -> bool:
    return _same_cas(entry, importer) and _names(entry, exporter_name, importer)


def _same_cas(entry: SessionReference, importer: Importer) -> bool:
    given = (
        (entry.cas_key, importer.cas_key_hash),
        (entry.cas_software_key, importer.software_key_hash),
    )
    stated = [(expected, found) for expected, found in given if expected is not None]
    if entry.cas_url is None and not stated:
        return not importer.is_remote
    return bool(stated) and all(
        found is not None and parse_key_hash(expected) == parse_key_hash(found)
        for expected, found in stated
    )


def _names(entry: SessionReference, exporter_name: str, importer: Importer) -> bool:
    written = entry.session if entry.namespace is None else entry.namespace
    if written is None:
        return False
    try:
        meant = parse_name(resolve_name(written, exporter_name))
    except (UsageError, MalformedError):
        return False
    asking = parse_name(importer.name)
    if entry.namespace is not None:
        return asking[: len(meant)] == meant
    return asking == meant and entry.session_hash in {None, importer.hash}
