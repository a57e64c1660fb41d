"""Sessions that come with signatures: governance, encryption, replay, creator, races, repeats."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import harness
import pytest
from harness import create, read

from scone.crypto.der import to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.crypto.sealing import new_x25519_key, x25519_public_key
from scone.session import read_session
from scone.session.encrypted import encrypted_document
from scone.session.signed import SignedSession, sign_session


class Signer:
    """Somebody with a signing key."""

    def __init__(self):
        self.key = generate_private_key("Ed25519", os.urandom)
        self.spki = spki_of_private_key(self.key)
        self.pem = to_pem("PUBLIC KEY", self.spki)

    @property
    def entry(self):
        return f"signer: {json.dumps(self.pem)}"


VOTERS = tuple(Signer() for _ in range(5))
OWNER, A, B, C, VETO = VOTERS

GOVERNED = f"""
name: demo
version: "0.3.10"
predecessor: PREDECESSOR
secrets:
  - name: word
    kind: ascii
    value: WORD
access_policy:
  read: [ANY]
  update:
    - require-at-least-1:
        - {OWNER.entry}
        - require-all:
            - require-at-least-2:
                - {A.entry}
                - {B.entry}
                - {C.entry}
            - {VETO.entry}
  create_sessions: [NONE]
"""


def governed(predecessor="~", word="one"):
    return GOVERNED.replace("PREDECESSOR", predecessor).replace("WORD", word)


def signed(text, *signers, cas_key=None, not_after=None):
    session = read_session(text).session
    found = SignedSession(text)
    for one in signers:
        found = found.with_signature(
            sign_session(session, one.key, cas_key_hash=cas_key, not_after=not_after)
        )
    return found.to_json()


def put(cas, document, identity=None, path="signed_sessions"):
    return cas.call("PUT", f"/v1/{path}", document.encode(), identity)


@pytest.fixture
def open_cas(fresh, owner):
    """A CAS where everybody may create sessions at the root."""
    assert harness.provision(fresh, owner, {"sessions": {"root_create": "any"}})[0] == 200
    return fresh


@pytest.fixture
def first(open_cas):
    status, answer = put(open_cas, signed(governed(), A))
    assert status == 201, answer
    return answer["hash"]


def test_a_signer_that_is_not_admitted_is_told_what_counts(cas, owner):
    status, answer = put(cas, signed(governed(), A), owner)
    assert (status, answer["msg"]) == (
        403,
        ["You have insufficient rights to create sessions in /"],
    )
    assert "signatures count, not the client's identity" in answer["hint"]
    assert f"signed by {key_hash(A.spki)}" in answer["hint"]
    assert "create_sessions: with - signer:" in answer["hint"]
    assert 'sessions.root_create = "any"' in answer["hint"]
    assert len(answer["hint"]) <= 500  # what the client shows


def test_no_client_certificate_is_needed_and_the_history_names_the_signers(open_cas, first):
    assert read(open_cas, "demo")[1]["hash"] == first
    _, history = open_cas.call("GET", "/v1/session_history/demo")
    (entry,) = history["versions"]
    assert (entry["hash"], entry["signed"]) == (first, True)
    assert entry["uploader"] == key_hash(A.spki)


@pytest.mark.parametrize(
    ("signers", "status"),
    [
        ((OWNER,), 201),
        ((A, B, VETO), 201),
        ((A, C, VETO, B), 201),
        ((A, B), 403),
        ((A, VETO), 403),
        ((VETO,), 403),
        ((A, B, C), 403),
    ],
)
def test_an_update_needs_what_the_rules_of_the_version_before_say(open_cas, first, signers, status):
    found, answer = put(open_cas, signed(governed(first, "two"), *signers))
    assert found == status, answer
    active = read(open_cas, "demo")[1]
    assert (active["hash"] == first) is (status == 403)


def test_a_certificate_does_not_stand_in_for_signatures(open_cas, first, owner):
    assert create(open_cas, governed(first, "two"), owner)[0] == 403
    assert put(open_cas, signed(governed(first, "two"), A), owner)[0] == 403


def test_the_uploaded_policy_does_not_decide_about_its_own_upload(open_cas, first):
    mine = Signer()
    text = governed(first, "two").replace(OWNER.pem.splitlines()[1], mine.pem.splitlines()[1])
    assert put(open_cas, signed(text, mine))[0] == 403


def test_a_changed_text_another_cas_and_an_expired_signature_are_refused(open_cas, first):
    text = governed(first, "two")
    document = signed(text, OWNER)
    assert put(open_cas, document.replace("two", "six"))[0] == 403
    other = key_hash(A.spki)
    status, answer = put(open_cas, signed(text, OWNER, cas_key=other))
    assert status == 403
    assert other in answer["msg"][-1]
    past = (harness.now() - timedelta(hours=1)).replace(microsecond=0)
    status, answer = put(open_cas, signed(text, OWNER, not_after=past))
    assert status == 403
    assert "expired" in answer["msg"][-1]
    own = open_cas.cas.phase.keys.cas_key_hash
    later = past + timedelta(hours=2)
    assert put(open_cas, signed(text, OWNER, cas_key=own, not_after=later))[0] == 201


def test_one_wrong_signature_among_right_ones_refuses_all(open_cas, first):
    document = json.loads(signed(governed(first, "two"), OWNER, A))
    document["signatures"][1]["signature"] = "00" * 64
    status, answer = put(open_cas, json.dumps(document))
    assert (status, answer["code"]) == (403, "not-genuine")


def test_an_old_signed_version_cannot_be_played_back(open_cas, first):
    versions = [signed(governed(), A)]
    active = first
    for word in ("two", "three"):
        versions.append(signed(governed(active, word), OWNER))
        status, answer = put(open_cas, versions[-1])
        assert status == 201
        active = answer["hash"]
    for old in versions[:-1]:
        status, answer = put(open_cas, old)
        assert status == 409
        assert active not in json.dumps(answer)  # whoever sends it need not know the hash
    assert read(open_cas, "demo")[1]["hash"] == active


def test_a_put_that_is_sent_again_gets_the_same_answer_and_counts_once(open_cas, first):
    document = signed(governed(first, "two"), OWNER)
    one, two = put(open_cas, document), put(open_cas, document)
    assert one == two
    assert one[0] == 201
    # The same session under other signatures is not that request.
    assert put(open_cas, signed(governed(first, "two"), OWNER, A))[0] == 409
    assert len(open_cas.call("GET", "/v1/session_history/demo")[1]["versions"]) == 2


def test_statuses_of_a_refused_upload(open_cas, first):
    assert put(open_cas, "{}")[0] == 400
    assert put(open_cas, governed())[0] == 400
    status, answer = put(open_cas, signed(governed(word="other"), A))
    assert (status, answer["msg"][-1]) == (
        409,
        "Session already exists, please specify predecessor hash",
    )
    assert put(open_cas, signed(governed("0" * 64), OWNER))[0] == 409
    nested = governed().replace("name: demo", "name: absent/demo")
    assert put(open_cas, signed(nested, A))[0] == 404
    below = governed().replace("name: demo", "name: demo/below")
    assert put(open_cas, signed(below, OWNER))[0] == 403


def test_an_encrypted_session_is_read_by_its_cas_alone(open_cas):
    document = signed(governed(), A)
    own = open_cas.cas.phase.keys.encryption_public_key
    other = x25519_public_key(new_x25519_key(os.urandom))
    status, answer = put(open_cas, encrypted_document(document, other), path="encrypted_sessions")
    assert (status, answer["code"]) == (400, "malformed")
    assert own.hex() in answer["msg"][-1]
    status, answer = put(open_cas, encrypted_document(document, own), path="encrypted_sessions")
    assert status == 201
    assert read(open_cas, "demo")[1]["hash"] == answer["hash"]
    altered = encrypted_document(document, own).replace(own.hex(), other.hex())
    assert put(open_cas, altered, path="encrypted_sessions")[0] == 400


CREATED = """
name: mine
version: "0.3.10"
access_policy:
  read: [ANY]
  update: [CREATOR, EDITOR]
creator:
  CREATOR_IS
"""


def created(creator, editor="NOBODY", predecessor=None):
    text = CREATED.replace("CREATOR_IS", creator.entry)
    text = text.replace(", EDITOR", f", {editor}" if editor != "NOBODY" else "")
    return text + (f"predecessor: {predecessor}\n" if predecessor else "")


def test_the_creator_of_a_signed_session_is_one_of_its_signers(open_cas):
    status, answer = put(open_cas, signed(created(A), B))
    assert (status, answer["code"]) == (403, "forbidden")
    status, answer = put(open_cas, signed(created(A), A, B))
    assert status == 201
    # CREATOR is A: B alone may not update, A may.
    assert put(open_cas, signed(created(A, predecessor=answer["hash"]), B))[0] == 403
    assert put(open_cas, signed(created(A, predecessor=answer["hash"]), A))[0] == 201


def test_a_signed_session_that_names_a_creator_it_has_not_is_refused(open_cas):
    text = 'name: mine\nversion: "0.3.10"\n'
    status, answer = put(open_cas, signed(text, A))
    assert (status, answer["code"]) == (400, "usage")
    assert "CREATOR" in answer["msg"][-1]


@pytest.mark.parametrize("rule", ["require-all", "require-at-least-1"])
def test_also_inside_a_rule_a_signed_session_names_no_creator_that_it_has_not(open_cas, rule):
    inner = f"require-at-least-1: [CREATOR, {{{A.entry}}}]"
    text = f'name: mine\nversion: "0.3.10"\naccess_policy:\n  read: [ANY]\n  update: {{{rule}: '
    text += f"[{{{B.entry}}}, {{{inner}}}]}}\n"
    status, answer = put(open_cas, signed(text, A))
    assert (status, answer["code"]) == (400, "usage")
    assert read(open_cas, "mine")[0] == 404
    assert put(open_cas, signed(text + f"creator: {{{A.entry}}}\n", A))[0] == 201


def test_one_secret_in_a_rule_has_one_seat(open_cas, owner):
    members = ", ".join(f"{{{one.entry}}}" for one in (A, B))
    board = 'name: board\nversion: "0.3.10"\nsecrets:\n- {name: chair, kind: config-fragment, '
    board += f"value: [{members}], export: [{{session: governed}}]}}\n"
    assert create(open_cas, board, owner)[0] == 201
    text = 'name: governed\nversion: "0.3.10"\npredecessor: PREDECESSOR\n'
    text += "secrets: [{name: chair, import: {session: board}}]\naccess_policy:\n  read: ANY\n"
    text += "  update:\n    require-at-least-2:\n    - $$SCONE::chair$$\n"
    text += f"    - {OWNER.entry}\n    - {C.entry}\n"
    status, answer = put(open_cas, signed(text.replace("PREDECESSOR", "~"), A))
    assert status == 201, answer
    update = text.replace("PREDECESSOR", answer["hash"])
    assert put(open_cas, signed(update, A, B))[0] == 403
    assert put(open_cas, signed(update, A, C))[0] == 201


def test_another_updater_keeps_the_creator_and_cannot_make_one(open_cas, owner, stranger):
    editor = key_hash(stranger.spki_der)
    status, answer = put(open_cas, signed(created(A, editor), A))
    assert status == 201
    found = read(open_cas, "mine")[1]
    text = found["session"].replace("predecessor: null", f"predecessor: {found['hash']}")
    forged = text.replace(A.pem.splitlines()[1], B.pem.splitlines()[1])
    assert create(open_cas, forged, stranger)[0] == 403
    status, answer = create(open_cas, text, stranger)
    assert status == 201, answer
    assert create(open_cas, text.replace(found["hash"], answer["hash"]), owner)[0] == 403


def test_an_upload_by_certificate_names_nobody_else_as_creator(open_cas, owner, stranger):
    text = harness.session_text() + f"creator: |\n  {to_text(owner)}\n"
    status, answer = create(open_cas, text, stranger)
    assert (status, answer["code"]) == (403, "forbidden")
    assert "creator" in answer["msg"][-1]
    assert create(open_cas, text, owner)[0] == 201
    signer = f"creator:\n  {A.entry}\n"
    other = harness.session_text(**{"name: demo": "name: other"}) + signer
    assert create(open_cas, other, stranger)[0] == 403


def to_text(identity):
    pem = to_pem("CERTIFICATE", identity.certificate_der)
    return pem.rstrip().replace("\n", "\n  ")


def test_of_many_signed_updates_at_once_exactly_one_wins(open_cas, first):
    documents = [signed(governed(first, f"w{number}"), OWNER) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda document: put(open_cas, document), documents))
    assert sorted(status for status, _ in answers) == [201] + [409] * 11
    winner = next(answer["hash"] for status, answer in answers if status == 201)
    assert read(open_cas, "demo")[1]["hash"] == winner


def test_the_audit_log_names_the_signers(fresh, owner):
    config = {"audit_log": {"mode": "unsigned"}, "sessions": {"root_create": "any"}}
    assert harness.provision(fresh, owner, config)[0] == 200
    _, answer = put(fresh, signed(governed(), A, B))
    put(fresh, signed(governed(answer["hash"], "two"), OWNER))
    put(fresh, signed(governed(answer["hash"], "three"), A))  # refused: not recorded
    entries = [
        json.loads(line) for line in fresh.cas.availability.audit_log_path.read_text().splitlines()
    ][1:]
    signers = ",".join(sorted(key_hash(one.spki) for one in (A, B)))
    shown = [(e["event"], e["session"], e["identity"], e["signed"], "hash" in e) for e in entries]
    assert shown == [
        ("session_created", "demo", signers, True, False),
        ("session_updated", "demo", key_hash(OWNER.spki), True, False),
    ]
