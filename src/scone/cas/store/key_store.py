"""The key store of a CAS: the database key and what must never be separated from it.

Where the key came from, on which kind of platform, for which CAS and owner is sealed
together with it, so that nobody can claim otherwise by editing a file or a record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from scone.cas.files import write_atomically
from scone.cas.store import key_store_file as form
from scone.cas.store.base import DATABASE_KEY_BYTES, MAX_EPOCH, DatabaseIdentity, DatabaseKey
from scone.cas.store.key_store_file import KeyStoreFile, Registered, Seal, SealedUnder, Stanza
from scone.crypto.keys import Random
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError, NotFoundError, StateError

Origin = Literal["generated", "injected"]
_MAX_TEXT: Final = 256
_RESTORE: Final = "put the key store and the database from one backup in place"


@dataclass(frozen=True, slots=True)
class KeyStorePayload:
    """What is sealed: the database key with its history.

    Raises:
        MalformedError: a field that is not of its form.
    """

    database_key: SecretBytes
    origin: Origin
    tee_kind: str
    root: str
    database_id: bytes
    epoch: int
    cas_key_hash: str
    owner_key_hash: str
    simulated: bool
    debug: bool

    def __post_init__(self) -> None:
        if len(self.database_key) != DATABASE_KEY_BYTES:
            raise _malformed("database_key", f"{DATABASE_KEY_BYTES} bytes")
        if self.origin not in {"generated", "injected"}:
            raise _malformed("origin", "generated or injected")
        for name in ("tee_kind", "root", "cas_key_hash", "owner_key_hash"):
            text = getattr(self, name)
            if not 1 <= len(text) <= _MAX_TEXT or not text.isascii():
                raise _malformed(name, f"1 to {_MAX_TEXT} ASCII characters")
        DatabaseIdentity(self.database_id, self.epoch)

    @property
    def identity(self) -> DatabaseIdentity:
        """Which database the key opens."""
        return DatabaseIdentity(self.database_id, self.epoch)

    @property
    def opens(self) -> DatabaseKey:
        """The key with the database that it opens."""
        return DatabaseKey(self.database_key, self.identity)

    def rolled_over(self, key: SecretBytes, identity: DatabaseIdentity) -> KeyStorePayload:
        """The same CAS with another database key; `injected` stays for as long as the CAS key."""
        return replace(
            self, database_key=key, database_id=identity.database_id, epoch=identity.epoch
        )

    def to_json(self) -> bytes:
        """The canonical JSON that is encrypted."""
        fields = {
            "database_key": self.database_key.reveal().hex(),
            "origin": self.origin,
            "tee_kind": self.tee_kind,
            "root": self.root,
            "database_id": self.database_id.hex(),
            "epoch": self.epoch,
            "cas_key_hash": self.cas_key_hash,
            "owner_key_hash": self.owner_key_hash,
            "simulated": self.simulated,
            "debug": self.debug,
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> KeyStorePayload:
        """The payload of canonical JSON.

        Raises:
            MalformedError: other fields, other types, or another encoding of them.
        """
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            raise _malformed("JSON", "a JSON object") from None
        match fields:
            case {
                "database_key": str(database_key),
                "origin": "generated" | "injected" as origin,
                "tee_kind": str(tee_kind),
                "root": str(root),
                "database_id": str(database_id),
                "epoch": int(epoch),
                "cas_key_hash": str(cas_key_hash),
                "owner_key_hash": str(owner_key_hash),
                "simulated": bool(simulated),
                "debug": bool(debug),
            } if not isinstance(epoch, bool) and 0 <= epoch <= MAX_EPOCH:
                pass
            case _:
                raise _malformed("JSON", "the fields of a key store")
        payload = cls(
            SecretBytes(_unhex("database_key", database_key)),
            origin,
            tee_kind,
            root,
            _unhex("database_id", database_id),
            epoch,
            cas_key_hash,
            owner_key_hash,
            simulated,
            debug,
        )
        if payload.to_json() != data:
            raise _malformed("JSON", "its one encoding")
        return payload


@dataclass(frozen=True, slots=True)
class SealTo:
    """This program on this machine: its sealing key, and what that depends on."""

    key: SecretBytes
    under: SealedUnder


@dataclass(frozen=True, slots=True)
class RegisterFor:
    """A CAS to admit: the X25519 key that its quote bound, what it may be, and our evidence.

    `vouch` gives this CAS's quote over 64 bytes of report data.
    """

    public_key: bytes
    vouch: Callable[[bytes], bytes]
    label: str = "backup"


Recipient = SealTo | RegisterFor


@dataclass(frozen=True, slots=True)
class OpenKeyStore:
    """A key store whose file key this process knows: it can admit others."""

    payload: KeyStorePayload
    file_key: SecretBytes
    stanzas: tuple[Stanza, ...]

    @property
    def registered(self) -> tuple[Registered, ...]:
        """The registered CASes that may open it."""
        return tuple(stanza for stanza in self.stanzas if isinstance(stanza, Registered))

    def admitting(self, recipient: Recipient, random: Random = os.urandom) -> OpenKeyStore:
        """The same with one more stanza; an older one for the same recipient leaves.

        Raises:
            MalformedError: a key or a label that cannot be admitted.
        """
        added = _stanza(self.file_key, recipient, random)
        kept = tuple(stanza for stanza in self.stanzas if not _same(stanza, added))
        return replace(self, stanzas=(*kept, added))

    def succeeded_by(
        self,
        payload: KeyStorePayload,
        recipients: Iterable[Recipient],
        random: Random = os.urandom,
    ) -> OpenKeyStore:
        """A new key store, under a new file key, for a database that replaces this one's.

        Raises:
            StateError: the payload forgets a mark, or its epoch does not rise.
        """
        old = self.payload
        if payload.cas_key_hash == old.cas_key_hash:
            forgotten = [
                mark
                for mark, before, after in (
                    ("injected", old.origin == "injected", payload.origin == "injected"),
                    ("simulated", old.simulated, payload.simulated),
                    ("debug", old.debug, payload.debug),
                )
                if before and not after
            ]
            if forgotten:
                raise StateError(
                    f"the key store is marked {' and '.join(forgotten)} for as long as the CAS key"
                    " lives, and the new one is not"
                )
        if payload.epoch <= old.epoch:
            raise StateError(f"expected an epoch above {old.epoch}, got {payload.epoch}")
        return new_key_store(payload, recipients, random)

    def encode(self, random: Random = os.urandom) -> bytes:
        """The bytes of the file.

        Raises:
            MalformedError: no stanza, or more than the format has.
        """
        return form.assemble(self.file_key, self.stanzas, self.payload.to_json(), random)

    def write(self, path: Path, random: Random = os.urandom) -> None:
        """Replace the file: after a crash the old or the new one is there.

        Raises:
            StateError: the disk does not take it.
        """
        write_atomically(path, self.encode(random))


def new_key_store(
    payload: KeyStorePayload, recipients: Iterable[Recipient], random: Random = os.urandom
) -> OpenKeyStore:
    """A key store under a new file key.

    Raises:
        MalformedError: a key or a label that cannot be admitted.
    """
    file_key = SecretBytes(random(form.FILE_KEY_BYTES))
    return OpenKeyStore(
        payload, file_key, tuple(_stanza(file_key, recipient, random) for recipient in recipients)
    )


def write_key_store(
    path: Path,
    payload: KeyStorePayload,
    recipients: Iterable[Recipient],
    random: Random = os.urandom,
) -> OpenKeyStore:
    """Make a key store and write it.

    Raises:
        MalformedError: a key or a label that cannot be admitted, no recipient.
        StateError: the disk does not take it.
    """
    made = new_key_store(payload, recipients, random)
    made.write(path, random)
    return made


def read_key_store(path: Path) -> KeyStoreFile:
    """The key store in a file, unopened.

    Raises:
        NotFoundError: there is no such file.
        StateError: it cannot be read.
        MalformedError: it is not a key store.
    """
    try:
        with path.open("rb") as file:
            data = file.read(form.MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no key store") from None
    except OSError as error:
        raise StateError(f"{path}: cannot read the key store: {error.strerror}") from error
    try:
        return form.parse(data)
    except MalformedError as error:
        raise error.within(f"{path}") from None


def open_with_seal(file: KeyStoreFile, key: SecretBytes, now: SealedUnder) -> OpenKeyStore:
    """Open with the sealing key of this program on this machine.

    Raises:
        IntegrityError: sealed elsewhere (the message compares), or damaged.
        MalformedError: a payload of another form.
    """
    seals = [stanza for stanza in file.stanzas if isinstance(stanza, Seal)]
    for stanza in seals:
        try:
            file_key = form.unseal(stanza, key)
        except IntegrityError:
            continue
        return _opened(file, file_key)
    if not seals:
        raise IntegrityError(
            "the key store is sealed to no machine, only to registered CASes",
            hint="register this CAS at the one that wrote it",
        )
    nearest = min((stanza.under.differences(now) for stanza in seals), key=len)
    if not nearest:
        raise IntegrityError(
            "the key store does not open although it was sealed by this software on this machine:"
            " it is damaged, or the platform lost its sealing key",
            hint=_RESTORE,
        )
    raise IntegrityError(
        "the key store was sealed elsewhere: " + "; ".join(nearest),
        hint="start the software that sealed it on the machine that sealed it,"
        " or a CAS that was registered there",
    )


def open_with_registration(
    file: KeyStoreFile, private_key: SecretBytes, check_voucher: Callable[[Registered], None]
) -> OpenKeyStore:
    """Open with the private key of a registered CAS, after its stanza was found to be vouched for.

    Raises:
        SconeError: what `check_voucher` raises where no genuine CAS made the stanza.
        IntegrityError: this key is not registered, or the file is damaged.
        MalformedError: a private key or payload of another form.
    """
    public_key = form.public_key_of(private_key)
    for stanza in file.stanzas:
        if isinstance(stanza, Registered) and stanza.public_key == public_key:
            check_voucher(stanza)
            return _opened(file, form.open_registered(stanza, private_key))
    raise IntegrityError(
        f"the key store is not for this CAS: key {public_key.hex()[:16]} is not registered in it",
        hint="register this CAS as a backup, then copy database and key store again",
    )


def _opened(file: KeyStoreFile, file_key: SecretBytes) -> OpenKeyStore:
    payload = KeyStorePayload.from_json(form.open_payload(file, file_key))
    return OpenKeyStore(payload, file_key, file.stanzas)


def _stanza(file_key: SecretBytes, recipient: Recipient, random: Random) -> Stanza:
    match recipient:
        case SealTo(key, under):
            return form.seal_stanza(file_key, key, under, random)
        case RegisterFor(public_key, vouch, label):
            return form.registered_stanza(file_key, public_key, label, vouch)


def _same(old: Stanza, new: Stanza) -> bool:
    match old, new:
        case Seal(before), Seal(after):
            return (before.platform_id, before.measurement) == (
                after.platform_id,
                after.measurement,
            )
        case Registered(public_key=before_key), Registered(public_key=after_key):
            return before_key == after_key
        case _:
            return False


def _malformed(field: str, expected: str) -> MalformedError:
    return MalformedError(f"key store payload.{field}", expected)


def _unhex(field: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _malformed(field, "hexadecimal digits") from None
