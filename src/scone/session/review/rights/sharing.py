"""Secrets and volumes: where they come from, and who may import them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scone.errors import MalformedError, UsageError
from scone.session.model import STRICTEST_FIRST, SecretSpec, Session, SessionReference, TagPolicy
from scone.session.names import parse_name
from scone.session.review.rights.changes import Changes, paired
from scone.session.sharing import resolve_name


def compare_secrets(found: Changes, old: Session, new: Session) -> None:
    """Secrets: who may import or read them, and how they are made."""
    for name, before, after in paired(old.secrets, new.secrets, lambda item: item.name):
        subject = f"secret {name}"
        if after is None:
            found.add("changed", "secrets", subject, "is gone")
        elif before is None:
            found.add("changed", "secrets", subject, f"is new ({_origin(after)})")
        else:
            _secret(found, subject, before, after)
        _exports(
            found,
            subject,
            (old.name, () if before is None else before.exports),
            (new.name, () if after is None else after.exports),
        )
        everybody = tuple(spec is not None and spec.export_public for spec in (before, after))
        if everybody == (False, True):
            found.add("weaker", "secrets", subject, "everybody may read it now (export_public)")
        elif everybody == (True, False):
            found.add("stronger", "secrets", subject, "not everybody may read it any more")


def _secret(found: Changes, subject: str, old: SecretSpec, new: SecretSpec) -> None:
    found.differs("secrets", subject, "kind", old.kind, new.kind)
    found.differs("secrets", subject, "comes from", _origin(old), _origin(new))
    if old.value is not None and new.value is not None:
        found.hidden("secrets", subject, "explicit value", old.value, new.value)
    found.differs("secrets", subject, "size", old.size, new.size)
    for name in (
        "key_type",
        "migrate",
        "private_key",
        "issuer",
        "common_name",
        "endpoint",
    ):
        found.differs("secrets", subject, name, getattr(old, name), getattr(new, name))
    for name in ("dns", "san"):
        before, after = ", ".join(getattr(old, name)), ", ".join(getattr(new, name))
        found.differs("secrets", subject, name, before, after)
    spans = [spec.valid_for and spec.valid_for.text for spec in (old, new)]
    found.differs("secrets", subject, "valid_for", spans[0], spans[1])
    if old.jwt is not None and new.jwt is not None:
        found.differs("secrets", subject, "signer", old.jwt.signer, new.jwt.signer)
        spans = [old.jwt.valid_for.text, new.jwt.valid_for.text]
        found.differs("secrets", subject, "validity", spans[0], spans[1])
        for claim, one, other in paired(old.jwt.payload, new.jwt.payload, lambda pair: pair[0]):
            found.hidden("secrets", subject, f"claim {claim}", one and one[1], other and other[1])
    found.hidden("secrets", subject, "its Azure credentials", old.aad, new.aad)


def _origin(spec: SecretSpec) -> str:
    if spec.imported is not None:
        return f"{_reference(spec.imported.source)}, secret {spec.imported.name}"
    if spec.akv is not None:
        return f"vault {spec.akv.vault}, secret {spec.akv.secret_name or spec.name}"
    if spec.value is not None:
        return "an explicit value"
    return "credentials" if spec.aad is not None else "the CAS, which makes it"


def _exports(
    found: Changes,
    subject: str,
    old: tuple[str, Iterable[SessionReference]],
    new: tuple[str, Iterable[SessionReference]],
) -> None:
    found.grants(
        "secrets",
        subject,
        [_Export(_named(one, old[0])) for one in old[1]],
        [_Export(_named(one, new[0])) for one in new[1]],
        texts=("{} may import it now", "{} may no longer import it"),
        implies=_export_implies,
    )


@dataclass(frozen=True, slots=True)
class _Export:
    """Who may import, and for volumes what they may do to the state."""

    to: SessionReference
    policy: TagPolicy | None = None
    name: str | None = None

    def __str__(self) -> str:
        policy = f" with update_policy {self.policy}" if self.policy else ""
        return _reference(self.to) + policy + (f" as {self.name}" if self.name else "")


def _named(reference: SessionReference, own: str) -> SessionReference:
    """With absolute names; a name that means nothing stays as it is."""
    try:
        if reference.session is not None:
            return replace(reference, session=resolve_name(reference.session, own))
        if reference.namespace is not None:
            return replace(reference, namespace=resolve_name(reference.namespace, own))
    except (MalformedError, UsageError):
        pass
    return reference


def _export_implies(one: _Export, other: _Export) -> bool:
    """Whether whoever may import by one may by the other, too, and do as much."""
    if one.name != other.name or not _covers(other.to, one.to):
        return False
    if one.policy is None or other.policy is None:
        return one.policy == other.policy
    return STRICTEST_FIRST.index(other.policy) >= STRICTEST_FIRST.index(one.policy)


def _covers(wide: SessionReference, narrow: SessionReference) -> bool:
    for name in ("cas_url", "cas_key", "cas_software_key"):
        if getattr(wide, name) != getattr(narrow, name):
            return False
    if wide.namespace is None:
        same = wide.session == narrow.session and narrow.namespace is None
        return same and wide.session_hash in {None, narrow.session_hash}
    try:
        space = parse_name(wide.namespace)
        return parse_name(narrow.namespace or narrow.session or "")[: len(space)] == space
    except MalformedError:
        return wide == narrow


def _reference(reference: SessionReference) -> str:
    if reference.namespace is not None:
        text = f"every session in {reference.namespace}"
    else:
        text = f"session {reference.session}"
        if reference.session_hash is not None:
            text += f" with hash {reference.session_hash}"
    if reference.cas_url is not None:
        text += f" of the CAS {reference.cas_url}"
    key = reference.cas_key or reference.cas_software_key
    return text + (f" (key {key})" if key else "")


def compare_volumes(found: Changes, old: Session, new: Session) -> None:
    """Volumes: who may use them, and their keys."""
    for name, before, after in paired(old.volumes, new.volumes, lambda item: item.name):
        subject = f"volume {name}"
        if before is None or after is None:
            text = "is new" if before is None else "is gone"
            found.add("changed", "volumes", subject, text)
        else:
            order = ("encrypted", "authenticated-only")
            found.ranked("volumes", subject, "files", (before.files, after.files), order)
            found.hidden("volumes", subject, "key", before.fspf_key, after.fspf_key)
            found.hidden("volumes", subject, "tag", before.fspf_tag, after.fspf_tag)
            sources = [
                "this session" if one.imported is None else
                f"{_reference(one.imported.source)}, volume {one.imported.name}"
                for one in (before, after)
            ]  # fmt: skip
            found.differs("volumes", subject, "comes from", sources[0], sources[1])
        mine, theirs = (
            [
                _Export(_named(one.to, session.name), one.update_policy, one.alias)
                for one in (() if volume is None else volume.exports)
            ]
            for session, volume in ((old, before), (new, after))
        )
        found.grants(
            "volumes",
            subject,
            mine,
            theirs,
            texts=("{} may use it now", "{} may no longer use it"),
            implies=_export_implies,
        )
