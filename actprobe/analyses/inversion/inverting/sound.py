"""Sonograms to sound: what an inversion sounds like.

A log-mel sonogram has lost two things. Of the spectrum 80 bands are left for 372 bins: a spectrum without
negative values that has these bands is found by the multiplicative updates of Lee and Seung (NIPS 2000) for
the Kullback-Leibler divergence, which treat faint bands as well as loud ones. And it has no phase: one that
fits is looked for by the fast algorithm of Griffin and Lim (Perraudin, Balazs and Søndergaard 2013; librosa),
or the recording's own is taken; that makes a sonogram sound more like the recording than it is.

All four front ends can be undone. What a front end standardises away has to be given back: CNN-AT's melgram
that is standardised by its own mean and deviation needs those, from the recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import (
    FrontEnd,
    MelgramFrontEnd,
    MmCnnFrontEnd,
    SvdFrontEnd,
    VggishFrontEnd,
    logmel,
    melgram,
    vggish,
)
from actprobe.provenance import atomic_path

__all__ = ["Framing", "Sonifier", "write_wav"]

UPDATES = 200
ITERATIONS = 64
RANGE_DB = 60.0
LOUDEST = 0.99

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Framing:
    """How a front end cuts sound into spectra.

    Parameters
    ----------
    sample_rate : int
        Hz.
    n_fft : int
        Length of the Fourier transform.
    hop : int
        Samples between frames.
    window : numpy.ndarray
        float64, shape [frame_length].
    centred : bool
        Whether frame k is centred on sample k hop, the recording mirrored at its ends, or begins there.
    bank : numpy.ndarray
        float64, shape [bins, mel]; bins above those of the bank are empty.
    power : int
        1 if the bank takes magnitudes, 2 if it takes their squares.
    range_db : float
        What lies further under the loudest band is not compared; a melgram holds 40 dB and no more.
    """

    sample_rate: int
    n_fft: int
    hop: int
    window: Doubles = field(repr=False)
    centred: bool
    bank: Doubles = field(repr=False)
    power: int
    range_db: float = RANGE_DB

    @property
    def around(self) -> int:
        """Frames that have a sample in common with one; so many are put on either side."""
        return -(-self.n_fft // self.hop)

    @property
    def before(self) -> int:
        """Samples of the longer sound that lie before the first of the sound itself."""
        late = self.n_fft // 2 if self.centred else (self.n_fft - len(self.window)) // 2
        return self.around * self.hop + late

    def samples_of(self, frames: int) -> int:
        """Count the samples that frames span.

        Parameters
        ----------
        frames : int
            How many.

        Returns
        -------
        int
            From the beginning of the first to the end of the last, or from centre to centre.
        """
        return (frames - 1) * self.hop + (0 if self.centred else len(self.window))


class Sonifier:
    """Turns examples of a front end back into sound.

    Parameters
    ----------
    frontend : FrontEnd
        One of the four front ends of the networks.

    Raises
    ------
    UsageError
        A front end of which is not known how to undo it.
    """

    def __init__(self, frontend: FrontEnd) -> None:
        self.frontend = frontend
        self.framing = _framing(frontend)

    def standardisation(self, samples: Floats) -> tuple[float, float]:
        """Give what CNN-AT's front end takes out of an example, its mean and deviation in decibels.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [349440]: what the example was made of.

        Returns
        -------
        mean, std : float
            Of the melgram; 0 and 1 for the other front ends, which take nothing out of their own.
        """
        if not isinstance(self.frontend, MelgramFrontEnd):
            return 0.0, 1.0
        if self.frontend.standardisation is not None:
            return self.frontend.standardisation
        decibels = self.frontend.decibels(np.asarray(samples, np.float32)[np.newaxis]).numpy()
        return float(decibels.mean()), float(decibels.std())

    def bands(self, sonogram: NDArray[Any], standardisation: tuple[float, float] | None = None) -> Doubles:
        """Undo normalisation and logarithm.

        Parameters
        ----------
        sonogram : numpy.ndarray
            Shape [time, mel], in the front end's units.
        standardisation : tuple of float, optional
            Mean and deviation that CNN-AT's front end took out, see `standardisation`.

        Returns
        -------
        numpy.ndarray
            float64, shape [time, mel]: what the filter bank gave, no louder than a full-scale sound can be.

        Raises
        ------
        UsageError
            A sonogram of another shape or not finite, or of CNN-AT without its standardisation.
        """
        values = np.asarray(sonogram, np.float64)
        bank, front_end = self.framing.bank, self.frontend
        if values.ndim != 2 or values.shape[1] != bank.shape[1] or not len(values):
            raise UsageError(f"a sonogram has shape [time, {bank.shape[1]}], not {list(values.shape)}")
        if not np.isfinite(values).all():
            raise UsageError("a sonogram with NaN or infinity has no sound")
        loudest = bank.sum(axis=0) * self.framing.window.sum() ** self.framing.power
        ceiling = np.log(np.maximum(loudest, 1e-300))
        if isinstance(front_end, SvdFrontEnd):
            logs = values / front_end.inverse_std.astype(np.float64) + front_end.mean
            found = np.where(logs <= np.log(logmel.FLOOR), 0.0, np.exp(np.minimum(logs, ceiling)))
            return np.asarray(found, np.float64)
        if isinstance(front_end, VggishFrontEnd):
            heard = np.maximum(np.exp(np.minimum(values, ceiling)) - vggish.LOG_OFFSET, 0.0)
            return np.asarray(heard, np.float64)
        if isinstance(front_end, MelgramFrontEnd):
            if standardisation is None and front_end.standardisation is None:
                raise UsageError("CNN-AT's melgram was standardised by its own mean and deviation: give them")
            mean, std = standardisation or front_end.standardisation or (0.0, 1.0)
            values = values * std + mean
        elif isinstance(front_end, MmCnnFrontEnd) and front_end.mean is not None:
            values = values + front_end.mean
        logs = values * (np.log(10) / 20)  # decibels of squared power
        found = np.where(values <= 10 * np.log10(melgram.AMIN), 0.0, np.exp(np.minimum(logs, ceiling)))
        return np.asarray(found, np.float64)

    def magnitudes(self, bands: Doubles) -> Doubles:
        """Find a non-negative spectrum that has these bands.

        Parameters
        ----------
        bands : numpy.ndarray
            float64, shape [time, mel], as `bands` gives them.

        Returns
        -------
        numpy.ndarray
            float64, shape [time, n_fft // 2 + 1], magnitudes.
        """
        bank, framing = self.framing.bank, self.framing
        reach = bank.sum(axis=1)
        heard = np.flatnonzero(reach > 0)
        part = bank[heard]
        # Begin with every band spread evenly over its triangle.
        area = np.maximum(part.sum(axis=0), 1e-300)
        spectrum = (bands / area) @ part.T / part.sum(axis=1)
        for _ in range(UPDATES):
            made = spectrum @ part
            spectrum *= (bands / np.maximum(made, 1e-300)) @ part.T / part.sum(axis=1)
        found = np.zeros((len(bands), framing.n_fft // 2 + 1))
        found[:, heard] = spectrum ** (1 / framing.power)
        return found

    def spectra(self, samples: Floats) -> NDArray[np.complex128]:
        """Compute the spectra of a sound, with those of some frames around it.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], what the frames span.

        Returns
        -------
        numpy.ndarray
            complex128, shape [time + 2 around, bins]; before and after the sound it is mirrored.
        """
        framing = self.framing
        frames = (len(samples) - framing.samples_of(1)) // framing.hop + 1
        whole = (frames + 2 * framing.around - 1) * framing.hop + framing.n_fft
        before = framing.before
        longer = np.pad(
            np.asarray(samples, np.float64), (before, max(whole - before - len(samples), 0)), mode="reflect"
        )[:whole]
        found = backend.librosa.stft(
            longer, n_fft=framing.n_fft, hop_length=framing.hop, win_length=len(framing.window),
            window=framing.window, center=False,
        )  # fmt: skip
        return np.asarray(found.T, np.complex128)

    def analyse(self, samples: Floats) -> Doubles:
        """Compute the bands of a sound as the front end does, before the logarithm.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples].

        Returns
        -------
        numpy.ndarray
            float64, shape [time, mel].
        """
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
        """Make a sound that has these bands.

        Parameters
        ----------
        bands : numpy.ndarray
            float64, shape [time, mel], as `bands` gives them.
        phase_of : numpy.ndarray, optional
            float32, shape [samples]: a sound whose phase is taken, as long as the frames; by default a phase
            is looked for.
        iterations : int, optional
            Of the algorithm of Griffin and Lim.
        seed : int, optional
            Of the phase it begins with.

        Returns
        -------
        numpy.ndarray
            float32, shape [samples].
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
                raise UsageError("the sound whose phase is wanted is not as long as the sonogram")
            longer = backend.librosa.istft(magnitudes * np.exp(1j * angles), **options)
        wanted = framing.samples_of(len(bands))
        found = np.asarray(longer[framing.before :][:wanted], np.float32)
        return np.pad(found, (0, wanted - len(found)))

    def error_db(self, bands: Doubles, samples: Floats) -> float:
        """Say how far the bands of a sound lie from those it was to have.

        Parameters
        ----------
        bands : numpy.ndarray
            float64, shape [time, mel], what it was to have.
        samples : numpy.ndarray
            float32, shape [samples], the sound.

        Returns
        -------
        float
            Root mean square of the difference in dB; what lies further under the loudest of the wanted
            bands than `Framing.range_db` counts as there. 0 for silence.
        """
        loudest = float(bands.max())
        if loudest <= 0:
            return 0.0
        floor = loudest * 10 ** (-self.framing.range_db * self.framing.power / 20)
        wanted, found = (np.log10(np.maximum(each, floor)) for each in (bands, self.analyse(samples)))
        return float(20 / self.framing.power * np.sqrt(np.mean(np.square(wanted - found))))


def _framing(frontend: FrontEnd) -> Framing:
    if isinstance(frontend, SvdFrontEnd):
        bank = np.asarray(logmel.filter_bank(), np.float64)
        window = np.hanning(logmel.FRAME_LENGTH)
        return Framing(frontend.sample_rate, logmel.FRAME_LENGTH, frontend.frame_hop, window, False, bank, 1)
    if isinstance(frontend, VggishFrontEnd):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(vggish.FRAME_LENGTH) / vggish.FRAME_LENGTH)
        bank = vggish.vggish_mel_matrix()
        return Framing(frontend.sample_rate, vggish.N_FFT, frontend.frame_hop, window, False, bank, 1)
    if isinstance(frontend, MelgramFrontEnd | MmCnnFrontEnd):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(melgram.N_FFT) / melgram.N_FFT)
        bank = np.asarray(melgram.mel_matrix(), np.float64)
        depth = melgram.TOP_DB / 2
        return Framing(frontend.sample_rate, melgram.N_FFT, frontend.frame_hop, window, True, bank, 2, depth)
    raise UsageError(f"it is not known how to undo the front end {frontend.name}: no sound can be made")


def write_wav(path: Path, samples: Floats, sample_rate: int) -> float:
    """Write a sound as 16-bit wav, made softer if it would clip.

    Parameters
    ----------
    path : Path
        The file to be.
    samples : numpy.ndarray
        float32, shape [samples].
    sample_rate : int
        Hz.

    Returns
    -------
    float
        What it was multiplied by.
    """
    peak = float(np.max(np.abs(samples), initial=0.0))
    gain = LOUDEST / peak if peak > LOUDEST else 1.0
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples * gain, sample_rate, subtype="PCM_16", format="WAV")
    return gain
