"""TOML as the same tree, with the positions that its lines show."""

import pytest

from scone.documents import DocumentError, Mapping, Mark, Scalar, Sequence
from scone.documents.toml_text import read_toml


def test_values_become_text_with_the_style_of_their_type():
    node = read_toml('a = "x"\nb = 0o400\nc = true\nd = [1.5]\n[e]\nf = 1979-05-27\n')
    found = {key.text: value for key, value in node.entries}
    assert found["a"] == Scalar("x", "double", Mark(1, 5))
    assert found["b"] == Scalar("256", "plain", Mark(2, 5))
    assert found["c"] == Scalar("true", "plain", Mark(3, 5))
    assert found["d"] == Sequence((Scalar("1.5", "plain", Mark(4, 5)),), Mark(4, 5))
    entry = (Scalar("f", "double", Mark(6, 1)), Scalar("1979-05-27", "plain", Mark(6, 5)))
    assert found["e"] == Mapping((entry,), Mark(5, 2))


@pytest.mark.parametrize(
    ("text", "path", "mark"),
    [
        ("\n  k = 1", ("k",), Mark(2, 3)),
        ("[ a . b ]\nk=1", ("a", "b", "k"), Mark(2, 1)),
        ("a.\"b\".'c' = 1", ("a", "b", "c"), Mark(1, 1)),
        ('t = """\nk = 2\n"""\nk = 1', ("k",), Mark(4, 1)),
        ("t = '''\nk = 2\n'''\nk = 1", ("k",), Mark(4, 1)),
        ("a = 1\r\nk = 1", ("k",), Mark(2, 1)),
        ("i = { k = 1 }", ("i", "k"), Mark(1, 5)),
        ("[[l]]\nk = 1", ("l", "k"), None),
    ],
)
def test_a_key_stands_where_its_line_begins(text, path, mark):
    node = read_toml(text)
    for name in path:
        while isinstance(node, Sequence):
            node = node.items[0]
        key, node = next(entry for entry in node.entries if entry[0].text == name)
    assert key.mark == mark


def test_an_empty_string_is_not_null():
    assert not read_toml('a = ""').entries[0][1].is_null


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = \n", "line 1 column 5"),
        ("a = 1\na = 2", "line 2"),
        ('a = "\\u0000"', "U+0000"),
        ("a = " + "[" * 40 + "]" * 40, "levels"),
        ("a = " + "[" * 5000, "levels"),
        ("a = \x1b", "U+001B"),
    ],
)
def test_what_is_not_toml_is_refused(text, message):
    with pytest.raises(DocumentError) as caught:
        read_toml(text, "f.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("f.toml: ")
