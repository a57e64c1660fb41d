"""What one LAS connection may ask: requests to answers, with the measurement it stands for.

The LAS measures by itself; of the caller it takes descriptors, paths and options. It
signs what a local process of its own user shows it, which is all that a simulation can do
(docs/threat-model.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from scone.attestation.collateral import Collateral
from scone.crypto.secret import SecretBytes
from scone.errors import AppraisalError, ConflictError, UnsupportedError, UsageError
from scone.strict_json import (
    JsonObject,
    hex_of,
    int_of,
    keys,
    read_object,
    text_of,
)
from scone.tee.base import EnclaveIdentity
from scone.tee.las_protocol import PROTOCOL, Frame, options_of, path_of, trees_of
from scone.tee.measurement import Measurement, OpenedProgram, measure_program, measure_python
from scone.tee.program_signature import identity_of

_PLACE: Final = "LAS request"
_MAX_LABEL: Final = 256


class Platform(Protocol):
    """The simulated platform, as far as a LAS uses it."""

    @property
    def root_certificate_pem(self) -> str:
        """The root that vouches for this platform."""

    def quote(self, identity: EnclaveIdentity, report_data: bytes) -> bytes:
        """A quote for a measured program."""

    def collateral(self, now: datetime) -> Collateral:
        """Endorsements that are valid now."""

    def seal_key(self, mrenclave: bytes, label: str) -> SecretBytes:
        """A key of this platform for one measurement."""


@dataclass(slots=True)
class Conversation:
    """One connection: what it measured, if anything."""

    platform: Platform
    now: Callable[[], datetime]
    identity: EnclaveIdentity | None = field(default=None)

    def answer(self, frame: Frame) -> dict[str, object]:
        """Answer one request.

        Raises:
            SconeError: a request that is malformed, or that is refused.
        """
        request = frame.value
        keys(request, _PLACE, ("protocol", "operation"), tuple(request))
        protocol = int_of(request, "protocol", _PLACE, 1000)
        if protocol != PROTOCOL:
            raise UnsupportedError(
                f"{_PLACE}.protocol: expected {PROTOCOL}, got {protocol}",
                hint="LAS and caller are of different versions",
            )
        operation = text_of(request, "operation", _PLACE)
        found = _OPERATIONS.get(operation)
        if found is None:
            names = ", ".join(sorted(_OPERATIONS))
            raise UsageError(f"{_PLACE}.operation: expected one of {names}, got {operation[:40]!r}")
        handler, fields, descriptors = found
        keys(request, _PLACE, ("protocol", "operation", *fields), ())
        if len(frame.descriptors) != descriptors:
            raise UsageError(
                f"{_PLACE}: expected {descriptors} descriptors with {operation}, "
                f"got {len(frame.descriptors)}"
            )
        return handler(self, frame)

    def measured(self) -> EnclaveIdentity:
        """What this connection stands for.

        Raises:
            ConflictError: nothing was measured yet.
        """
        if self.identity is None:
            raise ConflictError("nothing was measured on this connection yet")
        return self.identity


def _measure_program(conversation: Conversation, frame: Frame) -> dict[str, object]:
    program = _program(conversation, frame)
    measured = measure_program(program, options_of(frame.value, _PLACE))
    return _take(conversation, frame.value, measured)


def _measure_python(conversation: Conversation, frame: Frame) -> dict[str, object]:
    interpreter = _program(conversation, frame)
    trees = trees_of(frame.value, _PLACE)
    measured = measure_python(interpreter, trees, options_of(frame.value, _PLACE))
    return _take(conversation, frame.value, measured)


def _quote(conversation: Conversation, frame: Frame) -> dict[str, object]:
    report_data = hex_of(frame.value, "report_data", _PLACE, 64)
    return {"quote": conversation.platform.quote(conversation.measured(), report_data).hex()}


def _seal_key(conversation: Conversation, frame: Frame) -> dict[str, object]:
    label = text_of(frame.value, "label", _PLACE)
    if not 1 <= len(label) <= _MAX_LABEL:
        raise UsageError(f"{_PLACE}.label: expected 1 to {_MAX_LABEL} characters")
    key = conversation.platform.seal_key(conversation.measured().mrenclave, label)
    return {"key": key.reveal().hex()}


def _collateral(conversation: Conversation, _: Frame) -> dict[str, object]:
    endorsements = conversation.platform.collateral(conversation.now())
    return {"collateral": read_object(endorsements.to_json().decode(), "collateral")}


def _root(conversation: Conversation, _: Frame) -> dict[str, object]:
    return {"root": conversation.platform.root_certificate_pem}


def _program(conversation: Conversation, frame: Frame) -> OpenedProgram:
    """The first descriptor, under its path; the second proves that paths mean the same here."""
    conversation.identity = None  # a refused program leaves nothing to quote
    descriptor, namespace = frame.descriptors
    theirs, ours = os.fstat(namespace), Path("/proc/self/ns/mnt").stat()
    if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
        raise AppraisalError(
            "LAS and program are in different mount namespaces: the LAS would measure other files",
            hint="start the LAS in the same container, or in none",
        )
    path = path_of(frame.value, "path", _PLACE)
    if os.path.realpath(path) != path:
        raise UsageError(f"{_PLACE}.path: expected a canonical path, got {path[:200]!r}")
    return OpenedProgram(path, descriptor)


def _take(
    conversation: Conversation, request: JsonObject, measured: Measurement
) -> dict[str, object]:
    signature = path_of(request, "signature", _PLACE)
    identity = identity_of(measured.mrenclave, signature)
    conversation.identity = identity
    return {
        "mrenclave": identity.mrenclave.hex(),
        "mrsigner": identity.mrsigner.hex(),
        "isvprodid": identity.isvprodid,
        "isvsvn": identity.isvsvn,
        "debug": identity.debug,
        "files": measured.files,
    }


_Handler = Callable[[Conversation, Frame], dict[str, object]]
# Operation: what answers it, its own fields, how many descriptors come with it.
_OPERATIONS: Final[dict[str, tuple[_Handler, tuple[str, ...], int]]] = {
    "measure_program": (_measure_program, ("path", "signature", "options"), 2),
    "measure_python": (_measure_python, ("path", "signature", "options", "trees"), 2),
    "quote": (_quote, ("report_data",), 0),
    "seal_key": (_seal_key, ("label",), 0),
    "collateral": (_collateral, (), 0),
    "root": (_root, (), 0),
}
