"""The simulated platform: marked as what it is, same bytes for the same seed, sealing per machine."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fakes.evidence import IDENTITY, NOW, REPORT_DATA, platform, seeded, tee, vendor, verified
from scone import release
from scone.attestation.intel import INTEL_SGX_ROOT_CA_DER
from scone.attestation.sgx.quote import Quote
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import verify
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError
from scone.tee.base import EnclaveIdentity, Tee
from scone.tee.simulation import SimulatedPlatform, SimulatedVendor

INTEL_QE_MRSIGNER = "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff"


def certificates(machine: SimulatedPlatform) -> list[x509.Certificate]:
    collateral = machine.collateral(NOW)
    texts = (
        Quote.parse(machine.quote(IDENTITY, REPORT_DATA)).pck_chain,
        collateral.pck_crl_issuer_chain.encode(),
        collateral.tcb_info_issuer_chain.encode(),
        collateral.qe_identity_issuer_chain.encode(),
    )
    return [found for text in texts for found in x509.load_pem_x509_certificates(text)]


def test_every_certificate_says_that_it_is_simulated_in_both_names():
    found = certificates(platform())
    assert len(found) == 9
    for certificate in found:
        for name in (certificate.subject, certificate.issuer):
            assert "SIMULATED" in name.rfc4514_string()
            assert "CN=SIM SGX" in name.rfc4514_string()


def test_nothing_of_it_could_be_intels():
    machine = platform()
    collateral = machine.collateral(NOW)
    assert verified().fmspc.hex() == "53494d000001"
    assert b"53494D000001" in collateral.tcb_info.encode()
    assert INTEL_QE_MRSIGNER not in collateral.qe_identity.lower()
    assert b"SIMULATED" in Quote.parse(machine.quote(IDENTITY, REPORT_DATA)).qe_report.mrsigner
    assert "INTEL-SA" not in collateral.tcb_info + collateral.qe_identity
    assert machine.anchor.simulated
    assert machine.anchor.certificate_der != INTEL_SGX_ROOT_CA_DER


def test_the_same_seed_gives_the_same_bytes_and_another_another():
    def made(seed: str) -> tuple[bytes, bytes]:
        machine = SimulatedPlatform.generate(
            SimulatedVendor.generate(NOW, seeded(seed)), NOW, random=seeded(seed)
        )
        return machine.quote(IDENTITY, REPORT_DATA), machine.collateral(NOW).to_json()

    assert made("a") == made("a")
    assert made("a")[0] != made("b")[0]
    assert made("a")[1] != made("b")[1]


def test_without_a_seed_no_two_are_the_same():
    first, second = (
        SimulatedPlatform.generate(SimulatedVendor.generate(NOW), NOW) for _ in range(2)
    )
    assert first.anchor != second.anchor
    assert first.platform_id != second.platform_id


def test_collateral_is_valid_for_a_month_and_renewed_a_week_before_its_end():
    machine = SimulatedPlatform.generate(vendor(), NOW, random=seeded("renewal"))
    first = machine.collateral(NOW)
    assert machine.collateral(NOW + timedelta(days=21)) is first
    renewed = machine.collateral(NOW + timedelta(days=23))
    assert renewed.id != first.id
    assert machine.collateral(NOW - timedelta(days=1)).id != first.id  # the clock went back
    for days in range(0, 120, 3):
        now = NOW + timedelta(days=days)
        quote = machine.quote(IDENTITY, REPORT_DATA)
        found = verify(quote, machine.collateral(now), [machine.anchor], now)
        assert found.valid_until - now > timedelta(days=6)


def test_the_same_day_gives_the_same_collateral_after_a_restart():
    morning, evening = NOW.replace(hour=0), NOW.replace(hour=23, minute=59)
    assert vendor().collateral(morning).id == vendor().collateral(evening).id
    assert vendor().collateral(morning).id != vendor().collateral(NOW + timedelta(days=1)).id


def test_an_unknown_level_is_a_usage_error_that_names_the_known_ones():
    with pytest.raises(UsageError, match="unknown TCB level 'Fine'") as caught:
        SimulatedPlatform.generate(vendor(), NOW, tcb="Fine")
    assert all(status.value in caught.value.hint for status in TcbStatus)


@pytest.mark.parametrize(
    ("identity", "report_data"),
    [
        (IDENTITY, bytes(63)),
        (IDENTITY, bytes(65)),
        (EnclaveIdentity(bytes(31), bytes(32), 0, 0), REPORT_DATA),
        (EnclaveIdentity(bytes(32), bytes(33), 0, 0), REPORT_DATA),
    ],
)
def test_a_quote_needs_values_of_the_right_length(identity, report_data):
    with pytest.raises(MalformedError):
        platform().quote(identity, report_data)


class TestSealing:
    def test_a_key_is_for_one_machine_measurement_and_label(self):
        one, other = platform(), platform(seed="other machine")
        found = [
            one.seal_key(bytes(32), "seal"),
            one.seal_key(b"\x01" * 32, "seal"),
            one.seal_key(bytes(32), "other"),
            other.seal_key(bytes(32), "seal"),
        ]
        assert len({key.reveal() for key in found}) == 4
        assert {len(key) for key in found} == {32}
        assert one.seal_key(bytes(32), "seal") == found[0]
        assert isinstance(found[0], SecretBytes)

    def test_a_measurement_of_another_length_is_refused(self):
        with pytest.raises(MalformedError):
            platform().seal_key(bytes(31), "x")

    def test_no_secret_in_a_repr(self):
        machine = platform()
        secret = machine.secrets.sealing.reveal()
        for text in (repr(machine), repr(machine.secrets), repr(tee())):
            assert secret.hex() not in text
            assert repr(secret) not in text


def test_a_tee_speaks_for_its_program():
    one: Tee = tee()
    found = verify(one.quote(REPORT_DATA).quote, one.collateral(), [platform().anchor], NOW)
    assert found.report.mrenclave == IDENTITY.mrenclave
    assert one.sealing_key("x") == platform().seal_key(IDENTITY.mrenclave, "x")


class TestRelease:
    def test_the_release_signer_is_a_hash_of_its_label_and_of_no_key(self):
        label = release.RELEASE_SIGNER_LABEL.encode()
        assert hashlib.sha256(label).digest() == release.RELEASE_MRSIGNER
        assert len(label) not in (32, 384)  # neither an Ed25519 key nor an SGX modulus

    def test_the_development_signer_is_what_its_seed_gives(self):
        seed = hashlib.sha256(release.DEVELOPMENT_SIGNER_LABEL.encode()).digest()
        assert seed == release.DEVELOPMENT_SIGNING_KEY
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        assert hashlib.sha256(public).digest() == release.DEVELOPMENT_MRSIGNER

    def test_the_constants(self):
        assert release.RELEASE_ISVPRODID == 41316
        assert release.MIN_ISVSVN == 1
