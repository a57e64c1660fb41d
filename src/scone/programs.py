"""What the installed commands start: each program, with Ctrl-C as a quiet end from its first import."""

from __future__ import annotations

import sys
from importlib import import_module

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def scone() -> int:
    """The command line."""
    return _run("scone.cli.main")


def cas() -> int:
    """The Configuration and Attestation Service."""
    return _run("scone.cas.main")


def las() -> int:
    """The Local Attestation Service."""
    return _run("scone.las.main")


def scone_run() -> int:
    """The launcher."""
    return _run("scone.launcher.main")


def _run(module: str) -> int:
    try:
        return int(import_module(module).main())
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return _INTERRUPTED
