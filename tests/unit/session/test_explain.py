"""What `explain` says is what the appraisal does: fixes help, left-over tolerations do not count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from fakes import evidence
from scone.attestation.appraise import NotTrustedError, appraise_service
from scone.attestation.sgx.tcb import TcbStatus
from scone.session import read_session
from scone.session.review.explain import needs, verdict_on

BASE = """
name: demo
version: "0.3.12"
services:
- name: app
  command: app
  attestation: ATTESTATION
access_policy: {read: [CREATOR], update: [CREATOR]}
security: SECURITY
"""
OWN = evidence.IDENTITY
VARIANTS = {
    "own": f"[{{mrenclave: {OWN.mrenclave.hex()}}}]",
    "other": f"[{{mrenclave: {'ab' * 32}}}]",
    "signer": f"[{{signer: {{mrsigner: {OWN.mrsigner.hex()}, isvprodid: {OWN.isvprodid}, "
    "isvsvn_min: 9}}]",
    "both": f"[{{mrenclave: {'ab' * 32}, signer: {{mrsigner: {OWN.mrsigner.hex()}, "
    f"isvprodid: {OWN.isvprodid}}}}}]",
}
SECURITIES = (
    "{}",
    "{attestation: {tolerate: [hyperthreading, debug-mode, outdated-tcb]}}",
    "{attestation: {tolerate: [insecure-configuration], ignore_advisories: [SIM-SA-00002]}}",
    "{attestation: {tolerate: [software-hardening-needed], ignore_advisories: '*'}}",
)


def session(variants, security):
    text = BASE.replace("ATTESTATION", VARIANTS.get(variants, variants))
    return read_session(text.replace("SECURITY", security)).session


def accepts(described, verified):
    service = described.service("app")
    try:
        appraise_service(verified, service.variants, described.security, service.platforms)
    except NotTrustedError:
        return False
    return True


@pytest.mark.parametrize("variants", VARIANTS)
@pytest.mark.parametrize("security", range(len(SECURITIES)))
@pytest.mark.parametrize("status", list(TcbStatus))
def test_the_verdict_is_the_appraisals_and_the_fix_is_accepted(variants, security, status):
    for debug in (False, True):
        verified = evidence.verified(
            evidence.platform(status, smt=debug), replace(OWN, debug=debug)
        )
        described = session(variants, SECURITIES[security])
        verdict = verdict_on(described, described.service("app"), verified)
        assert verdict.accepted == accepts(described, verified)
        if status is TcbStatus.REVOKED:
            assert verdict.fix == ""
            continue
        assert (verdict.fix == "") == verdict.accepted
        fixed = merged(variants, SECURITIES[security], verdict.fix)
        assert accepts(fixed, verified), verdict.fix


def merged(variants, security, fix):
    data = yaml.safe_load(fix) if fix else {}
    for service in data.get("services", ()):
        return session(yaml.safe_dump(service["attestation"], default_flow_style=True).strip(),
                       yaml.safe_dump(data.get("security") or yaml.safe_load(security),
                                      default_flow_style=True).strip())  # fmt: skip
    found = yaml.safe_dump(
        data.get("security") or yaml.safe_load(security), default_flow_style=True
    )
    return session(variants, found.strip())


def test_tolerations_are_divided_into_needed_and_left_over():
    verified = evidence.verified(evidence.platform(TcbStatus.CONFIGURATION_NEEDED))
    described = session(
        "own",
        "{attestation: {tolerate: [insecure-configuration, debug-mode, outdated-tcb], "
        "ignore_advisories: '*'}}",
    )
    verdict = verdict_on(described, described.service("app"), verified)
    assert verdict.accepted
    assert verdict.needed == ("tolerate: insecure-configuration", 'ignore_advisories: "*"')
    assert verdict.left_over == ("tolerate: debug-mode", "tolerate: outdated-tcb")
    assert verdict.instead == "ignore_advisories: [SIM-SA-00002]"


def test_each_requirement_says_what_was_expected_and_found():
    verified = evidence.verified()
    described = session("both", "{}")
    verdict = verdict_on(described, described.service("app"), verified)
    found = {
        one.name: (one.passed, one.expected, one.found) for one in verdict.variants[0].requirements
    }
    assert found["mrenclave"] == (False, "ab" * 32, OWN.mrenclave.hex())
    assert found["mrsigner"] == (True, OWN.mrsigner.hex(), OWN.mrsigner.hex())
    assert found["isvsvn"][:2] == (True, "any")


def test_another_platform_is_told_with_the_one_to_add():
    verified = evidence.verified()
    text = BASE.replace("ATTESTATION", VARIANTS["own"]).replace("SECURITY", "{}")
    text = text.replace(
        "  command: app\n", f'  command: app\n  platforms: ["INTEL_QE_ID:{"0" * 32}"]\n'
    )
    described = read_session(text).session
    verdict = verdict_on(described, described.service("app"), verified)
    assert not verdict.accepted
    assert verified.platform_id in verdict.fix
    assert [one.name for one in verdict.platform if not one.passed] == ["platform"]


def test_mode_none_asks_for_nothing():
    described = session("own", "{attestation: {mode: none}}")
    service = described.service("app")
    assert verdict_on(described, service, evidence.verified()).accepted
    assert needs(described, service).evidence == (
        "none: whoever asks gets the configuration (mode: none)",
    )


def test_the_claims_of_a_token_are_seen_with_it():
    described = read_session(
        """
name: demo
version: "0.3.12"
secrets:
- {name: key, kind: private-key, key_type: P-384}
- {name: user, kind: ascii}
- {name: token, kind: jwt, signer: key, alg: ES384, validity: {for: 1 hour}, payload: {sub: $$SCONE::user$$}}
services:
- {name: app, command: app, environment: {TOKEN: $$SCONE::token$$}, attestation: [{mrenclave: MEASURED}]}
access_policy: {read: [CREATOR], update: [CREATOR]}
""".replace("MEASURED", "ab" * 32)
    ).session
    found = [str(one) for one in needs(described, described.service("app")).secrets]
    assert found == ["token in variable TOKEN", "user in claim sub of token, variable TOKEN"]


def test_a_fragment_of_the_same_file_is_known():
    text = """
name: demo
version: "0.3.12"
secrets:
- {name: rules, kind: config-fragment, value: {tolerate: [debug-mode]}}
- {name: measured, kind: config-fragment, value: [MEASURED]}
- {name: plain, kind: ascii, value: hunter2}
services:
- {name: app, command: app, attestation: {mrenclave: $$SCONE::measured$$}}
security: {attestation: $$SCONE::rules$$, service_access_token: $$SCONE::plain$$}
""".replace("MEASURED", "ab" * 32)
    described = read_session(text).session
    found = needs(described, described.service("app"))
    assert not any("not known" in line for line in found.evidence)
    assert any("ab" * 32 in line for line in found.evidence)
    assert "platform up to date, except: debug-mode tolerated" in found.evidence
    far = text.replace("value: {tolerate: [debug-mode]}", "import: {session: o}")
    described = read_session(far).session
    assert needs(described, described.service("app")).evidence == (
        "decided by secrets that are not known here (below)",
    )
