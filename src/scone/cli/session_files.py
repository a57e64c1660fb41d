"""Session files that a user names: a template (YAML), a signed or an encrypted session (JSON)."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scone.cli import output
from scone.errors import MalformedError, SconeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scone.cli.secret_values import SecretReader
    from scone.documents import Problem
    from scone.session import Session
    from scone.session.signed import SignedSession

_MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # the formats' own limits are lower and say more


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session without problems, its warnings (already told), and the signatures around it."""

    session: Session
    warnings: tuple[Problem, ...]
    signed: SignedSession | None = None
    signers: tuple[str, ...] = ()


def load_session(
    file: str,
    given: tuple[str, ...] = (),
    *,
    fail_on_warning: bool = False,
    name: str | None = None,
    use_env: bool = False,
    stdin_user: str = "",
    text: str | None = None,
    excerpts: bool = False,
    as_json: bool = False,
    several: bool = False,
) -> Loaded:
    """The session in a file: a template after substitution, or a signed session, verified.

    `given` are the values of `-e`; `stdin_user` says what else reads standard input; `text` is
    the file's, if it was read already. Warnings are told, or end the command; with `excerpts`,
    they and the problems show their lines of the file; with `as_json`, what ends the command is
    printed as JSON, too. With `several`, warnings name the file, and values of `-e` may be for
    another one.

    Raises:
        DocumentError: with every problem of the session.
        MalformedError: a damaged signed session.
        VerificationError: a signature that is not genuine.
        UsageError: the file cannot be read, is encrypted, or is signed and `name` is given.
    """
    with problems_as_json(as_json):
        loaded = _load(
            file,
            given,
            name=name,
            use_env=use_env,
            stdin_user=stdin_user,
            text=read_text(file, stdin_user=stdin_user) if text is None else text,
            excerpts=excerpts,
            several=several,
        )
    count = len(loaded.warnings)
    if fail_on_warning and count:
        if as_json:
            output.facts({"warnings": facts_of(loaded.warnings)})
        raise SconeError(f"{file}: {count} warning(s), and --fail-on-warning is given")
    return loaded


@contextmanager
def problems_as_json(as_json: bool = True) -> Iterator[None]:
    """Print the problems of a document as JSON, too, where it has some.

    Raises:
        DocumentError: them, again.
    """
    from scone.documents import DocumentError

    try:
        yield
    except DocumentError as error:
        if as_json:
            output.facts({"problems": facts_of(error.problems)})
        raise


def facts_of(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """Problems or warnings as `--json` gives them."""
    return [
        {
            "source": problem.source,
            "line": None if problem.mark is None else problem.mark.line,
            "column": None if problem.mark is None else problem.mark.column,
            "path": problem.path,
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in problems
    ]


def _load(
    file: str,
    given: tuple[str, ...],
    *,
    name: str | None,
    use_env: bool,
    stdin_user: str,
    text: str,
    excerpts: bool,
    several: bool,
) -> Loaded:
    kind = kind_of(text)
    if kind == "encrypted":
        raise UsageError(
            f"{file}: expected a session or a signed session, got an encrypted one, which only its "
            "CAS can read",
            hint="scone session create uploads it",
        )
    if kind == "signed":
        loaded = _signed(file, text, given, name=name, use_env=use_env, excerpts=excerpts)
    else:
        stdin_user = "FILE" if file == "-" else stdin_user
        with _excerpts(text if excerpts else None):
            loaded = _template(
                file,
                text,
                given,
                name=name,
                use_env=use_env,
                stdin_user=stdin_user,
                several=several,
            )
    if loaded.warnings:
        shown = _with_excerpt(loaded.signed.text if loaded.signed else text) if excerpts else str
        for warning in loaded.warnings:
            output.warning(f"{file}: {shown(warning)}" if several else shown(warning))
    return loaded


def read_text(file: str, *, stdin_user: str = "") -> str:
    """The text of a file; `-` is standard input.

    Raises:
        UsageError: it cannot be read, or standard input is taken.
        DocumentError: it is larger than any session.
        MalformedError: it is not UTF-8.
    """
    from scone.cli.files import TooLargeError, read_small, read_standard_input

    if file == "-" and stdin_user:
        raise UsageError(f"FILE: standard input is already read for {stdin_user}")
    try:
        if file == "-":
            raw = read_standard_input("FILE", _MAX_FILE_BYTES)
        else:
            raw = read_small(file, "session file", _MAX_FILE_BYTES)
    except TooLargeError as error:
        from scone.documents import Problem, document_error
        from scone.documents.limits import MAX_BYTES

        problem = Problem(file, None, "", f"expected at most {MAX_BYTES} bytes of text")
        outer = f"Parsing session from session template file '{file}' failed"
        raise document_error([problem], outer) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        found = f"another byte at line {line} column {column}"
        raise MalformedError(f"session file {file!r}", "text in UTF-8", found) from None


def kind_of(text: str) -> str:
    """`template`, `signed` or `encrypted`: the latter are JSON of another shape than a session's."""
    if not text.lstrip().startswith("{"):
        return "template"
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "template"  # perhaps YAML; its reader will tell
    if isinstance(document, dict) and "encrypted_session" in document:
        return "encrypted"
    return "signed" if isinstance(document, dict) and "signatures" in document else "template"


def with_signer(session: Session, signer: str) -> Session:
    """The session with a signer (PEM) as its creator.

    Raises:
        DocumentError: its version of the language knows no signers.
    """
    from scone.session import read_session, to_yaml

    text = to_yaml(session.with_signer(signer))
    return read_session(text, source=f"session {session.name!r} with its signer as creator").session


def refuse_changes(file: str, *, name: str | None, variables: bool) -> None:
    """What a file that was signed takes no more: another name; variables are ignored.

    Raises:
        UsageError: `name` is given.
    """
    if name is not None:
        raise UsageError(
            f"-n: {file} is signed, and another name would need another signature",
            hint="give -n when the session is signed",
        )
    if variables:
        output.message(f"Note: {file} is signed: -e and --use-env have no effect")


def _template(
    file: str,
    text: str,
    given: tuple[str, ...],
    *,
    name: str | None,
    use_env: bool,
    stdin_user: str,
    several: bool,
) -> Loaded:
    from scone.cli.secret_values import SecretReader
    from scone.documents import DocumentError
    from scone.session import read_session

    secrets = SecretReader(stdin_user=stdin_user)
    variables = _environment() if use_env else {}
    variables |= secrets.variables(given)
    doubts = _doubts(file, text, secrets) if given else []
    if several:
        doubts = [doubt for doubt in doubts if doubt.code != "unused-variable"]
    try:
        checked = read_session(text, source=file, variables=variables, name=name)
    except DocumentError:
        for doubt in doubts:
            output.warning(str(doubt))
        raise
    return Loaded(checked.session, (*doubts, *checked.warnings))


def _doubts(file: str, text: str, secrets: SecretReader) -> list[Problem]:
    """Warnings about the values of `-e`; none of a text that is no YAML."""
    from scone.documents import DocumentError, Problem, read_yaml
    from scone.session.reading.fields import SECRET_KEYS
    from scone.session.reading.reader import TAGS
    from scone.session.reading.substitution import variables_of

    try:
        node = read_yaml(text, file, tags=TAGS)
    except DocumentError:
        return []
    keys = SECRET_KEYS | {"private_key", "salt"}
    places: dict[str, list[str]] = {}
    for name, path in variables_of(node):
        places.setdefault(name, [])
        if not keys.isdisjoint(re.split(r"[.\[]", path)):
            places[name].append(path)
    return [Problem(file, None, "", message, code=code) for code, message in secrets.doubts(places)]


def _signed(
    file: str,
    text: str,
    given: tuple[str, ...],
    *,
    name: str | None,
    use_env: bool,
    excerpts: bool,
) -> Loaded:
    from scone.session import read_session
    from scone.session.signed import parse_signed, verified_signers

    refuse_changes(file, name=name, variables=bool(given) or use_env)
    try:
        signed = parse_signed(text)
    except MalformedError as error:
        raise error.within(f"Parsing signed session from {file!r} failed") from error
    with _excerpts(signed.text if excerpts else None):
        checked = read_session(signed.text, source=file)
    try:
        signers = verified_signers(signed, checked.session, cas_key_hash=None, now=None)
    except SconeError as error:
        raise error.within(f"Verifying signed session in {file!r} failed") from error
    return Loaded(checked.session, (*checked.warnings, *_expired(file, signed)), signed, signers)


def _expired(file: str, signed: SignedSession) -> list[Problem]:
    from datetime import UTC, datetime

    from scone.documents import Problem
    from scone.session.signed import expired, time_text

    return [
        Problem(
            file,
            None,
            "",
            f"signature {number} expired at {time_text(one.not_after)}: no CAS takes the session any more",
            code="expired",
        )
        for number, one in enumerate(signed.signatures, 1)
        if expired(one, datetime.now(UTC))
    ]


@contextmanager
def _excerpts(text: str | None) -> Iterator[None]:
    """Adds its line of a text to each problem that reading it raises; of no text, nothing."""
    from scone.documents import DocumentError

    try:
        yield
    except DocumentError as error:
        if text is not None:
            first = error.messages[: len(error.messages) - len(error.problems)]
            error.messages = (*first, *map(_with_excerpt(text), error.problems))
        raise


def _with_excerpt(text: str) -> Callable[[Problem], str]:
    from scone.session.editing.excerpts import excerpts

    excerpt = excerpts(text)
    return lambda problem: "\n".join(filter(None, (str(problem), excerpt(problem))))


def _environment() -> dict[str, str]:
    """The environment as far as it is text."""
    return {
        name: value
        for name, value in os.environ.items()
        if not any("\udc80" <= character <= "\udcff" for character in value)
    }
