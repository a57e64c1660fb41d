"""`scone session explain`: would evidence get a configuration, and why; offline, a dry run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from scone.cli import output
from scone.cli.options import SETTINGS, json_option, template_options
from scone.cli.parameters import FileName
from scone.errors import MalformedError, NotFoundError, UsageError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scone.attestation.verify import Anchor, VerifiedEvidence
    from scone.session.review.explain import Needs, Requirement, Verdict

_MAX_QUOTE: Final = 64 * 1024
_MAX_ROOT: Final = 64 * 1024


@click.command("explain", context_settings=SETTINGS)
@template_options
@click.argument("service_name", metavar="SERVICE")
@click.option(
    "--quote",
    "quote_path",
    metavar="FILE",
    type=FileName(),
    help="The SGX quote of a program, binary. Without it, what evidence the service needs is shown.",
)
@click.option(
    "--collateral",
    "collateral_path",
    metavar="FILE",
    type=FileName(),
    help="The endorsements of its platform, JSON as dcap-qvl writes it.",
)
@click.option(
    "--root",
    "root_paths",
    metavar="FILE",
    type=FileName(),
    multiple=True,
    help="A root certificate (PEM or DER) to trust beside Intel's, such as that of a simulated "
    "platform; may be repeated.",
)
@click.option(
    "--verification-time",
    metavar="VERIFICATION_TIME",
    help="Verify the quote as of this day, 0:00 UTC: yyyy-mm-dd, dd.mm.yyyy or dd-mm-yyyy. By "
    "default now.",
)
@json_option
@click.pass_context
def explain(
    ctx: click.Context,
    *,
    file: str,
    variables: tuple[str, ...],
    fail_on_warning: bool,
    name: str | None,
    use_env: bool,
    service_name: str,
    quote_path: str | None,
    collateral_path: str | None,
    root_paths: tuple[str, ...],
    verification_time: str | None,
    as_json: bool,
) -> None:
    """Say what SERVICE of the session in FILE needs and sees, and whether a quote is enough.

    Nothing is sent. Ends with 4 if the quote would not get the configuration. Which connection a
    quote was made for, one-time passwords and tokens are not looked at.
    """
    from scone.cli.session_files import load_session
    from scone.session.resolve import UnresolvedError
    from scone.session.review.explain import needs, verdict_on

    if (quote_path is None) != (collateral_path is None):
        raise UsageError("expected --quote and --collateral together, or neither")
    if quote_path is None and (root_paths or verification_time is not None):
        raise UsageError("expected --quote beside --root and --verification-time")
    session = load_session(
        file, variables, fail_on_warning=fail_on_warning, name=name, use_env=use_env
    ).session
    try:
        service = session.service(service_name)
    except NotFoundError as error:
        known = ", ".join(one.name for one in session.services) or "none"
        error.hint = f"its services: {known}"
        raise
    needed = needs(session, service)
    verdict = evidence = None
    if quote_path is not None and collateral_path is not None:
        evidence = _verified(quote_path, collateral_path, root_paths, verification_time)
        try:
            verdict = verdict_on(session, service, evidence)
        except UnresolvedError as error:
            error.hint = (
                "here only the explicit values of the session are known, and no imported ones"
            )
            raise error.within(f"{file}: whether the quote is enough cannot be said") from error
    title = f"{session.name}/{service.name}"
    if as_json:
        output.facts(_facts(title, needed, verdict, evidence))
    else:
        lines = [*_verdict(title, verdict, evidence), *_needs(needed)]
        output.result("\n".join(output.printable(line) for line in lines))
    if verdict is not None and not verdict.accepted:
        ctx.exit(output.EXIT_NOT_TRUSTED)


def _verified(
    quote_path: str, collateral_path: str, root_paths: tuple[str, ...], day: str | None
) -> VerifiedEvidence:
    from datetime import UTC, datetime

    from scone.attestation.collateral import MAX_COLLATERAL_BYTES, Collateral
    from scone.attestation.verify import INTEL_SGX_ROOT, UntrustedRootError, verify
    from scone.cli.files import read_small
    from scone.cli.policy import parse_date

    now = datetime.now(UTC) if day is None else parse_date(day)
    anchors = [INTEL_SGX_ROOT, *map(_anchor, root_paths)]
    quote = read_small(quote_path, "--quote", _MAX_QUOTE)
    raw = read_small(collateral_path, "--collateral", MAX_COLLATERAL_BYTES)
    try:
        return verify(quote, Collateral.parse(raw), anchors, now)
    except UntrustedRootError as error:
        error.hint = "--root FILE trusts another root; the LAS of a simulated platform prints its"
        raise error.within(f"{quote_path}: the quote is not genuine") from error
    except MalformedError as error:  # whatever was offered as evidence and is none
        raise VerificationError(str(error), hint=error.hint) from error


def _anchor(path: str) -> Anchor:
    from scone.attestation.verify import Anchor
    from scone.cli.files import read_small
    from scone.crypto.certificates import load_certificate
    from scone.crypto.der import pem_to_der

    raw = read_small(path, "--root", _MAX_ROOT)
    try:
        der = raw
        if raw.lstrip().startswith(b"-----BEGIN "):
            der = pem_to_der(raw.decode("ascii"), "CERTIFICATE", f"--root {path}")
        subject = load_certificate(der).subject.rfc4514_string()
    except (MalformedError, UnicodeDecodeError) as error:
        raise UsageError(f"--root {path}: expected a certificate in PEM or DER") from error
    return Anchor(subject, der, simulated="SIMULATED" in subject)


def _facts(
    title: str, needed: Needs, verdict: Verdict | None, evidence: VerifiedEvidence | None
) -> dict[str, object]:
    facts: dict[str, object] = {"service": title, "needs": asdict(needed)}
    if verdict is not None and evidence is not None:
        facts["simulated"] = evidence.simulated
        facts["verdict"] = asdict(verdict) | {
            "variants": [asdict(one) | {"passed": one.passed} for one in verdict.variants]
        }
    return facts


def _verdict(
    title: str, verdict: Verdict | None, evidence: VerifiedEvidence | None
) -> Iterator[str]:
    if verdict is None or evidence is None:
        yield title
        return
    yield f"{title}: the evidence {'gets' if verdict.accepted else 'DOES NOT get'} the configuration"
    if evidence.simulated:
        yield "The evidence is of a simulated platform, which proves nothing"
    if verdict.variants:
        yield "\nProgram (one variant must match)"
        for variant in verdict.variants:
            yield f"  variant {variant.number}: {'matches' if variant.passed else 'does not match'}"
            yield from map(_requirement, variant.requirements)
    if verdict.platform:
        yield "\nPlatform (all must be met)"
        yield from map(_requirement, verdict.platform)
    yield from _listed("\nTolerated, and needed for this evidence", verdict.needed)
    left_over = "\nTolerated, and not needed for this evidence (take them out?)"
    yield from _listed(left_over, verdict.left_over)
    if verdict.instead:
        yield f"\nIn the place of the wildcard this would do:\n  {verdict.instead}"
    if verdict.fix:
        yield "\nNearest fix (review it: is this the program and the platform that you mean?)"
        yield from (f"  {line}" for line in verdict.fix.splitlines())
    elif not verdict.accepted:
        yield "\nNothing in the session can accept this evidence"


def _requirement(one: Requirement) -> str:
    if one.passed:
        return f"    ok    {one.name}: {one.found}"
    return f"    FAILS {one.name}: expected {one.expected}, found {one.found or 'nothing'}"


def _needs(needed: Needs) -> Iterator[str]:
    yield from _listed("\nEvidence that it needs", needed.evidence)
    yield from _listed("\nAt its start it needs", needed.at_start)
    yield from _listed("\nSecrets that it sees", map(str, needed.secrets))
    imports = (f"{name}: {source}" for name, source in needed.imports)
    yield from _listed("\nIt depends on", imports)
    yield from _listed("\nSecrets that decide whether it is admitted", needed.deciding)


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"  {item}" for item in items]
    if lines:
        yield title
        yield from lines
