"""Signed sessions: a session's text with signatures over its meaning.

What is signed is the hash of the session as the CAS reads it, not the text, so that text
and meaning cannot differ (docs/formats/signed-session.md). Nothing here decides what a
signer may do: that is `access`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from scone.crypto.der import pem_to_der, to_pem
from scone.crypto.keyhash import parse_key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, MalformedError, UsageError, VerificationError
from scone.session.canonical import session_hash
from scone.session.model import Session
from scone.session.pem import ED25519_SPKI_PREFIX, signing_key_text
from scone.strict_json import (
    JsonObject,
    JsonValue,
    bounded_text_of,
    hex_of,
    keys,
    list_of,
    read_object,
    text_of,
)

LABEL: Final = b"scone-signed-session-v1\0"
MAX_SIGNATURES: Final = 64
"""More signers than any governance has; bounds what checking costs."""
MAX_BYTES: Final = 1_500_000
"""Of the document: a session of 1 MiB escaped as JSON, which in base64 the CAS still takes."""
_PLACE: Final = "signed session"
_MAX_SIGNER: Final = 1024
_MAX_KEY_HASH: Final = 64
_ED25519_BYTES: Final = 64
_P384_BYTES: Final = 96
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signer's consent: to this session, on one CAS or any, until a time or for ever.

    `signer` is PEM in normal form; `signature` has 64 bytes (Ed25519) or 96 (P-384, r and s).
    """

    signer: str
    signature: bytes
    cas_key: str | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignedSession:
    """The text of a session and its signatures, none of them verified yet."""

    text: str = field(repr=False)
    signatures: tuple[Signature, ...] = ()

    def with_signature(self, signature: Signature) -> SignedSession:
        """The same with one more signature; an earlier one of the same signer is replaced."""
        others = tuple(one for one in self.signatures if one.signer != signature.signer)
        return replace(self, signatures=(*others, signature))

    def to_json(self) -> str:
        """The document, on one line.

        Raises:
            LimitError: it is larger, or has more signatures, than a CAS takes.
        """
        document = json.dumps(
            {"session": self.text, "signatures": [_written(one) for one in self.signatures]},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if len(document.encode()) > MAX_BYTES or len(self.signatures) > MAX_SIGNATURES:
            raise LimitError(
                f"{_PLACE}: expected at most {MAX_BYTES} bytes and {MAX_SIGNATURES} signatures"
            )
        return document


def parse_signed(text: str) -> SignedSession:
    """The signed session in a JSON document; nothing is verified here.

    Raises:
        MalformedError: another form.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise MalformedError(_PLACE, f"at most {MAX_BYTES} bytes", "more")
    document = read_object(text, _PLACE)
    keys(document, _PLACE, ("session", "signatures"), ())
    listed = list_of(document, "signatures", _PLACE)
    if not 1 <= len(listed) <= MAX_SIGNATURES:
        raise MalformedError(
            f"{_PLACE}.signatures", f"1 to {MAX_SIGNATURES} signatures", f"{len(listed)}"
        )
    signatures = tuple(
        _read(item, f"{_PLACE}.signatures[{index}]") for index, item in enumerate(listed)
    )
    return SignedSession(text_of(document, "session", _PLACE), signatures)


def message_to_be_signed(
    session: Session, *, cas_key_hash: str | None, not_after: datetime | None
) -> bytes:
    """The bytes that a signer signs: label, then compact JSON (UTF-8).

    `cas_key_hash` None stands for any CAS, `not_after` None for no limit.
    """
    return _message(session.name, session_hash(session), cas_key_hash, not_after)


def sign_session(
    session: Session,
    private_key: SecretBytes,
    *,
    cas_key_hash: str | None,
    not_after: datetime | None,
) -> Signature:
    """The signature by an Ed25519 private key (PKCS#8 DER).

    Raises:
        UsageError: a key of another type.
        MalformedError: not a private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from scone.crypto.keys import load_private_key, spki_of_private_key

    key = load_private_key(private_key)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("only an Ed25519 key signs sessions here")
    message = message_to_be_signed(session, cas_key_hash=cas_key_hash, not_after=not_after)
    signer = to_pem("PUBLIC KEY", spki_of_private_key(private_key))
    return Signature(signer, key.sign(message), cas_key_hash, not_after)


def signature_from(
    signer: str, raw: bytes, *, cas_key_hash: str | None, not_after: datetime | None
) -> Signature:
    """A signature as other tools make it, not verified; `signer` is PEM.

    Ed25519: 64 bytes. P-384 with SHA-384: DER as of `openssl dgst`, or r and s of 48 bytes each.

    Raises:
        MalformedError: another signer, or a signature of another form.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    pem = signing_key_text(signer, place="signer")
    if _is_ed25519(pem):
        if len(raw) != _ED25519_BYTES:
            raise MalformedError(
                "signature", f"{_ED25519_BYTES} bytes for an Ed25519 signer", f"{len(raw)}"
            )
    elif len(raw) != _P384_BYTES:
        try:
            raw = b"".join(part.to_bytes(48, "big") for part in decode_dss_signature(raw))
        except (ValueError, OverflowError):
            raise MalformedError(
                "signature",
                f"an ECDSA signature in DER or {_P384_BYTES} bytes for a P-384 signer",
                f"another {len(raw)} bytes",
            ) from None
    return Signature(pem, raw, cas_key_hash, not_after)


def verified_signers(
    signed: SignedSession, session: Session, *, cas_key_hash: str | None, now: datetime | None
) -> tuple[str, ...]:
    """Who signed: distinct public keys in PEM (normal form), after all signatures verified.

    `session` is what `read_session(signed.text)` gave. `cas_key_hash` is the CAS that asks;
    None where none does (the CLI), and `now` None where a signature may have expired since.

    Raises:
        VerificationError: a wrong or expired signature, or one for another CAS.
    """
    hashed = session_hash(session)
    for number, one in enumerate(signed.signatures, 1):
        place = f"signature {number} of session {session.name!r}"
        if cas_key_hash is not None and one.cas_key not in {None, cas_key_hash}:
            raise VerificationError(
                f"{place}: is for the CAS {one.cas_key}, and this is {cas_key_hash}"
            )
        if now is not None and expired(one, now):
            raise VerificationError(
                f"{place}: expired at {time_text(one.not_after)}", hint="sign the session again"
            )
        _verify(one, _message(session.name, hashed, one.cas_key, one.not_after), place)
    return tuple(dict.fromkeys(one.signer for one in signed.signatures))


def expired(signature: Signature, now: datetime) -> bool:
    """Whether its `not_after` is over; that second still counts."""
    return signature.not_after is not None and now.replace(microsecond=0) > signature.not_after


def time_text(moment: datetime | None) -> str | None:
    """A time in UTC as documents and messages have it: `2026-12-31T23:59:59Z`."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(name: str, hashed: str, cas_key_hash: str | None, not_after: datetime | None) -> bytes:
    claims = {
        "cas_key": cas_key_hash,
        "name": name,
        "session_hash": hashed,
        "not_after": time_text(not_after),
    }
    return LABEL + json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()


def _verify(one: Signature, message: bytes, place: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(one.signer.encode())
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(one.signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
            r, s = (int.from_bytes(one.signature[at : at + 48], "big") for at in (0, 48))
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA384()))
        else:
            raise VerificationError(f"{place}: is by a key of another type")
    except InvalidSignature:
        raise VerificationError(
            f"{place}: is not by this signer over this session",
            hint="the text was changed after it was signed, or the signer is another one",
        ) from None


def _is_ed25519(pem: str) -> bool:
    return pem_to_der(pem, "PUBLIC KEY", "signer").startswith(ED25519_SPKI_PREFIX)


def _read(item: JsonValue, place: str) -> Signature:
    if not isinstance(item, dict):
        raise MalformedError(place, "an object", type(item).__name__)
    keys(item, place, ("signer", "signature"), ("cas_key", "not_after"))
    signer = signing_key_text(
        bounded_text_of(item, "signer", place, _MAX_SIGNER), place=f"{place}.signer"
    )
    length = _ED25519_BYTES if _is_ed25519(signer) else _P384_BYTES
    cas_key = None
    if "cas_key" in item:
        cas_key = bounded_text_of(item, "cas_key", place, _MAX_KEY_HASH)
        parse_key_hash(cas_key, place=f"{place}.cas_key")
    return Signature(
        signer, hex_of(item, "signature", place, length), cas_key, _not_after(item, place)
    )


def _not_after(item: JsonObject, place: str) -> datetime | None:
    if "not_after" not in item:
        return None
    text = bounded_text_of(item, "not_after", place, 20)
    try:
        if _TIME.fullmatch(text):
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise MalformedError(f"{place}.not_after", "a time such as 2026-12-31T23:59:59Z")


def _written(one: Signature) -> dict[str, str]:
    written = {"signer": one.signer, "signature": one.signature.hex()}
    if one.cas_key is not None:
        written["cas_key"] = one.cas_key
    if one.not_after is not None:
        written["not_after"] = time_text(one.not_after) or ""
    return written
