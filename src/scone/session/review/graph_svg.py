"""A graph of sessions as SVG 1.1: columns from the root namespace to the services.

One file without scripts, styles from elsewhere or links. Long names are cut in the boxes and
whole in their titles, which browsers show under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from scone.session.names import ROOT
from scone.session.review.graph import (
    RELATIONS,
    Edge,
    Graph,
    Kind,
    Relation,
    Vertex,
    caption,
    one_line,
)

# Pixels.
_LETTER: Final = 8
_PADDING: Final = 12
_BOX: Final = 36
_ROW: Final = 52
_GAP: Final = 110
_MARGIN: Final = 24
_LEGEND: Final = 20
_MAX_LETTERS: Final = 40

_FILLS: Final[Mapping[Kind, str]] = {
    "namespace": "#eceff1",
    "session": "#e3f2fd",
    "service": "#e8f5e9",
    "secret": "#fff8e1",
    "volume": "#f3e5f5",
    "other": "#ffffff",
}
_STROKES: Final[Mapping[Relation, str]] = {
    "contains": "#90a4ae",
    "has": "#1976d2",
    "used by": "#388e3c",
    "exported to": "#e64a19",
    "imported by": "#7b1fa2",
}


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a vertex is drawn."""

    column: int
    x: int
    y: int
    width: int

    @property
    def middle(self) -> int:
        return self.y + _BOX // 2


def to_svg(graph: Graph) -> str:
    """The picture, as XML text."""
    boxes = _placed(graph)
    width = max((box.x + box.width for box in boxes.values()), default=0) + _MARGIN + _GAP // 2
    bottom = max((box.y + _BOX for box in boxes.values()), default=0) + _MARGIN
    width, height = max(width, 640), bottom + _LEGEND + _MARGIN
    size = f'width="{width}" height="{height}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"',
        '  font-family="monospace" font-size="12">',
        "<title>Sessions</title>",
        "<defs>",
        *(
            f'<marker id="arrow{number}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{_STROKES[relation]}"/>'
            "</marker>"
            for number, relation in enumerate(RELATIONS)
        ),
        "</defs>",
        f'<rect {size} fill="#ffffff"/>',
        *(_arrow(edge, boxes) for edge in graph.edges),
        *(line for vertex, box in boxes.items() for line in _box(graph, vertex, box)),
        *_legend(bottom),
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _placed(graph: Graph) -> dict[Vertex, _Box]:
    """Columns by kind, rows by session; columns are centred."""
    depth = max((_depth(vertex) for vertex in graph.notes if vertex.kind == "namespace"), default=0)
    givers = {edge.start for edge in graph.edges}
    columns: dict[int, list[Vertex]] = {}
    for vertex in graph.notes:
        columns.setdefault(_column(vertex, depth, givers=givers), []).append(vertex)
    tallest = max(map(len, columns.values()), default=0)
    boxes: dict[Vertex, _Box] = {}
    x = _MARGIN
    for column, vertices in sorted(columns.items()):
        width = 2 * _PADDING + _LETTER * max(
            len(_cut(line)) for vertex in vertices for line in caption(graph, vertex)
        )
        y = _MARGIN + (tallest - len(vertices)) * _ROW // 2
        for vertex in sorted(vertices, key=lambda one: (one.owner or one.name, one)):
            boxes[vertex] = _Box(column, x, y, width)
            y += _ROW
        x += width + _GAP
    return boxes


def _column(vertex: Vertex, depth: int, *, givers: set[Vertex]) -> int:
    match vertex.kind:
        case "namespace":
            return _depth(vertex)
        case "session":
            return depth + 1
        case "secret" | "volume":
            return depth + 2
        case "service":
            return depth + 3
        case "other":  # what only receives stands on the far side
            return depth + 1 if vertex in givers else depth + 3


def _depth(vertex: Vertex) -> int:
    return 0 if vertex.name == ROOT else vertex.name.count("/") + 1


def _box(graph: Graph, vertex: Vertex, box: _Box) -> Iterator[str]:
    name, note = caption(graph, vertex)
    dashes = ' stroke-dasharray="4 3"' if vertex.kind == "other" else ""
    title = f"{note} {name}" + (f" of {one_line(vertex.owner)}" if vertex.owner else "")
    left = box.x + _PADDING
    yield f"<g><title>{_xml(title)}</title>"
    yield (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{_BOX}" rx="4" '
        f'fill="{_FILLS[vertex.kind]}" stroke="#455a64"{dashes}/>'
    )
    yield f'<text x="{left}" y="{box.y + 15}" font-weight="bold">{_xml(_cut(name))}</text>'
    yield f'<text x="{left}" y="{box.y + 29}" fill="#546e7a">{_xml(_cut(note))}</text></g>'


def _arrow(edge: Edge, boxes: Mapping[Vertex, _Box]) -> str:
    start, end = boxes[edge.start], boxes[edge.end]
    x1, y1, y2 = start.x + start.width, start.middle, end.middle
    if start.column < end.column:
        x2, bend = end.x, (end.x - x1) // 2
        curve = f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"
    elif start.column == end.column:
        curve = f"M{x1},{y1} C{x1 + _GAP // 2},{y1} {x1 + _GAP // 2},{y2} {x1},{y2}"
    else:
        x2, bend = end.x + end.width, _GAP // 2
        curve = f"M{start.x},{y1} C{start.x - bend},{y1} {x2 + bend},{y2} {x2},{y2}"
    dashes = ' stroke-dasharray="6 3"' if edge.relation in {"exported to", "imported by"} else ""
    number = RELATIONS.index(edge.relation)
    title = f"{one_line(edge.start.name)} {edge.relation} {one_line(edge.end.name)}"
    return (
        f'<path d="{curve}" fill="none" stroke="{_STROKES[edge.relation]}"{dashes} '
        f'marker-end="url(#arrow{number})"><title>{_xml(title)}</title></path>'
    )


def _legend(y: int) -> Iterator[str]:
    x = _MARGIN
    for relation in RELATIONS:
        yield (
            f'<text x="{x}" y="{y + _LEGEND // 2}" fill="{_STROKES[relation]}">→ {relation}</text>'
        )
        x += _LETTER * (len(relation) + 4)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1] + "…"


def _xml(text: str) -> str:
    """Text between tags; what XML has no characters for is escaped already."""
    return escape(text)
