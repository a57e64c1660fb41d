"""Encrypted sessions: a signed session that only one CAS can read (HPKE, RFC 9180).

Encryption says nothing of who wrote the session; the signatures inside do
(docs/formats/signed-session.md).
"""

from __future__ import annotations

import json
from typing import Final

from scone.crypto.sealing import hpke_open, hpke_seal, x25519_public_key
from scone.crypto.secret import SecretBytes
from scone.errors import IntegrityError, MalformedError
from scone.session.signed import MAX_BYTES
from scone.strict_json import base64_of, hex_of, keys, read_object, to_base64

INFO: Final = b"scone-encrypted-session-v1"
_PLACE: Final = "encrypted session"
# HPKE adds the encapsulated key (32 bytes) and a tag (16).
_MAX_SEALED: Final = MAX_BYTES + 48
_MAX_DOCUMENT: Final = _MAX_SEALED // 3 * 4 + 1024


def encrypted_document(signed_json: str, public_key: bytes) -> str:
    """The document that only the CAS with this session encryption key (X25519) can read.

    Raises:
        MalformedError: the key is none, or the signed session is larger than one can be.
    """
    plaintext = signed_json.encode()
    if len(plaintext) > MAX_BYTES:
        raise MalformedError(_PLACE, f"a signed session of at most {MAX_BYTES} bytes", "more")
    sealed = hpke_seal(public_key, INFO, b"", plaintext)
    return json.dumps(
        {"encrypted_session": to_base64(sealed), "encryption_key": public_key.hex()},
        separators=(",", ":"),
    )


def parse_encrypted(text: str) -> tuple[bytes, bytes]:
    """What is encrypted, and the public key that it is encrypted to.

    Raises:
        MalformedError: another form.
    """
    if len(text) > _MAX_DOCUMENT:
        raise MalformedError(_PLACE, f"at most {_MAX_DOCUMENT} bytes", "more")
    document = read_object(text, _PLACE)
    keys(document, _PLACE, ("encrypted_session", "encryption_key"), ())
    return (
        base64_of(document, "encrypted_session", _PLACE, _MAX_SEALED),
        hex_of(document, "encryption_key", _PLACE, 32),
    )


def decrypt_session(body: str, private_key: SecretBytes) -> str:
    """The signed session (JSON) in a document; `private_key` is X25519, 32 bytes.

    Raises:
        MalformedError: another form, encrypted to another key, or altered.
    """
    sealed, public_key = parse_encrypted(body)
    own = x25519_public_key(private_key)
    if public_key != own:
        raise MalformedError(
            f"{_PLACE}.encryption_key",
            f"the session encryption key of this CAS, {own.hex()}",
            public_key.hex(),
            hint="encrypt it for this CAS: scone session encrypt --cas CAS",
        )
    try:
        plaintext = hpke_open(private_key, INFO, b"", sealed, _PLACE)
        return plaintext.reveal().decode()
    except (IntegrityError, UnicodeDecodeError):
        raise MalformedError(
            f"{_PLACE}.encrypted_session", "a session encrypted to this key", "an altered one"
        ) from None
