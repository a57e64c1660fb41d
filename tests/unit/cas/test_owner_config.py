"""The owner configuration: what is accepted, and every refusal with its place."""

import json

import pytest

from scone.documents import DocumentError
from scone.owner_config import OwnerConfig, read_owner_config

PAGE_EXAMPLE = """
[api_identity]
common_name = "cas"
alt_names = ["cas", "localhost"]
country_name = "DE"
org_name = "scontain GmbH"
state_or_province = "Saxony"
locality = "Dresden"
email = "info@example.com"

[ias]
spid = "32C2D32CD4F1C873625BBE65D973A702"
linkable_quotes = true
sp_key = "1c8b569cffd94a85ad11342bfad5a3ad"
base_uri = "https://example.com/sgx/dev/attestation/v3"

[dcap]
subscription_key = "00000000000000000000000000000000"
"""


def test_the_documentations_example_is_accepted_with_a_warning_for_what_is_dead():
    config = read_owner_config(PAGE_EXAMPLE, "owner.toml", "toml")
    assert config.api_identity.locality == "Dresden"
    assert config.dcap_subscription_key is not None
    assert {warning.path for warning in config.warnings} == {"ias", "dcap"}


def test_both_spellings_of_the_api_identity_mean_the_same():
    one = read_owner_config('[api_identity]\ncommon_name = "x"\n', "o", "toml")
    other = read_owner_config('[api.identity]\ncommon_name = "x"\n', "o", "toml")
    assert one == other


def test_toml_json_and_yaml_give_the_same_configuration():
    toml = read_owner_config('[sessions]\nroot_create = "any"\n', "o", "toml")
    as_json = read_owner_config('{"sessions": {"root_create": "any"}}', "o", "json")
    yaml = read_owner_config("sessions:\n  root_create: any\n", "o", "yaml")
    assert toml == as_json == yaml
    assert toml.root_create == "any"


def test_the_wildcard_of_advisories_is_allowed_unless_the_owner_says_otherwise():
    assert read_owner_config("", "o", "toml").allow_advisory_wildcard
    text = "[sessions]\nallow_advisory_wildcard = false\n"
    config = read_owner_config(text, "o", "toml")
    assert not config.allow_advisory_wildcard
    again = read_owner_config(config.to_json().decode(), "o", "json")
    assert not again.allow_advisory_wildcard


def test_what_is_uploaded_reads_back_as_the_same_configuration():
    config = read_owner_config(
        PAGE_EXAMPLE + "\n[limits]\nmax_requests_per_second_per_address = 7\n", "o", "toml"
    )
    again = read_owner_config(config.to_json().decode(), "o", "json")
    assert again.api_identity == config.api_identity
    assert again.max_requests_per_second_per_address == 7
    assert again.dcap_subscription_key == config.dcap_subscription_key


def test_the_addresses_of_other_cases_are_kept_and_default_to_none():
    addresses = [
        "cas.example.com",
        "CAS:9000",
        "*.example.org",
        "*",
        "*:1",
        "[::1]:8081",
        "10.0.0.1",
    ]
    text = json.dumps({"sharing": {"allowed_addresses": addresses}})
    config = read_owner_config(text, "o", "json")
    assert config.sharing_allowed_addresses == tuple(map(str.lower, addresses))
    again = read_owner_config(config.to_json().decode(), "o", "json")
    assert again == config
    assert OwnerConfig().sharing_allowed_addresses == ()


def test_azure_is_microsofts_unless_the_owner_says_otherwise():
    default = OwnerConfig().azure
    assert default.authority == "login.microsoftonline.com"
    assert "*.vault.azure.net" in default.vaults
    text = (
        '[azure]\nauthority = "Login.example:8443"\naudience = "vault.example"\n'
        'vaults = ["*.Vault.example", "one.example:8443"]\nattestation = []\n'
    )
    config = read_owner_config(text, "o", "toml")
    assert config.azure.authority == "login.example:8443"
    assert config.azure.vaults == ("*.vault.example", "one.example:8443")
    assert config.azure.attestation == ()
    again = read_owner_config(config.to_json().decode(), "o", "json")
    assert again == config
    assert read_owner_config("{}", "o", "json").azure == default


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('authority = "https://login.example"', "azure.authority"),
        ('audience = ""', "azure.audience"),
        ('vaults = "*.vault.example"', "azure.vaults"),
        ('vaults = ["x.example:70000"]', "azure.vaults"),
        ('attestation = ["a/b"]', "azure.attestation"),
        ('ca_certificates = "no PEM"', "azure.ca_certificates"),
        ('ca_certificates = ""', "azure.ca_certificates"),
        ('tenant = "x"', "azure.tenant"),
    ],
)
def test_a_wrong_azure_section_is_refused_at_its_place(text, path):
    with pytest.raises(DocumentError) as caught:
        read_owner_config(f"[azure]\n{text}\n", "o", "toml")
    assert [problem.path for problem in caught.value.problems] == [path]


def test_an_empty_configuration_is_the_default():
    assert read_owner_config("", "o", "toml") == OwnerConfig()


def test_no_secret_is_in_the_representation():
    config = read_owner_config(PAGE_EXAMPLE, "owner.toml", "toml")
    assert "00000000000000000000000000000000" not in repr(config)


REFUSED = {
    "common_name-missing": ('[api_identity]\nalt_names = ["x"]\n', "common_name"),
    "unknown-table": ("[api_identiy]\n", "did you mean api_identity"),
    "unknown-key": ('[api_identity]\ncommon_name="x"\ncountry = "DE"\n', "country_name"),
    "both-identities": (
        '[api_identity]\ncommon_name="x"\n[api.identity]\ncommon_name="x"\n',
        "not both",
    ),
    "country-of-three-letters": (
        '[api_identity]\ncommon_name="x"\ncountry_name="DEU"\n',
        "two letters",
    ),
    "alt-names-no-list": ('[api_identity]\ncommon_name="x"\nalt_names="y"\n', "a list"),
    "alt-name-with-space": ('[api_identity]\ncommon_name="x"\nalt_names=["a b"]\n', "alt_names"),
    "name-with-newline": ('[api_identity]\ncommon_name="a\\nb"\n', "common_name"),
    "name-too-long": (f'[api_identity]\ncommon_name="{"a" * 65}"\n', "common_name"),
    "subscription-key-not-hex": ('[dcap]\nsubscription_key="zz"\n', "subscription_key"),
    "signed-audit-log": ('[audit_log]\nmode="signed"\n', "not supported"),
    "network-sink": ('[audit_log]\nmode="unsigned"\nsink="network"\n', "not supported"),
    "addresses-no-list": ('[sharing]\nallowed_addresses="a"\n', "a list"),
    "address-with-path": ('[sharing]\nallowed_addresses=["https://a/"]\n', "HOST"),
    "address-wildcard-inside": ('[sharing]\nallowed_addresses=["a.*.org"]\n', "HOST"),
    "address-empty": ('[sharing]\nallowed_addresses=[""]\n', "HOST"),
    "address-port": ('[sharing]\nallowed_addresses=["a:70000"]\n', "a port"),
    "address-ipv6": ('[sharing]\nallowed_addresses=["[:::]"]\n', "IPv6"),
    "sharing-key": ("[sharing]\nallowed_adresses=[]\n", "did you mean allowed_addresses"),
    "audit-mode": ('[audit_log]\nmode="on"\n', "disabled or unsigned or signed"),
    "audit-url-without-network": ('[audit_log]\nurl="https://x"\n', "url"),
    "root-create": ('[sessions]\nroot_create="everybody"\n', "owner or any"),
    "quota-negative": ("[sessions]\nmax_sessions_per_namespace=-1\n", "max_sessions"),
    "quota-float": ("[sessions]\nmax_bytes_per_namespace=1.5\n", "max_bytes"),
    "timeout": ('enclave_reconnect_timeout = "soon"\n', "enclave_reconnect_timeout"),
    "timeout-of-another-script": ('enclave_reconnect_timeout = "\u0663s"\n', "enclave_reconnect"),
    "timeout-endless": (f'enclave_reconnect_timeout = "{"9" * 5000}s"\n', "enclave_reconnect"),
    "table-is-text": ('sessions = "any"\n', "a table"),
    "value-is-table": ("[sessions.root_create]\nx = 1\n", "a single value"),
    "not-toml": ("[api_identity\n", ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_configuration_is_refused_at_its_place(case):
    text, expected = REFUSED[case]
    with pytest.raises(DocumentError) as caught:
        read_owner_config(text, "owner.toml", "toml")
    problems = caught.value.problems
    assert problems
    assert any(expected in problem.message + problem.hint + problem.path for problem in problems)


def test_all_problems_are_reported_at_once_with_their_lines():
    text = "sessions:\n  root_create: all\nlimit:\n  x: 1\n"
    with pytest.raises(DocumentError) as caught:
        read_owner_config(text, "owner.yml", "yaml")
    assert [problem.mark.line for problem in caught.value.problems if problem.mark] == [3, 2]


def test_a_secret_in_a_refused_value_is_not_repeated():
    with pytest.raises(DocumentError) as caught:
        read_owner_config('[dcap]\nsubscription_key = "hunter2hunter2"\n', "o", "toml")
    assert "hunter2" not in str(caught.value)
    assert json.dumps([problem.message for problem in caught.value.problems]).count("hunter2") == 0
