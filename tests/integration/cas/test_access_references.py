"""Secrets in access policies: of the session, of others, of a fragment for the whole section."""

import harness
import pytest
from harness import create, read

from scone.crypto.keyhash import key_hash


def session(name, secrets, policy, predecessor=""):
    tail = f"predecessor: {predecessor}\n" if predecessor else ""
    return f'name: {name}\nversion: "0.3.10"\nsecrets:\n{secrets}access_policy:{policy}\n{tail}'


def ascii_secret(name, value, export=""):
    return f"  - {{name: {name}, kind: ascii, value: {value}{export}}}\n"


def policy(**lists):
    return "".join(f"\n  {key}: {value}" for key, value in lists.items())


def made(cas, identity, text):
    status, answer = create(cas, text, identity)
    assert status == 201, answer
    return answer["hash"]


@pytest.fixture
def key(stranger):
    return key_hash(stranger.spki_der)


@pytest.fixture
def friend():
    return harness.identity()


def test_a_secret_of_the_session_admits_whose_key_hash_it_holds(cas, owner, stranger, key):
    text = session(
        "demo", ascii_secret("who", key), policy(read='["$$SCONE::who$$"]', update="[CREATOR]")
    )
    made(cas, owner, text)
    assert read(cas, "demo", stranger)[0] == 200
    status, answer = read(cas, "demo", owner)
    assert status == 403
    assert answer["msg"] == [
        "Failed to read session 'demo'",
        "You have insufficient rights to access session demo",
    ]


def test_an_imported_secret_admits_as_the_other_session_says_now(cas, owner, stranger, friend, key):
    export = ", export: [{session: demo}]"
    first = made(
        cas, owner, session("people", ascii_secret("who", key, export), policy(read="[CREATOR]"))
    )
    imported = "  - {name: who, kind: ascii, import: {session: people, secret: who}}\n"
    lists = policy(read='["$$SCONE::who$$"]', update='[CREATOR, "$$SCONE::who$$"]')
    made(cas, owner, session("demo", imported, lists))
    assert read(cas, "demo", stranger)[0] == 200
    assert read(cas, "demo", friend)[0] == 403
    other = key_hash(friend.spki_der)
    second = made(
        cas,
        owner,
        session("people", ascii_secret("who", other, export), policy(read="[CREATOR]"), first),
    )
    assert read(cas, "demo", stranger)[0] == 403
    assert read(cas, "demo", friend)[0] == 200
    # No longer exported: nobody is admitted by it, the error names it, others still may.
    made(
        cas,
        owner,
        session("people", ascii_secret("who", other), policy(read="[CREATOR]"), second),
    )
    status, answer = read(cas, "demo", friend)
    assert status == 403
    assert answer["msg"][:2] == [
        "Failed to read session 'demo'",
        "You have insufficient rights to access session demo",
    ]
    assert "$$SCONE::who$$" in answer["msg"][2]
    text = session("demo", imported, lists)
    active = cas.call("GET", "/v1/session_hashes/demo", b"", owner)
    assert active[0] == 404
    history = cas.cas.sessions.active_hash(cas.cas.phase.store, "demo")
    assert create(cas, text + f"predecessor: {history}\n", friend)[0] == 403
    made(cas, owner, text + f"predecessor: {history}\n")


def test_an_entry_that_cannot_be_resolved_keeps_no_other_from_counting(cas, owner, key, stranger):
    missing = "  - {name: gone, kind: ascii, import: {session: absent, secret: gone}}\n"
    lists = policy(read='["$$SCONE::gone$$", "$$SCONE::who$$"]', update="[CREATOR]")
    status, answer = create(cas, session("demo", missing + ascii_secret("who", key), lists), owner)
    assert status == 201
    assert any(path == "secrets[0].import" for path, _ in answer["warnings"])
    assert read(cas, "demo", stranger)[0] == 200
    status, answer = read(cas, "demo", owner)
    assert status == 403
    assert "$$SCONE::gone$$" in answer["msg"][-1]
    assert "$$SCONE::who$$" not in answer["msg"][-1]


def test_a_whole_policy_comes_from_another_session(cas, owner, stranger, key):
    fragment = (
        "  - name: rights\n    kind: config-fragment\n    export: [{session: demo}]\n"
        f"    value:\n      read: [{key}]\n      update: [CREATOR]\n"
    )
    made(cas, owner, session("rules", fragment, policy(read="[CREATOR]")))
    imported = (
        "  - {name: rights, kind: config-fragment, import: {session: rules, secret: rights}}\n"
    )
    text = session("demo", imported, ' "$$SCONE::rights$$"')
    hashed = made(cas, owner, text)
    assert read(cas, "demo", stranger)[0] == 200
    assert read(cas, "demo", owner)[0] == 403
    assert create(cas, text + f"predecessor: {hashed}\n", stranger)[0] == 403
    # CREATOR in the fragment is the creator of the importing session.
    made(cas, owner, text + f"predecessor: {hashed}\n")


def test_a_policy_that_cannot_be_resolved_admits_nobody_and_says_why(cas, owner):
    imported = (
        "  - {name: rights, kind: config-fragment, import: {session: absent, secret: rights}}\n"
    )
    hashed = made(cas, owner, session("demo", imported, ' "$$SCONE::rights$$"'))
    for status, answer in (
        read(cas, "demo", owner),
        create(cas, session("demo", imported, ' "$$SCONE::rights$$"', hashed), owner),
    ):
        assert status == 403
        assert "$$SCONE::rights$$" in answer["msg"][-1]
