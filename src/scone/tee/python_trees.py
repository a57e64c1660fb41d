"""What a Python program consists of besides its interpreter: folders of code, and their digest.

Not covered: the standard library, `.pth` files, `PYTHONPATH` and compiled caches
(docs/formats/simulated-measurement.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Final

import scone
from scone.errors import LimitError, UsageError
from scone.tee.program_file import digest_of_path

_MAX_FILES: Final = 20_000
_CACHE: Final = "__pycache__"
_EXTRA: Final = re.compile(r";.*\bextra\b[\s=]*[\"']?([A-Za-z0-9._-]*)")
_RUN_EXTRAS: Final = ("azure",)
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def tree_digest(path: str) -> str:
    """SHA-256 of the sorted list of (relative path, SHA-256) of a folder or of one file, in hex.

    Raises:
        UsageError: a file that cannot be read, or is neither regular nor a link.
        LimitError: too many files.
    """
    root = Path(path)
    try:
        entries = [
            (file.name if file == root else file.relative_to(root).as_posix(), _digest(file))
            for file in ([root] if root.is_file() else _files(root))
        ]
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    entries.sort()
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def installed_trees(distribution: str = "scone-cas") -> tuple[tuple[str, str], ...]:
    """Name and path of the `scone` package and of everything that its dependencies installed."""
    found = {"scone": str(Path(scone.__file__).resolve().parent)}
    for name in _dependencies(distribution):
        found |= _top_level(name)
    return tuple(sorted(found.items()))


def _digest(file: Path) -> str:
    if file.is_symlink():
        return hashlib.sha256(b"link:" + os.fsencode(file.readlink())).hexdigest()
    return digest_of_path(str(file))


def _files(root: Path) -> list[Path]:
    files: list[Path] = []

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if name != _CACHE]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        files += [Path(folder, name) for name in [*names, *links] if not name.endswith(".pyc")]
        if len(files) > _MAX_FILES:
            raise LimitError(f"{root}: expected at most {_MAX_FILES} files to measure")
    return files


def _dependencies(distribution: str) -> list[str]:
    """Names of the distributions that one needs to run, itself left out.

    Those of its extras that it loads while it runs count where they are installed.
    """
    from importlib import metadata

    done: list[str] = []
    waiting = [distribution]
    while waiting:
        name = waiting.pop()
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # wanted on other platforms or versions of Python only
        done.append(name)
        for line in requires:
            requirement = _REQUIREMENT.match(line)
            extra = _EXTRA.search(line)
            wanted_extra = extra is None or (name == distribution and extra[1] in _RUN_EXTRAS)
            if requirement is None or not wanted_extra:
                continue
            wanted = re.sub(r"[-_.]+", "-", requirement[0]).lower()
            if wanted not in done and wanted not in waiting:
                waiting.append(wanted)
    return done[1:]


def _top_level(distribution: str) -> dict[str, str]:
    """Folders and modules that a distribution put beside its metadata."""
    from importlib import metadata

    found: dict[str, str] = {}
    installed = metadata.distribution(distribution)
    for file in installed.files or []:
        top = file.parts[0]
        if top in ("..", _CACHE) or top.endswith((".dist-info", ".egg-info", ".pth")):
            continue
        found[top] = str(installed.locate_file(top))
    return found
