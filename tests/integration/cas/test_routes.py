"""All routes with what authorises each, and each tried without its right."""

import json
from pathlib import Path

import harness
import pytest

from scone.cas.http.openapi import openapi_document
from scone.cas.http.routes import ROUTES, Authorisation, Listener

EXPECTED = {
    ("GET", "/v1/version"): "NOTHING",
    ("GET", "/v1/openapi.json"): "NOTHING",
    ("GET", "/v1/attest"): "NOTHING",
    ("POST", "/v1/provision"): "TOKEN",
    ("PUT", "/v1/config"): "OWNER",
    ("POST", "/v1/sessions"): "CERTIFICATE_AND_POLICY",
    ("POST", "/session"): "CERTIFICATE_AND_POLICY",
    ("GET", "/v1/sessions/{name}"): "POLICY",
    ("GET", "/session/{name}"): "POLICY",
    ("PUT", "/v1/signed_sessions"): "SIGNATURES",
    ("PUT", "/v1/encrypted_sessions"): "SIGNATURES",
    ("GET", "/v1/session_hashes/{name}"): "SALT",
    ("GET", "/v1/session_history/{name}"): "POLICY",
    ("GET", "/v1/session_list"): "POLICY",
    ("GET", "/v1/values/{reference}"): "PUBLIC",
    ("POST", "/v1/shared"): "PEER",
    ("POST", "/v1/backups/nonce"): "OWNER",
    ("POST", "/v1/backups"): "OWNER",
    ("GET", "/v1/backups"): "OWNER",
    ("DELETE", "/v1/backups/{id}"): "OWNER",
    ("POST", "/v1/registration"): "NONCE",
    ("POST", "/v1/service"): "EVIDENCE",
    ("POST", "/v1/service_token"): "CHANNEL",
}
WHILE_UNPROVISIONED = {
    "/v1/version",
    "/v1/openapi.json",
    "/v1/attest",
    "/v1/provision",
    "/v1/registration",
}


def path_of(route):
    return route.path.replace("{name}", "demo").replace("{id}", "0123456789abcdef")


def test_the_table_is_exactly_what_was_decided():
    assert {(r.method, r.path): r.authorisation.name for r in ROUTES} == EXPECTED
    assert {r.path for r in ROUTES if r.while_unprovisioned} == WHILE_UNPROVISIONED
    assert [r.path for r in ROUTES if r.listener is Listener.ENCLAVE] == [
        "/v1/service",
        "/v1/service_token",
    ]


OWNER_ROUTES = [r for r in ROUTES if r.authorisation is Authorisation.OWNER]


@pytest.mark.parametrize("route", OWNER_ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_only_the_owner_uses_owner_routes(cas, stranger, route):
    for identity in (None, stranger):
        status, answer = cas.call(route.method, path_of(route), b"{}", identity)
        assert (status, answer["code"]) == (403, "forbidden")
    assert len(OWNER_ROUTES) == 5


@pytest.mark.parametrize(
    "route",
    [r for r in ROUTES if not r.while_unprovisioned and r.listener is Listener.CLIENT],
    ids=lambda r: f"{r.method} {r.path}",
)
def test_an_unprovisioned_cas_serves_nothing_else(fresh, owner, route):
    status, answer = fresh.call(route.method, path_of(route), b"{}", owner)
    assert (status, answer["code"]) == (503, "unavailable")


def test_sessions_need_a_client_certificate(cas):
    for path in ("/session", "/v1/sessions"):
        status, answer = cas.call("POST", path, harness.session_text().encode())
        assert (status, answer["code"]) == (403, "forbidden")


def test_the_enclave_port_serves_no_client_route_and_the_client_port_no_service(cas, owner):
    status, _ = cas.call("POST", "/v1/service", b"{}", owner)
    assert status == 404
    other = harness.Running(cas.cas, cas.enclave_port, cas.client_port, [])
    assert other.call("GET", "/v1/version")[0] == 404


def test_another_method_of_a_known_path_is_405_and_an_unknown_path_404(cas, owner):
    assert cas.call("DELETE", "/v1/version", b"", owner)[0] == 405
    assert cas.call("GET", "/v1/nothing", b"", owner)[0] == 404
    assert cas.call("GET", "/v1/sessions", b"", owner)[0] == 405


def test_the_openapi_document_says_what_the_table_says(cas):
    status, served = cas.call("GET", "/v1/openapi.json")
    assert status == 200
    assert served == json.loads(json.dumps(openapi_document("test")))
    found = {
        (method.upper(), path): operation["x-authorisation"]
        for path, operations in served["paths"].items()
        for method, operation in operations.items()
    }
    assert found == {(r.method, r.path): r.authorisation.value for r in ROUTES}


VECTORS = Path(__file__).resolve().parents[2] / "vectors"
HOSTILE_BODIES = {path.stem: path for path in sorted((VECTORS / "rest_body").glob("*.bin"))}
HOSTILE_TOKENS = json.loads((VECTORS / "token" / "tokens.json").read_text())


@pytest.mark.parametrize("case", HOSTILE_BODIES)
def test_a_hostile_body_is_one_clear_error_and_changes_nothing(fresh, owner, case):
    status, answer = fresh.call("POST", "/v1/provision", HOSTILE_BODIES[case].read_bytes(), owner)
    assert status == 400, answer
    assert answer["code"] == "malformed"
    assert answer["msg"]
    assert "Traceback" not in json.dumps(answer)
    assert type(fresh.cas.phase).__name__ == "Unprovisioned"
    folder = fresh.cas.availability.database_path.parent
    assert {path.name for path in folder.iterdir()} <= {"cas.db.lock"}
    assert fresh.stop_reasons == []


@pytest.mark.parametrize("case", HOSTILE_TOKENS)
def test_a_hostile_token_is_one_clear_error_and_changes_nothing(fresh, owner, case):
    body = {"token": HOSTILE_TOKENS[case], "config": {}}
    status, answer = fresh.call("POST", "/v1/provision", body, owner)
    if case == "very-long":  # the route's limit comes before the reading of the body
        assert (status, answer["code"]) == (413, "limit")
    else:
        assert (status, answer["code"]) == (400, "malformed")
        assert "token" in answer["msg"][0]
    assert HOSTILE_TOKENS[case] not in answer["msg"][0] or len(HOSTILE_TOKENS[case]) < 2
    assert type(fresh.cas.phase).__name__ == "Unprovisioned"


def test_there_are_at_least_thirty_hostile_bodies_and_tokens():
    assert len(HOSTILE_BODIES) >= 30
    assert len(HOSTILE_TOKENS) >= 30


@pytest.mark.parametrize(
    "route",
    [r for r in ROUTES if r.listener is Listener.CLIENT],
    ids=lambda r: f"{r.method} {r.path}",
)
def test_a_body_beyond_what_the_route_needs_is_refused_unread(cas, owner, route):
    body = b"[" * (route.max_body + 1)
    status, answer = cas.call(route.method, path_of(route), body, owner)
    assert (status, answer["code"]) == (413, "limit")
    assert str(route.max_body) in answer["msg"][0]
    assert cas.stop_reasons == []
