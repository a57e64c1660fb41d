"""Names, placeholders, commands and durations."""

import pytest

from scone.crypto.certificates import load_certificate
from scone.crypto.der import pem_to_der, to_pem
from scone.errors import MalformedError
from scone.session.access import ClientCertificate
from scone.session.command import arguments, split
from scone.session.model import Service
from scone.session.names import canonical_name, parent_name, parse_name, service_reference
from scone.session.pem import certificate_text
from scone.session.placeholders import Placeholder, find
from scone.session.reading.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a", ("a",)),
        ("a/b.c/~d_-", ("a", "b.c", "~d_-")),
        ("/", ()),
        ("...", ("...",)),
        ("x" * 128, ("x" * 128,)),
    ],
)
def test_names_have_segments(text, segments):
    assert parse_name(text) == segments
    assert canonical_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "x" * 129,
        "/".join(["x" * 100] * 6),
        "ä",
        "a\n",
        "a@b",
        "a:b",
        "//",
        "a/b\0",
    ],
)
def test_other_texts_are_no_names(text):
    with pytest.raises(MalformedError, match="session name"):
        parse_name(text)


def test_a_parent_is_the_namespace():
    assert [parent_name(name) for name in ("a/b/c", "a", "/")] == ["a/b", "/", None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s/a", ("s", "a", None)),
        ("n/m/s/a", ("n/m/s", "a", None)),
        ("/a", ("/", "a", None)),
        ("s/a@123456", ("s", "a", "123456")),
        ("/a@", ("/", "a", "")),
        ("s/a@1/2", ("s", "a", "1/2")),
    ],
)
def test_a_service_reference_ends_with_the_service_and_perhaps_a_code(text, expected):
    found = service_reference(text)
    assert (found.session, found.service, found.one_time_password) == expected
    assert "123456" not in repr(found)


@pytest.mark.parametrize(
    "text", ["", "a", "s/", "s/..", "../a", "s//a", "s/a b", "a b/c", "@", "s@1", "s/a@1@2", "s/@1"]
)
def test_other_texts_are_no_service_reference(text):
    with pytest.raises(MalformedError, match="SCONE_CONFIG_ID"):
        service_reference(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain $x $$ text", ("plain $x $$ text",)),
        ("$$SCONE::a$$", (Placeholder("a"),)),
        ("x$$SCONE::a:pkcs8:pem$$y", ("x", Placeholder("a", "pkcs8:pem"), "y")),
        ("$$SCONE::a$$$$SCONE::b:hex$$", (Placeholder("a"), Placeholder("b", "hex"))),
        ("$$$SCONE::a$$$", ("$", Placeholder("a"), "$")),
        ("$$SCONE::a|escape(json)$$", (Placeholder("a", escape_json=True),)),
        ("$$SCONE::a:crt:pem|escape(json)$$", (Placeholder("a", "crt:pem", escape_json=True),)),
        ("$$SCONE:a$$", (Placeholder("a", single_colon=True),)),
    ],
)
def test_placeholders_are_found_in_text(text, parts):
    assert find(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "$$SCONE::a",
        "$$SCONE::a$",
        "$$SCONE::$$",
        "$$SCONE::a b$$",
        "$$SCONE::a|escape(xml)$$",
        "$$SCONE::a:$$",
        "$$SCONE::a:X$$",
        "$$SCONE::self::another$$",
        "$$SCONE::self::software_identity:hex$$",
        "$$SCONE::a\n$$",
    ],
)
def test_what_begins_like_a_placeholder_is_one_or_an_error(text):
    with pytest.raises(MalformedError, match="SCONE::name"):
        find(text)


def test_a_dot_may_be_part_of_the_name_or_a_legacy_format():
    assert Placeholder("server.crt").secret_candidates == (("server.crt", ""), ("server", ".crt"))
    assert Placeholder("a.b").secret_candidates == (("a.b", ""),)
    assert Placeholder("a.key", "hex").secret_candidates == (("a.key", "hex"),)
    assert Placeholder(".crt").secret_candidates == ((".crt", ""),)


@pytest.mark.parametrize(
    ("text", "quotes", "expected"),
    [
        ("a  b\tc\n", True, ("a", "b", "c")),
        ('mysql -e "show databases;"', True, ("mysql", "-e", "show databases;")),
        ("--x='a \"b\" c'd", True, ('--x=a "b" cd',)),
        ("a '' b", True, ("a", "", "b")),
        ("a\\ b", True, ("a\\", "b")),
        ('mysql -e "show databases;"', False, ("mysql", "-e", '"show', 'databases;"')),
        ("a\u00a0b", True, ("a\u00a0b",)),
        ("", True, ()),
    ],
)
def test_command_lines_are_split(text, quotes, expected):
    assert split(text, quotes=quotes) == expected


@pytest.mark.parametrize("text", ["'", 'a "b', "a'b c", "'a'\"", "a \"b'"])
def test_a_quote_must_be_closed(text):
    with pytest.raises(MalformedError, match="each quote closed"):
        split(text, quotes=True)


def test_the_language_version_decides_about_quotes():
    service = Service("a", command="./a 'b c'")
    assert arguments(service, "0.3") == ("./a", "b c")
    assert arguments(service, "0.2") == ("./a", "'b", "c'")
    assert arguments(Service("a", command=("./a", "b c")), "0.2") == ("./a", "b c")
    assert arguments(Service("a"), "0.3") == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 year", 31_557_600),
        ("59d", 59 * 86400),
        ("90 days", 90 * 86400),
        ("24h0m0s", 86400),
        ("60s", 60),
        ("1h 30min", 5400),
        ("2M", 2 * 2_630_016),
        ("1 week", 604_800),
    ],
)
def test_durations_have_seconds(text, seconds):
    assert parse_duration(text).seconds == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0s",
        "5",
        "d",
        "1 lightyear",
        "1.5h",
        "-1d",
        "10ms",
        "1001 years",
        "9" * 13 + "s",
        "1d" * 100,
    ],
)
def test_other_texts_are_no_durations(text):
    with pytest.raises(MalformedError, match="duration"):
        parse_duration(text)


COMMON_NAME = bytes.fromhex("0603550403")


def test_certificates_that_the_library_refuses_in_its_own_way_are_malformed(certificates):
    der = pem_to_der(certificates[0], "CERTIFICATE")
    version = der.index(bytes.fromhex("a003020102"))
    odd = der[: version + 4] + b"\x05" + der[version + 5 :]
    pem = to_pem("CERTIFICATE", odd)
    for read in (
        lambda: certificate_text(pem, place="p"),
        lambda: ClientCertificate.of_pem(pem),
        lambda: load_certificate(odd),
        # The common name as a BIT STRING.
        lambda: load_certificate(der.replace(COMMON_NAME + b"\x0c", COMMON_NAME + b"\x03")),
    ):
        with pytest.raises(MalformedError):
            read()
