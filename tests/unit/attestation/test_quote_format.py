"""The bytes of quotes, SGX extensions, collateral and its JSON: one form each, named refusals."""

from __future__ import annotations

import dataclasses
import json
import struct

import pytest

from fakes.evidence import IDENTITY, REPORT_DATA, collateral, forge_quote, platform
from scone.attestation.certificates import parse_chain
from scone.attestation.collateral import Collateral
from scone.attestation.sgx import der, pck
from scone.attestation.sgx.quote import MAX_QUOTE_BYTES, Quote, UnsupportedQuoteError
from scone.errors import MalformedError
from scone.strict_json import decode, parse_hex, read_object, read_spans
from scone.wire import Reader

RAW = platform().quote(IDENTITY, REPORT_DATA)


def put(at: int, value: bytes) -> bytes:
    return RAW[:at] + value + RAW[at + len(value) :]


class TestQuote:
    def test_the_fields_are_where_the_specification_says(self):
        quote = Quote.parse(RAW)
        assert quote.signed == RAW[:432]
        assert quote.report.mrenclave == RAW[48 + 64 : 48 + 96] == IDENTITY.mrenclave
        assert quote.report.mrsigner == RAW[48 + 128 : 48 + 160]
        assert quote.report.report_data == RAW[48 + 320 : 48 + 384] == REPORT_DATA
        assert quote.qe_id == RAW[28:44]
        assert quote.pck_chain.startswith(b"-----BEGIN CERTIFICATE-----\n")
        assert quote.qe_report_bytes == RAW[564:948]

    def test_every_length_but_the_right_one_is_refused(self):
        for length in [*range(1060), *range(len(RAW) - 40, len(RAW))]:
            with pytest.raises(MalformedError):
                Quote.parse(RAW[:length])
        for behind in (b"\0", b"\n", b"\0" * 70, RAW):
            with pytest.raises(MalformedError):
                Quote.parse(RAW + behind)

    @pytest.mark.parametrize(
        ("at", "value", "place"),
        [
            (0, struct.pack("<H", 4), "quote.version"),
            (0, struct.pack("<H", 5), "quote.version"),
            (2, struct.pack("<H", 3), "quote.attestation key type"),
            (4, struct.pack("<I", 0x81), "quote.tee type"),
            (12, bytes(16), "quote.qe vendor id"),
            (1046, struct.pack("<H", 1), "quote.certification data type"),
            (1046, struct.pack("<H", 3), "quote.certification data type"),
            (1046, struct.pack("<H", 6), "quote.certification data type"),
        ],
    )
    def test_other_kinds_are_refused_as_not_supported(self, at, value, place):
        with pytest.raises(UnsupportedQuoteError) as caught:
            Quote.parse(put(at, value))
        assert caught.value.place == place
        assert caught.value.code == "unsupported"

    @pytest.mark.parametrize(
        "at", [48 + 20, 48 + 31, 48 + 96, 48 + 127, 48 + 160, 48 + 191, 48 + 262, 48 + 303]
    )
    def test_reserved_bytes_must_be_zero(self, at):
        with pytest.raises(MalformedError, match="reserved"):
            Quote.parse(put(at, b"\x01"))

    def test_an_enclave_that_was_not_initialised_is_refused(self):
        with pytest.raises(MalformedError, match="INIT"):
            Quote.parse(put(48 + 48, b"\x04"))

    def test_a_size_that_is_not_what_is_there_is_refused(self):
        (size,) = struct.unpack_from("<I", RAW, 432)
        for wrong in (0, size - 1, size + 1, 0xFFFFFFFF):
            with pytest.raises(MalformedError, match="signature data"):
                Quote.parse(put(432, struct.pack("<I", wrong)))

    def test_a_quote_beyond_the_limit_is_refused_before_it_is_read(self):
        large = forge_quote(platform(), pck_chain=b"-" * MAX_QUOTE_BYTES)
        with pytest.raises(MalformedError, match="at most"):
            Quote.parse(large)


EXTENSION = pck.SgxExtension(
    ppid=bytes(range(16)),
    components=tuple(range(16)),
    pcesvn=300,
    cpu_svn=bytes(16),
    pceid=b"\0\0",
    fmspc=bytes.fromhex("00A067110000"),
    sgx_type=0,
)


class TestSgxExtension:
    @pytest.mark.parametrize(
        "value",
        [
            EXTENSION,
            dataclasses.replace(EXTENSION, platform_instance_id=bytes(16)),
            dataclasses.replace(EXTENSION, sgx_type=1, dynamic=True, cached_keys=False, smt=True),
            dataclasses.replace(EXTENSION, components=(255,) * 16, pcesvn=65535),
        ],
    )
    def test_what_is_written_is_read(self, value):
        assert pck.SgxExtension.parse(value.to_der()) == value

    def test_every_prefix_and_every_longer_form_is_refused(self):
        raw = EXTENSION.to_der()
        for length in range(len(raw)):
            with pytest.raises(MalformedError):
                pck.SgxExtension.parse(raw[:length])
        with pytest.raises(MalformedError):
            pck.SgxExtension.parse(raw + b"\0")

    def test_an_unknown_item_is_refused(self):
        oid = bytes.fromhex("2a864886f84d010d0109")
        item = der.write(
            der.SEQUENCE,
            der.write(der.OBJECT_IDENTIFIER, oid) + der.write(der.OCTET_STRING, b"x"),
        )
        outer = Reader("x", EXTENSION.to_der())
        body = der.element(outer, "x", der.SEQUENCE)
        with pytest.raises(MalformedError, match="documented items"):
            pck.SgxExtension.parse(der.write(der.SEQUENCE, body + item))
        with pytest.raises(MalformedError, match="each SGX item once"):
            pck.SgxExtension.parse(der.write(der.SEQUENCE, body + item + item))

    @pytest.mark.parametrize("raw", ["0281820001", "02810101", "0283000001", "0280"])
    def test_lengths_have_one_form(self, raw):
        with pytest.raises(MalformedError):
            der.element(Reader("x", bytes.fromhex(raw)), "x", der.INTEGER)

    @pytest.mark.parametrize("raw", ["", "ff", "0001", "01000000", "80"])
    def test_integers_are_small_positive_and_short(self, raw):
        with pytest.raises(MalformedError):
            der.small_integer(bytes.fromhex(raw), "x", 0xFFFF)


class TestCollateral:
    def test_what_is_written_is_read(self):
        value = collateral()
        assert Collateral.parse(value.to_json()) == value
        assert Collateral.parse(value.to_json()).id == value.id
        assert Collateral.parse(json.loads(value.to_json())) == value

    @pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(Collateral)][:-1])
    def test_the_id_depends_on_every_field(self, name):
        value = collateral()
        changed = getattr(value, name)
        changed = changed + (" " if isinstance(changed, str) else b" ")
        assert dataclasses.replace(value, **{name: changed}).id != value.id

    def test_the_id_does_not_confuse_neighbours(self):
        value = collateral()
        moved = dataclasses.replace(
            value, root_ca_crl=value.root_ca_crl + value.pck_crl[:1], pck_crl=value.pck_crl[1:]
        )
        assert moved.id != value.id

    def test_missing_unknown_and_wrong_members_are_refused(self):
        genuine = json.loads(collateral().to_json())
        for name in genuine:
            for wrong in (None, 1, [], "", "zz" if name.endswith("_crl") else 0.5):
                with pytest.raises(MalformedError):
                    Collateral.parse(json.dumps({**genuine, name: wrong}).encode())
            with pytest.raises(MalformedError, match=name):
                Collateral.parse({key: item for key, item in genuine.items() if key != name})
        with pytest.raises(MalformedError, match="extra"):
            Collateral.parse({**genuine, "extra": "x"})

    def test_the_quotes_chain_beside_it_is_left_out(self):
        genuine = json.loads(collateral().to_json())
        assert Collateral.parse({**genuine, "pck_certificate_chain": "x"}) == collateral()

    def test_too_much_is_refused(self):
        genuine = json.loads(collateral().to_json())
        with pytest.raises(MalformedError, match="at most"):
            Collateral.parse(json.dumps({**genuine, "tcb_info": " " * 600_000}).encode())
        with pytest.raises(MalformedError, match="tcb_info"):
            Collateral.parse({**genuine, "tcb_info": "x" * 140_000})


class TestChain:
    def test_the_last_line_feed_may_be_missing_and_nothing_else(self):
        pem = platform().root_certificate_pem
        assert parse_chain(pem, "x", 1) == parse_chain(pem[:-1], "x", 1)
        for changed in (
            pem[:-2],
            pem + "\n",
            pem.replace("\n", "\r\n"),
            " " + pem,
            pem + pem,
            "",
            pem.replace("A", " A", 1),
            pem.replace("CERTIFICATE", "X509 CERTIFICATE"),
        ):
            with pytest.raises(MalformedError):
                parse_chain(changed, "x", 1)


class TestJson:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "1",
            '{"a":1,"a":2}',
            '{"a":{"b":1,"b":1}}',
            '{"a":NaN}',
            '{"a":Infinity}',
            '{"a":1} x',
            "\ufeff{}",
            '{"a":"\\ud800"}',
            '{"\\udc00":1}',
            '{"a":' + "[" * 40 + "]" * 40 + "}",
            '{"a":' + "[" * 100_000,
            '{"a":' + "9" * 5000 + "}",
        ],
    )
    def test_what_is_not_one_plain_object_is_refused(self, text):
        with pytest.raises(MalformedError):
            read_object(text, "x")

    def test_brackets_in_strings_are_no_depth(self):
        text = json.dumps({"a": "[" * 1000, "b": '\\"[[' * 50})
        assert read_object(text, "x") == json.loads(text)

    @pytest.mark.parametrize(
        ("text", "spans"),
        [
            ("{}", {}),
            (' { "a" : 1 , "b":[1, 2] } ', {"a": "1", "b": "[1, 2]"}),
            ('{"a":{"b" : "}"},"c":"\\u00e4"}', {"a": '{"b" : "}"}', "c": '"\\u00e4"'}),
            ('{"a\\"":"ä"}', {'a"': '"ä"'}),
        ],
    )
    def test_spans_are_the_text_as_received(self, text, spans):
        assert read_spans(text, "x") == spans

    def test_bytes_that_are_not_utf_8_are_refused(self):
        for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"a" * 11):
            with pytest.raises(MalformedError):
                decode(raw, "x", 10)
        assert decode(b"a" * 10, "x", 10) == "a" * 10

    @pytest.mark.parametrize("text", ["0", "0g", "0 0 ", " 00", "\u0660\u0660", "+0", ""])
    def test_hex_is_digits_and_nothing_else(self, text):
        with pytest.raises(MalformedError):
            parse_hex(text, "x", 1)
