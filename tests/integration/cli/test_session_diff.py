"""`scone session diff`: two files, or a file and the active session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas, ok

from scone.transport.http import Request, Response

TEXT = """name: demo
version: "0.3.12"
secrets:
- {name: password, kind: ascii, value: s3cr3t-value}
- {name: key, kind: private-key}
services:
- name: app
  command: app
  environment: {PASSWORD: "$$SCONE::password$$"}
  attestation: [{mrenclave: $MRENCLAVE}]
access_policy: {read: [CREATOR], update: [CREATOR]}
"""
VARIABLE = ["-e", f"MRENCLAVE={'a1' * 32}"]


@pytest.fixture
def old(tmp_path: Path) -> str:
    path = tmp_path / "old.yml"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def new(tmp_path: Path) -> str:
    path = tmp_path / "new.yml"
    path.write_text(TEXT.replace("read: [CREATOR]", "read: ANY").replace("s3cr3t", "0ther"))
    return str(path)


def test_two_files_are_compared_offline_weakenings_first(scone: Cli, old: str, new: str) -> None:
    result = scone("session", "diff", *VARIABLE, old, new)
    assert result.code == 6
    assert result.out == (
        "demo: 2 weaker, 1 changed, 0 stronger\n"
        "\n"
        "WEAKER: gives more than before\n"
        "  access\n"
        "    ! access_policy.read: everybody may read the session now\n"
        "    ! access_policy.list_sessions: everybody may list the sessions of its namespace now\n"
        "\n"
        "CHANGED\n"
        "  secrets\n"
        "    ~ secret password: explicit value changed (not shown)\n"
        "\n"
        "Values of secrets at the update\n"
        "    password: replaced (the explicit value is another)\n"
        "    key: made again (migrate: true is not in both versions)\n"
    )


def test_no_difference_ends_with_zero_and_still_says_what_happens_to_values(
    scone: Cli, old: str
) -> None:
    result = scone("session", "diff", *VARIABLE, old, old)
    assert result.code == 0
    assert result.out == (
        "demo: no difference in rights\n"
        "\n"
        "Values of secrets at the update\n"
        "    password: kept\n"
        "    key: made again (migrate: true is not in both versions)\n"
    )


def test_the_facts_are_there_as_json(scone: Cli, old: str, new: str) -> None:
    result = scone("session", "diff", *VARIABLE, "--json", new, old)
    facts = json.loads(result.out)
    assert result.code == 6
    assert facts["name"] == "demo"
    assert facts["same"] is False
    assert facts["changes"][-1] == {
        "effect": "stronger",
        "topic": "access",
        "subject": "access_policy.list_sessions",
        "text": "everybody may no longer list the sessions of its namespace",
    }
    assert facts["values"][1] == {
        "secret": "key",
        "fate": "made again",
        "reason": "migrate: true is not in both versions",
    }
    assert "s3cr3t" not in result.out


def test_one_file_is_compared_with_the_active_session(
    scone: Cli, attested: FakeCas, old: str, new: str
) -> None:
    assert scone("session", "create", *VARIABLE, old).code == 0
    same = scone("session", "diff", *VARIABLE, old)
    assert (same.code, same.out.splitlines()[0]) == (0, "demo: no difference in rights")
    changed = scone("session", "diff", *VARIABLE, "--cas", attested.address, new)
    assert changed.code == 6
    assert "! access_policy.read: everybody may read the session now" in changed.out
    assert not any(request.method == "POST" for request in attested.requests[1:])


def test_an_older_version_is_read_and_compared(
    scone: Cli, attested: FakeCas, old: str, new: str
) -> None:
    first = scone("session", "create", *VARIABLE, old).out.strip()
    text = attested.sessions["demo"][0]
    assert scone("session", "update", *VARIABLE, new).code == 0

    def version(request: Request) -> Response:
        assert request.query["hash"] == first
        return ok({"session": text, "hash": first})

    attested.override["GET /v1/sessions/demo"] = version
    assert scone("session", "read", "demo", "--hash", first).out == text
    same = scone("session", "diff", *VARIABLE, "--hash", first, old)
    assert (same.code, same.out.splitlines()[0]) == (0, "demo: no difference in rights")
    assert scone("session", "diff", *VARIABLE, "--hash", first, new).code == 6
    for command in (["read", "demo"], ["diff", old]):
        refused = scone("session", *command, "--hash", "A" * 64)
        assert (refused.code, "--hash: expected 64 lower-case hex digits" in refused.err) == (
            2,
            True,
        )


def test_another_version_than_the_one_asked_for_is_refused(
    scone: Cli, attested: FakeCas, old: str
) -> None:
    assert scone("session", "create", *VARIABLE, old).code == 0
    result = scone("session", "diff", *VARIABLE, "--hash", "0" * 64, old)
    assert (result.code, result.out) == (4, "")


def test_a_session_that_does_not_exist_is_told(scone: Cli, attested: FakeCas, old: str) -> None:
    result = scone("session", "diff", *VARIABLE, old)
    assert (result.code, result.out) == (1, "")
    assert "Comparing with the active session failed" in result.err


@pytest.mark.usefixtures("attested")
def test_what_contradicts_itself_is_refused(scone: Cli, old: str, new: str) -> None:
    assert scone("session", "diff", *VARIABLE, "--cas", "x", old, new).code == 2
    assert scone("session", "diff", *VARIABLE, "--hash", "0" * 64, old, new).code == 2
    assert scone("session", "diff", "-", "-").code == 2
    assert scone("session", "diff").code == 2
