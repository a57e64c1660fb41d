"""Secrets of a session: making their values, keeping them on updates, rendering them.

`generate` follows the kinds of the session language ("Secret Kinds", "Secret Migration"),
`render` the format suffixes of placeholders. Who may see a value is decided elsewhere.
"""

from scone.session.secrets.generate import generate, needs_renewal, renew
from scone.session.secrets.jwt import mint_jwt
from scone.session.secrets.loading import Loaded
from scone.session.secrets.render import render
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PgpKeyValue,
    PrivateKeyValue,
    PublicKeyValue,
    SecretValue,
    SecretValues,
    without_private_key,
)

__all__ = [
    "AsciiValue",
    "BinaryValue",
    "CertificateValue",
    "FragmentValue",
    "Loaded",
    "PgpKeyValue",
    "PrivateKeyValue",
    "PublicKeyValue",
    "SecretValue",
    "SecretValues",
    "generate",
    "mint_jwt",
    "needs_renewal",
    "render",
    "renew",
    "without_private_key",
]
