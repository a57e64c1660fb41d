"""The route table: method, path, who may, in which state, what it does.

Nothing is reachable that is not in this table, and each row says what authorises it.
`tests/integration/cas/test_routes.py` lists all rows and tries each without its right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from scone.attestation.cas_evidence import MAX_DOCUMENT_BYTES
from scone.cas.http import handlers
from scone.cas.http.handlers import Call, Handler
from scone.session.signed import MAX_BYTES


class Authorisation(Enum):
    """What a request needs besides a well-formed body."""

    NOTHING = "nothing: public facts about the CAS"
    TOKEN = "the provisioning token and a client certificate, once"  # noqa: S105
    CERTIFICATE_AND_POLICY = "a client certificate that the session's policies admit"
    SIGNATURES = "signatures over the session that the session's policies admit"
    SALT = "nothing where the session has a salt, else what its read policy admits"
    POLICY = "what the session's policy admits (a client certificate unless it says ANY)"
    OWNER = "the client certificate of the CAS owner"
    EVIDENCE = "evidence for this channel that the session's attestation policy admits"
    PUBLIC = "nothing: secrets that their session makes public, and no others"
    PEER = "a CAS's certificate and its attestation for this channel, and exports to its session"
    CHANNEL = "nothing: the answer is worthless on any other channel"
    NONCE = "nothing: the answer is bound to the caller's nonce and useless without an owner"


class Listener(Enum):
    """On which port a route is served."""

    CLIENT = "client"
    ENCLAVE = "enclave"


MAX_SESSION: Final = 1024 * 1024  # as the reader of sessions
MAX_SIGNED: Final = MAX_BYTES
MAX_ENCRYPTED: Final = 2_001_088  # the same in base64, with what HPKE adds and the key


@dataclass(frozen=True, slots=True)
class Route:
    """One row. A path that ends with `{name}` takes the rest of the path, slashes included."""

    method: str
    path: str
    authorisation: Authorisation
    summary: str
    handler: Handler
    listener: Listener = Listener.CLIENT
    while_unprovisioned: bool = False
    max_body: int = 64 * 1024

    def match(self, path: str) -> str | None:
        """The rest of the path (empty for a fixed path), or None."""
        fixed, brace, _ = self.path.partition("{")
        if not brace:
            return "" if path == fixed else None
        rest = path.removeprefix(fixed)
        return rest if path.startswith(fixed) else None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/version", Authorisation.NOTHING, "Version of the CAS software",
          handlers.version, while_unprovisioned=True),
    Route("GET", "/v1/openapi.json", Authorisation.NOTHING, "This document",
          handlers.openapi, while_unprovisioned=True),
    Route("GET", "/v1/attest", Authorisation.NOTHING, "Attestation document of the CAS",
          handlers.attest, while_unprovisioned=True),
    Route("POST", "/v1/provision", Authorisation.TOKEN, "Claim an unprovisioned CAS",
          handlers.provision, while_unprovisioned=True),
    Route("PUT", "/v1/config", Authorisation.OWNER, "Replace the owner configuration",
          handlers.update_config),
    Route("POST", "/v1/sessions", Authorisation.CERTIFICATE_AND_POLICY,
          "Create or update a session", handlers.create_session, max_body=MAX_SESSION),
    Route("POST", "/session", Authorisation.CERTIFICATE_AND_POLICY,
          "Create or update a session (older path)", handlers.create_session,
          max_body=MAX_SESSION),
    Route("GET", "/v1/sessions/{name}", Authorisation.POLICY, "Read a session or one of its versions",
          handlers.read_session),
    Route("GET", "/session/{name}", Authorisation.POLICY, "Read a session (older path)",
          handlers.read_session),
    Route("PUT", "/v1/signed_sessions", Authorisation.SIGNATURES,
          "Create or update a session with signatures", handlers.signed_session,
          max_body=MAX_SIGNED),
    Route("PUT", "/v1/encrypted_sessions", Authorisation.SIGNATURES,
          "Create or update a session with signatures, encrypted to this CAS",
          handlers.encrypted_session, max_body=MAX_ENCRYPTED),
    Route("GET", "/v1/session_hashes/{name}", Authorisation.SALT,
          "Hash of the active version of a session", handlers.session_hash),
    Route("GET", "/v1/session_history/{name}", Authorisation.POLICY,
          "Versions of a session, newest first", handlers.session_history),
    Route("GET", "/v1/session_list", Authorisation.POLICY, "Sessions in a namespace",
          handlers.session_list),
    Route("GET", "/v1/values/{reference}", Authorisation.PUBLIC,
          "Public secrets of a session, or one of them", handlers.read_values),
    Route("POST", "/v1/shared", Authorisation.PEER,
          "Secrets that a session of another CAS imports", handlers.share_secret,
          max_body=MAX_DOCUMENT_BYTES + 64 * 1024),
    Route("POST", "/v1/backups/nonce", Authorisation.OWNER, "A challenge for a backup",
          handlers.backup_nonce),
    Route("POST", "/v1/backups", Authorisation.OWNER, "Register a backup", handlers.register_backup),
    Route("GET", "/v1/backups", Authorisation.OWNER, "List registered backups",
          handlers.list_backups),
    Route("DELETE", "/v1/backups/{id}", Authorisation.OWNER,
          "Withdraw a backup and roll the database key", handlers.withdraw_backup),
    Route("POST", "/v1/registration", Authorisation.NONCE,
          "Answer a primary's challenge as a backup", handlers.registration,
          while_unprovisioned=True),
    Route("POST", "/v1/service", Authorisation.EVIDENCE, "Configuration of an attested service",
          handlers.service, listener=Listener.ENCLAVE),
    Route("POST", "/v1/service_token", Authorisation.CHANNEL,
          "Proof that the CAS knows the access token of a service's session",
          handlers.service_token, listener=Listener.ENCLAVE),
)  # fmt: skip

__all__ = ["ROUTES", "Authorisation", "Call", "Handler", "Listener", "Route"]
