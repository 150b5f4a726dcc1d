"""A span of a recording inverted from several layers, with its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.nre import errors_of
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.analyses.inversion.inverting.sound import Sonifier, write_wav
from actprobe.analyses.inversion.inverting.spans import Span
from actprobe.analyses.inversion.networks.sources import (
    find_sources,
    invertible_layers,
    open_sources,
    recorded,
)
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models import Model
from actprobe.provenance import atomic_path

__all__ = ["INPUT", "Inverted", "invert_span", "open_methods", "save_arrays", "save_sounds"]

INPUT = "input"

Floats = NDArray[np.float32]
Invert = Callable[[NDArray[Any]], Floats]


@dataclass(frozen=True, eq=False)
class Inverted:
    """What became of a span.

    Parameters
    ----------
    sonograms : dict
        ``input``, then every layer -> float32 [frames, mel], in the front end's units.
    titles : dict
        The same names -> what a figure says above them.
    facts : dict
        The same names -> numbers: ``feature_error``, the distance of the layer's features of the inversion
        from those of the input by the norm of the latter; ``error``, the same of the sonograms;
        ``output`` of the network where it is one number; ``seconds`` it took.
    """

    sonograms: dict[str, Floats]
    titles: dict[str, str]
    facts: dict[str, dict[str, float | None]]


def open_methods(
    model: Model,
    method: str,
    inverters: str | None,
    layers: Sequence[str] | None,
    *,
    steps: int = 300,
    seed: int = 0,
) -> tuple[dict[str, Invert], list[dict[str, Any]]]:
    """Open what inverts each layer.

    Parameters
    ----------
    model : Model
        The network.
    method : str
        ``inverter`` or ``gradient``.
    inverters : str or None
        See `actprobe.analyses.inversion.networks.sources`; one method at a time.
    layers : sequence of str or None
        Layers; None for all that have an inverter, or with ``gradient`` all that are worth it.
    steps, seed : int, optional
        Of the gradient method.

    Returns
    -------
    inverters : dict
        Layer -> callable, in the order of the network.
    described : list of dict
        What each is, for run.json: see `actprobe.analyses.inversion.networks.sources.recorded`;
        of the gradient method ``method``, ``layer`` and its settings.

    Raises
    ------
    UsageError
        No such layer, no inverter for it, or inverters of more than one method.
    WeightsError
        A file that was refused.
    """
    if method == "gradient":
        named = invertible_layers(model) if layers is None else list(layers)
        settings = GradientSettings(steps=steps, seed=seed)
        chosen = [layer.name for layer in model.layers.select(named)]
        described = [{"method": method, "layer": layer, **asdict(settings)} for layer in chosen]
        return {layer: GradientInverter(model, layer, settings) for layer in chosen}, described
    sources = find_sources(model, inverters)
    methods = list(dict.fromkeys(source.method for source in sources))
    if len(methods) > 1:
        raise UsageError(f"inverters of {', '.join(methods)}: one method at a time")
    opened = open_sources(model, sources, layers)
    by_layer: dict[str, Invert] = {inverter.layer: inverter for _, inverter in opened}
    return by_layer, [recorded(source, inverter) for source, inverter in opened]


def invert_span(model: Model, span: Span, inverters: Mapping[str, Invert]) -> Inverted:
    """Invert a span from every layer.

    Parameters
    ----------
    model : Model
        The network.
    span : Span
        What to invert.
    inverters : mapping
        Layer -> what inverts it.

    Returns
    -------
    Inverted
        Sonograms and what is known of them.

    Raises
    ------
    UsageError
        An inversion that is not finite.
    """
    output = model.output_layer
    layers = list(dict.fromkeys([*inverters, output]))
    features = model.activations(span.examples, layers)
    one = features[output].shape[1:] == (1,)
    said = float(features[output].mean()) if one else None
    sonograms = {INPUT: span.join(span.examples)}
    facts: dict[str, dict[str, float | None]] = {INPUT: {"output": said}}
    titles = {INPUT: INPUT if said is None else f"{INPUT} ({output} {said:.2f})"}
    for name, invert in inverters.items():
        began = perf_counter()
        inverted = invert(features[name])
        took = perf_counter() - began
        if not np.isfinite(inverted).all():
            raise UsageError(f"the inversion of {name} is not finite")
        again = model.activations(inverted, list(dict.fromkeys([name, output])))
        says = float(again[output].mean()) if one else None
        facts[name] = {
            "error": _relative(span.examples, inverted),
            "feature_error": _relative(features[name], again[name]),
            "output": says,
            "seconds": took,
        }
        titles[name] = name if says is None else f"{name} ({output} {says:.2f})"
        sonograms[name] = span.join(inverted)
    return Inverted(sonograms, titles, facts)


def _relative(wanted: NDArray[Any], found: NDArray[Any]) -> float | None:
    norm = errors_of(wanted, np.zeros_like(wanted)).sum()
    return float(errors_of(wanted, found).sum() / norm) if norm > 0 else None


def save_arrays(path: Path, frontend: FrontEnd, span: Span, found: Inverted) -> None:
    """Write the sonograms as npz.

    Parameters
    ----------
    path : Path
        The file to be.
    frontend : FrontEnd
        What made the input.
    span : Span
        What was inverted.
    found : Inverted
        The sonograms; beside them go ``times``, seconds in the recording at the centre of each frame, and
        ``bands_hz``, the centre of each band.
    """
    frames = len(found.sonograms[INPUT])
    first = span.start_seconds + frontend.first_frame / frontend.sample_rate
    times = first + np.arange(frames) * frontend.frame_hop / frontend.sample_rate
    arrays: dict[str, Any] = {**found.sonograms, "times": times, "bands_hz": frontend.band_edges_hz()[1:-1]}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def save_sounds(
    folder: Path, frontend: FrontEnd, span: Span, found: Inverted, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Make the sonograms sound.

    Parameters
    ----------
    folder : Path
        Gets the wav files.
    frontend : FrontEnd
        What made the input.
    span : Span
        What was inverted.
    found : Inverted
        The sonograms.
    seed : int, optional
        Of the phase that is looked for.

    Returns
    -------
    dict
        File -> ``gain`` it was multiplied by, and ``error_db``, how far the bands of the sound lie from
        those of its sonogram. Empty, with a warning, where it is not known how to undo the front end.
    """
    try:
        sonifier = Sonifier(frontend)
    except UsageError as error:
        logging.warning("no sounds: %s", error)
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    rate = frontend.sample_rate
    facts = {"original.wav": {"gain": write_wav(folder / "original.wav", span.samples, rate)}}
    reference = frontend.reference(span.samples)
    for name, sonogram in found.sonograms.items():
        bands = sonifier.bands(sonogram, reference)
        for ending, phase_of in (("", None), ("-own-phase", span.samples)):
            file = f"{name.replace('/', '-')}{ending}.wav"
            samples = sonifier.sound(bands, phase_of=phase_of, seed=seed)
            gain = write_wav(folder / file, samples, rate)
            facts[file] = {"gain": gain, "error_db": sonifier.error_db(bands, samples)}
    return facts
