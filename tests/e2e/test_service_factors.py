"""A user's second factors and host arguments, with the programs as they are installed."""

import base64
import hashlib
import hmac
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e
SECRET = "BASE32SECRET3232BASE32SECRET3232"
TOKEN = "j765WyMWTKksiqWbBuuc"
SESSION = """
name: factors
version: "0.3.12"
services:
  - name: app
    command: printf %s|%s|%s|%s\\n session @@2 $$SCONE::word$$ @@1
    attestation:
      mrenclave: {mrenclave}
secrets:
  - name: word
    kind: ascii
    value: "@@1 two words"
security:
  attestation:
    one_time_password_shared_secret: {secret}
  service_access_token: {token}
access_policy: {{read: [CREATOR], update: [CREATOR]}}
"""


def otp():
    """What an authenticator shows: RFC 6238, written again."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(SECRET), counter, hashlib.sha1).digest()
    at = digest[19] & 15
    number = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


def test_otp_token_and_host_arguments_from_the_command_line(tmp_path):
    with programs.las(tmp_path):
        cas = programs.CasProcess(tmp_path).start()
        try:
            owner = programs.identity()
            key = cas.provision(owner)["cas_key_hash"]

            def run(*words, **more):
                environment = programs.environment(
                    tmp_path,
                    SCONE_CAS_ADDR=f"127.0.0.1:{cas.ports[1]}",
                    SCONE_CAS_KEY=key,
                    **more,
                )
                return subprocess.run(
                    ["scone-run", "/usr/bin/printf", *words],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    executable=programs.BIN / "scone-run",
                )

            measured = run(SCONE_HASH="1").stdout.strip()
            text = SESSION.format(mrenclave=measured, secret=SECRET, token=TOKEN)
            status, answer = cas.call("POST", "/v1/sessions", text.encode(), owner)
            assert status == 201, answer
            given = {"SCONE_SERVICE_ACCESS_TOKEN": TOKEN}

            another = f"{(int(otp()) + 1) % 10**6:06}"
            wrong = run("a", "b", SCONE_CONFIG_ID=f"factors/app@{another}", **given)
            assert wrong.returncode == 134
            assert "The given One-time Password is invalid. Please try again." in wrong.stderr

            code = otp()  # good for 30 seconds at least
            no_token = run("a", "b", SCONE_CONFIG_ID=f"factors/app@{code}")
            assert "session factors requires a service access token" in no_token.stderr
            done = run("of the host", "x", SCONE_CONFIG_ID=f"factors/app@{code}", **given)
            assert done.returncode == 0, done.stderr
            assert done.stdout == "session|x|@@1 two words|of the host\n"
            again = run("a", "b", SCONE_CONFIG_ID=f"factors/app@{code}", **given)
            assert again.returncode == 134
            assert "A One-time Password was already used within this time-step" in again.stderr
            assert code not in again.stderr
            for shown in (done.stderr, no_token.stderr, again.stderr, cas.log.read_text()):
                assert TOKEN not in shown
        finally:
            cas.stop()
