"""`scone session`: from session files to sessions in a CAS, and back.

stdout is the hash, or the session, and nothing else.
"""

from __future__ import annotations

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
    SconeError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scone.cli.session_files import Loaded
    from scone.client.cas import CasClient, Created
    from scone.documents import Problem

_HERE = "scone.cli.commands.session"
_ENTRIES = {
    "calculate-hash": Entry(f"{_HERE}:calculate_hash", "Print the hash of a session file"),
    "check": Entry(f"{_HERE}:check", "Check a session file, and print the session"),
    "create": Entry(f"{_HERE}:create", "Upload a session, and print its hash"),
    "read": Entry(f"{_HERE}:read", "Print an active session"),
    "update": Entry(f"{_HERE}:update", "Update a session, and print its hash"),
    "verify": Entry(f"{_HERE}:verify", "Compare an active session with a session file"),
    "diff": Entry(f"{_HERE}_diff:diff", "Show what a new version changes in rights"),
    "explain": Entry(
        f"{_HERE}_explain:explain", "Say whether evidence gets a configuration, and why"
    ),
    "apply": Entry(f"{_HERE}_tools:apply", "Create or update a session, or leave an equal one"),
    "list": Entry(f"{_HERE}_tools:list_", "List the sessions in a namespace"),
    "history": Entry(f"{_HERE}_tools:history", "List the versions of a session"),
    "fmt": Entry(f"{_HERE}_tools:fmt", "Lay a session file out"),
    "graph": Entry(f"{_HERE}_tools:graph", "Draw sessions and what they share"),
    "schema": Entry(f"{_HERE}_schema:schema", "Print the JSON Schema of session files"),
    "encrypt": Entry(f"{_HERE}_sign:encrypt", "Encrypt a session for one CAS"),
    "sign": Entry(f"{_HERE}_sign:sign", "Sign a session, or add a signature"),
}
_NO_CREATOR = (
    "Cannot calculate session hash! The session, explicitly or through the default access policy, "
    "references its creator. If not explicitly specified in the session, the creator is automatically "
    "assigned to the identity uploading the session. You may use --with-self-as-creator to pretend you "
    "created the session, or remove all creator references."
)
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
    """Check the session in FILE; on success it is printed.

    All problems are told, each with its line; of values that may be secret, only the key. With --json
    they are on standard output, too. The signatures of a signed session are verified.
    """
    from scone.cli.session_files import load_session, refuse_warnings
    from scone.documents import DocumentError
    from scone.session import to_yaml

    try:
        loaded = load_session(file, variables, name=name, use_env=use_env, excerpts=True)
    except DocumentError as error:
        if as_json:
            output.facts({"problems": [_problem(one) for one in error.problems]})
        raise
    text = to_yaml(loaded.session)
    warnings = {"warnings": [_problem(one) for one in loaded.warnings]}
    if fail_on_warning and loaded.warnings:
        if as_json:
            output.facts(warnings)
        refuse_warnings(file, loaded)
    if as_json:
        signers = {} if loaded.signed is None else {"signers": loaded.signers}
        output.facts({"name": loaded.session.name, **signers, **warnings, "session": text})
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
    from scone.cli.session_context import signing_key_pem
    from scone.cli.session_files import load_session, with_signer
    from scone.session import references_creator, session_hash

    loaded = load_session(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    )
    checked = loaded.session
    if loaded.signed is None and checked.creator is None and references_creator(checked):
        if with_self_as_creator is None:
            raise SconeError(_NO_CREATOR)
        if with_self_as_creator == "signer":
            checked = with_signer(checked, signing_key_pem())
        else:
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

    FILE may also be a signed or an encrypted session. If a session of that name exists, FILE must name
    it as its predecessor.
    """
    from scone.cli.session_context import open_client
    from scone.cli.session_files import kind_of, load_session, read_text, refuse_changes
    from scone.session.encrypted import parse_encrypted

    text = read_text(file)
    loaded = None
    if kind_of(text) == "encrypted":
        refuse_changes(file, name=name, variables=bool(variables) or use_env)
        parse_encrypted(text)
    else:
        loaded = load_session(
            file,
            variables,
            fail_on_warning=fail_on_warning,
            name=name,
            use_env=use_env,
            text=text,
        )
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            if loaded is None:
                created = client.create_encrypted_session(text)
                _tell(created, ())
            else:
                created = _upload(client, loaded)
        except SconeError as error:
            raise error.within("Creating session failed") from error
    _print_hash(None if loaded is None else loaded.session.name, created.hash, as_json=as_json)


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

    If FILE names no predecessor, the active session is read and filled in. A signed session must
    name it: it cannot be changed any more.
    """
    from scone.cli.session_context import open_client
    from scone.cli.session_files import load_session
    from scone.client.sessions import update_session

    loaded = load_session(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    )
    session = loaded.session
    if loaded.signed is not None and session.predecessor is None:
        raise UsageError(
            f"{file}: expected a predecessor inside the signed session, got none, and it cannot be "
            "filled in without breaking the signatures",
            hint="write the hash of the active session as predecessor into the file, and sign it again",
        )
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            if loaded.signed is None:
                created = update_session(client, session)
                _tell(created, loaded.warnings)
            else:
                created = _upload(client, loaded)
        except SconeError as error:
            raise error.within("Updating session failed") from error
    _print_hash(session.name, created.hash, as_json=as_json)


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
    from scone.cli.session_files import load_session
    from scone.client.sessions import SessionDiffersError, verify_session

    checked = load_session(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    ).session
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            computed = verify_session(client, checked)
        except SessionDiffersError as error:
            shown = error.differences[:_MAX_DIFFERENCES]
            more = len(error.differences) - len(shown)
            error.messages = (
                "Verifying session failed",
                f"The active session {checked.name} differs from {file!r}",
                *shown,
                *([f"… and {more} more"] if more else []),
            )
            raise
        except SconeError as error:
            raise error.within("Verifying session failed") from error
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


def _problem(problem: Problem) -> dict[str, object]:
    mark = problem.mark
    return {
        "source": problem.source,
        "line": None if mark is None else mark.line,
        "column": None if mark is None else mark.column,
        "path": problem.path,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _upload(client: CasClient, loaded: Loaded) -> Created:
    """Upload; of the CAS's warnings only those that were not told already."""
    from scone.client.sessions import create_session

    created = create_session(client, loaded.signed or loaded.session)
    _tell(created, loaded.warnings)
    return created


def _tell(created: Created, told: Iterable[Problem]) -> None:
    known = {f"{problem.path}: {problem.message}" for problem in told}
    for line in created.warnings:
        if line not in known:
            output.warning(line)


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


def _print_hash(name: str | None, value: str, *, as_json: bool) -> None:
    """A hash; the name of an encrypted session is not known here."""
    if as_json:
        output.facts({"name": name, "hash": value} if name else {"hash": value})
    else:
        output.result(value)
