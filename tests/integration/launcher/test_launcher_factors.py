"""What the launcher takes from the host and what it keeps to itself: words, codes, tokens, volumes."""

import dataclasses
import json
import os

import pytest
from launcher_world import PYTHON, config, python

from scone.attestation.access_token import token_proof
from scone.crypto.secret import SecretBytes
from scone.service_config.model import HostArgument, MainFileSystem, ProtectedVolume

TOKEN = "j765WyMWTKksiqWbBuuc"
SHOW = "import json,os,sys;print(json.dumps([sys.argv[1:],dict(os.environ)]))"
KEY = SecretBytes(bytes(32))


def show(*arguments, environment=None):
    made = python(SHOW)
    extra = config(*arguments, environment=environment)
    return dataclasses.replace(
        made, arguments=made.arguments + extra.arguments, environment=extra.environment
    )


def of_host(configuration, *names):
    """The configuration with variables of the host."""
    added = tuple((name.encode(), None) for name in names)
    return dataclasses.replace(configuration, environment=configuration.environment + added)


def test_the_hosts_words_stand_where_the_session_says_as_they_were_given(world):
    tricky = "a b 'c' $$SCONE::x$$ @@1 $HOME"
    made = show(HostArgument(2), "own", HostArgument(1), environment={"A": "b"})
    world.cas.give(of_host(made, "NAME", "ABSENT"))
    status, out, error = world.run(PYTHON, "first", tricky, "third", NAME=tricky, OTHER="leak")
    assert status == 0, error
    arguments, environment = json.loads(out)
    assert arguments == [tricky, "own", "first"]
    environment.pop("LC_CTYPE", None)  # Python's own, where there is no locale
    assert environment == {"A": "b", "NAME": tricky, "ABSENT": ""}


def test_bytes_that_are_no_text_arrive(world):
    world.cas.give(config("sh", "-c", 'printf %s "$0" | od -An -tx1', HostArgument(1)))
    assert world.run("/bin/sh", os.fsdecode(b"\xff\xfe"))[:2] == (0, " ff fe\n")


def test_a_missing_word_of_the_host_is_fatal_and_nothing_runs(world):
    world.cas.give(show(HostArgument(1), HostArgument(3)))
    status, out, error = world.run(PYTHON, "one", "two")
    assert (status, out) == (134, "")
    assert "Could not initialize enclave state: Configuration failed" in error
    assert "needs argument 3 of the host (@@3), got 2" in error


def test_it_is_told_which_words_are_ignored(world):
    world.cas.give(show(HostArgument(2)))
    error = world.run(PYTHON, "a", "b", "c")[2]
    assert "Ignoring the host's arguments" in error
    assert "(it does not use @@1, @@3)" in error
    assert "Ignoring" not in world.run(PYTHON, "a", "b", SCONE_LOG="ERROR")[2]
    world.cas.give(show(HostArgument(1)))
    assert "Ignoring" not in world.run(PYTHON, "a")[2]


def test_the_log_says_that_the_session_gives_the_program_another_name(world):
    world.cas.give(config("secret-name", "a"))
    error = world.run("/bin/true", SCONE_LOG="INFO")[2]
    assert "begins with another name than /bin/true, which is what runs" in error
    assert "secret-name" not in error
    world.cas.give(config("/usr/bin/true"))
    assert "another name" not in world.run("/bin/true", SCONE_LOG="INFO")[2]


def test_a_one_time_password_goes_to_the_cas_and_into_no_line(world):
    world.cas.refuse(403, "The given One-time Password is invalid. Please try again.")
    status, _, error = world.run(
        "/bin/true",
        SCONE_CONFIG_ID="hello/service@123456",
        SCONE_LOG="TRACE",
        SCONE_VERSION="1",
    )
    assert status == 134
    assert [body["config_id"] for _, _, body in world.cas.requests] == ["hello/service@123456"]
    assert world.cas.bound[0][0] is True  # the evidence is for the id with the code
    assert "  Caused by: CAS sent an attestation/configuration error: The given" in error
    assert "using service ID hello/service@******" in error
    assert "123456" not in error


def test_a_refusal_of_the_password_does_not_blame_the_las(world):
    world.cas.answer = type(world.cas.answer)(
        403, json.dumps({"msg": ["used"], "code": "forbidden"}).encode()
    )
    error = world.run("/bin/true", SCONE_LAS_ADDR=str(world.folder / "none.sock"))[2]
    assert "no evidence was sent" not in error


def start_with_token(world, configuration=None, **more):
    world.cas.give(configuration or show())
    return world.run(PYTHON, SCONE_SERVICE_ACCESS_TOKEN=TOKEN, **more)


def test_both_sides_prove_the_token_and_the_service_never_sees_it(world):
    world.cas.token = TOKEN.encode()
    status, out, error = start_with_token(world, SCONE_LOG="TRACE")
    assert status == 0, error
    assert world.cas.proofs == [True]
    assert TOKEN not in out + error
    [(_, first, asked), (_, second, body)] = world.cas.requests
    assert (first, asked) == ("/v1/service_token", {"config_id": "hello/service"})
    assert second == "/v1/service"
    assert TOKEN not in json.dumps(body)


def test_before_the_cas_has_proved_the_token_only_the_name_of_the_service_is_sent(world):
    world.cas.token = b"another"
    status, out, error = start_with_token(world, SCONE_CONFIG_ID="hello/service@123456")
    assert (status, out) == (134, "")
    assert "the CAS does not know the service access token" in error
    assert world.cas.requests == [("POST", "/v1/service_token", {"config_id": "hello/service"})]
    assert TOKEN not in error


@pytest.mark.parametrize(
    "prove",
    [
        lambda token, exporter: token_proof(token, "service", exporter),
        lambda token, _: token_proof(token, "cas", bytes(32)),
        lambda *_: bytes(32),
        lambda *_: b"",
    ],
)
def test_a_proof_of_another_role_or_channel_is_none(world, prove):
    world.cas.token = TOKEN.encode()
    world.cas.prove = prove
    assert start_with_token(world)[0] == 134
    assert len(world.cas.requests) == 1


def test_a_session_without_token_is_refused_by_a_launcher_that_has_one(world):
    status, out, error = start_with_token(world)
    assert (status, out) == (134, "")
    assert "session hello has no service access token" in error
    assert len(world.cas.requests) == 1


def test_a_launcher_with_a_token_sends_nothing_to_another_cas(world):
    world.cas.token = TOKEN.encode()
    key = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
    assert start_with_token(world, SCONE_CAS_KEY=key)[0] == 134
    assert world.cas.requests == []


def test_no_program_gets_the_token_as_a_variable_of_the_host(world):
    world.cas.token = TOKEN.encode()
    status, out, error = start_with_token(world, of_host(show(), "SCONE_SERVICE_ACCESS_TOKEN"))
    assert (status, out) == (134, "")
    assert "no program gets the host's variable SCONE_SERVICE_ACCESS_TOKEN" in error


def test_no_unattested_program_gets_the_token(world):
    status, out, _ = world.run(
        "/usr/bin/env", SCONE_CONFIG_ID=None, SCONE_SERVICE_ACCESS_TOKEN=TOKEN, OTHER="x"
    )
    assert status == 0
    assert "OTHER=x" in out
    assert "SCONE_SERVICE_ACCESS_TOKEN" not in out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {
                "volumes": (
                    ProtectedVolume("data", "/v", KEY, None, "encrypted", "rollback_protected"),
                )
            },
            "volume data at /v",
        ),
        (
            {"fspf": MainFileSystem("/main.fspf", KEY, None, "no_rollback_protection")},
            "file system protection file /main.fspf",
        ),
    ],
)
def test_a_service_whose_files_cannot_be_protected_is_not_started(world, changes, named):
    marker = world.folder / "ran"
    made = python(f"open({str(marker)!r},'w')", files=[(world.folder / "f", "x", 0o600)])
    world.cas.give(dataclasses.replace(made, **changes))
    status, out, error = world.run(PYTHON)
    assert (status, out) == (134, "")
    assert f"this launcher cannot protect files yet, and the session asks for it: {named}" in error
    assert not marker.exists()
    assert not (world.folder / "f").exists()


def test_a_template_may_name_the_software_identity(world, private_mounts):
    template = world.folder / "identity"
    template.write_text("<$$SCONE::self::software_identity$$>")
    from scone.session.secrets.values import SecretValues

    made = python(
        f"print(open({str(template)!r}).read())",
        files=[(template, None, 0o600)],
        template_secrets=SecretValues({}),
    )
    world.cas.give(made)
    status, out, error = world.run(PYTHON)
    assert status == 0, error
    assert out.strip() == f"<{world.run(PYTHON, SCONE_HASH='1')[1].strip()}>"
