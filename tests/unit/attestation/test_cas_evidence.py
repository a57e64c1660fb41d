"""The attestation document of a CAS: built, read, and accepted only when everything is bound."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from datetime import timedelta

import pytest

from fakes.evidence import (
    IDENTITY,
    NONCE,
    NOW,
    cas_chain,
    cas_document,
    cas_evidence,
    collateral,
    platform,
    seeded,
)
from scone.attestation.appraise import CasPolicy, NotTrustedError
from scone.attestation.cas_evidence import CasDocument, CasEvidence, accept_cas, build_document
from scone.attestation.receipt import Receipt, make_receipt, verify_receipt
from scone.attestation.report_data import cas_report_data
from scone.attestation.verify import INTEL_SGX_ROOT
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.crypto.secret import SecretBytes
from scone.errors import MalformedError, UsageError, VerificationError


def accept(body: bytes, nonce: str | None = NONCE, **changes):
    keywords = {"policy": CasPolicy(), "anchors": [platform().anchor], "now": NOW, **changes}
    policy = keywords.pop("policy")
    return accept_cas(CasDocument.parse(body), policy, nonce=nonce, **keywords)


def raw_document(additional: bytes, **keywords) -> bytes:
    return cas_document(additional, **keywords)


class TestDocument:
    def test_an_honest_cas_is_accepted_with_what_it_says(self):
        found = accept(cas_document())
        assert found.cas == cas_evidence()
        assert found.evidence.report.mrenclave == IDENTITY.mrenclave
        assert found.root.subject == "CN=cas"
        assert found.instance.subject == "CN=cas-instance"

    def test_the_bytes_are_those_of_the_format(self):
        said = cas_evidence(nonce=None, provisioned=False, origin=None, chain="x")
        said = dataclasses.replace(said, session_encryption_key=None, epoch=0, commit=0)
        assert said.to_json() == (
            b'{"critical":{"type":"CasAttestationDataV5","nonce":null,"provisioned":false,'
            b'"platform":{"tee":"sgx","simulated":true,"debug":false},'
            b'"database_key_origin":null},"non_critical":{"cert_chain":"x",'
            b'"session_encryption_key":null,"cas_version":"0.1.0",'
            b'"provisioning_cas_owner_certificate_chain":null,"epoch":0,"commit":0,'
            b'"provisioning_receipt":null}}'
        )
        body = json.loads(cas_document(said))
        assert list(body) == ["proof_data", "additional_data"]
        assert list(body["proof_data"]) == ["type", "quote", "collateral"]
        assert body["proof_data"]["type"] == "DCAP"

    def test_what_is_written_is_read(self):
        for said in (
            cas_evidence(),
            cas_evidence(nonce=None, origin=None),
            cas_evidence(origin="injected", debug=True, simulated=False),
        ):
            assert CasEvidence.parse(said.to_json().decode()) == said

    def test_the_hash_is_over_the_bytes_as_received(self):
        """Spaces, another order of members, escapes: what was quoted is what counts."""
        said = json.loads(cas_evidence().to_json())
        spaced = json.dumps(
            {"non_critical": said["non_critical"], "critical": said["critical"]}, indent=2
        )
        assert accept(raw_document(spaced.encode())).cas == cas_evidence()
        pretty = json.dumps(said, indent=1).encode()
        bound_to_compact = cas_report_data(cas_evidence().to_json())
        with pytest.raises(VerificationError, match="not for this additional_data"):
            accept(raw_document(pretty, report_data=bound_to_compact))

    def test_unknown_members_are_refused_where_critical_and_ignored_elsewhere(self):
        said = json.loads(cas_evidence().to_json())
        said["non_critical"]["new"] = {"x": [1]}
        assert accept(raw_document(json.dumps(said).encode())).cas == cas_evidence()
        for place in (said["critical"], said["critical"]["platform"], said):
            place["new"] = 1
            with pytest.raises(MalformedError, match="new"):
                CasEvidence.parse(json.dumps(said))
            del place["new"]

    @pytest.mark.parametrize("place", ["critical", "platform", "non_critical"])
    def test_missing_and_wrong_members_are_refused(self, place):
        optional = {
            "nonce",
            "database_key_origin",
            "session_encryption_key",
            "provisioning_cas_owner_certificate_chain",
            "provisioning_receipt",
        }
        said = json.loads(cas_evidence().to_json())
        inner = said["critical"]["platform"] if place == "platform" else said[place]
        assert inner
        for name, value in list(inner.items()):
            for wrong in ({"a": 1}, 1.5, [], -1, *([None] if name not in optional else [])):
                inner[name] = wrong
                with pytest.raises(MalformedError):
                    CasEvidence.parse(json.dumps(said))
            if place != "non_critical" or name not in optional:
                del inner[name]
                with pytest.raises(MalformedError):
                    CasEvidence.parse(json.dumps(said))
            inner[name] = value
        assert CasEvidence.parse(json.dumps(said)) == cas_evidence()


class TestRefusals:
    def test_a_document_for_another_nonce(self):
        with pytest.raises(VerificationError, match="another nonce"):
            accept(cas_document(), nonce="ff" * 16)
        with pytest.raises(VerificationError, match="another nonce"):
            accept(cas_document(cas_evidence(nonce=None)))

    def test_a_nonce_may_be_left_out_for_an_offline_report_only(self):
        assert accept(cas_document(cas_evidence(nonce=None)), nonce=None)
        assert accept(cas_document(), nonce=None)
        assert accept(cas_document(), nonce=NONCE.upper())

    @pytest.mark.parametrize("nonce", ["", "00", "0" * 33, "g" * 32, " " * 32])
    def test_a_nonce_that_is_none(self, nonce):
        with pytest.raises(UsageError, match="32 hex digits"):
            accept(cas_document(), nonce=nonce)

    def test_a_quote_for_other_data(self):
        with pytest.raises(VerificationError, match="not for this additional_data"):
            accept(cas_document(report_data=bytes(64)))

    @pytest.mark.parametrize(
        ("change", "identity"),
        [
            ({"simulated": False}, IDENTITY),
            ({"debug": True}, IDENTITY),
            ({"debug": False}, dataclasses.replace(IDENTITY, debug=True)),
        ],
    )
    def test_a_cas_that_describes_another_platform(self, change, identity):
        body = cas_document(cas_evidence(**change), identity=identity)
        with pytest.raises(VerificationError, match="another platform"):
            accept(body)

    def test_a_cas_of_another_tee(self):
        said = dataclasses.replace(cas_evidence(), tee="tdx")
        with pytest.raises(VerificationError, match="another platform"):
            accept(cas_document(said))

    def test_a_root_that_is_not_trusted(self):
        with pytest.raises(VerificationError, match="not a trusted root"):
            accept(cas_document(), anchors=[INTEL_SGX_ROOT])
        with pytest.raises(VerificationError, match="not a trusted root"):
            accept(cas_document(machine=platform(vendor_seed="attacker")))

    def test_expired_collateral(self):
        with pytest.raises(VerificationError, match="expired"):
            accept(cas_document(), now=NOW + timedelta(days=40))

    def test_a_policy_that_it_does_not_meet(self):
        with pytest.raises(NotTrustedError, match="Enclave hash does not match"):
            accept(cas_document(), policy=CasPolicy(mrenclaves=("ab" * 32,)))

    def test_certificate_chains_that_are_not_cas_and_cas_instance(self):
        chain, _ = cas_chain()
        other, _ = cas_chain("another cas")
        begin = "-----BEGIN CERTIFICATE-----\n"
        _, root, instance = chain.split(begin)
        _, _, other_instance = other.split(begin)
        cases = {
            begin + instance + begin + root: "expected CN=cas",
            begin + root + begin + root: "expected CN=cas-instance",
            begin + root + begin + other_instance: "not issued by",
            begin + root: "expected 2 PEM certificates",
            chain + begin + root: "expected 2 PEM certificates",
            platform().root_certificate_pem * 2: "expected CN=cas",
            "": "expected 2 PEM certificates",
        }
        for changed, says in cases.items():
            with pytest.raises((VerificationError, MalformedError), match=says):
                accept(cas_document(cas_evidence(chain=changed)))
        assert accept(cas_document(cas_evidence(chain=chain.replace("\n", "\r\n"))))

    def test_bodies_that_are_no_document(self):
        genuine = json.loads(cas_document())
        cases = [
            b"",
            b"{}",
            b"null",
            b"\xff",
            cas_document() + b" x",
            json.dumps({**genuine, "more": 1}).encode(),
            json.dumps({"additional_data": genuine["additional_data"]}).encode(),
            json.dumps({"proof_data": genuine["proof_data"]}).encode(),
            b'{"proof_data":{},"proof_data":{},"additional_data":{}}',
        ]
        for name, value in (
            ("type", "EPIDQuote"),
            ("quote", "!"),
            ("quote", genuine["proof_data"]["quote"] + "\n"),
            ("quote", "A" * 100_000),
            ("collateral", {}),
            ("collateral", None),
            ("extra", 1),
        ):
            proof = {**genuine["proof_data"], name: value}
            cases.append(json.dumps({**genuine, "proof_data": proof}).encode())
        for body in cases:
            with pytest.raises(MalformedError):
                CasDocument.parse(body)

    def test_a_key_twice_in_additional_data_is_refused(self):
        text = cas_evidence().to_json().decode()
        twice = text.replace('"provisioned":true', '"provisioned":false,"provisioned":true')
        with pytest.raises(MalformedError, match="a key twice"):
            accept(raw_document(twice.encode()))

    def test_a_document_with_an_empty_quote(self):
        body = build_document(b"", collateral(), cas_evidence().to_json())
        with pytest.raises(MalformedError, match="quote"):
            accept(body)


OLD_KEY = generate_private_key("P-256", seeded("old cas"))
OLD_SPKI = spki_of_private_key(OLD_KEY)
NEW_SPKI = spki_of_private_key(generate_private_key("P-256", seeded("new cas")))
OWNER_SPKI = spki_of_private_key(generate_private_key("P-256", seeded("owner")))
REQUEST = hashlib.sha256(b"the request").digest()


def receipt(**changes) -> Receipt:
    made = make_receipt(
        OLD_KEY,
        unprovisioned_spki=OLD_SPKI,
        new_cas_spki=NEW_SPKI,
        owner_spki=OWNER_SPKI,
        request_sha256=REQUEST,
    )
    return dataclasses.replace(made, **changes)


def check(made: Receipt, **changes) -> None:
    verify_receipt(
        made,
        **{
            "new_cas_spki": NEW_SPKI,
            "owner_spki": OWNER_SPKI,
            "request_sha256": REQUEST,
            "expected_old_key_hash": key_hash(OLD_SPKI),
            **changes,
        },
    )


class TestReceipt:
    def test_it_is_signed_over_the_bytes_of_the_format(self):
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        made = receipt()
        signed = (
            b"scone-provisioning-receipt-v1\0"
            + hashlib.sha256(NEW_SPKI).digest()
            + hashlib.sha256(OWNER_SPKI).digest()
            + REQUEST
        )
        key = serialization.load_der_public_key(OLD_SPKI)
        key.verify(made.signature, signed, ec.ECDSA(hashes.SHA256()))
        assert made.owner_key == key_hash(OWNER_SPKI)
        check(made)

    def test_it_travels_in_the_document(self):
        made = receipt()
        assert Receipt.from_dict(made.to_dict()) == made
        found = accept(cas_document(cas_evidence(receipt=made)))
        assert found.cas.provisioning_receipt == made

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"expected_old_key_hash": key_hash(NEW_SPKI)}, "another CAS"),
            ({"owner_spki": NEW_SPKI}, "another identity"),
            ({"request_sha256": bytes(32)}, "another request"),
            ({"new_cas_spki": OLD_SPKI}, "signature is not by this key"),
        ],
    )
    def test_it_is_for_one_cas_owner_request_and_new_key(self, change, says):
        with pytest.raises(VerificationError, match=says):
            check(receipt(), **change)

    def test_a_signature_by_another_key_or_over_other_bytes(self):
        signature = receipt().signature
        for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature))):
            with pytest.raises(VerificationError, match="signature is not by this key"):
                check(receipt(signature=wrong))
        forged = make_receipt(
            generate_private_key("P-256", seeded("attacker")),
            unprovisioned_spki=OLD_SPKI,
            new_cas_spki=NEW_SPKI,
            owner_spki=OWNER_SPKI,
            request_sha256=REQUEST,
        )
        with pytest.raises(VerificationError, match="signature is not by this key"):
            check(forged)

    def test_keys_that_are_none_or_of_another_kind(self):
        for spki in (b"", b"x", OLD_SPKI + b"\0"):
            with pytest.raises((MalformedError, VerificationError)):
                check(receipt(unprovisioned_cas_key=spki), expected_old_key_hash=key_hash(spki))
        ed25519 = generate_private_key("Ed25519", seeded("another kind"))
        spki = spki_of_private_key(ed25519)
        with pytest.raises(VerificationError, match="P-256"):
            check(receipt(unprovisioned_cas_key=spki), expected_old_key_hash=key_hash(spki))
        with pytest.raises(UsageError, match="P-256"):
            make_receipt(
                ed25519,
                unprovisioned_spki=spki,
                new_cas_spki=NEW_SPKI,
                owner_spki=OWNER_SPKI,
                request_sha256=REQUEST,
            )
        with pytest.raises(MalformedError):
            make_receipt(
                SecretBytes(b"no key"),
                unprovisioned_spki=spki,
                new_cas_spki=NEW_SPKI,
                owner_spki=OWNER_SPKI,
                request_sha256=REQUEST,
            )

    def test_forms_that_are_no_receipt(self):
        genuine = receipt().to_dict()
        for name in genuine:
            for wrong in (None, 1, "!", "ä" * 200, "AA==\n"):
                with pytest.raises(MalformedError):
                    Receipt.from_dict({**genuine, name: wrong if name != "owner_key" else None})
        assert base64.b64decode(str(genuine["unprovisioned_cas_key"])) == OLD_SPKI
