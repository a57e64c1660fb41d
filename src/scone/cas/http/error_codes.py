"""The codes of refusals: what each means, and the HTTP status that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code as it stands in `code` of an error; `others` are further statuses that it comes with."""

    code: str
    status: int
    meaning: str
    others: tuple[int, ...] = ()


ERROR_CODES: Final = (
    ErrorCode("malformed", 400, "a body, a name, a query or a session that is not of its format"),
    ErrorCode("usage", 400, "a request that contradicts itself or the state, or lacks something"),
    ErrorCode("unsupported", 400, "a documented construct that this version does not have"),
    ErrorCode("forbidden", 403, "the requester is not authorised"),
    ErrorCode("not-genuine", 403, "evidence, a signature or a certificate that does not verify"),
    ErrorCode("not-trusted", 403, "genuine evidence whose claims the policy does not admit"),
    ErrorCode("not-found", 404, "it does not exist, or must not be known to exist", (405,)),
    ErrorCode("conflict", 409, "the state is not the one that the request was made for"),
    ErrorCode("limit", 429, "a rate, a quota, a count or a size was exceeded", (413,)),
    ErrorCode("network", 502, "another CAS or a vault that the request needs does not answer"),
    ErrorCode("unavailable", 503, "not provisioned, stopping, or the audit log cannot be opened"),
    ErrorCode("unresolved", 503, "secrets that decide are not there or do not fit"),
    ErrorCode("integrity", 500, "stored state that is not what it was"),
    ErrorCode("state", 500, "the disk or the audit log failed; the CAS stops"),
    ErrorCode("failed", 500, "another fault"),
)
STATUS_OF_CODE: Final[Mapping[str, int]] = MappingProxyType(
    {one.code: one.status for one in ERROR_CODES}
)
