"""One simulated platform for all tests of a module; a provisioned CAS for those that need one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness


@pytest.fixture(scope="session")
def platform():
    return harness.make_platform()


@pytest.fixture(scope="session")
def owner():
    return harness.identity()


@pytest.fixture(scope="session")
def stranger():
    return harness.identity()


@pytest.fixture
def fresh(tmp_path, platform):
    """An unprovisioned CAS."""
    with harness.running_cas(tmp_path, platform) as running:
        yield running


@pytest.fixture
def cas(fresh, owner):
    """A provisioned CAS; only its owner creates sessions at the root."""
    status, answer = harness.provision(fresh, owner)
    assert status == 200, answer
    return fresh
