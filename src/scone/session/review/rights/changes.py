"""Changes, and how they are told apart: what grows is weaker, what shrinks stronger."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

_T = TypeVar("_T", bound=Hashable)
_N = TypeVar("_N")

Effect = Literal["weaker", "changed", "stronger"]
EFFECTS: Final[tuple[Effect, ...]] = ("weaker", "changed", "stronger")
TOPICS: Final = ("access", "code", "platform", "secrets", "volumes", "services", "session")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its effect, its topic, what it is about (`service web`), and what changed."""

    effect: Effect
    topic: str
    subject: str
    text: str


@dataclass(slots=True)
class Changes:
    """The changes found so far."""

    changes: list[Change] = field(default_factory=list)

    def add(self, effect: Effect, topic: str, subject: str, text: str) -> None:
        """Note one."""
        self.changes.append(Change(effect, topic, subject, text))

    def grants(
        self,
        topic: str,
        subject: str,
        old: Iterable[_T],
        new: Iterable[_T],
        *,
        texts: tuple[str, str],
        implies: Callable[[_T, _T], bool] = lambda one, other: one == other,
    ) -> None:
        """What grows from old to new is weaker; `texts` say that one was gained, and lost.

        What one of the other side implies was not gained, or lost.
        """
        before, after = dict.fromkeys(old), dict.fromkeys(new)
        sides: tuple[tuple[Effect, str, dict[_T, None], dict[_T, None]], ...] = (
            ("weaker", texts[0], after, before),
            ("stronger", texts[1], before, after),
        )
        for effect, text, mine, theirs in sides:
            for one in mine:
                if not any(implies(one, other) for other in theirs):
                    self.add(effect, topic, subject, text.format(one))

    def protection(self, topic: str, subject: str, what: str, old: object, new: object) -> None:
        """Something whose absence is weaker; another one is a change. Never shown."""
        if not old and new:
            self.add("stronger", topic, subject, f"{what} is required now")
        elif old and not new:
            self.add("weaker", topic, subject, f"{what} is no longer required")
        elif old != new:
            self.add("changed", topic, subject, f"{what} is another (not shown)")

    def ranked(
        self, topic: str, subject: str, what: str, words: tuple[str, str], order: Sequence[str]
    ) -> None:
        """A word of which there are stricter and weaker ones, the strictest first in `order`."""
        old, new = words
        if old != new:
            weaker = order.index(new) > order.index(old)
            effect: Effect = "weaker" if weaker else "stronger"
            self.add(effect, topic, subject, f"{what}: {old} became {new}")

    def differs(self, topic: str, subject: str, what: str, old: object, new: object) -> None:
        """Values that are shown."""
        if old != new:
            self.add("changed", topic, subject, f"{what}: {_or_none(old)} became {_or_none(new)}")

    def hidden(self, topic: str, subject: str, what: str, old: object, new: object) -> None:
        """Values that are not shown."""
        if old != new:
            how = "is new" if old is None else "is gone" if new is None else "changed (not shown)"
            self.add("changed", topic, subject, f"{what} {how}")


def _or_none(value: object) -> str:
    return "none" if value is None or value in ((), "") else str(value)


def paired(
    old: Iterable[_N], new: Iterable[_N], name: Callable[[_N], str]
) -> Iterator[tuple[str, _N | None, _N | None]]:
    """What has a name, old and new beside each other; those of the new session first."""
    before = {name(item): item for item in old}
    after = {name(item): item for item in new}
    for key in dict.fromkeys((*after, *before)):
        yield key, before.get(key), after.get(key)
