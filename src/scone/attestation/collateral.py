"""Endorsements of a platform, as dcap-qvl and Intel's services name them.

Nothing here is verified. The two signed documents are kept as the exact text that
came: their signatures cover those bytes. `id` names one set of endorsements; what a
cache has proved of one id says nothing of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scone.errors import MalformedError
from scone.strict_json import JsonValue, decode, keys, parse_hex, read_object, text_of

# Intel's sets are 14 to 21 kB; revocation lists grow.
MAX_COLLATERAL_BYTES: Final = 512 * 1024
_MAX_CHAIN_CHARACTERS: Final = 16 * 1024
_MAX_CRL_BYTES: Final = 128 * 1024
_MAX_DOCUMENT_CHARACTERS: Final = 128 * 1024
_SIGNATURE_BYTES: Final = 64

_KEYS: Final = (
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
)
# Others send the quote's own chain beside the collateral; the quote carries it here.
_IGNORED: Final = ("pck_certificate_chain",)


@dataclass(frozen=True, slots=True)
class Collateral:
    """One set of endorsements: chains in PEM, lists in DER, signed JSON as text."""

    pck_crl_issuer_chain: str
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: bytes
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: bytes
    id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(b"scone-collateral-v1\0")
        for name in _KEYS:
            value = getattr(self, name)
            raw = value.encode() if isinstance(value, str) else value
            digest.update(len(raw).to_bytes(8, "big"))
            digest.update(raw)
        object.__setattr__(self, "id", digest.digest())

    @classmethod
    def parse(
        cls, source: bytes | Mapping[str, JsonValue], place: str = "collateral"
    ) -> Collateral:
        """Collateral from its JSON, or from that already read.

        Raises:
            MalformedError: a missing or unknown key, another type, too large.
        """
        if isinstance(source, bytes):
            source = read_object(decode(source, place, MAX_COLLATERAL_BYTES), place)
        keys(source, place, _KEYS, _IGNORED)

        def text(key: str, limit: int) -> str:
            value = text_of(source, key, place)
            if not value or len(value) > limit or not value.isascii():
                raise MalformedError(
                    f"{place}.{key}", f"ASCII text of 1 to {limit} characters", f"{len(value)}"
                )
            return value

        def binary(key: str, limit: int) -> bytes:
            return parse_hex(text(key, 2 * limit), f"{place}.{key}")

        def signature(key: str) -> bytes:
            return parse_hex(text_of(source, key, place), f"{place}.{key}", _SIGNATURE_BYTES)

        return cls(
            pck_crl_issuer_chain=text("pck_crl_issuer_chain", _MAX_CHAIN_CHARACTERS),
            root_ca_crl=binary("root_ca_crl", _MAX_CRL_BYTES),
            pck_crl=binary("pck_crl", _MAX_CRL_BYTES),
            tcb_info_issuer_chain=text("tcb_info_issuer_chain", _MAX_CHAIN_CHARACTERS),
            tcb_info=text("tcb_info", _MAX_DOCUMENT_CHARACTERS),
            tcb_info_signature=signature("tcb_info_signature"),
            qe_identity_issuer_chain=text("qe_identity_issuer_chain", _MAX_CHAIN_CHARACTERS),
            qe_identity=text("qe_identity", _MAX_DOCUMENT_CHARACTERS),
            qe_identity_signature=signature("qe_identity_signature"),
        )

    def to_object(self) -> dict[str, JsonValue]:
        """The JSON object, for use inside another document."""
        return {
            name: value.hex() if isinstance(value := getattr(self, name), bytes) else value
            for name in _KEYS
        }

    def to_json(self) -> bytes:
        """Compact JSON; `parse` of it is this value."""
        return json.dumps(self.to_object(), separators=(",", ":")).encode()
