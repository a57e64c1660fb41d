"""`scone session`: from session files to sessions in a CAS, and back.

stdout is the hash, or the session, and nothing else.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from scone.cli import output
from scone.cli.lazy import Entry, LazyGroup
from scone.cli.options import (
    SETTINGS,
    identity_option,
    json_option,
    network_options,
    template_options,
)
from scone.errors import (
    MalformedError,
    NotFoundError,
    SconeError,
    UnsupportedError,
    UsageError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scone.client.cas import CasClient, Created
    from scone.documents import Problem
    from scone.session import Checked, Session

_HERE = "scone.cli.commands.session"
_ENTRIES = {
    "calculate-hash": Entry(f"{_HERE}:calculate_hash", "Print the hash of a session file"),
    "check": Entry(f"{_HERE}:check", "Check a session file, and print the session"),
    "create": Entry(f"{_HERE}:create", "Upload a session, and print its hash"),
    "read": Entry(f"{_HERE}:read", "Print an active session"),
    "update": Entry(f"{_HERE}:update", "Update a session, and print its hash"),
    "verify": Entry(f"{_HERE}:verify", "Compare an active session with a session file"),
    "sign": Entry("scone.cli.commands.absent:later", "Not in this version yet", hidden=True),
    "encrypt": Entry("scone.cli.commands.absent:later", "Not in this version yet", hidden=True),
}
_NO_CREATOR = (
    "Cannot calculate session hash! The session, explicitly or through the default access policy, "
    "references its creator. If not explicitly specified in the session, the creator is automatically "
    "assigned to the identity uploading the session. You may use --with-self-as-creator to pretend you "
    "created the session, or remove all creator references."
)
_MAX_FILE_BYTES = 4 * 1024 * 1024  # the language's own limit is lower and names the line
_MAX_DIFFERENCES = 50


@click.group("session", cls=LazyGroup, entries=_ENTRIES, context_settings=SETTINGS)
def session() -> None:
    """Check, upload, read and verify sessions."""


@click.command("check", context_settings=SETTINGS)
@template_options
@json_option
def check(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    as_json: bool,
) -> None:
    """Check the session in FILE; on success it is printed."""
    from scone.session import to_yaml

    checked = _read(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    ).session
    text = to_yaml(checked)
    if as_json:
        output.facts({"name": checked.name, "session": text})
    else:
        output.result(text)


@click.command("calculate-hash", context_settings=SETTINGS)
@template_options
@identity_option
@click.option(
    "--with-self-as-creator",
    metavar="IDENTITY",
    type=click.Choice(["tls", "signer"]),
    help="If the session needs a creator and names none, take this CLI's identity (tls or signer).",
)
@json_option
def calculate_hash(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    identity_path: str | None,
    with_self_as_creator: str | None,
    as_json: bool,
) -> None:
    """Print the hash of the session in FILE."""
    from scone.session import references_creator, session_hash

    checked = _read(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    ).session
    if checked.creator is None and references_creator(checked):
        if with_self_as_creator is None:
            raise SconeError(_NO_CREATOR)
        if with_self_as_creator == "signer":
            raise UnsupportedError(
                "--with-self-as-creator signer: signed sessions are not supported by this version yet"
            )
        checked = checked.with_creator(_certificate(identity_path))
    _print_hash(checked.name, session_hash(checked), as_json=as_json)


@click.command("create", context_settings=SETTINGS)
@template_options
@network_options
@json_option
def create(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Upload the session in FILE, and print its hash.

    If a session of that name exists, FILE must name it as its predecessor.
    """
    from scone.cli.session_context import open_client

    checked = _read(file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env)
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            created = _upload(client, checked.session, checked.warnings)
        except SconeError as error:
            raise error.within("Creating session failed") from error
    _print_hash(checked.session.name, created.hash, as_json=as_json)


@click.command("update", context_settings=SETTINGS)
@template_options
@network_options
@json_option
def update(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Update an existing session to that in FILE, and print the new hash.

    If FILE names no predecessor, the active session is read and filled in.
    """
    from scone.cli.session_context import open_client

    checked = _read(file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env)
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            # Read in any case: an update never creates.
            session = checked.session
            active = _active(client, session.name)
            if session.predecessor is None:
                session = session.with_predecessor(active.hash)
            created = _upload(client, session, checked.warnings)
        except SconeError as error:
            raise error.within("Updating session failed") from error
    _print_hash(checked.session.name, created.hash, as_json=as_json)


@click.command("verify", context_settings=SETTINGS)
@template_options
@network_options
@json_option
def verify(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Compare the active session with that in FILE, and print its hash.

    A predecessor or creator that FILE does not name may be any.
    """
    from scone.cli.session_context import open_client
    from scone.session import differences, read_session, session_hash

    checked = _read(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    ).session
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            found = client.read_session(checked.name)
        except SconeError as error:
            raise error.within("Verifying session failed") from error
    active = read_session(found.text, source="active session").session
    computed = session_hash(active)
    if computed != found.hash:
        raise VerificationError(
            f"the CAS says that the hash of its session is {found.hash}, but it is {computed}"
        ).within("Verifying session failed")
    different = differences(checked, active)
    if different:
        mismatch = SconeError("Verifying session failed")
        shown = different[:_MAX_DIFFERENCES]
        if len(different) > len(shown):
            shown.append(f"… and {len(different) - len(shown)} more")
        mismatch.messages = (
            "Verifying session failed",
            f"The active session {checked.name} differs from {file!r}",
            *shown,
        )
        raise mismatch
    _print_hash(checked.name, computed, as_json=as_json)


@click.command("read", context_settings=SETTINGS)
@click.argument("name", metavar="NAME")
@network_options
@json_option
def read(
    *,
    name: str,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Print the active session of that name; generated secrets are not part of it."""
    from scone.cli.session_context import open_client
    from scone.session.names import canonical_name

    if not name:
        raise UsageError(
            "NAME: expected the name of a session, or / for the root, got an empty text"
        )
    try:
        wanted = name if name == "/" else canonical_name(name.strip("/"))
    except MalformedError as error:
        raise UsageError(str(error), hint=error.hint) from error
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            found = client.read_session(wanted)
        except SconeError as error:
            raise error.within("Reading session failed") from error
    if as_json:
        simulated = None if client.known is None else client.known.simulated
        output.facts(
            {"name": wanted, "hash": found.hash, "simulated": simulated, "session": found.text}
        )
    else:
        output.result(found.text)


def _read(
    file: str, given: tuple[str, ...], *, fail_on_warning: bool, name: str | None, use_env: bool
) -> Checked:
    """The session in a file, after substitution; its warnings are told, or end the command."""
    from scone.cli.secret_values import SecretReader
    from scone.session import read_session

    secrets = SecretReader(stdin_user="FILE" if file == "-" else "")
    variables = _environment() if use_env else {}
    variables |= secrets.variables(given)
    text = _text(file)
    _refuse_signed(text, file)
    secrets.warn_unused(text)
    checked = read_session(text, source=file, variables=variables, name=name)
    for problem in checked.warnings:
        output.warning(str(problem))
    if checked.warnings and fail_on_warning:
        raise SconeError(
            f"{file}: {len(checked.warnings)} warning(s), and --fail-on-warning is given"
        )
    return checked


def _environment() -> dict[str, str]:
    """The environment as far as it is text."""
    return {
        name: value
        for name, value in os.environ.items()
        if not any("\udc80" <= character <= "\udcff" for character in value)
    }


def _text(file: str) -> str:
    from scone.cli.files import read_small

    if file == "-":
        raw = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise UsageError(f"standard input: expected at most {_MAX_FILE_BYTES} bytes")
    else:
        raw = read_small(file, "session file", _MAX_FILE_BYTES)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"session file {file!r}", "text in UTF-8", f"another byte at offset {error.start}"
        ) from None


def _refuse_signed(text: str, file: str) -> None:
    """Signed and encrypted sessions are JSON of another shape than a session's."""
    if not text.lstrip().startswith("{"):
        return
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return  # perhaps YAML; its reader will tell
    if isinstance(document, dict) and ("encrypted_session" in document or "signatures" in document):
        raise UnsupportedError(
            f"{file}: signed and encrypted sessions are not supported by this version yet"
        )


def _active(client: CasClient, name: str) -> Created:
    from scone.client.cas import Created

    try:
        return Created(client.read_session(name).hash, ())
    except NotFoundError as error:
        error.hint = error.hint or "create it first: scone session create"
        raise


def _upload(client: CasClient, session: Session, told: Iterable[Problem]) -> Created:
    """Upload; of the CAS's warnings only those that were not told already."""
    from scone.session import to_yaml

    created = client.create_session(to_yaml(session))
    known = {f"{problem.path}: {problem.message}" for problem in told}
    for line in created.warnings:
        if line not in known:
            output.warning(line)
    return created


def _certificate(identity_path: str | None) -> str:
    """The certificate of the identity; a file may hold it without the key."""
    from scone.cli.files import read_small
    from scone.cli.session_context import user_identity
    from scone.crypto.der import pem_blocks, spki_of_certificate, to_pem

    if identity_path is None:
        return user_identity(None).certificate_pem
    place = f"identity file {identity_path!r}"
    try:
        text = read_small(identity_path, "identity file").decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError(place, "PEM", "bytes that are not ASCII") from None
    blocks = pem_blocks(text, place)
    if [block.label for block in blocks] != ["CERTIFICATE"]:
        return user_identity(identity_path).certificate_pem
    spki_of_certificate(blocks[0].der)
    return to_pem("CERTIFICATE", blocks[0].der)


def _print_hash(name: str, value: str, *, as_json: bool) -> None:
    if as_json:
        output.facts({"name": name, "hash": value})
    else:
        output.result(value)
