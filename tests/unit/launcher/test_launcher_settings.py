"""The launcher's environment and its console lines."""

import pytest

from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, SconeError, UnsupportedError, UsageError
from scone.launcher.console import Console, write_error
from scone.launcher.settings import Settings
from scone.log_level import DEBUG, FATAL, INFO, WARNING, parse_level
from scone.tee.measurement import EnclaveOptions
from scone.transport.address import Address

CAS_KEY = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"


def test_the_defaults_are_scones():
    settings = Settings.from_environment({})
    assert settings == Settings(
        cas=Address("cas", 18765),
        las_address=None,
        config_id=None,
        options=EnclaveOptions(None, 64 << 20, 2 << 20, 8),
        log_level=WARNING,
        print_hash=False,
        print_version=False,
        pwd=None,
    )


def test_every_variable_is_read():
    settings = Settings.from_environment(
        {
            "SCONE_CAS_ADDR": "example.org:99",
            "SCONE_CAS_KEY": CAS_KEY,
            "SCONE_LAS_ADDR": "/run/las.sock",
            "SCONE_CONFIG_ID": "a/b/c@123456",
            "SCONE_MODE": "sim",
            "SCONE_HEAP": "1G",
            "SCONE_STACK": "64K",
            "SCONE_TCS": "4",
            "SCONE_LOG": "debug",
            "SCONE_HASH": "1",
            "SCONE_VERSION": "1",
            "SCONE_PWD": "/tmp",
            "SCONE_SERVICE_ACCESS_TOKEN": "t0ken \udcff",
        }
    )
    assert settings == Settings(
        Address("example.org", 99),
        "/run/las.sock",
        "a/b/c@123456",
        EnclaveOptions(CAS_KEY, 1 << 30, 64 << 10, 4),
        DEBUG,
        True,
        True,
        "/tmp",
        SecretBytes(b"t0ken \xff"),
    )
    assert settings.require_cas_key() == CAS_KEY


def test_neither_a_password_nor_a_token_is_shown():
    settings = Settings.from_environment(
        {"SCONE_CONFIG_ID": "a/b@123456", "SCONE_SERVICE_ACCESS_TOKEN": "t0ken"}
    )
    assert settings.service_id == "a/b@******"
    for shown in (repr(settings), "\n".join(settings.lines())):
        assert "123456" not in shown
        assert "t0ken" not in shown
    assert Settings.from_environment({"SCONE_CONFIG_ID": "a/b"}).service_id == "a/b"
    assert Settings.from_environment({}).service_id is None


def test_an_empty_variable_is_an_absent_one():
    names = ("SCONE_CAS_ADDR", "SCONE_CAS_KEY", "SCONE_LAS_ADDR", "SCONE_CONFIG_ID", "SCONE_MODE",
             "SCONE_HEAP", "SCONE_LOG", "SCONE_HASH", "SCONE_VERSION", "SCONE_PWD")  # fmt: skip
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("SCONE_MODE", "HW", UnsupportedError),
        ("SCONE_MODE", "Hw", UnsupportedError),
        ("SCONE_MODE", "native", UsageError),
        ("SCONE_LOG", "8", UsageError),
        ("SCONE_LOG", "٣", UsageError),
        ("SCONE_LOG", "verbose", UsageError),
        ("SCONE_HASH", "yes", UsageError),
        ("SCONE_VERSION", "2", UsageError),
        ("SCONE_CAS_ADDR", "a:b:c", MalformedError),
        ("SCONE_CAS_ADDR", "cas:0", MalformedError),
        ("SCONE_CAS_KEY", CAS_KEY[:-1] + "2", MalformedError),
        ("SCONE_CONFIG_ID", "a/b\n", UsageError),
        ("SCONE_CONFIG_ID", "a" * 5000, UsageError),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(name, value, kind):
    with pytest.raises(kind) as error:
        Settings.from_environment({name: value})
    assert name in str(error.value)


def test_without_a_cas_key_nothing_is_attested():
    with pytest.raises(UsageError, match="SCONE_CAS_KEY is not set"):
        Settings.from_environment({}).require_cas_key()


@pytest.mark.parametrize(
    ("text", "level"),
    [("FATAL", 2), ("error", 3), ("Warning", 4), ("INFO", 5), ("7", 7), ("4", 4), ("0", FATAL)],
)
def test_levels_are_names_or_digits(text, level):
    assert parse_level(text) == level


def test_lines_are_those_of_the_level_and_say_where(capsys):
    out = Console(WARNING)
    out.log(INFO, "not shown")
    out.log(WARNING, "shown")
    Console(FATAL).always(WARNING, "always")
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    function = "test_lines_are_those_of_the_level_and_say_where()"
    assert first.startswith("[SCONE|WARN] src/scone/")
    assert first.endswith(f":{function}: shown")
    assert second.endswith(f":{function}: always")


def test_the_last_lines_have_causes_hint_and_note(capsys):
    Console(FATAL).fatal("failed", ["outer", "inner\n  detail"], "do this", "asked the CAS")
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  Caused by: outer",
        "  Caused by: inner",
        "    detail",
        "Hint: do this",
        "Note: asked the CAS",
    ]


def test_control_characters_do_not_reach_the_terminal(capsys):
    Console(FATAL).fatal("x", ["\x1b[31mred\x7f\u202e"])
    assert not set("\x1b\x7f\u202e") & set(capsys.readouterr().err)


def test_an_error_of_the_command_line_has_its_chain_and_hint(capsys):
    write_error(SconeError("inner", hint="do this").within("outer"))
    assert capsys.readouterr().err == (
        "scone-run: outer\n  Caused by: inner\nscone-run: hint: do this\n"
    )
