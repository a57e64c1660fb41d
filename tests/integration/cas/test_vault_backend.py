"""Sessions whose secrets are stored in a vault: how they look there, and what tampering does."""

import base64
import json
import re

import harness
import pytest

from fakes import azure as fakes

SESSION = """
name: demo
version: "0.3.10"
{predecessor}
services:
  - name: app
    command: app
    environment:
      PASSWORD: $$SCONE::password$$
    attestation:
      mrenclave: {mrenclave}
secrets:
  - name: password
    kind: ascii
    size: {size}
  - name: cert
    kind: x509
    private_key: key
    dns: localhost
    {cert}
  - name: key
    kind: private-key
    migrate: true
  - name: my_aad_token
    kind: aad-token
    tenant_id: {tenant}
    client_id: {client}
    application_secret: {application_secret}
{config}
access_policy:
  read: [CREATOR]
  update: [CREATOR]
"""


@pytest.fixture
def azure():
    fake, stop = fakes.serve()
    yield fake
    stop()


@pytest.fixture
def cas(fresh, owner, azure):
    status, answer = harness.provision(fresh, owner, azure.config)
    assert status == 200, answer
    return fresh


def text(azure, *, backend="akv", predecessor=None, size=24, cert="", tenant=fakes.TENANT):
    config = f"""
secret_config:
  store_in: !akv
    token: $$SCONE::my_aad_token$$
    vault: https://{azure.host}
"""
    return SESSION.format(
        mrenclave=harness.SERVICE_PROGRAM.mrenclave.hex(),
        tenant=tenant,
        client=fakes.CLIENT,
        application_secret=fakes.APPLICATION_SECRET,
        config=config if backend == "akv" else "secret_config:\n  store_in: !cas\n",
        predecessor=f"predecessor: {predecessor}" if predecessor else "",
        size=size,
        cert=cert,
    )


@pytest.fixture
def put(cas, owner, azure):
    def go(**options):
        status, answer = harness.create(cas, text(azure, **options), owner)
        assert status == 201, answer
        return answer["hash"]

    return go


@pytest.fixture
def start(cas, platform):
    def go():
        status, body = cas.attest_service(platform, "demo/app")
        assert status == 200, body
        ((_, value),) = body["environment"]
        return value

    return go


@pytest.fixture
def all_fail(cas, owner, azure, platform):
    """Start, read, update, to the vault and away from it: each fails and says why."""

    def go(session_hash, message):
        answers = [
            cas.attest_service(platform, "demo/app"),
            harness.read(cas, "demo", owner),
            cas.call("GET", "/v1/session_history/demo", b"", owner),
            harness.create(cas, text(azure, predecessor=session_hash, size=25), owner),
            harness.create(cas, text(azure, predecessor=session_hash, backend="cas"), owner),
        ]
        for status, body in answers:
            assert status >= 400, body
            assert re.search(message, " | ".join(body["msg"])), body

    return go


def test_the_secrets_are_in_the_vault_and_nowhere_else(put, start, cas, azure):
    session_hash = put()
    (name,) = azure.vault
    assert re.fullmatch(rf"cas-{session_hash}-[0-9a-f]{{32}}", name)
    password = base64.b64decode(start())
    assert len(password) == 24
    assert start() == base64.b64encode(password).decode()
    stored = cas.cas.phase.store.get("values", session_hash)
    assert set(json.loads(stored)) == {"key", "tags"}
    sealed = base64.b64decode(azure.vault[name][0]["value"])
    assert b"password" not in sealed
    assert password not in sealed


def test_a_deleted_secret_makes_every_operation_fail(put, start, all_fail, azure):
    session_hash = put()
    start()  # nothing of it is kept
    azure.vault.clear()
    all_fail(session_hash, "tampered with: cas-.* is missing")


@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_changed_secret_makes_every_operation_fail(put, all_fail, azure, at):
    session_hash = put()
    (versions,) = azure.vault.values()
    raw = bytearray(base64.b64decode(versions[-1]["value"]))
    raw[at] ^= 1
    versions[-1]["value"] = base64.b64encode(bytes(raw)).decode()
    all_fail(session_hash, "tampered with: cas-.* is another than the CAS put there")


@pytest.mark.parametrize("value", ["", "no base64!", "AAAA"])
def test_another_text_makes_every_operation_fail(put, all_fail, azure, value):
    session_hash = put()
    (versions,) = azure.vault.values()
    versions[-1]["value"] = value
    all_fail(session_hash, "is another than the CAS put there")


def test_the_secrets_of_an_older_version_are_not_taken(put, all_fail, azure):
    first = put()
    (old,) = azure.vault.values()
    second = put(predecessor=first, size=25)
    (name,) = (name for name in azure.vault if second in name)
    azure.vault[name] = old
    all_fail(second, "is another than the CAS put there")


def test_an_operation_works_again_when_the_value_is_back(put, start, all_fail, azure):
    session_hash = put()
    before = start()
    kept = dict(azure.vault)
    azure.vault.clear()
    all_fail(session_hash, "is missing")
    azure.vault.update(kept)
    assert start() == before


def test_values_migrate_into_the_vault_and_out_of_it(put, start, azure):
    first = put(backend="cas")
    assert azure.vault == {}
    password = start()
    second = put(predecessor=first)
    assert start() == password
    third = put(predecessor=second, backend="cas")
    azure.vault.clear()
    assert start() == password
    put(predecessor=third)
    assert start() == password


def test_the_predecessors_secrets_stay_in_the_vault(put, azure):
    first = put()
    second = put(predecessor=first)
    assert [name for name in azure.vault if first in name]
    assert [name for name in azure.vault if second in name]


def test_a_renewed_certificate_is_stored_in_the_vault(put, start, cas, azure, monkeypatch):
    from datetime import timedelta

    session_hash = put(cert="valid_for: 30 days")
    before = dict(azure.vault)
    monkeypatch.setattr(cas.cas, "now", lambda: harness.now() + timedelta(days=25))
    import asyncio

    from scone.cas.values import Resolution

    phase = cas.cas.phase
    version = cas.cas.sessions.active(phase.store, "demo")
    old = cas.cas.phase.store.get("values", session_hash)
    token = list(cas.cas.azure.tokens)
    renewed = asyncio.run(Resolution(cas.cas, phase).current(version))
    assert token
    assert cas.cas.phase.store.get("values", session_hash) != old
    assert len(azure.vault) == len(before) + 1
    assert asyncio.run(Resolution(cas.cas, phase).current(version)) == renewed


def test_long_values_are_divided(put, start, azure):
    session_hash = put(size=60_000)
    assert len(azure.vault) > 1
    assert all(session_hash in name for name in azure.vault)
    assert len(base64.b64decode(start())) == 60_000


def test_parts_cannot_change_places(put, all_fail, azure):
    session_hash = put(size=60_000)
    first, second, *_ = azure.vault
    azure.vault[first], azure.vault[second] = azure.vault[second], azure.vault[first]
    all_fail(session_hash, "is another than the CAS put there")


def test_a_vault_that_refuses_leaves_no_session_behind(cas, owner, azure):
    azure.writable = False
    status, answer = harness.create(cas, text(azure), owner)
    assert status == 403, answer
    assert "cannot be stored in its vault" in answer["msg"][0]
    assert harness.read(cas, "demo", owner)[0] == 404


def test_wrong_credentials_leave_no_session_behind(cas, owner, azure):
    status, answer = harness.create(cas, text(azure, tenant="elsewhere"), owner)
    assert status == 403, answer
    assert "AADSTS90002" in " ".join(answer["msg"])
    assert harness.read(cas, "demo", owner)[0] == 404


def test_a_stranger_makes_the_cas_ask_no_vault(put, cas, azure, stranger, platform):
    from scone.tee.base import EnclaveIdentity

    put()
    before = len(azure.requests)
    assert harness.read(cas, "demo", stranger)[0] == 403
    assert cas.call("GET", "/v1/values/session=demo")[0] == 404
    assert cas.attest_service(platform, "demo/app", lie=lambda _: {"quote": None})[0] >= 400
    other = EnclaveIdentity(bytes(32), harness.SERVICE_PROGRAM.mrsigner, 7, 3)
    assert cas.attest_service(platform, "demo/app", other)[0] >= 400
    assert len(azure.requests) == before
