"""A SavedModel with named signatures, proven before anybody can load it.

The folder holds what TensorFlow Serving reads: saved_model.pb, variables/ and
assets.extra/tf_serving_warmup_requests. Keras objects are left out: only the variables that the signatures
use are tracked, each once, so that ``tf.saved_model.load`` needs nothing but TensorFlow.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from actprobe import backend
from actprobe.serving.proof import Requests, check_equal
from actprobe.serving.signatures import ExportSignature
from actprobe.serving.warmup import WARMUP_FILE, write_warmup


def write_saved_model(folder: Path, name: str, requests: Requests) -> float:
    """Write a SavedModel into an empty folder, load it again, and give its largest deviation from Python.

    Raises
    ------
    ActprobeError
        What was loaded gives other numbers than Python.
    """
    tf = backend.tf
    save_signatures(folder, list(dict.fromkeys(signature for signature, _ in requests)))
    with quiet():
        loaded = tf.saved_model.load(str(folder))
    deviations = []
    for signature, values in requests:
        found = loaded.signatures[signature.name](**{signature.input.name: tf.constant(values)})
        deviations.append(check_equal(f"{name}, {signature.name}", found, signature.python(values)))
    asked = [(signature.name, {signature.input.name: values}) for signature, values in requests]
    write_warmup(folder / WARMUP_FILE, name, asked)
    return max(deviations)


def save_signatures(folder: Path, signatures: Sequence[ExportSignature]) -> None:
    """Save traced signatures and the variables that they use, each once."""
    tf = backend.tf
    concrete = {signature.name: signature.concrete() for signature in signatures}
    module = tf.Module()
    variables = {id(variable): variable for function in concrete.values() for variable in function.variables}
    module.weights = list(variables.values())
    with quiet():
        tf.saved_model.save(module, str(folder), signatures=concrete)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep TensorFlow's remarks on saving and converting, Python's and C++'s, off stderr.

    Errors are raised, not printed, so nothing is lost.
    """
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        logger.setLevel(level)
