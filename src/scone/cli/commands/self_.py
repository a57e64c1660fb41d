"""`scone self`: the identity of this instance of the CLI."""

from __future__ import annotations

import hashlib

import click

from scone.cli import output
from scone.cli.context import config_file, signing_key_pem
from scone.cli.lazy import Entry, LazyGroup
from scone.cli.options import SETTINGS, json_option

_HERE = "scone.cli.commands.self_"
_ENTRIES = {
    "show": Entry(f"{_HERE}:show", "Show certificate, public key hash and session signing key"),
    "show-certificate": Entry(f"{_HERE}:show_certificate", "Print the certificate in PEM"),
    "show-certificate-hash": Entry(
        f"{_HERE}:show_certificate_hash",
        "Print the SHA-256 of the certificate (deprecated in policies)",
    ),
    "show-key-hash": Entry(f"{_HERE}:show_key_hash", "Print the public key hash"),
    "show-session-signing-key": Entry(
        f"{_HERE}:show_session_signing_key", "Print the public key that signs sessions"
    ),
}


@click.group("self", cls=LazyGroup, entries=_ENTRIES, context_settings=SETTINGS)
def self_() -> None:
    """Show the identity of this instance of the CLI; it is made on first use.

    The identity is in the config file. Whoever can read that file can act as this user at every
    CAS: read and update the sessions that this identity may, and change what it owns. Whoever can
    write it decides which CASes are trusted, and so who receives the next sessions.
    """


@click.command("show", context_settings=SETTINGS)
@json_option
def show(as_json: bool) -> None:
    """Show the certificate, the public key hash and the session signing public key."""
    identity = config_file().identity()
    signing = signing_key_pem()
    if as_json:
        output.facts(
            {
                "certificate": identity.certificate_pem,
                "key_hash": identity.key_hash,
                "certificate_hash": _certificate_hash(identity.certificate_pem),
                "session_signing_key": signing,
            }
        )
        return
    output.result(identity.certificate_pem)
    output.result(f"Public key hash: {identity.key_hash}")
    output.result(f"Session signing public key:\n{signing}")


@click.command("show-certificate", context_settings=SETTINGS)
@json_option
def show_certificate(as_json: bool) -> None:
    """Print only the certificate in PEM format."""
    _print("certificate", config_file().identity().certificate_pem, as_json=as_json)


@click.command("show-key-hash", context_settings=SETTINGS)
@json_option
def show_key_hash(as_json: bool) -> None:
    """Print only the public key hash."""
    _print("key_hash", config_file().identity().key_hash, as_json=as_json)


@click.command("show-certificate-hash", context_settings=SETTINGS)
@json_option
def show_certificate_hash(as_json: bool) -> None:
    """Print only the SHA-256 of the certificate's PEM text.

    Access policies that use it do not recognise a renewed certificate: use the key hash.
    """
    pem = config_file().identity().certificate_pem
    _print("certificate_hash", _certificate_hash(pem), as_json=as_json)


@click.command("show-session-signing-key", context_settings=SETTINGS)
@json_option
def show_session_signing_key(as_json: bool) -> None:
    """Print the session signing public key in PEM format."""
    _print("session_signing_key", signing_key_pem(), as_json=as_json)


def _certificate_hash(pem: str) -> str:
    return hashlib.sha256(pem.encode("ascii")).hexdigest()


def _print(name: str, value: str, *, as_json: bool) -> None:
    if as_json:
        output.facts({name: value})
    else:
        output.result(value)
