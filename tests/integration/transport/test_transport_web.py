"""Requests to servers of others: by their name, by trusted authorities, within a time."""

import socket
import ssl
import threading
import time

import pytest

from fakes import azure as fakes
from scone.errors import NetworkError, UnreachableError, VerificationError
from scone.transport.address import Address
from scone.transport.web import exchange, web_context


@pytest.fixture
def azure():
    fake, stop = fakes.serve()
    yield fake
    stop()


def get(fake, target="/", host="localhost", **more):
    options = {"timeout_s": 5, "max_bytes": 10_000, **more}
    options.setdefault("context", web_context(fake.roots_pem))
    return exchange(Address(host, fake.port), "GET", target, **options)


def test_an_answer_of_any_status_comes_back(azure):
    assert get(azure).status == 404
    assert azure.requests == ["GET /"]


def test_a_server_of_another_name_is_sent_nothing(azure):
    with pytest.raises(VerificationError, match=r"TLS: .*127"):
        get(azure, host="127.0.0.1")
    assert azure.requests == []


def test_the_environment_changes_nothing(azure, monkeypatch, tmp_path):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    other, stop = fakes.serve()
    stop()
    bundle = tmp_path / "roots.pem"
    bundle.write_text(azure.roots_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert get(azure).status == 404
    with pytest.raises(VerificationError):
        get(azure, context=web_context(other.roots_pem))


def test_a_long_answer_is_refused(azure):
    azure.faults["body"] = b"x" * 10_001
    with pytest.raises(NetworkError, match="up to 10000 bytes"):
        get(azure)


def test_a_server_that_drips_is_given_up_in_time(azure):
    """Each byte comes soon, the whole answer never."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()
    key = fakes.ec.generate_private_key(fakes.ec.SECP256R1())
    own = fakes.certificate("localhost", key, ca=True, names=["localhost"])
    fakes._load(context, own, key)

    def drip():
        sock, _ = listener.accept()
        with context.wrap_socket(sock, server_side=True) as stream:
            stream.recv(1000)
            for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1000:
                if stop.wait(0.05):
                    return
                try:
                    stream.sendall(bytes([byte]))
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    roots = own.public_bytes(fakes.Encoding.PEM).decode()
    begun = time.monotonic()
    try:
        with pytest.raises(NetworkError, match=r"no answer within 0\.5 seconds") as error:
            exchange(
                Address("localhost", listener.getsockname()[1]),
                "GET",
                "/",
                context=web_context(roots),
                timeout_s=0.5,
                max_bytes=1000,
            )
        assert time.monotonic() - begun < 2
        assert not isinstance(error.value, UnreachableError)  # it was reached
    finally:
        stop.set()
        listener.close()
        thread.join(5)


def test_nobody_there_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"localhost:{port}: Connection refused"):
        exchange(
            Address("localhost", port),
            "GET",
            "/",
            context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout_s=1,
            max_bytes=1,
        )


@pytest.mark.parametrize("text", ["", "no PEM"])
def test_what_is_no_certificate_is_no_authority(text):
    with pytest.raises(ValueError, match="certificates in PEM"):
        web_context(text)
