"""Replace the owner configuration: by the owner only."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from scone.cas.keys import store_instance, with_identity
from scone.cas.state import Cas, audit_log
from scone.cas.store.base import Transaction
from scone.errors import ConflictError
from scone.owner_config import OwnerConfig


async def update_config(cas: Cas, config: OwnerConfig) -> None:
    """Store the configuration, reissue the TLS certificate for its names, use both.

    Raises:
        UnavailableError: the audit log that it asks for cannot be opened; nothing was changed.
        ConflictError: it changes what only an update of the root session may change.
    """
    async with cas.changing:
        phase = cas.provisioned
        if config.root_create != phase.config.root_create:
            raise ConflictError(
                f"sessions.root_create was {phase.config.root_create!r} at provisioning and cannot "
                "be changed by a configuration update",
                hint="update the session '/' instead, before any other session exists: its "
                "create_sessions policy decides",
            )
        keys = with_identity(phase.keys, config.api_identity, cas.now())
        audit = phase.audit
        if config.audit_log_mode != phase.config.audit_log_mode:
            audit = audit_log(config, cas.availability, cas.now)
        software = cas.platform.software_at(phase.payload.epoch)

        def commit(records: Transaction) -> None:
            records.put("cas", "owner-config", config.to_json())
            store_instance(records, keys, software)
            for log in {phase.audit, audit}:
                log.append("config_updated")

        await asyncio.wrap_future(phase.store.transact(commit))
        # Requests that wait may still write to the log before: its file closes after them.
        cas.phase = replace(phase, keys=keys, config=config, audit=audit)
        if audit is not phase.audit:
            await asyncio.to_thread(phase.audit.settle)
