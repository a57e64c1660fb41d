"""From an opened program to its configuration: evidence on this channel, then one request."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from typing import Final

from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import AppraisalError, MalformedError, SconeError, UnavailableError
from scone.launcher.connection import connect_to_cas
from scone.launcher.console import Console
from scone.launcher.settings import Settings
from scone.log_level import DEBUG, WARNING
from scone.service_config.model import ServiceConfig
from scone.strict_json import decode, list_of, read_object, text_of
from scone.tee.hardening import make_undumpable
from scone.tee.las_client import attest_program
from scone.tee.las_protocol import default_socket
from scone.tee.measurement import FileDigest, Measurement, OpenedProgram
from scone.transport.address import CLIENT_PORT, ENCLAVE_PORT

_MAX_ERROR: Final = 64 * 1024
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


class CasRefusalError(SconeError):
    """What the CAS answered in place of a configuration."""


def fetch_configuration(
    settings: Settings, config_id: str, program: OpenedProgram, measured: Measurement, out: Console
) -> ServiceConfig:
    """Attest the program to the CAS and receive its configuration.

    Raises:
        NetworkError: the CAS cannot be reached.
        VerificationError: it is another CAS.
        AppraisalError: the LAS sees other files than were measured here.
        CasRefusalError: the CAS refuses; its reasons.
        MalformedError: an answer that is none.
    """
    private_key = generate_private_key("P-256", os.urandom)
    instance_key = spki_of_private_key(private_key)
    out.log(DEBUG, "Generated enclave certificate")
    with connect_to_cas(settings.cas, settings.require_cas_key()) as connection:
        out.log(DEBUG, "Created TLS context to communicate with CAS")
        exporter = connection.export(SERVICE_EXPORTER_LABEL, 32)
        report_data = service_report_data(exporter, config_id, instance_key, None)
        quote, lacking = _quote(settings, program, measured, report_data, out)
        request = {
            "config_id": config_id,
            "instance_key": base64.b64encode(instance_key).decode(),
            "quote": None if quote is None else base64.b64encode(quote).decode(),
            "service_hash": None,
        }
        make_undumpable()  # before the first secret arrives
        out.log(DEBUG, "Sending enclave hello message to CAS")
        response = connection.request(
            "POST",
            "/v1/service",
            json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode(),
            (("content-type", "application/json"),),
        )
    if response.status != 200:
        raise _refusal(response.status, response.body, lacking)
    out.log(DEBUG, "Successfully attested enclave via CAS")
    config = ServiceConfig.from_json(response.body)
    out.log(DEBUG, "Received configuration from CAS!")
    return config


def _quote(
    settings: Settings,
    program: OpenedProgram,
    measured: Measurement,
    report_data: bytes,
    out: Console,
) -> tuple[bytes | None, UnavailableError | None]:
    """Evidence, or why there is none: sessions with attestation mode `none` need none."""
    address = settings.las_address or str(default_socket())
    out.log(DEBUG, "Sending Attestation Request to LAS")
    try:
        attested = attest_program(address, program, measured.options, report_data)
    except UnavailableError as error:
        out.log(WARNING, f"{error} - enclave won't be able to attest itself")
        return None, error
    out.log(DEBUG, "Got Quote from LAS")
    _require_same_files(measured.files, attested.files)
    if attested.mrenclave != measured.mrenclave:
        raise AppraisalError("the LAS measured the program under other options")
    return attested.quote, None


def _require_same_files(here: Sequence[FileDigest], there: Sequence[FileDigest]) -> None:
    for name, _ in sorted(set(here) ^ set(there)):
        raise AppraisalError(
            f"{name} differs between what was measured here and what the LAS measured",
            hint="did it change just now, or does the LAS run in another container?",
        )


def _refusal(status: int, body: bytes, lacking: UnavailableError | None) -> CasRefusalError:
    """The messages of the CAS; they are not authenticated reasons to lower a guard."""
    try:
        value = read_object(decode(body, "CAS answer", _MAX_ERROR), "CAS answer")
        messages = [text for text in list_of(value, "msg", "CAS answer") if isinstance(text, str)]
        hint = text_of(value, "hint", "CAS answer") if "hint" in value else ""
    except MalformedError:
        messages, hint = [], ""
    first, *rest = messages or [f"HTTP status {status}"]
    error = CasRefusalError(f"CAS sent an attestation/configuration error: {first}")
    error.messages = (*error.messages, *rest)
    error.hint = hint
    if lacking is not None and status == _FORBIDDEN:
        error.messages += (f"no evidence was sent: {lacking}",)
        error.hint = lacking.hint
    elif status == _NOT_FOUND and "no such path" in first:
        error.hint = (
            f"this may be the CAS's port for users ({CLIENT_PORT} by default); services connect "
            f"to {ENCLAVE_PORT}: is SCONE_CAS_ADDR right?"
        )
    return error
