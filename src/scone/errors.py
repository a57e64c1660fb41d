"""Errors of the whole project: one root, stable codes, a chain of messages.

An error says where (`place`), what was expected, what was found and, where there
is one, what to do (`hint`). Programs map the code to an exit status or an HTTP
status at their edge, in one table each; nothing here knows of either.
"""

from __future__ import annotations

from typing import ClassVar, Self


class SconeError(Exception):
    """Root of all errors that a user may see.

    `messages` is the chain as SCONE prints it: outermost first, the cause last.
    """

    code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.messages: tuple[str, ...] = (message,)
        self.hint = hint

    def within(self, outer: str) -> Self:
        """The same error, told from further out: `outer` becomes its first message."""
        self.messages = (outer, *self.messages)
        return self

    def __str__(self) -> str:
        return ": ".join(self.messages)


class MalformedError(SconeError):
    """Bytes or text that are not of the format they should be."""

    code: ClassVar[str] = "malformed"

    def __init__(self, place: str, expected: str, got: str = "", *, hint: str = "") -> None:
        text = f"{place}: expected {expected}" + (f", got {got}" if got else "")
        super().__init__(text, hint=hint)
        self.place = place
        self.expected = expected
        self.got = got


class UsageError(SconeError):
    """A request that contradicts itself or lacks something, whatever the state is."""

    code: ClassVar[str] = "usage"


class UnsupportedError(SconeError):
    """A documented construct that this version does not have yet."""

    code: ClassVar[str] = "unsupported"


class NotFoundError(SconeError):
    """What was asked for does not exist (or must not be known to exist)."""

    code: ClassVar[str] = "not-found"


class ConflictError(SconeError):
    """The state is not the one that the request was made for."""

    code: ClassVar[str] = "conflict"


class ForbiddenError(SconeError):
    """The requester is not authorised."""

    code: ClassVar[str] = "forbidden"


class VerificationError(SconeError):
    """Evidence, a signature or a certificate chain is not genuine or not valid now."""

    code: ClassVar[str] = "not-genuine"


class AppraisalError(SconeError):
    """Genuine evidence whose claims do not meet the policy."""

    code: ClassVar[str] = "not-trusted"


class IntegrityError(SconeError):
    """Stored state that was altered, rolled back, or belongs to another instance."""

    code: ClassVar[str] = "integrity"


class StateError(SconeError):
    """Local state (a file, a socket, a lock) that cannot be used as it is."""

    code: ClassVar[str] = "state"


class UnavailableError(SconeError):
    """The service cannot do this in its present state (unprovisioned, stopping)."""

    code: ClassVar[str] = "unavailable"


class LimitError(SconeError):
    """A size, count, rate or quota was exceeded."""

    code: ClassVar[str] = "limit"


class NetworkError(SconeError):
    """The other side could not be reached or did not answer properly."""

    code: ClassVar[str] = "network"


class UnreachableError(NetworkError):
    """No connection came about: nothing was sent, whoever wanted to send what."""


class RejectedError(SconeError):
    """The CAS refused a request as malformed or contradictory, or failed at it; `code` is the CAS's."""


def printable(text: str) -> str:
    """The text without characters that steer a terminal; new lines and tabs stay."""
    return "".join(
        one
        if one.isprintable() or one in "\n\t"
        else f"\\x{ord(one):02x}"
        if ord(one) <= 0x7F
        else one.encode("ascii", "backslashreplace").decode()
        for one in text
    )


def told(error: SconeError) -> str:
    """An error as SCONE's programs print it: the chain, then the hint, each on its line."""
    lines = ["Error: " + "\nCaused by: ".join(error.messages)]
    if error.hint:
        lines.append(f"Hint: {error.hint}")
    return printable("\n".join(lines))


def places_of(error: BaseException) -> str:
    """Type and code places of an error, never its message, which may hold a secret."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places) or 'an unknown place'}"
