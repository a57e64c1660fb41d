"""Tokens of Microsoft Azure Attestation: genuine, current, and what they say of an SGX enclave.

A JSON Web Token (RFC 7515, 7519) of API version 2022-08-01, signed by a key of the service's set
(RFC 7517), which the caller fetched over TLS. Of the token's own header only `alg` and `kid` count.
Nothing here decides whether a claim is acceptable; that is `appraise`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, InitVar, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from scone.errors import MalformedError, VerificationError
from scone.strict_json import (
    JsonObject,
    JsonValue,
    bool_of,
    decode,
    hex_of,
    int_of,
    list_of,
    parse_base64,
    parse_base64url,
    read_object,
    text_of,
)

API_VERSION: Final = "2022-08-01"
_PROOF: Final = object()
_MIN_BITS: Final = 2048
_MAX_BITS: Final = 8192
_MAX_TOKEN: Final = 64 * 1024
_MAX_KEYS: Final = 256 * 1024
_SKEW: Final = timedelta(minutes=2)
"""How far the clocks of the service and of this machine may differ, for the beginning only."""
_MAX_SECONDS: Final = 253_402_300_799  # the end of the year 9999
_PLACE: Final = "token of Microsoft Azure Attestation"


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What the token says of the enclave's report, under the names of `ReportBody`."""

    mrenclave: bytes
    mrsigner: bytes
    isvprodid: int
    isvsvn: int
    debug: bool
    report_data: bytes


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a genuine token says; only `verify_token` can make one."""

    report: TokenReport
    issuer: str
    valid_until: datetime
    _: KW_ONLY
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only verify_token() makes VerifiedToken")

    @property
    def debug(self) -> bool:
        """Whether a debugger can read everything in the enclave."""
        return self.report.debug


def verify_token(token: str, keys: bytes, issuer: str, now: datetime) -> VerifiedToken:
    """What a token says, after proof that this issuer (a URL) made it and that it holds at `now`.

    `keys` is the issuer's set of keys (`<url>/certs`) as received.

    Raises:
        MalformedError: not a token, not a set of keys, or a claim of another type.
        VerificationError: not signed by one of the keys, of another issuer, not valid now.
    """
    if now.tzinfo is None:
        raise TypeError("now must be an aware datetime")
    # 1. Shape.
    if len(token) > _MAX_TOKEN or not token.isascii() or token.count(".") != 2:
        raise MalformedError(_PLACE, f"three parts of at most {_MAX_TOKEN} characters together")
    signed, _, last = token.rpartition(".")
    head, _, body = signed.partition(".")
    header = _json(head, f"{_PLACE}.header")

    # 2. Signature, by the key that the header names and by no other algorithm.
    algorithm, key_id = text_of(header, "alg", _PLACE), text_of(header, "kid", _PLACE)
    if algorithm != "RS256":
        raise VerificationError(f"{_PLACE}: expected the algorithm RS256, got {algorithm[:32]!r}")
    if "crit" in header:
        raise VerificationError(f"{_PLACE}: its header has extensions that must be understood")
    key = _key(keys, key_id)
    try:
        key.verify(
            parse_base64url(last, _PLACE, _MAX_TOKEN),
            signed.encode("ascii"),
            padding.PKCS1v15(),
            SHA256(),
        )
    except InvalidSignature:
        raise VerificationError(f"{_PLACE}: its signature is wrong") from None

    # 3. Issuer and time.
    claims = _json(body, f"{_PLACE}.claims")
    found = text_of(claims, "iss", _PLACE)
    if found.rstrip("/") != issuer.rstrip("/"):
        raise VerificationError(f"{_PLACE}: expected the issuer {issuer}, got {found[:256]!r}")
    begin, end = _time(claims, "nbf"), _time(claims, "exp")
    if now >= end:
        raise VerificationError(f"{_PLACE}: it ended at {end:%Y-%m-%d %H:%M:%S} UTC")
    if now < begin - _SKEW:
        raise VerificationError(
            f"{_PLACE}: it begins at {begin:%Y-%m-%d %H:%M:%S} UTC only",
            hint="is the clock of the CAS right?",
        )

    # 4. Claims.
    for name, expected in (("x-ms-ver", "1.0"), ("x-ms-attestation-type", "sgx")):
        value = text_of(claims, name, _PLACE)
        if value != expected:
            raise VerificationError(f"{_PLACE}.{name}: expected {expected}, got {value[:32]!r}")
    report = TokenReport(
        mrenclave=hex_of(claims, "x-ms-sgx-mrenclave", _PLACE, 32),
        mrsigner=hex_of(claims, "x-ms-sgx-mrsigner", _PLACE, 32),
        isvprodid=int_of(claims, "x-ms-sgx-product-id", _PLACE, 0xFFFF),
        isvsvn=int_of(claims, "x-ms-sgx-svn", _PLACE, 0xFFFF),
        debug=bool_of(claims, "x-ms-sgx-is-debuggable", _PLACE),
        report_data=hex_of(claims, "x-ms-sgx-report-data", _PLACE, 64),
    )
    return VerifiedToken(report, issuer, end, proof=_PROOF)


def _key(keys: bytes, key_id: str) -> rsa.RSAPublicKey:
    """The key of that name: of its certificate (`x5c`), or of `n` and `e`."""
    place = "keys of Microsoft Azure Attestation"
    document = read_object(decode(keys, place, _MAX_KEYS), place)
    found = [
        entry
        for entry in list_of(document, "keys", place)
        if isinstance(entry, dict) and entry.get("kid") == key_id
    ]
    if len(found) != 1:
        raise VerificationError(
            f"{_PLACE}: expected one key {key_id[:128]!r} among those of its issuer, "
            f"got {len(found)}"
        )
    entry = found[0]
    try:
        key = _certified(entry, place) if "x5c" in entry else _numbers(entry, place)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise MalformedError(place, "an RSA key in x5c, or in n and e") from None
    if not isinstance(key, rsa.RSAPublicKey) or not _MIN_BITS <= key.key_size <= _MAX_BITS:
        size = f"{key.key_size} bits" if isinstance(key, rsa.RSAPublicKey) else "another type"
        raise VerificationError(f"{place}: expected an RSA key of {_MIN_BITS} bits, got {size}")
    return key


def _certified(entry: Mapping[str, JsonValue], place: str) -> object:
    first, *_ = [*list_of(entry, "x5c", place), None]
    der = parse_base64(first, f"{place}.x5c", _MAX_KEYS)
    return x509.load_der_x509_certificate(der).public_key()


def _numbers(entry: Mapping[str, JsonValue], place: str) -> object:
    n, e = (
        int.from_bytes(parse_base64url(text_of(entry, name, place), place, _MAX_KEYS), "big")
        for name in "ne"
    )
    return rsa.RSAPublicNumbers(e, n).public_key()


def _json(part: str, place: str) -> JsonObject:
    return read_object(decode(parse_base64url(part, place, _MAX_TOKEN), place, _MAX_TOKEN), place)


def _time(claims: JsonObject, name: str) -> datetime:
    return datetime.fromtimestamp(int_of(claims, name, _PLACE, _MAX_SECONDS), UTC)
