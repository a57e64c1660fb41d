"""Sessions as a graph: what they hold, use, import and export; as DOT text (Graphviz).

No value of a secret is in it, and nothing of a service but its name. The same sessions give the
same graph, in whatever order they come. Sessions that are named and not given are drawn as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scone.errors import MalformedError, UsageError, printable
from scone.session.model import Import, Session, SessionReference
from scone.session.names import ROOT, parent_name
from scone.session.sharing import resolve_name
from scone.session.uses import names_for_service

Kind = Literal["namespace", "session", "service", "secret", "volume", "other"]
Relation = Literal["contains", "has", "used by", "exported to", "imported by"]
RELATIONS: Final[tuple[Relation, ...]] = (
    "contains",
    "has",
    "used by",
    "exported to",
    "imported by",
)

_EVERYBODY: Final = "everybody"
_SHAPES: Final[Mapping[Kind, str]] = {
    "namespace": "folder",
    "session": "box3d",
    "service": "component",
    "secret": "ellipse",
    "volume": "cylinder",
    "other": "box",
}


@dataclass(frozen=True, slots=True, order=True)
class Vertex:
    """A session, a part of one (`owner` names the session) or what is elsewhere (`owner`: a CAS)."""

    kind: Kind
    owner: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """An arrow in the direction in which names, values or rights go."""

    start: Vertex
    end: Vertex
    relation: Relation


@dataclass(frozen=True, slots=True)
class Graph:
    """Vertices in order, each with a word about it (kind of a secret, and so on), and edges."""

    notes: Mapping[Vertex, str]
    edges: tuple[Edge, ...]


def graph_of(sessions: Iterable[Session]) -> Graph:
    """The graph of these sessions; of those with the same name, the last one counts."""
    made = _Maker({session.name: session for session in sessions})
    return Graph(dict(sorted(made.notes.items())), tuple(sorted(made.edges)))


def to_dot(graph: Graph) -> str:
    """The graph in the DOT language."""
    names = {vertex: f"n{number}" for number, vertex in enumerate(graph.notes)}
    lines = ["digraph sessions {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for vertex, name in names.items():
        label = "\\n".join(map(_dot_text, caption(graph, vertex)))
        style = ", style=dashed" if vertex.kind == "other" else ""
        lines.append(f'  {name} [label="{label}", shape={_SHAPES[vertex.kind]}{style}];')
    for edge in graph.edges:
        style = "dashed" if edge.relation in {"exported to", "imported by"} else "solid"
        lines.append(
            f'  {names[edge.start]} -> {names[edge.end]} [label="{edge.relation}", style={style}];'
        )
    return "\n".join([*lines, "}", ""])


def caption(graph: Graph, vertex: Vertex) -> tuple[str, str]:
    """The two lines of a box: the name, and what it is."""
    return one_line(vertex.name), one_line(graph.notes[vertex])


def one_line(text: str) -> str:
    """A text without line breaks and other control characters."""
    return printable(" ".join(text.split()))


def _dot_text(text: str) -> str:
    """A text inside double quotes; a backslash would begin an escape of labels."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


class _Maker:
    """Collects vertices and edges."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self.sessions = sessions
        self.notes: dict[Vertex, str] = {}
        self.edges: set[Edge] = set()
        for session in sessions.values():
            self.add(session)

    def vertex(self, kind: Kind, owner: str, name: str, note: str) -> Vertex:
        made = Vertex(kind, owner, name)
        self.notes[made] = note
        return made

    def edge(self, start: Vertex, end: Vertex, relation: Relation) -> None:
        self.edges.add(Edge(start, end, relation))

    def add(self, session: Session) -> None:
        """A session with all that it has."""
        itself = self.session(session.name)
        above = parent_name(session.name)
        if above is not None:
            self.edge(self.namespace(above), itself, "contains")
        for secret in session.secrets:
            box = self.part("secret", session, secret.name)
            self.exports(session, box, secret.exports)
            if secret.export_public:
                self.edge(box, self.vertex("other", "", _EVERYBODY, "public"), "exported to")
            if secret.imported is not None:
                self.imports(session, box, secret.imported)
            if secret.akv is not None:
                vault = self.vertex("other", "", secret.akv.vault, "key vault")
                self.edge(vault, box, "imported by")
        for volume in session.volumes:
            box = self.part("volume", session, volume.name)
            self.exports(session, box, [export.to for export in volume.exports])
            if volume.imported is not None:
                self.imports(session, box, volume.imported)
        for service in session.services:
            box = self.part("service", session, service.name)
            for name in names_for_service(session, service):
                self.edge(self.part("secret", session, name), box, "used by")
            image = session.image_of(service)
            for mount in image.volumes if image else ():
                self.edge(self.part("volume", session, mount.name), box, "used by")

    def session(self, name: str, cas: str = "") -> Vertex:
        """A session that was given, or another."""
        if not cas and name in self.sessions:
            return self.vertex("session", "", name, f"session {self.sessions[name].version}")
        return self.vertex("other", cas, name, f"session of {cas}" if cas else "another session")

    def namespace(self, name: str, cas: str = "") -> Vertex:
        """A namespace, and those that it is in."""
        if cas:
            return self.vertex("other", cas, name, f"namespace of {cas}")
        found = self.vertex(
            "namespace", "", name, "root namespace" if name == ROOT else "namespace"
        )
        above = parent_name(name)
        if above is not None:
            self.edge(self.namespace(above), found, "contains")
        return found

    def part(self, kind: Kind, session: Session, name: str) -> Vertex:
        """A secret, volume or service of a session that was given."""
        secret = session.secret(name) if kind == "secret" else None
        note = f"{secret.kind} secret" if secret and secret.kind else kind
        box = self.vertex(kind, session.name, name, note)
        self.edge(self.session(session.name), box, "has")
        return box

    def exports(self, session: Session, box: Vertex, to: Iterable[SessionReference]) -> None:
        for reference in to:
            cas = _cas(reference)
            if reference.namespace is not None:
                target = self.namespace(_resolved(reference.namespace, session, cas), cas)
            elif reference.session is not None:
                target = self.session(_resolved(reference.session, session, cas), cas)
            else:
                continue
            self.edge(box, target, "exported to")

    def imports(self, session: Session, box: Vertex, what: Import) -> None:
        cas, written = _cas(what.source), what.source.session
        if written is None:
            return
        exporter = _resolved(written, session, cas)
        there = None if cas else self.sessions.get(exporter)
        name = _real_name(there, box.kind, what.name)
        if there is not None and name is not None:
            found = self.part(box.kind, there, name)
        else:  # of a session that was not given, or missing there
            note = f"{box.kind} of another session" if there is None else f"missing {box.kind}"
            owner = f"{cas} {exporter}" if cas else exporter
            found = self.vertex(box.kind, owner, what.name, note)
            self.edge(self.session(exporter, cas), found, "has")
        self.edge(found, box, "imported by")


def _cas(reference: SessionReference) -> str:
    """Another CAS, or nothing."""
    return reference.cas_url or reference.cas_key or reference.cas_software_key or ""


def _resolved(written: str, session: Session, cas: str) -> str:
    """The session that is meant; as written where that is none, or on another CAS."""
    if cas:
        return written
    try:
        return resolve_name(written, session.name)
    except (UsageError, MalformedError):
        return written


def _real_name(session: Session | None, kind: Kind, name: str) -> str | None:
    """The name that a secret or volume has in the session that exports it."""
    if session is None:
        return None
    if kind == "secret":
        return None if session.secret(name) is None else name
    aliases = {
        export.alias: volume.name
        for volume in session.volumes
        for export in volume.exports
        if export.alias is not None
    }
    return aliases.get(name) or (None if session.volume(name) is None else name)
