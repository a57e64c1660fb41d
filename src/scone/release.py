"""Constants of a release: who signs it, what it is, and the first version that counts.

No release has been signed yet. `RELEASE_MRSIGNER` is therefore a
nothing-up-my-sleeve value, SHA-256 of `RELEASE_SIGNER_LABEL`: no signing key hashes
to it, so the default policy refuses every hardware CAS until a key exists.

The development signer is public and proves nothing: its key is SHA-256 of
`DEVELOPMENT_SIGNER_LABEL` and stands in this file. It signs what runs on the
simulated platform and has no signature of its own.
"""

from __future__ import annotations

from typing import Final

RELEASE_SIGNER_LABEL: Final = "scone-cas release signer: no release has been signed yet"
RELEASE_MRSIGNER: Final = bytes.fromhex(
    "2db7a79939ef266486485bfcc61fcfbbf10f5b534486b24bcdc64d6746587d8e"
)
"""MRSIGNER of a released CAS."""

RELEASE_ISVPRODID: Final = 41316
"""Product number of a CAS, as SCONE's."""

MIN_ISVSVN: Final = 1
"""Lowest security version of a CAS that the CLI accepts by default."""

DEVELOPMENT_SIGNER_LABEL: Final = "scone-cas insecure public development signer"
DEVELOPMENT_SIGNING_KEY: Final = bytes.fromhex(
    "0691d1e00c45eda701a9c024ecf6dee93da0a5264982514415bd00ac7df1c0ce"
)
"""INSECURE: seed of the public Ed25519 development signer (everybody has it)."""

DEVELOPMENT_MRSIGNER: Final = bytes.fromhex(
    "3009ff853bceeab40a7c3f90267e4a6f28c550eb9dff6389d1e2e17829833496"
)
"""SHA-256 of the development signer's raw public key."""
