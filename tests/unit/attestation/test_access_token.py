"""Proofs of a service access token: known values, and what they are bound to."""

import pytest

from scone.attestation.access_token import proves_token, token_proof
from scone.crypto.secret import SecretBytes

TOKEN = SecretBytes(b"j765WyMWTKksiqWbBuuc")
EXPORTER = bytes(range(32))
KNOWN = {  # docs/formats/service-factors.md
    "cas": "55a01182a801c427d550bc6b0fc1dad36a310289d52298dfd08c7835375ad457",
    "service": "ef1e1def81ce96a0150af882970d159ea2979e6141fa3d9a0265197d1b642424",
}


@pytest.mark.parametrize("role", KNOWN)
def test_the_proofs_are_as_documented(role):
    proof = token_proof(TOKEN, role, EXPORTER)
    assert proof.hex() == KNOWN[role]
    assert proves_token(proof, TOKEN, role, EXPORTER)


def test_a_proof_is_for_one_token_role_and_channel():
    proof = token_proof(TOKEN, "cas", EXPORTER)
    assert not proves_token(proof, SecretBytes(b"j765WyMWTKksiqWbBuud"), "cas", EXPORTER)
    assert not proves_token(proof, TOKEN, "service", EXPORTER)
    assert not proves_token(proof, TOKEN, "cas", bytes(32))
    assert not proves_token(proof[:-1], TOKEN, "cas", EXPORTER)
    assert not proves_token(b"", TOKEN, "cas", EXPORTER)
