"""What is remembered of a CAS, and what may not go back."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from scone.client.cas import check_pin
from scone.client.known import KnownCas
from scone.client.trust import TrustPolicy, canonical_url, check_continuity
from scone.crypto import certificates
from scone.crypto.der import to_pem
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import MalformedError, UsageError, VerificationError

NOW = datetime.now(UTC)


def instance(root_key: object = None) -> tuple[object, bytes, bytes]:
    """A root key, its certificate and an instance certificate that it issued."""
    key = generate_private_key("P-256", os.urandom) if root_key is None else root_key
    root = certificates.create_cas_root(key, now=NOW, random=os.urandom)  # type: ignore[arg-type]
    leaf_key = spki_of_private_key(generate_private_key("P-256", os.urandom))
    leaf = certificates.issue_cas_instance(key, root, leaf_key, now=NOW, random=os.urandom)  # type: ignore[arg-type]
    return key, root, leaf


KEY, ROOT, LEAF = instance()
_, OTHER_ROOT, OTHER_LEAF = instance()
_, _, NEXT_LEAF = instance(KEY)


def known(name: str = "a", root: bytes = ROOT, leaf: bytes = LEAF, **more: object) -> KnownCas:
    chain = to_pem("CERTIFICATE", leaf) + to_pem("CERTIFICATE", root)
    return KnownCas(name, f"https://{name}:8081/", chain, **more)  # type: ignore[arg-type]


def test_the_pinned_key_passes() -> None:
    assert check_pin((LEAF,), known()) is None


def test_a_new_software_key_under_the_same_cas_key_says_attest_again() -> None:
    with pytest.raises(VerificationError, match="under the same CAS key") as caught:
        check_pin((NEXT_LEAF,), known())
    assert "scone cas attest a" in caught.value.hint


@pytest.mark.parametrize(
    "leaf", [OTHER_LEAF, OTHER_ROOT, ROOT], ids=["other", "other root", "own root"]
)
def test_any_other_key_is_another_cas(leaf: bytes) -> None:
    with pytest.raises(VerificationError, match="not the one that was attested"):
        check_pin((leaf,), known())


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(VerificationError):
        check_pin((b"\x30\x00",), known())


@pytest.mark.parametrize("chain", ["", to_pem("CERTIFICATE", LEAF), "-----BEGIN"])
def test_a_chain_is_two_certificates(chain: str) -> None:
    with pytest.raises(MalformedError):
        _ = replace(known(), chain=chain).certificates


def test_the_first_attestation_has_nothing_to_continue() -> None:
    assert check_continuity(known(), ()) == ()


def test_another_cas_key_under_the_name_is_refused_unless_stated() -> None:
    now = known(root=OTHER_ROOT, leaf=OTHER_LEAF)
    with pytest.raises(VerificationError, match="not the one that was attested"):
        check_continuity(now, [known()])
    with pytest.raises(VerificationError):
        check_continuity(now, [known()], stated_cas_key=known().cas_key_hash)
    warnings = check_continuity(now, [known()], stated_cas_key=now.cas_key_hash)
    assert len(warnings) == 1
    assert known().cas_key_hash in warnings[0]


@pytest.mark.parametrize("what", ["epoch", "isvsvn"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_epoch_and_isvsvn_do_not_go_back_under_any_name(what: str, name: str) -> None:
    before = known(name, **{what: 5})
    for value in (5, 6):
        assert check_continuity(known(**{what: value}), [before]) == ()
    with pytest.raises(VerificationError, match=r"went back: expected at least .* 5"):
        check_continuity(known(**{what: 4}), [before])


def test_another_cas_may_have_any_epoch() -> None:
    other = known("b", OTHER_ROOT, OTHER_LEAF, epoch=9)
    assert check_continuity(known(epoch=1), [other]) == ()


def test_another_platform_is_warned_about() -> None:
    warnings = check_continuity(known(platform_id="new"), [known(platform_id="old")])
    assert len(warnings) == 1
    assert "new" in warnings[0]
    assert "old" in warnings[0]


def test_a_policy_takes_only_key_hashes() -> None:
    assert TrustPolicy(cas_key_hash=known().cas_key_hash).cas_key_hash == known().cas_key_hash
    for wrong in ("", "x", known().cas_key_hash[:-1], known().cas_key_hash + "1"):
        with pytest.raises(UsageError):
            TrustPolicy(cas_key_hash=wrong)
        with pytest.raises(UsageError):
            TrustPolicy(software_key_hash=wrong)


def test_another_spelling_of_the_address_does_not_evade_the_pin() -> None:
    for spelling in ("A", "a:8081", "https://A:8081/"):
        url = canonical_url(spelling)
        now = replace(known(root=OTHER_ROOT, leaf=OTHER_LEAF), name=spelling, url=url)
        with pytest.raises(VerificationError, match="not the one that was attested"):
            check_continuity(now, [known()])
