"""Mixes as recordings: what a training that reads recordings takes instead of those of its corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actprobe.corpora.label_files import as_intervals
from actprobe.corpora.labelled import LabelledRecording, Stems
from actprobe.provenance import digest
from actprobe.training.mixer import Mixer


def mixed_recordings(mixer: Mixer, count: int, seconds: float) -> list[LabelledRecording]:
    """List ``count`` mixes of so many seconds as recordings; their samples are made when they are read.

    Their paths name all that decides them, and no file is there. It is not said where somebody sings.
    """
    samples = round(seconds * mixer.rate)
    key = digest([mixer.describe(), mixer.store.key, samples])
    folder = Path(f"mixes-{key}")

    def load(recording: LabelledRecording, sample_rate: int) -> Stems:
        if sample_rate != mixer.rate:
            raise ValueError(f"mixes have {mixer.rate} Hz, not {sample_rate}")
        return {"mixture": np.asarray(mixer.mix(int(recording.name), samples).samples)}

    return [
        LabelledRecording(str(number), folder / str(number), as_intervals([]), load=load, known=False)
        for number in range(count)
    ]
