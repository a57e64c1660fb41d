"""Secrets in configuration sections: what they bring is data, and nothing is granted without it."""

import json

import pytest

from fakes.session_texts import verdict
from scone.crypto.secret import SecretBytes
from scone.session import read_session
from scone.session.model import AccessPolicy, Rule, Security, SessionSigner, Variant
from scone.session.resolve import (
    UnresolvedError,
    entries_of,
    resolved_access_policy,
    resolved_platforms,
    resolved_security,
    resolved_variants,
)
from scone.session.secrets import AsciiValue, BinaryValue, FragmentValue

A, B, C = "a5" * 32, "b6" * 32, "c7" * 32
KEY_HASH = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
SIGNER = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAOsufQ7RCOXueVLQBpk7Y44GAaj+LzPbmHfdr/TPdlrE=\n-----END PUBLIC KEY-----\n"
IMPORTED = """version: "0.3"
name: s
secrets:
- {name: x, import: {session: o, secret: x}}
- {name: y, import: {session: o, secret: y}}
- {name: bin, kind: binary, size: 32}
"""


def fragment(data):
    return FragmentValue(json.dumps(data, separators=(",", ":")))


def text(value):
    return AsciiValue(SecretBytes(value.encode()))


def session(rest):
    return read_session(IMPORTED + rest).session


def test_lists_are_spliced_and_numbers_are_read_by_their_place():
    found = session(
        f"services:\n- name: a\n  attestation:\n  - mrenclave: [{A}, $$SCONE::x$$]\n"
        f"    signer: {{mrsigner: {A}, isvprodid: $$SCONE::y$$}}\n"
    )
    values = {"x": fragment([B.upper(), C]), "y": fragment("6")}
    (variant,) = resolved_variants(found, found.service("a"), values)
    assert variant.mrenclaves == (A, B, C)
    assert variant.signer is not None
    assert variant.signer.isvprodid == 6


def test_a_variant_may_come_whole_and_several_at_once():
    found = session(f"services:\n- {{name: a, attestation: [$$SCONE::x$$, {{mrenclave: {A}}}]}}\n")
    one = {"mrenclave": B}
    service = found.service("a")
    assert resolved_variants(found, service, {"x": fragment(one)}) == (Variant((B,)), Variant((A,)))
    assert resolved_variants(found, service, {"x": fragment([one, one])}) == (
        Variant((B,)),
        Variant((B,)),
        Variant((A,)),
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        text("b6"),
        fragment({"mrenclave": "$$SCONE::y$$"}),
        fragment({"mrenclave": [[B]]}),
        fragment({"mrenclave": B, "unheard-of": "x"}),
        fragment({}),
        fragment([]),
        BinaryValue(SecretBytes(b"\xff" * 32)),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_secret_and_not_its_value(value):
    found = session("services:\n- {name: a, attestation: $$SCONE::x$$}\n")
    values = {} if value is None else {"x": value}
    with pytest.raises(UnresolvedError) as caught:
        resolved_variants(found, found.service("a"), values)
    shown = str(caught.value)
    assert "session s" in shown
    assert "b6b6" not in shown


def test_text_that_looks_like_yaml_or_a_placeholder_is_text():
    found = session("security: {service_access_token: $$SCONE::x$$}\n")
    for value in ("[a, b]", "$$SCONE::bin:hex$$", "a: b", "~", "null"):
        resolved = resolved_security(found, {"x": text(value)})
        assert resolved.service_access_token == value


def test_a_security_section_may_come_in_parts_or_whole():
    parts = session(
        "security:\n  attestation: {mode: $$SCONE::x$$, tolerate: [hyperthreading, $$SCONE::y$$]}\n"
    )
    values = {"x": text("hardware"), "y": fragment(["outdated-tcb", "debug"])}
    assert resolved_security(parts, values).tolerate == (
        "hyperthreading",
        "outdated-tcb",
        "debug-mode",
    )
    whole = session("security: $$SCONE::x$$\n")
    data = {"attestation": {"mode": "none"}, "singleton_enclaves": "true"}
    assert resolved_security(whole, {"x": fragment(data)}) == Security(
        mode="none", singleton_enclaves=True
    )
    with pytest.raises(UnresolvedError, match="x"):
        resolved_security(whole, {"x": text("none")})


def test_a_one_time_password_secret_comes_in_base32():
    found = session(
        "security: {attestation: {tolerate: $$SCONE::x$$, one_time_password_shared_secret: $$SCONE::bin:base32nopad$$}}\n"
    )
    values = {"x": fragment([]), "bin": BinaryValue(SecretBytes(bytes(32)))}
    assert resolved_security(found, values).one_time_password_shared_secret == "A" * 52


def test_platforms_come_as_text_or_as_a_list():
    found = session(
        f"services:\n- {{name: a, attestation: {{mrenclave: {A}}}, platforms: [$$SCONE::x$$, $$SCONE::y$$]}}\n"
    )
    one, other = "INTEL_QE_ID:" + "ab" * 16, "INTEL_QE_ID:" + "cd" * 16
    values = {"x": text(one), "y": fragment([other, one])}
    assert resolved_platforms(found, found.service("a"), values) == (one, other)
    with pytest.raises(UnresolvedError):
        resolved_platforms(found, found.service("a"), {"x": text("anything"), "y": fragment([])})


def test_a_whole_access_policy_has_the_defaults_for_what_it_leaves_out():
    found = session("access_policy: $$SCONE::x$$\n")
    data = {"read": ["ANY"], "update": [{"signer": SIGNER}]}
    assert resolved_access_policy(found, {"x": fragment(data)}) == AccessPolicy(
        read=("ANY",), update=(SessionSigner(SIGNER),)
    )
    with pytest.raises(UnresolvedError):
        resolved_access_policy(found, {"x": fragment({"read": ["ANY", "CREATOR"]})})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (text("CREATOR"), ("CREATOR",)),
        (text(KEY_HASH), (KEY_HASH,)),
        (fragment(["CREATOR", KEY_HASH]), ("CREATOR", KEY_HASH)),
        (fragment("CREATOR"), ("CREATOR",)),
        (
            fragment({"require-all": ["CREATOR", {"signer": SIGNER}]}),
            (Rule(None, ("CREATOR", SessionSigner(SIGNER))),),
        ),
    ],
)
def test_an_access_entry_may_stand_for_one_or_several(value, expected):
    found = session("access_policy: {update: [$$SCONE::x$$]}\n")
    assert entries_of("$$SCONE::x$$", found, {"x": value}, rules=True) == expected


@pytest.mark.parametrize(
    "value",
    [text("creator"), text("$$SCONE::y$$"), fragment(["$$SCONE::y$$"]), fragment([]), text("")],
)
def test_an_access_entry_that_brings_something_else_is_refused(value):
    found = session("access_policy: {update: [$$SCONE::x$$]}\n")
    with pytest.raises(UnresolvedError):
        entries_of("$$SCONE::x$$", found, {"x": value}, rules=True)


def test_governance_rules_come_only_where_they_may_stand():
    found = session("access_policy: {read: [$$SCONE::x$$]}\n")
    with pytest.raises(UnresolvedError, match="no governance rule"):
        entries_of("$$SCONE::x$$", found, {"x": fragment({"require-all": ["CREATOR"]})})


def test_a_key_that_a_secret_brings_is_not_told():
    for section, resolved in (
        ("access_policy: $$SCONE::x$$", resolved_access_policy),
        ("security: $$SCONE::x$$", resolved_security),
        ("security: {attestation: $$SCONE::x$$}", resolved_security),
    ):
        for key in ("passw0rd", "reads", "mrenclave"):
            with pytest.raises(UnresolvedError) as error:
                resolved(session(section), {"x": fragment({key: ["a"]})})
            text = str(error.value) + error.value.hint
            assert "unknown key (in the value of $$SCONE::x$$)" in text
            assert key not in text.replace("known: read, update", "")
    with pytest.raises(UnresolvedError) as error:
        entries = fragment([{"passw0rd": ["CREATOR"]}])
        entries_of(
            "$$SCONE::x$$",
            session("access_policy: {update: [$$SCONE::x$$]}"),
            {"x": entries},
            rules=True,
        )
    assert "passw0rd" not in str(error.value) + error.value.hint


LOCAL = """version: "0.3.12"
name: s
secrets:
- name: f
  kind: config-fragment
  value:
    FRAGMENT
- {name: w, kind: ascii, value: hunter2}
- {name: far, import: {session: o}}
services:
- {name: a, attestation: ATTESTATION, platforms: PLATFORMS}
access_policy: ACCESS
security: SECURITY
"""


def local(fragment_text, **parts):
    default = {
        "ATTESTATION": f"{{mrenclave: {A}}}",
        "PLATFORMS": "~",
        "ACCESS": "~",
        "SECURITY": "~",
    }
    text = LOCAL.replace("FRAGMENT", fragment_text)
    for word, value in (default | parts).items():
        text = text.replace(word, value)
    return verdict(text)


@pytest.mark.parametrize(
    ("fragment_text", "part", "where"),
    [
        (
            "{mrencalve: x, mrenclave: [aa]}",
            {"ATTESTATION": "[$$SCONE::f$$]"},
            (
                "services[0].attestation[0].mrencalve: unknown key (in the fragment f) at line 7 column 6"
                " (did you mean 'mrenclave'?)"
            ),
        ),
        (
            f"[{A}, bb]",
            {"ATTESTATION": f"[{{mrenclave: [{B}, $$SCONE::f$$]}}]"},
            (
                "services[0].attestation[0].mrenclave[2]: expected a measurement of 64 hex digits, got 'bb'"
                " (in the fragment f) at line 7"
            ),
        ),
        ("x", {"PLATFORMS": "[$$SCONE::f$$]"}, "services[0].platforms[0]: expected INTEL_QE_ID"),
        (
            "{mode: nnoe}",
            {"SECURITY": "{attestation: $$SCONE::f$$}"},
            "got 'nnoe' (in the fragment f)",
        ),
        (
            "[BOB]",
            {"ACCESS": "{read: $$SCONE::f$$}"},
            "access_policy.read[0]: expected CREATOR, ANY",
        ),
        ("{raed: ANY}", {"ACCESS": "$$SCONE::f$$"}, "(did you mean 'read'?)"),
        (
            "x",
            {"ATTESTATION": "{mrenclave: $$SCONE::w$$}"},
            (
                "services[0].attestation.mrenclave: expected a measurement of 64 hex digits"
                " (in the value of $$SCONE::w$$) at line 11"
            ),
        ),
    ],
)
def test_a_local_fragment_is_read_where_it_is_used(fragment_text, part, where):
    said = local(fragment_text, **part)
    assert where in said
    assert "hunter2" not in said


def test_a_local_fragment_that_fits_or_that_needs_more_is_accepted():
    for fragment_text, part in (
        (f"{{mrenclave: [{A}], signer: ~}}", {"ATTESTATION": "[$$SCONE::f$$]"}),
        ("[CREATOR, signer: ~]".replace(", signer: ~", ""), {"ACCESS": "{update: $$SCONE::f$$}"}),
        ("{mrencalve: x}", {"ATTESTATION": "[$$SCONE::f$$, $$SCONE::far$$]"}),
        ("{mrencalve: x}", {}),
    ):
        assert local(fragment_text, **part) == ""


def test_an_error_has_its_hint_once():
    found = session("services:\n- {name: a, attestation: {mrenclave: $$SCONE::x$$}}\n")
    imported = session("security: $$SCONE::x$$\n")
    for attempt in (
        lambda: resolved_variants(found, found.service("a"), {"x": fragment({"a": "b"})}),
        lambda: resolved_security(imported, {"x": fragment({"mdoe": "none"})}),
    ):
        with pytest.raises(UnresolvedError) as caught:
            attempt()
        if caught.value.hint:
            assert caught.value.hint not in str(caught.value)
    assert caught.value.hint
