"""The program as a whole: help, suggestions, exit status, streams, what never leaks."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from cli_run import Cli

from scone import __version__
from scone.cli import main as program
from scone.cli import output
from scone.cli.lazy import LazyGroup
from scone.cli.state import ConfigFile
from scone.client.known import KnownCas
from scone.crypto.identity import create_identity
from scone.crypto.keyhash import parse_key_hash
from scone.errors import (
    AppraisalError,
    ConflictError,
    IntegrityError,
    MalformedError,
    NetworkError,
    SconeError,
    StateError,
    UnavailableError,
    UsageError,
    VerificationError,
)

DOCS = Path(__file__).parents[3] / "docs"
CLOSED = [
    "gcc",
    "g++",
    "gccgo",
    "gfortran",
    "rustc",
    "cargo",
    "gdb",
    "host",
    "swarm",
    "service",
    "stack",
]
LATER = [
    ["fspf", "create"], ["binary-fs"], ["binaryfs"], ["las", "probe"], ["signer", "sign"],
    ["cas", "register-upgrade"], ["cas", "start-upgrade"],
    ["cas", "verify-audit-log"], ["cas", "attest-audit-log"],
]  # fmt: skip


def commands(
    group: click.Command = program.scone, path: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """All commands that are listed, with their groups."""
    if not isinstance(group, LazyGroup):
        return [path]
    found = [path] if path else []
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None, name
        if name != "help":
            found += commands(inner, (*path, name))
    return found


def test_the_version_has_three_spellings(scone: Cli) -> None:
    for spelling in ("-V", "--version"):
        assert scone(spelling).out == f"Scone CLI {__version__}\n"
    assert scone("version").out.splitlines()[0] == f"Scone CLI {__version__}"
    facts = json.loads(scone("version", "--json").out)
    assert facts["isvprodid"] == 41316
    assert facts["release_signed"] is False
    assert facts["mrsigner"] in scone("version").out


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help_in_all_spellings(scone: Cli, path: tuple[str, ...]) -> None:
    result = scone(*path, "--help")
    assert result.code == 0
    usage = re.sub(" (ADDRESS|FILE) (?=[a-z])", " ", result.out, count=1)
    assert usage.startswith(f"Usage: scone {' '.join(path)}")
    assert scone(*path, "-h").out == result.out
    assert scone("help", *path).out == result.out
    assert scone(*path[:-1], "help", path[-1]).out == result.out


@pytest.mark.parametrize(
    "path", [p for p in commands() if p[-1] in ("attest", "create", "read")], ids=" ".join
)
def test_network_commands_take_retries_from_option_and_environment(
    scone: Cli, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SCONE_CLI_RETRIES" in scone(*path, "--help").out
    monkeypatch.setenv("SCONE_CLI_RETRIES", "many")
    result = scone(*path, "x")
    assert result.code == 2
    assert "SCONE_CLI_RETRIES" in result.err


def test_the_reference_is_what_the_program_prints(scone: Cli) -> None:
    assert (DOCS / "reference" / "cli.md").read_text() == scone("help-markdown").out


def test_the_reference_names_every_command(scone: Cli) -> None:
    text = scone("help-markdown").out
    listed = [path for path in commands() if path[:2] != ("cas", "session")]
    assert len(listed) > 30
    for path in listed:
        assert f"# scone {' '.join(path)}\n" in text


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["sesion"], "Did you mean 'session'"),
        (["session", "chek"], "Did you mean 'check'"),
        (["cas", "atest"], "Did you mean 'attest'"),
        (["cas", "provison"], "Did you mean 'provision'"),
        (["help", "cas", "lst"], "Did you mean 'list'"),
        (["session", "check", "--use-en", "f"], "Did you mean '--use-env'"),
        (["cas", "attest", "x", "--acept-group"], "Did you mean '--accept-group-out-of-date'"),
        (["cas", "attest", "x", "--ver"], "Did you mean '--verification-time'"),
        (["cas", "list", "--jso"], "Did you mean '--json'?"),
        (["cas", "list", "--acept"], "no such option '--acept'.\n"),
        (["help", "nix"], "no such command 'nix'.\nHint: see scone --help\n"),
        (["completion"], "Choose from: bash, zsh, fish\n"),
        (["xyzzy"], "no such command 'xyzzy'."),
    ],
)
def test_mistyped_names_get_a_suggestion(scone: Cli, arguments: list[str], suggestion: str) -> None:
    result = scone(*arguments)
    assert (result.code, result.out) == (2, "")
    assert suggestion in result.err
    assert "\nHint: see scone " in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "", "version"],
        ["--config", "", "version"],
        ["cert", "show-key-hash", ""],
        ["session", "check", ""],
        ["session", "create", "x", "--identity", ""],
        ["session", "create", "x", "--cas", ""],
        ["cas", "set-default", ""],
        ["cas", "show-certificate", ""],
        ["cas", "update-config", "--config-file", ""],
        ["session", "read", ""],
        ["@"],
    ],
    ids=" ".join,
)
def test_an_empty_text_is_no_name(scone: Cli, arguments: list[str]) -> None:
    result = scone(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "an empty text" in result.err


@pytest.mark.parametrize("name", CLOSED)
def test_the_closed_tool_chain_is_explained(scone: Cli, name: str) -> None:
    result = scone(name, "-c", "x.c", "--help", "-o", "@@3")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"Error: scone {name} ")
    assert "closed source" in result.err


@pytest.mark.parametrize("path", LATER, ids=" ".join)
def test_what_comes_later_says_so(scone: Cli, path: list[str]) -> None:
    result = scone(*path, "--anything", "x")
    assert (result.code, result.out) == (1, "")
    assert "is not in this version yet" in result.err


def test_without_a_command_the_help_goes_to_stderr(scone: Cli) -> None:
    for arguments in ([], ["cas"], ["self"]):
        result = scone(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("Usage: scone")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(scone: Cli, shell: str) -> None:
    assert "\n  bash: source <(scone completion bash)\n" in scone("completion", "--help").out
    result = scone("completion", shell)
    assert result.code == 0
    assert "_SCONE_COMPLETE" in result.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("scone ses", "plain,session"),
        ("scone session create --fail", "plain,--fail-on-warning"),
        ("scone cas set", "plain,set-default"),
        ("scone help ses", "plain,session"),
        ("scone help cas set", "plain,set-default"),
        ("scone session create a", "file,a"),
        ("scone session create --identity a", "file,a"),
        ("scone -o a", "file,a"),
        ("scone cert show-key-hash a", "file,a"),
        ("scone cas update-config --config-file a", "file,a"),
        ("scone cas set-default my", "plain,mycas"),
        ("scone cas show-identification my", "plain,mycas"),
        ("scone session read -c my", "plain,mycas"),
    ],
)
def test_completion_completes_commands_options_files_and_names(
    state: Path, words: str, expected: str
) -> None:
    pem = create_identity(os.urandom).certificate_pem
    known = KnownCas("mycas", "https://mycas:8081/", pem + pem)
    ConfigFile(str(state), warn=pytest.fail).remember(known)
    result = complete(state, words)
    assert (result.returncode, result.stdout.decode()) == (0, expected + "\n")
    assert result.stderr == b""


@pytest.mark.parametrize(
    "words", ["scone sesion x", "scone cas set-default x", "scone help cas nix y", "scone @nix y"]
)
def test_completion_that_finds_nothing_is_silent(state: Path, words: str) -> None:
    state.parent.mkdir()
    state.write_text("no JSON")
    result = complete(state, words)
    assert result.stdout.strip() == b""
    assert result.stderr == b""


def complete(state: Path, words: str) -> subprocess.CompletedProcess[bytes]:
    variables = {
        "_SCONE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    return run(state, variables=variables, stdout=subprocess.PIPE)


def test_bash_runs_the_completion_script(state: Path, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    program = tmp_path / "scone"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom scone.cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    script = """
source <(scone completion bash)
complete -p scone
compopt() { echo "$@"; }
try() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _scone_completion scone
    echo "${COMPREPLY[@]}"
}
try scone cas set
try scone session create ""
"""
    environment = {
        "SCONE_CLI_CONFIG": str(state),
        "PATH": f"{tmp_path}:{os.defpath}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    result = subprocess.run([bash, "-c", script], env=environment, capture_output=True, timeout=60)
    assert result.stderr == b""
    assert result.stdout.decode().splitlines() == [
        "complete -o nosort -F _scone_completion scone",
        "set-default",
        "-o default",
        "",
    ]


def test_output_goes_to_a_file_as_a_whole(scone: Cli, tmp_path: Path) -> None:
    expected = scone("self", "show-key-hash").out
    path = tmp_path / "hash"
    result = scone("-o", str(path), "self", "show-key-hash")
    assert (result.code, result.out) == (0, "")
    assert path.read_text() == expected
    assert scone("-o", str(path), "session", "check", "/nonexistent").code == 2
    assert path.read_text() == expected
    assert scone("-o", str(path), "version", "--help").code == 0
    assert path.read_text().startswith("Usage: scone version")
    assert scone("-o", str(tmp_path / "no" / "where"), "version").code == 2
    assert scone("-o", os.devnull, "version").code == 0
    assert scone("-o", str(tmp_path), "version").code == 2
    assert sorted(found.name for found in tmp_path.iterdir()) == ["hash", "state"]


def test_who_may_read_an_output_file_stays(scone: Cli, tmp_path: Path) -> None:
    session = tmp_path / "s.yml"
    session.write_text('name: x\nversion: "0.3"\n')
    before = os.umask(0o022)
    try:
        for arguments, made in ((["version"], 0o644), (["session", "check", str(session)], 0o600)):
            path = tmp_path / arguments[0]
            for mode in (None, 0o600, 0o664, 0o640):
                if mode is not None:
                    path.chmod(mode)
                assert scone("-o", str(path), *arguments).code == 0
                assert path.stat().st_mode & 0o777 == (made if mode is None else mode)
    finally:
        os.umask(before)
    path.chmod(0o400)
    result = scone("-o", str(path), "version")
    assert (result.code, result.err) == (2, f"Error: -o {str(path)!r}: it is read-only\n")


def test_self_shows_the_identity(
    scone: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_hash = scone("self", "show-key-hash").out.strip()
    assert len(parse_key_hash(key_hash)) == 32
    certificate = scone("self", "show-certificate").out
    path = tmp_path / "certificate.pem"
    path.write_text(certificate)
    assert scone("cert", "show-key-hash", str(path)).out.strip() == key_hash
    given = SimpleNamespace(buffer=io.BytesIO(certificate.encode()))
    monkeypatch.setattr(sys, "stdin", given)
    assert scone("cert", "show-key-hash", "-").out.strip() == key_hash
    import hashlib

    digest = hashlib.sha256(certificate.encode()).hexdigest()
    assert scone("self", "show-certificate-hash").out == digest + "\n"
    signing = scone("self", "show-session-signing-key").out
    assert signing.startswith("-----BEGIN PUBLIC KEY-----\n")
    shown = scone("self", "show").out
    assert certificate in shown
    assert f"Public key hash: {key_hash}\n" in shown
    assert signing in shown
    facts = json.loads(scone("self", "show", "--json").out)
    assert facts == {
        "certificate": certificate,
        "key_hash": key_hash,
        "certificate_hash": digest,
        "session_signing_key": signing,
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_a_file_without_a_certificate_is_told(scone: Cli, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pem"
    path.write_bytes(content)
    result = scone("cert", "show-key-hash", str(path))
    assert (result.code, result.out) == (1, "")
    assert str(path) in result.err


def test_exit_codes_are_those_of_the_documentation() -> None:
    expected = [
        (SconeError("x"), 1),
        (MalformedError("a", "b"), 1),
        (ConflictError("x"), 1),
        (UsageError("x"), 2),
        (NetworkError("x"), 3),
        (UnavailableError("x"), 3),
        (VerificationError("x"), 4),
        (AppraisalError("x"), 4),
        (StateError("x"), 5),
        (IntegrityError("x"), 5),
    ]
    assert [output.exit_code(error) for error, _ in expected] == [code for _, code in expected]
    text = (DOCS / "guide" / "exit-codes.md").read_text()
    for code in (0, 1, 2, 3, 4, 5, 70, 126, 127, 130, 134, 141):
        assert f"\n| {code} |" in text


def test_errors_are_a_chain_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.report(["outer", "inner\x1b[31m", "innermost"], "do this")
    assert capsys.readouterr().err == (
        "Error: outer\nCaused by: inner\\x1b[31m\nCaused by: innermost\nHint: do this\n"
    )


def test_an_internal_error_is_one_line_without_its_message(
    scone: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        secret = "hunter2"
        raise RuntimeError(secret)

    monkeypatch.setattr("scone.crypto.identity.create_identity", broken)
    monkeypatch.setattr("scone.cli.state.create_identity", broken)
    result = scone("self", "show-key-hash")
    assert (result.code, result.out) == (70, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith("Error: internal error: RuntimeError in ")
    assert "hunter2" not in result.err
    monkeypatch.setenv("SCONE_LOG", "debug")
    traced = scone("self", "show-key-hash").err
    assert 'File "' in traced
    assert "hunter2" not in traced


def test_an_interrupt_ends_with_130(scone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scone.cli.state.create_identity", interrupt)
    assert scone("self", "show-key-hash").code == 130


def run(
    state: Path, *arguments: str, variables: dict[str, str] | None = None, **more: object
) -> subprocess.CompletedProcess[bytes]:
    environment = {"SCONE_CLI_CONFIG": str(state), "PATH": os.defpath} | (variables or {})
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [
            sys.executable,
            "-c",
            "import sys; from scone.cli.main import main; sys.exit(main())",
            *arguments,
        ],
        env=environment,
        stderr=subprocess.PIPE,
        timeout=60,
        **more,
    )


def test_a_reader_that_left_is_no_error_to_tell(state: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run(state, "help-markdown", stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


def test_sessions_are_utf_8_in_every_locale(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "session.yml"
    path.write_text(
        'name: x\nversion: "0.3"\nsecurity: {attestation: {mode: none}}\n'
        "services: [{name: s, command: grüße}]\n"
    )
    variables = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    result = run(state, "session", "check", str(path), variables=variables, stdout=subprocess.PIPE)
    assert result.returncode == 0
    assert "grüße".encode() in result.stdout


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "not"])
@pytest.mark.parametrize("argument", ["version", "help-markdown", "--help", "--version"])
def test_a_full_disk_behind_stdout_is_an_error(
    state: Path, argument: str, buffering: dict[str, str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        result = run(state, argument, variables=buffering, stdout=full)
    assert result.returncode == 1
    assert result.stderr == b"Error: standard output: No space left on device\n"


@pytest.mark.parametrize("target", ["/dev/full", None], ids=["full", "closed"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(["session", "check", "/nonexistent"], 2), (["version"], 0)]
)
def test_standard_error_that_takes_nothing_changes_no_exit_code(
    state: Path, target: str | None, arguments: list[str], code: int
) -> None:
    redirection = "2>&-" if target is None else f"2>{target}"
    program = "import sys; from scone.cli.main import main; sys.exit(main())"
    result = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-c", program, *arguments],
        env={"SCONE_CLI_CONFIG": str(state)},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert result.returncode == code


def test_no_command_imports_what_it_does_not_use(state: Path) -> None:
    run(state, "self", "show-key-hash", stdout=subprocess.PIPE)
    code = (
        "import sys; from scone.cli.main import main; main(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    forbidden = {
        ("self", "show-key-hash"): ["cryptography", "ssl", "yaml", "pathlib", "difflib", "OpenSSL", "asyncio",
                                    "scone.attestation", "scone.session", "scone.client", "scone.transport"],
        ("cas", "list"): ["cryptography", "ssl", "yaml", "OpenSSL", "asyncio", "scone.attestation", "scone.session"],
        ("version",): ["cryptography", "ssl", "yaml", "json", "scone.cli.state", "scone.client"],
        ("session", "check", "/nonexistent"): ["ssl", "OpenSSL", "asyncio", "scone.client.cas", "scone.transport"],
    }  # fmt: skip
    for arguments, modules in forbidden.items():
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={"SCONE_CLI_CONFIG": str(state), "PATH": os.defpath},
            capture_output=True,
            timeout=60,
        )
        assert result.stderr, arguments
        loaded = set(result.stderr.decode().splitlines()[-1].split())
        assert "scone.cli.main" in loaded
        assert loaded.isdisjoint(modules), (arguments, loaded & set(modules))
