"""Values that a session has from elsewhere: imports, vaults, tokens, as they are when needed.

An import gives what the exporting session's active version has at that moment; nothing is
kept. Which session may have what is decided in `scone.session.sharing`. An error tells of the
session that asks and of what it imports; where another session has that from is its own affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from scone.cas.azure import aad_token, vault_value
from scone.cas.azure.vault import load_from_vault, store_in_vault
from scone.cas.exports import Admitted, find_export, peer_of
from scone.cas.operations.attest_cas import attest_cas
from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas, Provisioned
from scone.cas.store.base import Transaction
from scone.client.peer import Peer, PeerChannel, Question
from scone.crypto.certificates import load_certificate
from scone.crypto.secret import SecretBytes
from scone.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    LimitError,
    NetworkError,
    SconeError,
    StateError,
    UnavailableError,
    UsageError,
)
from scone.session.model import Import, SecretSpec, SessionReference
from scone.session.secrets import SecretValues, needs_renewal, renew
from scone.session.secrets.jwt import mint_jwt
from scone.session.secrets.values import (
    MAX_STORED,
    AsciiValue,
    BinaryValue,
    CertificateValue,
    SecretValue,
)
from scone.session.secrets.vault_envelope import vault_secret
from scone.session.sharing import (
    MAX_STEPS,
    Importer,
    as_imported,
    is_of_kind,
    resolve_name,
)
from scone.session.uses import names_for_generation, names_for_secret

_T = TypeVar("_T")
_MAX_CALLS: Final = 16
_MAX_CALLS_FOR_PEER: Final = 2  # what one request can cause grows with each CAS it passes
_DEADLINE_S: Final = 30.0  # for all that one request has from elsewhere
_MAX_IMPORT: Final = 2 * 1024 * 1024  # a session of 1 MiB, in base64
_MAX_TOKENS: Final = 256  # a millisecond and more for each

_Trail = tuple[tuple[str, str], ...]


class _CircleError(UsageError):
    """Imports that lead back to where they began."""


async def foreign_values(
    cas: Cas, phase: Provisioned, version: StoredVersion, names: Iterable[str]
) -> dict[str, SecretValue]:
    """The values of those of the named secrets that are imported, in a vault or tokens.

    `version` is the active one, or the one that is about to become it.

    Raises:
        NotFoundError: no such session or secret, or not exported to this session.
        ConflictError: the exporting session, or the kind, is another than the import says.
        UsageError: imports in a circle.
        LimitError: more than 8 imports in a row.
        ForbiddenError: the owner of this CAS has not allowed the address of the other one.
        NetworkError: the other CAS cannot be reached.
        VerificationError: it is another CAS than the import says.
    """
    return await Resolution(cas, phase).foreign(version, names)


async def stored_values(cas: Cas, phase: Provisioned, version: StoredVersion) -> SecretValues:
    """The stored values of a version; errors as `Resolution.stored`."""
    return await Resolution(cas, phase).stored(version)


@contextlib.contextmanager
def of_another(version: StoredVersion, what: str) -> Iterator[None]:
    """Turn errors about another session's affairs into one that tells an importer nothing of them.

    Raises:
        UnavailableError: in place of nearly all errors.
        UsageError: imports in a circle.
        LimitError: too many imports in a row, or too much for one request.
        IntegrityError: of this CAS itself, as it is.
        StateError: of this CAS itself, as it is.
    """
    try:
        yield
    except (IntegrityError, StateError):
        raise
    except _CircleError:
        raise _circle() from None
    except LimitError:
        raise LimitError(
            f"more than {MAX_STEPS} imports in a row, or too much for one request",
            hint="do the imports go round in a circle? Import from where the value is made",
        ) from None
    except SconeError:
        name = version.session.name
        raise UnavailableError(
            f"session {name} cannot get or make its {what} now",
            hint=f"a service of session {name} that uses it is told why",
        ) from None


class Resolution:
    """One evaluation: what was found is not looked for twice, and there is an end to it.

    `steps` imports in a row led here; with `local` nothing is fetched from elsewhere.
    """

    def __init__(
        self, cas: Cas, phase: Provisioned, *, steps: int = 0, local: bool = False
    ) -> None:
        self._cas = cas
        self._phase = phase
        self._steps = steps
        self._local = local
        self._calls = _MAX_CALLS_FOR_PEER if steps else _MAX_CALLS
        self._deadline = time.monotonic() + _DEADLINE_S
        self._bytes = 0
        self._tokens = 0
        self._admitted: Admitted = {}
        self._found: dict[tuple[str, str], SecretValue] = {}
        self._stored: dict[str, SecretValues] = {}

    async def foreign(
        self, version: StoredVersion, names: Iterable[str], trail: _Trail = ()
    ) -> dict[str, SecretValue]:
        """As `foreign_values`; `trail` holds the imports that led here."""
        found: dict[str, SecretValue] = {}
        remote: dict[SessionReference, list[SecretSpec]] = {}
        session = version.session
        for name in dict.fromkeys(names):
            spec = session.secret(name)
            if spec is None or not (spec.is_foreign or spec.kind == "aad-token"):
                continue
            known = self._found.get((version.hash, name))
            if known is not None:
                found[name] = known
            elif spec.imported is None:
                found[name] = await self._from_azure(version, spec, trail)
            elif spec.imported.source.cas_url is None:
                found[name] = await self._from_here(version, spec, spec.imported, trail)
            else:
                remote.setdefault(spec.imported.source, []).append(spec)
        for source, specs in remote.items():
            found |= await self._from_peer(version, source, specs, trail)
        for name, value in found.items():
            self._found[version.hash, name] = value
        return found

    async def exported(
        self, version: StoredVersion, spec: SecretSpec, asks: Importer, trail: _Trail = ()
    ) -> SecretValue:
        """The value of a secret as the importer gets it; that it may have it was decided.

        Raises:
            UnavailableError: its session cannot have or make it; the importer is not told why.
            UsageError: imports in a circle.
            LimitError: too many imports in a row, or too much for one request.
        """
        with of_another(version, f"secret {spec.name}"):
            value = await self.own(version, spec, trail)
        return as_imported(version.session, spec, value, asks)

    async def stored(self, version: StoredVersion, trail: _Trail = ()) -> SecretValues:
        """The values of a version as they are stored, in the database or in a vault.

        Raises:
            VerificationError: what is in the vault was tampered with.
            SconeError: the vault, or the token for it, cannot be had.
        """
        config, store = version.session.secret_config, self._phase.store
        if config.store_in == "cas":
            return await self._cas.sessions.fetch_values(store, version.hash)
        if version.hash not in self._stored:
            place = f"the secrets of session {version.session.name} cannot be had from its vault"
            record = self._cas.sessions.stored_secrets(store, version.hash)
            if record is None:
                raise IntegrityError("the database holds a session without its secrets")
            try:
                if self._local:
                    raise ForbiddenError("no vault is asked for a public client")
                token = await self._token(version, config.token, trail)
                vault = config.vault or ""
                load = load_from_vault(self._cas, vault, version.hash, token, record)
                found = await self._in_time(load)
            except SconeError as error:
                raise error.within(place) from None
            self._stored[version.hash] = found
        return self._stored[version.hash]

    async def store(self, version: StoredVersion, values: SecretValues) -> bytes:
        """Keep values where the session says; gives what the database has to hold.

        Raises:
            SconeError: the vault, or the token for it, cannot be had.
        """
        config = version.session.secret_config
        if config.store_in == "cas":
            return await asyncio.to_thread(values.to_json)
        place = f"the secrets of session {version.session.name} cannot be stored in its vault"
        try:
            token = await self._token(version, config.token, ())
            vault = config.vault or ""
            stored = store_in_vault(self._cas, vault, version.hash, token, values)
            return await self._in_time(stored)
        except SconeError as error:
            raise error.within(place) from None

    async def current(self, version: StoredVersion, trail: _Trail = ()) -> SecretValues:
        """The stored values; certificates about to expire are made again, durably, before use.

        Where what they are made of cannot be had now, they are used as long as they are valid.
        """
        cas, phase = self._cas, self._phase
        values = await self.stored(version, trail)
        if not needs_renewal(values, cas.now()):
            return values
        # Before the lock: what is imported may be about to expire in its own session.
        try:
            foreign = await self.foreign(version, names_for_generation(version.session), trail)
        except SconeError as error:
            of_this_cas = isinstance(error, IntegrityError | StateError)
            if of_this_cas or _has_expired(values, cas.now()):
                raise
            return values
        async with cas.renewing.setdefault(version.hash, asyncio.Lock()):
            self._stored.pop(version.hash, None)
            values = await self.stored(version, trail)
            now = cas.now()
            if not needs_renewal(values, now):  # renewed meanwhile
                return values
            renewed = await asyncio.to_thread(
                partial(renew, version.session, values, now, os.urandom, foreign=foreign)
            )
            raw = await self.store(version, renewed)

            def commit(records: Transaction) -> None:
                records.put("values", version.hash, raw)

            await asyncio.wrap_future(phase.store.transact(commit))
            cas.sessions.forget_values(version.hash)
            self._stored[version.hash] = renewed
            return renewed

    async def own(
        self, version: StoredVersion, spec: SecretSpec, trail: _Trail = ()
    ) -> SecretValue:
        """The value of a secret in its own session."""
        if spec.is_foreign or spec.kind == "aad-token":
            return (await self.foreign(version, [spec.name], trail))[spec.name]
        values = await self.current(version, trail)
        if spec.jwt is None:
            return values[spec.name]
        known = self._found.get((version.hash, spec.name))
        if known is not None:
            return known
        self._tokens += 1
        if self._tokens > _MAX_TOKENS:
            raise LimitError(f"expected at most {_MAX_TOKENS} tokens in one request")
        needed = names_for_secret(version.session, spec)
        foreign = await self.foreign(version, sorted(needed), trail)
        usable = {**values, **foreign}
        token = await asyncio.to_thread(mint_jwt, spec, usable, self._cas.now(), None)
        self._found[version.hash, spec.name] = token
        return token

    async def _from_here(
        self, version: StoredVersion, spec: SecretSpec, imported: Import, trail: _Trail
    ) -> SecretValue:
        session = version.session
        try:
            trail = self._step(version, spec, trail)
            asks = Importer(session.name, version.hash)
            name = resolve_name(imported.source.session or "", session.name)
            await self._cas.sessions.fetch_active(self._phase.store, name)
            exporter, there = find_export(
                self._cas, self._phase.store, imported, session.name, asks, admitted=self._admitted
            )
            value = await self.exported(exporter, there, asks, trail)
            self._accept(spec, value)
        except SconeError as error:
            raise error.within(_place(version, spec)) from None
        return value

    async def _from_peer(
        self,
        version: StoredVersion,
        source: SessionReference,
        specs: list[SecretSpec],
        trail: _Trail,
    ) -> dict[str, SecretValue]:
        """Secrets of one session of another CAS, all at once."""
        session = version.session
        wanted = {spec.name: spec.imported.name for spec in specs if spec.imported is not None}
        try:
            if self._local:
                raise ForbiddenError("no other CAS is asked for a public client")
            for spec in specs:
                longer = self._step(version, spec, trail)
            self._calls -= 1
            if self._calls < 0:
                raise LimitError("too many sessions of other CASes would have to be asked")
            question = Question(
                importer=session.name,
                importer_hash=version.hash,
                exporter=resolve_name(source.session or "", session.name),
                exporter_hash=source.session_hash,
                secrets=tuple(sorted(set(wanted.values()))),
                step=self._steps + len(longer),
            )
            values = await self._in_time(self._ask(peer_of(self._phase, source), question))
            found = {spec.name: values[wanted[spec.name]] for spec in specs}
            for spec in specs:
                self._accept(spec, found[spec.name])
        except SconeError as error:
            first, *others = specs
            more = f" (and {len(others)} more)" if others else ""
            raise error.within(_place(version, first) + more) from None
        return found

    async def _ask(self, peer: Peer, question: Question) -> SecretValues:
        cas, loop = self._cas, asyncio.get_running_loop()
        identity = self._phase.keys.tls_identity

        def ask() -> SecretValues:
            channel = PeerChannel.open(peer, identity, cas.now())
            try:
                attesting = asyncio.run_coroutine_threadsafe(attest_cas(cas, channel.nonce), loop)
                return channel.ask(question, attesting.result(_DEADLINE_S))
            except TimeoutError:
                raise NetworkError("this CAS did not get its own evidence in time") from None
            finally:
                channel.close()

        return await cas.calls.run(peer.address, ask)

    async def _in_time(self, call: Coroutine[None, None, _T]) -> _T:
        """What a call to elsewhere gives, as long as the request has time.

        Raises:
            NetworkError: it has none left.
        """
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                return await call
        except TimeoutError:
            raise NetworkError(
                f"what comes from elsewhere did not come within {_DEADLINE_S:g} seconds"
            ) from None

    def _accept(self, spec: SecretSpec, value: SecretValue) -> None:
        """Refuse an imported value of another kind than expected, or more than a request may have.

        Raises:
            ConflictError: another kind.
            LimitError: too large, alone or with what was imported before.
        """
        _require_kind(spec, value)
        size = SecretValues({spec.name: value}).stored_size
        self._bytes += size
        if size > _MAX_IMPORT or self._bytes > MAX_STORED:
            raise LimitError(
                f"expected imported values of at most {_MAX_IMPORT} bytes each and {MAX_STORED} "
                "together, in stored form"
            )

    async def _from_azure(
        self, version: StoredVersion, spec: SecretSpec, trail: _Trail
    ) -> SecretValue:
        """A token, or a secret of a vault with the token and the decryption key that it names."""
        cas, session = self._cas, version.session
        try:
            if self._local:
                raise ForbiddenError("no vault is asked for a public client")
            if spec.aad is not None:
                return AsciiValue(await self._in_time(aad_token(cas, spec.aad)))
            if spec.akv is None:
                raise UsageError(f"secret {spec.name} has nowhere to come from")
            token = await self._token(version, spec.akv.token, trail)
            key = None
            if spec.akv.decryption_key is not None:
                key = await self._decryption_key(version, spec.akv.decryption_key, trail)
            name = spec.akv.secret_name or spec.name
            found = await self._in_time(vault_value(cas, spec.akv.vault, name, token))
            value = vault_secret(found.value, found.content_type, spec.kind, key)
            _require_kind(spec, value)
        except SconeError as error:
            where = "" if spec.akv is None else f" cannot be had from vault {spec.akv.vault}"
            raise error.within(f"secret {spec.name} of session {session.name}{where}") from None
        return value

    async def _token(self, version: StoredVersion, name: str | None, trail: _Trail) -> SecretBytes:
        """The token that is named, or the only one of the session."""
        session = version.session
        tokens = [spec for spec in session.secrets if spec.kind == "aad-token"]
        spec = session.secret(name) if name is not None else tokens[0] if tokens else None
        if spec is None or spec.kind != "aad-token":
            raise UsageError(f"session {session.name} has no aad-token {name or ''}".rstrip())
        value = (await self.foreign(version, [spec.name], trail))[spec.name]
        if not isinstance(value, AsciiValue):
            raise ConflictError(f"secret {spec.name} is no token")
        return value.value

    async def _decryption_key(
        self, version: StoredVersion, name: str, trail: _Trail
    ) -> SecretBytes:
        spec = version.session.secret(name)
        if spec is not None and spec.value is not None and spec.kind == "binary":
            return SecretBytes(bytes.fromhex(spec.value))  # the version may not be stored yet
        if spec is None or (
            not spec.is_foreign
            and self._cas.sessions.stored_secrets(self._phase.store, version.hash) is None
        ):
            raise UsageError(
                f"decryption_key {name} has no value yet, and what is encrypted with it is needed to "
                "make other secrets of this version",
                hint="give it an explicit value, or import it",
            )
        value = await self.own(version, spec, trail)
        if not isinstance(value, BinaryValue):
            raise ConflictError(f"decryption_key {name} is not binary")
        return value.value

    def _step(self, version: StoredVersion, spec: SecretSpec, trail: _Trail) -> _Trail:
        """One import more.

        Raises:
            UsageError: it is a circle.
            LimitError: too many in a row.
        """
        here = (version.session.name, spec.name)
        longer = (*trail, here)
        if here in trail:
            raise _circle()
        if self._steps + len(longer) > MAX_STEPS:
            raise LimitError(f"more than {MAX_STEPS} imports in a row")
        return longer


def _circle() -> _CircleError:
    return _CircleError(
        "the imports go round in a circle",
        hint="one of the sessions must have a value of its own",
    )


def _has_expired(values: SecretValues, now: datetime) -> bool:
    """Whether a certificate that the CAS should have made again is no longer valid."""
    return any(
        now > load_certificate(value.certificate).not_valid_after_utc
        for value in values.values()
        if isinstance(value, CertificateValue) and value.renew_at is not None
    )


def _require_kind(spec: SecretSpec, value: SecretValue) -> None:
    if not is_of_kind(value, spec.kind):
        raise ConflictError(
            f"expected a secret of kind {spec.kind}, got one of another kind",
            hint="change or leave out kind in the import",
        )


def _place(version: StoredVersion, spec: SecretSpec) -> str:
    session, imported = version.session, spec.imported
    if imported is None:
        return f"secret {spec.name} of session {session.name}"
    source = imported.source
    where = f" of the CAS {source.cas_url}" if source.cas_url else ""
    return (
        f"secret {spec.name} of session {session.name} cannot be imported from secret "
        f"{imported.name} of session {source.session}{where}"
    )
