"""`invert`: what each layer preserves of a segment of a recording, to see and to hear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from actprobe.analyses.inversion.inverting.inverted import (
    INPUT,
    arrays_of,
    invert_span,
)
from actprobe.analyses.inversion.inverting.methods import METHODS, open_methods
from actprobe.analyses.inversion.inverting.result import SCALES, InversionResult, panels_figure
from actprobe.analyses.inversion.inverting.sounds import save_sounds
from actprobe.analyses.inversion.inverting.spans import cut_span
from actprobe.analyses.inversion.networks.sources import InverterSources, find_sources, sources_of
from actprobe.audio import Waveform, load_audio
from actprobe.batch.identity import made_by
from actprobe.batch.opening import output_folder
from actprobe.corpora.folder import printable_name
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.layer_table import ALL
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_json, write_npz


def invert(
    model: Model | ModelSource,
    recording: str | Path | Waveform,
    *,
    layers: Sequence[str] = ALL,
    at: float = 0.0,
    seconds: float | None = None,
    inverters: InverterSources = None,
    method: str = "inverter",
    gradient_steps: int = 300,
    scale: str = "shared",
    sound: bool = True,
    seed: int = 0,
    output_dir: str | Path,
) -> InversionResult:
    """Invert a segment of a recording from several layers: what information does each preserve?

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    recording : str, Path or Waveform
        The recording.
    layers : sequence of str, optional
        Names of layers; or ``all`` that have an inverter, with ``gradient`` all but pre-activations,
        reshapings and the output.
    at : float, optional
        Where the segment begins, in seconds; the closest frame counts.
    seconds : float, optional
        Length of the segment, in excerpts that overlap by half; by default one excerpt.
    inverters : str, Path, Inverter or list of these, optional
        Folders, files, catalog entries, ``LAYER=FILE``; a text may list several, separated by commas. By
        default the catalog's inverters for the network's weights.
    method : str, optional
        ``inverter``, or ``gradient``: inversion by optimisation, which needs no inverter and takes seconds to
        minutes.
    gradient_steps : int, optional
        Steps of ``gradient``.
    scale : str, optional
        Of the colours: ``shared`` by all panels, or ``panel``, each its own.
    sound : bool, optional
        Whether wav files are written.
    seed : int, optional
        Of the noise that ``gradient`` starts from, and of the estimated phase of the sounds.
    output_dir : str or Path
        Gets inversion.npz, figures/inversion.png, the folder sounds and run.json.

    Returns
    -------
    InversionResult
        ``table``, ``mel_spectrograms``, ``sounds`` and ``plot()``.

    Raises
    ------
    UsageError
        No such layer, method or scale, no inverter for a layer, or a time that is none.
    AudioError
        The recording cannot be read, is silent, or ends before the segment does.
    WeightsError
        An inverter that was refused.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.invert(model, "song.mp3", at=1, layers=["mp3", "fc8"], output_dir="INVERTED")
    >>> found.table["layer"].tolist()
    ['mp3', 'fc8']
    >>> figure = found.plot()
    """
    began = time.time()
    named = None if layers == ALL else [layer.name for layer in model.layers.select(layers)]
    for what, value, there in (("method", method, METHODS), ("scale", scale, SCALES)):
        if value not in there:
            raise UsageError(f"there is no {what} {value!r}; there is {', '.join(there)}")
    if gradient_steps < 1:
        raise UsageError(f"gradient_steps={gradient_steps}: at least 1")
    waveform = recording if isinstance(recording, Waveform) else load_audio(recording)
    source = waveform.source.path if waveform.source else "waveform"
    given = source if isinstance(recording, Waveform) else str(recording)
    path, name = Path(given), printable_name(given)
    folder = output_folder(output_dir)
    if inverters and method != "gradient":
        sources_of(model, find_sources(model, inverters), named)
    network = model.open()
    frontend = network.frontend.of(path)
    span = cut_span(frontend, waveform, at, seconds, name)
    opened, described = open_methods(network, method, inverters, named, steps=gradient_steps, seed=seed)
    logging.info("%s, %s at %.3f s, %d layers", network, name, span.start_seconds, len(opened))
    found = invert_span(network, span, opened)
    arrays = arrays_of(frontend, span, found)
    record = made_by(
        network,
        recording=name,
        start_seconds=span.start_seconds,
        span_seconds=len(span.samples) / frontend.sample_rate,
        warnings=list(waveform.source.warnings) if waveform.source else [],
        mono=waveform.source.mono if waveform.source else None,
        method=method,
        inverters=described,
        output=network.output_layer,
        threshold=network.threshold,
        unit=frontend.unit,
        scale=scale,
        layers=found.facts,
    )
    write_npz(folder / "inversion.npz", arrays)
    shown = [layer for layer in found.facts if layer != INPUT]
    save_figure(panels_figure(record, arrays, shown), folder / "figures" / "inversion.png")
    record["sounds"] = save_sounds(folder / "sounds", frontend, span, found, seed) if sound else {}
    arguments = {
        "recording": name, "layers": named or ALL, "at": at, "seconds": seconds, "inverters": described,
        "method": method, "gradient_steps": gradient_steps, "scale": scale, "sound": sound, "seed": seed,
        "output_dir": str(folder),
    }  # fmt: skip
    record |= network_record(network)
    write_json(folder / "run.json", run_record("invert", began, arguments, record))
    return InversionResult.load(folder)
