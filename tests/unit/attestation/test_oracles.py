"""The verifier against others: real quotes with known results, dcap-qvl, Intel's own library.

The real quotes lie beside the project, not in it (`shared/vectors/attestation`); without them
their tests are skipped and say so.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from forgeries import FORGERIES, MACHINE, genuine, run

from fakes.evidence import IDENTITY, NOW, REPORT_DATA, collateral, forge_quote, platform
from scone.attestation.collateral import Collateral
from scone.attestation.intel import INTEL_SGX_ROOT_CA_DER
from scone.attestation.sgx.quote import Quote
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import INTEL_SGX_ROOT, VerificationCache, verify
from scone.errors import MalformedError, SconeError, VerificationError

REAL = Path(__file__).parents[4] / "shared/vectors/attestation"
REAL_SGX = ("sgx_quote", "automata_quotev3_hex", "trustee_occlum_quote_dat")


def dcap_qvl(quote: bytes, endorsements: Collateral, root_der: bytes, now: datetime) -> str | None:
    """Status by dcap-qvl, or None when it refuses."""
    library = pytest.importorskip("dcap_qvl")
    parsed = library.QuoteCollateralV3.from_json(endorsements.to_json().decode())
    try:
        found = library.verify_with_root_ca(quote, parsed, root_der, int(now.timestamp()))
    except ValueError:
        return None
    return found.status


def intel_qvl(quote: bytes, endorsements: Collateral, root_der: bytes, now: datetime):
    """The four statuses of Intel's library: PCK, TCB info, QE identity, quote."""
    library = pytest.importorskip("sgx_dcap_quote_verify")
    from scone.attestation.certificates import to_pem

    leaf, ca, root, _ = Quote.parse(quote).pck_chain.decode().rstrip("\0").split("-----END", 3)
    begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
    leaf, ca, root = (part.split(begin)[-1] for part in (leaf, ca, root))
    found = library.verify(
        trusted_root_ca_certificate=to_pem(root_der),
        pck_certificate=begin + leaf + end,
        pck_signing_chain=begin + ca + end + begin + root + end,
        root_ca_crl=endorsements.root_ca_crl.hex(),
        intermediate_ca_crl=endorsements.pck_crl.hex(),
        tcb_info=f'{{"tcbInfo":{endorsements.tcb_info},'
        f'"signature":"{endorsements.tcb_info_signature.hex()}"}}',
        tcb_signing_chain=endorsements.tcb_info_issuer_chain,
        quote=quote,
        qe_identity=f'{{"enclaveIdentity":{endorsements.qe_identity},'
        f'"signature":"{endorsements.qe_identity_signature.hex()}"}}',
        expiration_date=now.astimezone(UTC).replace(tzinfo=None),
    )
    statuses = (
        found.pck_certificate_status,
        found.tcb_info_status,
        found.qe_identity_status,
        found.quote_status,
    )
    return tuple(status.name.removeprefix("STATUS_") for status in statuses)


INTEL_STATUS = {
    "UpToDate": "OK",
    "SWHardeningNeeded": "TCB_SW_HARDENING_NEEDED",
    "ConfigurationNeeded": "TCB_CONFIGURATION_NEEDED",
    "ConfigurationAndSWHardeningNeeded": "TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED",
    "OutOfDate": "TCB_OUT_OF_DATE",
    "OutOfDateConfigurationNeeded": "TCB_OUT_OF_DATE_CONFIGURATION_NEEDED",
    "Revoked": "TCB_REVOKED",
}


@pytest.fixture(params=REAL_SGX)
def real(request):
    folder = REAL / request.param
    if not folder.is_dir():
        pytest.skip(f"the real quote {request.param} is not here (shared/vectors/attestation)")
    case = json.loads((folder / "case.json").read_text())
    return (
        (folder / "quote.bin").read_bytes(),
        Collateral.parse((folder / "collateral.json").read_bytes()),
        datetime.fromisoformat(case["verification_time"]),
        case["expect"],
    )


class TestRealQuotes:
    def test_it_says_what_is_known_of_it(self, real):
        quote, endorsements, now, expected = real
        found = verify(quote, endorsements, [INTEL_SGX_ROOT], now)
        assert expected["result"] == "verified"
        assert found.tcb_status == expected["tcb_status"]
        assert list(found.advisories) == expected["advisory_ids"]
        assert found.debug == expected["debug"]
        assert found.report.mrenclave.hex() == expected["mrenclave"]
        assert found.report.mrsigner.hex() == expected["mrsigner"]
        assert found.report.isvprodid == expected["isvprodid"]
        assert found.report.isvsvn == expected["isvsvn"]
        assert not found.simulated
        warm = VerificationCache()
        assert verify(quote, endorsements, [INTEL_SGX_ROOT], now, warm) == found
        assert verify(quote, endorsements, [INTEL_SGX_ROOT], now, warm) == found

    def test_others_agree(self, real):
        quote, endorsements, now, expected = real
        status = expected["tcb_status"]
        other = dcap_qvl(quote, endorsements, INTEL_SGX_ROOT_CA_DER, now)
        assert other == (None if expected["debug"] else status)  # it refuses debug by policy
        found = intel_qvl(quote, endorsements, INTEL_SGX_ROOT_CA_DER, now)
        assert found == ("OK", "OK", "OK", INTEL_STATUS[status])

    def test_it_is_nothing_under_a_simulated_root(self, real):
        quote, endorsements, now, _ = real
        with pytest.raises(VerificationError, match="not a trusted root"):
            verify(quote, endorsements, [MACHINE.anchor], now)

    def test_one_flipped_bit_is_refused(self, real):
        quote, endorsements, now, _ = real
        for at in (50, 112, 400, 440, 510, 700, 1000, 1050):
            changed = bytearray(quote)
            changed[at] ^= 0x10
            with pytest.raises((VerificationError, MalformedError)):
                verify(bytes(changed), endorsements, [INTEL_SGX_ROOT], now)


@pytest.mark.parametrize("level", [status.value for status in TcbStatus])
def test_simulated_platforms_are_seen_alike_by_all(level):
    machine = platform(level)
    quote = machine.quote(IDENTITY, REPORT_DATA)
    endorsements = collateral(machine)
    ours = verify(quote, endorsements, [machine.anchor], NOW)
    assert ours.tcb_status == level
    theirs = dcap_qvl(quote, endorsements, machine.anchor.certificate_der, NOW)
    assert theirs == (None if level == "Revoked" else level)  # an error there, a status here
    found = intel_qvl(quote, endorsements, machine.anchor.certificate_der, NOW)
    assert found == ("OK", "OK", "OK", INTEL_STATUS[level])


@pytest.mark.parametrize("level", [status.value for status in TcbStatus])
@pytest.mark.parametrize("qe_version", [0, 1, 2, 3])
def test_old_quoting_enclaves_are_seen_alike_by_all(level, qe_version):
    def edit(report):
        report[258] = qe_version

    machine = platform(level)
    quote = forge_quote(machine, qe_report=edit)
    endorsements = collateral(machine)
    ours = verify(quote, endorsements, [machine.anchor], NOW).tcb_status
    theirs = dcap_qvl(quote, endorsements, machine.anchor.certificate_der, NOW)
    assert theirs == (None if ours is TcbStatus.REVOKED else ours)
    found = intel_qvl(quote, endorsements, machine.anchor.certificate_der, NOW)
    assert found[3] == INTEL_STATUS[ours]


# What dcap-qvl 0.7.0 takes (or takes otherwise) and we refuse.
STRICTER = {
    # forms without meaning: other line lengths, padding, copies of CA certificates, bounds
    "pck chain with text before it",
    "pck chain with a fourth certificate",
    "pck chain in other line lengths",
    "pck chain with two bytes behind it",
    "pck ca of another key in the quote",
    "quote of another root's platform",
    "tcb level with a thousand advisories",
    "tcb info with a thousand levels",
    "advisory with a line feed",
    "certificate of eight thousand bytes",
    "date in a longer or shorter form",
    "attestation key bound in the first half only",
    "pck signed with sha-384",
    # the caller's anchor is taken as it is
    "anchor that is not self-signed",
    "anchor that is no certification authority",
    "anchor expired",
    # checks that Intel's library has and dcap-qvl has not
    "pck crl not yet valid",
    "pck issued by the root",
    "tcb info of another pce",
    "tcb info version 2",
    "tcb info of another tcb type",
}


@pytest.mark.parametrize("name", [name for name in FORGERIES if name not in STRICTER])
def test_dcap_qvl_refuses_the_same_forgeries(name):
    case = FORGERIES[name][0]()
    for anchor in case.anchors:
        assert dcap_qvl(case.quote, case.collateral, anchor.certificate_der, case.now) is None


def test_a_few_hundred_mutated_quotes_are_judged_alike():
    source = random.Random(20261125)
    case = genuine()
    chain_at = case.quote.index(b"-----BEGIN")
    judged = {"both accept": 0, "both refuse": 0, "only we refuse": 0}
    for _ in range(400):
        changed = bytearray(case.quote)
        for _ in range(source.choice([1, 1, 1, 2, 4])):
            # Half of them in the part that is not PEM, which is a fifth of the whole.
            end = source.choice([chain_at, len(changed)])
            changed[source.randrange(end)] ^= 1 << source.randrange(8)
        quote = bytes(changed)
        theirs = dcap_qvl(quote, case.collateral, MACHINE.anchor.certificate_der, NOW)
        try:
            ours = verify(quote, case.collateral, [MACHINE.anchor], NOW).tcb_status
        except SconeError:
            ours = None
        if ours is None and theirs is not None:
            # Only where a flipped bit means nothing to them: the certificates' text and length.
            assert changed[: chain_at - 4] == case.quote[: chain_at - 4]
            judged["only we refuse"] += 1
        else:
            assert ours == theirs
            judged["both accept" if ours is not None else "both refuse"] += 1
    assert judged["both refuse"] >= 250
    assert judged["both accept"] == 0, "one encoding of one quote"


def test_intels_root_is_the_one_that_intel_publishes():
    import hashlib

    digest = hashlib.sha256(INTEL_SGX_ROOT_CA_DER).hexdigest()
    assert digest == "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    assert not INTEL_SGX_ROOT.simulated


def test_the_run_with_a_cache_agrees_with_the_run_without():
    cache = VerificationCache()
    assert run(genuine(), cache) == run(genuine())
