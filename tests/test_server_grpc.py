"""The gRPC API with the stubs of tensorflow-serving-api; docs/serving.md lists rule and test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from serving_support import EXAMPLE, Http, options, predict_request, running, save_model, soon

from actprobe import backend
from actprobe.errors import ServingError, UsageError
from actprobe.serving.protocol.tensors import fill_tensor_proto, from_tensor_proto
from actprobe.serving.server.batching import BatchingParameters, read_batching_parameters
from actprobe.serving.server.runner import Runner
from actprobe.serving.server.servable import Servable

MESSAGE_BYTES = 2**20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("grpc")
    save_model(base / "toy/1")
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Any]:
    with running(options(base, enable_batching=True, grpc_max_message_bytes=MESSAGE_BYTES)) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: Any) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel: Any) -> Any:
    return backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: Any) -> Any:
    return backend.serving.model_service_pb2_grpc.ModelServiceStub(channel)


def values(response: Any) -> dict[str, Any]:
    return {name: backend.tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def refused(call: Any, request: pytest.FixtureRequest, code: grpc.StatusCode, *words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    assert caught.value.code() == code, caught.value.details()
    for word in words:
        assert word in caught.value.details()


INVALID = grpc.StatusCode.INVALID_ARGUMENT


# ---- Predict


def test_predict_answers_with_the_spec_that_answered(prediction: Any) -> None:
    response = prediction.Predict(predict_request({"x": EXAMPLE}))
    assert np.array_equal(values(response)["y"], 2 * EXAMPLE)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 1, "serving_default")


def test_predict_of_a_named_signature_with_several_inputs(prediction: Any) -> None:
    inputs = {"a": np.array([[1, 2], [3, 4]], np.float32), "n": np.array([5, 6], np.int32)}
    found = values(prediction.Predict(predict_request(inputs, signature="several")))
    assert found["total"].tolist() == [3, 7]
    assert found["twice"].tolist() == [10, 12]


def test_output_filter_gives_only_what_was_asked_for(prediction: Any) -> None:
    inputs = {"a": np.array([[1, 2]], np.float32), "n": np.array([5], np.int32)}
    request = predict_request(inputs, signature="several", outputs=("twice",))
    assert list(prediction.Predict(request).outputs) == ["twice"]
    request = predict_request(inputs, signature="several", outputs=("half",))
    refused(prediction.Predict, request, INVALID, "output tensor alias not found", "half")


def test_values_may_be_listed_or_repeated_as_tensorproto_allows(prediction: Any) -> None:
    tensor = backend.tf.make_tensor_proto(EXAMPLE)
    tensor.ClearField("tensor_content")
    tensor.float_val.extend([1, 2, 3])
    assert values(prediction.Predict(predict_request({"x": tensor})))["y"].tolist() == [[2, 4, 6]]
    del tensor.float_val[1:]
    assert values(prediction.Predict(predict_request({"x": tensor})))["y"].tolist() == [[2, 2, 2]]


def test_strings_are_bytes(prediction: Any) -> None:
    found = values(prediction.Predict(predict_request({"s": [b"\xff\x00", b"a"]}, signature="text")))
    assert found["echo"].tolist() == [b"\xff\x00", b"a"]


def test_every_type_goes_there_and_back(prediction: Any) -> None:
    inputs = {
        "b": np.array([True, False]),
        "i": np.array([2**60, -1], np.int64),
        "d": np.array([0.1, 1e300], np.float64),
        "u": np.array([0, 255], np.uint8),
        "h": np.array([0.5, np.inf], np.float16),
    }
    found = values(prediction.Predict(predict_request(inputs, signature="types")))
    expected = inputs | {"b": ~inputs["b"], "i": inputs["i"] + 1, "d": inputs["d"] * 2}
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_nan_and_infinity_pass(prediction: Any) -> None:
    found = values(prediction.Predict(predict_request({"x": np.array([[np.nan, np.inf, 1]], np.float32)})))[
        "y"
    ]
    assert np.array_equal(found, [[np.nan, np.inf, 2]], equal_nan=True)


def test_no_examples_are_no_error(prediction: Any) -> None:
    found = values(prediction.Predict(predict_request({"x": np.zeros((0, 3), np.float32)})))["y"]
    assert found.shape == (0, 3)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["Missing but required: x"]),
        ({"z": EXAMPLE}, ["Missing but required: x", "Sent extra: z"]),
        ({"x": EXAMPLE, "z": EXAMPLE}, ["Sent extra: z"]),
        ({"x": EXAMPLE.astype(np.float64)}, ["x is float64", "expected DT_FLOAT [?,3]"]),
        ({"x": EXAMPLE[0]}, ["shape [3]", "expected DT_FLOAT [?,3]"]),
        ({"x": EXAMPLE[:, :2]}, ["shape [1,2]"]),
        ({"x": ["a"]}, ["expected DT_FLOAT"]),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(
    prediction: Any, inputs: dict[str, Any], words: list[Any]
) -> None:
    refused(prediction.Predict, predict_request(inputs), INVALID, *words)


def test_tensors_that_contradict_themselves_are_refused(prediction: Any) -> None:
    def broken(change: Any) -> Any:
        tensor = backend.tf.make_tensor_proto(EXAMPLE)
        change(tensor)
        return predict_request({"x": tensor})

    def sized(*sizes: Any) -> Any:
        def change(tensor: Any) -> None:
            for axis, size in zip(tensor.tensor_shape.dim, sizes, strict=True):
                axis.size = size

        return change

    refused(prediction.Predict, broken(sized(1, 4)), INVALID, "12 bytes of tensor_content")
    refused(prediction.Predict, broken(sized(-1, 3)), INVALID, "no shape")
    refused(prediction.Predict, broken(sized(2**40, 2**40)), INVALID, "too many elements")
    refused(prediction.Predict, broken(sized(2**62, 0)), INVALID, "too many elements")
    refused(prediction.Predict, broken(lambda t: setattr(t.tensor_shape, "unknown_rank", True)), INVALID)
    refused(prediction.Predict, broken(lambda t: t.ClearField("tensor_content")), INVALID, "0 values")
    refused(
        prediction.Predict,
        broken(lambda t: setattr(t, "dtype", 21)),
        grpc.StatusCode.UNIMPLEMENTED,
        "type number 21",
    )


def test_tensors_go_through_the_messages_unchanged() -> None:
    from tensorflow.core.framework import tensor_pb2

    for array in (np.float32(3), np.zeros((0, 4)), np.arange(24, dtype=np.int16).reshape(2, 3, 4)):
        message = tensor_pb2.TensorProto()
        fill_tensor_proto(message, np.asarray(array))
        assert np.array_equal(backend.tf.make_ndarray(message), array)
        assert np.array_equal(from_tensor_proto(message, "a"), array)


def test_unknown_signature_model_version_and_label(prediction: Any) -> None:
    refused(prediction.Predict, predict_request({"x": EXAMPLE}, signature="no"), INVALID, '"no" not found')
    missing = grpc.StatusCode.NOT_FOUND
    refused(prediction.Predict, predict_request({"x": EXAMPLE}, model="half"), missing, "Latest(half)")
    refused(prediction.Predict, predict_request({"x": EXAMPLE}, version=9), missing, "Specific(toy, 9)")
    refused(prediction.Predict, predict_request({"x": EXAMPLE}, label="canary"), INVALID, "Unrecognized")
    refused(prediction.Predict, predict_request({"x": EXAMPLE}, model=""), INVALID, "Missing ModelSpec")


def test_what_the_model_refuses_is_an_invalid_argument_with_its_sentence(prediction: Any) -> None:
    request = predict_request({"waveform": np.zeros((1, 3), np.float32)}, signature="any_length")
    refused(prediction.Predict, request, INVALID, "shorter than 4 samples")


def test_the_other_methods_are_unimplemented_with_a_sentence(prediction: Any) -> None:
    from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

    for call, request in (
        (prediction.Classify, classification_pb2.ClassificationRequest()),
        (prediction.Regress, regression_pb2.RegressionRequest()),
        (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
        refused(call, request, grpc.StatusCode.UNIMPLEMENTED, "is not there")


def test_a_request_that_is_too_large_is_refused(prediction: Any) -> None:
    large = predict_request({"x": np.zeros((MESSAGE_BYTES // 12 + 1000, 3), np.float32)})
    refused(prediction.Predict, large, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_a_request_is_as_large_as_what_it_unfolds_to(prediction: Any) -> None:
    """One value stands for all that follow: a few bytes may ask for gigabytes."""
    tensor = backend.tf.make_tensor_proto(EXAMPLE)
    tensor.ClearField("tensor_content")
    tensor.float_val.append(0.5)
    tensor.tensor_shape.dim[0].size = MESSAGE_BYTES // 12 + 1
    said = f"unfolds to {12 * (MESSAGE_BYTES // 12 + 1)} bytes; {MESSAGE_BYTES} are taken"
    refused(prediction.Predict, predict_request({"x": tensor}), grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    text = backend.tf.make_tensor_proto([b"a" * 1000])
    text.tensor_shape.dim[0].size = MESSAGE_BYTES // 1000 + 1
    request = predict_request({"s": text}, signature="text")
    refused(prediction.Predict, request, grpc.StatusCode.RESOURCE_EXHAUSTED, "unfolds to")
    halves = [backend.tf.make_tensor_proto(np.zeros(1, np.float64)) for _ in range(2)]
    for half in halves:  # each would be taken by itself
        half.ClearField("tensor_content")
        half.double_val.append(0.5)
        half.tensor_shape.dim[0].size = MESSAGE_BYTES // 12
    together = predict_request(dict(zip("ab", halves, strict=True)))
    refused(prediction.Predict, together, grpc.StatusCode.RESOURCE_EXHAUSTED, "unfolds to")


def test_bytes_that_are_no_message_are_refused(channel: Any, prediction: Any) -> None:
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for body in (b"\xff\xff", predict_request({"x": EXAMPLE}).SerializeToString()[:-3]):
        with pytest.raises(grpc.RpcError):
            call(body, timeout=20)
    assert prediction.Predict(predict_request({"x": EXAMPLE}))


def test_a_deadline_is_kept(prediction: Any) -> None:
    slow = predict_request({"steps": np.array([100_000], np.int32)}, signature="work")
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(slow, timeout=0.05)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


# ---- GetModelMetadata


def test_metadata_holds_the_signature_defs(prediction: Any) -> None:
    request = backend.serving.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "toy"
    response = prediction.GetModelMetadata(request)
    signatures = backend.serving.get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].tensor_shape.dim[1].size == 3
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 1)


def test_metadata_fields_have_to_be_asked_for_and_known(prediction: Any) -> None:
    request = backend.serving.get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    refused(prediction.GetModelMetadata, request, INVALID, "at least one metadata_field")
    request.metadata_field.append("graph")
    refused(prediction.GetModelMetadata, request, INVALID, "graph is not supported")
    request.model_spec.name = "nobody"
    refused(prediction.GetModelMetadata, request, grpc.StatusCode.NOT_FOUND)


# ---- ModelService and health


def test_status_of_all_versions_and_of_one(models: Any) -> None:
    messages = backend.serving.get_model_status_pb2
    request = messages.GetModelStatusRequest()
    request.model_spec.name = "toy"
    found = models.GetModelStatus(request).model_version_status
    assert [(entry.version, entry.state) for entry in found] == [(1, messages.ModelVersionStatus.AVAILABLE)]
    assert found[0].status.error_code == 0
    request.model_spec.version.value = 4
    refused(models.GetModelStatus, request, grpc.StatusCode.NOT_FOUND, "version 4 of model toy")
    refused(models.GetModelStatus, messages.GetModelStatusRequest(), INVALID, "Missing ModelSpec")


def test_health_is_serving_for_each_service(channel: Any) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    refused(stub.Check, health_pb2.HealthCheckRequest(service="other"), grpc.StatusCode.NOT_FOUND)


# ---- batching


def test_requests_of_different_callers_go_through_the_model_together(base: Path) -> None:
    # The batch is full, and computed, only when all four are in it; alone each would wait half an hour.
    parameters = BatchingParameters(max_batch_size=8, batch_timeout_micros=2_000_000_000)
    servable = Servable(base / "toy/1", "toy", 1, parameters)
    plain = servable.signature("")
    with ThreadPoolExecutor(4) as callers:
        rows = [np.full((2, 3), index, np.float32) for index in range(4)]
        found = list(callers.map(lambda x: servable.run(plain, {"x": x})["y"], rows))
    servable.close()
    for x, y in zip(rows, found, strict=True):
        assert np.array_equal(y, 2 * x)


def test_a_request_larger_than_a_batch_is_split_and_put_together_again(base: Path) -> None:
    servable = Servable(base / "toy/1", "toy", 1, BatchingParameters(max_batch_size=8))
    x = np.arange(300, dtype=np.float32).reshape(100, 3)
    assert np.array_equal(servable.run(servable.signature(""), {"x": x})["y"], 2 * x)
    most = np.zeros((8 * 64 + 1, 3), np.float32)
    with pytest.raises(ServingError, match="at most 512"):
        servable.run(servable.signature(""), {"x": most})
    servable.close()


def test_sizes_that_are_not_allowed_are_filled_up_and_cut_again(base: Path) -> None:
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8))
    servable = Servable(base / "toy/1", "toy", 1, parameters)
    for size in (1, 3, 5, 8):
        x = np.arange(3 * size, dtype=np.float32).reshape(size, 3)
        assert np.array_equal(servable.run(servable.signature(""), {"x": x})["y"], 2 * x)
    servable.close()


def test_a_full_queue_is_resource_exhausted_on_both_sides(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "batching_parameters.txt"
    file.write_text(
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } num_batch_threads { value: 1 }"
    )
    with running(options(base, enable_batching=True, batching_parameters_file=str(file))) as server:
        rest = Http(f"http://127.0.0.1:{server.rest_api_port}")
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
            slow = predict_request({"steps": np.array([20_000], np.int32)}, signature="work")
            barrier = threading.Barrier(8)

            def ask(index: int) -> Any:
                barrier.wait()
                if index % 2:
                    return rest.predict({"signature_name": "work", "inputs": [20_000]})
                try:
                    return stub.Predict(slow, timeout=60)
                except grpc.RpcError as error:
                    return error.code()

            with ThreadPoolExecutor(8) as callers:
                found = list(callers.map(ask, range(8)))
    over_grpc = [answer for answer in found[::2] if isinstance(answer, grpc.StatusCode)]
    over_rest = [status for status, _ in found[1::2]]
    assert set(over_grpc) <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert set(over_rest) <= {200, 429}
    refusals = len(over_grpc) + over_rest.count(429)
    assert 1 <= refusals <= 7  # one is computed at least, and not all eight can wait


def test_what_waits_goes_to_the_batcher_as_one_task_and_each_caller_gets_its_part(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servable = Servable(base / "toy/1", "toy", 1, BatchingParameters(num_batch_threads=1, max_batch_size=8))
    sizes, go_on = [], threading.Event()
    ask = servable.run

    def run(signature: Any, inputs: Any, outputs: tuple[Any, ...] = ()) -> Any:
        sizes.append(len(inputs["x"]))
        assert go_on.wait(60)
        return ask(signature, inputs, outputs)

    monkeypatch.setattr(servable, "run", run)
    rows = [np.full((1 + index % 2, 3), index, np.float32) for index in range(20)]

    async def ask_all() -> list[Any]:
        runner, calls = Runner(), []
        with ThreadPoolExecutor(1) as threads:
            for x in rows:
                work = runner.run(servable, servable.signature(""), {"x": x}, (), threads)
                calls.append(asyncio.ensure_future(work))
                while not sizes:  # the first is computed; all others wait
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            assert sum(len(queue.waiting) for queue in runner._queues.values()) == 19
            go_on.set()
            found = await asyncio.gather(*calls)
        runner.close()
        return [each["y"] for each in found]

    found = asyncio.run(ask_all())
    servable.close()
    for x, y in zip(rows, found, strict=True):
        assert np.array_equal(y, 2 * x)
    assert sum(sizes) == 30
    assert max(sizes) <= 8
    assert len(sizes) <= 1 + 5  # 29 examples in tasks of 7 or 8, the last one perhaps smaller


def test_a_batch_beside_a_running_one_waits_for_an_equal_share(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servable = Servable(base / "toy/1", "toy", 1, BatchingParameters(num_batch_threads=2, max_batch_size=8))
    sizes, go_on, ask = [], threading.Event(), servable.run

    def run(signature: Any, inputs: Any, outputs: tuple[Any, ...] = ()) -> Any:
        sizes.append(len(inputs["x"]))
        assert go_on.wait(60)
        return ask(signature, inputs, outputs)

    async def ask_for(*examples: int) -> None:
        runner, calls = Runner(), []
        threads: Any = None
        for count in examples:
            work = runner.run(
                servable, servable.signature(""), {"x": np.ones((count, 3), np.float32)}, (), threads
            )
            calls.append(asyncio.ensure_future(work))
            await asyncio.sleep(0)
        waiting = sum(queue.examples for queue in runner._queues.values())
        go_on.set()
        await asyncio.gather(*calls)
        runner.close()
        assert waiting == 2  # the last request, which has no thread

    monkeypatch.setattr(servable, "run", run)
    asyncio.run(ask_for(6, 1, 1, 1, 3, 2))  # while 6 run, 1, 2 and 3 are too few; 6 are a share
    servable.close()
    assert sizes == [6, 6, 2]


def test_requests_that_could_spoil_a_batch_are_not_batched(base: Path) -> None:
    servable = Servable(base / "toy/1", "toy", 1, BatchingParameters(batch_timeout_micros=2_000_000_000))
    signature = servable.signature("any_length")
    for length in (4, 7):  # each answers at once, though no batch is ever full
        x = np.ones((1, length), np.float32)
        assert servable.run(signature, {"waveform": x})["mean"].tolist() == [1]
    servable.close()


def test_batching_parameters_are_those_of_tensorflow_serving(tmp_path: Path) -> None:
    file = tmp_path / "batching_parameters.txt"
    file.write_text(
        "max_batch_size { value: 16 }\nbatch_timeout_micros { value: 500 }\n"
        "max_enqueued_batches { value: 9 }\nnum_batch_threads { value: 3 }\n"
        "allowed_batch_sizes: 4\nallowed_batch_sizes: 16\n"
        'thread_pool_name { value: "pool" }\npad_variable_length_inputs: false\n'
    )
    assert read_batching_parameters(file) == BatchingParameters(16, 500, 9, 3, (4, 16))
    for text, words in (
        ("max_batch_size { value: 0 }", "1 or more"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "end with max_batch_size"),
        ("pad_variable_length_inputs: true", "is not there"),
        ("largest_batch: 3", "no BatchingParameters"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_batching_parameters(file)


def test_closing_a_version_gives_back_the_threads_of_its_batcher(base: Path) -> None:
    from pathlib import Path

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    def once() -> None:
        servable = Servable(base / "toy/1", "toy", 1, BatchingParameters(num_batch_threads=5))
        servable.run(servable.signature(""), {"x": EXAMPLE})
        servable.close()

    once()
    before = threads()
    for _ in range(4):
        once()
    soon(lambda: threads() < before + 10)  # of 20
