"""SIGKILL in a loop, a short one; `crash.py --kills 200` is the long one."""

from __future__ import annotations

from crash import Seen, run


def test_nothing_acknowledged_is_lost_when_the_process_is_killed() -> None:
    seen, problems = run(kills=20, seed=7, enough=saw_enough)
    assert problems == []
    assert saw_enough(seen)


def saw_enough(seen: Seen) -> bool:
    return seen.acknowledged > 100 and seen.commit_number > 20 and seen.epoch > 1
