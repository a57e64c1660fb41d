"""Records, head and chain of the database as bytes: docs/formats/database.md.

Pure. A record is encrypted under its own key and bound to database, epoch and id. The
head authenticates the set of all rows by a keyed sum. The chain says which head each
head followed, so that two histories of one database cannot be taken for one.
Integers are big-endian; the parts of a MAC input stand behind their lengths.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from scone.cas.store.base import DATABASE_KEY_BYTES, DatabaseIdentity
from scone.crypto.keys import Random
from scone.crypto.sealing import open_sealed, seal
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, LimitError, MalformedError
from scone.wire import Reader

ID_BYTES: Final = 32
TAG_BYTES: Final = 16
NO_HEAD: Final = bytes(32)  # what the first head of a database follows
SCHEMA_VERSION: Final = 1
_COLLECTION_BYTES: Final = 8
_STEP: Final = 256  # sizes are visible in steps of this many bytes only
_MAX_COLLECTION: Final = 64
_MAX_KEY: Final = 4096  # a session name is at most 1024 characters
MAX_VALUE: Final = 64 * 1024 * 1024
_SUM_MODULUS: Final = 2**256
_SHA256_BLOCK: Final = 64
_ROW_LABEL: Final = b"scone-database-row-v1"
_SHARE_BYTES: Final = ID_BYTES + 8 + TAG_BYTES
_ALTERED: Final = (
    "stop the CAS and restore database and key store together from the newest backup; "
    "nothing is repaired or skipped"
)


@dataclass(frozen=True, slots=True)
class Record:
    """One value under its name; no value: it was deleted."""

    collection: str
    key: str
    value: bytes | None = field(repr=False)


class Row(NamedTuple):
    """A record as stored; a tuple because SQLite takes and gives tuples."""

    id: bytes
    commit_number: int
    tag: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What the last commit says about the whole database."""

    identity: DatabaseIdentity
    commit_number: int
    chain_start: int
    rows: int
    sum: int


@dataclass(frozen=True, slots=True)
class Link:
    """Hashes of the head before a commit and of the head that the commit made."""

    previous: bytes
    head: bytes


def head_hash(sealed_head: bytes) -> bytes:
    """The hash by which chain rows name a head."""
    return hashlib.sha256(sealed_head).digest()


def version(commit_number: int, tag: bytes) -> bytes:
    """Which writing of a row this is, in 24 bytes: what a process keeps for each id."""
    return commit_number.to_bytes(8, "big") + tag


def add_modular(total: int, *, added: int = 0, removed: int = 0) -> int:
    """The sum after one row came in place of another."""
    return (total + added - removed) % _SUM_MODULUS


def altered(place: str, found: str) -> IntegrityError:
    """The refusal of stored state: where, what was found, what to do."""
    return IntegrityError(f"{place}: {found}", hint=_ALTERED)


def check_name(collection: str, key: str) -> None:
    """Whether a record can have this name.

    Raises:
        MalformedError: too long, empty collection, or not encodable as UTF-8.
    """
    for what, text, least, most in (
        ("collection", collection, 1, _MAX_COLLECTION),
        ("key", key, 0, _MAX_KEY),
    ):
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise MalformedError(f"record {what}", "Unicode text without surrogates") from None
        if not least <= size <= most:
            raise MalformedError(f"record {what}", f"{least} to {most} bytes", f"{size}")


def check_value(value: bytes) -> None:
    """Whether a record can have this value.

    Raises:
        LimitError: it is too large.
    """
    if len(value) > MAX_VALUE:
        raise LimitError(f"a record holds at most {MAX_VALUE} bytes, not {len(value)}")


def encode_record(record: Record) -> bytes:
    """The plaintext of a record, padded with zeros to a multiple of 256 bytes.

    Raises:
        MalformedError: a name that cannot be stored.
        LimitError: a value that is too large.
    """
    check_name(record.collection, record.key)
    value = record.value or b""
    check_value(value)
    collection, key = record.collection.encode(), record.key.encode()
    body = b"".join(
        (
            b"\0" if record.value is None else b"\1",
            len(collection).to_bytes(2, "big"),
            len(key).to_bytes(2, "big"),
            len(value).to_bytes(4, "big"),
            collection,
            key,
            value,
        )
    )
    return body + bytes(-len(body) % _STEP)


def decode_record(plaintext: bytes) -> Record:
    """The record of a plaintext.

    Raises:
        MalformedError: not the one encoding of a record.
    """
    read = Reader("record", plaintext)
    kind = read.bytes("kind", 1)
    sizes = [int.from_bytes(read.bytes("sizes", size), "big") for size in (2, 2, 4)]
    try:
        collection = read.bytes("collection", sizes[0]).decode()
        key = read.bytes("key", sizes[1]).decode()
    except UnicodeDecodeError:
        raise MalformedError("record name", "UTF-8") from None
    value = read.bytes("value", sizes[2])
    record = Record(collection, key, None if kind == b"\0" else value)
    if encode_record(record) != plaintext:
        raise MalformedError("record", "its one encoding: kind 0 or 1, zeros to the next 256 bytes")
    return record


class RecordCodec:
    """Seals and opens what belongs to one database under its key.

    Raises:
        MalformedError: a key that is not 32 bytes.
    """

    __slots__ = ("_associated", "_inner", "_outer", "_row", "identity")

    def __init__(self, key: SecretBytes, identity: DatabaseIdentity) -> None:
        if len(key) != DATABASE_KEY_BYTES:
            raise MalformedError("database key", f"{DATABASE_KEY_BYTES} bytes", f"{len(key)}")
        # HMAC (RFC 2104) with its two padded keys hashed once. A MAC runs for each row at start,
        # and OpenSSL 3 takes 4 us for each whole one, of which 1 us is needed.
        block = key.reveal().ljust(_SHA256_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._row = self._inner.copy()
        self._row.update(_framed(_ROW_LABEL) + _SHARE_BYTES.to_bytes(4, "big"))
        self.identity = identity
        self._associated = _framed(identity.database_id, identity.epoch.to_bytes(8, "big"))

    @property
    def key_check(self) -> bytes:
        """Eight bytes that tell a wrong key from an altered head; they reveal nothing of it."""
        return self._mac(b"scone-database-key-check-v1")[:8]

    def collection_prefix(self, collection: str) -> bytes:
        """What the ids of a collection start with."""
        return self._mac(b"scone-database-collection-v1", collection.encode())[:_COLLECTION_BYTES]

    def blinded(self, collection: str, key: str) -> bytes:
        """The id of a record.

        Raises:
            MalformedError: a name that cannot be stored.
        """
        check_name(collection, key)
        name = self._mac(b"scone-database-id-v1", collection.encode(), key.encode())
        return self.collection_prefix(collection) + name[: ID_BYTES - _COLLECTION_BYTES]

    def share(self, row_id: bytes, row_version: bytes) -> int:
        """What one row contributes to the sum of the head."""
        inner, outer = self._row.copy(), self._outer.copy()
        inner.update(row_id + row_version)
        outer.update(inner.digest())
        return int.from_bytes(outer.digest(), "big")

    def seal_record(self, record: Record, commit_number: int, random: Random) -> Row:
        """A record as the row that a commit writes.

        Raises:
            MalformedError: a name that cannot be stored.
            LimitError: a value that is too large.
        """
        row_id = self.blinded(record.collection, record.key)
        sealed = seal(
            self._derived(b"scone-database-record-key-v1", row_id),
            encode_record(record),
            self._bound(b"scone-database-record-v1", row_id),
            random,
        )
        return Row(row_id, commit_number, sealed[-TAG_BYTES:], sealed[:-TAG_BYTES])

    def open_record(self, row: Row) -> Record:
        """The record in a row; whether it is the newest is the head's matter.

        Raises:
            IntegrityError: altered, or another row's, database's or epoch's.
        """
        place = f"record {row.id.hex()[:16]}"
        try:
            plaintext = open_sealed(
                self._derived(b"scone-database-record-key-v1", row.id),
                row.data + row.tag,
                self._bound(b"scone-database-record-v1", row.id),
                place,
            )
            record = decode_record(plaintext)
        except IntegrityError as error:
            raise altered(place, "does not open: altered, or written elsewhere") from error
        except MalformedError as error:
            raise altered(place, f"holds no record ({error})") from error
        if self.blinded(record.collection, record.key) != row.id:
            raise altered(place, "holds the record of another name")
        return record

    def seal_head(self, head: Head, random: Random) -> bytes:
        """The head as stored."""
        number = head.commit_number.to_bytes(8, "big")
        plaintext = b"".join(
            (
                SCHEMA_VERSION.to_bytes(2, "big"),
                head.identity.database_id,
                head.identity.epoch.to_bytes(8, "big"),
                number,
                head.chain_start.to_bytes(8, "big"),
                head.rows.to_bytes(8, "big"),
                head.sum.to_bytes(32, "big"),
            )
        )
        key = self._derived(b"scone-database-head-key-v1", number)
        return seal(key, plaintext, _framed(b"scone-database-head-v1", number), random)

    def open_head(self, commit_number: int, sealed: bytes) -> Head:
        """The head that a commit wrote.

        Raises:
            IntegrityError: altered, or of another database, epoch, schema or commit.
        """
        number = commit_number.to_bytes(8, "big")
        key = self._derived(b"scone-database-head-key-v1", number)
        try:
            plaintext = open_sealed(
                key, sealed, _framed(b"scone-database-head-v1", number), "database head"
            )
            read = Reader("database head", plaintext)
            schema = int.from_bytes(read.bytes("schema version", 2), "big")
            database_id = read.bytes("database id", 16)
            epoch, inner, start, rows = (
                int.from_bytes(read.bytes(name, 8), "big")
                for name in ("epoch", "commit number", "chain start", "rows")
            )
            total = int.from_bytes(read.bytes("sum", 32), "big")
            read.end()
            identity = DatabaseIdentity(database_id, epoch)
        except (IntegrityError, MalformedError) as error:
            raise altered("database head", "does not open: altered, or another commit's") from error
        if schema != SCHEMA_VERSION or inner != commit_number or identity != self.identity:
            raise altered("database head", "belongs to another database, epoch or schema")
        return Head(identity, inner, start, rows, total)

    def seal_link(self, commit_number: int, link: Link, random: Random) -> bytes:
        """A row of the chain as stored."""
        number = commit_number.to_bytes(8, "big")
        key = self._derived(b"scone-database-chain-key-v1", number)
        bound = self._bound(b"scone-database-chain-v1", number)
        return seal(key, link.previous + link.head, bound, random)

    def open_link(self, commit_number: int, sealed: bytes) -> Link:
        """A row of the chain.

        Raises:
            IntegrityError: altered, or of another database, epoch or commit.
        """
        number = commit_number.to_bytes(8, "big")
        key = self._derived(b"scone-database-chain-key-v1", number)
        place = f"database chain at commit {commit_number}"
        try:
            plaintext = open_sealed(
                key, sealed, self._bound(b"scone-database-chain-v1", number), place
            )
            read = Reader(place, plaintext)
            link = Link(read.bytes("previous", 32), read.bytes("head", 32))
            read.end()
        except (IntegrityError, MalformedError) as error:
            raise altered(place, "does not open: altered, or another commit's") from error
        return link

    def _mac(self, label: bytes, *parts: bytes) -> bytes:
        """The bytes of `crypto.sealing.hmac_key`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(_framed(label, *parts))
        outer.update(inner.digest())
        return outer.digest()

    def _derived(self, label: bytes, part: bytes) -> SecretBytes:
        return SecretBytes(self._mac(label, part))

    def _bound(self, label: bytes, part: bytes) -> bytes:
        return _framed(label) + self._associated + _framed(part)


def _framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
