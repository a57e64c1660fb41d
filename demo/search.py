"""Looking for secrets where they must not be: other processes, HOME, temporary folders, database, logs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_MAX_FILE_BYTES: Final = 64 * 1024 * 1024


def forms(value: bytes) -> dict[str, bytes]:
    """A value raw, in hex (both cases) and in base64 (as a whole, without padding)."""
    return {
        "raw": value,
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "base64": base64.b64encode(value).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(value).rstrip(b"="),
    }


def find(
    values: dict[str, bytes], *, folders: Iterable[Path], since: float, except_pids: set[int]
) -> tuple[list[str], int, int]:
    """Where a value was found, how many processes and how many files were searched."""
    needles = {
        (name, form): needle
        for name, value in values.items()
        for form, needle in forms(value).items()
    }
    found: list[str] = []
    processes = files = 0
    for place, data in _processes(except_pids):
        processes += 1
        found += [
            f"{name} ({form}) in {place}"
            for (name, form), needle in needles.items()
            if needle in data
        ]
    for path in _files(folders, since):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        files += 1
        found += [
            f"{name} ({form}) in {path}"
            for (name, form), needle in needles.items()
            if needle in data
        ]
    return found, processes, files


def _processes(except_pids: set[int]) -> Iterator[tuple[str, bytes]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in except_pids:
            continue
        for name in ("cmdline", "environ"):
            try:
                yield f"{folder / name}", (folder / name).read_bytes()
            except OSError:
                continue


def _files(folders: Iterable[Path], since: float) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                status = path.lstat()
                regular = path.is_file() and not path.is_symlink()
                real = path.resolve()
            except (OSError, RuntimeError):  # gone, or links that go round
                continue
            if not regular or real in seen or status.st_size > _MAX_FILE_BYTES:
                continue
            if status.st_mtime >= since:
                seen.add(real)
                yield path
