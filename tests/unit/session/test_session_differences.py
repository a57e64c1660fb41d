"""Differences between a file and the active session: what, expected, found; no secrets."""

import pytest

from scone.session import differences, read_session

M, N = "a5" * 32, "b6" * 32
TEXT = f"""version: "0.3"
name: s
secrets:
- {{name: p, kind: ascii, value: hunter2}}
- {{name: q, kind: ascii}}
images:
- name: i
  injection_files:
  - {{path: /a, content: hunter2}}
services:
- name: web
  image_name: i
  command: ./web
  mrenclaves: [{M}]
  environment: {{A: hunter2, B: x}}
access_policy: {{read: ANY}}
"""


def session(*changes):
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return read_session(text).session


def test_equal_sessions_do_not_differ():
    assert differences(session(), session()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("./web", "./wob"), ['services[web].command: expected "./web", found "./wob"']),
        ((M, N), [f'services[web].mrenclaves: expected ["{M}"], found ["{N}"]']),
        (("value: hunter2", "value: hunter3"), ["secrets[p].value: differs (not shown)"]),
        (
            (", value: hunter2", ""),
            ["secrets[p].value: expected a value (not shown), found nothing"],
        ),
        (
            ("content: hunter2", "content: hunter3"),
            ["images[i].injection_files[/a].content: differs (not shown)"],
        ),
        (("A: hunter2", "A: hunter3"), ["services[web].environment.A: differs (not shown)"]),
        (
            ("A: hunter2, ", ""),
            ["services[web].environment.A: expected a value (not shown), found nothing"],
        ),
        (
            ("  environment: {A: hunter2, B: x}\n", ""),
            ["services[web].environment: expected a value (not shown), found nothing"],
        ),
        (("- {name: q, kind: ascii}\n", ""), ["secrets[q]: expected one, found nothing"]),
        (
            ("name: web", "name: app"),
            [
                "services[web]: expected one, found nothing",
                "services[app]: expected nothing, found one",
            ],
        ),
        (
            ("access_policy", "security: {attestation: {tolerate: [debug-mode]}}\naccess_policy"),
            ['security: expected nothing, found {"attestation": {"tolerate": ["debug-mode"]}}'],
        ),
        (("read: ANY", "read: NONE"), ['access_policy.read: expected ["ANY"], found ["NONE"]']),
        (("name: s", "name: t"), ['name: expected "s", found "t"']),
        (
            (
                "- {name: p, kind: ascii, value: hunter2}\n- {name: q, kind: ascii}\n",
                "- {name: q, kind: ascii}\n- {name: p, kind: ascii, value: hunter2}\n",
            ),
            ["secrets: expected the order p, q, found q, p"],
        ),
    ],
)
def test_a_difference_says_path_expected_and_found(change, expected):
    found = differences(session(), session(change))
    assert found == expected
    assert "hunter" not in "".join(found)
    assert "hunter" not in "".join(differences(session(change), session()))


def test_an_absent_predecessor_or_creator_matches_any(certificates):
    active = session().with_predecessor(N).with_creator(certificates[0])
    assert differences(session(), active) == []
    assert differences(session().with_predecessor(N), active) == []
    assert differences(session().with_predecessor(M), active) == [
        f'predecessor: expected "{M}", found "{N}"'
    ]
    assert differences(session().with_creator(certificates[1]), active) == [
        "creator: expected another certificate than the one found"
    ]
    assert differences(session().with_predecessor(N), session()) == [
        f'predecessor: expected "{N}", found nothing'
    ]
