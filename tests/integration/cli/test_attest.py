"""Attestation through the command line: what is trusted, remembered, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_fake_cas import MRENCLAVE, Cli, FakeCas, Keys, error, now, ok, platform

from scone.attestation.appraise import NotTrustedError, appraise_peer
from scone.attestation.cas_evidence import CasDocument
from scone.attestation.sgx.tcb import TcbStatus
from scone.attestation.verify import Anchor, verify
from scone.crypto.der import pem_to_der
from scone.tee.simulation import SimulatedPlatform
from scone.transport.http import Response


def entry(state: Path, name: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(state.read_text())["cas_db"][name]
    return value


def test_the_first_attested_cas_becomes_the_default(
    scone: Cli, attested: FakeCas, state: Path
) -> None:
    found = json.loads(state.read_text())
    assert found["default_cas"] == attested.address
    assert found["cas_db"][attested.address]["url"] == attested.url
    listed = scone("cas", "list")
    assert (listed.code, listed.out) == (0, f"* {attested.address}: {attested.url} SIMULATED\n")


def test_attesting_says_version_platform_and_that_it_is_simulated_on_stderr(
    scone: Cli, cas: FakeCas, root_pem: Path, machine: SimulatedPlatform
) -> None:
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    lines = result.err.splitlines()
    assert lines[0] == "Version of attested CAS: 0.1.0 (test)"
    assert lines[1] == f"Platform of attested CAS: {machine.platform_id}"
    assert lines[2].startswith(f"SIMULATED CAS {cas.address}: ")
    assert lines[3].startswith("Note: ")
    assert cas.keys.cas_key_hash in lines[3]
    assert len(lines) == 4


def test_with_the_key_hash_there_is_no_note_about_the_instance(
    scone: Cli, cas: FakeCas, root_pem: Path
) -> None:
    result = scone(
        "cas", "attest", cas.address, MRENCLAVE.hex(), "-c", cas.keys.cas_key_hash,
        "-s", cas.keys.software_key_hash, "-GCS", "--only_for_testing-simulation", str(root_pem),
    )  # fmt: skip
    assert result.code == 0
    assert "Note:" not in result.err


def test_nothing_of_the_user_is_shown_to_a_cas_that_is_being_attested(attested: FakeCas) -> None:
    assert attested.requests == []  # cleared by the fixture


def test_attestation_sends_no_client_certificate(scone: Cli, cas: FakeCas, root_pem: Path) -> None:
    scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert [request.path for request in cas.requests] == ["/v1/attest"]
    assert cas.requests[0].peer_spki_der is None


def test_a_simulated_cas_is_refused_without_its_root(scone: Cli, cas: FakeCas, state: Path) -> None:
    result = scone("cas", "attest", cas.address)
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("Error: Error during attestation of CAS\nCaused by: ")
    assert json.loads(state.read_text()).get("cas_db", {}) == {}


def test_another_measurement_is_told_in_scones_words(
    scone: Cli, cas: FakeCas, root_pem: Path
) -> None:
    result = scone(
        "cas", "attest", cas.address, "--mrenclave", "00" * 32,
        "--only_for_testing-simulation", str(root_pem),
    )  # fmt: skip
    assert result.code == 4
    assert result.err == (
        "Error: Error during attestation of CAS\n"
        f"Caused by: Enclave hash does not match expectation:\n{MRENCLAVE.hex()}\n"
    )


@pytest.mark.parametrize("position", ["last", "option", "before options"])
def test_the_measurement_may_stand_anywhere(
    scone: Cli, cas: FakeCas, root_pem: Path, position: str
) -> None:
    simulation = ["--only_for_testing-simulation", str(root_pem)]
    arguments = {
        "last": [cas.address, *simulation, MRENCLAVE.hex()],
        "option": [
            *simulation,
            cas.address,
            "--mrenclave",
            "00" * 32,
            "--mrenclave",
            MRENCLAVE.hex(),
        ],
        "before options": [cas.address, MRENCLAVE.hex(), *simulation],
    }[position]
    assert scone("cas", "attest", *arguments).code == 0


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        ({"nonce": "00" * 16}, "another nonce"),
        ({"nonce": None}, "another nonce"),
        ({"simulated": False}, "another platform"),
        ({"debug": True}, "another platform"),
        ({"database_key_origin": None}, "where its database key comes from"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(
    scone: Cli, cas: FakeCas, root_pem: Path, state: Path, evidence: dict[str, object], text: str
) -> None:
    cas.evidence = evidence
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert (result.code, result.out) == (4, "")
    assert text in result.err
    assert "cas_db" not in json.loads(state.read_text())


def test_evidence_relayed_from_another_cas_is_refused(
    scone: Cli, cas: FakeCas, root_pem: Path
) -> None:
    cas.tls_keys = Keys.make()  # the relay's own channel, with the evidence of the CAS behind it
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert result.code == 4
    assert "somebody may be relaying it" in result.err


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (Response(200, b"not json"), 4, "attestation document: expected JSON"),
        (Response(200, b"{" * 100_000), 4, "attestation document"),
        (Response(200, b"[]"), 4, "attestation document: expected a JSON object"),
        (Response(200, b""), 4, "attestation document"),
        (Response(302, b"", (("location", "https://elsewhere/"),)), 3, "not followed"),
        (error(500, "failed", "evil \x1b[31m text"), 1, "evil \\x1b[31m text"),
        (Response(500, b"<html>"), 1, "500 Internal Server Error"),
        (error(503, "unavailable", "stopping"), 3, "stopping"),
        (error(404, "not-found", "no such path"), 3, "connect to the client port (8081)"),
        (Response(200, b"x" * (5 * 1024 * 1024)), 3, "localhost"),
        (ok({"proof_data": {}, "additional_data": {}}), 4, "proof_data"),
    ],
)
def test_hostile_answers_are_refused_and_change_nothing(
    scone: Cli, cas: FakeCas, root_pem: Path, state: Path, answer: Response, code: int, text: str
) -> None:
    scone("self", "show-key-hash")
    before = state.read_bytes()
    cas.override["GET /v1/attest"] = lambda _: answer
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem))
    assert (result.code, result.out) == (code, "")
    assert text in result.err
    assert "Traceback" not in result.err
    assert "internal error" not in result.err
    assert state.read_bytes() == before


def test_an_unprovisioned_cas_is_refused_unless_allowed(
    scone: Cli, cas: FakeCas, root_pem: Path
) -> None:
    cas.provisioned = False
    arguments = ["cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem)]
    refused = scone(*arguments)
    assert refused.code == 4
    assert "not provisioned" in refused.err
    for spelling in (
        "--only_for_testing_allow-unprovisioned-cas",
        "--only_for_testing-allow-unprovisioned-cas",
    ):
        assert scone(*arguments, spelling).code == 0


def test_an_injected_database_key_needs_consent(scone: Cli, cas: FakeCas, root_pem: Path) -> None:
    cas.origin = "injected"
    arguments = ["cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem)]
    refused = scone(*arguments)
    assert refused.code == 4
    assert "--allow-cas-owner-secret-access" in refused.err
    assert scone(*arguments, "--allow-cas-owner-secret-access").code == 0


def test_another_cas_key_is_a_hard_error_and_sends_nothing(
    scone: Cli, attested: FakeCas, root_pem: Path, state: Path
) -> None:
    before = state.read_bytes()
    attested.keys = Keys.make()
    for arguments in (
        ["cas", "attest", attested.address, "--only_for_testing-simulation", str(root_pem)],
        ["session", "read", "some"],
        ["cas", "version"],
    ):
        result = scone(*arguments)
        assert result.code == 4
        assert "is not the one that was attested" in result.err
    assert attested.paths == ["GET /v1/attest"]
    assert state.read_bytes() == before


def test_another_cas_key_that_the_user_states_replaces_the_old_one(
    scone: Cli, attested: FakeCas, root_pem: Path
) -> None:
    attested.keys = Keys.make()
    result = scone(
        "cas", "attest", attested.address, "-c", attested.keys.cas_key_hash,
        "--only_for_testing-simulation", str(root_pem),
    )  # fmt: skip
    assert result.code == 0
    assert "Warning: the CAS" in result.err
    assert scone("cas", "version").out == "0.1.0 (test)\n"


def test_another_software_key_under_the_same_cas_key_says_attest_again(
    scone: Cli, attested: FakeCas, root_pem: Path
) -> None:
    attested.keys = Keys.make(root_of=attested.keys)
    refused = scone("cas", "version")
    assert refused.code == 4
    assert f"attest it again: scone cas attest {attested.address}" in refused.err
    assert attested.requests == []
    again = scone("cas", "attest", attested.address, "--only_for_testing-simulation", str(root_pem))
    assert again.code == 0
    assert scone("cas", "version").code == 0


def test_a_lower_epoch_is_refused_under_any_name(
    scone: Cli, attested: FakeCas, root_pem: Path
) -> None:
    simulation = ["--only_for_testing-simulation", str(root_pem)]
    attested.epoch = 5
    assert scone("cas", "attest", attested.address, *simulation).code == 0
    attested.epoch = 4
    other_name = attested.address.replace("localhost", "127.0.0.1")
    for address in (attested.address, other_name):
        result = scone("cas", "attest", address, *simulation)
        assert result.code == 4
        assert "expected at least epoch 5, as seen before, got 4" in result.err


def test_a_lower_isvsvn_is_refused(scone: Cli, attested: FakeCas, root_pem: Path) -> None:
    simulation = ["--only_for_testing-simulation", str(root_pem)]
    attested.identity = replace(attested.identity, isvsvn=3)
    assert scone("cas", "attest", attested.address, *simulation).code == 0
    attested.identity = replace(attested.identity, isvsvn=2)
    result = scone("cas", "attest", attested.address, *simulation)
    assert result.code == 4
    assert "expected at least ISVSVN 3" in result.err


def test_platforms_are_pinned_printed_and_a_change_is_warned_about(
    scone: Cli, attested: FakeCas, root_pem: Path, machine: SimulatedPlatform, state: Path
) -> None:
    assert entry(state, attested.address)["platform_id"] == machine.platform_id
    simulation = ["--only_for_testing-simulation", str(root_pem)]
    pinned = ["--platform", "INTEL_QE_ID:" + "00" * 16, "--platform", machine.platform_id.upper()]
    assert scone("cas", "attest", attested.address, *simulation, *pinned).code == 0
    other = SimulatedPlatform.generate(machine.vendor, now())
    attested.platform = other
    refused = scone("cas", "attest", attested.address, *simulation, *pinned)
    assert refused.code == 4
    assert "Unexpected platform" in refused.err
    moved = scone("cas", "attest", attested.address, *simulation)
    assert moved.code == 0
    assert "another platform than before" in moved.err


def test_an_offline_report_is_attested_without_a_connection(
    scone: Cli, cas: FakeCas, root_pem: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(cas.document("ab" * 16))
    simulation = ["--only_for_testing-simulation", str(root_pem)]
    arguments = ["cas", "attest", "offline.example", "--offline-report", str(report), *simulation]
    assert scone(*arguments, "--nonce", "cd" * 16).code == 4
    result = scone(*arguments, "--nonce", "AB" * 16)
    assert result.out == "CAS offline.example at https://offline.example:8081/ is trustworthy\n"
    assert scone(*arguments).code == 0
    assert cas.requests == []
    stale = scone(*arguments, "--verification-time", "2020-01-31")
    assert stale.code == 4
    assert scone("cas", "attest", "x", "--nonce", "ab" * 16).code == 2


def test_an_offline_report_without_a_nonce_may_be_old_and_says_so(
    scone: Cli, cas: FakeCas, root_pem: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(cas.document("ab" * 16))
    arguments = ["cas", "attest", "x", "--offline-report", str(report),
                 "--only_for_testing-simulation", str(root_pem)]  # fmt: skip
    assert "nothing proves that the report is fresh" in scone(*arguments).err
    assert "fresh" not in scone(*arguments, "--nonce", "ab" * 16).err


@pytest.mark.parametrize("at", [0, 4, 40, 600, 1500, -8])
def test_a_report_with_one_character_of_its_quote_changed_is_not_genuine(
    scone: Cli, cas: FakeCas, root_pem: Path, tmp_path: Path, at: int
) -> None:
    document = json.loads(cas.document("ab" * 16))
    quote = list(document["proof_data"]["quote"])
    quote[at] = "A" if quote[at] != "A" else "B"
    document["proof_data"]["quote"] = "".join(quote)
    report = tmp_path / "report.json"
    report.write_text(json.dumps(document, separators=(",", ":")))
    result = scone("cas", "attest", "x", "--offline-report", str(report),
                   "--only_for_testing-simulation", str(root_pem))  # fmt: skip
    assert (result.code, result.out) == (4, "")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"no report"])
def test_a_file_that_is_no_report_is_not_genuine_evidence(
    scone: Cli, tmp_path: Path, content: bytes
) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(content)
    result = scone("cas", "attest", "x", "--offline-report", str(report))
    assert (result.code, result.out) == (4, "")
    assert "attestation document: expected" in result.err


def test_the_options_that_accept_a_platform_are_told_as_a_hint(
    scone: Cli, cas: FakeCas, root_pem: Path, machine: SimulatedPlatform
) -> None:
    cas.platform = SimulatedPlatform.generate(
        machine.vendor, now(), tcb=TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    )
    arguments = ["cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem)]
    refused = scone(*arguments)
    assert refused.code == 4
    assert refused.err.endswith(
        "Hint: the state of the platform is accepted with -C (--accept-configuration-needed) and "
        "-G (--accept-group-out-of-date)\n"
    )
    assert scone(*arguments, "-G").err.endswith("with -C (--accept-configuration-needed)\n")
    assert scone(*arguments, "-CG").code == 0


def test_another_cas_that_refuses_a_platform_names_no_option_of_this_program(
    cas: FakeCas, machine: SimulatedPlatform
) -> None:
    found = []
    for one in (machine, SimulatedPlatform.generate(machine.vendor, now(), tcb="OutOfDate")):
        cas.platform = one
        document = CasDocument.parse(cas.document(None))
        root = pem_to_der(one.root_certificate_pem, "CERTIFICATE", "root")
        anchor = Anchor("simulated", root, simulated=True)
        found.append(verify(document.quote, document.collateral, [anchor], now()))
    own, newcomer = found
    with pytest.raises(NotTrustedError, match="The TCB is outdated") as refused:
        appraise_peer(newcomer, own)
    assert "-G" not in " ".join(refused.value.messages) + refused.value.hint


def test_the_root_of_another_simulated_platform_is_told_as_such(
    scone: Cli, cas: FakeCas, tmp_path: Path
) -> None:
    path = tmp_path / "other.pem"
    path.write_text(platform().root_certificate_pem)
    result = scone("cas", "attest", cas.address, "--only_for_testing-simulation", str(path))
    assert result.code == 4
    assert "another simulated platform than the one whose root was given" in result.err
    assert "--only_for_testing-simulation" not in result.err


def test_an_injected_database_key_is_marked_in_the_list(
    scone: Cli, cas: FakeCas, root_pem: Path
) -> None:
    cas.origin = "injected"
    scone("cas", "attest", cas.address, "--allow-cas-owner-secret-access",
          "--only_for_testing-simulation", str(root_pem))  # fmt: skip
    assert scone("cas", "list").out == (
        f"* {cas.address}: {cas.url} SIMULATED DATABASE KEY INJECTED\n"
    )
    assert json.loads(scone("cas", "list", "--json").out)[0]["database_key_origin"] == "injected"


def test_json_prints_the_facts(scone: Cli, cas: FakeCas, root_pem: Path) -> None:
    result = scone(
        "cas", "attest", cas.address, "--json", "--only_for_testing-simulation", str(root_pem)
    )
    facts = json.loads(result.out)
    assert facts["cas_key_hash"] == cas.keys.cas_key_hash
    assert facts["simulated"] is True
    assert facts["default"] is True
    assert facts["tcb_status"] == "UpToDate"


def test_every_later_command_says_that_the_cas_is_simulated(scone: Cli, attested: FakeCas) -> None:
    commands = [
        ["cas", "version"],
        ["cas", "show-certificate"],
        ["cas", "show-identification", "-c"],
        ["cas", "set-default", attested.address],
        ["cas", "list-backups"],
        ["session", "read", "absent"],
    ]
    for command in commands:
        lines = scone(*command).err.splitlines()
        assert sum(line.startswith("SIMULATED CAS ") for line in lines) == 1, command


def test_identification_shows_hashes_and_certificates(scone: Cli, attested: FakeCas) -> None:
    keys = attested.keys
    assert scone("cas", "show-identification", "-c").out == keys.cas_key_hash + "\n"
    assert scone("cas", "show-identification", "-s").out == keys.software_key_hash + "\n"
    assert scone("cas", "show-identification", "--session-encryption-key").out == "ab" * 32 + "\n"
    chain = scone("cas", "show-certificate", attested.address).out
    assert chain == scone("cas", "show-identification").out
    assert json.loads(scone("cas", "show-identification", "-c", "--json").out) == {
        "name": attested.address,
        "simulated": True,
        "cas_key_hash": keys.cas_key_hash,
    }
    leaf = scone("cas", "show-identification", "-S").out
    assert chain == leaf + scone("cas", "show-identification", "-C").out


def test_commands_need_an_attested_cas(scone: Cli, cas: FakeCas) -> None:
    result = scone("cas", "version", "--cas", cas.address)
    assert result.code == 1
    assert "was not attested" in result.err
    assert scone("session", "read", "x").code == 1
    assert cas.requests == []
    unverified = scone(
        "cas",
        "version",
        "--cas",
        cas.address,
        "--only_for_testing-disable-attestation-verification",
    )
    assert unverified.code == 0
    assert unverified.err.startswith(f"UNVERIFIED CAS {cas.address}: ")


def test_an_unreachable_cas_has_its_own_exit_code(scone: Cli) -> None:
    result = scone("cas", "attest", "localhost:1")
    assert result.code == 3
    assert "cannot connect to localhost:1" in result.err
