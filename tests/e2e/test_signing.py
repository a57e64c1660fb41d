"""Governance by signatures against the real programs: several CLIs, openssl, one CAS."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e
POLICY = """\
name: governed
version: "0.3"
access_policy:
  read: ANY
  update:
  - require-at-least-2:
    - signer: $ALICE
    - signer: $BOB
    - signer: $CAROL
secrets:
- name: password
  kind: ascii
  value: $VALUE
"""


@pytest.fixture
def world(tmp_path):
    (tmp_path / "owner.toml").write_text('[sessions]\nroot_create = "any"\n')
    with programs.las(tmp_path):
        cas = programs.CasProcess(tmp_path).start()
        try:
            yield cas
        finally:
            cas.stop()


def run(world, line, *, status=0, config="alice.json"):
    """A line of shell with `scone` as one of the users."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=world.home,
        env=programs.environment(world.home, SCONE_CLI_CONFIG=str(world.home / config)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == status, (line, done.returncode, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def attest(world, config):
    run(
        world,
        f"scone cas attest localhost:{world.ports[0]}"
        " --only_for_testing-simulation .cas/simulated-platform/root.pem",
        config=config,
    )


def test_two_of_three_signers_govern_a_session(world):
    token, key = world.line("CAS provisioning token"), world.line("CAS key hash")
    run(
        world,
        f"scone cas provision localhost:{world.ports[0]} -c {key} --token {token} --config-file owner.toml"
        " with-attestation --only_for_testing-simulation .cas/simulated-platform/root.pem",
        config="owner.json",
    )
    for config in ("alice.json", "mallory.json"):
        attest(world, config)
    run(
        world,
        "openssl ecparam -name secp384r1 -genkey -noout -out carol.pem"
        " && openssl pkey -in carol.pem -pubout -out carol.pub",
    )
    for user in ("alice", "bob"):
        run(world, f"scone self show-session-signing-key > {user}.pub", config=f"{user}.json")
    (world.home / "policy.yml").write_text(POLICY)
    variables = " ".join(f"-e {user.upper()}=@{user}.pub" for user in ("alice", "bob", "carol"))
    run(
        world,
        f"scone session sign policy.yml {variables} -e VALUE=first > alice1.json"
        " && scone session sign alice1.json generate-message-to-be-signed carol.pub"
        " | openssl dgst -sha384 -sign carol.pem"
        " | scone session sign alice1.json add-signature carol.pub > first.json",
    )
    # Anybody may carry a signed session to the CAS.
    first = run(world, "scone session create first.json", config="mallory.json")
    assert first == run(world, "scone session calculate-hash first.json")
    assert first == run(world, "scone session verify first.json")
    assert "value: first" in run(world, "scone session read governed")

    successor = f"predecessor: {first}"
    (world.home / "policy.yml").write_text(POLICY + successor)
    sign = f"scone session sign policy.yml {variables} -e VALUE=second"
    run(world, f"{sign} > alice2.json")
    alone = run(world, "scone session update alice2.json", status=1)
    assert "403" in alone
    run(world, "scone session sign alice2.json > mallory2.json", config="mallory.json")
    assert "403" in run(world, "scone session update mallory2.json", status=1)
    run(world, "scone session sign alice2.json > second.json", config="bob.json")
    second = run(world, "scone session update second.json", config="mallory.json")
    assert second == run(world, "scone session calculate-hash second.json")

    # A third version, encrypted; the key of the CAS came with its attestation.
    (world.home / "policy.yml").write_text(POLICY + f"predecessor: {second}")
    own = run(world, "scone cas show-identification -c").strip()
    bound = f"--for-cas {own} --not-after 2126-01-01"
    run(
        world,
        f"scone session sign policy.yml {variables} -e VALUE=third {bound} > alice3.json",
    )
    run(world, f"scone session sign {bound} alice3.json > third.json", config="bob.json")
    run(world, "scone session encrypt third.json > third.enc.json")
    assert "third" not in (world.home / "third.enc.json").read_text()
    third = run(world, "scone session create third.enc.json", config="mallory.json")
    assert third == run(world, "scone session calculate-hash third.json")

    # Replays change nothing.
    for old in ("first", "second"):
        assert "409" in run(world, f"scone session create {old}.json", status=1)
    assert "value: third" in run(world, "scone session read governed")


def test_a_signature_for_another_cas_or_a_changed_text_is_refused_by_the_cas(world):
    owner = programs.identity()
    world.provision(owner, {"sessions": {"root_create": "any"}})
    attest(world, "alice.json")
    (world.home / "s.yml").write_text(
        'name: s\nversion: "0.3"\naccess_policy:\n  read: ANY\n  update: NONE\n'
    )
    other = run(world, "scone self show-key-hash").strip()
    run(world, f"scone session sign --for-cas {other} s.yml > s.json")
    refused = run(world, "scone session create s.json", status=4)
    assert f"is for the CAS {other}, and this is " in refused
    document = json.loads((world.home / "s.json").read_text())
    document["session"] = document["session"].replace("NONE", "ANY")
    status, answer = world.call("PUT", "/v1/signed_sessions", document)
    assert (status, answer["code"]) == (403, "not-genuine")
    run(world, "scone session encrypt s.yml --key " + "ab" * 32 + " > foreign.json")
    refused = run(world, "scone session create foreign.json", status=1)
    assert "expected the session encryption key of this CAS" in refused
