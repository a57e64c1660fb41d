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
        (("./web", "./wob"), ["services[web].command: differs (not shown)"]),
        ((M, N), [f'services[web].mrenclaves[0]: expected "{M}", found "{N}"']),
        ((M, f"{M}, {N}"), [f'services[web].mrenclaves[1]: expected nothing, found "{N}"']),
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
            [
                "services[web].environment.A: expected a value (not shown), found nothing",
                "services[web].environment.B: expected a value (not shown), found nothing",
            ],
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
            ['security.attestation.tolerate: expected nothing, found ["debug-mode"]'],
        ),
        (("read: ANY", "read: NONE"), ['access_policy.read[0]: expected "ANY", found "NONE"']),
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


def variants(*measurements):
    listed = ", ".join(measurements)
    text = f"services: [{{name: app, attestation: [{{mrenclave: [{listed}]}}]}}]\n"
    return read_session(f'version: "0.3"\nname: s\n{text}').session


def test_lists_without_names_are_compared_by_index():
    assert differences(variants(M, M), variants(M, N)) == [
        f'services[app].attestation[0].mrenclave[1]: expected "{M}", found "{N}"'
    ]


def test_of_long_values_the_part_that_differs_is_shown():
    def placed(last):
        return read_session(f'version: "0.3"\nname: s\nimages: [{{name: i, volumes: [{{name: v, path: /{"a" * 200}{last}{"z" * 200}}}]}}]\nvolumes: [{{name: v}}]\n').session  # fmt: skip

    (line,) = differences(placed("x"), placed("y"))
    one, other = line.partition(": expected ")[2].split(", found ")
    assert one == f"...{'a' * 20}x{'z' * 59}..."
    assert other == one.replace("x", "y")


def test_no_secrets_is_another_thing_than_all():
    base = 'version: "0.3"\nname: s\nimages: [{name: i%s}]\n'
    one, other = (read_session(base % t).session for t in (", provide_secrets: []", ""))
    assert differences(one, other) == ["images[i].provide_secrets: expected [], found nothing"]


FACTORS = f"""version: "0.3"
name: s
secrets:
- {{name: k, kind: private-key, key_type: P-384}}
- {{name: t, kind: jwt, signer: k, alg: ES384, validity: {{for: 1h}}, payload: {{a: hunter2}}}}
- {{name: z.value, kind: aad-token, tenant_id: t, client_id: c, application_secret: hunter2}}
volumes:
- {{name: v, fspf_key: {"2a" * 32}, fspf_tag: {"00" * 16}}}
services:
- name: a
  attestation: {{mrenclave: {M}}}
  fspf_path: /f
  fspf_key: {"2b" * 32}
  fspf_tag: {"00" * 16}
  one_time_password_shared_secret: HUNTER22HUNTER22HUNTER22HUNTER22
security:
  service_access_token: hunter2hunter2hunter2
  attestation: {{one_time_password_shared_secret: HUNTER23HUNTER23HUNTER23HUNTER23}}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{a: hunter2}", "{a: hunter3}"),
        ("application_secret: hunter2", "application_secret: hunter3"),
        ("2a" * 32, "2c" * 32),
        ("2b" * 32, "2c" * 32),
        ("HUNTER22" * 4, "HUNTER24" * 4),
        ("hunter2hunter2hunter2", "hunter3hunter3hunter3"),
        ("HUNTER23" * 4, "HUNTER24" * 4),
    ],
)
def test_no_secret_of_any_section_is_shown(old, new):
    assert old in FACTORS
    one, other = (read_session(text).session for text in (FACTORS, FACTORS.replace(old, new)))
    (line,) = differences(one, other)
    assert line.endswith("differs (not shown)")
    gone = differences(one, read_session('version: "0.3"\nname: s\n').session)
    assert not any(word in str(gone).lower() for word in ("hunter", "2a2a", "2b2b"))


def test_the_namespace_hash_of_a_file_counts_until_the_session_is_updated():
    text = f'version: "0.3"\nname: a/b\nnamespace_hash: {M}\n'
    file = read_session(text).session
    updated = file.with_predecessor(N)
    assert updated.namespace_hash is None
    assert differences(file, updated) == []
    assert differences(file, read_session(text.replace(M, N)).session)
    assert (
        read_session(f"{text}salt: {'0' * 32}\n").session.with_predecessor(None).namespace_hash == M
    )
