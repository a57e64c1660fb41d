"""Which certificate chains are a CAS: exactly those of the pinned key."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fakes.evidence import seeded
from scone.crypto.certificates import (
    create_cas_root,
    issue_cas_instance,
    key_usage,
    load_certificate,
    sign,
    start_certificate,
    subject,
)
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, load_private_key, spki_of_private_key
from scone.errors import VerificationError
from scone.launcher.connection import check_chain

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RANDOM = seeded("connection")
ROOT_KEY = generate_private_key("P-256", RANDOM)
LEAF_KEY = generate_private_key("P-256", RANDOM)
OTHER_KEY = generate_private_key("P-256", RANDOM)
ROOT = create_cas_root(ROOT_KEY, now=NOW, random=RANDOM)
PIN = key_hash(spki_of_private_key(ROOT_KEY))


def instance(root_key=ROOT_KEY, root=ROOT, now=NOW):
    return issue_cas_instance(root_key, root, spki_of_private_key(LEAF_KEY), now=now, random=RANDOM)


def certified(common_name="cas-instance", *, usage=ExtendedKeyUsageOID.SERVER_AUTH, ca=False):
    """Another certificate by the CAS key."""
    builder = start_certificate(
        subject(common_name),
        load_certificate(ROOT).subject,
        load_private_key(LEAF_KEY).public_key(),
        not_before=NOW - dt.timedelta(days=1),
        not_after=NOW + dt.timedelta(days=1),
        random=RANDOM,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
    builder = builder.add_extension(key_usage(ca=ca), critical=True)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return sign(builder, load_private_key(ROOT_KEY))


def test_a_cas_with_the_pinned_key_is_accepted():
    check_chain((instance(), ROOT), PIN, NOW, "cas:18765")
    check_chain((certified(), ROOT), PIN, NOW, "cas:18765")


def test_every_other_chain_is_refused():
    other_root = create_cas_root(OTHER_KEY, now=NOW, random=RANDOM)
    cases = {
        "no certificate": (),
        "the leaf alone": (instance(),),
        "the root alone": (ROOT,),
        "one more": (instance(), ROOT, ROOT),
        "the wrong order": (ROOT, instance()),
        "another cas": (instance(OTHER_KEY, other_root), other_root),
        "a leaf by another key": (instance(OTHER_KEY, other_root), ROOT),
        "the root as leaf": (ROOT, ROOT),
        "a key of the audit log": (certified(usage=None), ROOT),
        "a client's certificate": (certified(usage=ExtendedKeyUsageOID.CLIENT_AUTH), ROOT),
        "another name": (certified("other"), ROOT),
        "an authority": (certified(ca=True), ROOT),
        "no certificates at all": (b"\0", b"\0"),
        "a root that is none": (instance(), ROOT[:-1]),
    }
    for name, chain in cases.items():
        with pytest.raises(VerificationError):
            check_chain(chain, PIN, NOW, "cas:18765")
            pytest.fail(name)


def test_a_certificate_out_of_its_time_is_refused():
    with pytest.raises(VerificationError, match="validity"):
        check_chain((certified(), ROOT), PIN, NOW + dt.timedelta(days=3), "cas:18765")


def test_another_cas_is_named_with_both_hashes():
    other_root = create_cas_root(OTHER_KEY, now=NOW, random=RANDOM)
    found = key_hash(spki_of_private_key(OTHER_KEY))
    with pytest.raises(VerificationError) as error:
        check_chain((instance(OTHER_KEY, other_root), other_root), PIN, NOW, "cas:18765")
    assert f"cas:18765: expected the CAS with key hash {PIN}, got {found}" in str(error.value)
    assert "nothing was sent" in error.value.hint
