"""Data of sessions for property tests: texts that YAML readers trip over, flow style, shuffled keys."""

import json
import re

from hypothesis import strategies as st

from scone.documents import DocumentError
from scone.session import read_session

M = "a5" * 32
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=30)
# Words and characters on which YAML readers disagree with each other or with the reader's eye.
traps = st.sampled_from(
    ["~", "null", "no", "yes", "on", "1e5", "0o17", "017", "1_0", "1:30", ".5", "-", "?", ":", "a: b", "a #b",
     "- a", "...", "---", "{a}", "[a]", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "'", '"', "\\", "a\n",
     "\na", " a", "a ", "a\n\nb", "a\n b", " a\nb", "a\tb", "\ta\n b", "a\r\nb", "a\x85b", "a\u2028b", "\ufeff",
     "\x7f", "\x1b", "=", "<<", "2001-01-01", "0x_", "$V", "", "a:", ":a", "a b:", "a :b", "a, b", "\U0001f600"]
)  # fmt: skip
pieces = st.lists(traps | texts, max_size=3)
values = traps | texts | pieces.map("".join) | pieces.map("\n".join)
names = st.text("abcXYZ019_-.~", min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)


def quoted(text):
    """A JSON string that is also a YAML one: no surrogate pairs, nothing unprintable."""
    raw = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]", lambda c: f"\\u{ord(c[0]):04x}", raw)


def flow(value):
    """Data in flow style with every text quoted."""
    match value:
        case dict():
            return (
                "{" + ", ".join(f"{quoted(key)}: {flow(item)}" for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case str():
            return quoted(value)
        case _:
            return json.dumps(value)


def shuffled(value, order):
    """The same data with the keys of each mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def outcome(text, **options):
    """What reading gives: a session, or its error."""
    try:
        return read_session(text, **options)
    except DocumentError as error:
        return error
