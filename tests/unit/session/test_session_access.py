"""Access: denied by default, keys count in 0.3, certificates in 0.2."""

import hashlib

import pytest

from scone.crypto.keyhash import encode_base58check
from scone.errors import MalformedError
from scone.session.access import Requester, allows
from scone.session.model import AccessPolicy, Creator


@pytest.fixture(scope="module")
def people(certificates):
    return tuple(map(Requester.of_pem, certificates))


def of(requester):
    return encode_base58check(1, requester.spki_sha256)


def test_nobody_is_allowed_without_an_entry(people):
    assert not allows((), people[0], None, "0.3")
    assert not allows(("NONE",), people[0], None, "0.3")
    assert not allows(("CREATOR",), people[0], None, "0.3")
    assert not allows(("CREATOR",), None, None, "0.3")
    assert not allows(("",), people[0], None, "0.2")


def test_any_allows_even_who_shows_no_certificate(people):
    assert allows(("ANY",), None, None, "0.3")
    assert allows(("ANY",), people[0], None, "0.2")
    assert not allows(("ANY", "NONE"), people[0], None, "0.3")


def test_in_0_3_the_key_counts(people, certificates):
    mine, renewed, other = people
    for entry in (of(mine), certificates[0], "CREATOR"):
        creator = Creator(certificates[0])
        assert allows((entry,), mine, creator, "0.3")
        assert allows((entry,), renewed, creator, "0.3.12")
        assert not allows((entry,), other, creator, "0.3")
        assert not allows((entry,), None, creator, "0.3")


def test_in_0_2_the_certificate_counts(people, certificates):
    mine, renewed, other = people
    digest = hashlib.sha256(certificates[0].encode()).hexdigest()
    for entry in (digest, certificates[0], "CREATOR"):
        creator = Creator(certificates[0])
        assert allows((entry,), mine, creator, "0.2")
        assert not allows((entry,), renewed, creator, "0.2")
        assert not allows((entry,), other, creator, "0.2")


def test_one_of_several_entries_is_enough(people):
    assert allows((of(people[2]), of(people[0])), people[0], None, "0.3")
    assert not allows((of(people[2]), "CREATOR"), people[0], None, "0.3")


def test_only_the_creator_is_allowed_by_default(people, certificates):
    policy = AccessPolicy()
    creator = Creator(certificates[2])
    for entries in (policy.read, policy.update, policy.effective_create_sessions):
        assert allows(entries, people[2], creator, "0.3")
        assert not allows(entries, people[0], creator, "0.3")
    assert AccessPolicy(update=("NONE",)).effective_create_sessions == ("NONE",)
    assert AccessPolicy(create_sessions=("ANY",)).effective_create_sessions == ("ANY",)


def test_a_requester_is_a_certificate():
    with pytest.raises(MalformedError):
        Requester.of_pem("x")
