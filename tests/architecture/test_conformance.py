"""docs/conformance.md: every command and option of the program has a row, every row a test.

And each promise of docs/threat-model.md names tests that exist.
"""

import re
from pathlib import Path

import click
import pytest

from scone.cli.main import scone as cli

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "conformance.md").read_text()
PROMISES = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = r"`(tests/[^`:]+\.py)::(\w+)`"
TESTS = re.findall(NAMED, TEXT + PROMISES)


def commands(group, path):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden or name == "help" or path == "scone cas session":
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands(cli, "scone"))


def row_of(path):
    for line in TEXT.splitlines():
        if f"`{path}`" in line.split(" | ")[0]:
            return line
    return None


@pytest.mark.parametrize(
    "path", [path for path, one in COMMANDS.items() if not isinstance(one, click.Group)]
)
def test_each_command_has_a_row_with_all_of_its_options(path):
    row = row_of(path)
    assert row is not None, f"no row for {path}"
    for parameter in COMMANDS[path].params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if "--help" in parameter.opts:
            continue
        missing = [name for name in parameter.opts if f"`{name}`" not in row]
        assert not missing, f"{path}: {missing}"


def test_the_commands_were_found():
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("path", COMMANDS)
def test_no_row_has_an_option_that_the_command_has_not(path):
    row = row_of(path)
    if row is None or row.split(" | ")[0].count("`scone") != 1:  # a row for several commands
        return
    group = COMMANDS.get(path.rpartition(" ")[0])  # its options may stand in the same row
    options = [*COMMANDS[path].params, *(group.params if group else ())]
    known = {name for one in options for name in one.opts}
    named = re.findall(r"`(--?[\w-]+)`", row.split(" | ")[1])
    assert not [name for name in named if name not in known], path


def test_each_promise_of_the_threat_model_names_a_test():
    promises = PROMISES.split("## Promises")[1].split("## What is not promised")[0]
    items = re.split(r"^\d+\. ", promises, flags=re.MULTILINE)[1:]
    assert len(items) > 20
    assert not [item[:60] for item in items if not re.search(NAMED, item)]


@pytest.mark.parametrize(("file", "name"), sorted(set(TESTS)))
def test_each_test_that_a_row_names_exists(file, name):
    source = (ROOT / file).read_text()
    assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{file} has no {name}"


def test_each_row_names_a_test():
    sections = TEXT.split("### Decided once")
    rest = sections[1].split("## CAS", 1)[1]
    rows = [
        line
        for line in (sections[0] + rest).splitlines()
        if line.startswith("| ") and not line.startswith(("| command", "| feature", "| construct"))
    ]
    assert len(rows) > 50
    assert not [line for line in rows if "`tests/" not in line]
