"""Injection files: seen by the service alone, gone afterwards."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from launcher_world import PYTHON, python

from scone.crypto.secret import SecretBytes
from scone.session.secrets.values import AsciiValue, SecretValues

pytestmark = pytest.mark.usefixtures("private_mounts")

SHOW = (
    "import os,json,sys;"
    "print(json.dumps([[open(p,'rb').read().decode('latin-1'),os.stat(p).st_mode&0o7777,"
    "os.stat(p).st_uid] for p in sys.argv[1:]]),flush=True);sys.stdin.readline()"
)


def show(paths, **more):
    made = python(SHOW, **more)
    words = tuple(SecretBytes(os.fsencode(path)) for path in paths)
    return type(made)(
        made.arguments + words, made.environment, made.pwd, made.files, made.template_secrets
    )


def test_the_service_sees_its_files_and_nobody_else_does(world, tmp_path):
    existing, missing = tmp_path / "existing", tmp_path / "new" / "folder" / "missing"
    existing.write_text("of the host")
    content = bytes(range(256))
    world.cas.give(
        python(
            "import os,sys,time;a,b=os.environ['A'],os.environ['B'];"
            "print(open(a).read(),open(b,'rb').read()==bytes(range(256)),flush=True);"
            "time.sleep(60)",
            environment={"A": str(existing), "B": str(missing)},
            files=[(existing, "of the session", 0o600), (missing, content, 0o400)],
        )
    )
    process = world.start(PYTHON)
    assert process.stdout.readline() == b"of the session True\n", process.stderr.read()
    assert existing.read_text() == "of the host"
    assert missing.read_bytes() == b""
    assert stat.S_IMODE(missing.stat().st_mode) == 0o600
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -15
    assert existing.read_text() == "of the host"
    assert not (tmp_path / "new").exists()


def test_files_have_the_bits_of_the_session_and_belong_to_the_service(world, tmp_path):
    files = [(tmp_path / oct(mode), oct(mode), mode) for mode in (0o700, 0o400, 0o644, 0o755)]
    world.cas.give(show([path for path, _, _ in files], files=files))
    status, out, error = world.run(PYTHON)
    assert status == 0, error
    assert json.loads(out) == [[text, mode, os.geteuid()] for _, text, mode in files]
    assert os.listdir(tmp_path) == []


def test_a_link_leads_to_the_file_that_is_replaced(world, tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("host")
    link.symlink_to(real)
    world.cas.give(show([real, link], files=[(link, "session", 0o600)]))
    out = world.run(PYTHON)[1]
    assert [text for text, _, _ in json.loads(out)] == ["session", "session"]
    assert link.is_symlink()
    assert real.read_text() == "host"


def test_a_template_on_the_disk_is_expanded_in_memory(world, tmp_path):
    template = tmp_path / "app.conf"
    template.write_bytes(b"password = $$SCONE::password$$ \xff\n")
    values = SecretValues({"password": AsciiValue(SecretBytes(b"s3cret"))})
    world.cas.give(show([template], files=[(template, None, 0o600)], template_secrets=values))
    out = world.run(PYTHON)[1]
    assert json.loads(out)[0][0] == "password = s3cret \xff\n"
    assert template.read_bytes() == b"password = $$SCONE::password$$ \xff\n"


def test_a_template_that_is_not_there_is_refused(world, tmp_path):
    values = SecretValues({"password": AsciiValue(SecretBytes(b"s3cret"))})
    files = [(tmp_path / "first", "x", 0o600), (tmp_path / "none", None, 0o600)]
    world.cas.give(show([], files=files, template_secrets=values))
    status, _, error = world.run(PYTHON)
    assert status == 134
    assert "the session gives no content and there is no such file" in error
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_when_the_start_fails(world, tmp_path):
    files = [(tmp_path / "a" / "b", "x", 0o600)]
    world.cas.give(python("pass", pwd="/no such folder", files=files))
    assert world.run(PYTHON)[0] == 134
    assert os.listdir(tmp_path) == []


def test_two_services_with_the_same_missing_file_do_not_disturb_each_other(world, tmp_path):
    path = tmp_path / "shared"
    code = (
        f"import signal,sys;p={str(path)!r};signal.signal(signal.SIGTERM,"
        "lambda *_:(print(open(p).read(),flush=True),sys.exit(0)));print('up',flush=True);"
        "signal.pause()"
    )
    world.cas.give(python(code, files=[(path, "first", 0o600)]))
    first = world.start(PYTHON)
    assert first.stdout.readline() == b"up\n"
    world.cas.give(python(code, files=[(path, "second", 0o600)]))
    second = world.start(PYTHON)
    assert second.stdout.readline() == b"up\n"
    first.terminate()
    assert first.communicate(timeout=30)[0] == b"first\n"
    second.terminate()
    assert second.communicate(timeout=30)[0] == b"second\n"


def test_a_kill_leaves_empty_placeholders_that_the_next_start_uses(world, tmp_path):
    path = tmp_path / "new" / "file"
    code = f"import time;print(open({str(path)!r}).read(),flush=True);time.sleep(60)"
    world.cas.give(python(code, files=[(path, "secret", 0o600)]))
    for _ in range(2):
        process = world.start(PYTHON)
        assert process.stdout.readline() == b"secret\n", process.stderr.read()
        process.kill()
        process.communicate(timeout=30)
        assert path.read_bytes() == b""
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def unprivileged(*capabilities):
    """How to start a launcher without these capabilities; skips where that is not possible."""
    dropped = ",".join(f"-{name}" for name in ("sys_admin", *capabilities))
    prefix = ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    if os.geteuid():
        prefix = ()
    code = "from scone.launcher.kernel import *; enter_private_mounts()"
    done = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no user namespace here: {done.stderr.splitlines()[-1]}")
    return prefix


def test_a_user_namespace_serves_where_the_launcher_is_not_privileged(world, tmp_path):
    path = tmp_path / "folder" / "file"
    world.cas.give(show([path], files=[(path, "session", 0o640)]))
    status, out, error = world.run(PYTHON, prefix=unprivileged())
    assert status == 0, error
    assert json.loads(out) == [["session", 0o640, os.geteuid()]]
    assert os.listdir(tmp_path) == []


def test_a_file_in_a_folder_that_the_launcher_cannot_write(world):
    prefix = unprivileged("dac_override")
    folder = Path("/etc") if os.geteuid() else world.folder / "foreign"
    if not os.geteuid():
        folder.mkdir(mode=0o755)
        os.chown(folder, 65534, 65534)
    before = sorted(os.listdir(folder))
    path = folder / "scone-test" / "file"
    world.cas.give(show([path, "/etc/passwd"], files=[(path, "session", 0o400)]))
    status, out, error = world.run(PYTHON, prefix=prefix)
    assert status == 0, error
    first, second = json.loads(out)
    assert first == ["session", 0o400, os.geteuid()]
    assert second[0] == Path("/etc/passwd").read_text(encoding="latin-1")
    assert sorted(os.listdir(folder)) == before


PLACE = """
import os, sys
from scone.crypto.secret import SecretBytes
from scone.launcher.console import Console
from scone.launcher.injection import Placed
from scone.launcher.placement import place
folder, path, existing = sys.argv[1:]
place([Placed(path, SecretBytes(b"secret"), 0o640, folder),
       Placed(existing, SecretBytes(b"covered"), 0o600)], Console(7))
print(open(path).read(), oct(os.stat(path).st_mode & 0o777), open(existing).read())
try:
    open(os.path.join(folder, "other"), "w")
except OSError as error:
    print(error.strerror)
if folder != "/":
    print(sorted(os.listdir(folder)), open(f"{folder}/inner/file").read(), os.readlink(f"{folder}/link"))
    open(f"{folder}/inner/written", "w").write("kept")
    open(f"{folder}/plain", "a").write("+")
os.chdir("/")
print(os.path.realpath("/proc/self/cwd"), os.path.exists("/proc/self/exe"))
"""


def test_a_folder_that_cannot_be_written_is_listed_in_memory(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("inner")
    (tmp_path / "plain").write_text("plain")
    (tmp_path / "link").symlink_to("plain")
    path, existing = tmp_path / "new" / "secret", tmp_path / "inner" / "covered"
    existing.write_text("host")
    done = subprocess.run(
        [sys.executable, "-c", PLACE, tmp_path, path, existing], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "secret 0o640 covered",
        "Read-only file system",
        "['inner', 'link', 'new', 'plain'] inner plain",
        "/ True",
    ]
    assert sorted(os.listdir(tmp_path)) == ["inner", "link", "plain"]
    assert (tmp_path / "inner" / "written").read_text() == "kept"
    assert (tmp_path / "plain").read_text() == "plain+"
    assert existing.read_text() == "host"


def test_a_file_directly_in_the_root_needs_a_root_of_its_own(tmp_path):
    existing = tmp_path / "covered"
    existing.write_text("host")
    path = "/scone-test-injected/file"
    done = subprocess.run(
        [sys.executable, "-c", PLACE, "/", path, existing], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "secret 0o640 covered",
        "Read-only file system",
        "/ True",
    ]
    assert not os.path.exists("/scone-test-injected")
    assert existing.read_text() == "host"
