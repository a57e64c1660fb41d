"""`cas`: start a CAS, or look into a database whose key its owner has."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import scone
from scone.attestation.verify import Anchor
from scone.cas import database_show
from scone.cas.config import Availability, load_availability, simulation_default
from scone.cas.http.app import App, RateLimit
from scone.cas.http.routes import Listener
from scone.cas.opening import start_cas
from scone.cas.operations.backups import Nonces
from scone.cas.operations.provision import WrongTokens
from scone.cas.state import Cas, Unprovisioned
from scone.crypto.der import pem_to_der
from scone.crypto.secret import SecretBytes
from scone.errors import SconeError, StateError, UnavailableError, places_of, told
from scone.log_level import DEBUG, ERROR, INFO, WARNING, parse_level
from scone.tee.base import Tee
from scone.tee.hardening import make_undumpable
from scone.tee.las_client import LasTee
from scone.transport.limits import Limits
from scone.transport.listener import listen
from scone.transport.server import Server, ServerTls, run, serve

LOG: Final = logging.getLogger("scone.cas")
_COLLATERAL_REFRESH_S: Final = 3600.0


def main() -> int:
    """Run the command; returns its exit status."""
    arguments = _arguments()
    try:
        _log_to_console()
        make_undumpable()
        if arguments.command == "database":
            return database_show.show(arguments.database, arguments.key_file)
        availability = _availability(arguments)
        status = run(_serve(availability, *_platform(arguments)))
    except SconeError as error:
        sys.stderr.write(told(error) + "\n")
        status = 1
    except Exception as error:  # noqa: BLE001 - ends the program; its message may hold a secret
        sys.stderr.write(f"Error: internal error: {places_of(error)}\n")
        status = 70
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cas", description="Configuration and Attestation Service", allow_abbrev=False
    )
    parser.add_argument("-c", "--config", type=Path, help="availability configuration (TOML)")
    parser.add_argument(
        "--simulation",
        action="store_true",
        help="run on a simulated platform: PROTECTS NOTHING, for development and tests",
    )
    parser.add_argument("-V", "--version", action="version", version=f"CAS {scone.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    database = commands.add_parser("database", help="inspect a database offline")
    actions = database.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show", help="print all records; needs the database key (an owner who injected it has it)"
    )
    show.add_argument("--database", type=Path, required=True, help="the database file")
    show.add_argument(
        "--key-file", type=Path, help="file with the key, 64 hex digits (default: asked for)"
    )
    return parser.parse_args()


def _availability(arguments: argparse.Namespace) -> Availability:
    if arguments.config is not None:
        return load_availability(arguments.config)
    if arguments.simulation:
        return simulation_default()
    raise StateError(
        "expected an availability configuration",
        hint="cas -c availability.toml; or cas --simulation, which needs no file",
    )


def _platform(arguments: argparse.Namespace) -> tuple[Tee, Anchor]:
    """The TEE, and the root that its evidence (and that of services) must chain to."""
    if arguments.simulation:
        tee = LasTee.for_cas(os.environ.get("SCONE_LAS_ADDR"))
        root = pem_to_der(tee.root_certificate_pem(), "CERTIFICATE", "root of the LAS")
        return tee, Anchor("simulated platform", root, simulated=True)
    raise UnavailableError(
        "this version runs on the simulated platform only: no SGX enclave was found",
        hint="cas --simulation shows everything without hardware and protects nothing",
    )


async def _serve(availability: Availability, tee: Tee, anchor: Anchor) -> int:
    stopped = asyncio.Event()
    failure: list[str] = []

    def stop(reason: str) -> None:
        if reason:
            failure.append(reason)
        stopped.set()

    cas = await asyncio.to_thread(start_cas, availability, tee, anchor, _now, scone.__version__)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, "")
    shared = {"nonces": Nonces(), "wrong_tokens": WrongTokens(), "rates": RateLimit()}
    servers: list[Server] = []
    for listener, address in (
        (Listener.CLIENT, availability.api_listen),
        (Listener.ENCLAVE, availability.enclave_listen),
    ):
        app = App(cas, listener, stop, **shared)  # type: ignore[arg-type]
        tls = ServerTls(
            server_identity(cas), request_client_certificate=listener is Listener.CLIENT
        )
        servers.append(await serve(listen(address), tls, app, _limits()).start())
    _announce(cas, servers)
    refreshing = asyncio.create_task(_refresh_collateral(cas))
    await stopped.wait()
    refreshing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await refreshing
    for server in servers:
        await server.stop()
    async with cas.changing:  # a request that outlived its client ends first
        await asyncio.to_thread(cas.close)
    for reason in failure:
        LOG.error("stopped: %s", reason)
    LOG.info("CAS stopped")
    return 1 if failure else 0


def _announce(cas: Cas, servers: list[Server]) -> None:
    """The console lines that scripts cut: the value is field 7 and the last field."""
    _say(f"CAS version: {cas.version}")
    if cas.platform.own.anchor.simulated:
        _say("SIMULATED platform: protects nothing, anybody here can read all secrets", "WARNING")
    _say(f"CAS enclave measurement: {cas.platform.software}")
    _say(f"CAS key hash: {cas.phase.keys.cas_key_hash}")
    _say(f"CAS software-key hash: {cas.phase.keys.software_key_hash}")
    if isinstance(cas.phase, Unprovisioned):
        _say(f"CAS provisioning token: {cas.phase.token.reveal().hex()}")
    client, enclave = servers
    _say(f"ready: clients on port {client.port}, services on port {enclave.port}")


def _say(text: str, level: str = "INFO") -> None:
    """A console line that no log level hides."""
    sys.stdout.write(f"{_time(datetime.now(UTC))} {level} {text}\n")
    sys.stdout.flush()


def server_identity(cas: Cas) -> Callable[[], SecretBytes]:
    """PEM of key and chain of the present phase; made once for each set of keys."""
    made: dict[bytes, SecretBytes] = {}

    def identity() -> SecretBytes:
        keys = cas.phase.keys
        found = made.get(keys.instance_certificate)
        if found is None:
            made.clear()
            found = keys.tls_identity
            made[keys.instance_certificate] = found
        return found

    return identity


async def _refresh_collateral(cas: Cas) -> None:
    """Fetch the platform's endorsements again, long before they expire; keep the last good."""
    while True:
        await asyncio.sleep(_COLLATERAL_REFRESH_S)
        try:
            cas.collateral = await asyncio.to_thread(cas.platform.tee.collateral)
        except SconeError as error:
            LOG.warning("cannot refresh the collateral: %s", error)


def _limits() -> Limits:
    # Each connection is a descriptor; leave some for files, the LAS and the event loop.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = max(64, min(4000, soft // 2 - 100))
    return Limits(connections=connections, connections_per_address=max(8, connections // 8))


def _now() -> datetime:
    return datetime.now(UTC)


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S.%fZ")


class _ConsoleFormatter(logging.Formatter):
    """`2026-11-25 13:20:00.123456Z INFO text`: three fields before the text."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Date and time as two fields, UTC."""
        del datefmt
        return _time(datetime.fromtimestamp(record.created, UTC))


def _log_to_console() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_ConsoleFormatter("%(asctime)s %(levelname)s %(message)s"))
    level = parse_level(os.environ.get("SCONE_LOG", "INFO"))
    names = {ERROR: logging.ERROR, WARNING: logging.WARNING, INFO: logging.INFO}
    chosen = names.get(level, logging.DEBUG if level >= DEBUG else logging.CRITICAL)
    logging.basicConfig(level=chosen, handlers=[handler])
