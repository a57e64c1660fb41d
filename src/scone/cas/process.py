"""What a process that holds secrets asks of the kernel: no core dumps, no tracing."""

from __future__ import annotations

import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def harden() -> None:
    """No core files; /proc/PID/mem and ptrace only for root."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
