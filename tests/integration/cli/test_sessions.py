"""Sessions through the command line: check, hash, create, update, verify, read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas, error, ok

from scone.cli.main import main
from scone.crypto.identity import create_identity
from scone.transport.http import Response

SHARED = {
    "first": 'name: "my-example-session"\nversion: "0.2"\npredecessor: ~\n',
    "second": (
        'name: "my-example-session"\nversion: "0.2"\n\nservices:\n  - name: webservice\n'
        '    command: "./nginx"\n    mrenclaves: ["$NGINX_MRENCLAVE"]\n'
    ),
}
SECRET_FIELD = (
    'version: "0.3.12"\nname: $NAME  # and $COMMENT\nsalt: "00112233445566778899aabbccddeeff"\n'
    "access_policy: {read: [ANY], update: [NONE]}\n"
    "services:\n  - {name: s, attestation: [{mrenclave: [" + "ab" * 32 + "]}], command: ./x, "
    "environment: {P: $PASSWORD}}\n"
)
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
    assert "visible to all users" not in read.err + given.err  # a measurement is no secret


def test_a_secret_on_the_command_line_is_warned_of(scone: Cli, tmp_path: Path) -> None:
    path, value = tmp_path / "s.yml", tmp_path / "value"
    path.write_text(SECRET_FIELD)
    value.write_text("s3cr3t")
    given = scone("session", "check", "-e", "PASSWORD=s3cr3t", "-e", "NAME=x", str(path))
    assert (
        "Warning: -e PASSWORD= puts a value into services[0].environment.P, which may be secret; on "
        "the command line it is visible to all users" in given.err
    )
    assert given.err.count("visible") == 1
    assert "s3cr3t" not in given.err
    read = scone("session", "check", "-e", f"PASSWORD=@{value}", "-e", "NAME=x", str(path))
    assert "visible" not in read.err
    assert read.out == given.out


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["PASSWORD=s3cr3t"], "visible-secret"),
        (["PASSWORD=@{value}", "MISSPELT=x"], "unused-variable"),
        (["PASSWORD=@{value}", "COMMENT=x"], "unused-variable"),
        (["PASSWORD=@{value}", "NAME=y"], "repeated-variable"),
    ],
)
def test_warnings_about_variables_fail_as_those_of_the_session(
    scone: Cli, tmp_path: Path, more: list[str], code: str
) -> None:
    path, value = tmp_path / "s.yml", tmp_path / "value"
    path.write_text(SECRET_FIELD)
    value.write_text("s3cr3t")
    variables = [
        word for one in ("NAME=x", *more) for word in ("-e", one.replace("{value}", str(value)))
    ]
    command = ["session", "check", "--fail-on-warning", "--json", str(path)]
    result = scone(*command, *variables)
    assert result.code == 1
    assert [one["code"] for one in json.loads(result.out)["warnings"]] == [code]
    fine = scone(*command, "-e", "NAME=x", "-e", f"PASSWORD=@{value}")
    assert (fine.code, fine.err) == (0, "")


def test_a_misspelt_variable_is_told_beside_the_missing_one(scone: Cli, second: str) -> None:
    result = scone("session", "check", "-e", "NGINX_MRENCLAVES=x", second)
    assert result.code == 1
    assert "-e NGINX_MRENCLAVES= is not used" in result.err
    assert "variable $NGINX_MRENCLAVE is missing" in result.err


def test_errors_about_a_variable_name_it(scone: Cli, second: str) -> None:
    result = scone("session", "check", "-e", "NGINX_MRENCLAVE=@/nonexistent", second)
    assert result.code == 2
    assert "Error: -e NGINX_MRENCLAVE=: file '/nonexistent': No such file" in result.err


@pytest.mark.parametrize("name", ["", "bad name", "//", "a//b", ".."])
def test_a_name_that_is_none_is_not_blamed_on_the_file(scone: Cli, first: str, name: str) -> None:
    result = scone("session", "check", "-n", name, first)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: --name: expected ")


def test_slashes_around_a_name_are_no_part_of_it(scone: Cli, attested: FakeCas, first: str) -> None:
    for name in ("/conf", "conf/", "conf"):
        assert "name: conf\n" in scone("session", "check", "-n", name, first).out
    assert scone("session", "create", "-n", "/conf/", first).code == 0
    assert list(attested.sessions) == ["conf"]
    for name in ("/conf", "conf/", "conf"):
        assert json.loads(scone("session", "read", name, "--json").out)["name"] == "conf"


@pytest.mark.parametrize("command", ["calculate-hash", "create", "update", "verify", "apply"])
def test_problems_of_the_file_are_json_for_every_command(
    scone: Cli, attested: FakeCas, second: str, command: str
) -> None:
    checked = scone("session", "check", "--json", second)
    result = scone("session", command, "--json", second)
    assert (result.code, json.loads(result.out)) == (1, json.loads(checked.out))
    assert json.loads(result.out)["problems"][0]["source"] == second
    assert attested.requests == []


def test_differences_are_json_too(scone: Cli, attested: FakeCas, first: str, second: str) -> None:
    assert scone("session", "create", first).code == 0
    variable = ["-e", f"NGINX_MRENCLAVE={MEASUREMENT}"]
    result = scone("session", "verify", "--json", *variable, second)
    told = json.loads(result.out)
    assert (result.code, told["name"]) == (1, "my-example-session")
    assert told["differences"]
    for line in told["differences"]:
        assert f"Caused by: {line}\n" in result.err


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 4 * 1024 * 1024 + 1])
def test_a_file_larger_than_a_session_has_one_error(scone: Cli, tmp_path: Path, size: int) -> None:
    path = tmp_path / "large.yml"
    path.write_bytes(b"#" * size)
    for command in (["check"], ["create"], ["check", "--json"]):
        result = scone("session", *command, str(path))
        assert result.code == 1
        assert result.err.splitlines()[-1] == "Caused by: expected at most 1048576 bytes of text"


def test_several_files_are_checked_in_one_run(
    scone: Cli, tmp_path: Path, first: str, second: str
) -> None:
    variable = ["-e", f"NGINX_MRENCLAVE={MEASUREMENT}"]
    alone = [scone("session", "check", *variable, file).out for file in (first, second)]
    both = scone("session", "check", *variable, first, second)
    assert (both.code, both.out) == (0, "---\n".join(alone))
    assert "is not used" not in both.err
    missing = str(tmp_path / "missing.yml")
    result = scone("session", "check", "--json", second, missing, first)
    assert result.code == 2
    assert "variable $NGINX_MRENCLAVE is missing" in result.err
    assert f"Error: session file '{missing}'" in result.err
    assert result.out.count('"problems"') == result.out.count('"session"') == 1
    assert scone("session", "check", "-n", "x", first, second).code == 2
    assert scone("session", "check", "-e", "X=-", first, second).code == 2


def test_an_identity_without_its_use_is_refused(scone: Cli, first: str) -> None:
    for more in ([], ["--with-self-as-creator", "signer"]):
        result = scone("session", "calculate-hash", first, "--identity", "x.pem", *more)
        assert (result.code, result.out) == (2, "")
        assert "--identity: expected --with-self-as-creator tls" in result.err


def test_without_an_attested_cas_the_config_file_is_named(
    scone: Cli, first: str, state: Path
) -> None:
    result = scone("session", "create", first)
    assert result.code == 1
    assert f"no CAS was attested yet: config file {state} does not exist\n" in result.err
    assert not state.parent.exists()
    assert scone("self", "show-key-hash").code == 0
    assert f"{state} names none\n" in scone("session", "create", first).err


def test_a_port_that_is_not_the_client_port_is_told_by_every_command(
    scone: Cli, attested: FakeCas, first: str
) -> None:
    attested.override["GET /v1/sessions/x"] = lambda _: error(
        404, "not-found", "there is no such path; /v1/openapi.json lists them"
    )
    unverified = ["--only_for_testing-disable-attestation-verification", "-c", attested.address]
    result = scone("session", "read", "x", *unverified)
    assert (result.code, result.out) == (3, "")
    assert "is no client port of a CAS" in result.err
    assert "users connect to the client port (8081)" in result.err


@pytest.mark.parametrize("command", ["create", "apply"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_sent(
    scone: Cli,
    attested: FakeCas,
    first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    read_only = tmp_path / "read-only"
    read_only.write_text("kept")
    read_only.chmod(0o400)
    for path in (tmp_path / "no" / "x", tmp_path / "read-only", tmp_path, read_only / "x"):
        assert scone("-o", str(path), "session", command, first).code == 2
    assert read_only.read_text() == "kept"
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["session", command, first]) == 1
    assert attested.requests == []


def test_a_difference_is_a_result_that_is_written(
    scone: Cli, first: str, second: str, tmp_path: Path
) -> None:
    compare = ["session", "diff", first, second, "-e", f"NGINX_MRENCLAVE={MEASUREMENT}"]
    path = tmp_path / "difference"
    written = scone("-o", str(path), *compare)
    assert (written.code, written.out) == (6, "")
    assert path.read_text() == scone(*compare).out != ""


def test_a_change_whose_result_is_lost_is_told(
    scone: Cli, attested: FakeCas, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hash"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scone.files.rewrite", full)
    result = scone("-o", str(path), "session", "create", first)
    digest = attested.sessions["my-example-session"][1]
    assert (result.code, result.out, path.exists()) == (1, "", False)
    assert result.err.endswith(
        f"Note: the session my-example-session WAS uploaded, hash {digest}\n"
        f"Error: -o {str(path)!r}: No space left on device\n"
    )


def test_a_full_disk_behind_stdout_does_not_hide_a_change(attested: FakeCas, first: str) -> None:
    program = Path(sys.executable).with_name("scone")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [program, "session", "create", first],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    digest = attested.sessions["my-example-session"][1]
    assert done.returncode == 1
    assert f"WAS uploaded, hash {digest}\n".encode() in done.stderr


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
