"""`scone.client`: apply, update and verify against a CAS, and what they refuse."""

from __future__ import annotations

import json

import pytest

from scone.client import (
    CasClient,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    SconeError,
    SessionDiffersError,
    TrustPolicy,
    UsageError,
    active_session,
    apply_session,
    attest_cas,
    create_signing_key,
    encrypt_session,
    read_session,
    signed_session,
    update_session,
    verify_session,
)
from scone.crypto.der import to_pem
from scone.crypto.keys import spki_of_private_key

TEXT = (
    'name: demo\nversion: "0.3.12"\nsecrets: [{name: a, kind: ascii}]\naccess_policy: {read: ANY}\n'
)
SESSION = read_session(TEXT).session
CHANGED = read_session(TEXT.replace("kind: ascii", "kind: binary")).session


@pytest.fixture
def client(cas, owner, platform):
    policy = TrustPolicy(simulation_root=platform.root_certificate_pem)
    known = attest_cas(f"localhost:{cas.client_port}", policy).known
    with CasClient.of(known, identity_pem=owner.pem, retries=0) as opened:
        yield opened


def test_apply_creates_updates_and_leaves_alone(client):
    assert apply_session(client, SESSION).action == "created"
    first = active_session(client, "demo").hash
    unchanged = apply_session(client, SESSION)
    assert (unchanged.action, unchanged.hash) == ("unchanged", first)
    updated = apply_session(client, CHANGED)
    assert updated.action == "updated"
    active = active_session(client, "demo")
    assert (active.hash, active.session.predecessor) == (updated.hash, first)
    assert (updated.previous, updated.made_again) == (first, ("a",))
    older = active_session(client, "demo", session_hash=first)
    assert (older.hash, older.session.secret("a").kind) == (first, "ascii")
    with pytest.raises(NotFoundError):
        active_session(client, "demo", session_hash="0" * 64)
    assert apply_session(client, CHANGED).action == "unchanged"


def test_apply_with_another_predecessor_is_a_conflict_and_changes_nothing(client):
    first = apply_session(client, SESSION)
    with pytest.raises(ConflictError):
        apply_session(client, CHANGED.with_predecessor("0" * 64))
    assert active_session(client, "demo").hash == first.hash
    with pytest.raises(NotFoundError):
        apply_session(
            client, read_session(TEXT.replace("demo", "x")).session.with_predecessor("0" * 64)
        )


def test_a_signed_update_needs_no_right_to_read(client):
    key = create_signing_key()
    signer = to_pem("PUBLIC KEY", spki_of_private_key(key))
    policy = f"access_policy: {{read: [NONE], update: [{{signer: {json.dumps(signer)}}}]}}\n"
    text = TEXT.replace("access_policy: {read: ANY}\n", policy)
    made = apply_session(client, read_session(text).session)
    signed = signed_session(read_session(text).session.with_predecessor(made.hash), key)
    updated = update_session(client, read_session(signed.text).session, signed=signed)
    assert (updated.action, updated.previous) == ("updated", made.hash)
    without = signed_session(read_session(text).session, key)
    with pytest.raises(ForbiddenError):
        update_session(client, read_session(without.text).session, signed=without)


def test_update_never_creates(client):
    with pytest.raises(NotFoundError):
        update_session(client, SESSION)


def test_verify_tells_each_difference(client):
    made = apply_session(client, SESSION)
    assert verify_session(client, SESSION) == made.hash
    with pytest.raises(SessionDiffersError) as refused:
        verify_session(client, CHANGED)
    assert refused.value.code == "different"
    assert refused.value.differences == ('secrets[a].kind: expected "binary", found "ascii"',)


def test_a_second_signature_is_added_to_the_same_text(client):
    one, two = create_signing_key(), create_signing_key()
    signed = signed_session(SESSION, one)
    described = read_session(signed.text).session
    both = signed_session(described, two, earlier=signed)
    assert both.text == signed.text
    assert len(both.signatures) == 2
    with pytest.raises(UsageError):
        signed_session(read_session(TEXT.replace("demo", "x")).session, two, earlier=signed)
    assert client.known is not None
    assert "encrypted_session" in encrypt_session(client.known, both)


def test_a_refusal_has_the_code_of_the_cas(client):
    with pytest.raises(SconeError) as refused:
        client.create_session("name: demo")
    assert refused.value.code == "malformed"
