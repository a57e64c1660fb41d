"""Key hashes: SCONE's own strings decode, and no altered string does."""

import base64
import hashlib
from pathlib import Path

import pytest

from scone.crypto.keyhash import decode_base58check, encode_base58check, key_hash, parse_key_hash
from scone.errors import MalformedError

PRINTED = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
SIGNER = "LtLcbPVddnCkH36ZcRdgYsw4H8xDbYaFZfuefkDc25uq2qdjmM"
# The documentation prints this signer also as PEM; the key is the last 32 bytes of the DER.
SIGNER_PEM = "MCowBQYDK2VwAyEAOsufQ7RCOXueVLQBpk7Y44GAaj+LzPbmHfdr/TPdlrE="

P256_OF_ONE = (
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
ED25519_OF_ZEROS = (
    "302a300506032b65700321003b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
)


def test_a_key_hash_that_scone_printed_decodes_and_encodes_again():
    digest = parse_key_hash(PRINTED)
    assert len(digest) == 32
    assert encode_base58check(1, digest) == PRINTED


def test_an_old_signer_string_is_the_ed25519_key_under_version_ten():
    version, key = decode_base58check(SIGNER)
    assert (version, key) == (10, base64.b64decode(SIGNER_PEM)[-32:])
    with pytest.raises(MalformedError, match="version byte 0x0a"):
        parse_key_hash(SIGNER)


def test_the_hash_is_sha256_of_the_spki():
    assert parse_key_hash(key_hash(b"spki")) == hashlib.sha256(b"spki").digest()


@pytest.mark.parametrize(
    ("spki", "expected"),
    [
        (P256_OF_ONE, "3edBPMeDmoYam6tUXMzK2c11AREcN3s7Kpv1BeJu6ZqrB4ruQg"),
        (ED25519_OF_ZEROS, "3LUgqgtf3tdk7cmF7hgU5pVjetZ8UgGf5NJZVt9LpUM6SNUonY"),
    ],
)
def test_the_vectors_of_the_format_page(spki, expected):
    assert key_hash(bytes.fromhex(spki)) == expected
    page = (Path(__file__).parents[3] / "docs" / "formats" / "key-hash.md").read_text()
    assert spki in page
    assert expected in page


def test_each_changed_character_is_refused():
    for at in range(len(PRINTED)):
        for other in "12zZ":
            if PRINTED[at] != other:
                with pytest.raises(MalformedError):
                    parse_key_hash(PRINTED[:at] + other + PRINTED[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        PRINTED[:-1],
        PRINTED + "1",
        "0" + PRINTED[1:],
        "1" + PRINTED,
        " " + PRINTED,
        "z" * 52,
        "z" * 53,
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(MalformedError, match="expected a Base58Check string such as"):
        parse_key_hash(text)
