"""The proof of an export: what was written has to answer as the Python model does.

Every signature is asked twice, with one example and with several. The same requests warm a server up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ActprobeError, UsageError
from actprobe.models.model import Model
from actprobe.serving.signatures import ExportSignature

TOLERANCE = 1e-5  # of the largest value of an output, or of 1
BATCHES = (1, 2)

Requests = Sequence[tuple[ExportSignature, NDArray[np.float32]]]


def check_equal(what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """Compare outputs by name; give the largest difference, relative to an output's largest value or to 1.

    Raises
    ------
    ActprobeError
        A difference above `TOLERANCE`, or other names or shapes; it begins with `what`.
    """
    if set(found) != set(expected):
        raise ActprobeError(f"{what}: gives {sorted(found)}, not {sorted(expected)}")
    largest = 0.0
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
        largest = max(largest, worst)
    return largest


def sound(shape: Sequence[int], sample_rate: int) -> NDArray[np.float32]:
    """Make tones that fade, over some noise, [batch, samples]; the same every time."""
    batch, samples = shape
    random = np.random.default_rng(0)
    seconds = np.arange(samples) / sample_rate
    fades = np.exp(-3.0 * (seconds % 0.5))
    tones = [np.sin(2 * np.pi * 220.0 * (row + 1) * seconds) for row in range(batch)]
    noise = random.standard_normal((batch, samples))
    return np.asarray(0.3 * fades * np.stack(tones) + 0.01 * noise, np.float32)


def requests_for(signatures: Sequence[ExportSignature], model: Model | None) -> Requests:
    """Make up what to ask signatures.

    Examples and features come from the front end of `model`; without one they are noise.
    """
    found = []
    for signature in signatures:
        for batch in BATCHES:
            if signature.input.name == "waveform":
                assert model is not None
                frontend = model.frontend
                samples = round(frontend.example_samples * (1 if batch == 1 else 1.3))
                values = sound((batch, samples), frontend.sample_rate)
            else:
                shape = signature.input.spec.shape.as_list()
                values = _values(signature.input.name, (batch, *shape[1:]), model)
            found.append((signature, values))
    return found


def _values(name: str, shape: tuple[int, ...], model: Model | None) -> NDArray[np.float32]:
    examples = None if model is None else _examples(model, shape[0])
    if model is None or examples is None:
        return np.asarray(np.random.default_rng(0).standard_normal(shape), np.float32)
    if name != "features":
        return examples
    layer = [name for name, layer in model.layers.items() if tuple(layer.shape) == shape[1:]][-1]
    return model.activations(examples, [layer])[layer]


def _examples(model: Model, batch: int) -> NDArray[np.float32] | None:
    frontend = model.frontend
    try:
        rows = sound((batch, frontend.example_samples), frontend.sample_rate)
    except UsageError:  # the model was wrapped without a front end
        return None
    examples: NDArray[np.float32] = np.concatenate([frontend(row, frontend.sample_rate)[:1] for row in rows])
    return examples
