"""`scone session apply`, `list`, `history`, and what `check` shows of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas, error, ok

from scone.transport.http import Request, Response

TEXT = 'name: demo\nversion: "0.3"\nsecrets:\n- name: a\n  kind: ascii\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "demo.yml"
    path.write_text(TEXT)
    return path


def posts(cas: FakeCas) -> int:
    return cas.paths.count("POST /v1/sessions")


def test_apply_creates_updates_and_leaves_alone(scone: Cli, attested: FakeCas, file: Path) -> None:
    created = scone("session", "apply", str(file))
    assert (created.code, created.err.splitlines()[-1]) == (0, "created")
    assert created.out == attested.sessions["demo"][1] + "\n"
    unchanged = scone("session", "apply", str(file))
    assert (unchanged.code, unchanged.out) == (0, created.out)
    assert unchanged.err.splitlines()[-1] == "unchanged"
    assert posts(attested) == 1
    file.write_text(TEXT.replace("kind: ascii", "kind: $KIND"))
    updated = scone("session", "apply", "-e", "KIND=binary", "--json", str(file))
    assert updated.err.splitlines()[-1] == f"updated from {created.out.strip()}"
    assert json.loads(updated.out) == {
        "name": "demo",
        "hash": attested.sessions["demo"][1],
        "action": "updated",
        "previous": created.out.strip(),
    }


def test_a_conflict_is_told_once(scone: Cli, attested: FakeCas, file: Path) -> None:
    assert scone("session", "apply", str(file)).code == 0
    file.write_text(TEXT + f"predecessor: {'00' * 32}\n")
    result = scone("session", "apply", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-3:] == [
        "Error: Applying session failed",
        f"Caused by: CAS at '{attested.url}' returned HTTP error status code 409 Conflict",
        "Caused by: the predecessor is not the active version",
    ]


KEYS = """name: keys
version: "0.3"
secrets:
- {name: lost, kind: private-key}
- {name: held, kind: private-key, migrate: true}
- {name: word, kind: ascii}
"""


@pytest.mark.parametrize("command", ["update", "apply"])
def test_an_update_names_the_secrets_that_it_makes_again(
    scone: Cli, attested: FakeCas, file: Path, command: str
) -> None:
    file.write_text(KEYS)
    assert "Note:" not in scone("session", "apply", str(file)).err
    file.write_text(KEYS + "access_policy: {read: ANY}\n")
    updated = scone("session", command, str(file))
    assert updated.code == 0
    assert "Note: the update made new values of: lost (" in updated.err
    file.write_text(KEYS.replace("- {name: lost, kind: private-key}\n", ""))
    assert "Note:" not in scone("session", command, str(file)).err


def test_a_signed_session_is_applied_and_names_its_predecessor_itself(
    scone: Cli, attested: FakeCas, file: Path, tmp_path: Path
) -> None:
    from scone.session import read_session, session_hash, to_yaml

    def store(request: Request) -> Response:
        session = read_session(json.loads(request.body)["session"]).session
        attested.sessions["demo"] = (to_yaml(session), session_hash(session))
        return ok({"hash": session_hash(session)}, 201)

    attested.override["PUT /v1/signed_sessions"] = store
    signed = tmp_path / "signed.json"
    signed.write_text(scone("session", "sign", str(file)).out)
    created = scone("session", "apply", str(signed))
    assert (created.code, created.err.splitlines()[-1]) == (0, "created")
    again = scone("session", "apply", str(signed))
    assert (again.out, again.err.splitlines()[-1]) == (created.out, "unchanged")
    file.write_text(TEXT.replace("ascii", "binary"))
    signed.write_text(scone("session", "sign", str(file)).out)
    refused = scone("session", "apply", str(signed))
    assert (refused.code, refused.out) == (2, "")
    assert "expected a predecessor inside the signed session" in refused.err
    assert f"predecessor: {created.out.strip()}" in refused.err
    file.write_text(file.read_text() + f"predecessor: {created.out}")
    signed.write_text(scone("session", "sign", str(file)).out)
    updated = scone("session", "apply", str(signed))
    assert updated.err.splitlines()[-1] == f"updated from {created.out.strip()}"


def test_apply_stops_at_a_warning_before_anything_is_sent(
    scone: Cli, attested: FakeCas, file: Path
) -> None:
    file.write_text(TEXT + 'security:\n  attestation:\n    ignore_advisories: "*"\n')
    result = scone("session", "apply", "--fail-on-warning", str(file))
    assert (result.code, result.out) == (1, "")
    assert attested.requests == []


def pages(tree: dict[str, list[str]], refused: tuple[str, ...] = ()) -> Callable[..., Response]:
    """A CAS that answers one name a page."""

    def answer(request: Request) -> Response:
        namespace = request.query["namespace"]
        if namespace in refused:
            return error(403, "forbidden", "no")
        names = tree.get(namespace, [])
        at = names.index(request.query["after"]) + 1 if "after" in request.query else 0
        following = names[at] if at + 1 < len(names) else None
        return ok({"sessions": names[at : at + 1], "next": following})

    return answer


TREE = {"/": ["a", "b"], "a": ["a/x", "a/y"], "a/y": ["a/y/z"]}


def test_sessions_are_listed_level_by_level(scone: Cli, attested: FakeCas) -> None:
    attested.override["GET /v1/session_list"] = pages(TREE)
    assert scone("session", "list").out == "a\nb\n"
    assert scone("session", "list", "a").out == "a/x\na/y\n"
    assert scone("session", "list", "b").out == ""
    assert scone("session", "list", "-r").out == "a\na/x\na/y\na/y/z\nb\n"


def test_what_may_not_be_listed_is_named(scone: Cli, attested: FakeCas) -> None:
    attested.override["GET /v1/session_list"] = pages(TREE, refused=("a/y", "b"))
    result = scone("session", "list", "--recursive", "--json")
    assert json.loads(result.out) == {
        "namespace": "/",
        "sessions": ["a", "a/x", "a/y", "b"],
        "not_listed": ["a/y", "b"],
    }
    assert "Note: the sessions in a/y may not be listed\n" in result.err
    top = scone("session", "list", "b")
    assert (top.code, top.out) == (1, "")


@pytest.mark.parametrize("name", ["/", "b/x", "../a", "a\x1b[2J", "a"])
def test_a_list_that_leads_elsewhere_is_no_answer(scone: Cli, attested: FakeCas, name: str) -> None:
    attested.override["GET /v1/session_list"] = lambda _: ok({"sessions": [name], "next": None})
    result = scone("session", "list", "-r", "a")
    assert (result.code, result.out) == (3, "")
    assert "expected names of sessions in a" in result.err


def test_endless_lists_end(scone: Cli, attested: FakeCas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scone.cli.commands.session_tools._MAX_LISTED", 50)
    count = iter(range(10**6))

    def endless(_: Request) -> Response:
        name = f"s{next(count)}"
        return ok({"sessions": [name], "next": name})

    attested.override["GET /v1/session_list"] = endless
    result = scone("session", "list")
    assert (result.code, result.out) == (1, "")
    assert "more than 50 entries" in result.err
    assert next(count) < 60


def test_the_history_is_printed_newest_first(scone: Cli, attested: FakeCas) -> None:
    versions = [
        {
            "hash": "cd" * 32,
            "predecessor": "ab" * 32,
            "uploaded_at": "2026-01-02T00:00:00+00:00",
            "uploader": "k1,\x1bk2",
            "signed": True,
        },
        {
            "hash": "ab" * 32,
            "predecessor": None,
            "uploaded_at": "2026-01-01T00:00:00+00:00",
            "uploader": "k3",
            "signed": False,
        },
    ]
    attested.override["GET /v1/session_history/n/demo"] = lambda request: ok(
        {"versions": versions[1:], "next": None}
        if "before" in request.query
        else {"versions": versions[:1], "next": "cd" * 32}
    )
    assert scone("session", "history", "n/demo").out == (
        f"{'cd' * 32} 2026-01-02T00:00:00+00:00 signed k1,\\x1bk2\n"
        f"{'ab' * 32} 2026-01-01T00:00:00+00:00 k3\n"
    )
    facts = json.loads(scone("session", "history", "n/demo", "--json").out)
    assert facts == {"name": "n/demo", "versions": versions}
    attested.override["GET /v1/session_history/absent"] = lambda _: error(
        404, "not-found", "Session not found"
    )
    absent = scone("session", "history", "absent")
    assert (absent.code, absent.out) == (1, "")
    assert absent.err.splitlines()[-3] == "Error: Reading the history failed"


def test_check_shows_each_problem_with_its_line(scone: Cli, file: Path) -> None:
    file.write_text(TEXT.replace("kind: ascii", "kind: asci\n  vlaue: hunter2"))
    result = scone("session", "check", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"Error: Parsing session from session template file '{file}' failed\n"
        "Caused by: secrets[0].kind: expected one of ascii, binary, private-key, public-key, x509, "
        "x509-ca, pgp-key, aad-token, config-fragment, jwt, got 'asci' at line 5 column 9 (did you "
        "mean 'ascii'?)\n"
        "    5 |   kind: asci\n"
        "      |         ^\n"
        "Caused by: secrets[0].vlaue: unknown key at line 6 column 3 (did you mean 'value'?)\n"
        "    6 |   vlaue: …\n"
        "      |   ^\n"
    )


def test_another_encoding_is_told_with_its_line(scone: Cli, file: Path) -> None:
    file.write_bytes("name: s\n# ä\nversion: h".encode() + b"\xff")
    error = scone("session", "check", str(file)).err
    assert error == f"Error: session file {str(file)!r}: expected text in UTF-8, got another byte at line 3 column 11\n"  # fmt: skip


def test_check_keeps_the_wording_for_a_missing_variable(scone: Cli, file: Path) -> None:
    file.write_text(TEXT.replace("demo", "$SESSION"))
    assert scone("session", "check", str(file)).err.endswith(
        "Caused by: name: Value for variable $SESSION is missing at line 1 column 7 "
        "(give it with -e NAME=VALUE or --use-env)\n"
        "    1 | name: $SESSION\n"
        "      |       ^\n"
    )


def test_a_value_of_a_variable_is_not_shown(scone: Cli, file: Path, tmp_path: Path) -> None:
    file.write_text(TEXT.replace("kind: ascii", "kind: $KIND"))
    value = tmp_path / "value"
    value.write_text("hunter2")
    for arguments in ([], ["--json"]):
        result = scone("session", "check", "-e", f"KIND=@{value}", str(file), *arguments)
        assert result.code == 1
        assert "hunter2" not in result.out + result.err
        assert "    5 |   kind: $KIND\n" in result.err


def test_check_gives_problems_and_warnings_as_objects(scone: Cli, file: Path) -> None:
    file.write_text(TEXT.replace("ascii", "asci"))
    result = scone("session", "check", "--json", str(file))
    assert result.code == 1
    (problem,) = json.loads(result.out)["problems"]
    assert "got 'asci'" in problem.pop("message")
    assert problem == {
        "source": str(file),
        "line": 5,
        "column": 9,
        "path": "secrets[0].kind",
        "code": "malformed",
        "hint": "did you mean 'ascii'?",
    }
    file.write_text(TEXT + 'security:\n  attestation:\n    ignore_advisories: "*"\n')
    fine = scone("session", "check", "--json", str(file))
    assert fine.code == 0
    warnings = json.loads(fine.out)["warnings"]
    places = {(warning["line"], warning["path"]) for warning in warnings}
    assert (8, "security.attestation.ignore_advisories") in places
    assert '    8 |     ignore_advisories: "*"\n      |                        ^\n' in fine.err
    failed = scone("session", "check", "--json", "--fail-on-warning", str(file))
    assert failed.code == 1
    assert json.loads(failed.out) == {"warnings": warnings}


def test_the_lines_of_a_signed_session_are_those_inside(scone: Cli, file: Path) -> None:
    file.write_text(TEXT + 'security:\n  attestation:\n    ignore_advisories: "*"\n')
    file.write_text(scone("session", "sign", str(file)).out)
    result = scone("session", "check", str(file))
    assert result.code == 0
    assert 'ignore_advisories: "*"\n      | ' in result.err


def test_fmt_prints_checks_and_writes(scone: Cli, file: Path) -> None:
    wanted = 'version: "0.3"\nname: demo # mine\nsecrets:\n  - name: a\n    kind: ascii\n'
    file.write_text(TEXT.replace("demo", "'demo' # mine"))
    printed = scone("session", "fmt", str(file))
    assert (printed.code, printed.out) == (0, wanted)
    check = scone("session", "fmt", "--check", str(file))
    assert (check.code, check.out, check.err) == (6, "", f"{file} would change\n")
    for mode in (0o600, 0o666):
        file.chmod(mode)
        file.write_text(TEXT.replace("demo", "'demo' # mine"))
        written = scone("session", "fmt", "-w", str(file))
        assert file.stat().st_mode & 0o777 == mode
    assert (written.code, written.out, file.read_text()) == (0, "", wanted)
    fine = scone("session", "fmt", "--check", str(file))
    assert (fine.code, fine.out, fine.err) == (0, "", "")


def test_fmt_takes_several_files_to_check_and_to_write(
    scone: Cli, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yml"
    for path in (file, other):
        path.write_text('name:   x\nversion: "0.3"\n')
    files = [str(file), str(other)]
    assert scone("session", "fmt", *files).code == 2
    checked = scone("session", "fmt", "--check", *files)
    assert (checked.code, checked.out) == (6, "")
    assert checked.err == "".join(f"{path} would change\n" for path in files)
    file.chmod(0o600)
    other.chmod(0o444)
    written = scone("session", "fmt", "--write", *files)
    assert (written.code, written.err) == (2, f"Error: {other}: it is read-only\n")
    other.chmod(0o644)
    assert scone("session", "fmt", "--write", *files).code == 0
    assert scone("session", "fmt", "--check", *files).code == 0
    assert [path.stat().st_mode & 0o777 for path in (file, other)] == [0o600, 0o644]


def test_fmt_refuses_what_it_cannot_write_back(scone: Cli, file: Path) -> None:
    assert scone("session", "fmt", "--check", "-w", str(file)).code == 2
    assert scone("session", "fmt", "-w", "-").code == 2
    assert scone("session", "fmt", "-w", "/dev/null").code != 0
    file.write_text("name: [")
    broken = scone("session", "fmt", "-w", str(file))
    assert (broken.code, broken.out, file.read_text()) == (1, "", "name: [")
    assert "Error: Formatting session failed\nCaused by: " in broken.err
    file.write_text(TEXT)
    signed = scone("session", "sign", str(file)).out
    file.write_text(signed)
    refused = scone("session", "fmt", "-w", str(file))
    assert (refused.code, file.read_text()) == (2, signed)


def test_files_and_active_sessions_are_drawn_together(
    scone: Cli, attested: FakeCas, file: Path, tmp_path: Path
) -> None:
    assert scone("session", "apply", str(file)).code == 0
    other = tmp_path / "other.yml"
    other.write_text(
        'name: other\nversion: "0.3"\nsecrets:\n- name: b\n'
        "  import: {session: demo, secret: $SECRET}\n"
    )
    variable = ["-e", "SECRET=a"]
    offline = scone("session", "graph", str(file), str(other), *variable)
    assert offline.code == 0
    assert 'label="demo\\nsession 0.3"' in offline.out
    denied = Response(403, b'{"msg": ["no"], "code": "forbidden"}')
    attested.override["GET /v1/sessions/hidden"] = lambda _: denied
    both = ["--session", "demo", "--session", "hidden"]
    drawn = scone("session", "graph", str(other), *both, *variable)
    assert (drawn.code, drawn.out) == (0, offline.out)
    assert "Note: session hidden may not be read\n" in drawn.err
    absent = scone("session", "graph", str(other), "--session", "x", *variable)
    assert (absent.code, absent.out) == (1, "")
    assert "Session not found" in absent.err
    picture = scone("session", "graph", "--session", "demo", "--format", "svg")
    assert picture.out.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<svg ')
    absent = scone("session", "graph", "--session", "x")
    assert (absent.code, absent.out) == (1, "")


def test_graph_needs_something_to_draw(scone: Cli, file: Path) -> None:
    assert scone("session", "graph").code == 2
    assert scone("session", "graph", "-c", "x", str(file)).code == 2
    assert scone("session", "graph", "-", "-").code == 2
    twice = scone("session", "graph", "-e", "A=-", str(file), str(file))
    assert (twice.code, "standard input is read once" in twice.err) == (2, True)
