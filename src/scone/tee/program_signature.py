"""Who signed a simulated program: `<program>.scone-signature.json` beside it.

Form in docs/formats/simulated-measurement.md. MRSIGNER is the SHA-256 of the signer's raw
Ed25519 public key. A program without the file counts as signed by the public development
signer, which proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scone.crypto.secret import SecretBytes
from scone.errors import AppraisalError, MalformedError, UsageError, VerificationError
from scone.release import DEVELOPMENT_MRSIGNER, MIN_ISVSVN, RELEASE_ISVPRODID
from scone.strict_json import bool_of, decode, hex_of, int_of, keys, read_object
from scone.tee.base import EnclaveIdentity

SIGNATURE_SUFFIX: Final = ".scone-signature.json"

_LABEL: Final = b"scone-sim-signature-1\0"
_MAX_BYTES: Final = 4096
_UINT16: Final = 0xFFFF


def signature_path(program: str) -> str:
    """Where the signature of a program lies."""
    return program + SIGNATURE_SUFFIX


def sign_program(
    seed: SecretBytes, mrenclave: bytes, *, isvprodid: int, isvsvn: int, debug: bool = False
) -> bytes:
    """The content of a signature file, by the Ed25519 key with this 32-byte seed.

    Raises:
        UsageError: a number that is not 16 bits, a measurement or seed that is not 32 bytes.
    """
    if len(mrenclave) != 32 or len(seed) != 32:
        raise UsageError("signature: expected a measurement and a seed of 32 bytes each")
    for name, value in (("isvprodid", isvprodid), ("isvsvn", isvsvn)):
        if not 0 <= value <= _UINT16:
            raise UsageError(f"{name}: expected 0 to {_UINT16}, got {value}")
    key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
    document: dict[str, object] = {
        "measurement": mrenclave.hex(),
        "isvprodid": isvprodid,
        "isvsvn": isvsvn,
        "debug": debug,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(_signed(mrenclave, isvprodid, isvsvn, debug)).hex(),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_signature(raw: bytes, mrenclave: bytes, place: str) -> EnclaveIdentity:
    """The identity that a signature file gives to a measured program.

    Raises:
        MalformedError: it is not a signature file.
        AppraisalError: it is for another measurement.
        VerificationError: the signature is not by its key.
    """
    value = read_object(decode(raw, place, _MAX_BYTES), place)
    required = ("measurement", "isvprodid", "isvsvn", "debug", "public_key", "signature")
    keys(value, place, required, ())
    signed = hex_of(value, "measurement", place, 32)
    isvprodid = int_of(value, "isvprodid", place, _UINT16)
    isvsvn = int_of(value, "isvsvn", place, _UINT16)
    debug = bool_of(value, "debug", place)
    public_key = hex_of(value, "public_key", place, 32)
    signature = hex_of(value, "signature", place, 64)
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, _signed(signed, isvprodid, isvsvn, debug))
    except ValueError as error:
        raise MalformedError(f"{place}.public_key", "an Ed25519 public key") from error
    except InvalidSignature:
        raise VerificationError(f"{place}: the signature is not by its public key") from None
    if signed != mrenclave:
        raise AppraisalError(
            f"{place}: signed the measurement {signed.hex()}, but the program has {mrenclave.hex()}",
            hint="sign the program again, or remove the file",
        )
    return EnclaveIdentity(mrenclave, hashlib.sha256(public_key).digest(), isvprodid, isvsvn, debug)


def identity_of(mrenclave: bytes, path: str) -> EnclaveIdentity:
    """The identity of a measured program: by its signature file, or the development signer.

    Raises:
        UsageError: the file is there and cannot be read, or is not regular.
        SconeError: as `read_signature`.
    """
    try:
        # Not blocking: the path may name a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            raw = os.read(descriptor, _MAX_BYTES + 1) if regular else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return EnclaveIdentity(mrenclave, DEVELOPMENT_MRSIGNER, RELEASE_ISVPRODID, MIN_ISVSVN)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not regular:
        raise UsageError(f"{path}: cannot be read: expected a regular file")
    return read_signature(raw, mrenclave, path)


def _signed(mrenclave: bytes, isvprodid: int, isvsvn: int, debug: bool) -> bytes:
    document = {
        "measurement": mrenclave.hex(),
        "isvprodid": isvprodid,
        "isvsvn": isvsvn,
        "debug": debug,
    }
    return _LABEL + json.dumps(document, separators=(",", ":")).encode()
