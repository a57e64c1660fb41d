"""Secrets shared between two CASes, each a server of its own, and everybody who may not have them."""

import asyncio
import json
import os
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import harness
import pytest

from scone.attestation.report_data import NONCE_BYTES
from scone.attestation.sgx.tcb import TcbStatus
from scone.cas.keys import create_keys
from scone.cas.values import foreign_values
from scone.client.peer import Peer, PeerChannel, Question
from scone.crypto.der import to_pem
from scone.crypto.keys import private_key_pem
from scone.crypto.secret import SecretBytes
from scone.errors import (
    AppraisalError,
    ConflictError,
    ForbiddenError,
    LimitError,
    NetworkError,
    NotFoundError,
    SconeError,
    UnavailableError,
    VerificationError,
)
from scone.owner_config import ApiIdentity
from scone.transport.address import Address, is_allowed, parse_address
from scone.transport.client import Options, connect
from scone.transport.http import Response
from scone.transport.listener import listen
from scone.transport.server import ServerTls, serve

VALUE = "over the water"


class Pair:
    """An exporter and an importer, and what a session says of the other CAS."""

    def __init__(self, exporter, importer, owner):
        self.exporter, self.importer, self.owner = exporter, importer, owner

    def keys(self, which):
        return which.cas.phase.keys

    def reference(self, of, key="cas_key", **more):
        keys = self.keys(of)
        digest = keys.cas_key_hash if key == "cas_key" else keys.software_key_hash
        return {"cas_url": f"127.0.0.1:{of.client_port}", key: digest, **more}

    def put(self, cas, name, *secrets, **more):
        document = {"name": name, "version": "0.3.10", "secrets": list(secrets), **more}
        status, answer = harness.create(cas, json.dumps(document), self.owner)
        assert status == 201, answer
        return answer["hash"]

    def export(self, key="cas_key", to="b", **more):
        secret = {"name": "s", "kind": "ascii", "value": VALUE}
        to = self.reference(self.importer, key, session=to, **more)
        return self.put(self.exporter, "a", {**secret, "export": to})

    def imported(self, key="cas_key", name="b", **more):
        source = self.reference(self.exporter, key, session="a", secret="s", **more)
        return self.put(self.importer, name, {"name": "theirs", "import": source})

    def resolve(self, session="b", *names, cas=None):
        cas = (cas or self.importer).cas
        version = cas.sessions.active(cas.provisioned.store, session)
        found = asyncio.run(foreign_values(cas, cas.provisioned, version, names or ("theirs",)))
        return found["theirs"].value.reveal().decode()


def allowing(*addresses):
    return {"sharing": {"allowed_addresses": list(addresses)}, "audit_log": {"mode": "unsigned"}}


@pytest.fixture
def start(tmp_path, platform, owner):
    """Start CASes and provision them, each allowed to connect to the others."""
    with ExitStack() as stack:

        def go(*, other=None, allowed=None, **extra):
            running = []
            for name in ("exporter", "importer"):
                (tmp_path / name).mkdir()
                where = other if other is not None and name == "importer" else platform
                running.append(stack.enter_context(harness.running_cas(tmp_path / name, where)))
            addresses = allowed
            if allowed is None:
                addresses = [f"127.0.0.1:{cas.client_port}" for cas in running]
            for cas, more in zip(running, ({}, extra), strict=True):
                status, answer = harness.provision(cas, owner, allowing(*addresses), **more)
                assert status == 200, answer
            return Pair(*running, owner)

        yield go


@pytest.fixture
def pair(start):
    return start()


@pytest.mark.parametrize("key", ["cas_key", "cas_software_key"])
def test_a_secret_is_imported_from_another_cas(pair, key, tmp_path):
    pair.export(key)
    pair.imported(key)
    assert pair.resolve() == VALUE
    entry = json.loads((tmp_path / "exporter" / "audit.log").read_text().splitlines()[-1])
    del entry["time"]
    assert entry == {
        "event": "secrets_shared",
        "session": "a",
        "secrets": "s",
        "importer": "b",
        "cas_key_hash": pair.keys(pair.importer).cas_key_hash,
    }


def test_the_exporter_is_asked_again_each_time(pair):
    before = pair.export()
    pair.imported()
    assert pair.resolve() == VALUE
    pair.put(pair.exporter, "a", {"name": "s", "kind": "ascii", "value": VALUE}, predecessor=before)
    with pytest.raises(NotFoundError, match="does not export it to session b"):
        pair.resolve()


def test_several_secrets_of_one_session_come_in_one_request(pair, tmp_path):
    to = pair.reference(pair.importer, namespace="/")
    pair.put(
        pair.exporter,
        "a",
        {"name": "s", "kind": "ascii", "value": VALUE, "export": to},
        {"name": "key", "kind": "private-key", "export": to},
        {"name": "cert", "kind": "x509", "private_key": "key", "dns": "x", "export": to},
    )
    source = pair.reference(pair.exporter, session="a")
    pair.put(
        pair.importer,
        "b",
        {"name": "theirs", "import": {**source, "secret": "s"}},
        {"name": "cert", "kind": "x509", "import": {**source, "secret": "cert"}},
    )
    assert pair.resolve("b", "theirs", "cert") == VALUE
    log = (tmp_path / "exporter" / "audit.log").read_text()
    assert log.count("secrets_shared") == 1
    assert '"secrets":"cert,s"' in log


def test_an_export_to_a_session_hash_holds_across_cases(pair):
    importer = pair.imported()
    pair.export(session_hash=importer)
    assert pair.resolve() == VALUE
    source = pair.reference(pair.exporter, session="a", secret="s")
    pair.put(
        pair.importer,
        "b",
        {"name": "theirs", "kind": "ascii", "import": source},
        predecessor=importer,
    )
    with pytest.raises(NotFoundError):
        pair.resolve()


def test_an_import_with_a_session_hash_refuses_another_version(pair):
    exporter = pair.export()
    pair.imported(session_hash=exporter)
    assert pair.resolve() == VALUE
    pair.put(
        pair.exporter,
        "a",
        {"name": "s", "kind": "ascii", "value": VALUE,
         "export": pair.reference(pair.importer, session="b")},
        {"name": "more", "kind": "ascii"},
        predecessor=exporter,
    )  # fmt: skip
    with pytest.raises(ConflictError, match="another active version"):
        pair.resolve()


def test_a_local_export_admits_no_session_of_another_cas_and_the_answer_tells_nothing(pair):
    local = {"name": "s", "kind": "ascii", "value": VALUE, "export": {"session": "b"}}
    pair.put(pair.exporter, "a", local)
    pair.imported()
    with pytest.raises(NotFoundError) as error:
        pair.resolve()
    assert "secret theirs of session b cannot be imported from secret s of session a" in str(
        error.value
    )
    assert VALUE not in str(error.value)


def tenant_keys():
    """What a tenant can make: a chain with the right names and a root of their own."""
    return create_keys(ApiIdentity(), datetime.now(UTC))


def tenant_under_the_true_root(pair):
    keys = tenant_keys()
    leaf = (
        private_key_pem(keys.instance_key).reveal()
        + to_pem("CERTIFICATE", keys.instance_certificate).encode()
    )
    root = pair.keys(pair.exporter).root_certificate
    return SecretBytes(leaf + to_pem("CERTIFICATE", root).encode())


@contextmanager
def serving(listener, identity, handler):
    """A server with this identity, which answers as the handler does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = serve(listener, ServerTls(lambda: identity, request_client_certificate=True), handler)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(grace_s=0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


IMPOSTORS = {
    "a tenant": lambda _: tenant_keys().tls_identity,
    "a tenant that shows the true root": tenant_under_the_true_root,
    "another CAS": lambda pair: pair.keys(pair.importer).tls_identity,
    "anybody": lambda _: harness.identity().pem,
}


@pytest.mark.parametrize("impostor", IMPOSTORS)
@pytest.mark.parametrize("key", ["cas_key", "cas_software_key"])
def test_a_middleman_is_sent_nothing(start, key, impostor):
    """A server with another key, at the address that the import names."""
    seen = []

    async def handler(request):
        seen.append(request)

    listener = listen(Address("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    pair = start(allowed=[address])
    with serving(listener, IMPOSTORS[impostor](pair), handler):
        source = pair.reference(pair.exporter, key, session="a", secret="s")
        secret = {"name": "theirs", "import": {**source, "cas_url": address}}
        pair.put(pair.importer, "b", secret)
        with pytest.raises(VerificationError, match="of the CAS 127") as error:
            pair.resolve()
    assert address in str(error.value)
    assert seen == []


def test_another_cas_is_named_by_both_key_hashes(pair):
    source = pair.reference(pair.exporter, session="a", secret="s")
    source["cas_url"] = f"127.0.0.1:{pair.importer.client_port}"
    pair.put(pair.importer, "b", {"name": "theirs", "import": source})
    with pytest.raises(VerificationError, match="expected the CAS with the CAS key") as error:
        pair.resolve()
    assert source["cas_key"] in str(error.value)
    assert pair.keys(pair.importer).cas_key_hash in str(error.value)
    assert "nothing was sent" in error.value.hint


QUESTION = Question("b", "a5" * 32, "a", None, ("s",), 1)


def ask(pair, identity, document_for, question=QUESTION):
    """What a CAS that imports does, with an identity and a document of the attacker's choice."""
    peer = Peer(
        Address("127.0.0.1", pair.exporter.client_port), pair.keys(pair.exporter).cas_key_hash
    )
    channel = PeerChannel.open(peer, identity, datetime.now(UTC))
    try:
        return channel.ask(question, document_for(channel.nonce))
    finally:
        channel.close()


def document_of(running):
    """A document for any nonce: everybody may ask a CAS for one."""

    def get(nonce):
        connection = connect(Address("127.0.0.1", running.client_port), Options(timeout_s=20))
        try:
            return connection.request("GET", f"/v1/attest?nonce={nonce}").body
        finally:
            connection.close()

    return get


def test_the_positive_case_of_the_attacks_below(pair):
    pair.export()
    identity = pair.keys(pair.importer).tls_identity
    values = ask(pair, identity, document_of(pair.importer))
    assert values["s"].value.reveal().decode() == VALUE


def test_a_relayed_document_is_refused(pair):
    """Genuine evidence of the importer for the nonce of this channel, from somebody else."""
    pair.export()
    for identity in (tenant_keys().tls_identity, harness.identity().pem):
        with pytest.raises(VerificationError, match="somebody may be relaying"):
            ask(pair, identity, document_of(pair.importer))


def test_a_document_of_another_channel_is_refused(pair):
    pair.export()
    identity = pair.keys(pair.importer).tls_identity
    old = document_of(pair.importer)("00" * NONCE_BYTES)
    with pytest.raises(VerificationError, match="another nonce"):
        ask(pair, identity, lambda _: old)


def test_without_a_client_certificate_nothing_is_shared(pair):
    pair.export()
    with pytest.raises(ForbiddenError, match="needs a client certificate"):
        ask(pair, None, document_of(pair.importer))


def test_a_chain_that_is_not_in_the_quote_is_refused(pair):
    """The attacker's own keys in a genuine document: the quote is over other bytes."""
    pair.export()
    keys = tenant_keys()

    def forged(nonce):
        genuine = document_of(pair.importer)(nonce)
        theirs = json.dumps(pair.keys(pair.importer).document_chain).encode()
        assert theirs in genuine
        return genuine.replace(theirs, json.dumps(keys.document_chain).encode())

    with pytest.raises(VerificationError, match="not for this additional_data"):
        ask(pair, keys.tls_identity, forged)


def test_another_session_or_hash_than_the_export_names_gets_nothing(pair):
    pair.export(session_hash="a5" * 32)
    identity = pair.keys(pair.importer).tls_identity
    assert "s" in ask(pair, identity, document_of(pair.importer))
    for question in (
        replace(QUESTION, importer="c"),
        replace(QUESTION, importer_hash="b6" * 32),
        replace(QUESTION, secrets=("t",)),
        replace(QUESTION, exporter="x"),
    ):
        with pytest.raises(NotFoundError):
            ask(pair, identity, document_of(pair.importer), question)


def test_a_cas_whose_database_key_was_injected_gets_nothing(start):
    pair = start(database_key=os.urandom(32).hex())
    pair.export()
    pair.imported()
    with pytest.raises(AppraisalError, match="injected by its owner") as error:
        pair.resolve()
    assert "no way to consent" in str(error.value)


def test_a_cas_on_another_simulated_platform_gets_nothing(start):
    pair = start(other=harness.make_platform())
    pair.export()
    pair.imported()
    with pytest.raises(VerificationError, match="the CAS that asks for secrets is not accepted"):
        pair.resolve()


def test_a_cas_on_a_worse_platform_than_ours_gets_nothing(start, platform):
    worse = harness.make_platform(platform.vendor, tcb=TcbStatus.OUT_OF_DATE)
    pair = start(other=worse)
    pair.export()
    pair.imported()
    with pytest.raises(AppraisalError, match="outdated"):
        pair.resolve()


def test_a_cas_that_went_back_gets_nothing(pair):
    pair.export()
    pair.imported()
    assert pair.resolve() == VALUE
    cas = pair.exporter.cas
    key = pair.keys(pair.importer).cas_key_hash
    seen = json.loads(cas.phase.store.get("peer", key))
    assert seen == {"epoch": pair.importer.cas.phase.payload.epoch, "isvsvn": 1}
    later = json.dumps({**seen, "epoch": seen["epoch"] + 1}).encode()
    cas.phase.store.transact(lambda records: records.put("peer", key, later)).result(10)
    with pytest.raises(VerificationError, match="went back: expected at least epoch"):
        pair.resolve()


# --- addresses, failures, circles ---


def test_no_address_is_called_that_the_owner_has_not_allowed(start):
    pair = start(allowed=[])
    pair.export()
    pair.imported()
    with pytest.raises(ForbiddenError, match="not allowed to connect to 127") as error:
        pair.resolve()
    assert "sharing.allowed_addresses" in error.value.hint


@pytest.mark.parametrize(
    ("address", "allowed", "expected"),
    [
        ("cas.example.com", ["cas.example.com"], True),
        ("CAS.example.com:8081", ["cas.example.com"], True),
        ("cas.example.com:9000", ["cas.example.com"], False),
        ("cas.example.com:9000", ["cas.example.com:9000"], True),
        ("cas.example.com", ["*.example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("evil-example.com", ["*.example.com"], False),
        ("cas.example.com.evil.org", ["*.example.com"], False),
        ("anything.org", ["*"], True),
        ("anything.org:22", ["*"], False),
        ("anything.org:22", ["*:22"], True),
        ("[::1]:8081", ["[::1]"], True),
        ("x.org", [], False),
    ],
)
def test_what_an_allowed_address_means(address, allowed, expected):
    assert is_allowed(parse_address(address, default_port=8081), allowed) is expected


def test_a_peer_that_is_offline_is_a_clear_error_and_left_alone_for_a_while(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pair = start(allowed=[f"127.0.0.1:{port}"])
    source = pair.reference(pair.exporter, session="a", secret="s")
    source["cas_url"] = f"127.0.0.1:{port}"
    pair.put(pair.importer, "b", {"name": "theirs", "import": source})
    with pytest.raises(NetworkError, match="cannot connect") as error:
        pair.resolve()
    assert f"secret s of session a of the CAS 127.0.0.1:{port}" in str(error.value)
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        pytest.raises(NetworkError, match=r"cannot connect.*\(some seconds ago\)"),
    ):
        listener.setblocking(False)
        pair.resolve()
    assert pair.importer.stop_reasons == []


def test_a_peer_that_says_nothing_holds_nothing_else_up(start, monkeypatch):
    monkeypatch.setattr("scone.client.peer._TIMEOUT_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        pair = start(allowed=[address])
        secret = {"name": "s", "import": pair.reference(pair.exporter, session="a", secret="s")}
        secret["import"]["cas_url"] = address
        pair.put(pair.importer, "b", {**secret, "name": "theirs"})

        failed = []

        def import_it():
            with pytest.raises(NetworkError, match="no answer in time"):
                pair.resolve()
            failed.append(time.monotonic())

        thread = threading.Thread(target=import_it)
        thread.start()
        begun = time.monotonic()
        for _ in range(20):
            assert pair.importer.call("GET", "/v1/version")[0] == 200
        served = time.monotonic()
        thread.join(10)
    assert served - begun < 1.5
    assert served < failed[0]


@pytest.fixture
def lying(start):
    """The importer of b, whose secret admits readers, and the answers of a tenant's own CAS."""
    answers = []

    async def handler(request):
        return answers[0]

    listener = listen(Address("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    pair = start(allowed=[address])
    keys = tenant_keys()
    with serving(listener, keys.tls_identity, handler):
        source = {"session": "a", "secret": "s", "cas_url": address, "cas_key": keys.cas_key_hash}
        policy = {"read": ["$$SCONE::theirs$$"], "update": ["CREATOR"]}
        secret = {"name": "theirs", "import": source}
        pair.put(pair.importer, "b", secret, access_policy=policy)
        yield pair, answers


@pytest.mark.parametrize("code", ["state", "integrity", "malformed", "usage", "failed", "", 7])
def test_what_another_cas_refuses_says_nothing_of_this_one(lying, code):
    pair, answers = lying
    words = ["wrong\x1b[2J\nError: this CAS is broken", "y" * 100_000]
    answers[:] = [Response(500, json.dumps({"msg": words, "code": code, "hint": "z"}).encode())]
    with pytest.raises(NetworkError) as error:
        pair.resolve()
    text = str(error.value)
    assert "that CAS says: wrong" in text
    assert "\x1b" not in text
    assert "\n" not in text
    assert len(text) < 3_000
    assert error.value.hint == ""
    status, answer = pair.importer.call("GET", "/v1/sessions/b")
    assert (status, answer["code"]) == (403, "forbidden")
    assert pair.importer.stop_reasons == []
    # A mistake of one tenant is none of the next one's: the address is called again.
    answers[:] = [Response(404, json.dumps({"msg": ["x"], "code": "not-found"}).encode())]
    with pytest.raises(NotFoundError, match="that CAS says: x"):
        pair.resolve()


def test_only_the_cas_whose_own_disk_is_full_stops(pair):
    pair.export()
    source = pair.reference(pair.exporter, session="a", secret="s")
    policy = {"read": ["$$SCONE::theirs$$"], "update": ["CREATOR"]}
    secret = {"name": "theirs", "import": source}
    pair.put(pair.importer, "b", secret, access_policy=policy)
    pair.exporter.cas.phase.audit.close()
    assert pair.importer.call("GET", "/v1/sessions/b")[0] == 403
    assert pair.importer.stop_reasons == []
    assert len(pair.exporter.stop_reasons) == 1
    assert "cannot write the audit log" in pair.exporter.stop_reasons[0]


def test_one_request_causes_a_bounded_number_of_calls(pair, monkeypatch):
    asked = []

    def opened(peer, *_):
        asked.append(peer)
        raise VerificationError("another server")

    monkeypatch.setattr(PeerChannel, "open", opened)
    source = pair.reference(pair.exporter, session="a", secret="s")
    secrets = [{"name": f"s{n}", "import": source} for n in range(40)]
    read = [f"$$SCONE::s{n}$$" for n in range(40)]
    pair.put(pair.importer, "b", *secrets, access_policy={"read": read, "update": ["CREATOR"]})
    assert pair.importer.call("GET", "/v1/sessions/b")[0] == 403
    assert len(asked) == 16


def test_one_request_takes_a_bounded_time(start, monkeypatch):
    monkeypatch.setattr("scone.cas.values._DEADLINE_S", 0.3)
    monkeypatch.setattr("scone.client.peer._TIMEOUT_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        pair = start(allowed=[address])
        source = pair.reference(pair.exporter, session="a", secret="s")
        secret = {"name": "theirs", "import": {**source, "cas_url": address}}
        policy = {"read": ["$$SCONE::theirs$$"], "update": ["CREATOR"]}
        pair.put(pair.importer, "b", secret, access_policy=policy)
        begun = time.monotonic()
        assert pair.importer.call("GET", "/v1/sessions/b")[0] == 403
        assert time.monotonic() - begun < 1.5


def test_another_cas_is_told_nothing_of_where_a_secret_comes_from(pair):
    """It imports from a session here that imports from a third one in vain."""
    other = pair.reference(pair.importer, session="b")
    pair.put(
        pair.exporter,
        "a",
        {"name": "s", "import": {"session": "hidden", "secret": "inner"}, "export": other},
    )
    pair.imported()
    with pytest.raises(
        UnavailableError, match="session a cannot get or make its secret s"
    ) as error:
        pair.resolve()
    assert "hidden" not in str(error.value)
    assert "inner" not in str(error.value)


def test_secrets_are_shared_while_sessions_are_read(pair):
    """The evidence of another CAS waits for no session that somebody has made slow to read."""
    pair.export()
    pair.imported()
    gate = threading.Event()
    loop = asyncio.new_event_loop()

    async def fill():
        workers = pair.exporter.cas.workers
        busy = [asyncio.create_task(workers.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        found = await asyncio.to_thread(pair.resolve)
        gate.set()
        await asyncio.gather(*busy)
        return found

    try:
        assert loop.run_until_complete(asyncio.wait_for(fill(), 20)) == VALUE
    finally:
        gate.set()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def circle(pair):
    """`theirs` of each is imported from the other."""
    for here, there in ((pair.exporter, pair.importer), (pair.importer, pair.exporter)):
        other = pair.reference(there, session="b")
        pair.put(
            here, "b", {"name": "theirs", "import": {**other, "secret": "theirs"}, "export": other}
        )


def test_imports_in_a_circle_through_two_cases_end(pair):
    circle(pair)
    with pytest.raises(SconeError, match="more than 8 imports in a row") as error:
        pair.resolve()
    assert isinstance(error.value, LimitError)
    assert pair.exporter.stop_reasons == pair.importer.stop_reasons == []
    pair.export()
    pair.imported(name="c")
    with pytest.raises(NotFoundError):  # exported to b alone; the CASes still serve
        pair.resolve("c")


def test_an_import_is_passed_on_from_a_third_place(pair):
    """b on the importer re-exports to c on the exporter what it imports from a there."""
    pair.export()
    source = pair.reference(pair.exporter, session="a", secret="s")
    back = pair.reference(pair.exporter, session="c")
    pair.put(pair.importer, "b", {"name": "theirs", "import": source, "export": back})
    origin = pair.reference(pair.importer, session="b", secret="theirs")
    pair.put(pair.exporter, "c", {"name": "theirs", "import": origin})
    assert pair.resolve("c", cas=pair.exporter) == VALUE


def test_a_public_client_makes_a_cas_call_nobody(pair, tmp_path):
    pair.export()
    source = pair.reference(pair.exporter, session="a", secret="s")
    pair.put(pair.importer, "b", {"name": "s", "import": source, "export_public": True})
    status, answer = pair.importer.call("GET", "/v1/values/session=b,secret=s")
    assert (status, answer["code"]) == (404, "not-found")
    assert "secrets_shared" not in (tmp_path / "exporter" / "audit.log").read_text()


HOSTILE = {
    "no object": b"[]",
    "nothing": b"{}",
    "another type": json.dumps({"importer": 1}).encode(),
}


def body(**changes):
    members = {
        "importer": "b", "importer_hash": "a5" * 32, "exporter": "a", "exporter_hash": None,
        "secrets": ["s"], "step": 1, "attestation": {},
    }  # fmt: skip
    return json.dumps({**members, **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        *HOSTILE.values(),
        body(),
        body(attestation=None),
        body(step=0),
        body(step=9),
        body(step=True),
        body(secrets=[]),
        body(secrets=["s", "s"]),
        body(secrets=[1]),
        body(secrets="s"),
        body(importer="../b"),
        body(importer_hash="a5"),
        body(extra=1),
    ],
)
def test_a_hostile_question_is_one_clear_error(cas, stranger, raw):
    status, answer = cas.call("POST", "/v1/shared", raw, stranger)
    assert (status, answer["code"]) == (400, "malformed"), answer
    assert cas.stop_reasons == []
