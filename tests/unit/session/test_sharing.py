"""Who may use what of another session: every rule, and what must not be let through."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scone.crypto.keyhash import key_hash
from scone.crypto.secret import SecretBytes
from scone.errors import ConflictError, MalformedError, UsageError
from scone.session.model import (
    Import,
    SecretSpec,
    Session,
    SessionReference,
    Volume,
    VolumeExport,
)
from scone.session.secrets.values import (
    AsciiValue,
    BinaryValue,
    CertificateValue,
    FragmentValue,
    PgpKeyValue,
    PrivateKeyValue,
    PublicKeyValue,
)
from scone.session.sharing import (
    Importer,
    ValuesPath,
    as_imported,
    exported_to,
    importable,
    is_of_kind,
    parse_values_path,
    resolve_name,
    volume_for,
    volume_policy,
)

H = "a5" * 32
OTHER = "b6" * 32
CAS, SOFTWARE, THIRD = (key_hash(text) for text in (b"cas", b"software", b"third"))
LOCAL = Importer("ns/app", H)
REMOTE = Importer("ns/app", H, CAS, SOFTWARE)


def ref(session=None, **more):
    return SessionReference(session=session, **more)


@pytest.mark.parametrize(
    ("written", "own", "meant"),
    [
        ("a/b", "x/y", "a/b"),
        ("/", "x", "/"),
        ("..", "ns/app", "ns"),
        ("..", "app", "/"),
        ("../other", "ns/app", "ns/other"),
        ("../other", "app", "other"),
        ("../../other", "ns/deep/app", "ns/other"),
        ("../..", "ns/deep/app", "ns"),
        ("./inner", "ns/app", "ns/app/inner"),
        ("./inner/most", "app", "app/inner/most"),
        ("./inner", "/", "inner"),
        (".", "ns/app", "ns/app"),
        ("..x", "ns/app", "..x"),
        (".x", "ns/app", ".x"),
    ],
)
def test_a_relative_name_is_resolved_against_the_own_name(written, own, meant):
    assert resolve_name(written, own) == meant


@pytest.mark.parametrize(
    ("written", "own"), [("../../x", "app"), ("..", "/"), ("../x", "/"), ("../../..", "a/b")]
)
def test_a_name_that_leaves_the_root_is_an_error_that_names_both(written, own):
    with pytest.raises(UsageError, match="leads out of the root") as error:
        resolve_name(written, own)
    assert written in str(error.value)
    assert own in str(error.value)


@pytest.mark.parametrize("written", ["", "a//b", "a/../b", "a/.", "../a/../b", "./", "../", "a/"])
def test_what_is_no_name_is_refused(written):
    with pytest.raises(MalformedError):
        resolve_name(written, "ns/app")


@pytest.mark.parametrize(
    ("entry", "admitted"),
    [
        (ref("ns/app"), True),
        (ref("ns"), False),
        (ref("ns/app/inner"), False),
        (ref("ns/app2"), False),
        (ref("NS/app"), False),
        (ref("ns/app", session_hash=H), True),
        (ref("ns/app", session_hash=OTHER), False),
        (ref(namespace="ns"), True),
        (ref(namespace="ns/app"), True),
        (ref(namespace="ns/ap"), False),
        (ref(namespace="n"), False),
        (ref(namespace="ns/app/inner"), False),
        (ref(namespace="/"), True),
        (ref("../app"), True),
        (ref(namespace=".."), True),
        (ref("./app"), False),
        (ref("../../../app"), False),
        (ref(), False),
        (ref("ns/app", cas_url="cas.example.com", cas_key=CAS), False),
        (ref("ns/app", cas_url="cas.example.com"), False),
    ],
)
def test_an_entry_admits_exactly_what_it_names(entry, admitted):
    assert exported_to([entry], "ns/exporter", LOCAL) is admitted


def test_a_session_export_does_not_reach_nested_sessions_and_a_namespace_does():
    nested = Importer("ns/app/inner", H)
    assert not exported_to([ref("ns/app")], "exporter", nested)
    assert exported_to([ref(namespace="ns/app")], "exporter", nested)


@pytest.mark.parametrize(
    ("entry", "admitted"),
    [
        (ref("ns/app"), False),
        (ref(namespace="/"), False),
        (ref("ns/app", cas_url="a", cas_key=CAS), True),
        (ref("ns/app", cas_url="anything.else", cas_key=CAS), True),
        (ref(namespace="ns", cas_url="a", cas_key=CAS), True),
        (ref("ns/app", cas_url="a", cas_key=THIRD), False),
        (ref("ns/app", cas_url="a", cas_key=SOFTWARE), False),
        (ref("ns/app", cas_url="a", cas_software_key=SOFTWARE), True),
        (ref("ns/app", cas_url="a", cas_software_key=CAS), False),
        (ref("ns/app", cas_url="a", cas_key=CAS, session_hash=H), True),
        (ref("ns/app", cas_url="a", cas_key=CAS, session_hash=OTHER), False),
        (ref("ns/other", cas_url="a", cas_key=CAS), False),
        (ref("ns/app", cas_url="a"), False),
    ],
)
def test_a_remote_importer_needs_the_key_of_its_cas_and_no_local_entry_admits_it(entry, admitted):
    assert exported_to([entry], "ns/exporter", REMOTE) is admitted


NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map("/".join)


@given(NAMES, NAMES)
def test_a_namespace_is_a_prefix_by_segment_and_never_of_text(namespace, name):
    admitted = exported_to([ref(namespace=namespace)], "x", Importer(name, H))
    assert admitted == (f"{name}/".startswith(f"{namespace}/"))


@given(st.lists(st.builds(ref, NAMES, session_hash=st.sampled_from([None, H, OTHER]))), NAMES)
def test_one_more_entry_never_takes_a_right_away(entries, name):
    importer = Importer(name, H)
    before = exported_to(entries, "x", importer)
    assert exported_to([*entries, ref("b")], "x", importer) >= before


def test_without_exports_nobody_may_import_and_public_secrets_may_all():
    spec = SecretSpec("s", "ascii")
    assert not importable(spec, "x", LOCAL)
    public = dataclasses.replace(spec, export_public=True)
    assert importable(public, "x", LOCAL)
    assert importable(public, "x", REMOTE)


CERTIFICATE = CertificateValue(b"der", SecretBytes(b"key"))


def certificate_session(key_exports, version="0.3", kind="x509", private_key="key"):
    return Session(
        version=version,
        name="exporter",
        secrets=(
            SecretSpec("key", "private-key", exports=key_exports),
            SecretSpec("cert", kind, private_key=private_key, exports=(ref("ns/app"),)),
        ),
    )


@pytest.mark.parametrize(
    ("session", "has_key"),
    [
        (certificate_session(()), False),
        (certificate_session((ref("ns/other"),)), False),
        (certificate_session((ref("ns/app"),)), True),
        (certificate_session((ref("ns/app"),), private_key=None), False),
        (certificate_session((), "0.2", private_key=None), True),
        (certificate_session((), "0.2", "session-ca", private_key=None), False),
    ],
)
def test_a_certificate_brings_its_key_only_if_that_is_exported_too(session, has_key):
    spec = session.secret("cert")
    given_value = as_imported(session, spec, CERTIFICATE, LOCAL)
    assert given_value == (
        CERTIFICATE if has_key else dataclasses.replace(CERTIFICATE, private_key=None)
    )


def test_other_values_are_given_as_they_are():
    value = AsciiValue(SecretBytes(b"x"))
    assert as_imported(certificate_session(()), SecretSpec("s", "ascii"), value, LOCAL) is value


VALUES = {
    "ascii": AsciiValue(SecretBytes(b"x")),
    "binary": BinaryValue(SecretBytes(b"x")),
    "private-key": PrivateKeyValue(SecretBytes(b"x")),
    "public-key": PublicKeyValue(b"x"),
    "pgp-key": PgpKeyValue(SecretBytes(b"x")),
    "config-fragment": FragmentValue("{}"),
    "x509": CERTIFICATE,
}


@pytest.mark.parametrize("kind", VALUES)
def test_the_kind_of_an_import_is_a_check(kind):
    for other, value in VALUES.items():
        assert is_of_kind(value, kind) is (kind == other)
        assert is_of_kind(value, None)
    assert is_of_kind(VALUES["ascii"], "jwt")
    assert is_of_kind(VALUES["ascii"], "aad-token")
    assert not is_of_kind(VALUES["binary"], "x509-ca")


def exporting(*exports, name="data"):
    return Session(version="0.3", name="owner", volumes=(Volume(name, exports=exports),))


def test_a_volume_is_found_under_its_name_or_its_alias_alone():
    plain = exporting(VolumeExport(ref("ns/app")))
    assert volume_for(plain, "data", LOCAL)[1] == "rollback_protected"
    assert volume_for(plain, "other", LOCAL) is None
    assert volume_for(plain, "data", Importer("ns/app/x", H)) is None
    aliased = exporting(
        VolumeExport(ref("ns/app"), alias="output"), VolumeExport(ref("b"), alias="input")
    )
    found, _ = volume_for(aliased, "output", LOCAL)
    assert found.name == "data"
    assert volume_for(aliased, "data", LOCAL) is None
    assert volume_for(aliased, "input", LOCAL) is None


def test_an_imported_volume_is_not_exported_further():
    volume = Volume(
        "data", imported=Import(ref("x"), "data"), exports=(VolumeExport(ref("ns/app")),)
    )
    assert volume_for(Session("0.3", "owner", volumes=(volume,)), "data", LOCAL) is None


def test_of_several_volume_exports_to_one_importer_the_widest_counts():
    session = exporting(
        VolumeExport(ref("ns/app"), "ephemeral"),
        VolumeExport(ref("ns/app", session_hash=H), "no_rollback_protection"),
        VolumeExport(ref("ns/app", session_hash=OTHER), "rollback_protected"),
    )
    assert volume_for(session, "data", LOCAL)[1] == "no_rollback_protection"
    assert volume_for(session, "data", Importer("ns/app", "c7" * 32))[1] == "ephemeral"


@pytest.mark.parametrize(
    ("exported", "wanted", "effective"),
    [
        ("ephemeral", "ephemeral", "ephemeral"),
        ("ephemeral", "rollback_protected", "ephemeral"),
        ("ephemeral", "no_rollback_protection", "ephemeral"),
        ("rollback_protected", "ephemeral", "ephemeral"),
        ("rollback_protected", "rollback_protected", "rollback_protected"),
        ("rollback_protected", "no_rollback_protection", None),
        ("no_rollback_protection", "ephemeral", "ephemeral"),
        ("no_rollback_protection", "rollback_protected", "rollback_protected"),
        ("no_rollback_protection", "no_rollback_protection", "no_rollback_protection"),
    ],
)
def test_the_stricter_volume_policy_wins(exported, wanted, effective):
    if effective is None:
        with pytest.raises(ConflictError, match="update_policy rollback_protected"):
            volume_policy(exported, wanted)
    else:
        assert volume_policy(exported, wanted) == effective


def test_a_values_path_is_read():
    assert parse_values_path("session=ns/app") == ValuesPath("ns/app")
    assert parse_values_path(f"session=a,session_hash={H},secret=s") == ValuesPath("a", H, "s")
    assert parse_values_path("secret=s,session=a").secret == "s"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "secret=s",
        "session=",
        "session=a,session=b",
        "session=a,",
        "session=a,other=b",
        "session=a,session_hash=abc",
        f"session=a,session_hash={H.upper()}",
        "session=../a",
        "session=a//b",
    ],
)
def test_another_values_path_is_refused(text):
    with pytest.raises(MalformedError):
        parse_values_path(text)
