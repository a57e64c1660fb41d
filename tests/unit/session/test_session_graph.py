"""The graph of sessions: what is in it, what is not, and both of its forms."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from scone.session import read_session
from scone.session.model import Import, SecretSpec, Service, Session, SessionReference
from scone.session.review.graph import Graph, graph_of, to_dot
from scone.session.review.graph_svg import to_svg

EXPORTER = """\
name: team/exporter
version: "0.3.10"
secrets:
- name: pw
  kind: ascii
  value: hunter2
  export:
  - session: team/importer
  - namespace: team/sub
- name: open
  kind: ascii
  export_public: true
volumes:
- name: data
  export: [{to: {session: team/importer}, volume_alias: shown}]
"""
IMPORTER = """\
name: team/importer
version: "0.3.10"
secrets:
- name: got
  import: {session: ../exporter, secret: pw}
- name: far
  import: {session: elsewhere, secret: x}
- name: gone
  import: {session: team/exporter, secret: no-longer}
- name: token
  kind: aad-token
  tenant_id: 11111111-2222-3333-4444-555555555555
  client_id: 11111111-2222-3333-4444-555555555555
  application_secret: hunter2
- name: vaulted
  kind: binary
  import_akv: {vault: https://v.vault.azure.net, token: $$SCONE::token$$}
volumes:
- name: mine
  import: {session: team/exporter, volume: shown}
images: [{name: i, volumes: [{name: mine, path: /v}]}]
services:
- name: web
  command: run $$SCONE::got$$ hunter2
  environment: {A: hunter2}
  image_name: i
security: {attestation: {mode: none}}
"""
SESSIONS = [
    read_session(EXPORTER).session,
    read_session(IMPORTER).session,
]


def relations(graph):
    return {
        (f"{e.start.kind} {e.start.name}", e.relation, f"{e.end.kind} {e.end.name}")
        for e in graph.edges
    }


def test_what_sessions_hold_and_share_is_in_it():
    assert relations(graph_of(SESSIONS)) >= {
        ("namespace /", "contains", "namespace team"),
        ("namespace team", "contains", "session team/exporter"),
        ("namespace team", "contains", "namespace team/sub"),
        ("session team/importer", "has", "service web"),
        ("secret pw", "exported to", "session team/importer"),
        ("secret pw", "exported to", "namespace team/sub"),
        ("secret pw", "imported by", "secret got"),
        ("secret open", "exported to", "other everybody"),
        ("secret got", "used by", "service web"),
        ("volume data", "imported by", "volume mine"),
        ("volume mine", "used by", "service web"),
        ("other elsewhere", "has", "secret x"),
        ("secret x", "imported by", "secret far"),
        ("secret no-longer", "imported by", "secret gone"),
        ("other v.vault.azure.net", "imported by", "secret vaulted"),
    }
    notes = {f"{v.kind} {v.name}": note for v, note in graph_of(SESSIONS).notes.items()}
    assert notes["secret no-longer"] == "missing secret"
    assert notes["secret x"] == "secret of another session"
    assert notes["secret pw"] == "ascii secret"


def test_the_same_sessions_give_the_same_text_and_no_value():
    for form in (to_dot, to_svg):
        text = form(graph_of(SESSIONS))
        assert form(graph_of(SESSIONS[::-1])) == text
        assert "hunter2" not in text
        assert "pw" in text


def test_another_cas_is_another_session():
    source = SessionReference(session="team/exporter", cas_url="other.com:8081", cas_key="k")
    spec = SecretSpec("got", None, imported=Import(source, "pw"), exports=(source,))
    made = graph_of([SESSIONS[0], replace(SESSIONS[1], secrets=(spec,), services=())])
    there = [v for v in made.notes if v.owner == "other.com:8081"]
    assert [v.name for v in there] == ["team/exporter"]
    assert made.notes[there[0]] == "session of other.com:8081"
    assert ("secret got", "exported to", "other team/exporter") in relations(made)


def test_names_of_namespaces_that_lead_nowhere_end():
    spec = SecretSpec("a", "ascii", exports=(SessionReference(namespace="../../../x"),))
    made = graph_of([Session("0.3", "n", secrets=(spec,))])
    assert ET.fromstring(to_svg(made)) is not None


HOSTILE = '"];x[label="\\" \\N\n</text><script>&amp;\x1b\0\ufffe😀'


def test_hostile_names_are_text():
    spec = SecretSpec(
        HOSTILE, "ascii", exports=(SessionReference(session=HOSTILE, cas_url=HOSTILE),)
    )
    made = graph_of([Session("0.3", HOSTILE, secrets=(spec,), services=(Service(HOSTILE),))])
    root = ET.fromstring(to_svg(made))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "defs", "marker", "path", "rect", "text", "g"}
    assert any("</text><script>&amp;" in (element.text or "") for element in root.iter())
    string = r'"(?:[^"\\\n]|\\.)*"'
    line = rf"  n\d+ (?:-> n\d+ )?\[label={string}, \w+=\w+(?:, style=dashed)?\];"
    for one in to_dot(made).splitlines()[3:-1]:
        assert re.fullmatch(line, one), one
    assert "\x1b" not in to_dot(made) + to_svg(made)
    assert "\\\\N" in to_dot(made)


def test_boxes_do_not_overlap_and_long_names_are_cut():
    long = replace(SESSIONS[0], name="n/" + "x" * 120)
    text = to_svg(graph_of([*SESSIONS, long]))
    root = ET.fromstring(text)
    boxes = [
        tuple(int(one.get(key)) for key in ("x", "y", "width", "height"))
        for one in root.iter("{http://www.w3.org/2000/svg}rect")
        if one.get("x")
    ]
    assert len(boxes) > 20
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[index + 1 :]:
            assert (
                x + width <= other_x
                or other_x + other_width <= x
                or y + height <= other_y
                or other_y + other_height <= y
            )
    assert max(len(one.text or "") for one in root.iter("{http://www.w3.org/2000/svg}text")) <= 40
    assert "n/" + "x" * 120 in text


def test_an_empty_graph_is_a_picture():
    assert ET.fromstring(to_svg(Graph({}, ()))).tag == "{http://www.w3.org/2000/svg}svg"
    assert to_dot(graph_of([])).startswith("digraph sessions {")
