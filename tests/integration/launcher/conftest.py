"""Fixtures of the launcher's tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from fakes.evidence import NOW, platform
from scone.las.listener import listening
from scone.las.server import Server as LasServer

sys.path.insert(0, str(Path(__file__).parent))

from launcher_world import FakeCas, World


@pytest.fixture(scope="session")
def las_socket(tmp_path_factory):
    path = tmp_path_factory.mktemp("las") / "las.sock"
    with listening(path) as listener:
        server = LasServer(listener, platform(), lambda: NOW)
        server.start()
        yield path
        server.stop()


@pytest.fixture
def cas():
    with FakeCas().running() as running:
        yield running


@pytest.fixture
def world(cas, las_socket, tmp_path):
    return World(cas, las_socket, tmp_path)


@pytest.fixture(scope="session")
def private_mounts():
    """Skip, visibly, where the kernel or the container permits no private mounts."""
    done = subprocess.run(
        [sys.executable, "-c", "from scone.launcher.kernel import *; enter_private_mounts()"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no private mounts here: {done.stderr.splitlines()[-1]}")
