"""Services attested by Microsoft Azure Attestation: a local one that checks what it is sent."""

import harness
import pytest

from fakes import azure as fakes
from scone.tee.base import EnclaveIdentity

SESSION = """
name: demo
version: "0.3.10"
security:
  attestation:
    mode: maa
    url: https://{host}{slash}
    tolerate: [{tolerate}]
    {more}
services:
  - name: app
    command: app --flag
    attestation:
      mrenclave: {mrenclave}
    platforms: ["INTEL_QE_ID:00000000000000000000000000000000"]
"""


@pytest.fixture
def azure():
    fake, stop = fakes.serve()
    fake.maa = fakes.FakeMaa(f"https://{fake.host}")
    yield fake
    stop()


@pytest.fixture
def cas(fresh, owner, azure):
    status, answer = harness.provision(fresh, owner, azure.config)
    assert status == 200, answer
    return fresh


@pytest.fixture
def put(cas, owner, azure):
    def go(slash="", tolerate="debug, maa-managed-tcb", more="", host=None):
        text = SESSION.format(
            host=host or azure.host,
            slash=slash,
            tolerate=tolerate,
            more=more,
            mrenclave=harness.SERVICE_PROGRAM.mrenclave.hex(),
        )
        status, answer = harness.create(cas, text, owner)
        assert status == 201, answer

    return go


@pytest.fixture
def refused(cas, platform):
    def go(**more):
        status, body = cas.attest_service(platform, "demo/app", **more)
        assert status >= 400, body
        return " | ".join(body["msg"])

    return go


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_service_is_attested_by_maa(put, cas, azure, platform, slash):
    """The page's example, `debug` and a list of platforms (which means nothing) included."""
    put(slash)
    status, body = cas.attest_service(platform, "demo/app")
    assert status == 200, body
    assert azure.requests == ["POST /attest/SgxEnclave", "GET /certs"]
    assert len(azure.maa.quotes) == 1


def test_the_sessions_own_policy_holds_as_well(put, refused, azure):
    put()
    other = EnclaveIdentity(bytes(32), harness.SERVICE_PROGRAM.mrsigner, 7, 3)
    text = refused(program=other)
    assert text.startswith("Microsoft Azure Attestation failed | The program enclave")
    assert "Unexpected enclave measurement (MRENCLAVE" in text


def test_a_quote_of_another_channel_is_refused(put, refused):
    put()
    assert "another channel" in refused(lie=lambda _: {"exporter": bytes(32)})


def test_a_token_about_another_quote_is_refused(put, refused, azure):
    put()
    azure.maa.claims = {"x-ms-sgx-report-data": "00" * 64}
    assert "another channel" in refused()


def test_a_token_with_another_measurement_than_the_quote_does_not_help(put, refused, azure):
    """What counts is the token, not what the program says of itself."""
    put()
    azure.maa.claims = {"x-ms-sgx-mrenclave": "00" * 32}
    assert "Unexpected enclave measurement" in refused()


def test_evidence_that_maa_does_not_accept_is_refused(put, refused, azure):
    put()
    azure.faults["untrusted"] = True
    assert "does not accept the evidence (status 400, InvalidParameter)" in refused()


def test_a_token_of_another_signer_is_refused(put, refused, azure):
    from cryptography.hazmat.primitives.asymmetric import rsa

    put()
    azure.maa.signer = rsa.generate_private_key(65537, 2048)
    assert "signature is wrong" in refused()


def test_no_service_is_called_that_the_owner_has_not_allowed(put, refused, azure):
    put(host="evil.example")
    assert "not allowed to connect to evil.example" in refused()
    assert azure.requests == []


def test_the_sessions_certificates_authenticate_the_service(put, refused, azure):
    """In place of those of the owner's configuration: here another authority, so it is refused."""
    other, stop = fakes.serve()
    stop()
    pem = other.roots_pem.replace("\n", "\n        ")
    put(more=f"certificates:\n      - |\n        {pem}")
    assert "TLS: " in refused()
    assert azure.requests == []


def test_the_right_certificates_of_the_session(put, cas, azure, platform):
    from dataclasses import replace

    phase = cas.cas.phase
    without = replace(phase.config, azure=replace(phase.config.azure, ca_certificates=None))
    cas.cas.phase = replace(phase, config=without)
    pem = azure.roots_pem.replace("\n", "\n        ")
    put(more=f"certificates:\n      - |\n        {pem}")
    status, body = cas.attest_service(platform, "demo/app")
    assert status == 200, body


def test_no_evidence_is_refused_without_asking_anybody(put, refused, azure):
    put()
    assert "no evidence" in refused(lie=lambda _: {"quote": None})
    assert azure.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"token": 1}', b'{"token": "a.b.c"}', b"x" * 300_000]
)
def test_a_strange_answer_is_refused(put, refused, azure, body):
    put()
    azure.faults["body"] = body
    assert refused().startswith("Microsoft Azure Attestation failed")
