"""Tokens of Microsoft Azure Attestation: what is genuine, and what the policy makes of it."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from omissions import mutants

from fakes.azure import FakeMaa, b64url
from scone.attestation import maa as maa_module
from scone.attestation.appraise import AcceptedToken, NotTrustedError, appraise_token
from scone.attestation.maa import VerifiedToken, verify_token
from scone.errors import MalformedError, SconeError, VerificationError
from scone.session.model import Security, Signer, Variant

URL = "https://sharedweu.weu.attest.azure.net"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Report:
    mrenclave: bytes = b"\x01" * 32
    mrsigner: bytes = b"\x02" * 32
    isvprodid: int = 7
    isvsvn: int = 3
    debug: bool = False
    report_data: bytes = bytes(range(64))


@pytest.fixture(scope="module")
def key():
    return FakeMaa(URL)


@pytest.fixture
def maa(key):
    key.header, key.claims, key.signer, key.issuer = {}, {}, key.key, URL
    return key


def keys(maa, **more):
    return json.dumps(maa.keys(**more)).encode()


def verified(maa, report=None, now=NOW, **more):
    return verify_token(maa.token(report or Report(), NOW), keys(maa, **more), URL, now)


def test_a_genuine_token_says_what_the_quote_says(maa):
    found = verified(maa)
    report = Report()
    assert found.report.mrenclave == report.mrenclave
    assert found.report.mrsigner == report.mrsigner
    assert (found.report.isvprodid, found.report.isvsvn) == (7, 3)
    assert found.report.report_data == report.report_data
    assert found.debug is False
    assert found.valid_until == NOW + timedelta(hours=8)


def test_a_key_may_be_given_by_its_numbers(maa):
    numbers = maa.key.public_key().public_numbers()
    entry = {
        "kid": maa.kid,
        "kty": "RSA",
        "n": b64url(numbers.n.to_bytes(256, "big")),
        "e": b64url(numbers.e.to_bytes(3, "big")),
    }
    raw = json.dumps({"keys": [entry]}).encode()
    assert verify_token(maa.token(Report(), NOW), raw, URL, NOW)


def test_a_slash_at_the_end_of_the_issuer_makes_no_difference(maa):
    maa.issuer = URL + "/"
    assert verified(maa)


@pytest.mark.parametrize(
    "algorithm", ["none", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256"]
)
def test_other_algorithms_are_refused(maa, algorithm):
    maa.header = {"alg": algorithm}
    with pytest.raises(VerificationError, match="expected the algorithm RS256"):
        verified(maa)


def test_the_public_key_is_no_secret_to_sign_with(maa):
    """The confusion of algorithms: HS256 under the public key as its secret."""
    import hashlib
    import hmac

    maa.header = {"alg": "HS256"}
    signed = maa.token(Report(), NOW).rpartition(".")[0]
    made = hmac.new(keys(maa), signed.encode(), hashlib.sha256).digest()
    with pytest.raises(VerificationError):
        verify_token(f"{signed}.{b64url(made)}", keys(maa), URL, NOW)


def test_another_signer_is_refused(maa):
    maa.signer = rsa.generate_private_key(65537, 2048)
    with pytest.raises(VerificationError, match="signature is wrong"):
        verified(maa)


def test_no_part_of_a_token_can_be_changed(maa):
    token = maa.token(Report(), NOW)
    raw = keys(maa)
    for at in range(0, len(token), 7):
        other = "A" if token[at] != "A" else "B"
        with pytest.raises(SconeError):
            verify_token(token[:at] + other + token[at + 1 :], raw, URL, NOW)


def test_a_short_key_is_refused():
    weak = FakeMaa(URL, bits=1024)
    with pytest.raises(VerificationError, match="RSA key of 2048 bits, got 1024 bits"):
        verified(weak)


def test_the_key_is_the_one_that_the_header_names(maa):
    with pytest.raises(VerificationError, match=r"expected one key 'key-1'.*got 0"):
        verified(maa, kid="key-2")
    both = maa.keys()["keys"] * 2
    raw = json.dumps({"keys": both}).encode()
    with pytest.raises(VerificationError, match="got 2"):
        verify_token(maa.token(Report(), NOW), raw, URL, NOW)


def test_extensions_that_must_be_understood_are_refused(maa):
    maa.header = {"crit": ["exp"]}
    with pytest.raises(VerificationError, match="must be understood"):
        verified(maa)


@pytest.mark.parametrize(
    "issuer", ["https://other.weu.attest.azure.net", "http://sharedweu.weu.attest.azure.net", ""]
)
def test_another_issuer_is_refused(maa, issuer):
    maa.issuer = issuer
    with pytest.raises(VerificationError, match="expected the issuer"):
        verified(maa)


def test_a_token_holds_for_its_time_only(maa):
    assert verified(maa, now=NOW - timedelta(minutes=2))
    with pytest.raises(VerificationError, match="begins at"):
        verified(maa, now=NOW - timedelta(minutes=3))
    with pytest.raises(VerificationError, match="it ended at"):
        verified(maa, now=NOW + timedelta(hours=8))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("x-ms-ver", "2.0"),
        ("x-ms-attestation-type", "sevsnpvm"),
        ("x-ms-sgx-mrenclave", "00"),
        ("x-ms-sgx-mrsigner", None),
        ("x-ms-sgx-product-id", "7"),
        ("x-ms-sgx-product-id", 65536),
        ("x-ms-sgx-svn", -1),
        ("x-ms-sgx-svn", True),
        ("x-ms-sgx-is-debuggable", "false"),
        ("x-ms-sgx-is-debuggable", 0),
        ("x-ms-sgx-report-data", "00" * 32),
        ("x-ms-sgx-report-data", None),
        ("exp", None),
        ("nbf", None),
        ("exp", 10**18),
        ("iss", None),
    ],
)
def test_a_claim_that_is_missing_or_of_another_type_is_refused(maa, claim, value):
    maa.claims = {claim: value}
    with pytest.raises((MalformedError, VerificationError)):
        verified(maa)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "....", "é.b.c", "a" * 70_000 + ".b.c"])
def test_what_is_no_token_is_refused(maa, token):
    with pytest.raises(MalformedError):
        verify_token(token, keys(maa), URL, NOW)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kid": "key-1", "x5c": []}]}',
        b'{"keys": [{"kid": "key-1", "x5c": ["!"]}]}',
        b'{"keys": [{"kid": "key-1", "x5c": ["AAAA"]}]}',
        b'{"keys": [{"kid": "key-1", "n": "AA", "e": "AQAB"}]}',
        b'{"keys": [{"kid": "key-1"}]}',
    ],
)
def test_what_is_no_set_of_keys_is_refused(maa, raw):
    with pytest.raises((MalformedError, VerificationError)):
        verify_token(maa.token(Report(), NOW), raw, URL, NOW)


def test_a_key_of_another_type_is_refused(maa):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    from fakes.azure import certificate

    der = certificate("x", ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER)
    with pytest.raises(VerificationError, match="got another type"):
        verified(maa, x5c=[base64.b64encode(der).decode()])


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_text_gives_our_error(token, raw):
    with pytest.raises(SconeError):
        verify_token(token, raw, URL, NOW)


def test_only_verification_makes_a_verified_token(maa):
    found = verified(maa)
    with pytest.raises(TypeError):
        VerifiedToken(found.report, URL, NOW, proof=object())
    with pytest.raises(TypeError):
        AcceptedToken(found, proof=object())


SECURITY = Security(mode="maa", url=URL, tolerate=("maa-managed-tcb",))
MINE = (Variant(mrenclaves=("01" * 32,)),)


def test_the_sessions_policy_holds_as_well(maa):
    assert appraise_token(verified(maa), MINE, SECURITY).evidence.report.isvprodid == 7
    signer = Signer("02" * 32, 7, isvsvn_min=3)
    assert appraise_token(verified(maa), (Variant(signer=signer),), SECURITY)


@pytest.mark.parametrize(
    ("variant", "clause"),
    [
        (Variant(mrenclaves=("03" * 32,)), "mrenclave"),
        (Variant(signer=Signer("03" * 32, 7)), "mrsigner"),
        (Variant(signer=Signer("02" * 32, 8)), "isvprodid"),
        (Variant(signer=Signer("02" * 32, 7, isvsvn_min=4)), "isvsvn"),
    ],
)
def test_what_the_policy_does_not_admit_is_refused(maa, variant, clause):
    with pytest.raises(NotTrustedError) as caught:
        appraise_token(verified(maa), (variant,), SECURITY)
    assert [one.name for one in caught.value.clauses] == [clause]


def test_debug_mode_needs_to_be_tolerated(maa):
    found = verified(maa, Report(debug=True))
    with pytest.raises(NotTrustedError) as caught:
        appraise_token(found, MINE, SECURITY)
    assert "tolerate: [maa-managed-tcb, debug-mode]" in caught.value.hint
    both = Security(mode="maa", url=URL, tolerate=("maa-managed-tcb", "debug-mode"))
    assert appraise_token(found, MINE, both)


def test_the_session_has_to_leave_the_tcb_to_maa(maa):
    with pytest.raises(NotTrustedError) as caught:
        appraise_token(verified(maa), MINE, Security(mode="maa", url=URL))
    assert [one.name for one in caught.value.clauses] == ["maa-managed-tcb"]


def test_a_token_is_not_local(maa):
    local = Security(mode="maa", url=URL, tolerate=("maa-managed-tcb",), must_be_sgx_local=True)
    with pytest.raises(NotTrustedError):
        appraise_token(verified(maa), MINE, local)


# Each check is needed: without any single one, some forgery gets another answer.


def forgeries():
    """Name to (token, keys), each wrong in one place."""
    maa = FakeMaa(URL)
    raw = keys(maa)

    def lie(**changes):
        for name, value in changes.items():
            setattr(maa, name, value)
        made = maa.token(Report(), NOW)
        maa.header, maa.claims, maa.signer, maa.issuer = {}, {}, maa.key, URL
        return made

    ended = {"exp": int(NOW.timestamp())}
    later = {"nbf": int(NOW.timestamp()) + 121}
    short = FakeMaa(URL, bits=1024)
    entries = maa.keys()["keys"]
    token = lie()
    return {
        "four parts": (token + ".x", raw),
        "algorithm": (lie(header={"alg": "RS512"}), raw),
        "crit": (lie(header={"crit": []}), raw),
        "issuer": (lie(issuer="https://evil.example"), raw),
        "ended": (lie(claims=ended), raw),
        "later": (lie(claims=later), raw),
        "version": (lie(claims={"x-ms-ver": "2"}), raw),
        "two keys": (token, json.dumps({"keys": entries * 2}).encode()),
        "short key": (short.token(Report(), NOW), keys(short)),
        "no certificate": (token, keys(maa, x5c=[1])),
    }


FORGED = forgeries()
# Shape alone, or the caller's own argument; other tests are about them.
ELSEWHERE = re.compile(r"VerifiedToken|verify_token: if now.tzinfo")
MUTANTS = [
    pytest.param(function, code, id=what)
    for what, function, code in mutants(maa_module)
    if not ELSEWHERE.match(what)
]


def answers():
    found = {}
    for name, (token, raw) in FORGED.items():
        try:
            verify_token(token, raw, URL, NOW)
        except SconeError as error:
            found[name] = str(error)
        except Exception as error:
            found[name] = type(error).__name__
        else:
            found[name] = "accepted"
    return found


EXPECTED = answers()


def test_every_forgery_is_refused():
    assert "accepted" not in EXPECTED.values()
    assert len(MUTANTS) >= 9


@pytest.mark.parametrize(("function", "code"), MUTANTS)
def test_without_this_check_a_forgery_gets_another_answer(function, code, monkeypatch):
    monkeypatch.setattr(function, "__code__", code)
    assert answers() != EXPECTED
