"""Access, governance, attestation security and secret backends (the pages' sections of these names)."""

import pytest

from fakes.session_texts import (
    KEY_HASH,
    OLD_SIGNER,
    OTHER,
    OTP,
    P256,
    QE_ID,
    SIGNER,
    TAG,
    M,
    codes,
    header,
    quoted,
    service,
    session,
    verdict,
)
from scone.session.model import (
    AccessPolicy,
    Rule,
    SecretConfig,
    Security,
    SessionSigner,
    Signer,
    Template,
    Variant,
)

KEY = quoted(SIGNER)
SIGNED = f"{{signer: {KEY}}}"
MAA = "mode: maa, url: 'https://sharedweu.weu.attest.azure.net', tolerate: [maa-managed-tcb]"


def access(more, version="0.3", secrets="[]"):
    return f"{header(version)}secrets: {secrets}\naccess_policy: {more}\n"


def security(more, version="0.3", secrets="[]"):
    return f"{header(version)}secrets: {secrets}\nsecurity: {more}\n"


def attestation(more, version="0.3", secrets="[]"):
    return security(f"{{attestation: {{{more}}}}}", version, secrets)


def judged(text, problem):
    """Whether the text is refused for this reason; accepted, where the reason is empty."""
    said = verdict(text)
    return problem in said if problem else not said


# --- access


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("~", AccessPolicy()),
        ("{}", AccessPolicy()),
        ("{read: NONE, update: ANY}", AccessPolicy(("NONE",), ("ANY",))),
        (
            f"{{read: [CREATOR, {KEY_HASH}], update: [CREATOR]}}",
            AccessPolicy(("CREATOR", KEY_HASH)),
        ),
        ("{create_sessions: [CREATOR, ]}", AccessPolicy(create_sessions=("CREATOR",))),
        ("{create_sessions: [CREATOR, ~]}", AccessPolicy(create_sessions=("CREATOR",))),
        ("{list_sessions: [NONE]}", AccessPolicy(list_sessions=("NONE",))),
        (f"{{update: {SIGNED}}}", AccessPolicy(update=(SessionSigner(SIGNER),))),
        (f"{{update: [{{signer: {OLD_SIGNER}}}]}}", AccessPolicy(update=(SessionSigner(SIGNER),))),
        (
            f"{{update: {{require-all: [CREATOR, {{require-at-least-1: [{SIGNED}, {KEY_HASH}]}}]}}}}",
            AccessPolicy(
                update=(Rule(None, ("CREATOR", Rule(1, (SessionSigner(SIGNER), KEY_HASH)))),)
            ),
        ),
    ],
)
def test_an_access_policy_is_written_so(written, policy):
    assert session(access(written)).access_policy == policy


def test_a_certificate_is_an_entry_and_is_rewritten_in_one_form(certificates):
    pem = certificates[0]
    for text in (pem, pem.replace("\n", "\r\n"), pem.rstrip("\n") + "\n\n"):
        policy = session(access(f"{{read: {quoted(text)}}}")).access_policy
        assert policy.read == (pem,)
    two = quoted(certificates[0] + certificates[1])
    assert "access_policy.read: expected CREATOR, ANY" in verdict(access(f"{{read: {two}}}"))


@pytest.mark.parametrize("key", ["read", "update", "create_sessions", "list_sessions"])
@pytest.mark.parametrize("word", ["ANY", "NONE"])
def test_any_and_none_stand_alone(key, word):
    assert f"access_policy.{key}: expected {word} to be the only entry" in verdict(
        access(f"{{{key}: [CREATOR, {word}]}}")
    )
    assert verdict(access(f"{{{key}: {word}}}")) == ""


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("[CREATOR]", "access_policy: expected a mapping, got a list"),
        ("{write: CREATOR}", "access_policy.write: unknown key"),
        ("{read: []}", "access_policy.read: expected at least one entry, got an empty list"),
        ("{read: [~]}", "access_policy.read: expected at least one entry"),
        ("{read: ''}", "access_policy.read: expected CREATOR, ANY, NONE, a key hash"),
        ("{read: creator}", "access_policy.read: expected CREATOR, ANY, NONE"),
        ("{read: CREATR}", "did you mean 'CREATOR'?"),
        (f"{{read: {M}}}", "certificate hashes are for 0.2"),
        (f"{{read: {KEY_HASH[:-1]}}}", "access_policy.read: expected CREATOR"),
        (f"{{read: {KEY}}}", "access_policy.read: expected signer: before a public key"),
        (f"{{read: {SIGNED}}}", "access_policy.read: expected no signer"),
        (f"{{read: {{require-all: [{SIGNED}]}}}}", "read.require-all: expected no governance rule"),
        ("{list_sessions: {require-at-least-1: [CREATOR]}}", "expected no governance rule here"),
        (f"{{update: {{signer: {quoted(P256)}}}}}", "expected a public key (Ed25519 or P-384)"),
        (f"{{update: {{signer: {KEY_HASH}}}}}", "update.signer: expected a public key"),
        ("{update: {signer: x}}", "update.signer: expected a public key (Ed25519 or P-384) in PEM"),
        ("{update: {signer: [x]}}", "update.signer: expected a public key in PEM, got a list"),
        ("{update: {signers: x}}", "did you mean 'signer'?"),
        ("{update: {require-any: [CREATOR]}}", "expected signer, require-all or require-at-least-N"),
        ("{update: {require-all: CREATOR}}", "update.require-all: expected a list"),
        ("{update: {require-all: []}}", "update.require-all: expected at least one entry"),
        ("{update: {require-all: [ANY, CREATOR]}}", "expected no ANY inside a governance rule"),
        ("{update: {require-at-least-0: [CREATOR]}}", "with N from 1 to 1"),
        ("{update: {require-at-least-2: [CREATOR, CREATOR]}}", "with N from 1 to 1"),
        ("{update: {require-at-least-01: [CREATOR]}}", "expected signer, require-all or"),
        (f"{{update: {{require-all: [CREATOR], signer: {KEY}}}}}", "expected one of signer"),
        ("{update: {}}", "access_policy.update: expected one of signer, require-all"),
        ("{update: [[CREATOR]]}", "access_policy.update[0]: expected CREATOR"),
    ],
)  # fmt: skip
def test_an_access_policy_is_not_written_so(written, problem):
    assert problem in verdict(access(written))


@pytest.mark.parametrize(
    ("written", "secrets", "problem"),
    [
        ("{read: $$SCONE::k$$}", "[{name: k, kind: ascii}]", ""),
        ("{read: [CREATOR, $$SCONE::k$$]}", "[{name: k, import: {session: o}}]", ""),
        ("{update: {require-all: [$$SCONE::k$$]}}", "[{name: k, import: {session: o}}]", ""),
        ("$$SCONE::k$$", "[{name: k, kind: config-fragment, import: {session: o}}]", ""),
        ("{update: $$SCONE::k$$}", "[{name: k, kind: config-fragment, value: [CREATOR]}]", ""),
        ("{read: [$$SCONE::k$$]}", "[]", "read[0]: expected a secret named k in this session"),
        ("{read: $$SCONE::k}", "[]", "read: expected $$SCONE::NAME$$ alone"),
        ("{read: $$SCONE::self::software_identity$$}", "[]", "expected $$SCONE::NAME$$ alone"),
        ("{read: $$SCONE::k:crt$$}", "[{name: k, kind: x509, import: {session: o}}]",
         "access_policy.read: expected no format for the certificate k"),
        ("{read: $$SCONE::k.crt$$}", "[{name: k, kind: x509-ca, import: {session: o}}]",
         "access_policy.read: expected no format for the certificate k"),
        ("{read: $$SCONE::k$$}", "[{name: k, kind: binary}]", "expected a text form of k"),
        ("{read: $$SCONE::k:pem$$}", "[{name: k, kind: ascii}]", "expected a format of ascii"),
        ("$$SCONE::k$$x", "[{name: k, kind: ascii}]", "expected $$SCONE::name$$ alone"),
    ],
)  # fmt: skip
def test_entries_and_whole_policies_may_be_secrets(written, secrets, problem):
    assert judged(access(written, secrets=secrets), problem)


def test_0_2_compares_certificates_and_readers_include_who_updates(certificates):
    pem = quoted(certificates[0])
    for written, problem in [
        (f"{{read: [CREATOR, {M}], update: [{M.upper()}]}}", ""),
        (f"{{read: [{pem}], update: [{pem}]}}", ""),
        ("{read: ANY, update: CREATOR}", ""),
        ("{read: CREATOR, update: NONE}", ""),
        ("{read: NONE}", ""),
        (f"{{read: {M}, update: {OTHER}}}", f"expected {OTHER} under read too"),
        (f"{{read: CREATOR, update: {pem}}}", "expected the certificate under read too"),
        (f"{{read: {KEY_HASH}}}", "a SHA-256 of a certificate (64 hex digits)"),
        ("{create_sessions: CREATOR}", "create_sessions: needs version 0.3.5 or newer"),
        (f"{{update: {SIGNED}}}", "needs version 0.3.10 or newer"),
    ]:
        assert judged(access(written, "0.2"), problem), written


def test_0_2_lets_the_last_two_dollars_of_an_entry_and_a_crt_be(certificates):
    secrets = "[{name: k, kind: x509, import: o}]"
    for entry in ("$$SCONE::k", "$$SCONE::k$$", "$$SCONE::k.crt$$"):
        assert verdict(access(f"{{read: {entry}}}", "0.2", secrets)) == ""
    found = session(access("{read: $$SCONE::k}", "0.2", secrets))
    assert found.access_policy.read == ("$$SCONE::k$$",)
    assert ("unclosed-placeholder", "access_policy.read") in codes(
        access("{read: $$SCONE::k}", "0.2", secrets)
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (f"{{signer: {KEY}}}", ""),
        ("{}", "creator: expected signer: a public key in PEM"),
        ("{signer: ''}", "creator.signer: expected a public key"),
        ("{owner: x}", "creator.owner: unknown key"),
        ("x", "creator: expected PEM with -----BEGIN CERTIFICATE-----"),
        ("[x]", "creator: expected a certificate in PEM, got a list"),
        (KEY, "creator: expected PEM with -----BEGIN CERTIFICATE-----, got PUBLIC KEY"),
    ],
)
def test_the_creator_is_a_certificate_or_a_signer(written, problem):
    assert judged(f"{header()}creator: {written}\n", problem)


# --- attestation of a service


def attested(written, version="0.3"):
    return f"{header(version)}services: [{{name: a, attestation: {written}}}]\n"


@pytest.mark.parametrize(
    ("written", "variants"),
    [
        (f"{{mrenclave: {M.upper()}}}", (Variant((M,)),)),
        (f"{{mrenclave: [{M}, {OTHER}]}}", (Variant((M, OTHER)),)),
        (f"[{{mrenclave: {M}}}, {{mrenclave: {OTHER}}}]", (Variant((M,)), Variant((OTHER,)))),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 6}}}}", (Variant((), Signer(M, 6)),)),
        (f"{{signer: {{mrsigner: {M}, isvprodid: '6', isvsvn: 4}}}}", (Variant((), Signer(M, 6, 4)),)),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 0, isvsvn_min: 2, isvsvn_max: 2}}}}",
         (Variant((), Signer(M, 0, None, 2, 2)),)),
        (f"{{mrenclave: {M}, signer: {{mrsigner: {M}, isvprodid: 65535, isvsvn_max: 5}}}}",
         (Variant((M,), Signer(M, 65535, None, None, 5)),)),
    ],
)  # fmt: skip
def test_variants_are_written_so(written, variants):
    assert session(attested(written)).services[0].attestation == variants


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("[]", "services[0].attestation: expected at least one variant"),
        ("{}", "services[0].attestation: expected mrenclave, signer or both, got neither"),
        (M, "services[0].attestation: expected a mapping"),
        ("{mrenclave: []}", "attestation.mrenclave: expected at least one measurement"),
        (f"{{mrenclave: {M[2:]}}}", "attestation.mrenclave: expected a measurement of 64"),
        (f"{{mrenclave: 0x{M[2:]}}}", "attestation.mrenclave: expected a measurement of 64"),
        (f"{{mrenclaves: [{M}]}}", "attestation.mrenclaves: unknown key"),
        (f"{{signer: {{mrsigner: {M}}}}}", "signer.isvprodid: required"),
        ("{signer: {isvprodid: 1}}", "signer.mrsigner: required"),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 65536}}}}", "expected a number from 0 to 65535"),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 1e1}}}}", "expected a number from 0 to 65535"),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 1, isvsvn: 1, isvsvn_min: 1}}}}",
         "isvsvn: expected either isvsvn or isvsvn_min, got both"),
        (f"{{signer: {{mrsigner: {M}, isvprodid: 1, isvsvn_min: 2, isvsvn_max: 1}}}}",
         "isvsvn_min: expected isvsvn_min <= isvsvn_max"),
        (f"{{signer: [{{mrsigner: {M}, isvprodid: 1}}]}}", "signer: expected a mapping, got a list"),
        ("{signer: $$SCONE::no$$}", "expected a secret named no in this session"),
    ],
)  # fmt: skip
def test_variants_are_not_written_so(written, problem):
    assert problem in verdict(attested(written))


def test_the_older_form_is_one_variant_and_stands_alone():
    older = f"{header()}services: [{{name: a, mrenclaves: [{M}, {OTHER}]}}]\n"
    assert session(older).services[0].variants == (Variant((M, OTHER)),)
    both = service(f"mrenclaves: [{M}]")
    assert "services[0].mrenclaves: expected either mrenclaves or attestation" in verdict(both)
    none = f"{header()}services: [{{name: a}}]\n"
    assert verdict(none).startswith("services[0]: expected attestation or mrenclaves")
    assert verdict(none + "security: {attestation: {mode: none}}\n") == ""
    none = f"{header('0.2')}services: [{{name: a}}]\n"
    assert verdict(none).startswith("services[0]: expected mrenclaves at")


@pytest.mark.parametrize(
    ("written", "platforms", "problem"),
    [
        (QE_ID, (QE_ID,), ""),
        (f"[{QE_ID.upper()}, {M.upper()}, {M}]", (QE_ID, M), ""),
        ("[]", None, "platforms: expected at least one platform"),
        (TAG, None, "platforms: expected INTEL_QE_ID: and 32 hex digits"),
        (f"[INTEL_QE_ID:{M}]", None, "platforms[0]: expected INTEL_QE_ID: and 32 hex digits"),
    ],
)
def test_platforms_are_qe_ids_or_keys_of_before(written, platforms, problem):
    text = service(f"platforms: {written}")
    assert judged(text, problem)
    if platforms:
        assert session(text).services[0].platforms == platforms


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("command: a @@1 @@2", ""),
        ("command: [a, '@@2', 'x@@2', '@@1000', '@@']", ""),
        ("command: a '@@1'", ""),
        (
            "command: a @@1 @@1",
            "command: expected each argument of the host once, @@1 stands twice",
        ),
        *(
            (f"command: {written}", f"expected @@1 to @@1000 without leading zeros, got '{word}'")
            for word in (
                "@@01",
                "@@0",
                "@@1001",
                "@@10000000000",
                "@@\u0661",
                "@@\u00b2",
                "@@1\u0661",
            )
            for written in (f"a {word} @@1", f"[a, '{word}']")
        ),
        ("command: ['@@1', a]", "expected a program, got @@N: the host must not choose it"),
        ("command: []", "command: expected a program and its arguments"),
        ("command: ' '", "command: expected a program and its arguments"),
        ("command: {a: b}", "command: expected a command line or a list of arguments"),
        ("command: [a, ~]", "command[1]: expected an argument, got null"),
        (r"environment: {\@\@NAME: SESSION_VALUE, '@@OTHER': ''}", ""),
        ("environment: {A: ''}", ""),
        (
            r"environment: {\@\@A: x, A: y}",
            "expected each variable once, A is also one of the host",
        ),
        (r"environment: {\@\@: x}", "expected a name of 1 to 256 printable characters without ="),
        ("environment: {'A=B': x}", "expected a name of 1 to 256 printable characters without ="),
        ("environment: {'': x}", "expected a name of 1 to 256 printable characters without ="),
        ("environment: {A: ~}", "environment.A: expected a value, got null"),
        ("environment: {A: [x]}", "environment.A: expected a value, got a list"),
        ("environment: [A=x]", "environment: expected a mapping of names to values, got a list"),
        ("environment: {$$SCONE::k$$: x}", "expected a name without placeholder"),
        ("pwd: /", ""),
        ("pwd: a", "pwd: expected an absolute path"),
        ("pwd: /$$SCONE::k$$", "pwd: expected a path without placeholder"),
        ("name: b", "name"),
        ("image_name: [i]", "image_name: expected the name of an image, got a list"),
    ],
)
def test_commands_and_environments_are_checked(more, problem):
    assert judged(service(more), problem)


# --- the security section


def test_all_of_the_security_section_is_read():
    found = session(
        security(
            f"{{attestation: {{mode: hardware, tolerate: [hyperthreading, debug], must_be_sgx_local: false,"
            f" ignore_advisories: [INTEL-SA-00161, INTEL-SA-00161], trusted_scone_qe_pubkeys: {M.upper()},"
            f" one_time_password_shared_secret: {OTP}}}, singleton_enclaves: true, service_access_token: 007}}"
        )
    ).security  # fmt: skip
    assert found == Security(
        tolerate=("hyperthreading", "debug-mode"),
        ignore_advisories=("INTEL-SA-00161",),
        trusted_scone_qe_pubkeys=(M,),
        one_time_password_shared_secret=OTP,
        singleton_enclaves=True,
        service_access_token="007",
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", ""),
        ("mode: none", ""),
        ("mode: sgx", "security.attestation.mode: expected one of hardware, maa, none"),
        ("tolerate: hyperthreading", ""),
        ("tolerate: []", ""),
        ("tolerate: [hyper-threading]", "did you mean 'hyperthreading'?"),
        ("tolerate: ['']", "tolerate[0]: expected one of"),
        ("tolerate: [~]", "tolerate[0]: expected text, got null"),
        ("tolerate: {debug-mode: true}", "tolerate: expected a list, got a mapping"),
        ("ignore_advisories: '*'", ""),
        ("ignore_advisories: ['*']", ""),
        ("ignore_advisories: ['*', INTEL-SA-00161]", "ignore_advisories[0]: expected INTEL-SA"),
        ("ignore_advisories: [CVE-2022-21166]", "ignore_advisories[0]: expected INTEL-SA-NNNNN"),
        ("ignore_advisories: INTEL-SA-161", "ignore_advisories: expected INTEL-SA-NNNNN"),
        ("trusted_scone_qe_pubkeys: [abc]", "expected a key of 64 hex digits"),
        (MAA, ""),
        (MAA.replace(".net'", ".net/'") + ", min_rsa_signing_key_size: 2048", ""),
        (MAA.replace("[maa", "[debug, maa"), ""),
        (MAA.replace("[maa-managed-tcb]", "[debug-mode]"), "expected maa-managed-tcb in it"),
        ("mode: maa, tolerate: [maa-managed-tcb]", "security.attestation.url: required with mode"),
        (MAA.replace("https:", "http:"), "security.attestation.url: expected https://"),
        (MAA + ", certificates: [x]", "certificates[0]: expected PEM with"),
        ("url: 'https://a.b/'", "security.attestation.url: expected no url without mode: maa"),
        ("min_rsa_signing_key_size: 2048", "expected no min_rsa_signing_key_size without"),
        ("tolerate: local-attestation-trust-cas-tcb, must_be_sgx_local: true", ""),
        ("must_be_sgx_local: true", "expected local-attestation-trust-cas-tcb in tolerate"),
        ("must_be_sgx_local: yes", "must_be_sgx_local: expected true or false"),
        (
            "mode: none, tolerate: local-attestation-trust-cas-tcb, must_be_sgx_local: true",
            "must_be_sgx_local: expected mode hardware beside it",
        ),
        (f"one_time_password_shared_secret: {OTP}", ""),
        (f"one_time_password_shared_secret: {OTP[:26]}", ""),
        (f"one_time_password_shared_secret: {OTP[:25]}", "expected base32 without padding"),
        (f"one_time_password_shared_secret: {OTP.lower()}", "expected base32 without padding"),
        (f"one_time_password_shared_secret: {OTP}====", "expected base32 without padding"),
        ("mod: none", "did you mean 'mode'?"),
        ("singleton_enclaves: true", "it belongs to security"),
    ],
)
def test_the_attestation_settings_are_checked(written, problem):
    assert judged(attestation(written), problem)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{singleton_enclaves: false}", ""),
        ("{singleton_enclaves: on}", "security.singleton_enclaves: expected true or false"),
        ("{service_access_token: ''}", "security.service_access_token: expected a token"),
        ("{service_access_token: [a]}", "service_access_token: expected a token, got a list"),
        ("{mode: none}", "security.mode: unknown key"),
        ("[attestation]", "security: expected a mapping, got a list"),
        ("{attestation: none}", "security.attestation: expected a mapping"),
    ],
)
def test_the_other_settings_are_checked(written, problem):
    assert judged(security(written), problem)


@pytest.mark.parametrize(
    ("secret", "form", "problem"),
    [
        ("kind: binary", ":base32nopad", ""),
        ("kind: binary, size: 16", ":base32nopad", ""),
        (f"kind: ascii, value: {OTP}", "", ""),
        ("kind: binary, import: {session: o}", ":base32nopad", ""),
        ("kind: ascii, import: {session: o}", "", ""),
        ("import: {session: o}", ":base32nopad", ""),
        ("kind: binary, size: 15", ":base32nopad", "expected a secret of 16 bytes or more"),
        ("kind: binary, value: DEADBEEF", ":base32nopad", "expected a secret of 16 bytes or more"),
        ("kind: binary", ":hex", "expected an ascii secret in base32, or :base32nopad"),
        ("kind: binary", "", "expected an ascii secret in base32, or :base32nopad"),
        ("kind: ascii", "", "expected an ascii secret in base32, or :base32nopad"),
        ("kind: ascii, value: hello", "", "expected an ascii secret in base32, or :base32nopad"),
        ("kind: private-key", "", "expected an ascii secret in base32, or :base32nopad"),
        ("kind: config-fragment, value: x", "", "expected a secret that is text"),
    ],
)
def test_a_shared_secret_may_be_a_secret_at_both_places(secret, form, problem):
    secrets = f"[{{name: k, {secret}}}]"
    otp = f"one_time_password_shared_secret: $$SCONE::k{form}$$"
    assert judged(attestation(otp, secrets=secrets), problem)
    assert judged(service(otp) + f"secrets: {secrets}\n", problem)


@pytest.mark.parametrize(
    "written",
    ["$$SCONE::k$$", "{attestation: $$SCONE::k$$}", "{attestation: {mode: $$SCONE::k$$}}",
     "{attestation: {tolerate: [hyperthreading, $$SCONE::k$$]}}", "{singleton_enclaves: $$SCONE::k$$}"],
)  # fmt: skip
def test_parts_of_the_section_or_all_of_it_may_be_secrets(written):
    secrets = "[{name: k, kind: config-fragment, import: {session: o}}]"
    assert isinstance(session(security(written, secrets=secrets)).security, Template)
    assert "expected a secret named k in this session" in verdict(security(written))
    # What is not a secret is read as ever.
    assert "security.atestation: unknown key" in verdict(
        security("{singleton_enclaves: $$SCONE::k$$, atestation: {}}", secrets=secrets)
    )


# --- where secrets are stored

TOKEN = "{name: t, kind: aad-token, tenant_id: a, client_id: b, application_secret: c}"


@pytest.mark.parametrize(
    ("written", "secrets", "found"),
    [
        ("{store_in: !cas }", "[]", SecretConfig()),
        ("{store_in: cas}", "[]", SecretConfig()),
        (
            "{store_in: !akv {vault: V.vault.azure.net}}",
            f"[{TOKEN}]",
            SecretConfig("akv", "v.vault.azure.net"),
        ),
        ("{store_in: !akv {token: $$SCONE::t$$, vault: 'https://example.vault.microsoftazure.de'}}",
         f"[{TOKEN}]", SecretConfig("akv", "example.vault.microsoftazure.de", "t")),
        ("{store_in: !akv {vault: v.vault.azure.net}}", "[]",
         "secret_config.store_in: expected token: the session has 0 secrets of kind aad-token"),
        ("{store_in: !akv {vault: v.vault.azure.net}}", f"[{TOKEN}, {TOKEN.replace('t,', 'u,', 1)}]",
         "secret_config.store_in: expected token: the session has 2 secrets of kind aad-token"),
        ("{store_in: !akv {vault: v.vault.azure.net, token: $$SCONE::u$$}}", f"[{TOKEN}]",
         "secret_config.store_in.token: expected the name of a secret of kind aad-token"),
        ("{store_in: !akv {token: $$SCONE::t$$}}", f"[{TOKEN}]", "store_in.vault: required"),
        ("{store_in: !akv {vault: 'a b'}}", f"[{TOKEN}]", "expected the address of a key vault"),
        ("{store_in: !akv {vault: v.vault.azure.net, token: t}}", f"[{TOKEN}]",
         "secret_config.store_in.token: expected $$SCONE::NAME$$"),
        ("{store_in: !akv x}", f"[{TOKEN}]", "expected !cas, or !akv with vault and token"),
        ("{store_in: {vault: v.vault.azure.net}}", f"[{TOKEN}]", "expected !cas, or !akv"),
        ("{store_in: vault}", "[]", "secret_config.store_in: expected !cas, or !akv"),
        ("{}", "[]", "secret_config.store_in: required"),
    ],
)  # fmt: skip
def test_values_are_stored_in_the_cas_or_a_vault(written, secrets, found):
    text = f"{header()}secrets: {secrets}\nsecret_config: {written}\n"
    if isinstance(found, SecretConfig):
        assert session(text).secret_config == found
    else:
        assert found in verdict(text)


@pytest.mark.parametrize(
    "text",
    ["name: !akv x\n", "secrets: !cas []\n", "secret_config: !akv {store_in: !cas }\n", "!akv x: y\n"],
)  # fmt: skip
def test_the_two_tags_stand_nowhere_else(text):
    assert "expected no tag (!)" in verdict('version: "0.3"\n' + text)
