"""The parts of a recording that are known as sound: the stems it was mixed from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.audio import load_audio
from actprobe.corpora.folder import STEM, Recording
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import AudioError

Floats = NDArray[np.float32]

APART_SECONDS = 0.1  # by which a part may be shorter or longer than its recording


def known_parts(recording: Recording, sample_rate: int) -> dict[str, Floats]:
    """Read the known parts of a recording, whose sum it is.

    Parameters
    ----------
    recording : Recording
        Of a corpus with stems, such as MIR-1K, or of a manifest with columns such as ``stem_voice``, which
        name files.
    sample_rate : int
        Hz.

    Returns
    -------
    dict
        Name of the part -> float32, shape [samples], all equally long; empty where no part is known.

    Raises
    ------
    AudioError
        A part cannot be read, or does not last as long as the others.
    """
    if isinstance(recording, LabelledRecording):
        stems = recording.stems(sample_rate)
        if len(stems) > 1:  # the recording is their mean
            return {name: samples / len(stems) for name, samples in stems.items()}
    labels = recording.labels.items()
    files = {name[len(STEM) :]: Path(text) for name, text in labels if text and name.startswith(STEM)}
    parts = {name: load_audio(path, sample_rate).samples for name, path in files.items()}
    if not parts:
        return {}
    longest = max(map(len, parts.values()))
    for name, samples in parts.items():
        if longest - len(samples) > APART_SECONDS * sample_rate:
            lasts, others = len(samples) / sample_rate, longest / sample_rate
            raise AudioError(files[name], f"lasts {lasts:.2f} s, another part {others:.2f} s")
    return {name: np.pad(samples, (0, longest - len(samples))) for name, samples in parts.items()}
