"""docs/guide/client.md as a program against a CAS, and the public names of `scone.client`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scone.client
from scone.client import SconeError, TrustPolicy, attest_cas

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "client.md"
TEXT = GUIDE.read_text()


def test_the_program_of_the_guide_runs(fresh, platform, tmp_path, monkeypatch, capsys):
    address = f"localhost:{fresh.client_port}"
    (tmp_path / "root.pem").write_text(platform.root_certificate_pem)
    policy = TrustPolicy(state="unprovisioned", simulation_root=platform.root_certificate_pem)
    monkeypatch.setenv("CAS", address)
    monkeypatch.setenv("SIMULATION_ROOT", str(tmp_path / "root.pem"))
    monkeypatch.setenv("CAS_KEY_HASH", attest_cas(address, policy).known.cas_key_hash)
    monkeypatch.setenv("TOKEN", fresh.cas.phase.token.reveal().hex())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 6
    exec(compile("\n".join(blocks), str(GUIDE), "exec"), names := {})
    names["client"].close()
    printed = capsys.readouterr().out
    assert printed.startswith("trusted: UpToDate\n")
    assert "access_policy.read everybody may read the session now" in printed


def test_the_guide_has_every_error_code_and_only_those():
    def kinds(kind):
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    table = TEXT.split("## Errors")[1]
    header = "| `code` | class | when |"
    listed = {
        code
        for line in table.splitlines()
        if line.startswith("| `") and line != header
        for code in re.findall(r"`([\w-]+)`", line.split("|")[1])
    }
    assert listed == {kind.code for kind in kinds(SconeError)}


def test_all_names_are_there_and_typed_as_they_are_loaded():
    assert scone.client.__all__ == sorted(scone.client._PLACES)
    for name in scone.client.__all__:
        assert getattr(scone.client, name) is not None
        assert name in dir(scone.client)
    tree = ast.parse(Path(scone.client.__file__).read_text())
    checked = {
        (node.module, one.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("scone.")
        for one in node.names
    }
    assert checked == {(module, name) for name, module in scone.client._PLACES.items()}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scone.client.nothing


def test_every_public_name_has_a_docstring():
    assert not [name for name in scone.client.__all__ if not getattr(scone.client, name).__doc__]


def test_importing_the_package_loads_nothing_of_it():
    code = (
        "import sys, scone.client; print(sorted(n for n in sys.modules if n.startswith('scone')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['scone', 'scone.client']"


def test_the_package_ships_its_types():
    import scone

    assert (Path(scone.__file__).parent / "py.typed").exists()
