"""SIGKILL in a loop, a short one; `crash.py --kills 200` is the long one."""

from __future__ import annotations

from crash import run


def test_nothing_acknowledged_is_lost_when_the_process_is_killed() -> None:
    seen, problems = run(kills=20, seed=7)
    assert problems == []
    assert seen.acknowledged > 100
    assert seen.commit_number > 20
    assert seen.epoch > 1
