"""One-time passwords, access tokens, platforms, single starts: who gets a configuration beside evidence."""

import hashlib
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import harness
import pytest
from harness import create
from starts import NO_EVIDENCE, cas_proof, configured, start, why, words

from scone.attestation.access_token import proves_token, token_proof
from scone.cas import factors
from scone.cas.values import Resolution
from scone.crypto.secret import SecretBytes
from scone.session.otp import otp_code, otp_secret, time_step

BASE32 = "BASE32SECRET3232BASE32SECRET3232"
USED = (
    "A One-time Password was already used within this time-step. "
    "Please try again in the next time-step"
)
WRONG = "The given One-time Password is invalid. Please try again."
NOON = datetime(2026, 11, 25, 12, 0, 10, tzinfo=UTC)
MRENCLAVE = harness.SERVICE_PROGRAM.mrenclave.hex()


def text(name="demo", service="", more="", security="", secrets=""):
    """A session with the services app and other."""
    return f"""
name: {name}
version: "0.3.12"
services:
  - name: app
    command: prog
    attestation: {{mrenclave: {MRENCLAVE}}}
    {service}
  - name: other
    command: prog
    attestation: {{mrenclave: {MRENCLAVE}}}
{more}
{f"security: {security}" if security else ""}
{f"secrets: {secrets}" if secrets else ""}
access_policy: {{read: [CREATOR], update: [CREATOR]}}
"""


def put(cas, owner, *args, **more):
    status, answer = create(cas, text(*args, **more), owner)
    assert status == 201, answer
    return answer["hash"]


class Clock:
    """A clock that tests move, within the validity of what they made before."""

    def __init__(self):
        self.shift = timedelta()
        # The middle of a time-step: a test that takes ten seconds stays in it.
        now = harness.now()
        self.aligned = timedelta(seconds=40 - now.timestamp() % 30)

    def __call__(self):
        return harness.now() + self.aligned + self.shift


@pytest.fixture
def clock(cas):
    cas.cas.now = Clock()
    return cas.cas.now


def code(clock, steps=0, secret=BASE32):
    return otp_code(otp_secret(secret, "secret"), time_step(clock()) + steps)


def wrong_code(clock, number=0):
    right = {code(clock, steps) for steps in (-1, 0, 1)}
    return [f"{n:06}" for n in range(100) if f"{n:06}" not in right][number]


OTP = f"{{attestation: {{one_time_password_shared_secret: {BASE32}}}}}"


def test_a_password_works_once_and_the_next_in_the_next_step(cas, owner, platform, clock):
    put(cas, owner, security=OTP)
    now = code(clock)
    assert words(start(cas, platform, f"demo/app@{now}")) == ["prog"]
    assert why(start(cas, platform, f"demo/app@{now}")) == [USED]
    assert why(start(cas, platform, f"demo/other@{now}")) == [USED]
    clock.shift = timedelta(seconds=30)
    assert why(start(cas, platform, f"demo/app@{now}")) == [USED]
    assert words(start(cas, platform, f"demo/app@{code(clock)}"))


def test_the_password_of_the_step_before_works_unless_a_newer_one_was_used(
    cas, owner, platform, clock
):
    put(cas, owner, security=OTP)
    before, now = code(clock, -1), code(clock)
    assert words(start(cas, platform, f"demo/app@{before}"))
    assert why(start(cas, platform, f"demo/app@{before}")) == [USED]
    assert words(start(cas, platform, f"demo/app@{now}"))
    clock.shift = timedelta(seconds=60)
    assert words(start(cas, platform, f"demo/app@{code(clock)}"))
    assert why(start(cas, platform, f"demo/app@{code(clock, -1)}")) == [USED]


def test_a_wrong_password_is_told_before_evidence_is_looked_at(cas, owner, platform, clock):
    put(cas, owner, security=OTP)
    old, new = code(clock, -2), code(clock, 1)
    for given in (wrong_code(clock), "", "x", old, new):
        assert why(start(cas, NO_EVIDENCE, f"demo/app@{given}")) == [WRONG]


def test_a_missing_password_and_one_that_nobody_wants_are_refused(cas, owner, platform, clock):
    put(cas, owner, security=OTP)
    answer = start(cas, platform, "demo/app")
    assert why(answer) == ["service demo/app requires a One-time Password"]
    assert "SCONE_CONFIG_ID=demo/app@123456" in answer[1]["hint"]
    put(cas, owner, "plain")
    assert "has no One-time Password" in why(start(cas, platform, "plain/app@123456"), 400)[0]


def test_the_secret_of_the_service_wins_and_may_be_a_placeholder(cas, owner, platform, clock):
    own = "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U"
    put(
        cas,
        owner,
        security=OTP,
        service="one_time_password_shared_secret: $$SCONE::otp$$",
        secrets=f"[{{name: otp, kind: ascii, value: {own}}}]",
    )
    assert why(start(cas, platform, f"demo/app@{code(clock)}")) == [WRONG]
    assert words(start(cas, platform, f"demo/app@{code(clock, secret=own)}"))
    assert words(start(cas, platform, f"demo/other@{code(clock)}"))


def test_a_generated_binary_secret_makes_passwords_too(cas, owner, platform, clock):
    import base64

    put(
        cas,
        owner,
        security="{attestation: {one_time_password_shared_secret: '$$SCONE::otp:base32nopad$$'}}",
        secrets="[{name: otp, kind: binary, size: 20}]",
    )
    store = cas.cas.phase.store
    active = cas.cas.sessions.active(store, "demo")
    raw = cas.cas.sessions.values(store, active.hash)["otp"].value.reveal()
    secret = base64.b32encode(raw).decode()
    assert words(start(cas, platform, f"demo/app@{code(clock, secret=secret)}"))


@pytest.mark.parametrize(
    "more",
    [
        {"security": "{attestation: {one_time_password_shared_secret: $$SCONE::text$$}}"},
        {"service": "one_time_password_shared_secret: $$SCONE::text$$"},
    ],
)
def test_a_secret_that_looks_like_a_placeholder_is_not_followed(cas, owner, platform, clock, more):
    there = """
name: there
version: "0.3.12"
secrets:
  - {name: text, kind: ascii, value: '$$SCONE::own$$', export: {session: demo}}
  - {name: policy, kind: config-fragment, value: {tolerate: [debug-mode]}, export: {session: demo}}
access_policy: {read: [CREATOR], update: [CREATOR]}
"""
    fragment = "{one_time_password_shared_secret: '$$SCONE::own$$'}"
    hostile = there.replace("{tolerate: [debug-mode]}", fragment)
    status, answer = create(cas, hostile, owner)
    assert (status, "no placeholder inside a fragment" in " ".join(answer["msg"])) == (400, True)
    assert create(cas, there, owner)[0] == 201
    put(
        cas,
        owner,
        **more,
        secrets="[{name: text, kind: ascii, import: {session: there}},"
        f" {{name: own, kind: ascii, value: {BASE32}}}]",
    )
    answer = start(cas, platform, f"demo/app@{code(clock)}")
    assert answer[0] in {400, 503}
    assert "base32" in " ".join(answer[1]["msg"])


def test_of_one_code_used_at_the_same_time_exactly_one_wins(cas, owner, platform, clock):
    put(cas, owner, security=OTP)
    config_id = f"demo/app@{code(clock)}"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: start(cas, platform, config_id), range(16)))
    assert sorted(status for status, _ in answers) == [200] + [403] * 15
    assert all(body["msg"] == [USED] for status, body in answers if status == 403)


def test_a_used_password_stays_used_over_a_restart_and_an_update(tmp_path, platform, owner):
    clock = Clock()
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        running.cas.now = clock
        put(running, owner, security=OTP)
        used = code(clock)
        assert words(start(running, platform, f"demo/app@{used}"))
    with harness.running_cas(tmp_path, platform) as running:
        running.cas.now = clock
        assert why(start(running, platform, f"demo/app@{used}")) == [USED]
        clock.shift = timedelta(seconds=-30)  # a clock that goes back opens nothing
        assert why(start(running, platform, f"demo/app@{code(clock)}")) == [USED]


def test_a_password_is_used_up_although_the_evidence_is_refused(cas, owner, platform, clock):
    put(cas, owner, security=OTP)
    config_id = f"demo/app@{code(clock)}"
    assert "no evidence" in why(start(cas, NO_EVIDENCE, config_id))[1]
    assert why(start(cas, platform, config_id)) == [USED]


def test_guessing_ends_for_this_secret_and_this_step_and_costs_the_disk_nothing(
    cas, owner, platform, clock
):
    put(cas, owner, security=OTP)
    put(cas, owner, "another", security=OTP.replace(BASE32, BASE32[::-1]))
    before = cas.cas.phase.store.commit_number
    for number in range(factors.MAX_WRONG_PASSWORDS):
        service = ("app", "other")[number % 2]  # services that share a secret share its guesses
        config_id = f"demo/{service}@{wrong_code(clock, number)}"
        assert why(start(cas, platform, config_id)) == [WRONG]
    for service in ("app", "other"):
        right = f"demo/{service}@{code(clock)}"
        assert "wrong One-time Passwords" in why(start(cas, platform, right), 429)[0]
    assert cas.cas.phase.store.commit_number == before
    assert why(start(cas, platform, f"another/app@{wrong_code(clock)}")) == [WRONG]
    clock.shift = timedelta(seconds=30)
    assert words(start(cas, platform, f"demo/app@{code(clock)}"))


def test_evidence_for_another_code_is_refused(cas, owner, platform, clock):
    """The report data holds the configuration id as it was given."""
    put(cas, owner, security=OTP)
    lie = lambda _: {"config_id": "demo/app"}  # noqa: E731
    status, body = cas.attest_service(platform, f"demo/app@{code(clock)}", lie=lie)
    assert (status, "another channel" in body["msg"][1]) == (403, True)


def test_a_password_guards_a_session_without_attestation(cas, owner, clock):
    put(cas, owner, security=OTP.replace("{one", "{mode: none, one"))
    assert why(start(cas, NO_EVIDENCE, f"demo/app@{wrong_code(clock)}")) == [WRONG]
    assert words(start(cas, NO_EVIDENCE, f"demo/app@{code(clock)}")) == ["prog"]


TOKEN = "j765WyMWTKksiqWbBuuc"
WITH_TOKEN = f"{{service_access_token: {TOKEN}}}"


def test_only_who_knows_the_token_of_the_session_is_configured(cas, owner, platform):
    put(cas, owner, security=WITH_TOKEN)
    assert words(start(cas, platform, "demo/app", token=TOKEN.encode())) == ["prog"]
    assert "requires a service access token" in why(start(cas, platform, "demo/app"))[0]
    other = start(cas, platform, "demo/app", token=b"another")
    assert why(other) == ["the service access token is not that of session demo"]


def test_a_token_is_a_further_factor(cas, owner, platform):
    put(cas, owner, security=WITH_TOKEN)
    answer = start(cas, NO_EVIDENCE, "demo/app", token=TOKEN.encode())
    assert "no evidence" in why(answer)[1]


ELSEWHERE = "[{name: theirs, import: {session: hidden, secret: s}}]"


@pytest.mark.parametrize("security", [WITH_TOKEN, OTP])
def test_who_fails_the_factors_makes_the_cas_look_for_no_secret(
    cas, owner, platform, clock, monkeypatch, security
):
    """The platforms come from elsewhere, and are not even looked for."""
    asked = []
    put(cas, owner, service="platforms: [$$SCONE::theirs$$]", security=security, secrets=ELSEWHERE)
    monkeypatch.setattr(Resolution, "foreign", lambda *args: asked.append(args))
    name = f"demo/app@{wrong_code(clock)}" if security is OTP else "demo/app"
    assert why(start(cas, platform, name))
    if security is WITH_TOKEN:
        assert cas_proof(cas, "demo/app")[0] == 200
    assert asked == []


def test_a_token_guards_a_session_without_attestation(cas, owner):
    put(cas, owner, security=f"{{service_access_token: {TOKEN}, attestation: {{mode: none}}}}")
    assert why(start(cas, NO_EVIDENCE, "demo/app", token=b"x"))
    assert words(start(cas, NO_EVIDENCE, "demo/app", token=TOKEN.encode())) == ["prog"]


def test_the_cas_proves_that_it_knows_the_token_for_this_channel_and_role_only(
    cas, owner, platform
):
    put(cas, owner, security=WITH_TOKEN)
    token = SecretBytes(TOKEN.encode())
    status, body, exporter = cas_proof(cas, "demo/app")
    assert status == 200
    proof = bytes.fromhex(body["proof"])
    assert proves_token(proof, token, "cas", exporter)
    assert not proves_token(proof, token, "cas", bytes(32))
    assert not proves_token(proof, token, "service", exporter)
    # The answer of the CAS, sent back, proves nothing; nor does a proof of another channel.
    reflected = start(cas, platform, "demo/app", proof=lambda here: token_proof(token, "cas", here))
    assert "is not that of session demo" in why(reflected)[0]
    relayed = start(
        cas, platform, "demo/app", proof=lambda _: token_proof(token, "service", exporter)
    )
    assert "is not that of session demo" in why(relayed)[0]


def test_a_session_without_token_says_so_to_a_service_that_has_one(cas, owner, platform):
    put(cas, owner)
    status, body, _ = cas_proof(cas, "demo/app")
    assert (status, body["msg"]) == (403, ["session demo has no service access token"])
    assert (
        "has no service access token" in why(start(cas, platform, "demo/app", token=b"x"), 400)[0]
    )


def test_a_password_is_not_used_up_by_who_does_not_know_the_token(cas, owner, platform, clock):
    both = f"{{service_access_token: {TOKEN}, {OTP[1:]}"
    put(cas, owner, security=both)
    config_id = f"demo/app@{code(clock)}"
    why(start(cas, platform, config_id, token=b"another"))
    assert words(start(cas, platform, config_id, token=TOKEN.encode()))


def test_a_start_is_attested_once_also_for_another_service(cas, owner, platform):
    put(cas, owner, security="{singleton_enclaves: true}")
    assert words(start(cas, platform, "demo/app", instance=b"first"))
    for service in ("app", "other"):
        answer = start(cas, platform, f"demo/{service}", instance=b"first")
        messages = why(answer)
        assert messages[:2] == [
            "DCAP quote verification failed",
            "The program enclave is not trustworthy",
        ]
        assert "attested before" in messages[2]
    assert words(start(cas, platform, "demo/app", instance=b"second"))


def test_without_singleton_enclaves_a_start_may_come_again(cas, owner, platform):
    put(cas, owner)
    assert words(start(cas, platform, "demo/app", instance=b"first"))
    assert words(start(cas, platform, "demo/app", instance=b"first"))


def test_a_refused_start_is_not_counted(cas, owner, platform):
    put(cas, owner, security="{singleton_enclaves: true}")
    evil = harness.EnclaveIdentity(bytes(32), harness.SERVICE_PROGRAM.mrsigner, 7, 3)
    why(start(cas, platform, "demo/app", instance=b"first", program=evil))
    assert words(start(cas, platform, "demo/app", instance=b"first"))


def test_of_one_start_at_the_same_time_exactly_one_wins(cas, owner, platform):
    put(cas, owner, security="{singleton_enclaves: true}")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: start(cas, platform, "demo/app", instance=b"x"), range(16))
        )
    assert sorted(status for status, _ in answers) == [200] + [403] * 15


def test_a_start_is_remembered_over_a_restart_and_an_update(tmp_path, platform, owner):
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        first = put(running, owner, security="{singleton_enclaves: true}")
        assert words(start(running, platform, "demo/app", instance=b"x"))
    with harness.running_cas(tmp_path, platform) as running:
        assert "attested before" in why(start(running, platform, "demo/app", instance=b"x"))[2]
        put(
            running,
            owner,
            security="{singleton_enclaves: true}",
            more=f"predecessor: {first}",
        )
        assert "attested before" in why(start(running, platform, "demo/app", instance=b"x"))[2]


def singleton_records(cas):
    """The remembered starts by key of their record."""
    done = cas.cas.phase.store.transact(lambda records: dict(records.scan("singleton")))
    return done.result(20)


def test_nobody_can_choose_which_starts_are_remembered_together(cas, owner, platform):
    """With the hash of the key alone these would drive the first out of its one bucket."""

    def bucket_by_hash(instance):
        inner = hashlib.sha256(instance).digest()
        digest = hashlib.sha256(b"scone-singleton-enclave-v1\0" + inner).digest()
        return int.from_bytes(digest[-2:], "big") % factors._BUCKETS

    put(cas, owner, security="{singleton_enclaves: true}")
    count = factors._IDS_IN_BUCKET + 1
    numbers = (b"%d" % number for number in itertools.count())
    chosen = list(itertools.islice((one for one in numbers if bucket_by_hash(one) == 7), count))
    for instance in chosen:
        assert start(cas, platform, "demo/app", instance=instance)[0] == 200
    assert len(singleton_records(cas)) > count // 2
    assert start(cas, platform, "demo/app", instance=chosen[0])[0] == 403


def test_what_one_session_shows_of_the_starts_says_nothing_of_another(cas, owner, platform):
    for name in ("one", "two"):
        put(cas, owner, name, security="{singleton_enclaves: true}")
        for number in range(8):
            assert start(cas, platform, f"{name}/app", instance=b"%d" % number)[0] == 200
    found = [key.split() for key in singleton_records(cas)]
    assert {bucket for bucket, name in found if name == "one"} != {
        bucket for bucket, name in found if name == "two"
    }


@pytest.mark.parametrize("what", ["singleton", "otp"])
def test_what_is_kept_of_starts_counts_for_the_namespace(fresh, owner, platform, what):
    clock = fresh.cas.now = Clock()
    security = {"singleton": "{singleton_enclaves: true}", "otp": OTP}[what]
    config = {"sessions": {"max_bytes_per_namespace": 10_000}}
    assert harness.provision(fresh, owner, config)[0] == 200
    put(fresh, owner, security=security)
    given = f"demo/app@{code(clock)}" if what == "otp" else "demo/app"

    def used():
        return json.loads(fresh.cas.phase.store.get("usage", "demo"))["bytes"]

    before = used()
    config["sessions"]["max_bytes_per_namespace"] = before + 500
    assert fresh.call("PUT", "/v1/config", {"config": config}, owner)[0] == 200
    messages = why(start(fresh, platform, given), 429)
    assert messages == [f"the namespace 'demo' may hold {before + 500} bytes and is full"]
    config["sessions"]["max_bytes_per_namespace"] = before + 2_000
    assert fresh.call("PUT", "/v1/config", {"config": config}, owner)[0] == 200
    assert words(start(fresh, platform, given))
    assert before + 500 < used() <= before + 2_000


def test_what_is_remembered_of_starts_is_bounded(cas, owner, platform, monkeypatch):
    monkeypatch.setattr(factors, "_BUCKETS", 1)
    put(cas, owner, security="{singleton_enclaves: true}")
    for number in range(factors._IDS_IN_BUCKET + 1):
        assert start(cas, platform, "demo/app", instance=b"%d" % number)[0] == 200
    size = len(cas.cas.phase.store.get("singleton", "000 demo"))
    assert size == factors._IDS_IN_BUCKET * factors._ID_BYTES
    assert start(cas, platform, "demo/app", instance=b"1")[0] == 403
    assert start(cas, platform, "demo/app", instance=b"0")[0] == 200  # the oldest is forgotten


def test_a_service_runs_only_where_the_session_says(cas, owner, platform):
    put(cas, owner, service=f"platforms: [{platform.platform_id}]")
    assert words(start(cas, platform, "demo/app"))
    other = harness.make_platform(platform.vendor)
    assert "Unexpected platform" in why(start(cas, other, "demo/app"))[2]
    assert words(start(cas, other, "demo/other"))


def test_a_secret_may_name_the_platform(cas, owner, platform):
    put(
        cas,
        owner,
        service="platforms: [$$SCONE::where$$]",
        secrets=f"[{{name: where, kind: ascii, value: '{platform.platform_id}'}}]",
    )
    assert words(start(cas, platform, "demo/app"))
    other = harness.make_platform(platform.vendor)
    assert "Unexpected platform" in why(start(cas, other, "demo/app"))[2]


def test_a_service_that_must_be_local_is_refused_with_the_reason(cas, owner, platform):
    put(
        cas,
        owner,
        security="{attestation: {tolerate: [local-attestation-trust-cas-tcb],"
        " must_be_sgx_local: true}}",
    )
    assert "local evidence is not available yet" in why(start(cas, platform, "demo/app"))[2]


def test_a_fragment_decides_who_is_admitted(cas, owner, platform):
    policy = f"{{mrenclave: {MRENCLAVE}}}"
    more = (
        "  - name: third\n    command: prog\n    attestation: $$SCONE::who$$\n"
        "  - name: fourth\n    command: prog\n    attestation: [$$SCONE::nobody$$]\n"
    )
    put(
        cas,
        owner,
        more=more,
        secrets=f"[{{name: who, kind: config-fragment, value: {policy}}},"
        f" {{name: nobody, kind: config-fragment, value: {{mrenclave: {'ab' * 32}}}}}]",
    )
    assert words(start(cas, platform, "demo/third"))
    assert "Unexpected enclave measurement" in why(start(cas, platform, "demo/fourth"))[3]


def test_a_section_of_another_session_counts_as_it_is_now(cas, owner, platform, clock):
    def policy(value, more=""):
        return (
            f'name: policy\nversion: "0.3.12"\n{more}\n'
            f"secrets: [{{name: security, kind: config-fragment, value: {value},"
            " export: {session: demo}}]\n"
            "access_policy: {read: [CREATOR], update: [CREATOR]}\n"
        )

    status, answer = create(cas, policy("{attestation: {mode: none}}"), owner)
    assert status == 201, answer
    put(
        cas,
        owner,
        security="$$SCONE::security$$",
        secrets="[{name: security, kind: config-fragment, import: {session: policy}},"
        " {name: unrelated, kind: ascii, import: {session: absent}}]",
    )
    assert words(start(cas, NO_EVIDENCE, "demo/app"))
    text = policy(OTP, f"predecessor: {answer['hash']}")
    status, answer = create(cas, text, owner)
    assert status == 201, answer
    assert "requires a One-time Password" in why(start(cas, NO_EVIDENCE, "demo/app"))[0]
    assert words(start(cas, platform, f"demo/app@{code(clock)}"))
    status, answer = create(
        cas, policy(OTP, f"predecessor: {answer['hash']}").replace("demo", "x"), owner
    )
    assert status == 201, answer
    messages = why(start(cas, platform, "demo/app"), 404)
    assert messages[0] == "Failed to retrieve service attestation configuration"
    assert "secret security of session demo" in " ".join(messages)


def test_a_service_waits_for_what_it_uses_and_for_nothing_else(cas, owner, platform):
    put(
        cas,
        owner,
        service="environment: {A: $$SCONE::there$$}",
        secrets="[{name: there, kind: ascii, import: {session: absent}}]",
    )
    assert words(start(cas, platform, "demo/other")) == ["prog"]
    assert "secret there of session demo" in " ".join(why(start(cas, platform, "demo/app"), 404))


def test_tokens_are_made_for_each_start_with_the_measurement(cas, owner, platform):
    import base64
    import json

    put(
        cas,
        owner,
        service="environment: {TOKEN: $$SCONE::token$$}",
        secrets="[{name: key, kind: private-key, key_type: P-384},"
        " {name: token, kind: jwt, signer: key, alg: ES384, validity: {for: 1h},"
        " payload: {me: $$SCONE::self::software_identity$$, who: app}}]",
    )
    found = configured(start(cas, platform, "demo/app")).environment[0][1].reveal()
    payload = found.split(b".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=="))
    assert (claims["me"], claims["who"]) == (MRENCLAVE, "app")
    again = configured(start(cas, platform, "demo/app")).environment[0][1].reveal()
    assert found.split(b".")[2] != again.split(b".")[2]
    assert words(start(cas, platform, "demo/other"))
