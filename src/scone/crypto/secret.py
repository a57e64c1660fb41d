"""Secrets as values that do not print.

Python cannot wipe memory (docs/threat-model.md); what this type prevents is a
secret in a log, a traceback, a `repr` or a comparison that leaks by its timing.
"""

from __future__ import annotations

from typing import final


@final
class SecretBytes:
    """Bytes whose `repr` shows their length only and whose `==` is constant-time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The secret itself; each call is a place to review."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        import hmac  # here: it loads OpenSSL, and few programs that start compare secrets

        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not a dictionary key")

    def __repr__(self) -> str:
        return f"SecretBytes(<{len(self._value)} bytes>)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")
