"""`scone cert`: X.509 certificates in files."""

from __future__ import annotations

import click

from scone.cli import output
from scone.cli.files import read_small, read_standard_input
from scone.cli.lazy import Entry, LazyGroup
from scone.cli.options import SETTINGS, json_option
from scone.cli.parameters import FileName
from scone.crypto.der import pem_blocks, spki_of_certificate
from scone.crypto.keyhash import key_hash
from scone.errors import MalformedError

_MAX_BYTES = 1024 * 1024

_ENTRIES = {
    "show-key-hash": Entry(
        "scone.cli.commands.cert:show_key_hash", "Print the hash of a certificate's public key"
    )
}


@click.group("cert", cls=LazyGroup, entries=_ENTRIES, context_settings=SETTINGS)
def cert() -> None:
    """Work with X.509 certificates."""


@click.command("show-key-hash", context_settings=SETTINGS)
@click.argument("file", metavar="FILE", type=FileName())
@json_option
def show_key_hash(file: str, as_json: bool) -> None:
    """Print the hash of the public key of the first certificate in FILE (PEM); - reads standard input."""
    place = "standard input" if file == "-" else f"certificate file {file!r}"
    try:
        text = _bytes(file).decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError(place, "a certificate in PEM", "bytes that are not ASCII") from None
    found = next((b.der for b in pem_blocks(text, place) if b.label == "CERTIFICATE"), None)
    if found is None:
        raise MalformedError(place, "a certificate in PEM", "none")
    try:
        value = key_hash(spki_of_certificate(found))
    except MalformedError as error:
        raise error.within(f"{place}: the certificate cannot be read") from None
    output.facts({"key_hash": value}) if as_json else output.result(value)


def _bytes(file: str) -> bytes:
    if file != "-":
        return read_small(file, "certificate file", _MAX_BYTES)
    return read_standard_input("FILE", _MAX_BYTES)
