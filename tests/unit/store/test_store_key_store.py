"""The key store: who opens it, what a refusal says, one encoding, marks that stay."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_vectors import IDENTITY, PAYLOAD, SEALING_KEY, UNDER, VECTORS

from scone.cas.store.base import DatabaseIdentity
from scone.cas.store.key_store import (
    KeyStorePayload,
    OpenKeyStore,
    RegisterFor,
    SealTo,
    new_key_store,
    open_with_registration,
    open_with_seal,
    read_key_store,
    write_key_store,
)
from scone.cas.store.key_store_file import (
    MAX_BYTES,
    KeyStoreFile,
    Registered,
    SealedUnder,
    encode,
    parse,
)
from scone.crypto.sealing import new_x25519_key, x25519_public_key
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError, NotFoundError, SconeError, StateError

BACKUP_KEY = new_x25519_key(os.urandom)
BACKUP = RegisterFor(x25519_public_key(BACKUP_KEY), lambda data: b"evidence over " + data)
SEAL = SealTo(SEALING_KEY, UNDER)
OTHER_KEY = SecretBytes(b"\x01" * 32)


def vouched(stanza: Registered) -> None:
    if stanza.voucher != b"evidence over " + stanza.report_data:
        raise IntegrityError("not vouched for")


def made(*recipients: SealTo | RegisterFor) -> OpenKeyStore:
    return new_key_store(PAYLOAD, recipients or (SEAL, BACKUP))


def reread(store: OpenKeyStore) -> KeyStoreFile:
    return parse(store.encode())


def test_the_machine_that_sealed_it_opens_it() -> None:
    assert open_with_seal(reread(made()), SEALING_KEY, UNDER).payload == PAYLOAD


def test_a_registered_cas_opens_it() -> None:
    assert open_with_registration(reread(made()), BACKUP_KEY, vouched).payload == PAYLOAD


def test_the_vectors_open_to_their_payload() -> None:
    sealed = json.loads((VECTORS / "key-store.json").read_text())
    file = parse(bytes.fromhex(sealed["file"]))
    opened = open_with_seal(file, SecretBytes(bytes.fromhex(sealed["sealing_key"])), UNDER)
    assert opened.payload == PAYLOAD
    assert opened.file_key.reveal().hex() == sealed["file_key"]
    registered = json.loads((VECTORS / "key-store-registered.json").read_text())
    file = parse(bytes.fromhex(registered["file"]))
    private = SecretBytes(bytes.fromhex(registered["private_key"]))
    assert open_with_registration(file, private, vouched).payload == PAYLOAD


def test_a_stanza_that_no_genuine_cas_vouches_for_is_not_opened() -> None:
    """Anybody can encrypt a key store of their own making to a registered CAS."""
    forged = new_key_store(
        replace(PAYLOAD, origin="generated"), [RegisterFor(BACKUP.public_key, lambda _: b"forged")]
    )

    def refuse(stanza: Registered) -> None:
        raise IntegrityError(f"not vouched for: {stanza.voucher!r}")

    with pytest.raises(IntegrityError, match="not vouched for"):
        open_with_registration(reread(forged), BACKUP_KEY, refuse)


def test_a_key_that_is_not_registered_is_refused() -> None:
    with pytest.raises(IntegrityError, match="is not registered in it"):
        open_with_registration(reread(made()), new_x25519_key(os.urandom), vouched)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            replace(UNDER, measurement="f" * 16),
            "other software, measurement 0001020304050607, here ffff",
        ),
        (replace(UNDER, platform_id="INTEL_QE_ID:ff"), "another machine INTEL_QE_ID:0011"),
        (replace(UNDER, isvsvn=2), "another ISVSVN 1, here 2"),
        (replace(UNDER, cpu_svn="f" * 32), "microcode update changes it"),
        (replace(UNDER, tee="tdx"), "another TEE kind sgx, here tdx"),
        (UNDER, "it is damaged"),
    ],
    ids=["software", "machine", "isvsvn", "microcode", "tee", "damaged"],
)
def test_a_failed_opening_says_what_is_another_now(now: SealedUnder, reason: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_with_seal(reread(made()), OTHER_KEY, now)
    assert reason in str(caught.value)
    assert caught.value.hint


def test_a_failed_opening_compares_with_the_nearest_of_several_seals() -> None:
    far = SealTo(SEALING_KEY, replace(UNDER, platform_id="far", measurement="0" * 16))
    near = replace(UNDER, isvsvn=9)
    with pytest.raises(IntegrityError) as caught:
        open_with_seal(reread(made(far, SEAL)), OTHER_KEY, near)
    assert str(caught.value) == "the key store was sealed elsewhere: another ISVSVN 1, here 9"


def test_any_of_several_seals_opens() -> None:
    other = SealTo(OTHER_KEY, replace(UNDER, platform_id="other"))
    file = reread(made(other, SEAL))
    assert open_with_seal(file, SEALING_KEY, UNDER).payload == PAYLOAD
    assert open_with_seal(file, OTHER_KEY, other.under).payload == PAYLOAD


def test_a_key_store_for_registered_cases_alone_says_so() -> None:
    with pytest.raises(IntegrityError, match="only to registered"):
        open_with_seal(reread(made(BACKUP)), SEALING_KEY, UNDER)


def test_a_running_cas_admits_a_backup_without_making_new_keys() -> None:
    before = made(SEAL)
    after = before.admitting(BACKUP)
    assert before.registered == ()
    assert [one.public_key for one in after.registered] == [BACKUP.public_key]
    assert open_with_registration(reread(after), BACKUP_KEY, vouched).payload == PAYLOAD
    assert open_with_seal(reread(after), SEALING_KEY, UNDER).file_key == before.file_key


def test_admitting_the_same_recipient_again_replaces_its_stanza() -> None:
    store = made().admitting(BACKUP).admitting(SealTo(OTHER_KEY, replace(UNDER, cpu_svn="0" * 32)))
    assert len(store.stanzas) == 2
    registered = open_with_seal(reread(store), OTHER_KEY, UNDER).registered
    assert [one.public_key for one in registered] == [BACKUP.public_key]


def test_a_backup_that_opened_it_can_seal_it_to_its_own_machine() -> None:
    opened = open_with_registration(reread(made()), BACKUP_KEY, vouched)
    own = SealTo(OTHER_KEY, replace(UNDER, platform_id="backup"))
    assert open_with_seal(reread(opened.admitting(own)), OTHER_KEY, own.under).payload == PAYLOAD


@pytest.mark.parametrize(
    "public_key", [bytes(32), bytes(31), b""], ids=["small order", "cut", "empty"]
)
def test_a_public_key_that_nobody_can_have_is_refused(public_key: bytes) -> None:
    with pytest.raises(MalformedError):
        made(SEAL).admitting(RegisterFor(public_key, BACKUP.vouch))


def test_a_label_that_the_header_cannot_hold_is_refused() -> None:
    with pytest.raises(MalformedError, match="label"):
        made(SEAL).admitting(RegisterFor(BACKUP.public_key, BACKUP.vouch, "backup x\n"))


def test_a_withdrawn_backup_opens_nothing_of_the_successor() -> None:
    before = made()
    payload = PAYLOAD.rolled_over(OTHER_KEY, DatabaseIdentity(PAYLOAD.database_id, 8))
    after = before.succeeded_by(payload, [SEAL])
    assert after.file_key != before.file_key
    with pytest.raises(IntegrityError, match="not registered"):
        open_with_registration(reread(after), BACKUP_KEY, vouched)
    # ... even with the file key that it had
    file = reread(after)
    stale = replace(before, payload=payload).encode()
    with pytest.raises(IntegrityError, match="header"):
        open_with_seal(replace(file, stanzas=parse(stale).stanzas), SEALING_KEY, UNDER)


def test_injected_stays_injected_when_the_key_is_rolled_over() -> None:
    rolled = PAYLOAD.rolled_over(OTHER_KEY, DatabaseIdentity(PAYLOAD.database_id, 8))
    assert (rolled.origin, rolled.epoch, rolled.database_key) == ("injected", 8, OTHER_KEY)


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"origin": "generated"}, "injected"),
        ({"simulated": False}, "simulated"),
        ({"debug": False}, "debug"),
    ],
)
def test_a_successor_cannot_forget_a_mark(change: dict[str, object], mark: str) -> None:
    before = replace(made(), payload=replace(PAYLOAD, debug=True))
    after = replace(before.payload, epoch=8, **change)
    with pytest.raises(StateError, match=f"marked {mark} "):
        before.succeeded_by(after, [SEAL])


def test_a_successor_of_another_cas_key_has_its_own_marks() -> None:
    after = replace(PAYLOAD, epoch=8, origin="generated", cas_key_hash="another")
    assert made().succeeded_by(after, [SEAL]).payload == after


@pytest.mark.parametrize("epoch", [6, 7])
def test_the_epoch_of_a_successor_rises(epoch: int) -> None:
    with pytest.raises(StateError, match="epoch above 7"):
        made().succeeded_by(replace(PAYLOAD, epoch=epoch), [SEAL])


DATA = made().encode()


@pytest.mark.parametrize("at", [0, 25, 40, 90, 130, 200, 250, 330, 420, len(DATA) - 1])
def test_one_flipped_bit_anywhere_is_refused(at: int) -> None:
    data = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
    with pytest.raises((MalformedError, IntegrityError)):
        open_with_seal(parse(data), SEALING_KEY, UNDER)


def test_every_flipped_bit_is_refused_for_both_ways_of_opening() -> None:
    opened = 0
    for at in range(len(DATA)):
        data = DATA[:at] + bytes([DATA[at] ^ 2]) + DATA[at + 1 :]
        try:
            file = parse(data)
        except MalformedError:
            continue
        for opening in (
            lambda file=file: open_with_seal(file, SEALING_KEY, UNDER),
            lambda file=file: open_with_registration(file, BACKUP_KEY, vouched),
        ):
            try:
                opening()
            except IntegrityError:
                continue
            opened += 1
    assert opened == 0


def test_a_removed_or_foreign_stanza_is_refused() -> None:
    file, foreign = parse(DATA), reread(made())
    for stanzas in (file.stanzas[:1], (file.stanzas[0], foreign.stanzas[1]), file.stanzas[::-1]):
        altered = parse(encode(replace(file, stanzas=stanzas)))
        with pytest.raises(IntegrityError, match="altered after it was written"):
            open_with_seal(altered, SEALING_KEY, UNDER)


def test_the_payload_of_an_older_key_store_is_refused() -> None:
    with pytest.raises(IntegrityError):
        open_with_seal(replace(parse(DATA), payload=reread(made()).payload), SEALING_KEY, UNDER)


def header(*lines: str, payload: bytes = bytes(64)) -> bytes:
    return "".join(line + "\n" for line in lines).encode("latin-1") + payload


GOOD = DATA.split(b"\n--- ")[0].decode().split("\n")
MAC = "--- " + "A" * 43


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"scone-key-store/v2\n" + DATA.split(b"\n", 1)[1],
        DATA[:300],
        DATA.replace(b"\n", b"\r\n"),
        header(GOOD[0], MAC),
        header(*GOOD),
        header(*GOOD, MAC, payload=bytes(27)),
        header(*GOOD, MAC, payload=bytes(8193)),
        header(*GOOD, MAC + "A"),
        header(*GOOD, MAC[:-1] + "B"),
        header(*GOOD, MAC + "="),
        header(*GOOD, MAC + " "),
        header(GOOD[0], GOOD[1].replace(" 1 ", " 01 "), *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1].replace(" 1 ", "  1 "), *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1].replace(" 1 ", " -1 "), *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1].replace(" 1 ", " 1x "), *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1].upper(), *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1] + " more", *GOOD[2:], MAC),
        header(GOOD[0], GOOD[1].replace("seal", "scrypt"), *GOOD[2:], MAC),
        header(GOOD[0], "-> " + "x" * 300, MAC),
        header(GOOD[0], GOOD[1].replace("sgx", "s\xff"), *GOOD[2:], MAC),
        header(*GOOD[:2], GOOD[2] + GOOD[3], *GOOD[4:], MAC),
        header(*GOOD[:2], GOOD[2][:-1], GOOD[3], *GOOD[4:], MAC),
        header(*GOOD[:2], GOOD[2], GOOD[3] + "AAAA", *GOOD[4:], MAC),
        header(*GOOD[:2], GOOD[2], GOOD[3][:-1], *GOOD[4:], MAC),
        header(*GOOD[:2], *[GOOD[2]] * 20, *GOOD[4:], MAC),
        header(*GOOD[:4], GOOD[4].replace("backup", "Backup"), *GOOD[5:], MAC),
        header(*GOOD[:4], GOOD[4][:-1], *GOOD[5:], MAC),
        header(GOOD[0], *GOOD[1:4] * 129, MAC),
        bytes(MAX_BYTES + 1),
    ],
)
def test_what_is_not_a_key_store_is_malformed(data: bytes) -> None:
    assert parse(header(*GOOD, MAC)).mac == bytes(32)  # what all but one thing of is right
    with pytest.raises(MalformedError):
        parse(data)


@given(
    st.binary(max_size=400)
    | st.tuples(st.integers(0, len(DATA)), st.binary(max_size=8)).map(
        lambda cut: DATA[: cut[0]] + cut[1] + DATA[cut[0] + 1 :]
    )
)
def test_any_bytes_are_a_key_store_or_malformed(data: bytes) -> None:
    try:
        file = parse(data)
    except MalformedError:
        return
    assert encode(file) == data


TEXT = PAYLOAD.to_json().decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        TEXT + " ",
        TEXT.replace(":7,", ":true,"),
        TEXT.replace(":7,", ":7.0,"),
        TEXT.replace(":7,", ":-1,"),
        TEXT.replace(":7,", f":{2**63},"),
        TEXT.replace("injected", "imported"),
        TEXT.replace('"simulated":true', '"simulated":1'),
        TEXT.replace('"debug":false', '"debug":null'),
        TEXT.replace('"debug":false', '"debug":false,"debug":false'),
        TEXT.replace('"debug":false', '"debug":false,"more":1'),
        TEXT.replace('"sgx"', '""'),
        TEXT.replace('"sgx"', '"s\\u00e4x"'),
        TEXT.replace('"40414243', '"4041424'),
        TEXT.replace('"40414243', '"zz414243'),
        TEXT.replace('"0001', '"01'),
        TEXT.replace('"0001', '"00 01'),
    ],
)
def test_a_payload_of_another_form_is_malformed(text: str) -> None:
    assert KeyStorePayload.from_json(TEXT.encode()) == PAYLOAD
    with pytest.raises(MalformedError):
        KeyStorePayload.from_json(text.encode())


def test_secrets_of_a_key_store_do_not_print() -> None:
    store = made()
    for secret in (store.file_key, PAYLOAD.database_key):
        assert secret.reveal().hex() not in repr(store)
        assert secret.reveal() not in store.encode()
        assert secret.reveal().hex().encode() not in store.encode()


def test_the_payload_names_its_database() -> None:
    assert PAYLOAD.identity == IDENTITY
    assert PAYLOAD.opens.key == PAYLOAD.database_key


def test_a_file_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "cas.key-store"
    written = write_key_store(path, PAYLOAD, [SEAL, BACKUP])
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["cas.key-store"]
    assert open_with_seal(read_key_store(path), SEALING_KEY, UNDER) == written


def test_a_missing_key_store_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_key_store(tmp_path / "none")


def test_a_key_store_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot read the key store"):
        read_key_store(tmp_path)
    (tmp_path / "bad").write_bytes(b"something else\n")
    with pytest.raises(SconeError, match=r"bad: key store.first line"):
        read_key_store(tmp_path / "bad")


def test_a_key_store_that_nobody_could_open_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="stanzas"):
        write_key_store(tmp_path / "k", PAYLOAD, [])
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"tee": "SGX"},
        {"measurement": "12"},
        {"platform_id": "a b"},
        {"platform_id": ""},
        {"isvsvn": -1},
        {"cpu_svn": "0" * 31},
    ],
)
def test_a_seal_that_the_header_cannot_describe_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        replace(UNDER, **fields)
