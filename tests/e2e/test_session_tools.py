"""The tools for sessions against the real programs: apply, list, history, graph."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs

pytestmark = pytest.mark.e2e
SHOP = """\
name: shop
version: "0.3.12"
secrets:
- name: pw
  kind: ascii
  size: $SIZE
  export: {namespace: shop}
access_policy:
  read: [CREATOR]
"""
WEB = """\
name: shop/web
version: "0.3.12"
secrets:
- name: pw
  import: {session: .., secret: pw}
"""


@pytest.fixture
def world(tmp_path):
    with programs.las(tmp_path):
        cas = programs.CasProcess(tmp_path).start()
        try:
            cas.provision(programs.identity(), {"sessions": {"root_create": "any"}})
            yield cas
        finally:
            cas.stop()


def run(world, line, *, status=0, config="alice.json"):
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=world.home,
        env=programs.environment(world.home, SCONE_CLI_CONFIG=str(world.home / config)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == status, (line, done.returncode, done.stdout, done.stderr)
    return done


def test_sessions_are_applied_listed_and_drawn(world):
    for config in ("alice.json", "mallory.json"):
        run(
            world,
            f"scone cas attest localhost:{world.ports[0]}"
            " --only_for_testing-simulation .cas/simulated-platform/root.pem",
            config=config,
        )
    (world.home / "shop.yml").write_text(SHOP)
    (world.home / "web.yml").write_text(WEB)
    created = run(world, "SIZE=20 scone session apply --use-env shop.yml")
    assert created.stderr.splitlines()[-1] == "created"
    assert run(world, "scone session apply web.yml").stderr.splitlines()[-1] == "created"
    same = run(world, "SIZE=20 scone session apply --use-env shop.yml")
    assert (same.stdout, same.stderr.splitlines()[-1]) == (created.stdout, "unchanged")
    updated = run(world, "SIZE=30 scone session apply --use-env shop.yml")
    assert updated.stderr.splitlines()[-1] == f"updated from {created.stdout.strip()}"

    (world.home / "stale.yml").write_text(SHOP + f"predecessor: {created.stdout}")
    stale = run(world, "SIZE=40 scone session apply --use-env stale.yml", status=1)
    assert f"write predecessor: {updated.stdout.strip()} into the file" in stale.stderr
    assert stale.stderr.count(updated.stdout.strip()) == 1
    run(world, "SIZE=50 scone session apply --use-env shop.yml", status=1, config="mallory.json")

    listed = run(world, "scone session list --recursive")
    assert listed.stdout == "shop\nshop/web\n"
    hidden = run(world, "scone session list -r", config="mallory.json")
    assert "shop/web" not in hidden.stdout
    history = run(world, "scone session history shop").stdout.splitlines()
    assert [line.split()[0] for line in history] == [
        updated.stdout.strip(),
        created.stdout.strip(),
    ]

    drawn = run(world, "scone session graph --session shop --session shop/web --format svg")
    titles = [one.text for one in ET.fromstring(drawn.stdout).iter() if one.tag.endswith("title")]
    assert "pw imported by pw" in titles
    assert "pw exported to shop" in titles
