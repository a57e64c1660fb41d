"""Service access tokens: both sides prove that they know the token, bound to their channel.

The proof is HMAC-SHA-256(token, role || 0x00 || exporter). The CAS proves first, on request; a
launcher sends its own proof, and all else, only after that. A proof from another channel, or of
the other role, is another value. Nothing here slows guessing: whoever opens a channel can test
guesses of a weak token against the CAS's proof offline.
"""

from __future__ import annotations

import hmac
from typing import Final, Literal

from scone.crypto.secret import SecretBytes

TOKEN_EXPORTER_LABEL: Final = b"EXPORTER-scone-service-access-token-v1"
"""Label of the TLS exporter (RFC 8446, 7.5): no context, 32 bytes."""

Role = Literal["cas", "service"]


def token_proof(token: SecretBytes, role: Role, exporter: bytes) -> bytes:
    """What a side that knows the token sends, 32 bytes."""
    return hmac.digest(token.reveal(), role.encode() + b"\0" + exporter, "sha256")


def proves_token(proof: bytes, token: SecretBytes, role: Role, exporter: bytes) -> bool:
    """Whether the other side, in that role, knows the token; compared in constant time."""
    return hmac.compare_digest(proof, token_proof(token, role, exporter))
