"""What users do with sessions of a CAS: create, update, apply, read as a value, compare.

Each function takes a `CasClient`. Descriptions (`Session`) come from `scone.session.read_session`;
a signed one goes as it is, so its predecessor must stand inside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from scone.client.cas import CasClient, Created
from scone.client.known import KnownCas
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.errors import (
    ForbiddenError,
    NotFoundError,
    SconeError,
    UsageError,
    VerificationError,
)
from scone.session import (
    Session,
    differences,
    encrypted,
    read_session,
    references_creator,
    to_yaml,
)
from scone.session import session_hash as hash_of
from scone.session.secrets.migration import outcomes
from scone.session.signed import SignedSession, sign_session
from scone.strict_json import parse_hex


class SessionDiffersError(SconeError):
    """The active session is not the expected one; `differences` has a line for each."""

    code: ClassVar[str] = "different"

    def __init__(self, name: str, found: list[str]) -> None:
        super().__init__(f"The active session {name} is another than the expected one")
        self.messages = (*self.messages, *found)
        self.differences = tuple(found)


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """The active version of a session, and its hash, which was calculated from it."""

    session: Session
    hash: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done; `warnings` are the CAS's, `previous` the hash before an update.

    `made_again` are the secrets that lost their values to the update and have new ones.
    """

    action: Literal["created", "updated", "unchanged"]
    hash: str
    warnings: tuple[str, ...] = ()
    previous: str | None = None
    made_again: tuple[str, ...] = ()


def active_session(
    client: CasClient, name: str, *, session_hash: str | None = None
) -> ActiveSession:
    """The active version of a session as a value, or the version with that hash.

    Raises:
        NotFoundError: there is none, or it may not be read.
        VerificationError: the CAS gives another hash than that of the text.
        SconeError: other refusals of the CAS.
    """
    found = client.read_session(name, session_hash)
    session = read_session(found.text, source="active session").session
    computed = hash_of(session)
    wanted = found.hash if session_hash is None else session_hash
    if computed != wanted:
        raise VerificationError(
            f"the CAS says that the hash of its session is {wanted}, but it is {computed}"
        )
    return ActiveSession(session, computed)


def create_session(client: CasClient, session: Session | SignedSession) -> Created:
    """Upload a session, which must not exist yet or must name its predecessor.

    Raises:
        SconeError: the refusals of the CAS.
    """
    if isinstance(session, SignedSession):
        return client.create_signed_session(session.to_json())
    return client.create_session(to_yaml(session))


def create_signing_key() -> SecretBytes:
    """A new Ed25519 key that signs sessions, PKCS#8 DER; `signer:` entries name its public half."""
    return generate_private_key("Ed25519", os.urandom)


def signed_session(
    session: Session,
    signing_key: SecretBytes,
    *,
    cas_key_hash: str | None = None,
    not_after: datetime | None = None,
    earlier: SignedSession | None = None,
) -> SignedSession:
    """The session with a signature; as its creator, if it needs one and names none.

    `signing_key` is Ed25519, PKCS#8 DER. `cas_key_hash` binds the signature to one CAS, `not_after`
    to a time. With `earlier` that signed session gets one more signature, and must be of `session`.

    Raises:
        UsageError: another kind of key, or `earlier` is of another session.
        MalformedError: not a private key.
    """
    if earlier is None:
        if session.creator is None and references_creator(session):
            signer = to_pem("PUBLIC KEY", spki_of_private_key(signing_key))
            session = session.with_signer(signer)
        earlier = SignedSession(to_yaml(session))
    described = read_session(earlier.text).session
    if described.name != session.name:
        raise UsageError(f"expected signatures of session {session.name}, got {described.name}")
    signature = sign_session(described, signing_key, cas_key_hash=cas_key_hash, not_after=not_after)
    return earlier.with_signature(signature)


def encrypt_session(known: KnownCas, signed: SignedSession) -> str:
    """The signed session as a document that only this CAS can read.

    `CasClient.create_encrypted_session` uploads it.

    Raises:
        NotFoundError: the CAS was not provisioned when it was attested.
    """
    return encrypted.encrypted_document(signed.to_json(), encryption_key_of(known))


def encryption_key_of(known: KnownCas) -> bytes:
    """The key (X25519) to which sessions for this CAS are encrypted.

    Raises:
        NotFoundError: the CAS was not provisioned when it was attested.
    """
    if known.session_encryption_key is None:
        raise NotFoundError(
            f"the session encryption key of the CAS {known.name!r} is not known",
            hint=f"provision it and attest it again: scone cas attest {known.name}",
        )
    place = f"session encryption key of {known.name!r}"
    return parse_hex(known.session_encryption_key, place, 32)


def update_session(
    client: CasClient, session: Session, *, signed: SignedSession | None = None
) -> Applied:
    """Replace the active version; without a predecessor, the active one is filled in.

    With `signed`, which `session` was read from, that is what goes to the CAS; it names its
    predecessor itself, and who sends it need not be allowed to read the active version.

    Raises:
        NotFoundError: there is nothing to update.
        ConflictError: the named predecessor is not the active version.
        UsageError: it is signed without a predecessor.
        SconeError: other refusals of the CAS.
    """
    # Read in any case: an update never creates.
    try:
        active = active_session(client, session.name)
    except (ForbiddenError, NotFoundError) as error:
        if signed is not None and session.predecessor is not None:
            made = create_session(client, signed)
            return Applied("updated", made.hash, made.warnings, session.predecessor)
        if isinstance(error, NotFoundError):
            error.hint = error.hint or "create it first: scone session create"
        raise
    return _updated(client, active, session, signed)


def apply_session(
    client: CasClient, session: Session, *, signed: SignedSession | None = None
) -> Applied:
    """Create the session, update it, or leave it where the active one is equal.

    A predecessor or creator that the description does not name may be any. With `signed`, which
    `session` was read from, that is what goes to the CAS; it names its predecessor itself.

    Raises:
        ConflictError: somebody else changed it meanwhile, or another predecessor is named.
        UsageError: it changes the active one, and is signed without a predecessor.
        SconeError: other refusals of the CAS.
    """
    try:
        active = active_session(client, session.name)
    except NotFoundError:
        if session.predecessor is not None:
            raise
        made = create_session(client, signed or session)
        return Applied("created", made.hash, made.warnings)
    if not differences(session, active.session):
        return Applied("unchanged", active.hash)
    return _updated(client, active, session, signed)


def _updated(
    client: CasClient, active: ActiveSession, session: Session, signed: SignedSession | None
) -> Applied:
    if session.predecessor is None:
        if signed is not None:
            raise UsageError(
                "expected a predecessor inside the signed session, got none, and it cannot be filled in "
                "without breaking the signatures",
                hint=f"write predecessor: {active.hash} into the file, and sign it again",
            )
        session = session.with_predecessor(active.hash)
    made = create_session(client, signed or session)
    found = outcomes(active.session, session)
    again = tuple(one.secret for one in found if one.fate == "made again")
    return Applied("updated", made.hash, made.warnings, active.hash, again)


def verify_session(client: CasClient, session: Session) -> str:
    """The hash of the active version, which must be the expected one.

    A predecessor or creator that the description does not name may be any.

    Raises:
        SessionDiffersError: it is another.
        SconeError: as `active_session`.
    """
    active = active_session(client, session.name)
    found = differences(session, active.session)
    if found:
        raise SessionDiffersError(session.name, found)
    return active.hash
