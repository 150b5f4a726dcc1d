"""Warm-up requests: what a server asks a new version before anybody else does.

TensorFlow Serving replays assets.extra/tf_serving_warmup_requests, a TFRecord of at most 1000 PredictionLog
messages, so that no user waits for what TensorFlow does only once for each shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from actprobe import backend
from actprobe.serving.protocol.tensors import Arrays

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000


def write_warmup(path: Path, model_name: str, requests: Sequence[tuple[str, Arrays]]) -> None:
    """Write requests: each the name of a signature and its inputs by name."""
    tf, api = backend.tf, backend.serving
    if len(requests) > MOST_RECORDS:
        raise ValueError(f"{len(requests)} warm-up requests; a server takes {MOST_RECORDS}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = api.predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            predicted = api.prediction_log_pb2.PredictLog(request=request)
            log = api.prediction_log_pb2.PredictionLog(predict_log=predicted)
            writer.write(log.SerializeToString(deterministic=True))


def read_warmup(path: Path) -> Iterator[tuple[str, Arrays]]:
    """Read requests as `write_warmup` takes them."""
    tf, api = backend.tf, backend.serving
    for record in tf.data.TFRecordDataset(str(path)):
        request = api.prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        yield request.model_spec.signature_name, inputs
