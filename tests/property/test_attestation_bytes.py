"""Any bytes give a value or the one error; a genuine thing with one byte changed is another thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.evidence import (
    IDENTITY,
    NONCE,
    NOW,
    REPORT_DATA,
    cas_document,
    cas_evidence,
    collateral,
    platform,
)
from scone.attestation.appraise import CasPolicy
from scone.attestation.cas_evidence import CasDocument, CasEvidence, accept_cas
from scone.attestation.certificates import parse_chain
from scone.attestation.collateral import Collateral
from scone.attestation.receipt import Receipt, verify_receipt
from scone.attestation.sgx.pck import SgxExtension
from scone.attestation.sgx.quote import Quote, ReportBody
from scone.attestation.sgx.tcb import QeIdentity, TcbInfo
from scone.attestation.verify import VerificationCache, VerifiedEvidence, verify
from scone.errors import MalformedError, SconeError, VerificationError
from scone.strict_json import read_object, read_spans

RAW = platform().quote(IDENTITY, REPORT_DATA)
COLLATERAL = collateral()
CACHE = VerificationCache()
GENUINE = verify(RAW, COLLATERAL, [platform().anchor], NOW, CACHE)
EXTENSION = bytes(
    next(
        item.value.value
        for item in platform().secrets.pck.certificate.extensions
        if item.oid.dotted_string.startswith("1.2.840.113741")
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


def edits(genuine: bytes) -> st.SearchStrategy[bytes]:
    """Bytes near to genuine ones: some replaced, cut out, put in, or the end cut."""

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        raw = genuine
        for at, cut, put in changes:
            raw = raw[:at] + put + raw[at + cut :]
        return raw

    change = st.tuples(
        st.integers(0, len(genuine)), st.integers(0, 3), st.binary(min_size=0, max_size=3)
    )
    return st.lists(change, min_size=1, max_size=3).map(apply)


def malformed_or(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MalformedError:
        return None


@given(st.binary(max_size=1200) | edits(RAW))
def test_any_bytes_are_a_quote_or_malformed(raw):
    quote = malformed_or(lambda: Quote.parse(raw))
    assert quote is None or (isinstance(quote, Quote) and quote.signed == raw[:432])


@given(st.binary(max_size=400) | edits(RAW[48:432]))
def test_any_bytes_are_a_report_or_malformed(raw):
    report = malformed_or(lambda: ReportBody.parse(raw))
    assert report is None or len(raw) == 384


@given(edits(RAW))
def test_a_quote_that_differs_in_any_byte_is_never_accepted(raw):
    try:
        found = verify(raw, COLLATERAL, [platform().anchor], NOW, CACHE)
    except (MalformedError, VerificationError):
        assert raw != RAW
        return
    # One NUL after the chain is allowed, as Intel's library writes it; its size says so.
    assert raw == RAW
    assert found == GENUINE


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_one_byte_more_or_fewer_is_refused(at, byte):
    for raw in (RAW[:at] + RAW[at + 1 :], RAW[:at] + bytes([byte]) + RAW[at:]):
        with pytest.raises((MalformedError, VerificationError)):
            verify(raw, COLLATERAL, [platform().anchor], NOW, CACHE)


@given(edits(COLLATERAL.to_json()))
@settings(max_examples=60)
def test_altered_collateral_never_changes_what_is_verified(raw):
    try:
        found = verify(RAW, Collateral.parse(raw), [platform().anchor], NOW)
    except (MalformedError, VerificationError):
        return
    assert isinstance(found, VerifiedEvidence)
    assert found == GENUINE


@given(st.binary(max_size=300) | edits(EXTENSION))
def test_any_bytes_are_an_extension_in_its_one_form_or_malformed(raw):
    value = malformed_or(lambda: SgxExtension.parse(raw))
    # Items in another order are read too; what is read is written in one order.
    assert value is None or SgxExtension.parse(value.to_der()) == value


@given(
    st.text(max_size=200)
    | edits(platform().root_certificate_pem.encode()).map(lambda raw: raw.decode("latin-1"))
)
def test_any_text_is_a_chain_or_malformed(text):
    chain = malformed_or(lambda: parse_chain(text, "x", 1))
    assert chain is None or len(chain) == 1


@given(json_values)
@example([])
def test_any_json_is_tcb_info_and_qe_identity_or_malformed(value):
    for text in (json.dumps(value), json.dumps({"id": "SGX", "version": 3, "tcbLevels": value})):
        malformed_or(lambda text=text: TcbInfo.parse(text))
        malformed_or(lambda text=text: QeIdentity.parse(text))
        malformed_or(lambda text=text: Collateral.parse(text.encode()))
        malformed_or(lambda text=text: CasEvidence.parse(text))
        malformed_or(lambda text=text: CasDocument.parse(text.encode()))


@given(st.sampled_from(["tcb_info", "qe_identity"]), st.data())
def test_edited_documents_are_values_or_malformed(name, data):
    raw = data.draw(edits(getattr(COLLATERAL, name).encode()))
    parse = TcbInfo.parse if name == "tcb_info" else QeIdentity.parse
    malformed_or(lambda: parse(raw.decode("latin-1")))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_malformed(raw):
    assert malformed_or(lambda: CasDocument.parse(raw)) is None


DOCUMENT = cas_document()


@given(edits(DOCUMENT))
@settings(max_examples=60)
def test_an_edited_document_is_the_same_or_refused(raw):
    try:
        document = CasDocument.parse(raw)
        found = accept_cas(
            document, CasPolicy(), nonce=NONCE, anchors=[platform().anchor], now=NOW, cache=CACHE
        )
    except (MalformedError, VerificationError):
        return
    assert found.cas == cas_evidence()


@given(json_values)
def test_json_objects_and_spans_agree_with_the_standard_library(value):
    try:
        text = json.dumps({"a": value, "b": [value]}, allow_nan=False)
    except ValueError:
        return
    spans = malformed_or(lambda: read_spans(text, "x"))
    if spans is None:
        return  # half a surrogate pair, an integer of thousands of digits
    assert read_object(text, "x") == json.loads(text)
    assert {key: json.loads(span) for key, span in spans.items()} == json.loads(text)
    assert all(span in text for span in spans.values())


@given(
    st.dictionaries(
        st.sampled_from(["unprovisioned_cas_key", "request_sha256", "owner_key", "signature"]),
        json_values,
    )
)
def test_any_json_is_a_receipt_or_malformed(value):
    malformed_or(lambda: Receipt.from_dict(value))


@given(st.binary(max_size=120), st.binary(max_size=80))
def test_any_receipt_is_refused(spki, signature):
    made = Receipt(spki, bytes(32), "x", signature)
    with pytest.raises(SconeError) as caught:
        verify_receipt(
            made,
            new_cas_spki=b"",
            owner_spki=b"",
            request_sha256=bytes(32),
            expected_old_key_hash="y",
        )
    assert isinstance(caught.value, MalformedError | VerificationError)
