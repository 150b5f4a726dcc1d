"""Neurons against features: statistics with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from actprobe.analyses.neurons.similarity import neuron_similarity
from actprobe.analyses.neurons.table import NEURON_COLUMNS, median_seed, neuron_table
from actprobe.models.units import unit_means


def test_pearson_interval_and_p_against_scipy_one_neuron_at_a_time() -> None:
    rng = np.random.default_rng(0)
    feature = rng.standard_normal(40)
    activity = 0.5 * feature[:, np.newaxis] + rng.standard_normal((40, 6))
    found = neuron_similarity(activity, feature)
    for k in range(6):
        single = stats.pearsonr(activity[:, k], feature)
        assert found.r[k] == pytest.approx(single.statistic)
        assert found.p[k] == pytest.approx(single.pvalue)
        z, half = np.arctanh(single.statistic), stats.norm.ppf(0.975) / np.sqrt(37)
        assert found.r_low[k] == pytest.approx(np.tanh(z - half))
        assert found.r_high[k] == pytest.approx(np.tanh(z + half))


def test_benjamini_hochberg_by_hand() -> None:
    rng = np.random.default_rng(1)
    found = neuron_similarity(rng.standard_normal((30, 50)), rng.standard_normal(30))
    order = np.argsort(found.p)
    stepwise = found.p[order] * 50 / np.arange(1, 51)
    expected = np.minimum.accumulate(stepwise[::-1])[::-1]
    assert np.allclose(found.q[order], np.minimum(expected, 1))


def test_false_discoveries_among_pure_noise_stay_rare() -> None:
    rng = np.random.default_rng(2)
    runs = [neuron_similarity(rng.standard_normal((50, 200)), rng.standard_normal(50)) for _ in range(40)]
    assert np.mean([(run.q <= 0.05).any() for run in runs]) <= 0.15
    assert np.mean([run.p <= 0.05 for run in runs]) == pytest.approx(0.05, abs=0.01)


def test_interval_covers_the_true_correlation_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(100):
        feature = rng.standard_normal(40)
        activity = 0.6 * feature[:, np.newaxis] + 0.8 * rng.standard_normal((40, 30))
        found = neuron_similarity(activity, feature)
        covered.append((found.r_low <= 0.6) & (found.r_high >= 0.6))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_perfect_and_opposite_neurons() -> None:
    feature = np.arange(1.0, 11.0)
    found = neuron_similarity(np.stack([feature, 3 * feature, -feature], axis=1), feature)
    assert found.r == pytest.approx([1, 1, -1])
    assert found.l2 == pytest.approx([0, 0, 2], abs=1e-7)


def test_l2_is_between_vectors_of_length_one() -> None:
    found = neuron_similarity(np.array([[1.0, 0.0], [0.0, 5.0], [0.0, 0.0]]), np.array([2.0, 0.0, 0.0]))
    assert found.l2 == pytest.approx([0, np.sqrt(2)])


def test_constant_neurons_are_nan_and_marked_not_dropped() -> None:
    rng = np.random.default_rng(4)
    activity = rng.standard_normal((20, 3))
    activity[:, 1] = 0.25
    activity[:, 2] = 1 + 1e-8 * rng.standard_normal(20)
    found = neuron_similarity(activity, rng.standard_normal(20))
    assert found.constant.tolist() == [False, True, True]
    for column in (found.r, found.r_low, found.r_high, found.p, found.q):
        assert np.isnan(column).tolist() == [False, True, True]
    assert found.q[0] == pytest.approx(found.p[0])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_recordings_give_nan(n: int) -> None:
    found = neuron_similarity(np.arange(float(2 * n)).reshape(n, 2), np.arange(float(n)))
    assert np.isnan(found.r).all()
    assert found.n == n


def test_three_recordings_give_r_without_interval() -> None:
    found = neuron_similarity(np.array([[0.0], [1.0], [5.0]]), np.array([0.0, 1.0, 2.0]))
    assert np.isfinite(found.r[0])
    assert np.isnan(found.r_low[0])


def test_constant_feature_correlates_with_nothing() -> None:
    assert np.isnan(neuron_similarity(np.random.default_rng(5).standard_normal((9, 4)), np.ones(9)).r).all()


def test_recordings_without_the_feature_are_left_out() -> None:
    rng = np.random.default_rng(6)
    activity, feature = rng.standard_normal((12, 2)), rng.standard_normal(12)
    holed = feature.copy()
    holed[[3, 7]] = np.nan
    keep = ~np.isnan(holed)
    assert neuron_similarity(activity, holed).n == 10
    assert np.allclose(
        neuron_similarity(activity, holed).r, neuron_similarity(activity[keep], feature[keep]).r
    )


def test_activity_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        neuron_similarity(np.array([[np.nan], [1.0]]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="do not fit"):
        neuron_similarity(np.zeros((3, 2)), np.zeros(4))


values = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))


@given(
    hnp.arrays(np.float64, (8, 3), elements=values),
    hnp.arrays(np.float64, 8, elements=values),
    st.floats(0.1, 10),
    st.floats(-5, 5),
)
def test_r_is_bounded_and_ignores_scale_and_offset_of_the_feature(
    activity: Any, feature: Any, scale: Any, offset: Any
) -> None:
    found = neuron_similarity(activity, feature)
    finite = ~np.isnan(found.r)
    assert (np.abs(found.r[finite]) <= 1).all()
    assert (found.r_low[finite] <= found.r[finite] + 1e-12).all()
    assert (found.r_high[finite] >= found.r[finite] - 1e-12).all()
    assert (found.q[finite] >= found.p[finite] * (1 - 1e-12)).all()
    moved = neuron_similarity(activity, scale * feature + offset)
    both = finite & ~np.isnan(moved.r)
    assert np.allclose(moved.r[both], found.r[both], atol=1e-6)


def test_channels_are_averaged_over_their_map_without_loss() -> None:
    maps = np.ones((2, 1366, 96, 3), np.float32) * np.array([0.1, 1000.1, -7.3], np.float32)
    expected = np.array([0.1, 1000.1, -7.3], np.float32).astype(np.float64)
    assert np.allclose(unit_means(maps), expected, rtol=1e-12)
    units = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(unit_means(units), units)


def test_table_has_the_published_columns_and_every_neuron() -> None:
    rng = np.random.default_rng(7)
    activity = {"pool4": rng.standard_normal((10, 4)), "fc": rng.standard_normal((10, 2))}
    features = {"loudness": rng.standard_normal(10), "onset_rate": rng.standard_normal(10)}
    found = neuron_table("toy", activity, features)
    table = found.neurons
    assert tuple(table.columns) == NEURON_COLUMNS
    assert len(table) == len(found.detail) == (4 + 2) * 2
    row = table[(table.layer == "pool4") & (table.neuron == 2) & (table.feature == "onset_rate")].iloc[0]
    assert row.r == pytest.approx(stats.pearsonr(activity["pool4"][:, 2], features["onset_rate"]).statistic)
    assert table["p_max"].isna().all()
    assert table["r_random"].isna().all()
    assert found.layers["null_95"].isna().all()
    assert found.layers["above_null"].isna().all()
    keys = ["model", "layer", "neuron", "feature"]
    assert found.detail[keys].equals(table[keys])


def test_r_interval_p_q_and_ranks_equal_scipy_to_ten_digits_with_ties() -> None:
    rng = np.random.default_rng(8)
    feature = rng.integers(0, 9, 60).astype(float)
    activity = np.maximum(0, rng.standard_normal((60, 40)) + 0.1 * feature[:, np.newaxis])  # half are ties
    found = neuron_similarity(activity, feature)
    singles = [stats.pearsonr(activity[:, k], feature) for k in range(40)]
    ranks = [stats.spearmanr(activity[:, k], feature) for k in range(40)]
    intervals = [single.confidence_interval(0.95) for single in singles]
    exactly: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
    assert np.allclose(found.r, [single.statistic for single in singles], **exactly)
    assert np.allclose(found.p, [single.pvalue for single in singles], **exactly)
    assert np.allclose(found.r_low, [interval.low for interval in intervals], **exactly)
    assert np.allclose(found.r_high, [interval.high for interval in intervals], **exactly)
    assert np.allclose(
        found.q, stats.false_discovery_control([single.pvalue for single in singles]), **exactly
    )
    assert np.allclose(found.ranks.r, [rank.statistic for rank in ranks], **exactly)
    assert np.allclose(found.ranks.p, [rank.pvalue for rank in ranks], **exactly)


def test_a_memory_map_in_blocks_gives_what_an_array_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(9)
    activity, feature = rng.standard_normal((30, 70)).astype(np.float32), rng.standard_normal(30)
    whole = neuron_table("toy", {"fc": activity}, {"x": feature}, permutations=99)
    np.save(tmp_path / "fc.npy", activity)
    monkeypatch.setattr("actprobe.statistics.correlation.BLOCK_BYTES", 8 * 30 * 17)
    monkeypatch.setattr("actprobe.statistics.permutation.NEURONS_AT_ONCE", 17)
    monkeypatch.setattr("actprobe.statistics.permutation.UNITS_AT_ONCE", 7)
    mapped = np.load(tmp_path / "fc.npy", mmap_mode="r")
    found = neuron_table("toy", {"fc": mapped}, {"x": feature}, permutations=99)
    for mine, theirs in zip(vars(found).values(), vars(whole).values(), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, rtol=1e-12)


def test_partial_correlation_is_that_of_the_residuals_with_a_degree_of_freedom_less() -> None:
    rng = np.random.default_rng(10)
    other = rng.standard_normal(50)
    feature = other + rng.standard_normal(50)
    activity = other[:, np.newaxis] * rng.standard_normal(6) + rng.standard_normal((50, 6))
    found = neuron_table("toy", {"fc": activity}, {"x": feature, "z": other}, given="z")
    rows = found.detail[found.detail["feature"] == "x"]
    assert rows["given"].eq("z").all()

    def residual(values: Any) -> Any:
        design = np.column_stack([np.ones(50), other])
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    for k, row in enumerate(rows.itertuples()):
        r = stats.pearsonr(residual(activity[:, k]), residual(feature)).statistic
        xy, xz, yz = (
            stats.pearsonr(*pair).statistic
            for pair in ((activity[:, k], feature), (activity[:, k], other), (feature, other))
        )
        textbook = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
        assert row.r_partial == pytest.approx(r, abs=1e-10)
        assert row.r_partial == pytest.approx(textbook, abs=1e-10)
        t = textbook * np.sqrt((50 - 3) / (1 - textbook**2))
        assert row.p_partial == pytest.approx(2 * stats.t.sf(abs(t), 50 - 3), rel=1e-9)
    itself = found.detail[found.detail["feature"] == "z"]
    assert itself["r_partial"].isna().all()
    assert itself["given"].eq("").all()


def test_a_feature_that_is_the_given_one_in_other_words_leaves_nothing() -> None:
    rng = np.random.default_rng(11)
    other, activity = rng.standard_normal(20), rng.standard_normal((20, 3))
    activity[:, 1] = 3 - 2 * other
    assert np.isnan(neuron_similarity(activity, 5 * other + 1, given=other).given.r).all()
    left = neuron_similarity(activity, rng.standard_normal(20), given=other).given
    assert np.isnan(left.r).tolist() == [False, True, False]


def test_random_weights_give_the_median_seed_and_a_row_each() -> None:
    rng = np.random.default_rng(12)
    feature, activity = rng.standard_normal(40), rng.standard_normal((40, 5))
    seeds = [{"fc": rng.standard_normal((40, 5))} for _ in range(3)]
    seeds[0]["fc"][:, 4] = seeds[1]["fc"][:, 4] = seeds[2]["fc"][:, 4] = 1.0
    found = neuron_table("toy", {"fc": activity}, {"x": feature}, random_activity=seeds, permutations=99)
    by_seed = np.array([neuron_similarity(seed["fc"], feature).r for seed in seeds])
    for k in range(4):
        r = found.neurons["r_random"][k]
        assert r in by_seed[:, k]
        assert abs(r) == np.median(np.abs(by_seed[:, k]))
    assert np.isnan(found.neurons["r_random"][4])
    assert np.array_equal(found.detail["r_random_2"], by_seed[2], equal_nan=True)
    assert found.layers["weights"].tolist() == ["model", "random 0", "random 1", "random 2"]
    assert found.layers["constant"].tolist() == [0, 1, 1, 1]
    best = np.nanargmax(np.abs(by_seed), axis=1)
    assert found.layers["best_neuron"].tolist()[1:] == best.tolist()
    own = neuron_similarity(activity, feature).r
    assert found.layers["above_random"][0] == (np.abs(own) > np.nanmax(np.abs(by_seed))).sum()
    assert found.layers["above_random"][1:].isna().all()
    with pytest.raises(ValueError, match="random weights"):
        neuron_table("toy", {"fc": activity}, {"x": feature}, random_activity=[{"fc": activity[:, :3]}])


def test_of_an_even_number_of_seeds_the_weaker_of_the_middle_two_counts() -> None:
    seeds = np.array([[0.1, -0.5, np.nan], [-0.3, 0.2, np.nan], [0.2, 0.4, 0.6], [0.9, 0.1, np.nan]])
    assert median_seed(list(seeds)).tolist() == [0.2, 0.2, 0.6]


def test_a_layer_is_summed_up_by_its_best_neuron_and_what_is_beyond_chance() -> None:
    rng = np.random.default_rng(13)
    feature, activity = rng.standard_normal(40), rng.standard_normal((40, 30))
    activity[:, 7] = -feature + 0.3 * rng.standard_normal(40)
    activity[:, 8] = 0.0
    found = neuron_table("toy", {"fc": activity}, {"x": feature}, permutations=199, seed=3)
    row = found.layers.iloc[0]
    assert (row.best_neuron, row.neurons, row.constant, row.permutations) == (7, 30, 1, 199)
    assert row.best_r == found.neurons["r"][7]
    assert row.p_best == found.neurons["p_max"][7] == 1 / 200
    assert row.above_null == (found.neurons["p_max"] <= 0.05).sum()
    assert row.above_null == (found.neurons["r"].abs() > row.null_95).sum()
    assert row.discoveries == (found.neurons["q"] <= 0.05).sum()
    assert np.isnan(found.neurons["p_max"][8])


@pytest.mark.parametrize("units", [0, 2])
def test_nothing_to_compare_gives_rows_of_nan(units: int) -> None:
    activity = {"fc": np.arange(3.0 * units).reshape(units, 3)}
    found = neuron_table("toy", activity, {"x": np.arange(float(units))}, permutations=99, given="x")
    assert len(found.neurons) == 3
    assert found.neurons[["r", "p", "q", "p_max"]].isna().all(axis=None)
    assert found.layers["best_neuron"].isna().all()
