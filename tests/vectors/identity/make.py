"""Makes the hostile identity files of this folder again, each the same bytes as before.

Run with the project's Python: `python tests/vectors/identity/make.py`. Keys come from seeds
(RSA primes are searched from a seed), signatures are deterministic (RFC 6979, Ed25519,
PKCS#1 v1.5); only the two encrypted keys carry a fresh salt and are kept when they exist.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL


def seeded(label: str, length: int) -> bytes:
    return hashlib.shake_256(b"scone identity vectors " + label.encode()).digest(length)


def curve_key(label: str, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    size = curve.key_size // 8 - 1  # below the order of each curve used here
    return ec.derive_private_key(int.from_bytes(seeded(label, size), "big") | 1, curve)


def is_prime(number: int) -> bool:
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


def prime(label: str, bits: int) -> int:
    number = int.from_bytes(seeded(label, bits // 8), "big") | 3 << (bits - 2) | 1
    while not (is_prime(number) and (number - 1) % 65537):
        number += 2
    return number


def rsa_key(label: str, bits: int) -> rsa.RSAPrivateKey:
    p, q = prime(f"{label} p", bits // 2), prime(f"{label} q", bits // 2)
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public
    ).private_key()


def pem(key, form=PKCS8) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def certificate_der(public_key, signer) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hostile identity")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(7)
        .not_valid_before(dt.datetime(1975, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(4096, 1, 1, tzinfo=dt.UTC))
    )
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm, ecdsa_deterministic=deterministic).public_bytes(
        serialization.Encoding.DER
    )


def block(label: str, body: bytes) -> bytes:
    text = base64.encodebytes(body).replace(b"\n", b"")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN %s-----" % label.encode(), *lines]) + (
        b"\n-----END %s-----\n" % label.encode()
    )


def write(name: str, title: str, content: bytes, error: str, hint: str = "") -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "input.pem").write_bytes(content)
    (folder / "case.toml").write_text(
        f"title = {title!r}\nerror = {error!r}\nhint = {hint!r}\n", encoding="utf-8"
    )


def kept(name: str, fresh: bytes) -> bytes:
    path = HERE / name / "input.pem"
    return path.read_bytes() if path.exists() else fresh


def main() -> None:
    good = curve_key("good", ec.SECP256R1())
    other = curve_key("other", ec.SECP256R1())
    key, der = pem(good), certificate_der(good.public_key(), good)
    cert = block("CERTIFICATE", der)
    order = "a PEM PKCS#8 private key followed by an X.509 certificate"
    both = "put both into one file"
    pkcs8 = "an unencrypted PKCS#8 private key"
    convert = "openssl pkcs8 -topk8"

    write("empty", "an empty file", b"", f"{order}, got no PEM block", both)
    write("prose", "text without PEM", b"my identity\n", f"{order}, got no PEM block", both)
    write("binary", "bytes that are not text", seeded("x", 300), "bytes that are not ASCII", both)
    write("der", "DER instead of PEM", der, "bytes that are not ASCII", both)
    write(
        "byte-order-mark",
        "a UTF-8 byte order mark",
        b"\xef\xbb\xbf" + key + cert,
        "bytes that are not ASCII",
        both,
    )
    write("key-only", "no certificate", key, f"{order}, got no certificate", both)
    write("certificate-only", "no key", cert, f"{order}, got no private key", both)
    write(
        "certificate-first",
        "the wrong order",
        cert + key,
        f"{order}, got the certificate first",
        both,
    )
    write(
        "two-certificates",
        "a chain",
        key + cert + cert,
        "got PRIVATE KEY, CERTIFICATE, CERTIFICATE",
        both,
    )
    write("two-keys", "two keys", key + key + cert, "got PRIVATE KEY, PRIVATE KEY", both)
    write(
        "another-key",
        "key and certificate of two identities",
        key + block("CERTIFICATE", certificate_der(other.public_key(), other)),
        "expected a certificate of this private key, got a certificate of another key",
        "openssl pkey",
    )
    rsa_good = rsa_key("rsa 2048", 2048)
    rsa_cert = block("CERTIFICATE", certificate_der(rsa_good.public_key(), rsa_good))
    write(
        "pkcs1",
        "a PKCS#1 key",
        pem(rsa_good, TRADITIONAL) + rsa_cert,
        f"{pkcs8}, got a PKCS#1 RSA key",
        "openssl pkcs8 -topk8 -inform PEM -outform PEM -nocrypt",
    )
    write(
        "sec1",
        "a SEC 1 key",
        pem(good, TRADITIONAL) + cert,
        f"{pkcs8}, got a SEC 1 elliptic-curve key",
        convert,
    )
    parameters = block("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
    write(
        "sec1-parameters",
        "a SEC 1 key after its curve, as openssl ecparam writes it",
        parameters + pem(good, TRADITIONAL) + cert,
        "got curve parameters of a SEC 1",
        convert,
    )
    encrypted = good.private_bytes(
        serialization.Encoding.PEM, PKCS8, serialization.BestAvailableEncryption(b"password")
    )
    write(
        "encrypted-pkcs8",
        "an encrypted PKCS#8 key",
        kept("encrypted-pkcs8", encrypted + cert),
        f"{pkcs8}, got an encrypted PKCS#8 key",
        "openssl pkcs8 -in key.pem",
    )
    encrypted = good.private_bytes(
        serialization.Encoding.PEM, TRADITIONAL, serialization.BestAvailableEncryption(b"password")
    )
    write(
        "encrypted-sec1",
        "an encrypted SEC 1 key",
        kept("encrypted-sec1", encrypted + cert),
        "base64 without PEM headers",
        convert,
    )
    write(
        "openssh",
        "a key of OpenSSH",
        block("OPENSSH PRIVATE KEY", b"openssh-key-v1\0") + cert,
        "got a key in OpenSSH's own format",
        "ssh-keygen -p -m PKCS8",
    )
    write(
        "dsa",
        "a DSA key",
        block("DSA PRIVATE KEY", b"\x30\x03\x02\x01\x00") + cert,
        "got a DSA key",
        "openssl genpkey",
    )
    spki = good.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write("public-key", "the public key only", spki + cert, "got PUBLIC KEY, CERTIFICATE", both)
    write(
        "request",
        "a signing request instead of a certificate",
        key + block("CERTIFICATE REQUEST", der),
        "got PRIVATE KEY, CERTIFICATE REQUEST",
        both,
    )
    write(
        "trusted-certificate",
        "OpenSSL's trusted form",
        key + block("TRUSTED CERTIFICATE", der),
        "got PRIVATE KEY, TRUSTED CERTIFICATE",
        both,
    )
    write(
        "swapped-labels",
        "a certificate called a key",
        block("PRIVATE KEY", der) + cert,
        "private key: expected a PKCS#8 private key",
    )
    accepted = "expected a P-256, P-384, Ed25519 or RSA key (2048 to 8192 bits)"
    for name, title, foreign in (
        ("p521", "a P-521 key", curve_key("p521", ec.SECP521R1())),
        ("secp256k1", "a secp256k1 key", curve_key("k1", ec.SECP256K1())),
        ("rsa-1024", "an RSA key of 1024 bits", rsa_key("rsa 1024", 1024)),
        ("ed448", "an Ed448 key", ed448.Ed448PrivateKey.from_private_bytes(seeded("448", 57))),
        ("x25519", "an X25519 key", x25519.X25519PrivateKey.from_private_bytes(seeded("x", 32))),
    ):
        write(
            name,
            title,
            pem(foreign) + block("CERTIFICATE", certificate_der(foreign.public_key(), good)),
            accepted,
        )
    write(
        "cut-end",
        "cut before the last line",
        key + cert[: cert.rindex(b"-----END")],
        "the end of the text (cut short?)",
    )
    write(
        "cut-middle",
        "cut inside the base64",
        key + cert[:200] + b"\n-----END CERTIFICATE-----\n",
        "expected base64 before this line",
    )
    write(
        "other-end",
        "an end with another label",
        key + cert.replace(b"END CERTIFICATE", b"END PRIVATE KEY"),
        "expected -----END CERTIFICATE-----, got -----END PRIVATE KEY-----",
    )
    write(
        "nested",
        "a block inside a block",
        key.replace(b"-----END PRIVATE KEY-----\n", cert),
        "expected -----END PRIVATE KEY-----, got -----BEGIN CERTIFICATE-----",
    )
    write(
        "one-line",
        "everything on one line",
        (key + cert).replace(b"\n", b" "),
        "expected a boundary such as",
    )
    write(
        "indented-text",
        "a boundary behind other text",
        b"key: " + key + cert,
        "expected a PEM boundary at the start of the line",
    )
    lines = cert.split(b"\n")
    lines[2] = lines[2][:10] + b"*" + lines[2][11:]
    write(
        "bad-base64",
        "a character outside base64",
        key + b"\n".join(lines),
        "expected a line of base64",
    )
    write(
        "left-over-bits",
        "base64 with bits behind its end",
        key + b"-----BEGIN CERTIFICATE-----\nMAB=\n-----END CERTIFICATE-----\n",
        "no or left-over bits",
    )
    write(
        "nul",
        "a NUL inside the base64",
        key + b"\n".join(lines).replace(b"*", b"\0"),
        "expected a line of base64",
    )
    write(
        "trailing-bytes",
        "bytes behind the certificate",
        key + block("CERTIFICATE", der + b"\0"),
        "expected no further bytes, got 1",
    )
    write(
        "cut-certificate",
        "a certificate cut short",
        key + block("CERTIFICATE", der[:-40]),
        "the certificate is damaged",
    )
    write(
        "indefinite",
        "an indefinite length",
        key + block("CERTIFICATE", b"\x30\x80" + der[4:] + b"\0\0"),
        "expected a definite length of at most 3 bytes",
    )
    write(
        "long-length",
        "a length of four bytes",
        key + block("CERTIFICATE", b"\x30\x84\x7f\xff\xff\xff" + der[4:]),
        "expected a definite length of at most 3 bytes",
    )
    write(
        "damaged-key",
        "a key with a byte changed",
        block(
            "PRIVATE KEY",
            serialization.load_pem_private_key(key, None).private_bytes(
                serialization.Encoding.DER, PKCS8, serialization.NoEncryption()
            )[:-30],
        )
        + cert,
        "private key: expected a PKCS#8 private key",
    )


if __name__ == "__main__":
    main()
