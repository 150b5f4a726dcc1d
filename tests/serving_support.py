"""What the tests of the server share: small SavedModels, servers in this process and in others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from actprobe import backend
from actprobe.serving.server import Server, ServerOptions

ROOT = Path(__file__).resolve().parents[1]
WORKS = 64  # side of the matrices that the signature "work" multiplies


def save_model(folder: Path, bias: float = 0.0, warmup: tuple[Any, ...] = ()) -> Path:
    """A model whose default signature gives 2 x + bias, and one signature for each thing to be tried."""
    tf = backend.tf
    module = tf.Module()
    module.bias = tf.Variable(bias, dtype=tf.float32)

    def signature(*specs: Any) -> Callable[..., Any]:
        return lambda run: tf.function(run, input_signature=specs, autograph=False)

    def spec(shape: Any, dtype: Any, name: Any) -> Any:
        return tf.TensorSpec(shape, dtype, name)

    @signature(spec([None, 3], tf.float32, "x"))
    def plain(x: Any) -> dict[str, Any]:
        return {"y": 2.0 * x + module.bias}

    @signature(spec([None, 2], tf.float32, "a"), spec([None], tf.int32, "n"))
    def several(a: Any, n: Any) -> dict[str, Any]:
        return {"total": tf.reduce_sum(a, 1) + module.bias, "twice": 2 * n}

    @signature(spec([None], tf.string, "s"))
    def text(s: Any) -> dict[str, Any]:
        return {"echo": s, "echo_bytes": s}

    @signature(
        spec([None], tf.bool, "b"),
        spec([None], tf.int64, "i"),
        spec([None], tf.float64, "d"),
        spec([None], tf.uint8, "u"),
        spec([None], tf.float16, "h"),
    )
    def types(b: Any, i: Any, d: Any, u: Any, h: Any) -> dict[str, Any]:
        return {"b": ~b, "i": i + 1, "d": d * 2, "u": u, "h": h}

    @signature(spec([None, None], tf.float32, "waveform"))
    def any_length(waveform: Any) -> dict[str, Any]:
        enough = tf.debugging.assert_greater_equal(
            tf.shape(waveform)[1], 4, message="the waveform is shorter than 4 samples"
        )
        with tf.control_dependencies([enough]):
            return {"mean": tf.reduce_mean(waveform, 1)}

    @signature(spec([], tf.float32, "x"))
    def scalar(x: Any) -> dict[str, Any]:
        return {"y": x / 2.0}

    @signature(spec([None], tf.int32, "steps"))
    def work(steps: Any) -> dict[str, Any]:
        start = tf.eye(WORKS) * 0.5
        count = tf.reduce_max(steps)
        end = tf.while_loop(lambda i, m: i < count, lambda i, m: (i + 1, m @ m + start), (0, start))[1]
        return {"done": tf.cast(steps, tf.float32) + 0.0 * end[0, 0]}

    module.all = [plain, several, text, types, any_length, scalar, work]
    tf.saved_model.save(
        module,
        str(folder),
        signatures={
            "serving_default": plain,
            "several": several,
            "text": text,
            "types": types,
            "any_length": any_length,
            "scalar": scalar,
            "work": work,
        },
    )
    if warmup:
        write_warmup(folder, warmup)
    return folder


def write_warmup(folder: Path, requests: Any) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    (folder / "assets.extra").mkdir(exist_ok=True)
    tf = backend.tf
    with tf.io.TFRecordWriter(str(folder / "assets.extra/tf_serving_warmup_requests")) as writer:
        for inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = "toy"
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())


def options(base: Path, **changes: Any) -> ServerOptions:
    chosen = ServerOptions(model_base=str(base), port=0, rest_api_port=0, file_system_poll_wait_seconds=0)
    return replace(chosen, **changes)


class ToldServer(Server):
    """A server that remembers what it said."""

    def __init__(self, given: ServerOptions) -> None:
        self.said: list[str] = []
        super().__init__(given, self.said.append)


@contextmanager
def running(given: ServerOptions) -> Iterator[ToldServer]:
    """A server in this process; polls only when it is told to, `server.repository.poll()`."""
    server = ToldServer(given)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Http:
    """Plain HTTP: status, headers, and the body as JSON."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pool = urllib3.PoolManager(retries=False, maxsize=64)

    def __call__(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[Any, Any]:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.pool.request(
            method, self.address + path, body=content, headers=headers or {}, timeout=30
        )
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = answer.data
        return answer.status, found

    def predict(self, body: Any, where: str = "toy") -> Any:
        return self("POST", f"/v1/models/{where}:predict", body)


def predict_request(
    inputs: Any,
    model: str = "toy",
    signature: str = "",
    version: Any = None,
    label: Any = None,
    outputs: tuple[Any, ...] = (),
) -> Any:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, values in inputs.items():
        tensor = values if hasattr(values, "tensor_shape") else backend.tf.make_tensor_proto(values)
        request.inputs[name].CopyFrom(tensor)
    request.output_filter.extend(outputs)
    return request


class Process:
    """actprobe-serve as a user starts it."""

    def __init__(self, *flags: str, **environment: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, ROOT / "bin/actprobe-serve", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.grpc = self.rest = ""
        assert self.child.stdout is not None
        while line := self.child.stdout.readline():
            kind, _, address = line.strip().partition(" at ")
            setattr(self, kind.lower(), address.split(" ")[0])
            if kind == "gRPC":
                self.grpc = address.split(" ")[0]
            if self.grpc and self.rest:
                return
        raise AssertionError(self.child.communicate()[1])

    def terminate(self) -> tuple[int, str]:
        self.child.send_signal(signal.SIGTERM)
        said = self.child.communicate(timeout=60)[1]
        return self.child.returncode, said

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()


def soon(true: Any, seconds: float = 30.0) -> Any:
    """Wait for what another process or thread brings about; a limit, not a measurement."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


EXAMPLE = np.array([[1.0, 2.0, 3.0]], np.float32)


def python_without(blocked: Any, code: Any, *arguments: Any) -> Any:
    """Run Python in which some packages are found, but cannot be imported; TensorFlow looks for keras."""
    program = f"""
        import os, sys
        from importlib.machinery import ModuleSpec
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {blocked!r}:
                    return ModuleSpec(name, self, origin=f"/{{name}}/__init__.py", is_package=True)
            def create_module(self, spec):
                return None
            def exec_module(self, module):
                raise ImportError(module.__name__ + " is blocked")
        sys.meta_path.insert(0, Blocked())
        """
    text = textwrap.dedent(program) + textwrap.dedent(code)
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
    )
