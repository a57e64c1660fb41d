"""Starts of services against a CAS in this process: what a launcher sends, each part adjustable."""

import base64
import json
import os

import harness

from scone.attestation.access_token import TOKEN_EXPORTER_LABEL, token_proof
from scone.attestation.report_data import SERVICE_EXPORTER_LABEL, service_report_data
from scone.crypto.secret import SecretBytes
from scone.service_config import ServiceConfig
from scone.service_config.model import HostArgument
from scone.transport.address import Address
from scone.transport.client import Options, connect

NO_EVIDENCE = object()


def start(cas, platform, config_id, *, token=None, instance=None, proof=None, program=None):
    """Status and answer of one start; `proof(exporter)` replaces that of the token."""
    instance = os.urandom(16) if instance is None else instance
    connection = connect(
        Address("127.0.0.1", cas.enclave_port), Options(exporter=True, timeout_s=20)
    )
    try:
        exporter = connection.export(SERVICE_EXPORTER_LABEL, 32)
        data = service_report_data(exporter, config_id, instance, None)
        quote = (
            None
            if platform is NO_EVIDENCE
            else base64.b64encode(platform.quote(program or harness.SERVICE_PROGRAM, data)).decode()
        )
        body = {
            "config_id": config_id,
            "instance_key": base64.b64encode(instance).decode(),
            "quote": quote,
        }
        channel = connection.export(TOKEN_EXPORTER_LABEL, 32)
        if proof is not None:
            body["token_proof"] = proof(channel).hex()
        elif token is not None:
            body["token_proof"] = token_proof(SecretBytes(token), "service", channel).hex()
        answer = connection.request("POST", "/v1/service", json.dumps(body).encode())
    finally:
        connection.close()
    return answer.status, json.loads(answer.body)


def cas_proof(cas, config_id):
    """Status, answer and exporter of a request for the CAS's proof of the token."""
    connection = connect(
        Address("127.0.0.1", cas.enclave_port), Options(exporter=True, timeout_s=20)
    )
    try:
        body = json.dumps({"config_id": config_id}).encode()
        answer = connection.request("POST", "/v1/service_token", body)
        return (
            answer.status,
            json.loads(answer.body),
            connection.export(TOKEN_EXPORTER_LABEL, 32),
        )
    finally:
        connection.close()


def configured(answer):
    """The configuration in an answer."""
    status, body = answer
    assert status == 200, body
    return ServiceConfig.from_json(json.dumps(body).encode())


def words(answer):
    """The arguments in an answer."""
    return [
        word if isinstance(word, HostArgument) else word.reveal().decode()
        for word in configured(answer).arguments
    ]


def why(answer, status=403):
    """The messages of a refusal."""
    assert answer[0] == status, answer
    return answer[1]["msg"]
