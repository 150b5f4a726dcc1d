"""Recordings -> samples for the front end, and features: all that needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Waveform, load_audio
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.errors import AudioError, FeatureError
from actprobe.features import Feature, compute_scalars
from actprobe.features.registry import resampled
from actprobe.frontends import FrontEnd

UNITS = ("recording", "excerpt")

PARTLY_FILLED = 0.5


@dataclass
class Prepared:
    """A recording that is ready for the front end and the network.

    - ``samples``: float32 [samples], at the front end's rate.
    - ``starts``: seconds from the start of the recording to that of each example.
    - ``by_example``: feature name -> float64 [examples]; empty when the features are those of the whole
      recording.
    - ``seconds``: where the time went.
    """

    row: LedgerRow
    samples: NDArray[np.float32]
    starts: NDArray[np.float64]
    by_example: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: StageSeconds = field(default_factory=StageSeconds)


def prepare_recording(
    recording: Recording,
    frontend: FrontEnd,
    features: Sequence[Feature] = (),
    unit: str = "recording",
    *,
    waveform: Waveform | None = None,
) -> Prepared:
    """Decode a recording, compute its features and resample it to the front end's rate.

    The front end gives that rate and where examples begin, which needs no TensorFlow. ``unit``: ``recording``
    for features of the whole, or ``excerpt`` for features of the segment that each example spans; the ledger
    then has their means. ``waveform`` is the recording if it is decoded already. AudioError: it cannot be
    decoded, or is silent. FeatureError: a feature cannot be computed.
    """
    spent = StageSeconds()
    began = perf_counter()
    waveform = load_audio(recording.path) if waveform is None else waveform
    spent.decode = perf_counter() - began
    if waveform.is_silent:
        raise AudioError(recording.path, f"is silent ({waveform.seconds:.2f} s under -100 dBFS)")
    began = perf_counter()
    samples = waveform.resample(frontend.sample_rate).samples
    starts = frontend.example_starts(len(samples)) / frontend.sample_rate
    spent.decode += perf_counter() - began
    began = perf_counter()
    by_example = {}
    if unit == "excerpt":
        by_example = _by_example(waveform, features, starts, frontend.example_samples / frontend.sample_rate)
        values = {name: float(np.mean(of_feature)) for name, of_feature in by_example.items()}
    else:
        values = compute_scalars(waveform, features)
    spent.features = perf_counter() - began
    warnings = list(waveform.source.warnings) if waveform.source else []
    filled = len(samples) / frontend.example_samples
    if filled < PARTLY_FILLED:
        example = frontend.example_samples / frontend.sample_rate
        rest = {"zeros": "zeros", "repeat": "its repetition"}[frontend.padding]
        warnings.append(f"fills {filled:.0%} of its {example:.2f} s example; the rest is {rest}")
    row = LedgerRow(
        path=recording.name,
        status="ok",
        warning="; ".join(warnings),
        seconds=waveform.seconds,
        sample_rate=waveform.source.sample_rate if waveform.source else waveform.sample_rate,
        examples=len(starts),
        features=values,
    )
    return Prepared(row, samples, starts, by_example, spent)


def _by_example(
    waveform: Waveform, features: Sequence[Feature], starts: NDArray[np.float64], seconds: float
) -> dict[str, NDArray[np.float64]]:
    """Compute features of the segment that each example spans, resampling the recording once a rate."""
    found: dict[str, NDArray[np.float64]] = {}
    at_rate: dict[int, Waveform] = {}
    for feature in features:
        whole = resampled(feature, at_rate, waveform)
        rate = whole.sample_rate
        values = []
        for start in starts:
            first = round(start * rate)
            segment = Waveform(whole.samples[first : first + round(seconds * rate)], rate)
            try:
                values.append(compute_scalars(segment, [feature])[feature.name])
            except FeatureError as error:
                raise FeatureError(
                    feature.name, f"in the excerpt at {start:.2f} s: {error.reason}"
                ) from error
        found[feature.name] = np.array(values)
    return found
