"""The client: nothing to a stranger, nothing twice, nothing without an end."""

import os
import socket
import ssl
import time

import pytest
from cryptography.hazmat.primitives import serialization as ser
from OpenSSL import SSL

from integration.transport.transport_peers import (
    Identity,
    RecordingServer,
    cert_pem,
    issued_identity,
    running,
)
from scone.crypto.der import spki_of_certificate
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, NetworkError, StateError, VerificationError
from scone.transport.address import Address
from scone.transport.client import Options, connect
from scone.transport.http import Response

FORMS = pytest.mark.parametrize("exporter", [False, True], ids=["stdlib", "pyopenssl"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(received):
    return OK if received.endswith(b"\r\n\r\n") else None


def at(server):
    return Address("127.0.0.1", server.port)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def echo(request):
    return Response(200, request.body + request.method.encode(), (("content-type", "x/y"),))


@FORMS
def test_a_request_gets_its_answer(exporter):
    with running(echo) as server, connect(at(server), Options(exporter=exporter)) as connection:
        first = connection.request("POST", "/a?b=c", b"body ")
        second = connection.request("GET", "/", headers=(("x-a", "b"),))
    assert (first.status, first.body) == (200, b"body POST")
    assert first.header("content-type") == "x/y"
    assert second.body == b"GET"


@FORMS
def test_a_head_request_gets_an_answer_without_a_body(exporter):
    with running(echo) as server, connect(at(server), Options(exporter=exporter)) as connection:
        response = connection.request("HEAD", "/")
    assert (response.status, response.body, response.header("content-length")) == (200, b"", "4")


@FORMS
def test_a_server_that_the_check_accepts_gets_the_request(exporter):
    identity = Identity()
    with RecordingServer(identity, answering) as server:
        seen = []
        options = Options(check_peer=lambda chain: seen.append(chain[0]), exporter=exporter)
        with connect(at(server), options) as connection:
            assert connection.request("GET", "/x").body == b"ok"
    assert spki_of_certificate(seen[0]) == identity.spki
    assert server.received[0].startswith(b"GET /x HTTP/1.1\r\nhost: 127.0.0.1:")


@FORMS
def test_nothing_is_sent_where_the_callers_check_refuses(exporter):
    identity = Identity()
    chains = []

    def refuse(chain):
        chains.append(chain)
        raise VerificationError("another CAS")

    with (
        RecordingServer(identity, answering) as server,
        pytest.raises(VerificationError, match="another CAS"),
    ):
        connect(at(server), Options(check_peer=refuse, exporter=exporter))
    assert chains == [(identity.der,)]
    assert server.received == [b""]


@FORMS
def test_a_reopened_connection_is_checked_again(exporter):
    seen = []

    def script(received):
        return OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n") if received else None

    with RecordingServer(Identity(), script) as server:
        options = Options(check_peer=seen.append, exporter=exporter)
        with connect(at(server), options) as connection:
            connection.request("GET", "/1")
            if exporter:  # another channel would not be the one that was exported from
                with pytest.raises(NetworkError, match="is closed"):
                    connection.request("GET", "/2")
            else:
                connection.request("GET", "/2")
    assert len(seen) == (1 if exporter else 2)


def test_the_exporter_form_sees_the_whole_chain_and_the_other_the_leaf():
    identity, root_der = issued_identity()
    with running(echo, identity=identity.pem) as server:
        with connect(at(server), Options(exporter=True)) as connection:
            assert connection.peer_chain_der == (identity.der, root_der)
        with connect(at(server)) as connection:
            assert connection.peer_chain_der == (identity.der,)


def test_a_connection_without_exporter_says_so():
    with (
        running(echo) as server,
        connect(at(server)) as connection,
        pytest.raises(NetworkError, match="without the TLS exporter"),
    ):
        connection.export(b"EXPORTER-test", 32)


def test_the_identity_reaches_ssl_without_a_file_on_a_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    identity = Identity()
    loaded = []
    original = ssl.SSLContext.load_cert_chain

    def spy(self, certfile, *args, **kwargs):
        loaded.append((certfile, os.readlink(certfile)))
        return original(self, certfile, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)

    async def who(request):
        return Response(200, request.peer_spki_der or b"")

    before = set(os.listdir("/proc/self/fd"))
    with running(who) as server, connect(at(server), Options(identity_pem=identity.pem)) as c:
        assert c.request("GET", "/").body == identity.spki
    assert [path.startswith("/proc/self/fd/") for path, _ in loaded] == [True]
    assert loaded[0][1].startswith("/memfd:")
    assert set(os.listdir("/proc/self/fd")) <= before
    assert list(tmp_path.iterdir()) == []


@FORMS
@pytest.mark.parametrize("kind", ["empty", "mixed", "encrypted"])
def test_an_identity_that_cannot_be_used_is_refused_without_a_question(exporter, kind):
    one, two = Identity(), Identity()
    locked = one.key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"x")
    )
    pem = {
        "empty": b"",
        "mixed": one.pem.reveal().split(b"-----BEGIN CERT")[0] + cert_pem(two.cert),
        "encrypted": locked + cert_pem(one.cert),
    }[kind]
    with RecordingServer(Identity()) as server:
        options = Options(identity_pem=SecretBytes(pem), exporter=exporter)
        with pytest.raises(StateError, match="identity: expected a private key in PEM"):
            connect(at(server), options)
    assert [data for data in server.received if data] == []


@FORMS
def test_the_server_name_is_the_host_as_given_and_none_for_an_ip_address(exporter):
    with RecordingServer(Identity(), answering) as server:
        for host in ("localhost", "127.0.0.1"):
            with connect(Address(host, server.port), Options(exporter=exporter)) as connection:
                connection.request("GET", "/")
    assert server.server_names == [b"localhost", None]


def test_a_text_is_an_address_with_the_client_port():
    with pytest.raises(MalformedError, match="address: expected HOST"):
        connect("http://cas/")
    with pytest.raises(NetworkError, match=r"cannot connect to 127\.0\.0\.2:8081: connection refu"):
        connect("127.0.0.2")


@FORMS
def test_a_server_with_tls_1_2_only_is_refused(exporter):
    def old(context):
        context.set_max_proto_version(SSL.TLS1_2_VERSION)

    with (
        RecordingServer(Identity(), answering, old) as server,
        pytest.raises(NetworkError, match=r"cannot connect to .*: TLS"),
    ):
        connect(at(server), Options(exporter=exporter))
    assert server.received == [b""]


@FORMS
def test_a_server_without_tls_is_a_network_error(exporter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(NetworkError, match="no answer in time"):
            connect(Address("127.0.0.1", port), Options(timeout_s=0.3, exporter=exporter))
    assert time.monotonic() - started < 3


@FORMS
def test_an_answer_that_does_not_come_in_time_is_a_network_error(exporter):
    with RecordingServer(Identity(), lambda _received: None) as server:
        connection = connect(at(server), Options(timeout_s=0.3, exporter=exporter))
        started = time.monotonic()
        with pytest.raises(NetworkError) as caught:
            connection.request("POST", "/")
        assert time.monotonic() - started < 3
    assert str(caught.value) == f"127.0.0.1:{server.port}: no answer in time (0.3 s)"
    assert caught.value.hint == "the request may have been applied: look before repeating it"


@FORMS
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK.replace(b"2\r\n\r\nok", b"101\r\n\r\n" + b"a" * 101), "up to 100 bytes, got more"),
        (b"SSH-2.0-x\r\n", "expected an HTTP/1.1 answer"),
    ],
)
def test_an_answer_that_is_none_or_too_large_is_a_network_error(exporter, answer, message):
    with RecordingServer(Identity(), lambda _received: answer) as server:
        connection = connect(at(server), Options(max_response_bytes=100, exporter=exporter))
        with pytest.raises(NetworkError, match=message):
            connection.request("GET", "/")
        connection.close()


def test_a_connection_that_cannot_be_made_is_tried_again():
    with RecordingServer(Identity(), answering) as server:
        target = at(server)
    pauses = []
    with pytest.raises(NetworkError) as caught:
        connect(target, Options(retries=3, pause=pauses.append))
    assert str(caught.value) == f"cannot connect to {target}: connection refused"
    assert len(pauses) == 3
    assert 0.1 <= pauses[0] <= 0.2 <= pauses[1] <= 0.4 <= pauses[2] <= 0.8


@pytest.mark.parametrize(
    ("method", "idempotent", "times"),
    [("GET", None, 3), ("POST", None, 1), ("PUT", None, 1), ("POST", True, 3), ("GET", False, 1)],
)
def test_only_a_request_that_may_be_repeated_is_sent_again(method, idempotent, times):
    with RecordingServer(Identity()) as server:
        options = Options(retries=2, pause=lambda _seconds: None)
        with connect(at(server), options) as connection, pytest.raises(NetworkError) as caught:
            connection.request(method, "/x", b"", idempotent=idempotent)
    assert [data.split(b" ")[0] for data in server.received] == [method.encode()] * times
    assert bool(caught.value.hint) is (times == 1)


def test_a_request_is_not_sent_again_after_its_answer_has_begun():
    sent = []

    def cut(received):
        if sent:
            return False
        sent.append(received)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"

    with RecordingServer(Identity(), cut) as server:
        options = Options(timeout_s=0.3, retries=2, pause=lambda _seconds: None)
        with connect(at(server), options) as connection, pytest.raises(NetworkError):
            connection.request("GET", "/")
    assert len(server.received) == 1


def test_a_request_bound_to_its_channel_is_not_sent_on_another():
    with RecordingServer(Identity()) as server:
        options = Options(retries=2, exporter=True, pause=lambda _seconds: None)
        with connect(at(server), options) as connection, pytest.raises(NetworkError):
            connection.request("GET", "/", idempotent=True)
    assert len(server.received) == 1


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nHost: b", "/é"])
def test_a_path_that_would_break_the_request_is_refused(path):
    with running(echo) as server, connect(at(server)) as connection:
        with pytest.raises(ValueError):
            connection.request("GET", path)
        with pytest.raises(ValueError):
            connection.request("GET", "/", headers=(("x", "a\r\nb: c"),))


def test_the_command_line_loads_no_pyopenssl_and_no_server():
    import subprocess
    import sys

    code = (
        "import sys, scone.transport.client as c\n"
        "try: c.connect('127.0.0.1:1')\n"
        "except c.NetworkError: pass\n"
        "print([m for m in ('OpenSSL', 'cryptography', 'asyncio', 'http.client', 'email')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_options_print_no_identity():
    pem = Identity().pem
    assert "PRIVATE" not in repr(Options(identity_pem=pem))
