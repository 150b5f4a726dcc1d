"""Harmonic and percussive part of a recording by median filtering (librosa's HPSS), as maps and as a ratio.

D. FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010: a sustained tone is a
horizontal ridge of the magnitude spectrogram, a hit a vertical one. The median over time keeps the first and
drops the second, the median over frequency does the opposite, and each part is the spectrogram times a soft
mask made of both medians. The numbers are those of ``librosa.decompose.hpss`` at its defaults.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import Waveform
from actprobe.errors import FeatureError
from actprobe.features.framing import PeakNormalized, at_least_a_frame
from actprobe.features.maps import feature_map
from actprobe.features.scalars import feature

# librosa's defaults. Of five window and hop sizes they separate the stems of the phantom corpus best at this
# number of medians a second, see docs/features.md.
SAMPLE_RATE = 22050
FRAME_SIZE = 2048
HOP_SIZE = 512
KERNEL = 31  # frames (0.72 s) and frequency bins (334 Hz)
BLOCK_FRAMES = 512  # separated at a time, 12 s: as fast as any
MASK_POWER = 2.0

MEL_BANDS = 96
LOWEST_HZ, HIGHEST_HZ = 27.5, 8000.0
RANGE_DB = 80.0

Floats = NDArray[np.float32]


def separate(waveform: Waveform) -> Iterator[tuple[Floats, Floats]]:
    """Separate a magnitude spectrogram, block by block.

    The blocks put together equal ``librosa.decompose.hpss(abs(librosa.stft(samples)))`` with the samples
    divided by their peak: a mask does not depend on level, and squares of very large or very small samples
    do not fit into float32. Memory does not grow with the recording.

    Parameters
    ----------
    waveform : Waveform
        At 22.05 kHz; another rate is resampled. At least 2048 samples (0.093 s).

    Yields
    ------
    harmonic : numpy.ndarray
        float32, shape [frames, frequencies]; frame i of the recording is centred at sample 512 i.
    percussive : numpy.ndarray
        Of the same shape.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    waveform = at_least_a_frame("harmonic_percussive", waveform, SAMPLE_RATE, FRAME_SIZE)
    sound = PeakNormalized(waveform)
    half = KERNEL // 2
    frames = 1 + len(waveform.samples) // HOP_SIZE
    for start in range(0, frames, BLOCK_FRAMES):
        end = min(start + BLOCK_FRAMES, frames)
        first, last = max(start - half, 0), min(end + half, frames)
        part = sound.part(first * HOP_SIZE - FRAME_SIZE // 2, (last - 1) * HOP_SIZE + FRAME_SIZE // 2)
        around = np.abs(backend.librosa.stft(part, n_fft=FRAME_SIZE, hop_length=HOP_SIZE, center=False)).T
        mirrored = np.pad(around, ((half - (start - first), half - (last - end)), (0, 0)), mode="symmetric")
        along_time = np.ascontiguousarray(_median_of_rows(np.ascontiguousarray(mirrored.T)).T)
        magnitude = np.ascontiguousarray(mirrored[half:-half])
        along_frequency = _median_of_rows(np.pad(magnitude, ((0, 0), (half, half)), mode="symmetric"))
        masks = (
            backend.librosa.util.softmask(one, other, power=MASK_POWER, split_zeros=True)
            for one, other in ((along_time, along_frequency), (along_frequency, along_time))
        )
        harmonic, percussive = (magnitude * mask for mask in masks)
        yield harmonic, percussive


def harmonic_and_percussive(waveform: Waveform) -> tuple[Floats, Floats]:
    """Split a recording into its harmonic and its percussive sound, which add up to it.

    The harmonic sound has the spectra of the recording at 22.05 kHz times the soft mask of `separate`; the
    percussive sound is the rest, so that everything above 11 kHz is in it.

    Parameters
    ----------
    waveform : Waveform
        At least 2048 samples at 22.05 kHz (0.093 s).

    Returns
    -------
    harmonic, percussive : numpy.ndarray
        float32, shape [samples], at the waveform's own rate.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    lowered = waveform.resample(SAMPLE_RATE)
    parts = [np.concatenate(part) for part in zip(*separate(lowered), strict=True)]
    mask = parts[0] / np.maximum(parts[0] + parts[1], np.finfo(np.float32).tiny)
    spectra = backend.librosa.stft(lowered.samples, n_fft=FRAME_SIZE, hop_length=HOP_SIZE)
    sound = backend.librosa.istft(spectra * mask.T, hop_length=HOP_SIZE, length=len(lowered.samples))
    back = Waveform(np.asarray(sound, np.float32), SAMPLE_RATE).resample(waveform.sample_rate).samples
    wanted = len(waveform.samples)
    harmonic = np.pad(back[:wanted], (0, max(0, wanted - len(back))))
    return harmonic, waveform.samples - harmonic


def _median_of_rows(padded: Floats) -> Floats:
    """Running median along the last axis, whose first and last ``KERNEL // 2`` values are margins.

    What ``scipy.ndimage.median_filter`` gives with a window of one row, to the bit, in a tenth of its
    time: only for one axis does scipy keep the window sorted, so the rows are put behind each other.
    """
    from scipy import ndimage

    half = KERNEL // 2
    medians: Floats = ndimage.median_filter(padded.ravel(), size=KERNEL).reshape(padded.shape)
    return medians[:, half:-half]


@feature_map("harmonic", "percussive", axis="hertz", unit="dB", sample_rate=SAMPLE_RATE, backend="librosa")
def harmonic_percussive(
    waveform: Waveform,
) -> tuple[tuple[Floats, Floats], NDArray[np.float64], NDArray[np.float64]]:
    """Mel spectrogram of the harmonic or percussive part by median filtering, in dB under the loudest bin.

    Each part of `separate` is squared and summed to 96 mel bands (Slaney's scale and area normalisation,
    27.5 Hz to 8 kHz); its level is in dB relative to the loudest band and frame of the whole recording (the
    square of the sum of both parts), cut off at -80. A gain changes nothing; silence is -80 throughout.

    Parameters
    ----------
    waveform : Waveform
        At 22.05 kHz; another rate is resampled. At least 2048 samples (0.093 s).

    Returns
    -------
    values : tuple of numpy.ndarray
        float32, shape [frames, 96], of the harmonic and of the percussive part.
    times_seconds : numpy.ndarray
        Centres of the frames: every 512 samples (23.2 ms) from the first sample on.
    bins : numpy.ndarray
        Centres of the mel bands in Hz.

    Raises
    ------
    FeatureError
        The waveform is too short.
    """
    bank = backend.librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=FRAME_SIZE, n_mels=MEL_BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ
    ).T
    blocks = [
        (harmonic**2 @ bank, percussive**2 @ bank, (harmonic + percussive) ** 2 @ bank)
        for harmonic, percussive in separate(waveform)
    ]
    harmonic, percussive, both = (np.concatenate(part) for part in zip(*blocks, strict=True))
    loudest = float(both.max())
    times_seconds = np.arange(len(both)) * (HOP_SIZE / SAMPLE_RATE)
    edges = backend.librosa.mel_frequencies(MEL_BANDS + 2, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
    values = _decibels(harmonic, loudest), _decibels(percussive, loudest)
    return values, times_seconds, np.asarray(edges[1:-1], np.float64)


def _decibels(power: Floats, loudest: float) -> Floats:
    floor = 10 ** (-RANGE_DB / 10)
    relative = power.astype(np.float64) / (loudest or 1.0)
    return np.asarray(10 * np.log10(np.maximum(relative, floor)), np.float32)


@feature(
    "harmonic_ratio",
    unit="",
    sample_rate=SAMPLE_RATE,
    backend="librosa",
    shortest_seconds=FRAME_SIZE / SAMPLE_RATE,
)
def harmonic_ratio(waveform: Waveform) -> float:
    """Share of the energy that the harmonic part by median filtering has, between 0 and 1.

    The sum of the squared harmonic magnitudes of `separate` over that of both parts; about 0.5 for noise.

    A waveform of under 2048 samples (0.093 s), and silence, is a `FeatureError`.
    """
    harmonic = percussive = 0.0
    try:
        for parts in separate(waveform):
            harmonic += float(np.sum(np.square(parts[0], dtype=np.float64)))
            percussive += float(np.sum(np.square(parts[1], dtype=np.float64)))
    except FeatureError as error:
        raise FeatureError("harmonic_ratio", error.reason) from error
    if not harmonic + percussive:
        raise FeatureError("harmonic_ratio", "silence is neither harmonic nor percussive")
    return harmonic / (harmonic + percussive)
