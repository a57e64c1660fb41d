"""What a CAS answers is what its OpenAPI document says."""

from __future__ import annotations

import re

import pytest

from scone.cas.http.openapi import openapi_document
from scone.cas.http.schemas import ANSWERS

ERROR = openapi_document("test")["components"]["schemas"]["Error"]
TYPES = {"string": str, "integer": int, "object": dict, "array": list, "boolean": bool}
TEXT = """
name: demo
version: "0.3.12"
salt: 000102030405060708090a0b0c0d0e0f
secrets:
- {name: public, kind: ascii, value: hello, export_public: true}
- {name: key, kind: private-key}
- {name: cert, kind: x509, private_key: key, valid_for: 90 days, export_public: true}
access_policy: {read: [CREATOR], update: [CREATOR]}
"""


def check(value, schema, place="answer"):
    """The part of JSON Schema that the document uses; an answer has no undocumented member."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            matching = [one for one in schema[word] if fits(value, one)]
            assert len(matching) == 1, f"{place}: {word}"
            return
    kind = schema["type"]
    if kind == "null":
        assert value is None, place
        return
    assert type(value) is TYPES[kind], f"{place}: expected {kind}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{place}: {schema['pattern']}"
    if "enum" in schema:
        assert value in schema["enum"], place
    if kind == "array":
        for index, item in enumerate(value):
            check(item, schema["items"], f"{place}[{index}]")
    if "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), place
        for name, inner in value.items():
            check(inner, schema["properties"][name], f"{place}.{name}")
    if isinstance(schema.get("additionalProperties"), dict):
        for name, inner in value.items():
            check(inner, schema["additionalProperties"], f"{place}.{name}")


def fits(value, schema):
    try:
        check(value, schema)
    except AssertionError:
        return False
    return True


def test_every_answer_is_of_its_schema(fresh, owner):
    def call(method, path, body=b"", route=None, identity=owner, status=200):
        found, answer = fresh.call(method, path, body, identity)
        assert found == status, answer
        check(answer, ANSWERS[(method, route or path)], path)
        return answer

    call("GET", "/v1/version")
    call("GET", "/v1/openapi.json")
    call("GET", f"/v1/attest?nonce={'00' * 16}", route="/v1/attest")
    token = fresh.cas.phase.token.reveal().hex()
    call("POST", "/v1/provision", {"token": token, "config": {}})
    call("PUT", "/v1/config", {"config": {}})
    first = call("POST", "/v1/sessions", TEXT.encode(), status=201)
    again = TEXT + f"predecessor: {first['hash']}\n"
    call("POST", "/v1/sessions", again.encode(), status=201)
    for path, name in (
        ("/v1/sessions", "name"),
        ("/session", "name"),
        ("/v1/session_hashes", "name"),
    ):
        call("GET", f"{path}/demo", route=f"{path}/{{{name}}}")
    history = call("GET", "/v1/session_history/demo", route="/v1/session_history/{name}")
    assert [one["predecessor"] for one in history["versions"]] == [first["hash"], None]
    call("GET", "/v1/session_list")
    values = "/v1/values/{reference}"
    assert len(call("GET", "/v1/values/session=demo", route=values)["values"]) == 2
    call("GET", "/v1/values/session=demo,secret=cert", route=values)
    call("POST", "/v1/backups/nonce")
    call("GET", "/v1/backups")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("POST", "/v1/version", 405), ("PUT", "/v1/config", 403)],
)
def test_every_error_is_of_its_schema(cas, method, path, status):
    found, answer = cas.call(method, path, b"{}")
    assert found == status
    check(answer, ERROR)


def test_a_body_that_is_too_long_is_an_error_of_the_same_form(cas, owner):
    found, answer = cas.call("PUT", "/v1/config", b" " * 70_000, owner)
    assert (found, answer["code"]) == (413, "limit")
    check(answer, ERROR)


def test_the_checker_refuses_what_is_not_documented():
    schema = ANSWERS[("GET", "/v1/version")]
    for wrong in ({}, {"version": 1}, {"version": "1", "more": "x"}, []):
        assert not fits(wrong, schema)
