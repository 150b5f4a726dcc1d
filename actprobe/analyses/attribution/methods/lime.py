"""LIME: a linear model of the target on tiles of the excerpt that are there or not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.batches import values_of_variants
from actprobe.analyses.attribution.methods.method import Attribution, Doubles, Floats, Method, MethodSettings
from actprobe.errors import UsageError

KERNEL_WIDTH = 0.25
PENALTY = 1.0  # of the ridge regression, as in LIME's own program


class Lime(Method):
    """Weights of a ridge regression of T on random on/off patterns of tiles, near to the excerpt.

    Ribeiro, Singh and Guestrin: "Why should I trust you?", KDD 2016, equation 2 and algorithm 1; Mishra,
    Sturm and Dixon: Local interpretable model-agnostic explanations for music content analysis, ISMIR 2017
    (SoundLIME: tiles of time, of frequency, or of both). A tile that is off has the fill. A pattern whose
    share s of tiles is on counts exp(-d^2 / width^2), where d = 1 - sqrt(s) is its cosine distance to the
    whole excerpt. One fit has one set of patterns, the first with every tile on, the same for every excerpt.

    A tile's weight, averaged over the fits, is divided by the number of its bins, so that the bins of a tile
    add up to its weight. ``stability`` is the mean correlation of the weights of two fits.
    """

    name = "lime"
    uses_fill = True

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        super().__init__(explained, settings)
        frames, bands = explained.model.frontend.example_shape
        times, mels = settings.tiles_time, settings.tiles_frequency
        if times > frames or mels > bands:
            raise UsageError(
                f"method lime: {times} x {mels} tiles of examples of {frames} frames and {bands} bands"
            )
        rows, columns = np.arange(frames) * times // frames, np.arange(bands) * mels // bands
        self.tiles = rows[:, None] * mels + columns
        self.patterns = [self._patterns(seed) for seed in range(settings.lime_seeds)]
        self.similarities = [self._similarities(patterns) for patterns in self.patterns]

    def __call__(self, excerpts: Excerpts) -> Attribution:
        fits = np.stack([self.weights_of(excerpts, seed) for seed in range(len(self.patterns))])
        weights = fits.mean(axis=0)
        per_bin = weights / np.bincount(self.tiles.ravel())
        facts = {"stability": _agreement(fits)} if len(fits) > 1 else {}
        return Attribution(per_bin[:, self.tiles].astype(np.float32), facts)

    def weights_of(self, excerpts: Excerpts, seed: int) -> Doubles:
        """Fit the weights of tiles, float64 [excerpts, tiles], to one set of patterns."""
        from sklearn.linear_model import Ridge

        examples, fill, patterns = excerpts.examples, excerpts.fill, self.patterns[seed]

        def masked(excerpt: NDArray[np.int64], pattern: NDArray[np.int64]) -> Floats:
            return np.where(patterns[pattern][:, self.tiles], examples[excerpt], fill[excerpt])

        values = values_of_variants(self.explained, len(excerpts), len(patterns), masked)
        model = Ridge(alpha=PENALTY)
        model.fit(patterns.astype(np.float64), values.T, sample_weight=self.similarities[seed])
        return np.asarray(model.coef_, np.float64).reshape(len(excerpts), -1)

    def _patterns(self, seed: int) -> NDArray[np.bool_]:
        """Draw which tiles are on, [patterns, tiles]."""
        rng = np.random.default_rng([self.settings.seed, seed])
        patterns = rng.random((self.settings.lime_samples, self.tiles.max() + 1)) < 0.5
        patterns[0] = True
        return patterns

    def _similarities(self, patterns: NDArray[np.bool_]) -> Doubles:
        """Weigh patterns; UsageError where so few of them count that nothing can be fitted."""
        width = self.settings.kernel_width or KERNEL_WIDTH
        distances = 1 - np.sqrt(patterns.mean(axis=1))
        similarities = np.exp(-((distances / width) ** 2))
        effective = similarities.sum() ** 2 / (similarities**2).sum()
        if effective <= patterns.shape[1]:
            raise UsageError(
                f"method lime: of {len(patterns)} samples {effective:.0f} count, for {patterns.shape[1]} "
                f"tiles (kernel width {width:g}): take more samples, fewer tiles or a larger width"
            )
        return np.asarray(similarities, np.float64)


def _agreement(fits: Doubles) -> Doubles:
    """Correlate the weights of every two fits, [fits, excerpts, tiles]: their mean, [excerpts]."""
    centred = fits - fits.mean(axis=2, keepdims=True)
    lengths = np.linalg.norm(centred, axis=2)
    found = [
        (centred[i] * centred[j]).sum(axis=1) / np.maximum(lengths[i] * lengths[j], np.finfo(float).tiny)
        for i, j in combinations(range(len(fits)), 2)
    ]
    return np.asarray(np.mean(found, axis=0), np.float64)
