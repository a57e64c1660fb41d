"""What somebody reads who made mistakes, and that layout is none: places, suggestions, hashes."""

import random
import re

import pytest

from fakes.session_data import flow, shuffled
from fakes.session_texts import (
    KEY_HASH,
    OTP,
    SIGNER,
    M,
    header,
    quoted,
    service,
    session,
    verdict,
)
from scone.documents import DocumentError
from scone.session import read_session, session_hash, to_yaml

THIRTY = """\
version: "0.3"
name: a b
predecessor: abc
salt: zz
acces_policy: {}
secrets:
- {name: "", kind: ascii}
- {name: a, kind: asci}
- {name: b, kind: ascii, size: 0}
- {name: c, kind: binary, value: xyz}
- {name: d, kind: x509}
- {name: e, kind: x509, private_key: f}
- {name: g, kind: private-key, key_type: RSA}
- {name: h, kind: pgp-key, size: 3}
- {name: b, kind: ascii}
- {name: i, import: {session: a b}}
- {name: j, kind: ascii, export: {session: k, namespace: n}}
volumes:
- {name: v, fspf_key: 12, fspf_tag: 12}
- {name: w, import: {session: o}, files: encrypted}
images:
- name: i
  volumes: [{name: x, path: a}]
  injection_files: [/a, /a, {path: /b, permission: rwx}]
  provide_secrets: [z]
services:
- {name: s, image_name: no, pwd: tmp, attestation: {mrenclave: 1}, command: "a 'b"}
- {name: t}
- {name: u, attestation: {signer: {mrsinger: 1, isvprodid: x, isvsn_min: 1}}, env: {A: B}}
security: {attestation: {mode: hardwar, tolerate: [debug_mode], ignore_advisories: [CVE-1]}}
"""


def test_a_file_with_many_mistakes_is_told_all_of_them_at_once():
    with pytest.raises(DocumentError) as caught:
        read_session(THIRTY, source="s.yml")
    problems = caught.value.problems
    assert len({problem.path for problem in problems}) >= 30
    places = [(problem.mark.line, problem.mark.column) for problem in problems]
    assert places == sorted(places)
    assert {line for line, _ in places} >= set(range(2, 6)) | set(range(7, 18)) | {19, 20, 23, 24}
    assert caught.value.messages[0] == "Parsing s.yml failed"
    assert all(
        re.search(r" at line \d+ column \d+", message) for message in caught.value.messages[1:]
    )
    assert str(problems[0]).startswith("name: expected a name of 1 to 128 characters")
    assert str(problems[0]).count("at line 2 column 7") == 1


@pytest.mark.parametrize("count", range(1, 31))
def test_each_mistake_more_is_one_problem_more(count):
    texts = "".join(f"- {{name: s{n}, kind: ascii, size: no}}\n" for n in range(count))
    said = verdict(header() + "secrets:\n" + texts).splitlines()
    assert [line.split(":")[0] for line in said] == [f"secrets[{n}].size" for n in range(count)]
    assert [f"at line {4 + n} column" in line for n, line in enumerate(said)] == [True] * count


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("acces_policy: {}\n", "access_policy"),
        ("access-policy: {}\n", "access_policy"),
        ("service: []\n", "services"),
        ("secret: []\n", "secrets"),
        ("predecesor: ~\n", "predecessor"),
        (f"services: [{{name: a, attestation: {{signer: {{mrsinger: {M}, isvprodid: 1}}}}}}]\n", "mrsigner"),
        (f"services: [{{name: a, attestation: {{signer: {{mrsigner: {M}, isvprodid: 1, isvsn_min: 1}}}}}}]\n", "isvsvn_min"),
        (f"services: [{{name: a, mrenclaves: {M}, env: {{A: B}}}}]\n", "environment"),
        (f"services: [{{name: a, mrenclaves: {M}, enviroment: {{A: B}}}}]\n", "environment"),
        (f"services: [{{name: a, mrenclaves: {M}, image: i}}]\n", "image_name"),
        (f"services: [{{name: a, mrenclaves: {M}, cmd: i, comand: a}}]\n", "command"),
        ("secrets: [{name: a, kind: private_key}]\n", "private-key"),
        ("secrets: [{name: a, kind: x509ca}]\n", "x509-ca"),
        ("secrets: [{name: a, kind: private-key, keytype: P-256}]\n", "key_type"),
        ("secrets: [{name: a, kind: ascii, exports: []}]\n", "export"),
        ("images: [{name: a, injection_file: []}]\n", "injection_files"),
        ("images: [{name: a, injection_files: [{path: /a, permissions: 0o400}]}]\n", "permission"),
        ("security: {attestations: {}}\n", "attestation"),
        ("security: {attestation: {tolerate: [outdated_tcb]}}\n", "outdated-tcb"),
        ("security: {attestation: {ignore_advisory: '*'}}\n", "ignore_advisories"),
        ("access_policy: {reads: CREATOR}\n", "read"),
        ("access_policy: {update: [CREATER]}\n", "CREATOR"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_suggested(text, suggestion):
    assert f"did you mean '{suggestion}'?" in verdict(header() + text)


@pytest.mark.parametrize(
    ("text", "home"),
    [
        (f"mrenclaves: [{M}]\n", "services[]"),
        ("tolerate: []\n", "security.attestation"),
        (f"services: [{{name: a, mrenclave: {M}}}]\n", "services[].attestation"),
        ("security: {mode: none}\n", "security.attestation"),
        ("secrets: [{name: a, kind: ascii, session: b}]\n", "secrets[].import"),
    ],
)
def test_a_key_at_a_wrong_place_is_sent_to_the_right_one(text, home):
    assert f"it belongs to {home}" in verdict(header() + text)


# --- variables

SECRET = "Zq7Hunter2"
PLACES = {
    "name: $V!\nsecrets: []\n": "name",
    "name: s\npredecessor: $V\n": "predecessor",
    "name: s\nsecrets: [{name: $V!, kind: ascii}]\n": "secrets[0].name",
    "name: s\nsecrets: [{name: x, kind: $V}]\n": "secrets[0].kind",
    "name: s\nsecrets: [{name: x, kind: ascii, size: $V}]\n": "secrets[0].size",
    "name: s\nsecrets: [{name: x, kind: binary, value: $V}]\n": "secrets[0].value",
    "name: s\nsecrets: [{name: x, kind: private-key, value: $V}]\n": "secrets[0].value",
    "name: s\nsecrets: [{name: x, kind: public-key, value: $V}]\n": "secrets[0].value",
    "name: s\nsecrets: [{name: x, kind: x509, value: $V}]\n": "secrets[0].value",
    "name: s\nsecrets: [{name: x, kind: x509, private_key: $V}]\n": "secrets[0].private_key",
    "name: s\nsecrets: [{name: k, kind: ascii}, {name: x, kind: jwt, signer: $V, alg: $V, validity: {for: $V}}]\n": "secrets[1].alg",
    "name: s\nsecrets: [{name: x, kind: x509, san: [$V]}]\n": "secrets[0].san[0]",
    "name: s\nsecrets: [{name: x, kind: ascii, export: {session: b, session_hash: $V}}]\n": "secrets[0].export.session_hash",
    "name: s\nsecrets: [{name: x, kind: ascii, export: {cas_url: h, cas_key: $V, session: b}}]\n": "secrets[0].export.cas_key",
    "name: s\nsecrets: [{name: x, import_akv: {vault: v, token: $V, decryption_key: $V}}]\n": "secrets[0].import_akv.token",
    "name: s\nservices: [{name: a, mrenclaves: [$V]}]\n": "services[0].mrenclaves[0]",
    "name: s\nservices: [{name: a, attestation: {signer: {mrsigner: $V, isvprodid: $V}}}]\n": "services[0].attestation.signer.mrsigner",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, platforms: $V}}]\n": "services[0].platforms",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, image_name: $V, pwd: $V}}]\n": "services[0].pwd",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, fspf_path: /a, fspf_key: $V, fspf_tag: $V}}]\n": "services[0].fspf_tag",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, one_time_password_shared_secret: $V}}]\n": "services[0].one_time_password_shared_secret",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, environment: {{A: $$SCONE::$V$$}}}}]\n": "services[0].environment.A",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, environment: {{A: $$SCONE::k:$V$$}}}}]\nsecrets: [{{name: k, kind: ascii}}]\n": "services[0].environment.A",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, command: [a, $$SCONE::$V$$]}}]\n": "services[0].command[1]",
    f"name: s\nservices: [{{name: a, mrenclaves: {M}, command: \"a 'b $V\"}}]\n": "services[0].command",
    "name: s\nimages: [{name: i, provide_secrets: [$V], volumes: [{name: $V, path: $V}]}]\n": "images[0].provide_secrets[0]",
    "name: s\nimages: [{name: i, injection_files: [$V, {path: /a, permission: $V}]}]\n": "images[0].injection_files[0]",
    "name: s\nimages: [{name: i, injection_files: [{path: /a, content: $$SCONE::$V$$}]}]\n": "images[0].injection_files[0].content",
    "name: s\naccess_policy: {read: [$V], update: {signer: $V}}\n": "access_policy.read[0]",
    "name: s\naccess_policy: {read: [$$SCONE::$V$$]}\n": "access_policy.read[0]",
    "name: s\naccess_policy: {update: {require-all: [$$SCONE::$V$$]}}\n": "access_policy.update.require-all[0]",
    "name: s\ncreator: $V\n": "creator",
    "name: s\nsecurity: {attestation: {mode: $V, tolerate: [$V], ignore_advisories: $V}}\n": "security.attestation.mode",
    "name: s\nsecurity: {attestation: {tolerate: $$SCONE::$V$$}}\n": "security.attestation.tolerate",
    "name: s\nsecurity: {attestation: {tolerate: $$SCONE::k$$, mod: $$SCONE::$V$$, mode: '$V'}}\nsecrets: [{name: k, import: {session: o}}]\n": "security.attestation.mode",
    "name: s\nsecret_config: {store_in: $V}\n": "secret_config.store_in",
}  # fmt: skip


@pytest.mark.parametrize("text", PLACES)
def test_a_mistake_in_a_variable_names_it_and_never_its_value(text):
    armour = f"-----BEGIN {SECRET.upper()}-----\nAAAA\n-----END {SECRET.upper()}-----\n"
    values = [SECRET, SECRET.lower(), armour] if "$$SCONE::" not in text else [SECRET.lower()]
    for value in values:
        for version in ("0.3", "0.2"):
            said = verdict(f'version: "{version}"\n{text}', variables={"V": value})
            assert said or version == "0.2"
            assert SECRET.lower() not in said.lower(), said
        said = verdict(f'version: "0.3"\n{text}', variables={"V": value})
        at = [line for line in said.splitlines() if line.startswith(f"{PLACES[text]}: ")]
        assert at or value == armour, said
        assert all("(in the value of $V)" in line for line in at)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (service("command: a $V"), "@@1234567890"),
        (service("command: [a, $V, '@@2']"), "@@2"),
        (header() + "access_policy: {read: [$V]}\n", "CREATORR"),
        (header() + "security: {attestation: {tolerate: [$V]}}\n", "outdated_tcb"),
        (header() + "secrets: [{name: x, kind: $V}]\n", "session-ca"),
        (header("0.3.5") + "secrets: [{name: x, kind: $V}]\n", "pgp-key"),
        (header() + "secrets: [{name: keyname, kind: ascii}, {name: x, kind: x509, private_key: $V}]\n", "keyname"),
        (header() + "images: [{name: i, injection_files: [{path: /a, permission: $V}]}]\n", "732"),
        (header("0.2") + "access_policy: {read: CREATOR, update: [$V]}\n", M),
        (service("one_time_password_shared_secret: $$SCONE::$V$$") + "secrets: [{name: keyname, kind: jwt, import: {session: o}}]\n", "keyname"),
        (header() + "volumes: [{name: v, fspf_key: $$SCONE::$V$$, fspf_tag: 12}]\nsecrets: [{name: keyname, kind: ascii}]\n", "keyname"),
        (header() + "access_policy: {read: $$SCONE::$V:crt$$}\nsecrets: [{name: keyname, kind: x509, import: {session: o}}]\n", "keyname"),
        (header() + "volumes: [{name: v, export: {to: {session: o}, volume_alias: $V}}, {name: keyname, export: {session: o}}]\n", "keyname"),
    ],
)  # fmt: skip
def test_a_value_that_is_nearly_right_is_not_shown_either(text, value):
    said = verdict(text, variables={"V": value})
    assert said
    for line in said.splitlines():
        assert "did you mean" not in line
        assert value not in line or "in the value of" not in line, line


def test_a_value_of_a_variable_is_not_shown_by_warnings():
    text = service("command: [a, $$SCONE:$V$$]") + "secrets: [{name: $V, kind: ascii}]\n"
    found = read_session(text, variables={"V": SECRET}).warnings
    assert {"deprecated-single-colon", "secret-in-command"} <= {w.code for w in found}
    assert SECRET not in "\n".join(map(str, found))


def test_nothing_that_is_written_is_dropped_in_silence():
    for text, path in [
        ("secrets: [{name: x, kind: ascii, export: {session: ''}}]\n", "secrets[0].export.session"),
        ("secrets: [{name: x, kind: ascii, import: {session: ''}}]\n", "secrets[0].import.session"),
        ("volumes: [{name: v, export: {to: {session: o}, volume_alias: ''}}]\n", "volumes[0].export.volume_alias"),
        ("volumes: [{name: v, import: {session: o, volume: ''}}]\n", "volumes[0].import.volume"),
        ("security: {attestation: {tolerate: ['']}}\n", "security.attestation.tolerate[0]"),
        ("creator: {signer: ''}\n", "creator.signer"),
        ("images: [{name: i, provide_secrets: ['']}]\n", "images[0].provide_secrets[0]"),
        ("services: [{name: a, attestation: {mrenclave: ''}}]\n", "services[0].attestation.mrenclave"),
    ]:  # fmt: skip
        assert verdict(header() + text).startswith(f"{path}: expected"), text


# --- layout is not meaning

DATA = {
    "version": "0.3.12",
    "name": "a/b",
    "salt": "AB" * 16,
    "secrets": [
        {"name": "k", "kind": "private-key", "key_type": "P-384", "migrate": True},
        {"name": "c", "kind": "x509", "private_key": "k", "san": ["dns:a"], "valid_for": "90  days"},
        {"name": "j", "kind": "jwt", "signer": "k", "alg": "ES384", "validity": {"for": "1h"},
         "payload": {"b": "1", "a": "2"}},
        {"name": "f", "kind": "config-fragment", "value": {"signer": {"isvprodid": 1, "mrsigner": M}}},
        {"name": "i", "import": {"session": "../o", "secret": "x"}},
        {"name": "e", "kind": "ascii", "export": {"session": "o", "session_hash": M}},
    ],
    "volumes": [{"name": "v", "export": {"to": {"session": "o"}, "update_policy": "ephemeral"}}],
    "images": [{"name": "i", "volumes": [{"name": "v", "path": "/a"}], "provide_secrets": ["e"]}],
    "services": [
        {"name": "s", "image_name": "i", "attestation": [{"mrenclave": M}, "$$SCONE::f$$"],
         "command": ["a", "b c"], "environment": {"B": "no", "A": "1e5"}, "pwd": "/"}
    ],
    "access_policy": {"read": ["CREATOR", KEY_HASH], "update": {"require-all": [{"signer": SIGNER}]}},
    "security": {"attestation": {"tolerate": ["debug-mode"], "one_time_password_shared_secret": OTP},
                 "singleton_enclaves": True},
}  # fmt: skip


def block(value, indent=""):
    """The same data in block style, texts in single quotes where that is enough."""
    if isinstance(value, dict):
        return "".join(f"{indent}{key}:{inner(item, indent)}" for key, item in value.items())
    return "".join(f"{indent}-{inner(item, indent)}" for item in value)


def inner(item, indent):
    if isinstance(item, dict | list) and item:
        return f"  # a comment\n{block(item, indent + '    ')}"
    if isinstance(item, str) and "\n" in item:
        lines = item.removesuffix("\n").split("\n")
        return " |\n" + "".join(f"{indent}    {line}\n" for line in lines)
    if isinstance(item, bool):
        return f" {str(item).lower()}\n"
    return " '" + str(item).replace("'", "''") + "'\n"


@pytest.mark.parametrize("seed", range(8))
def test_order_of_keys_style_comments_and_quotes_do_not_change_the_hash(seed):
    data = shuffled(DATA, random.Random(seed))
    digest = session_hash(session(flow(DATA)))
    for text in (flow(data), block(data), "# first\n\n" + block(data).replace("\n", "  # c\n", 1),
                 flow(data).replace("true", "True"), block(data).replace("90  days", "90 days")):  # fmt: skip
        assert session_hash(session(text)) == digest
    again = to_yaml(session(block(data)))
    assert session_hash(session(again)) == digest
    assert to_yaml(session(again)) == again


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (service(f"platforms: {M}"), service(f"platforms: [{M.upper()}]")),
        (service(), service().replace(f"mrenclave: {M}", f"mrenclave: [{M.upper()}]")),
        (service(), service().replace("attestation: {", "attestation: [{").replace(f"{M}}}", f"{M}}}]")),
        (header() + f"services: [{{name: a, mrenclaves: {M}}}]\n", header() + f"services: [{{name: a, mrenclaves: [{M}]}}]\n"),
        (header() + "access_policy: {read: CREATOR}\n", header() + "access_policy: {read: [CREATOR, ~]}\n"),
        (header() + "security: {attestation: {tolerate: debug}}\n", header() + "security: {attestation: {tolerate: [debug-mode, debug-mode]}}\n"),
        (header() + "secrets: [{name: x, kind: ascii, export: {session: b}}]\n", header() + "secrets: [{name: x, kind: ascii, export: [/session=b]}]\n"),
        (header() + "volumes: [{name: v, export: b}]\n", header() + "volumes: [{name: v, export: [{session: b}]}]\n"),
        (header() + "volumes: [{name: v, export: {to: {session: b}}}]\n", header() + "volumes: [{name: v, export: /session=b}]\n"),
        (header() + "images: [{name: i, injection_files: [/a]}]\n", header() + "images: [{name: i, injection_files: [{path: /a, permission: 0o700}]}]\n"),
        (header() + "images: [{name: i, injection_files: [{path: /a, content: x, permission: 0400}]}]\n", header() + "images: [{name: i, injection_files: [{permission: 0o400, content: x, path: /a}]}]\n"),
        (header() + f"access_policy: {{update: {{signer: {quoted(SIGNER)}}}}}\n", header() + f"access_policy: {{update: [{{signer: {quoted(SIGNER.strip())}}}]}}\n"),
        (header() + "secret_config: {store_in: !cas }\n", header()),
        (header() + "services: []\nsecrets: ~\nsecurity: {attestation: {mode: hardware, tolerate: []}}\n", header()),
        (service("persistency: None"), service()),
        (service("command: ~, environment: {}, pwd: null"), service()),
    ],
)  # fmt: skip
def test_two_spellings_of_one_meaning_have_one_hash(one, other):
    assert session_hash(session(one)) == session_hash(session(other))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_called_empty(text):
    assert verdict(text).startswith("the file is empty, expected a mapping with version and name")


def test_a_name_in_an_access_policy_is_repeated_unless_a_variable_brought_it():
    text = 'version: "0.3"\nname: s\naccess_policy: {read: [%s]}\n'
    assert "got 'BOB' at line 3" in verdict(text % "BOB")
    assert "BOB" not in verdict(text % "$V", variables={"V": "BOB"})
    assert "mistyped?" in verdict(text % "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x2")
