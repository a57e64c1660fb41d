"""The canonical form: the published pair, what is left out, what changes the hash."""

import contextlib

import pytest

from scone.documents import DocumentError
from scone.errors import MalformedError
from scone.session import (
    canonical_json,
    from_canonical,
    read_session,
    references_creator,
    session_hash,
    to_yaml,
)

BASE = 'version: "0.3"\nname: s\n'
SERVICE = BASE + f"services:\n- name: a\n  mrenclaves: [{'a5' * 32}]\n"


def session(text, **options):
    return read_session(text, **options).session


def test_the_published_session_has_the_published_hash(documented):
    text = (documented / "print-arg-env__25.yml").read_text()
    known = "39ae54974c6892f7a3ee1492175fc092f50b31f9ed9f45e721125fcc332ef3c2"
    assert session_hash(session(text)) == known
    assert to_yaml(session(text)) == text


def test_the_template_of_the_published_session_with_its_creator_has_the_same_hash(documented):
    published = session((documented / "print-arg-env__25.yml").read_text())
    template = (documented / "print-arg-env__14b.yml").read_text()
    made = session(template, variables={"SESSION": published.name})
    assert session_hash(made) != session_hash(published)
    assert session_hash(made.with_creator(published.creator.certificate_pem)) == session_hash(
        published
    )


def test_the_documentations_sessions_are_read_or_refused_with_a_reason(documented):
    variables = dict.fromkeys(("SESSION", "USER_ID", "NS", "NAMESPACE", "NODE_SESSION"), "x")
    variables |= dict.fromkeys(("MRENCLAVE", "NGINX_MRENCLAVE", "PREDECESSOR"), "ab" * 32)
    variables["SESSION_LANG_VERSION"] = "0.3"
    accepted = set()
    for file in sorted(documented.glob("*.yml")):
        with contextlib.suppress(DocumentError):
            read_session(file.read_text(), variables=variables)
            accepted.add(file.stem)
    assert {
        "CAS_cli-intro__10",
        "CAS_cli-intro__14",
        "CAS_production__09",
        "hello_world_kubernetes__25",
        "namespace__02",
        "print-arg-env__14",
        "print-arg-env__25",
        "example_policy__08",
    } <= accepted


def test_absent_empty_and_null_options_are_the_same_session():
    forms = [
        BASE,
        BASE + "services:\n",
        BASE + "services: []\nsecrets: ~\nimages: null\n",
        BASE + "predecessor: ~\nsecurity:\n  attestation:\n    mode: hardware\n    tolerate: []\n",
        BASE + "access_policy: {}\n",
        BASE + "access_policy:\n  read: CREATOR\n  update: [CREATOR]\n  create_sessions:\n",
    ]
    assert len({session_hash(session(form)) for form in forms}) == 1
    assert canonical_json(session(BASE)) == (
        '{"version":"0.3","name":"s","predecessor":null,'
        '"access_policy":{"read":["CREATOR"],"update":["CREATOR"]}}'
    )


def test_defaults_that_are_written_out_do_not_change_the_hash():
    files = "images:\n- name: i\n  injection_files:\n"
    secrets = "secrets:\n- {name: a, kind: ascii%s}\n- {name: k, kind: private-key%s}\n"
    one = BASE + files + "  - /a\n" + secrets % ("", "")
    other = (
        BASE
        + files
        + "  - {path: /a, permission: 0o700}\n"
        + secrets % (", size: 20", ", key_type: P-256, migrate: false")
    )
    assert session_hash(session(one)) == session_hash(session(other))


@pytest.mark.parametrize(
    "change",
    [
        ("name: s", "name: t"),
        ('"0.3"', "0.3.12"),
        ("name: a", "name: b"),
        ("a5a5", "a5a4"),
        ("mrenclaves: [", "attestation: {mrenclave: ["),
        ("- name: a\n", "- name: a\n  command: ./a\n"),
        ("- name: a\n", "- name: a\n  command: [./a]\n"),
        ("- name: a\n", "- name: a\n  pwd: /\n"),
        ("- name: a\n", '- name: a\n  environment: {A: ""}\n'),
        ("services", "access_policy: {create_sessions: CREATOR}\nservices"),
        ("services", "security: {attestation: {tolerate: [hyperthreading]}}\nservices"),
        (
            "services",
            'security: {attestation: {tolerate: [debug-mode], ignore_advisories: "*"}}\nservices',
        ),
        ("services", f"predecessor: {'00' * 32}\nservices"),
        ("services", "secrets: [{name: a, kind: ascii}]\nservices"),
        ("services", "images: [{name: a}]\nservices"),
    ],
)
def test_another_meaning_has_another_hash(change):
    text = SERVICE.replace(*change)
    if "attestation: {mrenclave" in text:
        text = text.replace("]", "]}")
    assert text != SERVICE
    assert session_hash(session(text)) != session_hash(session(SERVICE))


def test_the_creator_and_the_predecessor_are_in_the_hash(certificates):
    plain = session(SERVICE)
    made = plain.with_creator(certificates[0])
    assert session_hash(made) != session_hash(plain)
    assert session_hash(made) != session_hash(plain.with_creator(certificates[2]))
    assert session_hash(plain.with_predecessor("ab" * 32)) != session_hash(plain)
    assert made.with_creator(None) == plain


def test_another_layout_of_the_same_certificate_is_the_same_creator(certificates):
    plain = session(SERVICE)
    loose = "\n" + certificates[0].replace("\n", "\r\n").rstrip() + "  \n\n"
    assert plain.with_creator(loose) == plain.with_creator(certificates[0])


@pytest.mark.parametrize(
    "pem", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_creator_is_one_certificate(certificates, pem):
    with pytest.raises(MalformedError):
        session(SERVICE).with_creator(pem)
    with pytest.raises(MalformedError, match="one certificate"):
        session(SERVICE).with_creator(certificates[0] * 2)


@pytest.mark.parametrize("predecessor", ["", "AB" * 32, "ab" * 31, "zz" * 32])
def test_a_predecessor_is_a_hash(predecessor):
    with pytest.raises(MalformedError, match="64 lower-case hex digits"):
        session(SERVICE).with_predecessor(predecessor)


def test_environment_is_sorted_by_code_point():
    text = SERVICE + "  environment: {b: 1, a: 2, Z: 3, ä: 4, A0: 5}\n"
    assert '"environment":{"A0":"5","Z":"3","a":"2","b":"1","ä":"4"}' in canonical_json(
        session(text)
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", True),
        ("access_policy: {read: ANY}\n", True),
        ("access_policy: {read: ANY, update: NONE}\n", False),
        ("access_policy: {read: ANY, update: NONE, create_sessions: CREATOR}\n", True),
        ("access_policy: {read: CREATOR, update: NONE}\n", True),
    ],
)
def test_the_creator_is_referenced_by_lists_and_by_defaults(policy, expected):
    assert references_creator(session(BASE + policy)) is expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("{", "{ "), "another form"),
        (('"predecessor":null,', ""), "another form"),
        (('"name":"s"', '"name":"s","name":"s"'), "each key once"),
        (('"name":"s"', '"name":"a b"'), "per segment"),
        (('"s"', '"\\u0073"'), "another form"),
        (("}}", "}"), "JSON"),
        (('"version"', '"x":1,"version"'), "unknown key"),
    ],
)
def test_only_the_canonical_form_is_read_as_one(change, reason):
    text = canonical_json(session(BASE)).replace(*change, 1)
    with pytest.raises(MalformedError, match=reason):
        from_canonical(text)


def test_the_permission_is_a_number_in_the_canonical_form_and_octal_in_the_normal_form():
    text = (
        BASE
        + "images:\n- name: i\n  injection_files:\n  - {path: /a, content: x, permission: 0o400}\n"
    )
    made = session(text)
    assert '"permission":256' in canonical_json(made)
    assert "permission: 0o400\n" in to_yaml(made)
    assert from_canonical(canonical_json(made)) == made == session(to_yaml(made))
    assert session(text.replace("0o400", "0400")) == made


def test_a_session_does_not_show_secrets_in_its_repr():
    text = (
        SERVICE
        + "  environment: {A: hunter2}\n  command: ./a hunter2\n"
        + (
            "secrets: [{name: p, kind: ascii, value: hunter2}]\n"
            "images: [{name: i, injection_files: [{path: /a, content: hunter2}]}]\n"
        )
    )
    made = session(text)
    assert "hunter2" in canonical_json(made)
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize("begin", ["0b44cf", "0b0012", "1a2b3c", "0f0000"])
def test_a_hash_that_is_no_number_is_read_without_quotes(begin):
    predecessor = begin + "f" * 58
    text = f'name: s\nversion: "0.3.10"\npredecessor: {predecessor}\n'
    assert f"\npredecessor: {predecessor}\n" in to_yaml(session(text))


def test_a_stored_session_is_read_although_a_later_rule_would_refuse_it():
    text = canonical_json(read_session(SECRET_OF_IMAGE).session)
    missing = text.replace('"provide_secrets":["x"]', '"provide_secrets":["gone"]')
    assert from_canonical(missing).images[0].provide_secrets == ("gone",)
    with pytest.raises(DocumentError):
        read_session(missing)


SECRET_OF_IMAGE = """version: "0.3"
name: s
secrets: [{name: x, kind: ascii}]
images: [{name: i, provide_secrets: [x]}]
"""


@pytest.mark.parametrize("key", ['"\\x7f"', "k" * 257, '""'])
def test_keys_of_fragments_and_claims_can_be_written_again(key):
    fragment = f"secrets: [{{name: f, kind: config-fragment, value: {{{key}: x}}}}]\n"
    claims = (
        "secrets: [{name: k, kind: private-key, key_type: P-384}, {name: t, kind: jwt, signer: k,"
        f" alg: ES384, validity: {{for: 1h}}, payload: {{{key}: x}}}}]\n"
    )
    for section in (fragment, claims):
        with pytest.raises(DocumentError, match="printable characters"):
            read_session(f'version: "0.3"\nname: s\n{section}')
