"""What a process that holds secrets asks of its kernel: no core files, no tracing by others."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

from scone.errors import StateError

_PR_SET_DUMPABLE: Final = 4


def make_undumpable() -> None:
    """No core files, and no other process of this user may read this one's memory.

    Raises:
        StateError: the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise StateError(f"cannot protect this process's memory from others: {reason}")
