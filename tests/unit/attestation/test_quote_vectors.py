"""Hostile quotes, collateral and documents (tests/vectors/quote): each is refused as it says."""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime
from pathlib import Path

import pytest

from scone.attestation.appraise import CasPolicy
from scone.attestation.cas_evidence import CasDocument, accept_cas
from scone.attestation.collateral import Collateral
from scone.attestation.verify import Anchor, verify
from scone.errors import SconeError

FOLDER = Path(__file__).parents[2] / "vectors/quote"
ABOUT = json.loads((FOLDER / "expected.json").read_text())
CASES = ABOUT["cases"]
NOW = datetime.fromisoformat(ABOUT["now"])
ANCHOR = Anchor("simulated root of the vectors", (FOLDER / "root.der").read_bytes(), simulated=True)


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def judge(name: str) -> None:
    """What a client does with a file of its kind."""
    if name.endswith(".quote"):
        verify(read(name), Collateral.parse(read("genuine.collateral.json")), [ANCHOR], NOW)
    elif name.endswith(".collateral.json"):
        verify(read("genuine.quote"), Collateral.parse(read(name)), [ANCHOR], NOW)
    else:
        document = CasDocument.parse(read(name))
        accept_cas(document, CasPolicy(), nonce=ABOUT["nonce"], anchors=[ANCHOR], now=NOW)


def test_there_are_enough_of_each_kind_and_none_is_left_out():
    kinds = [name.split(".", 1)[1] for name in CASES]
    assert kinds.count("quote") >= 30
    assert kinds.count("document.json") >= 15
    assert kinds.count("collateral.json") >= 10
    files = {path.name for path in FOLDER.iterdir() if path.is_file()} - {"make.py"}
    others = {"genuine.quote", "genuine.collateral.json", "genuine.document.json"}
    assert files == set(CASES) | others | {"root.der", "expected.json"}


@pytest.mark.parametrize(
    "name", ["genuine.quote", "genuine.collateral.json", "genuine.document.json"]
)
def test_what_they_were_made_from_is_accepted(name):
    judge(name)


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_its_reason(name):
    with pytest.raises(SconeError) as caught:
        judge(name)
    assert CASES[name]["says"] in str(caught.value)
    assert caught.value.code == CASES[name].get("code", caught.value.code)
    assert caught.value.code in {"malformed", "unsupported", "not-genuine", "not-trusted"}


def test_the_script_makes_the_same_files():
    spec = importlib.util.spec_from_file_location("make_quote_vectors", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.build()
    assert set(CASES) <= set(made)
    for name, raw in made.items():
        assert read(name) == raw, name
