"""What happens to the server when requests are hostile, callers leave, or it is killed."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from serving_support import EXAMPLE, Http, Process, options, predict_request, running, save_model, soon

from actprobe import backend
from actprobe.errors import ServingError
from actprobe.serving.client import Client

FUZZED = 10_000
CALLERS = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("faults")
    save_model(base / "toy/1")
    return base


# ---- hostile requests

NAMES = [
    "", "toy", "TOY", "..", "../../etc/passwd", "/etc/passwd", "toy/../toy", "toy\x00", "a" * 5000, "\u266b",
    "%2e%2e%2f", "toy:predict", "{name}", "toy/versions/99999999999999999999", "toy/labels/../stable", "\\..",
]  # fmt: skip


def random_json(random: random.Random, depth: int = 0) -> Any:
    kinds = ["number", "string", "list", "object", "odd"] if depth < 5 else ["number", "string", "odd"]
    kind = random.choice(kinds)
    if kind == "number":
        return random.choice([0, -1, 1.5, 1e308, 2**70, -(2**63), float("nan"), float("inf")])
    if kind == "string":
        return random.choice(["", "x", "\u266b", "b64", "9" * 50, "serving_default"])
    if kind == "odd":
        return random.choice([None, True, False, [], {}, {"b64": "!"}, {"b64": "AA=="}])
    if kind == "list":
        return [random_json(random, depth + 1) for _ in range(random.randrange(4))]
    keys = random.sample(["x", "a", "n", "s", "b64", "instances", "inputs", "signature_name", "z"], 3)
    return {key: random_json(random, depth + 1) for key in keys}


def rest_body(random: random.Random) -> bytes:
    kind = random.randrange(9)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return b'{"inputs": ' + b"[" * random.randrange(1, 20_000)
    if kind == 2:
        depth = random.randrange(1, 3000)
        return b'{"instances": ' + b"[" * depth + b"NaN" + b"]" * depth + b"}"
    if kind == 3:
        return b'{"inputs": [[' + b"1," * random.randrange(20_000) + b"1]]}"
    if kind == 4:
        return b'{"inputs": [[' + b"9" * random.randrange(10_000) + b",1,1]]}"
    if kind == 5:
        good = b'{"signature_name": "several", "instances": [{"a": [1, 2], "n": 3}]}'
        return good[: random.randrange(len(good))]
    if kind == 6:
        spoiled = bytearray(b'{"inputs": [[1.0, 2.0, 3.0]]}')
        spoiled[random.randrange(len(spoiled))] = random.randrange(256)
        return bytes(spoiled)
    if kind == 7:
        return b'{"inputs": "' + b"a" * random.randrange(300_000) + b'"}'  # up to more than is taken
    key = random.choice(["instances", "inputs"])
    names = ["serving_default", "several", "text", "types", "any_length", "scalar", "no", 3]
    return json.dumps({"signature_name": random.choice(names), key: random_json(random)}).encode()


def rest_request(random: random.Random, address: str) -> None:
    """Sent as it is, without a client's tidying; some callers leave before the answer."""
    host, port = address.removeprefix("http://").split(":")
    body = rest_body(random)
    name = "toy" if random.random() < 0.7 else random.choice(NAMES)
    path = f"/v1/models/{name}:predict".encode("utf-8", "replace").replace(b" ", b"%20")
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    length = len(body) if random.random() < 0.95 else random.choice([0, 10**9, 10**30, -1])
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % length + body)
            if random.random() < 0.05 or length > len(body):
                return
            while connection.recv(65536):
                pass
        except ConnectionError:  # refused before all was sent
            return


def grpc_body(random: random.Random) -> bytes:
    shapes = [(), (0,), (3,), (1, 3), (2, 3), (1, 0), (1, 2), (1, 1, 3), (1,) * 20]
    kinds = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, np.complex64]
    array = np.zeros(random.choice(shapes), random.choice(kinds))
    if array.dtype.kind == "f" and random.random() < 0.5:
        array = array + random.choice([np.nan, np.inf, 1e38])
    request = predict_request(
        {random.choice(["x", "a", "", "y" * 300]): array},
        model=random.choice(["toy"] * 6 + [name.replace("\x00", "") for name in NAMES]),
        signature=random.choice(["", "several", "text", "any_length", "scalar", "no", "s" * 3000]),
    )
    for tensor in request.inputs.values():
        kind = random.randrange(6)
        if kind == 0 and tensor.tensor_shape.dim:
            tensor.tensor_shape.dim[0].size = random.choice([-1, 2**31, 2**62, 7])
        elif kind == 1:
            tensor.dtype = random.randrange(30)
        elif kind == 2:
            tensor.ClearField("tensor_content")
            tensor.float_val.extend([1.0] * random.randrange(5))
    body: bytes = request.SerializeToString()
    kind = random.randrange(5)
    if kind == 0:
        return body[: random.randrange(len(body))]
    if kind == 1:
        broken = bytearray(body)
        broken[random.randrange(len(body))] = random.randrange(256)
        return bytes(broken)
    if kind == 2 and random.random() < 0.05:
        return body + b"\x1a" + bytes(300_000)
    return body


def test_ten_thousand_fuzzed_requests_neither_crash_nor_hang_it(base: Path) -> None:
    flags = ("--enable_batching", "--rest_max_body_bytes=200000", "--grpc_max_message_bytes=200000")
    process = Process(f"--model_base={base}", "--port=0", "--rest_api_port=0", *flags)
    codes: Counter[str] = Counter()

    def attack(seed: int) -> int:
        dice = random.Random(seed)
        good = predict_request({"x": EXAMPLE}).SerializeToString()
        rest, answered = Http(process.rest), 0
        with grpc.insecure_channel(process.grpc) as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            for _ in range(FUZZED // CALLERS // 100):
                for index in range(100):
                    if index % 2:
                        rest_request(dice, process.rest)
                    else:
                        failed = call.future(grpc_body(dice), timeout=20).exception()
                        codes[failed.code().name if failed else "OK"] += 1
                found = backend.serving.predict_pb2.PredictResponse.FromString(call(good, timeout=20))
                assert list(np.frombuffer(found.outputs["y"].tensor_content, np.float32)) == [2, 4, 6]
                assert rest.predict({"inputs": [[1, 2, 3]]}) == (200, {"outputs": [[2.0, 4.0, 6.0]]})
                answered += 1
        return answered

    try:
        with ThreadPoolExecutor(CALLERS) as attackers:
            answered = sum(attackers.map(attack, range(CALLERS)))
        assert answered * 100 == FUZZED
        assert process.child.poll() is None
        # Nothing that a caller sends is this server's own fault; bytes that are no message gRPC refuses.
        assert codes.keys() <= {
            "OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED"
        }  # fmt: skip
        assert codes["OK"]
        assert codes["INVALID_ARGUMENT"] > 1000
        page = Http(process.rest)("GET", "/monitoring/prometheus/metrics")[1].decode()
        assert 'status="INTERNAL"' not in page
        assert process.terminate()[0] == 0
    finally:
        process.kill()


def test_a_connection_that_says_nothing_does_not_hold_up_others(base: Path) -> None:
    with running(options(base, port=-1)) as server:
        address = ("127.0.0.1", server.rest_api_port)
        idle = [socket.create_connection(address) for _ in range(50)]
        for connection in idle:
            head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
            connection.sendall(head + b"{")
        assert Http(f"http://127.0.0.1:{server.rest_api_port}").predict({"inputs": [[1, 2, 3]]})[0] == 200
        for connection in idle:
            connection.close()


# ---- callers that leave


def counted(server: Any, name: str) -> float:
    page = server.metrics.page().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


def test_work_is_dropped_when_its_deadline_passes_while_it_waits(base: Path) -> None:
    slow = predict_request({"steps": np.array([30_000], np.int32)}, signature="work")
    with running(options(base, rest_api_port=-1, grpc_max_threads=1)) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
            first = stub.Predict.future(slow, timeout=60)
            soon(lambda: server.metrics.in_flight == 1)
            waiting = [stub.Predict.future(slow, timeout=0.01) for _ in range(20)]
            assert {call.exception().code() for call in waiting} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            assert first.result().outputs
            assert stub.Predict(predict_request({"x": EXAMPLE}), timeout=60)
        assert counted(server, "actprobe_examples_total") == 2  # the first and the last


def test_a_rest_request_whose_caller_has_gone_is_not_begun(base: Path) -> None:
    body = {"signature_name": "work", "inputs": [30_000]}
    given = options(base, port=-1, rest_api_num_threads=1)
    with running(given) as server, ThreadPoolExecutor(1) as caller:
        ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
        first = caller.submit(ask.predict, body)
        soon(lambda: server.metrics.in_flight == 1)
        for _ in range(10):
            connection = HTTPConnection("127.0.0.1", server.rest_api_port)
            connection.request("POST", "/v1/models/toy:predict", json.dumps(body))
            connection.close()
        assert first.result()[0] == 200
        assert ask.predict({"inputs": [[1, 2, 3]]})[0] == 200
        assert counted(server, "actprobe_examples_total") == 2


def test_more_requests_than_may_be_under_way_are_refused_at_once(base: Path) -> None:
    slow = predict_request({"steps": np.array([30_000], np.int32)}, signature="work")
    given = options(base, max_pending_requests=2, grpc_max_threads=2)
    with running(given) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
        calls = [stub.Predict.future(slow, timeout=60) for _ in range(8)]
        codes = Counter(call.code() for call in calls)
        assert codes[grpc.StatusCode.RESOURCE_EXHAUSTED] == 6
        assert codes[grpc.StatusCode.OK] == 2


# ---- tokens and TLS


def test_a_bearer_token_is_asked_for_on_both_sides(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("first\nsecond\n")
    with running(options(base, bearer_token_file=str(file))) as server:
        rest = Http(f"http://127.0.0.1:{server.rest_api_port}")
        assert rest.predict({"inputs": [[1, 2, 3]]})[0] == 401
        assert rest("GET", "/monitoring/prometheus/metrics")[0] == 401
        for address in (f"http://127.0.0.1:{server.rest_api_port}", f"127.0.0.1:{server.port}"):
            for token in (None, "third", "firs", "first second"):
                stranger = Client(address, model="toy", token=token)
                with pytest.raises(ServingError) as refused, stranger:
                    stranger.predict({"x": EXAMPLE})
                assert refused.value.code == "UNAUTHENTICATED"
            with Client(address, model="toy", token="second") as client:
                assert client.predict({"x": EXAMPLE})["y"].tolist() == [[2, 4, 6]]
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            from grpc_health.v1 import health_pb2, health_pb2_grpc

            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_tls_on_both_sides(base: Path, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl to make a certificate")
    config = tmp_path / "ssl.config"
    quoted = [json.dumps(path.read_text()) for path in (key, certificate)]
    config.write_text(f"server_key: {quoted[0]} server_cert: {quoted[1]}")
    with running(options(base, ssl_config_file=str(config))) as server:
        for address in (f"https://localhost:{server.rest_api_port}", f"grpcs://localhost:{server.port}"):
            with Client(address, model="toy", ca_file=certificate) as client:
                assert client.predict({"x": EXAMPLE})["y"].tolist() == [[2, 4, 6]]
            with Client(address, model="toy", attempts=1) as stranger, pytest.raises(ServingError):
                stranger.predict({"x": EXAMPLE})


# ---- the end


def test_sigterm_under_load_answers_every_request_that_was_taken(base: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    process = Process(
        f"--model_base={base}", "--port=0", "--rest_api_port=0", "--enable_batching", f"--access_log={log}"
    )
    answered: Counter[str] = Counter()
    wrong: list[str] = []
    warm = threading.Barrier(17)

    def over_grpc() -> None:
        request = predict_request({"x": EXAMPLE})
        with grpc.insecure_channel(process.grpc) as channel:
            stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(request, timeout=30)
            answered["GRPC"] += 1
            warm.wait()
            while True:
                failed = (call := stub.Predict.future(request, timeout=30)).exception()
                if failed is not None:  # it was not taken
                    if call.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                        wrong.append(f"{call.code()} {call.details()}")
                    return
                answered["GRPC"] += 1

    def over_rest() -> None:
        host = process.rest.removeprefix("http://")
        warm.wait()
        try:
            while True:
                connection = HTTPConnection(host, timeout=30)
                connection.request("POST", "/v1/models/toy:predict", '{"inputs": [[1, 2, 3]]}')
                response = connection.getresponse()
                if response.status != 200 or not response.read().endswith(b"}"):
                    wrong.append(str(response.status))
                answered["REST"] += 1
                connection.close()
        except (OSError, HTTPException):  # it was not taken
            return

    try:
        with ThreadPoolExecutor(16) as callers:
            for index in range(16):
                callers.submit(over_grpc if index % 2 else over_rest)
            warm.wait()
            soon(lambda: min(answered["GRPC"], answered["REST"]) > 100)
            code, said = process.terminate()
    finally:
        process.kill()
    assert code == 0, said
    assert wrong == []
    taken = [json.loads(line) for line in log.read_text().splitlines()]
    assert {entry["status"] for entry in taken} == {"OK"}
    assert Counter(entry["entrypoint"] for entry in taken) == answered


def test_health_says_not_serving_when_it_stops(base: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    seen = []
    with running(options(base, rest_api_port=-1)) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        seen.append(next(watch).status)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        seen.append(next(watch).status)
        watch.cancel()
        stopper.join()
        channel.close()
    states = health_pb2.HealthCheckResponse
    assert seen == [states.SERVING, states.NOT_SERVING]


def test_a_client_lives_through_a_server_that_is_killed_and_started_again(base: Path) -> None:
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    flags = (f"--model_base={base}", f"--port={ports[0]}", f"--rest_api_port={ports[1]}")
    process = Process(*flags)
    addresses = [process.grpc, process.rest]
    counts: Counter[str] = Counter()
    over, failures = threading.Event(), []

    def ask(address: str) -> None:
        with Client(address, model="toy", timeout_seconds=60, attempts=50) as client:
            try:
                while not over.is_set():
                    client.predict({"x": EXAMPLE})
                    counts[address] += 1
            except ServingError as error:
                failures.append(str(error))

    def everybody_is_answered() -> None:
        before = dict(counts)
        soon(lambda: all(counts[address] > before.get(address, 0) + 20 for address in addresses), 60)

    with ThreadPoolExecutor(4) as callers:
        for index in range(4):
            callers.submit(ask, addresses[index % 2])
        try:
            everybody_is_answered()
            process.kill()
            process = Process(*flags)
            everybody_is_answered()
        finally:
            over.set()
    process.kill()
    assert failures == []
