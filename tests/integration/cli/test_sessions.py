"""Sessions through the command line: check, hash, create, update, verify, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas, error, ok

from scone.crypto.identity import create_identity
from scone.transport.http import Response

SHARED = {
    "first": 'name: "my-example-session"\nversion: "0.2"\npredecessor: ~\n',
    "second": (
        'name: "my-example-session"\nversion: "0.2"\n\nservices:\n  - name: webservice\n'
        '    command: "./nginx"\n    mrenclaves: ["$NGINX_MRENCLAVE"]\n'
    ),
}
MEASUREMENT = "3be304015fb399cf88d76a8f58f04e16997010dab573cb1a91eb6257c2a452ac"


@pytest.fixture
def first(tmp_path: Path) -> str:
    path = tmp_path / "my-example-session.001.yml"
    path.write_text(SHARED["first"])
    return str(path)


@pytest.fixture
def second(tmp_path: Path) -> str:
    path = tmp_path / "my-example-session.002.yml"
    path.write_text(SHARED["second"])
    return str(path)


def is_hash(text: str) -> bool:
    return len(text) == 65 and text.endswith("\n") and set(text[:-1]) <= set("0123456789abcdef")


def test_the_pages_two_files_run_through_its_commands(
    scone: Cli, attested: FakeCas, first: str, second: str
) -> None:
    variable = ["-e", f"NGINX_MRENCLAVE={MEASUREMENT}"]
    assert scone("cas", "session", "check", first).code == 0
    created = scone("session", "create", first)
    assert created.code == 0
    assert is_hash(created.out)
    again = scone("session", "create", "--cas", attested.address, first)
    assert again.code == 1
    assert again.err.splitlines()[-3:] == [
        "Error: Creating session failed",
        f"Caused by: CAS at '{attested.url}' returned HTTP error status code 400 Bad Request",
        "Caused by: Session already exists, please specify predecessor hash",
    ]
    updated = scone("cas", "session", "update", *variable, second)
    assert updated.code == 0
    assert is_hash(updated.out)
    assert updated.out != created.out
    text = scone("session", "read", "my-example-session")
    assert f"predecessor: {created.out.strip()}" in text.out
    verified = scone("cas", "session", "verify", *variable, second)
    assert (verified.code, verified.out) == (0, updated.out)


def test_a_read_session_verifies_and_hashes_to_the_same(
    scone: Cli, attested: FakeCas, first: str, tmp_path: Path
) -> None:
    created = scone("session", "create", first)
    read = scone("session", "read", "my-example-session")
    path = tmp_path / "read.yml"
    path.write_text(read.out)
    assert scone("session", "calculate-hash", str(path)).out == created.out
    assert scone("session", "verify", str(path)).out == created.out
    assert scone("session", "calculate-hash", first, "--with-self-as-creator", "tls").out == (
        created.out
    )


def test_the_hash_of_a_session_with_a_creator_needs_one(scone: Cli, first: str) -> None:
    result = scone("session", "calculate-hash", first)
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith(
        "Error: Cannot calculate session hash! The session, explicitly or through the default access "
        "policy, references its creator. If not explicitly specified in the session, the creator is "
        "automatically assigned to the identity uploading the session. You may use "
        "--with-self-as-creator to pretend you created the session, or remove all creator references.\n"
    )
    assert scone("session", "calculate-hash", first, "--with-self-as-creator", "me").code == 2


def test_calculate_hash_takes_a_certificate_alone_as_identity(
    scone: Cli, first: str, tmp_path: Path
) -> None:
    import os

    identity = create_identity(os.urandom)
    both, alone = tmp_path / "both.pem", tmp_path / "alone.pem"
    both.write_bytes(identity.pem.reveal())
    alone.write_text(identity.certificate_pem)
    arguments = ["session", "calculate-hash", first, "--with-self-as-creator", "tls", "--identity"]
    assert scone(*arguments, str(both)).out == scone(*arguments, str(alone)).out != ""


def test_a_missing_variable_is_told_with_its_place_and_nothing_is_sent(
    scone: Cli, attested: FakeCas, second: str
) -> None:
    result = scone("session", "update", second)
    assert (result.code, result.out) == (1, "")
    assert f"Parsing session from session template file '{second}' failed" in result.err
    assert "variable $NGINX_MRENCLAVE is missing at line 7 column" in result.err
    assert attested.requests == []


def test_values_come_from_options_before_the_environment(
    scone: Cli, second: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NGINX_MRENCLAVE", "00" * 32)
    assert "00" * 32 in scone("session", "check", "--use-env", second).out
    given = scone("session", "check", "--use-env", "-e", f"NGINX_MRENCLAVE={MEASUREMENT}", second)
    assert MEASUREMENT in given.out
    path = tmp_path / "value"
    path.write_text(MEASUREMENT + "\n")
    read = scone("session", "check", "-e", f"NGINX_MRENCLAVE=@{path}", second)
    assert read.out == given.out
    assert "visible to all users" not in read.err
    assert "visible to all users" in given.err


def test_variables_that_are_given_twice_or_not_used_are_warned_about(
    scone: Cli, second: str
) -> None:
    variable = ["-e", f"NGINX_MRENCLAVE={MEASUREMENT}"]
    fine = scone("session", "check", *variable, *variable, second)
    assert "Warning: -e " not in fine.err
    twice = scone("session", "check", "-e", "NGINX_MRENCLAVE=" + "00" * 32, *variable, second)
    assert MEASUREMENT in twice.out
    assert "-e NGINX_MRENCLAVE= is given with different values; the last one" in twice.err
    unused = scone("session", "check", *variable, "-e", "NGINX=s3cr3t", second)
    assert unused.code == 0
    assert "-e NGINX= is not used: the session file has no $NGINX\n" in unused.err
    assert "s3cr3t" not in unused.err


@pytest.mark.parametrize("given", ["secret-without-equals", "1X=secret", "=secret", "A-B=secret"])
def test_a_malformed_variable_is_not_repeated(scone: Cli, first: str, given: str) -> None:
    result = scone("session", "check", "-e", given, first)
    assert result.code == 2
    assert "secret" not in result.err


def test_the_name_is_replaced(scone: Cli, attested: FakeCas, first: str) -> None:
    assert scone("session", "create", "-n", "other-name", first).code == 0
    assert list(attested.sessions) == ["other-name"]


def test_update_of_an_absent_session_fails_and_creates_nothing(
    scone: Cli, attested: FakeCas, first: str, tmp_path: Path
) -> None:
    result = scone("session", "update", first)
    assert result.code == 1
    assert "Session not found" in result.err
    path = tmp_path / "with-predecessor.yml"
    path.write_text(SHARED["first"].replace("~", "ab" * 32))
    assert scone("session", "update", str(path)).code == 1
    assert attested.sessions == {}
    assert not any(request.method == "POST" for request in attested.requests)


def test_create_with_the_predecessor_updates(
    scone: Cli, attested: FakeCas, first: str, tmp_path: Path
) -> None:
    created = scone("session", "create", first).out.strip()
    path = tmp_path / "next.yml"
    path.write_text(SHARED["first"].replace("~", created))
    assert scone("session", "create", str(path)).code == 0
    stale = scone("session", "create", str(path))
    assert stale.code == 1
    assert "409 Conflict" in stale.err


def test_verify_says_what_differs(scone: Cli, attested: FakeCas, first: str, second: str) -> None:
    assert scone("session", "create", first).code == 0
    result = scone("session", "verify", "-e", f"NGINX_MRENCLAVE={MEASUREMENT}", second)
    assert (result.code, result.out) == (1, "")
    assert "The active session my-example-session differs from" in result.err
    assert "services" in result.err


def test_verify_does_not_believe_a_hash(scone: Cli, attested: FakeCas, first: str) -> None:
    assert scone("session", "create", first).code == 0
    text, digest = attested.sessions["my-example-session"]
    attested.sessions["my-example-session"] = (text, "00" * 32)
    result = scone("session", "verify", first)
    assert (result.code, result.out) == (4, "")
    assert digest in result.err


def test_warnings_fail_before_anything_is_sent(
    scone: Cli, attested: FakeCas, tmp_path: Path
) -> None:
    path = tmp_path / "warned.yml"
    path.write_text(
        'name: warned\nversion: "0.3"\nsecurity:\n  attestation:\n    tolerate: [debug-mode]\n'
        '    ignore_advisories: "*"\n'
    )
    warned = scone("session", "check", str(path))
    assert warned.code == 0
    assert warned.err.startswith("Warning: ")
    result = scone("session", "create", "--fail-on-warning", str(path))
    assert (result.code, result.out) == (1, "")
    assert attested.requests == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ok({"hash": "xyz"}, 201), 3),
        (ok({"hash": "AB" * 32}, 201), 3),
        (ok({}, 201), 3),
        (Response(201, b"\xff\xfe"), 3),
        (Response(201, b'{"hash":"' + b"ab" * 32 + b'","hash":"' + b"cd" * 32 + b'"}'), 3),
        (Response(301, b"", (("location", "https://elsewhere/"),)), 3),
        (error(409, "conflict", "lost"), 1),
        (error(429, "limit", "too often"), 1),
        (error(500, "integrity", "the database was altered"), 1),
        (error(418, "\x00", "?"), 1),
    ],
)
def test_answers_that_are_no_hash_print_nothing_on_stdout(
    scone: Cli, attested: FakeCas, first: str, answer: Response, code: int
) -> None:
    attested.override["POST /v1/sessions"] = lambda _: answer
    result = scone("session", "create", first)
    assert (result.code, result.out) == (code, "")
    assert "Traceback" not in result.err
    assert "internal error" not in result.err
    assert sum(request.method == "POST" for request in attested.requests) == 1


def test_warnings_of_the_cas_are_told(scone: Cli, attested: FakeCas, first: str) -> None:
    answer = ok({"hash": "ab" * 32, "warnings": [["services", "look \x1b[2J here"]]}, 201)
    attested.override["POST /v1/sessions"] = lambda _: answer
    result = scone("session", "create", "--json", first)
    assert json.loads(result.out) == {"name": "my-example-session", "hash": "ab" * 32}
    assert "Warning: services: look \\x1b[2J here\n" in result.err


def test_read_of_an_absent_session_fails(scone: Cli, attested: FakeCas) -> None:
    result = scone("session", "read", "absent")
    assert (result.code, result.out) == (1, "")
    assert "Session not found" in result.err
    assert scone("session", "read", "../etc").code == 2
    assert scone("session", "read", "a b").code == 2


def test_the_root_session_is_read_by_its_name_alone(scone: Cli, attested: FakeCas) -> None:
    attested.sessions[""] = ("name: /\n", "ab" * 32)
    found = json.loads(scone("session", "read", "/", "--json").out)
    assert found == {"name": "/", "hash": "ab" * 32, "simulated": True, "session": "name: /\n"}
    attested.requests.clear()
    for name in ("", "//", "///"):
        result = scone("session", "read", name)
        assert (result.code, result.out) == (2, "")
    assert attested.requests == []


def test_another_identity_is_presented_with_identity(
    scone: Cli, attested: FakeCas, first: str, tmp_path: Path
) -> None:
    import os

    identity = create_identity(os.urandom)
    path = tmp_path / "identity.pem"
    path.write_bytes(identity.pem.reveal())
    assert scone("session", "create", "--identity", str(path), first).code == 0
    assert attested.requests[-1].peer_spki_der == identity.spki_der


def test_backups_are_registered_listed_and_withdrawn(
    scone: Cli, attested: FakeCas, machine: object
) -> None:
    with FakeCas(attested.platform, provisioned=False) as backup:
        wrong = scone("cas", "register-backup", backup.address, "--key-hash", "wrong")
        assert wrong.code == 2
        assert backup.requests == []
        other = scone(
            "cas", "register-backup", backup.address, "--key-hash", attested.keys.cas_key_hash
        )
        assert other.code == 4
        assert not any("POST" in path for path in backup.paths)
        result = scone(
            "cas", "register-backup", backup.address, "-CGS", "--key-hash", backup.keys.cas_key_hash
        )
        assert (result.code, result.out) == (0, "Backup CAS registered\n")
        sent = json.loads(next(r for r in backup.requests if r.method == "POST").body)
        assert sent == {"nonce": "11" * 16, "role": "backup"}
    body = json.loads(next(r for r in attested.requests if r.path == "/v1/backups").body)
    assert body["public_key"] == "22" * 32
    assert body["nonce"] == "11" * 16
    listed = scone("cas", "list-backups")
    assert listed.out.startswith("b1: ")
    assert "ISVSVN 1 UpToDate" in listed.out
    withdrawn = scone("cas", "unregister-backup", "b1")
    assert (withdrawn.code, withdrawn.out) == (0, "")
    assert withdrawn.err.endswith(f"scone cas attest {attested.address}\n")
    assert "everybody who uses it must attest it again" in withdrawn.err
    as_json = scone("cas", "unregister-backup", "b1", "--json")
    assert json.loads(as_json.out) == {"id": "b1", "withdrawn": True}
    assert json.loads(scone("cas", "list-backups", "--json").out) == []
    assert scone("cas", "unregister-backup", "../x").code == 2


def test_a_backup_with_another_signer_is_refused_before_it_is_asked(
    scone: Cli, attested: FakeCas
) -> None:
    from dataclasses import replace

    with FakeCas(attested.platform, provisioned=False) as backup:
        backup.identity = replace(backup.identity, mrsigner=bytes(32))
        result = scone("cas", "register-backup", backup.address)
        assert result.code == 4
        assert "Unexpected enclave signer" in result.err
        assert backup.paths == ["GET /v1/attest"]
    assert attested.requests == []
