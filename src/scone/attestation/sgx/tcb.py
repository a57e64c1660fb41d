"""TCB info v3 and QE identity v2 (Intel PCS API v4): reading, matching, convergence.

The caller checks the signature over the exact text before it is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from scone.attestation.certificates import Window
from scone.attestation.sgx.pck import SgxExtension
from scone.attestation.sgx.quote import ReportBody
from scone.errors import MalformedError, VerificationError
from scone.strict_json import (
    JsonObject,
    JsonValue,
    hex_of,
    int_of,
    list_of,
    object_of,
    read_object,
    text_of,
)

_MAX_LEVELS: Final = 256
_MAX_ADVISORIES: Final = 512
_MAX_ADVISORY_CHARACTERS: Final = 64
_COMPONENTS: Final = 16


class TcbStatus(StrEnum):
    """State of a platform's trusted computing base, in Intel's words."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"


@dataclass(frozen=True, slots=True)
class TcbLevel:
    """One row of TCB info: reached by a platform whose every number is as high."""

    components: tuple[int, ...]
    pcesvn: int
    status: TcbStatus
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TcbInfo:
    """What Intel (or a simulated vendor) says of one kind of platform."""

    fmspc: bytes
    pceid: bytes
    levels: tuple[TcbLevel, ...]  # highest first
    window: Window

    @classmethod
    def parse(cls, text: str) -> TcbInfo:
        """SGX TCB info, version 3.

        Raises:
            MalformedError: another document, version or type.
        """
        place = "tcb info"
        value = read_object(text, place)
        _require_kind(value, place, "SGX", 3)
        if int_of(value, "tcbType", place, 0xFFFF) != 0:
            raise MalformedError(f"{place}.tcbType", "0", "another")
        levels = [
            _level(item, f"{place}.tcbLevels[{index}]")
            for index, item in enumerate(_levels(value, place))
        ]
        # Intel's library keeps levels in a set ordered from the highest down, by components
        # and then by PCESVN, whatever order they came in.
        levels.sort(key=lambda level: (level.components, level.pcesvn), reverse=True)
        return cls(
            fmspc=hex_of(value, "fmspc", place, 6),
            pceid=hex_of(value, "pceId", place, 2),
            levels=tuple(levels),
            window=_window(value, place),
        )

    def level_for(self, extension: SgxExtension) -> TcbLevel:
        """The highest level that a platform reaches.

        Raises:
            VerificationError: another kind of platform, or below every level.
        """
        if extension.fmspc != self.fmspc or extension.pceid != self.pceid:
            raise VerificationError(
                f"tcb info: for FMSPC {self.fmspc.hex()} and PCEID {self.pceid.hex()}, the platform"
                f" has {extension.fmspc.hex()} and {extension.pceid.hex()}"
            )
        for level in self.levels:
            if extension.pcesvn >= level.pcesvn and all(
                has >= wants
                for has, wants in zip(extension.components, level.components, strict=True)
            ):
                return level
        raise VerificationError("tcb info: no level matches this platform")


@dataclass(frozen=True, slots=True)
class QeLevel:
    """One row of QE identity."""

    isvsvn: int
    status: TcbStatus
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QeIdentity:
    """Which quoting enclave may speak for platforms of this hierarchy."""

    miscselect: int
    miscselect_mask: int
    attributes: bytes
    attributes_mask: bytes
    mrsigner: bytes
    isvprodid: int
    levels: tuple[QeLevel, ...]  # highest first
    window: Window

    @classmethod
    def parse(cls, text: str) -> QeIdentity:
        """SGX QE identity, version 2.

        Raises:
            MalformedError: another document or version.
        """
        place = "qe identity"
        value = read_object(text, place)
        _require_kind(value, place, "QE", 2)
        levels = [
            _qe_level(item, f"{place}.tcbLevels[{index}]")
            for index, item in enumerate(_levels(value, place))
        ]
        levels.sort(key=lambda level: level.isvsvn, reverse=True)
        return cls(
            miscselect=int.from_bytes(hex_of(value, "miscselect", place, 4), "little"),
            miscselect_mask=int.from_bytes(hex_of(value, "miscselectMask", place, 4), "little"),
            attributes=hex_of(value, "attributes", place, 16),
            attributes_mask=hex_of(value, "attributesMask", place, 16),
            mrsigner=hex_of(value, "mrsigner", place, 32),
            isvprodid=int_of(value, "isvprodid", place, 0xFFFF),
            levels=tuple(levels),
            window=_window(value, place),
        )

    def level_for(self, report: ReportBody) -> QeLevel:
        """The QE's level; one below every level counts as revoked, as in Intel's library.

        Raises:
            VerificationError: the report is not of this quoting enclave.
        """
        if report.miscselect & self.miscselect_mask != self.miscselect:
            raise VerificationError("qe identity: MISCSELECT of the quoting enclave differs")
        masked = bytes(
            has & mask for has, mask in zip(report.attributes, self.attributes_mask, strict=True)
        )
        if masked != self.attributes:
            raise VerificationError("qe identity: ATTRIBUTES of the quoting enclave differ")
        if report.mrsigner != self.mrsigner:
            raise VerificationError("qe identity: MRSIGNER of the quoting enclave differs")
        if report.isvprodid != self.isvprodid:
            raise VerificationError("qe identity: ISVPRODID of the quoting enclave differs")
        for level in self.levels:
            if report.isvsvn >= level.isvsvn:
                return level
        return QeLevel(isvsvn=0, status=TcbStatus.REVOKED, advisories=())


def converge(platform: TcbStatus, enclave: TcbStatus) -> TcbStatus:
    """One status from the platform's and the QE's (Intel QVL, `convergeTcbStatus`)."""
    if TcbStatus.REVOKED in (platform, enclave):
        return TcbStatus.REVOKED
    if enclave is TcbStatus.UP_TO_DATE:
        return platform
    # Whatever else is said of a QE, it should be updated.
    if platform in (
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    ):
        return TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    return TcbStatus.OUT_OF_DATE


def _require_kind(value: JsonObject, place: str, kind: str, version: int) -> None:
    if text_of(value, "id", place) != kind:
        raise MalformedError(f"{place}.id", kind, "another")
    if int_of(value, "version", place, 0xFFFF) != version:
        raise MalformedError(f"{place}.version", f"{version}", "another")


def _levels(value: JsonObject, place: str) -> list[JsonValue]:
    levels = list_of(value, "tcbLevels", place)
    if not 1 <= len(levels) <= _MAX_LEVELS:
        raise MalformedError(f"{place}.tcbLevels", f"1 to {_MAX_LEVELS}", f"{len(levels)}")
    return levels


def _level(item: JsonValue, place: str) -> TcbLevel:
    level = _as_object(item, place)
    tcb = object_of(level, "tcb", place)
    parts = list_of(tcb, "sgxtcbcomponents", place)
    if len(parts) != _COMPONENTS:
        raise MalformedError(f"{place}.sgxtcbcomponents", f"{_COMPONENTS}", f"{len(parts)}")
    return TcbLevel(
        components=tuple(int_of(_as_object(part, place), "svn", place, 255) for part in parts),
        pcesvn=int_of(tcb, "pcesvn", place, 0xFFFF),
        status=_status(level, place),
        advisories=_advisories(level, place),
    )


def _qe_level(item: JsonValue, place: str) -> QeLevel:
    level = _as_object(item, place)
    return QeLevel(
        isvsvn=int_of(object_of(level, "tcb", place), "isvsvn", place, 0xFFFF),
        status=_status(level, place),
        advisories=_advisories(level, place),
    )


def _as_object(item: JsonValue, place: str) -> JsonObject:
    if not isinstance(item, dict):
        raise MalformedError(place, "an object", type(item).__name__)
    return item


def _status(level: JsonObject, place: str) -> TcbStatus:
    text = text_of(level, "tcbStatus", place)
    try:
        return TcbStatus(text)
    except ValueError as error:
        raise MalformedError(f"{place}.tcbStatus", "a known status", repr(text[:64])) from error


def _advisories(level: JsonObject, place: str) -> tuple[str, ...]:
    if "advisoryIDs" not in level:
        return ()
    items = list_of(level, "advisoryIDs", place)
    if len(items) > _MAX_ADVISORIES:
        raise MalformedError(f"{place}.advisoryIDs", f"at most {_MAX_ADVISORIES}", f"{len(items)}")
    found = []
    for item in items:
        if (
            not isinstance(item, str)
            or not 1 <= len(item) <= _MAX_ADVISORY_CHARACTERS
            or not item.replace("-", "").isalnum()
            or not item.isascii()
        ):
            raise MalformedError(f"{place}.advisoryIDs", "names such as INTEL-SA-00615", "others")
        found.append(item)
    return tuple(found)


def _window(value: JsonObject, place: str) -> Window:
    return Window(_date(value, "issueDate", place), _date(value, "nextUpdate", place))


def _date(value: JsonObject, key: str, place: str) -> datetime:
    text = text_of(value, key, place)
    if len(text) != len("2025-06-19T10:56:11Z") or not text.isascii():
        raise MalformedError(f"{place}.{key}", "a time as 2025-06-19T10:56:11Z", repr(text[:32]))
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedError(
            f"{place}.{key}", "a time as 2025-06-19T10:56:11Z", repr(text)
        ) from error
