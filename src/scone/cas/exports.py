"""Who may have what of which session here: exports as imports find them, and the CASes that imports name.

Nothing is fetched: no value is read and no other CAS is asked. The rules are those of
`scone.session.sharing`.
"""

from __future__ import annotations

from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas, Provisioned
from scone.cas.store.base import Records
from scone.client.peer import Peer
from scone.errors import ConflictError, ForbiddenError, NotFoundError, SconeError, UsageError
from scone.session.model import Import, SecretSpec, SessionReference, TagPolicy, Volume
from scone.session.sharing import Importer, importable, resolve_name, volume_for
from scone.transport.address import CLIENT_PORT, is_allowed, parse_address

Admitted = dict[tuple[str, str, Importer], bool]
"""What was decided before: (hash of the exporter, secret, who asks) -> whether they may have it."""


def find_export(
    cas: Cas,
    records: Records,
    imported: Import,
    importer_name: str,
    asks: Importer,
    *,
    admitted: Admitted | None = None,
) -> tuple[StoredVersion, SecretSpec]:
    """The active version of the exporting session and its secret, if the importer may have it.

    One text for all that must not be told apart. What was decided is kept in `admitted`: a secret
    may have tens of thousands of exports, and be imported as often.

    Raises:
        NotFoundError: no such session, no such secret, or not exported to the importer.
        ConflictError: the active version is not the one that the import names.
    """
    exporter = resolve_name(imported.source.session or "", importer_name)
    version = cas.sessions.active(records, exporter)
    spec = None if version is None else version.session.secret(imported.name)
    if version is None or spec is None:
        raise _not_exported("secret", imported.name, exporter, asks)
    known: Admitted = {} if admitted is None else admitted
    key = version.hash, spec.name, asks
    if key not in known:
        known[key] = importable(spec, exporter, asks)
    if not known[key]:
        raise _not_exported("secret", imported.name, exporter, asks)
    _require_version(version, imported.source)
    return version, spec


def find_volume(
    cas: Cas, records: Records, version: StoredVersion, volume: Volume
) -> tuple[StoredVersion, Volume, TagPolicy]:
    """The exporting session of an imported volume, the volume there, and what is allowed with it.

    Raises:
        NotFoundError: no such session, no such volume, or not exported to this session.
        ConflictError: the active version is not the one that the import names.
    """
    imported = volume.imported
    if imported is None or imported.source.session is None:
        raise UsageError(f"volume {volume.name} of session {version.session.name} is not imported")
    asks = Importer(version.session.name, version.hash)
    name = resolve_name(imported.source.session, version.session.name)
    exporter = cas.sessions.active(records, name)
    found = None if exporter is None else volume_for(exporter.session, imported.name, asks)
    if exporter is None or found is None:
        raise _not_exported("volume", imported.name, name, asks).within(
            f"volume {volume.name} of session {version.session.name}"
        )
    _require_version(exporter, imported.source)
    return exporter, *found


def unresolved_imports(
    cas: Cas, phase: Provisioned, version: StoredVersion
) -> tuple[tuple[str, str], ...]:
    """Imports of a version that would fail now, as (path, message); no other CAS is asked.

    Such a session may be created: an import is evaluated when it is needed.
    """
    warnings: list[tuple[str, str]] = []
    admitted: Admitted = {}
    session = version.session
    asks = Importer(session.name, version.hash)
    for at, spec in enumerate(session.secrets):
        if spec.imported is None:
            continue
        source = spec.imported.source
        try:
            if source.cas_url is not None:
                peer_of(phase, source)
            else:
                find_export(cas, phase.store, spec.imported, session.name, asks, admitted=admitted)
        except SconeError as error:
            warnings.append((f"secrets[{at}].import", str(error)))
    for at, volume in enumerate(session.volumes):
        if volume.imported is None:
            continue
        try:
            find_volume(cas, phase.store, version, volume)
        except SconeError as error:
            warnings.append((f"volumes[{at}].import", str(error)))
    return tuple(warnings)


def peer_of(phase: Provisioned, source: SessionReference) -> Peer:
    """The other CAS that an import names.

    Raises:
        ForbiddenError: the owner of this CAS has not allowed its address.
    """
    address = parse_address(source.cas_url or "", default_port=CLIENT_PORT, place="cas_url")
    if not is_allowed(address, phase.config.sharing_allowed_addresses):
        raise ForbiddenError(
            f"this CAS is not allowed to connect to {address}",
            hint=f'its owner can allow it: sharing.allowed_addresses = ["{address}"] in the owner '
            "configuration (scone cas update-config)",
        )
    return Peer(address, source.cas_key, source.cas_software_key)


def _not_exported(what: str, name: str, exporter: str, asks: Importer) -> NotFoundError:
    where = f" of the CAS with the CAS key {asks.cas_key_hash}" if asks.is_remote else ""
    return NotFoundError(
        f"there is no session {exporter}, it has no {what} {name}, or it does not export it to "
        f"session {asks.name}{where}",
        hint=f"the owner of session {exporter} has to export it to session {asks.name}{where}; an "
        "export with session_hash holds for that version only",
    )


def _require_version(exporter: StoredVersion, source: SessionReference) -> None:
    if source.session_hash not in {None, exporter.hash}:
        raise ConflictError(
            f"session {exporter.session.name} has another active version than the import names: "
            f"expected the hash {source.session_hash}",
            hint="look at what has changed there, then update session_hash in the import",
        )
