"""Each check is needed: without any single one, something forged gets another answer.

The checks are found in the source, not listed here: `if ...: raise`, calls of `require...`,
`_check...` and `keys`, and validity windows that are required. A check added without a case
that only it refuses fails this test.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from forgeries import FORGERIES, genuine, run
from omissions import mutants

from fakes.evidence import (
    IDENTITY,
    NONCE,
    NOW,
    cas_chain,
    cas_document,
    cas_evidence,
    platform,
    seeded,
)
from scone.attestation import cas_evidence as cas_module
from scone.attestation import certificates, receipt
from scone.attestation import verify as verify_module
from scone.attestation.appraise import CasPolicy
from scone.attestation.cas_evidence import CasDocument, CasEvidence, accept_cas
from scone.attestation.receipt import make_receipt, verify_receipt
from scone.attestation.sgx import tcb
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import SconeError

# Checks of the caller's own arguments; other tests are about them.
ELSEWHERE = re.compile(
    r"VerifiedEvidence.__post_init__|verify: if now.tzinfo|make_receipt: |AcceptedCas"
)

VERIFIER = [
    pytest.param(function, code, id=what)
    for what, function, code in mutants(verify_module, certificates, tcb)
    if not ELSEWHERE.match(what)
]
CAS = [
    pytest.param(function, code, id=what)
    for what, function, code in mutants(cas_module, receipt)
    if not ELSEWHERE.match(what)
]


def answers(says: str, call, *arguments) -> bool:
    """Whether the call is refused as expected."""
    try:
        call(*arguments)
    except SconeError as error:
        return says in str(error)
    except Exception:
        return False
    return False


FORGED = [(says, run, maker()) for maker, says in FORGERIES.values()]


def test_there_are_checks_of_the_verifier_to_leave_out():
    assert len(VERIFIER) >= 40
    assert all(answers(*case) for case in FORGED)
    assert run(genuine())


@pytest.mark.parametrize(("function", "code"), VERIFIER)
def test_without_this_check_a_forgery_gets_another_answer(function, code, monkeypatch):
    monkeypatch.setattr(function, "__code__", code)
    assert not all(answers(*case) for case in FORGED)


# --- the document of a CAS, and its receipt ---------------------------------------------------


def accept(body: bytes, nonce: str = NONCE) -> None:
    document = CasDocument.parse(body)
    accept_cas(document, CasPolicy(), nonce=nonce, anchors=[platform().anchor], now=NOW)


def edited(*path: str, **members) -> str:
    said = json.loads(cas_evidence().to_json())
    place = said
    for name in path:
        place = place[name]
    place.update(members)
    return json.dumps(said)


def proof(**members) -> bytes:
    body = json.loads(cas_document())
    body["proof_data"].update(members)
    return json.dumps(body).encode()


def chain(*parts: tuple[str, int]) -> bytes:
    pem = "-----BEGIN CERTIFICATE-----\n"
    made = "".join(pem + cas_chain(seed)[0].split(pem)[1 + index] for seed, index in parts)
    return cas_document(cas_evidence(chain=made))


def special_chain(**changes) -> bytes:
    """CN=cas and CN=cas-instance with one thing changed."""
    from forgeries import to_pem

    return cas_document(cas_evidence(chain="".join(map(to_pem, _special(**changes)))))


def _special(*, root_ca: bool = True, instance_ca: bool = False, root_signs_itself: bool = True):
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    keys = [ec.derive_private_key(number, ec.SECP256R1()) for number in (11, 12, 13)]
    made = []
    for name, key, signer, ca in (
        ("cas", keys[0], keys[0] if root_signs_itself else keys[2], root_ca),
        ("cas-instance", keys[1], keys[0], instance_ca),
    ):
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cas")]))
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), critical=True
            )
        )
        made.append(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))
    return made


OLD = generate_private_key("P-256", seeded("old"))
SPKI = spki_of_private_key(OLD)
ED25519 = spki_of_private_key(generate_private_key("Ed25519", seeded("ed25519")))
RECEIPT = make_receipt(
    OLD,
    unprovisioned_spki=SPKI,
    new_cas_spki=b"new",
    owner_spki=b"owner",
    request_sha256=bytes(32),
)


def check(made=RECEIPT, old=SPKI, new=b"new", owner=b"owner", request=bytes(32)) -> None:
    verify_receipt(
        made,
        new_cas_spki=new,
        owner_spki=owner,
        request_sha256=request,
        expected_old_key_hash=key_hash(old),
    )


REFUSED = [
    ("32 hex digits", accept, cas_document(), "0" * 31),
    ("another nonce", accept, cas_document(), "ff" * 16),
    ("not for this additional_data", accept, cas_document(report_data=bytes(64))),
    ("another platform", accept, cas_document(cas_evidence(simulated=False))),
    (
        "another platform",
        accept,
        cas_document(identity=dataclasses.replace(IDENTITY, debug=True)),
    ),
    ("expected CN=cas-instance", accept, chain(("cas", 0), ("cas", 0))),
    ("not issued by", accept, chain(("cas", 0), ("other", 1))),
    ("not issued by", accept, special_chain(root_signs_itself=False)),
    ("not a certification authority", accept, special_chain(root_ca=False)),
    ("not an end-entity", accept, special_chain(instance_ca=True)),
    ("proof_data.type", accept, proof(type="EPIDQuote")),
    ("'more'", accept, proof(more=1)),
    ("'more'", accept, cas_document()[:-1] + b',"more":1}'),
    ("'more'", CasEvidence.parse, edited(more=1)),
    ("'more'", CasEvidence.parse, edited("critical", more=1)),
    ("'more'", CasEvidence.parse, edited("critical", "platform", more=1)),
    ("critical.type", CasEvidence.parse, edited("critical", type="CasAttestationDataV4")),
    ("critical.nonce", CasEvidence.parse, edited("critical", nonce="0" * 31)),
    ("another CAS", check, RECEIPT, b"another"),
    ("another identity", check, RECEIPT, SPKI, b"new", b"another"),
    ("another request", check, RECEIPT, SPKI, b"new", b"owner", b"\x01" * 32),
    ("the signature is not by this key", check, RECEIPT, SPKI, b"another"),
    (
        "expected a signature by a P-256 key",
        check,
        dataclasses.replace(RECEIPT, unprovisioned_cas_key=ED25519),
        ED25519,
    ),
]


def test_there_are_checks_of_a_cas_to_leave_out():
    assert len(CAS) >= 18
    assert [case for case in REFUSED if not answers(*case)] == []
    accept(cas_document())
    accept(special_chain())
    check()


@pytest.mark.parametrize(("function", "code"), CAS)
def test_without_this_check_a_cas_gets_another_answer(function, code, monkeypatch):
    monkeypatch.setattr(function, "__code__", code)
    assert not all(answers(*case) for case in REFUSED)
