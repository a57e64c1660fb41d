"""Create or update a session: whoever may, on the version they saw, durable before the answer.

It comes by a client certificate, or with signatures (which may be encrypted to this CAS).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from functools import partial
from typing import Final

from scone.cas import namespaces
from scone.cas.authorisation import authorise
from scone.cas.exports import unresolved_imports
from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas
from scone.cas.store.base import Records, Transaction
from scone.cas.values import Resolution, foreign_values, stored_values
from scone.crypto.der import to_pem
from scone.errors import ConflictError, ForbiddenError, NotFoundError, UsageError
from scone.session import Session, read_session, references_creator
from scone.session.access import ClientCertificate, Operation, Requester, Signers, identity_of
from scone.session.encrypted import decrypt_session
from scone.session.model import CREATOR, AccessPolicy, Security
from scone.session.names import ROOT, parent_name
from scone.session.reading.reader import Checked, stored_form
from scone.session.secrets import generate
from scone.session.signed import parse_signed, verified_signers
from scone.session.uses import names_for_generation

_ATTEMPTS: Final = 5
"""Updates that may come between judging by a session and writing."""

Warnings = tuple[tuple[str, ...], ...]

_SEALED: Final = (
    "this is the first session of this CAS, and nobody had claimed the root namespace / by an update: "
    "who creates sessions outside a namespace stays for ever as the CAS was provisioned "
    "(sessions.root_create)"
)


@dataclass(frozen=True, slots=True)
class Created:
    """The answer: the hash of the now active version, and what the reader warned about."""

    hash: str
    warnings: Warnings


@dataclass(frozen=True, slots=True)
class _Upload:
    """A session with its creator, and the form in which it is stored."""

    session: Session
    document: str
    hash: str
    warnings: Warnings


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a session is to go: what it replaces, and whose policy decides."""

    before: StoredVersion | None
    judge: StoredVersion
    operation: Operation
    refusal: str


async def create_session(
    cas: Cas, text: str, requester: ClientCertificate, certificate_der: bytes
) -> Created:
    """Create or update by a client certificate.

    Raises:
        DocumentError: the text is not a session that this CAS accepts.
        MalformedError: with its creator it is too large, or could not be read again.
        UsageError: the name is taken and no predecessor is given.
        ConflictError: the predecessor is not the active version, or the namespace not the expected.
        ForbiddenError: the requester may not, or names another as creator.
        NotFoundError: the namespace does not exist.
        LimitError: the namespace's quota is used up, or too many sessions are being checked.
    """

    def read() -> _Upload:
        checked = read_session(text, source="session")
        session = checked.session
        if session.creator is None and references_creator(session):
            session = session.with_creator(to_pem("CERTIFICATE", certificate_der))
        return _upload(session, checked)

    return await _create(cas, await cas.workers.run(read), requester)


async def create_signed_session(cas: Cas, text: str) -> Created:
    """Create or update by signatures; the same document sent again gets the same hash.

    Raises:
        MalformedError: not a signed session.
        VerificationError: a signature is wrong, expired or for another CAS.
        ConflictError: the name is taken and no predecessor is given; as `create_session`.
        SconeError: as `create_session`.
    """
    key_hash = cas.provisioned.keys.cas_key_hash

    def read() -> tuple[_Upload, Signers]:
        signed = parse_signed(text)
        checked = read_session(signed.text, source="session")
        session = checked.session
        keys = verified_signers(signed, session, cas_key_hash=key_hash, now=cas.now())
        policy = session.access_policy
        named = isinstance(policy, AccessPolicy) and CREATOR in policy.leaves
        if session.creator is None and named:
            raise UsageError(
                "the access policy names CREATOR, and the signed session has no creator",
                hint="scone session sign fills it in before it signs; or list the signers themselves",
            )
        return _upload(session, checked), Signers(frozenset(keys))

    upload, signers = await cas.workers.run(read)
    store = cas.provisioned.store
    active = await cas.sessions.fetch_active(store, upload.session.name)
    if active is not None and active.hash == upload.hash and active.signers == signers.key_hashes:
        return Created(active.hash, upload.warnings)
    return await _create(cas, upload, signers)


async def create_encrypted_session(cas: Cas, text: str) -> Created:
    """Create or update by a signed session that only this CAS can read.

    Raises:
        MalformedError: not an encrypted session, altered, or encrypted to another CAS.
        SconeError: as `create_signed_session`.
    """
    key = cas.provisioned.keys.encryption_key
    return await create_signed_session(
        cas, await cas.workers.run(partial(decrypt_session, text, key))
    )


def _upload(session: Session, checked: Checked) -> _Upload:
    """What is going to be stored; slow, as is all reading."""
    document = stored_form(session)
    warnings = tuple((warning.path, warning.message) for warning in checked.warnings)
    return _Upload(session, document, hashlib.sha256(document.encode()).hexdigest(), warnings)


async def _create(cas: Cas, upload: _Upload, requester: ClientCertificate | Signers) -> Created:
    """Authorise, generate secrets, store.

    The commit thread compares the version that was judged by with the one of its moment. Where
    another update came between, all begins again: lost updates and new policies are seen then.
    """
    for _ in range(_ATTEMPTS):
        created = await _attempt(cas, upload, requester)
        if created is not None:
            return created
    raise ConflictError(
        f"session {upload.session.name!r} or its namespace is updated again and again",
        hint="try again later",
    )


async def _attempt(
    cas: Cas, upload: _Upload, requester: ClientCertificate | Signers
) -> Created | None:
    phase, session = cas.provisioned, upload.session
    security = session.security
    if (
        not phase.config.allow_advisory_wildcard
        and isinstance(security, Security)
        and security.excuses_any_advisory
    ):
        raise UsageError(
            "security.attestation.ignore_advisories: expected a list, got the wildcard, which the "
            "owner of this CAS allows only beside debug-mode",
            hint="the error of a service's start names the advisories that its platform needs",
        )
    for name in (session.name, parent_name(session.name)):
        if name is not None:  # parsed in a thread, where they are large, and found by _place
            await cas.sessions.fetch_active(phase.store, name)
    place = _place(cas, phase.store, session, requester)
    await authorise(cas, phase, place.judge, place.operation, requester, refusal=place.refusal)
    _check_place(phase.store, session, requester, place)
    before = place.before
    is_signed = isinstance(requester, Signers)
    version = StoredVersion(
        upload.hash,
        session,
        cas.now().isoformat(),
        "" if is_signed else identity_of(requester),
        requester.key_hashes if isinstance(requester, Signers) else (),
        session.salt is not None or (before is not None and before.salted),
    )
    previous = None if before is None else (before.session, await stored_values(cas, phase, before))
    foreign = await foreign_values(cas, phase, version, names_for_generation(session))
    values = await cas.workers.run(
        partial(
            generate,
            session,
            previous=previous,
            foreign=foreign,
            now=cas.now(),
            random=os.urandom,
        )
    )
    secrets = await Resolution(cas, phase).store(version, values)

    seals = False

    def commit(records: Transaction) -> bool:
        nonlocal seals
        now = _place(cas, records, session, requester)
        if now.judge.hash != place.judge.hash:
            return False
        _check_place(records, session, requester, now)
        is_new = now.judge.session.name == ROOT and now.before is None
        seals = is_new and not is_sealed(records, now.judge) and not _is_claimed(now.judge)
        cas.sessions.write(records, version, upload.document, secrets, phase.quota)
        phase.audit.append(
            "session_created" if before is None else "session_updated",
            session=session.name,
            identity=identity_of(requester),
            signed=is_signed,
            **version.public_hash,
        )
        return True

    if not await asyncio.wrap_future(phase.store.transact(commit)):
        return None
    warnings = upload.warnings
    if seals:
        warnings += (("name", _SEALED),)
    imports = [part.imported for part in session.secrets]
    if any((*imports, *(part.imported for part in session.volumes))):
        warnings += await asyncio.to_thread(unresolved_imports, cas, phase, version)
    return Created(version.hash, warnings)


def _place(cas: Cas, records: Records, session: Session, requester: Requester) -> _Place:
    """What a session would replace, or the namespace that it would be new in."""
    name = session.name
    active = cas.sessions.active(records, name)
    if active is not None:
        if session.predecessor is None:
            message = "Session already exists, please specify predecessor hash"
            if isinstance(requester, Signers):
                hint = "write the hash of the active version as predecessor into the file, and sign it again"
                raise ConflictError(message, hint=hint)
            raise UsageError(
                message,
                hint="scone session update FILE or scone session apply FILE replaces it; "
                "scone session diff FILE shows what that changes",
            )
        refusal = f"You have insufficient rights to update session {name}"
        return _Place(active, active, "update", refusal)
    if session.predecessor is not None:
        raise ConflictError(
            "Predecessor hash specified albeit session alias unused",
            hint="create the session without predecessor",
        )
    above = parent_name(name)
    namespace = None if above is None else cas.sessions.active(records, above)
    if namespace is None:
        raise NotFoundError(f"the namespace {above!r} does not exist: create that session first")
    refusal = f"You have insufficient rights to create sessions in {above}"
    return _Place(None, namespace, "create_sessions", refusal)


def _check_place(
    records: Records, session: Session, requester: ClientCertificate | Signers, place: _Place
) -> None:
    """What must hold of the versions that a session refers to; for those who may know them."""
    before = place.before
    if before is None:
        expected = session.namespace_hash
        if expected is not None and expected != place.judge.hash:
            named = (
                f" is {place.judge.hash}" if _may_know(requester, place.judge) else " is another"
            )
            raise ConflictError(
                f"the namespace {place.judge.session.name!r} is not the expected one: its hash{named}, "
                f"and namespace_hash says {expected}",
                hint="somebody else may have claimed its name; nothing was created",
            )
    else:
        if session.predecessor != before.hash:
            active = before.hash if _may_know(requester, before) else "the active hash"
            raise ConflictError(
                f"the predecessor {session.predecessor} is not the active version",
                hint="look at what the update changes: scone session diff FILE; then write "
                f"predecessor: {active} into the file, or remove the line predecessor from it",
            )
        if session.name == ROOT and is_sealed(records, before):
            raise ForbiddenError(
                "the root namespace is sealed: another session was created before anybody claimed "
                "it by an update",
                hint="its policy stays as the CAS was provisioned (sessions.root_create)",
            )
    _check_creator(session, requester, before)


def _may_know(requester: ClientCertificate | Signers, version: StoredVersion) -> bool:
    """Whether an error may name a hash: whoever sends signatures need not be who made them."""
    return version.salted or not isinstance(requester, Signers)


def is_sealed(records: Records, root: StoredVersion) -> bool:
    """Whether the root session can no longer change: never updated, and no longer alone."""
    return not _is_claimed(root) and namespaces.has_sessions(records, ROOT)


def _is_claimed(root: StoredVersion) -> bool:
    return root.session.predecessor is not None


def _check_creator(
    session: Session, requester: ClientCertificate | Signers, before: StoredVersion | None
) -> None:
    """An upload makes nobody else its creator than who it was before."""
    creator = session.creator
    if creator is None or (before is not None and creator == before.session.creator):
        return
    match requester:
        case Signers(public_keys):
            own = creator.signer_pem in public_keys
        case ClientCertificate():
            pem = creator.certificate_pem
            own = (
                pem is not None
                and ClientCertificate.of_pem(pem).spki_sha256 == requester.spki_sha256
            )
    if not own:
        raise ForbiddenError(
            "the creator of the session is neither who uploads or signs it nor the creator of the "
            "version that it replaces",
            hint="leave creator out: the CAS, or scone session sign, fills it in",
        )
