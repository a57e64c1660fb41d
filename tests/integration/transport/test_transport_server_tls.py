"""The server's TLS: whom it accepts, what it proves, what it never does."""

import json
import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from integration.transport.transport_peers import (
    Identity,
    cert_pem,
    certificate,
    client_context,
    issued_identity,
    plain_client,
    raw_client,
    read_all,
    read_response,
    running,
    spki,
)
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, StateError
from scone.transport.client import Options, connect
from scone.transport.http import Response
from scone.transport.tls import check_peer, server_context

GET = b"GET / HTTP/1.1\r\nHost: cas\r\n\r\n"


async def who(request):
    peer = request.peer_spki_der
    facts = {
        "spki": peer and peer.hex(),
        "certificate": request.peer_certificate_der and request.peer_certificate_der.hex(),
        "address": request.peer_address,
        "exported": request.exporter(b"EXPORTER-test", 32).hex(),
    }
    return Response(200, json.dumps(facts).encode())


def ask(port, identity=None, *, exporter=False):
    options = Options(identity_pem=identity, exporter=exporter)
    with connect(f"127.0.0.1:{port}", options) as connection:
        response = connection.request("GET", "/")
        exported = connection.export(b"EXPORTER-test", 32) if exporter else None
    return response, json.loads(response.body), exported


KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("exporter", [False, True])
def test_a_self_signed_certificate_identifies_its_key(kind, exporter):
    identity = Identity(KEYS[kind]())
    with running(who) as server:
        response, facts, _ = ask(server.port, identity.pem, exporter=exporter)
    assert response.status == 200
    assert facts["spki"] == identity.spki.hex()
    assert facts["certificate"] == identity.der.hex()
    assert facts["address"] == "127.0.0.1"


def test_a_client_without_a_certificate_has_no_key():
    with running(who) as server:
        _, facts, _ = ask(server.port)
    assert facts["spki"] is None
    assert facts["certificate"] is None


def test_an_expired_certificate_and_one_of_an_unknown_authority_identify_their_keys():
    key = ec.generate_private_key(ec.SECP256R1())
    expired = Identity(key, certificate(key, days=-1))
    issued, _ = issued_identity()
    with running(who) as server:
        for identity in (expired, issued):
            _, facts, _ = ask(server.port, identity.pem)
            assert facts["spki"] == identity.spki.hex()


def test_the_enclave_port_asks_for_no_certificate():
    with running(who, request_certificate=False) as server:
        _, facts, _ = ask(server.port, Identity().pem)
    assert facts["spki"] is None


def test_both_ends_export_the_same_and_each_connection_another_value():
    with running(who) as server:
        first, second = (ask(server.port, exporter=True) for _ in range(2))
    assert first[1]["exported"] == first[2].hex()
    assert second[1]["exported"] == second[2].hex()
    assert first[2] != second[2]
    assert len(first[2]) == 32


def forged_pem(victim, attacker_key):
    """The victim's certificate with a key file that claims the victim's public point."""
    scalar = attacker_key.private_numbers().private_value.to_bytes(32, "big")
    point = spki(victim.key)[-65:]
    curve = bytes.fromhex("a00a06082a8648ce3d030107")
    public = b"\xa1\x44\x03\x42\x00" + point
    inner = b"\x02\x01\x01\x04\x20" + scalar + curve + public
    der = b"\x30" + bytes([len(inner)]) + inner
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "EC PRIVATE KEY").encode() + (
        cert_pem(victim.cert)
    )


def test_a_certificate_without_its_key_is_refused_before_the_handler(tmp_path):
    victim = Identity()
    seen = []

    async def handler(request):
        seen.append(request.peer_spki_der)
        return Response(200)

    files = {}
    for label, key in (("true", victim.key), ("forged", ec.generate_private_key(ec.SECP256R1()))):
        files[label] = tmp_path / f"{label}.pem"
        files[label].write_bytes(forged_pem(victim, key))
    with running(handler) as server:
        # The same construction with the true key passes, so that the refusal is the key's.
        with raw_client(server.port, client_context(files["true"])) as sock:
            sock.sendall(GET)
            assert read_response(sock)[0].startswith(b"HTTP/1.1 200")
        with (
            pytest.raises(ssl.SSLError, match="ALERT_DECRYPT_ERROR"),
            raw_client(server.port, client_context(files["forged"])) as sock,
        ):
            sock.sendall(GET)
            read_response(sock)
    assert seen == [victim.spki]


def test_a_weak_rsa_key_is_refused_with_a_reason_and_never_reaches_the_handler(tmp_path):
    called = []

    async def handler(request):
        called.append(request)
        return Response(200)

    identity = Identity(rsa.generate_private_key(65537, 1024))
    file = tmp_path / "weak.pem"
    file.write_bytes(identity.pem.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(file)
    with running(handler) as server, raw_client(server.port, context) as sock:
        sock.sendall(GET)
        head, body = read_response(sock)
    assert head.startswith(b"HTTP/1.1 403")
    assert json.loads(body)["code"] == "forbidden"
    assert "got an RSA key of 1024 bits" in json.loads(body)["msg"][0]
    assert called == []


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "got an RSA key of 1024 bits"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "got the curve secp256k1"),
        (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), "got the curve brainpoolP256r1"),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "got the curve secp224r1"),
    ],
)
def test_keys_that_identify_nobody(key, found):
    with pytest.raises(ForbiddenError) as caught:
        check_peer(Identity(key()).der)
    assert found in str(caught.value)


def test_bytes_that_are_no_certificate_identify_nobody():
    with pytest.raises(ForbiddenError):
        check_peer(b"\x30\x03\x02\x01\x01")


def test_tls_1_2_is_refused():
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        running(who) as server,
        pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
        raw_client(server.port, context),
    ):
        raise AssertionError("connected")


def test_no_session_is_resumed():
    context = client_context()
    with running(who) as server:
        with raw_client(server.port, context) as sock:
            sock.sendall(GET)
            read_response(sock)
            session = sock.session
        assert session is not None
        with raw_client(server.port, context, session=session) as sock:
            sock.sendall(GET)
            read_response(sock)
            assert not sock.session_reused


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), ([], None)],
)
def test_the_protocol_is_http_1_1_or_unspoken(offered, chosen):
    context = client_context()
    if offered:
        context.set_alpn_protocols(offered)
    with running(who) as server, raw_client(server.port, context) as sock:
        assert sock.selected_alpn_protocol() == chosen


def test_an_offer_without_http_1_1_ends_the_handshake():
    context = client_context()
    context.set_alpn_protocols(["h2"])
    with (
        running(who) as server,
        pytest.raises(ssl.SSLError, match="alert no application protocol"),
        raw_client(server.port, context),
    ):
        raise AssertionError("connected")


def test_the_server_sends_its_leaf_and_then_its_issuer():
    identity, root_der = issued_identity()
    options = Options(exporter=True)
    with (
        running(who, identity=identity.pem) as server,
        connect(f"127.0.0.1:{server.port}", options) as connection,
    ):
        assert connection.peer_chain_der == (identity.der, root_der)


def test_a_new_identity_serves_new_connections_and_the_old_ones_go_on():
    old, new = Identity(), Identity()
    current = [old.pem]
    with running(who, identity=lambda: current[0]) as server:
        address = f"127.0.0.1:{server.port}"
        with connect(address) as before:
            assert before.peer_chain_der == (old.der,)
            current[0] = new.pem
            with connect(address) as after:
                assert after.peer_chain_der == (new.der,)
            assert before.request("GET", "/").status == 200


def test_an_identity_that_cannot_be_used_takes_no_connection_and_the_server_goes_on(caplog):
    good = Identity()
    current = [good.pem]
    with running(who, identity=lambda: current[0]) as server:
        current[0] = SecretBytes(b"not a key: hunter2")
        with pytest.raises((ssl.SSLError, OSError)), raw_client(server.port):
            raise AssertionError("connected")
        current[0] = good.pem
        assert ask(server.port)[0].status == 200
    assert "no connection is taken: server identity: expected a private key" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_server_does_not_start_with_an_unusable_identity():
    other = Identity()
    mixed = SecretBytes(Identity().pem.reveal().split(b"-----BEGIN CERT")[0] + cert_pem(other.cert))
    encrypted = SecretBytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    for pem in (mixed, encrypted, SecretBytes(b"")):
        with pytest.raises(StateError):
            server_context(pem, request_client_certificate=True)


def test_plain_http_on_the_tls_port_is_closed():
    with running(who) as server, plain_client(server.port) as sock:
        sock.sendall(GET)
        answer = read_all(sock)
    assert b"HTTP" not in answer
