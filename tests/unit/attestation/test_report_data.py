"""Report data: known values, and every part counts."""

from __future__ import annotations

import hashlib

import pytest

from scone.attestation.report_data import (
    SERVICE_EXPORTER_LABEL,
    cas_report_data,
    registration_report_data,
    service_report_data,
)
from scone.errors import MalformedError

EXPORTER = bytes(range(32))
SPKI = b"a public key"
NONCE = bytes(range(16))
KEY = bytes(range(100, 132))


def test_the_label_of_the_exporter():
    assert SERVICE_EXPORTER_LABEL == b"EXPORTER-scone-service-attestation-v1"


def test_service_report_data_is_what_the_page_says():
    expected = hashlib.sha512(
        b"scone-service-attestation-v1\0"
        + EXPORTER
        + hashlib.sha256(b"ns/session/service").digest()
        + hashlib.sha256(SPKI).digest()
        + bytes(32)
    )
    assert service_report_data(EXPORTER, "ns/session/service", SPKI, None) == expected.digest()


def test_the_values_of_the_page():
    assert service_report_data(EXPORTER, "session/service", SPKI, None).hex() == (
        "d0cf507517a75dfba8e09a2c44e433f5bc14147ab59d6f237412fcb599769cb0"
        "7f75e262891dc2333aaa29cdddcfa3a4feb87fa5c95f4b14d69b4969828f6a29"
    )
    assert registration_report_data("backup", NONCE, KEY).hex() == (
        "cba36745f051ccf4311efcb2eb5cbed2264a790ffffb47b7b3bea950291eaa27"
        "256471ad3f1865b445ebf57fc13e21bf198987f0071cb5414836db1e2ef2f9cd"
    )
    assert (
        cas_report_data(b'{"critical":{}}').hex() == hashlib.sha512(b'{"critical":{}}').hexdigest()
    )


def test_every_part_of_service_report_data_counts():
    found = {
        service_report_data(EXPORTER, "a", SPKI, None),
        service_report_data(bytes(32), "a", SPKI, None),
        service_report_data(EXPORTER, "b", SPKI, None),
        service_report_data(EXPORTER, "a", SPKI + b"x", None),
        service_report_data(EXPORTER, "a", SPKI, b"\x01" * 32),
    }
    assert len(found) == 5
    assert {len(value) for value in found} == {64}


def test_every_part_of_registration_report_data_counts():
    found = {
        registration_report_data("backup", NONCE, KEY),
        registration_report_data("upgrade", NONCE, KEY),
        registration_report_data("backup", bytes(16), KEY),
        registration_report_data("backup", NONCE, bytes(32)),
    }
    assert len(found) == 4
    assert {len(value) for value in found} == {64}


@pytest.mark.parametrize(
    "call",
    [
        lambda: service_report_data(bytes(31), "a", SPKI, None),
        lambda: service_report_data(bytes(33), "a", SPKI, None),
        lambda: service_report_data(EXPORTER, "a", b"", None),
        lambda: service_report_data(EXPORTER, "a", SPKI, b""),
        lambda: service_report_data(EXPORTER, "a", SPKI, bytes(31)),
        lambda: registration_report_data("backup", bytes(15), KEY),
        lambda: registration_report_data("backup", NONCE, bytes(33)),
    ],
)
def test_parts_of_another_length_are_refused(call):
    with pytest.raises(MalformedError):
        call()
