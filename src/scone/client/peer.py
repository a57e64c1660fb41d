"""From one CAS to another: secrets that a session there exports to a session here.

The other CAS is known by a key hash and never by its name: nothing is sent before the key
was compared (docs/formats/sharing.md). Blocking; a CAS calls this from threads of its own.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from scone.attestation.report_data import NONCE_BYTES, SHARING_EXPORTER_LABEL
from scone.client.answers import refusal
from scone.crypto.certificates import cas_chain
from scone.crypto.der import spki_of_certificate
from scone.crypto.keyhash import key_hash, parse_key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    MalformedError,
    NetworkError,
    NotFoundError,
    SconeError,
    UnavailableError,
    VerificationError,
    printable,
)
from scone.session.secrets import SecretValues
from scone.transport.address import Address
from scone.transport.client import Connection, Options, connect
from scone.transport.http import Response

SHARING_PATH: Final = "/v1/shared"
_TIMEOUT_S: Final = 10.0
_MAX_ANSWER: Final = 16 * 1024 * 1024  # the stored form of the values of a whole session
_MAX_SAID: Final = 2_000
# What another CAS may refuse in its own words; of the state of this one it can say nothing.
_REFUSALS: Final = (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another CAS: where it is, and exactly one key hash that says which it must be."""

    address: Address
    cas_key: str | None = None
    software_key: str | None = None

    def check(self, chain: tuple[bytes, ...], now: datetime) -> None:
        """Refuse a server that is not this CAS; `chain` is what TLS showed, leaf first.

        The CAS key must have issued the certificate of the server directly; a software key must
        be the server's own.

        Raises:
            VerificationError: another server.
        """
        try:
            leaf, root = cas_chain(chain, now=now)
            for what, expected, certificate in (
                ("CAS key", self.cas_key, root),
                ("CAS software key", self.software_key, leaf),
            ):
                if expected is None:
                    continue
                found = key_hash(spki_of_certificate(certificate))
                if not hmac.compare_digest(parse_key_hash(found), parse_key_hash(expected)):
                    raise VerificationError(
                        f"expected the CAS with the {what} {expected}, got {found}",
                        hint="nothing was sent; if that CAS was set up anew or updated, get its key "
                        "hash over another channel and change the import",
                    )
        except MalformedError as error:
            raise VerificationError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Question:
    """Which session asks for which secrets of which session; `step` counts imports in a row."""

    importer: str
    importer_hash: str
    exporter: str
    exporter_hash: str | None
    secrets: tuple[str, ...]
    step: int


class PeerChannel:
    """An open connection to the CAS that was meant; `nonce` is for the document of this one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.nonce: Final = connection.export(SHARING_EXPORTER_LABEL, NONCE_BYTES).hex()

    @classmethod
    def open(cls, peer: Peer, identity_pem: SecretBytes, now: datetime) -> PeerChannel:
        """Connect and compare the key; nothing is sent beyond the handshake.

        Raises:
            NetworkError: no connection.
            VerificationError: another server.
        """
        options = Options(
            timeout_s=_TIMEOUT_S,
            identity_pem=identity_pem,
            check_peer=lambda chain: peer.check(chain, now),
            exporter=True,
            max_response_bytes=_MAX_ANSWER,
        )
        try:
            return cls(connect(peer.address, options))
        except VerificationError as error:
            raise error.within(f"the server at {peer.address} is another one") from None

    def ask(self, question: Question, document: bytes) -> SecretValues:
        """The values, as the stored form has them; `document` attests the CAS that asks.

        Raises:
            NetworkError: no proper answer, or it refuses for a reason of its own.
            SconeError: another refusal of the other CAS, one of `_REFUSALS`.
        """
        head = json.dumps(asdict(question), separators=(",", ":"))
        # Byte for byte: the quote in the document is over bytes of it.
        body = head[:-1].encode() + b',"attestation":' + document + b"}"
        url = self._connection.address.url
        response = self._connection.request("POST", SHARING_PATH, body)
        if response.status != 200:
            raise _refused(response, url)
        try:
            values = SecretValues.from_json(response.body, "shared values")
        except MalformedError as error:
            raise NetworkError(f"CAS at '{url}' did not answer properly: {error}") from error
        if set(values) != set(question.secrets):
            raise NetworkError(f"CAS at '{url}' did not answer properly: other secrets than asked")
        return values

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _refused(response: Response, url: str) -> SconeError:
    """The refusal of another CAS: whoever it is may write anything, so it is quoted and cut."""
    error = refusal(response, url)
    outer, *told = error.messages
    kind = next((kind for kind in _REFUSALS if type(error) is kind), NetworkError)
    said = ": ".join(told) + (f" ({error.hint})" if error.hint else "")
    if not said:
        return kind(outer)
    text = printable(said.replace("\n", " "))
    cut = text if len(text) <= _MAX_SAID else f"{text[:_MAX_SAID]}..."
    return kind(f"that CAS says: {cut}").within(outer)
