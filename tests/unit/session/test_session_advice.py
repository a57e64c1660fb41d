"""Each warning: when it is given, when not, and that it repeats no value."""

import re
from pathlib import Path

import pytest

from fakes.session_texts import (
    KEY_HASH,
    OTHER,
    OTP,
    POLICY,
    PRIVATE_KEY,
    QE_ID,
    M,
    codes,
    header,
    quoted,
    service,
)
from scone.session import read_session, to_yaml

PAGE = Path(__file__).resolve().parents[3] / "docs" / "formats" / "session.md"
V12 = header("0.3.12")
BASE = header() + POLICY
NONE = "security: {attestation: {mode: none}}\n"
MAA = "security: {attestation: {mode: maa, url: 'https://a.b/', tolerate: [maa-managed-tcb]}}\n"
LOCAL = "security: {attestation: {must_be_sgx_local: true, tolerate: [local-attestation-trust-cas-tcb]}}\n"
FSPF = f"fspf_path: /f, fspf_key: {M}, fspf_tag: {M[:32]}"


def serve(more, rest=POLICY):
    return service(more) + rest


def secrets(text, version="0.3", policy=POLICY, name="s"):
    return f"{header(version, name)}{policy}secrets: [{text}]\n"


def attestation(text):
    return f"{BASE}security: {{attestation: {{{text}}}}}\n"


def two_services(one, other, rest=""):
    return (
        f"{BASE}services:\n- {{name: a, attestation: {{mrenclave: {M}}}, {one}}}\n- {{name: b, {other}}}\n"
        f"secrets: [{{name: x, kind: ascii}}, {{name: y, kind: ascii}}]\n{rest}"
    )


def volume(export, policy=POLICY):
    return f"{header()}{policy}volumes: [{{name: v, export: {export}}}]\n"


SAME = f"attestation: {{mrenclave: [{OTHER}, {M}]}}"
A_CERTIFICATE = (
    "{name: k, kind: private-key}, {name: c, kind: x509, private_key: k, endpoint: server"
)
ASCII = "{name: x, kind: ascii"
OPEN = "access_policy: {read: ANY}\n"
SHARED = f"access_policy: {{read: [CREATOR, {KEY_HASH}]}}\n"
AAD = "{name: x, kind: aad-token, tenant_id: t, client_id: c, application_secret: hunter2}"
AAD_KEY = AAD.replace(
    "application_secret: hunter2",
    f"private_key: {quoted(PRIVATE_KEY)}, certificate_thumbprint: {'B0' * 20}",
)

# code -> (files with the warning and where, files without it)
CASES = {
    "access-for-anybody": (
        [
            ("access_policy: {update: ANY}\n", "access_policy.update"),
            ("access_policy: {create_sessions: ANY}\n", "access_policy.create_sessions"),
        ],
        ["access_policy: {read: ANY, list_sessions: ANY}\n", f"access_policy: {{update: {KEY_HASH}}}\n"],
    ),
    "access-policy-missing": ([("", "access_policy")], [POLICY, "access_policy: {}\n"]),
    "advisories-without-category": (
        [(attestation("ignore_advisories: [INTEL-SA-00161]"), "security.attestation.ignore_advisories"),
         (attestation("tolerate: [aepic-leak], ignore_advisories: INTEL-SA-00161"), "security.attestation.ignore_advisories")],
        [attestation(f"tolerate: [{category}], ignore_advisories: [INTEL-SA-00161]")
         for category in ("software-hardening-needed", "insecure-configuration", "outdated-tcb")]
        + [attestation("ignore_advisories: []")],
    ),
    "advisory-wildcard": (
        [(attestation("ignore_advisories: '*'"), "security.attestation.ignore_advisories"),
         (attestation("tolerate: outdated-tcb, ignore_advisories: ['*']"), "security.attestation.ignore_advisories")],
        [attestation("tolerate: debug-mode, ignore_advisories: '*'"), attestation("ignore_advisories: [INTEL-SA-00161]")],
    ),
    "attestation-none": (
        [(BASE + NONE, "security.attestation.mode")], [BASE, BASE + MAA],
    ),
    "attestation-without-effect": (
        [(serve("", POLICY + NONE), "services[0].attestation"),
         (f"{BASE}{NONE}services: [{{name: a, mrenclaves: {M}}}]\n", "services[0].mrenclaves"),
         (f"{BASE}{NONE}services: [{{name: a, platforms: {QE_ID}}}]\n", "services[0].platforms"),
         (serve(f"platforms: {QE_ID}", POLICY + MAA), "services[0].platforms"),
         (serve(f"platforms: {QE_ID}", POLICY + LOCAL), "services[0].platforms")],
        [serve(f"platforms: {QE_ID}"), serve("", POLICY + MAA), f"{BASE}{NONE}services: [{{name: a}}]\n",
         serve(f"platforms: {QE_ID}", POLICY + LOCAL.replace("must_be_sgx_local: true, ", ""))],
    ),
    "debug-mode-tolerated": (
        [(attestation("tolerate: debug-mode"), "security.attestation.tolerate")],
        [attestation("tolerate: hyperthreading")],
    ),
    "deprecated-dns": (
        [(secrets(A_CERTIFICATE + ", dns: a}", "0.3.10"), "secrets[1].dns")],
        [secrets(A_CERTIFICATE + ", dns: a}"), secrets(A_CERTIFICATE + ", dns: a}", "0.3.9"),
         secrets(A_CERTIFICATE + ", san: 'dns:a'}", "0.3.12")],
    ),
    "deprecated-format": (
        [(serve("environment: {A: $$SCONE::x.hex$$}", POLICY + "secrets: [{name: x, kind: binary}]\n"), "services[0].environment.A")],
        [serve("environment: {A: $$SCONE::x:hex$$}", POLICY + "secrets: [{name: x, kind: binary}]\n"),
         serve("environment: {A: $$SCONE::x.hex$$}", POLICY + "secrets: [{name: x.hex, kind: ascii}]\n"),
         service("environment: {A: $$SCONE::x.hex$$}", "0.2") + POLICY + "secrets: [{name: x, kind: binary}]\n"],
    ),
    "deprecated-mrenclaves": (
        [(f"version: 0.3.7\nname: s\n{POLICY}services: [{{name: a, mrenclaves: {M}}}]\n", "services[0].mrenclaves")],
        [f"version: {version}\nname: s\n{POLICY}services: [{{name: a, mrenclaves: {M}}}]\n" for version in ("0.2", "0.3", "0.3.6")],
    ),
    "deprecated-reference": (
        [(secrets(ASCII + ", export: [{session: ..}, b]}"), "secrets[0].export[1]"),
         (secrets("{name: x, import: b}"), "secrets[0].import"),
         (volume("b"), "volumes[0].export"), (volume("{to: b, volume_alias: w}"), "volumes[0].export.to")],
        [secrets("{name: x, import: b}", "0.2"), secrets("{name: x, import: {session: b}}"), secrets("{name: x, import: /session=b}")],
    ),
    "deprecated-single-colon": (
        [(serve("environment: {A: $$SCONE:x$$}", POLICY + f"secrets: [{ASCII}}}]\n"), "services[0].environment.A")],
        [serve("environment: {A: $$SCONE::x$$}", POLICY + f"secrets: [{ASCII}}}]\n")],
    ),
    "deprecated-tolerate": (
        [(attestation("tolerate: [hyperthreading, debug]"), "security.attestation.tolerate[1]")],
        [attestation("tolerate: debug-mode")],
    ),
    "environment-empty-name": (
        [(serve("environment: {'': ''}"), "services[0].environment")], [serve("environment: {A: ''}")],
    ),
    "environment-of-loader": (
        [(serve(f"environment: {{{name}: /a}}"), f"services[0].environment.{name}") for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT")],
        [serve("environment: {LD_BIND_NOW: 1}")],
    ),
    "environment-without-effect": (
        [(serve("environment: {SCONE_HEAP: 1G}"), "services[0].environment.SCONE_HEAP"),
         (serve("environment: {SCONE_CAS_ADDR: a}"), "services[0].environment.SCONE_CAS_ADDR")],
        [serve(r"environment: {SCONE_MODE: hw, SCONE_LOG: 7, \@\@SCONE_LAS_ADDR: ''}")],
    ),
    "explicit-secret-value": (
        [(secrets(ASCII + ", value: y}"), "secrets[0].value"),
         (secrets("{name: x, kind: binary, value: ab}"), "secrets[0].value"),
         (secrets(f"{{name: x, kind: private-key, value: {quoted(PRIVATE_KEY)}}}"), "secrets[0].value"),
         (secrets(ASCII + ", value: y}", policy=""), "secrets[0].value"),
         *((secrets(AAD, policy=policy), "secrets[0].application_secret") for policy in (OPEN, SHARED)),
         (secrets(AAD_KEY, policy=OPEN), "secrets[0].private_key"),
         (serve(FSPF, OPEN), "services[0].fspf_key"),
         (serve(f"one_time_password_shared_secret: {OTP}", OPEN), "services[0].one_time_password_shared_secret"),
         (header() + OPEN + f"volumes: [{{name: v, fspf_key: {M}, fspf_tag: {M[:32]}}}]\n", "volumes[0].fspf_key"),
         (header() + OPEN + "security: {service_access_token: 0123456789abcdef}\n", "security.service_access_token"),
         (header() + OPEN + f"security: {{attestation: {{one_time_password_shared_secret: {OTP}}}}}\n",
          "security.attestation.one_time_password_shared_secret")],
        [secrets(AAD), serve(FSPF), serve("environment: {A: hunter2}", OPEN),
         header() + OPEN + "security: {service_access_token: $$SCONE::x$$}\nsecrets: [{name: x, kind: ascii}]\n",
         secrets(ASCII + "}"), secrets("{name: x, kind: config-fragment, value: y}"), secrets("{name: x, import: {session: b}}")],
    ),
    "export-by-name": (
        [(secrets(ASCII + ", export: {session: b}}"), "secrets[0].export[0]"),
         (secrets(ASCII + f", export: [{{session: b, session_hash: {M}}}, {{namespace: n}}]}}"), "secrets[0].export[1]"),
         (secrets(ASCII + ", export: {session: ../b}}"), "secrets[0].export[0]"),
         (secrets(ASCII + ", export: {session: sb}}"), "secrets[0].export[0]"),
         (secrets(ASCII + f", export: {{cas_url: h, cas_key: {KEY_HASH}, session: s}}}}"), "secrets[0].export[0]"),
         (secrets(ASCII + ", export: {namespace: /}}"), "secrets[0].export[0]"),
         (secrets(ASCII + ", export: {namespace: ..}}"), "secrets[0].export[0]"),
         (secrets(ASCII + ", export: {namespace: ../..}}", name="a/b"), "secrets[0].export[0]"),
         (volume("{session: b}"), "volumes[0].export[0]"), (volume("[{to: {session: b}}]"), "volumes[0].export[0]")],
        [secrets(ASCII + f", export: {{session: b, session_hash: {M}}}}}"),
         secrets(ASCII + ", export: {session: ./b}}"), secrets(ASCII + ", export: {session: s}}"),
         secrets(ASCII + ", export: {namespace: ..}}", name="a/b"), secrets(ASCII + ", export: {namespace: a}}", name="a/b"),
         secrets(ASCII + ", export_public: true}"), volume(f"{{session: b, session_hash: {M}}}")],
    ),
    "interpreter-without-fspf": (
        [(serve(f"command: {command}"), "services[0].command")
         for command in ("python3 /a.py", "/usr/bin/python3.11 a", "[node, a.js]", "java -jar a", "bash", "'sh x'")],
        [serve("command: ./python-like a"), serve("command: mysql"), serve(f"command: python3 a, {FSPF}"),
         serve("command: python3 a, image_name: i", POLICY + "volumes: [{name: v}]\nimages: [{name: i, volumes: [{name: v, path: /a}]}]\n"),
         f"{BASE}{NONE}services: [{{name: a, command: python3 a}}]\n"],
    ),
    "key-made-again": (
        [(secrets("{name: k, kind: private-key}, " + made), "secrets[0]")
         for made in (
             "{name: c, kind: x509-ca, private_key: k, export: {session: ./b}}",
             "{name: c, kind: x509-ca, private_key: k, export_public: true}",
             "{name: c, kind: public-key, private_key: k, export_public: true}",
             ("{name: c, kind: x509-ca, private_key: k}, {name: l, kind: private-key, migrate: true},"
             " {name: d, kind: x509, private_key: l, issuer: c, export_public: true}"),
         )],
        [secrets("{name: k, kind: private-key, migrate: true}, {name: c, kind: x509-ca, private_key: k, export_public: true}"),
         secrets(f"{{name: k, kind: private-key, value: {quoted(PRIVATE_KEY)}}}, {{name: c, kind: x509-ca, private_key: k, export_public: true}}"),
         secrets("{name: k, kind: private-key}, {name: c, kind: x509-ca, private_key: k}"),
         secrets("{name: k, import: {session: b}}, {name: c, kind: x509-ca, private_key: k, export_public: true}")],
    ),
    "no-rollback-protection": (
        [(BASE + "volumes: [{name: v}]\nimages: [{name: i, volumes: [{name: v, path: /a, update_policy: no_rollback_protection}]}]\n",
          "images[0].volumes[0].update_policy"),
         (volume("[{to: {session: ./b}, update_policy: no_rollback_protection}]"), "volumes[0].export[0].update_policy")],
        [BASE + "volumes: [{name: v}]\nimages: [{name: i, volumes: [{name: v, path: /a, update_policy: ephemeral}]}]\n"],
    ),
    "otp-not-everywhere": (
        [(two_services(f"one_time_password_shared_secret: {OTP}", f"attestation: {{mrenclave: {OTHER}}}"), "services")],
        [two_services("pwd: /", f"attestation: {{mrenclave: {OTHER}}}"),
         two_services(f"one_time_password_shared_secret: {OTP}", f"attestation: {{mrenclave: {OTHER}}}",
                      f"security: {{attestation: {{one_time_password_shared_secret: {OTP}}}}}\n"),
         serve(f"one_time_password_shared_secret: {OTP}")],
    ),
    "public-private-key": (
        [(secrets("{name: x, kind: private-key, export_public: true}"), "secrets[0].export_public"),
         (secrets("{name: x, kind: pgp-key, export_public: true}"), "secrets[0].export_public")],
        [secrets("{name: x, kind: private-key, export_public: false}"), secrets(ASCII + ", export_public: true}")],
    ),
    "secret-in-command": (
        [(serve("command: ./a $$SCONE::x$$", POLICY + f"secrets: [{ASCII}}}]\n"), "services[0].command"),
         (serve("command: [./a, $$SCONE::x$$]", POLICY + f"secrets: [{ASCII}}}]\n"), "services[0].command")],
        [serve("command: ./a, environment: {A: $$SCONE::x$$}", POLICY + f"secrets: [{ASCII}}}]\n"),
         serve("command: [./a, $$SCONE::self::software_identity$$]")],
    ),
    "shared-measurement": (
        [(two_services("environment: {A: $$SCONE::x$$}", SAME), "services[1]"),
         (two_services("command: [a, $$SCONE::x$$]", SAME + ", command: [a, $$SCONE::y$$]"), "services[1]")],
        [two_services("environment: {A: $$SCONE::x$$}", SAME + ", environment: {B: $$SCONE::x$$}"),
         two_services("pwd: /", SAME), two_services("environment: {A: $$SCONE::x$$}", f"attestation: {{mrenclave: {OTHER}}}")],
    ),
    "short-access-token": (
        [(BASE + "security: {service_access_token: 0123456789abcde}\n", "security.service_access_token")],
        [BASE + "security: {service_access_token: 0123456789abcdef}\n"],
    ),
    "singleton-without-effect": (
        [(BASE + "security: {singleton_enclaves: true, attestation: {mode: none}}\n", "security.singleton_enclaves")],
        [BASE + "security: {singleton_enclaves: true}\n", BASE + "security: {singleton_enclaves: false, attestation: {mode: none}}\n"],
    ),
    "size-without-effect": (
        [(secrets(ASCII + ", value: y, size: 3}"), "secrets[0].size")], [secrets(ASCII + ", size: 3}")],
    ),
    "toleration-without-effect": (
        [(attestation("tolerate: maa-managed-tcb"), "security.attestation.tolerate"),
         (attestation("mode: none, tolerate: hyperthreading"), "security.attestation.tolerate"),
         (BASE + MAA.replace("[maa", "[outdated-tcb, maa"), "security.attestation.tolerate")],
        [attestation("tolerate: hyperthreading"), BASE + MAA, BASE + MAA.replace("[maa", "[debug, maa")],
    ),
    "unclosed-placeholder": (
        [(f"{header('0.2')}access_policy: {{read: $$SCONE::x}}\nsecrets: [{{name: x, import: o}}]\n", "access_policy.read")],
        [f"{header('0.2')}access_policy: {{read: $$SCONE::x$$}}\nsecrets: [{{name: x, import: o}}]\n"],
    ),
    "without-effect": (
        [(attestation(f"trusted_scone_qe_pubkeys: {M}"), "security.attestation.trusted_scone_qe_pubkeys"),
         (BASE + MAA.replace("tolerate:", "min_rsa_signing_key_size: 2048, tolerate:"), "security.attestation.min_rsa_signing_key_size")],
        [BASE + MAA, attestation("tolerate: hyperthreading")],
    ),
}  # fmt: skip


def whole(text):
    return text if text.startswith("version") else V12 + text


@pytest.mark.parametrize("code", CASES)
def test_a_warning_is_given_at_its_place(code):
    for text, path in CASES[code][0]:
        assert (code, path) in codes(whole(text)), text


@pytest.mark.parametrize("code", CASES)
def test_a_warning_is_not_given_elsewhere(code):
    for text in CASES[code][1]:
        assert code not in dict(codes(whole(text))), text


def test_every_warning_of_the_page_has_its_cases():
    section = PAGE.read_text().split("## Warnings")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)) == set(CASES)


@pytest.mark.parametrize("code", CASES)
def test_warnings_have_a_place_and_repeat_no_value(code):
    sentinel = "Zq7Hunter2"
    for text, _ in CASES[code][0]:
        found = read_session(whole(text)).warnings
        assert all(w.mark is not None and w.message and "\n" not in str(w) for w in found)
        # Every value that may be any text, replaced: passwords, tokens, arguments, contents.
        poisoned = whole(text).replace("value: y", f"value: {sentinel}")
        poisoned = poisoned.replace("1G", sentinel).replace("/x.so", f"/{sentinel}")
        poisoned = poisoned.replace("./a", f"./{sentinel}").replace("A: ", "A: " + sentinel)
        assert sentinel not in "\n".join(map(str, read_session(poisoned).warnings)), code
    poisoned = secrets(ASCII + f", value: {sentinel}, size: 3}}").replace(
        POLICY, f"{POLICY}security: {{service_access_token: {sentinel}}}\n"
    )
    assert sentinel not in "\n".join(map(str, read_session(poisoned).warnings))


def test_what_a_secret_decides_is_not_guessed():
    text = service("") + POLICY + "security: {attestation: {mode: $$SCONE::x$$}}\nsecrets: [{name: x, import: {session: o}}]\n"  # fmt: skip
    assert codes(text) == []


def test_what_everybody_may_read_is_said_in_stronger_words():
    for policy, words in (
        (OPEN, "everybody who reaches the CAS"),
        (SHARED, "everybody who may read"),
    ):
        text = secrets(f"{ASCII}, value: y}}, {AAD.replace('name: x', 'name: y')}", policy=policy)
        found = [
            w.message for w in read_session(text).warnings if w.code == "explicit-secret-value"
        ]
        assert len(found) == 2
        assert all(words in message for message in found)


def test_a_hundred_warnings_are_listed_and_that_there_are_more():
    text = secrets(", ".join(f"{{name: x{n}, kind: ascii, value: y}}" for n in range(1000)))
    found = read_session(text).warnings
    assert len(found) == 101
    assert found[-1].code == "further-warnings"
    assert str(found[-1]) == "further warnings are not listed"
    assert len(read_session(secrets(", ".join(f"{{name: x{n}, kind: ascii, value: y}}" for n in range(100)))).warnings) == 100  # fmt: skip


def test_a_warning_is_the_same_for_the_file_and_for_its_normal_form():
    for code in ("export-by-name", "explicit-secret-value", "key-made-again"):
        for text, _ in CASES[code][0]:
            checked = read_session(whole(text))
            again = read_session(to_yaml(checked.session)).warnings
            told = [(w.path, w.message) for w in checked.warnings if w.code == code]
            assert told == [(w.path, w.message) for w in again if w.code == code]
