"""What differs in rights between two sessions: for reviewers, weakenings first.

A change is `weaker` where the new session gives somebody or some code more than the old one,
`stronger` where it takes that away, `changed` where neither can be said. Fragments of the session
itself are put in where they decide; where other secrets decide, another decision counts as weaker.
Values that may be secret are said to differ and never shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from scone.session.model import Session
from scone.session.review.rights.access import compare_access
from scone.session.review.rights.changes import EFFECTS, TOPICS, Change, Changes, Effect, paired
from scone.session.review.rights.security import compare_security
from scone.session.review.rights.services import compare_service
from scone.session.review.rights.sharing import compare_secrets, compare_volumes
from scone.session.secrets.migration import Outcome, outcomes


@dataclass(frozen=True, slots=True)
class RightsDifference:
    """All changes, weakenings first, and what an update does to the values of the secrets."""

    changes: tuple[Change, ...]
    values: tuple[Outcome, ...]

    def of(self, effect: Effect) -> tuple[Change, ...]:
        """The changes with that effect."""
        return tuple(change for change in self.changes if change.effect == effect)


def rights_difference(old: Session, new: Session) -> RightsDifference:
    """What changes in rights when `new` replaces `old`; predecessors do not count.

    Raises:
        MalformedError: a session that was not read by the reader of sessions.
    """
    found = Changes()
    _session(found, old, new)
    compare_access(found, old, new)
    compare_security(found, old, new)
    compare_secrets(found, old, new)
    compare_volumes(found, old, new)
    for name, before, after in paired(old.services, new.services, lambda item: item.name):
        compare_service(found, name, (old, before), (new, after))
    ranked = sorted(
        dict.fromkeys(found.changes),
        key=lambda one: (EFFECTS.index(one.effect), TOPICS.index(one.topic)),
    )
    return RightsDifference(tuple(ranked), tuple(outcomes(old, new)))


def _session(found: Changes, old: Session, new: Session) -> None:
    found.differs("session", "session", "name", old.name, new.name)
    found.differs("session", "session", "version", old.version, new.version)
    if (old.salt is None) != (new.salt is None):
        text = "the salt is {}: who may not read the session can {} guess its text by its hash"
        gone = new.salt is None
        words = ("gone", "now") if gone else ("new", "no longer")
        found.add("weaker" if gone else "stronger", "session", "session", text.format(*words))
    found.hidden("session", "session", "namespace_hash", old.namespace_hash, new.namespace_hash)
    stores = [
        "in the CAS" if one.store_in == "cas" else f"in the vault {one.vault}, with {one.token}"
        for one in (old.secret_config, new.secret_config)
    ]
    found.differs("session", "session", "values are stored", stores[0], stores[1])


__all__ = ["EFFECTS", "TOPICS", "Change", "Effect", "RightsDifference", "rights_difference"]
