"""Tokens that are secrets: JSON Web Tokens (RFC 7519) signed with ES384 (RFC 7518, section 3.4).

Made anew each time they are handed out, never stored. Session language 0.3.12, "JWT".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from scone.crypto.secret import SecretBytes
from scone.errors import LimitError, UsageError
from scone.session.model import RESERVED_CLAIMS, SecretSpec
from scone.session.placeholders import SOFTWARE_IDENTITY, Placeholder, reference
from scone.session.secrets.loading import Loaded
from scone.session.secrets.render import render
from scone.session.secrets.values import AsciiValue, PrivateKeyValue, SecretValue
from scone.strict_json import to_base64url

_HEADER: Final = {"alg": "ES384", "typ": "JWT"}
_SIZE: Final = 48
_MAX_CLAIMS: Final = 64 * 1024


def mint_jwt(
    spec: SecretSpec,
    values: Mapping[str, SecretValue],
    now: dt.datetime,
    software_identity: str | None,
) -> AsciiValue:
    """A token valid from now on, signed by the private key that `spec` names.

    A claim that is one placeholder and nothing else is replaced by the text of the secret, or by
    `software_identity`, the measurement of the program that gets the token.

    Raises:
        UsageError: not a jwt; the signer is not a P-384 key; a claim that the CAS sets; a secret
            that is not text; no program whose software identity could be meant.
        LimitError: names and texts of the claims have more than 65536 bytes.
        NotFoundError: a claim names a secret that is not in `values`.
    """
    place = f"secret {spec.name}"
    if spec.jwt is None:
        raise UsageError(f"{place}: expected a secret of kind jwt, got {spec.kind}")
    key = jwt_signing_key(spec, values)
    claims: dict[str, str | int] = {}
    left = _MAX_CLAIMS
    for name, text in spec.jwt.payload:
        if name in RESERVED_CLAIMS:
            raise UsageError(f"{place}: payload.{name} is set by the CAS")
        meant = reference(text)
        claims[name] = (
            text
            if meant is None
            else _claim(meant, values, software_identity, f"{place}: payload.{name}")
        )
        left -= len(f"{name}{claims[name]}".encode())
        if left < 0:
            raise LimitError(f"{place}: expected claims of at most {_MAX_CLAIMS} bytes, got more")
    issued = int(now.timestamp())
    claims |= {"iat": issued, "nbf": issued, "exp": issued + spec.jwt.valid_for.seconds}
    signed = _part(_HEADER) + b"." + _part(claims)
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
    signature = r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")
    return AsciiValue(SecretBytes(signed + b"." + to_base64url(signature).encode()))


def jwt_signing_key(
    spec: SecretSpec, values: Mapping[str, SecretValue]
) -> ec.EllipticCurvePrivateKey:
    """The key that signs a jwt secret.

    Raises:
        UsageError: there is no such private key, or it is not P-384.
    """
    name = "" if spec.jwt is None else spec.jwt.signer
    value = values.get(name)
    if not isinstance(value, PrivateKeyValue):
        raise UsageError(
            f"secret {spec.name}: expected the name of a private-key secret as signer, got {name!r}"
        )
    key = Loaded().key(value.pkcs8)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
        raise UsageError(
            f"secret {spec.name}: ES384 needs a P-384 key, the signer {name!r} is of another type",
            hint="write key_type: P-384 in the signer",
        )
    return key


def _claim(
    meant: Placeholder,
    values: Mapping[str, SecretValue],
    software_identity: str | None,
    place: str,
) -> str:
    if meant.builtin == SOFTWARE_IDENTITY:
        if software_identity is None:
            raise UsageError(
                f"{place}: there is no software identity, for no program was attested",
                hint="a session with mode: none attests no program",
            )
        return software_identity
    try:
        return render(values, meant).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"{place}: expected text, got bytes that are not UTF-8",
            hint="choose a text format, such as :base64",
        ) from None


def _part(value: Mapping[str, str | int] | Mapping[str, str]) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return to_base64url(text.encode()).encode()
