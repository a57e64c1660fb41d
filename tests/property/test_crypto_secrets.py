"""Values of secrets are data: no value changes what stands around it, whatever it holds."""

import datetime as dt
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.service_config import InjectedFile, ServiceConfig, build
from scone.session.model import SecretSpec, Security, Service, Session
from scone.session.placeholders import Placeholder
from scone.session.secrets import AsciiValue, BinaryValue, SecretValues, generate, render

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
HOSTILE_TEXT = TEXT | st.lists(
    st.sampled_from(
        ["$$SCONE::", "a", "b", "$$", ":hex", "|escape(json)", "'", '"', " ", "\n", "\\"]
    )
).map("".join)
NAMES = st.text(alphabet="abcXYZ019_-.~", min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(HOSTILE_TEXT, HOSTILE_TEXT)
def test_arguments_and_variables_hold_exactly_the_values(first, second):
    session = Session(
        version="0.3",
        name="s",
        secrets=(SecretSpec("a", "ascii", value=first), SecretSpec("b", "ascii", value=second)),
        services=(
            Service(
                "x",
                command="p '<$$SCONE::a$$>' $$SCONE::b$$$$SCONE::a$$",
                environment=(("E", "$$SCONE::b$$"),),
            ),
        ),
        security=Security(mode="none"),
    )
    values = generate(session, previous=None, now=NOW, random=bytes)
    config = build(session, "x", values, None, NOW)
    assert [argument.reveal().decode() for argument in config.arguments] == [
        "p",
        f"<{first}>",
        second + first,
    ]
    assert config.environment[0][1].reveal().decode() == second
    assert ServiceConfig.from_json(config.to_json()) == config


@given(TEXT)
def test_json_escaping_is_undone_by_a_json_parser(text):
    values = SecretValues({"a": AsciiValue(SecretBytes(text.encode()))})
    escaped = render(values, Placeholder("a", escape_json=True))
    assert json.loads(b'"' + escaped + b'"') == text


@given(st.dictionaries(NAMES, st.tuples(st.booleans(), st.binary(max_size=60)), max_size=6))
def test_stored_values_are_read_back_and_equal_values_are_equal_bytes(found):
    def build_values(items):
        return SecretValues(
            {
                name: (AsciiValue if is_ascii else BinaryValue)(SecretBytes(content))
                for name, (is_ascii, content) in items
            }
        )

    values = build_values(found.items())
    assert SecretValues.from_json(values.to_json()) == values
    assert build_values(reversed(found.items())).to_json() == values.to_json()


CONFIG = ServiceConfig(
    (SecretBytes(b"prog"),),
    ((b"A", SecretBytes(b"b")),),
    "/",
    (InjectedFile("/f", SecretBytes(b"c"), 0o700),),
).to_json()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CONFIG) - 1), st.integers(1, 255), st.booleans())
def test_an_altered_configuration_is_read_to_another_one_or_malformed(at, change, cut):
    altered = CONFIG[:at] if cut else CONFIG[:at] + bytes([CONFIG[at] ^ change]) + CONFIG[at + 1 :]
    try:
        found = ServiceConfig.from_json(altered)
    except MalformedError:
        return
    assert not cut
    assert ServiceConfig.from_json(found.to_json()) == found
