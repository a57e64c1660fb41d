"""The state file: private, whole, shared between runs, and never lost."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from cli_run import Cli

from scone.cli.state import ConfigFile, read_identity_file
from scone.cli.state_document import remember_in
from scone.client.known import KnownCas
from scone.crypto.identity import create_identity, parse_identity
from scone.errors import NotFoundError, StateError

PEM = create_identity(os.urandom).certificate_pem
CHAIN = PEM + PEM


def config_file(path: Path) -> ConfigFile:
    return ConfigFile(str(path), warn=pytest.fail)


def known(name: str, **more: object) -> KnownCas:
    return KnownCas(name, f"https://{name}:8081/", CHAIN, **more)  # type: ignore[arg-type]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_identity_is_made_once_private_and_whole(state: Path) -> None:
    first = config_file(state).identity()
    assert config_file(state).identity() == first
    assert (mode(state), mode(state.parent)) == (0o600, 0o700)
    assert parse_identity(json.loads(state.read_text())["identity"].encode()) == first
    assert [path.name for path in state.parent.iterdir()] in (
        ["config.json", "config.json.lock"],
        ["config.json.lock", "config.json"],
    )


def test_the_session_signing_key_stays_the_same(state: Path) -> None:
    key = config_file(state).session_signing_key()
    assert config_file(state).session_signing_key() == key


def test_the_first_remembered_cas_is_the_default_until_another_is_set(state: Path) -> None:
    file = config_file(state)
    file.remember(known("b", epoch=3))
    file.remember(known("a"))
    config = file.load()
    assert (config.default_cas, config.names) == ("b", ("a", "b"))
    assert config.cas("b") == known("b", epoch=3)
    assert file.set_default("a").default_cas == "a"
    with pytest.raises(NotFoundError):
        file.set_default("c")
    assert file.load().default_cas == "a"


def test_keys_that_are_not_ours_are_kept(state: Path) -> None:
    state.parent.mkdir()
    theirs = {
        "cas_db": {"a": {"url": "https://a:8081/", "chain": CHAIN, "ias_report": {"body": "x"}}}
    }
    state.write_text(json.dumps(theirs | {"other": [1, 2.5, "\ud800"]}))
    state.chmod(0o600)
    config_file(state).remember(known("a", epoch=2))
    found = json.loads(state.read_text())
    assert found["other"] == [1, 2.5, "\ud800"]
    assert found["cas_db"]["a"]["ias_report"] == {"body": "x"}
    assert found["cas_db"]["a"]["epoch"] == 2


def test_others_who_can_read_it_are_warned_about_once(state: Path) -> None:
    config_file(state).identity()
    state.chmod(0o644)
    warnings: list[str] = []
    file = ConfigFile(str(state), warn=warnings.append)
    file.load()
    file.load()
    assert len(warnings) == 1
    assert "mode 0644" in warnings[0]
    assert f"chmod 600 {state}" in warnings[0]


def test_a_change_closes_the_file_again(state: Path) -> None:
    config_file(state).identity()
    state.chmod(0o666)
    ConfigFile(str(state), warn=lambda _: None).remember(known("a"))
    assert mode(state) == 0o600


def test_a_default_that_names_no_entry_is_replaced(state: Path) -> None:
    warnings: list[str] = []
    for mend in ("remember", "set_default"):
        file = ConfigFile(str(state), warn=warnings.append)
        file.remember(known("a"))
        document = json.loads(state.read_text())
        state.write_text(json.dumps(document | {"default_cas": "gone"}))
        assert file.load().default_cas is None
        assert (
            file.remember(known("b")) if mend == "remember" else file.set_default("b")
        ).default_cas == "b"
    assert len(warnings) == 2
    assert "default_cas: expected a name in cas_db, got 'gone'" in warnings[0]


def test_an_identity_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(create_identity(os.urandom).pem.reveal())
    path.chmod(0o600)
    read_identity_file(str(path), pytest.fail)
    path.chmod(0o640)
    warnings: list[str] = []
    read_identity_file(str(path), warnings.append)
    assert len(warnings) == 1
    assert f"chmod 600 {path}" in warnings[0]


def test_a_symbolic_link_stays_one(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    config_file(target).identity()
    state.parent.mkdir()
    state.symlink_to(target)
    config_file(state).remember(known("a"))
    assert state.is_symlink()
    assert "a" in json.loads(target.read_text())["cas_db"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket-free"])
def test_what_is_no_file_is_refused(state: Path, kind: str) -> None:
    state.parent.mkdir()
    if kind == "directory":
        state.mkdir()
    elif kind == "fifo":
        os.mkfifo(state)
    else:
        state = state / "x" / "config.json"
        state.parent.parent.write_text("a file where a directory should be")
    with pytest.raises(StateError):
        config_file(state).identity()


def test_an_oversized_file_is_refused(state: Path) -> None:
    state.parent.mkdir()
    state.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(StateError, match="at most"):
        ConfigFile(str(state), warn=lambda _: None).load()


def test_a_failed_write_leaves_the_old_state_and_no_rubbish(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file(state).identity()
    before = state.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        config_file(state).remember(known("a"))
    assert state.read_bytes() == before
    assert sorted(path.name for path in state.parent.iterdir()) == [
        "config.json",
        "config.json.lock",
    ]


def test_a_change_that_fails_writes_nothing(state: Path) -> None:
    file = config_file(state)
    file.identity()
    before = state.read_bytes()

    def change(document: dict[str, object]) -> None:
        document["identity"] = "gone"
        raise NotFoundError("no")

    with pytest.raises(NotFoundError):
        file.update(change)
    assert state.read_bytes() == before


def _remember(path: str, number: int, ready: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    file = ConfigFile(path, warn=lambda _: None)
    file.identity()
    file.update(lambda document: remember_in(document, known(f"cas-{number}")))


def test_sixteen_processes_at_once_lose_nothing(state: Path) -> None:
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    ready = context.Barrier(16)
    processes = [
        context.Process(target=_remember, args=(str(state), number, ready)) for number in range(16)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 16
    config = config_file(state).load()
    assert set(config.names) == {f"cas-{number}" for number in range(16)}
    assert config.default_cas in config.names
    assert config.document["identity"]


def test_a_lock_that_is_never_released_is_told(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr("scone.cli.state._LOCK_WAIT_S", 0.05)
    file = config_file(state)
    file.identity()
    with (state.parent / "config.json.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another scone has held its lock"):
            file.remember(known("a"))


def test_config_option_beats_the_environment(scone: Cli, state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    first = scone("self", "show-key-hash").out
    second = scone("-c", str(other), "self", "show-key-hash").out
    assert first != second
    assert scone("--config", str(other), "self", "show-key-hash").out == second


def test_another_users_link_is_not_followed(state: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's link")
    config_file(state).identity()
    link = tmp_path / "link.json"
    link.symlink_to(state)
    os.lchown(link, 4321, 4321)
    with pytest.raises(StateError, match="link"):
        config_file(link)
