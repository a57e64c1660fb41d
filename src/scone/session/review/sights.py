"""Which secrets a service sees, in what form and where: what its session puts in for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scone.session.command import arguments, host_argument
from scone.session.model import Image, Service, Session
from scone.session.placeholders import START, Placeholder, find
from scone.session.uses import HOST_VARIABLE, provided

_PRIVATE: Final = ("privatekey", "pkcs12", ".key")
_PUBLIC: Final = ("crt", "chain", "publickey", ".crt", ".chain")


@dataclass(frozen=True, slots=True)
class Sight:
    """One place where a service sees a secret; `part` is `private key`, `public part` or the value."""

    secret: str
    part: str
    place: str

    def __str__(self) -> str:
        part = f" ({self.part})" if self.part else ""
        return f"{self.secret}{part} in {self.place}"


def sights(session: Session, service: Service) -> tuple[Sight, ...]:
    """Every place where the service sees a secret, in the order of the file.

    Raises:
        MalformedError: a text that begins like a placeholder and is none.
    """
    return tuple(dict.fromkeys(_sights(session, service)))


def host_inputs(session: Session, service: Service) -> tuple[str, ...]:
    """The arguments and variables that whoever starts the service chooses.

    Raises:
        MalformedError: a quote in the command is not closed.
    """
    words = arguments(service, session.version)
    return (
        *(f"argument {word}" for word in words if host_argument(word)),
        *(f"variable {name}" for name, _ in service.environment if name.startswith(HOST_VARIABLE)),
    )


def _sights(session: Session, service: Service) -> Iterator[Sight]:
    for number, word in enumerate(arguments(service, session.version)):
        yield from _in(session, word, f"argument {number}" if number else "the program's name")
    for name, text in service.environment:
        if not name.startswith(HOST_VARIABLE):
            yield from _in(session, text, f"variable {name}")
    yield from _in(session, service.fspf_key or "", "fspf_key")
    image = session.image_of(service)
    if image is not None:
        yield from _of_image(session, image)


def _of_image(session: Session, image: Image) -> Iterator[Sight]:
    for mount in image.volumes:
        volume = session.volume(mount.name)
        if volume is not None:
            yield from _in(session, volume.fspf_key or "", f"the key of volume {volume.name}")
    for file in image.injection_files:
        if file.content is not None:
            yield from _in(session, file.content, f"file {file.path}")
            continue
        for name in sorted(provided(session, image)):
            # The host's file may name it in any form.
            yield Sight(name, "", f"template {file.path} of the host")


def _in(session: Session, text: str, place: str) -> Iterator[Sight]:
    if START not in text:
        return
    for part in find(text):
        if isinstance(part, Placeholder):
            meant = part.meant({secret.name for secret in session.secrets})
            spec = meant and session.secret(meant[0])
            if meant is not None and spec is not None:
                name, form = meant
                yield Sight(name, _part(form), place)
                # Whoever has a token reads its claims.
                for claim, value in spec.jwt.payload if spec.jwt else ():
                    yield from _in(session, value, f"claim {claim} of {name}, {place}")


def _part(form: str) -> str:
    if form.startswith(_PRIVATE):
        return "private key"
    return "public part" if form.startswith(_PUBLIC) else ""
