"""The REST interface of a CAS as typed calls, to one CAS whose key is pinned.

`CasClient.of` takes a `KnownCas`: the server's key is compared with the pinned one
before anything is sent. Only `trust.attest_cas` and the `only_for_testing` options open
a client without a pin.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Self

from scone.client.answers import (
    MAX_ANSWER_BYTES,
    hash_member,
    read_answer,
    refusal,
    text_member,
)
from scone.client.known import KnownCas
from scone.crypto.der import spki_of_certificate
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, NetworkError, UsageError, VerificationError
from scone.session.names import canonical_name
from scone.strict_json import JsonObject, JsonValue
from scone.transport.address import CLIENT_PORT, parse_address
from scone.transport.client import Connection, Options, connect
from scone.transport.http import Headers, Response

DEFAULT_RETRIES: Final = 3
_TIMEOUT_S: Final = 30.0
_JSON: Final[Headers] = (("content-type", "application/json"),)
_YAML: Final[Headers] = (("content-type", "application/yaml"),)

_NO_PATH: Final = b"there is no such path"

CheckPeer = Callable[[tuple[bytes, ...]], None]


@dataclass(frozen=True, slots=True)
class Created:
    """The hash of a created or updated session, and what the CAS warned about."""

    hash: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A session as the CAS has it: its text in normal form, and its hash."""

    text: str = field(repr=False)
    hash: str


@dataclass(frozen=True, slots=True)
class PublicValue:
    """A public secret: text, PEM or hex by its kind; times in RFC 3339, of certificates only."""

    kind: str
    value: str
    expires: str | None
    renew: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """An entry of a session's history; `uploaded_at` is ISO 8601.

    `uploader` is the key hash of a client certificate, or those of the signers, with commas.
    """

    hash: str
    predecessor: str | None
    uploaded_at: str
    uploader: str
    signed: bool


@dataclass(frozen=True, slots=True)
class ProvisioningAnswer:
    """The new identity of a claimed CAS, as it says; the receipt is yet to be verified."""

    cas_key_hash: str
    software_key_hash: str
    receipt: JsonObject


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a backup CAS answers to the primary's challenge; the primary decides on it."""

    public_key: str
    quote: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A registered backup CAS."""

    id: str
    address: str
    platform_id: str
    mrenclave: str
    isvsvn: int
    tcb_status: str
    registered_at: str


class CasClient:
    """One CAS. Every call may raise `NetworkError` and the refusals of `answers`."""

    def __init__(self, url: str, open_connection: Callable[[], Connection]) -> None:
        self.url = url
        self._open = open_connection
        self._connection: Connection | None = None
        self.known: KnownCas | None = None
        """What was attested of it, if anything was."""

    @classmethod
    def of(
        cls,
        known: KnownCas,
        *,
        identity_pem: SecretBytes | None = None,
        retries: int = DEFAULT_RETRIES,
        timeout_s: float = _TIMEOUT_S,
    ) -> Self:
        """A client of an attested CAS; another key than the pinned one gets nothing."""
        client = cls.to(
            known.url,
            check_peer=lambda chain: check_pin(chain, known),
            identity_pem=identity_pem,
            retries=retries,
            timeout_s=timeout_s,
        )
        client.known = known
        return client

    @classmethod
    def to(
        cls,
        url: str,
        *,
        check_peer: CheckPeer | None,
        identity_pem: SecretBytes | None = None,
        retries: int = DEFAULT_RETRIES,
        timeout_s: float = _TIMEOUT_S,
        whole_chain: bool = False,
    ) -> Self:
        """A client with a check of its own; None only where nothing but attestation follows."""
        address = parse_address(url, default_port=CLIENT_PORT)
        options = Options(
            timeout_s=timeout_s,
            identity_pem=identity_pem,
            check_peer=check_peer,
            exporter=whole_chain,
            retries=retries,
            max_response_bytes=MAX_ANSWER_BYTES,
        )
        return cls(address.url, lambda: connect(address, options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The server's certificates in DER, leaf first."""
        return self._connected().peer_chain_der

    def version(self) -> str:
        """The version of the CAS software."""
        return text_member(self._call("GET", "/v1/version"), "version", self.url)

    def attestation(self, nonce: str) -> bytes:
        """The attestation document for a nonce, as bytes: its hash is taken over them."""
        response = self._request("GET", f"/v1/attest?nonce={nonce}")
        if response.status == HTTPStatus.NOT_FOUND:
            raise self._no_client_port("/v1/attest")
        if response.status != 200:
            raise refusal(response, self.url)
        return response.body

    def provision(self, body: SecretBytes) -> ProvisioningAnswer:
        """Claim the CAS; `body` holds the token and the configuration."""
        answer = self._call("POST", "/v1/provision", body.reveal(), _JSON)
        receipt = answer.get("receipt")
        if not isinstance(receipt, dict):
            raise NetworkError(f"CAS at '{self.url}' did not answer properly: expected a receipt")
        return ProvisioningAnswer(
            text_member(answer, "cas_key_hash", self.url),
            text_member(answer, "cas_software_key_hash", self.url),
            receipt,
        )

    def update_config(self, config_json: SecretBytes) -> None:
        """Replace the owner configuration; by the owner only."""
        body = b'{"config":' + config_json.reveal() + b"}"
        self._call("PUT", "/v1/config", body, _JSON, idempotent=True)

    def create_session(self, text: str) -> Created:
        """Create a session, or update the one that its predecessor names."""
        return self._created(self._call("POST", "/v1/sessions", text.encode(), _YAML))

    def create_signed_session(self, document: str) -> Created:
        """Create or update a session with signatures (JSON); no identity is needed."""
        return self._created(self._call("PUT", "/v1/signed_sessions", document.encode(), _JSON))

    def create_encrypted_session(self, document: str) -> Created:
        """The same with a signed session that is encrypted to this CAS."""
        return self._created(self._call("PUT", "/v1/encrypted_sessions", document.encode(), _JSON))

    def read_session(self, name: str, session_hash: str | None = None) -> ReadSession:
        """A session, active or the version with that hash."""
        path = _session_path("sessions", name)
        if session_hash is not None:
            path += f"?hash={session_hash}"
        answer = self._call("GET", path)
        return ReadSession(
            text_member(answer, "session", self.url), hash_member(answer, "hash", self.url)
        )

    def read_values(self, name: str, *, session_hash: str | None = None) -> dict[str, PublicValue]:
        """The public secrets of a session by name, whoever asks; see docs/formats/rest.md."""
        path = f"/v1/values/session={name}"
        if session_hash is not None:
            path += f",session_hash={session_hash}"
        values = self._call("GET", path).get("values")
        if not isinstance(values, dict):
            raise NetworkError(f"CAS at '{self.url}' did not answer properly: expected values")
        return {secret: self._value(found) for secret, found in values.items()}

    def read_value(self, name: str, secret: str, *, session_hash: str | None = None) -> PublicValue:
        """One public secret of a session."""
        path = f"/v1/values/session={name},secret={secret}"
        if session_hash is not None:
            path += f",session_hash={session_hash}"
        return self._value(self._call("GET", path))

    def _value(self, found: JsonValue) -> PublicValue:
        record = found if isinstance(found, dict) else {}
        expires, renew = record.get("expires"), record.get("renew")
        return PublicValue(
            text_member(record, "kind", self.url),
            text_member(record, "value", self.url),
            expires if isinstance(expires, str) else None,
            renew if isinstance(renew, str) else None,
        )

    def session_hash(self, name: str) -> str:
        """The hash of a session's active version; public where the session has a salt."""
        return hash_member(
            self._call("GET", _session_path("session_hashes", name)), "hash", self.url
        )

    def session_history(self, name: str) -> Iterator[Version]:
        """The versions of a session, newest first, fetched page by page."""
        path = _session_path("session_history", name)
        for item in self._pages(path, "before", "versions"):
            record = item if isinstance(item, dict) else {}
            predecessor = record.get("predecessor")
            yield Version(
                hash_member(record, "hash", self.url),
                predecessor if isinstance(predecessor, str) else None,
                text_member(record, "uploaded_at", self.url),
                text_member(record, "uploader", self.url),
                record.get("signed") is True,
            )

    def list_sessions(self, namespace: str = "/") -> Iterator[str]:
        """Names of the sessions directly in a namespace, in order, fetched page by page."""
        path = f"/v1/session_list?namespace={canonical_name(namespace)}"
        for item in self._pages(path, "after", "sessions"):
            yield text_member({"session": item}, "session", self.url)

    def _pages(self, path: str, parameter: str, member: str) -> Iterator[JsonValue]:
        separator = "&" if "?" in path else "?"
        answer = self._call("GET", path)
        while True:
            listed, following = answer.get(member), answer.get("next")
            if not isinstance(listed, list):
                raise NetworkError(
                    f"CAS at '{self.url}' did not answer properly: expected {member}"
                )
            yield from listed
            if not isinstance(following, str) or not listed:
                return
            answer = self._call("GET", f"{path}{separator}{parameter}={canonical_name(following)}")

    def backup_nonce(self) -> str:
        """A challenge for a backup CAS; by the owner only."""
        return text_member(self._call("POST", "/v1/backups/nonce", b"", _JSON), "nonce", self.url)

    def registration(self, nonce: str) -> Newcomer:
        """Ask this CAS, not provisioned, for a key bound to another CAS's challenge."""
        answer = self._call("POST", "/v1/registration", _json(nonce=nonce, role="backup"), _JSON)
        return Newcomer(
            text_member(answer, "public_key", self.url),
            text_member(answer, "quote", self.url),
        )

    def register_backup(self, nonce: str, newcomer: Newcomer, address: str) -> Backup:
        """Give a backup CAS access to the database; by the owner only."""
        body = _json(
            nonce=nonce,
            public_key=newcomer.public_key,
            quote=newcomer.quote,
            address=address,
        )
        return self._backup(self._call("POST", "/v1/backups", body, _JSON))

    def list_backups(self) -> tuple[Backup, ...]:
        """The registered backups; by the owner only."""
        listed = self._call("GET", "/v1/backups").get("backups")
        if not isinstance(listed, list):
            raise NetworkError(f"CAS at '{self.url}' did not answer properly: expected backups")
        return tuple(self._backup(item if isinstance(item, dict) else {}) for item in listed)

    def unregister_backup(self, backup_id: str) -> None:
        """Withdraw a registration; by the owner only."""
        self._call("DELETE", f"/v1/backups/{backup_id}")

    def _created(self, answer: JsonObject) -> Created:
        return Created(hash_member(answer, "hash", self.url), _warnings(answer))

    def _backup(self, record: JsonObject) -> Backup:
        isvsvn = record.get("isvsvn")
        return Backup(
            isvsvn=isvsvn if isinstance(isvsvn, int) else 0,
            **{
                name: text_member(record, name, self.url)
                for name in (
                    "id",
                    "address",
                    "platform_id",
                    "mrenclave",
                    "tcb_status",
                    "registered_at",
                )
            },
        )

    def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Headers = (),
        *,
        idempotent: bool | None = None,
    ) -> JsonObject:
        response = self._request(method, path, body, headers, idempotent=idempotent)
        if response.status == HTTPStatus.NOT_FOUND and _NO_PATH in response.body:
            raise self._no_client_port(path.partition("?")[0])
        return read_answer(response, self.url)

    def _no_client_port(self, path: str) -> NetworkError:
        return NetworkError(
            f"'{self.url}' is no client port of a CAS: it answered 404 Not Found to {path}",
            hint="this may be the port for services (18765); users connect to the client port (8081)",
        )

    def _request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Headers = (),
        *,
        idempotent: bool | None = None,
    ) -> Response:
        return self._connected().request(method, path, body, headers, idempotent=idempotent)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection


def check_pin(chain: tuple[bytes, ...], known: KnownCas) -> None:
    """Refuse a server that is not the attested one, and say which of its keys is another.

    Raises:
        VerificationError: another key.
    """
    try:
        found = hashlib.sha256(spki_of_certificate(chain[0])).digest()
    except MalformedError as error:
        raise VerificationError(f"{known.url}: {error}") from error
    if hmac.compare_digest(found, known.pin):
        return
    if _issued_by_known(chain[0], known):
        raise VerificationError(
            f"the CAS {known.name!r} has another software key than when it was attested, under the "
            "same CAS key: its software was updated or its database rolled over",
            hint=f"nothing was sent; attest it again: scone cas attest {known.name}",
        )
    raise another_cas_key(known.name, known.cas_key_hash)


def another_cas_key(name: str, pinned: str, found: str = "") -> VerificationError:
    """The error for a server that has another CAS key than the pinned one."""
    got = f", got {found}" if found else ", got a certificate that it did not issue"
    return VerificationError(
        f"the CAS at {name!r} is not the one that was attested: expected the CAS key {pinned}{got}",
        hint="nothing was sent. If the CAS was set up anew, get its new key hash over another channel "
        "and attest it with -c HASH",
    )


def _issued_by_known(leaf: bytes, known: KnownCas) -> bool:
    from scone.crypto.certificates import verify_issued_by

    try:
        verify_issued_by(leaf, known.certificates[1], now=datetime.now(UTC))
    except (VerificationError, MalformedError):
        return False
    return True


def _session_path(collection: str, name: str) -> str:
    if not name:
        raise UsageError("expected the name of a session, or / for the root, got an empty text")
    return f"/v1/{collection}/" + name.strip("/")


def _warnings(answer: JsonObject) -> tuple[str, ...]:
    listed = answer.get("warnings")
    if not isinstance(listed, list):
        return ()
    lines = []
    for item in listed:
        parts = item if isinstance(item, list) else [item]
        lines.append(": ".join(part for part in parts if isinstance(part, str) and part))
    return tuple(line for line in lines if line)


def _json(**members: Any) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
