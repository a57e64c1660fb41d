"""The availability configuration of a CAS: paths and addresses, chosen by its operator.

TOML (SCONE documentation, page CAS_config, "Availability Configuration"). It is not
trusted: no key here changes whom the CAS trusts or what it hands out.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from scone.documents import DocumentError, Mapping, Node, Problem, Scalar
from scone.documents.toml_text import read_toml
from scone.errors import MalformedError, StateError
from scone.transport.address import CLIENT_PORT, ENCLAVE_PORT, Address

_KEYS: Final = {
    "database": ("path",),
    "api": ("api_listen", "enclave_listen"),
    "audit_log": ("path",),
}
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Availability:
    """Where the database lies and where the CAS listens."""

    database_path: Path
    api_listen: Address
    enclave_listen: Address
    audit_log_path: Path


def simulation_default() -> Availability:
    """What `cas --simulation` uses without a file: loopback only, state under ~/.cas."""
    folder = Path.home() / ".cas" / "simulated-cas"
    return Availability(
        database_path=folder / "cas.db",
        api_listen=Address("127.0.0.1", CLIENT_PORT),
        enclave_listen=Address("127.0.0.1", ENCLAVE_PORT),
        audit_log_path=folder / "audit.log",
    )


def load_availability(path: Path) -> Availability:
    """Read an availability configuration file.

    Raises:
        StateError: the file cannot be read.
        DocumentError: the file is not what it should be, every problem listed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StateError(
            f"{path}: cannot read the availability configuration: {error.strerror}"
        ) from error
    if len(data) > _MAX_BYTES:
        raise StateError(f"{path}: expected at most {_MAX_BYTES} bytes, found {len(data)}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise StateError(
            f"{path}: expected UTF-8 text, found a byte that is not at {error.start}"
        ) from error
    return read_availability(text, str(path))


def read_availability(text: str, source: str) -> Availability:
    """Read an availability configuration from its text.

    Raises:
        DocumentError: with every problem found.
    """
    problems: list[Problem] = []
    values = _values(read_toml(text, source), source, problems)
    database = values.get("database.path", "")
    if not database:
        problems.append(
            Problem(source, None, "database.path", "expected the path of the database file", "")
        )
    listen = {}
    for key, port in (("api_listen", CLIENT_PORT), ("enclave_listen", ENCLAVE_PORT)):
        try:
            listen[key] = parse_listen(values.get(f"api.{key}", f"0.0.0.0:{port}"), f"api.{key}")
        except MalformedError as error:
            problems.append(Problem(source, None, f"api.{key}", str(error), error.hint))
    if problems:
        raise DocumentError(tuple(problems))
    audit_log = values.get("audit_log.path", "/var/log/cas/audit/cas_audit.log")
    return Availability(
        Path(database), listen["api_listen"], listen["enclave_listen"], Path(audit_log)
    )


def parse_listen(text: str, place: str) -> Address:
    """`IP:PORT` or `[IPv6]:PORT` as Rust's SocketAddr reads it (port 0: any free port).

    Raises:
        MalformedError: another form; host names are not accepted.
    """
    from ipaddress import ip_address

    expected = "IP:PORT such as 0.0.0.0:8081"
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise MalformedError(place, expected, repr(text))
    try:
        ip = ip_address(host[1:-1] if bracketed else host)
    except ValueError as error:
        raise MalformedError(place, expected, repr(text)) from error
    if bracketed != (ip.version == 6):
        raise MalformedError(place, expected, repr(text))
    return Address(str(ip), int(port))


def _values(root: Node, source: str, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    assert isinstance(root, Mapping)  # noqa: S101 - TOML has no other root
    for section, table in root.entries:
        keys = _KEYS.get(section.text)
        if keys is None or not isinstance(table, Mapping):
            expected = "one of the tables " + ", ".join(_KEYS)
            problems.append(_unknown(source, section, section.text, expected, tuple(_KEYS)))
            continue
        for key, value in table.entries:
            path = f"{section.text}.{key.text}"
            if key.text not in keys:
                expected = f"one of the keys {', '.join(keys)}"
                problems.append(_unknown(source, key, path, expected, keys))
            elif isinstance(value, Scalar) and value.text and "\0" not in value.text:
                found[path] = value.text
            else:
                problems.append(Problem(source, key.mark, path, "expected a text", ""))
    return found


def _unknown(source: str, key: Scalar, path: str, expected: str, names: tuple[str, ...]) -> Problem:
    near = get_close_matches(key.text, names, 1)
    hint = f"did you mean {near[0]}?" if near else ""
    return Problem(source, key.mark, path, f"expected {expected}", hint)
