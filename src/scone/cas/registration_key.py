"""The key of a backup before it opens anything: sealed, beside the path of its database.

Its public half goes to the primary, bound by a quote; its private half opens the stanza that
the primary makes for it, also after a restart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from scone.cas.files import write_atomically
from scone.crypto import sealing
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError
from scone.tee.base import Tee

_LABEL: Final = b"scone-cas-registration-key-v1"


def registration_key_path(database: Path) -> Path:
    """Where the sealed private key of a registration lies."""
    return database.with_name(database.name + ".registration-key")


def load_registration_key(path: Path, tee: Tee) -> SecretBytes | None:
    """The private key of an earlier registration, or None.

    Raises:
        IntegrityError: the file was made on another machine or by other software.
    """
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return SecretBytes(sealing.open_sealed(tee.sealing_key(_LABEL.decode()), sealed, _LABEL))
    except IntegrityError as error:
        raise IntegrityError(
            f"{path}: the registration key was sealed on another machine or by other software",
            hint="register this CAS as a backup again",
        ) from error


def load_or_create_registration_key(path: Path, tee: Tee) -> SecretBytes:
    """The private key of an earlier registration, or a new one.

    Raises:
        IntegrityError: as `load_registration_key`.
        StateError: the disk does not take it.
    """
    found = load_registration_key(path, tee)
    if found is not None:
        return found
    private = sealing.new_x25519_key(os.urandom)
    sealed = sealing.seal(tee.sealing_key(_LABEL.decode()), private.reveal(), _LABEL, os.urandom)
    write_atomically(path, sealed)
    return private
