"""Secrets of a session: making their values, keeping them on updates, rendering them.

`generate` follows the kinds of the session language ("Secret Kinds", "Secret Migration"),
`render` the format suffixes of placeholders. Who may see a value is decided elsewhere.
"""

from scone.session.secrets.generate import generate, needs_renewal, renew
from scone.session.secrets.loading import Loaded
from scone.session.secrets.render import render
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    PrivateKeyValue,
    SecretValue,
    SecretValues,
)

__all__ = [
    "AsciiValue",
    "BinaryValue",
    "CertificateValue",
    "Loaded",
    "PrivateKeyValue",
    "SecretValue",
    "SecretValues",
    "generate",
    "needs_renewal",
    "render",
    "renew",
]
