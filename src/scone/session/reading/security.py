"""Reads how services must be attested (`security`) and where secrets are kept (`secret_config`)."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from scone.documents import Mapping, Node, Scalar
from scone.errors import MalformedError
from scone.session.model import AttestationMode, SecretConfig, Security, Template
from scone.session.pem import certificates_text
from scone.session.reading.collect import Collector
from scone.session.reading.fields import (
    AKV_STORE,
    ATTESTATION,
    DEPRECATED_TOLERATE,
    MODES,
    SECRET_CONFIG,
    SECURITY,
    TOLERATE,
)
from scone.session.reading.templates import templated
from scone.session.reading.versions import Version
from scone.session.reading.words import HEX_64, otp_secret_text, secret_name, vault_host

_ADVISORY: Final = re.compile(r"(?:INTEL|SIM)-SA-[0-9]{5}")  # SIM: a simulated vendor's
_MAA_URL: Final = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]{0,251}(?::[0-9]{1,5})?/?")


def read_security(c: Collector, node: Node | None, version: Version) -> Security | Template:
    """The security section with its defaults, or as data where secrets stand for parts."""
    if node is None:
        return Security()
    return templated(c, node, "security", version, lambda: security(c, node, version))


def security(c: Collector, node: Node, version: Version) -> Security:
    """The security section in a mapping, with its defaults."""
    fields = c.table(node, "security", SECURITY, version) or {}
    attestation = fields.get("attestation")
    path = "security.attestation"
    found: dict[str, Node] = {}
    if attestation is not None:
        found = c.table(attestation, path, ATTESTATION, version) or {}
    mode = cast("AttestationMode", c.word(found.get("mode"), f"{path}.mode", MODES) or "hardware")
    url = c.matching(
        found.get("url"), f"{path}.url", _MAA_URL, "https://<tenant>.<region>.attest.azure.net/"
    )
    tolerate = _tolerate(c, found.get("tolerate"), f"{path}.tolerate")
    _check_mode(c, attestation, found, mode, tolerate)
    token = c.text(fields.get("service_access_token"), "security.service_access_token", "a token")
    if token == "":
        c.expected(fields["service_access_token"], "security.service_access_token", "a token")
    otp = "one_time_password_shared_secret"
    return Security(
        mode=mode,
        tolerate=tolerate,
        ignore_advisories=_advisories(
            c, found.get("ignore_advisories"), f"{path}.ignore_advisories"
        ),
        trusted_scone_qe_pubkeys=_qe_keys(
            c, found.get("trusted_scone_qe_pubkeys"), f"{path}.trusted_scone_qe_pubkeys"
        ),
        url=url and url.rstrip("/"),
        certificates=_ca_certificates(c, found.get("certificates"), f"{path}.certificates"),
        min_rsa_signing_key_size=c.integer(
            found.get("min_rsa_signing_key_size"), f"{path}.min_rsa_signing_key_size", 0, 65_536
        ),
        one_time_password_shared_secret=otp_secret_text(c, found.get(otp), f"{path}.{otp}"),
        must_be_sgx_local=c.boolean(found.get("must_be_sgx_local"), f"{path}.must_be_sgx_local")
        or False,
        singleton_enclaves=c.boolean(
            fields.get("singleton_enclaves"), "security.singleton_enclaves"
        )
        or False,
        service_access_token=token,
    )


def _check_mode(
    c: Collector,
    attestation: Node | None,
    found: dict[str, Node],
    mode: AttestationMode,
    tolerate: tuple[str, ...],
) -> None:
    """What belongs together in security.attestation (pages "Azure", "Local Attestation")."""
    path = "security.attestation"
    if c.templating or attestation is None or c.is_unknown(attestation):
        return
    if mode == "maa":
        if "url" not in found:
            c.problem(attestation, f"{path}.url", "required with mode maa, got nothing")
        if "maa-managed-tcb" not in tolerate:
            hint = "MAA does not show the state of the platform's TCB"
            c.problem(attestation, f"{path}.tolerate", "expected maa-managed-tcb in it", hint)
    else:
        for key in ("url", "certificates", "min_rsa_signing_key_size"):
            if key in found:
                c.problem(found[key], f"{path}.{key}", f"expected no {key} without mode: maa")
    local = found.get("must_be_sgx_local")
    if isinstance(local, Scalar) and c.boolean(local, f"{path}.must_be_sgx_local"):
        if mode != "hardware":
            c.problem(local, f"{path}.must_be_sgx_local", "expected mode hardware beside it")
        if "local-attestation-trust-cas-tcb" not in tolerate:
            expected = "expected local-attestation-trust-cas-tcb in tolerate"
            c.problem(local, f"{path}.must_be_sgx_local", expected)


def _tolerate(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    names: list[str] = []
    for where, item in c.items(node, path, scalar=True):
        text = c.text(item, where)
        if text in DEPRECATED_TOLERATE:
            word: str | None = DEPRECATED_TOLERATE[cast("str", text)]
            c.warn(where, "deprecated-tolerate", f"{text} is now called {word}", node=item)
        else:
            word = c.word(item, where, TOLERATE) if text is not None else None
        if word is not None and word not in names:
            names.append(word)
    return tuple(names)


def _advisories(c: Collector, node: Node | None, path: str) -> tuple[str, ...] | Literal["*"]:
    what = 'INTEL-SA-NNNNN, or "*" alone'
    listed = c.items(node, path, scalar=True)
    if len(listed) == 1 and isinstance(listed[0][1], Scalar) and listed[0][1].text == "*":
        return "*"
    found: dict[str, None] = {}
    for where, item in listed:
        name = c.matching(item, where, _ADVISORY, what)
        if name is not None:
            found[name] = None
    return tuple(found)


def _qe_keys(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    keys = (
        c.matching(item, where, HEX_64, "a key of 64 hex digits")
        for where, item in c.items(node, path, scalar=True)
    )
    return tuple(dict.fromkeys(key.lower() for key in keys if key))


def _ca_certificates(c: Collector, node: Node | None, path: str) -> tuple[str, ...]:
    found: list[str] = []
    for where, item in c.items(node, path, scalar=True):
        text = c.text(item, where, "a certificate in PEM")
        if text is None or c.passes(item):
            continue
        try:
            found.append(certificates_text(text, place=where))
        except MalformedError as error:
            c.malformed(item, where, error)
    return tuple(found)


def read_secret_config(c: Collector, node: Node | None, version: Version) -> SecretConfig:
    """Where values are stored: `!cas` or `!akv` with a vault and a token."""
    fields = c.table(node, "secret_config", SECRET_CONFIG, version) if node is not None else None
    store = (fields or {}).get("store_in")
    path = "secret_config.store_in"
    if isinstance(store, Scalar) and (
        store.tag == "!cas" or (not store.tag and store.text == "cas")
    ):
        return SecretConfig()
    if (
        isinstance(store, Mapping)
        and not store.tag
        and [k.text for k, _ in store.entries] == ["akv"]
    ):
        store = store.entries[0][1]
    elif store is not None and not (isinstance(store, Mapping) and store.tag == "!akv"):
        c.expected(store, path, "!cas, or !akv with vault and token", got=False)
        return SecretConfig()
    akv = c.table(store, path, AKV_STORE, version) if store is not None else None
    if akv is None:
        return SecretConfig()
    return SecretConfig(
        "akv",
        vault_host(c, akv.get("vault"), f"{path}.vault"),
        secret_name(c, akv.get("token"), f"{path}.token"),
    )
