"""Warm-up requests: what a server asks a new version before anybody else does.

TensorFlow Serving replays assets.extra/tf_serving_warmup_requests, a TFRecord of at most 1000 PredictionLog
messages, so that no user waits for what TensorFlow does only once for each shape. The requests also prove
an export: what the loaded SavedModel answers has to be what the traced functions answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.models import Model
from actprobe.serving.signatures import Signature

__all__ = ["MOST_RECORDS", "WARMUP_FILE", "read_warmup", "sound", "warmup_requests", "write_warmup"]

BATCHES = (1, 2)
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000

Arrays = dict[str, NDArray[Any]]


def sound(shape: Sequence[int], sample_rate: int) -> NDArray[np.float32]:
    """Make sound to ask a model with: tones that fade, over some noise.

    Parameters
    ----------
    shape : sequence of int
        [batch, samples].
    sample_rate : int
        In Hz.

    Returns
    -------
    numpy.ndarray
        float32, of that shape; the same every time.
    """
    batch, samples = shape
    random = np.random.default_rng(0)
    seconds = np.arange(samples) / sample_rate
    fades = np.exp(-3.0 * (seconds % 0.5))
    tones = [np.sin(2 * np.pi * 220.0 * (row + 1) * seconds) for row in range(batch)]
    noise = random.standard_normal((batch, samples))
    return np.asarray(0.3 * fades * np.stack(tones) + 0.01 * noise, np.float32)


def warmup_requests(
    signatures: Sequence[Signature], model: Model | None
) -> list[tuple[Signature, NDArray[np.float32]]]:
    """Make up requests for every signature: one for one example, one for several.

    Parameters
    ----------
    signatures : sequence of Signature
        Of a network or an inverter.
    model : Model, optional
        The network, with whose front end examples and features are made; without it, or without its
        front end, they are noise.

    Returns
    -------
    list of tuple
        Signatures and what to ask each with.
    """
    found = []
    for signature in signatures:
        for batch in BATCHES:
            shape = signature.input.spec.shape.as_list()
            if signature.input.name == "waveform":
                assert model is not None
                frontend = model.frontend
                samples = round(frontend.example_samples * (1 if batch == 1 else 1.3))
                values = sound((batch, samples), frontend.sample_rate)
            else:
                values = _values(signature.input.name, (batch, *shape[1:]), model)
            found.append((signature, values))
    return found


def _values(name: str, shape: tuple[int, ...], model: Model | None) -> NDArray[np.float32]:
    if model is None or model.frontend.name == "none":
        return np.asarray(np.random.default_rng(0).standard_normal(shape), np.float32)
    frontend = model.frontend
    rows = sound((shape[0], frontend.example_samples), frontend.sample_rate)
    examples: NDArray[np.float32] = np.concatenate([frontend(row, frontend.sample_rate)[:1] for row in rows])
    if name != "features":
        return examples
    layers = [layer for layer in model.layers if tuple(layer.shape) == shape[1:]]
    features: NDArray[np.float32] = model.activations(examples, [layers[-1].name])[layers[-1].name]
    return features


def write_warmup(
    path: Path, model_name: str, requests: Sequence[tuple[Signature, NDArray[np.float32]]]
) -> None:
    """Write warm-up requests.

    Parameters
    ----------
    path : Path
        The file.
    model_name : str
        Name of the model.
    requests : sequence of tuple
        Signatures and what to ask each with.
    """
    tf, api = backend.tf, backend.serving
    if len(requests) > MOST_RECORDS:
        raise ValueError(f"{len(requests)} warm-up requests; a server takes {MOST_RECORDS}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, values in requests:
            request = api.predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature.name
            request.inputs[signature.input.name].CopyFrom(tf.make_tensor_proto(values))
            predicted = api.prediction_log_pb2.PredictLog(request=request)
            log = api.prediction_log_pb2.PredictionLog(predict_log=predicted)
            writer.write(log.SerializeToString(deterministic=True))


def read_warmup(path: Path) -> Iterator[tuple[str, Arrays]]:
    """Read warm-up requests.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    signature : str
        Name of the signature.
    inputs : dict
        What it is asked with.
    """
    tf, api = backend.tf, backend.serving
    for record in tf.data.TFRecordDataset(str(path)):
        request = api.prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        yield request.model_spec.signature_name, inputs
