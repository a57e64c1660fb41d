"""The JSON Schema of session files says what the reader says, as far as a schema can."""

import re
import runpy
import tomllib
from collections import UserDict
from pathlib import Path

import jsonschema
import pytest
import yaml

from scone.documents import DocumentError
from scone.session import read_session
from scone.session.editing.schema import session_schema, session_schema_text
from scone.session.editing.schema_forms import FORMS, REFERENCE_FORMS, definition
from scone.session.reading import fields

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "vectors" / "session-schema"
VECTORS = ROOT / "tests" / "vectors" / "session"
SCHEMA = session_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ACCEPTED = sorted((FOLDER / "accepted").glob("*.yml"))
REFUSED = sorted((FOLDER / "refused").glob("*.yml"))

# Refused files of tests/vectors/session that the schema admits, each with what a schema cannot say.
NOT_IN_A_SCHEMA = {
    "anchor": "YAML: an editor's parser puts in what an alias stands for",
    "bad-value-in-variable": "the value of a variable is not in the file",
    "binary-in-argument": "what kind of secret a placeholder names",
    "broken-certificate": "whether base64 is a certificate",
    "decimal-permission": "YAML 1.1 makes 0620 and 400 the same number",
    "duplicate-key": "YAML: the later one counts",
    "format-in-access-entry": "what kind of secret a placeholder names",
    "fragment-in-argument": "what kind of secret a placeholder names",
    "generated-otp-secret": "what kind of secret a placeholder names",
    "generated-too-large": "a sum",
    "host-argument-twice": "uniqueness inside of a text",
    "issuer-loop": "references from secret to secret",
    "jwt-with-wrong-key": "the type of the key that is named",
    "key-of-wrong-kind": "the kind of the secret that is named",
    "long-valid-for": "a sum",
    "missing-image": "whether a name leads somewhere",
    "missing-variable": "whether a variable is given",
    "missing-volume": "whether a name leads somewhere",
    "mistyped-key-hash": "a checksum",
    "nul-escape": "YAML: an escape in a quoted text, anywhere",
    "rule-never-met": "the number of different entries",
    "short-decryption-key": "the size of the secret that is named",
    "short-valid-for": "a sum",
    "tag-elsewhere": "YAML: an editor reports tags that it does not know by itself",
    "two-secrets-one-name": "uniqueness by name",
    "undefined-secret": "whether a name leads somewhere",
    "update-not-under-read-0-2": "entries of one list that stand in another one",
    "version-0-30": "YAML: 0.30 is the number 0.3",
    "wrong-format": "what kind of secret a placeholder names",
}
# The same for the documentation's files, by what the reader says.
NOT_IN_A_SCHEMA_BY_WORDS = re.compile(
    r"expected a secret named|expected the name of a|expected a secret of kind|in the value of \$"
)


class Loader(yaml.SafeLoader):
    """What an editor sees: JSON's types, keys as text, `!cas` as empty text, `!akv` as its mapping."""

    def construct_mapping(self, node, deep=False):
        if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise yaml.constructor.ConstructorError(problem="a key that is no scalar")
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


Loader.add_constructor("!cas", lambda loader, node: node.value)
Loader.add_constructor("!akv", lambda loader, node: loader.construct_mapping(node))
Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


def by_schema(text):
    """What an editor says against a text by the schema; nothing if it admits it."""
    try:
        data = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        return str(error)
    found = sorted(VALIDATOR.iter_errors(data), key=str)
    return "\n".join(f"{error.json_path}: {error.message[:300]}" for error in found)


def by_reader(text, variables=None):
    """What the reader says against a text; nothing if it admits it."""
    try:
        read_session(text, variables=variables)
    except DocumentError as error:
        return str(error)
    return ""


def variables_of(text):
    return dict(re.findall(r"^# variable: ([A-Z]+)=(.*)$", text, re.MULTILINE)) or None


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"].startswith("urn:")


def test_the_committed_schema_is_current():
    committed = ROOT / "src" / "scone" / "session" / "editing" / "session.schema.json"
    assert committed.read_text() == session_schema_text(), "make reference"


def test_the_committed_files_are_what_the_script_makes():
    made = runpy.run_path(str(FOLDER / "make.py"))["files"]()
    assert {f"{p.parent.name}/{p.name}": p.read_text() for p in (*ACCEPTED, *REFUSED)} == made


@pytest.mark.parametrize("section", fields.SECTIONS)
def test_every_key_of_the_table_is_in_the_schema_and_the_other_way_round(section):
    table = fields.SECTIONS[section]
    found = SCHEMA if section == "the session" else SCHEMA["$defs"][definition(section)]
    patterns = found.get("patternProperties", {})
    keys = set(found["properties"]) | ({"require-at-least-N"} if patterns else set())
    assert keys == set(table)
    assert found["additionalProperties"] is False
    for key, field in table.items():
        described = found["properties"].get(key) or next(iter(patterns.values()))
        assert described["title"] == key
        assert field.what in described["description"]
        assert (key in found.get("required", ())) == field.required


def test_every_form_is_of_a_key():
    assert set(FORMS) == set(fields.SECTIONS)
    for section, forms in FORMS.items():
        assert set(forms) <= set(fields.SECTIONS[section])
        assert set(fields.SECTIONS[section]) <= {*forms, *REFERENCE_FORMS}


def test_there_are_enough_files():
    assert len(ACCEPTED) >= 150
    assert len(REFUSED) >= 150


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_both_admit(path):
    text = path.read_text()
    assert by_reader(text, variables_of(text)) == ""
    assert by_schema(text) == ""


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_both_refuse(path):
    text = path.read_text()
    assert by_reader(text)
    assert by_schema(text)


@pytest.mark.parametrize("case", sorted(VECTORS.glob("*/case.toml")), ids=lambda p: p.parent.name)
def test_the_vectors_of_sessions(case):
    name = case.parent.name
    text = (case.parent / "input.yml").read_bytes().decode()
    if tomllib.loads(case.read_text())["expect"] == "ok":
        assert by_schema(text) == ""
    else:
        assert bool(by_schema(text)) == (name not in NOT_IN_A_SCHEMA)


def test_each_exception_is_a_vector():
    assert set(NOT_IN_A_SCHEMA) <= {path.name for path in VECTORS.iterdir()}


class Anything(UserDict):
    """Variables whose values are good where they stand in the documentation's files."""

    def __contains__(self, name):
        return True

    def __missing__(self, name):
        upper = name.upper()
        if "MRENCLAVE" in upper or "HASH" in upper or upper.startswith("PREDECESSOR"):
            return "a5" * 32
        return next((value for end, value in self.data.items() if upper.endswith(end)), "x")


def test_the_files_of_the_documentation(documented):
    values = Anything(
        {
            "FSPF_KEY": "a5" * 32, "FSPF_TAG": "c7" * 16, "_FSPF": "/fspf.pb", "PLATFORM": "a5" * 32,
            "OTPSECRET": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "LANG_VERSION": "0.3",
        }
    )  # fmt: skip
    admitted = refused = 0
    for path in sorted(documented.glob("*.yml")):
        text = path.read_text()
        version = re.search(r"session_lang_0_([23])", path.name)
        if version and not re.search("^version:", text, re.MULTILINE):
            name = "" if re.search("^name:", text, re.MULTILINE) else "name: s\n"
            text = f'version: "0.{version[1]}"\n{name}{text}'
        said = by_reader(text, values)
        schema_said = by_schema(text)
        admitted += not said
        refused += bool(said)
        if not NOT_IN_A_SCHEMA_BY_WORDS.search(said):
            assert bool(said) == bool(schema_said), (path.name, said, schema_said)
    assert admitted > 60
    assert refused > 30


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("{version: '0.3', name: s, services: [{name: a, pwd: x, mrenclaves: M}]}", "services[0].pwd", "an absolute path"),
        ("{version: '0.3.9', name: s, secrets: [{name: a, kind: pgp-key}]}", "secrets[0].kind", "needs version 0.3.10 or newer"),
    ],
)  # fmt: skip
def test_an_editor_shows_our_words_at_the_place(text, place, words):
    def leaves(error):
        inner = [leaf for one in error.context or () for leaf in leaves(one)]
        return inner or [error]

    data = yaml.load(text.replace("M", "a5" * 32), Loader)
    found = [leaf for error in VALIDATOR.iter_errors(data) for leaf in leaves(error)]
    said = {
        (leaf.json_path, leaf.schema.get("errorMessage", ""))
        for leaf in found
        if isinstance(leaf.schema, dict)
    }
    assert any(at == f"$.{place}" and words in message for at, message in said), said


def test_the_command_prints_the_schema():
    from click.testing import CliRunner

    from scone.cli.commands.session_schema import schema

    answer = CliRunner().invoke(schema)
    assert answer.exit_code == 0
    assert answer.stdout == session_schema_text()


def test_the_accepted_files_use_every_key_kind_and_version():
    def walk(data):
        if isinstance(data, dict):
            yield from data.items()
        for inner in data.values() if isinstance(data, dict) else data:
            if isinstance(inner, dict | list):
                yield from walk(inner)

    pairs = [
        (key, value if isinstance(value, str) else None)
        for path in ACCEPTED
        for key, value in walk(yaml.load(path.read_text(), Loader))
    ]
    used = {key for key, _ in pairs} | {"require-at-least-N"}
    assert {key for table in fields.SECTIONS.values() for key in table} <= used
    assert set(fields.SECRET_KINDS) <= {value for key, value in pairs if key == "kind"}
    versions = {value for key, value in pairs if key == "version"}
    assert {"0.2", "0.3", *(f"0.3.{patch}" for patch in range(13))} <= versions


def test_an_access_list_has_as_many_entries_as_the_reader_takes():
    for key in ("read", "update"):
        data = {"version": "0.3", "name": "s", "access_policy": {key: ["CREATOR"] * 256}}
        assert VALIDATOR.is_valid(data)
        data["access_policy"][key].append("CREATOR")
        assert not VALIDATOR.is_valid(data)
