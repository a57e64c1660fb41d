"""`scone session sign` and `encrypt`, with openssl as the other signer, and what takes the result."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas, Result, ok

from scone.cli.state import ConfigFile
from scone.crypto.sealing import new_x25519_key, x25519_public_key
from scone.session import read_session, session_hash
from scone.session.encrypted import decrypt_session
from scone.session.signed import SignedSession, parse_signed, sign_session, verified_signers

TEXT = 'name: governed\nversion: "0.3"\n'
POLICY = "access_policy:\n  read: [ANY]\n  update: [NONE]\n"
HASH = "ab" * 32
Shell = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "s.yml"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def shell(tmp_path: Path, scone: Cli) -> Shell:
    """Run a line of shell in the folder, with the programs and openssl in its path."""
    del scone  # which sets the state file
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}

    def run(line: str, **settings: object) -> subprocess.CompletedProcess[bytes]:
        command = ["bash", "-o", "pipefail", "-c", line]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, timeout=60, **settings
        )

    return run


@pytest.fixture
def p384(shell: Shell) -> Shell:
    """The same, with a P-384 key in priv.pem and pub.pem."""
    made = shell(
        "openssl ecparam -name secp384r1 -genkey -noout -out priv.pem"
        " && openssl pkey -in priv.pem -pubout -out pub.pem"
    )
    assert made.returncode == 0, made.stderr
    return shell


@pytest.fixture
def ed25519(shell: Shell) -> Shell:
    """The same, with an Ed25519 key."""
    made = shell(
        "openssl genpkey -algorithm ed25519 -out priv.pem"
        " && openssl pkey -in priv.pem -pubout -out pub.pem"
    )
    assert made.returncode == 0, made.stderr
    return shell


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def signed_file(scone: Cli, path: Path, *arguments: str) -> str:
    result = scone("session", "sign", *arguments)
    assert (result.code, result.out.count("\n")) == (0, 1), result.err
    return write(path, result.out)


def signers_of(text: str, cas_key_hash: str | None = None) -> tuple[str, ...]:
    signed = parse_signed(text)
    session = read_session(signed.text).session
    return verified_signers(signed, session, cas_key_hash=cas_key_hash, now=datetime.now(UTC))


def refused(result: Result, code: int, *words: str) -> None:
    assert (result.code, result.out) == (code, ""), result.err
    for word in words:
        assert word in result.err


def test_a_session_is_signed_with_the_key_that_self_shows(
    scone: Cli, file: str, tmp_path: Path
) -> None:
    signed = signed_file(scone, tmp_path / "signed.json", file)
    document = json.loads(Path(signed).read_text())
    assert list(document) == ["session", "signatures"]
    (signature,) = document["signatures"]
    assert list(signature) == ["signer", "signature"]
    assert signature["signer"] == scone("self", "show-session-signing-key").out
    assert len(bytes.fromhex(signature["signature"])) == 64
    explicit = scone("session", "sign", file, "sign-with-cli-identity")
    assert explicit.out == Path(signed).read_text()
    assert scone("session", "sign", signed).out == explicit.out  # again, by the same signer


def test_a_signed_session_is_checked_and_hashed_as_its_template(
    scone: Cli, file: str, tmp_path: Path
) -> None:
    signed = signed_file(scone, tmp_path / "signed.json", file)
    checked = scone("session", "check", signed)
    assert (checked.code, checked.out) == (0, json.loads(Path(signed).read_text())["session"])
    assert "creator:\n  signer: |\n    -----BEGIN PUBLIC KEY-----\n" in checked.out
    facts = json.loads(scone("session", "check", "--json", signed).out)
    assert facts["signers"] == [scone("self", "show-session-signing-key").out]
    hashed = scone("session", "calculate-hash", signed)
    assert hashed.code == 0
    foreseen = scone("session", "calculate-hash", file, "--with-self-as-creator", "signer")
    assert (foreseen.code, foreseen.out) == (0, hashed.out)
    for option in ("tls", "signer"):
        same = scone("session", "calculate-hash", signed, "--with-self-as-creator", option)
        assert same.out == hashed.out


def test_several_clis_sign_in_turn(
    scone: Cli, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scone("self", "show-session-signing-key").out
    signed = signed_file(scone, tmp_path / "one.json", file)
    monkeypatch.setenv("SCONE_CLI_CONFIG", str(tmp_path / "other" / "config.json"))
    second = scone("self", "show-session-signing-key").out
    both = scone("session", "sign", signed)
    assert signers_of(both.out) == (first, second)
    assert json.loads(both.out)["session"] == json.loads(Path(signed).read_text())["session"]


def test_options_of_sign_stand_before_or_behind_the_file(scone: Cli, tmp_path: Path) -> None:
    template = write(tmp_path / "t.yml", TEXT + POLICY.replace("ANY", "$WHO"))
    before = scone("session", "sign", "-e", "WHO=ANY", "-n", "a/b", template)
    behind = scone("session", "sign", template, "-e", "WHO=ANY", "--name=a/b")
    named = scone(
        "session", "sign", template, "-e", "WHO=ANY", "-n", "a/b", "sign-with-cli-identity"
    )
    assert before.code == 0
    assert before.out == behind.out == named.out
    session = json.loads(before.out)["session"]
    assert "name: a/b\n" in session
    assert "  read:\n  - ANY\n" in session


def test_the_pipe_of_the_page_works_with_openssl(p384: Shell, scone: Cli, tmp_path: Path) -> None:
    (tmp_path / "session.yml").write_text(TEXT)
    piped = p384(
        "scone session sign ./session.yml generate-message-to-be-signed ./pub.pem"
        " | openssl dgst -sha384 -sign ./priv.pem"
        " | scone session sign ./session.yml add-signature ./pub.pem"
    )
    assert piped.returncode == 0, piped.stderr
    public_key = (tmp_path / "pub.pem").read_text()
    assert signers_of(piped.stdout.decode()) == (public_key,)
    signed = write(tmp_path / "signed.json", piped.stdout.decode())
    assert "creator:\n  signer: |\n" in scone("session", "check", signed).out
    again = p384(  # a second signature over the signed session, by the CLI
        "scone session sign signed.json"
    )
    assert signers_of(again.stdout.decode())[0] == public_key
    assert len(signers_of(again.stdout.decode())) == 2


def test_the_pipe_works_with_an_ed25519_key(ed25519: Shell, tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text(TEXT)
    piped = ed25519(
        "scone session sign s.yml generate-message-to-be-signed pub.pem > message"
        " && openssl pkeyutl -sign -rawin -inkey priv.pem -in message"
        " | scone session sign s.yml add-signature pub.pem"
    )
    assert piped.returncode == 0, piped.stderr
    assert signers_of(piped.stdout.decode()) == ((tmp_path / "pub.pem").read_text(),)


def test_a_signature_may_be_an_argument_in_base64(
    p384: Shell, scone: Cli, file: str, tmp_path: Path
) -> None:
    encoded = p384(
        "scone session sign s.yml generate-message-to-be-signed pub.pem"
        " | openssl dgst -sha384 -sign priv.pem | base64"
    )
    lines = encoded.stdout.decode()
    assert lines.count("\n") == 2  # base64 breaks lines, $(...) keeps that
    public_key = str(tmp_path / "pub.pem")
    result = scone("session", "sign", file, "add-signature", public_key, lines)
    assert signers_of(result.out) == ((tmp_path / "pub.pem").read_text(),)
    refused(
        scone("session", "sign", file, "add-signature", public_key, lines[:20]),
        1,
        "Error: signature: expected an ECDSA signature in DER or 96 bytes for a P-384 signer",
    )
    refused(
        scone("session", "sign", file, "add-signature", public_key, "%%%"),
        1,
        "SIGNATURE: expected base64",
    )


def test_a_message_with_a_binding_needs_the_same_binding_with_its_signature(
    p384: Shell, scone: Cli, file: str, tmp_path: Path
) -> None:
    cas = scone("self", "show-key-hash").out.strip()
    bound = f"--for-cas {cas} --not-after 2126-12-31"
    made = p384(
        f"scone session sign s.yml {bound} generate-message-to-be-signed pub.pem"
        " | openssl dgst -sha384 -sign priv.pem > signature"
        f" && scone session sign s.yml {bound} add-signature pub.pem < signature"
    )
    (signature,) = json.loads(made.stdout)["signatures"]
    assert (signature["cas_key"], signature["not_after"]) == (cas, "2126-12-31T00:00:00Z")
    assert signers_of(made.stdout.decode(), cas)
    without = p384("scone session sign s.yml add-signature pub.pem < signature")
    assert (without.returncode, without.stdout) == (4, b"")
    assert b"Error: Adding the signature failed\nCaused by: signature 1 " in without.stderr
    assert b"Hint: the signature must be over what generate-message-to-be-signed" in without.stderr


def test_the_message_is_not_written_to_a_terminal(
    scone: Cli, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_key = write(tmp_path / "pub.pem", scone("self", "show-session-signing-key").out)
    arguments = ("session", "sign", file, "generate-message-to-be-signed", public_key)
    program = str(Path(sys.executable).parent / "scone")
    seen = []
    for force in ([], ["-f"], ["--force"]):
        terminal, end = pty.openpty()
        ended = subprocess.run(
            [program, *arguments, *force], stdout=end, stderr=subprocess.PIPE, timeout=60
        )
        os.set_blocking(terminal, False)
        os.close(end)
        try:
            written = os.read(terminal, 4096)
        except OSError:  # nothing was written
            written = b""
        os.close(terminal)
        seen.append((ended.returncode, written[:24]))
    label = b"scone-signed-session-v1\0"
    assert seen == [(2, b""), (0, label), (0, label)]
    to_file = tmp_path / "message"
    assert scone("-o", str(to_file), *arguments).code == 0
    assert to_file.read_bytes() == scone(*arguments).out.encode()


def test_the_first_signer_becomes_the_creator_only_where_one_is_needed(
    scone: Cli, file: str, tmp_path: Path
) -> None:
    public_key = write(tmp_path / "pub.pem", scone("self", "show-session-signing-key").out)

    def message(path: str, *signer: str) -> Result:
        return scone("session", "sign", path, "generate-message-to-be-signed", *signer)

    refused(message(file), 2, "Error: SIGNER: expected the file of a public key", "openssl pkey")
    needs_none = write(tmp_path / "none.yml", TEXT + POLICY)
    assert message(needs_none).out == message(needs_none, public_key).out
    assert "creator" not in json.loads(scone("session", "sign", needs_none).out)["session"]
    other = signed_file(scone, tmp_path / "s.json", file)
    given = write(tmp_path / "given.yml", json.loads(Path(other).read_text())["session"])
    assert message(given).out == message(given, public_key).out == message(other).out


def test_a_session_that_nobody_could_read_is_warned_of(
    scone: Cli, file: str, tmp_path: Path
) -> None:
    words = "Warning: access_policy.read: only the creator may read the session, and a signer"
    assert words in scone("session", "sign", file).err
    readable = write(tmp_path / "r.yml", TEXT + "access_policy:\n  read: ANY\n")
    result = scone("session", "sign", "--fail-on-warning", readable)
    assert (result.code, result.err) == (0, "")
    unreadable = write(tmp_path / "u.yml", TEXT + "access_policy:\n  read: CREATOR\n")
    refused(scone("session", "sign", "--fail-on-warning", unreadable), 1, words)


def test_a_command_without_its_file_says_so(scone: Cli) -> None:
    for words in (["add-signature", "pub.pem"], ["sign-with-cli-identity"], ["-n", "x"]):
        refused(scone("session", "sign", *words), 2, "Missing argument 'FILE'")
    assert scone("session", "sign", "help", "add-signature").code == 0


def test_a_version_without_signers_is_refused_before_it_is_signed(
    scone: Cli, tmp_path: Path
) -> None:
    old = write(tmp_path / "old.yml", 'name: old\nversion: "0.2"\n')
    for arguments in (["sign"], ["calculate-hash", "--with-self-as-creator", "signer"]):
        refused(
            scone("session", *arguments, old),
            1,
            "Error: Parsing session 'old' with its signer as creator failed",
            "creator.signer: needs version 0.3.10 or newer",
        )
    without = write(tmp_path / "w.yml", 'name: old\nversion: "0.3.1"\n' + POLICY)
    assert len(signers_of(scone("session", "sign", without).out)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"alice", "expected a public key (Ed25519 or P-384) in PEM"),
        (b"\xff", "expected a public key (Ed25519 or P-384) in PEM, got other bytes"),
        (b"", "expected a public key (Ed25519 or P-384) in PEM"),
    ],
)
def test_a_file_that_is_no_signer_is_refused(
    scone: Cli, file: str, tmp_path: Path, text: bytes, words: str
) -> None:
    (tmp_path / "pub.pem").write_bytes(text)
    for command in ("generate-message-to-be-signed", "add-signature"):
        refused(scone("session", "sign", file, command, str(tmp_path / "pub.pem")), 1, words)
    refused(scone("session", "sign", file, "add-signature", str(tmp_path / "absent")), 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--for-cas", "localhost"], "--for-cas: expected"),
        (["--not-after", "soon"], "--not-after: expected a time such as"),
        (["--not-after", "2020-01-01"], "in the future"),
        (["-e", "x"], "-e: expected VAR=VALUE"),
        (["--hash", "x"], "no such option '--hash'"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    scone: Cli, file: str, options: list[str], words: str
) -> None:
    refused(scone("session", "sign", file, *options), 2, words)


def test_a_changed_text_is_refused_by_every_command(
    scone: Cli, attested: FakeCas, file: str, tmp_path: Path
) -> None:
    signed = Path(signed_file(scone, tmp_path / "signed.json", file))
    signed.write_text(signed.read_text().replace("  - CREATOR", "  - ANY"))
    for command in ("check", "calculate-hash", "sign", "encrypt", "create", "verify"):
        refused(
            scone("session", command, str(signed)),
            4,
            f"Error: Verifying signed session in '{signed}' failed",
            "is not by this signer over this session",
        )
    signed.write_text(signed.read_text().replace('"signer"', '"signor"'))
    refused(scone("session", "check", str(signed)), 1, "Parsing signed session from")
    assert attested.requests == []


def test_a_signed_session_takes_no_name_and_ignores_variables(
    scone: Cli, file: str, tmp_path: Path
) -> None:
    signed = signed_file(scone, tmp_path / "signed.json", file)
    for command in ("check", "calculate-hash", "sign", "encrypt", "create", "update", "verify"):
        refused(
            scone(
                "session", command, "-n", "x", signed, *(["--key", HASH] * (command == "encrypt"))
            ),
            2,
            "is signed, and another name would need another signature",
        )
    plain = scone("session", "check", signed)
    for ignored in (["-e", "X=Y"], ["--use-env"], ["-e", "X=@/no/such/file"]):
        result = scone("session", "check", *ignored, signed)
        assert (result.code, result.out) == (0, plain.out)
        assert f"Note: {signed} is signed: -e and --use-env have no effect\n" in result.err


def test_an_expired_signature_is_warned_of(scone: Cli, tmp_path: Path, state: Path) -> None:
    key = ConfigFile(str(state), warn=print).session_signing_key()
    session = read_session(TEXT + POLICY).session
    past = datetime.now(UTC) - timedelta(days=1)
    made = sign_session(session, key, cas_key_hash=None, not_after=past)
    signed = write(
        tmp_path / "old.json", SignedSession(TEXT + POLICY).with_signature(made).to_json()
    )
    result = scone("session", "calculate-hash", signed)
    assert (result.code, result.out.strip()) == (0, session_hash(session))
    assert "Warning: signature 1 expired at " in result.err
    refused(scone("session", "check", "--fail-on-warning", signed), 1, "1 warning(s)")
    renewed = scone("session", "sign", signed)
    assert len(signers_of(renewed.out)) == 1  # not expired any more


def test_standard_input_serves_one_purpose(
    scone: Cli, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(TEXT.encode())))
    piped = scone("session", "sign", "-")
    assert piped.out == scone("session", "sign", file).out
    public_key = write(tmp_path / "pub.pem", scone("self", "show-session-signing-key").out)
    refused(
        scone("session", "sign", "-", "add-signature", public_key),
        2,
        "SIGNATURE: standard input is already read for FILE",
    )
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"x" * 64)))
    refused(
        scone("session", "sign", file, "-e", "X=-", "add-signature", public_key),
        2,
        "-e X=: standard input is already read for SIGNATURE",
    )
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO()))
    refused(
        scone("session", "sign", file, "add-signature", public_key),
        2,
        "expected a signature on standard input, got nothing",
    )


def test_the_help_of_sign_is_shown_behind_its_file(scone: Cli, file: str) -> None:
    for words in ([], ["add-signature"]):
        shown = scone("session", "sign", file, "help", *words)
        assert (shown.code, shown.out) == (0, scone("session", "help", "sign", *words).out)
    result = scone("session", "sign", "-n", "help", file)
    assert json.loads(result.out)["session"].startswith("version: ")
    assert "name: help\n" in json.loads(result.out)["session"]


def test_closed_streams_are_told(shell: Shell, scone: Cli, file: str, tmp_path: Path) -> None:
    write(tmp_path / "pub.pem", scone("self", "show-session-signing-key").out)
    for line, code, words in (
        ("scone session sign s.yml add-signature pub.pem <&-", 2, b"is closed"),
        ("scone session check - <&-", 2, b"is closed"),
        ("scone session sign s.yml generate-message-to-be-signed pub.pem >&-", 1, b"is closed"),
    ):
        done = shell(line)
        assert (done.returncode, done.stdout) == (code, b"")
        assert words in done.stderr


def test_a_signed_session_is_uploaded_as_it_was_signed(
    scone: Cli, attested: FakeCas, file: str, tmp_path: Path
) -> None:
    attested.override["PUT /v1/signed_sessions"] = lambda _: ok({"hash": HASH}, 201)
    signed = signed_file(scone, tmp_path / "signed.json", file)
    created = scone("session", "create", signed)
    assert (created.code, created.out) == (0, f"{HASH}\n")
    assert attested.paths == ["PUT /v1/signed_sessions"]
    assert attested.bodies.decode() == Path(signed).read_text().strip()
    assert json.loads(scone("session", "create", "--json", signed).out) == {
        "name": "governed",
        "hash": HASH,
    }


def test_a_signed_update_names_its_predecessor_itself(
    scone: Cli, attested: FakeCas, file: str, tmp_path: Path
) -> None:
    attested.override["PUT /v1/signed_sessions"] = lambda _: ok({"hash": HASH}, 201)
    first = signed_file(scone, tmp_path / "first.json", file)
    refused(
        scone("session", "update", first),
        2,
        "expected a predecessor inside the signed session, got none",
        "Hint: write the hash of the active session as predecessor into the file, and sign it again",
    )
    assert attested.requests == []
    successor = write(tmp_path / "2.yml", TEXT + f"predecessor: {HASH}\n")
    second = signed_file(scone, tmp_path / "second.json", successor)
    updated = scone("session", "update", second)
    assert (updated.code, updated.out) == (0, f"{HASH}\n")
    # Whoever sends it need not be allowed to read what it replaces.
    assert attested.paths == ["GET /v1/sessions/governed", "PUT /v1/signed_sessions"]


def test_a_signed_session_is_compared_with_the_active_one(
    scone: Cli, attested: FakeCas, tmp_path: Path
) -> None:
    template = write(tmp_path / "p.yml", TEXT + POLICY)
    created = scone("session", "create", template)
    signed = signed_file(scone, tmp_path / "signed.json", template)
    assert scone("session", "verify", signed).out == created.out
    other = write(tmp_path / "o.yml", TEXT + POLICY.replace("ANY", "NONE"))
    different = signed_file(scone, tmp_path / "different.json", other)
    assert scone("session", "verify", different).code == 1


def test_a_session_is_signed_and_encrypted_for_the_default_cas(
    scone: Cli, cas: FakeCas, root_pem: Path, file: str, tmp_path: Path
) -> None:
    private = new_x25519_key(os.urandom)
    public = x25519_public_key(private).hex()
    cas.evidence["session_encryption_key"] = public
    attested = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert attested.code == 0
    shown = scone("cas", "show-identification", "--session-encryption-key")
    cas.requests.clear()
    encrypted = scone("session", "encrypt", file)
    document = json.loads(encrypted.out)
    assert list(document) == ["encrypted_session", "encryption_key"]
    assert document["encryption_key"] == public == shown.out.strip()
    inside = decrypt_session(encrypted.out, private)
    assert inside == scone("session", "sign", file).out.strip()
    signed = write(tmp_path / "signed.json", inside)
    for arguments in ([signed], [signed, "--cas", cas.address], [signed, "--key", public]):
        again = scone("session", "encrypt", *arguments)
        assert again.out != encrypted.out  # a fresh key each time
        assert decrypt_session(again.out, private) == inside
    assert cas.requests == []
    refused(
        scone("session", "encrypt", file, "--cas", cas.address, "--key", public),
        2,
        "--cas and --key exclude each other",
    )


def test_an_encrypted_session_is_uploaded_and_nothing_else(
    scone: Cli, attested: FakeCas, file: str, tmp_path: Path
) -> None:
    attested.override["PUT /v1/encrypted_sessions"] = lambda _: ok({"hash": HASH}, 201)
    result = scone("session", "encrypt", file)
    encrypted = write(tmp_path / "enc.json", result.out)
    for command in ("check", "calculate-hash", "update", "verify", "sign", "encrypt"):
        refused(
            scone("session", command, encrypted),
            2,
            "got an encrypted one, which only its CAS can read",
            "Hint: scone session create uploads it",
        )
    refused(scone("session", "create", "-n", "x", encrypted), 2, "another name")
    assert attested.requests == []
    created = scone("session", "create", encrypted)
    assert (created.code, created.out) == (0, f"{HASH}\n")
    assert attested.paths == ["PUT /v1/encrypted_sessions"]
    assert json.loads(attested.bodies) == json.loads(result.out)
    assert json.loads(scone("session", "create", "--json", encrypted).out) == {"hash": HASH}
    damaged = write(tmp_path / "damaged.json", result.out.replace('"encryption_key"', '"key"'))
    refused(scone("session", "create", damaged), 1, "encrypted session: expected the key")


def test_a_key_that_nobody_has_is_refused(scone: Cli, file: str) -> None:
    refused(scone("session", "encrypt", file, "--key", "ab"), 2, "--key: expected 64 hex digits")
    refused(scone("session", "encrypt", file, "--key", "00" * 32), 1, "a key of large order")
    refused(scone("session", "encrypt", file), 1, "no CAS was attested yet")


def test_explicit_secrets_of_an_encrypted_session_are_not_in_its_file(
    scone: Cli, tmp_path: Path
) -> None:
    secret = "do-not-show-me"
    template = write(
        tmp_path / "t.yml",
        TEXT + POLICY + f"secrets:\n- name: x\n  kind: ascii\n  value: {secret}\n",
    )
    private = new_x25519_key(os.urandom)
    result = scone("session", "encrypt", template, "--key", x25519_public_key(private).hex())
    assert secret in decrypt_session(result.out, private)
    sealed = base64.b64decode(json.loads(result.out)["encrypted_session"])
    assert secret.encode() not in sealed
