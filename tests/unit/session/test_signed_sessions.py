"""Signed and encrypted sessions: what is signed, by whom, for whom and until when."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from scone.crypto.der import to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, load_private_key, spki_of_private_key
from scone.crypto.sealing import new_x25519_key, x25519_public_key
from scone.errors import LimitError, MalformedError, UsageError, VerificationError
from scone.session.encrypted import decrypt_session, encrypted_document
from scone.session.model import AccessPolicy, Session
from scone.session.signed import (
    LABEL,
    MAX_BYTES,
    SignedSession,
    expired,
    message_to_be_signed,
    parse_signed,
    sign_session,
    signature_from,
    verified_signers,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
CAS, OTHER_CAS = key_hash(b"a CAS"), key_hash(b"another CAS")
SESSION = Session("0.3", "governed", access_policy=AccessPolicy(("ANY",), ("NONE",)))
KEY, OTHER_KEY = (generate_private_key("Ed25519", os.urandom) for _ in range(2))
P384_KEY = generate_private_key("P-384", os.urandom)


def pem(key):
    return to_pem("PUBLIC KEY", spki_of_private_key(key))


def signed(*keys, session=SESSION, cas_key_hash=None, not_after=None):
    made = SignedSession("its text")
    for key in keys:
        made = made.with_signature(
            sign_session(session, key, cas_key_hash=cas_key_hash, not_after=not_after)
        )
    return made


def message(**given):
    return message_to_be_signed(SESSION, **({"cas_key_hash": None, "not_after": None} | given))


def verify(document, session=SESSION, *, cas_key_hash=CAS, now=NOW):
    return verified_signers(document, session, cas_key_hash=cas_key_hash, now=now)


def test_the_signers_are_named_in_the_order_of_their_signatures():
    assert verify(signed(KEY, OTHER_KEY)) == (pem(KEY), pem(OTHER_KEY))


def test_who_signs_again_replaces_their_signature():
    twice = signed(KEY, OTHER_KEY).with_signature(
        sign_session(SESSION, KEY, cas_key_hash=CAS, not_after=LATER)
    )
    assert [one.signer for one in twice.signatures] == [pem(OTHER_KEY), pem(KEY)]
    assert twice.signatures[1].cas_key == CAS
    assert verify(twice) == (pem(OTHER_KEY), pem(KEY))


@pytest.mark.parametrize(
    "changed",
    [
        replace(SESSION, name="another"),
        replace(SESSION, predecessor="ab" * 32),
        replace(SESSION, access_policy=AccessPolicy(("ANY",), ("ANY",))),
    ],
    ids=["name", "predecessor", "policy"],
)
def test_a_signature_is_over_the_whole_session(changed):
    with pytest.raises(VerificationError, match="is not by this signer over this session"):
        verify(signed(KEY), changed)


def test_a_signature_for_one_cas_counts_on_no_other():
    bound = signed(KEY, cas_key_hash=CAS)
    assert verify(bound) == (pem(KEY),)
    with pytest.raises(VerificationError, match=f"is for the CAS {CAS}, and this is {OTHER_CAS}"):
        verify(bound, cas_key_hash=OTHER_CAS)


def test_a_signature_ends_with_its_time():
    until = signed(KEY, not_after=LATER)
    assert verify(until, now=LATER + timedelta(milliseconds=999)) == (pem(KEY),)
    with pytest.raises(VerificationError, match="expired at 2026-11-26T12:00:00Z"):
        verify(until, now=LATER + timedelta(seconds=1))
    assert verify(until, now=None) == (pem(KEY),)
    assert expired(until.signatures[0], LATER + timedelta(seconds=1))
    assert not expired(signed(KEY).signatures[0], LATER)


def test_what_binds_a_signature_is_signed():
    one = signed(KEY).signatures[0]
    for changed in (replace(one, cas_key=CAS), replace(one, not_after=LATER)):
        with pytest.raises(VerificationError):
            verify(SignedSession("", (changed,)))


def test_the_message_is_a_label_and_compact_json():
    text = message(cas_key_hash=CAS, not_after=LATER)
    assert text.startswith(LABEL)
    claims = json.loads(text[len(LABEL) :])
    assert list(claims) == ["cas_key", "name", "session_hash", "not_after"]
    assert (claims["cas_key"], claims["name"]) == (CAS, "governed")
    assert claims["not_after"] == "2026-11-26T12:00:00Z"
    assert json.loads(message()[len(LABEL) :])["cas_key"] is None


def test_a_p384_signature_is_taken_in_der_and_as_r_and_s():
    key = load_private_key(P384_KEY)
    in_der = key.sign(message(), ec.ECDSA(hashes.SHA384()))
    raw = b"".join(part.to_bytes(48, "big") for part in decode_dss_signature(in_der))
    for form in (in_der, raw):
        made = signature_from(pem(P384_KEY), form, cas_key_hash=None, not_after=None)
        assert made.signature == raw
        document = parse_signed(SignedSession("", (made,)).to_json())
        assert verify(document) == (pem(P384_KEY),)


@pytest.mark.parametrize("raw", [b"", b"\0" * 63, b"\0" * 65, b"\0" * 95, b"\x30\x06\x02\x01\xff"])
def test_a_signature_of_another_length_is_refused(raw):
    for key in (KEY, P384_KEY):
        with pytest.raises(MalformedError, match="signature: expected"):
            signature_from(pem(key), raw, cas_key_hash=None, not_after=None)


def test_integers_that_no_p384_signature_has_are_refused():
    for r in (-1, 1 << 384):
        body = b"".join(
            b"\x02" + bytes([len(part)]) + part
            for part in (r.to_bytes(49, "big", signed=True), b"\x01")
        )
        with pytest.raises(MalformedError, match="signature: expected"):
            signature_from(
                pem(P384_KEY),
                b"\x30" + bytes([len(body)]) + body,
                cas_key_hash=None,
                not_after=None,
            )


def test_a_key_of_another_type_is_no_signer():
    p256 = pem(generate_private_key("P-256", os.urandom))
    one = replace(signed(KEY).signatures[0], signer=p256)
    with pytest.raises(VerificationError, match="is by a key of another type"):
        verify(SignedSession("", (one,)))
    with pytest.raises(MalformedError, match="a key of another type"):
        signature_from(p256, bytes(96), cas_key_hash=None, not_after=None)


def test_only_an_ed25519_key_signs_here():
    with pytest.raises(UsageError, match="only an Ed25519 key signs sessions here"):
        sign_session(SESSION, P384_KEY, cas_key_hash=None, not_after=None)


def test_a_document_larger_than_a_cas_takes_is_neither_written_nor_read():
    whole = SignedSession('"' * (MAX_BYTES // 2), signed(KEY).signatures)
    with pytest.raises(LimitError):
        whole.to_json()
    with pytest.raises(MalformedError, match="at most"):
        parse_signed(" " * (MAX_BYTES + 1))
    with pytest.raises(LimitError):
        SignedSession("", signed(KEY).signatures * 65).to_json()


def test_the_text_is_not_shown():
    assert "its text" not in repr(signed(KEY))


def test_a_session_is_encrypted_for_one_key():
    private, other = (new_x25519_key(os.urandom) for _ in range(2))
    text = signed(KEY).to_json()
    encrypted = encrypted_document(text, x25519_public_key(private))
    assert "its text" not in encrypted
    assert list(json.loads(encrypted)) == ["encrypted_session", "encryption_key"]
    assert decrypt_session(encrypted, private) == text
    with pytest.raises(MalformedError, match="the session encryption key of this CAS"):
        decrypt_session(encrypted, other)


def test_the_largest_signed_session_is_encrypted_and_decrypted():
    private = new_x25519_key(os.urandom)
    encrypted = encrypted_document("x" * MAX_BYTES, x25519_public_key(private))
    assert len(encrypted) < 2 * 1024 * 1024  # what a server reads of a body
    assert len(decrypt_session(encrypted, private)) == MAX_BYTES
    with pytest.raises(MalformedError, match="at most"):
        encrypted_document("x" * (MAX_BYTES + 1), x25519_public_key(private))
    with pytest.raises(MalformedError, match="at most"):
        decrypt_session(encrypted + " " * MAX_BYTES, private)


def test_a_key_that_no_key_pair_has_is_refused():
    for public_key in (b"", bytes(31), bytes(32)):
        with pytest.raises(MalformedError, match="X25519 public key"):
            encrypted_document("{}", public_key)


@given(
    st.text()
    | st.recursive(
        st.none() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["session", "signatures", "signer", "signature", "cas_key", "not_after"]
                ),
                x,
            )
        ),
    ).map(json.dumps)
)
def test_any_text_is_a_signed_session_or_malformed(text):
    try:
        found = parse_signed(text)
    except MalformedError:
        return
    assert parse_signed(found.to_json()) == found
