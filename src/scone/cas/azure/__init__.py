"""Microsoft Azure: tokens of applications, secrets of key vaults, answers of its attestation.

Only hosts that the owner allowed are called, over TLS, in threads of their own, without
redirects. Tokens are kept until shortly before they end; values are not kept.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Final

from scone.attestation.maa import API_VERSION, VerifiedToken, verify_token
from scone.cas.calls import Calls
from scone.crypto.secret import SecretBytes
from scone.errors import AppraisalError, ForbiddenError, NetworkError, UnsupportedError
from scone.session.model import AadToken
from scone.strict_json import decode, read_object, text_of, to_base64url
from scone.transport.address import Address, is_allowed, parse_address
from scone.transport.http import Headers, Response
from scone.transport.web import exchange, web_context

if TYPE_CHECKING:
    from scone.cas.azure.libraries import Token, VaultSecret
    from scone.cas.state import Cas

_PORT: Final = 443
_TIMEOUT_S: Final = 10.0
# A vault's value has at most 25 KB; a set of keys with their certificates is longer.
_MAX_ANSWER: Final = 256 * 1024
_MAX_TOKENS: Final = 1_000
_MAX_CONTEXTS: Final = 16
_ERROR_CODE: Final = re.compile(rb'"code"\s*:\s*"([A-Za-z0-9._]{1,64})"')
_EARLY_S: Final = 300
"""Seconds before its end from which on a token is not handed out any more."""


@dataclass(slots=True)
class Azure:
    """What the CAS keeps for its calls: threads, trusted authorities, tokens by credentials."""

    calls: Calls = field(default_factory=lambda: Calls("calls to Azure", threads=8))
    attestations: Calls = field(default_factory=lambda: Calls("attestations by Azure", threads=16))
    """Apart, because strangers can cause them."""
    tokens: OrderedDict[tuple[str, str, AadToken], Token] = field(
        default_factory=OrderedDict, repr=False
    )
    contexts: OrderedDict[str, ssl.SSLContext] = field(default_factory=OrderedDict, repr=False)

    def trusting(self, roots_pem: str) -> ssl.SSLContext:
        """The TLS context that trusts these authorities."""
        found = self.contexts.get(roots_pem)
        if found is None:
            found = self.contexts[roots_pem] = web_context(roots_pem)
            while len(self.contexts) > _MAX_CONTEXTS:
                self.contexts.popitem(last=False)
        return found

    def close(self) -> None:
        """End the threads that have nothing to do; what runs is not waited for."""
        self.calls.close()
        self.attestations.close()


async def aad_token(cas: Cas, credentials: AadToken) -> SecretBytes:
    """A token of an Azure application: a new one, or one with at least five minutes to go.

    Raises:
        ForbiddenError: Azure Active Directory refuses the credentials.
        NetworkError: it cannot be reached, or answers with something else.
        VerificationError: another server answers in its name.
        LimitError: too many calls wait already.
        UnsupportedError: the CAS was installed without its extra `azure`.
    """
    config = cas.provisioned.config.azure
    key = (config.authority, config.audience, credentials)
    tokens = cas.azure.tokens
    found: Token | None = tokens.get(key)
    if found is None or found.expires_on - _EARLY_S <= cas.now().timestamp():
        send = _sender(cas, config.authority)
        fetched: Token = await cas.azure.calls.run(
            config.authority,
            lambda: load_libraries().fetch_token(
                send, config.authority, config.audience, credentials
            ),
        )
        found = tokens[key] = fetched
        while len(tokens) > _MAX_TOKENS:
            tokens.popitem(last=False)
    return SecretBytes(found.text.encode())


async def vault_value(cas: Cas, vault: str, name: str, token: SecretBytes) -> VaultSecret:
    """What a vault (HOST or HOST:PORT) has under a name.

    Raises:
        MalformedError: the token is none.
        NotFoundError: there is no such secret.
        ForbiddenError: the token does not open it, or the owner has not allowed the vault.
        NetworkError: the vault cannot be reached, or answers with something else.
        VerificationError: another server answers in its name.
        LimitError: too many calls wait already.
        UnsupportedError: the CAS was installed without its extra `azure`.
    """
    config = cas.provisioned.config.azure
    _require(vault, config.vaults, "vaults")
    send = _sender(cas, vault)
    return await cas.azure.calls.run(
        vault,
        lambda: load_libraries().read_secret(send, vault, config.audience, name, token),
    )


async def set_vault_value(cas: Cas, vault: str, name: str, token: SecretBytes, value: str) -> None:
    """Put a value into a vault; errors as `vault_value`."""
    config = cas.provisioned.config.azure
    _require(vault, config.vaults, "vaults")
    send = _sender(cas, vault)
    await cas.azure.calls.run(
        vault,
        lambda: load_libraries().write_secret(
            send, vault, config.audience, name, token, value=value
        ),
    )


async def attest_with_maa(
    cas: Cas, url: str, certificates: Sequence[str], quote: bytes
) -> VerifiedToken:
    """What Microsoft Azure Attestation at this URL says of a quote; for no channel yet.

    `certificates` (PEM), if there are any, are the authorities that vouch for the service.

    Raises:
        ForbiddenError: the owner has not allowed the service, or it wants to be authorised.
        NetworkError: it cannot be reached, or answers with something else.
        AppraisalError: it does not accept the quote.
        VerificationError: another server answers, or the token is not genuine or current.
        MalformedError: a token or a set of keys that is none.
        LimitError: too many calls wait already.
        UnsupportedError: no authorities are given, and the extra `azure` is not installed.
    """
    host = url.removeprefix("https://").rstrip("/")
    address = _require(host, cas.provisioned.config.azure.attestation, "attestation")
    send = _sender(cas, host, "".join(certificates) or None)
    now = cas.now()

    def attest() -> tuple[str, bytes]:
        body = json.dumps({"quote": to_base64url(quote)}).encode()
        target = f"/attest/SgxEnclave?api-version={API_VERSION}"
        answer = send(address, "POST", target, (("content-type", "application/json"),), body)
        _require_ok(answer, host)
        document = read_object(decode(answer.body, f"answer of {host}", _MAX_ANSWER), host)
        keys = send(address, "GET", "/certs", (), b"")
        _require_ok(keys, host)
        return text_of(document, "token", f"answer of {host}"), keys.body

    token, keys = await cas.azure.attestations.run(host, attest)
    return await asyncio.to_thread(verify_token, token, keys, url, now)


def _require_ok(answer: Response, host: str) -> None:
    """Refuse an answer of another status; what it says is not repeated but for a code.

    Raises:
        AppraisalError: the service does not accept what it was sent.
        ForbiddenError: it wants to be authorised.
        NetworkError: another failure.
    """
    if answer.status == 200:
        return
    code = _ERROR_CODE.search(answer.body)
    told = f"status {answer.status}" + (f", {code[1].decode()}" if code else "")
    match answer.status:
        case 400:
            raise AppraisalError(f"{host} does not accept the evidence ({told})")
        case 401 | 403:
            raise ForbiddenError(
                f"{host} wants to be authorised ({told})",
                hint="only attestation providers that anybody may ask can be used",
            )
        case _:
            raise NetworkError(f"{host}: expected status 200, got {told}")


def load_libraries() -> ModuleType:
    """`libraries`; slow at the first use, so in a thread.

    Raises:
        UnsupportedError: they are not installed.
    """
    try:
        from scone.cas.azure import libraries
    except ImportError as error:
        raise UnsupportedError(
            f"this CAS was installed without the libraries for Azure ({error.name} is missing)",
            hint="install its extra: pip install 'scone-cas[azure]', and start the CAS again (the "
            "libraries are part of its measurement)",
        ) from None
    return libraries


def _require(host: str, allowed: tuple[str, ...], key: str) -> Address:
    """The address, if the owner allowed it.

    Raises:
        ForbiddenError: they have not.
    """
    address = parse_address(host, default_port=_PORT)
    if not is_allowed(address, allowed, _PORT):
        raise ForbiddenError(
            f"this CAS is not allowed to connect to {host}: expected one of {', '.join(allowed)}",
            hint=f"its owner can allow it: azure.{key} in the owner configuration (scone cas "
            "update-config)",
        )
    return address


def _sender(
    cas: Cas, host: str, roots_pem: str | None = None
) -> Callable[[Address, str, str, Headers, bytes], Response]:
    """A function that sends a request to this host and to no other."""
    only = parse_address(host, default_port=_PORT)
    own = cas.provisioned.config.azure.ca_certificates

    def send(address: Address, method: str, target: str, headers: Headers, body: bytes) -> Response:
        if address != only:
            raise NetworkError(f"{only} refers to another server ({address}): not followed")
        roots = roots_pem or own or load_libraries().default_roots()
        return exchange(
            address,
            method,
            target,
            headers,
            body,
            context=cas.azure.trusting(roots),
            timeout_s=_TIMEOUT_S,
            max_bytes=_MAX_ANSWER,
        )

    return send
