"""Read the public secrets of a session: anybody may, and learns of no other secret."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TypeAlias

from scone.cas.sessions import StoredVersion
from scone.cas.state import Cas
from scone.cas.values import Resolution
from scone.crypto.certificates import load_certificate
from scone.errors import IntegrityError, NotFoundError, SconeError, StateError
from scone.session.model import SecretSpec
from scone.session.placeholders import Placeholder
from scone.session.secrets.render import render
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PgpKeyValue,
    PrivateKeyValue,
    PublicKeyValue,
    SecretValue,
)
from scone.session.sharing import ValuesPath

PublicValue: TypeAlias = dict[str, str | None]
"""`kind`, `value`, and for certificates `expires` and `renew` (RFC 3339, UTC)."""


async def read_values(cas: Cas, path: ValuesPath) -> dict[str, PublicValue]:
    """The public secrets by name: the one that is asked for, or all, but for those of elsewhere.

    What comes from another CAS or a vault is left out: an anonymous request makes this CAS call
    nobody. `session_hash` finds a session only where its hash is public, that is with a salt.

    Raises:
        NotFoundError: nothing of that is public, whether or not it exists.
    """
    phase = cas.provisioned
    version = await cas.sessions.fetch_active(phase.store, path.session)
    resolution = Resolution(cas, phase, local=True)
    found: dict[str, PublicValue] = {}
    if version is not None and (
        path.session_hash is None
        # Without a salt, a right hash confirms all that somebody guesses of a session.
        or (version.salted and path.session_hash == version.hash)
    ):
        for spec in version.session.secrets:
            if spec.export_public and path.secret in {None, spec.name}:
                await asyncio.sleep(0)  # there may be thousands, and few that wait for something
                value = await _value(resolution, version, spec)
                if value is not None:
                    found[spec.name] = value
    if found:
        return found
    where = f"'/session={path.session}' requested by a public client"
    if path.secret is None:
        raise NotFoundError(
            "Session does not exist or has no secret that is visible for a public client"
        ).within(f"Failed to read values of {where}")
    raise NotFoundError("Secret does not exist or is not visible for a public client").within(
        f"Failed to read value '{path.secret}' of {where}"
    )


async def _value(
    resolution: Resolution, version: StoredVersion, spec: SecretSpec
) -> PublicValue | None:
    """None where the value cannot be had now, or not for an anonymous request."""
    try:
        return _public(spec, await resolution.own(version, spec))
    except (IntegrityError, StateError):  # of this CAS itself
        raise
    except SconeError:
        return None


def _public(spec: SecretSpec, value: SecretValue) -> PublicValue:
    expires = renew = None
    match value:
        case AsciiValue():
            kind, form = "string", ""
        case BinaryValue():
            kind, form = "binary", "hex"
        case PrivateKeyValue():
            kind, form = "private-key", "pem"
        case PublicKeyValue():
            kind, form = "public-key", "spki:pem"
        case PgpKeyValue():
            kind, form = "pgp-key", "privatekey:asciiarmored"
        case FragmentValue(data):
            return {"kind": "config-fragment", "value": data, "expires": None, "renew": None}
        case CertificateValue(certificate):
            kind, form = spec.kind or "x509", "crt:pem"
            expires = _time(load_certificate(certificate).not_valid_after_utc)
            renew = None if value.renew_at is None else _time(value.renew_at)
    text = render({spec.name: value}, Placeholder(spec.name, form)).decode()
    return {"kind": kind, "value": text, "expires": expires, "renew": renew}


def _time(when: dt.datetime) -> str:
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
