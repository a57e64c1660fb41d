"""From the text of a session to what its program sees, and the table of formats held to it."""

import datetime as dt
import json
import os
from base64 import urlsafe_b64decode

import pytest

from scone.errors import UsageError
from scone.session import read_session
from scone.session.placeholders import find
from scone.session.reading.fields import FORMATS
from scone.session.secrets import FragmentValue, SecretValues, generate, mint_jwt, render

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, tzinfo=dt.UTC)

# The constructs of the language page's sections public-key, pgp-key, config-fragment and JWT.
NEWER = """
version: "0.3.12"
name: newer
secrets:
  - name: my_key
    kind: private-key
    key_type: P-384
    migrate: true
  - name: my_public_key
    kind: public-key
    private_key: my_key
    export_public: true
  - name: my_message_encryption_key
    kind: pgp-key
  - name: my_fragment
    kind: config-fragment
    value:
      mode: hardware
  - name: jwt-secret
    kind: jwt
    signer: my_key
    alg: ES384
    validity:
      for: 24h
    payload: {
      "key": "value",
      "public": "$$SCONE::my_public_key$$",
      "mrenclave": "$$SCONE::self::software_identity$$"
    }
  - name: from_elsewhere
    kind: ascii
    import: {session: another, secret: s}
services:
  - name: one
    attestation:
      mrenclave: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    command: program
    environment:
      TOKEN: $$SCONE::jwt-secret$$
      KEY: $$SCONE::my_message_encryption_key:publickey:asciiarmored$$
access_policy: {read: [NONE], update: [NONE]}
"""


def read(text):
    return read_session(text, source="session").session


def rendered(values, text):
    (placeholder,) = find(text)
    return render(values, placeholder)


def test_a_session_with_the_newer_kinds_gives_its_program_a_token_and_keys():
    session = read(NEWER)
    values = generate(session, previous=None, now=NOW, random=os.urandom)
    assert list(values) == ["my_fragment", "my_key", "my_message_encryption_key", "my_public_key"]
    identity = session.services[0].variants[0].mrenclaves[0]
    token = mint_jwt(session.secret("jwt-secret"), values, NOW, identity)
    usable = SecretValues({**values, "jwt-secret": token})
    environment = {name: rendered(usable, text) for name, text in session.services[0].environment}
    assert environment["KEY"].startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    payload = environment["TOKEN"].split(b".")[1]
    claims = json.loads(urlsafe_b64decode(payload + b"=="))
    assert claims["mrenclave"] == identity
    assert claims["public"].encode() == rendered(values, "$$SCONE::my_public_key:spki:pem$$")
    assert values["my_fragment"] == FragmentValue('{"mode":"hardware"}')


def test_an_update_keeps_what_the_language_page_says_it_keeps():
    session = read(NEWER)
    before = generate(session, previous=None, now=NOW, random=os.urandom)
    stored = SecretValues.from_json(before.to_json())
    assert generate(session, previous=(session, stored), now=NOW, random=os.urandom) == before
    without = read(NEWER.replace("    migrate: true\n", ""))
    after = generate(without, previous=(session, stored), now=NOW, random=os.urandom)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"my_key", "my_public_key"}


EVERY_KIND = """
version: "0.3.12"
name: every
secrets:
  - {name: ascii, kind: ascii}
  - {name: binary, kind: binary, value: 00ff}
  - {name: private-key, kind: private-key, key_type: P-384}
  - {name: public-key, kind: public-key, private_key: private-key}
  - {name: x509, kind: x509, private_key: private-key, issuer: ca}
  - {name: ca, kind: x509-ca, private_key: private-key}
  - {name: pgp-key, kind: pgp-key}
  - {name: jwt, kind: jwt, signer: private-key, alg: ES384, validity: {for: 24h}}
"""


@pytest.fixture(scope="module")
def every_kind():
    session = read(EVERY_KIND)
    values = generate(session, previous=None, now=NOW, random=os.urandom)
    token = mint_jwt(session.secret("jwt"), values, NOW, None)
    old = read('version: "0.2"\nname: old\nsecrets: [{name: session-ca, kind: session-ca}]\n')
    older = generate(old, previous=None, now=NOW, random=os.urandom)
    return {**values, **older, "jwt": token, "aad-token": token}


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (kind, form)
        for kind, forms in FORMATS.items()
        for form in forms
        if kind != "config-fragment"
    ],
)
def test_each_format_of_the_table_of_the_language_is_rendered_as_it_says(every_kind, kind, form):
    dotted = form if not form or form.startswith(".") else f":{form}"
    content = rendered(every_kind, f"$$SCONE::{kind}{dotted}$$")
    assert content
    if not FORMATS[kind][form]:
        assert b"\0" not in content
        assert content.decode("ascii").isprintable() or content.startswith(b"-----BEGIN ")


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "config-fragment"])
def test_what_is_not_in_the_table_is_no_format(every_kind, kind):
    with pytest.raises(UsageError, match=f"secret {kind}: "):
        rendered(every_kind, f"$$SCONE::{kind}:raw$$")
