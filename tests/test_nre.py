"""The normalised reconstruction error is the published one; draws, normaliser, intervals do as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import bootstrap

from actprobe.analyses.inversion.evaluation.baselines import BASELINES, baseline
from actprobe.analyses.inversion.evaluation.nre import errors_of, nre, pair_sums, sample_excerpts
from actprobe.errors import UsageError
from actprobe.models import load_model
from actprobe.statistics.intervals import percentile_interval, ratio, resample

excerpts_of_any_kind = arrays.arrays(
    np.float64, st.tuples(st.integers(2, 7), st.just(3), st.just(2)), elements=st.floats(-50, 50, width=32)
).filter(lambda x: pdist(x.reshape(len(x), -1)).mean() > 1e-3)


@pytest.fixture(scope="module")
def golden_excerpts(assets: Path) -> NDArray[Any]:
    """The 16 excerpts of d_nre.json: 8 of each of two recordings, in float64."""
    model = load_model(
        "svd",
        checkpoint=assets / "golden/svd_random.npz",
        normalization=assets / "originals/svd/jamendo_meanstd.npz",
    )
    with (
        np.load(assets / "golden/inputs_jazzpiano.npz") as piano,
        np.load(assets / "golden/c_frontend_synthetic.npz") as synthetic,
    ):
        sounds = [piano["pcm_int16_22050"], synthetic["pcm_int16"]]
    starts = json.loads((assets / "golden/d_nre.json").read_text())["starts"]
    frames = [model.frontend.frames((sound / 32768).astype(np.float32)) for sound in sounds]
    values: NDArray[Any] = np.concatenate([[each[k : k + 115] for k in starts] for each in frames]).astype(
        np.float64
    )
    return values


def test_nre_is_that_of_the_original_program(assets: Path, golden_excerpts: Any) -> None:
    golden = json.loads((assets / "golden/d_nre.json").read_text())
    inverted = np.maximum(0.8 * golden_excerpts + 0.05, -1)  # the recipe that the golden file states
    assert nre(golden_excerpts, inverted) == pytest.approx(golden["NRE"], rel=1e-12, abs=0)
    owners = np.repeat([0, 1], 8)
    between = pair_sums(golden_excerpts, owners, 2).normaliser()
    assert between == pytest.approx(golden["N"], rel=1e-12, abs=0)


@given(excerpts_of_any_kind)
@settings(max_examples=60, deadline=None)
def test_nre_is_the_formula_and_0_for_perfect_inversions(excerpts: Any) -> None:
    assert nre(excerpts, excerpts) == 0
    flat = excerpts.reshape(len(excerpts), -1)
    mean = np.broadcast_to(excerpts.mean(axis=0), excerpts.shape)
    expected = np.linalg.norm(flat - flat.mean(axis=0), axis=1).mean() / pdist(flat).mean()
    assert nre(excerpts, mean) == pytest.approx(expected, rel=1e-9)
    assert nre(excerpts, excerpts + 1) == pytest.approx(np.sqrt(6) / pdist(flat).mean(), rel=1e-9)


@given(excerpts_of_any_kind, st.floats(0.01, 100), st.floats(-10, 10))
@settings(max_examples=40, deadline=None)
def test_nre_does_not_depend_on_the_unit_of_level(excerpts: Any, scale: Any, offset: Any) -> None:
    inverted = 0.5 * excerpts
    assert nre(scale * excerpts + offset, scale * inverted + offset) == pytest.approx(
        nre(excerpts, inverted), rel=1e-7
    )


@given(excerpts_of_any_kind, st.data())
@settings(max_examples=60, deadline=None)
def test_distances_are_summed_by_recording(excerpts: Any, data: Any) -> None:
    owners = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(excerpts), max_size=len(excerpts))))
    between = squareform(pdist(excerpts.reshape(len(excerpts), -1)))
    found = pair_sums(excerpts, owners, 5)
    for i in range(5):
        for j in range(5):
            assert found.sums[i, j] == pytest.approx(
                between[np.ix_(owners == i, owners == j)].sum(), abs=1e-4
            )
    count = len(excerpts)
    assert found.normaliser() == pytest.approx(between.sum() / (count * (count - 1)), rel=1e-6)


def test_neighbouring_excerpts_that_are_nearly_alike_keep_their_small_distance() -> None:
    """The product of the norms would swallow it."""
    excerpts = np.full((3, 4, 4), 1e4)
    excerpts[0] = -1e4
    excerpts[2] += 1e-6
    found = pair_sums(excerpts, np.array([0, 1, 2]), 3)
    assert found.sums[1, 2] == pytest.approx(4e-6, rel=1e-5)
    assert pair_sums(excerpts[[1, 1]], np.array([0, 1]), 2).normaliser() == 0


def test_copies_of_a_recording_make_no_pair() -> None:
    rng = np.random.default_rng(0)
    excerpts, owners = rng.standard_normal((9, 3, 2)), np.repeat([0, 1, 2], 3)
    sums = pair_sums(excerpts, owners, 3)
    assert sums.normaliser(np.array([2, 2, 2])) > sums.normaliser() * 0.99
    alone = pair_sums(excerpts[:3], owners[:3], 1).normaliser()
    assert sums.normaliser(np.array([3, 0, 0])) == pytest.approx(float(alone), rel=1e-12)
    one_each = pair_sums(excerpts[::3], np.array([0, 1, 2]), 3)
    assert np.isnan(one_each.normaliser(np.array([3, 0, 0])))
    stacked = sums.normaliser(np.array([[1, 1, 1], [3, 0, 0]]))
    assert stacked == pytest.approx([float(sums.normaliser()), float(alone)])


def test_no_nre_without_two_different_excerpts_or_with_another_shape() -> None:
    with pytest.raises(UsageError, match="no two of which differ"):
        nre(np.zeros((1, 3, 2)), np.zeros((1, 3, 2)))
    with pytest.raises(UsageError, match="no two of which differ"):
        nre(np.ones((4, 3, 2)), np.zeros((4, 3, 2)))
    with pytest.raises(UsageError, match="differ in shape"):
        errors_of(np.zeros((2, 3, 2)), np.zeros((2, 2, 3)))


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_draw_takes_some_excerpts_and_none_twice(
    count: Any, draws: Any, per_recording: Any, seed: Any
) -> None:
    found = sample_excerpts(count, 3, draws=draws, per_recording=per_recording, seed=seed)
    assert len(found) == draws
    for each in found:
        assert len(each) == len(set(each.tolist())) == min(count, per_recording)
        assert ((each >= 0) & (each < count)).all()


def test_draws_are_seeded_and_differ_between_draws_and_recordings() -> None:
    one, same = (sample_excerpts(500, 0, seed=4) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert len({tuple(each) for each in one}) == 10
    for other in (sample_excerpts(500, 1, seed=4), sample_excerpts(500, 0, seed=5)):
        assert not np.array_equal(one[0], other[0])
    every = np.concatenate(sample_excerpts(20, 0, draws=400, per_recording=1, seed=0))
    assert np.bincount(every, minlength=20).min() > 5  # the last start is drawn as the first is
    with pytest.raises(UsageError, match="at least 1"):
        sample_excerpts(5, 0, draws=0)


# Intervals


def test_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=40)
    weights = resample(40, resamples=20_000, seed=0)
    low, high = percentile_interval(ratio(weights, values, np.ones(40)), 40)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_interval_over_recordings_covers_the_truth_where_one_over_excerpts_does_not() -> None:
    """30 recordings of 8 excerpts that resemble one another; the truth is 0."""
    rng = np.random.default_rng(7)
    weights = resample(30, resamples=400, seed=0)
    narrow = resample(240, resamples=400, seed=0)
    covered = too_narrow = 0
    for _ in range(200):
        values = rng.standard_normal((30, 1)) + 0.3 * rng.standard_normal((30, 8))
        low, high = percentile_interval(ratio(weights, values.sum(axis=1), np.full(30, 8.0)), 30)
        covered += low <= 0 <= high
        low, high = percentile_interval(ratio(narrow, values.ravel(), np.ones(240)), 240)
        too_narrow += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99
    assert too_narrow / 200 < 0.7


def test_resamples_are_seeded_and_there_is_no_interval_of_two_recordings() -> None:
    assert np.array_equal(resample(9, seed=3), resample(9, seed=3))
    assert (resample(9, resamples=50).sum(axis=1) == 9).all()
    assert np.isnan(percentile_interval(np.arange(100.0), 2)).all()
    assert np.isnan(percentile_interval(np.full(100, np.nan), 9)).all()
    assert np.isnan(ratio(np.array([[0.0, 1.0]]), np.array([1.0, 1.0]), np.array([1.0, 0.0]))[0])


# Baselines


def test_baselines_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    excerpts = rng.normal(size=(5, 4, 3)).astype(np.float32)
    mean = excerpts.mean(axis=0)
    made = {name: baseline(name, excerpts, mean) for name in BASELINES}
    assert all(each.shape == excerpts.shape and each.dtype == np.float32 for each in made.values())
    assert not made["zero"].any()
    assert np.allclose(made["mean excerpt"], mean)
    assert np.allclose(made["excerpt level"][2], excerpts[2].mean())
    assert np.allclose(made["excerpt spectrum"][1, 3], excerpts[1].mean(axis=0))
    assert made["elu floor"].min() == -1
    assert np.array_equal(made["elu floor"] > -1, excerpts > -1)
    with pytest.raises(UsageError, match="no baseline"):
        baseline("best", excerpts, mean)
