"""Files that the command line writes: whole, and through nobody else's links."""

import os
import threading

import pytest

from scone.cli import files
from scone.cli.files import write_result


@pytest.fixture
def foreign(monkeypatch):
    """Make a link look like (or be) one of another user."""

    def make(link):
        if os.geteuid():
            monkeypatch.setattr(os, "geteuid", lambda: 4321)
        else:
            os.lchown(link, 4321, 4321)

    return make


def test_a_result_replaces_a_file_and_a_link_of_ours_stays_one(tmp_path):
    target, link = tmp_path / "result", tmp_path / "link"
    link.symlink_to("result")
    for content in (b"first", b"second"):
        write_result(str(link), content)
        assert (target.read_bytes(), link.is_symlink()) == (content, True)
    assert sorted(os.listdir(tmp_path)) == ["link", "result"]


def test_a_link_of_another_user_is_not_followed(tmp_path, foreign):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    foreign(link)
    with pytest.raises(PermissionError, match="is a symbolic link of user") as error:
        write_result(str(link), b"new")
    assert str(link) in files.reason(error.value)
    assert target.read_bytes() == b"kept"
    assert link.is_symlink()


def test_a_link_of_another_user_leads_to_no_new_file(tmp_path, foreign):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    foreign(link)
    with pytest.raises(PermissionError):
        write_result(str(link), b"new")
    assert os.listdir(tmp_path) == ["link"]


def test_a_pipe_gets_the_content(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_result(str(pipe), b"content")
    reader.join(20)
    assert found == [b"content"]
    assert pipe.is_fifo()


def test_a_folder_is_not_written(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_result(str(tmp_path), b"content")
    assert os.listdir(tmp_path) == []


def test_a_link_put_in_place_of_a_device_at_the_last_moment_is_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    for place in (link, target):
        with pytest.raises(OSError, match=r"symbolic links|regular file"):
            files._write_into(place, b"new")
    assert target.read_bytes() == b"kept"
