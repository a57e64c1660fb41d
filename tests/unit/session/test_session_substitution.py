"""Variables: inside one scalar at a time, never in keys, never making YAML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scone.documents import DocumentError
from scone.session import read_session

M = "a5" * 32
TEXT = f'version: "0.3"\nname: s\nsecrets: [{{name: x, kind: ascii}}]\nservices:\n- name: a\n  mrenclaves: [{M}]\n  environment:\n    A: %s\n'


def value(written, **variables):
    return dict(read_session(TEXT % written, variables=variables).session.services[0].environment)[
        "A"
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("$V", "v"),
        ("${V}", "v"),
        ("'$V'", "v"),
        ('"$V"', "v"),
        ("|\n      line $V\n      ${V}$V\n", "line v\nvv\n"),
        ("$V_1", "underscore"),
        ("${V}_1", "v_1"),
        ("$$V", "$$V"),
        ("$$$V", "$$v"),
        ("$$$$", "$$$$"),
        ("$$$$V", "$$$$V"),
        ("$5 $ $-", "$5 $ $-"),
        ("a$", "a$"),
        ("$$SCONE::x$$", "$$SCONE::x$$"),
        ("$$SCONE::x$$$V", "$$SCONE::x$$v"),
        ("$$SCONE::x$$$$SCONE::x$$", "$$SCONE::x$$$$SCONE::x$$"),
        ('"$$SCONE::x|escape(json)$$${V}"', "$$SCONE::x|escape(json)$$v"),
        ("$V$$SCONE::x$$", "v$$SCONE::x$$"),
        ("$$SCONE::$X$$", "$$SCONE::x$$"),
        ("$D", "$V"),
        ("$T", "~"),
        ("x$T", "x~"),
        ("$N", "null"),
        ("$E", ""),
    ],
)
def test_variables_are_replaced_in_values(written, expected):
    variables = {"V": "v", "V_1": "underscore", "X": "x", "D": "$V", "T": "~", "N": "null", "E": ""}
    if written == "$T":
        with pytest.raises(DocumentError, match="got null"):
            value(written, **variables)
    else:
        assert value(written, **variables) == expected


def test_keys_are_left_alone():
    session = read_session(TEXT.replace("A: %s", "$A: $A"), variables={"A": "x"}).session
    assert session.services[0].environment == (("$A", "x"),)


def test_a_tilde_as_whole_plain_value_is_null():
    text = 'version: "0.3"\nname: s\npredecessor: %s\n'
    for written in ("$P", "${P}"):
        assert read_session(text % written, variables={"P": "~"}).session.predecessor is None
    for written, given_ in (('"$P"', "~"), ("$P", "null"), ("$P", "")):
        with pytest.raises(DocumentError, match=r"in the value of \$P"):
            read_session(text % written, variables={"P": given_})


def test_without_variables_nothing_is_replaced():
    assert dict(read_session(TEXT % "$V").session.services[0].environment) == {"A": "$V"}


def test_every_missing_variable_is_named_with_its_place():
    with pytest.raises(DocumentError) as caught:
        read_session(TEXT % '"$V ${W} $V"', variables={"X": "x"})
    hint = "(give it with -e NAME=VALUE or --use-env)"
    assert [str(problem).removesuffix(f" {hint}") for problem in caught.value.problems] == [
        "services[0].environment.A: Value for variable $V is missing at line 8 column 8",
        "services[0].environment.A: Value for variable $W is missing at line 8 column 8",
        "services[0].environment.A: Value for variable $V is missing at line 8 column 8",
    ]


OPEN = f"""version: "0.3"
name: s
secrets:
- {{name: $S, kind: ascii}}
- {{name: t, kind: aad-token, tenant_id: x, client_id: y, application_secret: $T}}
- {{name: v, import_akv: {{vault: a.b}}}}
- {{name: p, kind: private-key, value: $K}}
- {{name: x, kind: binary, value: $B}}
images:
- {{name: $I, volumes: [{{name: $V, path: /a}}]}}
services:
- {{name: a, attestation: [{{mrenclave: [$M, {M}]}}], image_name: here, command: a $$SCONE::p$$ $$SCONE::q$$}}
- {{name: b, environment: {{A: $E}}, one_time_password_shared_secret: $$SCONE::x:base32nopad$$}}
volumes: [{{name: v, fspf_key: $$SCONE::x$$, fspf_tag: $F}}]
access_policy: {{update: [{{require-at-least-2: [$U, $W]}}]}}
security: {{attestation: {{mode: $A, url: "https://a.b/"}}}}
"""
NAMES = "STKBIVMEFUWA"


def test_nothing_else_is_said_about_what_a_missing_variable_stands_in():
    with pytest.raises(DocumentError) as caught:
        read_session(OPEN, variables={})
    expected = {f"Value for variable ${name} is missing" for name in NAMES}
    assert {problem.message for problem in caught.value.problems} == expected


def test_a_missing_variable_hides_no_other_problem():
    changes = {
        "name: a, ": "nmae: a, ",
        "kind: private-key, value: $K": "kind: private-key, size: 3, value: $K",
        "image_name: here": "image_name: [here]",
        "$I": "other",
        "name: $S,": "name: named,",
    }
    text = OPEN
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(DocumentError) as caught:
        read_session(text, variables={})
    others = [p.path for p in caught.value.problems if "is missing" not in p.message]
    assert others == ["secrets[3].size", "services[0].nmae", "services[0].image_name"]
    with pytest.raises(DocumentError, match=r"services\[0\].command: expected a secret named q"):
        read_session(OPEN.replace("$S,", "named,"), variables={})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${V", "a name in it"),
        ("${}", "a name in it"),
        ("${V:-x}", "a name in it"),
        ("${1}", "a name in it"),
    ],
)
def test_other_uses_of_braces_are_refused(written, message):
    with pytest.raises(DocumentError, match=message):
        value(f"'{written}'", V="v")


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_values_that_no_text_can_hold_are_refused_without_showing_them(bad):
    with pytest.raises(DocumentError, match=r"in the value of \$V") as caught:
        value("$V", V="hunter2" + bad)
    assert "hunter2" not in str(caught.value)


def test_the_result_has_a_limit():
    with pytest.raises(DocumentError, match="1048576"):
        value('"' + "$V" * 2000 + '"', V="x" * 1024)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_a_value_is_only_ever_that_scalar(text):
    text = text.replace("SCONE", "")
    session = read_session(TEXT % "pre $V post", variables={"V": text}).session
    assert session.services[0].environment == (("A", f"pre {text} post"),)
    assert len(session.services) == 1
