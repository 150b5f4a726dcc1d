"""Sounds of which one property is set and everything else stays, for tuning curves.

A `Scene` is what all sounds of one variant share: their length, and a seed for timbre, base pitch, phases and
noise. Each function takes a scene and the value of one property and gives float64 samples, shape [length]; a
scene's random numbers do not depend on that value. All sounds have the same root mean square, `LEVEL_DBFS`,
over their whole length (`at_level`), unless the level is what is set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.synthesis import HIGHEST_PARTIAL, edge_fade, hertz, hi_hat, kick, noise_band, snare

Samples = NDArray[np.float64]

LEVEL_DBFS = -34.0  # root mean square; a single hit in a second stays below full scale
BACKGROUND_DB = 40.0  # a sound over the noise beneath it
EDGE_SECONDS = 0.005  # fade at both ends
PARTIALS = 20
CHORD = (0, 7, -8, 4, -5, 12, -12, 16)  # semitones from the base pitch, in the order in which notes join
# Means of men's vowels, first three formants in Hz (Peterson and Barney, JASA 24, 1952, table II), and a
# fourth; bandwidths as in Klatt, JASA 67, 1980.
VOWELS = ((270, 2290, 3010), (530, 1840, 2480), (730, 1090, 2440), (570, 840, 2410), (300, 870, 2240))
FOURTH_FORMANT = 3500
BANDWIDTHS = (60.0, 90.0, 150.0, 200.0)
HIGHEST_VOICE = 5000.0  # Hz


@dataclass(frozen=True)
class Scene:
    """What the sounds of one variant share.

    ``length`` in samples, ``sample_rate`` in Hz, ``key``: the seed, and what tells the variant from others.
    """

    length: int
    sample_rate: int
    key: tuple[int, ...]

    @property
    def rng(self) -> np.random.Generator:
        """A generator of random numbers, which begins anew each time."""
        return np.random.default_rng(self.key)

    @property
    def seconds(self) -> Samples:
        """Times of the samples."""
        return np.arange(self.length) / self.sample_rate


def at_level(sound: Samples, dbfs: float = LEVEL_DBFS) -> Samples:
    """Bring a sound to a root mean square in dB of full scale; silence stays what it is."""
    rms = np.sqrt(np.mean(np.square(sound)))
    return np.asarray(sound * (10 ** (dbfs / 20) / rms)) if rms > 0 else sound


def steady_tone(scene: Scene, level: float = LEVEL_DBFS) -> Samples:
    """Make a harmonic tone over soft noise of a level in dBFS, both together."""
    rng = scene.rng
    return at_level(_over_noise(scene, rng, _tone(scene, rng, _middle_pitch(rng))), level)


def tone_of_pitch(scene: Scene, pitch: float) -> Samples:
    """Make a harmonic tone of a fundamental frequency in Hz, up to 20 partials with a slope of 4 to 10 dB."""
    return at_level(_tone(scene, scene.rng, pitch))


def vowel_of_pitch(scene: Scene, pitch: float) -> Samples:
    """Sing a vowel at a fundamental frequency in Hz; its formants stay where they are."""
    return at_level(_vowel(scene, scene.rng, pitch))


def onsets(scene: Scene, rate: float) -> Samples:
    """Repeat one short hit, half noise and half tone, so many times a second."""
    rng = scene.rng
    hit = _hit(scene, rng)
    first = rng.uniform(0.05, 0.5) / rate
    return _over_noise(scene, rng, _repeated(scene, hit, first, 1 / rate))


def drum_pattern(scene: Scene, tempo: float) -> Samples:
    """Play bass drum, snare drum and hi-hat in eighths at a tempo in beats per minute."""
    rng = scene.rng
    return _over_noise(scene, rng, _drums(scene, rng, tempo))


def harmonic_and_hits(scene: Scene, ratio: float) -> Samples:
    """Mix a steady chord with hits: level of the chord over that of the hits in dB."""
    rng = scene.rng
    chord = _chord(scene, rng, 3)
    hits = _repeated(scene, _hit(scene, rng), rng.uniform(0.02, 0.1), 1 / rng.uniform(3, 6))
    return mixed(chord, hits, ratio)


def noise_of_width(scene: Scene, width: float) -> Samples:
    """Make a band of noise of a width in Hz around 900 to 1100 Hz."""
    rng = scene.rng
    return at_level(_band(scene, rng, rng.uniform(900, 1100), width))


def noise_at(scene: Scene, centre: float) -> Samples:
    """Make a band of noise 150 to 250 Hz wide around a frequency in Hz."""
    rng = scene.rng
    return at_level(_band(scene, rng, centre, rng.uniform(150, 250)))


def noise_modulated(scene: Scene, rate: float) -> Samples:
    """Modulate the amplitude of white noise wholly by a sine of a rate in Hz."""
    rng = scene.rng
    return at_level(rng.standard_normal(scene.length) * _modulation(scene, rng, rate, 1.0))


def noise_modulated_by(scene: Scene, depth: float) -> Samples:
    """Modulate the amplitude of white noise by a depth between 0 and 1, at 4 to 16 Hz."""
    rng = scene.rng
    noise = rng.standard_normal(scene.length)
    return at_level(noise * _modulation(scene, rng, 2 ** rng.uniform(2, 4), depth))


def vibrato_of_rate(scene: Scene, rate: float) -> Samples:
    """Make a harmonic tone with a vibrato of a rate in Hz, 100 cents to either side."""
    rng = scene.rng
    return at_level(_tone(scene, rng, _middle_pitch(rng), (rate, 100.0)))


def vibrato_of_depth(scene: Scene, depth: float) -> Samples:
    """Make a harmonic tone with a vibrato of a depth in cents to either side, at 4.5 to 6.5 Hz."""
    rng = scene.rng
    return at_level(_tone(scene, rng, _middle_pitch(rng), (rng.uniform(4.5, 6.5), depth)))


def tone_in_noise(scene: Scene, ratio: float) -> Samples:
    """Mix a harmonic tone with white noise: level of the tone over that of the noise in dB."""
    rng = scene.rng
    return mixed(_tone(scene, rng, _middle_pitch(rng)), rng.standard_normal(scene.length), ratio)


def chord(scene: Scene, notes: float) -> Samples:
    """Play so many notes of equal level together."""
    return at_level(_chord(scene, scene.rng, int(notes)))


def voice_over(scene: Scene, ratio: float) -> Samples:
    """Mix a sung vowel with chord and drums: level of the voice over that of the rest in dB."""
    rng = scene.rng
    voice = _vowel(scene, rng, float(hertz(rng.uniform(50, 69))), (rng.uniform(4.5, 6.5), 40.0))
    rest = at_level(_chord(scene, rng, 3)) + at_level(_drums(scene, rng, rng.uniform(80, 140)))
    return mixed(voice, rest, ratio)


def mixed(one: Samples, other: Samples, ratio: float) -> Samples:
    """Mix two sounds, the first so many dB over the second, to `LEVEL_DBFS`."""
    return at_level(at_level(one, ratio / 2) + at_level(other, -ratio / 2))


def _over_noise(scene: Scene, rng: np.random.Generator, sound: Samples) -> Samples:
    """Put soft noise under a sound: the logarithm of the silence in it would outweigh the sound itself."""
    return mixed(sound, rng.standard_normal(scene.length), BACKGROUND_DB)


def _middle_pitch(rng: np.random.Generator) -> float:
    return float(hertz(rng.uniform(52, 67)))


def _faded(scene: Scene, sound: Samples) -> Samples:
    edge = int(EDGE_SECONDS * scene.sample_rate)
    return np.asarray(sound * edge_fade(scene.length, edge, edge))


def _harmonics(
    scene: Scene, pitch: float, weights: NDArray[np.complex128], vibrato: tuple[float, float]
) -> Samples:
    """Add up partials, powers of one complex oscillation; vibrato is a rate in Hz and a depth in cents."""
    rate, depth = vibrato
    bent = np.exp2(depth / 1200 * np.sin(2 * np.pi * rate * scene.seconds))
    step = np.exp(2j * np.pi * pitch / scene.sample_rate * np.cumsum(bent))
    total = np.zeros(scene.length, np.complex128)
    for weight in weights[::-1]:
        total += weight
        total *= step
    return _faded(scene, total.imag)


def _partials(scene: Scene, pitch: float, highest: float, vibrato: tuple[float, float]) -> int:
    """Count the partials below a frequency in Hz, at least one."""
    return max(1, int(highest / (pitch * 2 ** (vibrato[1] / 1200))))


def _tone(
    scene: Scene, rng: np.random.Generator, pitch: float, vibrato: tuple[float, float] = (0.0, 0.0)
) -> Samples:
    return _tone_of(scene, _timbre(rng), pitch, vibrato)


def _timbre(rng: np.random.Generator) -> tuple[float, NDArray[np.float64]]:
    """Choose how fast partials fall, and their phases."""
    return rng.uniform(0.7, 1.7), rng.uniform(0, 2 * np.pi, PARTIALS)


def _tone_of(
    scene: Scene,
    timbre: tuple[float, NDArray[np.float64]],
    pitch: float,
    vibrato: tuple[float, float] = (0.0, 0.0),
) -> Samples:
    slope, phases = timbre
    count = min(PARTIALS, _partials(scene, pitch, HIGHEST_PARTIAL * scene.sample_rate, vibrato))
    weights = np.arange(1, count + 1) ** -slope * np.exp(1j * phases[:count])
    return _harmonics(scene, pitch, weights, vibrato)


def _vowel(
    scene: Scene, rng: np.random.Generator, pitch: float, vibrato: tuple[float, float] = (0.0, 0.0)
) -> Samples:
    """Additive source and filter: a source falling by 6 dB an octave once radiated, times four resonances."""
    formants = (*VOWELS[int(rng.integers(len(VOWELS)))], FOURTH_FORMANT)
    size, phase = rng.uniform(1.0, 1.2), rng.uniform(0, 2 * np.pi)
    highest = min(HIGHEST_PARTIAL * scene.sample_rate, HIGHEST_VOICE)
    harmonics = np.arange(1, _partials(scene, pitch, highest, vibrato) + 1)
    frequencies = harmonics * pitch
    weights = np.exp(1j * phase) / harmonics
    for formant, width in zip(formants, BANDWIDTHS, strict=True):
        centre = formant * size
        weights = weights * centre**2 / (centre**2 - frequencies**2 + 1j * width * size * frequencies)
    return _harmonics(scene, pitch, weights, vibrato)


def _chord(scene: Scene, rng: np.random.Generator, notes: int) -> Samples:
    base = rng.uniform(57, 62)
    timbres = [_timbre(rng) for _ in CHORD]  # of all: a note sounds the same whatever joins it
    tones = [
        at_level(_tone_of(scene, timbre, float(hertz(base + step))), 0.0)
        for timbre, step in zip(timbres[:notes], CHORD, strict=False)
    ]
    return np.asarray(np.sum(tones, axis=0))


def _hit(scene: Scene, rng: np.random.Generator) -> Samples:
    """Make a hit whose amplitude falls to a third within 20 to 30 ms."""
    decay = rng.uniform(0.02, 0.03)
    times = np.arange(int(4 * decay * scene.sample_rate)) / scene.sample_rate
    low = rng.uniform(200, 800)
    noise = at_level(noise_band(rng, len(times), scene.sample_rate, low, 6 * low), 0.0)
    tone = np.sqrt(2) * np.sin(2 * np.pi * rng.uniform(150, 400) * times)
    edges = edge_fade(len(times), int(0.001 * scene.sample_rate), int(0.01 * scene.sample_rate))
    return np.asarray((noise + tone) * np.exp(-times / decay) * edges)


def _repeated(scene: Scene, hit: Samples, first: float, every: float) -> Samples:
    sound = np.zeros(scene.length + len(hit))
    for start in np.arange(first, scene.length / scene.sample_rate, every):
        place = int(start * scene.sample_rate)
        sound[place : place + len(hit)] += hit
    return sound[: scene.length]


def _drums(scene: Scene, rng: np.random.Generator, tempo: float) -> Samples:
    bass, snares, hats = (make(rng, scene.sample_rate) for make in (kick, snare, hi_hat))
    beat, first = 60 / tempo, rng.uniform(0.0, 0.05)
    hits = ((bass, first, 2 * beat), (snares, first + beat, 2 * beat), (0.5 * hats, first, beat / 2))
    return np.asarray(np.sum([_repeated(scene, *each) for each in hits], axis=0))


def _band(scene: Scene, rng: np.random.Generator, centre: float, width: float) -> Samples:
    """Cut a band out of the spectrum of one white noise, so that bands of one scene share their noise."""
    spectrum = np.fft.rfft(rng.standard_normal(scene.length))
    frequencies = np.fft.rfftfreq(scene.length, 1 / scene.sample_rate)
    inside = np.abs(frequencies - centre) <= width / 2
    return np.asarray(np.fft.irfft(spectrum * inside, scene.length))


def _modulation(scene: Scene, rng: np.random.Generator, rate: float, depth: float) -> Samples:
    phase = rng.uniform(0, 2 * np.pi)
    return np.asarray(1 + depth * np.sin(2 * np.pi * rate * scene.seconds + phase))
