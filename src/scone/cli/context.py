"""What every command needs: the state file, the identity, the CAS in question, a client of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

import click

from scone.cli import output
from scone.cli.state import Config, ConfigFile, read_identity_file
from scone.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from scone.client.cas import CasClient
    from scone.client.known import KnownCas
    from scone.crypto.identity import Identity

_META: Final = "scone.config_file"


def config_file() -> ConfigFile:
    """The state file that this run uses."""
    root = click.get_current_context().find_root()
    found = root.meta.setdefault(_META, ConfigFile(root.params["config"], warn=output.warning))
    return cast(ConfigFile, found)  # one, so that it warns once


def user_identity(path: str | None) -> Identity:
    """The identity of `--identity`, or the CLI's own.

    Raises:
        StateError: the CLI's own cannot be read or made.
        MalformedError: the file holds none.
    """
    return config_file().identity() if path is None else read_identity_file(path, output.warning)


def signing_key_pem() -> str:
    """The public half of the key with which this CLI signs sessions; it is made on first use.

    Raises:
        StateError: it cannot be read or made.
    """
    from scone.crypto.der import to_pem
    from scone.crypto.keys import spki_of_private_key

    return to_pem("PUBLIC KEY", spki_of_private_key(config_file().session_signing_key()))


def select(config: Config, name: str | None) -> KnownCas:
    """The attested CAS of that name or address, or the default one; its dangers are told.

    Raises:
        NotFoundError: no such CAS, or no default.
        StateError: the state is damaged.
    """
    wanted = config.default_cas if name is None else name
    if wanted is None and config.names:
        raise NotFoundError(
            "there is no default CAS",
            hint="choose one: scone cas set-default NAME (scone cas list shows the names)",
        )
    if wanted is None:
        found = "names none" if os.path.exists(config.path) else "does not exist"  # noqa: PTH110 - no pathlib
        raise NotFoundError(
            f"no CAS was attested yet: config file {config.path} {found}",
            hint="attest one: scone cas attest ADDRESS; another config file: --config or SCONE_CLI_CONFIG",
        )
    known = _find(config, wanted)
    tell_dangers(known)
    return known


def tell_dangers(known: KnownCas) -> None:
    """The line that no switch turns off: what does not protect the user."""
    if known.simulated:
        output.message(
            f"SIMULATED CAS {known.name}: it runs on a simulated platform; whoever controls its machine "
            "can read all secrets and forge all evidence"
        )
    if known.debug:
        output.message(
            f"DEBUG CAS {known.name}: it runs in debug mode; whoever controls its machine can read all "
            "secrets"
        )


def open_client(
    cas_name: str | None, identity_path: str | None, retries: int, *, unattested: bool
) -> CasClient:
    """A client of an attested CAS; with `unattested`, of any, and nothing of it is verified.

    Raises:
        NotFoundError: the CAS was not attested.
        SconeError: the state or the identity cannot be used.
    """
    from scone.client.cas import CasClient
    from scone.crypto.identity import parse_identity

    state = config_file()
    config = state.load()
    known = None if unattested else select(config, cas_name)
    identity = user_identity(identity_path)
    if identity_path is None:
        # Read by its form so far; before it is used, the key must be the certificate's.
        identity = parse_identity(identity.pem.reveal(), f"identity in {state.path}")
    if known is not None:
        return CasClient.of(known, identity_pem=identity.pem, retries=retries)
    wanted = cas_name or config.default_cas
    if wanted is None:
        raise UsageError("without an attested CAS, --cas must give an address")
    url = config.cas(wanted).url if wanted in config.names else wanted
    output.message(f"UNVERIFIED CAS {wanted}: nothing about it was verified, as asked for")
    return CasClient.to(url, check_peer=None, identity_pem=identity.pem, retries=retries)


def _find(config: Config, wanted: str) -> KnownCas:
    if wanted in config.names:
        return config.cas(wanted)
    from scone.errors import MalformedError
    from scone.transport.address import parse_address

    try:
        url = parse_address(wanted, default_port=8081).url
    except MalformedError:
        url = ""
    same = [name for name in config.names if config.cas(name).url == url]
    return config.cas(same[0] if same else wanted)
