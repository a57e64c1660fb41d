"""The programs with a local Azure: what a user types, and what a program receives."""

import subprocess
import sys
from pathlib import Path

import pytest

from fakes import azure as fakes

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e

SESSION = f"""\
name: demo
version: "0.3.10"
secrets:
- name: db_password
  import_akv:
    vault: https://HOST/
    secret_name: abc
    token: $$SCONE::db-aad-token$$
- name: generated
  kind: ascii
  size: 12
- name: db-aad-token
  kind: aad-token
  tenant_id: {fakes.TENANT}
  client_id: {fakes.CLIENT}
  application_secret: {fakes.APPLICATION_SECRET}
services:
- name: show
  command: /bin/echo got $$SCONE::db_password$$ and $$SCONE::generated$$
secret_config:
  store_in: !akv
    token: $$SCONE::db-aad-token$$
    vault: https://HOST
security:
  attestation:
    mode: none
"""


@pytest.fixture
def azure():
    fake, stop = fakes.serve()
    yield fake
    stop()


def test_a_program_gets_what_the_vault_holds_until_somebody_tampers_with_it(tmp_path, azure):
    owner = programs.identity()
    azure.put("abc", "from the vault")
    with programs.las(tmp_path):
        cas = programs.CasProcess(tmp_path).start()
        try:
            here = cas.provision(owner, azure.config)
            text = SESSION.replace("HOST", azure.host)
            status, answer = cas.call("POST", "/v1/sessions", text.encode(), owner)
            assert status == 201, answer

            def run():
                return subprocess.run(
                    [str(programs.BIN / "scone-run"), "/bin/echo"],
                    env=programs.environment(
                        tmp_path,
                        SCONE_CAS_ADDR=f"127.0.0.1:{cas.ports[1]}",
                        SCONE_CAS_KEY=here["cas_key_hash"],
                        SCONE_CONFIG_ID="demo/show",
                    ),
                    capture_output=True,
                    text=True,
                    timeout=60,
                )

            done = run()
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("got from the vault and ")
            assert run().stdout == done.stdout

            azure.vault["abc"][-1]["enabled"] = False
            failed = run()
            assert (failed.returncode != 0, failed.stdout) == (True, "")
            assert f"secret db_password of session demo cannot be had from vault {azure.host}" in (
                failed.stderr
            )

            azure.vault.clear()
            azure.put("abc", "from the vault")
            failed = run()
            assert (failed.returncode != 0, failed.stdout) == (True, "")
            assert "were tampered with" in failed.stderr
            assert cas.call("GET", "/v1/sessions/demo", b"", owner)[0] >= 400
        finally:
            cas.stop()
    log = cas.log.read_text()
    for secret in (fakes.APPLICATION_SECRET, "from the vault", *azure.tokens):
        assert secret not in log
    assert "Traceback" not in log
    assert azure.problems == []
