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
    hash_option,
    identity_option,
    json_option,
    network_options,
    template_options,
    variable_options,
)
from scone.cli.parameters import FileName, SessionName
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
@click.pass_context
def session(ctx: click.Context) -> None:
    """Check, upload, read and verify sessions."""
    ctx.meta[output.PRIVATE] = True  # what -o writes may hold secrets


@click.command("check", context_settings=SETTINGS)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@variable_options
@json_option
def check(
    *,
    files: tuple[str, ...],
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    as_json: bool,
) -> None:
    """Check the session in FILE; on success it is printed.

    All problems are told, each with its line; of values that may be secret, only the key. With --json
    they are on standard output, too. The signatures of a signed session are verified. Of several FILEs
    all are checked; the sessions are printed with --- between them, with --json as one object each.
    """
    from scone.cli.session_files import facts_of, load_session
    from scone.session import to_yaml

    several = len(files) > 1
    if several and name is not None:
        raise UsageError("--name: expected one FILE to name the session of, got several")
    if several and ("-" in files or any(given.endswith("=-") for given in variables)):
        raise UsageError("-: expected one FILE beside standard input, got several")
    failed: SconeError | None = None
    printed = False
    for file in files:
        try:
            loaded = load_session(
                file,
                variables,
                fail_on_warning=fail_on_warning,
                name=name,
                use_env=use_env,
                excerpts=True,
                as_json=as_json,
                several=several,
            )
        except SconeError as error:
            if failed is not None:
                output.report(failed.messages, failed.hint)
            failed = error
            continue
        text = to_yaml(loaded.session)
        if as_json:
            signers = {} if loaded.signed is None else {"signers": loaded.signers}
            warnings = facts_of(loaded.warnings)
            facts = {"name": loaded.session.name, **signers, "warnings": warnings, "session": text}
            output.facts(facts)
        else:
            output.result(f"---\n{text}" if printed else text)
        printed = True
    if failed is not None:
        raise failed


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
    from scone.cli.context import signing_key_pem
    from scone.cli.session_files import load_session, with_signer
    from scone.session import references_creator, session_hash

    if identity_path is not None and with_self_as_creator != "tls":
        raise UsageError("--identity: expected --with-self-as-creator tls beside it")
    loaded = load_session(
        file,
        variables,
        fail_on_warning=fail_on_warning,
        name=name,
        use_env=use_env,
        as_json=as_json,
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
    from scone.cli.context import open_client
    from scone.cli.session_files import (
        kind_of,
        load_session,
        problems_as_json,
        read_text,
        refuse_changes,
    )
    from scone.session.encrypted import parse_encrypted

    with problems_as_json(as_json):
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
            as_json=as_json,
        )
    named = None if loaded is None else loaded.session.name
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            if loaded is None:
                created = client.create_encrypted_session(text)
                _tell(created.warnings, ())
            else:
                created = _upload(client, loaded)
        except SconeError as error:
            raise error.within("Creating session failed") from error
        output.changed(f"the session {named or 'in ' + file} WAS uploaded, hash {created.hash}")
    _print_hash(named, created.hash, as_json=as_json)


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
    from scone.cli.context import open_client
    from scone.cli.session_files import load_session
    from scone.client.sessions import update_session

    loaded = load_session(
        file,
        variables,
        fail_on_warning=fail_on_warning,
        name=name,
        use_env=use_env,
        as_json=as_json,
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
            updated = update_session(client, session, signed=loaded.signed)
        except SconeError as error:
            raise error.within("Updating session failed") from error
        output.changed(f"the session {session.name} WAS updated, hash {updated.hash}")
    _tell(updated.warnings, loaded.warnings)
    output.made_again(updated.made_again)
    _print_hash(session.name, updated.hash, as_json=as_json)


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
    from scone.cli.context import open_client
    from scone.cli.session_files import load_session
    from scone.client.sessions import SessionDiffersError, verify_session

    checked = load_session(
        file,
        variables,
        fail_on_warning=fail_on_warning,
        name=name,
        use_env=use_env,
        as_json=as_json,
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
            if as_json:
                output.facts({"name": checked.name, "differences": list(error.differences)})
            raise
        except SconeError as error:
            raise error.within("Verifying session failed") from error
    _print_hash(checked.name, computed, as_json=as_json)


@click.command("read", context_settings=SETTINGS)
@click.argument("name", metavar="NAME", type=SessionName())
@hash_option("Print this version, active or older (scone session history lists them).")
@network_options
@json_option
def read(
    *,
    name: str,
    session_hash: str | None,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Print the active session of that name; generated secrets are not part of it.

    Of versions with --hash, the policy of the active one decides who reads them.
    """
    from scone.cli.context import open_client

    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            found = client.read_session(name, session_hash)
        except SconeError as error:
            raise error.within("Reading session failed") from error
    if as_json:
        simulated = None if client.known is None else client.known.simulated
        output.facts(
            {"name": name, "hash": found.hash, "simulated": simulated, "session": found.text}
        )
    else:
        output.result(found.text)


def _upload(client: CasClient, loaded: Loaded) -> Created:
    """Upload; of the CAS's warnings only those that were not told already."""
    from scone.client.sessions import create_session

    created = create_session(client, loaded.signed or loaded.session)
    _tell(created.warnings, loaded.warnings)
    return created


def _tell(warnings: Iterable[str], told: Iterable[Problem]) -> None:
    known = {f"{problem.path}: {problem.message}" for problem in told}
    for line in warnings:
        if line not in known:
            output.warning(line)


def _certificate(identity_path: str | None) -> str:
    """The certificate of the identity; a file may hold it without the key."""
    from scone.cli.context import user_identity
    from scone.cli.files import read_small
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
