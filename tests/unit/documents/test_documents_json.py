"""JSON as a tree: strict, with positions, and where a value stands."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scone.documents import DocumentError, Mapping, Mark, Scalar, Sequence, read_json


def plain(node):
    match node:
        case Mapping():
            return {key.text: plain(value) for key, value in node.entries}
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar(style="plain"):
            return json.loads(node.text)
        case Scalar():
            return node.text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(
            exclude_categories=["Cs"],
            exclude_characters="\0\ufffe\uffff" + "".join(map(chr, range(0x7F, 0xA0))),
        )
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('abc"\\\n', max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, st.booleans(), st.sampled_from([None, 2]))
def test_json_reads_as_the_standard_library_does(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert plain(read_json(text)) == value


@given(st.text('{}[]",:\\0123456789.eE+-truefalsn \n\t\x00', max_size=30))
def test_json_refuses_what_the_standard_library_refuses(text):
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(DocumentError):
            read_json(text)
        return
    with contextlib.suppress(DocumentError):
        read_json(text)
        return
    with pytest.raises(DocumentError, match=r"each key once|U\+0000|levels"):
        read_json(text)


def test_numbers_keep_their_text_and_strings_their_style():
    node = read_json('{"a": 1.50, "b": "x", "c": null}')
    assert [value for _, value in node.entries] == [
        Scalar("1.50", "plain", Mark(1, 7)),
        Scalar("x", "double", Mark(1, 18)),
        Scalar("null", "plain", Mark(1, 28)),
    ]


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        ('{"a":1,"a":2}', Mark(1, 8), "each key once"),
        ('{"a":1,\n "b":}', Mark(2, 6), "a JSON value"),
        ("[1,]", Mark(1, 4), "a JSON value"),
        ("[1 2]", Mark(1, 4), "','"),
        ('{"a" 1}', Mark(1, 6), "':'"),
        ("{a:1}", Mark(1, 2), "double quotes"),
        ('"a', Mark(1, 1), "end quote"),
        ('"\\u0000"', Mark(1, 1), "U+0000"),
        ('"\\ud800"', Mark(1, 1), "U+D800"),
        ("[NaN]", Mark(1, 2), "a JSON value"),
        ("01", Mark(1, 1), "a JSON value"),
        ("1 2", Mark(1, 3), "the end"),
        ("[" * 33, Mark(1, 33), "32 levels"),
        ("", Mark(1, 1), "a JSON value"),
    ],
)
def test_what_is_not_json_is_refused_where_it_stands(text, mark, message):
    with pytest.raises(DocumentError) as caught:
        read_json(text)
    (found,) = caught.value.problems
    assert found.mark == mark
    assert message in found.message


def test_raw_characters_are_those_of_json_and_not_of_yaml():
    assert read_json('"\x7f\x85\ufffe"').text == "\x7f\x85\ufffe"
    for text in ('"\x1f"', '"\ud800"', "\0"):
        with pytest.raises(DocumentError):
            read_json(text)
