"""Whole files, as CAS and command line share them: no links, no leftovers, own mode."""

import os
import stat

import pytest

from scone import files
from scone.cas.files import write_atomically
from scone.errors import StateError
from scone.files import check_writable, followed, replace, rewrite, sync


@pytest.fixture
def chosen(monkeypatch):
    """The name beside the target that another user guessed."""
    monkeypatch.setattr(os, "urandom", bytes)
    return lambda target: target.with_name(f".{target.name}.{'00' * 8}")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_with_the_mode_that_was_asked_for(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o666)
    replace(target, b"new", 0o600)
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_is_rewritten_keeps_mode_and_owner(tmp_path, monkeypatch):
    target = tmp_path / "file"
    rewrite(target, b"new", 0o600)
    assert mode(target) == 0o600
    target.chmod(0o664)
    rewrite(target, b"newer", 0o600)
    assert (target.read_bytes(), mode(target)) == (b"newer", 0o664)
    owner = target.stat()
    asked = []
    monkeypatch.setattr(os, "fchown", lambda _, uid, gid: asked.append((uid, gid)))
    rewrite(target, b"newest", 0o600)
    assert asked == [(owner.st_uid, owner.st_gid)]


def test_permissions_of_a_group_are_not_given_to_another(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o664)

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    rewrite(target, b"new", 0o600)
    assert (target.read_bytes(), mode(target)) == (b"new", 0o604)


def test_a_read_only_file_is_not_rewritten(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        rewrite(target, b"new", 0o600)
    assert (target.read_bytes(), mode(target)) == (b"old", 0o444)
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileNotFoundError):
        check_writable(tmp_path / "no" / "file")


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    target, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"kept")
    target.symlink_to(other)
    write_atomically(target, b"new")
    assert (target.is_symlink(), target.read_bytes()) == (False, b"new")
    assert other.read_bytes() == b"kept"


def test_what_lies_at_a_name_that_can_be_guessed_is_left_alone(tmp_path):
    target, other = tmp_path / "key-store", tmp_path / "other"
    other.write_bytes(b"kept")
    beside = tmp_path / "key-store.tmp"
    beside.symlink_to(other)
    write_atomically(target, b"new")
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
    assert (other.read_bytes(), beside.is_symlink()) == (b"kept", True)


def test_a_file_that_waits_beside_keeps_content_and_gives_no_mode(tmp_path, chosen):
    target = tmp_path / "key-store"
    chosen(target).write_bytes(b"theirs")
    chosen(target).chmod(0o666)
    with pytest.raises(StateError, match=r"cannot write .*key-store"):
        write_atomically(target, b"secret")
    assert chosen(target).read_bytes() == b"theirs"
    assert not target.exists()


@pytest.mark.parametrize("leads_to", ["other", "nothing"])
def test_a_link_that_waits_beside_is_not_followed(tmp_path, chosen, leads_to):
    target, other = tmp_path / "key-store", tmp_path / "other"
    other.write_bytes(b"kept")
    chosen(target).symlink_to(tmp_path / leads_to)
    with pytest.raises(StateError):
        write_atomically(target, b"secret")
    assert other.read_bytes() == b"kept"
    assert sorted(os.listdir(tmp_path)) == sorted([chosen(target).name, "other"])


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch, call):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "no space left")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="no space left"):
            write_atomically(target, b"new")
    else:
        with pytest.raises(TypeError):
            replace(target, "not bytes", 0o600)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_missing_folders_are_made_private(tmp_path):
    write_atomically(tmp_path / "a" / "file", b"x")
    assert mode(tmp_path / "a") == 0o700
    with pytest.raises(StateError, match="cannot write"):
        write_atomically(tmp_path / "a" / "file" / "below", b"x")


def test_files_and_folders_can_be_synced(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    sync(tmp_path / "file")
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


def test_paths_lead_where_the_kernel_says(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "deep").symlink_to("a/b")
    (tmp_path / "whole").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "b" / "back").symlink_to("../../deep/../file")
    monkeypatch.chdir(tmp_path)
    for path in (
        "x", "./x", "deep", "deep/..", "deep/../b/x", "whole/b/back", "none/x", "none/../x",
        f"{tmp_path}//whole/./b", "/", "..", "/../..", "/dev/null", "/proc/self/exe",
    ):  # fmt: skip
        assert followed(path) == os.path.realpath(path), path


def test_links_of_root_are_followed_for_everybody(tmp_path, monkeypatch):
    assert os.lstat("/proc/mounts").st_uid == 0
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert followed("/proc/mounts").endswith(f"/{os.getpid()}/mounts")


def test_a_link_of_another_user_anywhere_on_the_way_is_refused(tmp_path, monkeypatch):
    real = os.lstat
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "first").symlink_to("way")

    class Theirs:
        st_mode, st_uid = real(tmp_path / "way").st_mode, 4321

    monkeypatch.setattr(
        files.os, "lstat", lambda path: Theirs if path.endswith("/way") else real(path)
    )
    for path in ("way", "way/file", "first", "first/x/y"):
        with pytest.raises(PermissionError, match="of user 4321; expected one of user"):
            followed(f"{tmp_path}/{path}")
    assert followed(f"{tmp_path}/folder") == f"{tmp_path}/folder"


def test_links_without_end_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        followed(f"{tmp_path}/loop")
