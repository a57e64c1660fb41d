"""Makes accepted/*.yml and refused/*.yml from the lines below; `--check` only compares.

A line is `name | place | version | YAML in flow style`; `place` says where that stands (PLACES).
Words such as $HEX stand for long values; a line `name | place | version+NAME=value,... | YAML` is a template.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
VECTORS = HERE.parent / "session"


def _pem(case: str, label: str) -> str:
    text = (VECTORS / case / "input.yml").read_text()
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index(f"-----BEGIN {label}-----")
    end = lines.index(f"-----END {label}-----", start)
    return json.dumps("\n".join(lines[start : end + 1]) + "\n")


WORDS = {
    "HEX64": "a5" * 32,
    "HASH": "b6" * 32,
    "HEX32": "c7" * 16,
    "OTP": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "KEYHASH": "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1",
    "OLDSIGNER": "LtLcbPVddnCkH36ZcRdgYsw4H8xDbYaFZfuefkDc25uq2qdjmM",
    "CERTIFICATE": _pem("access-entries", "CERTIFICATE"),
    "PRIVATE": _pem("explicit-secrets", "PRIVATE KEY"),
    "PUBLIC": _pem("governance", "PUBLIC KEY"),
}
# Where the YAML of a line stands; secrets and others that it may name are beside it.
PLACES = {
    "file": "%",
    "top": "name: s\n%",
    "service": "name: s\nsecrets: [{name: b, kind: binary, size: 32}, {name: t, kind: ascii}]\nimages: [{name: i}]\n"
    "services:\n- {name: a, mrenclaves: <HEX64>, %}",
    "bare": "name: s\nservices:\n- {name: a, %}",
    "variant": "name: s\nsecrets: [{name: f, kind: config-fragment, import: {session: o}}]\n"
    "services:\n- {name: a, attestation: %}",
    "variant-plain": "name: s\nservices:\n- {name: a, attestation: %}",
    "secret": "name: s\nsecrets:\n- {name: key, kind: private-key, key_type: P-384}\n"
    "- {name: ca, kind: x509-ca, private_key: key}\n- {name: b, kind: binary, size: 32}\n- {name: x, %}",
    "plain": "name: s\nsecrets:\n- {name: x, %}",
    "token": "name: s\nsecrets:\n- {name: b, kind: binary, size: 32}\n"
    "- {name: aad, kind: aad-token, tenant_id: a, client_id: c, application_secret: p}\n- {name: x, %}",
    "volume": "name: s\nsecrets: [{name: b, kind: binary, size: 32}]\nvolumes:\n- {name: v, %}",
    "image": "name: s\nsecrets: [{name: b, kind: binary}]\nvolumes: [{name: v}]\nimages:\n- {name: i, %}",
    "access": "name: s\nsecrets: [{name: k, kind: ascii}]\naccess_policy: {%}",
    "access-plain": "name: s\naccess_policy: {%}",
    "security": "name: s\nsecrets: [{name: t, kind: ascii}, {name: f, kind: config-fragment, import: {session: o}}]\nsecurity: {%}",
    "security-plain": "name: s\nsecurity: {%}",
    "attestation": "name: s\nsecurity: {attestation: {%}}",
    "store": "name: s\nsecrets:\n- {name: aad, kind: aad-token, tenant_id: a, client_id: c, application_secret: p}\n"
    "secret_config: %",
}
ACCEPTED = r"""
version-0-2 | top | 0.2 |
version-0-2-number | file | | {version: 0.2, name: s}
version-0-3-number | file | | {version: 0.3, name: s}
version-0-3 | top | 0.3 |
version-0-3-0 | top | 0.3.0 |
version-0-3-1 | top | 0.3.1 | security: {attestation: {mode: none}}
version-0-3-2 | top | 0.3.2 | volumes: [{name: v, export: [{to: {session: o}, update_policy: ephemeral}]}]
version-0-3-3 | top | 0.3.3 | access_policy: {read: ANY}
version-0-3-4 | plain | 0.3.4 | kind: private-key, key_type: P-384
version-0-3-5 | top | 0.3.5 | access_policy: {create_sessions: ANY}
version-0-3-6 | plain | 0.3.6 | kind: ascii, export: [{namespace: n}]
version-0-3-7 | variant-plain | 0.3.7 | {mrenclave: <HEX64>}
version-0-3-8 | attestation | 0.3.8 | one_time_password_shared_secret: <OTP>
version-0-3-9 | security-plain | 0.3.9 | singleton_enclaves: true
version-0-3-10 | plain | 0.3.10 | kind: pgp-key
version-0-3-11 | top | 0.3.11 | namespace_hash: <HASH>
version-0-3-12 | top | 0.3.12 | salt: <HEX32>
version-variable | file | +V=0.3.1 | {version: $V, name: s}
session-nulls | top | 0.3 | {predecessor: ~, salt: null, secrets: ~, volumes: ~, images: ~, services: ~, security: ~, creator: ~, secret_config: ~, access_policy: ~, namespace_hash: ~}
session-empty-lists | top | 0.3 | {secrets: [], volumes: [], images: [], services: []}
session-predecessor | top | 0.3 | predecessor: <HASH>
session-name-root | file | 0.3.11 | name: /
session-name-path | file | 0.3.5 | name: a/b-c/d_e.f~g
session-name-number | file | 0.3 | name: 123
session-name-truth | file | 0.3 | name: yes
session-name-fraction | file | 0.3 | name: 1.5
session-name-variable | file | 0.3+NAME=x | name: my-$NAME
session-name-braced | file | 0.3+NAME=x | name: ${NAME}/sub
session-salt-digits | top | 0.3 | salt: 11112222333344445555666677778888
session-predecessor-variable | top | 0.3+P=~ | predecessor: $P
creator-certificate | top | 0.3 | creator: <CERTIFICATE>
creator-signer | top | 0.3 | creator: {signer: <PUBLIC>}
creator-old-signer | top | 0.3 | creator: {signer: <OLDSIGNER>}
service-0-2 | service | 0.2 | command: "it's one"
service-command-line | service | 0.3 | command: "a 'b c' @@1 @@2"
service-command-host-in-quotes | service | 0.3 | command: "a 'b @@0 c' x@@0"
service-command-list | service | 0.3 | command: [a, 1, true, "@@1", ""]
service-command-number | service | 0.3 | command: 7
service-command-secret | service | 0.3 | command: "a $$SCONE::t$$ $$SCONE::b:hex$$"
service-command-variable | service | 0.3+P=prog | command: $P --flag
service-environment | service | 0.3 | environment: {A: x, SCONE_LOG: 7, F: 1.5, T: true, Y: yes, E: "", "": ""}
service-environment-host | service | 0.3 | environment: {"@@A": x, '\@\@B': ""}
service-environment-secret | service | 0.3 | environment: {A: "x$$SCONE::t$$$$SCONE::b:base64$$", M: $$SCONE::self::software_identity$$, J: "$$SCONE::t|escape(json)$$"}
service-environment-variable | service | 0.3+V=x | environment: {A: $V, B: "a${V}b"}
service-environment-empty | service | 0.3 | environment: {}
service-pwd | service | 0.3 | pwd: /a/b/
service-pwd-variable | service | 0.3+D=/x | pwd: $D
service-image | service | 0.3 | image_name: i
service-nulls | service | 0.3 | {command: ~, environment: ~, pwd: ~, image_name: ~, attestation: ~, platforms: ~, fspf_path: ~, fspf_key: ~, fspf_tag: ~, fspf_update_policy: ~, one_time_password_shared_secret: ~, persistency: ~}
service-mrenclaves-list | bare | 0.3 | mrenclaves: [<HEX64>, <HASH>]
service-mrenclaves-digits | bare | 0.3 | mrenclaves: [1234567812345678123456781234567812345678123456781234567812345678]
service-mrenclaves-variable | bare | 0.3+M=<HEX64> | mrenclaves: [$M]
service-persistency | service | 0.3 | persistency: None
service-platforms | service | 0.3 | platforms: ["INTEL_QE_ID:<HEX32>", "intel_qe_id:<HEX32>", <HEX64>]
service-platform-alone | service | 0.3 | platforms: "INTEL_QE_ID:<HEX32>"
service-platform-secret | service | 0.3.10 | platforms: [$$SCONE::t$$]
service-platforms-secret | service | 0.3.10 | platforms: $$SCONE::t$$
service-fspf | service | 0.3 | fspf_path: /f, fspf_key: <HEX64>, fspf_tag: <HEX32>
service-fspf-policy | service | 0.3 | fspf_path: /f, fspf_key: <HEX64>, fspf_update_policy: no_rollback_protection
service-fspf-reinitializable | service | 0.3.11 | fspf_path: /f, fspf_key: <HEX64>, fspf_tag: <HEX32>, fspf_update_policy: rollback_protected_reinitializable
service-fspf-secret | service | 0.3.5 | fspf_path: /f, fspf_key: $$SCONE::b$$, fspf_tag: <HEX32>
service-otp | service | 0.3.10 | one_time_password_shared_secret: <OTP>
service-otp-secret | service | 0.3.10 | one_time_password_shared_secret: "$$SCONE::b:base32nopad$$"
variant-one | variant | 0.3 | {mrenclave: <HEX64>}
variant-list | variant | 0.3 | [{mrenclave: <HEX64>}, {mrenclave: [<HEX64>, <HASH>]}]
variant-signer | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 6}}
variant-signer-text | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: "6", isvsvn: 3}}
variant-signer-range | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 0, isvsvn_min: 1, isvsvn_max: 65535}}
variant-signer-variable | variant | 0.3+S=<HEX64>,N=5 | {signer: {mrsigner: $S, isvprodid: $N, isvsvn: "${N}"}}
variant-both | variant | 0.3 | {mrenclave: <HEX64>, signer: {mrsigner: <HEX64>, isvprodid: 1}}
variant-secret | variant | 0.3.10 | $$SCONE::f$$
variant-secret-in-list | variant | 0.3.10 | [$$SCONE::f$$, {mrenclave: <HEX64>}]
variant-secret-measurement | variant | 0.3.10 | {mrenclave: $$SCONE::f$$}
variant-secret-signer | variant | 0.3.10 | {signer: $$SCONE::f$$}
variant-secret-number | variant | 0.3.10 | {signer: {mrsigner: $$SCONE::f$$, isvprodid: $$SCONE::f$$, isvsvn: $$SCONE::f$$}}
secret-ascii | plain | 0.3 | kind: ascii
secret-ascii-size | plain | 0.3 | kind: ascii, size: 65536
secret-ascii-value | plain | 0.3 | kind: ascii, value: some text
secret-ascii-number | plain | 0.3 | kind: ascii, value: 12345678
secret-ascii-variable | plain | 0.3+P=secret-word | kind: ascii, value: $P
secret-ascii-dollar | plain | 0.3 | kind: ascii, value: "5$ and $$"
secret-binary | plain | 0.3 | kind: binary, size: "32"
secret-binary-value | plain | 0.3 | kind: binary, value: DEADbeef
secret-binary-digits | plain | 0.3 | kind: binary, value: 12345678
secret-size-variable | plain | 0.3+N=4 | kind: binary, size: $N
secret-kind-variable | plain | 0.3+K=ascii | kind: $K
secret-0-2-binary | plain | 0.2 | kind: binary, size: 8, export: other
secret-0-2-session-ca | plain | 0.2 | kind: session-ca
secret-0-2-x509 | plain | 0.2 | kind: x509
secret-name-number | top | 0.3 | secrets: [{name: 1, kind: ascii}]
secret-private-key | plain | 0.3 | kind: private-key
secret-private-key-types | top | 0.3 | secrets: [{name: a, kind: private-key, key_type: Ed25519}, {name: b, kind: private-key, key_type: RSA-3072}, {name: c, kind: private-key, key_type: P-256}, {name: d, kind: private-key, key_type: RSA-2048}]
secret-private-key-migrate | plain | 0.3 | kind: private-key, migrate: true
secret-private-key-migrate-text | plain | 0.3 | kind: private-key, migrate: "false"
secret-private-key-value | plain | 0.3 | kind: private-key, value: <PRIVATE>
secret-private-key-variable | plain | 0.3+B=true | kind: private-key, migrate: $B
secret-public-key | secret | 0.3 | kind: public-key, private_key: key
secret-public-key-value | plain | 0.3.11 | kind: public-key, value: <PUBLIC>
secret-x509 | secret | 0.3 | kind: x509, private_key: key, issuer: ca, common_name: n, endpoint: server, dns: d.example.com, valid_for: 90 days
secret-x509-san | secret | 0.3.10 | kind: x509, private_key: key, san: ["dns:*.web", "ip:10.0.0.1", "ip:fe80::1"]
secret-x509-san-alone | secret | 0.3.10 | kind: x509, private_key: key, san: "dns:a"
secret-x509-dns-list | secret | 0.3 | kind: x509, private_key: key, dns: [a, b.c, "*.d"]
secret-x509-client | secret | 0.3 | kind: x509, private_key: key, endpoint: client
secret-x509-durations | top | 0.3 | secrets: [{name: k, kind: private-key}, {name: a, kind: x509, private_key: k, valid_for: 1 year 2months}, {name: b, kind: x509, private_key: k, valid_for: 24h0m0s}, {name: c, kind: x509, private_key: k, valid_for: 59d}]
secret-x509-value | plain | 0.3 | kind: x509, value: <CERTIFICATE>
secret-x509-ca | secret | 0.3 | kind: x509-ca, private_key: key, common_name: Authority, valid_for: 1y
secret-x509-ca-value | plain | 0.3 | kind: x509-ca, value: <CERTIFICATE>, export_public: true
secret-x509-variables | secret | 0.3+D=a.b,V=2d,E=server,C=cn | kind: x509, private_key: key, dns: $D, valid_for: $V, endpoint: $E, common_name: $C
secret-pgp | plain | 0.3 | kind: pgp-key
secret-fragment-list | plain | 0.3.10 | kind: config-fragment, value: [a, 1, true]
secret-fragment-mapping | plain | 0.3.10 | kind: config-fragment, value: {a: {b: [c], d: ~}}
secret-fragment-text | plain | 0.3.10 | kind: config-fragment, value: text
secret-jwt | secret | 0.3.12 | kind: jwt, signer: key, alg: ES384, validity: {for: 24h}
secret-jwt-payload | secret | 0.3.12 | kind: jwt, signer: key, alg: ES384, validity: {for: 1h}, payload: {sub: me, n: 7, b: $$SCONE::b:hex$$}
secret-aad | plain | 0.3.7 | kind: aad-token, tenant_id: 1-2-3, client_id: "4", application_secret: pass
secret-aad-certificate | plain | 0.3.7 | kind: aad-token, tenant_id: t, client_id: c, private_key: <PRIVATE>, certificate_thumbprint: a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5
secret-import | plain | 0.3 | kind: ascii, import: {session: o}
secret-import-any-kind | plain | 0.3 | import: {session: o, secret: y, session_hash: <HASH>}
secret-import-url | plain | 0.3 | import: "cas.example.com/cas_key=<KEYHASH>,session=o,secret=y"
secret-import-local-url | plain | 0.3 | import: "/session=a/b,secret=y"
secret-import-cas | plain | 0.3 | import: {session: o, cas_url: "cas.example.com:8081", cas_key: <KEYHASH>}
secret-import-software-key | plain | 0.3 | import: {session: o, cas_url: cas.example.com, cas_software_key: <KEYHASH>}
secret-import-relative | plain | 0.3.10 | import: {session: ../../x/y}
secret-import-parent | plain | 0.3.10 | import: {session: ..}
secret-import-child | plain | 0.3.10 | import: {session: ./x}
secret-import-bare | plain | 0.3 | import: o
secret-import-0-2 | plain | 0.2 | kind: ascii, import: "o:<HASH>"
secret-import-variable | plain | 0.3+S=o | import: {session: $S}
secret-import-akv | token | 0.3.7 | import_akv: {vault: v.vault.azure.net}
secret-import-akv-all | token | 0.3.10 | import_akv: {vault: "https://v.vault.azure.net/", secret_name: a-1, token: $$SCONE::aad$$, decryption_key: $$SCONE::b$$}
secret-export-list | plain | 0.3 | kind: ascii, export: [{session: o}, {session: p, session_hash: <HASH>}]
secret-export-alone | plain | 0.3 | kind: ascii, export: {session: o}
secret-export-namespace | plain | 0.3 | kind: ascii, export: [{namespace: n/m}]
secret-export-parent | plain | 0.3.10 | kind: ascii, export: [{namespace: ..}]
secret-export-bare | plain | 0.3 | kind: ascii, export: [o, p]
secret-export-empty | plain | 0.3 | kind: ascii, export: []
secret-export-public | plain | 0.3 | kind: ascii, export_public: True
secret-export-cas | plain | 0.3 | kind: ascii, export: [{session: o, cas_url: "https://[::1]:8081/", cas_key: <KEYHASH>}]
secret-nulls | plain | 0.3 | {kind: ascii, value: ~, size: ~, import: ~, import_akv: ~, export: ~, key_type: ~, validity: ~, payload: ~, dns: ~, san: ~}
volume | volume | 0.3 | {}
volume-given | volume | 0.3 | fspf_key: <HEX64>, fspf_tag: <HEX32>
volume-digits | volume | 0.3 | fspf_key: 1234567812345678123456781234567812345678123456781234567812345678, fspf_tag: 12345678123456781234567812345678
volume-secret | volume | 0.3.7 | fspf_key: $$SCONE::b$$, fspf_tag: <HEX32>
volume-files | volume | 0.3.11 | files: authenticated-only
volume-encrypted | volume | 0.3.11 | files: encrypted
volume-import | volume | 0.3 | import: {session: o}
volume-import-all | volume | 0.3 | import: {session: o, session_hash: <HASH>, volume: my data}
volume-import-url | volume | 0.3 | import: "/session=o,volume=v"
volume-import-0-2 | volume | 0.2 | import: "o:<HASH>"
volume-export | volume | 0.3 | export: [{session: o, session_hash: <HASH>}, p]
volume-export-to | volume | 0.3 | export: {to: {session: o, session_hash: <HASH>}, update_policy: no_rollback_protection, volume_alias: other}
volume-export-to-bare | volume | 0.3 | export: [{to: o, update_policy: rollback_protected}]
volume-export-to-alone | volume | 0.3 | export: [{to: {session: o}}]
volume-printable | top | 0.3 | volumes: [{name: "a/b c:d"}]
image-volumes | image | 0.3 | volumes: [{name: v, path: /}, {name: v, path: /d/, update_policy: ephemeral}]
image-files | image | 0.3 | injection_files: [/a, {path: /b/c, content: "x $$SCONE::b$$"}]
image-file-number | image | 0.3 | injection_files: [{path: /a, content: 5}]
image-permission | image | 0.3.10 | injection_files: [{path: /a, permission: 0o400}, {path: /b, permission: "0777"}, {path: /c, permission: "0o0"}]
image-permission-octal | image | 0.3.10 | injection_files: [{path: /a, permission: 0400}]
image-provide | image | 0.3.11 | provide_secrets: [b]
image-provide-none | image | 0.3.11 | provide_secrets: []
image-provide-alone | image | 0.3.11 | provide_secrets: b
image-path-variable | image | 0.3+D=/d | volumes: [{name: v, path: "$D/x"}]
image-name | top | 0.3 | images: [{name: "registry.example.com/a:latest"}]
access-words | access | 0.3 | read: [CREATOR], update: CREATOR, create_sessions: NONE, list_sessions: ANY
access-key-hash | access | 0.3 | read: [CREATOR, <KEYHASH>], update: <KEYHASH>
access-certificate | access | 0.3 | read: <CERTIFICATE>
access-empty-items | access | 0.3 | read: [~, CREATOR]
access-secret | access | 0.3 | read: [$$SCONE::k$$], update: $$SCONE::k$$
access-signer | access | 0.3.12 | update: {signer: <PUBLIC>}, list_sessions: {signer: <PUBLIC>}
access-signer-old | access | 0.3.10 | update: [{signer: <OLDSIGNER>}]
access-all | access | 0.3.10 | update: {require-all: [CREATOR, <KEYHASH>]}
access-at-least | access | 0.3.10 | create_sessions: [{require-at-least-2: [CREATOR, <KEYHASH>, {signer: <PUBLIC>}]}]
access-nested | access | 0.3.10 | update: {require-at-least-1: [CREATOR, {require-all: [<KEYHASH>]}]}
access-0-2 | access | 0.2 | read: [<HEX64>], update: <HEX64>
access-0-2-unclosed | access | 0.2 | read: [$$SCONE::k]
access-variable | access | 0.3+K=CREATOR | read: [$K]
access-whole-secret | top | 0.3.10 | {secrets: [{name: p, kind: config-fragment, value: {read: [ANY]}}], access_policy: $$SCONE::p$$}
security-empty | top | 0.3 | security: {}
security-token | security-plain | 0.3.9 | service_access_token: some long token
security-token-number | security | 0.3 | service_access_token: 12345678
security-token-secret | security | 0.3.10 | service_access_token: $$SCONE::t$$
security-whole-secret | top | 0.3.10 | {secrets: [{name: p, kind: config-fragment, value: {singleton_enclaves: true}}], security: $$SCONE::p$$}
security-attestation-secret | security | 0.3.10 | attestation: $$SCONE::f$$
security-mode-secret | security | 0.3.10 | attestation: {mode: $$SCONE::t$$, url: "https://a.attest.azure.net"}
security-parts-secret | security | 0.3.11 | attestation: {tolerate: $$SCONE::f$$, must_be_sgx_local: $$SCONE::t$$, ignore_advisories: [$$SCONE::t$$], min_rsa_signing_key_size: $$SCONE::t$$, certificates: $$SCONE::t$$}, singleton_enclaves: $$SCONE::t$$
attestation-hardware | attestation | 0.3 | mode: hardware, tolerate: [debug-mode, hyperthreading, insecure-igpu, software-hardening-needed, aepic-leak, insecure-configuration, outdated-tcb, maa-managed-tcb, local-attestation-trust-cas-tcb]
attestation-debug | attestation | 0.3 | tolerate: debug
attestation-empty-lists | attestation | 0.3 | tolerate: [], ignore_advisories: [], certificates: ~
attestation-advisories | attestation | 0.3 | ignore_advisories: [INTEL-SA-00161, SIM-SA-00001]
attestation-any-advisory | attestation | 0.3 | ignore_advisories: "*"
attestation-any-advisory-list | attestation | 0.3 | ignore_advisories: ["*"]
attestation-maa | attestation | 0.3.7 | mode: maa, url: "https://x.y.attest.azure.net/", tolerate: [maa-managed-tcb], certificates: [<CERTIFICATE>], min_rsa_signing_key_size: 2048
attestation-local | attestation | 0.3.11 | must_be_sgx_local: true, tolerate: [local-attestation-trust-cas-tcb]
attestation-not-local | attestation | 0.3.11 | must_be_sgx_local: false
attestation-qe-keys | attestation | 0.3 | trusted_scone_qe_pubkeys: [<HEX64>]
attestation-variables | attestation | 0.3+M=hardware,T=debug-mode,B=false | mode: $M, tolerate: [$T], must_be_sgx_local: $B
attestation-otp | attestation | 0.3 | one_time_password_shared_secret: <OTP>
none-without-measurement | top | 0.3 | {security: {attestation: {mode: none}}, services: [{name: a, command: x}]}
mode-variable-without-measurement | top | 0.3+M=none | {security: {attestation: {mode: $M}}, services: [{name: a}]}
store-cas-tag | store | 0.3.10 | {store_in: !cas }
store-cas-word | store | 0.3.10 | {store_in: cas}
store-akv-tag | store | 0.3.10 | {store_in: !akv {vault: v.vault.azure.net, token: $$SCONE::aad$$}}
store-akv-key | store | 0.3.10 | {store_in: {akv: {vault: v.vault.azure.net}}}
"""
REFUSED = r"""
no-mapping | file | | [a]
no-version | file | | {name: s}
no-name | file | 0.3 |
version-null | file | | {version: ~, name: s}
version-0-1 | top | 0.1 |
version-0-4 | top | 0.4 |
version-0-3-13 | top | 0.3.13 |
version-1 | file | | {version: 1, name: s}
name-null | file | 0.3 | name: ~
name-space | file | 0.3 | name: a b
name-empty | file | 0.3 | name: ""
name-double-slash | file | 0.3 | name: a//b
name-dots | file | 0.3 | name: a/..
name-trailing-slash | file | 0.3 | name: a/
name-long | file | 0.3 | name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
name-list | file | 0.3 | name: [a]
unknown-key | top | 0.3 | nam: x
unknown-key-null | top | 0.3 | digest: ~
predecessor-short | top | 0.3 | predecessor: abc
predecessor-and-namespace-hash | top | 0.3 | {predecessor: <HASH>, namespace_hash: <HASH>}
namespace-hash-text | top | 0.3 | namespace_hash: parent
salt-long | top | 0.3 | salt: <HEX64>
secrets-mapping | top | 0.3 | secrets: {a: b}
services-text | top | 0.3 | services: a
volumes-mapping | top | 0.3 | volumes: {name: v}
images-null-item | top | 0.3 | images: [~]
creator-text | top | 0.3 | creator: me
creator-empty | top | 0.3 | creator: {}
creator-signer-private | top | 0.3 | creator: {signer: <PRIVATE>}
creator-unknown | top | 0.3 | creator: {signer: <PUBLIC>, name: x}
service-without-name | top | 0.3 | services: [{mrenclaves: <HEX64>}]
service-unknown | service | 0.3 | tags: [demo]
service-env | service | 0.3 | env: {A: b}
service-unattested | bare | 0.3 | command: x
service-unattested-0-2 | bare | 0.2 | command: x
service-both | service | 0.3 | attestation: {mrenclave: <HEX64>}
service-mrenclaves-empty | bare | 0.3 | mrenclaves: []
service-mrenclaves-short | bare | 0.3 | mrenclaves: [a5a5]
service-mrenclaves-mapping | bare | 0.3 | mrenclaves: {a: b}
service-mrenclaves-null-item | bare | 0.3 | mrenclaves: [~]
service-name-slash | top | 0.3 | services: [{name: a/b, mrenclaves: <HEX64>}]
service-command-empty | service | 0.3 | command: ""
service-command-blank | service | 0.3 | command: "  "
service-command-empty-list | service | 0.3 | command: []
service-command-empty-word | service | 0.3 | command: ["", a]
service-command-mapping | service | 0.3 | command: {a: b}
service-command-host | service | 0.3 | command: "@@1 a"
service-command-host-zero | service | 0.3 | command: "a @@0"
service-command-host-zeros | service | 0.3 | command: [a, "@@01"]
service-command-host-list | service | 0.3 | command: ["@@1", a]
service-command-null-word | service | 0.3 | command: [a, ~]
service-command-unclosed-quote | service | 0.3 | command: "a 'b"
service-command-unclosed-secret | service | 0.3 | command: "a $$SCONE::t"
service-command-unknown-built-in | service | 0.3 | command: "a $$SCONE::self::measurement$$"
service-environment-list | service | 0.3 | environment: [A=b]
service-environment-null | service | 0.3 | environment: {A: ~}
service-environment-nested | service | 0.3 | environment: {A: {B: c}}
service-environment-equal | service | 0.3 | environment: {"A=b": c}
service-environment-no-name | service | 0.3 | environment: {"": x}
service-environment-secret-name | service | 0.3 | environment: {"$$SCONE::t$$": x}
service-environment-unclosed | service | 0.3 | environment: {A: "$$SCONE::t$"}
service-environment-host-no-name | service | 0.3 | environment: {"@@": x}
service-pwd-relative | service | 0.3 | pwd: a
service-pwd-secret | service | 0.3 | pwd: /$$SCONE::t$$
service-pwd-list | service | 0.3 | pwd: [/]
service-image-list | service | 0.3 | image_name: [i]
service-persistency | service | 0.3 | persistency: Full
service-platforms-empty | service | 0.3 | platforms: []
service-platforms-word | service | 0.3 | platforms: [here]
service-platforms-short | service | 0.3 | platforms: ["INTEL_QE_ID:a5"]
service-platforms-part | service | 0.3.10 | platforms: ["INTEL_QE_ID:$$SCONE::t$$"]
service-fspf-no-key | service | 0.3 | fspf_path: /f, fspf_tag: <HEX32>
service-fspf-no-tag | service | 0.3 | fspf_path: /f, fspf_key: <HEX64>
service-fspf-policy-alone | service | 0.3 | fspf_update_policy: no_rollback_protection
service-fspf-policy-word | service | 0.3 | fspf_path: /f, fspf_key: <HEX64>, fspf_tag: <HEX32>, fspf_update_policy: ephemeral
service-fspf-relative | service | 0.3 | fspf_path: f, fspf_key: <HEX64>, fspf_tag: <HEX32>
service-fspf-key-part | service | 0.3 | fspf_path: /f, fspf_key: x$$SCONE::b$$, fspf_tag: <HEX32>
service-fspf-tag-long | service | 0.3 | fspf_path: /f, fspf_key: <HEX64>, fspf_tag: <HEX64>
service-otp-short | service | 0.3 | one_time_password_shared_secret: ABCD
service-otp-lower | service | 0.3 | one_time_password_shared_secret: abcdefghijklmnopqrstuvwxyz234567
service-otp-part | service | 0.3 | one_time_password_shared_secret: x$$SCONE::t$$
variant-empty | variant | 0.3 | {}
variant-nulls | variant | 0.3 | {mrenclave: ~, signer: ~}
variant-no-list | variant | 0.3 | []
variant-text | variant | 0.3 | <HEX64>
variant-mrenclaves | variant | 0.3 | {mrenclaves: <HEX64>}
variant-measurement-short | variant | 0.3 | {mrenclave: abcdef}
variant-measurement-empty | variant | 0.3 | {mrenclave: []}
variant-secret-part | variant | 0.3.10 | {mrenclave: a$$SCONE::f$$}
signer-no-product | variant | 0.3 | {signer: {mrsigner: <HEX64>}}
signer-no-mrsigner | variant | 0.3 | {signer: {isvprodid: 1}}
signer-text | variant | 0.3 | {signer: <HEX64>}
signer-svn-both | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 1, isvsvn: 1, isvsvn_min: 1}}
signer-svn-max | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 1, isvsvn: 1, isvsvn_max: 1}}
signer-product-large | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 65536}}
signer-product-negative | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: -1}}
signer-product-word | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: six}}
signer-unknown | variant | 0.3 | {signer: {mrsigner: <HEX64>, isvprodid: 1, isvfamilyid: 2}}
secret-no-name | top | 0.3 | secrets: [{kind: ascii}]
secret-no-kind | plain | 0.3 | size: 3
secret-kind-unknown | plain | 0.3 | kind: asci
secret-kind-session-ca | plain | 0.3 | kind: session-ca
secret-unknown | plain | 0.3 | kind: ascii, length: 3
secret-name-empty | top | 0.3 | secrets: [{name: "", kind: ascii}]
secret-size-zero | plain | 0.3 | kind: ascii, size: 0
secret-size-large | plain | 0.3 | kind: binary, size: 65537
secret-size-fraction | plain | 0.3 | kind: binary, size: 1.5
secret-ascii-list | plain | 0.3 | kind: ascii, value: [a]
secret-ascii-key-type | plain | 0.3 | kind: ascii, key_type: P-256
secret-ascii-dns | plain | 0.3 | kind: ascii, dns: a
secret-binary-odd | plain | 0.3 | kind: binary, value: abc
secret-binary-no-hex | plain | 0.3 | kind: binary, value: xyz0
secret-binary-migrate | plain | 0.3 | kind: binary, migrate: true
secret-private-key-type | plain | 0.3 | kind: private-key, key_type: P-521
secret-private-key-pkcs1 | plain | 0.3 | kind: private-key, value: "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"
secret-private-key-both | plain | 0.3 | kind: private-key, key_type: P-256, value: <PRIVATE>
secret-private-key-size | plain | 0.3 | kind: private-key, size: 32
secret-private-key-migrate | plain | 0.3 | kind: private-key, migrate: 1
secret-public-key-nothing | plain | 0.3 | kind: public-key
secret-public-key-both | secret | 0.3 | kind: public-key, private_key: key, value: <PUBLIC>
secret-public-key-certificate | plain | 0.3 | kind: public-key, value: <CERTIFICATE>
secret-x509-no-key | plain | 0.3 | kind: x509
secret-x509-value | plain | 0.3 | kind: x509, value: certificate
secret-x509-value-name | plain | 0.3 | kind: x509, value: <CERTIFICATE>, common_name: n
secret-x509-0-2-value | plain | 0.2 | kind: x509, value: <CERTIFICATE>
secret-x509-0-2-parameter | plain | 0.2 | kind: x509, common_name: x
secret-x509-endpoint | secret | 0.3 | kind: x509, private_key: key, endpoint: both
secret-x509-dns-of-client | secret | 0.3 | kind: x509, private_key: key, endpoint: client, dns: a
secret-x509-dns-name | secret | 0.3 | kind: x509, private_key: key, dns: "a b"
secret-x509-san | secret | 0.3 | kind: x509, private_key: key, san: [a]
secret-x509-san-zone | secret | 0.3 | kind: x509, private_key: key, san: ["ip:fe80::1%eth0"]
secret-x509-san-ip | secret | 0.3 | kind: x509, private_key: key, san: ["ip:host"]
secret-x509-common-name | secret | 0.3 | kind: x509, private_key: key, common_name: ""
secret-x509-duration | secret | 0.3 | kind: x509, private_key: key, valid_for: 3560
secret-x509-duration-unit | secret | 0.3 | kind: x509, private_key: key, valid_for: 3 fortnights
secret-x509-ca-endpoint | secret | 0.3 | kind: x509-ca, private_key: key, endpoint: server
secret-pgp-value | plain | 0.3 | kind: pgp-key, value: x
secret-fragment-nothing | plain | 0.3 | kind: config-fragment
secret-fragment-null | plain | 0.3 | kind: config-fragment, value: [~]
secret-fragment-secret | plain | 0.3 | kind: config-fragment, value: [$$SCONE::x$$]
secret-jwt-nothing | plain | 0.3 | kind: jwt
secret-jwt-alg | secret | 0.3 | kind: jwt, signer: key, alg: ES256, validity: {for: 1h}
secret-jwt-validity | secret | 0.3 | kind: jwt, signer: key, alg: ES384, validity: 1h
secret-jwt-for | secret | 0.3 | kind: jwt, signer: key, alg: ES384, validity: {}
secret-jwt-reserved | secret | 0.3 | kind: jwt, signer: key, alg: ES384, validity: {for: 1h}, payload: {exp: 1}
secret-jwt-nested | secret | 0.3 | kind: jwt, signer: key, alg: ES384, validity: {for: 1h}, payload: {a: [b]}
secret-jwt-payload-list | secret | 0.3 | kind: jwt, signer: key, alg: ES384, validity: {for: 1h}, payload: [a]
secret-aad-no-tenant | plain | 0.3 | kind: aad-token, client_id: a, application_secret: b
secret-aad-nothing | plain | 0.3 | kind: aad-token, tenant_id: a, client_id: b
secret-aad-both | plain | 0.3 | kind: aad-token, tenant_id: a, client_id: b, application_secret: c, private_key: <PRIVATE>, certificate_thumbprint: a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5
secret-aad-no-thumbprint | plain | 0.3 | kind: aad-token, tenant_id: a, client_id: b, private_key: <PRIVATE>
secret-aad-thumbprint | plain | 0.3 | kind: aad-token, tenant_id: a, client_id: b, private_key: <PRIVATE>, certificate_thumbprint: a5
secret-aad-id | plain | 0.3 | kind: aad-token, tenant_id: a b, client_id: b, application_secret: c
secret-import-value | plain | 0.3 | kind: ascii, value: x, import: {session: o}
secret-import-both | token | 0.3 | import: {session: o}, import_akv: {vault: v}
secret-import-nothing | plain | 0.3 | import: {}
secret-import-list | plain | 0.3 | import: [o]
secret-import-unknown | plain | 0.3 | import: {session: o, volume: v}
secret-import-no-key | plain | 0.3 | import: {session: o, cas_url: cas.example.com}
secret-import-two-keys | plain | 0.3 | import: {session: o, cas_url: cas.example.com, cas_key: <KEYHASH>, cas_software_key: <KEYHASH>}
secret-import-no-url | plain | 0.3 | import: {session: o, cas_key: <KEYHASH>}
secret-import-key | plain | 0.3 | import: {session: o, cas_url: cas.example.com, cas_key: abc}
secret-import-url | plain | 0.3 | import: "cas.example.com/session=o"
secret-import-url-key | plain | 0.3 | import: "/session=o,name=x"
secret-import-dot | plain | 0.3 | import: {session: .}
secret-import-hash | plain | 0.3 | import: {session: o, session_hash: abc}
secret-import-mapping-0-2 | plain | 0.2 | kind: ascii, import: {session: o}
secret-import-relative-cas | plain | 0.3 | import: {session: ../o, cas_url: cas.example.com, cas_key: <KEYHASH>}
secret-import-relative-old | plain | 0.3.9 | import: {session: ../o}
secret-akv-no-vault | token | 0.3 | import_akv: {secret_name: a}
secret-akv-vault | token | 0.3 | import_akv: {vault: "http://x"}
secret-akv-token-name | token | 0.3 | import_akv: {vault: v, token: aad}
secret-akv-token-format | token | 0.3 | import_akv: {vault: v, token: "$$SCONE::aad:hex$$"}
secret-akv-name | token | 0.3 | import_akv: {vault: v, secret_name: a_b}
secret-akv-text | token | 0.3 | import_akv: v
secret-export-both | plain | 0.3 | kind: ascii, export: [{session: o, namespace: n}]
secret-export-namespace-hash | plain | 0.3 | kind: ascii, export: [{namespace: n, session_hash: <HASH>}]
secret-export-nothing | plain | 0.3 | kind: ascii, export: [{}]
secret-export-secret | plain | 0.3 | kind: ascii, export: [{session: o, secret: x}]
secret-export-public-yes | plain | 0.3 | kind: ascii, export_public: "yes"
secret-export-bare-hash | plain | 0.3 | kind: ascii, export: "o:abc"
volume-no-name | top | 0.3 | volumes: [{}]
volume-key-alone | volume | 0.3 | fspf_key: <HEX64>
volume-tag-alone | volume | 0.3 | fspf_tag: <HEX32>
volume-key-escaped | volume | 0.3 | fspf_key: "$$SCONE::b|escape(json)$$", fspf_tag: <HEX32>
volume-key-short | volume | 0.3 | fspf_key: abc, fspf_tag: <HEX32>
volume-files | volume | 0.3 | files: plain
volume-import-files | volume | 0.3 | import: {session: o}, files: encrypted
volume-import-export | volume | 0.3 | import: {session: o}, export: [{session: p}]
volume-import-cas | volume | 0.3 | import: {session: o, cas_url: cas.example.com}
volume-import-url-host | volume | 0.3 | import: "cas.example.com/session=o"
volume-import-empty-name | volume | 0.3 | import: {session: o, volume: ""}
volume-export-both | volume | 0.3 | export: [{session: o, to: {session: o}}]
volume-export-policy | volume | 0.3 | export: [{session: o, update_policy: ephemeral}]
volume-export-policy-word | volume | 0.3 | export: [{to: {session: o}, update_policy: never}]
volume-export-alias | volume | 0.3 | export: [{to: {session: o}, volume_alias: ""}]
volume-export-to-empty | volume | 0.3 | export: [{to: {}}]
volume-unknown | volume | 0.3 | size: 3
volume-name-control | top | 0.3 | volumes: [{name: "a\tb"}]
image-no-name | top | 0.3 | images: [{volumes: []}]
image-name-empty | top | 0.3 | images: [{name: ""}]
image-unknown | image | 0.3 | files: [/a]
image-volume-no-path | image | 0.3 | volumes: [{name: v}]
image-volume-relative | image | 0.3 | volumes: [{name: v, path: d}]
image-volume-dots | image | 0.3 | volumes: [{name: v, path: /a/../b}]
image-volume-policy | image | 0.3 | volumes: [{name: v, path: /d, update_policy: always}]
image-volumes-text | image | 0.3 | volumes: v
image-file-relative | image | 0.3 | injection_files: [a]
image-file-slash | image | 0.3 | injection_files: [/a/]
image-file-no-path | image | 0.3 | injection_files: [{content: x}]
image-file-secret-path | image | 0.3 | injection_files: [/$$SCONE::b$$]
image-file-unclosed | image | 0.3 | injection_files: [{path: /a, content: "$$SCONE::b"}]
image-file-content-list | image | 0.3 | injection_files: [{path: /a, content: [b]}]
image-permission-word | image | 0.3 | injection_files: [{path: /a, permission: rwx}]
image-permission-large | image | 0.3 | injection_files: [{path: /a, permission: "0o1777"}]
image-permission-eight | image | 0.3 | injection_files: [{path: /a, permission: "0o800"}]
image-provide-mapping | image | 0.3 | provide_secrets: {b: c}
access-list | top | 0.3 | access_policy: [CREATOR]
access-unknown | access | 0.3 | write: [CREATOR]
access-empty | access | 0.3 | read: []
access-nulls | access | 0.3 | read: [~]
access-any-and-more | access | 0.3 | read: [ANY, CREATOR]
access-none-and-more | access | 0.3 | update: [CREATOR, NONE]
access-word | access | 0.3 | read: [creator]
access-hash-in-0-3 | access | 0.3 | read: [<HEX64>]
access-key-hash-in-0-2 | access | 0.2 | read: [<KEYHASH>]
access-unclosed | access | 0.3 | read: [$$SCONE::k]
access-secret-part | access | 0.3 | update: x$$SCONE::k$$
access-public-key | access | 0.3 | read: [<PUBLIC>]
access-rule-in-read | access | 0.3 | read: {require-all: [CREATOR]}
access-rule-in-list | access | 0.3 | list_sessions: [{require-all: [CREATOR]}]
access-signer-in-read | access | 0.3 | read: [{signer: <PUBLIC>}]
access-any-in-rule | access | 0.3 | update: {require-all: [ANY]}
access-empty-rule | access | 0.3 | update: {require-all: []}
access-rule-of-none | access | 0.3 | update: {require-at-least-0: [CREATOR]}
access-rule-text | access | 0.3 | update: {require-all: CREATOR}
access-rule-null | access | 0.3 | update: {require-all: [~, CREATOR]}
access-two-keys | access | 0.3 | update: {signer: <PUBLIC>, require-all: [CREATOR]}
access-no-key | access | 0.3 | update: [{}]
access-signer-key | access | 0.3 | update: {signer: <HEX64>}
security-text | top | 0.3 | security: high
security-unknown | security | 0.3 | mode: none
security-token-empty | security | 0.3 | service_access_token: ""
security-token-part | security | 0.3.10 | service_access_token: a$$SCONE::t$$
security-singleton | security | 0.3 | singleton_enclaves: "no"
security-attestation-list | security | 0.3 | attestation: [mode]
attestation-mode | attestation | 0.3 | mode: sgx
attestation-tolerate | attestation | 0.3 | tolerate: [debugmode]
attestation-tolerate-mapping | attestation | 0.3 | tolerate: {debug-mode: true}
attestation-tolerate-null | attestation | 0.3 | tolerate: [~]
attestation-advisory | attestation | 0.3 | ignore_advisories: [INTEL-SA-1]
attestation-advisory-and-star | attestation | 0.3 | ignore_advisories: ["*", INTEL-SA-00161]
attestation-qe-key | attestation | 0.3 | trusted_scone_qe_pubkeys: [abc]
attestation-url | attestation | 0.3 | mode: maa, url: "http://a.attest.azure.net", tolerate: [maa-managed-tcb]
attestation-maa-no-url | attestation | 0.3 | mode: maa, tolerate: [maa-managed-tcb]
attestation-maa-no-tolerate | attestation | 0.3 | mode: maa, url: "https://a.attest.azure.net"
attestation-url-without-maa | attestation | 0.3 | url: "https://a.attest.azure.net"
attestation-certificates | attestation | 0.3 | mode: maa, url: "https://a.attest.azure.net", tolerate: [maa-managed-tcb], certificates: [abc]
attestation-key-size | attestation | 0.3 | mode: maa, url: "https://a.attest.azure.net", tolerate: [maa-managed-tcb], min_rsa_signing_key_size: large
attestation-local | attestation | 0.3 | must_be_sgx_local: true
attestation-local-none | attestation | 0.3 | mode: none, must_be_sgx_local: true, tolerate: [local-attestation-trust-cas-tcb]
attestation-local-word | attestation | 0.3 | must_be_sgx_local: 1
attestation-otp | attestation | 0.3 | one_time_password_shared_secret: "123456"
attestation-unknown | attestation | 0.3 | mrenclave: <HEX64>
store-nothing | store | 0.3 | {}
store-word | store | 0.3 | {store_in: vault}
store-no-vault | store | 0.3 | {store_in: !akv {token: $$SCONE::aad$$}}
store-token | store | 0.3 | {store_in: !akv {vault: v, token: aad}}
store-other | store | 0.3 | {store_in: cas, region: x}
old-security | top | 0.2 | security: {}
old-attestation | variant-plain | 0.3.6 | {mrenclave: <HEX64>}
old-namespace | file | 0.3.4 | name: a/b
old-root | file | 0.3.10 | name: /
old-key-type | plain | 0.3.3 | kind: private-key, key_type: P-384
old-kind-jwt | plain | 0.3.11 | kind: jwt
old-kind-pgp | plain | 0.3.9 | kind: pgp-key
old-kind-public-key | plain | 0.3.10 | kind: public-key, value: <PUBLIC>
old-kind-private-key | plain | 0.2 | kind: private-key
old-create-sessions | top | 0.3.4 | access_policy: {create_sessions: ANY}
old-list-sessions | top | 0.3.11 | access_policy: {list_sessions: ANY}
old-signer-entry | access-plain | 0.3.9 | update: {signer: <PUBLIC>}
old-salt | top | 0.3.11 | salt: <HEX32>
old-secret-section | security | 0.3.9 | service_access_token: $$SCONE::t$$
old-singleton | security-plain | 0.3.8 | singleton_enclaves: true
old-permission | image | 0.3.9 | injection_files: [{path: /a, permission: 0o400}]
old-mount-policy | image | 0.3.1 | volumes: [{name: v, path: /d, update_policy: ephemeral}]
old-volume-secret | volume | 0.3.6 | fspf_key: $$SCONE::b$$, fspf_tag: <HEX32>
old-fspf-secret | service | 0.3.4 | fspf_path: /f, fspf_key: $$SCONE::b$$, fspf_tag: <HEX32>
old-store | top | 0.3.9 | secret_config: {store_in: cas}
old-otp | service | 0.3.9 | one_time_password_shared_secret: <OTP>
old-url | volume | 0.2 | export: "/session=o"
"""


def files() -> dict[str, str]:
    """Every file by its path."""
    made: dict[str, str] = {}
    for folder, lines in (("accepted", ACCEPTED), ("refused", REFUSED)):
        for line in lines.strip().splitlines():
            name, place, version, inner = (part.strip() for part in line.split("|", 3))
            path = f"{folder}/{name}.yml"
            if path in made:
                sys.exit(f"{path} stands there twice")
            made[path] = _text(place, version, inner)
    return made


def _text(place: str, version: str, inner: str) -> str:
    version, _, variables = version.partition("+")
    if place not in {"file", "top", "store", "variant", "variant-plain"} and inner.startswith("{"):
        inner = inner[1:-1]
    if place == "top" and inner.startswith("{"):
        inner = inner[1:-1]
        text = "{" + f"name: s, {inner}" + (f', version: "{version}"' if version else "") + "}"
    else:
        text = PLACES[place].replace("%", inner)
        text = f'version: "{version}"\n{text}' if version else text
    head = "".join(f"# variable: {one}\n" for one in variables.split(",") if one)
    text = f"{head}{text}".replace(", }", "}").rstrip() + "\n"
    for word, value in WORDS.items():
        text = text.replace(f"<{word}>", value)
    return text


def main() -> None:
    """Write what is new, remove what is no more."""
    made = files()
    there = {f"{p.parent.name}/{p.name}": p for p in HERE.glob("*/*.yml")}
    if "--check" in sys.argv:
        if {name: p.read_text() for name, p in there.items()} != made:
            sys.exit("files differ from what this script makes")
        return
    for name in set(there) - set(made):
        there[name].unlink()
    for name, text in made.items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
