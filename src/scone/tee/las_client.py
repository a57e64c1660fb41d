"""The client of the LAS: evidence and sealing for this process, evidence for a program.

`LasTee` keeps one connection: the LAS measures the calling Python program when it is
opened, once, and answers for that measurement. A lost connection is opened again. A LAS
that runs neither as this user nor as root is refused (ForbiddenError, every call).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from scone.attestation.collateral import Collateral
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, NetworkError, SconeError, UnavailableError
from scone.strict_json import JsonObject, hex_of, object_of, parse_hex, text_of
from scone.tee.base import Evidence
from scone.tee.las_protocol import (
    MAX_ANSWER_BYTES,
    PROTOCOL,
    default_socket,
    error_of,
    files_of,
    options_to_json,
    reachable,
    receive_frame,
    send_frame,
    socket_path,
)
from scone.tee.measurement import EnclaveOptions, FileDigest, OpenedProgram
from scone.tee.program_signature import signature_path
from scone.tee.python_trees import installed_trees

_PLACE: Final = "LAS answer"
_TIMEOUT_S: Final = 10.0  # to connect, and for an answer without measuring: milliseconds else
# The loader's listing has 20 s (`loader`), and 40 s read 4 GiB from a disk with 100 MB/s.
_MEASURING_S: Final = 60.0
_CREDENTIALS: Final = struct.Struct("iII")  # process, user and group, unix(7)


@dataclass(frozen=True, slots=True)
class AttestedProgram:
    """What the LAS says of a program: a quote, and what it measured by itself."""

    quote: bytes
    mrenclave: bytes
    files: tuple[FileDigest, ...]


class LasTee:
    """The `Tee` of the calling Python process, behind a LAS."""

    def __init__(self, address: str, *, signature: Path | None = None) -> None:
        """Nothing is opened yet. `signature` is the program's signature file (default beside it).

        Raises:
            UsageError: not the address of a LAS of simulated attestation.
        """
        self.address: Final = address
        self._path = socket_path(address)
        self._signature = str(signature) if signature else signature_path(_running_program())
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    @classmethod
    def for_cas(cls, address: str | None) -> Self:
        """For a CAS: the LAS at SCONE_LAS_ADDR, or the one of the default platform.

        Raises:
            UsageError: not the address of a LAS of simulated attestation.
        """
        return cls(address or str(default_socket()))

    def quote(self, report_data: bytes) -> Evidence:
        """Evidence over 64 bytes of report data.

        Raises:
            UnavailableError: the LAS does not answer.
        """
        answer = self._own({"operation": "quote", "report_data": report_data.hex()})
        return Evidence(_quote(answer))

    def collateral(self) -> Collateral:
        """Endorsements that verify this platform's quotes now.

        Raises:
            UnavailableError: the LAS does not answer.
        """
        answer = _once(self._path, {"operation": "collateral"})
        return Collateral.parse(object_of(answer, "collateral", _PLACE))

    def sealing_key(self, label: str) -> SecretBytes:
        """32 bytes that only this measurement gets on this machine.

        Raises:
            UnavailableError: the LAS does not answer.
        """
        answer = self._own({"operation": "seal_key", "label": label})
        return SecretBytes(hex_of(answer, "key", _PLACE, 32))

    def root_certificate_pem(self) -> str:
        """The root certificate of the simulated platform.

        Raises:
            UnavailableError: the LAS does not answer.
        """
        return text_of(_once(self._path, {"operation": "root"}), "root", _PLACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._drop()

    def _own(self, request: dict[str, object]) -> JsonObject:
        with self._lock:
            reused = self._connection is not None
            try:
                return _call(self._measured(), request)
            except NetworkError as error:
                self._drop()
                if not reused:
                    raise _unavailable(self._path, error) from error
            try:
                return _call(self._measured(), request)
            except NetworkError as error:
                self._drop()
                raise _unavailable(self._path, error) from error

    def _measured(self) -> socket.socket:
        if self._connection is not None:
            return self._connection
        connection = _connect(self._path)
        opened: list[int] = []
        try:
            # A process that made itself undumpable is hidden from others, not from itself.
            for name in ("/proc/self/exe", "/proc/self/ns/mnt"):
                opened.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401
            _measure(
                connection,
                {
                    "operation": "measure_python",
                    "path": os.path.realpath("/proc/self/exe"),
                    "trees": installed_trees(),
                    "signature": self._signature,
                    "options": options_to_json(EnclaveOptions()),
                },
                opened,
            )
        except NetworkError as error:
            connection.close()
            raise _unavailable(self._path, error) from error
        except BaseException:
            connection.close()
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)
        self._connection = connection
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def attest_program(
    address: str, program: OpenedProgram, options: EnclaveOptions, report_data: bytes
) -> AttestedProgram:
    """Let the LAS measure an opened program and quote it over 64 bytes of report data.

    Raises:
        UsageError: not the address of a LAS of simulated attestation.
        UnavailableError: the LAS does not answer.
        ForbiddenError: the LAS is neither this user's nor root's.
        SconeError: the LAS refuses the program; its reason.
    """
    path = socket_path(address)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _connect(path) as connection:
            measured = _measure(
                connection,
                {
                    "operation": "measure_program",
                    "path": program.path,
                    "signature": signature_path(program.path),
                    "options": options_to_json(options),
                },
                (program.descriptor, namespace),
            )
            quoted = _call(connection, {"operation": "quote", "report_data": report_data.hex()})
    except NetworkError as error:
        raise _unavailable(path, error) from error
    finally:
        os.close(namespace)
    return AttestedProgram(
        _quote(quoted),
        hex_of(measured, "mrenclave", _PLACE, 32),
        files_of(measured, _PLACE),
    )


def _running_program() -> str:
    """The file that was started: a console script, or the interpreter without one."""
    return os.path.realpath(sys.argv[0] if sys.argv and sys.argv[0] else sys.executable)


def _once(path: Path, request: dict[str, object]) -> JsonObject:
    with _connect(path) as connection:
        try:
            return _call(connection, request)
        except NetworkError as error:
            raise _unavailable(path, error) from error


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(_TIMEOUT_S)
        with reachable(path) as place:
            connection.connect(os.fsencode(place))
    except OSError as error:
        connection.close()
        raise UnavailableError(
            f"Unable to connect to LAS at {path} ({(error.strerror or str(error)).lower()})",
            hint=f"start one with `las --simulation --socket {path}`, or set SCONE_LAS_ADDR",
        ) from error
    try:
        _require_own_las(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_own_las(connection: socket.socket, path: Path) -> None:
    """Whoever answers decides on root and sealing keys: not one that another user put there."""
    user = _peer_user(connection)
    if user not in (os.geteuid(), 0):
        raise ForbiddenError(
            f"the LAS at {path} runs as user {user}, expected user {os.geteuid()} or root",
            hint="start a LAS as your own user, and set SCONE_LAS_ADDR to its socket",
        )


def _peer_user(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(raw)[1]
    return user


def _measure(
    connection: socket.socket, request: dict[str, object], descriptors: Sequence[int]
) -> JsonObject:
    """One request that may take long, of a LAS that has just shown that it answers."""
    _call(connection, {"operation": "root"})
    connection.settimeout(_MEASURING_S)
    try:
        return _call(connection, request, descriptors)
    finally:
        connection.settimeout(_TIMEOUT_S)


def _call(
    connection: socket.socket, request: dict[str, object], descriptors: Sequence[int] = ()
) -> JsonObject:
    send_frame(connection, {"protocol": PROTOCOL, **request}, descriptors)
    frame = receive_frame(connection, MAX_ANSWER_BYTES, _PLACE)
    if frame is None:
        raise NetworkError("LAS connection: closed without an answer")
    frame.close()
    error = error_of(frame.value, _PLACE)
    if error is not None:
        raise error
    return frame.value


def _quote(answer: JsonObject) -> bytes:
    return parse_hex(text_of(answer, "quote", _PLACE), f"{_PLACE}.quote")


def _unavailable(path: Path, error: SconeError) -> UnavailableError:
    return UnavailableError(
        f"LAS at {path} does not answer: {error}",
        hint="end or continue that process if it still runs, or start one with "
        f"`las --simulation --socket {path}`",
    )
