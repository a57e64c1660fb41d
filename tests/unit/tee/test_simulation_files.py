"""A simulated platform in a directory: whole or not at all, private, refused when altered."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from fakes.evidence import IDENTITY, NOW, REPORT_DATA
from scone.attestation.verify import verify
from scone.errors import MalformedError, StateError, UsageError
from scone.tee.simulation import create, load

FILES = {"vendor.json", "platform.json", "root.pem"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    create(tmp_path / "platform", now=NOW)
    return tmp_path / "platform"


def test_what_is_made_is_loaded(tmp_path):
    made = create(tmp_path / "a/b/platform", tcb="OutOfDate", smt=True, now=NOW)
    found = load(tmp_path / "a/b/platform")
    assert found.platform_id == made.platform_id
    assert found.anchor == made.anchor
    assert (found.tcb, found.smt) == ("OutOfDate", True)
    assert found.seal_key(bytes(32), "x") == made.seal_key(bytes(32), "x")
    assert found.collateral(NOW) == made.collateral(NOW)
    assert found.quote(IDENTITY, REPORT_DATA) == made.quote(IDENTITY, REPORT_DATA)
    evidence = verify(found.quote(IDENTITY, REPORT_DATA), found.collateral(NOW), [made.anchor], NOW)
    assert (evidence.tcb_status, evidence.smt) == ("OutOfDate", True)
    root = (tmp_path / "a/b/platform/root.pem").read_text()
    assert root == found.root_certificate_pem


def test_files_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        create(tmp_path / "platform", now=NOW)
    finally:
        os.umask(old)
    assert {path.name for path in (tmp_path / "platform").iterdir()} == FILES
    assert mode(tmp_path / "platform") == 0o700
    assert {mode(path) for path in (tmp_path / "platform").iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["platform"]


def test_the_files_say_that_they_are_insecure(place):
    for name in ("vendor.json", "platform.json"):
        assert json.loads((place / name).read_text())["warning"].startswith("INSECURE")


def test_an_empty_directory_is_used_and_stays_private(tmp_path):
    (tmp_path / "platform").mkdir(mode=0o755)
    create(tmp_path / "platform", now=NOW)
    assert mode(tmp_path / "platform") == 0o700
    assert load(tmp_path / "platform")


def test_a_directory_with_other_content_is_refused_and_left_alone(tmp_path):
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform/mine").write_text("x")
    with pytest.raises(StateError, match="not empty"):
        create(tmp_path / "platform", now=NOW)
    assert [path.name for path in (tmp_path / "platform").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["platform"]


def test_an_existing_platform_is_never_replaced(place):
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(StateError, match="not empty"):
        create(place, now=NOW)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_of_several_at_once_one_makes_it(tmp_path):
    results: list[object] = []

    def attempt() -> None:
        try:
            results.append(create(tmp_path / "platform", now=NOW).platform_id)
        except StateError as error:
            results.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [result for result in results if isinstance(result, str)]
    assert len(results) == 8
    assert made == [load(tmp_path / "platform").platform_id]
    assert [path.name for path in tmp_path.iterdir()] == ["platform"]


def test_a_second_machine_joins_the_root_of_the_first(place, tmp_path):
    second = create(tmp_path / "second", join=place, tcb="SWHardeningNeeded", now=NOW)
    first = load(place)
    assert second.anchor == first.anchor == load(tmp_path / "second").anchor
    assert second.platform_id != first.platform_id
    assert second.seal_key(bytes(32), "x") != first.seal_key(bytes(32), "x")
    quote = second.quote(IDENTITY, REPORT_DATA)
    assert verify(quote, first.collateral(NOW), [first.anchor], NOW).tcb_status == (
        "SWHardeningNeeded"
    )


def test_joining_nothing_is_refused(tmp_path):
    with pytest.raises(StateError, match="no simulated platform here"):
        create(tmp_path / "second", join=tmp_path / "absent", now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_level_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError):
        create(tmp_path / "platform", tcb="Fine", now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_platform_says_how_to_make_one(tmp_path):
    with pytest.raises(StateError, match="no simulated platform here") as caught:
        load(tmp_path / "absent")
    assert "las --simulation" in caught.value.hint


@pytest.mark.parametrize("name", ["vendor.json", "platform.json"])
def test_files_that_others_can_read_are_refused(place, name):
    (place / name).chmod(0o640)
    with pytest.raises(StateError, match="0640, expected 0600"):
        load(place)


@pytest.mark.parametrize("name", ["vendor.json", "platform.json"])
def test_altered_files_are_refused_by_one_error(place, name):
    path = place / name
    genuine = json.loads(path.read_text())
    cases: list[bytes] = [b"", b"{}", b"[]", b"\xff", path.read_bytes()[:-10], b"x" * 100_000]
    for key in genuine:
        cases.append(json.dumps({**genuine, key: 1}).encode())
        cases.append(json.dumps({**genuine, key: "x"}).encode())
        cases.append(json.dumps({k: v for k, v in genuine.items() if k != key}).encode())
    cases.append(json.dumps({**genuine, "more": 1}).encode())
    for raw in cases:
        path.write_bytes(raw)
        if raw == json.dumps({**genuine, "warning": 1}).encode():
            continue
        if raw == json.dumps({**genuine, "warning": "x"}).encode():
            continue
        with pytest.raises((MalformedError, StateError, UsageError)):
            load(place)


def test_a_key_that_does_not_belong_to_its_certificate_is_refused(place):
    path = place / "vendor.json"
    value = json.loads(path.read_text())
    value["root"]["key"] = value["pck_ca"]["key"]
    path.write_text(json.dumps(value))
    with pytest.raises(MalformedError, match="do not belong together"):
        load(place)


def test_errors_do_not_quote_private_keys(place):
    path = place / "vendor.json"
    value = json.loads(path.read_text())
    key = value["root"]["key"]
    body = key.splitlines()[1]
    value["root"]["key"] = key.replace(body, body[:-4])
    path.write_text(json.dumps(value))
    with pytest.raises(MalformedError) as caught:
        load(place)
    assert body[:20] not in repr(caught.value)
    assert caught.value.__cause__ is None
