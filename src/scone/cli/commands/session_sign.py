"""`scone session sign` and `scone session encrypt`: sessions that prove who wrote them.

stdout is the document, or the bytes to be signed, and nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from scone.cli import output
from scone.cli.lazy import ArgumentGroup, Entry
from scone.cli.options import SETTINGS, template_options
from scone.cli.parameters import CasName, FileName
from scone.errors import MalformedError, SconeError, UsageError

if TYPE_CHECKING:
    from datetime import datetime
    from typing import TextIO

    from scone.cli.session_files import Loaded
    from scone.session import Session
    from scone.session.signed import SignedSession

_HERE: Final = "scone.cli.commands.session_sign"
_ENTRIES: Final = {
    "add-signature": Entry(f"{_HERE}:add_signature", "Add a signature that another tool made"),
    "generate-message-to-be-signed": Entry(
        f"{_HERE}:generate_message", "Write the bytes that a signer signs"
    ),
    "sign-with-cli-identity": Entry(
        f"{_HERE}:sign_with_cli_identity", "Sign with the CLI's session signing key (default)"
    ),
}
_PIPE: Final = """\b
Example, with a P-384 key:
  scone session sign s.yml generate-message-to-be-signed pub.pem |
    openssl dgst -sha384 -sign priv.pem |
    scone session sign s.yml add-signature pub.pem"""
_MAX_KEY: Final = 64 * 1024
_MAX_SIGNATURE: Final = 4096
_SIGNER_HINT: Final = "make it from the private key: openssl pkey -in private.pem -pubout"


@dataclass(frozen=True, slots=True)
class _Request:
    """What `sign` was asked for; the file is read by its commands."""

    file: str
    variables: tuple[str, ...]
    fail_on_warning: bool
    name: str | None
    use_env: bool
    cas_key_hash: str | None
    not_after: datetime | None

    def load(self, stdin_user: str = "") -> Loaded:
        from scone.cli.session_files import load_session

        return load_session(
            self.file,
            self.variables,
            fail_on_warning=self.fail_on_warning,
            name=self.name,
            use_env=self.use_env,
            stdin_user=stdin_user,
        )


@click.group(
    "sign",
    cls=ArgumentGroup,
    entries=_ENTRIES,
    invoke_without_command=True,
    context_settings=SETTINGS,
)
@template_options
@click.option(
    "--for-cas",
    metavar="CAS_KEY_HASH",
    help="The signature counts on the CAS with this key hash only; by default on any.",
)
@click.option(
    "--not-after",
    metavar="TIME",
    help="No CAS takes the signature after this time: 2026-12-31 (0:00 UTC) or "
    "2026-12-31T23:59:59Z. By default without limit.",
)
@click.pass_context
def sign(
    ctx: click.Context,
    /,
    *,
    file: str | None,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    for_cas: str | None,
    not_after: str | None,
) -> None:
    """Sign the session in FILE with the CLI's session signing key; the result is JSON.

    FILE is a template or a signed session, which gets one more signature. Where the session needs a
    creator and names none, its first signer becomes the creator.
    """
    if file is None:  # the help of a command needs no file
        return
    ctx.obj = _Request(
        file,
        variables,
        fail_on_warning,
        name,
        use_env,
        _key_hash(for_cas),
        _time(not_after),
    )
    if ctx.invoked_subcommand is None:
        _sign_with_cli_identity(ctx.obj)


@click.command("sign-with-cli-identity", context_settings=SETTINGS)
@click.pass_obj
def sign_with_cli_identity(request: _Request) -> None:
    """Sign with the key that `scone self show-session-signing-key` shows."""
    _sign_with_cli_identity(request)


@click.command("generate-message-to-be-signed", context_settings=SETTINGS)
@click.argument("signer", metavar="[SIGNER]", type=FileName(), required=False)
@click.option("-f", "--force", is_flag=True, help="Write the bytes to a terminal, too.")
@click.pass_obj
def generate_message(request: _Request, signer: str | None, *, force: bool) -> None:
    """Write the exact bytes to be signed to standard output, for a tool that signs.

    SIGNER is a file with the public key (PEM, Ed25519 or P-384) that is going to sign. It becomes
    the session's creator where one is needed and none is there; otherwise it has no effect.
    """
    from scone.session.signed import message_to_be_signed

    stream: TextIO | None = sys.stdout  # None where the program was started without one
    if stream is not None and stream.isatty() and not force:
        raise UsageError(
            "the message is binary, and standard output is a terminal",
            hint="pipe it into a tool that signs, or give -f",
        )
    _, session = _prepared(request, request.load(), None if signer is None else _public_key(signer))
    message = message_to_be_signed(
        session, cas_key_hash=request.cas_key_hash, not_after=request.not_after
    )
    output.exactly(message.decode())


@click.command("add-signature", context_settings=SETTINGS, epilog=_PIPE)
@click.argument("signer", metavar="SIGNER", type=FileName())
@click.argument("signature", metavar="[SIGNATURE]", required=False)
@click.pass_obj
def add_signature(request: _Request, signer: str, signature: str | None) -> None:
    """Add a signature over the message of generate-message-to-be-signed.

    SIGNER is a file with the public key (PEM, Ed25519 or P-384) of whoever signed. SIGNATURE is
    base64; without it, standard input is the signature as it is. Variables, name, --for-cas and
    --not-after must be those of the message.
    """
    from scone.session.signed import SignedSession, signature_from, verified_signers

    public_key = _public_key(signer)
    raw = _stdin_signature(request) if signature is None else _base64(signature)
    loaded = request.load("SIGNATURE" if signature is None else "")
    signed, session = _prepared(request, loaded, public_key)
    made = signature_from(
        public_key, raw, cas_key_hash=request.cas_key_hash, not_after=request.not_after
    )
    try:
        verified_signers(SignedSession(signed.text, (made,)), session, cas_key_hash=None, now=None)
    except SconeError as error:
        error.hint = (
            "the signature must be over what generate-message-to-be-signed writes for the same FILE, "
            "SIGNER and options"
        )
        raise error.within("Adding the signature failed") from error
    output.result(signed.with_signature(made).to_json())


@click.command("encrypt", context_settings=SETTINGS)
@template_options
@click.option(
    "-c",
    "--cas",
    "cas_name",
    metavar="CAS",
    type=CasName(),
    help="The attested CAS that is to read the session; by default the default CAS.",
)
@click.option(
    "--key",
    metavar="KEY",
    help="Encrypt to this public key and not to a CAS's: 64 hex digits, as scone cas "
    "show-identification --session-encryption-key prints. Excludes --cas.",
)
def encrypt(
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    cas_name: str | None,
    key: str | None,
) -> None:
    """Encrypt the session in FILE for one CAS; the result is JSON.

    A session that is not signed yet is signed first, as by `scone session sign`. The result is
    uploaded with `scone session create`.
    """
    from scone.session.encrypted import encrypted_document

    if cas_name is not None and key is not None:
        raise UsageError("--cas and --key exclude each other")
    public_key = _encryption_key(cas_name, key)
    request = _Request(file, variables, fail_on_warning, name, use_env, None, None)
    loaded = request.load()
    signed = loaded.signed or _signed_by_cli(request, loaded)
    output.result(encrypted_document(signed.to_json(), public_key))


def _sign_with_cli_identity(request: _Request) -> None:
    output.result(_signed_by_cli(request, request.load()).to_json())


def _signed_by_cli(request: _Request, loaded: Loaded) -> SignedSession:
    from scone.cli.context import config_file, signing_key_pem
    from scone.session.signed import sign_session

    signed, session = _prepared(request, loaded, signing_key_pem())
    signature = sign_session(
        session,
        config_file().session_signing_key(),
        cas_key_hash=request.cas_key_hash,
        not_after=request.not_after,
    )
    return signed.with_signature(signature)


def _prepared(
    request: _Request, loaded: Loaded, signer: str | None
) -> tuple[SignedSession, Session]:
    """What the next signature is added to, and the session that a CAS reads in it.

    A first signer becomes the creator, where the session needs one and names none.
    """
    from scone.cli.session_files import with_signer
    from scone.session import read_session, references_creator, to_yaml
    from scone.session.signed import SignedSession

    session = loaded.session
    if loaded.signed is not None:
        return loaded.signed, session
    if session.creator is None and references_creator(session):
        if signer is None:
            raise UsageError(
                "SIGNER: expected the file of a public key: the session references its creator and "
                "names none, so its first signer becomes the creator",
                hint=_SIGNER_HINT,
            )
        session = with_signer(session, signer)
        _warn_of_readers(session, fail_on_warning=request.fail_on_warning)
    text = to_yaml(session)
    return SignedSession(text), read_session(text).session


def _warn_of_readers(session: Session, *, fail_on_warning: bool) -> None:
    """A signer signs and does not read: the default access policy leaves nobody who may."""
    from scone.session.model import CREATOR, AccessPolicy

    policy = session.access_policy
    if not isinstance(policy, AccessPolicy) or set(policy.read) != {CREATOR}:
        return
    output.warning(
        "access_policy.read: only the creator may read the session, and a signer as creator never "
        "does: nobody can (list a certificate or its key hash: scone self show-key-hash)"
    )
    if fail_on_warning:
        raise SconeError("a warning, and --fail-on-warning is given")


def _public_key(path: str) -> str:
    from scone.cli.files import read_small
    from scone.session.pem import signing_key_text

    place = f"signer file {path!r}"
    try:
        return signing_key_text(
            read_small(path, "signer file", _MAX_KEY).decode("ascii"), place=place
        )
    except UnicodeDecodeError:
        raise MalformedError(
            place, "a public key (Ed25519 or P-384) in PEM", "other bytes", hint=_SIGNER_HINT
        ) from None
    except MalformedError as error:
        error.hint = error.hint or _SIGNER_HINT
        raise


def _stdin_signature(request: _Request) -> bytes:
    from scone.cli.files import read_standard_input

    if request.file == "-":
        raise UsageError(
            "SIGNATURE: standard input is already read for FILE", hint="give SIGNATURE in base64"
        )
    raw = read_standard_input("SIGNATURE", _MAX_SIGNATURE)
    if not raw:
        raise UsageError("SIGNATURE: expected a signature on standard input, got nothing")
    return raw


def _base64(text: str) -> bytes:
    from scone.strict_json import parse_base64

    return parse_base64("".join(text.split()), "SIGNATURE", _MAX_SIGNATURE)


def _key_hash(text: str | None) -> str | None:
    from scone.crypto.keyhash import parse_key_hash

    if text is not None:
        try:
            parse_key_hash(text, place="--for-cas")
        except MalformedError as error:
            hint = "scone cas show-identification -c prints that of an attested CAS"
            raise UsageError(str(error), hint=hint) from error
    return text


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    from datetime import UTC, datetime

    expected = "--not-after: expected a time such as 2026-12-31 or 2026-12-31T23:59:59Z"
    try:
        moment = datetime.fromisoformat(text).replace(microsecond=0)
    except ValueError:
        raise UsageError(f"{expected}, got {text[:40]!r}") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    if moment <= datetime.now(UTC):
        raise UsageError(f"{expected} in the future, got {text[:40]!r}")
    return moment


def _encryption_key(cas_name: str | None, key: str | None) -> bytes:
    from scone.cli.context import config_file, select
    from scone.client.sessions import encryption_key_of
    from scone.strict_json import parse_hex

    if key is not None:
        try:
            return parse_hex(key, "--key", 32)
        except MalformedError as error:
            raise UsageError(str(error)) from error
    return encryption_key_of(select(config_file().load(), cas_name))
