"""What every benchmark row shares: load generator, subjects, alternation, figures.

A row is one file: it makes its `Subject`s (servers that answer the same request),
a `Load` for each, and calls `measure`. Subjects take turns within each pair, so
that a noisy minute meets all of them; what counts is the median of the ratios
within a pair, and the servers' CPU time per operation. Loopback only; whatever is
started is stopped by its process id.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")


# Identities.


def identity_pem(cn):
    """A P-256 key and its self-signed certificate, as one PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    start = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - dt.timedelta(hours=1))
        .not_valid_after(start + dt.timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()
    ) + certificate.public_bytes(ser.Encoding.PEM)


def write_identities(directory, *, clients=16):
    """`server.pem` and `clients.pem` (as many different clients) in the directory."""
    server, many = directory / "server.pem", directory / "clients.pem"
    server.write_bytes(identity_pem("cas"))
    many.write_bytes(b"".join(identity_pem(f"client {n}") for n in range(clients)))
    return server, many


# Load.


def build_load(directory):
    """The load generator, compiled into the directory.

    BoringSSL where Debian's android-libboringssl-dev is installed: a client on OpenSSL 3.0
    needs about as much time as the server, so that it would be the limit itself.
    """
    binary = directory / "load"
    command = ["cc", "-O2", "-o", str(binary), str(HERE / "load.c")]
    if Path("/usr/include/android/openssl/ssl.h").exists():
        for library in Path("/usr/lib").glob("*/android/libssl.so"):
            folder = library.parent
            command += ["-I/usr/include/android", f"-L{folder}", f"-Wl,-rpath,{folder}"]
    subprocess.run([*command, "-lssl", "-lcrypto"], check=True)
    return binary


@dataclass(frozen=True)
class Load:
    """Options of the load generator, apart from port, connections and seconds."""

    binary: Path
    options: tuple = ()

    def run(self, port, *, connections, seconds, cpus):
        """Run once; the JSON that it prints."""
        command = [*_pinned(cpus), str(self.binary), "--port", str(port)]
        command += ["--connections", str(connections), "--seconds", str(seconds), *self.options]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
        if out.stderr:
            sys.stderr.write(out.stderr)
        return json.loads(out.stdout)


def request_load(binary, directory, *, identities=None, keep_alive=False, path="/v1/version"):
    """One small GET per connection, or many on each with `keep_alive`."""
    file = directory / "request.bin"
    file.write_bytes(f"GET {path} HTTP/1.1\r\nHost: cas\r\n\r\n".encode())
    options = ["--request", str(file), "--keep-alive", str(int(keep_alive))]
    if identities is not None:
        options += ["--identities", str(identities)]
    return Load(binary, tuple(options))


@dataclass(frozen=True)
class QuoteTemplate:
    """What the load generator needs to sign a quote for each of its channels.

    `report_rest` is what follows the exported bytes in the report data (for a service:
    SHA-256 of the configuration id, SHA-256 of the instance key, service hash or zeros).
    The defaults are those of an SGX quote of version 3.
    """

    quote: bytes
    attestation_key_pem: bytes
    report_rest: bytes
    body_before: bytes
    body_after: bytes
    path: str = "/v1/service"
    exporter_label: str = "EXPORTER-scone-service-attestation-v1"
    digest_label: str = "scone-service-attestation-v1"
    signed_length: int = 48 + 384  # header and report body
    report_at: int = 48 + 320
    signature_at: int = 48 + 384 + 4


def quote_load(binary, directory, template, *, identities=None):
    """One POST per connection, with a quote signed for this very channel."""
    files = {
        "--quote": template.quote,
        "--attestation-key": template.attestation_key_pem,
        "--report-rest": template.report_rest,
        "--body-before": template.body_before,
        "--body-after": template.body_after,
    }
    options = []
    for option, data in files.items():
        file = directory / f"quote{option}"
        file.write_bytes(data)
        file.chmod(0o600)
        options += [option, str(file)]
    options += ["--path", template.path]
    options += ["--exporter-label", template.exporter_label]
    options += ["--digest-label", template.digest_label]
    options += ["--signed-length", str(template.signed_length)]
    options += ["--report-at", str(template.report_at)]
    options += ["--signature-at", str(template.signature_at)]
    if identities is not None:
        options += ["--identities", str(identities)]
    return Load(binary, tuple(options))


# Subjects.


@dataclass
class Subject:
    """A running server: its port, its first process, and what the load is for it."""

    name: str
    port: int
    process: subprocess.Popen
    load: Load
    runs: list = field(default_factory=list)

    def cpu_seconds(self):
        """User and system time of the process and its children so far."""
        return sum(_cpu_seconds(pid) for pid in (self.process.pid, *_children(self.process.pid)))


def _cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _children(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _children(child)


def _pinned(cpus):
    return [] if cpus is None else ["taskset", "-c", ",".join(map(str, sorted(cpus)))]


def free_port():
    """A port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(command, port, *, cpus=None, env=None, stdout=None):
    """A server process that listens on the port; terminated by its id at the end."""
    process = subprocess.Popen([*_pinned(cpus), *command], env=env, stdout=stdout)
    try:
        deadline = time.monotonic() + 20
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with status {process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not listen") from None
                time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


NGINX = """
daemon off; user {user}; worker_processes {workers}; pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 60s; tcp_nodelay on;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024;
    ssl_certificate {identity}; ssl_certificate_key {identity};
    ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_session_cache off; ssl_session_tickets off; {verify}
    location / {{ default_type application/json; return 200 '{body}'; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(directory, identity, *, body, client_certificates, workers=1, cpus=None):
    """nginx that answers every request with the body; gives its port and process."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    own = directory / f"nginx-{port}"
    own.mkdir()
    config = own / "nginx.conf"
    verify = "ssl_verify_client optional_no_ca;" if client_certificates else ""
    user = "root" if os.geteuid() == 0 else "nobody"
    config.write_text(
        NGINX.format(
            directory=own,
            workers=workers,
            port=port,
            identity=identity,
            verify=verify,
            body=body,
            user=user,
        )
    )
    command = [program, "-c", str(config), "-p", str(own), "-e", "stderr"]
    with started(command, port, cpus=cpus) as process:
        yield port, process


# Measurement.


@dataclass(frozen=True)
class Place:
    """Which processors serve and which make the load."""

    title: str
    server_cpus: frozenset | None
    client_cpus: frozenset | None
    nginx_workers: int


def one_core():
    """One processor for the server, another for the load, where there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    client = cpus[1:] or cpus
    title = "one server core, load on another" if len(cpus) > 1 else "one core for everything"
    return Place(title, frozenset(cpus[:1]), frozenset(client), 1)


def all_cores():
    """All processors for the server and for the load."""
    count = len(os.sched_getaffinity(0))
    return Place(f"all {count} cores, shared with the load", None, None, count)


def measure(subjects, place, *, pairs, seconds, connections):
    """Load each subject in turn, `pairs` times after one short round to warm up."""
    for subject in subjects:
        _once(subject, place, seconds=min(0.5, seconds), connections=connections)
    for number in range(pairs):
        order = subjects if number % 2 == 0 else subjects[::-1]
        for subject in order:
            subject.runs.append(_once(subject, place, seconds=seconds, connections=connections))


def _once(subject, place, *, seconds, connections):
    before = subject.cpu_seconds()
    run = subject.load.run(
        subject.port, connections=connections, seconds=seconds, cpus=place.client_cpus
    )
    run["server_cpu_s"] = subject.cpu_seconds() - before
    if run["failed"] or not run["done"]:
        raise SystemExit(f"{subject.name}: {run['failed']} requests failed, {run['done']} done")
    run["rate"] = run["done"] / run["seconds"]
    run["server_us"] = 1e6 * run["server_cpu_s"] / run["done"]
    run["client_us"] = 1e6 * run["client_cpu_s"] / run["done"]
    run["client_busy"] = run["client_cpu_s"] / run["seconds"]
    return run


def summary(subjects, reference):
    """Medians of each subject, and of its ratios to the reference within each pair."""
    rows = []
    for subject in subjects:
        runs = subject.runs
        row = {
            key: statistics.median(run[key] for run in runs)
            for key in ("rate", "p50_ms", "p99_ms", "server_us", "client_us", "client_busy")
        }
        pairs = list(zip(runs, reference.runs, strict=True))
        ratios = [run["rate"] / other["rate"] for run, other in pairs]
        row["ratio"] = statistics.median(ratios)
        row["ratio_least"], row["ratio_most"] = min(ratios), max(ratios)
        row["cpu_ratio"] = statistics.median(
            run["server_us"] / other["server_us"] for run, other in pairs
        )
        rows.append({"name": subject.name, **row, "runs": runs})
    return rows


def markdown(title, rows):
    """The rows as a Markdown table."""
    columns = "server", "op/s", "ratio (least to most)", "server CPU us/op", "CPU ratio"
    columns += "p50 ms", "p99 ms", "client CPU us/op", "client busy"
    lines = [f"### {title}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [
        f"| {row['name']} | {row['rate']:.0f} | {row['ratio']:.2f} "
        f"({row['ratio_least']:.2f} to {row['ratio_most']:.2f}) | {row['server_us']:.0f} "
        f"| {row['cpu_ratio']:.2f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} "
        f"| {row['client_us']:.0f} | {row['client_busy']:.0%} |"
        for row in rows
    ]
    return "\n".join(lines)


def environment():
    """What the figures were taken on."""
    from OpenSSL import SSL

    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True)
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "server_openssl": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode(),
        "system_openssl": openssl.stdout.strip(),
        "load_average": os.getloadavg(),
    }


def arguments(description):
    """The options that all rows have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=5, help="rounds per place (at least 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load in each run")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def report(row, tables, json_file):
    """Print the tables as Markdown and the medians as JSON; all runs go to the file."""
    facts = environment()
    print(f"## {row}\n")
    print(", ".join(f"{key}: {value}" for key, value in facts.items()) + "\n")
    for title, rows in tables.items():
        print(markdown(title, rows) + "\n")
    result = {"row": row, "environment": facts, "tables": tables}
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    short = {
        title: [{key: value for key, value in each.items() if key != "runs"} for each in rows]
        for title, rows in tables.items()
    }
    print(json.dumps({"row": row, "tables": short}))
