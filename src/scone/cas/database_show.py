"""`cas database show`: an owner looks into a database offline, with the database key.

The owner of a CAS whose key was injected has that key; nobody else does. The key comes
from a file or a prompt, never from the command line, where every user of the machine sees it.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from scone.cas.store.inspection import inspect_database
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, StateError
from scone.strict_json import to_base64

_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE


def show(database: Path, key_file: Path | None) -> int:
    """Print one JSON line for each record; secrets are shown: that is what the key is for.

    A value is JSON or text as it is stored; other bytes are `{"base64": "..."}`. The exit status
    is returned: 141 where the reader of the output went away.

    Raises:
        MalformedError: the key is not 64 hexadecimal digits.
        IntegrityError: another key, or a database that was altered.
        StateError: a file cannot be read, or the output not written.
    """
    key = _key(key_file)
    records = inspect_database(database, key)
    try:
        for collection, name, value in records:
            line = {"collection": collection, "key": name, "value": _shown(value)}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Nothing can be written any more, and the interpreter must not try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE
        raise StateError(f"standard output: {error.strerror}") from error
    return 0


def _shown(value: bytes) -> object:
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": to_base64(value)}


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
        except OSError as error:
            raise StateError(
                f"{key_file}: cannot read the database key: {error.strerror}"
            ) from error
        except UnicodeDecodeError as error:
            raise MalformedError(f"{key_file}", "64 hexadecimal digits", "other bytes") from error
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise MalformedError("database key", "64 hexadecimal digits")
    return SecretBytes(bytes.fromhex(text.strip()))
