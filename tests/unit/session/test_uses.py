"""Which secrets a purpose needs: those that are named, and what these are made with."""

import json

from scone.session.model import (
    AccessPolicy,
    AkvImport,
    Duration,
    Image,
    ImageVolume,
    Import,
    InjectionFile,
    Jwt,
    Rule,
    SecretSpec,
    Security,
    Service,
    Session,
    SessionReference,
    Template,
    Volume,
)
from scone.session.uses import (
    names_for_access,
    names_for_appraisal,
    names_for_generation,
    names_for_secret,
    names_for_service,
    names_for_volume,
)


def imported(name, kind="ascii", **more):
    return SecretSpec(name, kind, imported=Import(SessionReference("other"), name), **more)


def token(name, signer, **payload):
    made = Jwt(signer, Duration("1h", 3600), payload=tuple(payload.items()))
    return SecretSpec(name, "jwt", jwt=made)


SECRETS = (
    *(imported(name) for name in "abcdefgh"),
    imported("server.crt", "x509"),
    imported("server", "x509"),
    imported("other", "x509"),
    token("jwt", "signer", claim="$$SCONE::h$$", text="not $$SCONE::a$$ alone",
          me="$$SCONE::self::software_identity$$"),
    imported("signer", "private-key"),
    SecretSpec("aad", "aad-token"),
    SecretSpec("vault", None, akv=AkvImport("v", decryption_key="dk")),
    SecretSpec("dk", "binary"),
    imported("fragment", "config-fragment"),
)  # fmt: skip


def session(*services, secrets=SECRETS, **more):
    return Session(version="0.3.12", name="s", secrets=secrets, services=services, **more)


def names(given=None, **service):
    made = Service("web", **service)
    return names_for_service(session(made, **(given or {})), made)


def template(data):
    return Template(json.dumps(data))


def test_a_service_needs_what_its_texts_name():
    found = names(
        command="prog $$SCONE::a$$ x$$SCONE::b|escape(json)$$ $$SCONE::absent$$",
        environment=(("X", "$$SCONE::c$$"), ("\\@\\@Y", "$$SCONE::d$$"), ("@@Z", "$$SCONE::d$$")),
        fspf_key="$$SCONE::e$$",
        one_time_password_shared_secret="$$SCONE::f$$",
    )
    assert found == set("abcef")
    assert names(command="prog $$SCONE::self::software_identity$$") == set()


def test_an_exact_name_wins_over_a_legacy_suffix():
    assert names(command="$$SCONE::server.crt$$ $$SCONE::other.crt$$") == {"server.crt", "other"}


def test_tokens_bring_their_signer_and_claims_and_vaults_their_token_and_key():
    assert names(command="$$SCONE::jwt$$") == {"jwt", "signer", "h"}
    assert names(command="$$SCONE::vault$$") == {"vault", "aad", "dk"}


def test_of_images_only_that_of_the_service_counts():
    images = (
        Image("mine", (ImageVolume("v", "/v"),), (InjectionFile("/f", "$$SCONE::a$$"),)),
        Image("other", injection_files=(InjectionFile("/f", "$$SCONE::b$$"),)),
    )
    given = {"images": images, "volumes": (Volume("v", "$$SCONE::c$$"), Volume("w"))}
    assert names(given, image_name="mine") == {"a", "c"}
    assert names(given) == set()


def test_a_template_on_the_disk_may_name_all_but_fragments_or_what_is_provided():
    files = (InjectionFile("/f"),)
    all_but = {spec.name for spec in SECRETS} - {"fragment"}
    assert names({"images": (Image("i", (), files),)}, image_name="i") == all_but
    some = Image("i", (), files, ("jwt", "fragment"))
    assert names({"images": (some,)}, image_name="i") == {"jwt", "signer", "h"}


def test_sections_count_for_the_service_that_they_decide_about():
    one = Service(
        "one",
        command="$$SCONE::a$$",
        attestation=template([{"mrenclave": "$$SCONE::b$$"}, "$$SCONE::fragment$$"]),
        platforms=template(["$$SCONE::c$$"]),
    )
    two = Service("two", command="$$SCONE::d$$")
    given = session(one, two, security=template({"attestation": "$$SCONE::e$$"}))
    assert names_for_service(given, one) == {"a", "b", "c", "e", "fragment"}
    assert names_for_appraisal(given, one) == {"b", "c", "e", "fragment"}
    assert names_for_service(given, two) == {"d", "e"}
    otp = Security(one_time_password_shared_secret="$$SCONE::f:base32nopad$$")
    assert names_for_appraisal(session(two, security=otp), two) == {"f"}


def test_access_policies_are_searched_at_any_depth():
    rule = Rule(1, ("$$SCONE::a$$", Rule(None, ("$$SCONE::b$$", "CREATOR"))))
    policy = AccessPolicy(("$$SCONE::c$$",), (rule,), ("$$SCONE::d$$",), ("$$SCONE::vault$$",))
    found = names_for_access(session(access_policy=policy))
    assert found == {"a", "b", "c", "d", "vault", "aad", "dk"}
    assert names_for_access(session(access_policy=template("$$SCONE::fragment$$"))) == {"fragment"}
    assert names_for_access(session()) == set()


def test_generation_needs_foreign_keys_and_issuers_only():
    secrets = (
        *SECRETS,
        SecretSpec("own", "private-key"),
        SecretSpec("cert", "x509", private_key="own", issuer="server"),
        SecretSpec("public", "public-key", private_key="vault"),
        imported("there", "x509", private_key="a"),
    )
    assert names_for_generation(session(secrets=secrets)) == {"server", "vault", "aad", "dk"}


def test_a_volume_needs_its_key():
    assert names_for_volume(session(), Volume("v", "$$SCONE::vault$$")) == {"vault", "aad", "dk"}
    assert names_for_volume(session(), Volume("v")) == set()


def test_a_token_needs_its_signer_and_the_secrets_whose_names_stand_in_its_claims():
    spec = token("jwt", "signer", exact="$$SCONE::server.crt$$", older="$$SCONE::other.crt$$")
    made = session(secrets=(*(one for one in SECRETS if one.name != "jwt"), spec))
    assert names_for_secret(made, spec) == {"jwt", "signer", "server.crt", "other"}
