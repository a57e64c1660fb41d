"""Volumes, images and file system protection files (pages "Volumes", "Images", "FSPF")."""

import pytest

from fakes.session_texts import TAG, M, codes, header, service, session, verdict
from scone.session.model import Import, InjectionFile, VolumeExport
from scone.session.model import SessionReference as Ref

ACCEPTED = ""


def with_volume(more, version="0.3"):
    return f"{header(version)}volumes: [{{name: v{', ' if more else ''}{more}}}]\n"


def with_image(more, before="", version="0.3"):
    return f"{header(version)}{before}images: [{{name: i, {more}}}]\n"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("", ACCEPTED),
        (f"fspf_key: {M.upper()}, fspf_tag: {TAG.upper()}", ACCEPTED),
        ("files: encrypted", ACCEPTED),
        ("files: authenticated-only", ACCEPTED),
        ("files: plain", "volumes[0].files: expected one of encrypted, authenticated-only"),
        (f"fspf_key: {M}", "volumes[0].fspf_key: expected fspf_tag beside it"),
        (f"fspf_tag: {TAG}", "volumes[0].fspf_tag: expected fspf_key beside it"),
        (f"fspf_key: {TAG}, fspf_tag: {TAG}", "fspf_key: expected a key of 64 hex digits"),
        (f"fspf_key: {M}, fspf_tag: {M}", "fspf_tag: expected a tag of 32 hex digits"),
        (f"fspf_key: $$SCONE::k$$, fspf_tag: {TAG}", "expected a secret named k in this session"),
        ("import: {session: o}", ACCEPTED),
        ("import: {session: o, volume: w}", ACCEPTED),
        ("import: {session: ../o, volume: w}", ACCEPTED),
        ("import: {session: ''}", "import.session: expected a name"),
        ("import: {session: o, volume: ''}", "import.volume: expected the name of a volume"),
        ("import: {session: o, secret: w}", "import.secret: unknown key"),
        ("import: {cas_url: h, session: o}", "import.cas_url: unknown key"),
        (
            f"import: {{session: o}}, fspf_key: {M}",
            "volumes[0].fspf_key: expected no fspf_key beside",
        ),
        (
            f"import: {{session: o}}, fspf_tag: {TAG}",
            "volumes[0].fspf_tag: expected no fspf_tag beside",
        ),
        ("import: {session: o}, files: encrypted", "volumes[0].files: expected no files beside"),
        ("import: {session: o}, export: {session: p}", "volumes[0].export: expected no export"),
        ("export: {session: o}", ACCEPTED),
        (f"export: [{{session: o}}, {{session: p, session_hash: {M}}}]", ACCEPTED),
        (f"export: {{to: {{session: o, session_hash: {M}}}, update_policy: ephemeral}}", ACCEPTED),
        ("export: {to: {session: ./o}}", ACCEPTED),
        ("export: [{to: {session: o}, volume_alias: a}]", ACCEPTED),
        ("export: {session: o, update_policy: ephemeral}", "expected the session under to"),
        ("export: {session: o, volume_alias: a}", "expected the session under to"),
        ("export: {to: {session: o}, session: p}", "export.to: expected session under to alone"),
        ("export: {to: {session: o}, volume_alias: ''}", "volume_alias: expected a name"),
        (
            "export: {to: {session: o}, update_policy: sometimes}",
            "export.update_policy: expected one",
        ),
        ("export: {to: {namespace: n}}", "export.to.namespace: unknown key"),
        ("export: {namespace: n}", "volumes[0].export.namespace: unknown key"),
        ("export: {cas_url: h, session: o}", "volumes[0].export.cas_url: unknown key"),
        ("export: 'h/session=o'", "expected no address: volumes are shared within one CAS"),
        ("export: '/session=o,update_policy=ephemeral'", "export: expected a SCONE URL"),
        ("kind: binary", "volumes[0].kind: unknown key"),
    ],
)
def test_a_volume_says_where_its_files_come_from_and_who_may_have_it(more, problem):
    said = verdict(with_volume(more))
    assert problem in said
    assert problem or not said


def test_an_import_says_which_volume_and_an_export_how():
    imported = session(with_volume("import: {session: o, volume: w}")).volumes[0]
    assert imported.imported == Import(Ref("o"), "w")
    assert session(with_volume("import: {session: o}")).volumes[0].imported == Import(Ref("o"), "v")
    exported = session(
        with_volume("export: [{to: {session: o}, update_policy: ephemeral, volume_alias: a}, /session=p]")
    ).volumes[0]  # fmt: skip
    assert exported.exports == (VolumeExport(Ref("o"), "ephemeral", "a"), VolumeExport(Ref("p")))


@pytest.mark.parametrize(
    ("written", "reference", "volume"),
    [
        ("export: b", Ref("b"), None),
        (f"export: [b, 'c:{M}']", Ref("b"), None),
        ("import: b", Ref("b"), "v"),
        (f"import: 'b:{M}'", Ref("b", session_hash=M), "v"),
    ],
)
def test_language_0_2_shares_volumes_by_name(written, reference, volume):
    found = session(with_volume(written, "0.2")).volumes[0]
    if volume:
        assert found.imported == Import(reference, volume)
    else:
        assert found.exports[0].to == reference
        assert all(export.update_policy == "rollback_protected" for export in found.exports)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("kind: binary, size: 32", ACCEPTED),
        (f"kind: binary, value: {M}", ACCEPTED),
        ("kind: binary, import: {session: o}", ACCEPTED),
        ("import: {session: o}", ACCEPTED),
        ("kind: binary", "expected a binary secret of 32 bytes"),
        ("kind: binary, size: 16", "expected a binary secret of 32 bytes"),
        ("kind: binary, value: DEADBEEF", "expected a binary secret of 32 bytes"),
        ("kind: ascii, size: 32", "expected $$SCONE::NAME$$ of a binary secret of 32 bytes"),
        ("kind: ascii, import: {session: o}", "expected $$SCONE::NAME$$ of a binary secret"),
        ("kind: config-fragment, value: x", "expected a secret that is text"),
    ],
)
def test_a_key_may_be_a_binary_secret_of_32_bytes(secret, problem):
    key = f"fspf_key: $$SCONE::k$$, fspf_tag: {TAG}"
    secrets = f"secrets: [{{name: k, {secret}}}]\n"
    of_service = verdict(service(f"fspf_path: /f.fspf, {key}") + secrets)
    of_volume = verdict(with_volume(key) + secrets)
    for said in (of_service, of_volume):
        assert problem in said
        assert problem or not said


@pytest.mark.parametrize("key", ["$$SCONE::k:hex$$", "x$$SCONE::k$$", "$$SCONE::k$$$$SCONE::k$$"])
def test_a_key_is_a_placeholder_alone_and_without_format(key):
    secrets = "secrets: [{name: k, kind: binary, size: 32}]\n"
    said = verdict(with_volume(f"fspf_key: {key}, fspf_tag: {TAG}") + secrets)
    assert said.startswith("volumes[0].fspf_key: expected $$SCONE::NAME$$ of a binary secret")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (f"fspf_path: /f, fspf_key: {M}, fspf_tag: {TAG}", ACCEPTED),
        (f"fspf_path: /f, fspf_key: {M}, fspf_update_policy: no_rollback_protection", ACCEPTED),
        (
            f"fspf_path: /f, fspf_key: {M}, fspf_tag: {TAG}, fspf_update_policy: no_rollback_protection",
            ACCEPTED,
        ),
        (
            f"fspf_path: /f, fspf_key: {M}, fspf_tag: {TAG}, fspf_update_policy: rollback_protected_reinitializable",
            ACCEPTED,
        ),
        (f"fspf_path: /f, fspf_key: {M}", "services[0].fspf_path: expected fspf_tag beside it"),
        (f"fspf_key: {M}, fspf_tag: {TAG}", "services[0].fspf_key: expected fspf_path beside it"),
        ("fspf_path: /f", "services[0].fspf_path: expected fspf_key beside it"),
        (
            "fspf_update_policy: no_rollback_protection",
            "fspf_update_policy: expected fspf_path beside it",
        ),
        (
            f"fspf_path: /f, fspf_key: {M}, fspf_tag: {TAG}, fspf_update_policy: rollback_protected",
            "fspf_update_policy: expected one of rollback_protected_reinitializable",
        ),
        (f"fspf_path: f, fspf_key: {M}, fspf_tag: {TAG}", "fspf_path: expected an absolute path"),
    ],
)
def test_the_main_file_system_has_path_key_and_tag(more, problem):
    said = verdict(service(more))
    assert problem in said
    assert problem or not said


VOLUMES = "volumes: [{name: v}, {name: w}]\n"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("volumes: [{name: v, path: /a}, {name: w, path: /b/c}]", ACCEPTED),
        ("volumes: [{name: v, path: /}]", ACCEPTED),
        ("volumes: [{name: v, path: /a/}]", ACCEPTED),
        *(
            (f"volumes: [{{name: v, path: /a, update_policy: {policy}}}]", ACCEPTED)
            for policy in ("rollback_protected", "ephemeral", "no_rollback_protection")
        ),
        (
            "volumes: [{name: v, path: /a, update_policy: rollback}]",
            "update_policy: expected one of",
        ),
        ("volumes: [{name: x, path: /a}]", "expected the name of a volume of this session"),
        ("volumes: [{name: v}]", "volumes[0].path: required"),
        ("volumes: [{path: /a}]", "volumes[0].name: required"),
        ("volumes: [v]", "images[0].volumes[0]: expected a mapping"),
        ("volumes: [{name: v, path: a}]", "expected an absolute path in its shortest form"),
        ("volumes: [{name: v, path: /a/../b}]", "expected an absolute path in its shortest form"),
        (
            "volumes: [{name: v, path: $$SCONE::k$$}]",
            "path: expected a path without placeholder",
        ),
        (
            "volumes: [{name: v, path: /a}, {name: w, path: /a/}]",
            "expected each path once, images[0].volumes[0]",
        ),
        ("volumes: [{name: v, path: /a, files: encrypted}]", "files: unknown key"),
    ],
)
def test_an_image_mounts_volumes_of_the_session(more, problem):
    said = verdict(with_image(more, VOLUMES))
    assert problem in said
    assert problem or not said


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("/a", InjectionFile("/a")),
        ("{path: /a}", InjectionFile("/a")),
        ("{path: /a, content: ~}", InjectionFile("/a")),
        ("{path: /a, content: ''}", InjectionFile("/a", "")),
        ("{path: /a, content: x, permission: 0o100}", InjectionFile("/a", "x", 0o100)),
        ("{path: /a, content: x, permission: 0444}", InjectionFile("/a", "x", 0o444)),
        ("{path: /a, content: x, permission: '0o777'}", InjectionFile("/a", "x", 0o777)),
        ("{path: /a, content: x, permission: 0o0}", InjectionFile("/a", "x", 0)),
    ],
)
def test_an_injection_file_is_a_path_or_a_mapping(written, file):
    assert session(with_image(f"injection_files: [{written}]")).images[0].injection_files == (file,)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{content: x}", "injection_files[0].path: required"),
        ("{path: a}", "injection_files[0].path: expected an absolute path"),
        ("/a/", "injection_files[0]: expected an absolute path in its shortest form"),
        ("{path: /a, permission: 400}", "permission: expected an octal number up to 0o777"),
        ("{path: /a, permission: 0o1777}", "permission: expected an octal number up to 0o777"),
        ("{path: /a, permission: rw}", "permission: expected an octal number up to 0o777"),
        ("{path: /a, permissions: 0o400}", "permissions: unknown key"),
        ("{path: /a, content: [x]}", "content: expected text, got a list"),
        ("{path: /a, content: $$SCONE::k$$}", "expected a secret named k in this session"),
        ("{path: /a, content: $$SCONE::k}", "is the closing $$ missing?"),
        ("/a, /a", "expected each path once, images[0].injection_files[0] has it too"),
        ("/a/b, /a", "injection_files[0]: expected a directory, images[0].injection_files[1]"),
        ("~", "injection_files[0]: expected a mapping, got null"),
    ],
)
def test_an_injection_file_is_nothing_else(written, problem):
    assert problem in verdict(with_image(f"injection_files: [{written}]"))


@pytest.mark.parametrize(
    ("written", "provided"),
    [("", None), ("provide_secrets: ~", None), ("provide_secrets: []", ()),
     ("provide_secrets: k", ("k",)), ("provide_secrets: [k, l, k]", ("k", "l"))],
)  # fmt: skip
def test_secrets_for_templates_of_the_host_are_all_or_those_listed(written, provided):
    secrets = "secrets: [{name: k, kind: ascii}, {name: l, import: {session: o}}]\n"
    text = f"{header()}{secrets}images: [{{name: i, {written}}}]\n"
    assert session(text).images[0].provide_secrets == provided


@pytest.mark.parametrize("name", ["x", "''", "$$SCONE::k$$"])
def test_a_secret_that_is_provided_is_one_of_the_session(name):
    secrets = "secrets: [{name: k, kind: ascii}]\n"
    said = verdict(with_image(f"provide_secrets: [k, {name}]", secrets))
    assert said.startswith("images[0].provide_secrets[1]: expected a secret named ")


def test_names_are_unique_and_an_image_that_a_service_names_is_there():
    said = verdict(
        service("image_name: j")
        + "volumes: [{name: v}, {name: v}]\nimages: [{name: i}, {name: i}]\n"
    )
    assert "volumes[1].name: expected each name once, volumes[0] has it too" in said
    assert "images[1].name: expected each name once, images[0] has it too" in said
    assert "services[0].image_name: expected the name of an image of this session" in said


def test_a_dangerous_policy_is_a_warning():
    text = header() + VOLUMES + "images: [{name: i, volumes: [{name: v, path: /a, update_policy: no_rollback_protection}]}]\n"  # fmt: skip
    assert ("no-rollback-protection", "images[0].volumes[0].update_policy") in codes(text)


@pytest.mark.parametrize(
    "names", ["registry.example.com/a/b:c", "a b", "ä", "x" * 512], ids=["image", "blank", "raw", "long"]
)  # fmt: skip
def test_names_of_volumes_and_images_are_arbitrary(names):
    text = (
        f"{header()}volumes: [{{name: '{names}'}}]\n"
        f"images: [{{name: '{names}', volumes: [{{name: '{names}', path: /a}}]}}]\n"
    )
    assert verdict(text) == ""


@pytest.mark.parametrize("name", ["''", "x" * 513, r'"a\tb"', "$$SCONE::a$$"])
def test_names_of_volumes_and_images_are_printable(name):
    said = verdict(f"{header()}volumes: [{{name: {name}}}]\nimages: [{{name: {name}}}]\n")
    assert "volumes[0].name: expected 1 to 512 printable characters" in said
    assert "images[0].name: expected 1 to 512 printable characters" in said
