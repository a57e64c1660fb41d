"""Session files that others wrote: those of the documentation, and the styles of public repositories.

Each is read, or refused with the rule of the pages that it breaks. The documentation's files
lie beside the repository; without them these tests are skipped, visibly.
"""

import csv
import hashlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fakes.session_texts import OTHER, OTP, PRIVATE_KEY, SIGNER, TAG, M, verdict
from scone.session import (
    canonical_json,
    from_canonical,
    read_session,
    session_hash,
    to_yaml,
)

PEM = PRIVATE_KEY.rstrip("\n")
QE_KEY = "E37F149AE30896E314A2859874C5A9C7803FB3187B99F5D08E526B1C0396507C"
# What a user would put in, by the ending of the variable's name.
VALUES = {
    "MRENCLAVE": M, "_hash": M, "PREDECESSOR": OTHER, "FSPF_KEY": M, "FSPF_TAG": TAG, "_FSPF": "/fspf.pb",
    "MRENCLAVE2": OTHER, "PREDECESSOR2": OTHER, "OTPSECRET": OTP, "LANG_VERSION": "0.3", "PLATFORM": QE_KEY, "SESSION": "some-session",
    "NAMESPACE": "my-namespace", "POLICY_NAME": "my-policy", "USER_ID": "user", "HOST": "api", "NS": "ns",
}  # fmt: skip

ACCEPTED = ""
# Files that are not session files of 0.2 or 0.3, or break a rule; all others must be accepted.
COMPLETE = {
    # Several lines pasted at column 0: no YAML, whatever the variable holds.
    "cas-backup-controller-quick-start__07.yml": "could not find expected ':'",
    "namespace__01.yml": "access_policy.create_sessions[2]: expected CREATOR, ANY, NONE, a key hash",
    "otp_demo__06.yml": "name: expected a name of 1 to 128 characters",  # <random-id>
}
# No version: 0.1 to the pages. Those of the language pages are judged with the page's version.
NO_VERSION = "version: expected the version of the session language"
IMAGE = "image_name: expected the name of an image of this session"
NO_VARIANT = "services[0]: expected attestation or mrenclaves"
FRAGMENTS = {
    "CAS_session_lang_0_2__04": "services[0]: expected mrenclaves",
    "CAS_session_lang_0_2__22": "services[0]: expected mrenclaves",
    "CAS_session_lang_0_2__40": "access_policy.read[3]: expected a secret named remote_validation_service",
    "CAS_session_lang_0_3__06": NO_VARIANT,
    "CAS_session_lang_0_3__13": NO_VARIANT,
    "CAS_session_lang_0_3__14": NO_VARIANT,
    "CAS_session_lang_0_3__15": "services[0].image_name: expected the name of an image",
    "CAS_session_lang_0_3__25": "did you mean 'mrsigner'?",
    "CAS_session_lang_0_3__31": NO_VARIANT,
    "CAS_session_lang_0_3__34": "secrets[2].value: expected a line of base64",
    "CAS_session_lang_0_3__34b": NO_VARIANT,
    "CAS_session_lang_0_3__35": "secrets[0].private_key: expected the name of a secret of kind private-key",
    "CAS_session_lang_0_3__36": "secrets[1].private_key: expected a line of base64",
    "CAS_session_lang_0_3__38": "expected a secret named mrenclave_list in this session",
    "CAS_session_lang_0_3__44": NO_VARIANT,
    "CAS_session_lang_0_3__45": NO_VARIANT,
    "CAS_session_lang_0_3__47": "expected a secret named attestation_config_part in this session",
    "CAS_session_lang_0_3__54": "store_in.token: expected the name of a secret of kind aad-token",
    "CAS_session_lang_0_3__69": "expected a secret named mysqlpass in this session",
    "CAS_session_lang_0_3__71": "access_policy.create_sessions: expected CREATOR, ANY, NONE",
    "CAS_session_lang_0_3__72": "access_policy.read[3]: expected a secret named remote_validation_service",
    "CAS_session_lang_0_3__74": "access_policy: expected a secret named external_policy",
    "CAS_session_lang_0_3__75": "access_policy.update: expected a secret named external_update_policy",
    "CAS_session_lang_0_3__89": NO_VARIANT,
}  # fmt: skip
# What the pages leave out of an aad-token.
AZURE = "\n    tenant_id: a\n    client_id: b\n    application_secret: c\n"
# The outermost keys of what is printed without its section.
_PARTS_OF_A_FILE = re.compile(
    r"^(\[\.\.\.\]|command:|environment:|mrenclaves:|injection_files:|\[client\])"
)


class Anything(dict):
    """Variables with sensible values."""

    def __contains__(self, name):
        return True

    def __missing__(self, name):
        if re.fullmatch("voter.|veto_member.|owner", name):  # each a key of its own
            key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
            return (
                key.public_key()
                .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                .decode()
            )
        return next((value for end, value in VALUES.items() if name.endswith(end)), "x")


def rows(folder):
    with (folder / "index.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def judged(text):
    """What is said about a text; an accepted one is also held against its other forms."""
    said = verdict(text, variables=Anything())
    if not said:
        found = read_session(text, variables=Anything()).session
        assert from_canonical(canonical_json(found)) == found
        assert session_hash(read_session(to_yaml(found)).session) == session_hash(found)
    return said


def test_complete_files_of_the_documentation(documented):
    found = [row["file"] for row in rows(documented) if row["status"] == "complete"]
    assert len(found) > 30
    assert set(COMPLETE) <= set(found)
    for file in found:
        said = judged((documented / file).read_text())
        expected = COMPLETE.get(file, ACCEPTED)
        assert expected in said, (file, said)
        assert expected or not said, (file, said)


def test_files_without_a_version_are_of_0_1(documented):
    found = [row["file"] for row in rows(documented) if row["status"] == "no-version"]
    assert len(found) > 15
    for file in found:
        said = judged((documented / file).read_text())
        assert said.startswith(NO_VERSION), (file, said)
        assert "without it the file is of version 0.1" in said


@pytest.mark.parametrize("page", ["CAS_session_lang_0_2", "CAS_session_lang_0_3"])
def test_fragments_of_the_language_pages(documented, page):
    version = page[-3:].replace("_", ".")
    found = sorted(
        row["file"]
        for row in rows(documented)
        if row["file"].startswith(page) and row["status"] in {"fragment", "no-version"}
    )
    assert len(found) > 15
    seen = set()
    for file in found:
        text = (documented / file).read_text()
        if _PARTS_OF_A_FILE.match(text):
            continue
        named = "" if re.search("^name:", text, re.MULTILINE) else "name: s\n"
        text = f'version: "{version}"\n{named}{text}'.replace("\n    ...\n", AZURE)
        said = judged(text)
        stem = file.split(".")[0]
        seen.add(stem)
        expected = FRAGMENTS.get(stem, ACCEPTED)
        assert expected in said, (file, said)
        assert expected or not said, (file, said)
        if expected == NO_VARIANT:
            said = judged(text + "\nsecurity: {attestation: {mode: none}}\n")
            assert not said or "expected a secret named" in said, (file, said)
    assert {stem for stem in FRAGMENTS if stem.startswith(page)} <= seen


# --- styles: what tools and people write, in our words


def indented(text, by=8):
    return text.strip().replace("\n", "\n" + " " * by)


# A manager of workloads writes certificate and key that it made; what uses them imports them.
SVID = """\
name: svid-of-app
version: "0.3"
predecessor: ~
secrets:
  - name: svid
    kind: x509
    value: |
        CERTIFICATE
    issuer: intermediates
    export:
        session: app
        session_hash: HASH
    private_key: svid_key
  - name: intermediates
    kind: x509-ca
    value: |
        CERTIFICATE
    export:
        session: app
        session_hash: HASH
  - name: svid_key
    kind: private-key
    value: |
        PRIVATE
    export:
        session: app
        session_hash: HASH
"""
BUNDLE = """\
name: bundle
version: "0.3"
secrets:
  - name: bundle
    kind: x509-ca
    export_public: true
    value: |
        CERTIFICATE
"""
# A marketplace of computations: data, result and program protected by FSPF, nobody updates.
MARKETPLACE = """\
name: "task-0x1f"
version: "0.3"
access_policy:
  read:
    - "CREATOR"
  update:
    - "NONE"
services:
- name: "app"
  image_name: "app"
  mrenclaves:
  - "MEASUREMENT"
  pwd: "/"
  command: "node /app/app.js 'one word' two"
  environment:
    LD_LIBRARY_PATH: "/usr/lib/jvm/jre/lib:/lib"
    JAVA_TOOL_OPTIONS: "-Xmx256m"
    TASK: 0x1f
    COUNT: 1
    RATIO: 1e5
    FLAG: yes
  fspf_path: "/fspf.pb"
  fspf_key: "MEASUREMENT"
  fspf_tag: "11112222333344445555666677778888"
images:
- name: "app"
  volumes:
  - name: "input"
    path: "/iexec_in"
volumes:
- name: "input"
  fspf_key: MEASUREMENT
  fspf_tag: 11112222333344445555666677778888
security:
  attestation:
    mode: "hardware"
    tolerate: ["debug-mode", "hyperthreading", "insecure-igpu", "outdated-tcb"]
    ignore_advisories: ["INTEL-SA-00161", "INTEL-SA-00289"]
"""
# A toolkit's template: an own authority, a certificate of it in files, keys that stay.
TOOLKIT = """\
name: enclave-testnet-3
version: "0.3"

security:
  attestation:
    tolerate: [debug-mode, hyperthreading, outdated-tcb, software-hardening-needed]
    ignore_advisories: "*"

services:
   - name: application
     image_name: application_image
     mrenclaves: [ "MEASUREMENT", "2e0d912a68de525a0631d345af5af6126377ab27b9ef42373534255a320069e6" ]
     command: /usr/local/bin/python /lock/lock.py
     pwd: /
     environment:
        GREETING: hello!!!!

images:
   - name: application_image
     injection_files:
       - path: /app/enclave/ca.pem
         content: $$SCONE::CA_CERT:crt$$
       - path:  /app/enclave/cert.pem
         content: \"$$SCONE::SERVER_CERT.crt$$\"
       - path: /private/enclave/key.pem
         content: $$SCONE::SERVER_CERT:privatekey$$

secrets:
   - name: CA_KEY
     kind: private-key
     key_type: P-384
     migrate: true
   - name: CA_CERT
     kind: x509-ca
     private_key: CA_KEY
     valid_for: 3560d
   - name: SERVER_KEY
     kind: private-key
     migrate: false
   - name: SERVER_CERT
     issuer: CA_CERT
     kind: x509
     endpoint: server
     private_key: SERVER_KEY
"""
# A builder from Kubernetes manifests: one session for each container and map of configuration.
BUILDER = """\
name: r4nd-session/deployment-web/web-cas-default
version: "0.3.11"
namespace_hash: ~
access_policy:
  read: [ANY]
  update:
    - signer: |
        SIGNER
  create_sessions:
    - signer: |
        SIGNER
secrets:
  - name: config_txt
    kind: binary
    import:
      session: ../../my-configmap
      secret: config_txt
  - name: password
    kind: binary
    value: 68756e746572
    export:
      - namespace: ..
  - name: shield_key
    kind: private-key
    key_type: P-384
  - name: shield
    kind: x509
    private_key: shield_key
    san: ["dns:web", "dns:web", "ip:10.0.0.1"]
services:
  - name: web
    image_name: web_image
    attestation:
      - mrenclave: [MEASUREMENT, 2e0d912a68de525a0631d345af5af6126377ab27b9ef42373534255a320069e6]
    command: ["/bin/web", "--port", "8080"]
    environment:
      "": ""
      \\@\\@SCONE_LOG: ""
      \\@\\@SCONE_CONFIG_ID: ""
      SCONE_NETWORK_SHIELD: protected
      PORT: 8080
    pwd: /
images:
  - name: web_image
    injection_files:
      - path: /etc/config/config.txt
        content: $$SCONE::config_txt$$
        permission: 0o444
security:
  attestation:
    tolerate: [debug-mode, hyperthreading, outdated-tcb, software-hardening-needed, local-attestation-trust-cas-tcb, insecure-configuration]
    ignore_advisories: "*"
"""
# Written by a program from what it read: every key, nulls, the field that read-backs have.
PROGRAM = """\
version: "0.3"
name: "ns-x/generated"
predecessor: ~
images:
  - name: img
services:
  - name: generated
    image_name: img
    mrenclaves:
      - MEASUREMENT
    environment: {}
    command: "'two words' b"
    pwd: /
    fspf_path: ~
    fspf_key: ~
    fspf_tag: ~
    persistency: None
access_policy:
  read:
    - CREATOR
  update:
    - CREATOR
security:
  attestation:
    mode: hardware
    tolerate: ~
creator: |
  OWNER
"""
OLD = """\
name: notes
version: "0.2"

services:
   - name: application
     environment:
         DATABASE_PASSWORD: supersecret
         DEBUG: 1
         ADMIN_PASSWORD: 12345
         SMTP_PASSWORD: ""
     image_name: somebody/notes_api:latest
     mrenclaves: [MEASUREMENT]
     command: python3 /encrypted-backend/app.py
     pwd: /
     fspf_path: /encrypted-backend/fspf.pb
     fspf_key: MEASUREMENT
     fspf_tag: 11112222333344445555666677778888

images:
   - name: somebody/notes_api:latest
     injection_files:
       - path:  /cert.pem
         content: $$SCONE::SERVER_CERT.crt$$
       - path: /key.pem
         content: $$SCONE::SERVER_CERT.key$$

secrets:
   - name: SERVER_CERT
     kind: x509
"""
STYLES = {
    "svid": SVID, "bundle": BUNDLE, "marketplace": MARKETPLACE, "toolkit": TOOLKIT,
    "builder": BUILDER, "program": PROGRAM, "0.2": OLD,
}  # fmt: skip


def written(style, certificates):
    text = STYLES[style].replace("MEASUREMENT", M).replace("HASH", OTHER)
    text = text.replace("CERTIFICATE", indented(certificates[0])).replace("PRIVATE", indented(PEM))
    return text.replace("SIGNER", indented(SIGNER)).replace("OWNER", indented(certificates[0], 2))


@pytest.mark.parametrize("style", STYLES)
def test_files_as_others_write_them_work_unchanged(style, certificates):
    text = written(style, certificates)
    assert judged(text) == ACCEPTED
    assert verdict(text) == ACCEPTED  # as a CAS reads it
    assert verdict(text.replace("\n", "\r\n")) == ACCEPTED


@pytest.mark.parametrize(
    ("style", "old", "new", "rule"),
    [
        ("0.2", 'version: "0.2"\n', "digest: create\n", NO_VERSION),
        ("0.2", "     pwd: /", "     tags: [demo]\n     pwd: /", "services[0].tags: unknown key"),
        ("marketplace", "  environment:", "  env:", "did you mean 'environment'?"),
        ("marketplace", '  - "NONE"', '  - "NONE"\n    - CREATOR', "expected NONE to be the only entry"),
        ("marketplace", '"INTEL-SA-00161"', '"*"', "ignore_advisories[0]: expected INTEL-SA-NNNNN"),
        ("marketplace", "'one word' two", "'one word two", "services[0].command: expected each quote closed"),
        ("marketplace", '"hardware"', '"sgx"', "mode: expected one of hardware, maa, none"),
        ("toolkit", "$$SCONE::CA_CERT:crt$$", "$$SCONE::CA_CERT:crt", "is the closing $$ missing?"),
        ("toolkit", "3560d", "3560", "secrets[1].valid_for: expected a duration"),
        ("toolkit", "     issuer: CA_CERT", "     issuer: CA", "issuer: expected the name of a secret of kind x509-ca"),
        ("toolkit", "name: enclave-testnet-3", "name: __ENCLAVE NAME__", "name: expected a name of 1 to 128"),
        ("toolkit", "    private_key: SERVER_KEY", "    dns: a", "expected private_key beside a generated certificate"),
        ("toolkit", "     pwd: /", "     pwd: /\n     isvsvn: 3", "services[0].isvsvn: unknown key"),
        ("builder", '"0.3.11"', '"0.3.9"', "secrets[0].import.session: expected the whole name of a session"),
        ("builder", "0o444", "444", "write 0o444"),
        ("builder", "      PORT: 8080", "      PORT: ~", "services[0].environment.PORT: expected a value, got null"),
        ("program", "persistency: None", "persistency: Full", "services[0].persistency: expected None"),
        ("svid", "predecessor: ~", "predecessor: <predecessor>", "predecessor: expected a session hash"),
        ("bundle", "export_public: true", "export_public: yes", "export_public: expected true or false"),
        ("bundle", "kind: x509-ca", "kind: x509-ca\n    kind: x509", "kind"),
    ],
)  # fmt: skip
def test_files_that_break_a_rule_are_refused_with_it(style, old, new, rule, certificates):
    text = written(style, certificates)
    assert old in text
    assert rule in verdict(text.replace(old, new, 1))
