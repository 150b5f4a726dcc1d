"""A correlation and what chance reaches do not depend on the unit that a feature or a neuron is given in."""

from __future__ import annotations

import numpy as np
import pytest

from actprobe.statistics.clusters import Clusters
from actprobe.statistics.correlation import partial, pearson
from actprobe.statistics.permutation import best_of_k

RNG = np.random.default_rng(0)
X, Y, Z = RNG.normal(size=(60, 5)), RNG.normal(size=60), RNG.normal(size=60)


@pytest.mark.parametrize("clusters", [None, Clusters(np.arange(60) // 6)])
@pytest.mark.parametrize(("neuron", "feature"), [(1, 1e-300), (1e-300, 1), (1, 1e300), (1e-200, 1e-200)])
def test_scale_changes_nothing(clusters: Clusters | None, neuron: float, feature: float) -> None:
    x, y = X * neuron, Y * feature
    for found, expected in (
        (pearson(x, y, clusters), pearson(X, Y, clusters)),
        (partial(x, y, Z * feature, clusters), partial(X, Y, Z, clusters)),
    ):
        for name, values in vars(expected).items():
            np.testing.assert_allclose(getattr(found, name), values, rtol=1e-9, err_msg=name)
    best = best_of_k(x, y, clusters=clusters, permutations=99)
    other = best_of_k(X, Y, clusters=clusters, permutations=99)
    np.testing.assert_allclose(best.maxima, other.maxima, rtol=1e-9)
