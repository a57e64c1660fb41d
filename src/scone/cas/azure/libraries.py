"""Microsoft's libraries for Azure, over the one way out that this CAS has (`transport.web`).

They are an optional extra and slow to load, so nothing imports this module before a session needs
it. Retries, redirects, proxies, instance discovery and logs of theirs are off.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import certifi
import requests
import urllib3
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientAssertionCredential, ClientSecretCredential
from azure.keyvault.secrets import SecretClient
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msal.oauth2cli import JwtAssertionCreator  # type: ignore[import-untyped]
from requests.adapters import BaseAdapter

from scone.crypto.secret import SecretBytes
from scone.errors import (
    ConflictError,
    ForbiddenError,
    MalformedError,
    NetworkError,
    NotFoundError,
    SconeError,
)
from scone.session.model import AadToken
from scone.transport.address import Address, parse_address
from scone.transport.http import Response

Exchange = Callable[[Address, str, str, tuple[tuple[str, str], ...], bytes], Response]
"""One request (address, method, target, headers, body) and its answer."""

_REASON: Final = re.compile(r"AADSTS[0-9]{1,10}")
_PIPELINE: Final[Mapping[str, Any]] = {
    "retry_total": 0,
    "permit_redirects": False,
    "logging_enable": False,
}
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_SHA1_DIGITS: Final = 40
_QUIET: Final = ("azure", "msal", "requests", "urllib3")


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """What a vault has under a name."""

    value: SecretBytes
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and when it ends (seconds since 1970)."""

    text: str = field(repr=False)
    expires_on: int


def default_roots() -> str:
    """The authorities that Mozilla trusts, as packaged with the libraries; not the host's."""
    return certifi.contents()


def fetch_token(exchange: Exchange, authority: str, audience: str, credentials: AadToken) -> Token:
    """A token of an Azure application by its client credentials.

    Raises:
        MalformedError: the private key is no RSA key.
        ForbiddenError: Azure Active Directory refuses the credentials.
        NetworkError: it cannot be reached, or answers with something else.
    """
    more: dict[str, Any] = {
        "authority": f"https://{authority}",
        "disable_instance_discovery": True,
        "additionally_allowed_tenants": [],
        "transport": _transport(exchange),
        **_PIPELINE,
    }
    tenant, client = credentials.tenant_id, credentials.client_id
    credential: TokenCredential
    if credentials.application_secret is not None:
        credential = ClientSecretCredential(tenant, client, credentials.application_secret, **more)
    else:
        # The library's CertificateCredential wants the certificate, of which a session has the
        # thumbprint only.
        thumbprint = credentials.certificate_thumbprint or ""
        kind = "sha1_thumbprint" if len(thumbprint) == _SHA1_DIGITS else "sha256_thumbprint"
        key = _rsa_key(credentials.private_key or "")
        assertion = JwtAssertionCreator(key, algorithm="RS256", **{kind: thumbprint})
        endpoint = f"https://{authority}/{tenant}/oauth2/v2.0/token"
        credential = ClientAssertionCredential(
            tenant,
            client,
            lambda: _text(assertion.create_normal_assertion(endpoint, client)),
            **more,
        )
    with _translated("token", authority):
        found = credential.get_token(f"https://{audience}/.default")
    return Token(found.token, found.expires_on)


def read_secret(
    exchange: Exchange, vault: str, audience: str, name: str, token: SecretBytes
) -> VaultSecret:
    """The current version of a secret.

    Raises:
        MalformedError: the token is none.
        NotFoundError: there is none, or it is disabled.
        ForbiddenError: the token does not open the vault, or not this secret.
        NetworkError: the vault cannot be reached, or answers with something else.
    """
    with _translated(f"secret {name}", vault), _client(exchange, vault, audience, token) as client:
        found = client.get_secret(name)
        if found.value is None:
            raise NetworkError(f"{vault}: expected a value of secret {name}, got none")
        content_type = found.properties.content_type
        return VaultSecret(SecretBytes(found.value.encode()), content_type)


def write_secret(
    exchange: Exchange, vault: str, audience: str, name: str, token: SecretBytes, *, value: str
) -> None:
    """Set a secret.

    Raises:
        MalformedError: the token is none.
        ForbiddenError: the token does not open the vault, or may not write.
        NetworkError: the vault cannot be reached, or answers with something else.
    """
    with _translated(f"secret {name}", vault), _client(exchange, vault, audience, token) as client:
        client.set_secret(name, value, content_type="application/octet-stream")


class _Adapter(BaseAdapter):
    """What `requests` sends, sent by `transport.web`."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def send(self, request: requests.PreparedRequest, **_more: Any) -> requests.Response:  # type: ignore[override]
        """One request; timeouts, proxies and trust are not the libraries' to choose."""
        url = str(request.url)
        scheme, _, rest = url.partition("://")
        host, slash, target = rest.partition("/")
        if scheme != "https":
            raise ForbiddenError(f"expected https, got {scheme}")
        address = parse_address(host, default_port=443)
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        if not isinstance(raw, bytes):
            raise TypeError("expected a body in one piece")
        headers = tuple(
            (name.lower(), _text(value))
            for name, value in request.headers.items()
            if name.lower() not in {"host", "connection", "content-length", "accept-encoding"}
        )
        answer = self._exchange(address, str(request.method), slash + target, headers, raw)
        response = requests.Response()
        response.status_code = answer.status
        response.url = url
        response.request = request
        response.headers = requests.structures.CaseInsensitiveDict(dict(answer.headers))
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body), status=answer.status, preload_content=False
        )
        return response

    def close(self) -> None:
        """Nothing is kept open."""


def _transport(exchange: Exchange) -> RequestsTransport:
    for name in _QUIET:  # they log addresses and headers, and what they hide is theirs to decide
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Adapter(exchange))
    return RequestsTransport(session=session, use_env_settings=False)


class _Given:
    """A credential that is a token already; it is for one audience and asked for no other."""

    def __init__(self, token: SecretBytes, audience: str) -> None:
        self._token = token
        self._scope = f"https://{audience}/.default"

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if scopes != (self._scope,):
            raise ForbiddenError(
                f"the vault wants a token for {' '.join(scopes)[:200]}, and tokens are for "
                f"{self._scope}",
                hint="azure.audience in the owner configuration names the host that tokens are for",
            )
        # The library keeps a client's token until then; a client is made for each request.
        return AccessToken(self._token.reveal().decode(), int(time.time()) + 3600)


def _client(exchange: Exchange, vault: str, audience: str, token: SecretBytes) -> SecretClient:
    if not _TOKEN.fullmatch(token.reveal()):  # an imported one may be any text
        raise MalformedError("aad-token", "a bearer token (RFC 6750)", "another text")
    return SecretClient(
        f"https://{vault}",
        _Given(token, audience),
        transport=_transport(exchange),
        # `_Given` compares the whole scope, also where a vault is not below its audience.
        verify_challenge_resource=False,
        **_PIPELINE,
    )


@contextlib.contextmanager
def _translated(what: str, where: str) -> Iterator[None]:
    """Errors of the libraries as ours; what a server wrote is not repeated but for its code."""
    try:
        yield
    except SconeError:
        raise
    except (AzureError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise _translation(what, where, error) from None


def _translation(what: str, where: str, error: BaseException) -> SconeError:
    cause: BaseException | None = error
    texts = []
    while cause is not None:
        if isinstance(cause, SconeError):
            return cause
        texts.append(str(cause))
        # MSAL raises another error while it handles the one that says why.
        cause = cause.__cause__ or cause.__context__
    response = error.response if isinstance(error, HttpResponseError) else None
    status = None if response is None else response.status_code
    # What Active Directory says is in the body, where the library does not repeat it.
    texts.append("" if response is None else response.text())
    reason = _REASON.search(" ".join(texts))
    if reason is not None:
        hint = "look at tenant_id, client_id and the credentials of the aad-token secret"
        return ForbiddenError(f"{where} gives no {what} ({reason[0]})", hint=hint)
    match status:
        case 404:
            return NotFoundError(f"{where} has no {what}")
        case 401 | 403:
            hint = "is the Azure application allowed to use the secrets of this vault?"
            return ForbiddenError(f"{where} refuses access to {what} (status {status})", hint=hint)
        case 409:
            return ConflictError(f"{where}: {what} is being deleted or recovered")
        case None:
            return NetworkError(f"{where}: expected an answer with a {what}, got another")
        case _:
            return NetworkError(f"{where}: {what}: expected status 200, got {status}")


def _rsa_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MalformedError("private_key", "an RSA key in PKCS#8") from None
    if not isinstance(key, RSAPrivateKey):
        raise MalformedError("private_key", "an RSA key", "one of another type")
    return key


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
