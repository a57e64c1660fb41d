"""YAML as a tree: source text kept, positions right, everything beyond the subset refused."""

import pytest
import yaml

from scone.documents import DocumentError, Mapping, Mark, Scalar, Sequence, read_yaml, yaml_text


def problem(text):
    with pytest.raises(DocumentError) as caught:
        read_yaml(text, "f.yml")
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    "word", ["1e5", "no", "0o400", "0700", "1" * 64, "2020-01-01", "0x1F", "1:30"]
)
def test_a_plain_scalar_keeps_its_source_text(word):
    node = read_yaml(f"key: {word}")
    assert node.entries[0][1] == Scalar(word, "plain", Mark(1, 6))


@pytest.mark.parametrize(
    ("text", "is_null"),
    [
        ("~", True),
        ("null", True),
        ("Null", True),
        ("NULL", True),
        ("", True),
        ('"~"', False),
        ("'null'", False),
        ('""', False),
        ("nULL", False),
    ],
)
def test_only_unquoted_words_for_null_are_null(text, is_null):
    assert read_yaml(f"key: {text}").entries[0][1].is_null is is_null


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("a", "plain", "a"),
        ("'a'", "single", "a"),
        ('"a\\n"', "double", "a\n"),
        ("|\n  a\n  b\n", "literal", "a\nb\n"),
        (">\n  a\n  b\n", "folded", "a b\n"),
    ],
)
def test_scalars_know_how_they_were_written(text, style, value):
    node = read_yaml(f"key: {text}").entries[0][1]
    assert (node.style, node.text) == (style, value)


def test_structure_and_positions_are_those_of_the_text():
    node = read_yaml("a:\n- x\n- {b: 'ü c'}\n")
    assert isinstance(node, Mapping)
    assert node.mark == Mark(1, 1)
    items = node.entries[0][1]
    assert isinstance(items, Sequence)
    assert items.mark == Mark(2, 1)
    assert items.items[0].mark == Mark(2, 3)
    assert items.items[1].entries[0][1] == Scalar("ü c", "single", Mark(3, 7))


def test_an_empty_text_is_null():
    assert read_yaml("# only a comment\n").is_null
    assert read_yaml("").is_null


def test_a_byte_order_mark_is_not_content():
    assert read_yaml("\ufeffa: b").entries[0][0].text == "a"


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        ("a: &x 1", Mark(1, 4), "anchor"),
        ("a: [*x]", Mark(1, 5), "alias"),
        ("a: !!str 1", Mark(1, 4), "tag"),
        ("a: ! 1", Mark(1, 4), "tag"),
        ("a: !x {}", Mark(1, 4), "tag"),
        ("a: 1\n<<: {b: 2}", Mark(2, 1), "merge key"),
        ("a: 1\nb: 2\n'a': 3", Mark(3, 1), "each key once"),
        ("a: 1\n---\nb: 2", Mark(2, 1), "one document"),
        ("? [a]\n: b", Mark(1, 3), "key"),
        ("%YAML 1.1\n---\na: b", Mark(1, 1), "directive"),
        ("a: b: c", Mark(1, 5), "mapping values"),
        ("a: 'b", Mark(1, 6), "quoted scalar"),
        ('a: "\\q"', Mark(1, 6), "escape"),
        ("a: \x1b", Mark(1, 4), "U+001B"),
        ("a:\n  \x85\x80", Mark(2, 4), "U+0080"),
        ("x: 1\na: \ud800", Mark(2, 4), "surrogate"),
        ('a: "\\0"', Mark(1, 4), "U+0000"),
        ("a:\n\t- b", Mark(2, 1), "cannot start any token"),
        ("[" * 33 + "]" * 33, Mark(1, 33), "32 levels"),
    ],
)
@pytest.mark.parametrize("loader", ["CBaseLoader", "BaseLoader"])
def test_what_is_outside_the_subset_is_refused_where_it_stands(
    monkeypatch, loader, text, mark, message
):
    monkeypatch.setattr(yaml_text, "_LOADER", getattr(yaml, loader))
    found = problem(text)
    assert message in found.message
    assert found.source == "f.yml"
    if "quoted" not in message:  # the two parsers place the end of a text differently
        assert found.mark.line == mark.line
    if loader == "CBaseLoader" and "quoted" not in message and "escape" not in message:
        assert found.mark == mark


def test_a_quoted_merge_key_is_a_word():
    assert read_yaml('"<<": 1').entries[0][0].text == "<<"


def test_a_tab_gets_a_hint():
    assert problem("a:\n\t- b").hint == "indent with spaces, not tabs"


def test_more_than_a_mebibyte_is_refused_before_parsing():
    assert "1048576 bytes" in problem("#" * (1024 * 1024 + 1)).message
    assert "1048576 bytes" in problem("#" + "ü" * (512 * 1024)).message
    assert read_yaml("#" * 1024 * 1024).is_null


@pytest.mark.parametrize("text", ['a: "\\U00110000"', 'a: "\\ud800"', 'a: "\\xZZ"'])
@pytest.mark.parametrize("loader", ["CBaseLoader", "BaseLoader"])
def test_escapes_that_are_no_characters_are_refused(monkeypatch, loader, text):
    monkeypatch.setattr(yaml_text, "_LOADER", getattr(yaml, loader))
    assert problem(text).message


def test_one_line_for_each_problem_names_source_place_and_path():
    with pytest.raises(DocumentError) as caught:
        read_yaml("a: 1\na: 2", "f.yml")
    assert caught.value.messages == (
        "f.yml: expected each key once, got 'a' again at line 2 column 1",
    )
    assert caught.value.code == "malformed"
