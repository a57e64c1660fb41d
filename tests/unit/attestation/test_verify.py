"""`verify`: genuine evidence is accepted with what it says, everything else is refused by name."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from itertools import product

import pytest
from forgeries import FORGERIES, MACHINE, genuine, run

from fakes.evidence import (
    IDENTITY,
    NOW,
    REPORT_DATA,
    collateral,
    forge_quote,
    platform,
    resign,
    vendor,
    verified,
)
from scone.attestation.sgx.tcb import TcbStatus, converge
from scone.attestation.verify import (
    INTEL_SGX_ROOT,
    VerificationCache,
    VerifiedEvidence,
    verify,
)
from scone.errors import MalformedError, VerificationError
from scone.tee.base import EnclaveIdentity

STATUSES = [status.value for status in TcbStatus]


def test_a_genuine_quote_says_what_the_platform_signed():
    found = run(genuine())
    assert found.tee == "sgx"
    assert found.report.mrenclave == IDENTITY.mrenclave
    assert found.report.mrsigner == IDENTITY.mrsigner
    assert (found.report.isvprodid, found.report.isvsvn) == (41316, 1)
    assert found.report.report_data == REPORT_DATA
    assert found.tcb_status is TcbStatus.UP_TO_DATE
    assert found.advisories == ()
    assert (found.smt, found.debug, found.simulated) == (False, False, True)
    assert found.platform_id == MACHINE.platform_id
    assert re.fullmatch(r"INTEL_QE_ID:[0-9a-f]{32}", found.platform_id)
    assert found.fmspc.hex() == "53494d000001"
    assert found.anchor == MACHINE.anchor
    assert found.valid_until == NOW.replace(hour=0) + timedelta(days=29)


@pytest.mark.parametrize("level", STATUSES)
def test_each_tcb_level_is_a_status_and_not_a_refusal(level):
    assert verified(platform(level)).tcb_status == level


def test_debug_and_smt_are_returned_and_not_decided():
    debug = dataclasses.replace(IDENTITY, debug=True)
    found = verified(platform(smt=True), debug)
    assert (found.debug, found.smt) == (True, True)


def test_advisories_of_platform_and_quoting_enclave_are_joined_and_sorted():
    def old_qe(report):
        report[258] = 1  # ISVSVN

    machine = platform("SWHardeningNeeded")
    found = verify(
        forge_quote(machine, qe_report=old_qe), collateral(machine), [machine.anchor], NOW
    )
    assert found.tcb_status is TcbStatus.OUT_OF_DATE
    assert found.advisories == ("SIM-SA-00001", "SIM-SA-00005")


def test_a_quoting_enclave_below_every_level_is_revoked():
    def no_version(report):
        report[258] = 0

    quote = forge_quote(MACHINE, qe_report=no_version)
    assert run(dataclasses.replace(genuine(), quote=quote)).tcb_status is TcbStatus.REVOKED


def test_levels_are_matched_from_the_highest_whatever_their_order_in_the_document():
    reversed_levels = resign(
        vendor(), collateral(), tcb_info=lambda body: body["tcbLevels"].reverse()
    )
    case = dataclasses.replace(genuine(), collateral=reversed_levels)
    assert run(case).tcb_status is TcbStatus.UP_TO_DATE


CONVERGED = {
    "UpToDate": ("UpToDate", "OutOfDate"),
    "SWHardeningNeeded": ("SWHardeningNeeded", "OutOfDate"),
    "ConfigurationNeeded": ("ConfigurationNeeded", "OutOfDateConfigurationNeeded"),
    "ConfigurationAndSWHardeningNeeded": (
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDateConfigurationNeeded",
    ),
    "OutOfDate": ("OutOfDate", "OutOfDate"),
    "OutOfDateConfigurationNeeded": (
        "OutOfDateConfigurationNeeded",
        "OutOfDateConfigurationNeeded",
    ),
    "Revoked": ("Revoked", "Revoked"),
}


@pytest.mark.parametrize(
    ("of_platform", "of_qe"), list(product(STATUSES, ["UpToDate", "OutOfDate", "Revoked"]))
)
def test_platform_and_quoting_enclave_converge_as_in_intels_library(of_platform, of_qe):
    up, out = CONVERGED[of_platform]
    expected = {"UpToDate": up, "OutOfDate": out, "Revoked": "Revoked"}[of_qe]
    assert converge(TcbStatus(of_platform), TcbStatus(of_qe)) == expected


def test_there_are_forgeries_to_try():
    assert len(FORGERIES) >= 80


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_by_name(name):
    maker, says = FORGERIES[name]
    with pytest.raises((VerificationError, MalformedError), match=re.escape(says)):
        run(maker())


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_after_genuine_evidence_has_warmed_the_cache(name):
    cache = VerificationCache()
    run(genuine(), cache)
    maker, says = FORGERIES[name]
    with pytest.raises((VerificationError, MalformedError), match=re.escape(says)):
        run(maker(), cache)


def test_simulated_evidence_is_nothing_under_intels_root():
    with pytest.raises(VerificationError, match="not a trusted root"):
        run(dataclasses.replace(genuine(), anchors=(INTEL_SGX_ROOT,)))


def test_the_anchor_that_verified_is_in_the_result():
    anchors = (INTEL_SGX_ROOT, vendor("another").anchor, MACHINE.anchor)
    assert run(dataclasses.replace(genuine(), anchors=anchors)).anchor == MACHINE.anchor


def test_a_reissued_pck_ca_with_the_same_name_and_key_is_accepted():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    old = vendor().pck_ca.certificate
    builder = x509.CertificateBuilder(
        subject_name=old.subject,
        issuer_name=old.issuer,
        public_key=old.public_key(),
        serial_number=4711,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=NOW + timedelta(days=5),
        extensions=list(old.extensions),
    )
    again = dataclasses.replace(
        vendor().pck_ca, certificate=builder.sign(vendor().root.key, hashes.SHA256())
    )
    chain = (MACHINE.secrets.pck.pem + again.pem + vendor().root.pem).encode()
    case = dataclasses.replace(genuine(), quote=forge_quote(MACHINE, pck_chain=chain))
    found = run(case)
    assert found.valid_until == NOW + timedelta(days=5)

    revoked = vendor().collateral(NOW, revoked_by_root=[4711])
    with pytest.raises(VerificationError, match=r"quote\.pck chain: CA: revoked"):
        run(dataclasses.replace(case, collateral=revoked))


def test_a_naive_time_is_a_programming_error():
    with pytest.raises(TypeError):
        run(dataclasses.replace(genuine(), now=NOW.replace(tzinfo=None)))


class TestProofInTypes:
    def test_nobody_else_constructs_verified_evidence(self):
        found = run(genuine())
        fields = {
            item.name: getattr(found, item.name) for item in dataclasses.fields(VerifiedEvidence)
        }
        for proof in (None, object(), found):
            with pytest.raises(TypeError, match="only verify"):
                VerifiedEvidence(**fields, proof=proof)

    def test_verified_evidence_is_not_edited_by_replace(self):
        with pytest.raises((TypeError, ValueError)):
            dataclasses.replace(run(genuine()), tcb_status=TcbStatus.UP_TO_DATE)


class TestCache:
    def test_a_warm_verification_equals_a_cold_one_and_is_served_from_the_cache(self):
        cache = VerificationCache()
        cold = run(genuine(), cache)
        assert len(cache) == 2
        assert run(genuine(), cache) == cold == run(genuine())
        assert len(cache) == 2

    def test_a_warm_verification_costs_two_signatures(self, monkeypatch):
        from scone.attestation import certificates
        from scone.attestation import verify as module

        cache = VerificationCache()
        run(genuine(), cache)
        checked = []
        genuine_check = certificates.require_signature
        monkeypatch.setattr(
            module,
            "require_signature",
            lambda *args: (checked.append(args[3]), genuine_check(*args)),
        )
        monkeypatch.setattr(certificates.Certificate, "load", None)
        run(genuine(), cache)
        assert checked == ["quote.qe report", "quote"]

    def test_a_hit_is_refused_outside_its_window(self):
        cache = VerificationCache()
        end = run(genuine(), cache).valid_until
        late = dataclasses.replace(genuine(), now=end + timedelta(seconds=1))
        assert run(dataclasses.replace(genuine(), now=end), cache).valid_until == end
        with pytest.raises(VerificationError, match="expired"):
            run(late, cache)

    def test_a_pck_that_expires_before_the_collateral_is_refused_on_a_hit(self):
        from forgeries import pck_by, with_leaf

        cache = VerificationCache()
        case = with_leaf(pck_by(vendor().pck_ca, days=3))
        end = run(case, cache).valid_until
        assert end < run(genuine(), cache).valid_until
        with pytest.raises(VerificationError, match=r"quote\.pck chain: expired"):
            run(dataclasses.replace(case, now=end + timedelta(seconds=1)), cache)

    def test_a_hit_does_not_outlive_trust_in_the_anchor(self):
        cache = VerificationCache()
        run(genuine(), cache)
        for anchors in ((), (INTEL_SGX_ROOT,)):
            with pytest.raises(VerificationError, match="not a trusted root"):
                run(dataclasses.replace(genuine(), anchors=anchors), cache)

    def test_the_same_root_under_another_mark_is_another_entry(self):
        cache = VerificationCache()
        run(genuine(), cache)
        unmarked = dataclasses.replace(MACHINE.anchor, simulated=False)
        found = run(dataclasses.replace(genuine(), anchors=(unmarked,)), cache)
        assert found.anchor == unmarked

    def test_a_newer_revocation_list_is_not_hidden_by_an_older_entry(self):
        cache = VerificationCache()
        run(genuine(), cache)
        serial = MACHINE.secrets.pck.certificate.serial_number
        newer = vendor().collateral(NOW, revoked_by_pck_ca=[serial])
        with pytest.raises(VerificationError, match="revoked"):
            run(dataclasses.replace(genuine(), collateral=newer), cache)

    def test_refusals_are_not_kept(self):
        cache = VerificationCache()
        for maker, _ in list(FORGERIES.values())[:10]:
            with pytest.raises((VerificationError, MalformedError)):
                run(maker(), cache)
        assert len(cache) <= 2  # the genuine collateral of some of them
        run(genuine(), cache)

    def test_it_is_bounded(self):
        cache = VerificationCache(collaterals=2, platforms=3)
        for seed in range(6):
            machine = platform(seed=f"many {seed}")
            quote = machine.quote(IDENTITY, REPORT_DATA)
            verify(quote, collateral(machine), [machine.anchor], NOW, cache)
        assert len(cache) == 1 + 3
        for days in range(4):
            now = NOW + timedelta(days=days)
            verify(quote, collateral(machine, now), [machine.anchor], now, cache)
        assert len(cache) == 2 + 3


def test_another_program_is_other_evidence():
    other = EnclaveIdentity(b"\x01" * 32, b"\x02" * 32, 3, 4, debug=True)
    found = verified(identity=other, report_data=b"\x05" * 64).report
    assert (found.mrenclave, found.mrsigner) == (b"\x01" * 32, b"\x02" * 32)
    assert (found.isvprodid, found.isvsvn, found.debug) == (3, 4, True)
    assert found.report_data == b"\x05" * 64
