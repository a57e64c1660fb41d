"""The CLI in this process, a state file of its own, and a fake CAS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_fake_cas import Cli, FakeCas, Result, platform

from scone.cli.main import main
from scone.tee.simulation import SimulatedPlatform


@pytest.fixture(scope="session")
def machine() -> SimulatedPlatform:
    return platform()


@pytest.fixture
def cas(machine: SimulatedPlatform) -> Iterator[FakeCas]:
    with FakeCas(machine) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "config.json"


@pytest.fixture
def root_pem(tmp_path: Path, machine: SimulatedPlatform) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(machine.root_certificate_pem)
    return path


@pytest.fixture
def scone(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("SCONE_CLI_CONFIG", str(state))
    monkeypatch.setenv("SCONE_CLI_RETRIES", "0")

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def attested(scone: Cli, cas: FakeCas, root_pem: Path) -> FakeCas:
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert (result.code, result.out) == (0, f"CAS {cas.address} at {cas.url} is trustworthy\n")
    cas.requests.clear()
    return cas
