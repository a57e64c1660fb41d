"""The client's calls for sessions against a CAS: pages, hashes, histories, refusals."""

import os
from concurrent.futures import ThreadPoolExecutor

import harness
import pytest

from scone.client.cas import CasClient
from scone.crypto.der import to_pem
from scone.crypto.keyhash import key_hash
from scone.crypto.keys import generate_private_key, spki_of_private_key
from scone.errors import ConflictError, ForbiddenError, MalformedError, NotFoundError
from scone.session import read_session
from scone.session.encrypted import encrypted_document
from scone.session.signed import SignedSession, sign_session


def client(cas, identity=None):
    pem = None if identity is None else identity.pem
    return CasClient.to(f"127.0.0.1:{cas.client_port}", check_peer=None, identity_pem=pem)


@pytest.fixture
def mine(cas, owner):
    with client(cas, owner) as found:
        yield found


def text(name, extra=""):
    return f'name: {name}\nversion: "0.3.12"\naccess_policy:\n  read: [CREATOR]\n{extra}'


def test_sessions_are_listed_over_several_pages(cas, mine, owner):
    assert list(mine.list_sessions()) == []
    mine.create_session(text("n"))
    names = sorted(f"n/{number:04}" for number in range(1005))

    def create(chunk):
        with client(cas, owner) as one:
            for name in chunk:
                one.create_session(text(name))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, (names[start::8] for start in range(8))))
    assert list(mine.list_sessions("n")) == names
    assert list(mine.list_sessions()) == ["n"]
    with client(cas) as nobody, pytest.raises(ForbiddenError):
        list(nobody.list_sessions("n"))
    with pytest.raises(NotFoundError):
        list(mine.list_sessions("absent"))
    with pytest.raises(MalformedError):
        list(mine.list_sessions("n&limit=1"))


def test_a_history_is_read_over_several_pages(cas, mine, owner):
    hashes = [mine.create_session(text("a")).hash]
    for _ in range(103):
        hashes.append(mine.create_session(text("a", f"predecessor: {hashes[-1]}\n")).hash)
    versions = list(mine.session_history("a"))
    assert [version.hash for version in versions] == hashes[::-1]
    assert [version.predecessor for version in versions] == [*hashes[-2::-1], None]
    assert {(v.uploader, v.signed) for v in versions} == {(key_hash(owner.spki_der), False)}
    assert mine.session_hash("a") == hashes[-1]
    with client(cas) as nobody, pytest.raises(NotFoundError):
        nobody.session_hash("a")
    assert next(mine.session_history("/")).predecessor is None


def test_signed_and_encrypted_sessions_are_uploaded_without_an_identity(fresh, owner):
    assert harness.provision(fresh, owner, {"sessions": {"root_create": "any"}})[0] == 200
    key = generate_private_key("Ed25519", os.urandom)
    entry = to_pem("PUBLIC KEY", spki_of_private_key(key)).replace("\n", "\\n")
    found = text("s", f'  update: [{{signer: "{entry}"}}]\n')

    def signed(session_text):
        session = read_session(session_text).session.with_signer(
            to_pem("PUBLIC KEY", spki_of_private_key(key))
        )
        from scone.session import to_yaml

        signature = sign_session(session, key, cas_key_hash=None, not_after=None)
        return SignedSession(to_yaml(session)).with_signature(signature).to_json()

    with client(fresh) as nobody:
        first = nobody.create_signed_session(signed(found))
        assert nobody.create_signed_session(signed(found)).hash == first.hash
        public = fresh.cas.phase.keys.encryption_public_key
        document = signed(found + f"predecessor: {first.hash}\n")
        second = nobody.create_encrypted_session(encrypted_document(document, public))
        assert second.hash != first.hash
        with pytest.raises(ConflictError):
            nobody.create_signed_session(signed(found))
