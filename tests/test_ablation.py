"""Units that are ablated: sets and controls, metrics of weighted recordings, whole runs with known truth."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from attribution_support import RATE, small_frontend
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

import actprobe
from actprobe.analyses.causal.ablation.job import AblationJob
from actprobe.analyses.causal.ablation.metrics import METRICS, pseudo_values, value, weighted
from actprobe.analyses.causal.ablation.result import AblationResult
from actprobe.analyses.causal.ablation.sets import default_sizes, masks_of, matched_sets, unit_sets
from actprobe.analyses.causal.ablation.survey import SurveyJob, donors
from actprobe.backend import keras
from actprobe.columns import TABLES
from actprobe.corpora import Recording, open_corpus
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model
from actprobe.statistics.paired import constancy, flipped

FRAMES, MELS = 8, 12
TONES_HZ = (300, 900, 2200)  # what units 0, 1 and 2 hear
RECORDINGS = 30


class TestMetrics:
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.4
    scores = np.asarray(np.round(rng.random(60) + 0.3 * truth, 1), np.float64)  # with ties
    owners = np.repeat(np.arange(12), 5)

    def test_they_are_those_of_scikit_learn(self) -> None:
        found = [value(metric, self.truth, self.scores, 0.5) for metric in METRICS]
        called = balanced_accuracy_score(self.truth, self.scores >= 0.5)
        expected = [
            roc_auc_score(self.truth, self.scores), called, average_precision_score(self.truth, self.scores)
        ]  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    @pytest.mark.parametrize("metric", METRICS)
    def test_a_weight_of_two_is_an_excerpt_that_is_there_twice(self, metric: str) -> None:
        weights = self.rng.integers(0, 3, (4, 60)).astype(float)
        found = weighted(metric, self.truth, self.scores, weights, 0.5)
        for row, times in zip(found, weights.astype(int), strict=True):
            again = value(metric, np.repeat(self.truth, times), np.repeat(self.scores, times), 0.5)
            assert row == pytest.approx(again, rel=1e-12)

    @pytest.mark.parametrize("metric", METRICS)
    def test_the_mean_of_pseudo_values_is_the_metric_and_their_spread_that_of_the_jackknife(
        self, metric: str
    ) -> None:
        found = pseudo_values(metric, self.truth, self.scores, self.owners, 12, 0.5)
        assert found.mean() == pytest.approx(value(metric, self.truth, self.scores, 0.5), rel=1e-12)
        left_out = []
        for recording in range(12):
            kept = self.owners != recording
            left_out.append(value(metric, self.truth[kept], self.scores[kept], 0.5))
        jackknife = np.sqrt(11 / 12 * np.square(np.array(left_out) - np.mean(left_out)).sum())
        assert found.std() / np.sqrt(12) == pytest.approx(jackknife, rel=0.25)

    def test_one_class_alone_has_no_metric(self) -> None:
        assert np.isnan(value("auc", np.ones(5, np.bool_), np.arange(5.0), 0.5))


class TestSets:
    deviations = np.r_[np.linspace(0.1, 0.2, 30), np.linspace(5, 6, 30)]

    def test_random_sets_have_like_variance_and_none_of_the_units_themselves(self) -> None:
        top = (40, 45, 50)
        found = matched_sets(top, self.deviations, 200, np.random.default_rng(0))
        assert len(found) == len(set(found)) == 200
        assert not any(set(top) & set(chosen) for chosen in found)
        assert all(len(set(chosen)) == 3 and self.deviations[list(chosen)].min() > 1 for chosen in found)

    def test_no_more_sets_than_there_are(self) -> None:
        assert len(matched_sets((0,), np.arange(5.0), 200, np.random.default_rng(0))) == 4

    def test_those_that_follow_most_and_least(self) -> None:
        strength = np.array([0.1, 0.9, np.nan, 0.5, 0.3, 0.7, 0.2, 0.05])
        sets = unit_sets(8, {"loudness": strength}, np.ones(8), (1, 2, 4), 3, 0)
        chosen = {(each.kind, each.k): each.units for each in sets if each.kind in ("top", "least")}
        assert chosen[("top", 2)] == (1, 5)
        assert chosen[("least", 2)] == (0, 7)  # the constant unit has no place
        assert ("top", 4) not in chosen  # 8 of 7 units that vary
        masks, places = masks_of(sets, 8)
        assert not masks[0].any()
        for each, place in zip(sets, places, strict=True):
            assert tuple(np.flatnonzero(masks[place])) == each.units

    def test_sizes_leave_twice_as_many_to_sample_from(self) -> None:
        assert default_sizes(32) == (1, 2, 4, 8)
        assert default_sizes(2) == ()

    def test_a_donor_is_another_recording(self) -> None:
        recordings = [Recording(f"{i}.wav", Path(f"/{i}.wav")) for i in range(9)]
        found = donors(recordings, 3)
        assert all(found[each.name].name != each.name for each in recordings)
        assert len({each.name for each in found.values()}) == 9


class TestSignFlips:
    def test_20_layers_without_effect_stay_at_the_nominal_rate(self) -> None:
        rng = np.random.default_rng(0)
        called = []
        for _ in range(20):
            common = rng.standard_t(3, (30, 1))  # units that resemble one another, with heavy tails
            differences = rng.standard_t(3, (30, 64)) + common
            null = flipped(differences, permutations=300, seed=1)
            called.append(bool((null.q(constancy(differences)) <= 0.05).any()))
        assert np.mean(called) <= 0.15  # 0.05 on average

    def test_one_unit_among_512_is_found(self) -> None:
        rng = np.random.default_rng(1)
        differences = rng.standard_normal((40, 512))
        differences[:, 7] += 1.5
        null = flipped(differences, permutations=1000, seed=1)
        r = constancy(differences)
        assert list(np.flatnonzero(null.q(r) <= 0.05)) == [7]
        assert null.p(r)[7] <= 0.002

    def test_nothing_that_changes_and_too_few_recordings_have_no_p(self) -> None:
        assert np.isnan(constancy(np.zeros((10, 2)))).all()
        assert np.isnan(constancy(np.ones((4, 2)))).all()
        assert not len(flipped(np.ones((4, 2))).maxima)


def three_bands() -> Model:
    """A network with a unit for each tone; its output is high where the first is loud, less so the second."""
    frontend = small_frontend(FRAMES, MELS)
    edges = frontend.band_edges_hz()
    heard = [int(np.argmin(np.abs(edges[1:-1] - tone))) for tone in TONES_HZ]
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FRAMES, MELS))
    mean = keras.layers.GlobalAveragePooling1D(name="mean")(inputs)
    units = keras.layers.Dense(3, name="units")
    outputs = keras.layers.Dense(1, activation="sigmoid", name="answer")
    network = keras.Model(inputs, outputs(units(mean)))
    kernel = np.zeros((MELS, 3), np.float32)
    kernel[heard, range(3)] = 1
    units.set_weights([kernel, np.array([0, 0, 3], np.float32)])
    outputs.set_weights([np.array([[1.0], [0.02], [0.0]], np.float32), np.array([8.0], np.float32)])
    return actprobe.wrap_model(network, frontend, name="three_bands")


@pytest.fixture(scope="module")
def model() -> Model:
    return three_bands()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones of independent levels; the truth is whether the first is loud. One recording is silent."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    levels = np.stack([rng.permutation(np.linspace(-40, 0, RECORDINGS)) for _ in TONES_HZ])
    time = np.arange(2 * RATE) / RATE
    rows = []
    for number in range(RECORDINGS):
        tones = [10 ** (level / 20) * np.sin(2 * np.pi * tone * time)
                 for level, tone in zip(levels[:, number], TONES_HZ, strict=True)]  # fmt: skip
        samples = 0.2 * np.sum(tones, axis=0) + 1e-4 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{number:02d}.wav", samples, RATE)
        rows.append(
            {"path": f"{number:02d}.wav", "loud": int(levels[0, number] > -20), "first": levels[0, number]}
        )
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    rows.append({"path": "silent.wav", "loud": 0, "first": -99.0})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def followed(model: Model, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("followed")
    actprobe.neurons(
        model, corpus, layers=["units"], features=["first"], output_dir=folder, figures=0, random_seeds=0
    )
    return folder


@pytest.fixture(scope="module")
def found(
    model: Model, corpus: Path, followed: Path, tmp_path_factory: pytest.TempPathFactory
) -> AblationResult:
    return actprobe.ablate(
        model, corpus, layers=["units"], fills=["mean", "zero", "resample"], labels="loud", neurons=followed,
        sizes=[1], excerpts=3, output_dir=tmp_path_factory.mktemp("ablated"),
    )  # fmt: skip


def unit_rows(found: AblationResult, fill: str, metric: str = "auc") -> Any:
    rows = found.rows("units", fill, metric=metric)
    return rows[rows["kind"] == "unit"].set_index("units")


class TestRun:
    @pytest.mark.parametrize("fill", ["mean", "zero", "resample"])
    def test_the_unit_that_is_used_costs_most_and_one_without_a_weight_nothing(
        self, found: AblationResult, fill: str
    ) -> None:
        rows = unit_rows(found, fill)
        assert rows.loc["0", "metric_change"] < -0.3
        assert rows.loc["0", "metric_high"] < 0
        assert rows.loc["0", "metric_q"] <= 0.05
        assert abs(rows.loc["1", "metric_change"]) < 0.1
        assert rows.loc["2", "absolute_change"] == rows.loc["2", "metric_change"] == 0
        assert np.isnan(rows.loc["2", "q"])

    def test_a_zero_far_from_a_units_mean_moves_the_output_by_more_than_the_information_lost(
        self, model: Model, corpus: Path, tmp_path: Path
    ) -> None:
        """Of a linear output the mean over the corpus changes nothing on average, zero a whole mean."""
        linear = actprobe.ablate(
            model, corpus, layers=["units"], fills=["mean", "zero"], outputs=["answer/linear/0"],
            excerpts=3, output_dir=tmp_path,
        )  # fmt: skip
        rows: Any = linear.table.set_index(["fill", "units"])
        assert rows.loc[("mean", "0"), "fill_distance"] == 0 < 0.5 < rows.loc[("zero", "0"), "fill_distance"]
        assert rows.loc[("mean", "0"), "change"] == pytest.approx(0, abs=1e-4)
        assert rows.loc[("zero", "0"), "change"] == pytest.approx(
            50 * rows.loc[("zero", "1"), "change"], rel=0.3
        )
        assert abs(rows.loc[("zero", "0"), "change"]) > 1

    def test_what_follows_most_is_held_against_what_follows_least_and_random_units(
        self, found: AblationResult
    ) -> None:
        rows = found.rows("units", "mean", metric="auc")
        by_kind: Any = rows[rows["feature"] == "first"].set_index("kind")
        assert by_kind.loc["top", "units"] == "0"
        assert by_kind.loc["top", "metric_change"] < by_kind.loc["random", "metric_low"]
        assert by_kind.loc["top", "metric_p"] == pytest.approx(1 / 3)  # there are two other units
        assert "without the unit that follows first most, the AUC changes by -0." in found.summary

    def test_the_change_is_that_of_the_output_itself(self, found: AblationResult, model: Model) -> None:
        path = Path(str(found.record["corpus"])).parent / "03.wav"
        frontend = model.frontend
        from actprobe.frontends.excerpts import examples_at, possible_starts, spread

        samples = actprobe.load_audio(path, RATE).samples
        examples = examples_at(frontend, samples, spread(possible_starts(frontend, len(samples)), 3))
        values = model.activations(examples, ["units", "answer"])
        weights = np.array([0, 0.02, 0.0])
        expected = 1 / (1 + np.exp(-(values["units"] @ weights + 8)))
        stores = sorted((found.folder / "shards").glob("*/03-*.npz"))
        outputs = [np.load(each)["units/zero"] for each in stores if "units/zero" in np.load(each).files]
        np.testing.assert_allclose(outputs[0][1, :, 0], expected, rtol=1e-4)

    def test_tables_say_what_their_columns_are_and_the_silent_recording_why(
        self, found: AblationResult
    ) -> None:
        assert list(found.table) == list(TABLES["ablation.csv"])
        assert list(found.sets) == list(TABLES["ablation_sets.parquet"])
        rows = found.recordings.set_index("path")
        assert rows.loc["silent.wav", "status"] == "failed"
        assert "silent" in str(rows.loc["silent.wav", "reason"])
        assert (rows["status"] == "ok").sum() == RECORDINGS
        assert isinstance(actprobe.load_run(found.folder), AblationResult)
        assert (found.folder / "figures/units-mean-curves.png").is_file()

    def test_figures(self, found: AblationResult) -> None:
        assert found.plot("units").axes[0].get_ylabel() == "change of AUC"
        assert found.plot("units", "first", metric="average_precision").axes[0].get_title() == "first"
        for wrong in (("nothing",), ("units", "loudness")):
            with pytest.raises(UsageError):
                found.plot(*wrong)

    def test_a_finished_run_is_read_and_not_computed_again(
        self,
        found: AblationResult,
        model: Model,
        corpus: Path,
        followed: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def never(*given: Any) -> Any:
            raise AssertionError("was computed again")

        before = (found.folder / "ablation.csv").read_bytes()
        monkeypatch.setattr(SurveyJob, "work", never)
        monkeypatch.setattr(AblationJob, "work", never)
        actprobe.ablate(
            model, corpus, layers=["units"], fills=["mean", "zero", "resample"], labels="loud",
            neurons=followed, sizes=[1], excerpts=3, output_dir=found.folder,
        )  # fmt: skip
        assert (found.folder / "ablation.csv").read_bytes() == before


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"fills": ["noise"]}, "there is no fill 'noise'"),
            ({"layers": ["answer"]}, "no output is computed from answer"),
            ({"layers": ["fc99"]}, "no layer 'fc99'"),
            ({"labels": "genre"}, "labels=genre: there is no such column"),
            ({"labels": "first=9"}, "column first has no class '9'"),
            ({"outputs": ["answer/0", "answer/0"]}, "an output is named more than once"),
            ({"labels": "first"}, "column first holds other values than 0 and 1"),
            ({"outputs": ["answer/3"]}, "answer"),
            ({"excerpts": 0}, "excerpts=0: at least 1"),
            ({"sizes": [0], "neurons": True}, "sizes="),
            ({"features": ["first"]}, "give it as neurons"),
            ({"features": ["loudness"], "neurons": True}, "no feature 'loudness' was compared"),
        ],
    )
    def test_what_is_wrong_with_the_command(
        self, options: dict[str, Any], said: str, model: Model, corpus: Path, followed: Path, tmp_path: Path
    ) -> None:
        given = {"layers": ["units"], **options}
        if "neurons" in given:
            given["neurons"] = followed
        with pytest.raises(UsageError, match=said):
            actprobe.ablate(model, corpus, output_dir=tmp_path, **given)

    def test_a_folder_without_a_neuron_run(self, model: Model, corpus: Path, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="no finished run"):
            actprobe.ablate(model, corpus, layers=["units"], neurons=tmp_path, output_dir=tmp_path / "out")

    def test_stored_activations_cannot_be_ablated(self, tmp_path: Path) -> None:
        path = tmp_path / "stored" / "a.wav.npz"
        path.parent.mkdir()
        soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
        rows: NDArray[np.float32] = np.ones((2, 3), np.float32)
        actprobe.save_activations(path, times=[0.0, 0.5], units=rows)
        with pytest.raises(UsageError, match="stored activations cannot be ablated"):
            actprobe.ablate(
                actprobe.open_activations(path.parent), [tmp_path / "a.wav"], layers=["units"],
                output_dir=tmp_path / "out",
            )  # fmt: skip


def test_singing_is_the_truth_of_a_single_output(model: Model, tmp_path: Path) -> None:
    """Label files beside the recordings say where the first tone sounds."""
    rng = np.random.default_rng(0)
    for number in range(6):
        time = np.arange(4 * RATE) / RATE
        sounds = (time > 2) * 0.2 * np.sin(2 * np.pi * TONES_HZ[0] * time)
        noise = 2e-2 * rng.standard_normal(len(time))
        soundfile.write(tmp_path / f"{number}.wav", sounds + noise, RATE)
        (tmp_path / f"{number}.lab").write_text("0 2 nosing\n2 4 sing\n")
    (tmp_path / "5.lab").write_text("0 2 whistling\n")
    found = actprobe.ablate(model, tmp_path, layers=["units"], excerpts=6, output_dir=tmp_path / "out")
    rows = unit_rows(found, "mean")
    assert rows.loc["2", "metric_value"] == 1
    assert rows.loc["0", "metric_value"] < 0.95
    assert rows.loc["0", "n"] == 6
    ends = rows.loc["0", ["metric_low", "metric_high"]]  # over the five whose labels can be read
    assert ends.notna().all()


def test_the_binary_ablates_and_says_what_was_found(
    binary: Callable[..., Any], assets: Path, tmp_path: Path
) -> None:
    clips = sorted((assets / "audio/percussive").glob("*.*"))[:2]
    frame = pd.DataFrame({"path": [str(clip) for clip in clips]})
    frame.to_csv(tmp_path / "some.csv", index=False)
    done = binary(
        "actprobe-ablate", "--model=svd", "--checkpoint=svd-open", f"--input={tmp_path / 'some.csv'}",
        "--layers=fc8", "--fill=zero", "--excerpts=2", f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fc8, fill zero:" in done.stdout
    assert len(actprobe.load_run(tmp_path / "out").table) == 64
    assert len(open_corpus(tmp_path / "some.csv")) == 2
