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


MENDABLE = "default-dangling"  # a warning: see below
BROKEN = [case for case in CASES if case[0] != MENDABLE]


@pytest.mark.parametrize(("name", "text"), BROKEN, ids=[name for name, _ in BROKEN])
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


def test_a_default_that_names_no_entry_is_none_and_told_once(scone: Cli, state: Path) -> None:
    state.parent.mkdir()
    shutil.copyfile(VECTORS / f"{MENDABLE}.json", state)
    state.chmod(0o600)
    result = scone("session", "read", "x")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("Warning: ") == 1
    assert dict(CASES)[MENDABLE] in result.err
    assert "move it away" not in result.err


def test_a_fault_in_one_key_is_to_be_corrected_and_no_reason_for_a_new_identity(
    scone: Cli, state: Path
) -> None:
    state.parent.mkdir()
    shutil.copyfile(VECTORS / "cas-epoch-text.json", state)
    state.chmod(0o600)
    told = scone("cas", "list").err
    assert "Correct it there" in told
    assert "new identity" not in told
    shutil.copyfile(VECTORS / "not-json.json", state)
    assert "new identity" in scone("cas", "list").err
