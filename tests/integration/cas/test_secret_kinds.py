"""The newer kinds of secrets through a CAS: what a program gets, and what an update keeps."""

import base64
import json

import harness
import pysequoia
from harness import create

from scone.service_config import ServiceConfig

TEXT = """
version: "0.3.11"
name: kinds
secrets:
  - {name: signing, kind: private-key, key_type: Ed25519}
  - {name: shown, kind: public-key, private_key: signing}
  - {name: mail, kind: pgp-key}
services:
  - name: app
    command: app
    attestation: {mrenclave: MEASUREMENT}
    environment:
      SHOWN: $$SCONE::shown$$
      PRIVATE: $$SCONE::mail:privatekey:base64$$
      PUBLIC: $$SCONE::mail:publickey:asciiarmored$$
"""


def environment(cas, platform):
    status, body = cas.attest_service(platform, "kinds/app")
    assert status == 200, body
    config = ServiceConfig.from_json(json.dumps(body, separators=(",", ":")).encode())
    return {name.decode(): value.reveal() for name, value in config.environment}


def test_a_program_gets_openpgp_and_public_keys_and_an_update_keeps_the_openpgp_key(
    cas, owner, platform
):
    text = TEXT.replace("MEASUREMENT", harness.SERVICE_PROGRAM.mrenclave.hex())
    status, answer = create(cas, text, owner)
    assert status == 201, answer
    first = environment(cas, platform)
    public = pysequoia.Cert.from_bytes(first["PUBLIC"])
    message = pysequoia.encrypt(b"hello", recipients=[public])
    secret = pysequoia.Tsk.from_bytes(base64.b64decode(first["PRIVATE"]))
    assert pysequoia.decrypt(message, decryptor=secret.decryptor()).bytes == b"hello"
    assert first["SHOWN"].startswith(b"-----BEGIN PUBLIC KEY-----\n")
    status, answer = create(cas, f"predecessor: {answer['hash']}\n{text}", owner)
    assert status == 201, answer
    second = environment(cas, platform)
    assert (second["PRIVATE"], second["PUBLIC"]) == (first["PRIVATE"], first["PUBLIC"])
    assert second["SHOWN"] != first["SHOWN"]  # the private key does not say migrate: true
