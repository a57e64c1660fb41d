"""System calls: tried in processes of their own."""

import subprocess
import sys

from scone.launcher import kernel


def run(code):
    return subprocess.run(
        [sys.executable, "-c", "import os,signal\nfrom scone.launcher.kernel import *\n" + code],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_undumpable_process_leaves_no_core_and_no_memory_to_others():
    done = run(
        "import ctypes,resource\nfrom scone.tee.hardening import make_undumpable\nmake_undumpable()\n"
        "print(ctypes.CDLL(None).prctl(3,0,0,0,0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert done.stdout == "0 (0, 0)\n", done.stderr


def test_a_process_whose_parent_has_ended_dies_at_once():
    done = run(
        "child=os.fork()\n"
        "if child==0:\n  die_with_parent(-1); os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child,0)[1]))"
    )
    assert done.stdout == "-9\n", done.stderr


def test_a_failed_call_names_the_target_and_the_reason():
    done = run(
        "try:\n  mount('none','/no/such/folder','tmpfs',0,'')\n"
        "except OSError as error:\n  print(error.filename)"
    )
    assert done.stdout == "mount on /no/such/folder\n", done.stderr


def test_swap_is_known():
    assert kernel.has_swap() in (True, False)
