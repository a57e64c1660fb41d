"""From an opened program to its configuration: evidence on this channel, then one request."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from scone.attestation.access_token import TOKEN_EXPORTER_LABEL, proves_token, token_proof
from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.errors import (
    AppraisalError,
    MalformedError,
    SconeError,
    UnavailableError,
    VerificationError,
)
from scone.launcher.connection import connect_to_cas
from scone.launcher.console import Console
from scone.launcher.settings import ACCESS_TOKEN, Settings
from scone.log_level import DEBUG, WARNING
from scone.service_config.model import ServiceConfig
from scone.strict_json import decode, keys, list_of, parse_hex, read_object, text_of, to_base64
from scone.tee.hardening import make_undumpable
from scone.tee.las_client import attest_program
from scone.tee.las_protocol import default_socket
from scone.tee.measurement import FileDigest, Measurement, OpenedProgram
from scone.transport.address import CLIENT_PORT, ENCLAVE_PORT
from scone.transport.client import Connection
from scone.transport.http import Response

_MAX_ERROR: Final = 64 * 1024
_FORBIDDEN: Final = 403
_OTHER_FACTOR: Final = "forbidden"  # code of a refusal that is not about evidence
_NOT_FOUND: Final = 404


class CasRefusalError(SconeError):
    """What the CAS answered in place of a configuration."""


def fetch_configuration(
    settings: Settings, config_id: str, program: OpenedProgram, measured: Measurement, out: Console
) -> ServiceConfig:
    """Attest the program to the CAS and receive its configuration.

    Raises:
        NetworkError: the CAS cannot be reached.
        VerificationError: it is another CAS, or one that does not know the access token.
        AppraisalError: the LAS sees other files than were measured here.
        CasRefusalError: the CAS refuses; its reasons.
        MalformedError: an answer that is none.
    """
    private_key = generate_private_key("P-256", os.urandom)
    instance_key = spki_of_private_key(private_key)
    out.log(DEBUG, "Generated enclave certificate")
    with connect_to_cas(settings.cas, settings.require_cas_key()) as connection:
        out.log(DEBUG, "Created TLS context to communicate with CAS")
        make_undumpable()  # before the first secret arrives
        proof = None
        if settings.access_token is not None:
            proof = _prove_token(connection, config_id, settings.access_token)
            out.log(DEBUG, "CAS proved that it knows the service access token")
        exporter = connection.export(SERVICE_EXPORTER_LABEL, 32)
        report_data = service_report_data(exporter, config_id, instance_key, None)
        quote, lacking = _quote(settings, program, measured, report_data, out)
        request = {
            "config_id": config_id,
            "instance_key": to_base64(instance_key),
            "quote": None if quote is None else to_base64(quote),
            "service_hash": None,
        }
        if proof is not None:
            request["token_proof"] = proof.hex()
        out.log(DEBUG, "Sending enclave hello message to CAS")
        response = _post(connection, "/v1/service", request)
    if response.status != 200:
        raise _refusal(response.status, response.body, lacking)
    out.log(DEBUG, "Successfully attested enclave via CAS")
    config = ServiceConfig.from_json(response.body)
    out.log(DEBUG, "Received configuration from CAS!")
    return config


def _post(connection: Connection, path: str, request: Mapping[str, str | None]) -> Response:
    body = json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()
    return connection.request("POST", path, body, (("content-type", "application/json"),))


def _prove_token(connection: Connection, config_id: str, token: SecretBytes) -> bytes:
    """Our proof, after that of the CAS; before it neither ours nor a password is sent."""
    exporter = connection.export(TOKEN_EXPORTER_LABEL, 32)
    name, at, _ = config_id.rpartition("@")
    response = _post(connection, "/v1/service_token", {"config_id": name if at else config_id})
    if response.status != 200:
        raise _refusal(response.status, response.body, None)
    place = "CAS answer"
    answer = read_object(decode(response.body, place, _MAX_ERROR), place)
    keys(answer, place, ("proof",), ())
    proof = parse_hex(text_of(answer, "proof", place), f"{place}.proof", 32)
    if not proves_token(proof, token, "cas", exporter):
        raise VerificationError(
            "the CAS does not know the service access token",
            hint=f"no evidence was sent; is {ACCESS_TOKEN} the service_access_token of the session?",
        )
    return token_proof(token, "service", exporter)


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
        code = text_of(value, "code", "CAS answer") if "code" in value else ""
    except MalformedError:
        messages, hint, code = [], "", ""
    first, *rest = messages or [f"HTTP status {status}"]
    error = CasRefusalError(f"CAS sent an attestation/configuration error: {first}")
    error.messages = (*error.messages, *rest)
    error.hint = hint
    if lacking is not None and status == _FORBIDDEN and code != _OTHER_FACTOR:
        error.messages += (f"no evidence was sent: {lacking}",)
        error.hint = lacking.hint
    elif status == _NOT_FOUND and "no such path" in first:
        error.hint = (
            f"this may be the CAS's port for users ({CLIENT_PORT} by default); services connect "
            f"to {ENCLAVE_PORT}: is SCONE_CAS_ADDR right?"
        )
    return error
