"""The bytes that a placeholder stands for: format suffixes, JSON escaping, legacy dots.

Suffixes as in the session language 0.3, "Secret Kinds". A secret whose whole name is written
wins over a legacy suffix (`.crt .key .chain .hex`) of a shorter name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives._serialization import _KeySerializationEncryption
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from scone.crypto.der import to_pem
from scone.crypto.keys import private_key_pem
from scone.crypto.pgp import pgp_armor, pgp_public_key
from scone.crypto.secret import SecretBytes
from scone.errors import NotFoundError, UsageError
from scone.session.placeholders import Placeholder
from scone.session.secrets.loading import Loaded
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

_BINARY: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    "bin": bytes,
    "hex": lambda value: value.hex().encode("ascii"),
    ".hex": lambda value: value.hex().encode("ascii"),
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "base32nopad": lambda value: base64.b32encode(value).rstrip(b"="),
}
_KEY_PEM: Final = ("", "pem", "pkcs8:pem")
_KEY_DER: Final = ("der", "pkcs8:der")
_PUBLIC_KEY: Final = ("", "spki:pem", "spki:der")
_PGP: Final = (
    "privatekey:asciiarmored", "privatekey:binary", "privatekey:base64",
    "publickey:asciiarmored", "publickey:binary", "publickey:base64",
)  # fmt: skip
_CERTIFICATE: Final = (
    "crt", "crt:pem", "crt:der",
    "privatekey", "privatekey:pem", "privatekey:pkcs8:pem", "privatekey:der", "privatekey:pkcs8:der",
    "chain", "pkcs12-with-private-key",
)  # fmt: skip
# JSON lets these stand; YAML's double-quoted strings, for which the result is also meant, do not.
_ALSO_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def render(
    values: Mapping[str, SecretValue], placeholder: Placeholder, loaded: Loaded | None = None
) -> bytes:
    """The bytes to put in the place of a placeholder; `loaded` is shared by those of one text.

    Raises:
        NotFoundError: no secret of this name.
        UsageError: a format that the secret's kind does not have, a private key that is not
            there, JSON escaping of bytes that are not text, a config-fragment, a built-in value.
    """
    if placeholder.builtin:
        raise UsageError(
            f"{placeholder}: a built-in value stands only in the payload of a jwt secret, alone"
        )
    meant = placeholder.meant(values)
    if meant is not None:
        name, form = meant
        content = _formatted(name, values[name], form, loaded or Loaded())
        return _escaped(name, content) if placeholder.escape_json else content
    raise NotFoundError(f"{placeholder}: the session has no secret of this name")


def _formatted(name: str, value: SecretValue, form: str, loaded: Loaded) -> bytes:
    match value:
        case AsciiValue(content):
            if form:
                raise _no_such_format(name, "an ascii secret", form, ())
            return content.reveal()
        case BinaryValue(content):
            if form not in _BINARY:
                raise _no_such_format(name, "a binary secret", form, tuple(_BINARY))
            return _BINARY[form](content.reveal())
        case PrivateKeyValue(pkcs8):
            if form not in _KEY_PEM + _KEY_DER:
                raise _no_such_format(name, "a private key", form, _KEY_PEM + _KEY_DER)
            return _key(pkcs8, form)
        case PublicKeyValue(spki_der):
            if form not in _PUBLIC_KEY:
                raise _no_such_format(name, "a public key", form, _PUBLIC_KEY)
            return spki_der if form == "spki:der" else to_pem("PUBLIC KEY", spki_der).encode()
        case PgpKeyValue(secret_key):
            return _pgp(name, secret_key, form)
        case FragmentValue():
            raise UsageError(
                f"secret {name}: a config-fragment stands in sections of the session's "
                "configuration only, not in arguments, variables or files"
            )
        case CertificateValue():
            return _certificate(name, value, form, loaded)


def _pgp(name: str, secret_key: SecretBytes, form: str) -> bytes:
    part, _, encoding = form.partition(":")
    if form not in _PGP:
        raise _no_such_format(name, "an OpenPGP key", form, _PGP)
    private = part == "privatekey"
    content = secret_key.reveal() if private else pgp_public_key(secret_key, f"secret {name}")
    match encoding:
        case "asciiarmored":
            return pgp_armor("PRIVATE KEY" if private else "PUBLIC KEY", content)
        case "base64":
            return base64.b64encode(content)
        case _:
            return content


def _certificate(name: str, value: CertificateValue, form: str, loaded: Loaded) -> bytes:
    match form:
        case "" | "crt" | "crt:pem" | ".crt":
            return _pem(value.certificate)
        case "crt:der":
            return value.certificate
        case "chain":
            return b"".join(map(_pem, value.chain))
        case ".chain":
            return b"".join(map(_pem, (*reversed(value.chain), value.certificate)))
        case "pkcs12-with-private-key":
            return _pkcs12(name, value, loaded)
        case ".key":
            return _key(_private_key(name, value), "pem")
        case _ if form.partition(":")[0] == "privatekey" and form in _CERTIFICATE:
            return _key(_private_key(name, value), form.partition(":")[2])
        case _:
            raise _no_such_format(name, "a certificate", form, _CERTIFICATE)


def _private_key(name: str, value: CertificateValue) -> SecretBytes:
    if value.private_key is None:
        raise UsageError(f"secret {name}: the certificate's private key is not in this session")
    return value.private_key


def _key(pkcs8: SecretBytes, form: str) -> bytes:
    return pkcs8.reveal() if form in _KEY_DER else private_key_pem(pkcs8).reveal()


def _pem(der: bytes) -> bytes:
    return to_pem("CERTIFICATE", der).encode("ascii")


def _pkcs12(name: str, value: CertificateValue, loaded: Loaded) -> bytes:
    # Documented as encrypted under the empty string. Without encryption Java finds no key in
    # the archive, and the library's public builder refuses the empty password.
    encryption = _KeySerializationEncryption(
        PrivateFormat.PKCS12,
        b"",
        kdf_rounds=2048,
        hmac_hash=hashes.SHA256(),
        key_cert_algorithm=pkcs12.PBES.PBESv2SHA256AndAES256CBC,
    )
    return pkcs12.serialize_key_and_certificates(
        name.encode("utf-8"),
        loaded.key(_private_key(name, value)),
        loaded.certificate(value.certificate),
        [loaded.certificate(issuer) for issuer in value.chain],
        encryption,
    )


def _escaped(name: str, content: bytes) -> bytes:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"secret {name}: expected text for escape(json), got bytes that are not UTF-8",
            hint="choose a text format, such as :base64",
        ) from None
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    escaped = _ALSO_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
    return escaped.encode("utf-8")


def _no_such_format(name: str, kind: str, form: str, known: tuple[str, ...]) -> UsageError:
    shown = ", ".join(f":{item}" for item in known if item and not item.startswith("."))
    expected = f"one of {shown}" if shown else "no format"
    written = form if form.startswith(".") else f":{form}" if form else "none"
    return UsageError(f"secret {name}: {kind} has the format {expected}, got {written}")
