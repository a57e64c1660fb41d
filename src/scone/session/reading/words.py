"""Words that several sections of a session share: names, keys and tags in hex, references."""

from __future__ import annotations

import re
from typing import Final

from scone.documents import Node
from scone.session.names import ALPHABET, is_segment
from scone.session.otp import MIN_SECRET_BYTES, is_otp_secret
from scone.session.placeholders import START, reference
from scone.session.reading.collect import Collector
from scone.session.reading.versions import Version

HEX_64: Final = re.compile(r"[0-9a-fA-F]{64}")
HEX_32: Final = re.compile(r"[0-9a-fA-F]{32}")
CONTROL: Final = re.compile("[\0-\x1f\x7f]")
_MAX_PRINTABLE: Final = 512
_VAULT: Final = re.compile(
    r"(?:https://)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?)/?"
)


def segment(c: Collector, fields: dict[str, Node], path: str) -> str | None:
    """The `name` of a service, secret or image."""
    node = fields.get("name")
    text = c.text(node, f"{path}.name", "a name")
    if text is None or node is None or is_segment(text):
        return text
    c.expected(node, f"{path}.name", f"a name of 1 to 128 characters ({ALPHABET})")
    return None


def printable_name(c: Collector, fields: dict[str, Node], path: str) -> str | None:
    """The `name` of an image or a volume."""
    name = c.text(fields.get("name"), f"{path}.name", "a name")
    if name is None:
        return None
    if not 1 <= len(name) <= _MAX_PRINTABLE or CONTROL.search(name) or START in name:
        c.expected(fields["name"], f"{path}.name", f"1 to {_MAX_PRINTABLE} printable characters")
        return None
    return name


def secret_name(c: Collector, node: Node | None, path: str) -> str | None:
    """The name in `$$SCONE::NAME$$`, a reference to a secret as a whole."""
    text = c.text(node, path, "$$SCONE::NAME$$")
    if text is None or node is None:
        return None
    found = reference(text)
    if found is None or not found.name or found.format or found.escape_json:
        c.expected(node, path, "$$SCONE::NAME$$", "the name of a secret, without format")
        return None
    return found.name


def vault_host(c: Collector, node: Node | None, path: str) -> str:
    """The host name of a vault, without https:// and a slash at its end."""
    text = c.text(node, path, "the address of a key vault")
    found = text and _VAULT.fullmatch(text)
    if not found:
        if node is not None and text is not None:
            c.expected(node, path, "the address of a key vault such as NAME.vault.azure.net")
        return ""
    return found["host"].lower()


def fspf_key(
    c: Collector, node: Node | None, path: str, version: Version, since: str
) -> str | None:
    """A key in lower-case hex, or the placeholder of a binary secret."""
    text = c.text(node, path, "a key of 64 hex digits")
    if text is None or node is None:
        return None
    if HEX_64.fullmatch(text):
        return text.lower()
    if START in text:
        found = reference(text)
        if found is not None and not found.escape_json:
            if version.admits(since):
                return text
            c.problem(node, path, f"a secret as key needs version {since} or newer")
        else:
            c.expected(node, path, "$$SCONE::NAME$$ of a binary secret, alone", got=False)
    else:
        c.expected(node, path, "a key of 64 hex digits", got=False)
    return None


def fspf_tag(c: Collector, node: Node | None, path: str) -> str | None:
    """A tag in lower-case hex."""
    text = c.matching(node, path, HEX_32, "a tag of 32 hex digits")
    return text and text.lower()


def otp_secret_text(c: Collector, node: Node | None, path: str) -> str | None:
    """A base32 secret (RFC 4648, without padding) of 128 bits or more, or a placeholder."""
    text = c.text(node, path, "a base32 secret")
    if text is None or node is None:
        return None
    if START in text:
        if reference(text) is not None:
            return text
        c.expected(node, path, "$$SCONE::name$$ alone, without other text", got=False)
    elif not is_otp_secret(text):
        expected = f"base32 without padding (A-Z, 2-7) of at least {8 * MIN_SECRET_BYTES} bits"
        c.expected(node, path, expected, "26 characters or more", got=False)
    else:
        return text
    return None
