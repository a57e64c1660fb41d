"""Appraisal: which genuine evidence is accepted, and how each refusal is worded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.evidence import IDENTITY, platform, verified
from scone.attestation.appraise import (
    CATEGORIES,
    AcceptedEvidence,
    CasPolicy,
    NotTrustedError,
    appraise_cas,
    appraise_peer,
    appraise_service,
)
from scone.attestation.sgx.tcb import TcbStatus
from scone.errors import AppraisalError, UsageError
from scone.release import DEVELOPMENT_MRSIGNER, RELEASE_MRSIGNER
from scone.tee.base import EnclaveIdentity

MRENCLAVE = IDENTITY.mrenclave.hex()
OTHER = "ab" * 32
DEBUG_TEXT = (
    "Debug mode is enabled. Enclave protection is turned off, all secrets can be extracted with a"
    " debugger"
)


def like(**changes: Any) -> EnclaveIdentity:
    return dataclasses.replace(IDENTITY, **changes)


def refused(call, *args, **keywords) -> NotTrustedError:
    with pytest.raises(NotTrustedError) as caught:
        call(*args, **keywords)
    assert caught.value.code == "not-trusted"
    assert isinstance(caught.value, AppraisalError)
    return caught.value


def names(error: NotTrustedError) -> list[str]:
    return [clause.name for clause in error.clauses]


class TestProofInTypes:
    def test_nobody_else_constructs_accepted_evidence(self):
        for proof in (None, object(), verified()):
            with pytest.raises(TypeError, match="only appraisal"):
                AcceptedEvidence(verified(), proof=proof)

    def test_accepted_evidence_is_not_edited_by_replace(self):
        accepted = appraise_cas(verified(), CasPolicy())
        with pytest.raises((TypeError, ValueError)):
            dataclasses.replace(accepted, evidence=verified(identity=like(debug=True)))


class TestCas:
    def test_the_default_accepts_the_development_signer_on_a_simulated_platform(self):
        assert appraise_cas(verified(), CasPolicy()).evidence == verified()

    def test_the_default_on_hardware_is_the_release_signer_that_nobody_has(self):
        # A simulated root that claims to be hardware, as only a test can configure it.
        machine = platform()
        anchor = dataclasses.replace(machine.anchor, simulated=False)
        from fakes.evidence import NOW, REPORT_DATA, collateral
        from scone.attestation.verify import verify

        found = verify(machine.quote(IDENTITY, REPORT_DATA), collateral(), [anchor], NOW)
        error = refused(appraise_cas, found, CasPolicy())
        assert names(error) == ["mrsigner"]
        assert RELEASE_MRSIGNER.hex() in str(error)
        assert RELEASE_MRSIGNER != DEVELOPMENT_MRSIGNER

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"mrsigner": b"\x01" * 32}, "mrsigner"),
            ({"isvprodid": 1}, "isvprodid"),
            ({"isvsvn": 0}, "isvsvn"),
            ({"debug": True}, "debug-mode"),
        ],
    )
    def test_the_default_refuses(self, change, name):
        assert names(refused(appraise_cas, verified(identity=like(**change)), CasPolicy())) == [
            name
        ]

    def test_a_newer_version_is_accepted(self):
        assert appraise_cas(verified(identity=like(isvsvn=9)), CasPolicy())

    def test_any_of_several_measurements_may_match_in_either_case(self):
        policy = CasPolicy(mrenclaves=(OTHER, MRENCLAVE.upper()))
        assert appraise_cas(verified(), policy)

    def test_another_measurement_is_refused_in_scones_words(self):
        error = refused(appraise_cas, verified(), CasPolicy(mrenclaves=(OTHER,)))
        assert error.messages == (f"Enclave hash does not match expectation:\n{MRENCLAVE}",)

    def test_a_measurement_turns_the_default_version_check_off_and_nothing_else(self):
        policy = CasPolicy(mrenclaves=(MRENCLAVE,))
        assert appraise_cas(verified(identity=like(isvsvn=0)), policy)
        assert names(
            refused(appraise_cas, verified(identity=like(mrsigner=bytes(32))), policy)
        ) == ["mrsigner"]
        given = CasPolicy(mrenclaves=(MRENCLAVE,), isvsvn_min=2)
        assert names(refused(appraise_cas, verified(), given)) == ["isvsvn"]

    def test_another_signer_with_product_and_version(self):
        other = like(mrsigner=b"\x07" * 32, isvprodid=5, isvsvn=3)
        policy = CasPolicy(mrsigner="07" * 32, isvprodid=5, isvsvn_min=3)
        assert appraise_cas(verified(identity=other), policy)
        worse = dataclasses.replace(other, isvprodid=6, isvsvn=2)
        assert names(refused(appraise_cas, verified(identity=worse), policy)) == [
            "isvprodid",
            "isvsvn",
        ]
        assert names(refused(appraise_cas, verified(), policy)) == [
            "mrsigner",
            "isvprodid",
            "isvsvn",
        ]

    def test_debug_is_refused_in_scones_words(self):
        error = refused(appraise_cas, verified(identity=like(debug=True)), CasPolicy())
        assert error.messages == (
            "Remote attestation report verification failed",
            "The program enclave is not trustworthy",
            DEBUG_TEXT,
        )

    def test_an_ignored_signer_with_a_measurement(self):
        policy = CasPolicy(mrenclaves=(MRENCLAVE,), ignore_signer=True)
        stranger = like(mrsigner=bytes(32), isvprodid=0, isvsvn=0)
        assert appraise_cas(verified(identity=stranger), policy)
        assert names(refused(appraise_cas, verified(identity=like(debug=True)), policy)) == [
            "debug-mode"
        ]

    def test_debug_is_accepted_only_when_asked_for(self):
        policy = CasPolicy(mrenclaves=(MRENCLAVE,), ignore_signer=True, allow_debug=True)
        assert appraise_cas(verified(identity=like(debug=True)), policy)
        assert appraise_cas(verified(), policy)

    def test_trust_any_is_for_a_cas_in_debug_mode_only(self):
        policy = CasPolicy(ignore_signer=True, allow_debug=True, trust_any=True)
        anything = like(mrenclave=bytes(32), mrsigner=bytes(32), debug=True)
        assert appraise_cas(verified(identity=anything), policy)
        assert names(refused(appraise_cas, verified(), policy)) == ["trust-any"]

    @pytest.mark.parametrize("status", TcbStatus)
    @pytest.mark.parametrize("outdated", [False, True])
    @pytest.mark.parametrize("configuration", [False, True])
    @pytest.mark.parametrize("hardening", [False, True])
    def test_each_tcb_status_needs_its_options(self, status, outdated, configuration, hardening):
        policy = CasPolicy(
            accept_outdated=outdated,
            accept_configuration=configuration,
            accept_sw_hardening=hardening,
        )
        needs = {
            "UpToDate": "",
            "SWHardeningNeeded": "S",
            "ConfigurationNeeded": "C",
            "ConfigurationAndSWHardeningNeeded": "CS",
            "OutOfDate": "G",
            "OutOfDateConfigurationNeeded": "CG",
        }
        given = "C" * configuration + "G" * outdated + "S" * hardening
        found = verified(platform(status.value))
        if status is not TcbStatus.REVOKED and set(needs[status.value]) <= set(given):
            assert appraise_cas(found, policy).evidence == found
            return
        error = refused(appraise_cas, found, policy)
        if status is TcbStatus.REVOKED:
            assert names(error) == ["revoked"]
        else:
            missing = sorted(set(needs[status.value]) - set(given))
            assert sorted(clause.remedy[1] for clause in error.clauses) == missing

    def test_a_platform_is_pinned(self):
        found = verified()
        assert appraise_cas(found, CasPolicy(platforms=("INTEL_QE_ID:00", found.platform_id)))
        error = refused(appraise_cas, found, CasPolicy(platforms=("INTEL_QE_ID:00",)))
        assert names(error) == ["platform"]
        assert found.platform_id in str(error)

    def test_every_failed_clause_is_listed(self):
        worst = like(mrsigner=bytes(32), isvprodid=0, isvsvn=0, debug=True)
        policy = CasPolicy(mrenclaves=(OTHER,), isvsvn_min=1, platforms=("INTEL_QE_ID:00",))
        error = refused(
            appraise_cas, verified(platform("OutOfDateConfigurationNeeded"), worst), policy
        )
        assert names(error) == [
            "mrenclave",
            "mrsigner",
            "isvprodid",
            "isvsvn",
            "debug-mode",
            "insecure-configuration",
            "outdated-tcb",
            "platform",
        ]

    @pytest.mark.parametrize(
        "options",
        [
            {"mrsigner": OTHER},
            {"mrsigner": OTHER, "isvprodid": 1},
            {"mrsigner": OTHER, "isvsvn_min": 1},
            {"mrsigner": "ab", "isvprodid": 1, "isvsvn_min": 1},
            {"mrenclaves": ("zz" * 32,)},
            {"mrenclaves": (MRENCLAVE[:-2],)},
            {"mrenclaves": ("",)},
            {"ignore_signer": True},
            {
                "ignore_signer": True,
                "mrsigner": OTHER,
                "isvprodid": 1,
                "isvsvn_min": 1,
                "mrenclaves": (MRENCLAVE,),
            },
            {"allow_debug": True},
            {"allow_debug": True, "mrenclaves": (MRENCLAVE,)},
            {"trust_any": True},
            {"trust_any": True, "ignore_signer": True},
            {"trust_any": True, "allow_debug": True},
            {
                "trust_any": True,
                "allow_debug": True,
                "ignore_signer": True,
                "mrenclaves": (MRENCLAVE,),
            },
        ],
    )
    def test_options_that_contradict_each_other_are_refused_before_anything_else(self, options):
        with pytest.raises(UsageError):
            CasPolicy(**options)


@dataclass(frozen=True)
class Signer:
    mrsigner: str = IDENTITY.mrsigner.hex()
    isvprodid: int = IDENTITY.isvprodid
    lowest: int = 0

    def admits_svn(self, isvsvn: int) -> bool:
        return isvsvn >= self.lowest


@dataclass(frozen=True)
class Variant:
    mrenclaves: tuple[str, ...] = ()
    signer: Signer | None = None


@dataclass(frozen=True)
class Security:
    tolerate: tuple[str, ...] = ()
    ignore_advisories: Any = ()
    mode: str = "hardware"
    must_be_sgx_local: bool = False


RIGHT = (Variant((MRENCLAVE,)),)


class TestServiceVariants:
    @pytest.mark.parametrize(
        "variants",
        [
            RIGHT,
            (Variant((OTHER, MRENCLAVE.upper())),),
            (Variant((), Signer()),),
            (Variant((MRENCLAVE,), Signer()),),
            (Variant((OTHER,)), Variant((), Signer())),
            (Variant((OTHER,)), Variant((MRENCLAVE,))),
        ],
    )
    def test_one_variant_of_which_all_matches_is_enough(self, variants):
        assert appraise_service(verified(), variants, Security()).evidence == verified()

    @pytest.mark.parametrize(
        ("variants", "failed"),
        [
            ((), ["attestation"]),
            ((Variant(),), ["attestation"]),
            ((Variant((OTHER,)),), ["mrenclave"]),
            ((Variant((OTHER,), Signer()),), ["mrenclave"]),
            ((Variant((MRENCLAVE,), Signer(mrsigner=OTHER)),), ["mrsigner"]),
            ((Variant((), Signer(isvprodid=1, lowest=2)),), ["isvprodid", "isvsvn"]),
            ((Variant((OTHER,)), Variant((), Signer(lowest=2))), ["mrenclave", "isvsvn"]),
        ],
    )
    def test_otherwise_every_clause_that_failed_is_named(self, variants, failed):
        assert names(refused(appraise_service, verified(), variants, Security())) == failed

    def test_measurements_are_refused_in_scones_words(self):
        other = "db" * 32
        error = refused(appraise_service, verified(), [Variant((OTHER, other))], Security())
        none = "None of the required enclave properties are met by the enclave"
        assert error.messages == (
            "The program enclave is not trustworthy",
            none,
            "\n".join(
                [
                    none,
                    f"Error 1 of 2: Unexpected enclave measurement (MRENCLAVE, {MRENCLAVE}) - Expected {OTHER}",
                    f"Error 2 of 2: Unexpected enclave measurement (MRENCLAVE, {MRENCLAVE}) - Expected {other}",
                ]
            ),
        )
        assert error.hint == ""

    def test_a_variant_of_which_a_part_matches_says_not_all(self):
        error = refused(
            appraise_service, verified(), [Variant((MRENCLAVE,), Signer(lowest=5))], Security()
        )
        assert error.messages[-1] == (
            "Not all of the required enclave properties are met by the enclave\n"
            "Error 1 of 1: Unexpected security version (ISVSVN, 1)"
        )


THIS = verified().platform_id
ELSEWHERE = "INTEL_QE_ID:" + "ab" * 16


def test_its_platform_is_a_further_requirement():
    assert THIS.startswith("INTEL_QE_ID:")
    assert appraise_service(verified(), RIGHT, Security(), (ELSEWHERE, THIS))
    error = refused(appraise_service, verified(), RIGHT, Security(), (ELSEWHERE,))
    assert names(error) == ["platform"]
    assert error.messages[1] == f"Unexpected platform ({THIS}) - Expected {ELSEWHERE}"
    wrong = [Variant((OTHER,))]
    both = refused(appraise_service, verified(), wrong, Security(), (ELSEWHERE,))
    assert names(both) == ["platform", "mrenclave"]
    assert names(refused(appraise_service, verified(), wrong, Security(), (THIS,))) == ["mrenclave"]


def test_no_text_for_the_session_is_suggested_where_it_would_not_help():
    old = of("OutOfDate", "INTEL-SA-00001")
    error = refused(appraise_service, old, RIGHT, Security(), (ELSEWHERE,))
    assert error.hint == ""


def test_a_platform_of_before_scone_7_matches_nothing_and_the_refusal_says_so():
    error = refused(appraise_service, verified(), RIGHT, Security(), ("ab" * 32,))
    assert "64 hex digits name a SCONE quoting enclave" in error.messages[1]


@pytest.mark.parametrize("security", [Security(mode="maa"), Security(mode="none")])
def test_platforms_mean_nothing_in_other_modes(security):
    assert appraise_service(verified(), RIGHT, security, (ELSEWHERE,))


def test_remote_evidence_is_refused_where_it_must_be_local():
    security = Security(("local-attestation-trust-cas-tcb",), must_be_sgx_local=True)
    error = refused(appraise_service, verified(), RIGHT, security, (ELSEWHERE,))
    assert names(error) == ["local"]
    assert "local evidence is not available yet" in error.messages[1]


def test_tolerating_local_attestation_changes_nothing_for_remote_evidence():
    security = Security(("local-attestation-trust-cas-tcb",))
    assert appraise_service(verified(), RIGHT, security, (THIS,))
    assert names(refused(appraise_service, of("OutOfDate"), RIGHT, security, (ELSEWHERE,))) == [
        "platform",
        "outdated-tcb",
    ]


def of(status: str, *advisories: str, smt: bool = False):
    return verified(platform(status, smt=smt), advisories=advisories)


class TestServicePlatform:
    def accepts(self, found, *tolerate: str, ignore: Any = ()) -> bool:
        try:
            appraise_service(found, RIGHT, Security(tolerate, ignore))
        except NotTrustedError:
            return False
        return True

    def test_debug_mode_needs_its_toleration(self):
        debug = verified(identity=like(debug=True))
        assert not self.accepts(debug)
        assert not self.accepts(debug, "hyperthreading", "outdated-tcb")
        assert self.accepts(debug, "debug-mode")
        error = refused(appraise_service, debug, RIGHT, Security())
        assert error.messages[1] == DEBUG_TEXT
        assert error.hint == "security.attestation.tolerate: [debug-mode]"
        assert error.hint in error.messages[-1]

    def test_hyperthreading_needs_its_toleration(self):
        assert not self.accepts(of("UpToDate", smt=True))
        assert self.accepts(of("UpToDate", smt=True), "hyperthreading")

    @pytest.mark.parametrize(
        ("status", "category"),
        [
            ("OutOfDate", "outdated-tcb"),
            ("ConfigurationNeeded", "insecure-configuration"),
            ("SWHardeningNeeded", "software-hardening-needed"),
        ],
    )
    def test_a_category_needs_itself_and_each_of_its_advisories(self, status, category):
        found = of(status, "INTEL-SA-00586", "INTEL-SA-00614")
        both = ("INTEL-SA-00586", "INTEL-SA-00614")
        assert not self.accepts(found)
        assert not self.accepts(found, category)
        assert not self.accepts(found, category, ignore=both[:1])
        assert not self.accepts(found, ignore=both)
        assert self.accepts(found, category, ignore=both)
        assert self.accepts(found, category, ignore=(*both, "INTEL-SA-00999"))

    def test_combined_states_need_both_categories(self):
        found = of("OutOfDateConfigurationNeeded")
        assert not self.accepts(found, "outdated-tcb")
        assert not self.accepts(found, "insecure-configuration")
        assert self.accepts(found, "outdated-tcb", "insecure-configuration")
        found = of("ConfigurationAndSWHardeningNeeded")
        assert not self.accepts(found, "software-hardening-needed")
        assert self.accepts(found, "software-hardening-needed", "insecure-configuration")

    def test_the_wildcard_stands_for_advisories_and_not_for_their_category(self):
        found = of("OutOfDate", "INTEL-SA-00586")
        assert self.accepts(found, "outdated-tcb", ignore="*")
        assert not self.accepts(found, ignore="*")
        assert not self.accepts(found, "debug-mode", ignore="*")

    @pytest.mark.parametrize(
        ("shortcut", "advisory", "status"),
        [
            ("hyperthreading", "INTEL-SA-00233", "ConfigurationNeeded"),
            ("insecure-igpu", "INTEL-SA-00219", "ConfigurationNeeded"),
            ("aepic-leak", "INTEL-SA-00657", "OutOfDate"),
        ],
    )
    def test_a_shortcut_is_complete_by_itself(self, shortcut, advisory, status):
        assert not self.accepts(of(status, advisory))
        assert self.accepts(of(status, advisory), shortcut)
        assert not self.accepts(of(status, advisory, "INTEL-SA-00999"), shortcut)
        assert not self.accepts(of(status), shortcut)
        assert not self.accepts(of("SWHardeningNeeded", advisory), shortcut)

    def test_a_shortcut_excuses_its_own_category_only(self):
        both = of("OutOfDateConfigurationNeeded", "INTEL-SA-00233")
        assert not self.accepts(both, "hyperthreading")
        assert self.accepts(both, "hyperthreading", "outdated-tcb")

    def test_a_shortcut_covers_its_advisory_beside_others(self):
        found = of("ConfigurationNeeded", "INTEL-SA-00233", "INTEL-SA-00615")
        assert self.accepts(
            found, "hyperthreading", "insecure-configuration", ignore=("INTEL-SA-00615",)
        )

    def test_revoked_is_never_tolerated(self):
        every = (
            "debug-mode",
            "hyperthreading",
            "insecure-igpu",
            "aepic-leak",
            "outdated-tcb",
            "insecure-configuration",
            "software-hardening-needed",
        )
        assert not self.accepts(of("Revoked"), *every, ignore="*")
        error = refused(appraise_service, of("Revoked"), RIGHT, Security())
        assert names(error) == ["revoked"]
        assert error.hint == ""

    @pytest.mark.parametrize("status", [status for status in TcbStatus if status != "Revoked"])
    @pytest.mark.parametrize("smt", [False, True])
    @pytest.mark.parametrize("debug", [False, True])
    def test_what_the_refusal_suggests_is_what_accepts(self, status, smt, debug):
        found = verified(
            platform(status.value, smt=smt),
            like(debug=debug),
            advisories=("INTEL-SA-00615", "INTEL-SA-00657"),
        )
        error = refused(appraise_service, found, RIGHT, Security(("aepic-leak",)))
        lists = error.hint.removeprefix("security.attestation.tolerate: [").rstrip("]")
        tolerate, _, ignore = lists.partition("], ignore_advisories: [")
        suggested = Security(
            tuple(tolerate.split(", ")), tuple(ignore.split(", ")) if ignore else ()
        )
        assert "aepic-leak" in suggested.tolerate
        assert appraise_service(found, RIGHT, suggested)

    def test_the_platform_is_refused_in_scones_words(self):
        error = refused(appraise_service, of("OutOfDate", "INTEL-SA-00076"), RIGHT, Security())
        url = "https://www.intel.com/content/www/us/en/security-center/advisory/INTEL-SA-00076"
        assert error.messages == (
            "The program enclave is not trustworthy",
            "\n".join(
                [
                    "The enclave's TCB is not trustworthy",
                    "Security risks:",
                    "- The TCB is outdated and may be vulnerable (accepted with tolerate: [outdated-tcb])",
                    f"- See advisory INTEL-SA-00076 ({url}) (accepted with ignore_advisories: [INTEL-SA-00076])",
                ]
            ),
            "To accept the platform as it is, the session needs: security.attestation.tolerate: [outdated-tcb], ignore_advisories: [INTEL-SA-00076] (review it: attestation errors are not authenticated)",
        )

    def test_program_and_platform_are_refused_together(self):
        found = verified(platform("OutOfDate"), like(debug=True))
        error = refused(appraise_service, found, [Variant((OTHER,))], Security())
        assert names(error) == ["mrenclave", "debug-mode", "outdated-tcb", "SIM-SA-00003"]


class TestPeer:
    def test_the_same_software_on_another_machine_is_accepted(self):
        other = verified(platform(seed="other machine"))
        assert appraise_peer(other, verified()).evidence == other
        assert other.platform_id != verified().platform_id

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"mrsigner": b"\x01" * 32}, "mrsigner"),
            ({"isvprodid": 1}, "isvprodid"),
            ({"isvsvn": 0}, "isvsvn"),
            ({"debug": True}, "debug-mode"),
        ],
    )
    def test_refusals_by_name(self, change, name):
        assert names(refused(appraise_peer, verified(identity=like(**change)), verified())) == [
            name
        ]

    def test_a_newer_version_or_measurement_is_accepted(self):
        assert appraise_peer(verified(identity=like(isvsvn=2, mrenclave=bytes(32))), verified())

    def test_another_root_is_refused(self):
        other = verified(platform(vendor_seed="another vendor"))
        assert names(refused(appraise_peer, other, verified())) == ["root"]

    def test_a_debug_primary_takes_a_debug_backup(self):
        debug = verified(identity=like(debug=True))
        assert appraise_peer(debug, debug)

    @pytest.mark.parametrize("theirs", TcbStatus)
    @pytest.mark.parametrize("ours", TcbStatus)
    def test_the_platform_must_have_no_problem_that_ours_has_not(self, theirs, ours):
        newcomer, own = verified(platform(theirs.value)), verified(platform(ours.value))
        mine = CATEGORIES.get(ours, frozenset())
        if theirs is not TcbStatus.REVOKED and CATEGORIES[theirs] <= mine:
            assert appraise_peer(newcomer, own)
        else:
            refused(appraise_peer, newcomer, own)


def test_only_the_appraisal_package_holds_its_proof():
    from pathlib import Path

    import scone

    root = Path(scone.__file__).parent
    users = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "PROOF" in path.read_text().replace("_PROOF_TYPE", "")
    }
    assert users == {
        "attestation/maa.py",
        "attestation/verify.py",
        "attestation/appraise/accepted.py",
        "attestation/appraise/cas.py",
        "attestation/appraise/peer.py",
        "attestation/appraise/service.py",
    }
