"""Values of a session in a key vault, encrypted (page "Session Language 0.3", "Secret Backends").

The stored form is cut into parts that fit into a vault's value. Each is encrypted by AES-256-GCM
under a key of this version alone, which stays in the database with the tags; part N is found as
`cas-<session hash>-<its tag>`. What is deleted, changed or rolled back in the vault no longer fits
the tags. Format in docs/formats/azure.md.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scone.cas.azure import set_vault_value, vault_value
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, NotFoundError, VerificationError
from scone.session.secrets import SecretValues
from scone.strict_json import to_base64

if TYPE_CHECKING:
    from scone.cas.state import Cas

_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_PART_BYTES: Final = 18_000  # 24,000 characters of base64; a vault takes 25 KB
_MAX_PARTS: Final = 32


async def store_in_vault(
    cas: Cas, vault: str, session_hash: str, token: SecretBytes, values: SecretValues
) -> bytes:
    """Put values into a vault; gives the record for the database, which opens them again.

    Raises:
        LimitError: more than 32 parts of 18000 bytes.
        SconeError: as `set_vault_value`.
    """
    raw = values.to_json()
    parts = [raw[at : at + _PART_BYTES] for at in range(0, len(raw), _PART_BYTES)]
    if len(parts) > _MAX_PARTS:
        raise LimitError(
            f"expected secret values of at most {_MAX_PARTS * _PART_BYTES} bytes for a vault, "
            f"got {len(raw)}",
            hint="store them in the CAS (store_in: !cas), or divide the session",
        )
    key = os.urandom(_KEY_BYTES)
    tags = []
    for number, part in enumerate(parts):
        place = _place(session_hash, number, len(parts))
        sealed = AESGCM(key).encrypt(_nonce(number), part, place)
        tag = sealed[-_TAG_BYTES:].hex()
        text = to_base64(sealed[:-_TAG_BYTES])
        await set_vault_value(cas, vault, _name(session_hash, tag), token, text)
        tags.append(tag)
    return json.dumps({"key": key.hex(), "tags": tags}, separators=(",", ":")).encode()


async def load_from_vault(
    cas: Cas, vault: str, session_hash: str, token: SecretBytes, record: bytes
) -> SecretValues:
    """The values that `store_in_vault` put into a vault.

    Raises:
        VerificationError: they were deleted, changed or rolled back there.
        SconeError: as `vault_value`.
    """
    document = json.loads(record)
    key, tags = bytes.fromhex(document["key"]), document["tags"]
    parts = []
    for number, tag in enumerate(tags):
        name = _name(session_hash, tag)
        try:
            found = await vault_value(cas, vault, name, token)
            sealed = base64.b64decode(found.value.reveal(), validate=True) + bytes.fromhex(tag)
            place = _place(session_hash, number, len(tags))
            parts.append(AESGCM(key).decrypt(_nonce(number), sealed, place))
        except NotFoundError:
            raise _tampered(vault, name, "is missing") from None
        except (InvalidTag, ValueError):
            raise _tampered(vault, name, "is another than the CAS put there") from None
    return SecretValues.from_json(b"".join(parts))


def _name(session_hash: str, tag: str) -> str:
    return f"cas-{session_hash}-{tag}"


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")  # the key is used for the parts of one set only


def _place(session_hash: str, number: int, count: int) -> bytes:
    return f"{session_hash} {number} {count}".encode()


def _tampered(vault: str, name: str, what: str) -> VerificationError:
    return VerificationError(
        f"the secrets of this session in vault {vault} were tampered with: {name} {what}",
        hint="the session cannot be used until the vault has this value again (an administrator "
        "may be able to recover it); otherwise make a session with another name",
    )
