"""The availability configuration: paths and addresses."""

from pathlib import Path

import pytest

from scone.cas.config import load_availability, read_availability
from scone.documents import DocumentError
from scone.errors import StateError
from scone.transport.address import Address


def test_the_documentations_example_is_read():
    text = '[database]\npath = "/etc/cas/cas.db"\n[api]\napi_listen = "0.0.0.0:8080"\nenclave_listen = "[::]:18765"\n'
    found = read_availability(text, "cas.toml")
    assert found.database_path == Path("/etc/cas/cas.db")
    assert found.api_listen == Address("0.0.0.0", 8080)
    assert found.enclave_listen == Address("::", 18765)


def test_the_ports_have_sconces_defaults():
    found = read_availability('database.path = "x"\n', "cas.toml")
    assert (found.api_listen.port, found.enclave_listen.port) == (8081, 18765)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "database.path"),
        ('[database]\npath = ""\n', "database.path"),
        ('[database]\npath = "x"\n[api]\napi_listen = "localhost:8081"\n', "IP:PORT"),
        ('[database]\npath = "x"\n[api]\napi_listen = "::1:8081"\n', "IP:PORT"),
        ('[database]\npath = "x"\n[api]\napi_listen = "[127.0.0.1]:8081"\n', "IP:PORT"),
        ('[database]\npath = "x"\n[api]\napi_listen = "127.0.0.1:99999"\n', "IP:PORT"),
        ('[database]\npath = "x"\n[api]\napi_listn = "127.0.0.1:1"\n', "did you mean api_listen"),
        ('[database]\npath = "x"\n[databse]\npath = "x"\n', "did you mean database"),
        ("[database]\npath = 7\n[api]\nx = 1\n", "one of the keys"),
        ('database = "x"\n', "one of the tables"),
        ("[database\n", ""),
    ],
)
def test_what_is_not_an_availability_configuration_is_refused(text, expected):
    with pytest.raises(DocumentError) as caught:
        read_availability(text, "cas.toml")
    assert any(
        expected in problem.message + problem.hint + problem.path
        for problem in caught.value.problems
    )


def test_a_missing_or_binary_file_is_one_clear_error(tmp_path):
    with pytest.raises(StateError, match="cannot read"):
        load_availability(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(StateError, match="UTF-8"):
        load_availability(tmp_path / "binary")
