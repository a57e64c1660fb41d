"""Session files for tests: short texts, and what the reader says about them."""

from scone.documents import DocumentError
from scone.session import read_session

M = "a5" * 32
OTHER = "b6" * 32
TAG = "cd" * 16
QE_ID = f"INTEL_QE_ID:{TAG}"
OTP = "BASE32SECRET3232BASE32SECRET3232"
KEY_HASH = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
OLD_SIGNER = "LtLcbPVddnCkH36ZcRdgYsw4H8xDbYaFZfuefkDc25uq2qdjmM"
SIGNER = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAOsufQ7RCOXueVLQBpk7Y44GAaj+LzPbmHfdr/TPdlrE=\n-----END PUBLIC KEY-----\n"
P256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEj1HRyHte7osP079fauMzQrlq05IC\nrLtU5BMAj08loTSICLosa9kMaFocGHtskJvAYZuHo2MGlXAkK5ktcvMi3g==\n-----END PUBLIC KEY-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"
POLICY = "access_policy: {read: CREATOR}\n"


def header(version="0.3", name="s"):
    """Version and name."""
    return f'version: "{version}"\nname: {name}\n'


def service(more="", version="0.3"):
    """A session with one service `a`; `more` are further keys in flow style."""
    attested = f"mrenclaves: [{M}]" if version == "0.2" else f"attestation: {{mrenclave: {M}}}"
    extra = f", {more}" if more else ""
    return f"{header(version)}services: [{{name: a, {attested}{extra}}}]\n"


def quoted(text):
    """A text as a scalar in flow style."""
    return '"' + text.replace("\r", "\\r").replace("\n", "\\n") + '"'


def verdict(text, **options):
    """Every problem on a line of its own; nothing for an accepted session."""
    try:
        read_session(text, **options)
    except DocumentError as error:
        return "\n".join(map(str, error.problems))
    return ""


def session(text, **options):
    """The session in an accepted text."""
    return read_session(text, **options).session


def codes(text, **options):
    """The codes of the warnings, each with its place."""
    return [(warning.code, warning.path) for warning in read_session(text, **options).warnings]
