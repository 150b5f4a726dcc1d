"""Constant-Q transform, octave by octave, as nnAudio's ``CQT2010v2`` computes it.

Schörkhuber and Klapuri: Constant-Q transform toolbox for music processing, SMC 2010: one set of kernels, that
of the top octave, serves all octaves, since the sound is halved in rate from each to the next lower one. The
order of operations is that of nnAudio (MIT) in the version of basic-pitch 0.4.0 (Apache-2.0), in single
precision, so that values are equal to the last bit: kernels and low-pass are correlated in the time domain,
ends are mirrored for the kernels and zero for the low-pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin2, get_window

from actprobe import backend

LOWPASS_TAPS = 256
HALVED_AT_ONCE = 16  # samples: a vector register full, nine times as fast as one by one
TRANSITION = 1.001  # of the low-pass: from a quarter of the rate divided by it to a quarter times it


@dataclass(frozen=True)
class ConstantQ:
    """Magnitudes of a constant-Q transform.

    - `sample_rate`: Hz
    - `hop`: samples between frames, divisible by 2 for every octave but one
    - `fmin`: Hz, centre of the lowest bin
    - `bins`, `bins_per_octave`: how many, geometrically spaced
    """

    sample_rate: int
    hop: int
    fmin: float
    bins: int
    bins_per_octave: int

    @property
    def octaves(self) -> int:
        """Octaves that are computed, the lowest perhaps in part."""
        return -(-self.bins // self.bins_per_octave)

    @property
    def quality(self) -> float:
        """Centre frequency by bandwidth."""
        return float(1 / (2 ** (1 / self.bins_per_octave) - 1))

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Centres of the bins, float64 [bins], Hz."""
        return np.asarray(self.fmin * 2.0 ** (np.r_[0 : self.bins] / float(self.bins_per_octave)))

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Samples that each bin sees but for the low-pass, float64 [bins], whole numbers."""
        return np.asarray(np.ceil(self.quality * self.sample_rate / self.frequencies))

    @cached_property
    def kernels(self) -> NDArray[np.complex64]:
        """Kernels of the top octave, complex64 [bins_per_octave, taps], of absolute sum 1."""
        within = (self.bins - 1) % self.bins_per_octave
        highest = self.fmin * 2 ** (self.octaves - 1) * 2 ** (within / self.bins_per_octave)
        lowest = highest / 2 ** (1 - 1 / self.bins_per_octave)
        frequencies = lowest * 2.0 ** (np.r_[0 : self.bins_per_octave] / float(self.bins_per_octave))
        lengths = np.ceil(self.quality * self.sample_rate / frequencies)
        taps = int(2 ** np.ceil(np.log2(lengths[0])))
        found = np.zeros((self.bins_per_octave, taps), np.complex64)
        for kernel, frequency, length in zip(found, frequencies, lengths, strict=True):
            steps = np.r_[-length // 2 : length // 2]
            wave = np.exp(steps * 1j * 2 * np.pi * frequency / self.sample_rate)
            wave = get_window("hann", int(length), fftbins=True) * wave / length
            start = int(np.ceil(taps / 2.0 - length / 2.0)) - int(length % 2)
            kernel[start : start + int(length)] = wave / np.linalg.norm(wave, 1)
        return found

    @cached_property
    def lowpass(self) -> NDArray[np.float32]:
        """Filter before every halving of the rate, float32 [256]."""
        edges = [0.0, 0.5 / TRANSITION, 0.5 * TRANSITION, 1.0]
        return np.asarray(firwin2(LOWPASS_TAPS, edges, [1.0, 1.0, 0.0, 0.0]), np.float32)

    def graph(self, samples: Any) -> Any:
        """Transform float32 [batch, samples] to magnitudes, float32 [batch, frames, bins].

        Frame k is centred on sample k * `hop`.
        """
        tf = backend.tf
        octaves, sound, hop = [self._octave(samples, self.hop)], samples, self.hop
        for _ in range(self.octaves - 1):
            hop //= 2
            sound = self._halved(sound)
            octaves.insert(0, self._octave(sound, hop))
        found = tf.concat(octaves, axis=2)[:, :, -self.bins :]
        found *= tf.math.sqrt(tf.constant(self.lengths.reshape(-1, 1), tf.float32))
        return tf.math.sqrt(tf.math.reduce_sum(tf.math.pow(found, 2), axis=-1))

    def _octave(self, sound: Any, hop: int) -> Any:
        """Correlate with the kernels: [batch, samples] -> [batch, frames, bins_per_octave, 2]."""
        tf, taps = backend.tf, self.kernels.shape[1]
        padded = tf.pad(sound, [[0, 0], [taps // 2, taps // 2]], "REFLECT")[..., tf.newaxis]
        parts = [
            tf.nn.conv1d(padded, np.ascontiguousarray(part.T)[:, np.newaxis], hop, "VALID")
            for part in (self.kernels.real, self.kernels.imag)
        ]
        return tf.stack(parts, axis=-1)

    def _halved(self, sound: Any) -> Any:
        """Halve the rate, some samples at once: [batch, samples] -> [batch, samples // 2]."""
        tf, zeros, at_once = backend.tf, (LOWPASS_TAPS - 1) // 2, HALVED_AT_ONCE
        wanted = sound.shape[1] // 2
        steps = -(-wanted // at_once)
        padded = tf.pad(sound, [[0, 0], [zeros, zeros + 2 * (steps * at_once - wanted)]])[..., tf.newaxis]
        moved = [np.pad(self.lowpass, (2 * by, 2 * (at_once - 1 - by))) for by in range(at_once)]
        kernel = np.stack(moved, axis=-1)[:, np.newaxis]
        found = tf.nn.conv1d(padded, kernel, 2 * at_once, "VALID")
        return tf.reshape(found, (-1, steps * at_once))[:, :wanted]
