"""A TensorFlow Lite file: the network or inverter without its front end, for phones and small boards.

It has one signature: of a network, ``activations``, ``examples`` -> layers; of an inverter,
``serving_default``, ``features`` -> ``mel_spectrogram``. An interpreter computes all the outputs that a
signature has, so a network gives its outputs only, unless layers are asked for. The front ends are left
out: their double precision and loops over recordings have no place among TensorFlow Lite's built-in
operations.
"""

from __future__ import annotations

import re
from pathlib import Path

from actprobe import backend
from actprobe.errors import ActprobeError
from actprobe.serving.proof import Requests, check_equal
from actprobe.serving.saved_model import quiet, save_signatures
from actprobe.serving.signatures import ExportSignature


def write_tflite(path: Path, requests: Requests) -> tuple[list[ExportSignature], float]:
    """Write a TensorFlow Lite file; give what is in it and its largest deviation from Python.

    Raises
    ------
    ActprobeError
        It cannot be converted, or it gives other numbers than Python.
    """
    tf = backend.tf
    by_name = {signature.name: signature for signature, _ in requests}
    signature = by_name.get("activations", by_name["serving_default"])
    staging = path.parent.parent / "to-convert"
    save_signatures(staging, [signature])
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(staging), signature_keys=[signature.name])
        try:
            content = converter.convert()
        except Exception as error:  # the converter raises many things
            raise ActprobeError(f"{path.stem} cannot be converted: {_reason(error)}") from error
    path.write_bytes(content)
    runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner(signature.name)
    deviations = [
        check_equal(
            f"{path.name}, {one.name}", runner(**{signature.input.name: values}), signature.python(values)
        )
        for one, values in requests
        if one is signature
    ]
    return [signature], max(deviations)


def _reason(error: Exception) -> str:
    """Say what kept a network from being converted: the first operation that the converter complains of."""
    found = re.search(r'fused\["(\w+):', str(error))
    if found is not None:
        return f"TensorFlow Lite has no {found[1]} as it is used here"
    return str(error).splitlines()[0]
