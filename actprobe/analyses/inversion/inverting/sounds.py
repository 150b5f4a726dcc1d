"""Inversions to sound: `sonify` for one, and the wav files of a span."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.inversion.inverting.inverted import INPUT, Inverted
from actprobe.analyses.inversion.inverting.spans import Span
from actprobe.audio import Waveform
from actprobe.audio.writing import write_wav
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models import Model

Floats = NDArray[np.float32]


def sonify(
    model: Model, mel_spectrogram: NDArray[Any], recording: Waveform | None = None, *, seed: int = 0
) -> Waveform:
    """Make a mel spectrogram audible: an example of a network, or what an inverter gave.

    Magnitudes by the updates of Lee and Seung (NIPS 2000), phase by the fast algorithm of Griffin and Lim
    (Perraudin, Balazs and Søndergaard, WASPAA 2013). The samples of a network of waveforms are taken as they
    are.

    Parameters
    ----------
    model : Model
        The network whose front end made the mel spectrogram.
    mel_spectrogram : numpy.ndarray
        Shape [time, mel], in ``model.frontend.unit``; of a network of waveforms [samples, 1].
    recording : Waveform, optional
        What the example was made of; needed where the front end standardises every example by itself.
    seed : int, optional
        Seed of the phase that Griffin-Lim starts from.

    Returns
    -------
    Waveform
        At the front end's sample rate.

    Raises
    ------
    UsageError
        The front end cannot be undone, or the mel spectrogram has another shape or is not finite.

    Examples
    --------
    >>> example = model.frontend(actprobe.load_audio("song.mp3"))[0]
    >>> sound = actprobe.sonify(model, example)
    >>> sound.sample_rate
    22050
    """
    frontend = model.frontend
    samples = None
    if recording is not None:
        samples = recording.resample(frontend.sample_rate).samples[: frontend.example_samples]
    return Waveform(frontend.sound(mel_spectrogram, samples, seed=seed).samples, frontend.sample_rate)


def save_sounds(
    folder: Path, frontend: FrontEnd, span: Span, found: Inverted, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Make sounds of the input and its inversions; ``seed`` is that of the phase that is estimated.

    Where the front end keeps the phase, the input is the recording and an inversion has a phase of its own,
    so there is one sound of each inversion.

    Returns
    -------
    dict
        File -> ``gain`` it was multiplied by, and ``error_db``, how far the bands of the sound lie from
        those of its mel spectrogram, where it had to be estimated. Empty, with a warning, where it is not
        known how to undo the front end.
    """
    made = {}
    kept = frontend.keeps_phase
    try:
        for name, values in found.mel_spectrograms.items():
            if kept and name == INPUT:
                continue
            for ending, own_phase in [("", False)] if kept else [("", False), ("-own-phase", True)]:
                sound = frontend.sound(values, span.samples, own_phase=own_phase, seed=seed)
                made[f"{name.replace('/', '-')}{ending}.wav"] = sound
    except UsageError as error:
        logging.warning("no sounds: %s", error)
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    rate = frontend.sample_rate
    facts = {"original.wav": {"gain": write_wav(folder / "original.wav", span.samples, rate)}}
    for file, sound in made.items():
        facts[file] = {"gain": write_wav(folder / file, sound.samples, rate)}
        if sound.error_db is not None:
            facts[file]["error_db"] = sound.error_db
    return facts
