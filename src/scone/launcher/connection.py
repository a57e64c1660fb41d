"""The channel to the CAS: TLS 1.3 whose server certificate the pinned CAS key issued."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Final

from scone.crypto.certificates import cas_chain
from scone.crypto.der import spki_of_certificate
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.errors import MalformedError, VerificationError
from scone.transport.address import Address
from scone.transport.client import Connection, Options, connect

_TIMEOUT_S: Final = 30.0
_MAX_ANSWER: Final = 32 * 1024 * 1024  # a service configuration


def connect_to_cas(address: Address, cas_key: str, now: datetime | None = None) -> Connection:
    """Open a channel on which nothing was sent before the CAS key was compared.

    Raises:
        NetworkError: no connection.
        VerificationError: another CAS, or no CAS at all.
    """
    moment = now or datetime.now(UTC)

    def check(chain: tuple[bytes, ...]) -> None:
        check_chain(chain, cas_key, moment, str(address))

    options = Options(
        timeout_s=_TIMEOUT_S, check_peer=check, exporter=True, max_response_bytes=_MAX_ANSWER
    )
    return connect(address, options)


def check_chain(chain: tuple[bytes, ...], cas_key: str, now: datetime, place: str) -> None:
    """Accept exactly a CAS instance certificate followed by the root with the pinned key.

    Raises:
        VerificationError: anything else.
    """
    try:
        _, root = cas_chain(chain, now=now)
        _require_key(root, cas_key, place)
    except MalformedError as error:
        raise VerificationError(f"{place}: {error}") from error


def _require_key(root: bytes, cas_key: str, place: str) -> None:
    found = key_hash(spki_of_certificate(root))
    if not hmac.compare_digest(parse_key_hash(found), parse_key_hash(cas_key)):
        raise VerificationError(
            f"{place}: expected the CAS with key hash {cas_key}, got {found}",
            hint="nothing was sent; is SCONE_CAS_ADDR right, and SCONE_CAS_KEY current?",
        )
