"""Would this evidence get this configuration? Clause by clause, with the nearest fix; a dry run.

The verdicts are those of `appraise_service`, asked again with one thing changed: what a clause
needs, and which tolerations are left over, follows from its answers. Of the session's secrets the
explicit ones are put in where secrets decide; others are not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scone.attestation.appraise import CATEGORIES, NotTrustedError, appraise_service
from scone.attestation.verify import VerifiedEvidence
from scone.session.model import Security, Service, Session, Signer, Variant
from scone.session.reading.fields import TOLERATE
from scone.session.resolve import (
    UnresolvedError,
    explicit_values,
    resolved_platforms,
    resolved_security,
    resolved_variants,
)
from scone.session.review.sights import Sight, host_inputs, sights
from scone.session.uses import names_for_appraisal, names_for_service

_CODE: Final = {"mrenclave", "mrsigner", "isvprodid", "isvsvn", "attestation"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause: what is expected, what was found, and whether that is accepted."""

    name: str
    passed: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """One attestation variant: it admits the program if all that it requires is met."""

    number: int
    requirements: tuple[Requirement, ...]

    @property
    def passed(self) -> bool:
        """Whether this variant admits the program."""
        return all(one.passed for one in self.requirements)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether evidence is accepted, and why; `fix` is session text, empty if nothing helps.

    `needed` and `left_over` divide what the session tolerates and ignores; `instead` is what would
    do in the place of the wildcard for advisories.
    """

    accepted: bool
    variants: tuple[VariantVerdict, ...]
    platform: tuple[Requirement, ...]
    needed: tuple[str, ...]
    left_over: tuple[str, ...]
    instead: str
    fix: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What a service needs and gets, whatever the evidence.

    `evidence` and `at_start` are sentences; `imports` are the secrets from elsewhere that a start
    needs, with where they come from; `deciding` are secrets that decide about admission.
    """

    evidence: tuple[str, ...]
    at_start: tuple[str, ...]
    secrets: tuple[Sight, ...]
    imports: tuple[tuple[str, str], ...]
    deciding: tuple[str, ...]


def needs(session: Session, service: Service) -> Needs:
    """What the service must show and be given, and what it then sees.

    Raises:
        MalformedError: a text that begins like a placeholder and is none.
    """
    deciding = names_for_appraisal(session, service)
    start = [*host_inputs(session, service), *_protected(session, service)]
    deciding = names_for_appraisal(session, service)
    try:
        security = resolved_security(session, explicit_values(session))
        start += _factors(service, security)
        evidence = tuple(_evidence(session, service, security))
    except UnresolvedError as error:
        unknown = not deciding <= explicit_values(session).keys()
        why = "decided by secrets that are not known here (below)" if unknown else str(error)
        evidence = (why,)
    return Needs(
        evidence=evidence,
        at_start=tuple(start),
        secrets=sights(session, service),
        imports=tuple(_imports(session, service)),
        deciding=tuple(sorted(deciding)),
    )


def verdict_on(session: Session, service: Service, verified: VerifiedEvidence) -> Verdict:
    """Whether genuine evidence gets the configuration of the service.

    In mode maa only the program is judged, in mode none nothing is.

    Raises:
        UnresolvedError: imported or generated secrets decide; they are not known here.
    """
    values = explicit_values(session)
    security = resolved_security(session, values)
    if security.mode == "none":
        return Verdict(
            accepted=True, variants=(), platform=(), needed=(), left_over=(), instead="", fix=""
        )
    listed = resolved_variants(session, service, values)
    variants = tuple(
        VariantVerdict(number, tuple(_of_variant(verified, variant, security)))
        for number, variant in enumerate(listed, 1)
    )
    judged = _Platform(verified, security, resolved_platforms(session, service, values))
    platform = tuple(judged.requirements())
    needed, left_over, instead = judged.tolerations()
    fix = ""
    if not judged.is_hopeless:
        admitted = any(one.passed for one in variants)
        parts = [_code_fix(service, verified, variants, listed)] if not admitted else []
        fix = "".join(_fix(service, parts, judged))
    return Verdict(
        accepted=any(one.passed for one in variants) and all(one.passed for one in platform),
        variants=variants,
        platform=platform,
        needed=needed,
        left_over=left_over,
        instead=instead,
        fix=fix,
    )


def _failed(
    verified: VerifiedEvidence,
    variant: Variant,
    security: Security,
    platforms: Sequence[str] = (),
) -> set[str]:
    """Names of the clauses that fail."""
    try:
        appraise_service(verified, (variant,), security, platforms)
    except NotTrustedError as error:
        return {clause.name for clause in error.clauses}
    return set()


def _of_variant(
    verified: VerifiedEvidence, variant: Variant, security: Security
) -> Iterator[Requirement]:
    report, signer = verified.report, variant.signer
    failed = _failed(verified, variant, security)
    if "attestation" in failed:
        yield Requirement(
            "attestation", passed=False, expected="a measurement or a signer", found=""
        )
    wanted: list[tuple[str, str, str]] = []
    if variant.mrenclaves:
        wanted.append(("mrenclave", " or ".join(variant.mrenclaves), report.mrenclave.hex()))
    if signer is not None:
        wanted += [
            ("mrsigner", signer.mrsigner, report.mrsigner.hex()),
            ("isvprodid", str(signer.isvprodid), str(report.isvprodid)),
            ("isvsvn", _versions(signer), str(report.isvsvn)),
        ]
    for name, expected, found in wanted:
        yield Requirement(name, name not in failed, expected, found)


def _versions(signer: Signer) -> str:
    if signer.isvsvn is not None:
        return str(signer.isvsvn)
    least = "any" if signer.isvsvn_min is None else f"{signer.isvsvn_min} or newer"
    return least if signer.isvsvn_max is None else f"{least}, at most {signer.isvsvn_max}"


class _Platform:
    """What is required of the platform, whatever the program is."""

    def __init__(
        self, verified: VerifiedEvidence, security: Security, platforms: tuple[str, ...]
    ) -> None:
        self.verified = verified
        self.security = security
        self.platforms = platforms
        self.failed = self._failed(security)

    @property
    def is_hopeless(self) -> bool:
        """Whether no session text accepts the platform."""
        return not self.failed.isdisjoint({"revoked", "local"})

    def _failed(self, security: Security) -> set[str]:
        own = Variant((self.verified.report.mrenclave.hex(),))  # admits the program, so that only
        failed = _failed(self.verified, own, security, self.platforms)  # the platform is judged
        if security.mode == "maa":  # the state of the platform is for MAA to judge
            return failed & {"debug-mode"}
        return failed - _CODE

    def requirements(self) -> Iterator[Requirement]:
        """Each clause, those that are met too."""
        verified, failed = self.verified, self.failed
        if self.security.must_be_sgx_local:
            yield Requirement("local", "local" not in failed, "local evidence", "a remote quote")
        if self.platforms and self.security.mode == "hardware":
            listed = " or ".join(self.platforms)
            yield Requirement("platform", "platform" not in failed, listed, verified.platform_id)
        found = "debug mode" if verified.debug else "no debug mode"
        yield self._tolerable("debug-mode", "no debug mode", found)
        if self.security.mode == "maa":
            return
        status = f"TCB status {verified.tcb_status}"
        if "revoked" in failed:
            yield Requirement("revoked", passed=False, expected="a TCB not revoked", found=status)
            return
        found = "enabled" if verified.smt else "disabled"
        yield self._tolerable("hyperthreading", "Hyper-Threading disabled", found)
        categories = sorted(CATEGORIES[verified.tcb_status])
        for category in categories:
            yield self._tolerable(category, "TCB status UpToDate", status)
        if not categories:
            yield Requirement("tcb", passed=True, expected="TCB status UpToDate", found=status)
        for advisory in verified.advisories:
            passed = advisory not in failed
            how = "ignored" if passed else "open"
            yield Requirement(advisory, passed, "not affected, or ignored", how)

    def _tolerable(self, name: str, expected: str, found: str) -> Requirement:
        given = name in self.security.tolerate
        return Requirement(
            name, name not in self.failed, f"{expected}{', or tolerated' if given else ''}", found
        )

    def tolerations(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """Those that this evidence needs, those that it does not, and a list for the wildcard."""
        needed: list[str] = []
        left_over: list[str] = []
        security = self.security

        def tried(text: str, without: Security) -> None:
            nonlocal security
            if self._failed(without) == self.failed:
                left_over.append(text)
                security = without
            else:
                needed.append(text)

        for word in self.security.tolerate:
            required = (word == "maa-managed-tcb" and security.mode == "maa") or (
                word == "local-attestation-trust-cas-tcb" and security.must_be_sgx_local
            )
            if required:
                needed.append(f"tolerate: {word}")
                continue
            rest = tuple(other for other in security.tolerate if other != word)
            tried(f"tolerate: {word}", replace(security, tolerate=rest))
        instead = ""
        if self.security.ignore_advisories == "*":
            without = replace(security, ignore_advisories=())
            opened = sorted(self._failed(without) - self.failed)
            tried('ignore_advisories: "*"', without)
            instead = f"ignore_advisories: [{', '.join(opened)}]" if opened else ""
        else:
            for advisory in self.security.ignore_advisories:
                left = tuple(one for one in security.ignore_advisories if one != advisory)
                tried(f"ignore_advisories: {advisory}", replace(security, ignore_advisories=left))
        return tuple(needed), tuple(left_over), instead

    def fix(self) -> str:
        """The `security` section that accepts the platform; empty if it is accepted."""
        tolerate = sorted(self.failed & set(TOLERATE))
        advisories = sorted(name for name in self.failed if "-SA-" in name)
        if not (tolerate or advisories):
            return ""
        known = self.security.ignore_advisories
        words = dict.fromkeys([*self.security.tolerate, *tolerate])
        text = f"security:\n  attestation:\n    tolerate: [{', '.join(words)}]\n"
        if known == "*":
            return text + '    ignore_advisories: "*"\n'
        listed = dict.fromkeys([*known, *advisories])
        return text + (f"    ignore_advisories: [{', '.join(listed)}]\n" if listed else "")


def _code_fix(
    service: Service,
    verified: VerifiedEvidence,
    verdicts: Sequence[VariantVerdict],
    variants: Sequence[Variant],
) -> str:
    """The variant that is nearest, changed so that it admits the program."""
    report = verified.report
    if service.mrenclaves:
        listed = ", ".join([*service.mrenclaves, report.mrenclave.hex()])
        return f"    mrenclaves: [{listed}]\n"
    nearest = min(
        zip(verdicts, variants, strict=True),
        key=lambda pair: sum(not one.passed for one in pair[0].requirements),
        default=None,
    )
    signer = None if nearest is None else nearest[1].signer
    lines = ["    attestation:  # one more variant\n"]
    lead = "      - "
    if nearest is None or nearest[1].mrenclaves or signer is None:
        lines.append(f"{lead}mrenclave: {report.mrenclave.hex()}\n")
        lead = "        "
    if signer is not None:
        lines.append(
            f"{lead}signer: {{mrsigner: {report.mrsigner.hex()}, isvprodid: {report.isvprodid}, "
            f"isvsvn_min: {report.isvsvn}}}\n"
        )
    return "".join(lines)


def _fix(service: Service, code: list[str], judged: _Platform) -> Iterator[str]:
    parts = list(code)
    if "platform" in judged.failed:
        listed = json.dumps([*judged.platforms, judged.verified.platform_id])
        parts.append(f"    platforms: {listed}\n")
    if parts:
        yield f"services:\n  - name: {service.name}\n"
        yield from parts
    yield judged.fix()


def _evidence(session: Session, service: Service, security: Security) -> Iterator[str]:
    values = explicit_values(session)
    if security.mode == "none":
        yield "none: whoever asks gets the configuration (mode: none)"
        return
    if security.mode == "maa":
        yield f"a token of Microsoft Azure Attestation at {security.url}"
    elif security.must_be_sgx_local:
        yield "a local report of a program on the CAS's own machine (must_be_sgx_local)"
    else:
        yield "an SGX quote for this connection, made by the LAS of the machine (SCONE_LAS_ADDR)"
    variants = resolved_variants(session, service, values)
    for number, variant in enumerate(variants, 1):
        parts = [f"measurement {' or '.join(variant.mrenclaves)}"] if variant.mrenclaves else []
        if variant.signer is not None:
            parts.append(
                f"signer {variant.signer.mrsigner}, product {variant.signer.isvprodid}, security "
                f"version {_versions(variant.signer)}"
            )
        yield f"variant {number}: {' and '.join(parts) or 'admits nobody: it requires nothing'}"
    if not variants:
        yield "no evidence will do: the service has no attestation variant"
    platforms = resolved_platforms(session, service, values)
    if platforms and security.mode == "hardware":
        yield f"platform {' or '.join(platforms)}"
    given = [*security.tolerate]
    listed = security.ignore_advisories
    ignored = "every advisory" if listed == "*" else ", ".join(listed)
    yield f"platform up to date, except: {', '.join(given) or 'nothing'} tolerated"
    if ignored:
        yield f"advisories ignored: {ignored}"


def _factors(service: Service, security: Security) -> Iterator[str]:
    own, shared = (one.one_time_password_shared_secret for one in (service, security))
    if own is not None or shared is not None:
        yield "a one-time password, behind the config id: SESSION/SERVICE@CODE"
    if security.service_access_token is not None:
        yield "the service access token, in SCONE_SERVICE_ACCESS_TOKEN"
    if security.singleton_enclaves:
        yield "a new start: each is attested once (singleton_enclaves)"


def _protected(session: Session, service: Service) -> Iterator[str]:
    """Files that a launcher has to decrypt or authenticate; `scone-run` refuses the start."""
    image = session.image_of(service)
    found = [
        f"volume {one.name}, protected, at {one.path}" for one in (image.volumes if image else ())
    ]
    if service.fspf_path is not None:
        found.append(f"the file system protection file {service.fspf_path}")
    yield from (
        f"{one} (scone-run of this version cannot do that: it refuses to start)" for one in found
    )


def _imports(session: Session, service: Service) -> Iterator[tuple[str, str]]:
    for name in sorted(names_for_service(session, service)):
        spec = session.secret(name)
        if spec is None:
            continue
        if spec.imported is not None:
            source = spec.imported.source
            where = f"session {source.session}, secret {spec.imported.name}"
            yield name, where + (f", of the CAS {source.cas_url}" if source.cas_url else "")
        elif spec.akv is not None:
            yield name, f"vault {spec.akv.vault}, secret {spec.akv.secret_name or name}"
        elif spec.aad is not None:
            token = spec.aad
            yield (
                name,
                f"a token for application {token.client_id} of Azure tenant {token.tenant_id}",
            )
    image = session.image_of(service)
    for mount in image.volumes if image else ():
        volume = session.volume(mount.name)
        if volume is not None and volume.imported is not None:
            source = volume.imported.source
            yield f"volume {mount.name}", f"session {source.session}, volume {volume.imported.name}"
