"""The LAS protocol: framed JSON over a Unix stream socket, with descriptors.

Form in docs/formats/las-protocol.md. A frame is four bytes, big-endian, and as many bytes
of one JSON object; descriptors travel with its first byte. Both sides use this module.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scone.errors import (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    MalformedError,
    NetworkError,
    NotFoundError,
    SconeError,
    StateError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from scone.strict_json import (
    JsonObject,
    decode,
    int_of,
    keys,
    list_of,
    object_of,
    read_object,
    text_of,
)
from scone.tee.measurement import EnclaveOptions, FileDigest

PROTOCOL: Final = 1
MAX_REQUEST_BYTES: Final = 256 * 1024  # the trees of a Python program are the longest
MAX_ANSWER_BYTES: Final = 2 * 1024 * 1024  # collateral is 20 to 40 kB
MAX_DESCRIPTORS: Final = 2

_MAX_PATH: Final = 4096
_MAX_NAME: Final = 80  # beside /proc/self/fd/N/ in the 107 bytes of sun_path, unix(7)
_MAX_TREES: Final = 256
_NUMBER: Final = 1 << 53
# Errors that a LAS reports and whose constructor takes a message.
_KINDS: Final = (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
_FD_BYTES: Final = array.array("i").itemsize


@dataclass(frozen=True, slots=True)
class Frame:
    """One message and the descriptors that came with it; whoever has it closes them."""

    value: JsonObject
    descriptors: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the descriptors."""
        _close(self.descriptors)


def default_directory() -> Path:
    """The folder of the simulated platform where none is named.

    Raises:
        StateError: nothing says where the user's home is.
    """
    try:
        return Path.home() / ".cas" / "simulated-platform"
    except RuntimeError as error:
        raise StateError(
            f"HOME is not set, and user {os.geteuid()} has no home folder",
            hint="set HOME; or name the LAS with SCONE_LAS_ADDR, its folder with --platform",
        ) from error


def default_socket(directory: Path | None = None) -> Path:
    """The socket of the LAS of a platform folder."""
    return (directory or default_directory()) / "las.sock"


def socket_path(address: str, place: str = "SCONE_LAS_ADDR") -> Path:
    """The socket of a LAS address: a path with a slash, or `unix:` and any path.

    Raises:
        UsageError: a network address, or a name that a socket cannot have.
    """
    path = address.removeprefix("unix:")
    if not path or "://" in path or ("/" not in path and path == address):
        raise UsageError(
            f"{place}: expected the path of a Unix socket, got {address[:200]!r}: simulated "
            "attestation is refused over TCP, where anybody could ask for evidence",
            hint="use the socket that `las --simulation` prints, such as "
            "~/.cas/simulated-platform/las.sock",
        )
    found = Path(path).absolute()
    size = len(os.fsencode(found.name))
    if not 1 <= size <= _MAX_NAME or "\0" in path:
        raise UsageError(
            f"{place}: expected a path whose last part, the socket's own name, has 1 to "
            f"{_MAX_NAME} bytes, got {size}: {found.name!r}"
        )
    return found


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[Path]:
    """The same path by the descriptor of its folder, to bind or connect: however long that is.

    Raises:
        OSError: there is no such folder.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{folder}", path.name)
    finally:
        os.close(folder)


def send_frame(
    connection: socket.socket, value: Mapping[str, object], descriptors: Sequence[int] = ()
) -> None:
    """Send one message.

    Raises:
        NetworkError: the other side does not take it.
    """
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    data = struct.pack(">I", len(body)) + body
    try:
        sent = socket.send_fds(connection, [data], list(descriptors)) if descriptors else 0
        connection.sendall(data[sent:])
    except OSError as error:
        raise NetworkError(f"LAS connection: {_reason(error)}") from error


def receive_frame(connection: socket.socket, limit: int, place: str) -> Frame | None:
    """Receive one message, or None where the other side has closed before it.

    Raises:
        MalformedError: a message that is too long, cut short or not one JSON object.
        NetworkError: a connection that broke or took too long.
    """
    descriptors: list[int] = []
    try:
        prefix = _receive(connection, 4, descriptors, place)
        if not prefix:
            _close(descriptors)
            return None
        length = struct.unpack(">I", prefix)[0]
        if length > limit:
            raise MalformedError(place, f"at most {limit} bytes", f"{length}")
        body = _receive(connection, length, descriptors, place)
        if len(body) != length:
            raise MalformedError(place, f"{length} bytes", f"{len(body)}")
        return Frame(read_object(decode(body, place, limit), place), tuple(descriptors))
    except OSError as error:
        _close(descriptors)
        raise NetworkError(f"LAS connection: {_reason(error)}") from error
    except SconeError:
        _close(descriptors)
        raise


def _receive(connection: socket.socket, length: int, descriptors: list[int], place: str) -> bytes:
    """Exactly `length` bytes; fewer (none) only where the other side closed at their start."""
    data = bytearray()
    # Room for one more than is allowed, so that it is seen and closed, never left open.
    room = socket.CMSG_SPACE((MAX_DESCRIPTORS + 1) * _FD_BYTES)
    while len(data) < length:
        part, ancillary, flags, _ = connection.recvmsg(
            min(length - len(data), 65536), room, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(content) - len(content) % _FD_BYTES
                descriptors += array.array("i", content[:whole])
        if flags & socket.MSG_CTRUNC or len(descriptors) > MAX_DESCRIPTORS:
            raise MalformedError(place, f"at most {MAX_DESCRIPTORS} descriptors", "more")
        if not part:
            if data:
                raise MalformedError(place, f"{length} bytes", f"{len(data)} and the end")
            return b""
        data += part
    return bytes(data)


def options_to_json(options: EnclaveOptions) -> dict[str, object]:
    """Options as a JSON object."""
    return {
        "cas_key": options.cas_key,
        "heap": options.heap,
        "stack": options.stack,
        "threads": options.threads,
    }


def options_of(value: JsonObject, place: str) -> EnclaveOptions:
    """Options from a JSON object.

    Raises:
        MalformedError: another form.
        UsageError: a value out of range.
    """
    found = object_of(value, "options", place)
    place = f"{place}.options"
    keys(found, place, ("cas_key", "heap", "stack", "threads"), ())
    cas_key = None if found["cas_key"] is None else text_of(found, "cas_key", place)
    return EnclaveOptions(
        cas_key,
        int_of(found, "heap", place, _NUMBER),
        int_of(found, "stack", place, _NUMBER),
        int_of(found, "threads", place, _NUMBER),
    )


def path_of(value: JsonObject, key: str, place: str) -> str:
    """A member that is an absolute path.

    Raises:
        MalformedError: another form.
    """
    path = text_of(value, key, place)
    if not path.startswith("/") or "\0" in path or len(path) > _MAX_PATH:
        raise MalformedError(f"{place}.{key}", "an absolute path", repr(path[:80]))
    return path


def trees_of(value: JsonObject, place: str) -> tuple[tuple[str, str], ...]:
    """Names and paths of the folders of a Python program.

    Raises:
        MalformedError: another form, or a name twice.
    """
    pairs = _pairs(value, "trees", place)
    if len(pairs) > _MAX_TREES or len(dict(pairs)) != len(pairs):
        raise MalformedError(f"{place}.trees", f"at most {_MAX_TREES} distinct names")
    for name, path in pairs:
        path_of({name: path}, name, f"{place}.trees")
    return pairs


def files_of(value: JsonObject, place: str) -> tuple[FileDigest, ...]:
    """Paths and digests of measured files.

    Raises:
        MalformedError: another form.
    """
    return _pairs(value, "files", place)


def error_to_json(error: SconeError) -> dict[str, object]:
    """An error as the answer that carries it."""
    return {
        "error": {"code": error.code, "messages": list(error.messages), "hint": error.hint},
    }


def error_of(answer: JsonObject, place: str) -> SconeError | None:
    """The error that an answer carries, if it is one; a class for each code.

    Raises:
        MalformedError: another form.
    """
    if "error" not in answer:
        return None
    found = object_of(answer, "error", place)
    keys(found, f"{place}.error", ("code", "messages", "hint"), ())
    messages = [text for text in list_of(found, "messages", place) if isinstance(text, str)]
    code = text_of(found, "code", place)
    kind = next((kind for kind in _KINDS if kind.code == code), SconeError)
    error = kind(messages[-1] if messages else "no reason", hint=text_of(found, "hint", place))
    for outer in reversed(messages[:-1]):
        error.within(outer)
    return error


def _pairs(value: JsonObject, key: str, place: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in list_of(value, key, place):
        match item:
            case [str(first), str(second)]:
                pairs.append((first, second))
            case _:
                raise MalformedError(f"{place}.{key}", "pairs of strings", "another value")
    return tuple(pairs)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or "broken")
