"""Session vectors: accepted files with canonical form and hash, refused ones with place and words."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from scone.documents import DocumentError
from scone.session import (
    canonical_json,
    from_canonical,
    read_session,
    session_hash,
    to_yaml,
)

FOLDER = Path(__file__).parents[2] / "vectors" / "session"
CASES = {
    path.parent.name: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*/case.toml"))
}
ACCEPTED = [name for name, case in CASES.items() if case["expect"] == "ok"]
REFUSED = [name for name, case in CASES.items() if case["expect"] != "ok"]


def text_of(name):
    return (FOLDER / name / "input.yml").read_bytes().decode()


def test_there_are_enough_vectors_and_each_folder_is_one():
    assert len(ACCEPTED) >= 15
    assert len(REFUSED) >= 30
    assert {folder.name for folder in FOLDER.iterdir()} == set(CASES)
    assert all(case["comment"] for case in CASES.values())


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_session_has_this_canonical_form_hash_and_warnings(name):
    case = CASES[name]
    checked = read_session(text_of(name), variables=case.get("variables"))
    canonical = (FOLDER / name / "canonical.json").read_bytes()
    assert canonical_json(checked.session).encode() == canonical
    assert session_hash(checked.session) == case["hash"] == hashlib.sha256(canonical).hexdigest()
    assert [warning.code for warning in checked.warnings] == case["warnings"]
    assert from_canonical(canonical.decode()) == checked.session
    assert read_session(to_yaml(checked.session)).session == checked.session


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_session_says_where_and_why(name):
    case = CASES[name]
    with pytest.raises(DocumentError) as caught:
        read_session(text_of(name), variables=case.get("variables"))
    assert caught.value.code == case["expect"]
    found = [problem for problem in caught.value.problems if problem.path == case["path"]]
    assert [p.mark.line for p in found if case["message"] in str(p)] == [case["line"]]
    for value in case.get("variables", {}).values():
        assert len(value) < 8 or value not in "\n".join(caught.value.messages)


def test_a_normal_form_is_printed_as_it_was():
    assert to_yaml(read_session(text_of("normal-form")).session) == text_of("normal-form")


def test_comments_quotes_and_key_order_do_not_change_the_hash():
    assert CASES["store-in-cas"]["hash"] == CASES["minimal-0-3"]["hash"]
    assert CASES["comments-and-quotes"]["hash"] == CASES["minimal-0-3"]["hash"]


def test_different_meanings_have_different_hashes():
    hashes = [
        case["hash"]
        for name, case in CASES.items()
        if case["expect"] == "ok" and name not in {"comments-and-quotes", "store-in-cas"}
    ]
    assert len(set(hashes)) == len(hashes)
