"""Tokens and vault imports, over TLS against a local Azure that checks what it is asked."""

import asyncio
import base64
import json
import os
import socket

import harness
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding

from fakes import azure as fakes
from scone.cas.values import Resolution, foreign_values
from scone.crypto.secret import SecretBytes
from scone.errors import (
    ForbiddenError,
    MalformedError,
    NetworkError,
    NotFoundError,
    SconeError,
    UnreachableError,
    UnsupportedError,
    VerificationError,
)
from scone.session.secrets.values import AsciiValue, BinaryValue, CertificateValue

KEY = bytes.fromhex("04fc23d9f50467d9d3ea5ce4ce9631d02469bea40c757b0868e2ee20517c2a52")


@pytest.fixture
def azure():
    fake, stop = fakes.serve()
    yield fake
    stop()


@pytest.fixture
def cas(fresh, owner, azure):
    """A CAS whose owner allows the local Azure."""
    status, answer = harness.provision(fresh, owner, azure.config)
    assert status == 200, answer
    return fresh


def by_secret(name="token", **more):
    return {
        "name": name,
        "kind": "aad-token",
        "tenant_id": fakes.TENANT,
        "client_id": fakes.CLIENT,
        "application_secret": fakes.APPLICATION_SECRET,
        **more,
    }


def by_certificate(azure, **more):
    secret = by_secret(**more)
    del secret["application_secret"]
    return {
        **secret,
        "private_key": fakes.pem_key(azure.application_key),
        "certificate_thumbprint": azure.application_certificate.fingerprint(SHA1()).hex(),
        **more,
    }


def imported(azure, name="s", kind=None, **more):
    secret = {"name": name, "import_akv": {"vault": azure.host, **more}}
    return secret if kind is None else {**secret, "kind": kind}


@pytest.fixture
def put(cas, owner):
    def go(*secrets, name="demo", **more):
        document = {"name": name, "version": "0.3.10", "secrets": list(secrets), **more}
        status, answer = harness.create(cas, yaml.safe_dump(document), owner)
        assert status == 201, answer
        return answer["hash"]

    return go


@pytest.fixture
def resolve(cas):
    def go(*names, session="demo"):
        phase = cas.cas.phase
        version = cas.cas.sessions.active(phase.store, session)
        found = asyncio.run(foreign_values(cas.cas, phase, version, names))
        return found[names[0]] if len(names) == 1 else found

    return go


def text(value):
    return AsciiValue(SecretBytes(value.encode()))


def test_a_service_gets_its_secret_from_the_vault(cas, owner, azure, platform):
    """The page's example, with what a user types and what the program receives."""
    azure.put("abc", "aabbcc")
    session = f"""
name: demo
version: "0.3.10"
services:
  - name: app
    command: app $$SCONE::db_encryption_key:hex$$
    attestation:
      mrenclave: {harness.SERVICE_PROGRAM.mrenclave.hex()}
secrets:
  - name: db_encryption_key
    kind: binary
    import_akv:
      vault: https://{azure.host}/
      secret_name: abc
      token: $$SCONE::db-aad-token$$
  - name: db-aad-token
    kind: aad-token
    tenant_id: {fakes.TENANT}
    client_id: {fakes.CLIENT}
    application_secret: {fakes.APPLICATION_SECRET}
access_policy:
  read: [CREATOR]
"""
    status, answer = harness.create(cas, session, owner)
    assert status == 201, answer
    assert azure.requests == []  # an import is evaluated when it is needed
    status, body = cas.attest_service(platform, "demo/app")
    assert status == 200, body
    assert base64.b64encode(b"aabbcc").decode() in harness.strings(body)
    assert azure.problems == []


def test_a_token_by_shared_secret_is_kept_until_shortly_before_its_end(put, resolve, azure, cas):
    put(by_secret())
    first = resolve("token")
    assert first.value.reveal().decode() in azure.tokens
    assert resolve("token") == first
    assert len(azure.tokens) == 1
    cas.cas.azure.tokens.clear()
    azure.token_seconds = 299
    short = resolve("token")
    assert resolve("token") != short


def test_a_token_by_certificate(put, resolve, azure):
    put(by_certificate(azure))
    assert resolve("token").value.reveal().decode() in azure.tokens
    assert azure.problems == []


def test_a_token_by_certificate_needs_its_own_key(put, resolve, azure):
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(65537, 2048)
    put(by_certificate(azure, private_key=fakes.pem_key(other)))
    with pytest.raises(ForbiddenError, match=r"AADSTS700027"):
        resolve("token")


def test_a_key_that_is_not_rsa_is_told(put, resolve, azure):
    key = fakes.pem_key(ec.generate_private_key(ec.SECP256R1()))
    put(by_certificate(azure, private_key=key))
    with pytest.raises(MalformedError, match=r"secret token of session demo.*expected an RSA key"):
        resolve("token")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"application_secret": "wrong-secret"}, "AADSTS7000215"),
        ({"client_id": "somebody"}, "AADSTS700016"),
        ({"tenant_id": "elsewhere"}, "AADSTS90002"),
    ],
)
def test_refused_credentials_name_the_reason_and_no_secret(put, resolve, azure, wrong, code):
    put(by_secret(**wrong))
    with pytest.raises(ForbiddenError, match=code) as caught:
        resolve("token")
    told = f"{caught.value} {caught.value.hint}"
    assert "secret token of session demo" in told
    assert "wrong-secret" not in told
    assert fakes.APPLICATION_SECRET not in told


def test_the_name_defaults_to_that_of_the_secret_and_the_token_to_the_only_one(put, resolve, azure):
    azure.put("s", "value")
    put(by_secret(), imported(azure))
    assert resolve("s") == text("value")


def test_the_named_token_opens_the_vault(put, resolve, azure):
    azure.put("s", "value")
    put(
        by_secret("other", application_secret="wrong"),
        by_secret("right"),
        imported(azure, token="$$SCONE::right$$"),
    )
    assert resolve("s") == text("value")


def test_the_value_is_fetched_again_each_time(put, resolve, azure):
    azure.put("s", "old")
    put(by_secret(), imported(azure))
    assert resolve("s") == text("old")
    azure.put("s", "new")
    assert resolve("s") == text("new")


def test_an_encrypted_value_with_an_explicit_and_a_generated_key(put, resolve, azure, cas):
    vector = os.urandom(12)

    def sealed(key, payload):
        head = bytes.fromhex("00a10002") + len(payload).to_bytes(2, "big")
        raw = head + vector + AESGCM(key).encrypt(vector, payload, None)
        return base64.b64encode(raw).decode()

    azure.put("passphrase", sealed(KEY, b"open sesame"))
    put(
        by_secret(),
        imported(azure, kind="ascii", secret_name="passphrase", decryption_key="$$SCONE::master$$"),
        {"name": "master", "kind": "binary", "value": KEY.hex()},
        imported(azure, "g", secret_name="raw", decryption_key="$$SCONE::made$$"),
        {"name": "made", "kind": "binary", "size": 32},
    )
    assert resolve("s") == text("open sesame")
    phase = cas.cas.phase
    version = cas.cas.sessions.active(phase.store, "demo")
    made = cas.cas.sessions.values(phase.store, version.hash)["made"].value.reveal()
    azure.put("raw", sealed(made, b"\x00\xff"), "binary")
    assert resolve("g") == BinaryValue(SecretBytes(b"\x00\xff"))


def test_a_certificate_of_the_vault_can_be_an_issuer(put, azure, cas):
    key = ec.generate_private_key(ec.SECP256R1())
    ca = fakes.certificate("vault ca", key, ca=True)
    azure.put("ca", fakes.pem_key(key) + ca.public_bytes(Encoding.PEM).decode())
    put(
        by_secret(),
        imported(azure, "ca", "x509-ca"),
        {"name": "key", "kind": "private-key"},
        {"name": "cert", "kind": "x509", "private_key": "key", "issuer": "ca", "dns": "x"},
    )
    phase = cas.cas.phase
    version = cas.cas.sessions.active(phase.store, "demo")
    made = cas.cas.sessions.values(phase.store, version.hash)["cert"]
    assert isinstance(made, CertificateValue)
    assert made.chain == (ca.public_bytes(Encoding.DER),)


def test_a_token_may_be_imported_from_a_restricted_session(put, resolve, azure):
    azure.put("s", "value")
    put(by_secret(export=[{"session": "demo"}]), name="keeper")
    put(
        {"name": "token", "kind": "aad-token", "import": {"session": "keeper", "secret": "token"}},
        imported(azure),
    )
    assert resolve("s") == text("value")


def test_an_exported_vault_secret_reaches_the_importer(put, resolve, azure):
    azure.put("s", "value")
    put(by_secret(), {**imported(azure), "export": [{"session": "demo"}]}, name="keeper")
    put({"name": "mine", "import": {"session": "keeper", "secret": "s"}})
    assert resolve("mine") == text("value")


def test_a_missing_secret_names_secret_session_and_vault(put, resolve, azure):
    put(by_secret(), imported(azure))
    with pytest.raises(NotFoundError) as caught:
        resolve("s")
    assert str(caught.value) == (
        f"secret s of session demo cannot be had from vault {azure.host}: "
        f"{azure.host} has no secret s"
    )


def test_a_vault_that_refuses_the_application(put, resolve, azure):
    azure.put("s", "value")
    azure.readable = False
    put(by_secret(), imported(azure))
    with pytest.raises(ForbiddenError, match="refuses access to secret s") as caught:
        resolve("s")
    assert "allowed to use the secrets" in caught.value.hint


def test_no_host_is_called_that_the_owner_has_not_allowed(put, resolve, azure):
    put(by_secret(), {"name": "s", "import_akv": {"vault": "evil.example"}})
    with pytest.raises(ForbiddenError, match=r"not allowed to connect to evil\.example") as caught:
        resolve("s")
    assert "azure.vaults" in caught.value.hint
    assert not azure.paths("/secrets/")


def test_a_token_for_another_resource_is_not_sent(put, resolve, azure):
    azure.put("s", "value")
    azure.faults["resource"] = "https://management.azure.com"
    put(by_secret(), imported(azure))
    with pytest.raises(ForbiddenError, match=r"wants a token for https://management\.azure\.com"):
        resolve("s")


def test_another_token_endpoint_gets_no_credentials(put, resolve, azure):
    """Active Directory's own discovery document must not send credentials elsewhere."""
    other, stop = fakes.serve()
    try:
        azure.faults["token_endpoint"] = f"https://{other.host}/{fakes.TENANT}/oauth2/v2.0/token"
        put(by_secret())
        with pytest.raises(NetworkError, match="refers to another server"):
            resolve("token")
        assert other.requests == []
    finally:
        stop()


def test_no_redirect_is_followed(put, resolve, azure):
    other, stop = fakes.serve()
    try:
        put(by_secret())
        azure.faults["redirect"] = f"https://{other.host}/"
        with pytest.raises(SconeError):
            resolve("token")
        assert other.requests == []
    finally:
        stop()


def test_a_server_with_another_authority_gets_no_credentials(fresh, owner, azure):
    """Somebody between CAS and Azure, with a certificate of an authority that is not trusted."""
    other, stop = fakes.serve()
    try:
        config = {"azure": {**azure.config["azure"], "ca_certificates": other.roots_pem}}
        status, answer = harness.provision(fresh, owner, config)
        assert status == 200, answer
        document = {"name": "demo", "version": "0.3.10", "secrets": [by_secret()]}
        status, answer = harness.create(fresh, json.dumps(document), owner)
        assert status == 201, answer
        phase = fresh.cas.phase
        version = fresh.cas.sessions.active(phase.store, "demo")
        with pytest.raises(VerificationError, match="TLS"):
            asyncio.run(foreign_values(fresh.cas, phase, version, ["token"]))
        assert azure.requests == []
    finally:
        stop()


def test_by_default_the_packaged_authorities_are_trusted_and_no_others(put, resolve, azure, cas):
    from dataclasses import replace

    put(by_secret())
    phase = cas.cas.phase
    config = replace(phase.config, azure=replace(phase.config.azure, ca_certificates=None))
    cas.cas.phase = replace(phase, config=config)
    with pytest.raises(VerificationError, match="TLS"):
        resolve("token")
    assert azure.requests == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{", b"x" * 300_000, b'{"access_token": 1}'])
def test_a_strange_answer_is_an_error_of_the_network(put, resolve, azure, body):
    put(by_secret())
    azure.faults["body"] = body
    with pytest.raises(NetworkError):
        resolve("token")


def test_a_slow_azure_is_given_up(put, resolve, azure, monkeypatch):
    import time

    from scone.cas import azure as module

    monkeypatch.setattr(module, "_TIMEOUT_S", 0.3)
    azure.faults["slow"] = 1
    put(by_secret())
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="no answer within"):
        resolve("token")
    assert time.monotonic() - begun < 1


def test_an_azure_that_is_away_is_left_alone_for_a_while(fresh, owner, azure):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"localhost:{taken.getsockname()[1]}"
    config = {"azure": {**azure.config["azure"], "authority": host}}
    assert harness.provision(fresh, owner, config)[0] == 200
    for name in ("one", "two"):
        text = {"name": name, "version": "0.3.10", "secrets": [by_secret(tenant_id=name)]}
        assert harness.create(fresh, yaml.safe_dump(text), owner)[0] == 201
    phase = fresh.cas.phase
    for name, told in (("one", "Connection refused"), ("two", "some seconds ago")):
        version = fresh.cas.sessions.active(phase.store, name)
        with pytest.raises(UnreachableError, match=told) as error:
            asyncio.run(foreign_values(fresh.cas, phase, version, ["token"]))
        assert ("session one" in str(error.value)) is (name == "one")


def test_what_fails_for_one_tenant_does_not_shut_azure_to_others(put, resolve, azure):
    azure.put("s", "value")
    put(by_secret(tenant_id="one"), name="one")
    put(by_secret(), imported(azure))
    azure.faults["body"] = b"["
    with pytest.raises(NetworkError):
        resolve("token", session="one")
    del azure.faults["body"]
    assert resolve("s") == text("value")


def test_a_directory_that_does_not_exist_is_told_and_shuts_azure_to_nobody(put, resolve, azure):
    azure.put("s", "value")
    put(by_secret(tenant_id="nobody"), name="one")
    put(by_secret(), imported(azure))
    with pytest.raises(ForbiddenError, match="AADSTS90002"):
        resolve("token", session="one")
    assert resolve("s") == text("value")


@pytest.mark.parametrize("token", ["a b", "a\nx-evil: 1", "é", ""])
def test_a_text_that_is_no_token_is_not_sent(put, resolve, azure, token):
    """Any text of another session may be imported as a token."""
    azure.put("s", "value")
    put(
        {"name": "t", "kind": "ascii", "value": token, "export": [{"session": "demo"}]},
        name="other",
    )
    put(
        {"name": "token", "kind": "aad-token", "import": {"session": "other", "secret": "t"}},
        imported(azure),
    )
    with pytest.raises(MalformedError, match="expected a bearer token"):
        resolve("s")
    assert azure.requests == []


def test_a_public_client_makes_the_cas_ask_no_vault(put, azure, cas):
    azure.put("s", "value")
    put(by_secret(), {**imported(azure), "export_public": True})
    status, _ = cas.call("GET", "/v1/values/session=demo,secret=s")
    assert status == 404
    assert azure.requests == []


def test_without_the_libraries_only_such_sessions_fail(put, resolve, azure, cas, monkeypatch):
    import sys

    put(by_secret(), {"name": "own", "kind": "ascii"})
    monkeypatch.delitem(sys.modules, "scone.cas.azure.libraries", raising=False)
    monkeypatch.delattr("scone.cas.azure.libraries", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(UnsupportedError, match="without the libraries for Azure") as caught:
        resolve("token")
    assert "scone-cas[azure]" in caught.value.hint
    phase = cas.cas.phase
    version = cas.cas.sessions.active(phase.store, "demo")
    assert asyncio.run(Resolution(cas.cas, phase).current(version))["own"]
