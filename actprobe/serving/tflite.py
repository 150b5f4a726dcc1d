"""A TensorFlow Lite file: the network or inverter without its front end, for phones and small boards.

It has one signature: of a network, ``activations``, ``examples`` -> layers; of an inverter,
``serving_default``, ``features`` -> ``sonogram``. An interpreter computes all the outputs that a signature
has, so a network gives its outputs only, unless layers are asked for. The front ends are left out: their
double precision and loops over recordings have no place among TensorFlow Lite's built-in operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import ActprobeError
from actprobe.serving.saved_model import check_equal, quiet
from actprobe.serving.signatures import Signature

__all__ = ["write_tflite"]


def write_tflite(path: Path, requests: Sequence[tuple[Signature, NDArray[np.float32]]]) -> list[Signature]:
    """Write a TensorFlow Lite file and compare its answers.

    Parameters
    ----------
    path : Path
        NAME.tflite.
    requests : sequence of tuple
        Every signature with what to ask it with.

    Returns
    -------
    list of Signature
        What is in the file.

    Raises
    ------
    ActprobeError
        It cannot be converted, or it gives other numbers than the functions that were traced.
    """
    tf = backend.tf
    by_name = {signature.name: signature for signature, _ in requests}
    signatures = [by_name.get("activations", by_name["serving_default"])]
    module = tf.Module()
    concrete = {signature.name: signature.concrete() for signature in signatures}
    variables = {id(variable): variable for function in concrete.values() for variable in function.variables}
    module.weights = list(variables.values())
    aside = path.parent.parent / "to-convert"
    with quiet():
        tf.saved_model.save(module, str(aside), signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(aside), signature_keys=list(concrete))
        try:
            content = converter.convert()
        except Exception as error:  # the converter raises many things
            raise ActprobeError(f"{path.stem} cannot be converted: {str(error).splitlines()[0]}") from error
    path.write_bytes(content)
    interpreter = tf.lite.Interpreter(model_path=str(path))
    for signature, values in requests:
        if signature.name in concrete:
            runner = interpreter.get_signature_runner(signature.name)
            found = runner(**{signature.input.name: values})
            check_equal(f"{path.name}, {signature.name}", found, signature.function(tf.constant(values)))
    return signatures
