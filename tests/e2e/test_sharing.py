"""Two CAS processes: a program of one gets a secret that a session of the other exports."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e

EXPORTER = """\
name: database_operator
version: "0.3.10"
secrets:
- name: password
  kind: ascii
  value: from the other side
  export: client.example.com/KEY=HASH,session=database_client
"""
IMPORTER = """\
name: database_client
version: "0.3.10"
secrets:
- name: database_password
  import:
    cas_url: 127.0.0.1:PORT
    KEY: HASH
    session: database_operator
    secret: password
services:
- name: show
  command: /bin/echo got $$SCONE::database_password$$
security:
  attestation:
    mode: none
"""


@pytest.fixture
def two(tmp_path):
    """Both on one simulated platform; only the importer may connect to the exporter."""
    owner = programs.identity()
    (tmp_path / "second").mkdir()
    (tmp_path / "second/.cas").symlink_to(tmp_path / ".cas")
    with programs.las(tmp_path):
        exporter = programs.CasProcess(tmp_path).start()
        try:
            importer = programs.CasProcess(tmp_path / "second").start()
            try:
                allowed = {"allowed_addresses": [f"127.0.0.1:{exporter.ports[0]}"]}
                yield (
                    (exporter, exporter.provision(owner)),
                    (importer, importer.provision(owner, {"sharing": allowed})),
                    owner,
                )
            finally:
                importer.stop()
        finally:
            exporter.stop()


def create(cas, text, owner):
    status, answer = cas.call("POST", "/v1/sessions", text.encode(), owner)
    assert status == 201, answer
    return answer


def run(importer, key_hash):
    return subprocess.run(
        [str(programs.BIN / "scone-run"), "/bin/echo"],
        env=programs.environment(
            importer.home,
            SCONE_CAS_ADDR=f"127.0.0.1:{importer.ports[1]}",
            SCONE_CAS_KEY=key_hash,
            SCONE_CONFIG_ID="database_client/show",
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("key", ["cas_key", "cas_software_key"])
def test_a_program_gets_the_secret_of_another_cas_and_nothing_when_that_is_away(two, key):
    (exporter, there), (importer, here), owner = two
    create(exporter, EXPORTER.replace("KEY", key).replace("HASH", here[f"{key}_hash"]), owner)
    text = IMPORTER.replace("PORT", str(exporter.ports[0])).replace("KEY", key)
    answer = create(importer, text.replace("HASH", there[f"{key}_hash"]), owner)
    assert [path for path, _ in answer["warnings"] if path.startswith("secrets")] == []

    done = run(importer, here["cas_key_hash"])
    assert (done.returncode, done.stdout) == (0, "got from the other side\n"), done.stderr

    exporter.stop()
    done = run(importer, here["cas_key_hash"])
    assert done.returncode != 0
    assert done.stdout == ""
    assert "secret database_password of session database_client cannot be imported" in done.stderr
    assert f"127.0.0.1:{exporter.ports[0]}" in done.stderr
    for log in (exporter.log, importer.log):
        assert "from the other side" not in log.read_text()
        assert "Traceback" not in log.read_text()
