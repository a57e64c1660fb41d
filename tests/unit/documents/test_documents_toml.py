"""TOML as the same tree, without positions."""

import pytest

from scone.documents import DocumentError, Mapping, Scalar, Sequence, read_toml


def test_values_become_text_with_the_style_of_their_type():
    node = read_toml('a = "x"\nb = 0o400\nc = true\nd = [1.5]\n[e]\nf = 1979-05-27\n')
    found = {key.text: value for key, value in node.entries}
    assert found["a"] == Scalar("x", "double", None)
    assert found["b"] == Scalar("256", "plain", None)
    assert found["c"] == Scalar("true", "plain", None)
    assert found["d"] == Sequence((Scalar("1.5", "plain", None),), None)
    assert found["e"] == Mapping(
        ((Scalar("f", "double", None), Scalar("1979-05-27", "plain", None)),), None
    )


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
