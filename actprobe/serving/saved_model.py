"""A SavedModel with named signatures, proven before anybody can load it.

The folder holds what TensorFlow Serving reads: saved_model.pb, variables/ and
assets.extra/tf_serving_warmup_requests. Keras objects are left out: only the variables that the signatures
use are tracked, each once, so that ``tf.saved_model.load`` needs nothing but TensorFlow.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import ActprobeError
from actprobe.serving.signatures import Signature
from actprobe.serving.warmup import WARMUP_FILE, write_warmup

__all__ = ["TOLERANCE", "check_equal", "quiet", "write_saved_model"]

TOLERANCE = 1e-5  # of the largest value of an output, or of 1

Requests = Sequence[tuple[Signature, NDArray[np.float32]]]


def write_saved_model(folder: Path, name: str, requests: Requests) -> None:
    """Write a SavedModel, load it again and compare its answers.

    Parameters
    ----------
    folder : Path
        An empty folder.
    name : str
        Name of the served model.
    requests : sequence of tuple
        Every signature with what to ask it with: warm-up requests, and the proof.

    Raises
    ------
    ActprobeError
        A signature that was loaded gives other numbers than the one that was traced.
    """
    tf = backend.tf
    signatures = {signature.name: signature for signature, _ in requests}
    concrete = {key: signature.concrete() for key, signature in signatures.items()}
    module = tf.Module()
    variables = {id(variable): variable for function in concrete.values() for variable in function.variables}
    module.weights = list(variables.values())
    with quiet():
        tf.saved_model.save(module, str(folder), signatures=concrete)
        loaded = tf.saved_model.load(str(folder))
    for signature, values in requests:
        given = tf.constant(values)
        found = loaded.signatures[signature.name](**{signature.input.name: given})
        check_equal(f"{name}, {signature.name}", found, signature.function(given))
    write_warmup(folder / WARMUP_FILE, name, requests)


def check_equal(what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare outputs.

    Parameters
    ----------
    what : str
        What gave the first, for the message.
    found : mapping
        Outputs by name.
    expected : mapping
        The outputs that they have to be equal to, to 1e-5 of the largest value.

    Raises
    ------
    ActprobeError
        They are not.
    """
    if set(found) != set(expected):
        raise ActprobeError(f"{what}: gives {sorted(found)}, not {sorted(expected)}")
    for name in expected:
        mine, theirs = np.asarray(found[name]), np.asarray(expected[name])
        if mine.shape != theirs.shape:
            raise ActprobeError(f"{what}: {name} has shape {list(mine.shape)}, not {list(theirs.shape)}")
        scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
        worst = float(np.abs(mine - theirs).max(initial=0.0)) / scale
        if not worst <= TOLERANCE:
            raise ActprobeError(
                f"{what}: {name} differs by {worst:.2g} of its largest value; nothing is written"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep TensorFlow's remarks on saving and converting, Python's and C++'s, off stderr.

    Yields
    ------
    None
        Errors are raised, not said, so nothing is lost.
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
