"""The REST API as TensorFlow Serving documents it, over plain HTTP; docs/serving.md lists rule and test."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_support import Http, options, running, save_model

from actprobe.errors import ServingError, UsageError
from actprobe.serving.protocol.documents import HTTP_STATUS, dump_json, load_json


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    base = tmp_path_factory.mktemp("rest")
    save_model(base / "toy/1")
    with running(options(base, enable_batching=True, rest_max_body_bytes=2**20)) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: Any) -> Http:
    return Http(f"http://127.0.0.1:{server.rest_api_port}")


def refused(answer: Any, status: int, *words: str) -> None:
    assert answer[0] == status
    assert list(answer[1]) == ["error"]
    for word in words:
        assert word in answer[1]["error"]


# ---- predict: rows


def test_rows_of_one_input_are_values_and_one_output_has_no_name(http: Http) -> None:
    assert http.predict({"instances": [[1, 2, 3], [4, 5, 6]]}) == (
        200,
        {"predictions": [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]},
    )


def test_rows_may_name_the_only_input(http: Http) -> None:
    assert http.predict({"instances": [{"x": [1, 2, 3]}]})[1] == {"predictions": [[2.0, 4.0, 6.0]]}


def test_rows_of_several_inputs_are_objects_and_so_is_the_answer(http: Http) -> None:
    body = {"signature_name": "several", "instances": [{"a": [1, 2], "n": 5}, {"a": [3, 4], "n": 6}]}
    assert http.predict(body) == (
        200,
        {"predictions": [{"total": 3.0, "twice": 10}, {"total": 7.0, "twice": 12}]},
    )


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ([], "No values"),
        ({}, "to be a list"),
        ([[1, 2, 3], {"x": [1, 2, 3]}], "mixture"),
        ([{"z": [1, 2, 3]}], "keys must be equal to: x"),
        ([[1, 2], [1]], "one length"),
        ([[1, 2]], "expected DT_FLOAT [?,3]"),
        ([["1", "2", "3"]], "expected type"),
        ([[None, 2, 3]], "expected type"),
        ([[True, False, True]], "expected type"),
        ([[1e39, 2, 3]], "without loss of precision"),
        ([1, 2, 3], "shape [3]"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    http: Http, instances: list[Any] | dict[str, Any], words: str
) -> None:
    refused(http.predict({"instances": instances}), 400, words)


def test_rows_without_names_for_several_inputs_are_refused(http: Http) -> None:
    refused(http.predict({"signature_name": "several", "instances": [[1, 2]]}), 400, "plain list")


def test_rows_need_outputs_with_a_first_axis(http: Http) -> None:
    assert http.predict({"signature_name": "scalar", "inputs": 3})[1] == {"outputs": 1.5}
    refused(http.predict({"signature_name": "scalar", "instances": [3]}), 400, "shape")


# ---- predict: columns


def test_columns_of_one_input_are_a_value(http: Http) -> None:
    assert http.predict({"inputs": [[1, 2, 3]]}) == (200, {"outputs": [[2.0, 4.0, 6.0]]})


def test_columns_of_several_inputs_are_an_object_and_so_is_the_answer(http: Http) -> None:
    body = {"signature_name": "several", "inputs": {"a": [[1, 2], [3, 4]], "n": [5, 6]}}
    assert http.predict(body) == (200, {"outputs": {"total": [3.0, 7.0], "twice": [10, 12]}})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"a": [[1, 2]]}, "Missing named input: n"),
        ({"a": [[1, 2]], "n": [1], "q": [1]}, "no named input 'q'"),
        ([[1, 2]], "plain value"),
        ({"a": [[1, 2]], "n": [1.5]}, "expected type: DT_INT32"),
        ({"a": [[1, 2]], "n": [2**40]}, "does not fit int32"),
        ({"a": [[1, 2]], "n": [1, 2]}, "0th-dimension"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    http: Http, inputs: dict[str, Any] | list[Any], words: str
) -> None:
    refused(http.predict({"signature_name": "several", "inputs": inputs}), 400, words)


@pytest.mark.parametrize("body", [{}, {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}])
def test_exactly_one_of_instances_and_inputs(http: Http, body: dict[str, Any]) -> None:
    refused(http.predict(body), 400, "'inputs'", "'instances'")


# ---- values


def test_every_type_goes_there_and_back(http: Http) -> None:
    inputs = {"b": [True, False], "i": [2**60, -1], "d": [0.1, 1e300], "u": [0, 255], "h": [0.5, 1.5]}
    status, found = http.predict({"signature_name": "types", "inputs": inputs})
    assert status == 200
    assert found["outputs"] == {
        "b": [False, True],
        "i": [2**60 + 1, 0],
        "d": [0.2, 2e300],
        "u": [0, 255],
        "h": [0.5, 1.5],
    }


def test_floats_come_back_with_the_digits_that_make_them(http: Http) -> None:
    answer = http.pool.request(
        "POST", f"{http.address}/v1/models/toy:predict", body=b'{"inputs": [[0.05, 1, 0]]}'
    )
    assert answer.data == b'{"outputs":[[0.1,2.0,0.0]]}'


def test_nan_and_infinity_are_read_and_written_as_bare_words(http: Http) -> None:
    answer = http.pool.request(
        "POST", f"{http.address}/v1/models/toy:predict", body=b'{"inputs": [[NaN, Infinity, -Infinity]]}'
    )
    assert answer.status == 200
    assert answer.data == b'{"outputs":[[NaN,Infinity,-Infinity]]}'
    answer = http.pool.request(
        "POST", f"{http.address}/v1/models/toy:predict", body=b'{"instances": [[NaN, 0.05, 1]]}'
    )
    assert answer.data == b'{"predictions":[[NaN,0.1,2.0]]}'


def test_the_largest_numbers_go_in_and_come_out(http: Http) -> None:
    """Their sum is infinite, and the shortest text of the largest lies above it."""
    body = {"instances": [[1.7014117e38, -1.7014117e38, 1.7014117e38]], "signature_name": "serving_default"}
    status, answer = http.predict(body)
    assert (status, answer) == (200, {"predictions": [[3.4028235e38, -3.4028235e38, 3.4028235e38]]})
    status, answer = http.predict({"inputs": 3.4028235e38, "signature_name": "scalar"})
    assert (status, answer) == (200, {"outputs": 1.7014117e38})


def test_binary_strings_are_base64_and_so_are_outputs_that_end_in_bytes(http: Http) -> None:
    binary = {"b64": base64.b64encode(b"\xff\x00").decode()}
    plain = {"b64": base64.b64encode(b"plain").decode()}
    status, found = http.predict({"signature_name": "text", "inputs": [binary, "plain"]})
    assert status == 200
    assert found["outputs"]["echo_bytes"] == [binary, plain]
    assert found["outputs"]["echo"] == [binary, "plain"]  # what is no text cannot be written as text
    rows = http.predict({"signature_name": "text", "instances": ["\u266b", {"b64": plain["b64"]}]})[1]
    assert [row["echo"] for row in rows["predictions"]] == ["\u266b", "plain"]


@pytest.mark.parametrize("value", [{"b64": "%%%"}, {"b64": 3}, {"b65": "aa"}, 3, ["a"], None])
def test_strings_that_are_none_are_refused(http: Http, value: Any) -> None:
    refused(http.predict({"signature_name": "text", "inputs": {"s": [value, "a"]}}), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"3",
        b"{",
        b'{"inputs": nan}',
        b"\xff\xfe",
        b'{"inputs": NaN',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 5000 + b"NaN" + b"]" * 5000 + b"}",
        b'{"inputs": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}",
        b'{"signature_name": "text", "inputs": ' + b"[" * 200 + b'"a"' + b"]" * 200 + b"}",
        b'{"inputs": [[' + b"9" * 5000 + b", 1, NaN]]}",
    ],
)
def test_what_is_no_request_is_refused(http: Http, body: Any) -> None:
    refused(http.predict(body), 400)


def test_codec_keeps_the_bits_of_floats() -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    values = np.concatenate([values, np.array([0, -0.0, 1e-45, 3.4e38], np.float32)])
    assert np.array_equal(np.array(load_json(dump_json({"a": values}))["a"], np.float32), values)
    values[3] = np.nan
    back = np.array(load_json(dump_json({"a": values}))["a"], np.float32)
    assert np.array_equal(back, values, equal_nan=True)
    with pytest.raises(ServingError):
        load_json(b"{} {}")


# ---- signatures, versions, errors


def test_signature_name_chooses_and_an_unknown_one_is_refused(http: Http) -> None:
    refused(http.predict({"signature_name": "nothing", "inputs": [[1, 2, 3]]}), 400, '"nothing" not found')
    refused(http.predict({"signature_name": 3, "inputs": [[1, 2, 3]]}), 400, "must be a string")


def test_what_the_model_refuses_is_an_invalid_argument_with_its_sentence(http: Http) -> None:
    body = {"signature_name": "any_length", "inputs": [[1, 2, 3]]}
    refused(http.predict(body), 400, "shorter than 4 samples")
    assert http.predict({"signature_name": "any_length", "inputs": [[1, 2, 3, 6]]})[1] == {"outputs": [3.0]}


def test_versions_are_addressed_by_number(http: Http) -> None:
    assert http.predict({"inputs": [[1, 2, 3]]}, "toy/versions/1")[0] == 200
    refused(http.predict({"inputs": [[1, 2, 3]]}, "toy/versions/7"), 404, "Specific(toy, 7)")
    refused(http.predict({"inputs": [[1, 2, 3]]}, f"toy/versions/{'9' * 40}"), 400, "to numeric")


def test_unknown_models_are_not_found(http: Http) -> None:
    body = {"inputs": [[1, 2, 3]]}
    refused(http.predict(body, "half"), 404, "Servable not found for request: Latest(half)")
    refused(http.predict(body, "toy/labels/canary"), 400, "Unrecognized servable version label")


def test_classify_and_regress_are_not_there_and_say_so(http: Http) -> None:
    for method in ("classify", "regress"):
        answer = http("POST", f"/v1/models/toy:{method}", {"examples": [{}]})
        refused(answer, 501, f"{method} is not there")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/toy:predict"),
        ("POST", "/v1/models/toy"),
        ("POST", "/v1/models/toy:train"),
        ("DELETE", "/v1/models/toy"),
        ("GET", "/v1/"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/../../etc/passwd"),
        ("GET", "/v1/models/..%2F..%2Fetc%2Fpasswd"),
        ("GET", "/v1/models/toy/versions/one"),
        ("GET", "/v1/models/toy/versions/1/labels/a"),
        ("POST", "/v1/models/a:b:predict"),
    ],
)
def test_other_requests_are_malformed(http: Http, method: str, path: str) -> None:
    connection = HTTPConnection(http.address.removeprefix("http://"))  # urllib3 would tidy up the path
    connection.request(method, path)
    answer = connection.getresponse()
    refused((answer.status, json.loads(answer.read())), 400)


def test_outside_of_v1_there_is_nothing(http: Http) -> None:
    refused(http("GET", "/etc/passwd"), 404)
    refused(http("GET", "/"), 404)


def test_codes_have_the_statuses_that_tensorflow_serving_gives_them() -> None:
    from grpc import StatusCode

    assert HTTP_STATUS.keys() == {code.name for code in StatusCode}
    assert {code: HTTP_STATUS[code] for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")} == {
        "OK": 200,
        "INVALID_ARGUMENT": 400,
        "NOT_FOUND": 404,
    }
    assert (HTTP_STATUS["RESOURCE_EXHAUSTED"], HTTP_STATUS["UNAVAILABLE"]) == (429, 503)
    assert (HTTP_STATUS["DEADLINE_EXCEEDED"], HTTP_STATUS["UNIMPLEMENTED"]) == (504, 501)


# ---- status and metadata


def test_status_of_all_versions_and_of_one(http: Http) -> None:
    one = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert http("GET", "/v1/models/toy") == (200, {"model_version_status": [one]})
    assert http("GET", "/v1/models/toy/versions/1") == (200, {"model_version_status": [one]})
    refused(http("GET", "/v1/models/toy/versions/2"), 404, "Could not find version 2 of model toy")
    refused(http("GET", "/v1/models/nobody"), 404, "Could not find any versions of model nobody")


def test_metadata_shows_the_signatures(http: Http) -> None:
    status, found = http("GET", "/v1/models/toy/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    plain = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert plain["method_name"] == "tensorflow/serving/predict"
    assert plain["inputs"]["x"]["dtype"] == "DT_FLOAT"
    sizes = [axis["size"] for axis in plain["inputs"]["x"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "3"]


# ---- limits, metrics, log


def test_a_request_that_is_too_large_is_refused(http: Http) -> None:
    answer = http.predict(b'{"inputs": [[' + b" " * 2**20 + b"1,2,3]]}")
    refused(answer, 413, "larger than 1048576 bytes")
    assert http.predict({"inputs": [[1, 2, 3]]})[0] == 200


def test_a_body_in_chunks_has_the_same_limit(http: Http) -> None:
    chunks = (b" " * 2**18 for _ in range(8))
    answer = http.pool.request("POST", f"{http.address}/v1/models/toy:predict", body=chunks)
    assert answer.status == 413


def test_a_compressed_request_is_refused_with_a_sentence(http: Http) -> None:
    answer = http("POST", "/v1/models/toy:predict", b"x", {"content-encoding": "gzip"})
    refused(answer, 501, "compressed")


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " IDENTITY "])
def test_a_request_that_is_not_compressed_may_say_so(http: Http, encoding: str) -> None:
    body = b'{"inputs": [[1, 2, 3]]}'
    assert http("POST", "/v1/models/toy:predict", body, {"content-encoding": encoding})[0] == 200


@pytest.mark.parametrize("row", ["[1.5, true, 3.5]", "[1, 2, false]", "[true, true, true]"])
def test_true_and_false_are_no_numbers(http: Http, row: str) -> None:
    answer = http.predict(f'{{"instances": [[1.5, 0.0, 1.0], {row}]}}'.encode())
    refused(answer, 400, "input x: a value is not of expected type: DT_FLOAT")
    assert http.predict({"instances": [[1.5, 0.0, 1.0]]})[0] == 200


def test_prometheus_counts_requests_by_status(http: Http, server: Any) -> None:
    def count(status: str) -> float:
        page = http("GET", "/monitoring/prometheus/metrics")[1].decode()
        start = f':tensorflow:serving:request_count{{model_name="toy",status="{status}"}} '
        found = [line for line in page.splitlines() if line.startswith(start)]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    good, bad = count("OK"), count("INVALID_ARGUMENT")
    http.predict({"inputs": [[1, 2, 3]]})
    http.predict({"inputs": [[1, 2]]})
    http.predict({"inputs": [[1, 2]]})
    assert (count("OK") - good, count("INVALID_ARGUMENT") - bad) == (1, 2)
    page = http("GET", "/monitoring/prometheus/metrics")[1].decode()
    for name in (":tensorflow:serving:request_latency_bucket{", ":tensorflow:serving:runtime_latency_sum{"):
        assert name in page
    assert 'actprobe_model_versions{model_name="toy",version="1"} 1.0' in page
    assert "actprobe_requests_in_flight 0.0" in page


def test_metrics_know_no_models_that_callers_make_up(http: Http) -> None:
    http.predict({"inputs": [[1, 2, 3]]}, "madeup")
    assert b"madeup" not in http("GET", "/monitoring/prometheus/metrics")[1]


def test_monitoring_config_moves_the_metrics_or_leaves_them_out(tmp_path: Path) -> None:
    save_model(tmp_path / "models/toy/1")
    config = tmp_path / "monitoring.config"
    config.write_text('prometheus_config { enable: true path: "/numbers" }')
    with running(options(tmp_path / "models", port=-1, monitoring_config_file=str(config))) as server:
        ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
        assert ask("GET", "/numbers")[0] == 200
        assert ask("GET", "/monitoring/prometheus/metrics")[0] == 404
    config.write_text('prometheus_config { enable: true path: "numbers" }')
    with (
        pytest.raises(UsageError, match="path of metrics"),
        running(options(tmp_path / "models", monitoring_config_file=str(config))),
    ):
        pass


def test_the_access_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    save_model(tmp_path / "models/toy/1")
    log = tmp_path / "access.jsonl"
    with running(options(tmp_path / "models", port=-1, access_log=str(log))) as server:
        ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
        ask.predict({"inputs": [[1, 2, 3], [1, 2, 3]]})
        ask.predict({"inputs": 3})
    good, bad = [json.loads(line) for line in log.read_text().splitlines()]
    assert (good["model"], good["version"], good["signature"]) == ("toy", 1, "serving_default")
    assert (good["status"], good["examples"], good["entrypoint"]) == ("OK", 2, "REST")
    assert good["bytes_in"] == len('{"inputs": [[1, 2, 3], [1, 2, 3]]}')
    assert good["milliseconds"] > 0
    assert (bad["status"], bad["bytes_out"]) == ("INVALID_ARGUMENT", 0)


def test_a_model_that_takes_too_long_is_a_deadline_exceeded(tmp_path: Path) -> None:
    save_model(tmp_path / "toy/1")
    with running(options(tmp_path, port=-1, rest_api_timeout_in_ms=50)) as server:
        ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
        answer = ask.predict({"signature_name": "work", "inputs": [100_000]})
        refused(answer, 504, "not answered in time")
