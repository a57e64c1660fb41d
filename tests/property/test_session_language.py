"""Properties of the session language: total on any text, one hash per meaning, no text lost."""

import random

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fakes.session_data import M, characters, flow, names, outcome, shuffled, values
from scone.session import (
    Checked,
    canonical_json,
    differences,
    from_canonical,
    read_session,
    session_hash,
    to_yaml,
)
from scone.session.reading.fields import SECTIONS

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
