"""Writes the hostile quotes, collateral and attestation documents of this folder.

    .venv/bin/python tests/vectors/quote/make.py

Fixed seeds and deterministic signatures: the same files each time (a test compares them).
`expected.json` says how each is refused; `genuine.*` is what they were made from.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "unit/attestation")]

from forgeries import FORGERIES, MACHINE, flip, genuine  # noqa: E402

from fakes.evidence import (  # noqa: E402
    IDENTITY,
    NONCE,
    NOW,
    REPORT_DATA,
    cas_chain,
    cas_document,
    cas_evidence,
    collateral,
    platform,
    resign,
    seeded,
    vendor,
)
from scone.attestation.receipt import make_receipt  # noqa: E402
from scone.crypto.keys import generate_private_key, spki_of_private_key  # noqa: E402

QUOTES = (
    "quote of another root's platform",
    "attestation key not bound",
    "attestation key that is no point",
    "qe report signed by another key",
    "qe report altered",
    "qe in debug mode",
    "quote signed by another key",
    "quote signature one bit flipped",
    "mrenclave one bit flipped",
    "report data one bit flipped",
    "signature of zeros",
    "self-signed pck",
    "pck that is a ca",
    "pck without the sgx extension",
    "pck as ca of another pck",
    "pck with a negative serial number",
    "pck chain with a fourth certificate",
    "pck chain in other line lengths",
)
COLLATERALS = (
    "own tcb info",
    "own qe identity",
    "revoked pck",
    "root crl by another key",
    "tcb info expired",
    "tcb info of tdx",
    "tcb signer revoked",
    "qe of another signer",
)


def quotes() -> dict[str, tuple[bytes, str, str]]:
    raw = genuine().quote
    made = {name: (FORGERIES[name][0]().quote, "", FORGERIES[name][1]) for name in QUOTES}
    made |= {
        "empty": (b"", "malformed", "quote.version"),
        "one byte short": (raw[:-1], "malformed", "quote.signature data"),
        "one byte more": (raw + b"\0", "malformed", "quote.signature data"),
        "seventy zeros behind": (raw + bytes(70), "malformed", "quote.signature data"),
        "twice": (raw + raw, "malformed", "quote.signature data"),
        "header alone": (raw[:48], "malformed", "quote.report"),
        "version 4": (b"\x04\0" + raw[2:], "unsupported", "quote.version"),
        "key type 3": (raw[:2] + b"\x03\0" + raw[4:], "unsupported", "quote.attestation key type"),
        "tdx": (raw[:4] + b"\x81" + raw[5:], "unsupported", "quote.tee type"),
        "another vendor": (flip(raw, 12), "unsupported", "quote.qe vendor id"),
        "pck as encrypted id": (
            raw[:1046] + b"\x01\0" + raw[1048:],
            "unsupported",
            "quote.certification data type",
        ),
        "size of four gigabytes": (
            raw[:432] + b"\xff" * 4 + raw[436:],
            "malformed",
            "quote.signature data",
        ),
        "auth data longer than the quote": (
            raw[:1012] + b"\xff\xff" + raw[1014:],
            "malformed",
            "quote.qe auth data",
        ),
        "reserved bytes used": (flip(raw, 48 + 20), "malformed", "reserved"),
        "chain of another size": (
            raw[:1048] + struct.pack("<I", 7) + raw[1052:],
            "malformed",
            "no further bytes",
        ),
    }
    return made


def documents() -> dict[str, tuple[bytes, str, str]]:
    genuine_text = cas_evidence().to_json().decode()
    said = json.loads(genuine_text)
    body = cas_document()
    attacker = platform(vendor_seed="attacker", seed="attacker")
    other_chain, _ = cas_chain("another cas")
    mixed = cas_chain()[0].split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    mixed += other_chain.split("-----END CERTIFICATE-----\n")[1] + "-----END CERTIFICATE-----\n"
    other_chain_said = dataclasses.replace(cas_evidence(), cert_chain=other_chain).to_json()
    said["critical"]["must_understand"] = True
    key = generate_private_key("P-256", seeded("receipt"))
    receipt = make_receipt(
        key,
        unprovisioned_spki=spki_of_private_key(key),
        new_cas_spki=b"x",
        owner_spki=b"y",
        request_sha256=bytes(32),
    )
    bad_receipt = cas_evidence(
        receipt=dataclasses.replace(receipt, request_sha256=bytes(31), signature=b"x")
    )
    return {
        "replayed nonce": (
            cas_document(cas_evidence(nonce="ff" * 16)),
            "not-genuine",
            "another nonce",
        ),
        "no nonce": (cas_document(cas_evidence(nonce=None)), "not-genuine", "another nonce"),
        "certificates exchanged behind the quote": (
            body.replace(genuine_text.encode(), other_chain_said),
            "not-genuine",
            "not for this additional_data",
        ),
        "cas-instance of another cas": (
            cas_document(cas_evidence(chain=mixed)),
            "not-genuine",
            "not issued by",
        ),
        "simulation called hardware": (
            cas_document(cas_evidence(simulated=False)),
            "not-genuine",
            "another platform",
        ),
        "debug denied": (
            cas_document(identity=dataclasses.replace(IDENTITY, debug=True)),
            "not-genuine",
            "another platform",
        ),
        "foreign platform": (cas_document(machine=attacker), "not-genuine", "not a trusted root"),
        "another program": (
            cas_document(identity=dataclasses.replace(IDENTITY, mrsigner=bytes(32))),
            "not-trusted",
            "MRSIGNER",
        ),
        "unknown critical key": (
            cas_document(json.dumps(said).encode()),
            "malformed",
            "must_understand",
        ),
        "a key twice": (
            cas_document(genuine_text.replace('"type":', '"type":"x","type":').encode()),
            "malformed",
            "a key twice",
        ),
        "receipt cut short": (cas_document(bad_receipt), "malformed", "request_sha256"),
        "quote of another type": (
            body.replace(b'"type":"DCAP"', b'"type":"EPIDQuote"'),
            "malformed",
            "proof_data.type",
        ),
        "text behind it": (body + b"{}", "malformed", "text behind it"),
        "forty levels deep": (
            b'{"proof_data":' + b"[" * 40 + b"]" * 40 + b',"additional_data":{}}',
            "malformed",
            "32 levels",
        ),
        "cut short": (body[:-40], "malformed", "JSON"),
    }


def collaterals() -> dict[str, tuple[bytes, str, str]]:
    made = {
        name: (FORGERIES[name][0]().collateral.to_json(), "", FORGERIES[name][1])
        for name in COLLATERALS
    }
    text = collateral().to_json().decode()
    made["without qe identity"] = (
        text.replace('"qe_identity":', '"qe_identitY":').encode(),
        "malformed",
        "qe_identity",
    )
    made["not up to date for long"] = (
        resign(
            vendor(), collateral(), tcb_info=lambda body: body.update(nextUpdate="never")
        ).to_json(),
        "malformed",
        "tcb info.nextUpdate",
    )
    return made


def build() -> dict[str, bytes]:
    """All files of this folder but this one, by name."""
    files = {
        "genuine.quote": genuine().quote,
        "genuine.collateral.json": collateral().to_json(),
        "genuine.document.json": cas_document(),
        "root.der": MACHINE.anchor.certificate_der,
    }
    expected: dict[str, dict[str, str]] = {}
    for kind, cases in (
        ("quote", quotes()),
        ("collateral.json", collaterals()),
        ("document.json", documents()),
    ):
        for name, (raw, code, says) in cases.items():
            file = f"{name.replace(' ', '-').replace(chr(39), '')}.{kind}"
            assert file not in files
            files[file] = raw
            expected[file] = {"says": says} | ({"code": code} if code else {})
    about = {"now": NOW.isoformat(), "nonce": NONCE, "report_data": REPORT_DATA.hex()}
    files["expected.json"] = json.dumps({**about, "cases": expected}, indent=1).encode() + b"\n"
    return files


if __name__ == "__main__":
    for old in HERE.iterdir():
        if old.suffix in {".quote", ".json", ".der"}:
            old.unlink()
    for name, raw in build().items():
        (HERE / name).write_bytes(raw)
    print(f"{len(build())} files in {HERE}")
