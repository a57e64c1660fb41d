"""From the options of `attest` and `with-attestation` to a trust policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scone.attestation.appraise import CasPolicy
from scone.cli.files import read_small
from scone.client.trust import State, TrustPolicy
from scone.crypto.der import pem_to_der
from scone.errors import MalformedError, UsageError

_PLATFORM: Final = re.compile(r"(?i:INTEL_QE_ID):([0-9A-Fa-f]{32})")
_DATES: Final = (
    (re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})")),
    (re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})")),
    (re.compile(r"(?P<d>\d{1,2})-(?P<m>\d{1,2})-(?P<y>\d{4})")),
)


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """The options of `evidence_options`, under the names that click gives them."""

    mrenclave_argument: str | None
    mrenclaves: tuple[str, ...]
    mrsigner: str | None
    isvprodid: int | None
    isvsvn: int | None
    accept_configuration_needed: bool
    accept_group_out_of_date: bool
    accept_sw_hardening_needed: bool
    platforms: tuple[str, ...]
    verification_time: str | None
    simulation_path: str | None
    allow_debug: bool
    ignore_signer: bool
    trust_any: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> EvidenceOptions:
        """Take them out of a command's parameters."""
        return cls(**{name: given.pop(name) for name in cls.__slots__})

    @property
    def evidence_time(self) -> datetime | None:
        """The day of `--verification-time`, at 0:00 UTC.

        Raises:
            UsageError: no date.
        """
        return None if self.verification_time is None else parse_date(self.verification_time)

    def cas_policy(self) -> CasPolicy:
        """Which software and platform.

        Raises:
            UsageError: options that contradict each other.
        """
        measurements = self.mrenclaves
        if self.mrenclave_argument is not None:
            measurements = (self.mrenclave_argument, *measurements)
        return CasPolicy(
            mrenclaves=tuple(item.lower() for item in measurements),
            mrsigner=None if self.mrsigner is None else self.mrsigner.lower(),
            isvprodid=self.isvprodid,
            isvsvn_min=self.isvsvn,
            accept_outdated=self.accept_group_out_of_date,
            accept_configuration=self.accept_configuration_needed,
            accept_sw_hardening=self.accept_sw_hardening_needed,
            allow_debug=self.allow_debug,
            ignore_signer=self.ignore_signer,
            trust_any=self.trust_any,
            platforms=platform_ids(self.platforms),
        )

    def trust_policy(
        self,
        *,
        cas_key_hash: str | None,
        software_key_hash: str | None,
        state: State,
        allow_owner_secret_access: bool,
    ) -> TrustPolicy:
        """The whole policy.

        Raises:
            UsageError: options that contradict each other, a file that cannot be read.
        """
        return TrustPolicy(
            cas=self.cas_policy(),
            cas_key_hash=cas_key_hash,
            software_key_hash=software_key_hash,
            state=state,
            allow_owner_secret_access=allow_owner_secret_access,
            simulation_root=_root(self.simulation_path),
        )


def platform_ids(given: Sequence[str]) -> tuple[str, ...]:
    """The values of `--platform` as evidence spells them.

    Raises:
        UsageError: no ID of a platform.
    """
    found = []
    for text in given:
        matched = _PLATFORM.fullmatch(text)
        if matched is None:
            raise UsageError(
                f"--platform: expected INTEL_QE_ID:<32 hex digits>, got {text[:100]!r}",
                hint="scone cas attest prints it: Platform of attested CAS",
            )
        found.append(f"INTEL_QE_ID:{matched[1].lower()}")
    return tuple(found)


def parse_date(text: str) -> datetime:
    """A day as SCONE's CLI takes it, at 0:00 UTC.

    Raises:
        UsageError: none of the three forms, or no day of the calendar.
    """
    for form in _DATES:
        found = form.fullmatch(text)
        if found:
            try:
                return datetime(int(found["y"]), int(found["m"]), int(found["d"]), tzinfo=UTC)
            except ValueError:
                break
    raise UsageError(
        f"--verification-time: expected yyyy-mm-dd, dd.mm.yyyy or dd-mm-yyyy, got {text!r}"
    )


def _root(path: str | None) -> str | None:
    if path is None:
        return None
    option = "--only_for_testing-simulation"
    try:
        text = read_small(path, f"{option}: root certificate").decode("ascii")
        pem_to_der(text, "CERTIFICATE", option)
    except UnicodeDecodeError:
        raise UsageError(f"{option}: expected a certificate in PEM") from None
    except MalformedError as error:
        raise UsageError(str(error)) from error
    return text
