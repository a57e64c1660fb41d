"""Broken state files: each is refused with its reason and left as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_run import Cli

VECTORS = Path(__file__).parents[2] / "vectors" / "cli_config"
CASES = [line.split("\t") for line in (VECTORS / "expected.tsv").read_text().splitlines()]


def test_there_are_vectors_and_each_has_an_expectation() -> None:
    assert len(CASES) >= 30
    assert {name for name, _ in CASES} == {path.stem for path in VECTORS.glob("*.json")}


@pytest.mark.parametrize(("name", "text"), CASES, ids=[name for name, _ in CASES])
def test_a_broken_state_file_is_refused_and_left_as_it_was(
    scone: Cli, state: Path, name: str, text: str
) -> None:
    state.parent.mkdir()
    shutil.copyfile(VECTORS / f"{name}.json", state)
    state.chmod(0o600)
    before = state.read_bytes()
    command = ["self", "show-key-hash"]
    if name.startswith("cas-") and "-db-" not in name:
        command = ["cas", "list"]
    result = scone(*command)
    assert (result.code, result.out) == (5, "")
    assert text in result.err
    assert result.err.startswith(f"Error: config file {state}: ")
    assert "\nHint: " in result.err
    assert "Traceback" not in result.err
    assert state.read_bytes() == before
