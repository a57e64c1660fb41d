"""The LAS protocol: frames, descriptors, and a LAS that any bytes leave standing."""

import json
import os
import shutil
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.evidence import NOW, platform
from scone.attestation.sgx.quote import Quote
from scone.attestation.verify import verify
from scone.crypto.secret import SecretBytes
from scone.errors import (
    AppraisalError,
    ForbiddenError,
    MalformedError,
    NetworkError,
    SconeError,
    StateError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from scone.las import server as las_server
from scone.las.listener import listening
from scone.las.server import Server
from scone.release import DEVELOPMENT_MRSIGNER, MIN_ISVSVN, RELEASE_ISVPRODID
from scone.tee import las_client
from scone.tee.las_client import LasTee, attest_program
from scone.tee.las_protocol import (
    Frame,
    default_socket,
    error_of,
    error_to_json,
    reachable,
    receive_frame,
    send_frame,
    socket_path,
)
from scone.tee.measurement import (
    EnclaveOptions,
    OpenedProgram,
    measure_program,
    measure_python,
    open_program,
)
from scone.tee.program_signature import read_signature, sign_program, signature_path
from scone.tee.python_trees import installed_trees

SEED = SecretBytes(bytes(range(32)))


@pytest.fixture
def las(tmp_path):
    path = tmp_path / "las.sock"
    with listening(path) as listener:
        server = Server(listener, platform(), lambda: NOW)
        server.start()
        yield path
        server.stop()


def raw(path, data, *, descriptors=(), close=True):
    """Send bytes; the answer as a value, or None."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        try:
            if descriptors:
                socket.send_fds(connection, [data], descriptors)
            else:
                connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        frame = receive_frame(connection, 1 << 20, "answer")
        return None if frame is None else frame.value


def request(socket_at, operation, *, descriptors=(), **fields):
    body = json.dumps({"protocol": 1, "operation": operation, **fields}).encode()
    return raw(socket_at, struct.pack(">I", len(body)) + body, descriptors=descriptors)


def alive(path):
    return request(path, "root") == {"root": platform().root_certificate_pem}


def measurement_of(tee):
    return Quote.parse(tee.quote(bytes(64)).quote).report.mrenclave


def test_frames_carry_values_and_descriptors():
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull, "rb") as file:
        send_frame(ours, {"a": "ä"}, [file.fileno()])
        send_frame(ours, {"b": [1]})
        first = receive_frame(theirs, 100, "frame")
        second = receive_frame(theirs, 100, "frame")
        assert (first.value, second) == ({"a": "ä"}, Frame({"b": [1]}))
        [descriptor] = first.descriptors
        assert os.path.samestat(os.fstat(descriptor), os.fstat(file.fileno()))
        assert not os.get_inheritable(descriptor)
        first.close()
        ours.close()
        assert receive_frame(theirs, 100, "frame") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0", "expected 4 bytes, got 1"),
        (b"\0\0\0\x05{}", "expected 5 bytes"),
        (b"\0\0\0\x05", "expected 5 bytes, got 0"),
        (b"\0\0\0\0", "expected JSON"),
        (b"\0\0\0\xff" + bytes(255), "at most 100 bytes, got 255"),
        (b"\xff\xff\xff\xff", "at most 100 bytes, got 4294967295"),
        (b"\0\0\0\x02[]", "expected a JSON object"),
        (b"\0\0\0\x0d" + b'{"a":1,"a":2}', "a key twice"),
        (b"\0\0\0\x02\xff\xff", "expected UTF-8"),
    ],
)
def test_a_frame_of_another_form_is_refused(data, message):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(MalformedError) as error:
            receive_frame(theirs, 100, "frame")
        assert message in str(error.value)


def test_too_many_descriptors_are_refused_and_closed():
    before = set(os.listdir("/proc/self/fd"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for count in (3, 50):
            socket.send_fds(ours, [b"\0\0\0\x02{}"], [0] * count)
            with pytest.raises(MalformedError, match="at most 2 descriptors"):
                receive_frame(theirs, 100, "frame")
            theirs.recv(100)
    assert set(os.listdir("/proc/self/fd")) <= before  # a collected object may close an old one


def test_a_frame_that_stops_in_the_middle_ends_in_time():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0.05)
        ours.sendall(b"\0\0\0\x05{")
        with pytest.raises(NetworkError, match="no answer in time"):
            receive_frame(theirs, 100, "frame")


def test_errors_cross_the_socket_whole():
    sent = AppraisalError("inner", hint="do this").within("outer")
    found = error_of(error_to_json(sent), "answer")
    assert type(found) is AppraisalError
    assert (found.messages, found.hint) == (("outer", "inner"), "do this")
    assert error_of({"quote": ""}, "answer") is None
    malformed = error_of(error_to_json(MalformedError("a", "b")), "answer")
    assert (type(malformed), str(malformed)) == (SconeError, "a: expected b")


@pytest.mark.parametrize(
    "address", ["las", "las:18766", "127.0.0.1:18766", "[::1]:1", "", "unix:", "tcp://las/x"]
)
def test_network_addresses_are_refused_by_name(address):
    with pytest.raises(UsageError, match="refused over TCP"):
        socket_path(address)


def test_paths_are_socket_addresses():
    assert str(socket_path("/run/las.sock")) == str(socket_path("unix:/run/las.sock"))
    assert socket_path("a/las.sock") == socket_path("unix:a/las.sock") == Path.cwd() / "a/las.sock"
    assert socket_path("unix:las.sock") == Path.cwd() / "las.sock"
    assert socket_path("/" + "a/" * 200 + "b" * 80).name == "b" * 80
    for name in ("a" * 81, "ä" * 41, "\0", ""):
        with pytest.raises(UsageError, match="the socket's own name, has 1 to 80 bytes"):
            socket_path("/" + name)


def test_without_a_home_there_is_no_default_folder(monkeypatch):
    def unknown():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(StateError, match="HOME is not set"):
        default_socket()


def test_the_default_socket_is_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_socket() == tmp_path / ".cas" / "simulated-platform" / "las.sock"
    assert LasTee.for_cas(None).address == str(default_socket())
    assert LasTee.for_cas("/x/y").address == "/x/y"


def test_a_program_is_measured_and_quoted(las):
    program = open_program("/usr/bin/openssl")
    options = EnclaveOptions(heap=1 << 20)
    attested = attest_program(f"unix:{las}", program, options, bytes(range(64)))
    expected = measure_program(program, options)
    program.close()
    assert (attested.mrenclave, attested.files) == (expected.mrenclave, expected.files)
    verified = verify(attested.quote, platform().collateral(NOW), [platform().anchor], NOW)
    report = verified.report
    assert (report.mrenclave, report.report_data) == (expected.mrenclave, bytes(range(64)))
    assert (report.mrsigner, report.isvprodid, report.isvsvn, report.debug) == (
        DEVELOPMENT_MRSIGNER, RELEASE_ISVPRODID, MIN_ISVSVN, False
    )  # fmt: skip


def test_this_process_is_measured_once_and_quoted_and_sealed_for(las):
    tee = LasTee(str(las))
    interpreter = open_program(sys.executable)
    measurement = measure_python(interpreter, installed_trees(), EnclaveOptions()).mrenclave
    interpreter.close()
    assert measurement_of(tee) == measurement
    assert tee.collateral() == platform().collateral(NOW)
    assert tee.sealing_key("a") == platform().seal_key(measurement, "a")
    assert tee.sealing_key("a") != tee.sealing_key("b")
    assert tee.root_certificate_pem() == platform().root_certificate_pem
    tee.close()
    with LasTee(str(las)) as again:
        assert measurement_of(again) == measurement


def test_a_signature_decides_signer_and_version(las, tmp_path):
    signature = tmp_path / "cas.scone-signature.json"
    with LasTee(str(las)) as unsigned:
        measurement = measurement_of(unsigned)
    signature.write_bytes(sign_program(SEED, measurement, isvprodid=7, isvsvn=3, debug=True))
    tee = LasTee(str(las), signature=signature)
    report = Quote.parse(tee.quote(bytes(64)).quote).report
    assert (report.isvprodid, report.isvsvn, report.debug) == (7, 3, True)
    assert report.mrsigner != DEVELOPMENT_MRSIGNER
    tee.close()
    signature.write_bytes(sign_program(SEED, bytes(32), isvprodid=7, isvsvn=3))
    with pytest.raises(AppraisalError, match="signed the measurement 0000"):
        LasTee(str(las), signature=signature).quote(bytes(64))


def test_a_signature_file_of_another_form_is_refused():
    good = json.loads(sign_program(SEED, bytes(32), isvprodid=1, isvsvn=65535))
    assert read_signature(json.dumps(good).encode(), bytes(32), "x").isvsvn == 65535
    other = json.loads(sign_program(SecretBytes(bytes(32)), bytes(32), isvprodid=1, isvsvn=1))
    for change, kind in [
        ({"isvsvn": 1}, VerificationError),
        ({"isvprodid": 2}, VerificationError),
        ({"debug": True}, VerificationError),
        ({"measurement": "11" * 32}, VerificationError),
        ({"public_key": other["public_key"]}, VerificationError),
        ({"signature": "00" * 64}, VerificationError),
        ({"isvsvn": 65536}, MalformedError),
        ({"isvsvn": True}, MalformedError),
        ({"debug": 0}, MalformedError),
        ({"signature": "00"}, MalformedError),
        ({"more": 1}, MalformedError),
    ]:
        with pytest.raises(kind):
            read_signature(json.dumps({**good, **change}).encode(), bytes(32), "x")
    for data in (b"", b"{}", b"[]", b"\xff", b" " * 5000):
        with pytest.raises(MalformedError):
            read_signature(data, bytes(32), "x")


@pytest.mark.parametrize(
    "values", [{"isvsvn": -1}, {"isvsvn": 65536}, {"isvprodid": 65536}, {"mrenclave": bytes(31)}]
)
def test_what_cannot_be_signed_is_refused(values):
    given_values = {"mrenclave": bytes(32), "isvprodid": 1, "isvsvn": 1, **values}
    with pytest.raises(UsageError):
        sign_program(SEED, given_values.pop("mrenclave"), **given_values)


def test_a_program_with_a_signature_beside_it(las, tmp_path):
    path = tmp_path / "tool"
    shutil.copy("/bin/true", path)
    path.chmod(0o755)
    program = open_program(str(path))
    value = measure_program(program, EnclaveOptions()).mrenclave
    with open(signature_path(str(path)), "wb") as file:
        file.write(sign_program(SEED, value, isvprodid=9, isvsvn=2))
    quote = attest_program(str(las), program, EnclaveOptions(), bytes(64)).quote
    program.close()
    assert Quote.parse(quote).report.isvsvn == 2


def test_the_las_refuses_what_it_cannot_measure(las, tmp_path):
    true = os.open("/bin/true", os.O_RDONLY)
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    other = os.open("/proc/self/ns/net", os.O_RDONLY)
    link = tmp_path / "link"
    link.symlink_to("/bin/true")
    real = os.path.realpath("/bin/true")
    options = {"cas_key": None, "heap": 1, "stack": 1, "threads": 1}
    good = {"path": real, "signature": "/none", "options": options}
    try:
        for descriptors, change, message in [
            ((true, other), {}, "different mount namespaces"),
            ((true,), {}, "expected 2 descriptors"),
            ((), {}, "expected 2 descriptors"),
            ((true, here), {"path": "/bin/false"}, "canonical"),
            ((true, here), {"path": os.path.realpath("/bin/false")}, "not the opened program"),
            ((true, here), {"path": str(link)}, "expected a canonical path"),
            ((true, here), {"path": "relative"}, "expected an absolute path"),
            ((here, here), {}, "not the opened program"),
            ((true, here), {"options": {}}, "options"),
            ((true, here), {"options": {**options, "heap": 0}}, "SCONE_HEAP"),
            ((true, here), {"options": {**options, "cas_key": "x"}}, "SCONE_CAS_KEY"),
            ((true, here), {"signature": "/etc"}, "/etc: cannot be read"),
            ((true, here), {"more": 1}, "known keys only"),
        ]:
            fields = {**good, **change}
            answer = request(las, "measure_program", descriptors=descriptors, **fields)
            assert message in answer["error"]["messages"][-1], (change, answer)
        assert "mrenclave" in request(las, "measure_program", descriptors=(true, here), **good)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(20)
            connection.connect(str(las))
            quote = {"protocol": 1, "operation": "quote", "report_data": "00" * 64}
            for path, served in [(real, True), ("/none", False)]:
                fields = {"protocol": 1, "operation": "measure_program", **good, "path": path}
                send_frame(connection, fields, [true, here])
                receive_frame(connection, 1 << 20, "answer")
                send_frame(connection, quote)
                answer = receive_frame(connection, 1 << 20, "answer").value
                assert ("quote" in answer) is served
    finally:
        for descriptor in (true, here, other):
            os.close(descriptor)
    assert alive(las)


def test_the_las_hashes_no_device_and_no_pipe(las, tmp_path):
    """Each of them would hold a thread of the LAS for ever."""
    os.mkfifo(tmp_path / "pipe")
    real = os.path.realpath("/bin/true")
    options = {"cas_key": None, "heap": 1, "stack": 1, "threads": 1}
    good = {"path": real, "signature": "/none", "options": options}
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    zero = os.open("/dev/zero", os.O_RDONLY)
    true = os.open(real, os.O_RDONLY)
    tree = {"trees": [["t", str(tmp_path)]]}
    try:
        for operation, program, change, message in [
            ("measure_program", zero, {"path": "/dev/zero"}, "got crw"),
            ("measure_python", zero, {"path": "/dev/zero", "trees": []}, "got crw"),
            ("measure_program", pipe, {"path": str(tmp_path / "pipe")}, "got prw"),
            ("measure_python", true, tree, "got prw"),
            ("measure_program", true, {"signature": str(tmp_path / "pipe")}, "a regular file"),
        ]:
            fields = {**good, **change}
            answer = request(las, operation, descriptors=(program, here), **fields)
            assert "expected a regular file" in answer["error"]["messages"][-1], answer
            assert message in answer["error"]["messages"][-1], answer
    finally:
        for descriptor in (here, pipe, zero, true):
            os.close(descriptor)
    assert alive(las)


@pytest.mark.parametrize("ask", [
    lambda address: LasTee(address).quote(bytes(64)),
    lambda address: LasTee(address).sealing_key("a"),
    lambda address: LasTee(address).root_certificate_pem(),
    lambda address: LasTee(address).collateral(),
    lambda address: attest_program(address, OpenedProgram("/x", 0), EnclaveOptions(), bytes(64)),
])  # fmt: skip
def test_a_las_of_another_user_is_sent_nothing(tmp_path, monkeypatch, ask):
    monkeypatch.setattr(las_client, "_peer_user", lambda _: 4321)
    monkeypatch.setattr(las_client, "_TIMEOUT_S", 0.5)
    path = tmp_path / "las.sock"
    with listening(path) as listener:
        with pytest.raises(ForbiddenError) as error:
            ask(str(path))
        assert str(error.value) == (
            f"the LAS at {path} runs as user 4321, expected user {os.geteuid()} or root"
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""


def test_the_user_of_a_las_is_that_of_its_process(tmp_path):
    path = tmp_path / "las.sock"
    with listening(path), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        assert las_client._peer_user(connection) == os.geteuid()


def test_a_las_of_root_serves_everybody(las, monkeypatch):
    monkeypatch.setattr(las_client, "_peer_user", lambda _: 0)
    assert LasTee(str(las)).root_certificate_pem() == platform().root_certificate_pem


@pytest.mark.parametrize("quote", ["00 11", "0", "zz", " 00", 7])
def test_a_quote_that_is_not_hex_digits_is_refused(quote):
    with pytest.raises(MalformedError, match=r"LAS answer\.quote"):
        las_client._quote({"quote": quote})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the key 'protocol'"),
        ({"protocol": 1}, "the key 'operation'"),
        ({"protocol": 2, "operation": "root"}, "expected 1, got 2"),
        ({"protocol": "1", "operation": "root"}, "expected an integer"),
        ({"protocol": 1, "operation": "other"}, "expected one of collateral, measure_program"),
        ({"protocol": 1, "operation": 7}, "expected a string"),
        ({"protocol": 1, "operation": "root", "more": 1}, "known keys only"),
        ({"protocol": 1, "operation": "quote"}, "the key 'report_data'"),
        ({"protocol": 1, "operation": "quote", "report_data": "00"}, "128 hex digits"),
        ({"protocol": 1, "operation": "quote", "report_data": "00" * 64}, "nothing was measured"),
        ({"protocol": 1, "operation": "seal_key", "label": ""}, "1 to 256 characters"),
        ({"protocol": 1, "operation": "seal_key", "label": "x"}, "nothing was measured"),
    ],
)
def test_a_bad_request_gets_one_error_answer(las, body, message):
    data = json.dumps(body).encode()
    answer = raw(las, struct.pack(">I", len(data)) + data)
    assert list(answer) == ["error"]
    assert message in answer["error"]["messages"][-1]
    assert alive(las)


def test_after_a_bad_request_the_connection_still_serves(las):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(las))
        for operation in ("wrong", "root", "wrong", "collateral"):
            send_frame(connection, {"protocol": 1, "operation": operation})
            answer = receive_frame(connection, 1 << 20, "answer").value
            assert ("error" in answer) is (operation == "wrong")


def test_any_bytes_leave_the_las_standing(las):
    @given(st.binary(max_size=64), st.booleans())
    def send(data, framed):
        answer = raw(las, struct.pack(">I", len(data)) + data if framed else data)
        assert answer is None or "error" in answer

    send()
    assert alive(las)


def test_many_callers_at_once_get_their_own_answers(las):
    program = open_program("/bin/true")
    found = []

    def ask(number):
        data = bytes([number]) * 64
        quote = attest_program(str(las), program, EnclaveOptions(), data).quote
        found.append(Quote.parse(quote).report.report_data == data)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    program.close()
    assert found == [True] * 12


def test_callers_beyond_the_limit_are_told(las, monkeypatch):
    monkeypatch.setattr(las_server, "MAX_CONNECTIONS", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
        first.settimeout(20)
        first.connect(str(las))
        send_frame(first, {"protocol": 1, "operation": "root"})
        receive_frame(first, 1 << 20, "answer")
        answer = request(las, "root")
        assert answer["error"]["code"] == "limit"


def test_a_slow_request_is_ended(las, monkeypatch):
    monkeypatch.setattr(las_server, "_TIMEOUT_S", 0.1)
    answer = raw(las, b"\0\0", close=False)
    assert "no answer in time" in answer["error"]["messages"][-1]


def test_a_lost_connection_is_opened_again(tmp_path):
    path = tmp_path / "las.sock"
    with listening(path) as listener:
        server = Server(listener, platform(), lambda: NOW)
        server.start()
        tee = LasTee(str(path))
        before = tee.quote(bytes(64)).quote
        server.stop()
    with pytest.raises(UnavailableError, match="LAS"):
        tee.quote(bytes(64))
    with listening(path) as listener:
        server = Server(listener, platform(), lambda: NOW)
        server.start()
        after = tee.quote(bytes(64)).quote
        assert Quote.parse(before).report == Quote.parse(after).report
        tee.close()
        server.stop()


def test_a_folder_of_any_length_has_a_socket(tmp_path):
    path = tmp_path / ("a" * 150) / ("b" * 150) / "las.sock"
    before = set(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as left:
        with listening(path):
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(StateError, match="another LAS serves"), listening(path):
                pytest.fail("the second was let in")
        with reachable(path) as place:
            left.bind(str(place))
    with listening(path):
        pass  # it replaced the one that was left
    assert not path.exists()
    assert set(os.listdir("/proc/self/fd")) <= before  # a collected object may close an old one
    with listening(path) as listener:
        server = Server(listener, platform(), lambda: NOW)
        server.start()
        assert LasTee(str(path)).root_certificate_pem() == platform().root_certificate_pem
        server.stop()


def test_a_las_that_stands_still_is_left_in_time_and_one_that_measures_is_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(las_client, "_TIMEOUT_S", 0.2)
    path, true = tmp_path / "las.sock", open_program("/bin/true")
    with listening(path) as listener:
        for ask in (
            lambda: attest_program(str(path), true, EnclaveOptions(), bytes(64)),
            lambda: LasTee(str(path)).quote(bytes(64)),
            lambda: LasTee(str(path)).collateral(),
        ):
            with pytest.raises(UnavailableError, match="no answer in time") as error:
                ask()
            assert f"start one with `las --simulation --socket {path}`" in error.value.hint

        def answer():
            for _ in range(3):
                listener.accept()[0].close()
            connection, _ = listener.accept()
            with connection:
                for value in ({}, {"mrenclave": "00" * 32, "files": []}, {"quote": "07"}):
                    receive_frame(connection, 1 << 20, "request").close()
                    threading.Event().wait(0.6 if value.get("files") == [] else 0)
                    send_frame(connection, value)

        thread = threading.Thread(target=answer)
        thread.start()
        assert attest_program(str(path), true, EnclaveOptions(), bytes(64)).quote == b"\x07"
        thread.join(20)
    true.close()


def test_without_a_las_the_caller_is_told_how_to_start_one(tmp_path):
    with pytest.raises(UnavailableError, match="Unable to connect to LAS") as error:
        LasTee(str(tmp_path / "none.sock")).quote(bytes(64))
    assert "las --simulation" in error.value.hint


def test_an_answer_that_is_none_is_an_error(tmp_path):
    path = tmp_path / "las.sock"
    with listening(path) as listener:

        def answer(data):
            connection, _ = listener.accept()
            with connection:
                receive_frame(connection, 1 << 20, "request")
                connection.sendall(data)

        for data, kind in [
            (b"", UnavailableError),
            (b"\0\0\0\x02{}", MalformedError),
            (b"\xff\xff\xff\xff", MalformedError),
            (b'\0\0\0\x0c{"error":{}}', MalformedError),
        ]:
            thread = threading.Thread(target=answer, args=(data,))
            thread.start()
            with pytest.raises(kind):
                LasTee(str(path)).root_certificate_pem()
            thread.join(20)


def test_the_socket_is_for_its_user_alone(tmp_path):
    path = tmp_path / "new" / "las.sock"
    with listening(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.exists()


def test_a_second_las_on_the_same_socket_is_refused(tmp_path):
    path = tmp_path / "las.sock"
    with listening(path):
        with pytest.raises(StateError, match="another LAS serves this socket"), listening(path):
            pytest.fail("the second was let in")
        assert path.exists()


def test_a_stale_socket_is_replaced_and_anything_else_is_not(tmp_path):
    path = tmp_path / "las.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with listening(path), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    path.write_text("a file")
    with pytest.raises(StateError, match="expected a socket or nothing"), listening(path):
        pytest.fail("the file was replaced")
    assert path.read_text() == "a file"


def test_a_socket_somebody_else_answers_on_is_not_replaced(tmp_path):
    path = tmp_path / "las.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(StateError, match="another LAS"), listening(path):
            pytest.fail("the socket was replaced")
    assert path.is_socket()


def test_a_folder_that_others_can_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="others can write here"), listening(tmp_path / "s"):
        pytest.fail("the folder was used")
