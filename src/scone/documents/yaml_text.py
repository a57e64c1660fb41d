"""YAML 1.1 text as a tree: the plain subset that a configuration needs.

Refused with position: anchors, aliases, tags (but those of scalars and mappings that the
caller names, who then must look where they stand), merge keys, directives, a second
document, a key that is no scalar, a key given twice. PyYAML's events (libyaml
where it is there) give syntax and positions; nothing is typed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import yaml

from scone.documents.limits import MAX_DEPTH, MAX_NODES, check_text, check_value, fail, mark_at
from scone.documents.tree import Mapping, Mark, Node, Scalar, Sequence, Style, shown

_STYLES: Final[dict[str | None, Style]] = {
    None: "plain",
    "": "plain",
    "'": "single",
    '"': "double",
    "|": "literal",
    ">": "folded",
}
_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(text: str, source: str = "document", *, tags: Collection[str] = ()) -> Node:
    """The one document in a YAML text; an empty text is the null scalar.

    `tags` are the tags, such as `!akv`, that nodes of the tree may carry.

    Raises:
        DocumentError: not YAML, or outside the subset; with line and column.
    """
    check_text(text, source)
    text = text.removeprefix("\ufeff")
    try:
        # Only an escape sequence can bring in what `check_text` has not seen.
        events = iter(_LOADER(text).get_event, None)  # None follows the end of the stream
        return _build(events, source, tags, escapes="\\" in text)
    except yaml.reader.ReaderError as error:
        mark = mark_at(text, min(error.position, len(text)))
        raise fail(source, mark, "expected printable text") from error
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        words = " ".join(filter(None, (error.context, error.problem)))
        place = Mark(at.line + 1, at.column + 1) if at else None
        hint = "indent with spaces, not tabs" if at and _tab_at(text, at.line, at.column) else ""
        raise fail(source, place, words, hint) from error
    except (ValueError, OverflowError) as error:  # escapes beyond Unicode, without libyaml
        raise fail(source, None, "expected valid escape sequences") from error


def _tab_at(text: str, line: int, column: int) -> bool:
    lines = text.splitlines()
    return line < len(lines) and lines[line][column : column + 1] == "\t"


class _Open:
    """A mapping or sequence whose end has not come yet."""

    __slots__ = ("is_mapping", "items", "key", "keys", "mark", "tag")

    def __init__(self, mark: Mark | None, tag: str, *, is_mapping: bool) -> None:
        self.mark = mark
        self.tag = tag
        self.is_mapping = is_mapping
        self.items: list[Any] = []
        self.keys: set[str] = set()
        self.key: Scalar | None = None


def _mark(event: Any) -> Mark:
    at = event.start_mark
    return Mark(at.line + 1, at.column + 1)


def _tag(event: Any, source: str, tags: Collection[str]) -> str:
    """The tag of a node, or nothing; anchors and other tags are refused."""
    if event.anchor is not None:
        raise fail(source, _mark(event), "expected no anchor (&)", "write the value out")
    if event.tag is None:
        return ""
    if event.tag not in tags or type(event) is yaml.SequenceStartEvent:
        raise fail(source, _mark(event), "expected no tag (!)", "quote text that starts with !")
    return str(event.tag)


def _build(events: Iterator[Any], source: str, tags: Collection[str], *, escapes: bool) -> Node:
    stack: list[_Open] = []
    root: Node | None = None
    node: Node
    for count, event in enumerate(events):
        kind = type(event)
        if count > MAX_NODES:
            raise fail(source, _mark(event), f"expected at most {MAX_NODES} values")
        if kind is yaml.ScalarEvent:
            at = event.start_mark
            node = Scalar(event.value, _STYLES[event.style], Mark(at.line + 1, at.column + 1))
            if event.anchor is not None or event.tag is not None:
                node = node._replace(tag=_tag(event, source, tags))
            if escapes:
                check_value(node.text, source, node.mark)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            tag = _tag(event, source, tags)
            if len(stack) == MAX_DEPTH:
                raise fail(source, _mark(event), f"expected at most {MAX_DEPTH} levels")
            stack.append(_Open(_mark(event), tag, is_mapping=kind is yaml.MappingStartEvent))
            continue
        elif kind is yaml.MappingEndEvent:
            done = stack.pop()
            node = Mapping(tuple(done.items), done.mark, done.tag)
        elif kind is yaml.SequenceEndEvent:
            done = stack.pop()
            node = Sequence(tuple(done.items), done.mark)
        elif kind is yaml.AliasEvent:
            raise fail(source, _mark(event), "expected no alias (*)", 'quote "*"')
        elif kind is yaml.DocumentStartEvent:
            if root is not None:
                raise fail(source, _mark(event), "expected one document, got a second one")
            if event.version or event.tags:
                raise fail(source, _mark(event), "expected no directive (%)")
            continue
        else:  # start and end of the stream, end of a document
            continue
        if not stack:
            root = node
        else:
            _add(stack[-1], node, source)
    return Scalar("", "plain", Mark(1, 1)) if root is None else root


def _add(parent: _Open, node: Node, source: str) -> None:
    if not parent.is_mapping:
        parent.items.append(node)
        return
    if parent.key is not None:
        parent.items.append((parent.key, node))
        parent.key = None
        return
    if not isinstance(node, Scalar):
        raise fail(source, node.mark, "expected a key that is a word", 'quote text with { or ["')
    if node.style == "plain" and node.text == "<<":
        raise fail(source, node.mark, "expected no merge key (<<)", "write the values out")
    if node.text in parent.keys:
        raise fail(source, node.mark, f"expected each key once, got {shown(node.text)} again")
    parent.keys.add(node.text)
    parent.key = node
