"""docs/reference/rest.md and the OpenAPI document that it is made from."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from scone.cas.http.error_codes import ERROR_CODES, STATUS_OF_CODE
from scone.cas.http.openapi import openapi_document
from scone.cas.http.routes import ROUTES
from scone.cas.http.schemas import ANSWERS, CREATED
from scone.errors import SconeError

DOCS = Path(__file__).resolve().parents[3] / "docs"
rest_reference = runpy.run_path(str(DOCS / "make_rest_reference.py"))["rest_reference"]
DOCUMENT = json.loads(json.dumps(openapi_document("test")))


def test_the_reference_is_current():
    assert (DOCS / "reference" / "rest.md").read_text() == rest_reference(), "make reference"


def test_each_route_has_its_section_and_its_answer():
    text = rest_reference()
    for route in ROUTES:
        assert f"\n## {route.method} {route.path}\n" in text
    assert set(ANSWERS) == {(route.method, route.path) for route in ROUTES}
    assert set(ANSWERS) >= CREATED


def test_each_error_code_has_its_status_in_the_document_and_the_reference():
    codes = DOCUMENT["components"]["x-error-codes"]
    enum = DOCUMENT["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert list(codes) == enum == list(STATUS_OF_CODE)
    for one in ERROR_CODES:
        assert f"| `{one.code}` | {one.status}" in rest_reference()


def test_each_code_that_the_cas_may_send_is_in_the_table():
    import scone.cas.http.app  # noqa: F401 - with all that the CAS raises

    def codes(kind):
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    assert {code for code in codes(SconeError) if code != "different"} == set(STATUS_OF_CODE)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_operations_are_well_formed(path):
    for operation in DOCUMENT["paths"][path].values():
        names = set(re.findall(r"\{(\w+)\}", path))
        listed = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert names == listed
        (success,) = set(operation["responses"]) - {"default"}
        assert success in {"200", "201"}


def test_the_format_of_the_interface_does_not_repeat_the_reference():
    text = (DOCS / "formats" / "rest.md").read_text()
    assert "(../reference/rest.md)" in text
    assert not re.search(r"^\| `(GET|POST|PUT|DELETE) ", text, re.MULTILINE)
    assert "| `malformed`" not in text
