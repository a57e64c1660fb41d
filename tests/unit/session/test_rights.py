"""What a new version of a session changes in rights: who, which code, which secrets."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from scone.errors import SconeError
from scone.session import read_session
from scone.session.review.rights import rights_difference

ONE, TWO, SIGNER = "a1" * 32, "b2" * 32, "c3" * 32

BASE = f"""
name: space/demo
version: "0.3.12"
secrets:
- {{name: password, kind: ascii, value: first}}
- {{name: token, kind: ascii, export: {{session: other, session_hash: {ONE}}}}}
- {{name: key, kind: private-key, migrate: true}}
- {{name: cert, kind: x509, private_key: key, dns: localhost}}
- {{name: disk, kind: binary, size: 32}}
- {{name: who, kind: config-fragment, value: {{mrenclave: {ONE}}}}}
volumes:
- {{name: data, fspf_key: "$$SCONE::disk$$", fspf_tag: {"e" * 32}, export: {{to: {{session: other}}, update_policy: ephemeral}}}}
images:
- name: files
  volumes: [{{name: data, path: /data}}]
  injection_files: [{{path: /tls.pem, content: "$$SCONE::cert:crt$$"}}]
services:
- name: web
  image_name: files
  command: web --port 80 last
  environment: {{PASSWORD: "$$SCONE::password$$", MODE: fast}}
  attestation:
  - mrenclave: [{ONE}, {TWO}]
  - signer: {{mrsigner: {SIGNER}, isvprodid: 3, isvsvn_min: 5}}
  platforms: ["INTEL_QE_ID:{"1" * 32}"]
  fspf_path: /fspf
  fspf_key: {ONE}
  fspf_tag: {"d" * 32}
  one_time_password_shared_secret: {"A" * 32}
- name: job
  command: job
  attestation: [$$SCONE::who$$]
access_policy:
  read: [CREATOR]
  update:
  - require-at-least-2: [{{signer: "ONE_KEY"}}, {{signer: "TWO_KEY"}}, {{signer: "THREE_KEY"}}]
security:
  attestation: {{tolerate: [hyperthreading], ignore_advisories: [INTEL-SA-00001]}}
  service_access_token: secret-token
"""


@pytest.fixture(scope="module")
def base() -> str:
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = BASE
    for number, name in enumerate(("ONE_KEY", "TWO_KEY", "THREE_KEY")):
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        text = text.replace(name, pem.replace("\n", "\\n"))
    return text


VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "session").glob("*/input.yml"))


def session(text):
    return read_session(text).session


def changes(old, new):
    found = rights_difference(session(old), session(new))
    return [(one.effect, one.topic, f"{one.subject}: {one.text}") for one in found.changes]


def test_the_same_session_has_no_difference(base):
    found = rights_difference(session(base), session(base))
    assert found.changes == ()
    fates = {one.secret: one.fate for one in found.values}
    assert fates == {
        "password": "kept",
        "token": "kept",
        "key": "kept",
        "cert": "made again",
        "disk": "kept",
        "who": "kept",
    }


# What is replaced, by what, and what a reviewer must read first.
WEAKENINGS = {
    "anybody reads": ("read: [CREATOR]", "read: ANY", "access", "everybody may read the session"),
    "one signer fewer": ("require-at-least-2", "require-at-least-1", "access", "1 of (signer "),
    "another measurement": (f"[{ONE}, {TWO}]", f"[{ONE}, {TWO}, {SIGNER}]", "code", SIGNER),
    "older versions": ("isvsvn_min: 5", "isvsvn_min: 4", "code", "security version 4 or newer"),
    "every version": (", isvsvn_min: 5", "", "code", "security version 0 or newer"),
    "a fragment": (f"mrenclave: {ONE}", f"mrenclave: [{ONE}, {TWO}]", "code", "service job: "),
    "any platform": (f'  platforms: ["INTEL_QE_ID:{"1" * 32}"]\n', "", "platform", "any platform"),
    "a toleration": ("[hyperthreading]", "[hyperthreading, debug-mode]", "platform", "debug-mode"),
    "an advisory": ("[INTEL-SA-00001]", "[INTEL-SA-00001, INTEL-SA-00002]", "platform", "00002 is"),
    "all advisories": ("[INTEL-SA-00001]", '"*"', "platform", "every advisory"),
    "no attestation": ("attestation: {tol", "attestation: {mode: none, tol", "platform", "none"),
    "no password": (
        f"  one_time_password_shared_secret: {'A' * 32}\n",
        "",
        "code",
        "a one-time password is no longer required",
    ),
    "no token": ("  service_access_token: secret-token\n", "", "code", "access token is no longer"),
    "export to all versions": (f", session_hash: {ONE}", "", "secrets", "session other may import"),
    "export to a namespace": (
        f"{{session: other, session_hash: {ONE}}}",
        "{namespace: space}",
        "secrets",
        "every session in space may import it now",
    ),
    "public": (
        f"export: {{session: other, session_hash: {ONE}}}",
        "export_public: true",
        "secrets",
        "secret token: everybody may read it now",
    ),
    "a service sees more": ("MODE: fast", 'MODE: "$$SCONE::token$$"', "secrets", "sees token in"),
    "the key of a certificate": ("cert:crt", "cert:privatekey", "secrets", "cert (private key)"),
    "volume export": ("update_policy: ephemeral", "update_policy: no_rollback_protection",
                      "volumes", "no_rollback_protection may use it now"),
    "volume policy": ("path: /data", "path: /data, update_policy: no_rollback_protection",
                      "volumes", "rollback_protected became no_rollback_protection"),
    "fspf policy": ("  fspf_path: /fspf", ("  fspf_update_policy: no_rollback_protection\n"
                    "  fspf_path: /fspf"), "volumes", "fspf_update_policy"),
    "argument of the host": ("80 last", "80 @@1", "services", "chooses argument @@1"),
    "loader": ("MODE: fast", "LD_PRELOAD: /x", "services", "LD_PRELOAD makes it load"),
}  # fmt: skip


@pytest.mark.parametrize("case", WEAKENINGS)
def test_what_gives_more_is_weaker_and_the_reverse_is_stronger(base, case):
    old, new, topic, text = WEAKENINGS[case]
    changed = base.replace(old, new, 1) if "volume" in case else base.replace(old, new)
    assert changed != base
    found = changes(base, changed)
    assert [one for one in found if one[:2] == ("weaker", topic) and text in one[2]], found
    assert found[0][0] == "weaker"
    back = changes(changed, base)
    if case != "loader":
        assert [one for one in back if one[:2] == ("stronger", topic)], back
    # A lost narrower right is no strengthening beside a wider one.
    if case in {"older versions", "every version", "one signer fewer", "all advisories"}:
        assert {one[0] for one in found} == {"weaker"}
        assert {one[0] for one in back} == {"stronger"}


CHANGES = {
    "explicit value": ("value: first", "value: second", "secret password: explicit value changed"),
    "command": ("--port 80", "--port 81", "command changed at 2 (not shown; 0 is the program)"),
    "environment": ("MODE: fast", "MODE: slow", "variable MODE changed (not shown)"),
    "file": ("cert:crt$$", "cert:crt$$ more", "file /tls.pem changed (not shown)"),
    "name": ("name: space/demo", "name: space/demo2", "name: space/demo became space/demo2"),
    "dns": ("dns: localhost", "dns: example.org", "dns: localhost became example.org"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_changes_are_told_without_values(base, case):
    old, new, text = CHANGES[case]
    found = changes(base, base.replace(old, new))
    assert ("changed", text) in [(one[0], text) for one in found if text in one[2]]
    assert {one[0] for one in found} == {"changed"}
    assert not any("second" in one[2] or "fast" in one[2] for one in found)


def test_a_new_secret_that_a_service_sees_takes_nothing_from_anybody(base):
    new = base.replace("secrets:\n", "secrets:\n- {name: fresh, kind: ascii}\n").replace(
        "MODE: fast", 'MODE: fast, FRESH: "$$SCONE::fresh$$"'
    )
    assert {one[0] for one in changes(base, new)} == {"changed"}


def test_a_service_that_is_gone_admits_and_sees_nothing_any_more(base):
    at = base.index("- name: job")
    without = base[:at] + base[base.index("access_policy:") :]
    found = changes(base, without)
    assert ("changed", "services", "service job: is gone") in found
    assert ("stronger", "code", f"service job: measurement {ONE} is no longer admitted") in found


def test_a_secret_that_decides_from_elsewhere_is_weaker_when_it_is_another():
    text = (
        'name: demo\nversion: "0.3.12"\nsecrets:\n'
        "- {name: who, import: {session: one, secret: who}, kind: config-fragment}\n"
        "services:\n- {name: web, command: web, attestation: [$$SCONE::who$$]}\n"
    )
    found = changes(text, text.replace("session: one", "session: two"))
    assert any(
        one[:2] == ("weaker", "code") and "secret who decides here" in one[2] for one in found
    ), found
    assert changes(text, text) == []


def test_values_that_an_update_makes_again_are_told_with_the_reason(base):
    new = (
        base.replace("migrate: true", "migrate: false")
        .replace("size: 32", "size: 16")
        .replace(", value: first", "")
        .replace(f'fspf_key: "$$SCONE::disk$$", fspf_tag: {"e" * 32}, ', "")
    )
    found = rights_difference(session(base), session(new)).values
    reasons = {one.secret: (one.fate, one.reason) for one in found}
    assert reasons["key"] == ("made again", "migrate: true is not in both versions")
    assert reasons["disk"] == ("made again", "size 32 became 16")
    assert reasons["password"] == ("made again", "the value was explicit")


def test_the_creator_of_the_active_version_is_no_difference(base, certificates):
    old = session(base)
    found = rights_difference(old.with_creator(certificates[0]), old)
    assert found.changes == ()
    other = rights_difference(old.with_creator(certificates[0]), old.with_creator(certificates[2]))
    assert [one.effect for one in other.changes].count("weaker") == 2  # read, and list as read
    renewed = old.with_creator(certificates[1])  # the same key
    assert rights_difference(old.with_creator(certificates[0]), renewed).changes == ()


def accepted():
    for path in VECTORS:
        try:
            yield session(path.read_text())
        except (SconeError, UnicodeDecodeError):
            continue


def test_every_construct_is_compared_and_turns_around():
    sessions = list(accepted())
    assert len(sessions) > 25
    for one, other in pairwise([*sessions, sessions[0]]):
        assert rights_difference(one, one).changes == ()
        there, back = rights_difference(one, other), rights_difference(other, one)
        assert there.changes
        assert len(there.changes) == len(back.changes)
        gained = [(c.topic, c.subject) for c in there.of("weaker") if "decide" not in c.text]
        lost = [(c.topic, c.subject) for c in back.of("stronger")]
        assert sorted(gained) == sorted(lost)


FIRST, SECOND = (
    f"{{signer: '-----BEGIN PUBLIC KEY-----\\n{key}\\n-----END PUBLIC KEY-----'}}".replace("'", '"')
    for key in (
        "MCowBQYDK2VwAyEAOsufQ7RCOXueVLQBpk7Y44GAaj+LzPbmHfdr/TPdlrE=",
        "MCowBQYDK2VwAyEA2dTsvt9VmHW3wUyLBgaVvEAE4AIGmrxM8HCvh9+Sqt8=",
    )
)
QUORUM = f"""
name: space/demo
version: "0.3.12"
access_policy:
  update: {{RULE: [{FIRST}, {{require-at-least-1: [{FIRST}, {SECOND}]}}]}}
"""


def test_two_who_must_be_different_are_more_than_entries_that_one_signer_fills():
    two, all_of_them = (
        QUORUM.replace("RULE", "require-at-least-2"),
        QUORUM.replace("RULE", "require-all"),
    )
    assert [change[0] for change in changes(two, all_of_them) if "update" in change[2]] == [
        "weaker"
    ]
    assert [change[0] for change in changes(all_of_them, two) if "update" in change[2]] == [
        "stronger"
    ]
