"""Row "mutual TLS with one small request": our transport beside nginx.

Each operation is a new TCP connection, a TLS 1.3 handshake with a self-signed client
certificate, one GET that is answered with the SHA-256 of the client's key, and the
end of the connection. Run: python benchmarks/mutual_tls.py
"""

import asyncio
import contextlib
import hashlib
import signal
import sys
import tempfile
from pathlib import Path

import common

from scone.crypto.secret import SecretBytes
from scone.transport.address import Address
from scone.transport.http import Response
from scone.transport.listener import listen
from scone.transport.server import ServerTls, run, serve

BODY = '{"spki_sha256":"%s"}'


async def answer(request):
    """The smallest answer that depends on who asks."""
    spki = hashlib.sha256(request.peer_spki_der or b"").hexdigest()
    return Response(200, (BODY % spki).encode())


async def serve_until_terminated(port, identity, request_certificate):
    """The server under test."""
    pem = SecretBytes(identity.read_bytes())
    finished = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, finished.set)
    tls = ServerTls(lambda: pem, request_client_certificate=request_certificate)
    async with serve(listen(Address("127.0.0.1", port)), tls, answer):
        await finished.wait()


@contextlib.contextmanager
def ours(identity, *, cpus, request_certificate=True):
    """Our server in a process of its own."""
    port = common.free_port()
    command = [sys.executable, __file__, "--serve", str(port), str(identity)]
    command.append(str(int(request_certificate)))
    with common.started(command, port, cpus=cpus) as process:
        yield port, process


def measure_place(place, directory, binary, options, *, keep_alive=False, bare=False):
    """One table: nginx and ours, with client certificates or without."""
    server, clients = common.write_identities(directory)
    load = common.request_load(
        binary, directory, identities=None if bare else clients, keep_alive=keep_alive
    )
    body = BODY % ("0" * 64)
    with contextlib.ExitStack() as stack:
        subjects = []
        for name, context in (
            (
                "nginx",
                common.nginx(
                    directory,
                    server,
                    body=body,
                    client_certificates=not bare,
                    workers=place.nginx_workers,
                    cpus=place.server_cpus,
                ),
            ),
            ("scone", ours(server, cpus=place.server_cpus, request_certificate=not bare)),
        ):
            port, process = stack.enter_context(context)
            subjects.append(common.Subject(name, port, process, load))
        common.measure(
            subjects,
            place,
            pairs=options.pairs,
            seconds=options.seconds,
            connections=options.connections,
        )
        return common.summary(subjects, subjects[0])


def main():
    """Measure and print."""
    if sys.argv[1:2] == ["--serve"]:
        port, identity, request_certificate = sys.argv[2:]
        run(serve_until_terminated(int(port), Path(identity), bool(int(request_certificate))))
        return
    parser = common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--more", action="store_true", help="open connections, no certificates")
    options = parser.parse_args()
    tables = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        binary = common.build_load(directory)
        for place in (common.one_core(), common.all_cores()):
            tables[f"new connections, {place.title}"] = measure_place(
                place, directory, binary, options
            )
        if options.more:
            place = common.one_core()
            tables[f"no client certificate, {place.title}"] = measure_place(
                place, directory, binary, options, bare=True
            )
            tables[f"open connections, {place.title}"] = measure_place(
                place, directory, binary, options, keep_alive=True
            )
    common.report("mutual TLS with one small request", tables, options.json)


if __name__ == "__main__":
    main()
