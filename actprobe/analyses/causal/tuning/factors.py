"""The factors: what can be changed while everything else stays, by how much, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.causal.tuning import interventions
from actprobe.analyses.causal.tuning.interventions import Floats, Passage
from actprobe.batch.opening import chosen_names
from actprobe.corpora import stimuli
from actprobe.corpora.stimuli import Samples, Scene
from actprobe.corpora.synthesis import HIGHEST_PARTIAL
from actprobe.errors import UsageError

ALL = "all"  # in place of names
Doses = tuple[float, ...]
DosesLike = Mapping[str, Sequence[float]] | Sequence[float] | None


@dataclass(frozen=True)
class Factor:
    """One thing that is changed.

    - ``unit`` of the doses; ``doses``: those of a run that names none, ascending.
    - ``changes``: what a dose changes, in a few words.
    - ``feature``: the hand-crafted feature that it moves; empty where there is none.
    - ``lowest``, ``highest``: what a dose can be; ``hertz``: whether it also has to lie below half the sample
      rate, less some; ``whole``: whether it is a count.
    - ``log``: whether doses that have the same ratio are equally far apart.
    - ``stimulus``: makes a sound from a seed; ``intervention``: changes a passage of a recording. A factor
      has one of them.
    - ``keeps_level``: whether an intervention leaves the root mean square of an excerpt as it was.
    """

    name: str
    unit: str
    doses: Doses
    changes: str
    feature: str = ""
    lowest: float = -math.inf
    highest: float = math.inf
    hertz: bool = False
    whole: bool = False
    log: bool = False
    stimulus: Callable[[Scene, float], Samples] | None = None
    intervention: Callable[[Passage, float], Floats] | None = None
    keeps_level: bool = True

    def axis(self, doses: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Place doses on the factor's axis: their logarithm to base 2 where it is one of ratios."""
        values = np.asarray(doses, np.float64)
        return np.asarray(np.log2(values) if self.log else values)

    def value(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the dose at a place on the axis."""
        return np.asarray(np.exp2(place) if self.log else place)

    def checked(self, doses: Sequence[float], sample_rate: int) -> Doses:
        """Give doses as they are used; UsageError where they are out of range, too few or not ascending."""
        try:
            found = tuple(float(dose) for dose in doses)
        except (TypeError, ValueError) as error:
            raise UsageError(f"doses of {self.name}: a list of numbers, not {doses!r}") from error
        told = ", ".join(f"{dose:g}" for dose in found)
        highest = min(self.highest, HIGHEST_PARTIAL * sample_rate) if self.hertz else self.highest
        if len(found) < 2 or not all(low < high for low, high in pairwise(found)):
            raise UsageError(f"doses of {self.name}: at least two, ascending, not {told or 'none'}")
        if not all(self.lowest <= dose <= highest and math.isfinite(dose) for dose in found):
            raise UsageError(
                f"doses of {self.name}: {self.lowest:g} to {highest:g} {self.unit}".rstrip() + f", not {told}"
            )
        if self.whole and any(dose % 1 for dose in found):
            raise UsageError(f"doses of {self.name}: whole numbers, not {told}")
        return found


def _octaves(low: float, count: int, steps: int = 1) -> Doses:
    """So many frequencies from the lowest on, so many an octave."""
    return tuple(round(low * 2 ** (i / steps), 3) for i in range(count))


def _stimuli() -> list[Factor]:
    decibels, ratio = (-42.0, -36.0, -30.0, -24.0, -18.0), (-24.0, -12.0, -6.0, 0.0, 6.0, 12.0, 24.0)
    return [
        Factor("level", "dBFS", decibels, "level of a harmonic tone", "loudness", -90, -18,
               stimulus=stimuli.steady_tone),
        Factor("pitch", "Hz", _octaves(55, 11, 2), "fundamental frequency of a harmonic tone", "pitch", 20,
               hertz=True, log=True, stimulus=stimuli.tone_of_pitch),
        Factor("sung_pitch", "Hz", _octaves(110, 10, 3), "fundamental frequency of a sung vowel",
               "pitch", 50, 1500, hertz=True, log=True, stimulus=stimuli.vowel_of_pitch),
        Factor("onset_rate", "1/s", (1.0, 2.0, 3.0, 4.0, 6.0, 8.0), "hits a second", "onset_rate", 1, 50,
               log=True, stimulus=stimuli.onsets),
        Factor("tempo", "bpm", (60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0), "tempo of a drum pattern",
               "tempo", 30, 300, stimulus=stimuli.drum_pattern),
        Factor("harmonic_ratio", "dB", ratio, "level of a steady chord over that of hits", "harmonic_ratio",
               -60, 60, stimulus=stimuli.harmonic_and_hits),
        Factor("bandwidth", "Hz", (100.0, 200.0, 400.0, 800.0, 1600.0), "width of a band of noise at 1 kHz",
               "spectral_bandwidth", 20, 1700, log=True, stimulus=stimuli.noise_of_width),
        Factor("centroid", "Hz", _octaves(200, 9, 2), "centre of a band of noise 200 Hz wide",
               "spectral_centroid", 150, hertz=True, log=True, stimulus=stimuli.noise_at),
        Factor("modulation_rate", "Hz", _octaves(2, 8), "rate of amplitude modulation of noise",
               lowest=0.5, highest=500, log=True, stimulus=stimuli.noise_modulated),
        Factor("modulation_depth", "", (0.0, 0.25, 0.5, 0.75, 1.0), "depth of amplitude modulation of noise",
               lowest=0, highest=1, stimulus=stimuli.noise_modulated_by),
        Factor("vibrato_rate", "Hz", (2.0, 3.0, 4.0, 6.0, 8.0, 12.0), "rate of a vibrato of 100 cents",
               lowest=0.5, highest=30, log=True, stimulus=stimuli.vibrato_of_rate),
        Factor("vibrato_depth", "cents", (0.0, 25.0, 50.0, 100.0, 200.0), "depth of a vibrato of about 5 Hz",
               lowest=0, highest=600, stimulus=stimuli.vibrato_of_depth),
        Factor("snr", "dB", (-20.0, -10.0, 0.0, 10.0, 20.0, 30.0), "level of a tone over white noise",
               lowest=-80, highest=80, stimulus=stimuli.tone_in_noise),
        Factor("polyphony", "", (1.0, 2.0, 3.0, 4.0, 6.0), "notes of a chord", "hpcp_entropy", 1,
               len(stimuli.CHORD), whole=True, stimulus=stimuli.chord),
        Factor("voice_level", "dB", ratio, "level of a sung vowel over that of chord and drums", "", -60, 60,
               stimulus=stimuli.voice_over),
    ]  # fmt: skip


def _interventions() -> list[Factor]:
    ratio = (-12.0, -6.0, 0.0, 6.0, 12.0)
    return [
        Factor("gain", "dB", (-20.0, -10.0, 0.0, 10.0, 20.0), "level", "loudness", -120, 60,
               intervention=interventions.gain, keeps_level=False),
        Factor("pitch_shift", "semitones", (-6.0, -3.0, 0.0, 3.0, 6.0), "pitch; formants move, too", "pitch",
               -24, 24, intervention=interventions.pitch_shift),
        Factor("time_stretch", "%", (-20.0, -10.0, 0.0, 10.0, 20.0), "tempo, by percent", "tempo", -75, 300,
               intervention=interventions.time_stretch),
        Factor("low_pass", "octaves", (0.0, 1.0, 2.0, 3.0, 4.0), "octaves taken away from the top",
               "spectral_centroid", 0, 8, intervention=interventions.low_pass),
        Factor("high_pass", "octaves", (0.0, 2.0, 3.0, 4.0, 5.0, 6.0), "octaves taken away above 31.25 Hz",
               "spectral_centroid", 0, 6.5, intervention=interventions.high_pass),
        Factor("harmonic_remix", "dB", ratio, "harmonic over percussive part", "harmonic_ratio", -60, 60,
               intervention=interventions.harmonic_remix),
        Factor("added_noise", "%", (0.0, 10.0, 20.0, 50.0, 100.0), "white noise, percent of the recording",
               lowest=0, highest=1e4, intervention=interventions.added_noise),
        Factor("voice_to_accompaniment", "dB", ratio, "voice over the other known parts", "", -60, 60,
               intervention=interventions.voice_to_accompaniment),
    ]  # fmt: skip


FACTORS = {factor.name: factor for factor in (*_stimuli(), *_interventions())}


def chosen_factors(
    names: Sequence[str], doses: DosesLike, sample_rate: int, *, corpus: bool
) -> dict[Factor, Doses]:
    """Look factors up, with the doses of each.

    ``names`` may be ``all``: every factor, interventions where there is a ``corpus``. ``doses``: name ->
    doses, or doses alone where one factor is named. Default doses that a sample rate in Hz cannot hold are
    left out. UsageError: no such factor, doses out of range or of another factor, an intervention without
    recordings.
    """
    if names == ALL:
        names = [name for name, each in FACTORS.items() if corpus or each.stimulus]
    names = chosen_names("factor", names, FACTORS)
    for name in names:
        if FACTORS[name].intervention and not corpus:
            raise UsageError(f"{name} changes recordings of yours: give a corpus (--input)")
    if doses is not None and not isinstance(doses, Mapping):
        if len(names) > 1:
            raise UsageError(f"doses of which factor? Give them by name: {', '.join(names)}")
        doses = {names[0]: doses}
    given = doses or {}
    chosen_names("factor", list(given), names) if given else None
    return {FACTORS[name]: _doses(FACTORS[name], given.get(name), sample_rate) for name in names}


def _doses(factor: Factor, doses: Sequence[float] | None, sample_rate: int) -> Doses:
    if doses is None:
        highest = HIGHEST_PARTIAL * sample_rate if factor.hertz else math.inf
        doses = [dose for dose in factor.doses if dose <= highest]
    return factor.checked(doses, sample_rate)
