"""`scone session explain`: a session against a quote, offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fake_cas import Cli

QUOTES = Path(__file__).parents[2] / "vectors" / "quote"
MRENCLAVE = "d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb"
EVIDENCE = [
    *("--quote", str(QUOTES / "genuine.quote")),
    *("--collateral", str(QUOTES / "genuine.collateral.json")),
    *("--root", str(QUOTES / "root.der")),
    *("--verification-time", "2026-03-02"),
]
TEXT = """name: demo
version: "0.3.12"
secrets:
- {name: password, kind: ascii}
- {name: ca, kind: x509-ca, import: {session: pki, secret: root}}
images:
- name: files
  injection_files: [{path: /ca.pem, content: "$$SCONE::ca:crt$$"}]
services:
- name: app
  image_name: files
  command: app @@1
  environment: {PASSWORD: "$$SCONE::password$$", "@@DISPLAY": ""}
  attestation: [{mrenclave: MEASURED}]
access_policy: {read: [CREATOR], update: [CREATOR]}
security:
  attestation: {tolerate: [hyperthreading], ignore_advisories: [SIM-SA-00009]}
  service_access_token: s3cr3t-token
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "session.yml"
    path.write_text(TEXT.replace("MEASURED", MRENCLAVE))
    return str(path)


def test_without_a_quote_it_says_what_the_service_needs_and_sees(scone: Cli, file: str) -> None:
    result = scone("session", "explain", file, "app")
    assert result.code == 0
    for line in (
        "demo/app",
        f"  variant 1: measurement {MRENCLAVE}",
        "  platform up to date, except: hyperthreading tolerated",
        "  argument @@1",
        "  the service access token, in SCONE_SERVICE_ACCESS_TOKEN",
        "  password in variable PASSWORD",
        "  ca (public part) in file /ca.pem",
        "  ca: session pki, secret root",
    ):
        assert line in result.out.splitlines()
    assert "s3cr3t" not in result.out + result.err


def test_protected_files_and_the_token_of_a_vault_are_told(scone: Cli, tmp_path: Path) -> None:
    path = tmp_path / "session.yml"
    path.write_text(
        f"""name: demo
version: "0.3.12"
secrets:
- {{name: token, kind: aad-token, tenant_id: ten, client_id: app, application_secret: x}}
- {{name: key, kind: ascii, import_akv: {{vault: kv.vault.azure.net, token: $$SCONE::token$$}}}}
volumes:
- {{name: data, fspf_key: {"ab" * 32}, fspf_tag: {"cd" * 16}}}
images:
- name: files
  volumes: [{{name: data, path: /data}}]
services:
- name: app
  image_name: files
  command: app $$SCONE::key$$
  fspf_path: /fspf.pb
  fspf_key: {"ab" * 32}
  fspf_tag: {"cd" * 16}
  attestation: [{{mrenclave: {MRENCLAVE}}}]
access_policy: {{read: [CREATOR], update: [CREATOR]}}
"""
    )
    result = scone("session", "explain", str(path), "app")
    assert result.code == 0, result.err
    refused = "(scone-run of this version cannot do that: it refuses to start)"
    for line in (
        f"  volume data, protected, at /data {refused}",
        f"  the file system protection file /fspf.pb {refused}",
        "  key: vault kv.vault.azure.net, secret key",
        "  token: a token for application app of Azure tenant ten",
    ):
        assert line in result.out.splitlines()


def test_evidence_that_is_enough_ends_with_zero(scone: Cli, file: str) -> None:
    result = scone("session", "explain", file, "app", *EVIDENCE)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "demo/app: the evidence gets the configuration"
    assert lines[1] == "The evidence is of a simulated platform, which proves nothing"
    assert f"    ok    mrenclave: {MRENCLAVE}" in lines
    at = lines.index("Tolerated, and not needed for this evidence (take them out?)")
    assert lines[at + 1 : at + 3] == [
        "  tolerate: hyperthreading",
        "  ignore_advisories: SIM-SA-00009",
    ]


def test_evidence_that_is_not_enough_ends_with_four_and_the_nearest_fix(
    scone: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "session.yml"
    path.write_text(TEXT.replace("MEASURED", "ab" * 32))
    result = scone("session", "explain", str(path), "app", *EVIDENCE)
    assert result.code == 4
    assert result.out.startswith("demo/app: the evidence DOES NOT get the configuration\n")
    assert f"    FAILS mrenclave: expected {'ab' * 32}, found {MRENCLAVE}" in result.out
    assert f"        - mrenclave: {MRENCLAVE}\n" in result.out
    facts = json.loads(scone("session", "explain", "--json", str(path), "app", *EVIDENCE).out)
    assert facts["verdict"]["accepted"] is False
    assert facts["verdict"]["variants"][0]["passed"] is False
    assert facts["simulated"] is True


def test_a_quote_of_an_unknown_root_is_not_genuine(scone: Cli, file: str) -> None:
    result = scone("session", "explain", file, "app", *EVIDENCE[:4])
    assert (result.code, result.out) == (4, "")
    assert "Hint: --root FILE trusts another root" in result.err


def test_a_quote_that_is_none_is_told(scone: Cli, file: str, tmp_path: Path) -> None:
    quote = tmp_path / "quote"
    quote.write_bytes(b"no quote")
    result = scone("session", "explain", file, "app", "--quote", str(quote), *EVIDENCE[2:])
    assert (result.code, result.out) == (4, "")
    assert "Error: quote" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quote", "x"],
        ["--collateral", "x"],
        ["--root", "x"],
        ["--verification-time", "2026-01-01"],
    ],
)
def test_options_that_belong_together_are_asked_for(
    scone: Cli, file: str, arguments: list[str]
) -> None:
    assert scone("session", "explain", file, "app", *arguments).code == 2


def test_a_service_that_is_not_there_is_told_with_those_that_are(scone: Cli, file: str) -> None:
    result = scone("session", "explain", file, "ap")
    assert (result.code, result.err.splitlines()[-1]) == (1, "Hint: its services: app")


def test_what_imported_secrets_decide_is_not_guessed(scone: Cli, tmp_path: Path) -> None:
    path = tmp_path / "session.yml"
    path.write_text(
        TEXT.replace("secrets:\n", "secrets:\n- {name: who, import: {session: pki, secret: who}, "
                     "kind: config-fragment}\n")
        .replace("[{mrenclave: MEASURED}]", "[$$SCONE::who$$]")
    )  # fmt: skip
    needed = scone("session", "explain", str(path), "app")
    assert needed.code == 0
    assert "decided by secrets that are not known here" in needed.out
    assert "  who: session pki, secret who" in needed.out.splitlines()
    judged = scone("session", "explain", str(path), "app", *EVIDENCE)
    assert (judged.code, judged.out) == (1, "")
    assert "whether the quote is enough cannot be said" in judged.err
