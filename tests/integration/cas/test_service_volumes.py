"""What a service gets of its image: volumes with keys and states, the host's words, provided secrets."""

import json

import harness
import pytest
from harness import create
from starts import configured, start, why, words

from scone.crypto.secret import SecretBytes
from scone.service_config.model import HostArgument

MRENCLAVE = harness.SERVICE_PROGRAM.mrenclave.hex()


def text(name, volumes="[]", mounts="[]", more="", image="", service=""):
    return f"""
name: {name}
version: "0.3.12"
services:
  - name: app
    command: prog
    image_name: image
    attestation: {{mrenclave: {MRENCLAVE}}}
    {service}
volumes: {volumes}
images:
  - name: image
    volumes: {mounts}
    {image}
access_policy: {{read: [CREATOR], update: [CREATOR]}}
{more}
"""


def put(cas, owner, *args, **more):
    status, answer = create(cas, text(*args, **more), owner)
    assert status == 201, answer
    return answer["hash"]


def volumes(cas, platform, config_id="demo/app"):
    return configured(start(cas, platform, config_id)).volumes


def test_a_volume_without_key_gets_one_at_its_first_use_and_keeps_it(cas, owner, platform):
    first = put(cas, owner, "demo", "[{name: data}, {name: logs, files: authenticated-only}]",
                "[{name: data, path: /data}, {name: logs, path: /logs, update_policy: ephemeral}]")  # fmt: skip
    data, logs = volumes(cas, platform)
    assert (data.name, data.path, data.tag, data.files, data.update_policy) == (
        "data", "/data", None, "encrypted", "rollback_protected"
    )  # fmt: skip
    assert (logs.files, logs.update_policy) == ("authenticated-only", "ephemeral")
    assert len(data.key) == 32
    assert data.key != logs.key
    assert volumes(cas, platform) == (data, logs)
    put(cas, owner, "demo", "[{name: data}]", "[{name: data, path: /elsewhere}]",
        more=f"predecessor: {first}")  # fmt: skip
    (moved,) = volumes(cas, platform)
    assert (moved.path, moved.key) == ("/elsewhere", data.key)
    put(cas, owner, "other", "[{name: data}]", "[{name: data, path: /data}]")
    assert volumes(cas, platform, "other/app")[0].key != data.key


def test_many_first_starts_at_once_get_one_key(cas, owner, platform):
    from concurrent.futures import ThreadPoolExecutor

    put(cas, owner, "demo", "[{name: data}]", "[{name: data, path: /data}]")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: volumes(cas, platform), range(12)))
    assert all(one == found[0] for one in found)


def test_a_key_survives_a_restart(tmp_path, platform, owner):
    with harness.running_cas(tmp_path, platform) as running:
        harness.provision(running, owner)
        put(running, owner, "demo", "[{name: data}]", "[{name: data, path: /data}]")
        before = volumes(running, platform)
    with harness.running_cas(tmp_path, platform) as running:
        assert volumes(running, platform) == before


def test_a_volume_of_a_full_namespace_is_not_begun(fresh, owner, platform):
    config = {"sessions": {"max_bytes_per_namespace": 10_000}}
    assert harness.provision(fresh, owner, config)[0] == 200
    put(fresh, owner, "demo", "[{name: data}]", "[{name: data, path: /data}]")
    used = json.loads(fresh.cas.phase.store.get("usage", "demo"))["bytes"]
    for room, status in ((500, 429), (600, 200), (500, 200)):
        config["sessions"]["max_bytes_per_namespace"] = used + room
        assert fresh.call("PUT", "/v1/config", {"config": config}, owner)[0] == 200
        answer = start(fresh, platform, "demo/app")
        assert answer[0] == status, answer
        assert (fresh.cas.phase.store.get("volume", "demo data") is None) == (status == 429)


def test_an_explicit_key_and_tag_are_handed_out_and_a_key_may_be_a_secret(cas, owner, platform):
    tag = "cd" * 16
    put(
        cas,
        owner,
        "demo",
        f"[{{name: a, fspf_key: {'ab' * 32}, fspf_tag: {tag}}},"
        f" {{name: b, fspf_key: $$SCONE::key$$, fspf_tag: {tag}}}]",
        "[{name: a, path: /a}, {name: b, path: /b}]",
        more=f"secrets: [{{name: key, kind: binary, value: {'12' * 32}}}]",
    )
    a, b = volumes(cas, platform)
    assert (a.key, a.tag) == (SecretBytes(bytes([0xAB] * 32)), bytes([0xCD] * 16))
    assert (b.key, b.tag) == (SecretBytes(bytes([0x12] * 32)), bytes([0xCD] * 16))


def exporter(export, volumes="", more=""):
    return {"volumes": f"[{{name: data, files: authenticated-only, export: {export}}}{volumes}]",
            "mounts": "[{name: data, path: /own}]", "more": more}  # fmt: skip


IMPORTER = {
    "volumes": "[{name: mine, import: {session: owner, volume: data}}]",
    "mounts": "[{name: mine, path: /imported}]",
}


def test_an_imported_volume_has_the_key_of_its_session(cas, owner, platform):
    put(cas, owner, "owner", **exporter("[{session: demo}]"))
    put(cas, owner, "demo", **IMPORTER)
    (mine,) = volumes(cas, platform)
    (own,) = volumes(cas, platform, "owner/app")
    assert (mine.name, mine.path, mine.files) == ("mine", "/imported", "authenticated-only")
    assert mine.key == own.key


def test_the_key_of_an_imported_volume_may_be_a_secret_of_the_exporter(cas, owner, platform):
    put(
        cas,
        owner,
        "owner",
        f"[{{name: data, fspf_key: $$SCONE::key$$, fspf_tag: {'cd' * 16},"
        " export: [{session: demo}]}]",
        "[{name: data, path: /own}]",
        more="secrets: [{name: key, kind: binary, size: 32}]",
    )
    put(cas, owner, "demo", **IMPORTER)
    assert volumes(cas, platform)[0].key == volumes(cas, platform, "owner/app")[0].key


@pytest.mark.parametrize(
    ("exported", "wanted", "found"),
    [
        ("rollback_protected", "rollback_protected", "rollback_protected"),
        ("rollback_protected", "ephemeral", "ephemeral"),
        ("ephemeral", "rollback_protected", "ephemeral"),
        ("no_rollback_protection", "no_rollback_protection", "no_rollback_protection"),
        ("rollback_protected", "no_rollback_protection", None),
    ],
)
def test_the_stricter_exporter_wins(cas, owner, platform, exported, wanted, found):
    put(cas, owner, "owner", **exporter(f"[{{to: {{session: demo}}, update_policy: {exported}}}]"))
    mounts = f"[{{name: mine, path: /v, update_policy: {wanted}}}]"
    put(cas, owner, "demo", **(IMPORTER | {"mounts": mounts}))
    answer = start(cas, platform, "demo/app")
    if found is None:
        messages = why(answer, 409)
        assert messages[0] == "volume mine of session demo"
        assert "does not allow no_rollback_protection" in messages[1]
    else:
        assert configured(answer).volumes[0].update_policy == found


def test_an_alias_hides_the_name_and_others_get_nothing(cas, owner, platform):
    put(cas, owner, "owner", **exporter("[{to: {session: demo}, volume_alias: input}]"))
    put(cas, owner, "demo", **IMPORTER)
    assert "does not export it to session demo" in " ".join(
        why(start(cas, platform, "demo/app"), 404)
    )
    by_alias = IMPORTER["volumes"].replace("volume: data", "volume: input")
    put(cas, owner, "stranger", **(IMPORTER | {"volumes": by_alias}))
    why(start(cas, platform, "stranger/app"), 404)
    put(cas, owner, "demo2", **(IMPORTER | {"volumes": by_alias}))
    why(start(cas, platform, "demo2/app"), 404)


def test_by_its_alias_a_volume_is_found(cas, owner, platform):
    put(cas, owner, "owner", **exporter("[{to: {session: demo}, volume_alias: input}]"))
    by_alias = IMPORTER["volumes"].replace("volume: data", "volume: input")
    put(cas, owner, "demo", **(IMPORTER | {"volumes": by_alias}))
    assert volumes(cas, platform)[0].key == volumes(cas, platform, "owner/app")[0].key


def test_the_main_file_system_protection_file_is_handed_out(cas, owner, platform):
    service = f"fspf_path: /main.fspf\n    fspf_key: {'ab' * 32}\n    fspf_tag: {'cd' * 16}"
    put(cas, owner, "demo", service=service)
    found = configured(start(cas, platform, "demo/app")).fspf
    assert (found.path, found.tag) == ("/main.fspf", bytes([0xCD] * 16))


def test_words_of_the_host_are_marked(cas, owner, platform):
    service = "environment:\n      \\@\\@HOME: ignored\n      A: $$SCONE::tricky$$"
    changed = text(
        "demo", service=service, more="secrets: [{name: tricky, kind: ascii, value: '@@1'}]"
    ).replace("command: prog", "command: prog @@2 $$SCONE::tricky$$ '@@1'")
    status, answer = create(cas, changed, owner)
    assert status == 201, answer
    found = start(cas, platform, "demo/app")
    assert words(found) == ["prog", HostArgument(2), "@@1", HostArgument(1)]
    environment = dict(configured(found).environment)
    assert environment == {b"HOME": None, b"A": SecretBytes(b"@@1")}


def test_templates_on_the_disk_get_only_what_is_provided(cas, owner, platform):
    secrets = "secrets: [{name: a, kind: ascii}, {name: b, kind: ascii},"
    secrets += " {name: c, kind: ascii, import: {session: absent}}]"
    image = "injection_files: [/etc/app.conf]"
    put(cas, owner, "demo", more=secrets, image=f"{image}\n    provide_secrets: [a]")
    assert set(configured(start(cas, platform, "demo/app")).template_secrets) == {"a"}
    put(cas, owner, "other", more=secrets, image=image)
    assert "secret c of session other" in " ".join(why(start(cas, platform, "other/app"), 404))
