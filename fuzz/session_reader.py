"""Atheris: any bytes give a session that round-trips or a reported problem, nothing else.

`make fuzz T=60` runs it for so many seconds, from the session vectors; a crash is written beside
as `crash-...` and becomes a vector.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["scone.documents", "scone.session"]):
    from scone.documents import DocumentError
    from scone.session import canonical_json, from_canonical, read_session, to_yaml

_VARIABLES = {"V": "x: [", "NAME": "~", "A": "$V", "KEY": "a\nb"}


def one_input(data: bytes) -> None:
    """The property; an exception other than `DocumentError` is a finding."""
    try:
        text = data[1:].decode()
    except UnicodeDecodeError:
        return
    variables = _VARIABLES if data[:1] < b"\x80" else None
    try:
        session = read_session(text, variables=variables).session
    except DocumentError as error:
        if not error.problems or any("\n" in message for message in error.messages):
            raise AssertionError("an error without problems, or of several lines") from error
        return
    document = canonical_json(session)
    if from_canonical(document) != session:
        raise AssertionError("the canonical form is another session")
    if read_session(to_yaml(session)).session != session:
        raise AssertionError("the normal form is another session")


def main() -> None:
    """Run until libFuzzer stops."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
