"""Augmentations of a spectrogram: time stretch, pitch shift, random filter, levels.

After section 4 of Schlüter and Grill: Exploring data augmentation for improved singing voice detection with
neural networks, ISMIR 2015, where stretch and shift of up to 30 % and random filters of up to 10 dB did best.
All work on magnitude spectrograms. The pitch shift costs nothing: the mel filter bank is warped instead of
the spectrogram, and a filter on the frequency axis is a sum once the logarithm is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.frontends.logmel import BINS, FLOOR, MAX_HZ, MELS, MIN_HZ, filter_bank

Floats = NDArray[np.float32]

SHIFT_STEPS = 61
FILTER_CENTRE_HZ = (150.0, 8000.0)
FILTER_WIDTH_SEMITONES = (5.0, 7.0)


def decibels(db: float) -> np.float32:
    """Give the factor for amplitudes of a level in decibels."""
    return np.float32(10 ** (db / 20))


def stretch(frames: Floats, positions: NDArray[np.float64]) -> Floats:
    """Interpolate a spectrogram [frames, bins] linearly at fractional positions in time.

    ``positions`` [wanted] are in frames, from 0 to the last. float32 [wanted, bins].
    """
    before = np.minimum(positions.astype(np.int64), len(frames) - 1)
    after = np.minimum(before + 1, len(frames) - 1)
    part = (positions - before).astype(np.float32)[:, None]
    return np.asarray(frames[before] * (1 - part) + frames[after] * part, np.float32)


def shift_factors(largest: float, steps: int = SHIFT_STEPS) -> NDArray[np.float64]:
    """Give the pitch shifts there are filter banks for, as factors of frequency, ascending.

    The largest change is such as 0.3 for 30 % up or down; an odd number of steps has no shift among them.
    """
    return 1.0 + np.linspace(-largest, largest, steps)


def shifted_filter_banks(factors: NDArray[np.float64]) -> Floats:
    """Warp the mel filter bank by factors of frequency (2 is an octave up), so that pitch seems shifted.

    float32 [factors, 372, 80]. Bin k moves to bin k times the factor; what would come from above the last bin
    is the last bin.
    """
    bank = filter_bank()
    banks = np.zeros((len(factors), *bank.shape), np.float32)
    moved_to = np.arange(BINS)
    for i, factor in enumerate(factors):
        source = np.minimum(moved_to / factor, BINS - 1.0)
        before = np.minimum(source.astype(np.int64), BINS - 2)
        part = source - before
        warp = np.zeros((BINS, BINS))
        np.add.at(warp, (before, moved_to), 1 - part)
        np.add.at(warp, (before + 1, moved_to), part)
        banks[i] = warp @ bank
    return banks


def filter_gains_db(rng: np.random.Generator, largest_db: float, hz: NDArray[np.float64]) -> Floats:
    """Sample a random filter: a Gaussian bump or dip on the logarithmic frequency axis.

    Its height is at most ``largest_db`` either way, its centre 150 to 8000 Hz, its width 5 to 7 semitones.
    float32 dB at the frequencies ``hz``.
    """
    height = rng.uniform(-largest_db, largest_db)
    low, high = np.log2(FILTER_CENTRE_HZ)
    centre = rng.uniform(low, high)
    width = rng.uniform(*FILTER_WIDTH_SEMITONES) / 12
    octaves = np.log2(hz)
    return np.asarray(height * np.exp(-0.5 * ((octaves - centre) / width) ** 2), np.float32)


def band_centres_hz() -> NDArray[np.float64]:
    """Give the centres of the mel bands in Hz, shape [80]."""
    low, high = 1127 * np.log1p(MIN_HZ / 700), 1127 * np.log1p(MAX_HZ / 700)
    mel = np.linspace(low, high, MELS + 2)[1:-1]
    return np.asarray(700 * np.expm1(mel / 1127), np.float64)


def log_mel_frames(magnitudes: Floats, bank: Floats) -> Floats:
    """Apply a filter bank [372, 80] to magnitudes [frames, 372] and take logarithms.

    float32 [frames, 80], natural logarithms no lower than ln(1e-7).
    """
    return np.asarray(np.log(np.maximum(magnitudes @ bank, np.float32(FLOOR))), np.float32)
