"""`scone session apply`, `list`, `history`, `graph` and `fmt`: whole sessions, whole files."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import click

from scone.cli import output
from scone.cli.options import SETTINGS, json_option, network_options, template_options
from scone.cli.parameters import FileName, SessionName
from scone.errors import (
    ForbiddenError,
    LimitError,
    MalformedError,
    NetworkError,
    NotFoundError,
    SconeError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scone.client.cas import CasClient
    from scone.client.sessions import Applied
    from scone.session import Session

Item = TypeVar("Item")

# More than a CAS with one session for each service of a large site has; ends an endless answer.
_MAX_LISTED: Final = 100_000


@click.command("apply", context_settings=SETTINGS)
@template_options
@network_options
@json_option
def apply(
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
    """Create or update the session in FILE; print the hash of the active one.

    If the active session is equal, nothing is sent. What was done is told on standard error:
    created, updated from HASH, or unchanged. A signed session names its predecessor itself.
    """
    from scone.cli.context import open_client
    from scone.cli.session_files import load_session
    from scone.client.sessions import apply_session

    loaded = load_session(
        file,
        variables,
        fail_on_warning=fail_on_warning,
        name=name,
        use_env=use_env,
        as_json=as_json,
    )
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            applied = apply_session(client, loaded.session, signed=loaded.signed)
        except SconeError as error:
            raise error.within("Applying session failed") from error
        if applied.action != "unchanged":
            output.changed(
                f"session {loaded.session.name} WAS {applied.action}, hash {applied.hash}"
            )
    known = {f"{problem.path}: {problem.message}" for problem in loaded.warnings}
    for line in applied.warnings:
        if line not in known:
            output.warning(line)
    output.made_again(applied.made_again)
    output.message(_done(applied))
    if as_json:
        output.facts(
            {
                "name": loaded.session.name,
                "hash": applied.hash,
                "action": applied.action,
                "previous": applied.previous,
            }
        )
    else:
        output.result(applied.hash)


@click.command("list", context_settings=SETTINGS)
@click.argument("namespace", metavar="[NAMESPACE]", default="/", type=SessionName())
@click.option("-r", "--recursive", is_flag=True, help="Also list what is in these, level by level.")
@network_options
@json_option
def list_(
    *,
    namespace: str,
    recursive: bool,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """List the sessions in a namespace, by default in the root, one name a line.

    Namespaces below it that may not be listed are named on standard error.
    """
    from scone.cli.context import open_client

    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            names, refused = _listed(client, namespace, recursive=recursive)
        except SconeError as error:
            raise error.within("Listing sessions failed") from error
    for one in refused:
        output.message(f"Note: the sessions in {one} may not be listed")
    if as_json:
        output.facts({"namespace": namespace, "sessions": names, "not_listed": refused})
    else:
        output.exactly("".join(f"{one}\n" for one in names))


@click.command("history", context_settings=SETTINGS)
@click.argument("name", metavar="NAME", type=SessionName())
@network_options
@json_option
def history(
    *,
    name: str,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """List the versions of a session, newest first: hash, time, uploader.

    The uploader is the key hash of a client certificate; behind `signed`, those of the signers.
    """
    from scone.cli.context import open_client

    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        try:
            versions = _bounded(client.session_history(name))
        except SconeError as error:
            raise error.within("Reading the history failed") from error
    if as_json:
        output.facts({"name": name, "versions": [asdict(version) for version in versions]})
        return
    output.exactly(
        "".join(
            _line(f"{v.hash} {v.uploaded_at} {'signed ' if v.signed else ''}{v.uploader}")
            for v in versions
        )
    )


def _line(text: str) -> str:
    return output.printable(" ".join(text.split())) + "\n"


def _done(applied: Applied) -> str:
    return f"updated from {applied.previous}" if applied.action == "updated" else applied.action


def _bounded(items: Iterable[Item]) -> list[Item]:
    """All of what a CAS lists, page by page.

    Raises:
        LimitError: more than anybody has.
    """
    found = list(islice(items, _MAX_LISTED + 1))
    if len(found) > _MAX_LISTED:
        raise LimitError(f"the CAS lists more than {_MAX_LISTED} entries")
    return found


def _listed(client: CasClient, namespace: str, *, recursive: bool) -> tuple[list[str], list[str]]:
    """Names of sessions, in order, and the namespaces that may not be listed."""
    names = _children(client, namespace)
    refused: list[str] = []
    level = names if recursive else []
    while level:
        below: list[str] = []
        for name in level:
            try:
                below += _children(client, name)
            except (ForbiddenError, NotFoundError):  # perhaps it was removed meanwhile
                refused.append(name)
            if len(names) + len(below) > _MAX_LISTED:
                raise LimitError(f"the CAS lists more than {_MAX_LISTED} sessions")
        names = names + below
        level = below
    return sorted(names), sorted(refused)


def _children(client: CasClient, namespace: str) -> list[str]:
    """The sessions directly in a namespace; a CAS that answers others would never end."""
    from scone.session.names import canonical_name, parent_name

    found = _bounded(client.list_sessions(namespace))
    for name in found:
        try:
            direct = canonical_name(name) == name and parent_name(name) == namespace
        except MalformedError:
            direct = False
        if not direct:
            raise NetworkError(
                f"CAS at '{client.url}' did not answer properly: expected names of sessions in "
                f"{namespace}"
            )
    return found


@click.command("graph", context_settings=SETTINGS)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=FileName())
@click.option(
    "--session",
    "names",
    metavar="NAME",
    type=SessionName(),
    multiple=True,
    help="Also draw this active session of the CAS; may be repeated.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["dot", "svg"]),
    default="dot",
    show_default=True,
    help="DOT for Graphviz, or a picture.",
)
@click.option(
    "-e",
    "variables",
    metavar="VAR=VALUE",
    multiple=True,
    help="Value of a variable of the files, as in scone session check; may be repeated.",
)
@click.option(
    "--use-env", is_flag=True, help="Take variables from the environment; -e wins over it."
)
@network_options
def graph(
    *,
    files: tuple[str, ...],
    names: tuple[str, ...],
    form: str,
    variables: tuple[str, ...],
    use_env: bool,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
) -> None:
    """Draw sessions: namespaces, services, secrets, volumes, who exports what to whom.

    The sessions are in FILEs, or active in the CAS; no value of a secret is drawn. A session of the
    CAS that may not be read is named on standard error. A FILE replaces an active session of its name.
    """
    from scone.cli.session_files import load_session
    from scone.session.review.graph import graph_of, to_dot
    from scone.session.review.graph_svg import to_svg

    if not files and not names:
        raise UsageError("expected session files, or --session with the names of active ones")
    if not names and (cas_name is not None or unattested):
        raise UsageError(
            "--cas: expected --session with the names of active sessions, got files only"
        )
    if files.count("-") > 1:
        raise UsageError("FILE: standard input is already read for FILE")
    if len(files) > 1 and any(given.partition("=")[2] == "-" for given in variables):
        raise UsageError("-e VAR=-: expected one FILE, since standard input is read once")
    taken = "FILE" if "-" in files else ""
    drawn = [
        load_session(
            file, variables, use_env=use_env, stdin_user="" if file == "-" else taken
        ).session
        for file in files
    ]
    if names:
        active = _active(
            names, cas_name, identity_path, retries, unattested=unattested, alone=not files
        )
        drawn = [*active, *drawn]
    made = graph_of(drawn)
    output.exactly(to_dot(made) if form == "dot" else to_svg(made))


def _active(
    names: tuple[str, ...],
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    *,
    unattested: bool,
    alone: bool,
) -> list[Session]:
    """The active sessions that may be read; where nothing else is drawn, at least one."""
    from scone.cli.context import open_client
    from scone.client.sessions import active_session

    found: list[Session] = []
    refused: SconeError | None = None
    with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
        for name in dict.fromkeys(names):
            try:
                found.append(active_session(client, name).session)
            except ForbiddenError as error:
                output.message(f"Note: session {name} may not be read")
                refused = error
            except SconeError as error:
                raise error.within("Reading session failed") from error
    if alone and not found and refused is not None:
        raise refused.within("Reading session failed")
    return found


@click.command("fmt", context_settings=SETTINGS)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@click.option("--check", is_flag=True, help="Print nothing; end with 6 if a file would change.")
@click.option("-w", "--write", is_flag=True, help="Replace the files, and print nothing.")
@click.pass_context
def fmt(ctx: click.Context, *, files: tuple[str, ...], check: bool, write: bool) -> None:
    """Print the session FILE with two spaces, keys in their order, and quotes where needed.

    Comments, variables and what the file means stay. The file need not be a correct session, but
    must be YAML. Ends with 6 where --check finds a difference. --check and --write take several FILEs.
    """
    if check and write:
        raise UsageError("expected --check or --write, got both")
    if write and "-" in files:
        raise UsageError("--write: expected a file, got standard input")
    if len(files) > 1 and not (check or write):
        raise UsageError("FILE: expected --check or --write beside several, got neither")
    changed = False
    for file in files:
        text, made = _formatted(file)
        if not (check or write):
            output.exactly(made)
        elif made != text:
            changed = True
            if write:
                _rewrite(file, made.encode())
            else:
                output.message(f"{file} would change")
    if check and changed:
        ctx.exit(output.EXIT_DIFFERENT)


def _formatted(file: str) -> tuple[str, str]:
    """The text of a session file, as it is and laid out."""
    from scone.cli.session_files import kind_of, read_text
    from scone.session.editing.formatting import format_session

    text = read_text(file)
    kind = kind_of(text)
    if kind != "template":
        article = "an" if kind == "encrypted" else "a"
        raise UsageError(f"{file}: expected a session file, got {article} {kind} session")
    try:
        return text, format_session(text, source=file)
    except SconeError as error:
        raise error.within("Formatting session failed") from error


def _rewrite(file: str, content: bytes) -> None:
    """Replace a file as a whole; who may read it stays, since it may hold secrets."""
    from pathlib import Path

    from scone.cli.files import reason
    from scone.files import followed, rewrite

    try:
        target = Path(followed(file))
        if not target.is_file():
            raise UsageError(f"{file}: expected a regular file to write")
        rewrite(target, content, 0o600)
    except OSError as error:
        raise UsageError(f"{file}: {reason(error)}") from error
