"""Access: denied by default; keys, certificates, signers, rules; what secrets stand for."""

import hashlib
import itertools

import pytest

from scone.crypto.der import to_pem
from scone.crypto.keyhash import encode_base58check, key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, NotFoundError
from scone.session.access import (
    ClientCertificate,
    Signers,
    decide,
    digests_of,
    identity_of,
    judge,
)
from scone.session.model import (
    AccessPolicy,
    Creator,
    Rule,
    SecretSpec,
    Session,
    SessionSigner,
    Template,
)
from scone.session.pem import ED25519_SPKI_PREFIX
from scone.session.secrets import AsciiValue, CertificateValue, FragmentValue

KEYS = {name: to_pem("PUBLIC KEY", ED25519_SPKI_PREFIX + name.encode() * 32) for name in "ABCDE"}
ENTRY = {name: SessionSigner(pem) for name, pem in KEYS.items()}


def signed(names):
    return Signers(frozenset(KEYS[name] for name in names))


def at_least(count, *entries):
    return Rule(count, tuple(ENTRY[e] if isinstance(e, str) and e in ENTRY else e for e in entries))


def every(*entries):
    return at_least(None, *entries)


def allows(entries, requester, creator=None, version="0.3", **more):
    return judge(entries, requester, creator=creator, version=version, **more).granted


def governs(rule, names):
    return allows((rule,), signed(names), governed=True)


@pytest.fixture(scope="module")
def people(certificates):
    return tuple(map(ClientCertificate.of_pem, certificates))


def of(requester):
    return encode_base58check(1, requester.spki_sha256)


def test_nobody_is_allowed_without_an_entry(people):
    for entries in ((), ("NONE",), ("CREATOR",)):
        for requester in (people[0], None, signed("A")):
            assert not allows(entries, requester)
    assert not allows(("",), people[0], None, "0.2")


def test_any_allows_even_who_shows_no_certificate(people):
    assert allows(("ANY",), None)
    assert allows(("ANY",), signed("A"))
    assert allows(("ANY",), people[0], None, "0.2")


def test_any_and_none_count_alone_only(people):
    assert not allows(("ANY", "NONE"), people[0])
    assert not allows(("ANY", "CREATOR"), people[0])
    assert not allows(("NONE", of(people[0])), people[0])
    assert allows(("ANY", of(people[0])), people[0])


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
    assert allows((of(people[2]), of(people[0])), people[0])
    assert not allows((of(people[2]), "CREATOR"), people[0])


def test_only_the_creator_is_allowed_by_default(people, certificates):
    policy = AccessPolicy()
    creator = Creator(certificates[2])
    for entries in (policy.read, policy.update, policy.effective_create_sessions):
        assert allows(entries, people[2], creator)
        assert not allows(entries, people[0], creator)
    assert AccessPolicy(update=("NONE",)).effective_create_sessions == ("NONE",)
    assert AccessPolicy(create_sessions=("ANY",)).effective_create_sessions == ("ANY",)


def test_a_certificate_that_is_none_is_refused():
    with pytest.raises(MalformedError):
        ClientCertificate.of_pem("x")


def test_a_signer_counts_for_signatures_alone(people):
    assert allows((ENTRY["A"],), signed("AB"), governed=True)
    assert not allows((ENTRY["A"],), signed("B"), governed=True)
    assert not allows((ENTRY["A"],), people[0], governed=True)
    assert not allows((ENTRY["A"],), None, governed=True)


def test_a_key_hash_means_a_certificate_and_no_signer():
    spki = ED25519_SPKI_PREFIX + b"A" * 32
    assert not allows((key_hash(spki),), signed("A"), governed=True)
    same_key = ClientCertificate(hashlib.sha256(spki).digest(), bytes(32))
    assert allows((key_hash(spki),), same_key)


def test_a_creator_who_signed_is_authorised_by_signature_alone(people):
    creator = Creator(signer_pem=KEYS["A"])
    assert allows(("CREATOR",), signed("A"), creator, governed=True)
    assert not allows(("CREATOR",), signed("B"), creator, governed=True)
    assert not allows(("CREATOR",), people[0], creator, governed=True)


def test_the_pages_first_governance_example():
    rule = every(at_least(2, "A", "B", "C"), every("D", "E"))
    satisfying = {
        frozenset(names)
        for count in range(6)
        for names in itertools.combinations("ABCDE", count)
        if governs(rule, names)
    }
    assert satisfying == {
        frozenset("ABDE"),
        frozenset("ACDE"),
        frozenset("BCDE"),
        frozenset("ABCDE"),
    }


def test_the_pages_second_example_lets_the_owner_overrule():
    rule = at_least(1, "E", every(at_least(2, "A", "B", "C"), every("D")))
    assert governs(rule, "E")
    assert governs(rule, "ABD")
    assert not governs(rule, "AD")


def test_nobody_counts_twice():
    assert not governs(at_least(2, "A", "A"), "A")
    assert not governs(at_least(2, "A", every("A")), "A")
    assert not governs(at_least(2, at_least(1, "A", "B"), at_least(1, "A", "C")), "A")
    assert not governs(at_least(3, "A", "B", at_least(1, "A", "B")), "AB")
    assert not governs(at_least(2, every("A", "B"), "C"), "AB")
    assert governs(at_least(2, at_least(1, "A", "B"), at_least(1, "A", "C")), "AC")
    assert governs(at_least(2, every("A", "B"), every("B", "C")), "ABC")


def test_one_more_signature_never_takes_a_right_away():
    rules = (
        at_least(2, at_least(1, "A", "B"), at_least(1, "A", "B", "C"), every("C", "D")),
        at_least(2, every("A", at_least(1, "B", "C")), every("B", "D"), "E"),
        every(at_least(2, "A", "B", every("C", "D")), at_least(1, "D", "E")),
    )
    for rule in rules:
        for count in range(5):
            for names in itertools.combinations("ABCDE", count):
                if governs(rule, names):
                    assert all(governs(rule, {*names, more}) for more in "ABCDE")
        assert governs(rule, "ABCDE")


def test_who_has_no_standing_lends_none_to_others():
    rule = at_least(2, at_least(1, "A", every("B", "C")), at_least(1, "A", "D"))
    for names in ("A", "AB", "AC", "BC"):
        assert not governs(rule, names)
    for names in ("AD", "BCD", "ABC"):
        assert governs(rule, names)


def test_two_who_stand_in_the_same_entries_are_still_two():
    assert governs(at_least(2, at_least(1, "A", "B"), at_least(1, "B", "A")), "AB")
    assert governs(at_least(2, at_least(2, "A", "B", "C"), at_least(2, "B", "C", "D")), "BC")


def test_three_who_signed_hold_no_four_seats():
    either, both = at_least(1, "A", "B"), every("C", "D")
    assert not governs(at_least(4, "A", "B", either, both), "ABCD")
    assert governs(at_least(3, "A", "B", either, both), "ABCD")


def test_no_rule_is_satisfied_by_nobody(people):
    for rule in (every(), at_least(0, "A"), at_least(0), at_least(1, "ANY"), every("ANY")):
        for requester in (None, people[0], signed("B")):
            assert not allows((rule,), requester, governed=True)


def test_a_certificate_satisfies_rules_that_ask_for_one_only(people):
    rule = at_least(1, of(people[0]), "A")
    assert allows((rule,), people[0], governed=True)
    assert not allows((at_least(2, of(people[0]), "A"),), people[0], governed=True)


def session(policy, *specs, creator=None, version="0.3"):
    return Session(version, "s", secrets=specs, access_policy=policy, creator=creator)


def fragment(name):
    return SecretSpec(name, "config-fragment", value="[]")


def reads(entries, requester, values, specs=(), **more):
    made = session(AccessPolicy(read=entries), *specs, **more)
    return decide(made, "read", requester, values)


def test_a_secret_stands_for_a_key_hash_a_certificate_or_the_creator(people, certificates):
    from scone.crypto.der import pem_to_der

    der = pem_to_der(certificates[0], "CERTIFICATE", "test")
    for value in (
        AsciiValue(SecretBytes(of(people[0]).encode())),
        CertificateValue(der, None),
        AsciiValue(SecretBytes(b"CREATOR")),
    ):
        kind = "x509" if isinstance(value, CertificateValue) else "ascii"
        made = {"creator": Creator(certificates[0]), "specs": (SecretSpec("x", kind),)}
        entry = ("$$SCONE::x$$",)
        assert reads(entry, people[1], {"x": value}, **made).granted
        assert not reads(entry, people[2], {"x": value}, **made).granted


def test_what_cannot_be_resolved_is_named_and_grants_nothing(people):
    for value in ({}, {"x": AsciiValue(SecretBytes(b"nonsense"))}):
        specs = (SecretSpec("x", "ascii"),)
        decision = reads(("$$SCONE::x$$", of(people[0])), people[2], value, specs)
        assert (decision.granted, decision.unresolved) == (False, ("$$SCONE::x$$",))
        assert reads(("$$SCONE::x$$", of(people[0])), people[0], value, specs).granted


@pytest.mark.parametrize("data", ['"ANY"', '["ANY"]'])
def test_a_fragment_may_say_any_where_it_stands_alone(people, data):
    value = {"x": FragmentValue(data)}
    assert reads(("$$SCONE::x$$",), None, value, (fragment("x"),)).granted
    among = reads(("$$SCONE::x$$", "CREATOR"), people[0], value, (fragment("x"),))
    assert (among.granted, among.unresolved) == (False, ("$$SCONE::x$$",))


@pytest.mark.parametrize("data", ['["ANY","CREATOR"]', '["$$SCONE::y$$"]', "[]"])
def test_a_fragment_that_says_what_a_list_must_not_is_refused_as_a_whole(
    people, certificates, data
):
    decision = reads(
        ("$$SCONE::x$$",),
        people[0],
        {"x": FragmentValue(data), "y": AsciiValue(SecretBytes(b"CREATOR"))},
        (fragment("x"), SecretSpec("y", "ascii")),
        creator=Creator(certificates[0]),
    )
    assert not decision.granted
    assert decision.unresolved == ("$$SCONE::x$$",)


def test_the_creator_in_a_fragment_is_the_importing_sessions(people, certificates):
    value = {"x": FragmentValue('["CREATOR"]')}
    made = {"specs": (fragment("x"),), "creator": Creator(certificates[2])}
    assert reads(("$$SCONE::x$$",), people[2], value, **made).granted
    assert not reads(("$$SCONE::x$$",), people[0], value, **made).granted


def test_a_fragment_brings_no_signer_and_no_rule_to_read_and_list(people):
    import json

    hashed = of(people[0])
    for data in ([{"signer": KEYS["A"]}, hashed], [{"require-all": [hashed]}]):
        values = {"x": FragmentValue(json.dumps(data))}
        entries = ("$$SCONE::x$$",)
        policy = AccessPolicy(entries, entries, create_sessions=("NONE",), list_sessions=entries)
        made = session(policy, fragment("x"))
        assert decide(made, "update", people[0], values).granted
        for operation in ("read", "list_sessions"):
            decision = decide(made, operation, people[0], values)
            assert (decision.granted, decision.unresolved) == (False, ("$$SCONE::x$$",))


def test_an_entry_of_a_rule_that_cannot_be_resolved_is_one_that_nobody_satisfies():
    def resolve(text):
        if text == "$$SCONE::two$$":
            return (ENTRY["B"], ENTRY["C"])
        raise NotFoundError("no")

    missing = every("A", "$$SCONE::x$$")
    found = judge(
        (missing,), signed("A"), creator=None, version="0.3", resolve=resolve, governed=True
    )
    assert (found.granted, found.unresolved) == (False, ("$$SCONE::x$$",))
    two = every("A", "$$SCONE::two$$")
    for names, granted in (("AB", False), ("ABC", True)):
        assert allows((two,), signed(names), resolve=resolve, governed=True) is granted


def test_what_a_secret_brings_has_one_seat():
    def resolve(text):
        return (ENTRY["D"], ENTRY["E"])

    rule = at_least(2, "$$SCONE::chair$$", "A", "B")
    for names, granted in (("DE", False), ("AD", True), ("AE", True), ("AB", True)):
        assert allows((rule,), signed(names), resolve=resolve, governed=True) is granted


def test_secrets_bring_a_bounded_number_of_entries(people):
    mine, nobody = of(people[0]), encode_base58check(1, bytes(32))

    def judged(count, *more):
        asked = []

        def resolve(text):
            asked.append(text)
            return (nobody,) * (count - 1) + (mine,)

        found = judge(more, people[0], creator=None, version="0.3", resolve=resolve)
        return found.granted, found.unresolved, len(asked)

    assert judged(256, "$$SCONE::a$$") == (True, (), 1)
    assert judged(257, "$$SCONE::a$$") == (False, ("$$SCONE::a$$",), 1)
    many = tuple(f"$$SCONE::x{number}$$" for number in range(9))
    assert judged(300, *many) == (False, many, 1)
    assert judged(300, "$$SCONE::a$$", mine) == (True, ("$$SCONE::a$$",), 1)


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_kept_digests_say_the_same_and_nothing_is_parsed_again(
    people, certificates, version, monkeypatch
):
    creator = Creator(certificates[2])
    hashes = {"0.2": hashlib.sha256(certificates[1].encode()).hexdigest(), "0.3": of(people[1])}
    policy = AccessPolicy((certificates[0], "CREATOR", "$$SCONE::x$$"), (hashes[version], "NONE"))
    made = session(policy, fragment("x"), creator=creator, version=version)
    asked = [(operation, one) for operation in ("read", "update") for one in (*people, None)]
    expected = [decide(made, operation, one, {}) for operation, one in asked]
    kept = digests_of(made)
    assert set(kept) == {certificates[0], certificates[2], hashes[version]}
    monkeypatch.delattr("scone.session.access._digest")
    assert [decide(made, operation, one, {}, digests=kept) for operation, one in asked] == expected
    assert [one.granted for one in expected[:4]] == [True, version == "0.3", True, False]


def test_who_creates_or_reads_also_lists(people):
    policy = AccessPolicy(read=(of(people[0]),), create_sessions=(of(people[2]),))
    for requester in people:
        assert decide(session(policy), "list_sessions", requester, {}).granted
    assert not decide(session(policy), "list_sessions", None, {}).granted
    narrow = AccessPolicy(read=(of(people[0]),), list_sessions=("NONE",))
    assert not decide(session(narrow), "list_sessions", people[0], {}).granted


def test_whether_anybody_may_is_told_also_of_who_is_known(people):
    key = of(people[0])
    values = {"p": FragmentValue('["ANY"]')}
    for policy, operation, anybody in [
        (AccessPolicy(read=("ANY",)), "read", True),
        (AccessPolicy(read=("$$SCONE::p$$",)), "read", True),
        (AccessPolicy(read=(key,)), "read", False),
        (AccessPolicy(create_sessions=("ANY",), list_sessions=(key,)), "list_sessions", True),
        (AccessPolicy(create_sessions=(key,), list_sessions=("NONE",)), "list_sessions", False),
    ]:
        decision = decide(session(policy, fragment("p")), operation, people[0], values)
        assert (decision.granted, decision.anybody) == (True, anybody), policy


def test_a_whole_policy_may_be_a_secret(people):
    import json

    made = session(Template(json.dumps("$$SCONE::p$$")), fragment("p"))
    values = {"p": FragmentValue(json.dumps({"read": [of(people[0])], "update": ["NONE"]}))}
    assert decide(made, "read", people[0], values).granted
    assert not decide(made, "read", people[2], values).granted
    assert not decide(made, "update", people[0], values).granted
    missing = decide(made, "read", people[0], {})
    assert not missing.granted
    assert "$$SCONE::p$$" in missing.unresolved[0]


def test_requesters_have_names_for_the_audit_log(people):
    assert identity_of(None) == "anonymous"
    assert identity_of(people[0]) == of(people[0])
    hashes = sorted(key_hash(ED25519_SPKI_PREFIX + name * 32) for name in (b"A", b"B"))
    assert identity_of(signed("AB")) == ",".join(hashes)
