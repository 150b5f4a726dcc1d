"""Recordings -> samples for the front end, and features: all that needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Waveform, load_audio
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.errors import AudioError, FeatureError
from actprobe.features import Feature
from actprobe.features.registry import resampled
from actprobe.features.scalars import try_scalars
from actprobe.frontends import FrontEnd

UNITS = ("recording", "excerpt")

PARTLY_FILLED = 0.5


@dataclass
class Prepared:
    """A recording that is ready for the front end and the network.

    - ``samples``: float32 [samples], at the front end's rate.
    - ``starts``: seconds from the start of the recording to that of each example.
    - ``by_example``: feature name -> float64 [examples], NaN where it failed; empty when the features are
      those of the whole recording.
    - ``seconds``: where the time went.
    """

    row: LedgerRow
    samples: NDArray[np.float32]
    starts: NDArray[np.float64]
    by_example: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: StageSeconds = field(default_factory=StageSeconds)

    def lacking(self, failed: Sequence[FeatureError]) -> Prepared:
        """Say of features that failed why they did."""
        told = (" ".join(str(error).split()) for error in failed)
        again = self.row.again or any(error.unexpected for error in failed)
        return replace(self, row=replace(self.row.warned(*told), again=again))

    def keep(self, kept: NDArray[np.bool_], warning: str) -> Prepared:
        """Leave examples out, with a warning that says why; ``kept`` [examples] are the others."""
        by_example = {name: values[kept] for name, values in self.by_example.items()}
        row = replace(
            self.row.warned(warning),
            examples=int(kept.sum()),
            features=_means(by_example) if by_example else self.row.features,
        )
        return replace(self, row=row, starts=self.starts[kept], by_example=by_example)


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
    then has their means. A feature that fails is left out of the ledger's row, and its warning says why.
    ``waveform`` is the recording if it is decoded already. AudioError: it cannot be decoded, or is silent.
    """
    spent = StageSeconds()
    frontend = frontend.of(recording.path)
    began = perf_counter()
    waveform = load_audio(recording.path) if waveform is None else waveform
    spent.decode = perf_counter() - began
    if waveform.is_silent:
        said = " ".join(waveform.source.warnings) if waveform.source else ""
        reason = f"is silent ({waveform.seconds:.2f} s under -100 dBFS)"
        raise AudioError(recording.path, f"{reason}. {said}" if said else reason)
    began = perf_counter()
    samples = waveform.resample(frontend.sample_rate).samples
    starts = frontend.example_starts(len(samples)) / frontend.sample_rate
    spent.decode += perf_counter() - began
    began = perf_counter()
    by_example: dict[str, NDArray[np.float64]] = {}
    if unit == "excerpt":
        seconds = frontend.example_samples / frontend.sample_rate
        by_example, failed = _by_example(waveform, features, starts, seconds)
        values = _means(by_example)
    else:
        values, failed = try_scalars(waveform, features)
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
    return Prepared(row, samples, starts, by_example, spent).lacking(failed)


def _by_example(
    waveform: Waveform, features: Sequence[Feature], starts: NDArray[np.float64], seconds: float
) -> tuple[dict[str, NDArray[np.float64]], list[FeatureError]]:
    """Compute features of the segment that each example spans, resampling the recording once a rate.

    Gives feature name -> float64 [examples], NaN where it failed, and an error for each feature that did.
    """
    found: dict[str, NDArray[np.float64]] = {}
    failed: list[FeatureError] = []
    at_rate: dict[int, Waveform] = {}
    for feature in features:
        whole = resampled(feature, at_rate, waveform)
        rate = whole.sample_rate
        values = []
        errors: list[FeatureError] = []
        for start in starts:
            first = round(start * rate)
            segment = Waveform(whole.samples[first : first + round(seconds * rate)], rate)
            value, of_segment = try_scalars(segment, [feature])
            values.append(value.get(feature.name, np.nan))
            errors += of_segment
        found[feature.name] = np.array(values)
        if errors:
            where = f"in {len(errors)} of {len(starts)} excerpts: {errors[0].reason}"
            unexpected = any(error.unexpected for error in errors)
            failed.append(FeatureError(feature.name, where, unexpected=unexpected))
    return found, failed


def _means(by_example: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Mean of each feature over the examples that have it; a feature that none has is left out."""
    known = {name: values[~np.isnan(values)] for name, values in by_example.items()}
    return {name: float(np.mean(values)) for name, values in known.items() if len(values)}
