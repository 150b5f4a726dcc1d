"""A span of a recording inverted from several layers, with its arrays and sounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.inverting.methods import Invert
from actprobe.analyses.inversion.inverting.spans import Span
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models import Model

INPUT = "input"

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Inverted:
    """The inversions of a span.

    ``mel_spectrograms``: ``input``, then every layer -> float32 [frames, mel], in the front end's unit.
    ``facts``: the same names -> numbers: ``feature_error``, the distance of the layer's features of the
    inversion from those of the input, divided by the norm of the latter; ``error``, the same of the mel
    spectrograms; ``output`` of the network where it is one number; ``seconds`` it took. Features and output
    of an inversion are None where the network's activations are stored.
    """

    mel_spectrograms: dict[str, Floats]
    facts: dict[str, dict[str, float | None]]


def invert_span(model: Model, span: Span, inverters: Mapping[str, Invert]) -> Inverted:
    """Invert a span from every layer by what inverts it; a UsageError where the inversion is not finite."""
    output = model.output_layer
    features = model.activations(span.examples, list(dict.fromkeys([*inverters, output])))
    one = features[output].shape[1:] == (1,)
    mel_spectrograms = {INPUT: span.join(span.examples)}
    facts: dict[str, dict[str, float | None]] = {
        INPUT: {"output": float(features[output].mean()) if one else None}
    }
    for name, invert in inverters.items():
        began = perf_counter()
        inverted = invert(features[name])
        took = perf_counter() - began
        if not np.isfinite(inverted).all():
            raise UsageError(f"the inversion of {name} is not finite")
        again = model.activations(inverted, list(dict.fromkeys([name, output]))) if model.computes else None
        facts[name] = {
            "error": _relative(span.examples, inverted),
            "feature_error": None if again is None else _relative(features[name], again[name]),
            "output": float(again[output].mean()) if one and again is not None else None,
            "seconds": took,
        }
        mel_spectrograms[name] = span.join(inverted)
    return Inverted(mel_spectrograms, facts)


def _relative(wanted: NDArray[Any], found: NDArray[Any]) -> float | None:
    """Summed distances of examples from those that are wanted, by the summed norms of these."""
    wanted, found = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (wanted, found))
    norm = np.linalg.norm(wanted, axis=1).sum()
    return float(np.linalg.norm(wanted - found, axis=1).sum() / norm) if norm > 0 else None


def arrays_of(frontend: FrontEnd, span: Span, found: Inverted) -> dict[str, NDArray[Any]]:
    """Give what inversion.npz holds.

    The mel spectrograms; ``times``, seconds in the recording at the centre of each frame; and ``bands_hz``,
    the centre of each band.
    """
    frames = len(found.mel_spectrograms[INPUT])
    first = span.start_seconds + frontend.first_frame / frontend.sample_rate
    times = first + np.arange(frames) * frontend.frame_hop / frontend.sample_rate
    return {**found.mel_spectrograms, "times": times, "bands_hz": frontend.band_edges_hz()[1:-1]}
