"""docs/formats/session.md says of every key, kind and warning what the code does."""

import re
from pathlib import Path

import pytest

from scone.session.reading import fields

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "formats" / "session.md").read_text()
SOURCES = sorted((ROOT / "src" / "scone" / "session" / "reading").glob("*.py"))


@pytest.mark.parametrize("section", fields.SECTIONS)
def test_every_key_stands_in_the_page_as_in_the_table(section):
    text = PAGE.split(f"### {section}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([0-9.]+) \| (required )?\|", text, re.MULTILINE)
    assert rows == [
        (field.name, field.since, "required " if field.required else "")
        for field in fields.SECTIONS[section].values()
    ]


def test_every_kind_and_toleration_stands_in_the_page():
    words = (
        *fields.SECRET_KINDS,
        *fields.TOLERATE,
        *fields.ENVIRONMENT_WITHOUT_EFFECT,
    )
    assert len(words) >= 30
    for word in words:
        assert f"`{word}`" in PAGE


def test_every_warning_stands_in_the_page_and_the_other_way_round():
    listed = set(
        re.findall(
            r"^\| `([a-z-]+)` \|", PAGE.split("## Warnings")[1].split("## Access")[0], re.MULTILINE
        )
    )
    codes = {
        code
        for source in SOURCES
        for code in re.findall(
            r'c\.warn\(\s*[^()"]*(?:f?"[^"]*")?,\s*"([a-z-]+)"', source.read_text()
        )
    }
    assert len(codes) >= 12
    assert listed == codes


def test_every_placeholder_format_stands_in_the_page():
    names = {name for formats in fields.FORMATS.values() for name in formats if name}
    assert len(names) >= 20
    for name in names:
        assert f"`{name}`" in PAGE or f"`:{name}`" in PAGE
