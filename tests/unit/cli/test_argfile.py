"""Argument files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_run import Cli

from scone.cli.argfile import expand
from scone.errors import UsageError


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return f"@{path}"


def test_one_argument_a_line_other_files_included(tmp_path: Path) -> None:
    inner = write(tmp_path / "inner", "with space", "", "-x")
    outer = write(tmp_path / "outer", "first", inner, "last")
    assert expand(["a", outer, "b"]) == ["a", "first", "with space", "-x", "last", "b"]


def test_windows_line_ends_are_not_part_of_an_argument(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\r\ntwo")
    assert expand([f"@{path}"]) == ["one", "two"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["register-backup", "@@3"],
        ["@@3", "@@"],
        ["--token", "@/nonexistent"],
        ["--database-key", "@/nonexistent"],
        ["-e", "@/nonexistent"],
        ["--token=@/nonexistent"],
        ["--", "@/nonexistent"],
        ["user@host"],
    ],
)
def test_what_is_no_argument_file_is_left_alone(arguments: list[str]) -> None:
    assert expand(arguments) == arguments


def test_an_option_in_a_file_keeps_its_value_on_the_next_line(tmp_path: Path) -> None:
    assert expand([write(tmp_path / "file", "--token", "@secret")]) == ["--token", "@secret"]


@pytest.mark.parametrize(
    "content",
    [None, b"\xff\xfe", b"a\0b", b"x" * (1024 * 1024 + 1), b"a\n" * 10_001],
    ids=["absent", "not UTF-8", "NUL", "too large", "too many"],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="argument file"):
        expand([f"@{path}"])


def test_a_file_that_names_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UsageError, match="more than 8 argument files inside each other"):
        expand([write(path, f"@{path}")])


def test_the_program_expands_them(scone: Cli, tmp_path: Path) -> None:
    result = scone("self", write(tmp_path / "file", "show-key-hash", "--json"))
    assert result.code == 0
    assert '"key_hash"' in result.out
    assert scone("self", "@/nonexistent").code == 2
