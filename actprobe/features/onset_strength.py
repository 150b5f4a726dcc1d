"""Onset strength as a map: where in frequency energy rises, and when (librosa)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.features.framing import PeakNormalized, at_least_a_frame
from actprobe.features.maps import feature_map

SAMPLE_RATE = 22050
FRAME_SIZE = 2048
HOP_SIZE = 512
MEL_BANDS = 96
LOWEST_HZ, HIGHEST_HZ = 27.5, 8000.0
RANGE_DB = 80.0


@feature_map("onset_strength", axis="hertz", unit="dB", sample_rate=SAMPLE_RATE, backend="librosa")
def onset_strength(
    waveform: Waveform,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Rise of a mel spectrogram from one frame to the next, in dB; 0 where it falls.

    The quantity that ``librosa.onset.onset_strength`` averages over bands (Böck and Widmer, "Maximum filter
    vibrato suppression for onset detection", DAFx 2013, without the maximum filter). 96 mel bands (Slaney's
    scale and area normalisation, 27.5 Hz to 8 kHz), in dB under the loudest band and frame of the
    recording, cut off at -80 before the difference. A gain changes nothing; the first frame is 0.

    Gives float32 [frames, 96], the centres of the frames, every 512 samples (23.2 ms) from the first sample
    on, and the centres of the bands in Hz. A waveform of under 2048 samples (0.093 s) is a `FeatureError`.
    """
    waveform = at_least_a_frame("onset_strength", waveform, SAMPLE_RATE, FRAME_SIZE)
    librosa = backend.librosa
    samples = PeakNormalized(waveform).whole()
    power = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=FRAME_SIZE, hop_length=HOP_SIZE, n_mels=MEL_BANDS,
        fmin=LOWEST_HZ, fmax=HIGHEST_HZ,
    ).T.astype(np.float64)  # fmt: skip
    loudest = float(power.max()) or 1.0
    level = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE_DB / 10)))
    rise = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0.0)
    edges = librosa.mel_frequencies(MEL_BANDS + 2, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
    times = np.arange(len(rise)) * (HOP_SIZE / SAMPLE_RATE)
    return np.asarray(rise, np.float32), times, np.asarray(edges[1:-1], np.float64)
