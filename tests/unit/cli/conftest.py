"""The CLI in this process with a state file of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_run import Cli, Result

from scone.cli.main import main


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "config.json"


@pytest.fixture
def scone(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("SCONE_CLI_CONFIG", str(state))

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
