"""The JSON form of a configuration: one text for one value, everything else refused."""

import base64
import datetime as dt
import json
import os

import pytest

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError
from scone.service_config import InjectedFile, ServiceConfig
from scone.service_config.model import HostArgument, MainFileSystem, ProtectedVolume
from scone.session.model import SecretSpec, Session
from scone.session.secrets import generate

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
VALUES = generate(
    Session(version="0.3", name="s", secrets=(SecretSpec("a", "ascii", value="hunter2"),)),
    previous=None,
    now=NOW,
    random=os.urandom,
)
KEY = SecretBytes(b"k" * 32)
CONFIG = ServiceConfig(
    arguments=(
        SecretBytes(b"prog"),
        SecretBytes(b""),
        HostArgument(1000),
        SecretBytes(b"\xff\xfe"),
        HostArgument(1),
    ),
    environment=((b"A", SecretBytes(b"hunter2")), (b"\xff", SecretBytes(b"")), (b"HOME", None)),
    pwd="/dätä",
    files=(
        InjectedFile("/etc/a", SecretBytes(b"\0"), 0o400),
        InjectedFile("/etc/b", None, 0o777),
    ),
    template_secrets=VALUES,
    volumes=(
        ProtectedVolume("v 1", "/v", KEY, bytes(16), "encrypted", "ephemeral"),
        ProtectedVolume("w", "/w", KEY, None, "authenticated-only", "rollback_protected"),
    ),
    fspf=MainFileSystem("/main.fspf", KEY, None, "no_rollback_protection"),
)


def test_a_configuration_survives_its_json():
    assert ServiceConfig.from_json(CONFIG.to_json()) == CONFIG
    assert ServiceConfig.from_json(CONFIG.to_json()).to_json() == CONFIG.to_json()


def test_the_json_is_as_the_format_page_says():
    config = ServiceConfig(
        (SecretBytes(b"p"),),
        ((b"A", SecretBytes(b"b")),),
        "/",
        (InjectedFile("/f", SecretBytes(b"c"), 0o700),),
    )
    assert config.to_json() == (
        b'{"form":2,"arguments":["cA=="],"environment":[["QQ==","Yg=="]],"pwd":"/",'
        b'"files":[{"path":"/f","content":"Yw==","permission":448}],"template_secrets":null,'
        b'"volumes":[],"fspf":null}'
    )


def test_the_representation_shows_no_value():
    shown = repr(CONFIG)
    assert "hunter2" not in shown
    assert "a: AsciiValue" in shown


def changed(**changes):
    document = json.loads(CONFIG.to_json())
    document.update(changes)
    return json.dumps(document).encode()


def without(key):
    document = json.loads(CONFIG.to_json())
    del document[key]
    return json.dumps(document).encode()


def b64(value):
    return base64.b64encode(value).decode()


FILE = {"path": "/f", "content": "", "permission": 0}
MAIN = {"path": "/m", "key": b64(bytes(32)), "tag": None, "update_policy": "no_rollback_protection"}
VOLUME = MAIN | {"name": "v", "files": "encrypted"}
HOSTILE = {
    "nothing": b"",
    "not UTF-8": b"\xff",
    "a list": b"[]",
    "text behind": CONFIG.to_json() + b"x",
    "cut": CONFIG.to_json()[:-1],
    "a key twice": b'{"form":2,' + CONFIG.to_json()[1:],
    "an unknown key": changed(shell="/bin/sh"),
    "another form": changed(form=1),
    "no form": without("form"),
    "no arguments": without("arguments"),
    "no environment": without("environment"),
    "no pwd": without("pwd"),
    "no files": without("files"),
    "no template secrets": without("template_secrets"),
    "arguments as text": changed(arguments="prog"),
    "an argument that is no base64": changed(arguments=["prog!"]),
    "an argument with bits left over": changed(arguments=["cB=="]),
    "an argument with a line end": changed(arguments=["cA==\n"]),
    "an argument of the host below the first": changed(arguments=[0]),
    "an argument of the host far beyond": changed(arguments=[1001]),
    "an argument of the host twice": changed(arguments=[1, b64(b"a"), 1]),
    "an argument as boolean": changed(arguments=[True]),
    "a name of a variable as null": changed(environment=[[None, None]]),
    "no volumes": without("volumes"),
    "no file system": without("fspf"),
    "volumes as text": changed(volumes="x"),
    "a volume as text": changed(volumes=["x"]),
    "a volume with an unknown key": changed(volumes=[VOLUME | {"owner": 0}]),
    "a volume with a short key": changed(volumes=[VOLUME | {"key": b64(bytes(31))}]),
    "a volume with a long tag": changed(volumes=[VOLUME | {"tag": b64(bytes(17))}]),
    "a volume at a relative path": changed(volumes=[VOLUME | {"path": "v"}]),
    "a volume with an unknown policy": changed(volumes=[VOLUME | {"update_policy": "none"}]),
    "a volume with unknown files": changed(volumes=[VOLUME | {"files": "plain"}]),
    "a file system with the policy of a volume": changed(
        fspf=MAIN | {"update_policy": "ephemeral"}
    ),
    "a file system without a key": changed(fspf=MAIN | {"key": ""}),
    "a NUL in an argument": changed(arguments=[b64(b"a\0b")]),
    "a NUL in a variable": changed(environment=[[b64(b"A"), b64(b"\0")]]),
    "a name with =": changed(environment=[[b64(b"A=B"), ""]]),
    "a name with NUL": changed(environment=[[b64(b"A\0"), ""]]),
    "an empty name": changed(environment=[["", ""]]),
    "a name twice": changed(environment=[[b64(b"A"), ""], [b64(b"A"), b64(b"x")]]),
    "a variable with three parts": changed(environment=[[b64(b"A"), "", ""]]),
    "the environment as object": changed(environment={"A": "b"}),
    "an empty pwd": changed(pwd=""),
    "a pwd with NUL": changed(pwd="/\0"),
    "a long pwd": changed(pwd="/" * 4097),
    "a pwd with half a surrogate pair": changed(pwd="\ud800"),
    "files as text": changed(files="x"),
    "a file as text": changed(files=["/f"]),
    "a file with an unknown key": changed(files=[FILE | {"owner": 0}], template_secrets=None),
    "a relative path": changed(files=[FILE | {"path": "etc/a"}], template_secrets=None),
    "a path with NUL": changed(files=[FILE | {"path": "/\0"}], template_secrets=None),
    "a permission beyond the bits": changed(
        files=[FILE | {"permission": 0o1000}], template_secrets=None
    ),
    "a negative permission": changed(files=[FILE | {"permission": -1}], template_secrets=None),
    "a permission as text": changed(files=[FILE | {"permission": "0400"}], template_secrets=None),
    "template secrets that are missing": changed(template_secrets=None),
    "template secrets that nobody needs": changed(files=[FILE]),
    "template secrets of another form": changed(template_secrets={"form": 2, "values": {}}),
    "deep nesting": b'{"form":' + b"[" * 100_000,
    "too long": b" " * (32 * 1024 * 1024 + 1),
}


def test_there_are_at_least_thirty_hostile_configurations():
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("case", list(HOSTILE))
def test_another_text_is_malformed(case):
    with pytest.raises(MalformedError) as caught:
        ServiceConfig.from_json(HOSTILE[case])
    assert str(caught.value).startswith("service configuration")


def test_the_changes_above_start_from_a_text_that_is_read():
    assert (
        ServiceConfig.from_json(changed(files=[FILE], template_secrets=None)).files[0].path == "/f"
    )
    assert ServiceConfig.from_json(changed()) == CONFIG
    config = ServiceConfig.from_json(changed(volumes=[VOLUME], fspf=MAIN))
    assert (config.volumes[0].name, config.fspf.path) == ("v", "/m")
