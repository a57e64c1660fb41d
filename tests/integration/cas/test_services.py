"""Services get their configuration only with evidence for their own channel."""

import base64
import hashlib
import json
from collections import Counter

import harness
import pytest
from harness import create, strings

from scone.attestation.sgx.tcb import TcbStatus
from scone.cas import audit
from scone.crypto.secret import SecretBytes
from scone.service_config import ServiceConfig
from scone.tee.base import EnclaveIdentity


@pytest.fixture
def serving(cas, owner):
    status, answer = create(cas, harness.session_text(), owner)
    assert status == 201, answer
    return cas


def refused(answer):
    status, body = answer
    assert status in (403, 400, 404), body
    return " | ".join(body["msg"])


def test_the_right_program_gets_exactly_what_the_session_says(serving, platform):
    status, body = serving.attest_service(platform, "demo/app")
    assert status == 200
    config = ServiceConfig.from_json(json.dumps(body, separators=(",", ":")).encode())
    assert [argument.reveal() for argument in config.arguments] == [b"app", b"--flag"]
    assert [name for name, _ in config.environment] == [b"PASSWORD"]
    assert len(config.environment[0][1]) == 24
    assert [file.path for file in config.files] == ["/run/tls.pem"]
    assert config.files[0].content.reveal().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert b"-----BEGIN CERTIFICATE-----" in config.files[0].content.reveal()


def test_two_starts_get_the_same_secrets(serving, platform):
    assert serving.attest_service(platform, "demo/app") == serving.attest_service(
        platform, "demo/app"
    )


def test_another_program_is_refused_with_both_measurements(serving, platform):
    other = EnclaveIdentity(
        hashlib.sha256(b"evil").digest(), harness.SERVICE_PROGRAM.mrsigner, 7, 3
    )
    text = refused(serving.attest_service(platform, "demo/app", other))
    assert "DCAP quote verification failed" in text
    assert other.mrenclave.hex() in text
    assert harness.SERVICE_PROGRAM.mrenclave.hex() in text


def test_a_quote_for_another_channel_is_refused(serving, platform):
    lie = lambda values: {"exporter": bytes(32)}  # noqa: E731
    assert "another channel" in refused(serving.attest_service(platform, "demo/app", lie=lie))


def test_a_quote_for_another_service_is_refused(serving, platform):
    lie = lambda values: {"config_id": "demo/other"}  # noqa: E731
    assert "another channel" in refused(serving.attest_service(platform, "demo/app", lie=lie))


def test_a_quote_for_another_instance_key_is_refused(serving, platform):
    lie = lambda values: {"instance": b"x"}  # noqa: E731
    assert "another channel" in refused(serving.attest_service(platform, "demo/app", lie=lie))


def test_a_relayed_quote_is_refused(serving, platform):
    """The victim's quote, made for the attacker's channel to the victim, on the attacker's to the CAS."""
    caught = {}

    def steal(values):
        from scone.attestation.report_data import service_report_data

        data = service_report_data(values["exporter"], "demo/app", values["instance"], None)
        caught["quote"] = platform.quote(harness.SERVICE_PROGRAM, data)
        return {}

    assert serving.attest_service(platform, "demo/app", lie=steal)[0] == 200
    replay = lambda values: {"quote": caught["quote"]}  # noqa: E731
    assert "another channel" in refused(serving.attest_service(platform, "demo/app", lie=replay))


def test_no_quote_and_a_garbage_quote_are_refused(serving, platform):
    assert "no evidence" in refused(
        serving.attest_service(platform, "demo/app", lie=lambda _: {"quote": None})
    )
    assert refused(
        serving.attest_service(platform, "demo/app", lie=lambda _: {"quote": b"x" * 500})
    )


def test_another_simulated_vendor_is_refused(serving):
    assert refused(serving.attest_service(harness.make_platform(), "demo/app"))


def test_a_debug_program_is_refused(serving, platform):
    program = harness.SERVICE_PROGRAM
    debug = EnclaveIdentity(program.mrenclave, program.mrsigner, 7, 3, debug=True)
    assert "debug" in refused(serving.attest_service(platform, "demo/app", debug)).lower()


def test_a_platform_with_an_outdated_tcb_is_refused_with_the_toleration_that_admits_it(
    cas, owner, platform
):
    old = harness.make_platform(platform.vendor, TcbStatus.OUT_OF_DATE)
    create(cas, harness.session_text(), owner)
    text = refused(cas.attest_service(old, "demo/app"))
    assert "outdated-tcb" in text
    tolerant = harness.session_text(**{"name: demo": "name: tolerant"}) + WILDCARD
    assert create(cas, tolerant, owner)[0] == 201
    status, answer = cas.attest_service(old, "tolerant/app")
    assert status == 200, answer


WILDCARD = "security:\n  attestation:\n    tolerate: [outdated-tcb]\n    ignore_advisories: '*'\n"


def test_the_owner_may_forbid_the_wildcard_of_advisories(tmp_path, owner, platform):
    old = harness.make_platform(platform.vendor, TcbStatus.OUT_OF_DATE)
    debug = WILDCARD.replace("[outdated-tcb]", "[outdated-tcb, debug-mode]")
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        assert create(running, harness.session_text() + WILDCARD, owner)[0] == 201
        assert running.attest_service(old, "demo/app")[0] == 200
        forbid = json.dumps({"config": {"sessions": {"allow_advisory_wildcard": "false"}}})
        assert running.call("PUT", "/v1/config", forbid.encode(), owner)[0] == 200
        text = refused(running.attest_service(old, "demo/app"))
        assert "ignore_advisories: [SIM-SA-" in text
        other = harness.session_text(**{"name: demo": "name: other"})
        status, answer = create(running, other + WILDCARD, owner)
        assert status == 400
        assert "the owner of this CAS" in str(answer)
        assert create(running, other + debug, owner)[0] == 201
        assert running.attest_service(old, "other/app")[0] == 200


def test_unknown_services_and_sessions_are_refused(serving, platform):
    assert "Failed to retrieve" in refused(serving.attest_service(platform, "demo/none"))
    absent = refused(serving.attest_service(platform, "none/app"))
    assert "there is no session none with a service app" in absent
    assert "has no One-time Password" in refused(
        serving.attest_service(platform, "demo/app@123456")
    )


def test_mode_none_needs_no_evidence_and_says_so_in_the_session(cas, owner, platform):
    text = harness.session_text() + "security:\n  attestation:\n    mode: none\n"
    status, answer = create(cas, text, owner)
    assert status == 201
    assert answer["warnings"]
    assert cas.attest_service(platform, "demo/app", lie=lambda _: {"quote": None})[0] == 200


def test_certificates_are_renewed_before_they_expire_and_stay_renewed(tmp_path, platform, owner):
    from datetime import timedelta

    text = harness.session_text(
        **{"    dns: localhost": "    dns: localhost\n    valid_for: 3 days"}
    )
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        assert create(running, text, owner)[0] == 201
        _, first = running.attest_service(platform, "demo/app")
        running.cas.now = lambda: harness.now() + timedelta(days=2, hours=12)
        _, second = running.attest_service(platform, "demo/app")
        assert first != second
        running.cas.now = harness.now
        assert running.attest_service(platform, "demo/app")[1] == second


def test_generated_secrets_never_appear_in_the_database_file_or_logs(serving, platform, caplog):
    _, config = serving.attest_service(platform, "demo/app")
    secrets = [base64.b64decode(value) for value in strings(config) if len(value) > 20]
    folder = serving.cas.availability.database_path.parent
    files = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    assert secrets
    assert files
    for secret in secrets:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert not any(form in data for data in files)
            assert form not in caplog.text.encode()
    assert "SecretBytes(<" in repr(SecretBytes(secrets[0]))


def test_many_starts_at_once_renew_a_certificate_once(tmp_path, platform, owner):
    from concurrent.futures import ThreadPoolExecutor
    from datetime import timedelta

    text = harness.session_text(
        **{"    dns: localhost": "    dns: localhost\n    valid_for: 3 days"}
    )
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        assert create(running, text, owner)[0] == 201
        before = running.cas.phase.store.commit_number
        running.cas.now = lambda: harness.now() + timedelta(days=2, hours=12)
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda _: running.attest_service(platform, "demo/app"), range(16))
            )
        assert all(answer == answers[0] for answer in answers)
        assert answers[0][0] == 200
        assert running.cas.phase.store.commit_number == before + 1


def test_what_anybody_can_send_adds_no_line_to_the_audit_log(fresh, owner, platform):
    assert harness.provision(fresh, owner, {"audit_log": {"mode": "unsigned"}})[0] == 200
    create(fresh, harness.session_text(), owner)
    log = fresh.cas.availability.audit_log_path
    before = log.read_text()
    for quote in (None, b"garbage"):
        fresh.attest_service(platform, "demo/app", lie=lambda _, q=quote: {"quote": q})
    fresh.attest_service(platform, "demo/app", lie=lambda _: {"exporter": bytes(32)})
    assert log.read_text() == before
    other = EnclaveIdentity(
        hashlib.sha256(b"evil").digest(), harness.SERVICE_PROGRAM.mrsigner, 7, 3
    )
    fresh.attest_service(platform, "demo/app", other)
    assert "service_refused" in log.read_text().removeprefix(before)


def test_what_anybody_may_do_has_a_bounded_number_of_lines_in_the_audit_log(
    fresh, owner, platform, monkeypatch
):
    """Whoever has a client certificate is as unknown as who has none, where everybody may read."""
    monkeypatch.setattr(audit, "LINES_A_MINUTE", 3)
    begun = harness.now()
    fresh.cas.now = lambda: begun  # all within a minute
    assert harness.provision(fresh, owner, {"audit_log": {"mode": "unsigned"}})[0] == 200
    policy = "access_policy: {read: [ANY], list_sessions: [ANY], update: [CREATOR]}\n"
    head = 'version: "0.3.12"\nsecurity: {attestation: {mode: none}}\n'
    services = "services: [{name: app, command: app}, {name: other, command: app}]\n"
    assert create(fresh, f"name: open\n{head}{services}{policy}", owner)[0] == 201
    assert create(fresh, harness.session_text(), owner)[0] == 201
    evil = EnclaveIdentity(hashlib.sha256(b"evil").digest(), harness.SERVICE_PROGRAM.mrsigner, 7, 3)
    log = fresh.cas.availability.audit_log_path
    before = len(log.read_text().splitlines())
    for number in range(5):
        somebody = harness.identity() if number % 2 else None
        assert harness.read(fresh, "open", somebody)[0] == 200
        for path in (
            "/v1/session_hashes/open",
            "/v1/session_history/open",
            "/v1/session_list?namespace=open",
        ):
            status, answer = fresh.call("GET", path, b"", somebody)
            assert status == 200, (path, answer)
        assert harness.read(fresh, "demo", owner)[0] == 200
        for service in ("open/app", "open/other"):
            no_evidence = lambda _: {"quote": None}  # noqa: E731
            assert fresh.attest_service(platform, service, lie=no_evidence)[0] == 200
        assert fresh.attest_service(platform, "demo/app", evil)[0] == 403
        assert fresh.attest_service(platform, "demo/app")[0] == 200
    entries = [json.loads(line) for line in log.read_text().splitlines()[before:]]
    found = Counter((one["event"], one["session"], one.get("service")) for one in entries)
    assert found.pop(("session_read", "demo", None)) == 5  # by somebody whom the policy names
    missing = [key for key in found if key[0] == "events_left_out"]
    assert sum(found.pop(key) for key in missing) == 8
    assert found == dict.fromkeys(
        (
            ("session_read", "open", None),
            ("session_hash_read", "open", None),
            ("session_history_read", "open", None),
            ("sessions_listed", "open", None),
            ("service_attested", "open", "app"),
            ("service_attested", "open", "other"),
            ("service_attested", "demo", "app"),
            ("service_refused", "demo", "app"),
        ),
        3,
    )
