"""Sessions over REST: create, update, read, history, rights, races, quotas."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import harness
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness import create, read, strings

from scone.cas.sessions import Sessions
from scone.crypto.keyhash import key_hash
from scone.crypto.secret import SecretBytes


def with_predecessor(text, found):
    return text + f"predecessor: {found}\n"


def test_create_read_update_and_history(cas, owner):
    status, created = create(cas, harness.session_text(), owner)
    assert status == 201
    first = created["hash"]
    status, found = read(cas, "demo", owner)
    assert (status, found["hash"]) == (200, first)
    assert "predecessor: null" in found["session"]
    changed = harness.session_text(**{"--flag": "--other"})
    status, updated = create(cas, with_predecessor(changed, first), owner)
    assert status == 201
    assert updated["hash"] != first
    _, now_active = read(cas, "demo", owner)
    assert f"predecessor: {first}" in now_active["session"]
    status, old = read(cas, "demo", owner, first)
    assert (status, old["hash"]) == (200, first)
    assert old["session"] == found["session"]


def test_what_was_read_back_can_be_uploaded_unchanged_on_another_cas(
    cas, owner, tmp_path, platform
):
    _, created = create(cas, harness.session_text(), owner)
    _, found = read(cas, "demo", owner)
    (tmp_path / "other").mkdir()
    with harness.running_cas(tmp_path / "other", platform) as other:
        assert harness.provision(other, owner)[0] == 200
        status, again = create(other, found["session"], owner)
        assert (status, again["hash"]) == (201, created["hash"])


def test_create_over_an_existing_name_is_400_in_sconces_words(cas, owner):
    create(cas, harness.session_text(), owner)
    status, answer = create(cas, harness.session_text(), owner)
    assert status == 400
    assert answer["msg"][-1] == "Session already exists, please specify predecessor hash"
    assert "scone session update FILE or scone session apply FILE" in answer["hint"]


def test_a_stale_predecessor_is_a_conflict_that_names_the_active_hash(cas, owner):
    _, one = create(cas, harness.session_text(), owner)
    text = with_predecessor(harness.session_text(**{"--flag": "--b"}), one["hash"])
    _, two = create(cas, text, owner)
    status, answer = create(
        cas, with_predecessor(harness.session_text(**{"--flag": "--c"}), one["hash"]), owner
    )
    assert (status, answer["code"]) == (409, "conflict")
    assert f"write predecessor: {two['hash']} into the file" in answer["hint"]
    assert two["hash"] not in "".join(answer["msg"])  # said once


def test_a_predecessor_for_an_unused_name_is_refused(cas, owner):
    status, answer = create(cas, with_predecessor(harness.session_text(), "0" * 64), owner)
    assert status == 409
    assert answer["msg"][-1] == "Predecessor hash specified albeit session alias unused"


def test_of_many_updates_at_once_exactly_one_wins(cas, owner):
    _, first = create(cas, harness.session_text(), owner)
    texts = [
        with_predecessor(harness.session_text(**{"--flag": f"--n{n}"}), first["hash"])
        for n in range(16)
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: create(cas, text, owner), texts))
    assert sorted(status for status, _ in answers) == [201] + [409] * 15
    winner = next(answer["hash"] for status, answer in answers if status == 201)
    assert read(cas, "demo", owner)[1]["hash"] == winner


def test_a_stranger_neither_reads_nor_updates_nor_creates(cas, owner, stranger):
    _, first = create(cas, harness.session_text(), owner)
    status, answer = read(cas, "demo", stranger)
    assert status == 403
    assert answer["msg"] == [
        "Failed to read session 'demo'",
        "You have insufficient rights to access session demo",
    ]
    assert answer["hint"] == f"you are {stranger.key_hash}"
    status, answer = read(cas, "demo")
    assert (status, answer["hint"]) == (
        403,
        "without a client certificate only what admits ANY is permitted",
    )
    assert create(cas, with_predecessor(harness.session_text(), first["hash"]), stranger)[0] == 403
    assert create(cas, harness.session_text(**{"name: demo": "name: mine"}), stranger)[0] == 403


def test_an_absent_session_is_404(cas, owner):
    status, answer = read(cas, "absent", owner)
    assert (status, answer["msg"]) == (
        404,
        ["Failed to read session 'absent'", "Session not found"],
    )
    create(cas, harness.session_text(), owner)
    assert read(cas, "demo", owner, "0" * 64)[0] == 404


def test_the_update_policy_of_the_predecessor_decides(cas, owner, stranger):
    key = key_hash(stranger.spki_der)
    text = harness.session_text(**{"update: [CREATOR]": f"update: [CREATOR, {key}]"})
    _, first = create(cas, text, owner)
    alone = with_predecessor(
        harness.session_text(**{"update: [CREATOR]": "update: [NONE]"}), first["hash"]
    )
    status, second = create(cas, alone, stranger)
    assert status == 201
    for identity in (owner, stranger):
        assert create(cas, with_predecessor(text, second["hash"]), identity)[0] == 403


def test_namespaces_follow_create_sessions_of_the_parent(cas, owner, stranger):
    child = harness.session_text(**{"name: demo": "name: demo/child"})
    assert create(cas, child, owner)[0] == 404
    key = key_hash(stranger.spki_der)
    parent = harness.session_text(
        **{"update: [CREATOR]": f"update: [CREATOR]\n  create_sessions: [{key}]"}
    )
    assert create(cas, parent, owner)[0] == 201
    assert create(cas, child, owner)[0] == 403
    assert create(cas, child, stranger)[0] == 201
    assert read(cas, "demo/child", stranger)[0] == 200
    assert read(cas, "demo/child", owner)[0] == 403


def test_anybody_creates_at_the_root_where_the_owner_configuration_says_so(fresh, owner, stranger):
    assert harness.provision(fresh, owner, {"sessions": {"root_create": "any"}})[0] == 200
    assert create(fresh, harness.session_text(), stranger)[0] == 201
    assert read(fresh, "", stranger)[0] == 403


def test_the_root_session_says_who_creates_and_its_owner_may_change_that(cas, owner, stranger):
    status, found = read(cas, "", owner)
    assert status == 200
    assert "name: /" in found["session"]
    assert create(cas, harness.session_text(), stranger)[0] == 403
    opened = (
        f'name: /\nversion: "0.3.11"\npredecessor: {found["hash"]}\naccess_policy:\n'
        f"  read: [ANY]\n  update: [{key_hash(owner.spki_der)}]\n  create_sessions: [ANY]\n"
    )
    assert create(cas, opened, stranger)[0] == 403
    assert create(cas, opened, owner)[0] == 201
    assert create(cas, harness.session_text(), stranger)[0] == 201


@pytest.mark.parametrize(
    "path",
    ["demo/../demo", "demo/./x", "/demo", "demo//x", "DEMO", "demo%00", "%2e%2e/demo", "demo/"],
)
def test_other_spellings_of_a_name_are_not_that_name(cas, owner, path):
    create(cas, harness.session_text(), owner)
    status, _ = cas.call("GET", f"/v1/sessions/{path}", b"", owner)
    assert status in (400, 404)


def test_quotas_hold_for_each_top_level_namespace(fresh, owner):
    config = {"sessions": {"max_sessions_per_namespace": 2}}
    assert harness.provision(fresh, owner, config)[0] == 200
    names = ["a", "a/one", "a/two", "b"]
    texts = [harness.session_text(**{"name: demo": f"name: {name}"}) for name in names]
    assert [create(fresh, text, owner)[0] for text in texts] == [201, 201, 429, 201]


def test_bytes_are_counted_and_limited(fresh, owner):
    config = {"sessions": {"max_bytes_per_namespace": 5000}}
    assert harness.provision(fresh, owner, config)[0] == 200
    status, created = create(fresh, harness.session_text(), owner)
    assert status == 201
    status, answer = create(
        fresh,
        with_predecessor(harness.session_text(**{"--flag": "x" * 4000}), created["hash"]),
        owner,
    )
    assert (status, answer["code"]) == (429, "limit")
    assert read(fresh, "demo", owner)[1]["hash"] == created["hash"]


def test_sessions_and_generated_secrets_survive_a_restart(tmp_path, platform, owner):
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        _, created = create(running, harness.session_text(), owner)
        _, before = running.attest_service(platform, "demo/app")
        key = running.cas.phase.keys.cas_key_hash
    with harness.running_cas(tmp_path, platform) as running:
        assert running.cas.phase.keys.cas_key_hash == key
        assert read(running, "demo", owner)[1]["hash"] == created["hash"]
        assert running.attest_service(platform, "demo/app") == (200, before)


def test_no_generated_secret_is_in_what_is_read(cas, owner, platform):
    create(cas, harness.session_text(), owner)
    _, config = cas.attest_service(platform, "demo/app")
    _, found = read(cas, "demo", owner)
    import base64

    values = [base64.b64decode(value) for value in strings(config["environment"])]
    assert any(len(value) == 24 for value in values)
    assert not any(
        value.decode(errors="ignore") in found["session"] for value in values if len(value) == 24
    )


def test_the_audit_log_has_a_line_for_each_operation_and_no_secret(fresh, owner, platform):
    import json

    assert harness.provision(fresh, owner, {"audit_log": {"mode": "unsigned"}})[0] == 200
    create(fresh, harness.session_text(), owner)
    read(fresh, "demo", owner)
    fresh.attest_service(platform, "demo/app")
    lines = fresh.cas.availability.audit_log_path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [
        "provisioned",
        "session_created",
        "session_read",
        "service_attested",
    ]


class LongIdentity:
    """A client whose certificate has 90 KB."""

    def __init__(self):
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(66_000))
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(harness.now() - timedelta(days=1))
            .not_valid_after(harness.now() + timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(key, hashes.SHA256())
        )
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        self.pem = SecretBytes(key.private_bytes(pem, *form) + certificate.public_bytes(pem))


def test_a_session_that_its_creator_makes_too_long_is_refused_and_not_stored(fresh, owner):
    harness.provision(fresh, owner, {"sessions": {"root_create": "any"}})
    who = LongIdentity()
    text = 'name: long\nversion: "0.3.10"\nsecrets:\n- {name: s, kind: ascii, value: VALUE}\n'
    status, answer = create(fresh, text.replace("VALUE", "x" * 980_000), who)
    assert (status, answer["code"]) == (400, "malformed")
    assert "at most 1048576 bytes in canonical form, its creator included" in answer["msg"][-1]
    assert read(fresh, "long", who)[0] == 404
    status, answer = create(fresh, text.replace("VALUE", "x" * 950_000), who)
    assert status == 201, answer
    fresh.cas.sessions = Sessions()  # as after a restart
    assert read(fresh, "long", who)[1]["hash"] == answer["hash"]
    assert create(fresh, with_predecessor(text, answer["hash"]), who)[0] == 201
