"""Kinds of secrets, their parameters and formats, and since when each construct is there.

The tables are taken from SCONE's pages, not from `fields`.
"""

import pytest

from fakes.session_texts import (
    OTP,
    P256,
    PRIVATE_KEY,
    QE_ID,
    SIGNER,
    M,
    codes,
    header,
    quoted,
    service,
    session,
    verdict,
)
from scone.session import canonical_json
from scone.session.model import AadToken, AkvImport, Duration, Jwt

X25519 = "MC4CAQAwBQYDK2VuBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def pem(body):
    return quoted(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")


# What other secrets may be named in the examples below.
NAMED = (
    "{name: key, kind: private-key, key_type: P-384}, {name: ca, kind: x509-ca, private_key: key},"
    " {name: token, kind: aad-token, tenant_id: t, client_id: c, application_secret: s},"
    " {name: k32, kind: binary, size: 32}"
)
JWT = {"signer": "key", "alg": "ES384", "validity": "{for: 24h}"}
AAD = {"tenant_id": "t", "client_id": "c"}
# Each kind with what it needs, and with each further parameter that the pages give it.
PARAMETERS = {
    "ascii": ({}, {"size": "12", "value": "secret-value"}),
    "binary": ({}, {"size": "32", "value": "DEADBEEF"}),
    "private-key": (
        {},
        {"key_type": "Ed25519", "migrate": "true", "value": quoted(PRIVATE_KEY)},
    ),
    "public-key": ({}, {"private_key": "key", "value": quoted(P256)}),
    "x509": (
        {"private_key": "key"},
        {
            "issuer": "ca",
            "common_name": "example.com",
            "endpoint": "server",
            "dns": "[a, '*.b.example']",
            "valid_for": "90 days",
            "san": "['dns:*.a.example', 'ip:192.168.1.2', 'ip:2001:db8::1']",
        },
    ),
    "x509-ca": (
        {"private_key": "key"},
        {"issuer": "ca", "common_name": "'My own CA'", "valid_for": "1 year"},
    ),
    "pgp-key": ({}, {}),
    "aad-token": (
        AAD,
        {
            "application_secret": "dGmb",
            "private_key": quoted(PRIVATE_KEY) + ", certificate_thumbprint: " + "B0" * 20,
        },
    ),
    "config-fragment": ({}, {"value": "{a: [1, ~x], b: ''}"}),
    "jwt": (JWT, {"payload": "{key: value, mrenclave: $$SCONE::self::software_identity$$}"}),
}
EVERY = {key: value for needs, more in PARAMETERS.values() for key, value in (needs | more).items()}
# Kinds of which one of the further parameters is needed too.
ONE_OF = {"public-key", "aad-token", "config-fragment"}


def secret(kind, parameters, version="0.3"):
    more = "".join(f", {key}: {value}" for key, value in parameters.items())
    attest = f"services: [{{name: a, attestation: {{mrenclave: {M}}}}}]\n"
    return f"{header(version)}secrets: [{NAMED}, {{name: x, kind: {kind}{more}}}]\n{attest}"


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_kind_has_these_parameters(kind):
    needs, more = PARAMETERS[kind]
    assert (verdict(secret(kind, needs)) == "") == (kind not in ONE_OF)
    for key, value in more.items():
        assert verdict(secret(kind, needs | {key: value})) == "", key
    for key in needs:
        without = {other: value for other, value in needs.items() if other != key}
        assert verdict(secret(kind, without)) != "", key


@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_kind_has_no_other_parameters(kind):
    needs, more = PARAMETERS[kind]
    given = {*needs, *more} | ({"value"} if kind in {"x509", "x509-ca"} else set())
    for key, value in EVERY.items():
        if key in given:
            continue
        said = verdict(secret(kind, needs | {key: value}))
        assert f"secrets[4].{key}: a secret of kind {kind} has no {key}" in said, key


def test_a_certificate_may_be_given(certificates):
    pem = quoted(certificates[0])
    for kind in ("x509", "x509-ca"):
        for more in ({}, {"private_key": "key"}, {"issuer": "ca"}):
            assert verdict(secret(kind, {"value": pem} | more)) == ""
        for key in ("common_name", "valid_for"):
            said = verdict(secret(kind, {"value": pem, key: EVERY[key]}))
            assert f"secrets[4].{key}: expected no {key} beside an explicit value" in said
    chain = quoted(certificates[0] + certificates[2])
    assert verdict(secret("x509", {"value": chain})) == ""
    assert "expected PEM with" in verdict(secret("x509", {"value": "x"}))


@pytest.mark.parametrize(
    ("kind", "parameters", "problem"),
    [
        ("ascii", {"size": "0"}, "size: expected a number from 1 to 65536"),
        ("ascii", {"size": "1k"}, "size: expected a number from 1 to 65536"),
        ("ascii", {"value": "[a]"}, "value: expected the value of the secret, got a list"),
        ("binary", {"value": "ABC"}, "value: expected an even number of hex digits"),
        ("binary", {"value": "''"}, "value: expected an even number of hex digits"),
        ("private-key", {"key_type": "RSA-4096"}, "key_type: expected one of P-256, P-384"),
        ("private-key", {"migrate": "yes"}, "migrate: expected true or false"),
        ("private-key", {"value": "x"}, "value: expected PEM with -----BEGIN PRIVATE KEY-----"),
        ("private-key", {"value": pem("AAAA")}, "value: expected a PKCS#8 private key (RSA, ell"),
        ("private-key", {"value": pem(X25519)}, "value: expected a PKCS#8 private key (RSA, ell"),
        ("pgp-key", {"size": "3"}, "a secret of kind pgp-key has no size at line 3 column"),
        ("pgp-key", {"key_type": "P-256"}, "(it has no parameters)"),
        (
            "private-key",
            {"value": quoted(PRIVATE_KEY), "key_type": "P-384"},
            "expected no key_type beside",
        ),
        ("public-key", {"private_key": "ca"}, "expected a secret of kind private-key, ca is of"),
        (
            "public-key",
            {"private_key": "key", "value": quoted(P256)},
            "expected either private_key or value",
        ),
        ("public-key", {"value": quoted(PRIVATE_KEY)}, "value: expected PEM with -----BEGIN PUBLIC"),
        ("x509", {"private_key": "kex"}, "did you mean 'key'?"),
        ("x509", {"private_key": "key", "issuer": "key"}, "expected a secret of kind x509-ca"),
        ("x509", {"private_key": "key", "issuer": "cb"}, "issuer: expected the name of a secret of kind x509-ca"),
        ("x509", {"private_key": "key", "endpoint": "peer"}, "expected one of server, client"),
        (
            "x509",
            {"private_key": "key", "endpoint": "client", "dns": "a"},
            "dns: expected no dns with endpoint client",
        ),
        ("x509", {"private_key": "key", "dns": "a b"}, "dns: expected a DNS name"),
        ("x509", {"private_key": "key", "dns": "a.*.b"}, "dns: expected a DNS name"),
        ("x509", {"private_key": "key", "san": "a.example"}, 'san: expected "dns:NAME" or'),
        ("x509", {"private_key": "key", "san": "['ip:300.1.1.1']"}, 'san[0]: expected "dns:NAME"'),
        ("x509", {"private_key": "key", "san": "[{dns: a}]"}, 'san[0]: expected "dns:NAME"'),
        ("x509", {"private_key": "key", "valid_for": "90"}, "valid_for: expected a duration"),
        ("x509", {"private_key": "key", "valid_for": "5 min"}, "valid_for: expected one hour"),
        ("x509", {"private_key": "key", "common_name": "x" * 65}, "common_name: expected 1 to 64"),
        ("x509-ca", {"private_key": "key", "issuer": "x"}, "issuer: expected at most 8 issuers"),
        ("aad-token", AAD, "expected either application_secret, or private_key and certificate"),
        (
            "aad-token",
            AAD | {"private_key": quoted(PRIVATE_KEY)},
            "expected either application_secret, or private_key and certificate",
        ),
        (
            "aad-token",
            PARAMETERS["aad-token"][0] | PARAMETERS["aad-token"][1],
            "expected either application_secret, or private_key and certificate",
        ),
        (
            "aad-token",
            AAD | {"private_key": "key", "certificate_thumbprint": "B0" * 20},
            "private_key: expected PEM with -----BEGIN PRIVATE KEY-----",
        ),
        ("config-fragment", {}, "expected value or import in a config-fragment"),
        ("config-fragment", {"value": "[a, ~]"}, "value[1]: expected a value, got null"),
        ("config-fragment", {"value": "$$SCONE::key$$"}, "expected no placeholder inside a"),
        ("jwt", JWT | {"alg": "ES256"}, "alg: expected one of ES384"),
        ("jwt", JWT | {"signer": "ca"}, "expected a secret of kind private-key, ca is of kind"),
        ("jwt", JWT | {"validity": "24h"}, "validity: expected a mapping"),
        ("jwt", JWT | {"validity": "{until: 24h}"}, "validity.until: unknown key"),
        ("jwt", JWT | {"validity": "{for: 0s}"}, "validity.for: expected a duration"),
        *(
            ("jwt", JWT | {"payload": f"{{{claim}: x}}"}, f"payload.{claim}: expected another claim")
            for claim in ("iat", "nbf", "exp")
        ),
        ("jwt", JWT | {"payload": "{a: {b: c}}"}, "payload.a: expected text (numbers and nested"),
        ("jwt", JWT | {"payload": "{a: [b]}"}, "payload.a: expected text"),
        ("jwt", JWT | {"payload": "[a]"}, "payload: expected a mapping of claims"),
        ("jwt", JWT | {"payload": "{a: $$SCONE::x$$}"}, "expected a secret that is no token"),
        ("jwt", JWT | {"payload": "{a: $$SCONE::k32$$}"}, "expected a text form of k32"),
    ],
)  # fmt: skip
def test_parameters_are_checked(kind, parameters, problem):
    assert problem in verdict(secret(kind, parameters))


def test_parameters_mean_what_the_pages_say():
    text = secret("jwt", JWT | {"payload": "{b: 'secret: $$SCONE::k32$$', a: 1}"})
    payload = (("a", "1"), ("b", "secret: $$SCONE::k32$$"))
    assert session(text).secrets[4].jwt == Jwt("key", Duration("24h", 86400), payload=payload)
    text = secret("aad-token", AAD | {"application_secret": "0123"})
    assert session(text).secrets[4].aad == AadToken("t", "c", "0123")
    certificate = session(
        secret("x509", {"private_key": "key", "san": "'ip:2001:DB8:0:0:0:0:0:1'"})
    )
    assert certificate.secrets[4].san == ("ip:2001:db8::1",)
    assert session(secret("x509", {"private_key": "key", "dns": "a"})).secrets[4].dns == ("a",)
    assert session(secret("x509", {"private_key": "key", "valid_for": "24h0m0s"})).secrets[
        4
    ].valid_for == Duration("24h0m0s", 86400)
    fragment = session(secret("config-fragment", {"value": "{b: [1, no], a: 0o7}"})).secrets[4]
    assert fragment.value == '{"a":"0o7","b":["1","no"]}'


IMPORT = "import: {session: o}"
IMPORT_AKV = "import_akv: {vault: v.vault.azure.net, token: $$SCONE::token$$}"
IN_VAULTS = (None, "ascii", "binary", "private-key", "public-key", "x509", "x509-ca")


@pytest.mark.parametrize(
    ("source", "kind"),
    [(IMPORT, kind) for kind in (*PARAMETERS, None)] + [(IMPORT_AKV, kind) for kind in IN_VAULTS],
)
def test_an_imported_secret_may_have_a_kind_and_nothing_that_makes_it(source, kind):
    of_kind = f", kind: {kind}" if kind else ""
    text = f"{header()}secrets: [{NAMED}, {{name: x{of_kind}, {source}, export_public: true}}]\n"
    key = source.partition(":")[0]
    assert verdict(text) == ""
    found = session(text).secrets[4]
    assert found.kind == kind
    assert found.is_foreign
    assert found.aad is None
    assert found.jwt is None
    for parameter, value in EVERY.items():
        said = verdict(text.replace(source, f"{source}, {parameter}: {value}"))
        assert f"secrets[4].{parameter}: expected no {parameter} beside {key}" in said


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{vault: V.vault.azure.net, token: $$SCONE::token$$}", AkvImport("v.vault.azure.net", None, "token")),
        ("{vault: 'https://v.vault.azure.net/', secret_name: abc, decryption_key: $$SCONE::k32$$}",
         AkvImport("v.vault.azure.net", "abc", None, "k32")),
        ("{secret_name: abc}", "import_akv.vault: required"),
        ("{vault: v/x}", "import_akv.vault: expected the address of a key vault"),
        ("{vault: v, secret_name: a_b}", "import_akv.secret_name: expected letters, digits and -"),
        ("{vault: v, token: token}", "import_akv.token: expected $$SCONE::NAME$$"),
        ("{vault: v, token: $$SCONE::key$$}", "expected a secret of kind aad-token, key is of kind"),
        ("{vault: v, decryption_key: $$SCONE::key$$}", "expected a secret of kind binary, key is of"),
        ("{vault: v, decryption_key: $$SCONE::k20$$}", "expected a binary secret of 32 bytes"),
        ("{vault: v, decryption_key: $$SCONE::k32:hex$$}", "decryption_key: expected $$SCONE::NAME$$"),
        ("{vault: v}, import: {session: o}", "expected either import or import_akv, got both"),
        ("v", "secrets[5].import_akv: expected a mapping"),
    ],
)  # fmt: skip
def test_a_secret_of_a_vault_names_vault_token_and_key(written, found):
    text = f"{header()}secrets: [{NAMED}, {{name: k20, kind: binary}}, {{name: x, import_akv: {written}}}]\n"
    if isinstance(found, AkvImport):
        assert session(text).secrets[5].akv == found
    else:
        assert found in verdict(text)


def test_without_token_the_only_aad_token_is_meant():
    one = "{name: x, import_akv: {vault: v}}"
    assert "the session has 0 secrets of kind aad-token" in verdict(f"{header()}secrets: [{one}]\n")
    again = NAMED.replace("name: token", "name: other").split("}, ")[2].strip() + "}"
    two = f"{header()}secrets: [{NAMED}, {again}, {one}]\n"
    assert "secrets[5].import_akv: expected token: the session has 2 secrets" in verdict(two)


# --- formats

TEXT, RAW = "text", "raw"
_BINARY = dict.fromkeys(("hex", "base64", "base64url", "base32", "base32nopad"), TEXT)
_KEY = {"": TEXT, "pem": TEXT, "pkcs8:pem": TEXT, "der": RAW, "pkcs8:der": RAW}
_CERTIFICATE = {
    "": TEXT, "crt": TEXT, "crt:pem": TEXT, "crt:der": RAW, "privatekey": TEXT,
    "privatekey:pem": TEXT, "privatekey:pkcs8:pem": TEXT, "privatekey:der": RAW,
    "privatekey:pkcs8:der": RAW, "chain": TEXT, "pkcs12-with-private-key": RAW,
}  # fmt: skip
FORMATS = {
    "ascii": {"": TEXT},
    "binary": {"": RAW, "bin": RAW} | _BINARY,
    "private-key": _KEY,
    "public-key": {"": TEXT, "spki:pem": TEXT, "spki:der": RAW},
    "x509": _CERTIFICATE,
    "x509-ca": _CERTIFICATE,
    "pgp-key": {
        f"{half}:{form}": RAW if form == "binary" else TEXT
        for half in ("privatekey", "publickey")
        for form in ("asciiarmored", "binary", "base64")
    },
    "aad-token": {"": TEXT},
    "jwt": {"": TEXT},
    "config-fragment": {},
}
ALL_FORMATS = sorted({form for forms in FORMATS.values() for form in forms})


def using(kind, placeholder, place):
    needs, more = PARAMETERS[kind]
    one = dict(list(more.items())[:1]) if kind in ONE_OF else {}
    more_of_service, images = {
        "command": (f"command: [a, '{placeholder}']", ""),
        "environment": (f"environment: {{A: '{placeholder}'}}", ""),
        "content": ("", f"images: [{{name: i, injection_files: [{{path: /a, content: '{placeholder}'}}]}}]\n"),
    }[place]  # fmt: skip
    text = secret(kind, needs | one)
    if more_of_service:
        text = text.replace("{name: a,", f"{{name: a, {more_of_service},")
    return text + images


@pytest.mark.parametrize("kind", FORMATS)
def test_a_kind_has_these_formats_and_raw_ones_are_for_files(kind):
    for form in ALL_FORMATS:
        placeholder = f"$$SCONE::x{':' if form else ''}{form}$$"
        escaped = placeholder.replace("$$", "", 1).replace("$$", "|escape(json)$$")
        for place in ("command", "environment", "content"):
            said = verdict(using(kind, placeholder, place))
            is_there = FORMATS[kind].get(form)
            fits = is_there == TEXT or (is_there == RAW and place == "content")
            assert (said == "") == fits, (form, place, said)
        said = verdict(using(kind, f"$${escaped}", "content"))
        assert (said == "") == (FORMATS[kind].get(form) == TEXT), (form, said)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("binary", "hex"), ("x509", "crt"), ("x509", "key"), ("x509", "chain"), ("x509-ca", "chain")],
)
def test_older_suffixes_are_read_with_a_warning(kind, suffix):
    text = using(kind, f"$$SCONE::x.{suffix}$$", "content")
    assert ("deprecated-format", "images[0].injection_files[0].content") in codes(text)


def test_the_measurement_is_no_secret_and_needs_attestation():
    builtin = "$$SCONE::self::software_identity$$"
    for place in ("command", "environment", "content"):
        assert verdict(using("ascii", builtin, place)) == ""
    none = header() + f"services: [{{name: a, environment: {{A: '{builtin}'}}}}]\nsecurity: {{attestation: {{mode: none}}}}\n"  # fmt: skip
    assert "expected attestation: with mode none nothing is measured" in verdict(none)
    assert "an unknown built-in value" in verdict(
        using("ascii", "$$SCONE::self::name$$", "content")
    )


# --- versions


def own(**keys):
    return "".join(f"{key}: {value}\n" for key, value in keys.items())


def one(**parameters):
    more = ", ".join(f"{key}: {value}" for key, value in parameters.items())
    return f"secrets: [{{name: x, {more}}}]\n"


SECRETS = "secrets: [{name: k, import: o}]\n"
ATTESTED = f"mrenclaves: [{M}]"


def serving(more):
    return f"services: [{{name: a, {more}}}]\n"


SINCE = {
    "0.3.0": [
        one(kind="private-key"),
        one(kind="x509", private_key="x"),
        one(kind="x509", issuer="x"),
        one(kind="x509", common_name="x"),
        one(kind="x509", endpoint="server"),
        one(kind="x509", dns="x"),
        one(kind="x509", valid_for="'90 days'"),
        serving(f"{ATTESTED}, platforms: {QE_ID}"),
    ],
    "0.3.1": [
        "security: {attestation: {mode: none}}\n",
        "security: {attestation: {tolerate: hyperthreading}}\n",
        f"security: {{attestation: {{trusted_scone_qe_pubkeys: {M}}}}}\n",
    ],
    "0.3.2": [
        "volumes: [{name: v}]\nimages: [{name: i, volumes: [{name: v, path: /a, update_policy: ephemeral}]}]\n",
        "volumes: [{name: v, export: {to: {session: o}}}]\n",
    ],
    "0.3.4": [one(kind="private-key", key_type="P-384")],
    "0.3.5": [
        "name: a/b\n",
        "access_policy: {create_sessions: CREATOR}\n",
        SECRETS + serving(f"{ATTESTED}, fspf_path: /f, fspf_key: $$SCONE::k$$, fspf_tag: {M[:32]}"),
    ],
    "0.3.6": [one(kind="ascii", export="{namespace: n}")],
    "0.3.7": [
        serving(f"attestation: {{mrenclave: {M}}}"),
        one(kind="private-key", migrate="true"),
        one(kind="aad-token", tenant_id="a", client_id="b", application_secret="c"),
        one(import_akv="{vault: v}"),
        SECRETS + f"volumes: [{{name: v, fspf_key: $$SCONE::k$$, fspf_tag: {M[:32]}}}]\n",
        "security: {attestation: {mode: maa, url: 'https://a.b/', tolerate: maa-managed-tcb}}\n",
    ],
    "0.3.8": [f"security: {{attestation: {{one_time_password_shared_secret: {OTP}}}}}\n"],
    "0.3.9": [
        "security: {singleton_enclaves: true}\n",
        "security: {service_access_token: t}\n",
    ],
    "0.3.10": [
        one(kind="ascii", export="{session: ../b}"),
        one(import_akv="{vault: v, decryption_key: $$SCONE::k$$}"),
        one(kind="config-fragment", value="x"),
        one(kind="pgp-key"),
        one(kind="x509", san="'dns:a'"),
        f"access_policy: {{update: {{signer: {quoted(SIGNER)}}}}}\n",
        "access_policy: {update: {require-all: [CREATOR]}}\n",
        "access_policy: {update: {require-at-least-1: [CREATOR]}}\n",
        SECRETS + "access_policy: $$SCONE::k$$\n",
        SECRETS + "security: $$SCONE::k$$\n",
        SECRETS + serving("attestation: $$SCONE::k$$"),
        SECRETS + serving(f"{ATTESTED}, platforms: $$SCONE::k$$"),
        serving(f"{ATTESTED}, one_time_password_shared_secret: {OTP}"),
        "images: [{name: i, injection_files: [{path: /a, content: x, permission: 0o400}]}]\n",
        "secret_config: {store_in: !cas }\n",
        "volumes: [{name: v, export: {to: {session: o}, volume_alias: w}}]\n",
        f"creator: {{signer: {quoted(SIGNER)}}}\n",
    ],
    "0.3.11": [
        "name: /\n",
        own(namespace_hash=M),
        one(kind="public-key", value=quoted(P256)),
        serving(f"{ATTESTED}, fspf_path: /f, fspf_key: {M}, fspf_update_policy: no_rollback_protection"),
        "security: {attestation: {tolerate: local-attestation-trust-cas-tcb, must_be_sgx_local: true}}\n",
        "images: [{name: i, provide_secrets: []}]\n",
        "volumes: [{name: v, files: encrypted}]\n",
    ],
    "0.3.12": [
        own(salt="ab" * 16),
        "access_policy: {list_sessions: CREATOR}\n",
        one(kind="jwt", signer="x", alg="ES384", validity="{for: 1h}"),
    ],
}  # fmt: skip


def before(version):
    patch = int(version.rpartition(".")[2])
    return f"0.3.{patch - 1}" if patch else "0.2"


@pytest.mark.parametrize(
    ("since", "text"), [(since, text) for since, texts in SINCE.items() for text in texts]
)
def test_a_construct_is_refused_before_the_version_that_brought_it(since, text):
    name = "" if text.startswith("name:") else "name: s\n"

    def said(version):
        return verdict(f'version: "{version}"\n{name}{text}')

    assert any(since in line for line in said(before(since)).splitlines() if "need" in line)
    assert said("0.2") != ""
    for version in (since, "0.3", "0.3.12"):
        assert " need" not in said(version), version


@pytest.mark.parametrize(
    "text",
    [
        one(kind="ascii", value="x", export="[a, 'b:" + M + "']", export_public="true"),
        one(kind="binary", value="DEADBEEF"),
        one(kind="x509"),
        one(kind="x509-ca"),
        one(kind="session-ca", export="[another-session]"),
        one(**{"import": "o"}),
        serving(f'{ATTESTED}, command: ["test", "--my_name", "Franz Gregor"], pwd: /'),
        "volumes: [{name: v, export: another}]\nimages: [{name: i, volumes: [{name: v, path: /a}], injection_files: [/b, {path: /c, content: x}]}]\n",
        own(predecessor=M),
        own(predecessor="~"),
        serving(f"{ATTESTED}, fspf_path: /f, fspf_key: {M}, fspf_tag: {M[:32]}"),
    ],
)  # fmt: skip
def test_language_0_2_has_these(text):
    assert verdict(header("0.2") + text) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (one(kind="x509", value="x"), "certificates of language 0.2 have no explicit value"),
        ("name: a/b\n", "namespaces need version 0.3.5 or newer"),
        (serving("command: a"), "services[0]: expected mrenclaves"),
    ],
)
def test_language_0_2_has_not_these(text, problem):
    name = "" if text.startswith("name:") else "name: s\n"
    assert problem in verdict(f'version: "0.2"\n{name}{text}')


def test_a_session_ca_is_of_0_2_alone():
    assert "secrets of kind session-ca are for language 0.2" in verdict(
        header() + one(kind="session-ca")
    )
    for form, fits in {".crt": True, ".chain": True, ".key": False, ":crt": False}.items():
        text = header("0.2") + one(kind="session-ca") + serving(f"{ATTESTED}, environment: {{A: $$SCONE::x{form}$$}}")  # fmt: skip
        assert (verdict(text) == "") == fits, form


@pytest.mark.parametrize("version", ["0.2", "0.3", *(f"0.3.{patch}" for patch in range(13))])
def test_these_versions_are_read(version):
    for written in (version, f'"{version}"', f"'{version}'"):
        assert session(f"version: {written}\nname: s\n").version == version


@pytest.mark.parametrize(
    "version", ["0.1", "0.4", "0.3.13", "0.30", "0.3.01", "0.3.", "1", "v0.3", "''", "~", "[0.3]"]
)
def test_no_other_version_is(version):
    assert verdict(f"version: {version}\nname: s\n").startswith("version: expected")


def test_the_command_is_split_as_each_version_says():
    line = service("command: 'a \"b c\"'")
    assert '"command":"a \\"b c\\""' in canonical_json(session(line))
    assert verdict(service('command: "a \'b"')) != ""
    assert verdict(service('command: "a \'b"', "0.2")) == ""
