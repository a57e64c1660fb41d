"""Excerpts: the line with a caret, and nothing that may be secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scone.documents import DocumentError, Mark, Problem
from scone.session import read_session
from scone.session.editing.excerpts import MAX_WIDTH, excerpts
from scone.session.reading.fields import SECTIONS

SECRET = "hunter2"


def at(text, line, column=1):
    return excerpts(text)(Problem("f", Mark(line, column), "", "m"))


def test_the_caret_stands_under_the_column():
    assert at("name: x\nsize: 5\n", 2, 7) == "    2 | size: 5\n      |       ^"
    assert at("name: x\n", 1, 1) == "    1 | name: x\n      | ^"
    assert excerpts("name: x")(Problem("f", None, "", "m")) == ""
    assert at("name: x", 7) == ""


def test_tabs_and_wide_characters_keep_the_caret_in_place():
    line, caret = at('dns: ["\tx", b]', 1, 13).splitlines()
    assert line == '    1 | dns: [" x", b]'
    assert line[caret.index("^")] == "b"
    line, caret = at('dns: ["日本", b]', 1, 13).splitlines()
    assert line == '    1 | dns: ["日本", b]'
    assert caret == "      | " + " " * 14 + "^"


@pytest.mark.parametrize("column", [1, 7, 150, 400])
def test_a_long_line_is_cut_around_its_column(column):
    line, caret = at("name: " + "abcdefghij" * 50, 1, column).splitlines()
    assert len(line) <= MAX_WIDTH
    assert len(caret) <= len(line)
    source = "name: " + "abcdefghij" * 50
    assert line[len(caret) - 1] == source[column - 1]
    assert line.endswith("…")


HIDDEN = [
    "secrets:\n- name: x\n  value: S",
    "secrets:\n- name: x\n  valeu: S",
    "secrets:\n- {name: x, value: S, kind: y}",
    "secrets:\n- S",
    "secrets: S",
    "S",
    "secrets:\n- application_secret: S",
    "secrets:\n- private_key: |\n    x\n    S",
    "secrets:\n- payload:\n    claim: S",
    "secrets:\n- import_akv:\n    token: S",
    "secrets:\n- value: [a,\n   S]",
    "services:\n- command: S",
    "services:\n- command:\n  - a\n  - S",
    "services:\n- command: a\n    S",
    "services:\n- environment:\n    NAME: S",
    "services:\n- environment: {A: b, C: S}",
    "services:\n- fspf_key: S",
    "services:\n- one_time_password_shared_secret: S",
    "security:\n  service_access_token: S",
    "images:\n- injection_files:\n  - path: /x\n    content: S",
    "images:\n- injection_files:\n  - path: /x\n    content: |\n      name: S",
    "name: x # S",
    "# S",
    'services:\n- environment: {A: "x\n    S"}',
    "value: S",
    "environmnt:\n  name: S",
    "salt: S",
    "secrets:\n- value: {S}",
    "secrets:\n- value: {S: x, y: S}",
    "secrets:\n- value:\n    S: x",
    "services:\n- fspf_key: {S: x}",
    "services:\n- environment: {A: {S: x}}",
    "secrets:\n- valeu: {S: x}",
    "security:\n  service_access_token: [{S: x}]",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_no_secret_is_shown_whatever_line_is_asked_for(text):
    text = text.replace("S", SECRET)
    for broken in (text, text + "\n\tx: [", '"\n' + text):
        excerpt = excerpts(broken)
        for number in range(1, broken.count("\n") + 2):
            for column in (1, 5, 30):
                assert SECRET not in excerpt(Problem("f", Mark(number, column), "", "m"))


def test_the_key_of_a_hidden_value_is_shown():
    assert at("secrets:\n- value: S3", 2, 10) == "    2 | - value: …\n      |          ^"
    assert at("secrets:\n- value: 'S3", 2, 10).splitlines()[0] == "    2 | - value: …"


def test_names_of_an_environment_are_shown():
    assert at("services:\n- environment: {A: S3}", 2, 17).splitlines()[0] == (
        "    2 | - environment: {A: …"
    )


def test_a_wrong_salt_is_not_repeated():
    with pytest.raises(DocumentError) as error:
        read_session(f"version: 0.3.12\nname: x\nsalt: {SECRET}\n")
    assert "salt: expected a salt of 32 hex digits" in str(error.value.problems[0])
    assert SECRET not in str(error.value.messages)


def test_a_variable_is_shown_by_name():
    assert at("name: $X", 1, 7).startswith("    1 | name: $X\n")


KEYS = st.sampled_from(sorted({key for section in SECTIONS.values() for key in section}))
SECRETS = st.sampled_from(["value", "command", "content", "fspf_key", "token", "oops"])
VALUES = st.sampled_from(
    [SECRET, f'"{SECRET}"', f"|\n      {SECRET}", f"[a, {SECRET}]", f"{{name: {SECRET}}}"]
)


@given(st.lists(st.tuples(KEYS, st.sampled_from(["1", "x", '"y"'])), max_size=4), SECRETS, VALUES)
def test_problems_of_any_file_do_not_show_a_secret(around, key, value):
    lines = [f"  {name}: {text}" for name, text in around]
    text = "version: 0.3\nname: x\nservices:\n-\n" + "\n".join([*lines, f"  {key}: {value}"])
    excerpt = excerpts(text)
    try:
        found = read_session(text).warnings
    except DocumentError as error:
        found = error.problems
    assert found or key in {"command", "fspf_key"}
    assert all(SECRET not in excerpt(problem) for problem in found)


def test_a_line_that_has_nothing_to_show_gives_no_excerpt():
    for text in ('a: b\n  c: "x', "", 'version: "0.3"\nname: s\nsecrets: [\n{hunter2: x]\n'):
        with pytest.raises(DocumentError) as caught:
            read_session(text)
        assert excerpts(text)(caught.value.problems[0]) == ""
