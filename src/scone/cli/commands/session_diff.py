"""`scone session diff`: what a new version of a session changes in rights, for a reviewer."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from scone.cli import output
from scone.cli.options import SETTINGS, hash_option, json_option, network_options
from scone.cli.parameters import FileName, SessionName
from scone.errors import NotFoundError, SconeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scone.session import Session
    from scone.session.review.rights import RightsDifference

_HEADINGS: Final = {
    "weaker": "WEAKER: gives more than before",
    "changed": "CHANGED",
    "stronger": "STRONGER: gives less than before",
}


@click.command("diff", context_settings=SETTINGS)
@click.argument("file", metavar="[OLD]", type=FileName())
@click.argument("new_file", metavar="NEW", type=FileName(), required=False)
@click.option(
    "-e",
    "variables",
    metavar="VAR=VALUE",
    multiple=True,
    help="Value of a variable of both files, as in scone session check; may be repeated.",
)
@click.option(
    "--use-env", is_flag=True, help="Take variables from the environment; -e wins over it."
)
@click.option(
    "-n", "--name", metavar="NAME", type=SessionName(), help="Replace the name in both files."
)
@hash_option("Compare with this version of the session in the CAS, not with the active one.")
@network_options
@json_option
@click.pass_context
def diff(
    ctx: click.Context,
    *,
    file: str,
    new_file: str | None,
    variables: tuple[str, ...],
    use_env: bool,
    name: str | None,
    session_hash: str | None,
    cas_name: str | None,
    identity_path: str | None,
    retries: int,
    unattested: bool,
    as_json: bool,
) -> None:
    """Show what the session in NEW changes in rights: weakenings first.

    With OLD it is compared with the session in that file, offline; without, with the active session
    of the same name. Ends with 0 if no rights change, and with 6 if some do. The last part says what an
    update does to the values of the secrets, also where no rights change.
    """
    from scone.cli.context import open_client
    from scone.cli.session_files import load_session
    from scone.client.sessions import active_session
    from scone.session.review.rights import rights_difference

    if new_file is not None and (cas_name is not None or unattested or session_hash is not None):
        raise UsageError(
            "expected one FILE, which is compared with the session in the CAS, got two"
        )
    if file == new_file == "-":
        raise UsageError("NEW: standard input is already read for OLD")
    loaded = load_session(file, variables, name=name, use_env=use_env).session
    if new_file is not None:
        taken = "OLD" if file == "-" else ""
        old = loaded
        new = load_session(
            new_file, variables, name=name, use_env=use_env, stdin_user=taken
        ).session
    else:
        new = loaded
        with open_client(cas_name, identity_path, retries, unattested=unattested) as client:
            try:
                old = active_session(client, new.name, session_hash=session_hash).session
            except NotFoundError as error:
                error.hint = error.hint or "everything in it would be new: scone session create"
                raise error.within("Comparing with the active session failed") from error
            except SconeError as error:
                raise error.within("Comparing with the active session failed") from error
    found = rights_difference(old, new)
    if as_json:
        output.facts(_facts(new, found))
    else:
        output.result("\n".join(_lines(new, found)))
    if found.changes:
        ctx.exit(output.EXIT_DIFFERENT)


def _facts(new: Session, found: RightsDifference) -> dict[str, object]:
    return {
        "name": new.name,
        "same": not found.changes,
        "changes": [asdict(change) for change in found.changes],
        "values": [asdict(value) for value in found.values],
    }


def _lines(new: Session, found: RightsDifference) -> Iterator[str]:
    if not found.changes:
        yield f"{new.name}: no difference in rights"
    else:
        counts = [f"{len(found.of(one))} {one}" for one in ("weaker", "changed", "stronger")]
        yield f"{new.name}: {', '.join(counts)}"
    for effect, changes in groupby(found.changes, lambda change: change.effect):
        yield f"\n{_HEADINGS[effect]}"
        for topic, listed in groupby(changes, lambda change: change.topic):
            yield f"  {topic}"
            for change in listed:
                sign = {"weaker": "!", "changed": "~", "stronger": "+"}[effect]
                yield output.printable(f"    {sign} {change.subject}: {change.text}")
    if found.values:
        yield "\nValues of secrets at the update"
        for value in found.values:
            reason = f" ({value.reason})" if value.reason else ""
            yield f"    {value.secret}: {value.fate}{reason}"
