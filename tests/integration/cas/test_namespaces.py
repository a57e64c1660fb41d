"""Namespaces: the root and its sealing, namespace_hash, listing; hashes and history."""

import json
from concurrent.futures import ThreadPoolExecutor

import harness
import pytest
from harness import create, read

from scone.cas import namespaces
from scone.crypto.keyhash import key_hash


def small(name, *, extra="", **policy):
    entries = {"read": "CREATOR", "update": "CREATOR", **policy}
    lines = "".join(f"  {key}: [{value}]\n" for key, value in entries.items())
    return f'name: {name}\nversion: "0.3.12"\naccess_policy:\n{lines}{extra}'


def made(cas, identity, text):
    status, answer = create(cas, text, identity)
    assert status == 201, answer
    return answer["hash"]


def listed(cas, namespace="/", identity=None, **query):
    tail = "".join(f"&{key}={value}" for key, value in query.items())
    return cas.call("GET", f"/v1/session_list?namespace={namespace}{tail}", b"", identity)


def session_hash(cas, name, identity=None):
    return cas.call("GET", f"/v1/session_hashes/{name}", b"", identity)


def history(cas, name, identity=None, **query):
    tail = "&".join(f"{key}={value}" for key, value in query.items())
    return cas.call(
        "GET",
        f"/v1/session_history/{name}?{tail}" if tail else f"/v1/session_history/{name}",
        b"",
        identity,
    )


# The root


def test_an_unclaimed_root_is_sealed_by_the_first_other_session(cas, owner):
    _, root = read(cas, "", owner)
    status, answer = create(cas, small("demo"), owner)
    assert (status, [path for path, _ in answer["warnings"]]) == (201, ["name"])
    assert "nobody had claimed the root namespace" in answer["warnings"][0][1]
    assert create(cas, small("next"), owner)[1]["warnings"] == []
    assert create(cas, small("demo/below"), owner)[1]["warnings"] == []
    claim = small("/", extra=f"predecessor: {root['hash']}\n")
    status, answer = create(cas, claim, owner)
    assert (status, answer["code"]) == (403, "forbidden")
    assert "sealed" in answer["msg"][-1]
    assert read(cas, "", owner)[1]["hash"] == root["hash"]
    made(cas, owner, small("more"))  # what the owner configuration said goes on


def test_a_claimed_root_decides_and_stays_changeable(cas, owner, stranger):
    _, root = read(cas, "", owner)
    key = key_hash(stranger.spki_der)
    claim = small("/", create_sessions=key, extra=f"predecessor: {root['hash']}\n")
    claimed = made(cas, owner, claim)
    assert create(cas, small("demo"), owner)[0] == 403
    made(cas, stranger, small("demo"))
    opened = small("/", create_sessions="ANY", extra=f"predecessor: {claimed}\n")
    made(cas, owner, opened)
    made(cas, owner, small("more"))


def test_only_the_owner_claims_the_root_whoever_may_create(fresh, owner, stranger):
    assert harness.provision(fresh, owner, {"sessions": {"root_create": "any"}})[0] == 200
    _, root = read(fresh, "", owner)
    claim = small("/", extra=f"predecessor: {root['hash']}\n")
    assert create(fresh, claim, stranger)[0] == 403
    made(fresh, owner, claim)
    assert create(fresh, small("demo"), stranger)[0] == 403


def test_claim_and_first_session_at_once_leave_one_of_the_two_orders(tmp_path, platform, owner):
    for attempt in range(4):
        (tmp_path / str(attempt)).mkdir()
        with harness.running_cas(tmp_path / str(attempt), platform) as cas:
            assert harness.provision(cas, owner, {"sessions": {"root_create": "any"}})[0] == 200
            _, root = read(cas, "", owner)
            claim = small("/", create_sessions="NONE", extra=f"predecessor: {root['hash']}\n")
            texts = [claim, *(small(f"s{number}") for number in range(5))]
            with ThreadPoolExecutor(6) as pool:
                statuses = [s for s, _ in pool.map(lambda t: create(cas, t, owner), texts)]
            # Either nobody created below what now says NONE, or the root was sealed.
            assert statuses in ([201] + [403] * 5, [403] + [201] * 5)


# namespace_hash


def test_namespace_hash_is_compared_when_a_session_is_created(cas, owner):
    parent = made(cas, owner, small("a"))
    wrong = small("a/one", extra=f"namespace_hash: {'0' * 64}\n")
    status, answer = create(cas, wrong, owner)
    assert (status, answer["code"]) == (409, "conflict")
    assert parent in answer["msg"][-1]
    assert read(cas, "a/one", owner)[0] == 404
    first = made(cas, owner, small("a/one", extra=f"namespace_hash: {parent}\n"))
    made(cas, owner, small("a", read="ANY", extra=f"predecessor: {parent}\n"))
    made(cas, owner, small("a/one", extra=f"predecessor: {first}\n"))  # not compared again
    both = small("a/one", extra=f"predecessor: {first}\nnamespace_hash: {parent}\n")
    assert create(cas, both, owner)[0] == 400


def test_another_namespace_is_refused_before_any_secret_is_made(cas, owner, monkeypatch):
    made(cas, owner, small("a"))

    def generate(*_, **__):
        raise AssertionError("a secret was made")

    monkeypatch.setattr("scone.cas.operations.create_session.generate", generate)
    wrong = small("a/one", extra=f"namespace_hash: {'0' * 64}\n")
    assert create(cas, wrong, owner)[0] == 409


def test_the_hash_of_a_namespace_is_told_to_those_who_may_create_in_it_only(cas, owner, stranger):
    parent = made(cas, owner, small("a"))
    wrong = small("a/one", extra=f"namespace_hash: {'0' * 64}\n")
    status, answer = create(cas, wrong, stranger)
    assert status == 403
    assert parent not in json.dumps(answer)


def test_sessions_and_updates_of_their_namespace_at_once(cas, owner, stranger):
    """What is created was allowed by the policy of its moment; nothing fails for no reason."""
    key = key_hash(stranger.spki_der)
    active = made(cas, owner, small("a", create_sessions=key))

    def update(_):
        nonlocal active
        text = small("a", create_sessions=key, extra=f"predecessor: {active}\n")
        active = made(cas, owner, text)

    with ThreadPoolExecutor(5) as pool:
        updates = pool.submit(lambda: [update(number) for number in range(10)])
        answers = list(pool.map(lambda n: create(cas, small(f"a/s{n}"), stranger)[0], range(30)))
        updates.result()
    assert set(answers) <= {201, 409}
    assert answers.count(201) >= 25
    _, found = listed(cas, "a", stranger)
    assert len(found["sessions"]) == answers.count(201)


# Listing


def test_who_may_list_a_namespace(cas, owner, stranger):
    key = key_hash(stranger.spki_der)
    made(cas, owner, small("a"))
    made(cas, owner, small("a/one"))
    assert listed(cas, "a", owner) == (200, {"sessions": ["a/one"], "next": None})
    for identity in (None, stranger):
        status, answer = listed(cas, "a", identity)
        assert (status, answer["code"]) == (403, "forbidden")
        assert "a/one" not in json.dumps(answer)
    assert listed(cas, "absent", owner)[0] == 404
    made(cas, owner, small("b", list_sessions=key))
    assert listed(cas, "b", stranger)[0] == 200
    made(cas, owner, small("c", list_sessions="NONE", create_sessions=key))
    assert listed(cas, "c", stranger)[0] == 200
    assert listed(cas, "c", owner)[0] == 403
    made(cas, owner, small("d", read="ANY"))
    assert listed(cas, "d")[0] == 200


def test_only_direct_sessions_are_listed_in_order_and_page_by_page(cas, owner):
    made(cas, owner, small("n"))
    names = sorted(f"n/{number}" for number in range(300))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda name: create(cas, small(name), owner)[0], names)) == {201}
    below = made(cas, owner, small("n/0/below"))
    assert listed(cas, "n", owner)[1] == {"sessions": names, "next": None}
    found, after = [], {}
    while True:
        _, page = listed(cas, "n", owner, limit=37, **after)
        assert len(page["sessions"]) <= 37
        found += page["sessions"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == names
    made(cas, owner, small("n/0/below", read="ANY", extra=f"predecessor: {below}\n"))
    assert listed(cas, "n/0", owner)[1]["sessions"] == ["n/0/below"]
    assert listed(cas, "/", owner)[1]["sessions"] == ["n"]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"after": "b/c"}])
def test_a_listing_that_is_asked_for_wrongly_is_refused(cas, owner, query):
    made(cas, owner, small("a"))
    assert listed(cas, "a", owner, **query)[0] == 400


def test_the_list_survives_a_restart_and_is_made_for_a_database_without_one(
    tmp_path, platform, owner
):
    with harness.running_cas(tmp_path, platform) as cas:
        harness.provision(cas, owner)
        for name in ("b", "a", "a/x"):
            made(cas, owner, small(name))
    with harness.running_cas(tmp_path, platform) as cas:
        assert listed(cas, "/", owner)[1]["sessions"] == ["a", "b"]

        def forget(records):  # as a database from before there was a list
            for collection in ("names", "block"):
                for key, _ in list(records.scan(collection)):
                    records.delete(collection, key)
            records.delete(*namespaces._MARK)

        cas.cas.phase.store.transact(forget).result()
        assert listed(cas, "/", owner)[1]["sessions"] == []
    with harness.running_cas(tmp_path, platform) as cas:
        assert listed(cas, "/", owner)[1]["sessions"] == ["a", "b"]
        assert listed(cas, "a", owner)[1]["sessions"] == ["a/x"]


def test_a_session_that_was_not_created_is_in_no_list(fresh, owner):
    config = {"sessions": {"max_sessions_per_namespace": 1}}
    assert harness.provision(fresh, owner, config)[0] == 200
    made(fresh, owner, small("a"))
    assert create(fresh, small("a/one"), owner)[0] == 429
    assert listed(fresh, "a", owner)[1]["sessions"] == []


# Hashes


def test_without_a_salt_the_hash_is_for_readers_only(cas, owner, stranger):
    hashed = made(cas, owner, small("a"))
    assert session_hash(cas, "a", owner) == (200, {"hash": hashed})
    for identity in (None, stranger):
        unknown = session_hash(cas, "absent", identity)
        assert unknown == session_hash(cas, "a", identity)
        assert unknown[0] == 404


def test_a_salt_makes_this_and_all_later_hashes_public(cas, owner):
    salted = made(cas, owner, small("a", extra=f"salt: {'5a' * 16}\n"))
    assert session_hash(cas, "a") == (200, {"hash": salted})
    later = made(cas, owner, small("a", extra=f"predecessor: {salted}\n"))
    last = made(cas, owner, small("a", extra=f"predecessor: {later}\n"))
    assert session_hash(cas, "a") == (200, {"hash": last})
    assert read(cas, "a")[0] == 403
    assert read(cas, "a", None, salted)[0] == 403


def test_a_salt_makes_no_earlier_hash_public(cas, owner):
    first = made(cas, owner, small("a"))
    second = made(cas, owner, small("a", extra=f"salt: {'5a' * 16}\npredecessor: {first}\n"))
    assert session_hash(cas, "a") == (200, {"hash": second})
    assert history(cas, "a")[0] == 403


def test_the_audit_log_has_public_hashes_only(fresh, owner):
    assert harness.provision(fresh, owner, {"audit_log": {"mode": "unsigned"}})[0] == 200
    plain = made(fresh, owner, small("plain"))
    salted = made(fresh, owner, small("salted", extra=f"salt: {'5a' * 16}\n"))
    later = made(fresh, owner, small("salted", extra=f"predecessor: {salted}\n"))
    read(fresh, "plain", owner)
    read(fresh, "salted", owner)
    session_hash(fresh, "plain", owner)
    session_hash(fresh, "salted")  # anybody may, as often as they like: not recorded
    session_hash(fresh, "plain")
    history(fresh, "plain", owner)
    listed(fresh, "/", owner)
    text = fresh.cas.availability.audit_log_path.read_text()
    assert plain not in text
    entries = [json.loads(line) for line in text.splitlines()][1:]
    assert [(e["event"], e["session"], e.get("hash")) for e in entries] == [
        ("session_created", "plain", None),
        ("session_created", "salted", salted),
        ("session_updated", "salted", later),
        ("session_read", "plain", None),
        ("session_read", "salted", later),
        ("session_hash_read", "plain", None),
        ("session_history_read", "plain", None),
        ("sessions_listed", "/", None),
    ]
    assert {e["identity"] for e in entries} == {key_hash(owner.spki_der)}


# History


def test_readers_see_the_history_newest_first_and_page_by_page(cas, owner, stranger):
    hashes = [made(cas, owner, small("a"))]
    for _ in range(6):
        hashes.append(made(cas, owner, small("a", extra=f"predecessor: {hashes[-1]}\n")))
    status, found = history(cas, "a", owner)
    assert status == 200
    assert found["next"] is None
    assert [v["hash"] for v in found["versions"]] == hashes[::-1]
    assert [v["predecessor"] for v in found["versions"]] == [*hashes[-2::-1], None]
    assert {v["uploader"] for v in found["versions"]} == {key_hash(owner.spki_der)}
    assert not any(v["signed"] for v in found["versions"])
    _, first = history(cas, "a", owner, limit=3)
    assert first["next"] == hashes[3]
    _, second = history(cas, "a", owner, limit=3, before=first["next"])
    assert [v["hash"] for v in second["versions"]] == hashes[3:0:-1]
    assert history(cas, "a", stranger)[0] == 403
    assert history(cas, "absent", owner)[0] == 404


def test_the_history_of_another_session_is_not_reached_by_a_hash(cas, owner, stranger):
    hidden = made(cas, owner, small("hidden"))
    made(cas, owner, small("mine", read=key_hash(stranger.spki_der)))
    status, answer = history(cas, "mine", stranger, before=hidden)
    assert status == 404
    assert history(cas, "mine", stranger, before="0" * 64) == (status, answer)
