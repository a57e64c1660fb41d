"""Secrets shared between sessions of one CAS, and public ones read by anybody."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import harness
import pytest

from scone.cas import exports, values
from scone.cas.exports import find_volume, unresolved_imports
from scone.cas.values import foreign_values
from scone.client.cas import CasClient
from scone.errors import ConflictError, LimitError, NotFoundError, UnavailableError, UsageError

VALUE = "quite a public opera"


@pytest.fixture
def put(cas, owner):
    """Create a session from its secrets (and more); the hash."""

    def create(name, *secrets, version="0.3.10", **more):
        document = {"name": name, "version": version, "secrets": list(secrets), **more}
        status, answer = harness.create(cas, json.dumps(document), owner)
        assert status == 201, answer
        return answer["hash"]

    return create


def ascii_secret(name="s", **more):
    return {"name": name, "kind": "ascii", "value": VALUE, **more}


def imports(session, secret="s", name="s", kind=None, **more):
    found = {"name": name, "import": {"session": session, "secret": secret, **more}}
    return found if kind is None else {**found, "kind": kind}


def resolve(cas, session, *names):
    phase = cas.cas.provisioned
    version = cas.cas.sessions.active(phase.store, session)
    return asyncio.run(foreign_values(cas.cas, phase, version, names))


def text_of(values, name="s"):
    return values[name].value.reveal().decode()


def test_an_exported_secret_is_there_for_the_session_that_it_is_exported_to(cas, put):
    put("a", ascii_secret(export={"session": "b"}))
    put("b", imports("a", name="theirs"))
    assert text_of(resolve(cas, "b", "theirs"), "theirs") == VALUE
    assert resolve(cas, "a", "s") == {}


def test_the_value_is_that_of_the_active_version(cas, put):
    before = put("a", ascii_secret(export={"session": "b"}))
    put("b", imports("a"))
    put("a", {**ascii_secret(export={"session": "b"}), "value": "newer"}, predecessor=before)
    assert text_of(resolve(cas, "b", "s")) == "newer"


def test_an_export_that_was_withdrawn_gives_nothing_any_more(cas, put):
    before = put("a", ascii_secret(export={"session": "b"}))
    put("b", imports("a"))
    put("a", ascii_secret(), predecessor=before)
    with pytest.raises(NotFoundError):
        resolve(cas, "b", "s")


def test_nobody_learns_whether_a_secret_exists_that_is_not_exported_to_them(cas, put):
    put("a", ascii_secret(export={"session": "other"}))
    told = []
    for session, secret in (("a", "s"), ("a", "absent"), ("absent", "s")):
        name = f"b{len(told)}"
        put(name, imports(session, secret))
        with pytest.raises(NotFoundError) as error:
            resolve(cas, name, "s")
        text = str(error.value) + error.value.hint
        assert f"secret s of session {name}" in text
        told.append(text.replace(name, "B").replace("absent", "X").replace("secret X", "secret s"))
    assert told[0].replace("session a", "session X") == told[1].replace("session a", "session X")
    assert told[0].replace("session a", "session X") == told[2]
    assert VALUE not in "".join(told)


def test_an_export_to_a_hash_holds_for_that_version_only(cas, put):
    importer = put("b", imports("a"))
    put("a", ascii_secret(export={"session": "b", "session_hash": importer}))
    assert text_of(resolve(cas, "b", "s")) == VALUE
    put("b", imports("a"), imports("a", name="t"), predecessor=importer)
    with pytest.raises(NotFoundError):
        resolve(cas, "b", "s")


def test_an_import_with_a_hash_refuses_another_active_version(cas, put):
    exporter = put("a", ascii_secret(export={"session": "b"}))
    put("b", imports("a", session_hash=exporter))
    assert text_of(resolve(cas, "b", "s")) == VALUE
    put("a", ascii_secret(export=[{"session": "b"}, {"session": "c"}]), predecessor=exporter)
    with pytest.raises(ConflictError, match="another active version") as error:
        resolve(cas, "b", "s")
    assert "secret s of session b" in str(error.value)
    assert "session_hash" in error.value.hint


def test_relative_names_and_namespaces(cas, put):
    put("ns")
    put("ns/a", ascii_secret(export={"namespace": ".."}))
    put("ns/b", imports("../a"))
    put("ns/b/c", imports("../../a"))
    put("d", imports("ns/a"))
    assert text_of(resolve(cas, "ns/b", "s")) == VALUE
    assert text_of(resolve(cas, "ns/b/c", "s")) == VALUE
    with pytest.raises(NotFoundError):
        resolve(cas, "d", "s")


def test_another_kind_than_the_import_expects_is_refused(cas, put):
    put("a", ascii_secret(export={"session": "b"}))
    put("b", imports("a", kind="binary"), imports("a", name="same", kind="ascii"))
    assert text_of(resolve(cas, "b", "same"), "same") == VALUE
    with pytest.raises(ConflictError, match="kind binary"):
        resolve(cas, "b", "s")


def certificate(key_export):
    to = {"session": "b"}
    key = {"name": "key", "kind": "private-key", **({"export": to} if key_export else {})}
    return key, {
        "name": "s", "kind": "x509", "private_key": "key", "dns": "x", "export": to,
        "valid_for": "2h",
    }  # fmt: skip


@pytest.mark.parametrize("key_export", [False, True])
def test_a_certificate_brings_its_key_only_if_that_is_exported(cas, put, key_export):
    put("a", *certificate(key_export))
    put("b", imports("a"))
    assert (resolve(cas, "b", "s")["s"].private_key is not None) is key_export


def test_an_imported_certificate_is_renewed_before_it_expires(cas, put):
    put("a", *certificate(key_export=True))
    put("b", imports("a"))
    before = resolve(cas, "b", "s")["s"]
    cas.cas.now = lambda: datetime.now(UTC) + timedelta(minutes=110)
    renewed = resolve(cas, "b", "s")["s"]
    assert renewed.certificate != before.certificate
    assert renewed.private_key == before.private_key
    assert resolve(cas, "b", "s")["s"] == renewed  # stored, not made each time


def test_without_its_imported_authority_a_certificate_is_used_until_it_expires(cas, put):
    to = {"session": "b"}
    key = {"name": "key", "kind": "private-key", "migrate": True, "export": to}
    authority = {"name": "ca", "kind": "x509-ca", "private_key": "key", "common_name": "x"}
    first = put("a", key, {**authority, "export": to})
    put(
        "b",
        imports("a", "ca", "ca", kind="x509-ca"),
        {"name": "key", "kind": "private-key"},
        {
            "name": "s", "kind": "x509", "private_key": "key", "issuer": "ca", "dns": "x",
            "valid_for": "2h", "export": {"session": "c"},
        },
    )  # fmt: skip
    put("c", imports("b"))
    before = resolve(cas, "c", "s")["s"].certificate
    second = put("a", key, authority, predecessor=first)
    cas.cas.now = lambda: datetime.now(UTC) + timedelta(minutes=110)
    assert resolve(cas, "c", "s")["s"].certificate == before
    cas.cas.now = lambda: datetime.now(UTC) + timedelta(minutes=130)
    with pytest.raises(UnavailableError, match="session b cannot get or make its secret s now"):
        resolve(cas, "c", "s")
    put("a", key, {**authority, "export": to}, predecessor=second)
    assert resolve(cas, "c", "s")["s"].certificate != before


def chain(put, length):
    put("s0", ascii_secret(export={"session": "s1"}))
    for at in range(1, length + 1):
        put(f"s{at}", {**imports(f"s{at - 1}"), "export": {"session": f"s{at + 1}"}})


def test_eight_imports_in_a_row_are_the_most(cas, put):
    chain(put, 9)
    assert text_of(resolve(cas, "s8", "s")) == VALUE
    with pytest.raises(LimitError, match="more than 8 imports in a row"):
        resolve(cas, "s9", "s")


def test_imports_in_a_circle_are_told(cas, put):
    put("a", {**imports("b"), "export": {"session": "b"}})
    put("b", {**imports("c"), "export": {"session": "a"}})
    put("c", {**imports("a"), "export": {"session": "b"}})
    put("a", {**imports("b"), "export": {"session": "c"}}, predecessor=active(cas, "a"))
    with pytest.raises(UsageError, match="the imports go round in a circle") as error:
        resolve(cas, "a", "s")
    assert error.value.messages == (
        "secret s of session a cannot be imported from secret s of session b",
        "the imports go round in a circle",
    )


def test_an_importer_learns_nothing_of_where_the_exporter_has_it_from(cas, put):
    put("b", {**imports("hidden", "inner", "s"), "export": {"session": "c"}})
    put("c", imports("b"))
    with pytest.raises(NotFoundError, match="secret inner of session hidden"):
        resolve(cas, "b", "s")
    with pytest.raises(UnavailableError) as error:
        resolve(cas, "c", "s")
    assert error.value.messages == (
        "secret s of session c cannot be imported from secret s of session b",
        "session b cannot get or make its secret s now",
    )
    assert "hidden" not in error.value.hint


TOKEN_SECRETS = (
    {"name": "key", "kind": "private-key", "key_type": "P-384"},
    {"name": "s", "kind": "jwt", "signer": "key", "alg": "ES384", "validity": {"for": "1h"},
     "export_public": True},
)  # fmt: skip


def public(secret):
    return {**secret, "export_public": True}


def test_a_token_is_made_and_its_exports_are_looked_at_once_for_one_request(cas, put, monkeypatch):
    made, judged = [], []
    mint, importable = values.mint_jwt, exports.importable
    monkeypatch.setattr(exports, "importable", lambda *args: judged.append(1) or importable(*args))
    monkeypatch.setattr(values, "mint_jwt", lambda *args: made.append(1) or mint(*args))
    put("a", *TOKEN_SECRETS, version="0.3.12")
    put("b", *(public(imports("a", name=f"t{n}")) for n in range(50)))
    assert len(judged) == 1
    status, answer = value_of(cas, "session=b")
    assert (status, len(answer["values"]), len(made), len(judged)) == (200, 50, 1, 2)


def test_the_tokens_and_the_bytes_of_one_request_are_limited(cas, put, monkeypatch):
    monkeypatch.setattr(values, "_MAX_TOKENS", 2)
    for at in range(3):
        put(f"a{at}", *TOKEN_SECRETS, version="0.3.12")
    put("b", *(public(imports(f"a{n}", name=f"t{n}")) for n in range(3)))
    assert len(value_of(cas, "session=b")[1]["values"]) == 2
    put("big", {**ascii_secret(export={"namespace": "/"}), "value": "x" * 3_000})
    put("c", *(public(imports("big", name=f"t{n}")) for n in range(3)))
    assert len(value_of(cas, "session=c")[1]["values"]) == 3
    monkeypatch.setattr(values, "MAX_STORED", 10_000)
    assert len(value_of(cas, "session=c")[1]["values"]) == 2
    monkeypatch.setattr(values, "_MAX_IMPORT", 4_000)
    with pytest.raises(LimitError, match="at most 4000 bytes each"):
        resolve(cas, "c", "t0")


def test_what_does_not_resolve_yet_is_a_list_of_warnings(cas, put):
    put("a", ascii_secret(export={"session": "b"}))
    put(
        "b",
        imports("a"),
        imports("a", "other", "t"),
        imports("x", name="u", cas_url="cas.example.com", cas_key=cas.cas.phase.keys.cas_key_hash),
        volumes=[{"name": "v", "import": {"session": "a", "volume": "v"}}],
    )
    phase = cas.cas.provisioned
    found = unresolved_imports(cas.cas, phase, cas.cas.sessions.active(phase.store, "b"))
    assert [path for path, _ in found] == [
        "secrets[1].import",
        "secrets[2].import",
        "volumes[0].import",
    ]
    assert "not allowed to connect to cas.example.com:8081" in found[1][1]


def test_a_volume_is_found_by_its_alias_with_what_is_allowed(cas, put):
    export = {"to": {"session": "b"}, "update_policy": "ephemeral", "volume_alias": "output"}
    put("a", volumes=[{"name": "data", "export": export}])
    put(
        "b",
        volumes=[
            {"name": "v", "import": {"session": "a", "volume": "output"}},
            {"name": "w", "import": {"session": "a", "volume": "data"}},
        ],
    )
    phase = cas.cas.provisioned
    version = cas.cas.sessions.active(phase.store, "b")
    exporter, volume, policy = find_volume(
        cas.cas, phase.store, version, version.session.volume("v")
    )
    assert (exporter.session.name, volume.name, policy) == ("a", "data", "ephemeral")
    with pytest.raises(NotFoundError, match="volume w of session b"):
        find_volume(cas.cas, phase.store, version, version.session.volume("w"))


def test_language_0_2_shares_by_name_and_with_the_key_of_the_certificate(cas, put):
    put(
        "a",
        {"name": "cert", "kind": "x509", "export": ["b", "c"]},
        {"name": "ca", "kind": "session-ca", "export": "b"},
        version="0.2",
    )
    put(
        "b",
        {"name": "cert", "kind": "x509", "import": "a"},
        {"name": "ca", "kind": "session-ca", "import": "a"},
        version="0.2",
    )
    values = resolve(cas, "b", "cert", "ca")
    assert values["cert"].private_key is not None
    assert values["ca"].private_key is None
    assert values["cert"].chain == (values["ca"].certificate,)


def test_an_imported_token_is_made_for_the_importer(cas, put):
    put(
        "a",
        {"name": "key", "kind": "private-key", "key_type": "P-384"},
        {
            "name": "s", "kind": "jwt", "signer": "key", "alg": "ES384", "validity": {"for": "1h"},
            "payload": {"who": "$$SCONE::name$$"}, "export": {"session": "b"},
        },
        imports("c", name="name"),
        version="0.3.12",
    )  # fmt: skip
    put("c", ascii_secret(export={"session": "a"}))
    put("b", imports("a"))
    claims = text_of(resolve(cas, "b", "s")).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["who"] == VALUE


def test_a_certificate_is_made_under_an_imported_authority_or_not_at_all(cas, put, owner):
    authority = {
        "name": "ca", "kind": "x509-ca", "private_key": "key", "common_name": "x",
        "export": {"session": "b"},
    }  # fmt: skip
    put("a", {"name": "key", "kind": "private-key", "export": {"session": "b"}}, authority)
    secrets = [
        imports("a", "ca", "ca", kind="x509-ca"),
        {"name": "key", "kind": "private-key"},
        {"name": "cert", "kind": "x509", "private_key": "key", "issuer": "ca", "dns": "x"},
    ]
    put("b", *secrets)
    version = cas.cas.sessions.active(cas.cas.phase.store, "b")
    made = cas.cas.sessions.values(cas.cas.phase.store, version.hash)["cert"]
    assert made.chain == (resolve(cas, "b", "ca")["ca"].certificate,)
    document = {"name": "other", "version": "0.3.10", "secrets": secrets}
    status, answer = harness.create(cas, json.dumps(document), owner)
    assert (status, answer["code"]) == (404, "not-found")
    assert answer["msg"][0].startswith("secret ca of session other cannot be imported from")
    assert harness.read(cas, "other", owner)[0] == 404


def test_creating_a_session_warns_of_an_import_that_does_not_resolve_yet(cas, owner):
    document = {"name": "b", "version": "0.3.10", "secrets": [imports("later")]}
    status, answer = harness.create(cas, json.dumps(document), owner)
    assert status == 201
    found = [message for path, message in answer["warnings"] if path == "secrets[0].import"]
    assert "there is no session later" in found[0]


def test_a_service_gets_what_its_session_imports(cas, put, platform):
    put("a", ascii_secret(export={"session": "b"}))
    program = harness.SERVICE_PROGRAM.mrenclave.hex()
    put(
        "b",
        imports("a"),
        services=[
            {"name": "app", "command": "app $$SCONE::s$$", "attestation": {"mrenclave": program}},
            {"name": "other", "command": "app", "attestation": {"mrenclave": program}},
        ],
    )
    status, answer = cas.attest_service(platform, "b/app")
    assert status == 200, answer
    assert base64.b64decode(answer["arguments"][1]).decode() == VALUE
    version = cas.cas.sessions.active(cas.cas.phase.store, "a")
    put("a", ascii_secret(), predecessor=version.hash)
    status, answer = cas.attest_service(platform, "b/app")
    assert (status, answer["code"]) == (404, "not-found")
    assert any("secret s of session b cannot be imported" in text for text in answer["msg"])
    assert cas.attest_service(platform, "b/other")[0] == 200


# --- public values ---


def active(cas, name):
    return cas.cas.phase.store.get("session", name).decode()


def value_of(cas, path):
    return cas.call("GET", f"/v1/values/{path}")


def test_a_public_value_is_read_by_anybody(cas, put):
    public = ascii_secret(export_public=True)
    first = put("ns", public, ascii_secret("private"), salt="5a" * 16, version="0.3.12")
    expected = {"kind": "string", "value": VALUE, "expires": None, "renew": None}
    assert value_of(cas, "session=ns,secret=s") == (200, expected)
    assert value_of(cas, f"session=ns,session_hash={first},secret=s") == (200, expected)
    assert value_of(cas, "session=ns") == (200, {"values": {"s": expected}})


def test_nobody_confirms_a_guess_of_a_session_by_its_hash(cas, put):
    """Without a salt, the right hash and a wrong one get one answer."""
    right = put("a", ascii_secret(export_public=True), ascii_secret("private"))
    answers = [value_of(cas, f"session=a,session_hash={one}") for one in (right, "a5" * 32)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_public_values_of_every_kind(cas, put):
    put(
        "a",
        {"name": "b", "kind": "binary", "value": "00ff", "export_public": True},
        {"name": "key", "kind": "private-key", "export_public": True},
        {"name": "pub", "kind": "public-key", "private_key": "key", "export_public": True},
        {"name": "cert", "kind": "x509", "private_key": "key", "dns": "x", "valid_for": "2h",
         "export_public": True},
        {"name": "ca", "kind": "x509-ca", "private_key": "key", "export_public": True},
        {"name": "pgp", "kind": "pgp-key", "export_public": True},
        {"name": "part", "kind": "config-fragment", "value": ["CREATOR"], "export_public": True},
        version="0.3.12",
    )  # fmt: skip
    status, answer = value_of(cas, "session=a")
    values = answer["values"]
    assert status == 200
    assert {name: found["kind"] for name, found in values.items()} == {
        "b": "binary",
        "key": "private-key",
        "pub": "public-key",
        "cert": "x509",
        "ca": "x509-ca",
        "pgp": "pgp-key",
        "part": "config-fragment",
    }
    assert values["b"]["value"] == "00ff"
    assert values["key"]["value"].startswith("-----BEGIN PRIVATE KEY-----")
    assert values["pub"]["value"].startswith("-----BEGIN PUBLIC KEY-----")
    for name in ("cert", "ca"):
        assert values[name]["value"].startswith("-----BEGIN CERTIFICATE-----")
        assert "PRIVATE" not in values[name]["value"]
        assert datetime.fromisoformat(values[name]["expires"]) > datetime.now(UTC)
    assert datetime.fromisoformat(values["cert"]["renew"]) > datetime.now(UTC)
    assert values["pgp"]["value"].startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----")
    assert json.loads(values["part"]["value"]) == ["CREATOR"]


def test_an_unknown_session_and_an_invisible_secret_give_the_same_answer(cas, put, owner):
    put("a", ascii_secret(export={"session": "b"}))
    texts = []
    for path in ("session=a,secret=s", "session=a,secret=none", "session=x,secret=s"):
        status, answer = value_of(cas, path)
        assert (status, answer["code"]) == (404, "not-found")
        assert answer["msg"][1] == ("Secret does not exist or is not visible for a public client")
        texts.append(answer["msg"][0])
    assert texts[0] == "Failed to read value 's' of '/session=a' requested by a public client"
    assert cas.call("GET", "/v1/values/session=a,secret=s", b"", owner)[0] == 404
    (one, first), (other, second) = value_of(cas, "session=a"), value_of(cas, "session=x")
    assert one == other == 404
    assert first["msg"][0].replace("=a", "=x") == second["msg"][0]
    assert first["msg"][1:] == second["msg"][1:]
    public = put("c", ascii_secret(export_public=True), salt="5a" * 16, version="0.3.12")
    stale = public.replace(public[0], "0" if public[0] != "0" else "1")
    assert value_of(cas, f"session=c,session_hash={stale},secret=s")[0] == 404


def test_values_are_for_get_alone_and_another_path_is_refused(cas, put):
    put("a", ascii_secret(export_public=True))
    assert cas.call("HEAD", "/v1/values/session=a,secret=s")[0] == 405
    assert cas.call("POST", "/v1/values/session=a,secret=s")[0] == 405
    assert value_of(cas, "a")[0] == 400
    assert value_of(cas, "session=a,other=b")[0] == 400


def test_a_public_secret_may_be_imported_by_every_session_and_made_public_again(cas, put):
    put("a", ascii_secret(export_public=True))
    put("b", {**imports("a"), "export_public": True})
    assert text_of(resolve(cas, "b", "s")) == VALUE
    assert value_of(cas, "session=b,secret=s")[1]["value"] == VALUE


def test_the_python_client_reads_public_values(cas, put):
    put("a", ascii_secret(export_public=True))
    with CasClient.to(f"127.0.0.1:{cas.client_port}", check_peer=None) as client:
        assert client.read_value("a", "s").value == VALUE
        assert client.read_values("a")["s"].kind == "string"
        with pytest.raises(NotFoundError, match="not visible for a public client"):
            client.read_value("a", "t")
