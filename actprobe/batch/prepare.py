"""Recordings -> samples for the front end, and features: all that needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Source, Waveform
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.errors import AudioError, FeatureError, TooLongError
from actprobe.features import Feature
from actprobe.features.scalars import try_scalars
from actprobe.frontends import FrontEnd

UNITS = ("recording", "excerpt")

PARTLY_FILLED = 0.5
HELD_SECONDS = 600.0  # 115 MB at 48 kHz; a longer recording is held at one rate at a time


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
    excerpts: Callable[[FrontEnd, int], NDArray[np.int64]] | None = None,
) -> Prepared:
    """Decode a recording, compute its features and resample it to the front end's rate.

    The front end gives that rate and where examples begin, which needs no TensorFlow. ``unit``: ``recording``
    for features of the whole, or ``excerpt`` for features of the segment that each example spans; the ledger
    then has their means. A feature that fails is left out of the ledger's row, and its warning says why.
    ``waveform`` is the recording if it is decoded already. ``excerpts`` takes the front end and the length of
    the recording in samples, and gives the first samples of the examples that are wanted, by default of all.
    AudioError: it cannot be decoded, or is silent.
    """
    frontend = frontend.of(recording.path)
    rate = frontend.sample_rate
    sound = _Sound(recording, waveform)
    front = sound.at(rate).samples
    source, seconds, sample_rate, silent = sound.facts
    if silent:
        said = " ".join(source.warnings) if source else ""
        reason = f"is silent ({seconds:.2f} s under -100 dBFS)"
        raise AudioError(recording.path, f"{reason}. {said}" if said else reason)
    count = len(front)
    starts = (frontend.example_starts(count) if excerpts is None else excerpts(frontend, count)) / rate
    again = sound.whole is None and any(feature.sample_rate != rate for feature in features)
    samples = None if again else front
    del front  # what is decoded again, when the features are done, is not held meanwhile
    began, decoded = perf_counter(), sound.seconds_spent
    by_example: dict[str, NDArray[np.float64]] = {}
    if unit == "excerpt":
        by_example, failed = _by_example(sound, features, starts, frontend.example_samples / rate)
        values = _means(by_example)
    else:
        values, failed = _of_recording(sound, features)
    described = perf_counter() - began - (sound.seconds_spent - decoded)
    samples = sound.at(rate).samples if samples is None else samples
    spent = StageSeconds(decode=sound.seconds_spent, features=described)
    warnings = list(source.warnings) if source else []
    filled = count / frontend.example_samples
    if filled < PARTLY_FILLED:
        example = frontend.example_samples / rate
        rest = {"zeros": "zeros", "repeat": "its repetition"}[frontend.padding]
        warnings.append(f"fills {filled:.0%} of its {example:.2f} s example; the rest is {rest}")
    row = LedgerRow(
        path=recording.name,
        status="ok",
        warning="; ".join(warnings),
        seconds=seconds,
        sample_rate=source.sample_rate if source else sample_rate,
        examples=len(starts),
        features=values,
    )
    return Prepared(row, samples, starts, by_example, spent).lacking(failed)


class _Sound:
    """A recording at the rates that are asked for.

    One that is too long to be held at several rates is decoded straight to each of them, which gives the same
    samples. Attributes: ``whole``, at its own rate, None for such a recording; ``facts``, source, seconds,
    rate and whether it is silent, of the whole or of what was decoded first; ``seconds_spent`` on decoding.
    """

    def __init__(self, recording: Recording, waveform: Waveform | None) -> None:
        self.recording, self.whole = recording, waveform
        began = perf_counter()
        if waveform is None:
            with suppress(TooLongError):
                self.whole = recording.waveform(max_seconds=HELD_SECONDS)
        self.seconds_spent = perf_counter() - began
        self._facts: tuple[Source | None, float, int, bool] | None = None

    @property
    def facts(self) -> tuple[Source | None, float, int, bool]:
        assert self._facts is not None  # known once it was decoded
        return self._facts

    def at(self, rate: int | None) -> Waveform:
        """Give it at a rate in Hz; None for its own."""
        began = perf_counter()
        if self.whole is None:
            found = self.recording.waveform(rate)
        else:
            found = self.whole if rate is None else self.whole.resample(rate)
        if self._facts is None:
            heard = self.whole or found
            self._facts = heard.source, heard.seconds, heard.sample_rate, heard.is_silent
        self.seconds_spent += perf_counter() - began
        return found


def _by_rate(features: Sequence[Feature]) -> dict[int | None, list[Feature]]:
    found: dict[int | None, list[Feature]] = {}
    for feature in features:
        found.setdefault(feature.sample_rate, []).append(feature)
    return found


def _of_recording(sound: _Sound, features: Sequence[Feature]) -> tuple[dict[str, float], list[FeatureError]]:
    """Compute features of the whole recording: their values, and an error for each that failed."""
    values: dict[str, float] = {}
    failed: list[FeatureError] = []
    for rate, wanted in _by_rate(features).items():
        of_rate, errors = try_scalars(sound.at(rate), wanted)
        values |= of_rate
        failed += errors
    order = [feature.name for feature in features]
    return (
        {name: values[name] for name in order if name in values},
        sorted(failed, key=lambda error: order.index(error.feature)),
    )


def _by_example(
    sound: _Sound, features: Sequence[Feature], starts: NDArray[np.float64], seconds: float
) -> tuple[dict[str, NDArray[np.float64]], list[FeatureError]]:
    """Compute features of the segment that each example spans.

    Gives feature name -> float64 [examples], NaN where it failed, and an error for each feature that did.
    """
    found: dict[str, NDArray[np.float64]] = {}
    failed: dict[str, FeatureError] = {}
    for wanted_rate, wanted in _by_rate(features).items():
        whole = sound.at(wanted_rate)
        rate = whole.sample_rate
        for feature in wanted:
            values = []
            errors: list[FeatureError] = []
            for start in starts:
                first = round(start * rate)
                inside = whole.samples[max(first, 0) : first + round(seconds * rate)]
                segment = Waveform(inside, rate)
                value, of_segment = try_scalars(segment, [feature])
                values.append(value.get(feature.name, np.nan))
                errors += of_segment
            found[feature.name] = np.array(values)
            if errors:
                where = f"in {len(errors)} of {len(starts)} excerpts: {errors[0].reason}"
                unexpected = any(error.unexpected for error in errors)
                failed[feature.name] = FeatureError(feature.name, where, unexpected=unexpected)
    order = [feature.name for feature in features]
    return {name: found[name] for name in order}, [failed[name] for name in order if name in failed]


def _means(by_example: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Mean of each feature over the examples that have it; a feature that none has is left out."""
    known = {name: values[~np.isnan(values)] for name, values in by_example.items()}
    return {name: float(np.mean(values)) for name, values in known.items() if len(values)}
