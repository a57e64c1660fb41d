"""Addresses: every accepted form, and what is refused."""

import pytest

from scone.errors import MalformedError
from scone.transport.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", 8081),
        ("cas.example", "cas.example", 8081),
        ("cas.example:443", "cas.example", 443),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("[::1]", "::1", 8081),
        ("[::1]:65535", "::1", 65535),
        ("https://cas.example/", "cas.example", 8081),
        ("https://cas.example:444", "cas.example", 444),
        ("HTTPS://[2001:db8::1]:444/", "2001:db8::1", 444),
        ("my_cas-1", "my_cas-1", 8081),
    ],
)
def test_an_address_is_read_in_each_documented_form(text, host, port):
    assert parse_address(text, default_port=8081) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8081",
        "host:",
        "host:0",
        "host:65536",
        "host:+1",
        "host:١",
        "host: 1",
        "::1",
        "::1:8081",
        "[::1",
        "[::1]8081",
        "[10.0.0.1]:1",
        "[fe80::1%eth0]:1",
        "http://host/",
        "https://",
        "https://host/v1",
        "https://user@host/",
        "user:password@host",
        "host/",
        "hést",
        "-host",
        "host.",
        "a b",
        "host\n",
        "host\0",
        "a" * 254,
    ],
)
def test_another_form_is_refused_with_the_accepted_ones(text):
    with pytest.raises(MalformedError) as caught:
        parse_address(text, default_port=8081, place="--cas")
    assert str(caught.value).startswith("--cas: expected ")


def test_an_unbracketed_ipv6_address_gets_a_hint():
    with pytest.raises(MalformedError) as caught:
        parse_address("fe80::1", default_port=1)
    assert caught.value.hint == "write an IPv6 address in brackets: [::1]:8081"


@pytest.mark.parametrize(
    ("address", "text", "url", "is_ip"),
    [
        (Address("cas", 1), "cas:1", "https://cas:1/", False),
        (Address("::1", 2), "[::1]:2", "https://[::1]:2/", True),
        (Address("127.0.0.1", 3), "127.0.0.1:3", "https://127.0.0.1:3/", True),
    ],
)
def test_an_address_prints_as_it_is_read(address, text, url, is_ip):
    assert (str(address), address.url, address.is_ip) == (text, url, is_ip)
    assert parse_address(text, default_port=9) == address
    assert parse_address(url, default_port=9) == address
