"""`cas database show`: an owner looks into a database offline, with the database key.

The owner of a CAS whose key was injected has that key; nobody else does. The key comes
from a file or a prompt, never from the command line, where every user of the machine sees it.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from pathlib import Path

from scone.cas.store.inspection import inspect_database
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, StateError


def show(database: Path, key_file: Path | None) -> None:
    """Print one JSON line for each record; secrets are shown: that is what the key is for.

    Raises:
        MalformedError: the key is not 64 hexadecimal digits.
        IntegrityError: another key, or a database that was altered.
        StateError: a file cannot be read.
    """
    key = _key(key_file)
    for collection, name, value in inspect_database(database, key):
        try:
            text: object = json.loads(value)
        except ValueError:
            text = value.decode(errors="replace")
        line = {"collection": collection, "key": name, "value": text}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def _key(key_file: Path | None) -> SecretBytes:
    if key_file is None:
        if not sys.stdin.isatty():
            raise StateError(
                "expected the database key", hint="name its file with --key-file, or use a terminal"
            )
        text = getpass.getpass("Database key (64 hex digits): ")
    else:
        try:
            text = key_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"{key_file}: cannot read the database key") from error
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise MalformedError("database key", "64 hexadecimal digits")
    return SecretBytes(bytes.fromhex(text.strip()))
