"""Reads the `volumes` section, and the keys of file system protection files in services."""

from __future__ import annotations

from typing import Final, cast

from scone.documents import Node
from scone.session.model import FilesMode, Volume
from scone.session.reading.collect import Collector
from scone.session.reading.fields import FILES_MODES, VOLUME
from scone.session.reading.references import read_volume_exports, read_volume_import
from scone.session.reading.versions import Version
from scone.session.reading.words import fspf_key, fspf_tag, printable_name

_NOT_WITH_IMPORT: Final = ("fspf_key", "fspf_tag", "export", "files")


def read_volumes(c: Collector, node: Node | None, version: Version) -> list[Volume | None]:
    """The volumes in the order of the file; None for one without a usable name."""
    return [_volume(c, item, path, version) for path, item in c.items(node, "volumes")]


def _volume(c: Collector, node: Node, path: str, version: Version) -> Volume | None:
    fields = c.table(node, path, VOLUME, version)
    if fields is None:
        return None
    name = printable_name(c, fields, path)
    if "import" in fields:
        for key in _NOT_WITH_IMPORT:
            if key in fields:
                c.problem_at(f"{path}.{key}", f"expected no {key} beside import")
    elif ("fspf_key" in fields) != ("fspf_tag" in fields):
        given, missing = (
            ("fspf_key", "fspf_tag") if "fspf_key" in fields else ("fspf_tag", "fspf_key")
        )
        hint = "without both, the volume is initialised at its first use"
        c.problem_at(f"{path}.{given}", f"expected {missing} beside it", hint)
    files = c.word(fields.get("files"), f"{path}.files", FILES_MODES)
    volume = Volume(
        name=name or "",
        fspf_key=fspf_key(c, fields.get("fspf_key"), f"{path}.fspf_key", version, "0.3.7"),
        fspf_tag=fspf_tag(c, fields.get("fspf_tag"), f"{path}.fspf_tag"),
        files=cast("FilesMode", files or "encrypted"),
        imported=read_volume_import(c, fields.get("import"), f"{path}.import", version, name or ""),
        exports=read_volume_exports(c, fields.get("export"), f"{path}.export", version),
    )
    return volume if name else None
