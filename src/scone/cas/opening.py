"""From a stopped CAS to a running one, and from one database to the next.

Start: prove itself to itself, take the database path, finish or forget an interrupted
replacement, open the key store (sealed to this program on this machine, or registered for
it), open the database, take its keys. Provisioning and key roll-over make a complete new
database first and the key store second; docs/formats/key-store.md has every crash point.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

from scone.attestation.appraise import appraise_voucher
from scone.attestation.collateral import Collateral
from scone.attestation.receipt import Receipt
from scone.attestation.verify import Anchor, VerifiedEvidence, verify
from scone.cas import namespaces
from scone.cas.audit import AuditLog
from scone.cas.config import Availability
from scone.cas.keys import (
    CasKeys,
    create_keys,
    load_keys,
    new_software_key,
    store_instance,
    store_keys,
)
from scone.cas.registration_key import load_registration_key, registration_key_path
from scone.cas.sessions import Quota, Sessions, StoredVersion
from scone.cas.state import Cas, Platform, Provisioned, Unprovisioned, audit_log
from scone.cas.store.base import DatabaseIdentity, DatabaseKey, Store, Transaction
from scone.cas.store.key_store import (
    KeyStorePayload,
    OpenKeyStore,
    RegisterFor,
    SealTo,
    new_key_store,
    open_with_registration,
    open_with_seal,
    read_key_store,
)
from scone.cas.store.key_store_file import Registered, SealedUnder
from scone.cas.store.lock import DatabaseLock
from scone.cas.store.replacement import recover
from scone.cas.store.sqlite import create_store, open_store
from scone.crypto.keyhash import key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, NotFoundError, StateError, VerificationError
from scone.owner_config import ApiIdentity, OwnerConfig, read_owner_config
from scone.session import canonical_json, read_session, session_hash
from scone.session.secrets import SecretValues
from scone.tee.base import Tee

_SEALING_LABEL: Final = "scone-cas-key-store-v1"


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What a claim makes of an unprovisioned CAS."""

    keys: CasKeys
    config: OwnerConfig
    owner_spki: bytes
    owner_chain_pem: str
    receipt: Receipt
    token_sha256: bytes
    database_key: SecretBytes
    origin: Literal["generated", "injected"]


def key_store_path(database: Path) -> Path:
    """Where the key store of a database lies, as in SCONE."""
    return database.with_name(database.name + ".key-store")


def start_cas(
    availability: Availability,
    tee: Tee,
    anchor: Anchor,
    now: Callable[[], datetime],
    version: str,
) -> Cas:
    """Everything that must hold before the first request is served.

    Raises:
        VerificationError: the platform does not verify under its own anchor.
        StateError: another CAS uses the database, or a file is missing.
        IntegrityError: key store or database are another machine's, other software's, or altered.
    """
    collateral = tee.collateral()
    own = verify(tee.quote(bytes(64)).quote, collateral, (anchor,), now())
    platform = Platform(tee, own, (anchor,))
    path = availability.database_path
    lock = DatabaseLock.acquire(path)
    opened: list[OpenKeyStore] = []

    def database_key() -> DatabaseKey | None:
        try:
            opened.append(_open_key_store(path, platform, collateral, now()))
        except NotFoundError:
            return None
        return opened[-1].payload.opens

    try:
        exists = recover(path, database_key, lock=lock)
        cas = Cas(
            availability=availability,
            platform=platform,
            now=now,
            phase=Unprovisioned(create_keys(ApiIdentity(), now()), SecretBytes(os.urandom(16))),
            collateral=collateral,
            version=version,
            lock=lock,
        )
        if exists:
            cas.phase = _open_database(cas, opened[-1])
    except BaseException:
        lock.release()
        raise
    return cas


def create_instance(cas: Cas, new: NewInstance) -> Provisioned:
    """New database and key store, complete or not at all; then the running state.

    Raises:
        UnavailableError: the audit log that the configuration asks for cannot be opened.
        StateError: the disk refuses; the process must stop and start again.
    """
    audit = audit_log(new.config, cas.availability, cas.now)
    identity = DatabaseIdentity.new(os.urandom, epoch=1)
    own = cas.platform.own
    payload = KeyStorePayload(
        database_key=new.database_key,
        origin=new.origin,
        tee_kind=own.tee,
        root=_root(own),
        database_id=identity.database_id,
        epoch=identity.epoch,
        cas_key_hash=new.keys.cas_key_hash,
        owner_key_hash=key_hash(new.owner_spki),
        simulated=own.simulated,
        debug=own.debug,
    )
    key_store = new_key_store(payload, [_seal_to(cas.platform)])
    path = cas.availability.database_path

    def fill(records: Transaction) -> None:
        store_keys(records, new.keys, cas.platform.software_at(identity.epoch))
        records.put("cas", "owner-config", new.config.to_json())
        records.put("cas", "owner", new.owner_chain_pem.encode())
        records.put("cas", "owner-key", new.owner_spki)
        records.put("cas", "receipt", json.dumps(new.receipt.to_dict()).encode())
        records.put("cas", "token-sha256", new.token_sha256)
        namespaces.create(records)
        _write_root_session(cas, records, new)

    store = create_store(
        path,
        new.database_key,
        identity,
        fill=fill,
        write_key_store=lambda: key_store.write(key_store_path(path)),
        lock=cas.lock,
    )
    return _provisioned(store, key_store, new.keys, audit)


def add_backup(cas: Cas, phase: Provisioned, public_key: bytes) -> Provisioned:
    """Let one more registered CAS open the key store.

    Raises:
        StateError: the disk refuses, or the store is not the one that the key store opens.
    """
    if phase.payload.identity != phase.store.identity:
        raise StateError("the key store in memory is not that of the open database")
    key_store = phase.key_store.admitting(RegisterFor(public_key, _voucher(cas.platform)))
    key_store.write(key_store_path(cas.availability.database_path))
    return replace(phase, key_store=key_store)


def roll_database_key(cas: Cas, phase: Provisioned, withdrawn_id: str) -> Provisioned:
    """A new database key, epoch and software key, without the withdrawn backup.

    Raises:
        StateError: the disk refuses.
    """
    old = phase.payload
    identity = DatabaseIdentity.new(os.urandom, epoch=old.epoch + 1)
    key = SecretBytes(os.urandom(32))
    others = [
        RegisterFor(one.public_key, _voucher(cas.platform), one.label)
        for one in phase.key_store.registered
        if backup_id(one.public_key) != withdrawn_id
    ]
    key_store = phase.key_store.succeeded_by(
        old.rolled_over(key, identity), [_seal_to(cas.platform), *others]
    )
    keys = new_software_key(phase.keys, phase.config.api_identity, cas.now())

    def change(records: Transaction) -> None:
        records.delete("backup", withdrawn_id)
        store_instance(records, keys, cas.platform.software_at(identity.epoch))
        phase.audit.append("backup_withdrawn", id=withdrawn_id)

    phase.store.rekey(
        key,
        identity,
        write_key_store=lambda: key_store.write(key_store_path(cas.availability.database_path)),
        change=change,
    )
    return replace(phase, key_store=key_store, keys=keys)


def backup_id(public_key: bytes) -> str:
    """The short name of a registration."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def _voucher(platform: Platform) -> Callable[[bytes], bytes]:
    return lambda report_data: platform.tee.quote(report_data).quote


def _check_voucher(
    platform: Platform, collateral: Collateral, now: datetime, stanza: Registered
) -> None:
    """Whether a CAS like this one made the stanza by which it would open a foreign state."""
    voucher = verify(stanza.voucher, collateral, platform.anchors, now)
    if voucher.report.report_data != stanza.report_data:
        raise VerificationError("the voucher in the key store is for another registration")
    appraise_voucher(voucher, platform.own)


def _open_key_store(
    path: Path, platform: Platform, collateral: Collateral, now: datetime
) -> OpenKeyStore:
    file = read_key_store(key_store_path(path))
    here = _seal_to(platform)
    try:
        opened = open_with_seal(file, here.key, here.under)
    except IntegrityError as sealed_elsewhere:
        private_key = load_registration_key(registration_key_path(path), platform.tee)
        if private_key is None:
            raise
        try:
            opened = open_with_registration(
                file, private_key, partial(_check_voucher, platform, collateral, now)
            )
        except IntegrityError as not_registered:
            raise not_registered.within(str(sealed_elsewhere)) from None
    payload, own = opened.payload, platform.own
    for what, then, here_now in (
        ("TEE kind", payload.tee_kind, own.tee),
        ("root of trust", payload.root, _root(own)),
        ("simulated platform", payload.simulated, own.simulated),
        ("debug mode", payload.debug, own.debug),
    ):
        if then != here_now:
            raise IntegrityError(
                f"the key store was made under another {what}: {then}, here {here_now}"
            )
    return opened


def _open_database(cas: Cas, key_store: OpenKeyStore) -> Provisioned:
    payload = key_store.payload
    store = open_store(
        cas.availability.database_path, payload.database_key, payload.identity, lock=cas.lock
    )
    try:
        config = _config(store)
        software = cas.platform.software_at(payload.epoch)
        keys = load_keys(store, software, config.api_identity, cas.now())
        if store.get("cas", f"instance-key:{software}") is None:
            store.transact(lambda records: store_instance(records, keys, software)).result()
        if not namespaces.is_complete(store):
            store.transact(namespaces.complete).result()
        audit = audit_log(config, cas.availability, cas.now)
        return _provisioned(store, key_store, keys, audit)
    except BaseException:
        store.close()
        raise


def _provisioned(
    store: Store, key_store: OpenKeyStore, keys: CasKeys, audit: AuditLog
) -> Provisioned:
    if keys.cas_key_hash != key_store.payload.cas_key_hash:
        raise IntegrityError("the database holds another CAS key than its key store names")
    config = _config(store)
    owner_spki = _needed(store, "owner-key")
    if key_hash(owner_spki) != key_store.payload.owner_key_hash:
        raise IntegrityError("the database names another owner than its key store")
    return Provisioned(
        keys=keys,
        store=store,
        key_store=key_store,
        config=config,
        owner_spki_sha256=hashlib.sha256(owner_spki).digest(),
        owner_chain_pem=_needed(store, "owner").decode(),
        receipt=Receipt.from_dict(json.loads(_needed(store, "receipt"))),
        audit=audit,
    )


def _config(store: Store) -> OwnerConfig:
    return read_owner_config(_needed(store, "owner-config").decode(), "owner configuration", "json")


def _needed(store: Store, name: str) -> bytes:
    found = store.get("cas", name)
    if found is None:
        raise IntegrityError(f"the database has no record {name!r}: it is not complete")
    return found


def _write_root_session(cas: Cas, records: Transaction, new: NewInstance) -> None:
    """The session `/`: its `create_sessions` policy says who may create top-level sessions."""
    owner = key_hash(new.owner_spki)
    create = "ANY" if new.config.root_create == "any" else owner
    session = read_session(
        f'name: /\nversion: "0.3.11"\naccess_policy:\n  read: [{owner}]\n  update: [{owner}]\n'
        f"  create_sessions: [{create}]\n",
        source="root session",
    ).session
    version = StoredVersion(session_hash(session), session, cas.now().isoformat(), owner)
    Sessions().write(
        records, version, canonical_json(session), SecretValues({}).to_json(), Quota(1, 1024 * 1024)
    )


def _seal_to(platform: Platform) -> SealTo:
    own = platform.own
    under = SealedUnder.of(
        tee=own.tee,
        mrenclave=own.report.mrenclave,
        platform_id=own.platform_id,
        isvsvn=own.report.isvsvn,
        cpu_svn=own.report.cpu_svn,
    )
    return SealTo(platform.tee.sealing_key(_SEALING_LABEL), under)


def _root(own: VerifiedEvidence) -> str:
    return hashlib.sha256(own.anchor.certificate_der).hexdigest()
