"""The volumes that a service gets: their keys, states and rules.

A volume without key and tag has a record (collection `volume`), made at the first start that uses
it and found again by the names of its session and itself, whatever becomes of the session's
versions. Where the files lie is the host's business.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import nullcontext

from scone.cas.exports import find_volume
from scone.cas.sessions import SMALL_RECORD, StoredVersion, charge
from scone.cas.state import Cas, Provisioned
from scone.cas.store.base import Transaction
from scone.cas.values import Resolution, of_another
from scone.crypto.secret import SecretBytes
from scone.errors import NotFoundError, SconeError
from scone.service_config.assembly import file_system_key
from scone.service_config.model import ProtectedVolume
from scone.session.model import VOLUME_KEY_BYTES, ImageVolume, Service, Volume
from scone.session.secrets import SecretValues
from scone.session.sharing import resolve_name, volume_policy
from scone.session.uses import names_for_volume


async def volumes_of(
    cas: Cas,
    phase: Provisioned,
    resolution: Resolution,
    version: StoredVersion,
    service: Service,
) -> tuple[ProtectedVolume, ...]:
    """The volumes of the service's image, in its order.

    Raises:
        NotFoundError: an imported volume that is not exported to this session.
        ConflictError: an update policy that the exporter does not allow, or another version.
        LimitError: the namespace of its session is full, and it was not used before.
        UsageError: a key that is none.
    """
    image = version.session.image_of(service)
    if image is None:
        return ()
    return tuple([await _volume(cas, phase, resolution, version, mount) for mount in image.volumes])


async def _volume(
    cas: Cas,
    phase: Provisioned,
    resolution: Resolution,
    version: StoredVersion,
    mount: ImageVolume,
) -> ProtectedVolume:
    volume = version.session.volume(mount.name)
    if volume is None:
        raise NotFoundError(f"session {version.session.name} has no volume {mount.name}")
    owner, policy = version, mount.update_policy
    if volume.imported is not None:
        name = resolve_name(volume.imported.source.session or "", version.session.name)
        await cas.sessions.fetch_active(phase.store, name)
        owner, volume, exported = find_volume(cas, phase.store, version, volume)
        try:
            policy = volume_policy(exported, mount.update_policy)
        except SconeError as error:
            raise error.within(f"volume {mount.name} of session {version.session.name}") from None
    told = of_another(owner, f"volume {volume.name}") if owner is not version else nullcontext()
    with told:
        key, tag = await _state(phase, resolution, owner, volume)
    return ProtectedVolume(mount.name, mount.path, key, tag, volume.files, policy)


async def _state(
    phase: Provisioned,
    resolution: Resolution,
    owner: StoredVersion,
    volume: Volume,
) -> tuple[SecretBytes, bytes | None]:
    """Key and tag of a volume in its own session."""
    if volume.fspf_key is None:
        return await _record(phase, owner.session.name, volume.name)
    values = await resolution.stored(owner)
    names = names_for_volume(owner.session, volume)
    foreign = await resolution.foreign(owner, names)
    key = file_system_key(
        volume.fspf_key,
        SecretValues({**values, **foreign}),
        f"session {owner.session.name} volume {volume.name} fspf_key",
    )
    return key, None if volume.fspf_tag is None else bytes.fromhex(volume.fspf_tag)


async def _record(
    phase: Provisioned, session_name: str, name: str
) -> tuple[SecretBytes, bytes | None]:
    """What is recorded of an automatically initialised volume; a new key the first time."""
    place = f"{session_name} {name}"  # names of sessions have no space
    raw = phase.store.get("volume", place)
    if raw is None:
        made = json.dumps({"key": os.urandom(VOLUME_KEY_BYTES).hex(), "tag": None}).encode()

        def commit(records: Transaction) -> bytes:
            found = records.get("volume", place)
            if found is None:
                charge(records, session_name, SMALL_RECORD, phase.quota)
                records.put("volume", place, made)
            return found or made

        raw = await asyncio.wrap_future(phase.store.transact(commit))
    record = json.loads(raw)
    tag = record["tag"]
    return SecretBytes(bytes.fromhex(record["key"])), None if tag is None else bytes.fromhex(tag)
