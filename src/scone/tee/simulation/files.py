"""A simulated platform in a directory: vendor.json, platform.json (0600), root.pem.

A directory is made whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scone.attestation.certificates import translated
from scone.attestation.sgx.tcb import TcbStatus
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, StateError
from scone.files import sync
from scone.strict_json import (
    JsonObject,
    JsonValue,
    bool_of,
    decode,
    hex_of,
    keys,
    object_of,
    read_object,
    text_of,
)
from scone.tee.simulation.platform import Secrets, SimulatedPlatform, parse_level
from scone.tee.simulation.vendor import Authority, SimulatedVendor

_VENDOR: Final = "vendor.json"
_PLATFORM: Final = "platform.json"
_ROOT: Final = "root.pem"
_FORMAT_VENDOR: Final = "scone-simulated-vendor-v1"
_FORMAT_PLATFORM: Final = "scone-simulated-platform-v1"
_MAX_FILE_BYTES: Final = 64 * 1024
_WARNING: Final = "INSECURE: whoever reads this can forge evidence"


def create(
    directory: Path,
    *,
    join: Path | None = None,
    tcb: str = TcbStatus.UP_TO_DATE,
    smt: bool = False,
    now: datetime | None = None,
) -> SimulatedPlatform:
    """A new machine kept in a new directory, under a new root or that of `join`.

    Raises:
        UsageError: not the name of a TCB level.
        StateError: the directory exists and is not empty, or cannot be written.
        MalformedError: the directory to join holds something else.
    """
    now = now or datetime.now(UTC)
    vendor = SimulatedVendor.generate(now) if join is None else _load_vendor(join)
    platform = SimulatedPlatform.generate(vendor, now, tcb=tcb, smt=smt)
    contents = {
        _VENDOR: json.dumps(_vendor_object(vendor), indent=1).encode(),
        _PLATFORM: json.dumps(_platform_object(platform), indent=1).encode(),
        _ROOT: vendor.root.pem.encode(),
    }
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        if directory.exists() and any(directory.iterdir()):
            raise StateError(
                f"{directory}: not empty, so no simulated platform is made in it",
                hint="name another folder"
                + (", or remove this one" if (directory / _PLATFORM).exists() else ""),
            )
        _write_whole(directory, contents)
    except OSError as error:
        raise StateError(f"{directory}: {error.strerror or error}") from error
    return platform


def load(directory: Path) -> SimulatedPlatform:
    """The machine that a directory holds.

    Raises:
        StateError: it cannot be read, or others may read it.
        MalformedError: it holds something else.
    """
    vendor = _load_vendor(directory)
    place = str(directory / _PLATFORM)
    value = _read(directory / _PLATFORM, _FORMAT_PLATFORM)
    keys(
        value,
        place,
        ("format", "warning", "tcb", "smt", "qe_id", "pck", "attestation_key", "sealing_secret"),
        (),
    )
    secrets = Secrets(
        pck=_authority(value, "pck", place),
        attestation_key=_key(text_of(value, "attestation_key", place), f"{place}.attestation_key"),
        sealing=SecretBytes(hex_of(value, "sealing_secret", place, 32)),
        qe_id=hex_of(value, "qe_id", place, 16),
    )
    return SimulatedPlatform(
        vendor=vendor,
        secrets=secrets,
        tcb=parse_level(text_of(value, "tcb", place)),
        smt=bool_of(value, "smt", place),
    )


def _write_whole(directory: Path, contents: dict[str, bytes]) -> None:
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))  # 0700
    try:
        for name, data in contents.items():
            descriptor = os.open(made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync(made)
        try:
            made.rename(directory)  # replaces an empty directory, never one with content
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise StateError(f"{directory}: somebody else made it at the same time") from error
            raise
        sync(directory.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _load_vendor(directory: Path) -> SimulatedVendor:
    place = str(directory / _VENDOR)
    value = _read(directory / _VENDOR, _FORMAT_VENDOR)
    keys(value, place, ("format", "warning", "root", "pck_ca", "tcb_signer"), ())
    return SimulatedVendor(
        root=_authority(value, "root", place),
        pck_ca=_authority(value, "pck_ca", place),
        tcb_signer=_authority(value, "tcb_signer", place),
    )


def _read(path: Path, expected: str) -> JsonObject:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise StateError(
            f"{path}: no simulated platform here", hint="las --simulation makes one"
        ) from error
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    if mode & 0o077:
        raise StateError(
            f"{path}: others can read or write it (mode {mode & 0o777:04o}, expected 0600)",
            hint=f"chmod 600 {path}",
        )
    value = read_object(decode(raw, str(path), _MAX_FILE_BYTES), str(path))
    if value.get("format") != expected:
        raise MalformedError(f"{path}.format", expected, repr(value.get("format"))[:64])
    return value


def _authority_object(authority: Authority) -> JsonObject:
    return {
        "key": authority.private_pem().reveal().decode(),
        "certificate": authority.pem,
    }


def _vendor_object(vendor: SimulatedVendor) -> JsonObject:
    return {
        "format": _FORMAT_VENDOR,
        "warning": _WARNING,
        "root": _authority_object(vendor.root),
        "pck_ca": _authority_object(vendor.pck_ca),
        "tcb_signer": _authority_object(vendor.tcb_signer),
    }


def _platform_object(platform: SimulatedPlatform) -> JsonObject:
    secrets = platform.secrets
    key: JsonValue = (
        Authority(secrets.attestation_key, secrets.pck.certificate).private_pem().reveal().decode()
    )
    return {
        "format": _FORMAT_PLATFORM,
        "warning": _WARNING,
        "tcb": platform.tcb.value,
        "smt": platform.smt,
        "qe_id": secrets.qe_id.hex(),
        "pck": _authority_object(secrets.pck),
        "attestation_key": key,
        "sealing_secret": secrets.sealing.reveal().hex(),
    }


def _authority(value: JsonObject, name: str, place: str) -> Authority:
    inner, place = object_of(value, name, place), f"{place}.{name}"
    keys(inner, place, ("key", "certificate"), ())
    with translated(f"{place}.certificate", "a PEM certificate"):
        certificate = x509.load_pem_x509_certificate(text_of(inner, "certificate", place).encode())
        public = certificate.public_key()
    key = _key(text_of(inner, "key", place), f"{place}.key")
    if public != key.public_key():
        raise MalformedError(place, "a key and its certificate", "two that do not belong together")
    return Authority(key, certificate)


def _key(pem: str, place: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: the reason may quote the key.
        raise MalformedError(place, "a PKCS#8 private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedError(place, "a P-256 key", type(key).__name__)
    return key
