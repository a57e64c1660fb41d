"""From a session to a service's configuration: values are data, and who gets it."""

import datetime as dt
import os
from types import SimpleNamespace

import pytest

from scone.attestation.appraise import AcceptedEvidence
from scone.attestation.appraise import accepted as appraise_accepted
from scone.crypto.secret import SecretBytes
from scone.errors import AppraisalError, LimitError, MalformedError, NotFoundError, UsageError
from scone.service_config import InjectedFile, ServiceConfig, build, expand_template
from scone.service_config.host import invocation
from scone.service_config.model import HostArgument, MainFileSystem
from scone.session import read_session
from scone.session.model import (
    Image,
    InjectionFile,
    SecretSpec,
    Security,
    Service,
    Session,
    Template,
)
from scone.session.placeholders import Placeholder
from scone.session.secrets import generate, render

NOW = dt.datetime(2026, 11, 25, 12, 0, 0, tzinfo=dt.UTC)
MRENCLAVE = bytes(range(32))
SECRETS = (
    SecretSpec("plain", "ascii", value="hunter2"),
    SecretSpec("tricky", "ascii", value="a b 'c' \"d\" $$SCONE::plain$$ $HOME\n=x"),
    SecretSpec("nul", "binary", value="610062"),
    SecretSpec("key", "private-key"),
    SecretSpec("cert", "x509", private_key="key"),
    SecretSpec("long", "ascii", value="x" * 60_000),
    SecretSpec("host", "ascii", value="@@7"),
    SecretSpec("k32", "binary", value="01" * 32),
)


def accepted(until=NOW):
    report = SimpleNamespace(mrenclave=MRENCLAVE)
    evidence = SimpleNamespace(valid_until=until, report=report)
    return AcceptedEvidence(evidence, proof=appraise_accepted.PROOF)


def session(mode="hardware", version="0.3", images=(), **service):
    return Session(
        version=version,
        name="ns/s",
        secrets=SECRETS,
        images=images,
        services=(Service("web", **service),),
        security=Security(mode=mode),
    )


def values_of(given):
    return generate(given, previous=None, now=NOW, random=os.urandom)


def built(evidence=None, mode="none", **service):
    given = session(mode, **service)
    return build(given, "web", values_of(given), evidence, NOW)


def revealed(config):
    return [argument.reveal() for argument in config.arguments]


def test_a_value_stays_one_argument_whatever_it_holds():
    config = built(command="prog --password $$SCONE::tricky$$ 'a $$SCONE::plain$$'")
    assert revealed(config) == [
        b"prog",
        b"--password",
        SECRETS[1].value.encode(),
        b"a hunter2",
    ]


def test_a_value_that_looks_like_a_placeholder_is_not_expanded():
    config = built(command=("$$SCONE::tricky$$$$SCONE::plain$$",))
    (argument,) = revealed(config)
    assert argument == SECRETS[1].value.encode() + b"hunter2"
    assert b"$$SCONE::plain$$" in argument


def test_language_0_2_splits_at_spaces_only():
    config = built(command="prog 'a b' $$SCONE::tricky$$", version="0.2")
    assert revealed(config) == [b"prog", b"'a", b"b'", SECRETS[1].value.encode()]


def test_environment_and_working_directory_are_as_the_session_says():
    config = built(
        environment=(("EMPTY", ""), ("PASSWORD", "x$$SCONE::plain$$y"), ("ÄÖ", "ü")), pwd="/data"
    )
    assert [(name, value.reveal()) for name, value in config.environment] == [
        (b"EMPTY", b""),
        (b"PASSWORD", b"xhunter2y"),
        ("ÄÖ".encode(), "ü".encode()),
    ]
    assert config.pwd == "/data"
    assert config.arguments == ()


def test_the_working_directory_is_the_root_where_none_is_given():
    assert built().pwd == "/"


IMAGES = (
    Image(
        "image",
        injection_files=(
            InjectionFile("/etc/key.der", "$$SCONE::key:der$$", 0o400),
            InjectionFile("/etc/nul", "<$$SCONE::nul$$>"),
            InjectionFile("/etc/empty", ""),
        ),
    ),
    Image("disk", injection_files=(InjectionFile("/etc/app.conf"), InjectionFile("/etc/a", "a"))),
    Image(
        "restricted",
        injection_files=(InjectionFile("/etc/app.conf"), InjectionFile("/etc/a", "$$SCONE::nul$$")),
        provide_secrets=("plain",),
    ),
)


def test_files_hold_any_bytes_and_keep_their_permissions():
    given = session("none", images=IMAGES, image_name="image")
    values = values_of(given)
    config = build(given, "web", values, None, NOW)
    assert config.files == (
        InjectedFile("/etc/key.der", values["key"].pkcs8, 0o400),
        InjectedFile("/etc/nul", SecretBytes(b"<a\0b>"), 0o700),
        InjectedFile("/etc/empty", SecretBytes(b""), 0o700),
    )
    assert config.template_secrets is None


def test_a_file_without_content_brings_the_secrets_that_its_template_may_name():
    given = session("none", images=IMAGES, image_name="disk")
    values = values_of(given)
    config = build(given, "web", values, None, NOW)
    assert config.files[0] == InjectedFile("/etc/app.conf", None, 0o700)
    assert config.template_secrets == values
    template = b"\xffkey=$$SCONE::nul$$ $$SCONE::cert:crt$$$$SCONE::plain|escape(json)$$\n"
    expanded = expand_template(config, template, place="/etc/app.conf")
    certificate = render(values, Placeholder("cert"))
    assert expanded.reveal() == b"\xffkey=a\0b " + certificate + b"hunter2\n"


@pytest.mark.parametrize(
    ("template", "error"),
    [
        (b"$$SCONE::absent$$", NotFoundError),
        (b"$$SCONE::plain:hex$$", UsageError),
        (b"$$SCONE::plain", MalformedError),
        (b"$$SCONE::long$$" * 200, LimitError),
    ],
)
def test_a_template_that_cannot_be_expanded_is_refused(template, error):
    given = session("none", images=IMAGES, image_name="disk")
    config = build(given, "web", values_of(given), None, NOW)
    with pytest.raises(error) as caught:
        expand_template(config, template, place="/etc/app.conf")
    assert "hunter2" not in str(caught.value)


def test_without_template_secrets_no_template_is_expanded():
    with pytest.raises(UsageError, match="the CAS sent no secrets for templates"):
        expand_template(built(), b"text", place="/etc/app.conf")


@pytest.mark.parametrize(
    ("service", "place"),
    [
        ({"command": "prog -p $$SCONE::nul$$"}, "service web command argument 2: the value of"),
        ({"environment": (("A", "$$SCONE::nul:bin$$"),)}, "service web environment A: the value"),
        ({"environment": (("A", "$$SCONE::key:der$$"),)}, "$$SCONE::key:der$$ has a NUL byte"),
    ],
)
def test_a_nul_in_an_argument_or_variable_is_refused_by_the_secrets_name(service, place):
    with pytest.raises(UsageError) as caught:
        built(**service)
    assert place in str(caught.value)
    assert ":hex or :base64" in caught.value.hint


def test_a_nul_in_the_sessions_own_text_is_refused():
    with pytest.raises(UsageError, match="argument 1: the text has a NUL byte"):
        built(command=("prog", "a\0b"))


def test_the_other_forms_of_such_a_secret_are_arguments():
    assert revealed(built(command="$$SCONE::nul:hex$$ $$SCONE::nul:base64$$")) == [
        b"610062",
        b"YQBi",
    ]


def test_a_short_text_cannot_make_a_huge_configuration():
    with pytest.raises(LimitError, match="the configuration exceeds 8388608 bytes"):
        built(command=("$$SCONE::long$$" * 100, "$$SCONE::long$$" * 100))


def test_a_placeholder_is_rendered_once_however_often_it_stands_there():
    text = "$$SCONE::cert:pkcs12-with-private-key$$"
    given = session(
        "none",
        images=(Image("i", injection_files=(InjectionFile("/a", text * 2),)),),
        image_name="i",
    )
    content = build(given, "web", values_of(given), None, NOW).files[0].content.reveal()
    half = len(content) // 2
    assert half > 500
    assert content[:half] == content[half:]  # two renderings would have two salts


# Who gets it.


def test_a_session_that_asks_for_attestation_configures_nothing_without_accepted_evidence():
    given = session("hardware", command="prog")
    with pytest.raises(AppraisalError, match="expected accepted evidence"):
        build(given, "web", values_of(given), None, NOW)


def test_with_accepted_evidence_the_service_is_configured():
    assert revealed(built(accepted(), mode="hardware", command="prog")) == [b"prog"]


def test_evidence_that_has_run_out_is_refused_in_every_mode():
    for mode in ("hardware", "none"):
        with pytest.raises(AppraisalError, match="valid until 2026-11-25 11:59:59 UTC"):
            built(accepted(NOW - dt.timedelta(seconds=1)), mode=mode, command="prog")


def test_nobody_but_appraisal_makes_accepted_evidence():
    with pytest.raises(TypeError):
        AcceptedEvidence(SimpleNamespace(valid_until=NOW), proof=None)


def test_an_unknown_service_or_image_is_not_found():
    given = session("none")
    with pytest.raises(NotFoundError, match="no service db"):
        build(given, "db", values_of(given), None, NOW)
    with pytest.raises(NotFoundError, match="the session has no image no"):
        built(image_name="no")


def test_an_unknown_secret_is_not_found():
    with pytest.raises(NotFoundError, match="no secret of this name"):
        built(command="prog $$SCONE::absent$$")


def test_a_session_as_users_write_it_is_built():
    text = """
name: my-session
version: "0.3"
security:
  attestation:
    mode: none
services:
  - name: web
    command: nginx -g 'daemon off;'
    image_name: web
    environment:
      TOKEN: $$SCONE::token:hex$$
    pwd: /srv
images:
  - name: web
    injection_files:
      - path: /etc/tls/server.pem
        permission: 0o400
        content: |
          $$SCONE::server:crt$$
          $$SCONE::server:chain$$
secrets:
  - name: token
    kind: binary
    size: 16
  - name: server
    kind: x509
    private_key: server-key
    issuer: ca
    endpoint: server
    dns: example.com
    valid_for: 90 days
  - name: ca
    kind: x509-ca
    private_key: ca-key
  - name: server-key
    kind: private-key
  - name: ca-key
    kind: private-key
    key_type: P-384
"""
    given = read_session(text).session
    values = values_of(given)
    config = build(given, "web", values, None, NOW)
    assert revealed(config) == [b"nginx", b"-g", b"daemon off;"]
    assert config.environment[0][1].reveal() == values["token"].value.reveal().hex().encode()
    assert config.files[0].content.reveal().count(b"-----BEGIN CERTIFICATE-----") == 2
    assert config.files[0].permission == 0o400
    assert values["server"].renew_at == NOW + dt.timedelta(days=60)
    assert ServiceConfig.from_json(config.to_json()) == config


def test_a_template_names_only_the_secrets_that_its_image_provides():
    given = session("none", images=IMAGES, image_name="restricted")
    values = values_of(given)
    config = build(given, "web", values, None, NOW)
    assert dict(config.template_secrets) == {"plain": values["plain"]}
    assert config.files[1].content.reveal() == b"a\0b"  # what the session says itself is free
    assert expand_template(config, b"$$SCONE::plain$$", place="f").reveal() == b"hunter2"
    expected = r"/f: \$\$SCONE::tricky\$\$ is not among the secrets .* \(provide_secrets"
    with pytest.raises(NotFoundError, match=expected):
        expand_template(config, b"$$SCONE::tricky$$", place="injection file /f")


def test_an_empty_list_provides_nothing():
    image = Image("image", injection_files=(InjectionFile("/f"),), provide_secrets=())
    given = session("none", images=(image,), image_name="image")
    assert dict(build(given, "web", values_of(given), None, NOW).template_secrets) == {}


def test_words_and_variables_of_the_host_are_marked_and_nothing_else_is():
    config = built(
        command="prog x @@2 '@@1' y@@3 @@0x @@ @@1000 $$SCONE::host$$",
        environment=(("\\@\\@HOME", ""), ("A", "@@1"), ("@@B", "x")),
    )
    plain = [word if isinstance(word, HostArgument) else word.reveal() for word in config.arguments]
    assert plain == [
        b"prog", b"x", HostArgument(2), HostArgument(1), b"y@@3", b"@@0x", b"@@",
        HostArgument(1000), b"@@7",
    ]  # fmt: skip
    assert config.environment == ((b"HOME", None), (b"A", SecretBytes(b"@@1")), (b"B", None))


@pytest.mark.parametrize("word", ["@@0", "@@01", "@@1001", "@@\u0661"])
def test_a_word_that_no_session_may_have_is_not_taken_for_text(word):
    with pytest.raises(MalformedError, match="argument 1: expected @@1 to @@1000"):
        built(command=("prog", word))


def test_what_the_host_gives_is_data():
    config = built(command="prog @@2 @@1", environment=(("\\@\\@HOME", ""), ("\\@\\@NONE", "")))
    host = [b"a b 'c' $$SCONE::plain$$ @@2", b"\xff", b"third"]
    call = invocation(config, host, {b"HOME": b"$$SCONE::plain$$", b"OTHER": b"leak"})
    assert call.arguments == (b"prog", b"\xff", host[0])
    assert call.environment == {b"HOME": b"$$SCONE::plain$$", b"NONE": b""}
    assert "plain" not in repr(call)


def test_an_argument_that_the_host_does_not_give_is_fatal():
    config = built(command="prog @@1 @@3")
    with pytest.raises(UsageError, match=r"needs argument 3 of the host \(@@3\), got 2"):
        invocation(config, [b"a", b"b"], {})
    with pytest.raises(UsageError, match=r"got 1 argument$"):
        invocation(config, [b"a"], {})


def test_an_argument_of_the_host_that_stands_twice_is_refused():
    with pytest.raises(MalformedError, match="each argument of the host once, got @@1 twice"):
        built(command=("prog", "@@1", "@@1"))


def test_the_measurement_stands_for_the_software_identity():
    text = "$$SCONE::self::software_identity$$"
    given = session(command=("prog", text), images=IMAGES, image_name="disk")
    config = build(given, "web", values_of(given), accepted(), NOW)
    assert revealed(config)[1] == MRENCLAVE.hex().encode()
    expanded = expand_template(config, text.encode(), place="f", software_identity="ab")
    assert expanded.reveal() == b"ab"
    with pytest.raises(UsageError, match="no program was attested"):
        built(command=("prog", text))


def test_the_main_file_system_comes_with_key_tag_and_policy():
    where = {"fspf_path": "/main.fspf", "command": "prog"}
    config = built(fspf_key="ab" * 32, fspf_tag="cd" * 16, **where)
    assert config.fspf == MainFileSystem(
        "/main.fspf",
        SecretBytes(bytes([0xAB] * 32)),
        bytes([0xCD] * 16),
        "rollback_protected_reinitializable",
    )
    config = built(fspf_key="$$SCONE::k32$$", fspf_update_policy="no_rollback_protection", **where)
    assert (config.fspf.key, config.fspf.tag) == (SecretBytes(b"\x01" * 32), None)
    for wrong in ("nul", "plain"):
        with pytest.raises(UsageError, match=f"expected a binary secret of 32 bytes.*{wrong}"):
            built(fspf_key=f"$$SCONE::{wrong}$$", **where)


def test_the_mode_of_a_delegated_security_section_counts():
    for mode in ("none", "hardware"):
        given = session(command="prog")
        fragment = f'{{"attestation":{{"mode":"{mode}"}}}}'
        secrets = (*SECRETS, SecretSpec("policy", "config-fragment", value=fragment))
        given = Session(
            version="0.3.12",
            name="s",
            services=given.services,
            secrets=secrets,
            security=Template('"$$SCONE::policy$$"'),
        )
        if mode == "none":
            assert build(given, "web", values_of(given), None, NOW)
        else:
            with pytest.raises(AppraisalError, match=r"attestation mode hardware\), got none"):
                build(given, "web", values_of(given), None, NOW)
