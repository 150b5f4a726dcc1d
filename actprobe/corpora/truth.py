"""What is true of a phantom recording: the rendered stems, and everything that was played in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import Waveform
from actprobe.corpora.composition import Note
from actprobe.corpora.mixing import STEMS

MERGE_SECONDS = 0.05  # onsets closer than this are one event: the MIREX onset tolerance

Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class PhantomRecording:
    """A synthetic recording and everything that is true of it.

    It was rendered from ``seed`` and ``index``. ``kind`` is one of `KINDS`; ``tempo_bpm`` counts quarter
    notes; ``key`` is such as ``A minor``, empty when nothing pitched is played.

    - ``stems``: float32 [samples] for each of `STEMS`, zeros for one that the kind does not have.
    - ``onsets``: for each of `STEMS`, the seconds at which something begins in it, ascending.
    - ``gain_times``, ``gain``: the rendered loudness contour, linear gain at times in seconds, linear between
      them; it multiplies a mix whose RMS is `actprobe.corpora.mixing.REFERENCE_RMS_DB`.
    - ``voice_intervals``: seconds in which somebody sings, consonants included.
    - ``voiced_intervals``: seconds in which the voice has a pitch.
    - ``notes``: every note of the ``harmonic`` stem and of the ``voice``.
    """

    kind: str
    seed: int
    index: int
    sample_rate: int
    stems: dict[str, NDArray[np.float32]] = field(repr=False)
    onsets: dict[str, Floats] = field(repr=False)
    gain_times: Floats = field(repr=False)
    gain: Floats = field(repr=False)
    voice_intervals: list[Interval] = field(repr=False)
    voiced_intervals: list[Interval] = field(repr=False)
    notes: dict[str, list[Note]] = field(repr=False)
    tempo_bpm: float
    key: str

    @property
    def samples(self) -> NDArray[np.float32]:
        """The mix, float32, shape [samples]: the sum of the stems."""
        mix: NDArray[np.float32] = np.sum([self.stems[stem] for stem in STEMS], axis=0, dtype=np.float32)
        return mix

    @property
    def waveform(self) -> Waveform:
        """The mix with its rate."""
        return Waveform(self.samples, self.sample_rate)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.stems[STEMS[0]]) / self.sample_rate

    @property
    def mix_onsets(self) -> Floats:
        """Onsets of all stems in seconds; those within 50 ms of an earlier one are one with it."""
        merged: list[float] = []
        for onset in np.sort(np.concatenate([self.onsets[stem] for stem in STEMS])):
            if not merged or onset - merged[-1] > MERGE_SECONDS:
                merged.append(float(onset))
        return np.array(merged)

    @property
    def pitch_classes(self) -> list[int]:
        """Pitch classes that sound, C = 0, ascending."""
        return sorted({note.midi % 12 for notes in self.notes.values() for note in notes})

    def truth(self) -> dict[str, object]:
        """Collect everything but the samples, ready for JSON; times in seconds, rounded to a microsecond."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "index": self.index,
            "sample_rate": self.sample_rate,
            "seconds": round(self.seconds, 6),
            "tempo_bpm": round(self.tempo_bpm, 6),
            "key": self.key,
            "pitch_classes": self.pitch_classes,
            "onsets": {stem: _rounded(self.onsets[stem]) for stem in STEMS},
            "mix_onsets": _rounded(self.mix_onsets),
            "gain_times": _rounded(self.gain_times),
            "gain": _rounded(self.gain),
            "voice_intervals": [_rounded(interval) for interval in self.voice_intervals],
            "voiced_intervals": [_rounded(interval) for interval in self.voiced_intervals],
            "notes": {
                stem: [
                    {
                        "onset": round(note.onset, 6),
                        "offset": round(note.offset, 6),
                        "midi": note.midi,
                        "timbre": note.timbre,
                    }
                    for note in notes
                ]
                for stem, notes in self.notes.items()
            },
        }

    def row(self) -> dict[str, str | float]:
        """Summarise the ground truth in one row of the manifest.

        ``kind``, ``seconds``, ``sample_rate``, ``tempo_bpm``, ``key``; ``true_onset_rate`` of the mix and
        ``true_STEM_onset_rate`` of each stem in 1/s; ``true_gain``, the mean of the linear gain contour, and
        ``true_gain_db``, the same in dB; ``true_level_db``, the RMS of the mix in dBFS;
        ``true_voice_fraction``, the part of the time in which somebody sings.
        """
        gain = float(np.mean(self.gain))
        rms = float(np.sqrt(np.mean(np.square(self.samples, dtype=np.float64))))
        sung = sum(end - start for start, end in self.voice_intervals)
        rates = {f"true_{stem}_onset_rate": len(self.onsets[stem]) / self.seconds for stem in STEMS}
        numbers = {
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "tempo_bpm": self.tempo_bpm,
            "true_onset_rate": len(self.mix_onsets) / self.seconds,
            **rates,
            "true_gain": gain,
            "true_gain_db": 20 * float(np.log10(gain)),
            "true_level_db": 20 * float(np.log10(rms)),
            "true_voice_fraction": sung / self.seconds,
        }
        return {"kind": self.kind, "key": self.key, **{name: round(v, 6) for name, v in numbers.items()}}


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 6) for value in values]
