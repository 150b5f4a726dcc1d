"""Comparing networks over the same recordings: partners of units, and kernel alignment of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from actprobe.statistics.alignment import ALIGNMENT_COLUMNS, align_units
from actprobe.statistics.cka import CKA_COLUMNS, cka_table, linear_cka


def textbook_cka(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Kornblith et al. (2019), equations 2 and 3, kernels and centring matrix written out."""
    n = len(x)
    centring = np.eye(n) - np.full((n, n), 1 / n)

    def hsic(a: Any, b: Any) -> Any:
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring) / (n - 1) ** 2

    return float(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)))


def textbook_debiased(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Nguyen et al. (2021), equation 3: Song's unbiased estimator, kernels without their diagonals."""
    n, one = len(x), np.ones(len(x))

    def hsic(a: Any, b: Any) -> Any:
        k, ell = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(ell, 0)
        middle = (one @ k @ one) * (one @ ell @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ ell) + middle - 2 / (n - 2) * (one @ k @ ell @ one)) / (n * (n - 3))

    return float(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)))


@pytest.mark.parametrize(("neurons_a", "neurons_b"), [(3, 7), (60, 5), (80, 90)])
@pytest.mark.parametrize("small", [1024, 0], ids=["products of units", "products of neurons"])
def test_both_estimates_equal_the_textbook(
    neurons_a: int, neurons_b: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actprobe.statistics.cka.SMALL", small)
    monkeypatch.setattr("actprobe.statistics.correlation.BLOCK_BYTES", 1)  # blocks of 16 neurons
    rng = np.random.default_rng(0)
    x = 3 + rng.standard_normal((40, neurons_a))
    y = x @ rng.standard_normal((neurons_a, neurons_b)) + 5 * rng.standard_normal((40, neurons_b)) - 1
    found = linear_cka(x, y)
    assert found.cka == pytest.approx(textbook_cka(x, y), abs=1e-10)
    assert found.debiased == pytest.approx(textbook_debiased(x, y), abs=1e-10)


def test_layers_that_differ_by_rotation_factor_and_offset_are_the_same() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 8))
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    found = linear_cka(x, 4 * x @ rotation + 2)
    assert found.cka == pytest.approx(1)
    assert found.debiased == pytest.approx(1)


def test_few_recordings_make_unrelated_layers_look_alike_but_not_to_the_debiased_estimate() -> None:
    rng = np.random.default_rng(2)
    pairs = [linear_cka(rng.standard_normal((30, 500)), rng.standard_normal((30, 500))) for _ in range(40)]
    assert min(pair.cka for pair in pairs) > 0.9
    debiased = [pair.debiased for pair in pairs]
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(40)


def test_table_of_layers_from_memory_maps(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    layers = {name: rng.standard_normal((20, 6)).astype(np.float32) for name in ("conv1", "fc")}
    for name, values in layers.items():
        np.save(tmp_path / f"{name}.npy", values)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in layers}
    table = cka_table(mapped, layers)
    assert tuple(table.columns) == CKA_COLUMNS
    assert list(zip(table["layer_a"], table["layer_b"], strict=True))[1] == ("conv1", "fc")
    assert table["cka"].to_numpy().reshape(2, 2).diagonal() == pytest.approx(1)
    assert table["cka"][1] == pytest.approx(table["cka"][2])


def test_constant_layers_and_bad_shapes() -> None:
    x = np.random.default_rng(4).standard_normal((9, 3))
    assert np.isnan(linear_cka(x, np.ones((9, 2))).cka)
    assert np.isnan(linear_cka(x[:3], x[:3]).debiased)
    with pytest.raises(ValueError, match="same units"):
        linear_cka(x, x[:5])
    with pytest.raises(ValueError, match="NaN"):
        linear_cka(x, x * np.nan)


def test_units_shuffled_and_turned_around_find_themselves() -> None:
    rng = np.random.default_rng(5)
    a = rng.standard_normal((40, 30))
    order = rng.permutation(30)
    b = -2 * a[:, order] + 1
    table = align_units(a, b, layer_a="one", layer_b="two", permutations=99)
    assert tuple(table.columns) == ALIGNMENT_COLUMNS
    assert order[table["neuron_b"].to_numpy(int)].tolist() == list(range(30))
    assert np.allclose(table["r"], -1)
    assert table["mutual"].all()
    assert table["p"].eq(0.01).all()
    assert (table["null_95"] < 1).all()


def test_partners_are_those_of_the_whole_matrix_of_correlations(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    a = rng.standard_normal((25, 40))
    b = rng.standard_normal((25, 35)).astype(np.float32)
    a[:, 3], b[:, 2] = 1.5, 0.0
    whole = align_units(a, b, permutations=39)
    monkeypatch.setattr("actprobe.statistics.alignment.NEURONS_AT_ONCE", 4)
    monkeypatch.setattr("actprobe.statistics.correlation.BLOCK_BYTES", 1)  # blocks of 16 neurons
    pd.testing.assert_frame_equal(align_units(a, b, permutations=39), whole)
    table = align_units(a, b, permutations=0)
    with np.errstate(invalid="ignore"):
        r = np.nan_to_num(np.corrcoef(a.T, b.T)[:40, 40:])
    for k in range(40):
        row = table.iloc[k]
        if k == 3:
            assert row[["neuron_b", "r"]].isna().all()
            assert not row["mutual"]
            continue
        assert row["neuron_b"] == np.abs(r[k]).argmax()
        assert row["r"] == pytest.approx(r[k, row["neuron_b"]])
        assert row["mutual"] == (np.abs(r[:, row["neuron_b"]]).argmax() == k)
    assert table["p"].isna().all()


def test_unrelated_units_have_partners_no_better_than_chance() -> None:
    rng = np.random.default_rng(7)
    above, shares = [], []
    for i in range(20):
        table = align_units(
            rng.standard_normal((30, 25)), rng.standard_normal((30, 60)), permutations=59, seed=i
        )
        shares.append((table["p"] <= 0.05).mean())
        above.append((table["q"] <= 0.05).any())
        assert ((table["r"].abs() > table["null_95"]) == (table["p"] <= 0.05)).all()
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)
    assert sum(above) <= stats.binom.ppf(0.99, 20, 0.05)


def test_excerpts_of_one_recording_are_dealt_out_together() -> None:
    """Two networks with a habit for each recording agree on excerpts by chance: the level has to know."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(8), 20)
    a, b = rng.standard_normal((8, 5))[groups], rng.standard_normal((8, 40))[groups]
    a, b = a + 0.1 * rng.standard_normal(a.shape), b + 0.1 * rng.standard_normal(b.shape)
    blind = align_units(a, b, permutations=99)
    table = align_units(a, b, groups=groups, permutations=99)
    assert (blind["p"] == 0.01).all()
    assert (table["p"] > 0.05).any()
    assert (table["null_95"] > 2 * blind["null_95"]).all()
