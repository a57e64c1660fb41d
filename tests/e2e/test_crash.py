"""A short form of crash.py (the whole one: `make crash`)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import cas_crash


# `ssl.SSLSocket._create` leaves its socket open where the server is killed just before it.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.e2e
def test_no_acknowledged_session_is_lost_by_kill_9():
    assert cas_crash.run(kills=6) > 20
