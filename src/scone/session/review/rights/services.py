"""One service: which code is admitted, where it may run, what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from scone.session.command import arguments
from scone.session.model import STRICTEST_FIRST, Image, Service, Session, Signer, Variant
from scone.session.reading.fields import ENVIRONMENT_OF_LOADER
from scone.session.resolve import UnresolvedError, resolved_platforms, resolved_variants
from scone.session.review.rights.changes import Changes, Effect, paired
from scone.session.review.rights.decided import deciding, fragments, specs_of, undecided
from scone.session.review.rights.security import security_of
from scone.session.review.sights import host_inputs, sights
from scone.session.uses import HOST_VARIABLE, names_for_appraisal

_MAX_SVN: Final = 0xFFFF
_Side = tuple[Session, "Service | None"]


def compare_service(found: Changes, name: str, old: _Side, new: _Side) -> None:
    """A service in both sessions, or in one of them (None in the other)."""
    subject = f"service {name}"
    (old_session, before), (new_session, after) = old, new
    if before is None or after is None:
        found.add("changed", "services", subject, "is new" if before is None else "is gone")
    _code(found, subject, old, new)
    _sight(found, subject, old, new)
    found.grants(
        "services",
        subject,
        () if before is None else host_inputs(old_session, before),
        () if after is None else host_inputs(new_session, after),
        texts=("whoever starts it chooses {} now", "whoever starts it no longer chooses {}"),
    )
    if before is not None and after is not None:
        _platforms(found, subject, (old_session, before), (new_session, after))
        _factors(found, subject, before, after)
        _configuration(found, subject, (old_session, before), (new_session, after))
        deciding(
            found,
            ("code", subject),
            specs_of(old_session, names_for_appraisal(old_session, before)),
            specs_of(new_session, names_for_appraisal(new_session, after)),
            fragments_count=not (
                _is_decided(old_session, before) and _is_decided(new_session, after)
            ),
        )
    _image(found, subject, old, new)


def _is_decided(session: Session, service: Service) -> bool:
    """Whether all that decides about the service is known."""
    values = fragments(session)
    try:
        resolved_variants(session, service, values)
        resolved_platforms(session, service, values)
    except UnresolvedError:
        return False
    return security_of(session) is not None


@dataclass(frozen=True, slots=True)
class _Alternative:
    """One way to be the service; neither given: any program."""

    mrenclave: str | None
    signer: Signer | None

    def __str__(self) -> str:
        parts = [] if self.mrenclave is None else [f"measurement {self.mrenclave}"]
        if self.signer is not None:
            least, most = _versions(self.signer)
            version = f"{least}" if least == most else f"{least} to {most}"
            if most == _MAX_SVN:
                version = f"{least} or newer"
            parts.append(
                f"signer {self.signer.mrsigner}, product {self.signer.isvprodid}, "
                f"security version {version}"
            )
        return " and ".join(parts) or "any program, without attestation,"


def _versions(signer: Signer) -> tuple[int, int]:
    if signer.isvsvn is not None:
        return signer.isvsvn, signer.isvsvn
    least = 0 if signer.isvsvn_min is None else signer.isvsvn_min
    return least, _MAX_SVN if signer.isvsvn_max is None else signer.isvsvn_max


def _alternative_implies(one: _Alternative, other: _Alternative) -> bool:
    if other.mrenclave is not None and one.mrenclave != other.mrenclave:
        return False
    if other.signer is None:
        return True
    if one.signer is None or (one.signer.mrsigner, one.signer.isvprodid) != (
        other.signer.mrsigner,
        other.signer.isvprodid,
    ):
        return False
    (least, most), (floor, ceiling) = _versions(one.signer), _versions(other.signer)
    return floor <= least and most <= ceiling


def _alternatives(session: Session, service: Service | None) -> list[_Alternative] | None:
    """Which programs may be the service; None where secrets decide that are not known here."""
    if service is None:
        return []
    security = security_of(session)
    if security is not None and security.mode == "none":
        return [_Alternative(None, None)]
    try:
        variants = resolved_variants(session, service, fragments(session))
    except UnresolvedError:
        return None
    return [one for variant in variants for one in _of_variant(variant)]


def _of_variant(variant: Variant) -> list[_Alternative]:
    if not variant.mrenclaves and variant.signer is None:
        return []  # admits nobody
    measurements: Sequence[str | None] = variant.mrenclaves or (None,)
    signer = variant.signer and replace(variant.signer, mrsigner=variant.signer.mrsigner.lower())
    return [_Alternative(one and one.lower(), signer) for one in measurements]


def _code(found: Changes, subject: str, old: _Side, new: _Side) -> None:
    before, after = _alternatives(*old), _alternatives(*new)
    if before is None or after is None:
        sections = [None if service is None else service.variants for _, service in (old, new)]
        undecided(found, "code", subject, *sections)
        return
    found.grants(
        "code",
        subject,
        before,
        after,
        texts=("{} is admitted now", "{} is no longer admitted"),
        implies=_alternative_implies,
    )


def _platforms(
    found: Changes, subject: str, old: tuple[Session, Service], new: tuple[Session, Service]
) -> None:
    try:
        before, after = (
            resolved_platforms(session, service, fragments(session))
            for session, service in (old, new)
        )
    except UnresolvedError:
        undecided(found, "platform", f"{subject}: platforms", old[1].platforms, new[1].platforms)
        return
    found.grants(
        "platform",
        subject,
        before or (_ANY_PLATFORM,),
        after or (_ANY_PLATFORM,),
        texts=("it may run on {} now", "it may no longer run on {}"),
        implies=lambda one, other: other in {one, _ANY_PLATFORM},
    )


_ANY_PLATFORM: Final = "any platform"


def _factors(found: Changes, subject: str, old: Service, new: Service) -> None:
    found.protection(
        "code",
        subject,
        "a one-time password",
        old.one_time_password_shared_secret,
        new.one_time_password_shared_secret,
    )
    found.protection("volumes", subject, "its protected file system", old.fspf_path, new.fspf_path)
    if old.fspf_path and new.fspf_path:
        found.hidden("volumes", subject, "fspf_key", old.fspf_key, new.fspf_key)
        found.differs("volumes", subject, "fspf_tag", old.fspf_tag, new.fspf_tag)
        what, order = "fspf_update_policy", STRICTEST_FIRST
        policies = old.fspf_update_policy, new.fspf_update_policy
        found.ranked("volumes", subject, what, policies, order)


def _configuration(
    found: Changes, subject: str, old: tuple[Session, Service], new: tuple[Session, Service]
) -> None:
    before, after = (arguments(service, session.version) for session, service in (old, new))
    if before != after:
        if (old[1].command is None) != (new[1].command is None):
            text = "command is " + ("new" if old[1].command is None else "gone")
        elif len(before) != len(after):
            text = f"command: {len(before)} words became {len(after)} (not shown)"
        else:
            pairs = enumerate(zip(before, after, strict=True))
            which = ", ".join(str(number) for number, (one, other) in pairs if one != other)
            text = f"command changed at {which} (not shown; 0 is the program)"
        found.add("changed", "services", subject, text)
    for name, one, other in paired(old[1].environment, new[1].environment, lambda pair: pair[0]):
        if name.startswith(HOST_VARIABLE):
            continue
        if name in ENVIRONMENT_OF_LOADER and other is not None and one != other:
            text = f"variable {name} makes it load other libraries than those that were measured"
            found.add("weaker", "services", subject, text)
        else:
            found.hidden(
                "services", subject, f"variable {name}", one and one[1], other and other[1]
            )
    found.differs("services", subject, "pwd", old[1].pwd, new[1].pwd)
    found.differs("services", subject, "image_name", old[1].image_name, new[1].image_name)


def _sight(found: Changes, subject: str, old: _Side, new: _Side) -> None:
    """Secrets that the service sees now, or no longer; others where it sees them."""
    seen = [() if service is None else sights(session, service) for session, service in (old, new)]
    before, after = seen
    for one in after:
        if any((one.secret, one.part) == (other.secret, other.part) for other in before):
            if one not in before:
                found.add("changed", "secrets", subject, f"sees {one} now")
            continue
        # A secret that was not there before gives away nothing that was.
        effect: Effect = "changed" if old[0].secret(one.secret) is None else "weaker"
        found.add(effect, "secrets", subject, f"sees {one} now")
    for one in before:
        if any((one.secret, one.part) == (other.secret, other.part) for other in after):
            if one not in after:
                found.add("changed", "secrets", subject, f"no longer sees {one}")
            continue
        effect = "changed" if new[0].secret(one.secret) is None else "stronger"
        found.add(effect, "secrets", subject, f"no longer sees {one}")


def _image_of(side: _Side) -> Image | None:
    session, service = side
    return None if service is None else session.image_of(service)


def _image(found: Changes, subject: str, old: _Side, new: _Side) -> None:
    before, after = _image_of(old), _image_of(new)
    mounts = [image.volumes if image else () for image in (before, after)]
    for name, one, other in paired(mounts[0], mounts[1], lambda item: item.name):
        if one is None and other is not None:
            effect: Effect = "changed" if old[0].volume(name) is None else "weaker"
            found.add(effect, "volumes", subject, f"uses volume {name} at {other.path} now")
        elif other is None and one is not None:
            effect = "changed" if new[0].volume(name) is None else "stronger"
            found.add(effect, "volumes", subject, f"no longer uses volume {name} at {one.path}")
        elif one is not None and other is not None:
            what = f"path of volume {name}"
            found.differs("volumes", subject, what, one.path, other.path)
            what = f"update_policy of volume {name}"
            policies = one.update_policy, other.update_policy
            found.ranked("volumes", subject, what, policies, STRICTEST_FIRST)
    listed = [image.injection_files if image else () for image in (before, after)]
    for path, file, other_file in paired(listed[0], listed[1], lambda item: item.path):
        if file is None or other_file is None:
            text = f"file {path} is {'new' if file is None else 'gone'}"
            found.add("changed", "services", subject, text)
            continue
        if file.content is None or other_file.content is None:
            found.grants(
                "services",
                subject,
                () if file.content is not None else (path,),
                () if other_file.content is not None else (path,),
                texts=("the host writes file {} now", "the host no longer writes file {}"),
            )
        else:
            found.hidden("services", subject, f"file {path}", file.content, other_file.content)
        found.differs(
            "services",
            subject,
            f"permission of file {path}",
            f"0o{file.permission:o}",
            f"0o{other_file.permission:o}",
        )
