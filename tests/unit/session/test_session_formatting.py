"""`format_session`: one layout, the same meaning, no comment lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scone.documents import DocumentError, Mapping, Scalar, read_yaml
from scone.session import read_session, session_hash
from scone.session.editing.formatting import format_session
from scone.session.reading.fields import SECTIONS

BEFORE = """\
# head

version: "0.3"   # of the language
name: 'demo'
services:
# about web
- command: "run $$SCONE::a$$"   # command

  # the name
  name: web
  environment: {B: "x", A: '1', C: $V}
  mrenclaves: ["aaaa"] # list


# about secrets
secrets:
    - { kind: ascii, name: a }
    - kind: binary
      name: b
      value: |  # literal
          line # no comment
            more
      # below b

    # - name: z
secret_config:
   store_in: !akv
     token: $$SCONE::x$$
     vault: "https://x # y"
images:
  - injection_files:
     - content: >-
           folded text
           here

           again
       path: /x
# end
"""
AFTER = """\
# head

version: "0.3" # of the language
name: demo

# about secrets
secrets:
  - {name: a, kind: ascii}
  - name: b
    kind: binary
    value: | # literal
      line # no comment
        more
    # below b

  # - name: z
images:
  - injection_files:
      - path: /x
        content: >-
          folded text
          here

          again
services:
  # about web
  # the name
  - name: web
    command: run $$SCONE::a$$ # command
    environment: {B: x, A: "1", C: $V}
    mrenclaves: [aaaa] # list
secret_config:
  store_in: !akv
    vault: "https://x # y"
    token: $$SCONE::x$$
# end
"""


def test_a_file_gets_its_layout_and_keeps_its_comments():
    assert format_session(BEFORE) == AFTER
    assert format_session(AFTER) == AFTER
    assert format_session("\ufeff" + BEFORE.replace("\n", "\r\n")) == AFTER


def test_other_letters_keep_comments_in_their_places():
    text = '# é😀\nname: "😀 é" # ü\nx: |\n  😀 # no\ny: "日本" # 日\n'
    made = "# é😀\nname: 😀 é # ü\nx: |\n  😀 # no\ny: 日本 # 日\n"
    assert format_session(text) == made == format_session(made)


def test_a_folded_text_may_end_the_file_without_a_line_end():
    assert format_session("name: >\n a") == "name: >-\n  a\n"


@pytest.mark.parametrize("between", ["", "\n", "\n# a\n"])
def test_what_stands_above_the_first_key_stays_at_the_top(between):
    head = f"# yaml-language-server: $schema=./x.json\n{between}"
    made = f"{head}\n# b\nname: demo\nservices: []\n".replace("\n\n\n", "\n\n")
    assert format_session(f"{head}services: []\n\n# b\nname: demo\n") == made
    assert format_session(made) == made


def line(value):
    return format_session(f"name: {value}\n").removeprefix("name:").strip()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a b"', "a b"),
        ("'a: b'", '"a: b"'),
        ("'a #b'", '"a #b"'),
        ('"yes"', '"yes"'),
        ('"0.3"', '"0.3"'),
        ('"1e5"', '"1e5"'),
        ('"null"', '"null"'),
        ('"~"', '"~"'),
        ('""', '""'),
        ('"2026-01-01"', '"2026-01-01"'),
        ('" a"', '" a"'),
        ('"$V"', '"$V"'),
        ("$V", "$V"),
        ("'${V}'", '"${V}"'),
        ("'x-$V'", "x-$V"),
        ("'say \"hi\" \\'", 'say "hi" \\'),
        ("'\"hi\" \\'", "'\"hi\" \\'"),
        ('"\\"it\'s\\""', '"\\"it\'s\\""'),
        ('"\\u2028\\x07"', '"\\u2028\\u0007"'),
        ("'- a'", '"- a"'),
        ("!akv {}", "!akv {}"),
        ("", ""),
        ("~", "~"),
        ("a\n  b", "a b"),
        ("'a\n\n  b'", '"a\\nb"'),
        ("[a, # c\n  b]", "- a # c\n  - b"),
        ("[" + "a" * 60 + ", " + "b" * 60 + "]", "\n  - " + "a" * 60 + "\n  - " + "b" * 60),
        ("|2\n    a\n", "|2\n    a"),
        ("|+\n  a\n\n", "|+\n  a"),
        (">+\n  a\n\n", '"a\\n\\n\\n"'),
        (">\n    a  \n    b\n", ">\n  a  \n  b"),
        ("{a: !cas }", "\n  a: !cas"),
        ("{a: {}, b: []}", "{a: {}, b: []}"),
    ],
)
def test_scalars(written, expected):
    assert line(written) == expected.strip()


def test_of_two_comments_beside_brackets_one_goes_above():
    assert format_session("name: [ # c\n  ] # d\n") == "# d\nname: [] # c\n"


@pytest.mark.parametrize("text", ["", "a", "- a", "a: &x b", "a: [", "a: 1\n--- \nb: 2", "a: !x b"])
def test_what_is_no_session_file_is_refused(text):
    with pytest.raises(DocumentError):
        format_session(text)


def test_a_change_of_meaning_is_refused(monkeypatch):
    monkeypatch.setattr("scone.session.editing.formatting._scalar", lambda _: "x")
    with pytest.raises(DocumentError, match="without changing what it says"):
        format_session("name: demo\n")


def test_a_lost_comment_is_refused(monkeypatch):
    monkeypatch.setattr("scone.session.editing.formatting._comments", lambda *_, **__: iter(()))
    with pytest.raises(DocumentError, match="without changing what it says"):
        format_session("# a\nname: demo\n")


def test_the_documentations_files_keep_their_hash(documented):
    formatted = same = 0
    for path in sorted(documented.glob("*.yml")):
        text = path.read_text()
        try:
            made = format_session(text)
        except DocumentError:
            with pytest.raises(DocumentError):
                read_session(text, variables={})
            continue
        assert format_session(made) == made, path
        formatted += 1
        try:
            before = read_session(text).session
        except DocumentError:
            continue
        assert session_hash(read_session(made).session) == session_hash(before), path
        same += 1
    assert formatted > 50
    assert same >= 10


TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.sampled_from(["a", "yes", "~", "$V", "a b", "# x", "x # y", "a\nb\n", " a\n", "1", "!akv"]),
)
KEYS = st.one_of(
    st.sampled_from(sorted({key for section in SECTIONS.values() for key in section})), TEXTS
)
VALUES = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
COMMENTS = st.sampled_from(["", "", "", "# c", "   # d", "", "      # e"])


def block(value, indent, draw):
    """YAML in block style, with comments drawn between the lines."""
    pad = " " * indent
    entries = value.items() if isinstance(value, dict) else ((None, one) for one in value)
    for key, inner in entries:
        before = draw(COMMENTS)
        if before or draw(st.booleans()):
            yield before
        head = f"{pad}-" if key is None else f"{pad}{json.dumps(key)}:"
        if isinstance(inner, str) or not inner or draw(st.integers(0, 3)) == 0:
            beside = " # f" if draw(st.integers(0, 3)) == 0 else ""
            yield f"{head} {json.dumps(inner)}{beside}"
        else:
            yield head + (" # g" if draw(st.integers(0, 3)) == 0 else "")
            yield from block(inner, indent + draw(st.integers(1, 4)), draw)


@given(st.data())
def test_any_file_is_formatted_once_and_means_the_same(data):
    value = data.draw(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
    text = "\n".join(block(value, 0, data.draw)) + "\n" + data.draw(COMMENTS)
    try:
        before = read_yaml(text)
    except DocumentError:  # <<, NUL and surrogates
        return
    made = format_session(text)
    assert format_session(made) == made
    assert plain(read_yaml(made)) == plain(before) == value
    for comment in ("# c", "# d", "# e", "# f", "# g"):
        assert made.count(comment) >= text.count(comment)


def plain(node):
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Mapping):
        return {key.text: plain(one) for key, one in node.entries}
    return [plain(one) for one in node.items]
