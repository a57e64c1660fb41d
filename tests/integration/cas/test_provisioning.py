"""The first claim: token, races, retries, injection, configuration."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import harness
import pytest

from scone.attestation.cas_evidence import CasDocument
from scone.attestation.receipt import Receipt, verify_receipt
from scone.cas.operations import read_session
from scone.cas.operations.provision import refuse_injection
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError
from scone.release import DEVELOPMENT_MRSIGNER, RELEASE_MRSIGNER

KEY = "cf" * 32


def document(running):
    options = harness.Options(timeout_s=20)
    connection = harness.connect(harness.Address("127.0.0.1", running.client_port), options)
    try:
        return CasDocument.parse(connection.request("GET", "/v1/attest?nonce=" + "0" * 32).body)
    finally:
        connection.close()


def test_a_claim_rekeys_the_cas_and_gives_a_receipt(fresh, owner):
    import hashlib

    old = fresh.cas.phase.keys
    body = json.dumps({"token": fresh.cas.phase.token.reveal().hex(), "config": {}}).encode()
    status, answer = fresh.call("POST", "/v1/provision", body, owner)
    assert status == 200
    new = fresh.cas.phase.keys
    assert answer["cas_key_hash"] == new.cas_key_hash != old.cas_key_hash
    verify_receipt(
        Receipt.from_dict(answer["receipt"]),
        new_cas_spki=new.root_spki,
        owner_spki=owner.spki_der,
        request_sha256=hashlib.sha256(body).digest(),
        expected_old_key_hash=old.cas_key_hash,
    )
    shown = document(fresh).cas
    assert shown.provisioned
    assert shown.provisioning_receipt == Receipt.from_dict(answer["receipt"])
    assert shown.database_key_origin == "generated"


def test_the_same_owner_token_and_request_get_the_same_answer_and_others_a_conflict(
    fresh, owner, stranger
):
    token = fresh.cas.phase.token.reveal().hex()
    body = json.dumps({"token": token, "config": {}}).encode()
    first = fresh.call("POST", "/v1/provision", body, owner)
    assert first[0] == 200
    assert fresh.call("POST", "/v1/provision", body, owner) == first
    other_request = json.dumps({"token": token, "config": {"sessions": {}}}).encode()
    assert fresh.call("POST", "/v1/provision", other_request, owner)[0] == 409
    assert fresh.call("POST", "/v1/provision", body, stranger)[0] == 409


def test_the_answer_is_the_same_after_a_restart(tmp_path, platform, owner):
    with harness.running_cas(tmp_path, platform) as running:
        body = json.dumps({"token": running.cas.phase.token.reveal().hex(), "config": {}}).encode()
        first = running.call("POST", "/v1/provision", body, owner)
    with harness.running_cas(tmp_path, platform) as running:
        assert running.call("POST", "/v1/provision", body, owner) == first


def test_a_wrong_token_fails_and_is_rate_limited_while_a_right_one_is_not(fresh, owner):
    wrong = {"token": "00" * 16, "config": {}}
    statuses = [fresh.call("POST", "/v1/provision", wrong, owner)[0] for _ in range(8)]
    assert statuses == [403] * 5 + [429] * 3
    assert type(fresh.cas.phase).__name__ == "Unprovisioned"
    assert harness.provision(fresh, owner)[0] == 200


def test_of_thirty_two_claims_at_once_exactly_one_succeeds(fresh):
    owners = [harness.identity() for _ in range(32)]
    body = {"token": fresh.cas.phase.token.reveal().hex(), "config": {}}
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda one: fresh.call("POST", "/v1/provision", body, one), owners))
    assert sorted(status for status, _ in answers) == [200] + [409] * 31


def test_a_claim_without_certificate_is_refused(fresh):
    assert harness.provision(fresh, None)[0] == 403
    assert type(fresh.cas.phase).__name__ == "Unprovisioned"


def test_an_injected_key_is_shown_for_ever_and_opens_the_database_offline(
    tmp_path, platform, owner
):
    from scone.cas.store.inspection import inspect_database

    with harness.running_cas(tmp_path, platform) as running:
        assert harness.provision(running, owner, database_key=KEY)[0] == 200
        assert document(running).cas.database_key_origin == "injected"
    with harness.running_cas(tmp_path, platform) as running:
        assert document(running).cas.database_key_origin == "injected"
    records = list(inspect_database(tmp_path / "cas.db", SecretBytes(bytes.fromhex(KEY))))
    assert ("session", "/") in {(collection, key) for collection, key, _ in records}


def test_a_cas_with_the_release_signer_refuses_injection():
    with pytest.raises(ForbiddenError, match="refuses database key injection"):
        refuse_injection(RELEASE_MRSIGNER, SecretBytes(bytes(32)))
    refuse_injection(RELEASE_MRSIGNER, None)
    refuse_injection(DEVELOPMENT_MRSIGNER, SecretBytes(bytes(32)))


def test_the_configuration_is_replaced_by_the_owner_and_names_its_certificate(cas, owner):
    from cryptography import x509

    before = cas.cas.phase.keys
    config = {"api_identity": {"common_name": "mycas.example", "alt_names": ["10.0.0.1"]}}
    assert cas.call("PUT", "/v1/config", {"config": config}, owner) == (200, {})
    keys = cas.cas.phase.keys
    assert keys.software_key_hash == before.software_key_hash
    assert keys.cas_key_hash == before.cas_key_hash
    certificate = x509.load_der_x509_certificate(keys.instance_certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cas", "localhost", "mycas.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


def test_who_may_create_at_the_root_is_not_changed_by_a_configuration_update(cas, owner):
    status, answer = cas.call(
        "PUT", "/v1/config", {"config": {"sessions": {"root_create": "any"}}}, owner
    )
    assert status == 409
    assert "root_create" in answer["msg"][0]


def test_requests_of_one_address_are_limited(fresh, owner):
    config = {"limits": {"max_requests_per_second_per_address": 5}}
    assert harness.provision(fresh, owner, config)[0] == 200
    statuses = [fresh.call("GET", "/v1/version")[0] for _ in range(40)]
    assert 200 in statuses
    assert 429 in statuses


def test_an_audit_log_that_cannot_be_opened_refuses_the_change_and_ends_nothing(
    tmp_path, platform, owner
):
    with harness.running_cas(tmp_path, platform) as running:
        running.cas.availability.audit_log_path.mkdir()
        wanted = {"audit_log": {"mode": "unsigned"}}
        status, answer = harness.provision(running, owner, wanted)
        assert (status, answer["code"]) == (503, "unavailable")
        assert "audit log" in answer["msg"][0]
        assert type(running.cas.phase).__name__ == "Unprovisioned"
        assert {path.name for path in tmp_path.iterdir()} == {"audit.log", "cas.db.lock"}
        assert harness.provision(running, owner)[0] == 200
        status, answer = running.call("PUT", "/v1/config", {"config": wanted}, owner)
        assert (status, answer["code"]) == (503, "unavailable")
        assert running.stop_reasons == []
    with harness.running_cas(tmp_path, platform) as running:
        assert running.cas.phase.config.audit_log_mode == "disabled"


@pytest.mark.parametrize("mode", ["unsigned", "disabled"])
def test_a_request_that_waits_while_the_configuration_is_updated_is_answered_and_recorded(
    fresh, owner, monkeypatch, mode
):
    config = {"audit_log": {"mode": "unsigned"}}
    assert harness.provision(fresh, owner, config)[0] == 200
    assert harness.create(fresh, harness.session_text(), owner)[0] == 201
    waits, goes_on = threading.Event(), threading.Event()
    authorise = read_session.authorise

    async def slow(*args, **more):
        waits.set()
        assert await asyncio.to_thread(goes_on.wait, 20)
        return await authorise(*args, **more)

    monkeypatch.setattr(read_session, "authorise", slow)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(harness.read, fresh, "demo", owner)
        assert waits.wait(20)
        new = {"audit_log": {"mode": mode}}
        assert fresh.call("PUT", "/v1/config", {"config": new}, owner)[0] == 200
        goes_on.set()
        status, answer = reading.result(20)
    assert status == 200, answer
    assert fresh.stop_reasons == []
    lines = fresh.cas.availability.audit_log_path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines[-2:]] == ["config_updated", "session_read"]


def test_an_update_that_turns_the_audit_log_on_records_from_then_on(fresh, owner):
    assert harness.provision(fresh, owner)[0] == 200
    new = {"audit_log": {"mode": "unsigned"}}
    assert fresh.call("PUT", "/v1/config", {"config": new}, owner)[0] == 200
    assert harness.create(fresh, harness.session_text(), owner)[0] == 201
    lines = fresh.cas.availability.audit_log_path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["config_updated", "session_created"]


def test_the_console_has_the_new_keys_after_a_claim(fresh, owner, caplog):
    with caplog.at_level("INFO"):
        _, answer = harness.provision(fresh, owner)
    assert f"CAS key hash: {answer['cas_key_hash']}" in caplog.text
    assert f"CAS software-key hash: {answer['cas_software_key_hash']}" in caplog.text
