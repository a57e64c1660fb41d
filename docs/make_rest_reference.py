"""The REST reference as Markdown, from the OpenAPI document alone.

`python docs/make_rest_reference.py` prints docs/reference/rest.md; a test compares them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scone.cas.http.openapi import openapi_document

_HEAD: Final = """# REST reference

Made from the OpenAPI document of the CAS, which serves it at `/v1/openapi.json`, by `make reference`; a test compares this file
with it. The rules that hold for all of it stand in [the format of the interface](../formats/rest.md); in Python,
[`scone.client`](../guide/client.md) speaks it.
"""
_PORTS: Final = {"client": "client port (8081)", "enclave": "port for services (18765)"}


def rest_reference() -> str:
    """The whole page."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_lines(openapi_document(""))))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    yield _HEAD
    yield "## Paths\n\n| request | what | needs |\n|---|---|---|"
    for method, path, operation in operations:
        link = f"[`{method} {path}`](#{_anchor(method, path)})"
        yield f"| {link} | {operation['summary']} | {operation['x-authorisation']} |"
    for method, path, operation in operations:
        yield from _operation(method, path, operation)
    yield from _errors(document["components"])


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## {method} {path}\n\n{operation['summary']}.\n"
    yield f"- **Needs**: {operation['x-authorisation']}"
    port = _PORTS[operation["x-listener"]]
    state = ", also before the CAS is provisioned" if operation["x-while-unprovisioned"] else ""
    yield f"- **Where**: {port}{state}"
    parameters = operation.get("parameters", ())
    if parameters:
        yield "\n| parameter | in | form |\n|---|---|---|"
    for one in parameters:
        yield f"| `{one['name']}` | {one['in']} | {_form(one['schema'])} |"
    body = operation.get("requestBody")
    if body is not None:
        media, content = next(iter(body["content"].items()))
        size = f"at most {operation['x-max-body']:,} bytes"
        yield f"\nBody: `{media}`, {size}{_note(content['schema'])}.\n"
        yield from _members(content["schema"])
    for status, answer in operation["responses"].items():
        if status != "default":
            schema = answer["content"]["application/json"]["schema"]
            yield f"\nAnswer: {status}{_note(schema)}.\n"
            yield from _members(schema)


def _note(schema: Mapping[str, Any]) -> str:
    return f": {schema['description']}" if "description" in schema else ""


def _members(schema: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for number, one in enumerate(schema.get("oneOf", ()), 1):
        yield f"{indent}- form {number}:"
        yield from _members(one, indent + "  ")
    required = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        optional = "" if name in required else ", optional"
        yield f"{indent}- `{name}`{optional}: {_form(inner)}"
        yield from _members(inner, indent + "  ")
        for deeper in (inner.get("items"), inner.get("additionalProperties")):
            if isinstance(deeper, Mapping):
                yield from _members(deeper, indent + "  ")


def _form(schema: Mapping[str, Any]) -> str:
    """A schema in words."""
    if "anyOf" in schema:
        return " or ".join(_form(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "anything")
    words: str
    if kind == "array":
        words = f"list of {_form(schema['items'])}"
        if "maxItems" in schema:
            words += f", at most {schema['maxItems']}"
    elif "pattern" in schema:
        words = f"text `{schema['pattern']}`"
    elif "contentEncoding" in schema:
        words = schema["contentEncoding"]
    elif schema.get("format") == "date-time":
        words = "time (RFC 3339)"
    elif kind == "integer":
        words = "whole number"
        if "maximum" in schema:
            words += f" from {schema.get('minimum', 0)} to {schema['maximum']}"
    else:
        words = {"string": "text", "boolean": "true or false", "null": "null"}.get(kind, kind)
    return f"{words} ({schema['description']})" if "description" in schema else words


def _errors(components: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "\n## Errors\n\nEvery other answer is an error of this form. Programs decide by `code`, "
        "which is stable; the texts may change.\n"
    )
    yield from _members(components["schemas"]["Error"])
    yield "\n| `code` | status | meaning |\n|---|---|---|"
    for code, one in components["x-error-codes"].items():
        yield f"| `{code}` | {', '.join(map(str, one['status']))} | {one['meaning']} |"
    yield ""


def _anchor(method: str, path: str) -> str:
    kept = "".join(one for one in f"{method} {path}".lower() if one.isalnum() or one in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(rest_reference())
