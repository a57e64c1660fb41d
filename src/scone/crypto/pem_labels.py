"""The PEM labels of private keys that are not plain PKCS#8, each with the command that converts.

Refused rather than converted: SCONE takes PKCS#8 alone (documentation page CAS_config, "Private
Keys"). No import of `cryptography`: every command that shows the identity comes through here.
"""

from __future__ import annotations

from typing import Final

from scone.errors import MalformedError

_HINT_SEC1: Final = "convert it with: openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.pkcs8.pem"
_REFUSED_LABELS: Final = {
    "RSA PRIVATE KEY": "a PKCS#1 RSA key",
    "EC PRIVATE KEY": "a SEC 1 elliptic-curve key",
    "EC PARAMETERS": "curve parameters of a SEC 1 elliptic-curve key",
    "DSA PRIVATE KEY": "a DSA key",
    "ENCRYPTED PRIVATE KEY": "an encrypted PKCS#8 key",
    "OPENSSH PRIVATE KEY": "a key in OpenSSH's own format",
}


def refuse_foreign_key_format(label: str, place: str) -> None:
    """Refuse the PEM labels of private keys that are not plain PKCS#8, with the way out.

    Raises:
        MalformedError: PKCS#1, SEC 1, encrypted, OpenSSH and DSA keys.
    """
    if label not in _REFUSED_LABELS:
        return
    hint = _HINT_SEC1
    if label == "RSA PRIVATE KEY":
        hint = (
            "convert it with: openssl pkcs8 -topk8 -inform PEM -outform PEM -nocrypt "
            "-in pkcs1.key -out pkcs8.key"
        )
    elif label == "OPENSSH PRIVATE KEY":
        hint = "convert it with: ssh-keygen -p -m PKCS8 -f key"
    elif label == "DSA PRIVATE KEY":
        hint = "make a new key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
    elif label == "ENCRYPTED PRIVATE KEY":
        hint = "remove the encryption: openssl pkcs8 -in key.pem -out key.pkcs8.pem"
    raise MalformedError(
        place, "an unencrypted PKCS#8 private key", _REFUSED_LABELS[label], hint=hint
    )
