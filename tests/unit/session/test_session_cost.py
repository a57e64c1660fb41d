"""What a hostile session may cost: work grows with the text, not with a product of its counts.

Counted are the lines of Python that run and the comparisons of texts, never seconds.
"""

import datetime as dt
import difflib
import os
import sys

import pytest

from scone.documents import DocumentError, Mapping, Scalar, Sequence, read_yaml
from scone.session import read_session
from scone.session.access import ClientCertificate, judge
from scone.session.model import Creator, SecretSpec, Session
from scone.session.reading import access as read_access
from scone.session.reading.collect import Collector
from scone.session.reading.reader import session_of
from scone.session.secrets import generate

M = "a5" * 32
BASE = 'version: "0.3"\nname: s\n'
NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other):
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__

    def lower(self):
        return self


def counted(node):
    match node:
        case Scalar():
            return Scalar(Counted(node.text), node.style, node.mark)
        case Sequence():
            return Sequence(tuple(map(counted, node.items)), node.mark)
        case Mapping():
            entries = ((key, counted(value)) for key, value in node.entries)
            return Mapping(tuple(entries), node.mark)


def lines_of(function, *arguments):
    """How many lines of Python a call runs."""
    lines = 0

    def trace(_frame, event, _argument):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return lines


def work_of(text):
    """Lines that run and comparisons of texts while a session is read."""
    node = counted(read_yaml(text))
    Counted.comparisons = 0
    lines = lines_of(session_of, Collector("session"), node)
    return lines + Counted.comparisons


def many(count, form):
    return "".join(form.replace("@", str(number)) + "\n" for number in range(count))


def unknown_placeholders(secrets, count):
    values = many(count, "    V@: $$SCONE::missing@$$")
    return f"{BASE}secrets:\n{secrets}services:\n- name: a\n  mrenclaves: [{M}]\n  environment:\n{values}"


HOSTILE = {
    "unknown placeholders": lambda n: unknown_placeholders(
        many(n, "- {name: secret@, kind: ascii}"), n
    ),
    "placeholders beside unreadable secrets": lambda n: unknown_placeholders(
        many(n, "- {name: secret@, kind: asci}"), n
    ),
    "unknown keys of certificates": lambda n: (
        BASE
        + "secrets:\n"
        + many(n, "- {name: key@, kind: private-key}")
        + many(n, "- {name: c@, kind: x509, private_key: missing@, issuer: also@}")
    ),
    "unknown images": lambda n: (
        BASE
        + "images:\n"
        + many(n, "- {name: image@}")
        + "services:\n"
        + many(n, f"- {{name: s@, mrenclaves: [{M}], image_name: missing@}}")
    ),
    "unknown images beside one that cannot be read": lambda n: (
        BASE
        + "images:\n"
        + many(n, "- {name: image@}")
        + "- x\nservices:\n"
        + many(n, f"- {{name: s@, mrenclaves: [{M}], image_name: missing@}}")
    ),
    "images of services": lambda n: (
        BASE
        + "images:\n"
        + many(n, "- {name: image@}")
        + "services:\n"
        + many(n, f"- {{name: s@, mrenclaves: [{M}], image_name: image@}}")
    ),
    "advisories": lambda n: (
        BASE
        + "security:\n  attestation:\n    ignore_advisories:\n"
        + "".join(f"    - INTEL-SA-{number:05}\n" for number in range(n))
    ),
    "access entries of 0.2": lambda n: (
        "version: 0.2\nname: s\naccess_policy:\n"
        "  read:\n"
        + "".join(f"  - '{number:064x}'\n" for number in range(n))
        + "  update:\n"
        + "".join(f"  - '{number:064x}'\n" for number in range(n))
    ),
    "unknown words": lambda n: BASE + "secrets:\n" + many(n, "- {name: x, kind: asci@, y: z}"),
    "files": lambda n: (
        BASE + "images:\n- name: i\n  injection_files:\n" + many(n, "  - /d@/a") + "  - /d0\n"
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_four_times_the_text_is_at_most_six_times_the_work(case, monkeypatch):
    class AnyHash:
        @staticmethod
        def fullmatch(text):
            return len(text) == 64

    monkeypatch.setattr(read_access, "HEX_64", AnyHash)  # leaves the counted texts as they are
    text = HOSTILE[case]
    small, large = work_of(text(100)), work_of(text(400))
    assert small > 1000
    assert large <= 6 * small


def test_a_deep_path_of_a_file_costs_no_line_more_than_a_short_one():
    def work(path):
        text = BASE + f"images: [{{name: i, injection_files: [{path}, /other]}}]\n"
        return lines_of(session_of, Collector("session"), read_yaml(text))

    # The segments of the path itself are looked at once, all by one expression.
    short, deep = (work("/a" * count) - 3 * count for count in (10, 1000))
    assert deep <= short


def test_a_path_that_is_too_long_is_not_compared_with_others():
    text = BASE + f"images: [{{name: i, injection_files: [{'/a' * 100_000}, /a]}}]\n"
    with pytest.raises(DocumentError) as caught:
        read_session(text)
    assert [problem.path for problem in caught.value.problems] == ["images[0].injection_files[0]"]


def test_an_update_looks_each_secret_up_once():
    def work(count):
        secrets = tuple(SecretSpec(f"s{number}", "ascii") for number in range(count))
        session = Session(version="0.3", name="s", secrets=secrets)
        before = generate(session, previous=None, now=NOW, random=os.urandom)
        after = []
        lines = lines_of(
            lambda: after.append(
                generate(session, previous=(session, before), now=NOW, random=os.urandom)
            )
        )
        assert after == [before]
        return lines

    assert work(400) <= 6 * work(100)


@pytest.fixture
def compared(monkeypatch):
    """How many words each call of difflib got."""
    sizes = []
    real = difflib.get_close_matches

    def counting(word, words, *more):
        sizes.append(len(words))
        return real(word, words, *more)

    monkeypatch.setattr(difflib, "get_close_matches", counting)
    return sizes


def test_suggestions_compare_with_few_names_and_end_after_twenty_problems(compared):
    text = unknown_placeholders(many(300, "- {name: secret@, kind: ascii}"), 400)
    with pytest.raises(DocumentError) as caught:
        read_session(text)
    assert len(caught.value.problems) == 101
    assert 1 <= len(compared) <= 20
    assert max(compared) <= 50


@pytest.mark.parametrize(
    "text",
    [
        BASE + many(200, "predecesor@: x"),
        BASE + "secrets:\n" + many(200, "- {name: x@, kind: asci}"),
        BASE + "secrets:\n" + many(200, "- {name: x@, kind: private-key, key_type: P-521}"),
        BASE + "access_policy:\n  read:\n" + many(200, "  - CREATR"),
        "version: 0.2\nname: s\naccess_policy:\n  read:\n" + many(200, "  - CREATR"),
        BASE + "images: [{name: i}]\nservices:\n" + many(200, "- {name: a@, image_name: j}"),
        BASE + "secrets:\n" + many(200, "- {name: x@, kind: x509, private_key: key}"),
    ],
)
def test_no_kind_of_mistake_is_compared_without_end(compared, text):
    with pytest.raises(DocumentError):
        read_session(text)
    assert 1 <= len(compared) <= 25


def test_the_nearest_of_many_names_is_still_suggested():
    secrets = many(300, "- {name: secret@, kind: ascii}") + "- {name: database, kind: ascii}\n"
    text = unknown_placeholders(secrets, 1).replace("missing0", "databse")
    with pytest.raises(DocumentError, match="did you mean 'database'"):
        read_session(text)


def test_a_certificate_in_an_access_policy_is_parsed_once_for_a_request(certificates, monkeypatch):
    parsed = []
    real = ClientCertificate.of_pem
    monkeypatch.setattr(ClientCertificate, "of_pem", lambda pem: parsed.append(pem) or real(pem))
    requester = real(certificates[2])
    entries = ["CREATOR", certificates[0]] * 500
    found = judge(entries, requester, creator=Creator(certificates[1]), version="0.3")
    assert not found.granted
    assert sorted(parsed) == sorted(certificates[:2])
