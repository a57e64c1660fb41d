"""The reader: every problem at once with its place, warnings with stable codes, no secrets shown."""

import pytest

from scone.documents import DocumentError
from scone.errors import MalformedError
from scone.session import canonical_json, from_canonical, read_session, to_yaml
from scone.session.model import Creator, Image, InjectionFile, Session, Template
from scone.session.reading.advice import WILDCARD
from scone.session.reading.fields import KINDS_OF_0_2_ALONE, SECRET_KINDS
from scone.session.reading.reader import stored_form

M = "a5" * 32
BASE = 'version: "0.3"\nname: s\n'
SERVICE = BASE + f"services:\n- name: a\n  attestation: {{mrenclave: {M}}}\n"


def problems(text, **options):
    with pytest.raises(DocumentError) as caught:
        read_session(text, **options)
    return caught.value


def warnings(text, **options):
    return {warning.code: warning for warning in read_session(text, **options).warnings}


def test_all_problems_of_a_file_are_reported_in_the_order_of_the_file():
    error = problems(
        'version: "0.3"\n'
        "name: a b\n"
        "predecesor: x\n"
        "services:\n"
        "- name: ok\n"
        "  comand: x\n"
        "  attestation:\n"
        "    mrenclave: [zz, 12]\n"
        "secrets:\n"
        "- {name: p, kind: asci}\n"
        "security: {attestation: {tolerate: [nothing]}}\n"
    )
    assert [(p.path, p.mark.line) for p in error.problems] == [
        ("name", 2),
        ("predecesor", 3),
        ("services[0].comand", 6),
        ("services[0].attestation.mrenclave[0]", 8),
        ("services[0].attestation.mrenclave[1]", 8),
        ("secrets[0].kind", 10),
        ("security.attestation.tolerate[0]", 11),
    ]
    assert error.messages[0] == "Parsing session failed"
    assert len(error.messages) == 1 + len(error.problems)
    assert error.code == "malformed"


def test_template_errors_are_told_as_scone_tells_them():
    error = problems('# x\n\nname: $SESSION\nversion: "0.3"\n', source="session.yaml", variables={})
    assert error.messages == (
        "Parsing session from session template file 'session.yaml' failed",
        (
            "name: Value for variable $SESSION is missing at line 3 column 7 "
            "(give it with -e NAME=VALUE or --use-env)"
        ),
    )


@pytest.mark.parametrize(
    ("version", "text", "since"),
    [
        ("0.3.4", "name: a/b\n", "0.3.5"),
        ("0.3.10", "name: /\n", "0.3.11"),
        ("0.3", "name: a/b\n", None),
        ("0.3", "name: /\n", None),
        ("0.3.5", "name: a/b\n", None),
        ("0.2", "name: a/b\n", "0.3.5"),
        ("0.2", "name: /\n", "0.3.11"),
        ("0.3.4", "name: s\naccess_policy: {create_sessions: ANY}\n", "0.3.5"),
        ("0.3.5", "name: s\naccess_policy: {create_sessions: ANY}\n", None),
        ("0.2", "name: s\nsecrets: [{name: k, kind: private-key}]\n", "0.3"),
        ("0.2", "name: s\nsecrets: [{name: k, kind: x509, private_key: x}]\n", "0.3.0"),
        ("0.2", "name: s\nsecrets: [{name: k, kind: x509}]\n", None),
        (
            "0.3.9",
            "name: s\nimages: [{name: i, injection_files: [{path: /a, permission: 0o400}]}]\n",
            "0.3.10",
        ),
    ],
)
def test_a_construct_needs_the_version_that_introduced_it(version, text, since):
    text = f"version: {version}\n{text}"
    if since is None:
        assert read_session(text).session.version == version
    else:
        assert since in str(problems(text))


def test_each_kind_of_secret_refuses_the_parameters_of_others():
    every = set().union(*SECRET_KINDS.values())
    samples = {
        "value": "ab",
        "size": "8",
        "migrate": "true",
        "key_type": "P-256",
        "endpoint": "server",
        "valid_for": "1d",
        "dns": "a",
        "san": '"dns:a"',
    }
    checked = 0
    for kind, allowed in SECRET_KINDS.items():
        for key in every - allowed if kind not in KINDS_OF_0_2_ALONE else ():
            text = BASE + f"secrets: [{{name: x, kind: {kind}, {key}: {samples.get(key, 'y')}}}]\n"
            assert any(
                p.path == f"secrets[0].{key}" and "has no" in p.message
                for p in problems(text).problems
            )
            checked += 1
    assert checked >= 15


def test_the_name_option_replaces_the_name_after_substitution():
    assert (
        read_session("version: 0.3\nname: $X\n", variables={"X": "a"}, name="b/c").session.name
        == "b/c"
    )
    assert read_session("version: 0.3\n", name="b").session.name == "b"
    assert problems(BASE, name="b c").problems[0].path == "name"


def test_problems_of_one_part_do_not_make_followers():
    error = problems(
        BASE
        + "secrets:\n- {name: ca, kind: x509-ca, size: 3}\n- {name: j, kind: jwtt}\nservices:\n- name: a\n  atestation: x\n  environment: {A: $$SCONE::ca$$, B: $$SCONE::j$$}\n"
    )
    assert [problem.path for problem in error.problems] == [
        "secrets[0]",
        "secrets[0].size",
        "secrets[1].kind",
        "services[0].atestation",
    ]


def test_a_hostile_number_of_problems_is_cut():
    text = BASE + "services:\n" + "- {name: '?', x: y}\n" * 3000
    error = problems(text)
    assert len(error.problems) == 101
    assert error.problems[-1].message == "further problems are not listed"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (SERVICE + "  environment: {A: [hunter2]}\n", "hunter2"),
        (SERVICE + "  environment: {A: $$SCONE::hunter2}\n", "hunter2"),
        (BASE + "secrets: [{name: x, kind: binary, value: hunter2}]\n", "hunter2"),
        (BASE + "secrets: [{name: x, kind: private-key, value: hunter2}]\n", "hunter2"),
        (SERVICE + "  environment: hunter2\n", "hunter2"),
        (SERVICE + '  command: "./a \'hunter2"\n', "hunter2"),
    ],
)
def test_values_that_may_be_secret_are_not_repeated(text, hidden):
    assert hidden not in "\n".join(problems(text).messages)


def test_the_page_sessions_have_no_other_warning_than_the_missing_policy():
    assert set(warnings('name: "s"\nversion: "0.2"\npredecessor: ~\n')) == {"access-policy-missing"}


POLICY = "access_policy: {read: CREATOR}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BASE + POLICY, {}),
        (BASE, {"access-policy-missing": "access_policy"}),
        (
            SERVICE + "  command: ./a $$SCONE::x$$\nsecrets: [{name: x, kind: ascii}]\n" + POLICY,
            {"secret-in-command": "services[0].command"},
        ),
        (
            SERVICE
            + "  command: [./a, $$SCONE::x$$]\nsecrets: [{name: x, kind: ascii}]\n"
            + POLICY,
            {"secret-in-command": "services[0].command"},
        ),
        (
            SERVICE + "  environment: {LD_PRELOAD: /x.so}\n" + POLICY,
            {"environment-of-loader": "services[0].environment.LD_PRELOAD"},
        ),
        (
            SERVICE + "  environment: {SCONE_HEAP: 1G}\n" + POLICY,
            {"environment-without-effect": "services[0].environment.SCONE_HEAP"},
        ),
        (SERVICE + "  environment: {SCONE_MODE: hw, SCONE_LOG: 7}\n" + POLICY, {}),
        (
            SERVICE + '  environment: {"": ""}\n' + POLICY,
            {"environment-empty-name": "services[0].environment"},
        ),
        (
            BASE + "security: {attestation: {mode: none}}\n" + POLICY,
            {"attestation-none": "security.attestation.mode"},
        ),
        (
            BASE + "security: {attestation: {tolerate: [debug-mode]}}\n" + POLICY,
            {"debug-mode-tolerated": "security.attestation.tolerate"},
        ),
        (
            BASE + 'security: {attestation: {ignore_advisories: "*"}}\n' + POLICY,
            {"advisory-wildcard": "security.attestation.ignore_advisories"},
        ),
        (
            BASE + "security: {attestation: {tolerate: [debug]}}\n" + POLICY,
            {
                "deprecated-tolerate": "security.attestation.tolerate[0]",
                "debug-mode-tolerated": "security.attestation.tolerate",
            },
        ),
        (
            BASE + "secrets: [{name: x, kind: ascii, value: y}]\n" + POLICY,
            {"explicit-secret-value": "secrets[0].value"},
        ),
        (
            BASE + "secrets: [{name: x, kind: ascii, value: y, size: 3}]\n" + POLICY,
            {"explicit-secret-value": "secrets[0].value", "size-without-effect": "secrets[0].size"},
        ),
        (
            f"version: 0.3.10\nname: s\nservices: [{{name: a, mrenclaves: [{M}]}}]\n" + POLICY,
            {"deprecated-mrenclaves": "services[0].mrenclaves"},
        ),
        (f"version: 0.3\nname: s\nservices: [{{name: a, mrenclaves: [{M}]}}]\n" + POLICY, {}),
        (
            SERVICE
            + "  environment: {A: '$$SCONE:x$$'}\nsecrets: [{name: x, kind: ascii}]\n"
            + POLICY,
            {"deprecated-single-colon": "services[0].environment.A"},
        ),
        (
            SERVICE
            + "  environment: {A: $$SCONE::x.hex$$}\nsecrets: [{name: x, kind: binary}]\n"
            + POLICY,
            {"deprecated-format": "services[0].environment.A"},
        ),
        (
            "version: 0.3.10\nname: s\nsecrets: [{name: k, kind: private-key}, {name: c, kind: x509, private_key: k, dns: a}]\n"
            + POLICY,
            {"deprecated-dns": "secrets[1].dns"},
        ),
        (
            BASE
            + "images: [{name: i, injection_files: [{path: /a, content: x, permission: 0o100}]}]\n"
            + POLICY,
            {},
        ),
    ],
)
def test_warnings_have_codes_and_places(text, expected):
    found = warnings(text)
    assert {code: warning.path for code, warning in found.items()} == expected
    assert all(warning.mark is not None for warning in found.values())


def test_the_wildcard_is_warned_about_in_scones_words():
    found = warnings(BASE + 'security: {attestation: {ignore_advisories: "*"}}\n')
    assert (
        found["advisory-wildcard"].message
        == WILDCARD
        == (
            "Using the wildcard (*) in security.attestation.ignore_advisories accepts services with any known and "
            "future security issues, which is heavily discouraged for production mode."
        )
    )


def test_values_are_typed_by_the_schema_and_not_by_yaml():
    made = read_session(
        f'version: 0.3\nname: 1e5\nservices:\n- name: "0700"\n  command: 12\n  environment: {{A: 0x1F, B: yes, C: 1_000}}\n'
        f'  attestation: {{signer: {{mrsigner: {"1" * 64}, isvprodid: "6", isvsvn_max: 5}}}}\n'
    ).session
    (service,) = made.services
    assert (made.name, service.name, service.command) == ("1e5", "0700", "12")
    assert service.environment == (("A", "0x1F"), ("B", "yes"), ("C", "1_000"))
    assert service.attestation[0].signer.isvprodid == 6
    assert [service.attestation[0].signer.admits_svn(n) for n in (0, 5, 6)] == [True, True, False]


def test_either_form_of_measurements_is_one_set_of_variants():
    legacy = read_session(BASE + f"services: [{{name: a, mrenclaves: [{M.upper()}]}}]\n").session
    modern = read_session(SERVICE).session
    assert legacy.service("a").variants == modern.service("a").variants
    assert modern.service("a").variants[0].mrenclaves == (M,)


@pytest.mark.parametrize(
    ("signer", "message"),
    [
        ("{isvprodid: 1}", "required"),
        (f"{{mrsigner: {M}}}", "required"),
        (f"{{mrsigner: {M}, isvprodid: 65536}}", "65535"),
        (f"{{mrsigner: {M}, isvprodid: 01}}", "65535"),
        (f"{{mrsigner: {M}, isvprodid: -1}}", "65535"),
        (
            f"{{mrsigner: {M}, isvprodid: 1, isvsvn_min: 3, isvsvn_max: 2}}",
            "isvsvn_min <= isvsvn_max",
        ),
    ],
)
def test_a_signer_is_complete_and_within_bounds(signer, message):
    assert message in str(
        problems(BASE + f"services: [{{name: a, attestation: {{signer: {signer}}}}}]\n")
    )


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("kind: ascii", "required"),
        ("name: x", "required"),
        ("name: x, kind: ascii, size: 0", "1 to 65536"),
        ("name: x, kind: ascii, size: 65537", "1 to 65536"),
        ("name: x, kind: binary, value: ABC", "hex digits"),
        ("name: x, kind: x509", "expected private_key"),
        ("name: x, kind: x509-ca, private_key: y", "of kind private-key"),
        ("name: x, kind: x509, private_key: k, common_name: " + "c" * 65, "64 characters"),
        ("name: x, kind: x509, private_key: k, san: ['ip:300.1.1.1']", "ip:ADDRESS"),
        ("name: x, kind: x509, private_key: k, san: ['a.example']", "dns:NAME"),
        ("name: x, kind: x509, private_key: k, dns: 'a..b'", "a DNS name"),
        ("name: x, kind: x509, private_key: k, valid_for: 3 lightyears", "duration"),
        ("name: x, kind: x509, private_key: k, issuer: k", "x509-ca"),
        ("name: x, kind: private-key, migrate: yes", "true or false"),
        ("name: x, kind: private-key, key_type: P-521", "did you mean"),
        ("name: x/y, kind: ascii", "letters, digits"),
    ],
)
def test_secrets_are_checked(secret, message):
    text = BASE + f"secrets: [{{{secret}}}, {{name: k, kind: private-key}}]\n"
    assert message in str(problems(text))


def test_an_issuer_needs_its_private_key_to_sign(certificates):
    ca = "  value: |\n" + "".join(f"    {line}\n" for line in certificates[0].splitlines())
    text = (
        BASE
        + "secrets:\n- {name: k, kind: private-key}\n- {name: c, kind: x509, private_key: k, issuer: ca}\n- name: ca\n  kind: x509-ca\n"
    )
    assert "to sign with" in str(problems(text + ca))
    assert read_session(text + "  private_key: k\n" + ca).session.secret("ca").private_key == "k"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("[/a, /a]", "each path once"),
        ("[/a, /a/b]", "expected a directory"),
        ("[/]", "shortest form"),
        ("[/a/]", "shortest form"),
        ("[/a//b]", "shortest form"),
        ("[/a/./b]", "shortest form"),
        ("[a]", "absolute"),
        ('["/a\\nb"]', "absolute"),
        ("[{content: x}]", "required"),
        ("[{path: /a, content: {b: c}}]", "a mapping"),
        ("[{path: /a, permission: 0o}]", "octal"),
        ("[{path: /$$SCONE::x$$}]", "without placeholder"),
    ],
)
def test_injection_files_have_canonical_paths_once(files, message):
    assert message in str(problems(BASE + f"images: [{{name: i, injection_files: {files}}}]\n"))


def test_binary_forms_are_for_files_only():
    secrets = "secrets: [{name: b, kind: binary}, {name: k, kind: private-key}, {name: c, kind: x509, private_key: k}]\n"
    for form in (
        "b",
        "b:bin",
        "k:der",
        "c:crt:der",
        "c:privatekey:der",
        "c:pkcs12-with-private-key",
    ):
        placeholder = f'"$$SCONE::{form}$$"'
        assert "raw bytes" in str(
            problems(SERVICE + f"  environment: {{A: {placeholder}}}\n" + secrets)
        )
        assert "raw bytes" in str(
            problems(SERVICE + f"  command: [./a, {placeholder}]\n" + secrets)
        )
        files = f"images: [{{name: i, injection_files: [{{path: /a, content: {placeholder}}}]}}]\n"
        assert read_session(BASE + files + secrets).session.images
        escaped = files.replace('$$"', '|escape(json)$$"')
        assert "under escape" in str(problems(BASE + escaped + secrets))


def test_a_private_key_is_only_there_if_the_certificate_names_it(certificates):
    value = "  value: |\n" + "".join(f"    {line}\n" for line in certificates[0].splitlines())
    text = (
        SERVICE
        + '  environment: {A: "$$SCONE::c:privatekey$$"}\nsecrets:\n- name: c\n  kind: x509\n'
        + value
    )
    assert "the private key of c" in str(problems(text))


def test_pwd_is_absolute_and_names_are_unique():
    assert "absolute" in str(problems(SERVICE + "  pwd: here\n"))
    assert "each name once" in str(problems(SERVICE + "- {name: a, mrenclaves: [" + M + "]}\n"))
    assert "each name once" in str(problems(BASE + "images: [{name: i}, {name: i}]\n"))
    assert "either mrenclaves or attestation" in str(problems(SERVICE + f"  mrenclaves: [{M}]\n"))


FILE = BASE + 'images: [{name: i, injection_files: [{path: /a, content: "VALUE"}]}]\n'


def test_a_session_that_would_grow_too_large_to_be_stored_is_refused():
    text = FILE.replace("VALUE", "\\x01" * 200_000)
    assert len(text) < 1024 * 1024
    assert "1048576 bytes in canonical form" in str(problems(text))
    text = FILE.replace("VALUE", "$V")
    assert "1048576 bytes in canonical form" in str(
        problems(text, variables={"V": "\x01" * 200_000})
    )
    assert "1048576 bytes in normal form" in str(problems(text, variables={"V": "a\n" * 200_000}))


def test_the_largest_sessions_survive_every_form():
    texts = [
        read_session(FILE.replace("VALUE", "$V"), variables={"V": "a\n" * 100_000}),
        read_session(
            BASE
            + "images: [{name: i, injection_files: ["
            + ", ".join(f"/{n}" for n in range(4900))
            + "]}]\n"
        ),
    ]
    for checked in texts:
        assert from_canonical(canonical_json(checked.session)) == checked.session
        assert read_session(to_yaml(checked.session)).session == checked.session


def with_file(content, **more):
    image = Image("i", injection_files=(InjectionFile("/a", content),))
    return Session("0.3", "s", images=(image,), **more)


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (with_file("x" * 1024 * 1024), "at most 1048576 bytes in canonical form, its creator"),
        (with_file("x" * 1_000_000, creator=Creator("c" * 90_000)), "1048576 bytes in canonical"),
        (with_file("a\n" * 200_000), "at most 1048576 bytes in normal form, its creator"),
        (
            Session("0.3", "s", images=tuple(Image(f"i{n}") for n in range(5_000))),
            "at most 20000 values in normal form, its creator",
        ),
        (Session("0.3", ""), "whose canonical form can be read again"),
        (Session("0.3", "s", security=Template("{}")), "one that would be another session"),
    ],
)
def test_what_could_not_be_read_again_has_no_form_to_be_stored(session, expected):
    with pytest.raises(MalformedError, match=expected):
        stored_form(session)


def test_the_stored_form_is_the_canonical_one():
    session = with_file("x" * 1_000_000)
    assert stored_form(session) == canonical_json(session)
    assert from_canonical(stored_form(session)) == session


ACCESS = 'version: "0.3.10"\nname: s\naccess_policy:\n'


def test_a_list_of_an_access_policy_has_a_limit_of_entries():
    entry = "CREATOR"
    rule = f"{{require-at-least-1: [{', '.join([entry] * 99)}]}}"  # a hundred with itself
    for listed, count in (
        ([entry] * 256, 256),
        ([entry] * 257, 257),
        ([rule, rule] + [entry] * 56, 256),
        ([f"{{require-all: [{rule}, {rule}]}}"] + [entry] * 56, 257),
    ):
        text = f"{ACCESS}  read: ANY\n  update: [{', '.join(listed)}]\n"
        if count <= 256:
            assert read_session(text).session.access_policy.update
        else:
            shown = str(problems(text))
            assert "access_policy.update: expected at most 256 entries, rules" in shown
            assert f"got {count}" in shown


def test_too_many_values_are_refused_early():
    assert "20000 values" in str(problems(BASE + "services: [" + "a," * 30_000 + "]\n"))
    files = ", ".join(f"/{n}" for n in range(5100))
    assert "20000 values in normal form" in str(
        problems(BASE + f"images: [{{name: i, injection_files: [{files}]}}]\n")
    )


def test_a_chain_of_issuers_has_an_end():
    names = [
        f"- {{name: c{n}, kind: x509-ca, private_key: k, issuer: c{n + 1}}}\n" for n in range(9)
    ]
    text = (
        BASE
        + "secrets:\n- {name: k, kind: private-key}\n"
        + "".join(names)
        + "- {name: c9, kind: x509-ca, private_key: k}\n"
    )
    assert [p.path for p in problems(text).problems] == ["secrets[1].issuer"]
    assert read_session(text.replace(names[0], "")).session.secrets


def test_a_session_has_a_limit_of_placeholders():
    secrets = "secrets: [{name: x, kind: ascii}]\n"
    assert read_session(FILE.replace("VALUE", "$$SCONE::x$$" * 1000) + secrets).session.images
    error = problems(FILE.replace("VALUE", "$$SCONE::x$$" * 1001) + secrets)
    assert [p.path for p in error.problems] == ["images[0].injection_files[0].content"]
    assert "1000 placeholders" in str(error)
