"""Two finished runs held against each other, and what is drawn and said of runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from actprobe.analyses.neurons import compare
from actprobe.analyses.neurons.figures import cka_figure, draw_neurons
from actprobe.analyses.neurons.summary import comparison_summary, neuron_summary
from actprobe.analyses.neurons.table import neuron_table
from actprobe.errors import CorpusError
from actprobe.plotting import save_figure
from actprobe.statistics.cka import linear_cka


def merged(
    model: str, paths: list[str], activity: dict[str, NDArray[Any]], examples: int = 1
) -> SimpleNamespace:
    """What `open_merged` gives: units in the order of the corpus."""
    units = pd.DataFrame({"path": np.repeat(np.array(paths, object), examples)})
    return SimpleNamespace(model=model, units=units, activity=activity)


@pytest.fixture
def two_runs(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    paths = [f"{i}.wav" for i in range(30)]
    one = {"conv1": rng.standard_normal((30, 12)), "fc": rng.standard_normal((30, 5))}
    order = rng.permutation(30)[:26]
    other = {"fc8": np.column_stack([-one["fc"], one["conv1"][:, 3]])[order]}
    runs = {
        "a": merged("first", paths, one),
        "b": merged(
            "second", [*[paths[i] for i in order], "new.wav"], {"fc8": np.vstack([other["fc8"], np.zeros(6)])}
        ),
    }
    monkeypatch.setattr(compare, "open_merged", lambda folder: runs[folder.name])
    return runs, order


def test_runs_are_compared_over_the_recordings_that_both_have(
    two_runs: tuple[dict[str, Any], Any], tmp_path: Path
) -> None:
    runs, order = two_runs
    found = compare.compare_runs(Path("a"), Path("b"), tmp_path, permutations=39)
    assert found.recordings == 26
    assert found.only_a == [f"{i}.wav" for i in range(30) if i not in order]
    assert found.only_b == ["new.wav"]
    common = np.sort(order)
    expected = linear_cka(runs["a"].activity["fc"][common], runs["b"].activity["fc8"][np.argsort(order)])
    row: Any = found.cka.set_index(["layer_a", "layer_b"]).loc[("fc", "fc8")]
    assert row["cka"] == pytest.approx(expected.cka)
    assert row["cka_debiased"] == pytest.approx(expected.debiased)
    partners = found.alignment[found.alignment["layer_a"] == "fc"]
    assert partners["neuron_b"].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(partners["r"], -1)
    assert partners["mutual"].all()
    assert list(found.alignment.columns[:5]) == ["model_a", "layer_a", "neuron_a", "model_b", "layer_b"]
    written = pd.read_csv(tmp_path / "alignment.csv")
    assert len(written) == 12 + 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alignment.csv", "cka.csv"]


def test_excerpts_are_averaged_over_their_recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    paths = [f"{i}.wav" for i in range(12)]
    excerpts = rng.standard_normal((36, 4)).astype(np.float32)
    means = excerpts.reshape(12, 3, 4).mean(axis=1, dtype=np.float64)
    runs = {"a": merged("m", paths, {"fc": excerpts}, examples=3), "b": merged("m", paths, {"fc": means})}
    monkeypatch.setattr(compare, "open_merged", lambda folder: runs[folder.name])
    found = compare.compare_runs(Path("a"), Path("b"), tmp_path, permutations=0)
    assert np.allclose(found.alignment["r"], 1)
    assert found.cka["cka"][0] == pytest.approx(1)


def test_runs_without_recordings_in_common_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = {
        "a": merged("m", ["1", "2", "3"], {"fc": np.eye(3)}),
        "b": merged("m", ["1", "2", "4"], {"fc": np.eye(3)}),
    }
    monkeypatch.setattr(compare, "open_merged", lambda folder: runs[folder.name])
    with pytest.raises(CorpusError, match="2 recordings in common"):
        compare.compare_runs(Path("a"), Path("b"), tmp_path)
    monkeypatch.undo()
    with pytest.raises(CorpusError, match="does not hold"):
        compare.compare_runs(tmp_path, tmp_path, tmp_path)


def test_a_comparison_is_drawn_and_said(two_runs: tuple[dict[str, Any], Any], tmp_path: Path) -> None:
    found = compare.compare_runs(Path("a"), Path("b"), tmp_path, permutations=99)
    save_figure(cka_figure(found), tmp_path / "cka.png")
    assert (tmp_path / "cka.png").stat().st_size > 5000
    summary = comparison_summary(found)
    assert "26 recordings in common" in summary.text
    assert "  new.wav" in summary.text
    of_fc = summary.counts["partners"][1]
    assert of_fc == {
        "layer_a": "fc",
        "layer_b": "fc8",
        "units": 5,
        "compared": 5,
        "with_partner": 5,
        "mutual": 5,
    }


@pytest.fixture
def neuron_run() -> SimpleNamespace:
    """A run as `NeuronFindings` has it, with a planted and a dead neuron, and a label with holes."""
    rng = np.random.default_rng(2)
    genre = np.where(rng.random(40) < 0.2, np.nan, rng.integers(0, 2, 40))
    features = {"loudness": rng.uniform(1, 9, 40), "genre=a/b-c": genre}
    activity = {"conv1/linear": rng.standard_normal((40, 20))}
    activity["conv1/linear"][:, 4] += features["loudness"]
    activity["conv1/linear"][:, 5] = 0
    random = [{"conv1/linear": rng.standard_normal((40, 20))} for _ in range(2)]
    tables = neuron_table("toy", activity, features, random_activity=random, permutations=99)
    ledger = pd.DataFrame({"path": "x", "status": ["ok"] * 40, "warning": "", "reason": "", "seconds": 9.0})
    return SimpleNamespace(
        table=tables.neurons,
        detail=tables.detail,
        layers=tables.layers,
        activity=activity,
        features=features,
        recordings=ledger,
        record={
            "model": "toy",
            "weights": {"kind": "original", "seed": None},
            "frontend": {"example_seconds": 1.0, "padding": "zeros"},
            "features": {"loudness": {"unit": "sone"}, "genre=a/b-c": {"kind": "label", "known": 31}},
        },
    )


def test_the_best_neurons_of_each_feature_are_drawn(neuron_run: Any, tmp_path: Path) -> None:
    paths = draw_neurons(neuron_run, tmp_path, 2)
    assert paths[0].name == "loudness-1-conv1_linear-4.png"
    assert [path.name.rsplit("-", 2)[0] for path in paths[1:]] == [
        "loudness-2",
        "genre_a_b_c-1",
        "genre_a_b_c-2",
    ]
    assert sorted(tmp_path.glob("*.png")) == sorted(paths)
    assert all(path.stat().st_size > 5000 for path in paths)
    neuron_run.detail = neuron_run.detail.drop(columns=["r_random_0", "r_random_1"])
    neuron_run.layers["null_95"] = np.nan
    assert len(draw_neurons(neuron_run, tmp_path, 1)) == 2


def test_a_run_is_said_with_its_chance_level_and_its_controls(neuron_run: Any) -> None:
    summary = neuron_summary(neuron_run)
    row = neuron_run.layers.iloc[0]
    strongest = next(line for line in summary.text.splitlines() if "conv1/linear     4" in line)
    assert "p_max 0.01" in strongest
    assert "random weights" in strongest
    assert f"{row.above_null} of 20 neurons are above {row.null_95:.3f}, the 95th percentile" in summary.text
    assert f"{row.above_random} neurons of the model are stronger" in summary.text
    assert summary.counts["constant_neurons"] == {"conv1/linear": 1}
    plain = neuron_table("toy", neuron_run.activity, neuron_run.features)
    neuron_run.table, neuron_run.detail, neuron_run.layers = plain.neurons, plain.detail, plain.layers
    assert "percentile" not in neuron_summary(neuron_run).text


def test_a_run_over_excerpts_says_what_they_are_worth(neuron_run: Any) -> None:
    assert "independent" not in neuron_summary(neuron_run).text
    excerpts = {"loudness": neuron_run.features["loudness"]}
    tables = neuron_table("toy", neuron_run.activity, excerpts, groups=np.arange(40) // 4)
    neuron_run.features = excerpts
    neuron_run.table, neuron_run.detail, neuron_run.layers = tables.neurons, tables.detail, tables.layers
    assert "the 40 units come from 10 recordings" in neuron_summary(neuron_run).text
