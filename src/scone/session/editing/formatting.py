"""The layout of a session file: two spaces, keys in the order of `fields`, quotes where needed.

Comments stay with the key or item that they stand before, beside, or below. Variables, tags and block
texts are kept. Only the text's own parser decides whether the result means the same.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from scone.documents import (
    DocumentError,
    Mapping,
    Node,
    Problem,
    Scalar,
    Sequence,
    document_error,
    read_yaml,
)
from scone.session.reading.fields import SECTIONS
from scone.session.reading.reader import TAGS

_WIDTH: Final = 100
"""Columns up to which what was written as a flow collection stays on one line."""
_STEP: Final = "  "
_LINE_END: Final = re.compile("\r\n?|\x85")
_GAP: Final = re.compile(r"(?P<comment>(?:(?<=[ \t\n])|(?<![\s\S]))#[^\n]*)|(?<=\n)[ \t]*(?=\n)")
_HEADER: Final = re.compile(r"([|>])([-+1-9]*)[ \t]*(#[^\n]*)?(?:\n|$)")
_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")
_NUMBER: Final = re.compile(r"[-+.]*[0-9][-+.0-9_:oxa-fA-F]*$|[-+]?\.(?:inf|nan)", re.IGNORECASE)
_SIMPLE: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.~+-]*")
# Beyond what JSON escapes: not printable in YAML 1.1, or line breaks of it.
_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SECTIONS: Final = {path.replace("[]", ""): section for path, section in SECTIONS.items()} | {
    "": SECTIONS["the session"]
}
_RESOLVERS: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = (
    yaml.SafeLoader.yaml_implicit_resolvers
)


def format_session(text: str, *, source: str = "session") -> str:
    """The session file in its one layout; formatting that again changes nothing.

    Raises:
        DocumentError: not the YAML of a session file, or its layout cannot be changed without
            changing what it means.
    """
    text = _LINE_END.sub("\n", text.removeprefix("\ufeff"))
    before = read_yaml(text, source, tags=TAGS)
    if not isinstance(before, Mapping):
        raise document_error([Problem(source, before.mark, "", "expected a session: a mapping")])
    reader = _Reader(text)
    made = "".join(f"{line}\n" for line in _Writer(text).document(reader.document()))
    if not _same(before, reader.comments, made):
        raise document_error(
            [Problem(source, None, "", "cannot be formatted without changing what it says")]
        )
    return made


def _same(before: Node, comments: list[str], made: str) -> bool:
    """Whether a text has this meaning, and these comments somewhere."""
    try:
        after = read_yaml(made, tags=TAGS)
    except DocumentError:
        return False
    again = _Reader(made)
    again.document()
    return _meaning(before) == _meaning(after) and sorted(comments) == sorted(again.comments)


def _meaning(node: Node) -> object:
    """What a reader may look at: texts, tags, and where quotes make a difference."""
    match node:
        case Scalar():
            return node.text, node.tag, node.is_null, _is_variable(node)
        case Sequence():
            return [_meaning(item) for item in node.items]
        case Mapping():
            return node.tag, {_meaning(key): _meaning(value) for key, value in node.entries}


def _is_variable(node: Scalar) -> bool:
    """Whether the value of a variable may make it null."""
    return node.style == "plain" and _VARIABLE.fullmatch(node.text) is not None


@dataclass(slots=True)
class _Value:
    """A node as it was written, from index `start` to `end`; `kind` is one of YAML's three."""

    kind: str
    start: int = 0
    end: int = 0
    text: str = ""
    style: str = ""
    tag: str = ""
    flow: bool = False
    entries: list[_Entry] = field(default_factory=list)
    footer: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written, not even quotes or brackets; a tag may be."""
        return self.kind == "scalar" and not (self.text or self.style)


@dataclass(slots=True)
class _Entry:
    """An item of a list, or a key and its value, with the comments around it.

    `leading` has a text for each comment line before it, and "" for an empty line.
    """

    key: _Value | None
    value: _Value
    leading: list[str] = field(default_factory=list)
    trailing: str = ""

    @property
    def start(self) -> int:
        """Index where it begins, without the dash of an item."""
        return (self.key or self.value).start


class _Reader:
    """From a text that is known to be of the subset to values with comments."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.root = _Entry(None, _Value("scalar"))
        self.comments: list[str] = []

    def document(self) -> _Value:
        """The value of the whole text; `comments` has all of its comments then."""
        self._tree()
        self._attach()
        return self.root.value

    def _line(self, index: int) -> int:
        return bisect_right(self.lines, index)

    def _line_end(self, index: int) -> int:
        end = self.text.find("\n", index)
        return len(self.text) if end < 0 else end

    def _column(self, index: int) -> int:
        return index - self.lines[self._line(index) - 1]

    def _tree(self) -> None:
        stack: list[_Value] = []
        keys: list[_Value | None] = []
        event: Any
        for event in yaml.parse(self.text, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop().end = _index(event.end_mark)
                keys.pop()
                continue
            if not isinstance(event, yaml.NodeEvent):
                continue
            value = self._value(event)
            if not stack:
                self.root = _Entry(None, value)
            elif stack[-1].kind == "mapping" and keys[-1] is None:
                keys[-1] = value
                continue
            else:
                stack[-1].entries.append(_Entry(keys[-1], value))
                keys[-1] = None
            if value.kind != "scalar":
                stack.append(value)
                keys.append(None)

    def _value(self, event: Any) -> _Value:
        start, tag = _index(event.start_mark), event.tag if isinstance(event.tag, str) else ""
        if not isinstance(event, yaml.ScalarEvent):
            kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            return _Value(kind, start=start, tag=tag, flow=bool(event.flow_style))
        end, style = _index(event.end_mark), event.style or ""
        if style in {"|", ">"} and not event.value.endswith("\n\n"):
            # Empty lines below are not its own.
            end = self._line_end(start + len(self.text[start:end].rstrip()))
        return _Value("scalar", start, end, event.value, style, tag)

    def _attach(self) -> None:
        """Give each comment, and each empty line before something, to an entry or a block."""
        chains = sorted(_chains(self.root, (self.root,)), key=lambda chain: chain[-1].start)
        starts = [chain[-1].start for chain in chains]
        empty_at: int | None = None
        for start, comment in self._gaps(chains):
            at = bisect_right(starts, start)
            around = chains[at] if at < len(chains) else None
            following = None if around is None else around[-1]
            if not comment:
                empty_at = at
                if following is not None and following.leading[-1:] != [""]:
                    following.leading.append("")
                continue
            self.comments.append(comment)
            before = self._beside(chains[at - 1], start) if at else None
            if before is not None:
                if before.trailing:  # beside both of its brackets
                    before.leading.append(comment)
                else:
                    before.trailing = comment
                continue
            block = self._block(chains[at - 1], around, start) if at else None
            if block is None:
                home = self.root.value.footer if following is None else following.leading
            else:
                home = block.footer
                if empty_at == at and following is not None and following.leading[-1:] == [""]:
                    following.leading.pop()
                if empty_at == at:
                    home.append("")
            home.append(comment)
            empty_at = None

    def _beside(self, chain: _Chain, start: int) -> _Entry | None:
        """The entry that ends or begins a block on the line of a comment, before it."""
        line = self._line(start)
        for entry in chain:  # the outermost list or mapping in brackets, if there is one
            if entry.value.flow and entry.value.end <= start:
                return entry if self._line(entry.value.end - 1) == line else None
        entry, value = chain[-1], chain[-1].value
        block = value.kind != "scalar" and not value.flow
        if block and entry.key is None:
            return None  # it stands behind a dash with nothing but another dash before it
        ends = entry.start if block else max(value.end - 1, value.start)
        header = value.start if value.style in {"|", ">"} else entry.start
        return entry if line in {self._line(i) for i in (entry.start, header, ends)} else None

    def _block(self, chain: _Chain, following: _Chain | None, start: int) -> _Value | None:
        """The innermost block that a comment line ends: not deeper than it, deeper than what follows."""
        column = self._column(start)
        limit = -1 if following is None else self._depth(following[-2].value)
        for entry in reversed(chain):
            block = entry.value
            if block.entries and not block.flow and limit < self._depth(block) <= column:
                return block
        return None

    def _depth(self, block: _Value) -> int:
        """The column of the dashes, or of the keys."""
        return self._column(block.start if block.kind == "sequence" else block.entries[0].start)

    def _gaps(self, chains: list[_Chain]) -> Iterator[tuple[int, str]]:
        """Comments, and "" for empty lines, outside of scalars."""
        ends = 0
        scalars = [
            value
            for chain in chains
            for value in (chain[-1].key, chain[-1].value)
            if value is not None and value.kind == "scalar"
        ]
        for value in sorted(scalars, key=lambda one: one.start):
            yield from self._between(ends, value.start)
            ends = max(ends, value.end)
            header = _HEADER.match(self.text, value.start) if value.style in {"|", ">"} else None
            if header and header[3]:
                yield header.start(3), header[3].rstrip()
        yield from self._between(ends, len(self.text))

    def _between(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        for found in _GAP.finditer(self.text, start, end):
            yield found.start(), (found["comment"] or "").rstrip()


def _index(mark: Any) -> int:
    return int(mark.index)


_Chain = tuple["_Entry", ...]
"""An entry with those that it is in, outermost first."""


def _chains(entry: _Entry, chain: _Chain) -> Iterator[_Chain]:
    for inner in entry.value.entries:
        yield (*chain, inner)
        yield from _chains(inner, (*chain, inner))


class _Writer:
    """From values to lines."""

    def __init__(self, text: str) -> None:
        self.text = text

    def document(self, root: _Value) -> Iterator[str]:
        """The lines of a session; what stands above its first key (a licence, a schema) stays there."""
        if root.entries:
            header, root.entries[0].leading = root.entries[0].leading, []
            first = _ordered(root, "")[0]
            first.leading = [*header, *first.leading]
        yield from self._block(root, "", "")

    def _block(self, value: _Value, indent: str, path: str) -> Iterator[str]:
        """The lines of a collection in block style."""
        for number, entry in enumerate(_ordered(value, path)):
            below = path if entry.key is None else f"{path}.{entry.key.text}".lstrip(".")
            leading = [*entry.leading, *self._hoisted(entry, indent, below)]
            yield from _comments(leading, indent, first=number == 0)
            head, *lines = self._entry(entry, indent, below)
            yield f"{head} {entry.trailing}" if entry.trailing else head
            yield from lines
        yield from _comments(value.footer, indent)

    @staticmethod
    def _hoisted(entry: _Entry, indent: str, path: str) -> list[str]:
        """Comments behind the dash of an item that is a block: they go before it, away from there."""
        found: list[str] = []
        while entry.key is None and entry.value.entries:
            first = _ordered(entry.value, path)[0]
            inner, first.leading = first.leading, []
            if entry.trailing and _flat(entry, f"{indent}-", path) is None:
                found.append(entry.trailing)
                entry.trailing = ""
            found += inner
            entry, indent = first, indent + _STEP
        return [line for line in found if line]

    def _entry(self, entry: _Entry, indent: str, path: str) -> Iterator[str]:
        value, below = entry.value, indent + _STEP
        head = f"{indent}-" if entry.key is None else f"{indent}{_scalar(entry.key)}:"
        if value.tag:
            head += f" {value.tag}"
        if value.kind == "scalar":
            yield from self._scalar(value, head, below)
            return
        flat = _flat(entry, head, path)
        if flat is not None:
            yield f"{head} {flat}"
        elif entry.key is None and not value.tag:
            first, *rest = self._block(value, below, path)
            yield f"{head} {first.removeprefix(below)}"
            yield from rest
        else:
            yield head
            yield from self._block(value, below, path)

    def _scalar(self, value: _Value, head: str, indent: str) -> Iterator[str]:
        lines = _block_text(value, self.text[value.start : value.end], indent)
        if lines is None:
            yield f"{head} {_scalar(value)}".rstrip()
        else:
            yield f"{head} {lines[0]}"
            yield from lines[1:]


def _flat(entry: _Entry, head: str, path: str) -> str | None:
    """A collection on the line of its head; None if it must or may be a block."""
    value = entry.value
    if value.entries and not value.flow:
        return None
    flat = _flow(value, path)
    fits = flat is not None and len(head) + 1 + len(flat) <= _WIDTH
    return flat if fits or not value.entries else None


def _comments(lines: list[str], indent: str, *, first: bool = False) -> Iterator[str]:
    """Comment lines; of empty ones, one between two others."""
    last = "" if first else "#"
    for line in lines:
        if line or last:
            yield f"{indent}{line}" if line else ""
        last = line


def _ordered(value: _Value, path: str) -> list[_Entry]:
    """Entries in the order of the section's keys; others behind them."""
    if value.kind != "mapping":
        return value.entries
    order = {key: number for number, key in enumerate(_SECTIONS.get(path, ()))}
    return sorted(
        value.entries,
        key=lambda entry: order.get(entry.key.text if entry.key else "", len(order)),
    )


def _flow(value: _Value, path: str) -> str | None:
    """A collection on one line; None if a comment or a text of several lines is in it."""
    parts = []
    if value.footer:
        return None
    for entry in _ordered(value, path):
        below = path if entry.key is None else f"{path}.{entry.key.text}"
        inner = entry.value
        if any(entry.leading) or entry.trailing or inner.is_empty:
            return None
        text = _scalar(inner) if inner.kind == "scalar" else _flow(inner, below)
        if text is None:
            return None
        text = f"{inner.tag} {text}".strip()
        parts.append(text if entry.key is None else f"{_scalar(entry.key)}: {text}".rstrip())
    return f"{{{', '.join(parts)}}}" if value.kind == "mapping" else f"[{', '.join(parts)}]"


def _scalar(value: _Value) -> str:
    """A scalar on one line."""
    text = value.text
    if not value.style and "\n" not in text:
        return text
    if _is_plain(text) and not value.tag:
        return text
    if '"' in text or "\\" in text:
        quoted = text.replace("'", "''")
        if text.isprintable() and "'" not in text:
            return f"'{quoted}'"
    made = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", made)


def _is_plain(text: str) -> bool:
    """Whether a text means itself without quotes, for any parser of YAML 1.1 or 1.2."""
    if not _SIMPLE.fullmatch(text) and not _reads_plain(text):
        return False
    resolvers = [*_RESOLVERS.get(text[0], ()), *_RESOLVERS.get("*", ())]
    return not (
        _VARIABLE.fullmatch(text)
        or _NUMBER.match(text)
        or any(form.match(text) for _, form in resolvers)
        or text.lower() in {"y", "n"}
    )


def _reads_plain(text: str) -> bool:
    if not text.isprintable() or "\n" in text or text.lstrip("-?:,[]{}#&*!|>'\"%@` ") != text:
        return False
    try:
        node = read_yaml(f"- [{text}]\n- {text}\n")
    except DocumentError:
        return False
    plain = Scalar(text, "plain", None)
    inner = node.items[0] if isinstance(node, Sequence) else None
    outer = node.items[1] if isinstance(node, Sequence) and len(node.items) == 2 else None
    return (
        isinstance(inner, Sequence)
        and isinstance(outer, Scalar)
        and [one._replace(mark=None) for one in inner.items if isinstance(one, Scalar)] == [plain]
        and len(inner.items) == 1
        and outer._replace(mark=None) == plain
    )


def _block_text(value: _Value, written: str, indent: str) -> list[str] | None:
    """Header and lines of a text in block style; None for one that is on one line."""
    text = value.text
    if value.style not in {"|", ">"} or not text.strip("\n") or _ESCAPED.search(text):
        return None
    if value.style == ">":
        return _folded(text, written, indent)
    body = text.removesuffix("\n")
    chomp = "-" if body == text else "+" if body.endswith("\n") else ""
    digit = str(len(_STEP)) if text.lstrip("\n").startswith((" ", "\t")) else ""
    lines = body.split("\n")
    return [f"|{digit}{chomp}", *(indent + line if line else "" for line in lines)]


def _folded(text: str, written: str, indent: str) -> list[str] | None:
    """A folded text, with its own lines; None where these are not all that it says."""
    header, *lines = written.split("\n")
    options = _HEADER.match(header)
    if options is None or options[2].strip("+-") or text.endswith("\n\n"):
        return None
    depth = min(len(line) - len(line.lstrip(" ")) for line in lines if line.strip())
    return [
        ">" if text.endswith("\n") else ">-",  # also where the file ends without a line end
        *(indent + line[depth:] if line.strip() else line[depth:] for line in lines),
    ]
