"""A local Azure: Active Directory, key vaults and attestation, on loopback with its own authority.

It checks what it is asked (paths, api-version, bodies, client assertions, tokens) and refuses what
the real one would; `faults` makes it lie in one place.
"""

import base64
import datetime as dt
import hashlib
import json
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from scone.attestation.sgx.quote import ReportBody

TENANT = "e6c9c526-f1aa-4e0d-b207-50bad9a89d21"
CLIENT = "3f6a210e-83b4-4217-9eee-4f707d8aeeb3"
APPLICATION_SECRET = "dGmbyTBE4JNAN3JJobeD"
AUDIENCE = "vault.azure.net"
MAX_VALUE = 25 * 1024


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pem_key(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate(subject, key, issuer=None, issuer_key=None, *, ca=False, names=(), validity=None):
    """A certificate in PEM's object form; self-signed without an issuer."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    begin, end = validity or (
        dt.datetime.now(dt.UTC) - dt.timedelta(hours=1),
        dt.datetime.now(dt.UTC) + dt.timedelta(days=2),
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


@dataclass
class FakeAzure:
    """The state of the fake; everything is reached at `host`."""

    port: int = 0
    roots_pem: str = ""
    vault: dict = field(default_factory=dict)
    """Name to list of versions, each {value, content_type, enabled}."""
    application_certificate: object = None
    application_key: object = None
    tokens: set = field(default_factory=set)
    token_seconds: int = 3600
    readable: bool = True
    writable: bool = True
    requests: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)
    maa: object = None

    @property
    def host(self):
        return f"localhost:{self.port}"

    @property
    def config(self):
        """The owner configuration that points a CAS here."""
        return {
            "azure": {
                "authority": self.host,
                "audience": AUDIENCE,
                "vaults": [self.host],
                "attestation": [self.host],
                "ca_certificates": self.roots_pem,
            }
        }

    def put(self, name, value, content_type=None):
        self.vault.setdefault(name, []).append(
            {"value": value, "content_type": content_type, "enabled": True}
        )

    def paths(self, part):
        return [path for path in self.requests if part in path]


def serve():
    """Start a fake; returns it and a function that ends it."""
    fake = FakeAzure()
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("fake root", root_key, ca=True)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificate("localhost", key, root, root_key, names=["localhost"])
    fake.roots_pem = root.public_bytes(Encoding.PEM).decode()
    fake.application_key = rsa.generate_private_key(65537, 2048)
    fake.application_certificate = certificate("an application", fake.application_key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    fake.port = server.server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, leaf, key)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()
        thread.join(5)

    return fake, stop


def _load(context, leaf, key):
    import os
    import tempfile

    descriptor, path = tempfile.mkstemp()
    try:
        os.write(descriptor, leaf.public_bytes(Encoding.PEM) + pem_key(key).encode())
        os.close(descriptor)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)


class RefusedError(Exception):
    def __init__(self, status, body=None, headers=()):
        super().__init__(status)
        self.status, self.body, self.headers = status, body or {}, headers


def _handler(fake):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self):
            try:
                self.request.do_handshake()
                super().handle()
            except (OSError, ssl.SSLError):
                pass  # the client does not accept this server, or went away

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer("GET")

        def do_POST(self):
            self.answer("POST")

        def do_PUT(self):
            self.answer("PUT")

        def answer(self, method):
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            path, _, query = self.path.partition("?")
            fake.requests.append(f"{method} {path}")
            time.sleep(fake.faults.get("slow", 0))
            headers = ()
            try:
                status, answer = 200, route(fake, method, path, query, self.headers, body)
            except RefusedError as refused:
                status, answer, headers = refused.status, refused.body, refused.headers
            raw = json.dumps(answer).encode()
            if "body" in fake.faults:
                raw = fake.faults["body"]
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


def route(fake, method, path, query, headers, body):
    if "redirect" in fake.faults:
        raise RefusedError(302, headers=(("location", fake.faults["redirect"]),))
    parts = path.strip("/").split("/")
    if path.endswith("/.well-known/openid-configuration") and method == "GET":
        if parts[0] != TENANT:
            told = "AADSTS90002: Tenant not found."
            raise RefusedError(400, {"error": "invalid_tenant", "error_description": told})
        where = f"https://{fake.host}/{parts[0]}"
        other = fake.faults.get("token_endpoint", f"{where}/oauth2/v2.0/token")
        return {
            "token_endpoint": other,
            "authorization_endpoint": f"{where}/oauth2/v2.0/authorize",
            "issuer": f"{where}/v2.0",
        }
    if method == "POST" and path.endswith("/oauth2/v2.0/token"):
        return token(fake, path, body)
    if parts[0] == "secrets":
        return secret(fake, method, parts, query, headers, body)
    if fake.maa is not None and parts[0] in {"attest", "certs"}:
        return fake.maa.answer(fake, method, path, query, body)
    raise RefusedError(404)


def token(fake, path, body):
    form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))

    def refuse(code, text):
        fake.problems.append(text)
        raise RefusedError(
            401, {"error": "invalid_client", "error_description": f"{code}: {text} {body.decode()}"}
        )

    if path.split("/")[1] != TENANT:
        refuse("AADSTS90002", "no such tenant")
    if form.get("client_id") != CLIENT:
        refuse("AADSTS700016", "no such application")
    if form.get("grant_type") != "client_credentials":
        refuse("AADSTS70003", "grant type")
    if form.get("scope") != f"https://{AUDIENCE}/.default":
        refuse("AADSTS70011", "scope")
    if "client_assertion" in form:
        check_assertion(fake, path, form, refuse)
    elif form.get("client_secret") != APPLICATION_SECRET:
        refuse("AADSTS7000215", "secret")
    made = f"token-{len(fake.tokens)}-{time.monotonic_ns()}"
    fake.tokens.add(made)
    return {"token_type": "Bearer", "expires_in": fake.token_seconds, "access_token": made}


def check_assertion(fake, path, form, refuse):
    if form.get("client_assertion_type") != (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    ):
        refuse("AADSTS50027", "assertion type")
    head, payload, signature = form["client_assertion"].split(".")
    header, claims = json.loads(from_b64url(head)), json.loads(from_b64url(payload))
    digest = fake.application_certificate.fingerprint(hashes.SHA1())
    if header.get("alg") != "RS256" or from_b64url(header["x5t"].rstrip("=")) != digest:
        refuse("AADSTS700027", "thumbprint")
    if claims["aud"] != f"https://{fake.host}{path}" or {claims["iss"], claims["sub"]} != {CLIENT}:
        refuse("AADSTS50027", "claims")
    if not time.time() - 60 < claims["exp"] < time.time() + 3600:
        refuse("AADSTS700024", "time")
    try:
        fake.application_certificate.public_key().verify(
            from_b64url(signature),
            f"{head}.{payload}".encode(),
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
    except Exception:
        refuse("AADSTS700027", "signature")


def secret(fake, method, parts, query, headers, body):
    """`GET /secrets/NAME[/]` and `PUT /secrets/NAME`."""
    given = dict(urllib.parse.parse_qsl(query))
    bearer = headers.get("authorization", "")
    if not bearer.startswith("Bearer ") or bearer[7:] not in fake.tokens:
        resource = fake.faults.get("resource", f"https://{AUDIENCE}")
        challenge = f'Bearer authorization="https://{fake.host}/{TENANT}", resource="{resource}"'
        raise RefusedError(401, {}, (("www-authenticate", challenge),))
    if "api-version" not in given or len(given) != 1:
        raise RefusedError(400, {"error": {"code": "BadParameter", "message": "api-version"}})
    name = parts[1]
    if len(name) > 127 or not name.replace("-", "").isalnum():
        raise RefusedError(400, {"error": {"code": "BadParameter", "message": "name"}})
    where = f"https://{fake.host}/secrets/{name}"
    if method == "PUT":
        if not fake.writable:
            raise RefusedError(403, {"error": {"code": "Forbidden", "message": "no set"}})
        wanted = json.loads(body)
        if len(wanted["value"].encode()) > MAX_VALUE:
            raise RefusedError(400, {"error": {"code": "BadParameter", "message": "too long"}})
        fake.put(name, wanted["value"], wanted.get("contentType"))
    elif not fake.readable:
        raise RefusedError(403, {"error": {"code": "Forbidden", "message": "no get"}})
    versions = fake.vault.get(name)
    if not versions or not versions[-1]["enabled"]:
        raise RefusedError(404, {"error": {"code": "SecretNotFound", "message": "none"}})
    latest = versions[-1]
    version = hashlib.md5(f"{name}{len(versions)}".encode()).hexdigest()
    answer = {
        "value": latest["value"],
        "id": f"{where}/{version}",
        "attributes": {"enabled": True, "created": 1, "updated": 1},
    }
    if latest["content_type"] is not None:
        answer["contentType"] = latest["content_type"]
    return answer


class FakeMaa:
    """Microsoft Azure Attestation: says what the quote says, unless told to lie."""

    def __init__(self, issuer, bits=2048, kid="key-1"):
        self.issuer, self.kid = issuer, kid
        self.key = rsa.generate_private_key(65537, bits)
        self.certificate = certificate("MAA", self.key)
        self.header, self.claims, self.quotes = {}, {}, []
        self.signer = self.key

    def keys(self, **more):
        der = self.certificate.public_bytes(Encoding.DER)
        entry = {"kid": self.kid, "kty": "RSA", "x5c": [base64.b64encode(der).decode()], **more}
        return {"keys": [entry]}

    def token(self, report, now=None):
        """A token about a `ReportBody`."""
        begin = int((now or dt.datetime.now(dt.UTC)).timestamp())
        claims = {
            "iss": self.issuer,
            "iat": begin,
            "nbf": begin,
            "exp": begin + 8 * 3600,
            "jti": "0",
            "x-ms-ver": "1.0",
            "x-ms-attestation-type": "sgx",
            "x-ms-policy-hash": "x",
            "x-ms-sgx-mrenclave": report.mrenclave.hex(),
            "x-ms-sgx-mrsigner": report.mrsigner.hex(),
            "x-ms-sgx-product-id": report.isvprodid,
            "x-ms-sgx-svn": report.isvsvn,
            "x-ms-sgx-is-debuggable": report.debug,
            "x-ms-sgx-report-data": report.report_data.hex(),
            **self.claims,
        }
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT", "jku": "https://evil.example/"}
        parts = [
            b64url(json.dumps({k: v for k, v in part.items() if v is not None}).encode())
            for part in ({**header, **self.header}, claims)
        ]
        signed = ".".join(parts)
        signature = self.signer.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64url(signature)}"

    def answer(self, fake, method, path, query, body):
        if (method, path) == ("GET", "/certs"):
            return self.keys()
        if (method, path) != ("POST", "/attest/SgxEnclave"):
            raise RefusedError(404)
        if query != "api-version=2022-08-01":
            raise RefusedError(400, {"error": {"code": "BadApiVersion", "message": query}})
        wanted = json.loads(body)
        if set(wanted) != {"quote"} or "=" in wanted["quote"]:
            raise RefusedError(400, {"error": {"code": "InvalidParameter", "message": "quote"}})
        quote = from_b64url(wanted["quote"])
        self.quotes.append(quote)
        if len(quote) < 432 or "untrusted" in fake.faults:
            raise RefusedError(400, {"error": {"code": "InvalidParameter", "message": "x509 x y"}})
        return {"token": self.token(ReportBody.parse(quote[48:432]))}
