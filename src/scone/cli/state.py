"""The CLI's state: `~/.cas/config.json`, with the identity and the attested CASes.

SCONE's keys (`default_cas`, `identity`, `cas_db` with `url` and `chain`), our own beside
them, unknown ones kept. Readers take no lock: the file is replaced as a whole. Changes
are read-modify-write under a lock on a file beside it, so that concurrent runs lose
nothing. What cannot be read is never overwritten. What whoever has the file can do stands in
the help of `scone self` (docs/reference/cli.md): act as this user.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from scone.cli.state_document import (
    CONFIG_VERSION,
    ENTRY_TYPES,
    Document,
    damaged,
    faulty,
    parse,
    remember_in,
)
from scone.crypto.identity import Identity, create_identity, read_identity
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, NotFoundError, SconeError, StateError
from scone.files import followed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scone.client.known import KnownCas

DEFAULT_PATH: Final = "~/.cas/config.json"
_MAX_BYTES: Final = 4 * 1024 * 1024
_LOCK_WAIT_S: Final = 30.0
_LOCK_POLL_S: Final = 0.02
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Config:
    """The state as read: a checked document, and typed access to it."""

    __slots__ = ("document", "path")

    def __init__(self, path: str, document: Document) -> None:
        self.path = path
        self.document = document

    @property
    def default_cas(self) -> str | None:
        """The name of the CAS that commands use by default; None where it names no entry."""
        name: str | None = self.document.get("default_cas")
        return name if name in self.document.get("cas_db", {}) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attested CASes, in alphabetical order."""
        return tuple(sorted(self.document.get("cas_db", {})))

    def cas(self, name: str) -> KnownCas:
        """The attested CAS of that name.

        Raises:
            NotFoundError: no such CAS.
            StateError: its entry is damaged.
        """
        from scone.client.known import KnownCas

        entries = self.document.get("cas_db", {})
        if name not in entries:
            raise NotFoundError(
                f"the CAS {name!r} was not attested",
                hint=f"attest it first: scone cas attest {name}",
            )
        known = KnownCas(
            name, **{key: entries[name][key] for key in ENTRY_TYPES if key in entries[name]}
        )
        try:
            _ = known.pin, known.cas_key_hash
        except MalformedError as error:
            raise faulty(self.path, str(error)) from error
        return known

    def all(self) -> tuple[KnownCas, ...]:
        """All attested CASes.

        Raises:
            StateError: an entry is damaged.
        """
        return tuple(self.cas(name) for name in self.names)


class ConfigFile:
    """The state file: read it, change it, make the identity on first use.

    Raises:
        StateError: its path leads through another user's link.
    """

    def __init__(
        self, path: str, *, warn: Callable[[str], None], random: Callable[[int], bytes] = os.urandom
    ) -> None:
        # The target of a symbolic link is replaced, not the link.
        try:
            self.path = followed(os.path.expanduser(path))  # noqa: PTH111 - pathlib costs 12 ms
        except OSError as error:
            raise _unusable(path, "used", error) from error
        self._warn = warn
        self._random = random
        self._warned: set[str] = set()

    def load(self) -> Config:
        """The state now; an absent file is an empty state.

        Raises:
            StateError: the file cannot be read, is damaged, or a newer version wrote it.
        """
        return Config(self.path, self._read())

    def update(self, change: Callable[[Document], None]) -> Config:
        """Change the state: `change` edits the document as it is now, under the lock.

        Raises:
            StateError: as `load`; or the file cannot be locked or written.
        """
        with self._locked():
            document = self._read()
            change(document)
            document["config_version"] = CONFIG_VERSION
            self._write(json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")
        return Config(self.path, document)

    def identity(self) -> Identity:
        """The user's identity by its form; it is made on first use.

        Raises:
            StateError: as `update`; or the identity in it is damaged.
        """
        document = self._read()
        if document.get("identity") is None:
            made = create_identity(self._random).pem.reveal().decode()
            document = self.update(lambda now: _set_absent(now, "identity", made)).document
        try:
            return read_identity(document["identity"].encode(), "identity")
        except (MalformedError, UnicodeEncodeError) as error:
            raise damaged(self.path, str(error)) from None

    def session_signing_key(self) -> SecretBytes:
        """The key that signs sessions (PKCS#8 PEM, Ed25519); it is made on first use.

        Raises:
            StateError: as `update`; or the key in it is damaged.
        """
        from scone.crypto.keys import (
            generate_private_key,
            key_type_of,
            private_key_from_pem,
            private_key_pem,
        )

        document = self._read()
        if document.get("session_signing_key") is None:
            made = private_key_pem(generate_private_key("Ed25519", self._random)).reveal().decode()
            document = self.update(
                lambda now: _set_absent(now, "session_signing_key", made)
            ).document
        try:
            key = private_key_from_pem(document["session_signing_key"], "session_signing_key")
        except MalformedError as error:
            raise faulty(self.path, str(error)) from None
        if key_type_of(key) != "Ed25519":
            raise faulty(self.path, "session_signing_key: expected an Ed25519 key")
        return key

    def remember(self, known: KnownCas) -> Config:
        """Add or replace an attested CAS; the first one becomes the default."""
        return self.update(lambda document: remember_in(document, known))

    def set_default(self, name: str) -> Config:
        """Make an attested CAS the default.

        Raises:
            NotFoundError: no such CAS.
        """

        def change(document: Document) -> None:
            Config(self.path, document).cas(name)
            document["default_cas"] = name

        return self.update(change)

    def _read(self) -> Document:
        try:
            # Not blocking: the path may name a FIFO that nobody writes to.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _unusable(self.path, "read", error) from error
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise StateError(f"config file {self.path}: expected a regular file")
        self._warn_of_others(mode)
        with os.fdopen(descriptor, "rb") as file:
            try:
                raw = file.read(_MAX_BYTES + 1)
            except OSError as error:
                raise _unusable(self.path, "read", error) from error
        if len(raw) > _MAX_BYTES:
            raise damaged(self.path, f"expected at most {_MAX_BYTES} bytes")
        document = parse(raw, self.path)
        self._warn_of_default(document)
        return document

    def _warn_of_others(self, mode: int) -> None:
        if mode & _OTHERS:
            self._warn_once(open_to_others(self.path, mode))

    def _warn_of_default(self, document: Document) -> None:
        name = document.get("default_cas")
        if name is not None and name not in document.get("cas_db", {}):
            self._warn_once(
                f"config file {self.path}: default_cas: expected a name in cas_db, got {name!r}; "
                "there is no default CAS until scone cas set-default names one"
            )

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)

    def _write(self, raw: bytes) -> None:
        from pathlib import Path

        from scone.files import replace

        try:
            replace(Path(self.path), raw, 0o600)
        except OSError as error:
            raise _unusable(self.path, "written", error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from pathlib import Path

        path = self.path + ".lock"
        try:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unusable(path, "locked", error) from error
        try:
            deadline = time.monotonic() + _LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StateError(
                            f"config file {self.path}: another scone has held its lock for {_LOCK_WAIT_S:.0f} s"
                        ) from None
                    time.sleep(_LOCK_POLL_S)
                except OSError as error:
                    raise _unusable(path, "locked", error) from error
            yield
        finally:
            os.close(descriptor)


def open_to_others(path: str, mode: int) -> str:
    """The warning about a file with a private key that is not its owner's alone."""
    return (
        f"{path} is open to others (mode {stat.S_IMODE(mode):04o}); whoever reads it "
        f"can act as you. Close it: chmod 600 {path}"
    )


def read_identity_file(path: str, warn: Callable[[str], None]) -> Identity:
    """The identity in a file given with `--identity`; told, if others can read it too.

    Raises:
        UsageError: the file cannot be read.
        MalformedError: it holds no PKCS#8 key followed by its certificate.
    """
    from scone.cli.files import read_small
    from scone.crypto.identity import parse_identity

    identity = parse_identity(read_small(path, "identity file"), f"identity file {path!r}")
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - pathlib costs 12 ms
    except OSError:
        return identity  # a pipe that is gone
    if stat.S_ISREG(mode) and mode & _OTHERS:
        warn(open_to_others(path, mode))
    return identity


def _set_absent(document: Document, key: str, value: str) -> None:
    if document.get(key) is None:
        document[key] = value


def _unusable(path: str, verb: str, error: Exception) -> SconeError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return StateError(f"config file {path}: cannot be {verb}: {reason}")
