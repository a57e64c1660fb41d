"""What secrets decide: known where a fragment of the session itself does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scone.session.model import SecretSpec, Session, Template
from scone.session.review.rights.changes import Changes
from scone.session.secrets.values import FragmentValue, SecretValue


def fragments(session: Session) -> dict[str, SecretValue]:
    """The fragments whose text the session itself has; they are policy and may be shown."""
    return {
        spec.name: FragmentValue(spec.value)
        for spec in session.secrets
        if spec.kind == "config-fragment" and spec.value is not None
    }


def undecided(found: Changes, topic: str, subject: str, old: object, new: object) -> None:
    """Sections that secrets decide, which are not known here."""
    if old != new:
        which = " and ".join(
            f"the {side} one" for side, one in (("old", old), ("new", new)) if _is_open(one)
        )
        text = f"it changed, and secrets that are not known here decide {which}"
        found.add("weaker", topic, subject, text)


def _is_open(section: object) -> bool:
    return isinstance(section, Template)


def deciding(
    found: Changes,
    where: tuple[str, str],
    old: Mapping[str, SecretSpec | None],
    new: Mapping[str, SecretSpec | None],
    *,
    fragments_count: bool,
) -> None:
    """Secrets that decide at a place (topic, subject) and are described otherwise now.

    Fragments count only where they could not be put in: else what they say is compared.
    """
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        is_fragment = after is not None and after.kind == "config-fragment" and after.value
        if _decision(before) != _decision(after) and (fragments_count or not is_fragment):
            text = f"secret {name} decides here, and it is another now (not shown)"
            found.add("weaker", *where, text)


def specs_of(session: Session, names: Iterable[str]) -> dict[str, SecretSpec | None]:
    """How these secrets are described."""
    return {name: session.secret(name) for name in names}


def _decision(spec: SecretSpec | None) -> SecretSpec | None:
    return spec and replace(spec, exports=(), export_public=False)
