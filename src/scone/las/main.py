"""The command `las`: a local attestation service on a simulated platform.

Exit status: 0 after SIGTERM or SIGINT, 1 for what went wrong, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scone import __version__
from scone.attestation.sgx.tcb import TcbStatus
from scone.errors import SconeError, StateError, UnsupportedError, told
from scone.las.listener import listening
from scone.las.server import Server
from scone.tee.hardening import make_undumpable
from scone.tee.las_protocol import default_directory, default_socket, socket_path
from scone.tee.simulation import SimulatedPlatform, create, load

_MARK: Final = (
    "SIMULATION: anybody on this machine can forge what this LAS says. This is not secure!"
)
_LEVELS: Final = ("FATAL", "ERROR", "WARNING", "INFO", "DEBUG")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level,
        format="%(asctime)s %(levelname)5s %(message)s",
        stream=sys.stderr,
    )
    try:
        make_undumpable()
        _run(options)
    except SconeError as error:
        sys.stderr.write(told(error) + "\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="las",
        description="Local attestation service: measures programs on this machine and quotes them.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"las {__version__}")
    parser.add_argument(
        "--simulation", action="store_true", help="serve a simulated platform (not secure)"
    )
    parser.add_argument(
        "--platform",
        type=Path,
        metavar="DIR",
        help=f"folder of the simulated platform, made if absent (default {default_directory()})",
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help="Unix socket to listen on (default las.sock in the platform's folder)",
    )
    parser.add_argument(
        "--join",
        type=Path,
        metavar="DIR",
        help="make the new platform under the root of this other one",
    )
    parser.add_argument(
        "--tcb",
        choices=[status.value for status in TcbStatus],
        metavar="LEVEL",
        help="TCB level of a new platform: "
        + ", ".join(status.value for status in TcbStatus)
        + " (default UpToDate)",
    )
    parser.add_argument(
        "--log-level", choices=_LEVELS, default="WARNING", help="what goes to stderr"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    if not options.simulation:
        raise UnsupportedError(
            "this version has no quoting for SGX hardware",
            hint="start `las --simulation` for a simulated platform, which protects nothing",
        )
    directory: Path = (options.platform or default_directory()).absolute()
    path = (
        default_socket(directory)
        if options.socket is None
        else socket_path(_absolute(options.socket), "--socket")
    )
    socket_path(str(path), "--socket")
    platform = _platform(directory, options.join, options.tcb)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with listening(path) as listener:
        server = Server(listener, platform, lambda: datetime.now(UTC))
        server.start()
        _say("WARN", _MARK)
        _say("INFO", f"Intel QE ID: {platform.platform_id.rpartition(':')[2]}")
        _say("INFO", f"Platform: {platform.platform_id} ({platform.tcb.value})")
        _say("INFO", f"Root certificate: {directory / 'root.pem'}")
        _say("INFO", f"Listening on: {path}")
        stop.wait()
        server.stop()
    _say("INFO", "stopped")


def _absolute(text: str) -> str:
    """A relative path is one; what looks like a network address is refused as such."""
    is_address = ":" in text and not text.startswith("unix:")
    return text if is_address else "unix:" + str(Path(text.removeprefix("unix:")).absolute())


def _platform(directory: Path, join: Path | None, tcb: str | None) -> SimulatedPlatform:
    if not (directory / "platform.json").exists():
        return create(directory, join=join, tcb=tcb or TcbStatus.UP_TO_DATE.value)
    platform = load(directory)
    remedy = "name another folder with --platform, or remove this one"
    if tcb is not None and platform.tcb.value != tcb:
        raise StateError(
            f"{directory}: expected a platform with TCB level {tcb}, got {platform.tcb.value}",
            hint=remedy,
        )
    if join is not None and load(join).root_certificate_pem != platform.root_certificate_pem:
        raise StateError(f"{directory}: has another root than {join}", hint=remedy)
    return platform


def _say(level: str, text: str) -> None:
    now = datetime.now(UTC)
    sys.stdout.write(f"{now:%Y-%m-%dT%H:%M:%S.%f}Z {level:>5} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
