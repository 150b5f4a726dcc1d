"""Mel spectrograms to sound: what `FrontEnd.sound` does for front ends that give spectra.

A log-mel spectrogram has lost two things. Of the spectrum 80 bands are left for 372 bins: a spectrum without
negative values that has these bands is found by the multiplicative updates of Lee and Seung (NIPS 2000) for
the Kullback-Leibler divergence, which treat faint bands as well as loud ones. And it has no phase: one that
fits is estimated by the fast algorithm of Griffin and Lim (Perraudin, Balazs and Søndergaard 2013; librosa),
or that of the recording is taken, which makes it sound more like the recording than it is.

A front end that can be undone says how: `framing`, `to_power`, and `reference` for what it standardises away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.framing import Framing

UPDATES = 200
ITERATIONS = 64

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class _Undone(Protocol):
    """What has to be known of a front end."""

    def framing(self) -> Framing: ...

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> Doubles: ...


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound that was made of an example or of a span of them.

    - `samples`: float32 [samples], at the front end's rate
    - `error_db`: how far its bands lie from those that it was made for, see `Sonifier.error_db`; None where
      nothing had to be estimated
    """

    samples: Floats = field(repr=False)
    error_db: float | None = None


def checked(values: NDArray[Any], bands: int) -> Doubles:
    """Give what is to be made audible as float64 [time, bands]; a UsageError where it has no sound."""
    found = np.asarray(values, np.float64)
    if found.ndim != 2 or found.shape[1] != bands or not len(found):
        raise UsageError(f"what is made audible has shape [time, {bands}], not {list(found.shape)}")
    if not np.isfinite(found).all():
        raise UsageError("what holds NaN or infinity has no sound")
    return found


class Sonifier:
    """Turns examples of a front end that has `framing` and `to_power` back into sound.

    UsageError where it is not known how to undo the front end.
    """

    def __init__(self, frontend: _Undone) -> None:
        self.frontend = frontend
        self.framing = frontend.framing()

    def bands(self, mel_spectrogram: NDArray[Any], reference: Any = None) -> Doubles:
        """Undo normalisation and logarithm of a mel spectrogram [time, mel].

        float64 [time, mel]: what the filter bank gave, no louder than a full-scale sound can be.
        ``reference`` is what `FrontEnd.reference` gave of the recording. UsageError: another shape, not
        finite, or without a reference that the front end needs.
        """
        return self.frontend.to_power(checked(mel_spectrogram, self.framing.bank.shape[1]), reference)

    def magnitudes(self, bands: Doubles) -> Doubles:
        """Find non-negative magnitudes, [time, n_fft // 2 + 1], that have these bands, [time, mel]."""
        from scipy import sparse  # feature processes do without it

        bank, framing = self.framing.bank, self.framing
        reach = bank.sum(axis=1)
        reached = np.flatnonzero(reach > 0)
        # A bin is in few of the bands.
        part = sparse.csr_array(bank[reached])
        back = sparse.csr_array(bank[reached].T / reach[reached])
        # Begin with every band spread evenly over its triangle.
        area = np.maximum(bank.sum(axis=0), 1e-300)
        spectrum = (bands / area) @ back
        for _ in range(UPDATES):
            made = spectrum @ part
            spectrum *= (bands / np.maximum(made, 1e-300)) @ back
        found = np.zeros((len(bands), framing.n_fft // 2 + 1))
        found[:, reached] = spectrum ** (1 / framing.power)
        return found

    def spectra(self, samples: Floats) -> NDArray[np.complex128]:
        """Compute the spectra of a sound, with those of some frames around it.

        ``samples`` are what the frames span. complex128 [time + 2 around, bins]; before and after lies
        `Framing.pad_mode`.
        """
        framing = self.framing
        frames = (len(samples) - framing.samples_of(1)) // framing.hop + 1
        whole = (frames + 2 * framing.around - 1) * framing.hop + framing.n_fft
        before = framing.before
        longer = np.pad(
            np.asarray(samples, np.float64),
            (before, max(whole - before - len(samples), 0)),
            mode=framing.pad_mode,
        )[:whole]
        found = backend.librosa.stft(
            longer, n_fft=framing.n_fft, hop_length=framing.hop, win_length=len(framing.window),
            window=framing.window, center=False,
        )  # fmt: skip
        return np.asarray(found.T, np.complex128)

    def analyse(self, samples: Floats) -> Doubles:
        """Compute the bands of a sound, [time, mel], as the front end does, before the logarithm."""
        framing = self.framing
        spectra = np.abs(self.spectra(samples)[framing.around : -framing.around])
        return np.asarray(spectra[:, : len(framing.bank)] ** framing.power @ framing.bank)

    def sound(
        self,
        bands: Doubles,
        *,
        phase_of: Floats | None = None,
        iterations: int = ITERATIONS,
        seed: int = 0,
    ) -> Floats:
        """Make a sound that has these bands, float64 [time, mel], as `bands` gives them.

        ``phase_of``, float32 [samples], is a sound whose phase is taken, as long as the frames; by default a
        phase is estimated by ``iterations`` of the algorithm of Griffin and Lim, from one that ``seed``
        decides. float32 [samples].
        """
        framing = self.framing
        around = framing.around
        # Where few frames overlap, dividing by the window blows the sound up: that is put outside.
        magnitudes = np.pad(self.magnitudes(bands), ((around, around), (0, 0)), mode="edge").T
        options: dict[str, Any] = {
            "hop_length": framing.hop, "win_length": len(framing.window), "n_fft": framing.n_fft,
            "window": framing.window, "center": False,
        }  # fmt: skip
        if phase_of is None:
            longer = backend.librosa.griffinlim(magnitudes, n_iter=iterations, random_state=seed, **options)
        else:
            angles = np.angle(self.spectra(phase_of)).T
            if angles.shape != magnitudes.shape:
                raise UsageError("the sound whose phase is wanted is not as long as the mel spectrogram")
            return self._samples(magnitudes * np.exp(1j * angles), len(bands))
        return self._cut(longer, len(bands))

    def masked(self, mask: Doubles, samples: Floats) -> Floats:
        """Multiply the spectra of a sound by a mask of its bands, [time, mel], and keep its phase.

        A bin gets the mean of the mask over the bands that it belongs to, by their weights; a bin that
        belongs to none is silent. float32, as long as the frames of the mask.
        """
        bank, framing = self.framing.bank, self.framing
        reach = bank.sum(axis=1)
        share = np.divide(mask @ bank.T, reach, out=np.zeros((len(mask), len(bank))), where=reach > 0)
        spectra = self.spectra(samples)
        inner = len(spectra) - 2 * framing.around
        if inner != len(mask):
            raise UsageError(f"a mask of {len(mask)} frames does not fit a sound of {inner}")
        around = np.pad(share, ((framing.around, framing.around), (0, 0)), mode="edge")
        spectra = spectra[:, : len(bank)] * around
        spectra = np.pad(spectra, ((0, 0), (0, framing.n_fft // 2 + 1 - len(bank))))
        return self._samples(spectra.T, len(mask))

    def _samples(self, spectra: NDArray[np.complex128], frames: int) -> Floats:
        """Go back from spectra [bins, time + 2 around] to the samples that the frames span."""
        framing = self.framing
        longer = backend.librosa.istft(
            spectra, hop_length=framing.hop, win_length=len(framing.window), n_fft=framing.n_fft,
            window=framing.window, center=False,
        )  # fmt: skip
        return self._cut(longer, frames)

    def _cut(self, longer: NDArray[Any], frames: int) -> Floats:
        """Cut what frames span out of the longer sound."""
        wanted = self.framing.samples_of(frames)
        found = np.asarray(longer[self.framing.before :][:wanted], np.float32)
        return np.pad(found, (0, wanted - len(found)))

    def error_db(self, bands: Doubles, samples: Floats) -> float:
        """Measure how far the bands of a sound are from the wanted ``bands``, float64 [time, mel].

        Root mean square of the difference in dB; what lies further under the loudest of the wanted bands than
        `Framing.range_db` counts as there. 0 for silence.
        """
        loudest = float(bands.max())
        if loudest <= 0:
            return 0.0
        floor = loudest * 10 ** (-self.framing.range_db * self.framing.power / 20)
        wanted, found = (np.log10(np.maximum(each, floor)) for each in (bands, self.analyse(samples)))
        return float(20 / self.framing.power * np.sqrt(np.mean(np.square(wanted - found))))
