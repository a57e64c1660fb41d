"""Makes the vectors of this folder again, each the same bytes as before.

Run with the project's Python: `python tests/vectors/signed-session/make.py`. It uses nothing of
`scone`: messages, documents and HPKE (RFC 9180) are written out here as
docs/formats/signed-session.md says. Keys come from seeds; ECDSA is deterministic (RFC 6979).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = Path(__file__).parent
LABEL = b"scone-signed-session-v1\0"
CAS = "35G83kEaPTNk9DkdkbXtGyRiBvZpxAbqgYSzdLMfJLkKwHU7TE"
TEXT = 'version: "0.3"\nname: governed\naccess_policy:\n  read: ANY\n  update: NONE\n'
CANONICAL = (
    '{"version":"0.3","name":"governed","predecessor":null,'
    '"access_policy":{"read":["ANY"],"update":["NONE"]}}'
)
NOT_AFTER = "2026-12-31T23:59:59Z"


def seeded(label: str, length: int) -> bytes:
    return hashlib.shake_256(b"scone signed session vectors " + label.encode()).digest(length)


def curve_key(label: str, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    size = curve.key_size // 8 - 1  # below the order
    return ec.derive_private_key(int.from_bytes(seeded(label, size), "big") | 1, curve)


ALICE = ed25519.Ed25519PrivateKey.from_private_bytes(seeded("alice", 32))
BOB = curve_key("bob", ec.SECP384R1())
CAROL = ed25519.Ed25519PrivateKey.from_private_bytes(seeded("carol", 32))
P256 = curve_key("p256", ec.SECP256R1())


def pem(key) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def message(cas_key=None, not_after=None, *, name="governed", canonical=CANONICAL) -> bytes:
    claims = {
        "cas_key": cas_key,
        "name": name,
        "session_hash": hashlib.sha256(canonical.encode()).hexdigest(),
        "not_after": not_after,
    }
    return LABEL + json.dumps(claims, separators=(",", ":")).encode()


def der_signature(key, over: bytes) -> bytes:
    return key.sign(over, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))


def raw_signature(key, over: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(over)
    return b"".join(
        part.to_bytes(48, "big") for part in decode_dss_signature(der_signature(key, over))
    )


def signed(key, over=None, **members):
    cas_key, not_after = members.get("cas_key"), members.get("not_after")
    signature = raw_signature(key, over or message(cas_key, not_after))
    return {"signer": pem(key), "signature": signature.hex(), **members}


def document(*signatures, text=TEXT, **members) -> str:
    whole = {"session": text, "signatures": list(signatures), **members}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def case(name: str, comment: str, body: str, expect: str = "ok", **facts) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "document.json").write_text(body)
    lines = [f"comment = {json.dumps(comment)}", f"expect = {json.dumps(expect)}"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
    (folder / "case.toml").write_text("\n".join(lines) + "\n")


def accepted(name: str, comment: str, body: str, *signers, **facts) -> None:
    case(name, comment, body, signers=[pem(one) for one in signers], **facts)


def hpke_seal(recipient: x25519.X25519PublicKey, ephemeral, info: bytes, plaintext: bytes) -> bytes:
    """RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""

    def extract(suite, salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(suite, key, label, data, length):  # one block is enough here
        data = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + data
        return hmac.digest(key, data + b"\x01", "sha256")[:length]

    kem = b"KEM\x00\x20"
    encapsulated = ephemeral.public_key().public_bytes_raw()
    shared = extract(kem, b"", b"eae_prk", ephemeral.exchange(recipient))
    context = encapsulated + recipient.public_bytes_raw()
    shared = expand(kem, shared, b"shared_secret", context, 32)
    suite = b"HPKE\x00\x20\x00\x01\x00\x02"
    context = b"\x00" + extract(suite, b"", b"psk_id_hash", b"")
    context += extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    key = expand(suite, secret, b"key", context, 32)
    nonce = expand(suite, secret, b"base_nonce", context, 12)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")


def encrypted(recipient, plaintext: str, info=b"scone-encrypted-session-v1", **members) -> str:
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(seeded("ephemeral", 32))
    public = recipient.public_key()
    info = len(info).to_bytes(4, "big") + info
    sealed = hpke_seal(public, ephemeral, info, plaintext.encode())
    whole = {
        "encrypted_session": base64.b64encode(sealed).decode(),
        "encryption_key": public.public_bytes_raw().hex(),
        **members,
    }
    return json.dumps(whole, separators=(",", ":"))


def make_signed() -> None:
    alone = document(signed(ALICE))
    accepted("ed25519", "one Ed25519 signer", alone, ALICE, message=message().hex())
    accepted("p384", "one P-384 signer, r and s", document(signed(BOB)), BOB)
    accepted(
        "two-signers",
        "in the order of the document",
        document(signed(BOB), signed(ALICE)),
        BOB,
        ALICE,
    )
    accepted("one-signer-twice", "is one signer", document(signed(ALICE), signed(ALICE)), ALICE)
    accepted(
        "comments-in-the-text",
        "text is not signed, meaning is",
        document(signed(ALICE), text="# a comment\n" + TEXT.replace("ANY", '"ANY"')),
        ALICE,
    )
    bound = {"cas_key": CAS, "not_after": NOT_AFTER}
    accepted(
        "bound",
        "to a CAS and a time, at its last second",
        document(signed(ALICE, **bound)),
        ALICE,
        cas_key=CAS,
        now=NOT_AFTER,
        message=message(CAS, NOT_AFTER).hex(),
    )
    other = "3Cn4s3SJMEXMTroMva4pEM5WGER1CVKtj1nk6ypKwg7AJV6JqA"
    refused = "not-genuine"
    case(
        "wrong-cas",
        "bound to another CAS",
        document(signed(ALICE, **bound)),
        refused,
        cas_key=other,
    )
    case(
        "expired",
        "a second too late",
        document(signed(ALICE, **bound)),
        refused,
        cas_key=CAS,
        now="2027-01-01T00:00:00Z",
    )
    case(
        "one-of-two-expired",
        "one bad signature spoils the document",
        document(signed(BOB), signed(ALICE, **bound)),
        refused,
        now="2027-01-01T00:00:00Z",
    )
    unbound = signed(ALICE)
    case(
        "binding-added",
        "cas_key is signed",
        document(unbound | {"cas_key": CAS}),
        refused,
        cas_key=CAS,
    )
    bare = {key: signed(ALICE, **bound)[key] for key in ("signer", "signature")}
    case("binding-removed", "and so is its absence", document(bare), refused)
    later = signed(ALICE, **bound) | {"not_after": "2036-12-31T23:59:59Z"}
    case("time-changed", "not_after is signed", document(later), refused, cas_key=CAS)
    case(
        "text-changed",
        "ANY may update",
        document(unbound, text=TEXT.replace("NONE", "ANY")),
        refused,
    )
    case(
        "name-changed",
        "another session",
        document(unbound, text=TEXT.replace("governed", "g")),
        refused,
    )
    case(
        "wrong-signer",
        "a signature of another key",
        document(unbound | {"signer": pem(CAROL)}),
        refused,
    )
    flipped = bytearray.fromhex(unbound["signature"])
    flipped[10] ^= 1
    case(
        "one-bit-flipped",
        "in the signature",
        document(signed(BOB), unbound | {"signature": flipped.hex()}),
        refused,
    )
    case("zeros", "r and s are 0", document(signed(BOB) | {"signature": "00" * 96}), refused)
    case(
        "no-label",
        "a message of another protocol",
        document(signed(ALICE, message()[24:])),
        refused,
    )

    bad = "malformed"
    case("no-signatures", "an unsigned session is none", document(), bad)
    case("65-signatures", "more than anybody needs", document(*[unbound] * 65), bad)
    case("unknown-member", "beside the text", document(unbound, valid=True), bad)
    case(
        "unknown-member-of-a-signature",
        "may change what it means",
        document(unbound | {"role": "x"}),
        bad,
    )
    case(
        "null-cas-key", "absent is the only form of any", document(unbound | {"cas_key": None}), bad
    )
    case("cas-key-mistyped", "checksum", document(unbound | {"cas_key": CAS[:-1] + "1"}), bad)
    for name, text in (
        ("time-without-zone", "2026-12-31T23:59:59"),
        ("time-with-offset", "2026-12-31T23:59:59+00:00"),
        ("day-that-is-none", "2026-02-30T00:00:00Z"),
    ):
        case(name, "one form of a time", document(unbound | {"not_after": text}), bad)
    hexadecimal = unbound["signature"]
    for name, text in (
        ("signature-short", hexadecimal[:-2]),
        ("signature-odd", hexadecimal[:-1]),
        ("signature-not-hex", "xy" + hexadecimal[2:]),
        ("signature-base64", base64.b64encode(bytes.fromhex(hexadecimal)).decode()),
    ):
        case(name, "64 bytes in hex", document(unbound | {"signature": text}), bad)
    in_der = signed(BOB) | {"signature": der_signature(BOB, message()).hex()}
    case("p384-in-der", "documents have r and s", document(in_der), bad)
    case("p256-signer", "no signer's key", document(unbound | {"signer": pem(P256)}), bad)
    case("signer-is-no-key", "text", document(unbound | {"signer": "alice"}), bad)
    case(
        "signer-is-a-private-key",
        "label",
        document(unbound | {"signer": pem(ALICE).replace("PUBLIC", "PRIVATE")}),
        bad,
    )
    case("key-twice", "two texts, which one is signed?", alone[:-1] + ',"session":"name: x"}', bad)
    case("half-a-surrogate", "no text", alone.replace("governed", "\\ud800"), bad)
    case("text-behind-it", "one value", alone + "{}", bad)
    case("cut-short", "no JSON", alone[:-10], bad)
    case("a-list", "of documents", f"[{alone}]", bad)
    case(
        "text-is-an-object",
        "the session as JSON",
        json.dumps({"session": {}, "signatures": [unbound]}),
        bad,
    )


def make_encrypted() -> None:
    recipient = x25519.X25519PrivateKey.from_private_bytes(seeded("recipient", 32))
    other = x25519.X25519PrivateKey.from_private_bytes(seeded("other", 32))
    plain = document(signed(ALICE))
    private = {"private_key": recipient.private_bytes_raw().hex()}
    good = encrypted(recipient, plain)
    case("encrypted", "decrypts to the document of ed25519", good, **private)
    bad = "malformed"
    case("encrypted-to-another", "CAS", encrypted(other, plain), bad, **private)
    own = {"encryption_key": recipient.public_key().public_bytes_raw().hex()}
    case("encrypted-to-another-renamed", "CAS", encrypted(other, plain, **own), bad, **private)
    case("encrypted-for-another-purpose", "info", encrypted(recipient, plain, b"x"), bad, **private)
    parts = json.loads(good)
    sealed = bytearray(base64.b64decode(parts["encrypted_session"]))
    for name, changed in (
        ("encrypted-cut", bytes(sealed[:-1])),
        ("encrypted-empty", b""),
        ("encrypted-flipped", bytes([*sealed[:40], sealed[40] ^ 1, *sealed[41:]])),
    ):
        whole = parts | {"encrypted_session": base64.b64encode(changed).decode()}
        case(name, "altered", json.dumps(whole), bad, **private)
    spaced = parts | {"encrypted_session": parts["encrypted_session"] + "\n"}
    case("encrypted-base64-with-newline", "one form", json.dumps(spaced), bad, **private)
    case("encrypted-unknown-member", "strict", json.dumps(parts | {"cas": "x"}), bad, **private)
    case(
        "encrypted-short-key",
        "32 bytes",
        json.dumps(parts | {"encryption_key": "ab"}),
        bad,
        **private,
    )


if __name__ == "__main__":
    make_signed()
    make_encrypted()
