"""Provisioning through the command line: nothing leaves before the CAS has proved itself."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_fake_cas import MRENCLAVE, TOKEN, Cli, FakeCas, Keys, Result, error

from scone.transport.http import Request, Response

CONFIG = '[api_identity]\ncommon_name = "mycas"\nalt_names = ["cas", "localhost"]\n'
DATABASE_KEY = "cfadf5e00443f15e4670e253e353dda80eac0b1295903fdc96339554a78cde0a"
DONE = "Done, CAS configuration was successfully provisioned. You are now owner of the CAS.\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "owner.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


Provision = Callable[..., Result]


@pytest.fixture
def provision(scone: Cli, cas: FakeCas, config: Path, token: Path, root_pem: Path) -> Provision:
    """`scone cas provision ... with-attestation`, as the demo runs it; arguments replace parts."""
    cas.provisioned = False
    first_hash = cas.keys.cas_key_hash

    def run(
        *more: str,
        c: str = first_hash,
        token: str = f"@{token}",
        config_file: str = str(config),
    ) -> Result:
        return scone(
            "cas", "provision", cas.address, "-c", c, "--token", token, "--config-file", config_file,
            *more, "with-attestation", "--only_for_testing-simulation", str(root_pem),
        )  # fmt: skip

    return run


def posts(cas: FakeCas) -> list[Request]:
    return [request for request in cas.requests if request.method == "POST"]


def test_provisioning_claims_attests_again_and_stores_the_cas(
    scone: Cli, provision: Provision, cas: FakeCas
) -> None:
    first = cas.keys
    result = provision()
    assert result.code == 0
    assert result.out == (
        f"CAS {cas.address} at {cas.url} is trustworthy\n"
        f"New CAS public key hash: {cas.keys.cas_key_hash}\n"
        f"New CAS software public key hash: {cas.keys.software_key_hash}\n" + DONE
    )
    assert result.err.startswith(
        "This command will provision and claim ownership of a CAS.\n    The ownership will be bound"
    )
    assert cas.paths == ["GET /v1/attest", "POST /v1/provision", "GET /v1/attest"]
    assert cas.requests[0].peer_spki_der is None
    assert cas.requests[1].peer_spki_der is not None
    assert cas.requests[0].query["nonce"] != cas.requests[2].query["nonce"]
    assert cas.keys != first
    assert scone("cas", "list").out == f"* {cas.address}: {cas.url} SIMULATED\n"
    assert scone("cas", "show-identification", "-c").out == cas.keys.cas_key_hash + "\n"
    assert "visible to all users" not in result.err


def test_options_stand_before_and_after_the_address(
    scone: Cli, cas: FakeCas, config: Path, root_pem: Path
) -> None:
    cas.provisioned = False
    result = scone(
        "cas", "provision", "-c", cas.keys.cas_key_hash, cas.address, "-s",
        cas.keys.software_key_hash, "--config-file", str(config), "--token", TOKEN,
        "with-attestation", "-GCS", MRENCLAVE.hex(), "--only_for_testing-simulation", str(root_pem),
    )  # fmt: skip
    assert result.code == 0
    assert "Warning: a value of --token on the command line is visible" in result.err


def lie_software(cas: FakeCas) -> None:
    cas.identity = replace(cas.identity, mrsigner=bytes(32))


def lie_nonce(cas: FakeCas) -> None:
    cas.evidence = {"nonce": "00" * 16}


def lie_relay(cas: FakeCas) -> None:
    cas.tls_keys = Keys.make()


def lie_key(cas: FakeCas) -> None:
    cas.keys = Keys.make()


def lie_garbage(cas: FakeCas) -> None:
    cas.override["GET /v1/attest"] = lambda _: Response(200, b"{}")


def lie_redirect(cas: FakeCas) -> None:
    cas.override["GET /v1/attest"] = lambda _: Response(307, b"", (("location", "https://x/"),))


def lie_oversized(cas: FakeCas) -> None:
    cas.override["GET /v1/attest"] = lambda _: Response(200, b" " * (5 << 20))


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lie_software, 4),
        (lie_nonce, 4),
        (lie_relay, 4),
        (lie_key, 4),
        (lie_garbage, 4),
        (lie_redirect, 3),
        (lie_oversized, 3),
    ],
)
def test_a_cas_that_does_not_prove_itself_gets_no_byte(
    provision: Provision, cas: FakeCas, lie: Callable[[FakeCas], None], code: int
) -> None:
    lie(cas)
    result = provision()
    assert (result.code, result.out) == (code, "")
    assert posts(cas) == []
    assert cas.bodies == b""
    assert all(request.peer_spki_der is None for request in cas.requests)


def test_a_cas_that_changes_its_key_between_evidence_and_claim_gets_no_byte(
    provision: Provision, cas: FakeCas
) -> None:
    honest = cas.document

    def attest_then_swap(request: Request) -> Response:
        document = honest(request.query["nonce"])
        cas.tls_keys = Keys.make()  # the next connection ends elsewhere
        return Response(200, document)

    cas.override["GET /v1/attest"] = attest_then_swap
    result = provision()
    assert result.code == 4
    assert posts(cas) == []


def test_a_wrong_token_is_refused_and_not_repeated_in_the_message(
    provision: Provision, cas: FakeCas, tmp_path: Path
) -> None:
    path = tmp_path / "wrong"
    path.write_text("00112233445566778899aabbccddeeff")
    result = provision(token=f"@{path}")
    assert (result.code, result.out) == (1, "")
    assert "the provisioning token is wrong" in result.err
    assert "00112233" not in result.err + result.out.replace(cas.address, "")
    assert len(posts(cas)) == 1


@pytest.mark.parametrize("value", ["", "123", "g" * 32, TOKEN + "00", "@/nonexistent"])
def test_a_token_that_is_none_is_a_usage_error(
    provision: Provision, cas: FakeCas, value: str
) -> None:
    result = provision(token=value)
    assert result.code == 2
    assert cas.requests == []


def test_a_second_claim_is_refused(
    scone: Cli, provision: Provision, cas: FakeCas, config: Path
) -> None:
    assert provision().code == 0
    config.write_text(CONFIG.replace("mycas", "other"))
    result = provision()
    assert result.code == 1
    assert "provisioned, and not by this request" in result.err
    assert len(posts(cas)) == 1
    current = provision(c=cas.keys.cas_key_hash)
    assert current.code == 1
    assert len(posts(cas)) == 1


def test_a_retry_after_a_crash_recognises_its_own_claim_and_sends_nothing_again(
    scone: Cli, provision: Provision, cas: FakeCas, state: Path
) -> None:
    scone("self", "show-key-hash")
    before = state.read_bytes()
    assert provision().code == 0
    state.write_bytes(before)  # the CLI died before it wrote down what it had claimed
    cas.requests.clear()
    again = provision()
    assert again.code == 0
    assert again.out.endswith(DONE)
    assert cas.keys.cas_key_hash in again.out
    assert "nothing was sent again" in again.err
    assert f"SIMULATED CAS {cas.address}" in again.err
    assert cas.paths == ["GET /v1/attest"]
    assert scone("cas", "list").out.startswith(f"* {cas.address}: ")


def test_another_identity_does_not_pass_for_the_claimant(
    provision: Provision, cas: FakeCas, state: Path
) -> None:
    assert provision().code == 0
    state.unlink()
    result = provision()
    assert result.code == 1
    assert "another identity claimed the CAS" in result.err
    assert len(posts(cas)) == 1


def test_a_receipt_for_another_cas_key_is_refused(provision: Provision, cas: FakeCas) -> None:
    assert provision().code == 0
    cas.keys = Keys.make()  # a thief of the receipt
    result = provision()
    assert result.code == 1
    assert "the signature is not by this key" in result.err


def test_a_lost_answer_is_made_up_for_by_the_receipt(provision: Provision, cas: FakeCas) -> None:
    def lose(request: Request) -> Response:
        assert cas._provision(request).status == 200
        return Response(200, b"cut off")

    cas.override["POST /v1/provision"] = lose
    result = provision()
    assert result.code == 0
    assert len(posts(cas)) == 1


def test_an_answer_without_effect_is_not_believed(
    scone: Cli, provision: Provision, cas: FakeCas
) -> None:
    def pretend(request: Request) -> Response:
        answer = cas._provision(request)
        cas.provisioned = False
        return answer

    cas.override["POST /v1/provision"] = pretend
    result = provision()
    assert result.code == 4
    assert DONE not in result.out
    assert scone("cas", "list").out == ""


def test_after_database_key_injection_the_cas_must_be_attested_again(
    scone: Cli, provision: Provision, cas: FakeCas, root_pem: Path, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text(DATABASE_KEY.upper() + "\n")
    result = provision("--database-key", f"@{path}")
    assert result.code == 0
    assert json.loads(posts(cas)[0].body)["database_key"] == DATABASE_KEY
    assert "must be attested again" in result.err
    assert DATABASE_KEY not in (result.out + result.err).lower()
    assert scone("cas", "list").out == ""
    attest = ["cas", "attest", cas.address, "--only_for_testing-simulation", str(root_pem)]
    assert scone(*attest).code == 4
    assert scone(*attest, "--allow-cas-owner-secret-access").code == 0


def test_a_database_key_of_another_form_is_a_usage_error(
    provision: Provision, cas: FakeCas
) -> None:
    for value in ("00", DATABASE_KEY + "00", "z" * 64):
        assert provision("--database-key", value).code == 2
    assert cas.requests == []


def test_a_wrong_configuration_is_told_with_its_line_before_anything_is_sent(
    provision: Provision, cas: FakeCas, tmp_path: Path
) -> None:
    path = tmp_path / "owner.yaml"
    path.write_text("api_identity:\n  comon_name: x\n")
    result = provision(config_file=str(path))
    assert result.code == 1
    assert "did you mean common_name" in result.err
    assert "line 2" in result.err
    assert cas.requests == []


def test_secrets_come_from_standard_input_once(
    provision: Provision, cas: FakeCas, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SimpleNamespace(buffer=io.BytesIO(TOKEN.encode() + b"\n"))
    monkeypatch.setattr(sys, "stdin", given)
    assert provision("--database-key", "-", token="-").code == 2
    given.buffer.seek(0)
    assert provision(token="-").code == 0


def test_without_attestation_only_the_key_is_checked_and_nothing_is_stored(
    scone: Cli, cas: FakeCas, config: Path, token: Path
) -> None:
    cas.provisioned = False
    arguments = ["--token", f"@{token}", "--config-file", str(config)]
    last = "only_for_testing-without-attestation"
    wrong = scone("cas", "provision", cas.address, "-c", Keys.make().cas_key_hash, *arguments, last)
    assert wrong.code == 4
    assert cas.requests == []
    result = scone("cas", "provision", cas.address, "-c", cas.keys.cas_key_hash, *arguments, last)
    assert result.code == 0
    assert result.out.endswith(DONE)
    assert f"UNVERIFIED CAS {cas.address}" in result.err
    assert scone("cas", "list").out == ""


def test_the_command_is_named_when_it_is_missing(scone: Cli) -> None:
    result = scone("cas", "provision", "localhost", "-c", "x", "--token", "x", "--config-file", "x")
    assert result.code == 2
    assert "missing command: with-attestation or only_for_testing-without-attestation" in result.err


@pytest.mark.parametrize("content", ["", "\n \n", "# nothing\n\n  # here\n", "---\n"])
@pytest.mark.parametrize("suffix", ["toml", "yaml", "json"])
def test_an_empty_configuration_file_is_a_usage_error(
    scone: Cli, provision: Provision, cas: FakeCas, tmp_path: Path, content: str, suffix: str
) -> None:
    path = tmp_path / f"empty.{suffix}"
    path.write_text(content)
    for result in (
        provision(config_file=str(path)),
        scone("cas", "update-config", "--config-file", str(path)),
    ):
        assert (result.code, result.out) == (2, "")
        assert "expected at least one key" in result.err
    assert cas.requests == []


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_configuration_that_is_empty_on_purpose_is_taken(
    provision: Provision, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"empty.{suffix}"
    path.write_text("{}\n")
    assert provision(config_file=str(path)).code == 0


def test_update_config_sends_the_configuration_to_the_attested_cas(
    scone: Cli, attested: FakeCas, config: Path
) -> None:
    result = scone("cas", "update-config", "--config-file", str(config))
    assert (result.code, result.out) == (0, "")
    assert json.loads(attested.requests[0].body)["config"]["api_identity"]["common_name"] == "mycas"
    as_json = scone("cas", "update-config", "--config-file", str(config), "--json")
    assert json.loads(as_json.out) == {"url": attested.url, "updated": True}
    attested.override["PUT"] = lambda _: error(403, "forbidden", "only the owner may do this")
    refused = scone("cas", "update-config", "--config-file", str(config))
    assert refused.code == 1
    assert refused.err.splitlines()[1:] == [
        "Error: Updating the CAS configuration failed",
        f"Caused by: CAS at '{attested.url}' returned HTTP error status code 403 Forbidden",
        "Caused by: only the owner may do this",
    ]
