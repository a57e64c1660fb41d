"""How files name other sessions (pages "Referencing Other Sessions", "Secret Sharing")."""

import pytest

from fakes.session_texts import KEY_HASH, M, codes, header, session, verdict
from scone.session import canonical_json, session_hash
from scone.session.model import Import
from scone.session.model import SessionReference as Ref

REMOTE = {"cas_url": "cas.example.com", "cas_key": KEY_HASH}


def exporting(export, version="0.3"):
    return f"{header(version)}secrets:\n- name: x\n  kind: ascii\n  export: {export}\n"


def importing(source, version="0.3"):
    return f"{header(version)}secrets:\n- name: x\n  import: {source}\n"


@pytest.mark.parametrize(
    ("written", "references"),
    [
        ("{session: b}", [Ref("b")]),
        ("[{session: b}]", [Ref("b")]),
        ("[{session: b}, {session: n/c}, {namespace: n}]", [Ref("b"), Ref("n/c"), Ref(None, "n")]),
        (f"{{session: b, session_hash: {M.upper()}}}", [Ref("b", session_hash=M)]),
        ("{namespace: /}", [Ref(None, "/")]),
        ("{namespace: ..}", [Ref(None, "..")]),
        ("{namespace: ../..}", [Ref(None, "../..")]),
        ("{session: ../b}", [Ref("../b")]),
        ("{session: ../../n/b}", [Ref("../../n/b")]),
        ("{session: ./b}", [Ref("./b")]),
        ("{session: ...}", [Ref("...")]),
        (f"{{cas_url: cas.example.com, cas_key: {KEY_HASH}, session: b}}", [Ref("b", **REMOTE)]),
        (
            f"{{cas_url: 'h:8081', cas_software_key: {KEY_HASH}, namespace: n}}",
            [Ref(None, "n", cas_url="h:8081", cas_software_key=KEY_HASH)],
        ),
        ("/session=b", [Ref("b")]),
        (
            f"['/session=company-storage,session_hash={M}']",
            [Ref("company-storage", session_hash=M)],
        ),
        ("/namespace=n", [Ref(None, "n")]),
        (f"cas.example.com/cas_key={KEY_HASH},session=n/b", [Ref("n/b", **REMOTE)]),
        (f"https://cas.example.com/session=b,cas_key={KEY_HASH}", [Ref("b", **REMOTE)]),
        ("[]", []),
        ("~", []),
    ],
)
def test_exports_are_written_so(written, references):
    assert list(session(exporting(written)).secrets[0].exports) == references


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{}", "secrets[0].export: expected either session or namespace, got neither"),
        ("{session: b, namespace: n}", "expected either session or namespace, got both"),
        (f"{{namespace: n, session_hash: {M}}}", "export.session_hash: expected session beside it"),
        ("{session: b, session_hash: abc}", "export.session_hash: expected a session hash of 64"),
        ("{cas_url: h, session: b}", "expected one of cas_key and cas_software_key beside cas_url"),
        (
            f"{{cas_url: h, cas_key: {KEY_HASH}, cas_software_key: {KEY_HASH}, session: b}}",
            "expected one of cas_key and cas_software_key beside cas_url",
        ),
        (f"{{cas_key: {KEY_HASH}, session: b}}", "export.cas_key: expected cas_url beside it"),
        (
            f"{{cas_url: h, cas_key: {KEY_HASH}x, session: b}}",
            "export.cas_key: expected a Base58Check string",
        ),
        (
            f"{{cas_url: 'a b', cas_key: {KEY_HASH}, session: b}}",
            "export.cas_url: expected HOST or HOST:PORT",
        ),
        (
            f"{{cas_url: h, cas_key: {KEY_HASH}, session: ../b}}",
            "export.session: expected the whole name of a session",
        ),
        ("/session=../b", "expected the whole name of a session"),
        ("{session: .}", "export.session: expected a name relative to this session"),
        ("{session: ../a/../b}", "export.session: expected a name relative to this session"),
        ("{session: a/../b}", "export.session: expected a name of 1 to 128 characters"),
        ("{session: a b}", "export.session: expected a name of 1 to 128 characters"),
        ("[{session: b}, {session: ''}]", "secrets[0].export[1].session: expected a name"),
        ("{session: b, secret: y}", "export.secret: unknown key"),
        ("{name: b}", "export.name: unknown key"),
        ("/session=b,session=c", "export: expected a SCONE URL"),
        ("/session=b,who=c", "export: expected a SCONE URL"),
        ("/session=", "export: expected a SCONE URL"),
        ("session=b", "export: expected a SCONE URL"),
        (f"h/cas_url=g,cas_key={KEY_HASH},session=b", "export: expected"),
        ("[[]]", "secrets[0].export[0]: expected a mapping, got an empty list"),
        ("[~]", "secrets[0].export[0]: expected a mapping, got null"),
    ],
)
def test_exports_are_not_written_so(written, problem):
    assert problem in verdict(exporting(written))


@pytest.mark.parametrize(
    ("written", "imported"),
    [
        ("{session: b}", Import(Ref("b"), "x")),
        ("{session: b, secret: y}", Import(Ref("b"), "y")),
        (f"{{session: ../b, session_hash: {M}, secret: y}}", Import(Ref("../b", None, M), "y")),
        ("/session=b,secret=y", Import(Ref("b"), "y")),
        (
            f"cas.example.com/cas_key={KEY_HASH},session=b,secret=y",
            Import(Ref("b", **REMOTE), "y"),
        ),
    ],
)
def test_imports_are_written_so(written, imported):
    assert session(importing(written)).secrets[0].imported == imported


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{session: ''}", "import.session: expected a name of 1 to 128"),
        ("{secret: y}", "secrets[0].import: expected session, got neither"),
        ("{session: b, secret: a/b}", "import.secret: expected a name of 1 to 128"),
        ("{namespace: n}", "import.namespace: unknown key"),
        ("[{session: b}]", "secrets[0].import: expected a mapping, got a list"),
        ("{session: b, volume: v}", "import.volume: unknown key"),
        ("/namespace=n", "import: expected a SCONE URL"),
    ],
)
def test_imports_are_not_written_so(written, problem):
    assert problem in verdict(importing(written))


def test_a_common_part_of_several_urls_may_be_a_variable():
    text = exporting("\n  - $OTHER_CAS,session=A\n  - $OTHER_CAS,session=B")  # as on the page
    found = session(text, variables={"OTHER_CAS": f"cas.example.com/cas_key={KEY_HASH}"})
    assert list(found.secrets[0].exports) == [Ref("A", **REMOTE), Ref("B", **REMOTE)]


@pytest.mark.parametrize(
    "written", ["b", f"b:{M}", f"[b, 'c:{M.upper()}']"], ids=["name", "hash", "list"]
)
def test_language_0_2_names_sessions_and_perhaps_their_hash(written):
    exports = session(exporting(written, "0.2")).secrets[0].exports
    assert exports[0] == Ref("b", session_hash=M if written.startswith("b:") else None)
    assert exports[1:] in ((), (Ref("c", session_hash=M),))
    # The same is read in 0.3, as older files are, with a warning for each.
    found = codes(exporting(written))
    assert session(exporting(written)).secrets[0].exports == exports
    assert [code for code, _ in found].count("deprecated-reference") == len(exports)


def test_language_0_2_imports_under_the_own_name():
    found = session(importing(f"b:{M}", "0.2")).secrets[0]
    assert found.imported == Import(Ref("b", session_hash=M), "x")
    assert found.kind is None


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{session: b}", "expected NAME or NAME:HASH, got a mapping"),
        ("/session=b", "expected a name of 1 to 128 characters"),
        ("../b", "expected the whole name of a session"),
        ("b:abc", "expected NAME:HASH with a session hash of 64 hex digits"),
    ],
)
def test_language_0_2_has_no_other_forms(written, problem):
    assert f"secrets[0].export: {problem}" in verdict(exporting(written, "0.2"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            f"{{session: n/b, cas_url: cas.example.com, cas_key: {KEY_HASH}}}",
            f"['cas.example.com/cas_key={KEY_HASH},session=n/b']",
        ),
        (f"[{{session_hash: {M}, session: b}}]", f"/session=b,session_hash={M.upper()}"),
        ("{namespace: n}", "/namespace=n"),
        ("b", "{session: b}"),
    ],
)
def test_the_url_form_and_the_mapping_have_one_hash(one, other):
    assert session_hash(session(exporting(one))) == session_hash(session(exporting(other)))


def test_an_import_without_name_means_the_same_as_with_its_own():
    texts = [importing("{session: b}"), importing("/session=b,secret=x")]
    assert len({canonical_json(session(text)) for text in texts}) == 1


def test_what_a_variable_brings_is_not_shown_when_a_url_is_wrong():
    said = verdict(exporting('"$URL"'), variables={"URL": "hunter2/who=hunter3"})
    assert "(in the value of $URL)" in said
    assert "hunter" not in said
