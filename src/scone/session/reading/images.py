"""Reads the `images` section: the files and volumes that a service gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast

from scone.documents import Node, Scalar
from scone.session.model import (
    DEFAULT_PERMISSION,
    Image,
    ImageVolume,
    InjectionFile,
    TagPolicy,
)
from scone.session.placeholders import START
from scone.session.reading.collect import Collector
from scone.session.reading.fields import IMAGE, IMAGE_VOLUME, INJECTION_FILE, TAG_POLICIES
from scone.session.reading.versions import Version
from scone.session.reading.words import CONTROL, printable_name

_MAX_PATH: Final = 4095  # Linux PATH_MAX without its NUL
_OCTAL: Final = re.compile(r"0o?[0-7]{1,4}")
_CANONICAL: Final = re.compile(r"[0-9]{1,3}")


def read_images(
    c: Collector, node: Node | None, version: Version, *, canonical: bool
) -> list[Image | None]:
    """The images in the order of the file; None for one without a usable name."""
    return [
        _image(c, item, path, version, canonical=canonical)
        for path, item in c.items(node, "images")
    ]


def _image(
    c: Collector, node: Node, path: str, version: Version, *, canonical: bool
) -> Image | None:
    fields = c.table(node, path, IMAGE, version)
    if fields is None:
        return None
    listed = c.items(fields.get("injection_files"), f"{path}.injection_files")
    files = [_file(c, item, where, version, canonical=canonical) for where, item in listed]
    known = _once(c, [file.path for file in files], listed)
    at = dict(listed)
    for where, above in _below_files(known):
        c.problem(at[where], where, f"expected a directory, {above} is a file")
    mounted = c.items(fields.get("volumes"), f"{path}.volumes")
    volumes = [_mount(c, item, where, version) for where, item in mounted]
    _once(c, [volume.path if volume else "" for volume in volumes], mounted)
    provided = fields.get("provide_secrets")
    name = printable_name(c, fields, path)
    if name is None:
        return None
    return Image(
        name,
        tuple(volume for volume in volumes if volume),
        tuple(files),
        None if provided is None else _provided(c, provided, f"{path}.provide_secrets"),
    )


def _once(c: Collector, paths: list[str], listed: list[tuple[str, Node]]) -> dict[str, str]:
    """Where each path stands; note those that stand there twice."""
    known: dict[str, str] = {}
    for file, (where, item) in zip(paths, listed, strict=True):
        if file in known:
            c.problem(item, where, f"expected each path once, {known[file]} has it too")
        elif file:
            known[file] = where
    return known


def _provided(c: Collector, node: Node, path: str) -> tuple[str, ...]:
    names = (
        c.text(item, where, "the name of a secret")
        for where, item in c.items(node, path, scalar=True)
    )
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _mount(c: Collector, node: Node, path: str, version: Version) -> ImageVolume | None:
    fields = c.table(node, path, IMAGE_VOLUME, version)
    if fields is None or "name" not in fields or "path" not in fields:
        return None
    name = c.text(fields["name"], f"{path}.name", "the name of a volume")
    policy = c.word(fields.get("update_policy"), f"{path}.update_policy", TAG_POLICIES)
    return ImageVolume(
        name or "",
        _path(c, fields["path"], f"{path}.path", directory=True),
        cast("TagPolicy", policy or "rollback_protected"),
    )


def _below_files(known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Files whose path needs a directory where another file stands, each with that file."""
    # NUL sorts before all that a path may hold: what is below a file follows it directly.
    file = ""
    for path in sorted(known, key=lambda path: path.replace("/", "\0")):
        if file and path.startswith(f"{file}/"):
            yield known[path], known[file]
        else:
            file = path


def _file(
    c: Collector, node: Node, path: str, version: Version, *, canonical: bool
) -> InjectionFile:
    if isinstance(node, Scalar) and not node.is_null:
        return InjectionFile(_path(c, node, path))
    fields = c.table(node, path, INJECTION_FILE, version)
    if fields is None or "path" not in fields:
        return InjectionFile("")
    content = fields.get("content")
    permission = fields.get("permission")
    return InjectionFile(
        path=_path(c, fields["path"], f"{path}.path"),
        content=None if content is None else c.text(content, f"{path}.content"),
        permission=_permission(c, permission, f"{path}.permission", canonical=canonical),
    )


def _path(c: Collector, node: Node, path: str, *, directory: bool = False) -> str:
    text = c.text(node, path, "an absolute path") or ""
    if directory and len(text) > 1:
        text = text.removesuffix("/")
    segments = [] if directory and text == "/" else text.split("/")[1:]
    if START in text:
        c.expected(node, path, "a path without placeholder", got=False)
    elif (
        not text.startswith("/")
        or len(text.encode()) > _MAX_PATH
        or CONTROL.search(text)
        or any(segment in {"", ".", ".."} for segment in segments)
    ):
        hint = "no empty segment, no . or .., no / at the end"
        c.expected(node, path, "an absolute path in its shortest form", hint)
    else:
        return text
    return ""


def _permission(c: Collector, node: Node | None, path: str, *, canonical: bool) -> int:
    if node is None:
        return DEFAULT_PERMISSION
    form, base = (_CANONICAL, 10) if canonical else (_OCTAL, 8)
    text = c.text(node, path, "an octal number such as 0o400")
    if text is None:
        return DEFAULT_PERMISSION
    if form.fullmatch(text) and int(text, base) <= 0o777:
        return int(text, base)
    hint = c.said(path, f"write 0o{text}") if re.fullmatch("[0-7]{3}", text) else ""
    c.expected(node, path, "an octal number up to 0o777 such as 0o400", hint)
    return DEFAULT_PERMISSION
