"""Limits of what one session may ask of a CAS, each at its border."""

import pytest

from scone.documents import DocumentError
from scone.session import read_session

BASE = 'version: "0.3"\nname: s\n'
KEY = "- {name: k, kind: private-key}\n"


def problems(text):
    with pytest.raises(DocumentError) as caught:
        read_session(text)
    return [(problem.path, problem.message, problem.hint) for problem in caught.value.problems]


def sized(count, size=65_536):
    return "".join(f"- {{name: b{n}, kind: binary, size: {size}}}\n" for n in range(count))


def test_generated_values_have_a_megabyte_together():
    text = BASE + "secrets:\n" + sized(16)
    assert len(read_session(text).session.secrets) == 16
    message = "expected generated values of at most 1048576 bytes together"
    hint = "32 bytes are enough for a key"
    assert problems(text + "- {name: a, kind: ascii}\n") == [("secrets[16]", message, hint)]
    assert problems(BASE + "secrets:\n" + sized(260)) == [("secrets[16].size", message, hint)]


def test_explicit_values_and_keys_have_no_part_in_the_sum_of_sizes():
    explicit = "- {name: e, kind: ascii, value: x}\n- {name: f, kind: binary, value: ab, size: 9}\n"
    text = BASE + "secrets:\n" + sized(16) + explicit + KEY
    assert len(read_session(text).session.secrets) == 19


def archives(count, files=1):
    placeholders = "$$SCONE::c:pkcs12-with-private-key$$" * (count // files)
    image = "".join(f"  - {{path: /f{n}, content: {placeholders}}}\n" for n in range(files))
    secrets = "secrets:\n" + KEY + "- {name: c, kind: x509, private_key: k}\n"
    return BASE + secrets + "images:\n- name: i\n  injection_files:\n" + image


def test_pkcs12_archives_are_at_most_32():
    assert read_session(archives(32)).session.images
    assert read_session(archives(32, files=4)).session.images
    message = "expected at most 32 placeholders :pkcs12-with-private-key in a session"
    hint = "services can share the file of one image"
    place = "images[0].injection_files[{}].content"
    assert problems(archives(33)) == [(place.format(0), message, hint)]
    assert problems(archives(36, files=4)) == [(place.format(3), message, hint)]
    assert problems(archives(90, files=9)) == [(place.format(3), message, hint)]  # said once


def certificate(valid_for):
    secret = f"- {{name: c, kind: x509, private_key: k, valid_for: {valid_for}}}\n"
    return BASE + "secrets:\n" + KEY + secret


@pytest.mark.parametrize("valid_for", ["1s", "59m 59s", "0h 59m"])
def test_a_validity_of_less_than_an_hour_is_refused(valid_for):
    assert problems(certificate(valid_for)) == [
        (
            "secrets[1].valid_for",
            f"expected one hour or more, got '{valid_for}'",
            "a certificate is renewed in the last third of its validity",
        )
    ]


def test_a_validity_of_an_hour_is_accepted():
    for valid_for in ("1h", "60 minutes", "3600s"):
        secret = read_session(certificate(valid_for)).session.secret("c")
        assert secret.valid_for.seconds == 3600
