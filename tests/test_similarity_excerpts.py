"""Excerpts of one recording are not independent: p-values, intervals and chance levels that hold for them."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from actprobe.analyses.neurons.similarity import neuron_similarity
from actprobe.analyses.neurons.table import neuron_table
from actprobe.statistics.clusters import Clusters
from actprobe.statistics.correlation import pearson
from actprobe.statistics.permutation import BestOfK, best_of_k, permuted_units

SIZES = {
    "as many of each": [10] * 20,
    "one to forty of each": np.random.default_rng(0).integers(1, 40, 30).tolist(),
    "one recording with most": [150, *([8] * 29)],
}


def music(rng: np.random.Generator, sizes: list[int], neurons: int) -> NDArray[Any]:
    """Excerpts that resemble their neighbours (0.8) and share half their variance with the recording."""
    parts = []
    for size in sizes:
        course = lfilter([1], [1, -0.8], rng.standard_normal((size + 40, neurons)), axis=0)[40:]
        parts.append(0.6 * course + rng.standard_normal(neurons))
    return np.concatenate(parts)


def marks(sizes: list[int]) -> NDArray[Any]:
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_unrelated_excerpts_reach_a_p_of_5_percent_no_more_often_than_that(sizes: list[int]) -> None:
    rng = np.random.default_rng(1)
    clusters = Clusters(marks(sizes))
    honest, blind, extreme, covered = [], [], [], []
    for _ in range(60):
        x, y = music(rng, sizes, 40), music(rng, sizes, 1)[:, 0]
        found = pearson(x, y, clusters)
        honest.append(found.p <= 0.05)
        extreme.append(found.p <= 0.001)
        blind.append(pearson(x, y).p <= 0.05)
        related = pearson(0.5 * y[:, np.newaxis] + np.sqrt(0.75) * x, y, clusters)
        covered.append((related.low <= 0.5) & (related.high >= 0.5))
    assert np.mean(honest) <= 0.065
    assert np.mean(extreme) <= 0.002
    assert np.mean(covered) >= 0.93
    assert np.mean(blind) > 0.4  # what the formula for independent units would have said


def test_unrelated_excerpts_are_tested_at_the_rate_named_where_recordings_are_alike() -> None:
    rng = np.random.default_rng(2)
    sizes = SIZES["as many of each"]
    clusters = Clusters(marks(sizes))
    rates = [
        np.mean(pearson(music(rng, sizes, 40), music(rng, sizes, 1)[:, 0], clusters).p <= 0.05)
        for _ in range(150)
    ]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.012)


def test_discoveries_among_unrelated_excerpts_stay_rare() -> None:
    rng = np.random.default_rng(3)
    sizes = SIZES["one to forty of each"]
    groups = marks(sizes)
    false = [
        (neuron_similarity(music(rng, sizes, 50), music(rng, sizes, 1)[:, 0], groups=groups).q <= 0.05).any()
        for _ in range(60)
    ]
    assert sum(false) <= stats.binom.ppf(0.99, 60, 0.05)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_best_of_k_is_beaten_by_chance_no_more_often_than_5_percent(sizes: list[int]) -> None:
    rng = np.random.default_rng(4)
    clusters = Clusters(marks(sizes))
    beaten = []
    for i in range(80):
        x, y = music(rng, sizes, 20), music(rng, sizes, 1)[:, 0]
        best = best_of_k(x, y, clusters=clusters, permutations=39, seed=i)
        beaten.append((best.p(pearson(x, y).r) <= 0.05).any())
    assert sum(beaten) <= stats.binom.ppf(0.99, 80, 0.05)


def test_a_neuron_that_follows_within_recordings_is_found() -> None:
    rng = np.random.default_rng(5)
    sizes = SIZES["one to forty of each"]
    x, y = music(rng, sizes, 30), music(rng, sizes, 1)[:, 0]
    x[:, 11] += 1.5 * y
    table = neuron_table("toy", {"fc": x}, {"y": y}, groups=marks(sizes), permutations=199).neurons
    assert table["r"].abs().idxmax() == 11
    assert table["q"][11] < 0.01
    assert table["p_max"][11] == 1 / 200


def test_what_all_recordings_share_by_position_is_no_finding() -> None:
    """All recordings fade in, and so does the neuron: the same course in each proves nothing."""
    rng = np.random.default_rng(6)
    sizes = [10] * 30
    fade = np.tile(np.linspace(0, 1, 10), 30)
    y = fade + 0.1 * rng.standard_normal(300)
    x = fade[:, np.newaxis] + 0.1 * rng.standard_normal((300, 5))
    table = neuron_table("toy", {"fc": x}, {"y": y}, groups=marks(sizes), permutations=99).neurons
    assert (table["r"] > 0.8).all()
    assert (table["p"] > 0.05).all()
    assert (table["p_max"] > 0.05).all()


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3, 3], [1, 4, 2, 6, 3], [7, 1, 1, 9, 2]])
def test_effective_number_is_that_of_all_permutations_of_the_recordings(sizes: list[int]) -> None:
    """The closed form against every one of the 120 orders."""
    rng = np.random.default_rng(7)
    groups = marks(sizes)
    x, y = music(rng, sizes, 4), music(rng, sizes, 1)[:, 0]
    x, y = x - x.mean(axis=0), y - y.mean()
    place = np.concatenate([np.arange(size) for size in sizes])
    firsts = np.cumsum(sizes) - sizes
    products, lengths = [], []
    for order in itertools.permutations(range(5)):
        source = np.array(order)[groups]
        dealt = y[firsts[source] + place % np.array(sizes)[source]]
        products.append(dealt @ x / np.linalg.norm(x, axis=0))
        lengths.append(np.square(dealt - dealt.mean()).sum())
    expected = 1 + np.mean(lengths) / np.mean(np.square(products), axis=0)
    found = pearson(x, y, Clusters(groups)).n_effective
    assert np.allclose(found, np.minimum(expected, len(y)))


def test_recordings_of_one_excerpt_are_independent_units() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((25, 3)), rng.standard_normal(25)
    alone = neuron_similarity(x, y)
    grouped = neuron_similarity(x, y, groups=rng.permutation(25))
    assert np.array_equal(grouped.p, alone.p)
    assert grouped.n_effective.tolist() == [25.0] * 3
    twice = neuron_similarity(np.repeat(x, 2, axis=0), np.repeat(y, 2), groups=np.repeat(np.arange(25), 2))
    assert (twice.n, twice.recordings) == (50, 25)
    assert np.allclose(twice.r, alone.r)
    assert np.allclose(twice.n_effective, 25)  # the same excerpt twice is worth one
    assert np.allclose(twice.p, alone.p)
    assert np.allclose(twice.r_low, alone.r_low)


def test_three_recordings_have_r_and_no_p() -> None:
    rng = np.random.default_rng(9)
    found = neuron_similarity(rng.standard_normal((30, 2)), rng.standard_normal(30), groups=marks([10] * 3))
    assert np.isfinite(found.r).all()
    assert np.isnan(found.p).all()
    assert np.isnan(found.r_low).all()


def test_excerpts_without_the_feature_are_left_out_of_their_recordings() -> None:
    rng = np.random.default_rng(10)
    sizes = [6] * 12
    groups = marks(sizes)
    x, y = music(rng, sizes, 3), music(rng, sizes, 1)[:, 0]
    y[::5] = np.nan
    y[groups == 4] = np.nan
    keep = ~np.isnan(y)
    found = neuron_table("toy", {"fc": x}, {"y": y}, groups=groups, permutations=99)
    kept = neuron_table("toy", {"fc": x[keep]}, {"y": y[keep]}, groups=groups[keep], permutations=99)
    assert found.detail["recordings"].eq(11).all()
    assert found.neurons.equals(kept.neurons)


def test_recordings_are_dealt_out_whole() -> None:
    groups = np.array([7, 7, 7, 2, 2, 2, 5, 5, 5])
    parts = list(permuted_units(9, Clusters(groups), 50, np.random.default_rng(0)))
    source = np.concatenate([part for _, part in parts], axis=1)
    assert [sorted(row) for row in source.tolist()] == [list(range(9))] * 50
    for row in source:
        for start in (0, 3, 6):
            assert row[start] % 3 == 0
            assert row[start : start + 3].tolist() == list(range(row[start], row[start] + 3))


def test_a_longer_course_is_cut_off_and_a_shorter_one_begun_anew() -> None:
    groups = np.array([0, 0, 0, 0, 0, 1, 1])
    parts = list(permuted_units(7, Clusters(groups), 40, np.random.default_rng(0)))
    rows = {tuple(row) for row in np.concatenate([part for _, part in parts], axis=1).tolist()}
    assert rows == {(0, 1, 2, 3, 4, 5, 6), (5, 6, 5, 6, 5, 0, 1)}


def test_p_max_counts_the_true_order_among_the_permutations() -> None:
    best = BestOfK(np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(10_001, np.int64))
    assert best.p(np.array([0.5, -0.35, 0.3, 0.0, np.nan])).tolist()[:4] == [0.2, 0.4, 0.6, 1.0]
    assert np.isnan(best.p(np.array([np.nan]))[0])
    assert np.isnan(best.null_95)
    assert np.isnan(BestOfK(np.empty(0), np.zeros(10_001, np.int64)).p(np.array([0.3]))[0])


def test_maxima_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((20, 6)).astype(np.float32), rng.standard_normal(20)
    x[:, 2] = 4.0
    found = best_of_k(x, y, permutations=30, seed=5)
    orders = np.random.default_rng([5, 0]).permuted(np.broadcast_to(np.arange(20), (30, 20)), axis=1)
    use = [0, 1, 3, 4, 5]
    loop = [max(abs(stats.pearsonr(x[:, k], y[order]).statistic) for k in use) for order in orders]
    assert np.allclose(found.maxima, np.sort(loop), atol=1e-6)
    everything = np.abs([[stats.pearsonr(x[:, k], y[order]).statistic for k in use] for order in orders])
    for step in (0, 1500, 3000, 5000, 10_000):
        assert found.beyond[step] == (everything >= step / 10_000).sum()


def test_false_discovery_rate_by_permutation_is_the_part_expected_by_chance() -> None:
    """Two permutations; beyond 0.5 there are 3 by chance, beyond 0.7 one."""
    beyond = np.zeros(10_001, np.int64)
    beyond[:7001], beyond[:5001] = 1, 3
    found = BestOfK(np.array([0.5, 0.7]), beyond).q(np.array([0.5, -0.7, np.nan, 0.9]))
    assert found[3] == pytest.approx((0 + 1) / 3 / 1)
    assert found[1] == pytest.approx(min((1 + 2) / 3 / 2, 1))
    assert found[0] == pytest.approx((3 + 3) / 3 / 3)
    assert np.isnan(found[2])


def test_where_a_few_recordings_stand_out_the_formula_fails_and_permutations_do_not() -> None:
    """Loudness and rectified activations are skewed; independent log-normal ones are taken here."""
    rng = np.random.default_rng(12)
    formula, permuted, best, ranks = [], [], [], []
    for i in range(60):
        x, y = np.exp(1.5 * rng.standard_normal((44, 100))), np.exp(1.5 * rng.standard_normal(44))
        found = neuron_table("noise", {"fc": x}, {"y": y}, permutations=99, seed=i)
        formula.append(found.layers["discoveries"][0] > 0)
        permuted.append(found.layers["discoveries_permuted"][0] > 0)
        best.append(found.layers["above_null"][0] > 0)
        ranks.append((found.detail["spearman_q"] <= 0.05).any())
    bound = stats.binom.ppf(0.99, 60, 0.05)
    assert sum(permuted) <= bound
    assert sum(best) <= bound
    assert sum(ranks) <= bound
    assert sum(formula) > 5 * bound
