"""The port to a trusted execution environment: evidence, endorsements, sealing.

A `Tee` speaks for the calling process. What is behind it (the LAS, a device, the
simulation) is chosen once, where a program starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scone.attestation.collateral import Collateral
from scone.crypto.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a TEE says about the calling process: untrusted until verified."""

    quote: bytes


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """What a quote states of a program besides its report data."""

    mrenclave: bytes
    mrsigner: bytes
    isvprodid: int
    isvsvn: int
    debug: bool = False


class Tee(Protocol):
    """Evidence and sealing for the calling process.

    Raises (every method):
        UnavailableError: the TEE or its service does not answer.
    """

    def quote(self, report_data: bytes) -> Evidence:
        """Evidence over 64 bytes of report data."""
        ...

    def collateral(self) -> Collateral:
        """Endorsements that verify this platform's quotes now."""
        ...

    def sealing_key(self, label: str) -> SecretBytes:
        """32 bytes that only this measurement gets on this machine."""
        ...
