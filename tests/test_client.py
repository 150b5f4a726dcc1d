"""The client: the same over gRPC and REST; retries, deadlines and errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from serving_support import EXAMPLE, options, running, save_model

import actprobe
from actprobe import backend, export
from actprobe.audio import Waveform
from actprobe.errors import ServingError, UsageError
from actprobe.serving import Client
from actprobe.serving.client.retry import Retry


@pytest.fixture(scope="module")
def network() -> Any:
    return actprobe.load_model("svd", seed=0)


@pytest.fixture(scope="module")
def inverter() -> Any:
    return actprobe.load_inverter("svd", "fc8", seed=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: Any, inverter: Any) -> Iterator[Any]:
    base = tmp_path_factory.mktemp("client")
    export(network, output_dir=base, name="svd")
    export(inverter, output_dir=base, network=network, name="svd_inverter_fc8")
    save_model(base / "models/toy/1", bias=1)
    with running(options(base / "models", enable_batching=True)) as server:
        yield server


@pytest.fixture(scope="module", params=["grpc", "rest"])
def address(request: pytest.FixtureRequest, server: Any) -> str:
    return {"grpc": f"127.0.0.1:{server.port}", "rest": f"http://127.0.0.1:{server.rest_api_port}"}[
        request.param
    ]


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with Client(address, model="toy", timeout_seconds=60) as client:
        yield client


def test_invert_gives_what_the_inverter_gives(client: Any, inverter: Any) -> None:
    features = np.random.default_rng(0).standard_normal((3, *inverter.feature_shape)).astype(np.float32)
    found = client.invert(features, model="svd_inverter_fc8")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, inverter(features), rtol=1e-5, atol=1e-5)


def test_activations_of_examples_are_those_of_the_model(client: Any, network: Any) -> None:
    examples = np.random.default_rng(1).standard_normal((2, *network.frontend.example_shape))
    found = client.activations(examples, ["fc8", "mp6"], model="svd")
    expected = network.activations(examples.astype(np.float32), layers=["fc8", "mp6"])
    assert list(found) == ["fc8", "mp6"]
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


def test_activations_of_a_waveform_come_with_their_times(client: Any, network: Any) -> None:
    rate = network.frontend.sample_rate
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    found = client.activations(Waveform(samples, rate), model="svd")
    examples = network.frontend(samples, rate)
    expected = network.activations(examples, layers=["fc9"])["fc9"]
    np.testing.assert_allclose(found["fc9"], expected, rtol=1e-4, atol=1e-5)
    assert found["times"].shape == (len(examples),)
    assert found["times"].dtype == np.float64
    with pytest.raises(UsageError, match="gives no layer 'conv9'"):
        client.activations(samples, ["conv9"], model="svd")


def test_types_come_back_as_the_signature_has_them(client: Any) -> None:
    inputs = {"b": [True], "i": [2**60], "d": [0.1], "u": [255], "h": [0.5]}
    found = client.predict(inputs, "types")
    kinds = {"b": "bool", "i": "int64", "d": "float64", "u": "uint8", "h": "float16"}
    assert {name: array.dtype.name for name, array in found.items()} == kinds
    assert found["i"].tolist() == [2**60 + 1]
    assert client.predict({"s": ["a", b"\xff"]}, "text")["echo"].tolist() == [b"a", b"\xff"]


def test_nan_and_infinity_come_back(client: Any) -> None:
    found = client.predict({"x": [[np.nan, np.inf, -np.inf]]})["y"]
    assert np.array_equal(found, [[np.nan, np.inf, -np.inf]], equal_nan=True)


def test_status_and_metadata(client: Any) -> None:
    assert client.status() == {1: "AVAILABLE"}
    signatures = client.metadata()["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_both_ways_say_the_same(server: Any) -> None:
    addresses = (f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_api_port}")
    found = []
    for address in addresses:
        with Client(address, model="toy", version=1) as client:
            found.append((client.metadata(), client.status(), client.predict({"x": EXAMPLE})["y"].tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("inputs", "signature", "model", "code", "words"),
    [
        ({"x": [[1.0]]}, "serving_default", None, "INVALID_ARGUMENT", "shape [1,1]"),
        ({"x": [["a"]]}, "serving_default", None, "INVALID_ARGUMENT", "DT_FLOAT"),
        ({"x": EXAMPLE}, "nothing", None, "INVALID_ARGUMENT", "not found"),
        ({"x": EXAMPLE}, "serving_default", "nobody", "NOT_FOUND", "nobody"),
        ({"x": [object()]}, "serving_default", None, "INVALID_ARGUMENT", "neither numbers nor strings"),
    ],
)
def test_errors_have_a_code_and_a_reason(
    client: Any, inputs: dict[str, Any], signature: str, model: str | None, code: str, words: str
) -> None:
    with pytest.raises(ServingError) as caught:
        client.predict(inputs, signature, model=model)
    assert caught.value.code == code
    assert words in caught.value.reason


def test_a_deadline_is_kept(address: str) -> None:
    with Client(address, model="toy", timeout_seconds=30) as client:
        client.predict({"steps": np.array([1], np.int32)}, "work")
        client.timeout_seconds = 0.05
        with pytest.raises(ServingError) as caught:
            client.predict({"steps": np.array([50_000], np.int32)}, "work")
        assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_server_that_is_not_there_is_unavailable() -> None:
    for address in ("127.0.0.1:1", "http://127.0.0.1:1"):
        with Client(address, model="toy", attempts=2) as client, pytest.raises(ServingError) as caught:
            client.status()
        assert caught.value.code == "UNAVAILABLE"
        assert "127.0.0.1:1" in caught.value.reason


@pytest.mark.parametrize("address", ["", "nowhere", "ftp://a:1", "host:port", "grpc://x"])
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Client(address)


def test_a_model_has_to_be_named_and_version_and_label_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="which model"):
        Client("http://127.0.0.1:1").status()
    with pytest.raises(UsageError, match="not both"):
        Client("http://127.0.0.1:1", version=1, label="stable")


def test_rest_needs_no_tensorflow(server: Any) -> None:
    code = (
        "import sys; from actprobe.serving import Client\n"
        f"client = Client('http://127.0.0.1:{server.rest_api_port}', model='toy')\n"
        "print(client.predict({'x': [[1, 2, 3]]})['y'].tolist(), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[[3.0, 5.0, 7.0]] False", done.stderr


# ---- retries, without a clock


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_what_was_not_taken_is_asked_again_with_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, left = Clock(monkeypatch), ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNAVAILABLE"]

    def ask(seconds: float) -> str:
        if left:
            raise ServingError(left.pop(0), "not now")
        return "answer"

    assert Retry(attempts=4, first_seconds=1, longest_seconds=3).call(ask, 60) == "answer"
    for wait, longest in zip(clock.waits, (1, 2, 3), strict=True):
        assert longest / 2 <= wait <= longest


def test_retries_end_with_the_attempts_or_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(monkeypatch), []

    def ask(seconds: float) -> None:
        asked.append(seconds)
        raise ServingError("UNAVAILABLE", "never")

    with pytest.raises(ServingError, match="never"):
        Retry(attempts=3).call(ask, 60)
    assert len(asked) == 3
    clock.now, asked[:] = 0.0, []
    with pytest.raises(ServingError, match="never"):
        Retry(attempts=1000, first_seconds=1, longest_seconds=1).call(ask, 10)
    assert asked[0] == 10
    assert clock.now <= 10
    assert all(first > second for first, second in pairwise(asked))


def test_what_was_refused_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def ask(seconds: float) -> None:
        raise ServingError("INVALID_ARGUMENT", "never right")

    with pytest.raises(ServingError):
        Retry().call(ask, 60)
    assert clock.waits == []


def test_importing_the_client_does_not_import_tensorflow() -> None:
    assert backend is not None
    code = "import sys, actprobe.serving.client, actprobe.serving.server; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
