"""Which values an update keeps (language page, "Secret Migration"): descriptions, no values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scone.session.model import SecretSpec, Session

Fate = Literal["kept", "new", "made again", "replaced", "gone"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update does to one value, and why."""

    secret: str
    fate: Fate
    reason: str = ""


def why_made_again(spec: SecretSpec, old: SecretSpec) -> str:
    """Why the value of the old version is not kept for this one; empty where it is.

    Asked for generated values; what is explicit or imported has none of its own.
    """
    if old.value is not None:
        return "the value was explicit"
    if old.is_foreign:
        return "the value was another session's or a vault's"
    if old.kind != spec.kind:
        return f"kind {old.kind} became {spec.kind}"
    match spec.kind:
        case "private-key" if not (spec.migrate and old.migrate):
            return "migrate: true is not in both versions"
        case "private-key" if spec.effective_key_type != old.effective_key_type:
            return f"key_type {old.effective_key_type} became {spec.effective_key_type}"
        case "ascii" | "binary" if spec.effective_size != old.effective_size:
            return f"size {old.effective_size} became {spec.effective_size}"
        case "x509" | "x509-ca" | "session-ca":
            return "certificates are made again at each update"
        case _:
            return ""


def outcomes(old: Session, new: Session) -> Iterator[Outcome]:
    """What happens to the value of each secret when `new` replaces `old`.

    Tokens, credentials and what is imported have no stored value and are left out.
    """
    before = {spec.name: spec for spec in old.secrets}
    for spec in new.secrets:
        was = before.get(spec.name)
        if spec.is_foreign or spec.kind in {"jwt", "aad-token"}:
            continue
        if was is None:
            yield Outcome(spec.name, "new")
        elif spec.value is not None:
            same = was.value == spec.value and was.kind == spec.kind
            how = (
                "the explicit value is another" if was.value is not None else "by an explicit value"
            )
            yield Outcome(spec.name, "kept") if same else Outcome(spec.name, "replaced", how)
        elif spec.kind == "public-key":
            yield Outcome(spec.name, "made again", f"it follows the private key {spec.private_key}")
        elif reason := why_made_again(spec, was):
            yield Outcome(spec.name, "made again", reason)
        else:
            yield Outcome(spec.name, "kept")
    stored = {spec.name for spec in new.secrets if not spec.is_foreign}
    for spec in old.secrets:
        if (
            spec.name not in stored
            and not spec.is_foreign
            and spec.kind not in {"jwt", "aad-token"}
        ):
            yield Outcome(spec.name, "gone")
