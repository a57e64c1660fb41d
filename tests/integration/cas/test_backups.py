"""Backups: two simulated machines, the same CAS key and sessions on both, everybody else refused."""

import json
import shutil
import threading

import harness
import pytest
from harness import create, read

from scone.attestation.sgx.tcb import TcbStatus
from scone.errors import IntegrityError
from scone.tee.base import EnclaveIdentity
from scone.transport.limits import Limits


def program(**changes):
    values = {
        "mrenclave": harness.CAS_PROGRAM.mrenclave,
        "mrsigner": harness.CAS_PROGRAM.mrsigner,
        "isvprodid": harness.CAS_PROGRAM.isvprodid,
        "isvsvn": harness.CAS_PROGRAM.isvsvn,
    }
    return EnclaveIdentity(**{**values, **changes})


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    return made


def register(primary, backup, owner):
    """What `scone cas register-backup` does; status and answer of the primary."""
    _, challenge = primary.call("POST", "/v1/backups/nonce", b"{}", owner)
    request = {"nonce": challenge["nonce"], "role": "backup"}
    status, newcomer = backup.call("POST", "/v1/registration", request, owner)
    assert status == 200, newcomer
    return primary.call("POST", "/v1/backups", {"nonce": challenge["nonce"], **newcomer}, owner)


def copy_database(source, target):
    for name in ("cas.db", "cas.db.key-store"):
        shutil.copy(source / name, target / name)


def test_a_registered_backup_serves_the_same_cas_key_sessions_and_secrets(
    tmp_path, platform, owner
):
    other = harness.make_platform(platform.vendor)
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    with harness.running_cas(one, platform) as primary:
        assert harness.provision(primary, owner)[0] == 200
        _, created = create(primary, harness.session_text(), owner)
        _, config = primary.attest_service(platform, "demo/app")
        with harness.running_cas(two, other) as backup:
            status, answer = register(primary, backup, owner)
            assert status == 201, answer
        assert answer["platform_id"] == other.platform_id
        assert primary.call("GET", "/v1/backups", b"", owner)[1]["backups"] == [answer]
        key = primary.cas.phase.keys.cas_key_hash
    copy_database(one, two)
    with harness.running_cas(two, other) as backup:
        assert backup.cas.phase.keys.cas_key_hash == key
        assert read(backup, "demo", owner)[1]["hash"] == created["hash"]
        assert backup.attest_service(other, "demo/app") == (200, config)


def test_an_unregistered_third_machine_is_refused_with_the_reason(tmp_path, platform, owner):
    third = harness.make_platform(platform.vendor)
    one, three = folder(tmp_path, "one"), folder(tmp_path, "three")
    with harness.running_cas(one, platform) as primary:
        harness.provision(primary, owner)
    copy_database(one, three)
    with pytest.raises(IntegrityError, match="another machine"), harness.running_cas(three, third):
        pass


def test_other_software_on_the_same_machine_is_refused_with_the_reason(tmp_path, platform, owner):
    with harness.running_cas(tmp_path, platform) as primary:
        harness.provision(primary, owner)
    with (
        pytest.raises(IntegrityError, match="other software"),
        harness.running_cas(tmp_path, platform, program(mrenclave=b"\1" * 32)),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "tcb", "reason"),
    [
        ({"isvsvn": 0}, TcbStatus.UP_TO_DATE, "ISVSVN"),
        ({"mrsigner": b"\2" * 32}, TcbStatus.UP_TO_DATE, "MRSIGNER"),
        ({"isvprodid": 9}, TcbStatus.UP_TO_DATE, "ISVPRODID"),
        ({"debug": True}, TcbStatus.UP_TO_DATE, "ebug"),
        ({}, TcbStatus.OUT_OF_DATE, "TCB"),
        ({}, TcbStatus.SW_HARDENING_NEEDED, "TCB"),
    ],
)
def test_a_worse_newcomer_is_refused_at_registration(
    tmp_path, platform, owner, changes, tcb, reason
):
    other = harness.make_platform(platform.vendor, tcb)
    with harness.running_cas(folder(tmp_path, "one"), platform) as primary:
        harness.provision(primary, owner)
        with harness.running_cas(folder(tmp_path, "two"), other, program(**changes)) as backup:
            status, answer = register(primary, backup, owner)
    assert status == 403, answer
    assert reason in json.dumps(answer["msg"])


def test_a_newer_newcomer_is_admitted(tmp_path, platform, owner):
    newer = program(isvsvn=7, mrenclave=b"\7" * 32)
    other = harness.make_platform(platform.vendor)
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    with harness.running_cas(one, platform) as primary:
        harness.provision(primary, owner)
        key = primary.cas.phase.keys
        with harness.running_cas(two, other, newer) as backup:
            assert register(primary, backup, owner)[0] == 201
    copy_database(one, two)
    with harness.running_cas(two, other, newer) as backup:
        assert backup.cas.phase.keys.cas_key_hash == key.cas_key_hash
        assert backup.cas.phase.keys.software_key_hash != key.software_key_hash


def test_a_newcomer_of_another_vendor_is_refused(tmp_path, platform, owner):
    with harness.running_cas(folder(tmp_path, "one"), platform) as primary:
        harness.provision(primary, owner)
        with harness.running_cas(folder(tmp_path, "two"), harness.make_platform()) as backup:
            assert register(primary, backup, owner)[0] == 403


def test_a_nonce_counts_once_and_binds_the_key(tmp_path, platform, owner):
    other = harness.make_platform(platform.vendor)
    with harness.running_cas(folder(tmp_path, "one"), platform) as primary:
        harness.provision(primary, owner)
        with harness.running_cas(folder(tmp_path, "two"), other) as backup:
            _, challenge = primary.call("POST", "/v1/backups/nonce", b"{}", owner)
            request = {"nonce": challenge["nonce"], "role": "backup"}
            _, newcomer = backup.call("POST", "/v1/registration", request)
            body = {"nonce": challenge["nonce"], **newcomer}
            forged = {**body, "public_key": "09" + "00" * 31}
            assert primary.call("POST", "/v1/backups", forged, owner)[0] == 403
            assert primary.call("POST", "/v1/backups", body, owner)[0] == 409
            assert primary.call("POST", "/v1/backups", {**body, "nonce": "0" * 32}, owner)[0] == 409


def test_a_provisioned_cas_is_no_backup(cas, owner):
    request = {"nonce": "0" * 32, "role": "backup"}
    assert cas.call("POST", "/v1/registration", request, owner)[0] == 409


def test_withdrawing_rolls_the_key_so_that_the_backup_opens_no_newer_copy(
    tmp_path, platform, owner
):
    other = harness.make_platform(platform.vendor)
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    with harness.running_cas(one, platform) as primary:
        harness.provision(primary, owner)
        _, created = create(primary, harness.session_text(), owner)
        with harness.running_cas(two, other) as backup:
            _, answer = register(primary, backup, owner)
        before = primary.cas.phase
        assert primary.call("DELETE", f"/v1/backups/{answer['id']}", b"", owner)[0] == 200
        after = primary.cas.phase
        assert after.payload.database_key != before.payload.database_key
        assert after.payload.epoch == before.payload.epoch + 1
        assert after.keys.cas_key_hash == before.keys.cas_key_hash
        assert after.keys.software_key_hash != before.keys.software_key_hash
        assert primary.call("GET", "/v1/backups", b"", owner)[1] == {"backups": []}
        assert read(primary, "demo", owner)[1]["hash"] == created["hash"]
        assert primary.call("DELETE", f"/v1/backups/{answer['id']}", b"", owner)[0] == 404
    copy_database(one, two)
    with pytest.raises(IntegrityError, match="not registered"), harness.running_cas(two, other):
        pass
    with harness.running_cas(one, platform) as primary:
        assert read(primary, "demo", owner)[1]["hash"] == created["hash"]


def test_a_second_cas_on_the_same_database_is_refused(tmp_path, platform, owner):
    from scone.errors import StateError

    with harness.running_cas(tmp_path, platform) as primary:
        harness.provision(primary, owner)
        with (
            pytest.raises(StateError, match="another CAS"),
            harness.running_cas(tmp_path, platform),
        ):
            pass


def test_an_injected_key_stays_marked_through_roll_over(tmp_path, platform, owner):
    other = harness.make_platform(platform.vendor)
    with harness.running_cas(folder(tmp_path, "one"), platform) as primary:
        harness.provision(primary, owner, database_key="ab" * 32)
        with harness.running_cas(folder(tmp_path, "two"), other) as backup:
            _, answer = register(primary, backup, owner)
        primary.call("DELETE", f"/v1/backups/{answer['id']}", b"", owner)
        assert primary.cas.phase.payload.origin == "injected"


def test_a_state_that_an_attacker_encrypts_to_a_backup_is_not_taken_up(tmp_path, platform, owner):
    """A genuine CAS with attacker-chosen state must not pass as one whose key nobody knows.

    The attacker knows the backup's public key and makes a database with a key of their own, marked
    as generated; all that is missing is the evidence of a genuine CAS over the stanza.
    """
    from scone.cas.opening import key_store_path
    from scone.cas.store.key_store import RegisterFor, new_key_store
    from scone.errors import SconeError

    attackers, two = folder(tmp_path, "attackers"), folder(tmp_path, "two")
    other = harness.make_platform(platform.vendor)
    with harness.running_cas(two, other) as backup:
        request = {"nonce": "0" * 32, "role": "backup"}
        _, newcomer = backup.call("POST", "/v1/registration", request)
    with harness.running_cas(attackers, platform) as own:
        harness.provision(own, owner, database_key="ab" * 32)
        payload = own.cas.phase.payload
        genuine = platform.quote(harness.CAS_PROGRAM, b"\5" * 64)
    copy_database(attackers, two)
    from dataclasses import replace

    lie = replace(payload, origin="generated")
    public_key = bytes.fromhex(newcomer["public_key"])
    for voucher, reason in ((b"x" * 500, "quote"), (genuine, "another registration")):
        forged = new_key_store(lie, [RegisterFor(public_key, lambda _, v=voucher: v)])
        forged.write(key_store_path(two / "cas.db"))
        with pytest.raises(SconeError, match=reason), harness.running_cas(two, other):
            pass
    evil = program(mrsigner=b"\6" * 32)

    def by_other_software(data):
        return platform.quote(evil, data)

    new_key_store(lie, [RegisterFor(public_key, by_other_software)]).write(
        key_store_path(two / "cas.db")
    )
    with pytest.raises(SconeError, match="another signer"), harness.running_cas(two, other):
        pass


def test_a_client_that_gives_up_leaves_no_half_of_a_roll_over(
    tmp_path, platform, owner, monkeypatch
):
    """The time for the answer ends while the key rolls over: the next backup gets the new key."""
    from scone.cas.operations import backups as operation

    rolling, may_go_on = threading.Event(), threading.Event()
    roll = operation.roll_database_key

    def slowly(*arguments):
        rolling.set()
        assert may_go_on.wait(20)
        return roll(*arguments)

    monkeypatch.setattr(operation, "roll_database_key", slowly)
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    third = harness.make_platform(platform.vendor)
    with harness.running_cas(one, platform, limits=Limits(handler_s=0.5)) as primary:
        harness.provision(primary, owner)
        _, created = create(primary, harness.session_text(), owner)
        with harness.running_cas(folder(tmp_path, "gone"), third) as backup:
            _, gone = register(primary, backup, owner)
        status, answer = primary.call("DELETE", f"/v1/backups/{gone['id']}", b"", owner)
        assert (status, answer["code"]) == (503, "unavailable")
        assert rolling.is_set()
        may_go_on.set()
        with harness.running_cas(two, third) as backup:
            assert register(primary, backup, owner)[0] == 201
        phase = primary.cas.phase
        assert phase.payload.identity == phase.store.identity
        assert phase.payload.epoch == 2
    copy_database(one, two)
    for where, machine in ((one, platform), (two, third)):
        with harness.running_cas(where, machine) as again:
            assert read(again, "demo", owner)[1]["hash"] == created["hash"]
