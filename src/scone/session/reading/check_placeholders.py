"""Rules for the placeholders of a session: their secret, their format, their place, their number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from scone.errors import MalformedError
from scone.session.model import (
    VOLUME_KEY_BYTES,
    SecretSpec,
    Security,
    Service,
    Session,
    Template,
)
from scone.session.otp import MIN_SECRET_BYTES, is_otp_secret
from scone.session.placeholders import START, WHOLE, Placeholder, find
from scone.session.reading.collect import Collector
from scone.session.reading.fields import formats_of
from scone.session.reading.parts import Parts
from scone.session.reading.versions import Version

# Each may become a chain of certificates at every start of a service.
_MAX_PLACEHOLDERS: Final = 1000
# Each derives two keys from a password at every start of a service.
_ARCHIVE: Final = "pkcs12-with-private-key"
_MAX_ARCHIVES: Final = 32
_CERTIFICATES: Final = frozenset({"x509", "x509-ca"})
_TEXT_FORMS: Final = {
    "binary": "hex",
    "private-key": "pem",
    "public-key": "spki:pem",
    "pgp-key": "publickey:asciiarmored",
}


def check_placeholders(c: Collector, parts: Parts, session: Session, version: Version) -> None:
    """All rules for placeholders, in the order of the file."""
    left, archives_left = _MAX_PLACEHOLDERS, _MAX_ARCHIVES
    attested = not (isinstance(session.security, Security) and session.security.mode == "none")
    for use in _uses(c, parts, session):
        left -= use.text.count(START)
        if left < 0:
            message = f"expected at most {_MAX_PLACEHOLDERS} placeholders in a session"
            c.problem_at(use.path, message)
            break
        found = _placeholders(c, parts, use, version)
        if not attested and any(placeholder.builtin for placeholder in found):
            c.problem_at(use.path, "expected attestation: with mode none nothing is measured")
        archives = sum(placeholder.format == _ARCHIVE for placeholder in found)
        if archives > archives_left >= 0:
            message = f"expected at most {_MAX_ARCHIVES} placeholders :{_ARCHIVE} in a session"
            c.problem_at(use.path, message, "services can share the file of one image")
        archives_left -= archives


_Place = Literal["command", "environment", "content", "claim", "section", "entry", "key", "otp"]


@dataclass(frozen=True, slots=True)
class _Use:
    """A text that secrets are put into: where it stands and of what kind that place is."""

    path: str
    place: _Place
    text: str


def _uses(c: Collector, parts: Parts, session: Session) -> Iterator[_Use]:
    for index, service in enumerate(parts.services):
        if service is not None:
            yield from _service(service, f"services[{index}]")
    for index, image in enumerate(parts.images):
        for number, file in enumerate(image.injection_files if image else ()):
            if file.content is not None:
                path = f"images[{index}].injection_files[{number}].content"
                yield _Use(path, "content", file.content)
    for index, volume in enumerate(parts.volumes):
        if volume is not None and volume.fspf_key is not None:
            yield _Use(f"volumes[{index}].fspf_key", "key", volume.fspf_key)
    for index, secret in enumerate(parts.secrets):
        for claim, text in secret.jwt.payload if secret and secret.jwt else ():
            if WHOLE.fullmatch(text):  # what is only a part of a claim stays as it is
                yield _Use(f"secrets[{index}].payload.{claim}", "claim", text)
    security = session.security
    if isinstance(security, Template):
        yield from _section("security", security)
    elif security.one_time_password_shared_secret is not None:
        path = "security.attestation.one_time_password_shared_secret"
        yield _Use(path, "otp", security.one_time_password_shared_secret)
    if isinstance(session.access_policy, Template):
        yield from _section("access_policy", session.access_policy)
    else:
        for path, entry in c.access_references:
            yield _Use(path, "entry", entry)


def _service(service: Service, path: str) -> Iterator[_Use]:
    if isinstance(service.command, str):
        yield _Use(f"{path}.command", "command", service.command)
    else:
        for number, word in enumerate(service.command or ()):
            yield _Use(f"{path}.command[{number}]", "command", word)
    for name, value in service.environment:
        yield _Use(f"{path}.environment.{name}", "environment", value)
    if service.fspf_key is not None:
        yield _Use(f"{path}.fspf_key", "key", service.fspf_key)
    if service.one_time_password_shared_secret is not None:
        text = service.one_time_password_shared_secret
        yield _Use(f"{path}.one_time_password_shared_secret", "otp", text)
    for name, section in (
        ("attestation", service.attestation),
        ("platforms", service.platforms),
    ):
        if isinstance(section, Template):
            yield from _section(f"{path}.{name}", section)


def _section(path: str, section: Template) -> Iterator[_Use]:
    """The placeholders of a section, each at the place of its text."""

    def walk(data: Any, at: str) -> Iterator[_Use]:
        if isinstance(data, str):
            if START in data:
                is_otp = at.endswith(".one_time_password_shared_secret")
                yield _Use(at, "otp" if is_otp else "section", data)
        elif isinstance(data, list):
            for index, item in enumerate(data):
                yield from walk(item, f"{at}[{index}]")
        else:
            for key, value in data.items():
                yield from walk(value, f"{at}.{key}")

    yield from walk(json.loads(section.data), path)


def _placeholders(
    c: Collector, parts: Parts, use: _Use, version: Version
) -> tuple[Placeholder, ...]:
    path = use.path
    # Below an unknown key, which is reported, nothing has a place.
    if START not in use.text or (c.problems and path not in c.nodes):
        return ()
    try:
        parsed = find(use.text, place=path)
    except MalformedError as error:
        c.malformed(c.nodes.get(path), path, error)
        return ()
    found = tuple(part for part in parsed if isinstance(part, Placeholder))
    for placeholder in found:
        if placeholder.builtin:
            if use.place in {"section", "entry", "key", "otp"}:
                c.problem_at(path, f"expected a secret, got {placeholder}")
            continue
        meant = placeholder.meant(parts.by_name)
        if placeholder.single_colon:
            name = c.said(path, placeholder.name)
            message = f"$$SCONE:{name} is written with two colons"
            hint = c.said(path, f"write {placeholder}")
            c.warn(path, "deprecated-single-colon", message, hint)
        if meant is not None:
            secret, form = parts.by_name[meant[0]], meant[1]
            _form(c, use, secret, form, version=version, escaped=placeholder.escape_json)
        elif not any(parts.is_unreadable(name) for name, _ in placeholder.secret_candidates):
            hint = c.suggestion(placeholder.name, parts.by_name)
            named = c.said(path, f" named {placeholder.name}")
            c.problem_at(path, f"expected a secret{named} in this session", hint)
    return found


def _form(
    c: Collector, use: _Use, secret: SecretSpec, form: str, *, version: Version, escaped: bool
) -> None:
    """Check the format of one placeholder against the kind of its secret and its place."""
    name = c.said(use.path, secret.name) or "NAME"
    if secret.kind == "config-fragment" and use.place not in {"section", "entry"}:
        hint = "a fragment stands for a part of attestation, security or access_policy"
        c.problem_at(use.path, f"expected a secret that is text, {name} is not", hint)
        return
    if use.place == "claim" and secret.kind == "jwt":
        c.problem_at(use.path, f"expected a secret that is no token, {name} is one")
        return
    forms = formats_of(secret.kind)
    if form not in forms:
        named = [f":{other}" for other in forms if other and not other.startswith(".")]
        got = form if form.startswith(".") else f":{form}" if form else "none"
        c.problem_at(
            use.path,
            f"expected a format of {secret.kind or 'imported'} secrets for {name}"
            + c.said(use.path, f", got {got}"),
            f"there is {', '.join(named) or 'none'}",
        )
        return
    if use.place == "entry" and form and secret.kind in _CERTIFICATES and not version.is_0_2:
        hint = f"write $$SCONE::{name}$$: the key of the certificate counts"
        c.problem_at(use.path, f"expected no format for the certificate {name}", hint)
        return
    if use.place == "key":
        if secret.kind not in {"binary", None} or form:
            expected = "expected $$SCONE::NAME$$ of a binary secret of 32 bytes"
            c.problem_at(use.path, expected)
        else:
            check_key_size(c, secret, use.path)
        return
    if use.place == "otp":
        _otp(c, use, secret, form)
        return
    if form.startswith(".") and not version.is_0_2:
        now = {".key": "privatekey", ".chain": "chain"}.get(form, form[1:])
        hint = f"write $$SCONE::{name}:{now}$$"
        if form == ".chain":
            hint += ", which begins at the other end and leaves the certificate out"
        c.warn(use.path, "deprecated-format", f"the form {form} is deprecated", hint)
    private = "privatekey" in form or form in {".key", "pkcs12-with-private-key"}
    certificate = secret.kind in _CERTIFICATES and not secret.is_foreign
    if private and certificate and secret.private_key is None and not version.is_0_2:
        c.problem_at(use.path, f"expected the private key of {name} in this session")
    if forms[form] and use.place != "content":
        text_form = _TEXT_FORMS.get(secret.kind or "", "crt")
        c.problem_at(
            use.path,
            f"expected a text form of {name}: raw bytes may hold NUL",
            f"for instance $$SCONE::{name}:{text_form}$$",
        )
    elif forms[form] and escaped:
        c.problem_at(use.path, f"expected a text form of {name} under escape(json)")


def check_key_size(c: Collector, secret: SecretSpec, path: str) -> None:
    """Keys of volumes and of encrypted imports are AES-256 keys; an imported one is seen later."""
    size = secret.effective_size if secret.is_sized else len(secret.value or "") // 2
    if secret.kind == "binary" and not secret.is_foreign and size != VOLUME_KEY_BYTES:
        give = f"give {c.said(path, secret.name) or 'it'} size: {VOLUME_KEY_BYTES}"
        hint = give if secret.is_sized else f"{2 * VOLUME_KEY_BYTES} hex digits"
        c.problem_at(path, f"expected a binary secret of {VOLUME_KEY_BYTES} bytes", hint)


def _otp(c: Collector, use: _Use, secret: SecretSpec, form: str) -> None:
    """An explicit ascii secret in base32, or a binary one of 16 bytes (RFC 4226, 4: 128 bits)."""
    if secret.is_foreign and secret.kind in {None, "ascii", "binary"}:
        right = secret.kind is None or form == ("" if secret.kind == "ascii" else "base32nopad")
    elif secret.kind == "binary":
        size = secret.effective_size if secret.is_sized else len(secret.value or "") // 2
        if form == "base32nopad" and size < MIN_SECRET_BYTES:
            c.problem_at(use.path, f"expected a secret of {MIN_SECRET_BYTES} bytes or more")
            return
        right = form == "base32nopad"
    else:
        # What is generated as ascii has characters that base32 has not.
        right = secret.kind == "ascii" and is_otp_secret(secret.value or "")
    if not right:
        expected = "expected an ascii secret in base32, or :base32nopad of a binary one"
        hint = f"at least {8 * MIN_SECRET_BYTES} bits: 26 characters or {MIN_SECRET_BYTES} bytes"
        c.problem_at(use.path, expected, hint)
