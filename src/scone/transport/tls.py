"""TLS 1.3 as every channel of this project uses it (RFC 8446), on pyOpenSSL's public API.

The server asks for any client certificate and verifies no chain: CertificateVerify
proves possession of the key, and authorisation goes by the key alone. No session is
ever resumed, so that each connection makes its own proof (RFC 8446, 2.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from scone.crypto.der import spki_of_certificate
from scone.crypto.keys import load_public_key
from scone.crypto.secret import SecretBytes
from scone.errors import ForbiddenError, MalformedError, StateError

ALPN: Final = b"http/1.1"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A server's identity and whether it asks its clients for theirs.

    `identity` is called for each new connection and gives one PEM text: private key,
    leaf certificate, issuers. Another text from then on serves the connections that
    follow; those that are open keep the key they were opened with.
    """

    identity: Callable[[], SecretBytes]
    request_client_certificate: bool


@dataclass(frozen=True, slots=True)
class Peer:
    """The key whose possession a client proved, and the certificate it came in."""

    certificate_der: bytes = field(repr=False)
    spki_der: bytes = field(repr=False)


def check_peer(certificate_der: bytes) -> Peer:
    """The identity in a client certificate.

    Raises:
        ForbiddenError: a kind or size of key that identifies nobody.
    """
    try:
        spki = spki_of_certificate(certificate_der)
        load_public_key(spki, "client certificate")
    except MalformedError as error:
        raise ForbiddenError(str(error)) from error
    return Peer(certificate_der, spki)


class Contexts:
    """The TLS context of the present identity, made anew when that changes."""

    __slots__ = ("_context", "_pem", "_tls")

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._pem: SecretBytes | None = None
        self._context: SSL.Context | None = None

    def current(self) -> SSL.Context:
        """The context for a connection that is accepted now.

        Raises:
            StateError: the identity cannot be used.
        """
        pem = self._tls.identity()
        if self._context is None or (pem is not self._pem and pem != self._pem):
            self._context = server_context(
                pem, request_client_certificate=self._tls.request_client_certificate
            )
        self._pem = pem
        return self._context


def server_context(identity: SecretBytes, *, request_client_certificate: bool) -> SSL.Context:
    """A server's TLS context.

    Raises:
        StateError: the identity is not a private key followed by its certificates.
    """
    context = _context(SSL.TLS_SERVER_METHOD, identity, "server identity")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_select_alpn)
    if request_client_certificate:
        # The chain is of no interest, hence depth 0 and a callback that is always content.
        # What remains is OpenSSL's check of CertificateVerify, which no callback reaches.
        context.set_verify_depth(0)
        context.set_verify(SSL.VERIFY_PEER, _any_certificate)
    return context


def client_context(identity: SecretBytes | None) -> SSL.Context:
    """A client's TLS context; whom it talks to is checked by the key, after the handshake.

    Raises:
        StateError: the identity is not a private key followed by its certificate.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, identity, "identity")
    context.set_alpn_protos([ALPN])
    context.set_verify(SSL.VERIFY_PEER, _any_certificate)
    return context


def _context(method: int, identity: SecretBytes | None, place: str) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if identity is None:
        return context
    expected = "a private key in PEM (PKCS#8, without a passphrase) and its certificates"
    try:
        key = load_pem_private_key(identity.reveal(), password=None)
        leaf, *issuers = x509.load_pem_x509_certificates(identity.reveal())
        if not isinstance(
            key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
        ):
            raise StateError(f"{place}: expected an EC, RSA or Ed25519 key")
        context.use_certificate(leaf)
        for issuer in issuers:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except (ValueError, TypeError, UnsupportedAlgorithm, SSL.Error) as error:
        raise StateError(f"{place}: expected {expected}") from error
    return context


def _any_certificate(
    _connection: SSL.Connection, _cert: crypto.X509, _error: int, _depth: int, _ok: int
) -> bool:
    return True


def _select_alpn(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    # RFC 7301, 3.2: an offer without a common protocol ends the handshake (pyOpenSSL makes a
    # fatal alert of an exception); a client that offers nothing never comes here.
    if ALPN not in offered:
        raise SSL.Error([("SSL routines", "", "no application protocol")])
    return ALPN
