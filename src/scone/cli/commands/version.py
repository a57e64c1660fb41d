"""`scone version`: what this is, and what it trusts by default."""

from __future__ import annotations

import click

from scone import __version__, release
from scone.cli import output
from scone.cli.options import SETTINGS, json_option


@click.command("version", context_settings=SETTINGS)
@json_option
def version(as_json: bool) -> None:
    """Show the CLI version, and which CAS software is trusted by default."""
    if as_json:
        output.facts(
            {
                "version": __version__,
                "mrsigner": release.RELEASE_MRSIGNER.hex(),
                "isvprodid": release.RELEASE_ISVPRODID,
                "isvsvn_min": release.MIN_ISVSVN,
                "release_signed": _signed(),
                "simulated_mrsigner": release.DEVELOPMENT_MRSIGNER.hex(),
            }
        )
        return
    output.result(f"Scone CLI {__version__}")
    output.result(f"Default MRSIGNER: {release.RELEASE_MRSIGNER.hex()}")
    output.result(f"Default ISVPRODID: {release.RELEASE_ISVPRODID}")
    output.result(f"Minimum ISVSVN: {release.MIN_ISVSVN}")
    output.result(
        "Signed releases: "
        + ("yes" if _signed() else "none yet, so no hardware CAS is trusted by default")
    )
    output.result(
        f"MRSIGNER on simulated platforms (public, for testing): {release.DEVELOPMENT_MRSIGNER.hex()}"
    )


def _signed() -> bool:
    """Whether the constant is a key's hash, and not that of the label that stands in for one."""
    import hashlib

    stand_in = hashlib.sha256(release.RELEASE_SIGNER_LABEL.encode()).digest()
    return stand_in != release.RELEASE_MRSIGNER
