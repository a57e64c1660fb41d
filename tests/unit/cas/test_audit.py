"""The unsigned audit log: lines on disk, bounds for what anybody can cause, a file that is closed."""

import gc
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from scone.cas import audit
from scone.cas.audit import LINES_A_MINUTE, FileAuditLog
from scone.errors import StateError


class Clock:
    def __init__(self):
        self.time = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)

    def __call__(self):
        return self.time

    def forward(self, seconds):
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(tmp_path, clock):
    found = FileAuditLog(tmp_path / "audit.log", clock)
    yield found
    found.close()


@pytest.fixture
def entries(tmp_path):
    def read():
        lines = (tmp_path / "audit.log").read_text().splitlines()
        return [
            {name: value for name, value in json.loads(line).items() if name != "time"}
            for line in lines
        ]

    return read


def many(log, count, session="s", **more):
    for _ in range(count):
        log.append_bounded("session_read", session=session, identity="anonymous", **more)


READ = {"event": "session_read", "session": "s", "identity": "anonymous"}
MISSING = {"event": "events_left_out", "of": "session_read", "session": "s"}


def test_beyond_its_bound_an_event_is_counted_and_the_log_says_so(log, clock, entries):
    many(log, LINES_A_MINUTE)
    assert entries() == [READ] * LINES_A_MINUTE
    many(log, 1000)
    assert entries()[LINES_A_MINUTE:] == [MISSING]
    clock.forward(60)
    many(log, 1)
    assert entries()[LINES_A_MINUTE:] == [MISSING, {**MISSING, "count": 1000}, READ]


def test_any_later_event_and_the_end_tell_what_was_left_out(log, clock, entries):
    many(log, LINES_A_MINUTE + 3)
    clock.forward(60)
    log.append("config_updated")
    assert entries()[-2:] == [{**MISSING, "count": 3}, {"event": "config_updated"}]
    many(log, LINES_A_MINUTE + 2)
    log.settle()  # as an owner does who turns the log off
    assert entries()[-1] == {**MISSING, "count": 2}
    many(log, LINES_A_MINUTE + 2)
    log.close()
    assert entries()[-1] == {**MISSING, "count": 2}


def test_one_session_or_service_takes_no_line_of_another(log, entries):
    many(log, LINES_A_MINUTE + 1)
    many(log, 1, session="other")
    log.append_bounded("session_hash_read", session="s", identity="anonymous")
    for service in ("a", "b"):
        log.append_bounded("service_attested", session="s", service=service)
    assert [entry["event"] for entry in entries()[-4:]] == [
        "session_read",
        "session_hash_read",
        "service_attested",
        "service_attested",
    ]


def test_the_service_is_named_of_which_starts_are_left_out(log, entries):
    for _ in range(LINES_A_MINUTE + 1):
        log.append_bounded("service_attested", session="s", service="a")
    wanted = {"of": "service_attested", "session": "s", "service": "a"}
    assert entries()[-1] == {"event": "events_left_out", **wanted}


def test_what_is_not_bounded_has_a_line_each_time(log, entries):
    for _ in range(LINES_A_MINUTE * 3):
        log.append("session_read", session="s", identity="known")
    assert len(entries()) == LINES_A_MINUTE * 3


def test_a_clock_that_goes_back_hides_nothing(log, clock, entries):
    many(log, LINES_A_MINUTE + 5)
    clock.forward(-3600)
    log.append("config_updated")
    assert {**MISSING, "count": 5} in entries()


def test_the_file_is_closed_with_the_last_who_can_write(tmp_path, clock, monkeypatch):
    closed = []
    close = os.close
    monkeypatch.setattr(audit.os, "close", lambda file: (closed.append(file), close(file)))
    log = FileAuditLog(tmp_path / "audit.log", clock)
    still_used = log.append
    del log
    gc.collect()
    still_used("session_read", session="s")
    assert closed == []
    del still_used
    gc.collect()
    assert len(closed) == 1


def test_after_its_end_nothing_is_written_into_another_file(log, tmp_path):
    log.close()
    with open(tmp_path / "other", "wb") as other:
        with pytest.raises(StateError, match="cannot write the audit log"):
            log.append("config_updated")
        assert other.tell() == 0
    log.close()
