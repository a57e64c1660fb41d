"""Vectors of signed and encrypted sessions; make.py made them without any of our code."""

import tomllib
from datetime import datetime
from pathlib import Path

import pytest

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, SconeError, VerificationError
from scone.session import read_session
from scone.session.encrypted import decrypt_session
from scone.session.signed import message_to_be_signed, parse_signed, verified_signers

FOLDER = Path(__file__).parents[2] / "vectors" / "signed-session"
CASES = {
    path.parent.name: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*/case.toml"))
}
ENCRYPTED = [name for name, case in CASES.items() if "private_key" in case]
SIGNED = [name for name in CASES if name not in ENCRYPTED]


def document(name):
    return (FOLDER / name / "document.json").read_bytes().decode()


def signers_of(name):
    case = CASES[name]
    signed = parse_signed(document(name))
    session = read_session(signed.text).session
    now = datetime.fromisoformat(case.get("now", "2026-12-01T00:00:00Z"))
    signers = verified_signers(signed, session, cas_key_hash=case.get("cas_key"), now=now)
    if "message" in case:
        (one,) = signed.signatures
        message = message_to_be_signed(session, cas_key_hash=one.cas_key, not_after=one.not_after)
        assert message.hex() == case["message"]
    return list(signers)


def test_there_are_enough_vectors_and_each_folder_is_one():
    assert len(SIGNED) >= 35
    assert len(ENCRYPTED) >= 8
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(CASES)
    assert all(case["comment"] for case in CASES.values())


@pytest.mark.parametrize("name", [name for name in SIGNED if CASES[name]["expect"] == "ok"])
def test_a_signed_session_has_these_signers(name):
    assert signers_of(name) == CASES[name]["signers"]
    assert parse_signed(document(name)).to_json() == document(name)


@pytest.mark.parametrize("name", [name for name in SIGNED if CASES[name]["expect"] != "ok"])
def test_a_signed_session_that_is_not_genuine_is_refused(name):
    error = {"malformed": MalformedError, "not-genuine": VerificationError}[CASES[name]["expect"]]
    with pytest.raises(error) as caught:
        signers_of(name)
    assert type(caught.value) is error


def test_an_encrypted_session_decrypts_to_the_signed_one():
    private_key = SecretBytes(bytes.fromhex(CASES["encrypted"]["private_key"]))
    assert decrypt_session(document("encrypted"), private_key) == document("ed25519")


@pytest.mark.parametrize("name", [name for name in ENCRYPTED if CASES[name]["expect"] != "ok"])
def test_an_encrypted_session_of_another_form_or_for_another_cas_is_refused(name):
    private_key = SecretBytes(bytes.fromhex(CASES[name]["private_key"]))
    with pytest.raises(SconeError) as caught:
        decrypt_session(document(name), private_key)
    assert caught.value.code == CASES[name]["expect"]
