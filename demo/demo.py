"""From an empty machine to an attested secret, on a simulated platform; every command is printed.

Run it with `make demo`. Exit status 0 only if each step did what it says.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import search
from story import StepFailed, Story, children, free_port, listens

_HERE = Path(__file__).resolve().parent
_BIN = Path(sys.executable).parent
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----(.*?)-----END", re.DOTALL)


def main() -> int:
    """Tell the story; 1 when a step failed."""
    begun = time.monotonic()
    try:
        with Story(_BIN) as story:
            _platform(story)
            _claim(story)
            service_pid = _service(story)
            _nothing_leaked(story, service_pid)
            _refusals(story)
            _versions(story)
    except StepFailed as failure:
        print(f"\nFAILED: {failure}")
        return 1
    print(f"\nAll steps did what they say, in {time.monotonic() - begun:.0f} s.")
    return 0


def _platform(story: Story) -> None:
    story.title("1. A simulated platform, a LAS and a CAS")
    client_port, enclave_port = free_port(), free_port()
    story.write(
        "cas.toml",
        f'[database]\npath = "{story.folder}/cas/cas.db"\n\n[api]\n'
        f'api_listen = "127.0.0.1:{client_port}"\nenclave_listen = "127.0.0.1:{enclave_port}"\n',
    )
    root = story.folder / "home/.cas/simulated-platform/root.pem"
    las = story.start("las --simulation", "las.log")
    story.wait_for("the LAS is ready", (root.parent / "las.sock").exists, las, "las.log")
    cas = story.start("cas --simulation -c cas.toml", "cas.log")
    story.wait_for("the CAS is ready", partial(listens, enclave_port), cas, "cas.log")
    story.run("cat cas.log")
    story.export(
        CAS=f"localhost:{client_port}",
        SIMULATION_ROOT=str(root),
        SCONE_CAS_ADDR=f"localhost:{enclave_port}",
    )


def _claim(story: Story) -> None:
    story.title("2. Claim the CAS, and attest it as somebody else")
    key = story.run("grep 'CAS key hash' cas.log | awk '{ print $7 }'").strip()
    story.run("grep 'CAS provisioning token' cas.log | awk '{ print $NF }' > token")
    story.write("owner.toml", '[api_identity]\ncommon_name = "cas"\nalt_names = ["localhost"]\n')
    story.run(
        f"scone cas provision $CAS -c {key} --token @token "
        "--config-file owner.toml with-attestation --only_for_testing-simulation $SIMULATION_ROOT"
    )
    if story.environment["CAS"] not in story.run("scone cas list"):
        raise StepFailed("the provisioned CAS is not in scone cas list")
    key = story.run("scone cas show-identification -c").strip()
    story.export(SCONE_CAS_KEY=key)
    story.run(
        "SCONE_CLI_CONFIG=second.json scone cas attest $CAS -c $SCONE_CAS_KEY "
        "--only_for_testing-simulation $SIMULATION_ROOT"
    )


def _service(story: Story) -> int:
    story.title("3. A session for a TLS server from Debian")
    _copy_program(story)
    measurement = story.run("SCONE_HASH=1 scone-run bin/openssl").strip()
    story.export(MRENCLAVE=measurement, PORT=str(free_port()), FILES=f"{story.folder}/tls")
    shutil.copy(_HERE / "session.yml", story.folder / "session.yml")
    story.run(f"cp {_HERE / 'session.yml'} . && cat session.yml && mkdir -p tls")
    story.run("scone session check --use-env session.yml > /dev/null")
    created = story.run("scone session create --use-env session.yml").strip()
    if not re.fullmatch("[0-9a-f]{64}", created):
        raise StepFailed("create did not print a hash")

    story.title("4. The server starts, attested, and a client uses it")
    port = int(story.environment["PORT"])
    launcher = story.start(
        "env SCONE_CONFIG_ID=tls-demo/server scone-run bin/openssl", "server.log"
    )
    story.wait_for("the server listens", lambda: listens(port), launcher, "server.log")
    story.run("cat server.log")
    found = children(launcher.pid)
    if len(found) != 1:
        raise StepFailed("the launcher has no single child")
    story.say(
        "Simulation protects nothing: the owner of the machine looks into the service's files."
    )
    story.run(f"cp /proc/{found[0]}/root$FILES/cert.pem certificate-of-the-server.pem && ls -l tls")
    answer = story.run(
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect localhost:$PORT -ign_eof "
        "-quiet -verify_return_error -verify_hostname localhost "
        "-CAfile certificate-of-the-server.pem 2> /dev/null | grep -m 3 -E 'HTTP|s_server|Protocol'"
    )
    if "200 ok" not in answer or "s_server" not in answer:
        raise StepFailed("the client was not answered")
    return found[0]


def _copy_program(story: Story) -> None:
    story.say(
        "A copy of openssl that looks for its libraries beside itself, so that one can be changed."
    )
    story.run(
        "mkdir bin && cp $(command -v openssl) bin/openssl && "
        "cp $(ldd bin/openssl | awk '/libssl|libcrypto/ { print $3 }') bin/ && "
        "patchelf --set-rpath '$ORIGIN' bin/openssl bin/libssl.so.*"
    )


def _nothing_leaked(story: Story, service_pid: int) -> None:
    story.say(
        "Where else are the generated values? Raw, hex and base64, everywhere but in the service."
    )
    environment = Path(f"/proc/{service_pid}/environ").read_bytes().split(b"\0")
    secret = next(entry for entry in environment if entry.startswith(b"SERVER_SECRET=")).partition(
        b"="
    )[2]
    names = {entry.partition(b"=")[0] for entry in environment if entry}
    if names != {b"SERVER_SECRET"} or len(secret) != 32:
        raise StepFailed("the service's environment is not exactly what the session says")
    pem = Path(f"/proc/{service_pid}/root{story.environment['FILES']}/key.pem").read_bytes()
    body = _PEM.search(pem)
    if body is None:
        raise StepFailed("the injected key is not PEM")
    values = {
        "server_secret": secret,
        "server_key (PEM)": body.group(1).strip(),
        "server_key (DER)": base64.b64decode(body.group(1)),
    }
    own_database = story.folder / "cas"
    if not list(own_database.glob("cas.db*")):
        raise StepFailed("there is no database to search")
    folders = [
        story.folder,
        Path("/tmp"),
        Path("/var/tmp"),
        Path("/dev/shm"),
        Path("/var/log"),
        Path.home(),
    ]
    found, processes, files = search.find(
        values, folders=folders, since=story.started_at - 1, except_pids={service_pid}
    )
    print(f"searched {processes} command lines and environments, {files} files: {len(found)} found")
    if found or processes < 2 or files < 5:
        raise StepFailed("; ".join(found) or "the search saw too little")


def _refusals(story: Story) -> None:
    story.title("5. What is refused")
    story.say("The same program with one byte changed.")
    story.run("cp -r bin changed-program && " + _flip("changed-program/openssl", b"OpenSSL "))
    story.run(
        "SCONE_CONFIG_ID=tls-demo/server scone-run changed-program/openssl",
        refused="Unexpected enclave measurement",
    )
    story.say("The same program with one byte of a shared library changed.")
    library = next(path.name for path in (story.folder / "bin").glob("libssl.so.*"))
    story.run(f"cp bin/{library} saved && " + _flip(f"bin/{library}", b"TLSv1"))
    story.run(
        "SCONE_CONFIG_ID=tls-demo/server scone-run bin/openssl",
        refused="Unexpected enclave measurement",
    )
    story.run(f"cp saved bin/{library}")
    story.say("The second identity has no right to read the session.")
    story.run(
        "SCONE_CLI_CONFIG=second.json scone session read tls-demo",
        refused="insufficient rights",
    )


def _flip(path: str, where: bytes) -> str:
    return (
        f"python3 -c \"p='{path}'; d=bytearray(open(p,'rb').read()); "
        f"d[d.rindex({where!r})] ^= 1; open(p,'r+b').write(d)\""
    )


def _versions(story: Story) -> None:
    story.title("6. Versions")
    old = story.run("scone session verify --use-env session.yml").strip()
    story.run("sed -i 's/-www/-www -no_ticket/' session.yml")
    new = story.run("scone session update --use-env session.yml").strip()
    predecessor = (
        story.run("scone session read tls-demo | grep ^predecessor").split()[-1].strip('"')
    )
    if predecessor != old or new == old:
        raise StepFailed("the new version does not name the old hash")
    story.run("scone session create --use-env session.yml", refused="Session already exists")
    if story.run("scone session verify --use-env session.yml").strip() != new:
        raise StepFailed("verify did not print the active hash")


if __name__ == "__main__":
    sys.exit(main())
