"""Records, heads and links as bytes: round trips, bindings, one encoding, vectors."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_vectors import IDENTITY, KEY, MAKERS, RECORDS, VECTORS

from scone.cas.store.base import DatabaseIdentity
from scone.cas.store.records import (
    MAX_VALUE,
    Head,
    Link,
    Record,
    RecordCodec,
    Row,
    check_value,
    decode_record,
    encode_record,
)
from scone.crypto.sealing import hmac_key
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, LimitError, MalformedError

CODEC = RecordCodec(SecretBytes(KEY), IDENTITY)
ROW = CODEC.seal_record(Record("session", "a", b"value"), 5, os.urandom)
HEAD = Head(IDENTITY, 9, 2, 4, 2**256 - 1)


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_the_vectors_made_again_are_equal(name: str) -> None:
    assert json.loads((VECTORS / name).read_text()) == MAKERS[name]()


def test_the_vectors_of_a_database_open_to_their_records() -> None:
    vector = json.loads((VECTORS / "database.json").read_text())
    codec = RecordCodec(
        SecretBytes(bytes.fromhex(vector["database_key"])),
        DatabaseIdentity(bytes.fromhex(vector["database_id"]), vector["epoch"]),
    )
    opened = [
        codec.open_record(
            Row(
                *(bytes.fromhex(row["id"]), row["commit_number"]),
                *(bytes.fromhex(row[name]) for name in ("tag", "data")),
            )
        )
        for row in vector["rows"]
    ]
    assert tuple(opened) == RECORDS
    head = codec.open_head(3, bytes.fromhex(vector["head"]["sealed"]))
    assert head == Head(IDENTITY, 3, 0, 5, int(vector["head"]["sum"], 16))
    link = codec.open_link(3, bytes.fromhex(vector["link"]["sealed"]))
    assert link == Link(bytes(32), bytes.fromhex(vector["head"]["hash"]))


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_opens_to_itself(record: Record) -> None:
    assert CODEC.open_record(CODEC.seal_record(record, 1, os.urandom)) == record


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.none() | st.binary(max_size=700),
)
def test_every_record_decodes_from_its_encoding(
    collection: str, key: str, value: bytes | None
) -> None:
    record = Record(collection, key, value)
    assert decode_record(encode_record(record)) == record


@given(st.binary(max_size=600))
def test_any_bytes_are_a_record_or_malformed(data: bytes) -> None:
    try:
        record = decode_record(data)
    except MalformedError:
        return
    assert encode_record(record) == data


@pytest.mark.parametrize(
    "data",
    [
        encode_record(RECORDS[0])[:-1],
        encode_record(RECORDS[0]) + b"\0",
        encode_record(RECORDS[0]) + bytes(256),
        encode_record(RECORDS[0])[:-1] + b"\1",
        b"\2" + encode_record(RECORDS[0])[1:],
        b"\0" + encode_record(RECORDS[0])[1:],  # a deletion with a value
        b"\1\0\1\0\0\0\0\0\0\xff".ljust(256, b"\0"),
        b"",
    ],
    ids=["cut", "longer", "step more", "padding", "kind", "deleted value", "not utf-8", "empty"],
)
def test_another_encoding_of_a_record_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_record(data)


@pytest.mark.parametrize(("size", "stored"), [(0, 256), (241, 256), (242, 512), (3000, 3072)])
def test_sizes_show_in_steps_of_256_bytes_only(size: int, stored: int) -> None:
    record = Record("s", "a-key", bytes(size))  # 15 bytes before the value
    assert len(encode_record(record)) == stored


@pytest.mark.parametrize("name", ["a\ud800", "a" * 4097])
def test_a_name_that_cannot_be_stored_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="record key"):
        CODEC.blinded("session", name)


@pytest.mark.parametrize("name", ["", "c" * 65, "\udfff"])
def test_a_collection_that_cannot_be_stored_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="record collection"):
        CODEC.blinded(name, "key")


def test_a_value_beyond_the_limit_is_refused() -> None:
    check_value(bytes(MAX_VALUE))
    with pytest.raises(LimitError):
        check_value(bytes(MAX_VALUE + 1))


def test_ids_differ_with_collection_key_and_split_between_them() -> None:
    names = [("a", "bc"), ("ab", "c"), ("a", "b"), ("b", "bc"), ("abc", "")]
    assert len({CODEC.blinded(*name) for name in names}) == len(names)
    assert {CODEC.blinded(*name)[:8] for name in names} == {
        CODEC.collection_prefix(collection) for collection, _ in names
    }


def test_nothing_of_a_name_or_value_shows_in_a_row() -> None:
    row = CODEC.seal_record(Record("session", "hello-world", b"a secret value"), 1, os.urandom)
    stored = row.id + row.tag + row.data
    for text in (b"session", b"hello", b"secret"):
        assert text not in stored


def test_equal_values_are_encrypted_under_other_nonces_and_keys() -> None:
    again = CODEC.seal_record(Record("session", "a", b"value"), 5, os.urandom)
    other = CODEC.seal_record(Record("session", "b", b"value"), 5, lambda size: ROW.data[:size])
    assert again.data != ROW.data
    assert other.data[:12] == ROW.data[:12]
    assert other.data[12:] != ROW.data[12:]


@pytest.mark.parametrize(
    "row",
    [
        ROW._replace(tag=flipped(ROW.tag)),
        ROW._replace(data=flipped(ROW.data)),
        ROW._replace(data=flipped(ROW.data, 100)),
        ROW._replace(data=ROW.data[:-256]),
        ROW._replace(data=b""),
        ROW._replace(id=flipped(ROW.id)),
        ROW._replace(id=CODEC.blinded("session", "b")),
    ],
    ids=["tag", "nonce", "ciphertext", "cut", "empty", "id bit", "another id"],
)
def test_an_altered_row_is_refused(row: Row) -> None:
    assert CODEC.open_record(ROW).value == b"value"
    with pytest.raises(IntegrityError):
        CODEC.open_record(row)


FOREIGN = [
    RecordCodec(SecretBytes(flipped(KEY)), IDENTITY),
    RecordCodec(SecretBytes(KEY), DatabaseIdentity(bytes(16), IDENTITY.epoch)),
    RecordCodec(SecretBytes(KEY), DatabaseIdentity(IDENTITY.database_id, IDENTITY.epoch + 1)),
]
WHICH = ["key", "database id", "epoch"]


@pytest.mark.parametrize("codec", FOREIGN, ids=WHICH)
def test_what_another_database_wrote_is_refused(codec: RecordCodec) -> None:
    with pytest.raises(IntegrityError):
        codec.open_record(ROW)
    with pytest.raises(IntegrityError):
        codec.open_head(9, CODEC.seal_head(HEAD, os.urandom))
    with pytest.raises(IntegrityError):
        codec.open_link(9, CODEC.seal_link(9, Link(bytes(32), bytes(32)), os.urandom))


def test_a_head_opens_to_itself_and_under_its_own_commit_number_only() -> None:
    sealed = CODEC.seal_head(HEAD, os.urandom)
    assert CODEC.open_head(9, sealed) == HEAD
    for number, data in ((8, sealed), (9, flipped(sealed, 20)), (9, sealed[:-1]), (9, b"")):
        with pytest.raises(IntegrityError):
            CODEC.open_head(number, data)


def test_a_link_opens_to_itself_and_under_its_own_commit_number_only() -> None:
    sealed = CODEC.seal_link(4, Link(b"p" * 32, b"h" * 32), os.urandom)
    assert CODEC.open_link(4, sealed) == Link(b"p" * 32, b"h" * 32)
    for number, data in ((5, sealed), (4, flipped(sealed, 20)), (4, sealed[:-1])):
        with pytest.raises(IntegrityError):
            CODEC.open_link(number, data)


def test_a_head_is_not_a_link() -> None:
    with pytest.raises(IntegrityError):
        CODEC.open_link(9, CODEC.seal_head(HEAD, os.urandom))


def test_the_share_of_a_row_depends_on_id_commit_and_tag() -> None:
    shares = {
        CODEC.share(ROW.id, b"12345678" + ROW.tag),
        CODEC.share(ROW.id, b"12345679" + ROW.tag),
        CODEC.share(ROW.id, b"12345678" + flipped(ROW.tag)),
        CODEC.share(flipped(ROW.id), b"12345678" + ROW.tag),
    }
    assert len(shares) == 4


def test_derived_values_are_those_of_the_shared_derivation() -> None:
    key = SecretBytes(KEY)
    assert CODEC.key_check == hmac_key(key, "scone-database-key-check-v1").reveal()[:8]
    prefix = hmac_key(key, "scone-database-collection-v1", b"s").reveal()[:8]
    name = hmac_key(key, "scone-database-id-v1", b"s", b"k").reveal()[:24]
    assert CODEC.blinded("s", "k") == prefix + name


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match="database key: expected 32 bytes"):
        RecordCodec(SecretBytes(bytes(size)), IDENTITY)


@pytest.mark.parametrize(
    ("database_id", "epoch"), [(bytes(15), 1), (bytes(16), -1), (bytes(16), 2**63)]
)
def test_an_identity_out_of_range_is_refused(database_id: bytes, epoch: int) -> None:
    with pytest.raises(MalformedError):
        DatabaseIdentity(database_id, epoch)


def test_a_record_and_its_codec_do_not_print_secrets() -> None:
    shown = repr(Record("session", "a", b"topsecret")) + repr(CODEC)
    assert "topsecret" not in shown
    assert KEY.hex() not in shown
