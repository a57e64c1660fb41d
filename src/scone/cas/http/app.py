"""One request through the shell: rate, route, right, operation, answer or error.

Denied unless a row of the route table allows it. The one place where errors become
status codes; what is not a `SconeError` is a fault of ours and tells the client nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from scone.cas.http.error_codes import STATUS_OF_CODE
from scone.cas.http.openapi import openapi_document
from scone.cas.http.routes import ROUTES, Authorisation, Call, Listener, Route
from scone.cas.operations.backups import Nonces
from scone.cas.operations.provision import WrongTokens
from scone.cas.state import Cas, Provisioned
from scone.errors import (
    ForbiddenError,
    LimitError,
    NotFoundError,
    SconeError,
    StateError,
    places_of,
)
from scone.owner_config import OwnerConfig
from scone.transport.http import Request, Response

LOG = logging.getLogger("scone.cas")

_MAX_ADDRESSES: Final = 10_000


@dataclass(slots=True)
class RateLimit:
    """A token bucket for each address: `rate` requests a second, twice that at once."""

    buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, address: str, rate: int, now: float) -> None:
        """Count one request.

        Raises:
            LimitError: the address asked too often. A rate of 0 means no limit.
        """
        if rate <= 0:
            return
        level, seen = self.buckets.pop(address, (2.0 * rate, now))
        level = min(2.0 * rate, level + (now - seen) * rate)
        self.buckets[address] = (max(level - 1.0, 0.0), now)
        while len(self.buckets) > _MAX_ADDRESSES:
            self.buckets.popitem(last=False)
        if level < 1.0:
            raise LimitError(
                f"more than {rate} requests a second from one address", hint="try again later"
            )


class App:
    """The handler of one listener."""

    def __init__(
        self,
        cas: Cas,
        listener: Listener,
        stop: Callable[[str], None],
        *,
        nonces: Nonces,
        wrong_tokens: WrongTokens,
        rates: RateLimit,
    ) -> None:
        self._cas = cas
        self._routes = tuple(route for route in ROUTES if route.listener is listener)
        self._stop = stop
        self._openapi = json.dumps(openapi_document(cas.version)).encode()
        self._nonces = nonces
        self._wrong_tokens = wrong_tokens
        self._rates = rates
        self._running: set[asyncio.Task[Response]] = set()

    async def __call__(self, request: Request) -> Response:
        """Answer one request; never raises.

        What has begun ends, whatever becomes of the client and of the time for its answer: half
        of a claim or of a key roll-over would leave a state that no restart knows.
        """
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except SconeError as error:
            if isinstance(
                error, StateError
            ):  # the store or the audit log failed: nothing may go on
                self._stop(str(error))
            return self._error(error)
        except Exception as error:  # noqa: BLE001 - ends the request; its message may hold a secret
            LOG.error("internal error in %s: %s", request.method, places_of(error))  # noqa: TRY400
            return self._error(SconeError("internal error of the CAS"))

    def _dispatch(self, request: Request) -> Awaitable[Response]:
        phase = self._cas.phase
        config = phase.config if isinstance(phase, Provisioned) else OwnerConfig()
        self._rates.take(
            request.peer_address, config.max_requests_per_second_per_address, time.monotonic()
        )
        route, rest = self._route(request)
        if len(request.body) > route.max_body:
            raise _BodyError(f"expected at most {route.max_body} bytes for this path")
        if not route.while_unprovisioned:
            _ = self._cas.provisioned
        if route.authorisation is Authorisation.OWNER and not self._cas.is_owner(
            request.peer_spki_der
        ):
            raise ForbiddenError(
                "only the owner of the CAS may do this",
                hint="use the identity that provisioned it (--identity FILE)",
            )
        call = Call(self._cas, request, rest, self._openapi, self._wrong_tokens, self._nonces)
        return route.handler(call)

    def _route(self, request: Request) -> tuple[Route, str]:
        allowed: set[str] = set()
        for route in self._routes:
            rest = route.match(request.path)
            if rest is None:
                continue
            if route.method == request.method:
                return route, rest
            allowed.add(route.method)
        if allowed:
            raise _MethodError(f"the path allows {', '.join(sorted(allowed))}")
        raise NotFoundError("there is no such path; /v1/openapi.json lists them")

    def _error(self, error: SconeError) -> Response:
        document = {
            "msg": list(error.messages),
            "code": error.code,
            "cas_version": self._cas.version,
        }
        if error.hint:
            document["hint"] = error.hint
        status = getattr(error, "status", STATUS_OF_CODE[error.code])
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return Response(status, body, (("content-type", "application/json"),))


class _MethodError(NotFoundError):
    """The path exists, for other methods."""

    status = 405


class _BodyError(LimitError):
    """The body is longer than anything this path needs."""

    status = 413
