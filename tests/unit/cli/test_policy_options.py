"""Options of attestation: dates, contradictions, files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_run import Cli

from scone.cli.policy import parse_date, platform_ids
from scone.errors import UsageError


@pytest.mark.parametrize("text", ["2026-03-09", "09.03.2026", "09-03-2026", "9.3.2026", "2026-3-9"])
def test_a_day_has_three_spellings(text: str) -> None:
    assert parse_date(text) == datetime(2026, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2026-13-01",
        "31.02.2026",
        "2026/03/09",
        "09.03.26",
        "2026-03-09T00:00",
        "²026-01-01",
    ],
)
def test_anything_else_is_no_day(text: str) -> None:
    with pytest.raises(UsageError, match="--verification-time: expected"):
        parse_date(text)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--mrsigner", "ab" * 32], "--mrsigner requires --isvprodid and --isvsvn"),
        (["--mrsigner", "ab" * 32, "--isvsvn", "1"], "--mrsigner requires"),
        (["--mrenclave", "ab"], "mrenclave"),
        (["not-a-measurement"], "mrenclave"),
        (["--mrsigner", "zz" * 32, "--isvprodid", "1", "--isvsvn", "1"], "mrsigner"),
        (["--isvsvn", "65536"], "--isvsvn"),
        (["--isvsvn", "-1"], "--isvsvn"),
        (["--only_for_testing-debug"], "only allowed with --only_for_testing-ignore-signer"),
        (["--only_for_testing-ignore-signer"], "requires --mrenclave"),
        (["--only_for_testing-ignore-signer", "--only_for_testing-trust-any"], "only allowed with"),
        (["-c", "nonsense"], "-c: expected"),
        (["-s", "nonsense"], "-s: expected"),
        (["--platform", "two words"], "--platform: expected"),
        (["--platform", "INTEL_QE_ID:00"], "got 'INTEL_QE_ID:00'"),
        (["--platform", "00" * 16], "--platform: expected"),
        (["--platform", ""], "--platform: expected"),
        (["--verification-time", "soon"], "--verification-time: expected"),
        (["--nonce", "ab" * 16], "--nonce is for --offline-report"),
        (["--offline-report", "/nonexistent"], "/nonexistent"),
        (["--only_for_testing-simulation", "/nonexistent"], "/nonexistent"),
        (["--offline-report", ""], "--offline-report: expected a file name, found an empty text"),
        (["--only_for_testing-simulation", ""], "expected a file name, found an empty text"),
        (["--retries", "-1"], "--retries: expected a whole number from 0 to 100, got '-1'"),
        (["--retries", "abc"], "--retries: expected a whole number from 0 to 100, got 'abc'"),
        (["--retries", "²"], "--retries: expected a whole number"),
    ],
)
def test_contradictions_are_told_before_anything_is_sent(
    scone: Cli, options: list[str], text: str
) -> None:
    result = scone("cas", "attest", "localhost:1", *options)
    assert (result.code, result.out) == (2, "")
    assert text in result.err


def test_a_nonce_is_32_hex_digits(scone: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    result = scone("cas", "attest", "a", "--offline-report", str(report), "--nonce", "00")
    assert (result.code, result.out) == (2, "")
    assert "--nonce: expected 32 hex digits, got '00'" in result.err


def test_platforms_are_compared_without_case() -> None:
    assert platform_ids(["intel_qe_id:" + "AB" * 16]) == ("INTEL_QE_ID:" + "ab" * 16,)


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_simulation_root_must_be_a_certificate(
    scone: Cli, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "root.pem"
    path.write_bytes(content)
    result = scone("cas", "attest", "localhost:1", "--only_for_testing-simulation", str(path))
    assert result.code == 2


@pytest.mark.parametrize(
    "address", ["", "a b", "http://a", "a:0", "a:99999", "user@host", "::1", "a/b"]
)
def test_an_address_that_is_none_is_a_usage_error(scone: Cli, address: str) -> None:
    assert scone("cas", "attest", address).code == 2
