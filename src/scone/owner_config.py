"""The owner configuration of a CAS: what its owner uploads at provisioning and may update.

Read from TOML, JSON or YAML (SCONE documentation, page CAS_config, "Owner
Configuration"); one reader for the CLI, which reports line and column, and for the
CAS, which checks again what it receives. Keys of our own stand in the tables
`sessions`, `limits`, `sharing` and `azure`; docs/guide/owner-configuration.md lists them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv6Address
from typing import Final, Literal

from scone.crypto.der import pem_blocks, to_pem
from scone.crypto.secret import SecretBytes
from scone.documents import (
    DocumentError,
    Mapping,
    Node,
    Problem,
    Scalar,
    Sequence,
    read_json,
    read_yaml,
)
from scone.documents.toml_text import read_toml
from scone.errors import MalformedError

Kind = Literal["toml", "json", "yaml"]

_READERS: Final[dict[str, Callable[[str, str], Node]]] = {
    "toml": read_toml,
    "json": read_json,
    "yaml": read_yaml,
}
_DURATION: Final = re.compile(
    r"(?:[0-9]{1,9}\s*(?:h|m|s|d|hours?|min|minutes?|sec|seconds?|days?)\s*)+"
)
_ADDRESS: Final = re.compile(
    r"(?:\*|(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?"
)
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?")
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class ApiIdentity:
    """Names in the certificate that the CAS presents (`[api_identity]`)."""

    common_name: str = "cas"
    alt_names: tuple[str, ...] = ("cas", "localhost")
    country_name: str | None = None
    org_name: str | None = None
    state_or_province: str | None = None
    locality: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class AzureConfig:
    """Where Microsoft Azure is (`[azure]`); addresses as in `sharing.allowed_addresses`, port 443.

    `audience` is the host that Azure Active Directory's tokens are for; `ca_certificates` are the
    authorities that vouch for all of these servers (PEM), in place of those of the `azure` extra.
    """

    authority: str = "login.microsoftonline.com"
    audience: str = "vault.azure.net"
    vaults: tuple[str, ...] = (
        "*.vault.azure.net",
        "*.vault.azure.cn",
        "*.vault.usgovcloudapi.net",
        "*.vault.microsoftazure.de",
    )
    attestation: tuple[str, ...] = ("*.attest.azure.net", "*.attest.azure.us")
    ca_certificates: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerConfig:
    """A checked owner configuration."""

    api_identity: ApiIdentity = ApiIdentity()
    dcap_subscription_key: SecretBytes | None = None
    audit_log_mode: Literal["disabled", "unsigned"] = "disabled"
    enclave_reconnect_timeout_s: int | None = None
    root_create: Literal["owner", "any"] = "owner"
    allow_advisory_wildcard: bool = True
    max_sessions_per_namespace: int = 10_000
    max_bytes_per_namespace: int = 256 * 1024 * 1024
    max_requests_per_second_per_address: int = 1_000
    sharing_allowed_addresses: tuple[str, ...] = ()
    azure: AzureConfig = AzureConfig()
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def to_json(self) -> bytes:
        """The configuration as the JSON object that is uploaded and stored (holds secrets)."""
        identity = {
            key: list(value) if isinstance(value, tuple) else value
            for key in ApiIdentity.__slots__
            if (value := getattr(self.api_identity, key)) is not None
        }
        document: dict[str, object] = {"api_identity": identity}
        if self.dcap_subscription_key is not None:
            document["dcap"] = {"subscription_key": self.dcap_subscription_key.reveal().decode()}
        document["audit_log"] = {"mode": self.audit_log_mode}
        if self.enclave_reconnect_timeout_s is not None:
            document["enclave_reconnect_timeout"] = f"{self.enclave_reconnect_timeout_s}s"
        document["sessions"] = {
            "root_create": self.root_create,
            "allow_advisory_wildcard": self.allow_advisory_wildcard,
            "max_sessions_per_namespace": self.max_sessions_per_namespace,
            "max_bytes_per_namespace": self.max_bytes_per_namespace,
        }
        document["limits"] = {
            "max_requests_per_second_per_address": self.max_requests_per_second_per_address
        }
        document["sharing"] = {"allowed_addresses": list(self.sharing_allowed_addresses)}
        document["azure"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key in AzureConfig.__slots__
            if (value := getattr(self.azure, key)) is not None
        }
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def read_owner_config(text: str, source: str, kind: Kind) -> OwnerConfig:
    """Read and check an owner configuration.

    Raises:
        DocumentError: with every problem found; nothing of a secret is repeated.
    """
    return _Read(source).config(_READERS[kind](text, source))


def owner_config_from_node(node: Node, source: str) -> OwnerConfig:
    """Check an owner configuration that is already read, such as a member of a JSON body.

    Raises:
        DocumentError: with every problem found.
    """
    return _Read(source).config(node)


class _Read:
    """Collects the problems of one document."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def config(self, root: Node) -> OwnerConfig:
        tables = self.table(
            root,
            "",
            (
                "api_identity",
                "api",
                "dcap",
                "ias",
                "audit_log",
                "enclave_reconnect_timeout",
                "sessions",
                "limits",
                "sharing",
                "azure",
            ),
        )
        identity = tables.get("api_identity")
        if "api" in tables:  # the documentation's heading spells it [api.identity]
            nested = self.table(tables["api"], "api", ("identity",)).get("identity")
            if identity is not None and nested is not None:
                self.problem(nested, "api.identity", "api_identity or api.identity, not both")
            identity = identity if identity is not None else nested
        dcap = self.table(tables.get("dcap"), "dcap", ("subscription_key",))
        key = self.string(
            dcap.get("subscription_key"),
            "dcap.subscription_key",
            r"[0-9a-fA-F]{32}",
            "32 hexadecimal digits",
        )
        if key is not None:
            self.warn(
                dcap["subscription_key"],
                "dcap",
                "has no effect yet: collateral comes with the evidence",
            )
        if "ias" in tables:
            self.ias(tables["ias"])
        sessions = self.table(
            tables.get("sessions"),
            "sessions",
            (
                "root_create",
                "allow_advisory_wildcard",
                "max_sessions_per_namespace",
                "max_bytes_per_namespace",
            ),
        )
        limits = self.table(
            tables.get("limits"), "limits", ("max_requests_per_second_per_address",)
        )
        sharing = self.table(tables.get("sharing"), "sharing", ("allowed_addresses",))
        default = OwnerConfig()
        config = OwnerConfig(
            api_identity=self.identity(identity),
            dcap_subscription_key=None if key is None else SecretBytes(key.encode()),
            audit_log_mode=self.audit_log(tables.get("audit_log")),
            enclave_reconnect_timeout_s=self.duration(tables.get("enclave_reconnect_timeout")),
            root_create=self.root_create(sessions.get("root_create")),
            allow_advisory_wildcard=self.string(
                sessions.get("allow_advisory_wildcard"),
                "sessions.allow_advisory_wildcard",
                "true|false",
            )
            != "false",
            max_sessions_per_namespace=self.integer(
                sessions,
                "sessions",
                "max_sessions_per_namespace",
                default.max_sessions_per_namespace,
            ),
            max_bytes_per_namespace=self.integer(
                sessions, "sessions", "max_bytes_per_namespace", default.max_bytes_per_namespace
            ),
            max_requests_per_second_per_address=self.integer(
                limits,
                "limits",
                "max_requests_per_second_per_address",
                default.max_requests_per_second_per_address,
            ),
            sharing_allowed_addresses=self.addresses(
                sharing.get("allowed_addresses"), "sharing.allowed_addresses"
            ),
            azure=self.azure(tables.get("azure")),
            warnings=tuple(self.warnings),
        )
        if self.problems:
            raise DocumentError(tuple(self.problems))
        return config

    def identity(self, node: Node | None) -> ApiIdentity:
        if node is None:
            return ApiIdentity()
        table = self.table(node, "api_identity", tuple(ApiIdentity.__slots__))
        if "common_name" not in table:
            self.problem(node, "api_identity", "the mandatory key common_name")
        values = {
            name: self.string(
                value, f"api_identity.{name}", r"[^\x00-\x1f]{1,64}", "1 to 64 printable characters"
            )
            for name, value in table.items()
            if name != "alt_names"
        }
        names = self.alt_names(table.get("alt_names"))
        country = values.get("country_name")
        if country is not None and not re.fullmatch(r"[A-Za-z]{2}", country):
            self.problem(table["country_name"], "api_identity.country_name", "two letters")
        return ApiIdentity(
            common_name=values.get("common_name") or "cas",
            alt_names=names,
            country_name=country,
            org_name=values.get("org_name"),
            state_or_province=values.get("state_or_province"),
            locality=values.get("locality"),
            email=values.get("email"),
        )

    def alt_names(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ApiIdentity().alt_names
        if not isinstance(node, Sequence) or len(node.items) > 100:
            self.problem(node, "api_identity.alt_names", "a list of at most 100 names")
            return ()
        pattern = r"(?:\*\.)?[A-Za-z0-9_.:-]{1,253}"
        expected = "DNS names and IP addresses"
        found = [
            self.string(item, "api_identity.alt_names", pattern, expected) for item in node.items
        ]
        return tuple(name for name in found if name is not None)

    def azure(self, node: Node | None) -> AzureConfig:
        table = self.table(node, "azure", tuple(AzureConfig.__slots__))
        default = AzureConfig()
        hosts = {
            name: self.string(table.get(name), f"azure.{name}", _HOST.pattern, "HOST or HOST:PORT")
            for name in ("authority", "audience")
        }
        lists = {
            name: self.addresses(table[name], f"azure.{name}")
            if name in table
            else getattr(default, name)
            for name in ("vaults", "attestation")
        }
        certificates = self.string(
            table.get("ca_certificates"), "azure.ca_certificates", r"(?s).{1,1000000}", "PEM"
        )
        if certificates is not None:
            from scone.crypto.certificates import load_certificate  # slow to load, rarely needed

            try:
                blocks = pem_blocks(certificates)
                if not blocks:
                    self.problem(table["ca_certificates"], "azure.ca_certificates", "PEM")
                for block in blocks:
                    load_certificate(block.der)
                certificates = "".join(to_pem("CERTIFICATE", block.der) for block in blocks)
            except MalformedError as error:
                self.problem(table["ca_certificates"], "azure.ca_certificates", error.expected)
        return AzureConfig(
            authority=(hosts["authority"] or default.authority).lower(),
            audience=(hosts["audience"] or default.audience).lower(),
            vaults=lists["vaults"],
            attestation=lists["attestation"],
            ca_certificates=certificates,
        )

    def addresses(self, node: Node | None, path: str) -> tuple[str, ...]:
        """Servers that sessions may make the CAS call; in lower case, as addresses are compared."""
        if node is None:
            return ()
        if not isinstance(node, Sequence) or len(node.items) > 1000:
            self.problem(node, path, "a list of at most 1000 addresses")
            return ()
        found = []
        for item in node.items:
            text = self.string(item, path, _ADDRESS.pattern, "HOST, HOST:PORT, *.DOMAIN or *")
            if text is None:
                continue
            ipv6, _, rest = text.rpartition("]")
            port = rest.partition(":")[2]
            if ipv6 and not _is_ipv6(ipv6[1:]):
                self.problem(item, path, "an IPv6 address in brackets")
            elif port and not 1 <= int(port) <= 65535:
                self.problem(item, path, "a port from 1 to 65535")
            else:
                found.append(text.lower())
        return tuple(found)

    def ias(self, node: Node) -> None:
        self.table(
            node, "ias", ("spid", "linkable_quotes", "sp_key", "identity", "base_url", "base_uri")
        )
        self.warn(node, "ias", "has no effect: Intel ended EPID attestation and its IAS")

    def audit_log(self, node: Node | None) -> Literal["disabled", "unsigned"]:
        table = self.table(node, "audit_log", ("mode", "sink", "url", "server_ca_certificate"))
        mode = self.string(table.get("mode"), "audit_log.mode", "disabled|unsigned|signed")
        if mode == "signed":
            self.unsupported(table["mode"], "audit_log.mode", "signed")
        sink = self.string(table.get("sink"), "audit_log.sink", "file|network")
        if sink == "network":
            self.unsupported(table["sink"], "audit_log.sink", "network")
        for name in ("url", "server_ca_certificate"):
            if name in table and sink != "network":
                self.problem(table[name], f"audit_log.{name}", "no such key without sink = network")
        return "unsigned" if mode == "unsigned" else "disabled"

    def root_create(self, node: Node | None) -> Literal["owner", "any"]:
        value = self.string(node, "sessions.root_create", "owner|any")
        return "any" if value == "any" else "owner"

    def duration(self, node: Node | None) -> int | None:
        text = self.string(
            node, "enclave_reconnect_timeout", _DURATION.pattern, "a time such as 24h"
        )
        if node is None or text is None:
            return None
        self.warn(
            node,
            "enclave_reconnect_timeout",
            "has no effect yet: services keep no connection after they received their configuration",
        )
        pairs = re.findall(r"([0-9]+)\s*([a-z])", text)
        return sum(int(count) * _SECONDS[unit] for count, unit in pairs)

    def integer(self, table: dict[str, Node], where: str, name: str, default: int) -> int:
        node = table.get(name)
        text = self.string(node, f"{where}.{name}", r"[0-9]{1,15}", "a whole number from 0")
        return default if text is None else int(text)

    def string(self, node: Node | None, path: str, pattern: str, expected: str = "") -> str | None:
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self.problem(node, path, "a single value")
            return None
        if not re.fullmatch(pattern, node.text):
            self.problem(node, path, expected or pattern.replace("|", " or "))
            return None
        return node.text

    def table(self, node: Node | None, path: str, keys: tuple[str, ...]) -> dict[str, Node]:
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.problem(node, path or "the configuration", "a table of keys and values")
            return {}
        found: dict[str, Node] = {}
        for key, value in node.entries:
            if key.text in keys:
                found[key.text] = value
                continue
            near = get_close_matches(key.text, keys, 1)
            self.problem(
                key,
                f"{path}.{key.text}" if path else key.text,
                f"one of the keys {', '.join(keys)}",
                hint=f"did you mean {near[0]}?" if near else "",
            )
        return found

    def unsupported(self, node: Node, path: str, value: str) -> None:
        self.problem(node, path, f"another value: {value} is not supported by this version yet")

    def problem(self, node: Node, path: str, expected: str, *, hint: str = "") -> None:
        self.problems.append(Problem(self.source, node.mark, path, f"expected {expected}", hint))

    def warn(self, node: Node, path: str, message: str) -> None:
        self.warnings.append(Problem(self.source, node.mark, path, message, ""))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
