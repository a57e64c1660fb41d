"""Identities given in files, and many runs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from cli_fake_cas import Cli, FakeCas
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from scone.crypto.certificates import create_identity_certificate
from scone.crypto.der import to_pem
from scone.crypto.keys import KeyType, generate_private_key, private_key_pem

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem(key: Key, form: PrivateFormat, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, form, encryption)


def certificate(key_type: KeyType = "P-256") -> tuple[bytes, bytes]:
    key = generate_private_key(key_type, os.urandom)
    made = create_identity_certificate(key, random=os.urandom)
    return private_key_pem(key).reveal(), to_pem("CERTIFICATE", made).encode()


@pytest.mark.parametrize("key_type", ["P-256", "P-384", "Ed25519", "RSA-2048"])
def test_identities_of_every_kind_are_presented(
    scone: Cli, attested: FakeCas, tmp_path: Path, key_type: KeyType
) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(b"".join(certificate(key_type)))
    assert scone("cas", "version", "--identity", str(path)).code == 0
    assert attested.requests[-1].peer_spki_der is not None


EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
KEY, CERTIFICATE = certificate()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda: pem(RSA_KEY, PrivateFormat.TraditionalOpenSSL) + CERTIFICATE, "openssl pkcs8 -topk8"),
        (lambda: pem(EC_KEY, PrivateFormat.TraditionalOpenSSL) + CERTIFICATE, "openssl pkcs8 -topk8"),
        (lambda: pem(EC_KEY, PrivateFormat.PKCS8, b"secret") + CERTIFICATE, "encrypted"),
        (lambda: pem(EC_KEY, PrivateFormat.PKCS8) + CERTIFICATE, "a certificate of another key"),
        (lambda: CERTIFICATE + KEY, "the certificate first"),
        (lambda: KEY, "no certificate"),
        (lambda: CERTIFICATE, "no private key"),
        (lambda: b"", "no PEM block"),
        (lambda: b"\xff\xfe", "not ASCII"),
        (lambda: KEY + CERTIFICATE + CERTIFICATE, "expected"),
        (lambda: (KEY + CERTIFICATE)[:-30], "cut short"),
    ],
    ids=["PKCS#1", "SEC 1", "encrypted", "mismatch", "order", "key alone", "certificate alone", "empty",
         "binary", "two certificates", "cut short"],
)  # fmt: skip
def test_identities_that_cannot_be_used_are_explained_and_nothing_is_sent(
    scone: Cli, attested: FakeCas, tmp_path: Path, content: Callable[[], bytes], text: str
) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(content())
    result = scone("cas", "version", "--identity", str(path))
    assert (result.code, result.out) == (1, "")
    assert text in result.err
    assert "Traceback" not in result.err
    assert attested.requests == []


def test_an_absent_identity_file_is_a_usage_error(scone: Cli, attested: FakeCas) -> None:
    assert scone("cas", "version", "--identity", "/nonexistent").code == 2


def test_sixteen_attestations_at_once_lose_nothing(
    cas: FakeCas, root_pem: Path, state: Path
) -> None:
    port = cas.address.partition(":")[2]
    names = [
        f"{''.join(letters)}calhost:{port}" for letters in product("lL", "oO")
    ]  # the same server under different names
    names += [name.replace("host", rest) for name in names for rest in ("hOst", "hoSt", "hosT")]
    assert len(set(names)) == 16
    code = "import sys; from scone.cli.main import main; sys.exit(main())"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, "cas", "attest", name,
             "--only_for_testing-simulation", str(root_pem)],
            env={"SCONE_CLI_CONFIG": str(state), "PATH": os.defpath},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]  # fmt: skip
    outputs = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0] * 16, outputs
    found = json.loads(state.read_text())
    assert set(found["cas_db"]) == set(names)
    assert found["default_cas"] in names
    for name, (out, _) in zip(names, outputs, strict=True):
        assert out.decode() == f"CAS {name} at https://{name.lower()}/ is trustworthy\n"
