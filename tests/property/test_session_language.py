"""Properties of the session language: total on any text, one hash per meaning, no text lost."""

import json
import random
import re

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from scone.documents import DocumentError
from scone.session import (
    Checked,
    canonical_json,
    differences,
    from_canonical,
    read_session,
    session_hash,
    to_yaml,
)
from scone.session.fields import SECTIONS

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
variable_names = st.text(characters, min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and not {"=", "@", "$"} & set(name)
)
without_placeholders = values.map(lambda text: text.replace("SCONE", ""))
KINDS = (
    ({"kind": "ascii"}, ""),
    ({"kind": "ascii", "size": 7}, ""),
    ({"kind": "binary", "size": 32}, ":hex"),
    ({"kind": "private-key", "key_type": "P-384"}, ":pem"),
)


@st.composite
def sessions(draw):
    """Data of a session that must be accepted."""
    secrets, placeholders = [], [""]
    for name in draw(st.lists(names, unique=True, max_size=3)):
        kind, form = draw(st.sampled_from(KINDS))
        secrets.append({"name": name} | kind)
        placeholders.append(f"$$SCONE::{name}{form}$$")
        if kind == {"kind": "ascii"} and draw(st.booleans()):
            secrets[-1]["value"] = draw(values)

    def content():
        return draw(without_placeholders) + draw(st.sampled_from(placeholders))

    services = [
        {
            "name": name,
            "mrenclaves": [M],
            "environment": {
                key: content() for key in draw(st.lists(variable_names, unique=True, max_size=3))
            },
            "command": [
                "./a",
                *(f"-{word}" for word in draw(st.lists(without_placeholders, max_size=2))),
            ],
        }
        for name in draw(st.lists(names, unique=True, max_size=2))
    ]
    images = [
        {
            "name": name,
            "injection_files": [
                {"path": f"/f{number}", "content": content(), "permission": "0o400"}
                for number in range(draw(st.integers(0, 2)))
            ],
        }
        for name in draw(st.lists(names, unique=True, max_size=2))
    ]
    return {
        "version": draw(st.sampled_from(["0.3", "0.3.10", "0.3.12"])),
        "name": draw(names),
        "predecessor": draw(st.sampled_from([None, "cd" * 32])),
        "secrets": secrets,
        "services": services,
        "images": images,
        "access_policy": {"read": draw(st.sampled_from(["ANY", ["CREATOR"], ["NONE"]]))},
    }


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


@given(
    st.text(max_size=200)
    | st.text("version: 03\"'name-[]{}&*!|>#%@,\n\t $~", max_size=60).map(
        'version: "0.3"\n'.__add__
    )
)
def test_any_text_is_a_checked_session_or_a_document_error(text):
    for variables in (None, {"V": "x"}):
        found = outcome(text, variables=variables)
        if not isinstance(found, Checked):
            assert found.problems
            assert all("\n" not in message for message in found.messages)


KEYS = sorted({key for fields in SECTIONS.values() for key in fields})
structures = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | values
    | st.sampled_from([M, "0.3", "0.2", "$$SCONE::x$$", "ascii", "x509", "ANY"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(structures, st.sampled_from(["0.2", "0.3", "0.3.12"]))
def test_any_structure_is_a_checked_session_or_a_document_error(value, version):
    document = value if isinstance(value, dict) else {"services": value}
    found = outcome(flow(document | {"version": version, "name": "s"}))
    if isinstance(found, Checked):
        assert read_session(to_yaml(found.session)).session == found.session
    else:
        assert found.problems


@given(sessions(), st.integers())
def test_an_accepted_session_keeps_its_hash_through_every_form(data, seed):
    session = read_session(flow(data)).session
    digest = session_hash(session)
    assert from_canonical(canonical_json(session)) == session
    normal = to_yaml(session)
    assert read_session(normal).session == session
    assert to_yaml(read_session(normal).session) == normal
    other = shuffled(data, random.Random(seed))
    for text in (flow(other), "# x\n" + yaml.dump(other, Dumper=yaml.CSafeDumper, sort_keys=False)):
        assert session_hash(read_session(text).session) == digest
    assert differences(session, read_session(normal).session) == []


@given(values)
@example("a\n\n")
@example("\n")
@example(" ")
def test_the_normal_form_keeps_every_text_for_other_yaml_readers_too(text):
    data = {
        "version": "0.3",
        "name": "s",
        "secrets": [{"name": "x", "kind": "ascii", "value": text}],
    }
    normal = to_yaml(read_session(flow(data)).session)
    assert yaml.safe_load(normal)["secrets"][0]["value"] == text


@given(values, values)
def test_different_values_have_different_hashes(one, other):
    data = {
        "version": "0.3",
        "name": "s",
        "secrets": [{"name": "x", "kind": "ascii", "value": one}],
    }
    first = session_hash(read_session(flow(data)).session)
    data["secrets"][0]["value"] = other
    assert (session_hash(read_session(flow(data)).session) == first) == (one == other)
