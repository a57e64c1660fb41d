"""What the environment tells the launcher (SCONE documentation, page SCONE_ENV)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from scone.crypto.secret import SecretBytes
from scone.errors import UnsupportedError, UsageError
from scone.log_level import LEVELS, parse_level
from scone.tee.measurement import EnclaveOptions
from scone.transport.address import ENCLAVE_PORT, Address, parse_address

ACCESS_TOKEN: Final = "SCONE_SERVICE_ACCESS_TOKEN"  # noqa: S105
"""Name of the variable with the service access token, which no program gets."""

_DEFAULT_CAS: Final = "cas"
_MAX_CONFIG_ID: Final = 4096
_SOURCES: Final = "default values or specified in the untrusted environment"


@dataclass(frozen=True, slots=True)
class Settings:
    """The launcher's environment, checked; `las_address` None is the default platform's."""

    cas: Address
    las_address: str | None
    config_id: str | None = field(repr=False)
    options: EnclaveOptions
    log_level: int
    print_hash: bool
    print_version: bool
    pwd: str | None
    access_token: SecretBytes | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the SCONE_ variables; an empty one counts as absent.

        Raises:
            UsageError: a value that is none of the documented ones.
            UnsupportedError: SCONE_MODE=HW, for which this version has no TEE.
            MalformedError: an address or a key hash that is none.
        """
        mode = environment.get("SCONE_MODE") or "AUTO"
        if mode.upper() == "HW":
            raise UnsupportedError(
                "SCONE_MODE=HW: this version has no hardware enclaves",
                hint="SCONE_MODE=SIM runs in simulation, which protects nothing",
            )
        if mode.upper() not in ("SIM", "AUTO"):
            raise UsageError(f"SCONE_MODE: expected SIM or AUTO, got {mode[:32]!r}")
        config_id = environment.get("SCONE_CONFIG_ID") or None
        if config_id is not None and (
            len(config_id) > _MAX_CONFIG_ID or not config_id.isprintable()
        ):
            expected = "SESSION/SERVICE or SESSION/SERVICE@CODE"
            raise UsageError(f"SCONE_CONFIG_ID: expected {expected}, got another text")
        token = environment.get(ACCESS_TOKEN)
        return cls(
            cas=parse_address(
                environment.get("SCONE_CAS_ADDR") or _DEFAULT_CAS,
                default_port=ENCLAVE_PORT,
                place="SCONE_CAS_ADDR",
            ),
            las_address=environment.get("SCONE_LAS_ADDR") or None,
            config_id=config_id,
            options=EnclaveOptions.from_environment(environment),
            log_level=parse_level(environment.get("SCONE_LOG") or "WARNING"),
            print_hash=_switch(environment, "SCONE_HASH"),
            print_version=_switch(environment, "SCONE_VERSION"),
            pwd=environment.get("SCONE_PWD") or None,
            access_token=SecretBytes(os.fsencode(token)) if token else None,
        )

    @property
    def service_id(self) -> str | None:
        """The configuration id to show: a one-time password may still be good."""
        if self.config_id is None:
            return None
        name, at, _ = self.config_id.rpartition("@")
        return f"{name}@******" if at else self.config_id

    def require_cas_key(self) -> str:
        """The CAS key hash, without which nothing is measured or attested.

        Raises:
            UsageError: SCONE_CAS_KEY is not set.
        """
        if self.options.cas_key is None:
            raise UsageError(
                "SCONE_CAS_KEY is not set: which CAS may configure the program is part of its "
                "measurement",
                hint="set it to the CAS key hash; `scone cas show-identification -c` prints it",
            )
        return self.options.cas_key

    def lines(self) -> list[str]:
        """What SCONE_VERSION=1 prints before the version."""
        level = next(name for name, number in LEVELS.items() if number == self.log_level)
        return [
            f"[SCONE] Using the following values ({_SOURCES}):",
            f"SCONE_TCS={self.options.threads}",
            f"SCONE_LOG={level}",
            f"SCONE_HEAP={self.options.heap}",
            f"SCONE_STACK={self.options.stack}",
            "SCONE_MODE=sim",
            f"SCONE_CONFIG_ID: {self.service_id or '<not specified>'}",
            "",
        ]


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name) or "0"
    if value not in ("0", "1"):
        raise UsageError(f"{name}: expected 0 or 1, got {value[:32]!r}")
    return value == "1"
