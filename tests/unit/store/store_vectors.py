"""Makes vectors/*.json from fixed keys and nonces: `python tests/unit/store/store_vectors.py`.

`key-store-registered.json` holds an HPKE message, whose ephemeral key is random: it is
kept as it is and only opened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scone.cas.store.base import DatabaseIdentity
from scone.cas.store.key_store import KeyStorePayload, SealTo, new_key_store
from scone.cas.store.key_store_file import SealedUnder
from scone.cas.store.records import (
    NO_HEAD,
    Head,
    Link,
    Record,
    RecordCodec,
    add_modular,
    encode_record,
    head_hash,
    version,
)
from scone.crypto.secret import SecretBytes

VECTORS = Path(__file__).parent / "vectors"
KEY = bytes(range(32))
IDENTITY = DatabaseIdentity(bytes(range(0x40, 0x50)), 7)
RECORDS = (
    Record("session", "hello-world", b"0123456789"),
    Record("session", "", b""),
    Record("version", "a" * 64, bytes(300)),
    Record("session", "grün/α", b"utf-8"),
    Record("backup", "withdrawn", None),
)


class FixedRandom:
    """Answers the n-th request with bytes n, n, n, ..."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return bytes([self.calls]) * size


def database() -> dict[str, Any]:
    """One commit with five records, its head and its link, then a second commit's head."""
    codec, random = RecordCodec(SecretBytes(KEY), IDENTITY), FixedRandom()
    rows, total = [], 0
    for record in RECORDS:
        row = codec.seal_record(record, 3, random)
        share = codec.share(row.id, version(3, row.tag))
        total = add_modular(total, added=share)
        rows.append(
            {
                "collection": record.collection,
                "key": record.key,
                "value": None if record.value is None else record.value.hex(),
                "plaintext": encode_record(record).hex(),
                "id": row.id.hex(),
                "commit_number": 3,
                "tag": row.tag.hex(),
                "data": row.data.hex(),
                "share": f"{share:064x}",
            }
        )
    head = Head(IDENTITY, 3, 0, len(rows), total)
    sealed = codec.seal_head(head, random)
    link = codec.seal_link(3, Link(NO_HEAD, head_hash(sealed)), random)
    return {
        "origin": "made by tests/unit/store/store_vectors.py; the n-th nonce is twelve bytes of n",
        "database_key": KEY.hex(),
        "database_id": IDENTITY.database_id.hex(),
        "epoch": IDENTITY.epoch,
        "key_check": codec.key_check.hex(),
        "rows": rows,
        "head": {
            "commit_number": 3,
            "chain_start": 0,
            "rows": len(rows),
            "sum": f"{total:064x}",
            "sealed": sealed.hex(),
            "hash": head_hash(sealed).hex(),
        },
        "link": {"previous": NO_HEAD.hex(), "sealed": link.hex()},
    }


PAYLOAD = KeyStorePayload(
    database_key=SecretBytes(KEY),
    origin="injected",
    tee_kind="sgx",
    root="SIMULATED:00112233445566778899aabbccddeeff",
    database_id=IDENTITY.database_id,
    epoch=IDENTITY.epoch,
    cas_key_hash="3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1",
    owner_key_hash="3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1",
    simulated=True,
    debug=False,
)
UNDER = SealedUnder.of(
    tee="sgx",
    mrenclave=bytes(range(32)),
    platform_id="INTEL_QE_ID:00112233445566778899aabbccddeeff",
    isvsvn=1,
    cpu_svn=bytes(range(16)),
)
SEALING_KEY = SecretBytes(b"\x5e" * 32)


def key_store() -> dict[str, Any]:
    """A key store sealed to one machine."""
    random = FixedRandom()
    made = new_key_store(PAYLOAD, [SealTo(SEALING_KEY, UNDER)], random)
    return {
        "origin": "made by tests/unit/store/store_vectors.py; the n-th random request is bytes of n",
        "sealing_key": SEALING_KEY.reveal().hex(),
        "file_key": made.file_key.reveal().hex(),
        "payload": made.payload.to_json().decode(),
        "file": made.encode(random).hex(),
    }


MAKERS = {"database.json": database, "key-store.json": key_store}


def main() -> None:
    VECTORS.mkdir(exist_ok=True)
    for name, maker in MAKERS.items():
        (VECTORS / name).write_text(json.dumps(maker(), indent=1) + "\n")


if __name__ == "__main__":
    main()
