"""The command `las`: a local attestation service on a simulated platform.

Exit status: 0 after SIGTERM or SIGINT, 1 for what went wrong, 2 for a wrong command line,
70 for an error of the program itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scone import __version__
from scone.attestation.sgx.tcb import TcbStatus
from scone.errors import SconeError, StateError, UnsupportedError, places_of, told
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
    except Exception as error:  # noqa: BLE001 - ends the program; its message may hold a secret
        sys.stderr.write(f"Error: internal error: {places_of(error)}\n")
        return 70
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="las",
        description="Local attestation service: measures programs on this machine and quotes them.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"las {__version__}")
    parser.add_argument(
        "--simulation", action="store_true", help="serve a simulated platform (not secure)"
    )
    parser.add_argument(
        "--platform",
        type=_path,
        metavar="DIR",
        help="folder of the simulated platform, made if absent (default ~/.cas/simulated-platform)",
    )
    parser.add_argument(
        "--socket",
        type=_not_empty,
        metavar="PATH",
        help="Unix socket to listen on (default las.sock in the platform's folder)",
    )
    parser.add_argument(
        "--join",
        type=_path,
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


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return text


def _path(text: str) -> Path:
    return Path(_not_empty(text))


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
        # A bare name is a path here, as for other options; an address is still refused.
        else socket_path(
            options.socket if ":" in options.socket else f"unix:{options.socket}", "--socket"
        )
    )
    platform = _platform(directory, options.join, options.tcb)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with listening(path) as listener:
        server = Server(listener, platform, lambda: datetime.now(UTC))
        server.start()
        try:
            _say("WARN", _MARK)
            _say("INFO", f"Intel QE ID: {platform.platform_id.rpartition(':')[2]}")
            _say("INFO", f"Platform: {platform.platform_id} ({platform.tcb.value})")
            _say("INFO", f"Root certificate: {directory / 'root.pem'}")
            _say("INFO", f"Listening on: {path}")
            stop.wait()
        finally:
            server.stop()
    _say("INFO", "stopped")


def _platform(directory: Path, join: Path | None, tcb: str | None) -> SimulatedPlatform:
    if not os.path.lexists(directory / "platform.json"):
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
    # Not by sys.stdout, which would try again what failed when the program ends.
    line = f"{now:%Y-%m-%dT%H:%M:%S.%f}Z {level:>5} {text}\n"
    try:
        with open(1, "wb", closefd=False) as out:
            out.write(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StateError(f"standard output: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
