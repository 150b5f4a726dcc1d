"""Attributions that are evaluated: metrics by hand, controls, the truth, random weights, and a whole run."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import soundfile
from attribution_support import RATE, small_frontend
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

import actprobe
from actprobe.analyses.attribution.evaluation import passes
from actprobe.analyses.attribution.evaluation.metrics import (
    FAITHFULNESS,
    Removal,
    complexity,
    measure,
    removal_ranks,
    sparseness,
)
from actprobe.analyses.attribution.evaluation.randomisation import similarities
from actprobe.analyses.attribution.evaluation.result import AttributionScoresResult
from actprobe.analyses.attribution.evaluation.scoring import METRICS, RecordingScores, score_recording
from actprobe.analyses.attribution.evaluation.settings import EvaluationSettings
from actprobe.analyses.attribution.evaluation.tables import GOOD_SIDE, score_tables
from actprobe.analyses.attribution.evaluation.truth import chance_scores, truth_masks, truth_scores
from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.masks import soft_mask
from actprobe.analyses.attribution.methods.method import Attribution, Method
from actprobe.backend import keras
from actprobe.columns import TABLES
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd
from actprobe.models.cascade import Cascade
from actprobe.models.target import Target

FRAMES, MELS = 10, 12
CUT_HZ = 1200  # the accompaniment is below, the voice above

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def floats(values: Any) -> Floats:
    return np.asarray(values, np.float32)


def value_of(found: AttributionScoresResult | pd.DataFrame, method: str, metric: str, fill: str) -> float:
    table = found if isinstance(found, pd.DataFrame) else found.table
    chosen = (table["method"] == method) & (table["metric"] == metric) & (table["fill"] == fill)
    return float(table["value"][chosen].iloc[0])


class Linear:
    """A network whose output is a weighted sum, and which decides whether it reaches 0.3."""

    def __init__(self, weights: Any) -> None:
        self.weights = np.asarray(weights, np.float64)

    def outputs(self, examples: Floats) -> Doubles:
        return np.asarray((examples * self.weights).sum(axis=(1, 2)))

    def decisions(self, examples: Floats) -> Doubles:
        return np.asarray(self.outputs(examples) >= 0.3, np.float64)


def metrics_of(weights: Any, example: Any, fill: Any, values: Any, steps: int = 4) -> dict[str, float]:
    given = [np.asarray(each, np.float32).reshape(1, 1, -1) for each in (example, fill, values)]
    removal = Removal(Linear(weights), given[0], given[1], steps)
    found = measure(removal, given[2], np.random.default_rng(0))
    return {name: float(metric(found)[0]) for name, metric in FAITHFULNESS.items()}


class TestMetrics:
    def test_by_hand(self) -> None:
        found = metrics_of(0.05, [1, 2, 3, 4], [0, 0, 0, 0], [-1, 0, 2, 4])
        # the mask is 0, 0, 0.5, 1: p = 0.5, i = 0.05 * (1.5 + 4), o = 0.05 * (1 + 2 + 1.5)
        assert found == pytest.approx(
            {
                "deletion": (0.5 / 2 + 0.3 + 0.15 + 0.05) / 4,
                "insertion": (0.2 + 0.35 + 0.45 + 0.5 / 2) / 4,
                "average_drop": (0.5 - 0.275) / 0.5,
                "average_gain": 0,
                "average_increase": 0,
                "input_fidelity": 0,
                "faithfulness": 0.5 - 0.225,
            }
        )

    def test_what_is_masked_in_can_raise_the_output(self) -> None:
        found = metrics_of([0.1, -0.1, 0.1, 0.1], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 1])
        assert found["average_gain"] == pytest.approx((0.3 - 0.2) / (1 - 0.2))
        assert (found["average_increase"], found["average_drop"]) == (1, 0)

    def test_the_fill_stands_for_what_is_absent(self) -> None:
        found = metrics_of(0.1, [1, 1, 1, 1], [2, 2, 2, 2], [-1, -1, -1, -1])
        assert found["average_gain"] == pytest.approx((0.8 - 0.4) / (1 - 0.4))  # nothing is attributed
        assert found["faithfulness"] == pytest.approx(0)

    def test_drop_and_gain_are_not_defined_for_what_is_no_probability(self) -> None:
        found = metrics_of(1.0, [1, 2, 3, 4], [0, 0, 0, 0], [1, 1, 1, 1])
        assert math.isnan(found["average_drop"])
        assert math.isnan(found["average_gain"])
        assert found["deletion"] == pytest.approx(5, abs=1.5)

    def test_the_highest_value_goes_first_and_equal_ones_in_random_order(self) -> None:
        assert removal_ranks(floats([[[1, 3], [2, 0]]]), np.random.default_rng(0)).tolist() == [
            [[2, 0], [1, 3]]
        ]
        orders = {
            tuple(removal_ranks(np.zeros((1, 1, 3), np.float32), np.random.default_rng(seed)).ravel())
            for seed in range(20)
        }
        assert len(orders) > 2

    def test_masks(self) -> None:
        np.testing.assert_array_equal(
            np.stack([soft_mask(each) for each in floats([[[-4, 1, 2]], [[-1, -1, 0]]])]),
            floats([[[0, 0.5, 1]], [[0, 0, 0]]]),
        )

    def test_form(self) -> None:
        one, even, none = floats([0, 0, -3, 0]), floats([1, -1, 1, 1]), np.zeros(4, np.float32)
        values = np.stack([one, even, none]).reshape(3, 2, 2)
        np.testing.assert_allclose(sparseness(values), [0.75, 0, np.nan])
        np.testing.assert_allclose(complexity(values), [0, np.log(4), np.nan])


class TestSimilarities:
    def test_partial_is_that_of_the_residuals_of_ranks(self) -> None:
        rng = np.random.default_rng(0)
        magnitude = np.abs(rng.standard_normal((1, 8, 5))).astype(np.float32)
        one, other = ((rng.standard_normal(magnitude.shape) * magnitude).astype(np.float32) for _ in range(2))
        signed, absolute, partial = similarities([one, other], magnitude)[:, 0, 1, 0]
        flat = pd.DataFrame({"a": one.ravel(), "b": other.ravel(), "m": magnitude.ravel()})
        assert signed == pytest.approx(flat["a"].corr(flat["b"], "spearman"))
        ranks = flat.abs().rank()
        assert absolute == pytest.approx(ranks["a"].corr(ranks["b"]))
        rest = [ranks[x] - np.polyval(np.polyfit(ranks["m"], ranks[x], 1), ranks["m"]) for x in ("a", "b")]
        assert partial == pytest.approx(rest[0].corr(rest[1]))
        assert partial < absolute - 0.2

    def test_what_is_constant_or_the_input_itself_has_none(self) -> None:
        values = np.random.default_rng(0).random((1, 4, 4)).astype(np.float32)
        assert np.isnan(similarities([np.zeros_like(values), values], values)[:, 0]).all()
        signed, absolute, partial = similarities([values, values[:, ::-1]], values)[:, 0, 1, 0]
        assert np.isfinite([signed, absolute]).all()
        assert np.isnan(partial)


class TestTruth:
    dominated = np.array([[[True, True], [False, False]]])
    counted = np.array([[[True, True], [True, False]]])

    def scores(self, *values: float) -> list[float]:
        found = truth_scores(floats(values).reshape(1, 2, 2), self.dominated, self.counted)
        return [float(each) for each in found[:, 0]]

    def test_by_hand_over_the_bins_that_count(self) -> None:
        assert self.scores(3, 1, 0, 9) == [1, 1, 1]
        assert self.scores(3, 1, 2, 9) == pytest.approx([4 / 6, 0.5, 1])
        assert self.scores(-1, -2, 5, 9) == [0, 0, 0]
        assert self.scores(0, 0, 0, 0) == pytest.approx([np.nan, 0.5, 2 / 3], nan_ok=True)

    def test_chance(self) -> None:
        assert chance_scores(self.dominated, self.counted)[:, 0].tolist() == pytest.approx(
            [2 / 3, 0.5, 2 / 3]
        )
        assert np.isnan(chance_scores(self.counted, self.counted)).all()

    def test_a_network_of_waveforms_has_none(self, frontend: LogMelFrontEnd) -> None:
        crepe = actprobe.load_model("crepe_tiny").frontend
        sound = np.ones((1, 1024), np.float32)
        excerpts = SimpleNamespace(frontend=crepe, parts={"voice": sound, "rest": sound})
        excerpts_of: Any = type("Excerpts", (SimpleNamespace,), {"__len__": lambda self: 1})
        assert truth_masks(excerpts_of(**vars(excerpts)), None) is None

    def test_a_part_that_is_not_there_is_refused(self) -> None:
        excerpts: Any = SimpleNamespace(parts={"voice": np.zeros((1, 4)), "rest": np.zeros((1, 4))})
        with pytest.raises(UsageError, match="there is no part 'drums'; there is voice, rest"):
            truth_masks(excerpts, "drums")


class Planted(Method):
    """A method that is a function of the examples, in place of one that asks a network."""

    name = "planted"

    def __init__(self, compute: Callable[[Floats], Floats]) -> None:
        self.compute = compute

    def __call__(self, excerpts: Excerpts) -> Attribution:
        return Attribution(self.compute(excerpts.examples))


class RandomNetwork:
    """Two layers of random weights, a sigmoid behind them; its gradient times input is a method."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.first = rng.standard_normal((16, FRAMES * MELS)) / math.sqrt(FRAMES * MELS)
        self.second = rng.standard_normal(16)

    def outputs(self, examples: Floats) -> Doubles:
        hidden = np.maximum(examples.reshape(len(examples), -1) @ self.first.T, 0)
        return np.asarray(1 / (1 + np.exp(-hidden @ self.second)))

    def decisions(self, examples: Floats) -> Doubles:
        return np.asarray(self.outputs(examples) >= 0.5, np.float64)

    def explain(self, examples: Floats) -> Floats:
        flat = examples.reshape(len(examples), -1)
        gradients = ((flat @ self.first.T > 0) * self.second) @ self.first
        return np.asarray((flat * gradients).reshape(examples.shape), np.float32)


@pytest.fixture(scope="module")
def frontend() -> LogMelFrontEnd:
    return small_frontend(FRAMES, MELS)


def noise_around(kind: str, seed: int, samples: int) -> Floats:
    """Noise above or below 1200 Hz that comes and goes."""
    rng = np.random.default_rng(seed)
    filtered = sosfilt(butter(8, CUT_HZ, kind, fs=RATE, output="sos"), rng.standard_normal(samples))
    swell = 0.6 + 0.4 * np.sin(np.arange(samples) / 700 + seed)
    return np.asarray(0.1 * swell * filtered, np.float32)


@pytest.fixture(scope="module")
def blind_excerpts(frontend: LogMelFrontEnd) -> list[Excerpts]:
    """An excerpt of each of 10 recordings; their spectra have nothing to do with the sound of the parts."""
    found = []
    for number in range(10):
        rng = np.random.default_rng([99, number])
        background = rng.standard_normal((4, FRAMES, MELS)).astype(np.float32)
        parts = {
            name: np.stack([noise_around(kind, number, frontend.example_samples)])
            for name, kind in (("voice", "high"), ("rest", "low"))
        }
        examples = background[:1] + 0.5
        excerpts = Excerpts(
            f"recording {number}", frontend, np.zeros(1), examples, parts["voice"] + parts["rest"],
            background, "", np.zeros_like(examples), parts,
        )  # fmt: skip
        found.append(excerpts)
    return found


def called_faithful(network: int, method: int, recordings: list[Excerpts]) -> set[str]:
    """Metrics by which the method of a random network is better than every control for another one."""
    control = {"planted": cast(Method, Planted(RandomNetwork(network + 1000).explain))}
    settings = EvaluationSettings(fills=("mean_spectrum",), removal_steps=5)
    methods = {"planted": cast(Method, Planted(RandomNetwork(method).explain))}
    scores = [
        score_recording(RandomNetwork(network), methods, [control], each, settings, seed=0)
        for each in recordings
    ]
    differences = score_tables(scores, ["planted"], ["mean_spectrum"], resamples=300)[1]
    better = differences.groupby("metric")["better"].all()
    assert set(better.index) == set(GOOD_SIDE)
    return set(better.index[better])


class TestRandomNetworks:
    """20 networks of random weights, at a nominal 5 %: more than 4 are called with probability 0.3 %."""

    MOST = 4

    def count(self, called: list[set[str]]) -> Mapping[str, int]:
        return {metric: sum(metric in each for each in called) for metric in GOOD_SIDE}

    def test_what_explains_another_network_is_not_called_faithful(
        self, blind_excerpts: list[Excerpts]
    ) -> None:
        called = [called_faithful(number, number + 500, blind_excerpts) for number in range(20)]
        assert max(self.count(called).values()) <= self.MOST

    def test_what_explains_a_network_that_knows_nothing_is_faithful_to_it_and_not_to_the_truth(
        self, blind_excerpts: list[Excerpts]
    ) -> None:
        counted = self.count([called_faithful(number, number, blind_excerpts) for number in range(20)])
        assert counted["deletion"] == counted["insertion"] == 20
        assert max(counted[metric] for metric in counted if metric.startswith("truth")) <= self.MOST


class TestTables:
    def scores(self, *values: list[float], bounded: bool = True) -> RecordingScores:
        """One method, one fill; every metric has the values, [variants][excerpts]."""
        array = np.asarray(values, np.float64)
        scores = np.repeat(array[None, None, :, None], len(METRICS), axis=3)
        return RecordingScores(scores, np.full((3, array.shape[1]), np.nan), bounded)

    def test_recordings_are_resampled_not_excerpts(self) -> None:
        found = [self.scores([each, each], [0, 0], [0, 1], [np.nan, 2]) for each in (1.0, 2.0, 3.0, 6.0)]
        row = score_tables(found, ["m"], ["f"])[0].set_index("metric").loc["deletion"].iloc[0]
        assert (row["n"], row["value"]) == (4, 3)
        assert row["low"] < 2
        assert row["high"] > 4.5
        assert (row["random"], row["input_magnitude"], row["random_weights"]) == (0, 0.5, 2)

    def test_the_random_weights_with_the_best_score_count(self) -> None:
        found = [self.scores([0.5], [0.1], [0.1], [0.2], [0.9]) for _ in range(4)]
        differences = score_tables(found, ["m"], ["f"])[1].set_index(["metric", "against"])
        assert differences.loc[("insertion", "random_weights"), "difference"] == pytest.approx(-0.4)
        assert differences.loc[("deletion", "random_weights"), "difference"] == pytest.approx(0.3)
        assert differences["better"].to_dict()["insertion", "random"]
        assert not differences["better"].to_dict()["deletion", "random"]

    def test_one_output_that_is_no_probability_is_enough(self) -> None:
        values = [[0.5], [0.1], [0.1], [0.2]]
        found = [self.scores(*values), self.scores(*values, bounded=False)]
        table = score_tables(found, ["m"], ["f"])[0]
        drop = table[table["metric"] == "average_drop"]
        assert drop["value"].isna().all()
        assert drop["n"].eq(0).all()
        assert table["value"][table["metric"] == "average_increase"].notna().all()


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of three recordings of 2 s, whose voice is above 1200 Hz and whose rest is below."""
    folder = tmp_path_factory.mktemp("songs")
    with (folder / "songs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "stem_voice", "stem_rest"])
        for number, name in enumerate("abc"):
            voice, rest = (noise_around(kind, number, 2 * RATE) for kind in ("high", "low"))
            for part, samples in (("", voice + rest), ("_voice", voice), ("_rest", rest)):
                soundfile.write(folder / f"{name}{part}.wav", samples, RATE, subtype="FLOAT")
            rows.writerow([f"{name}.wav", f"{name}_voice.wav", f"{name}_rest.wav"])
    return folder / "songs.csv"


@pytest.fixture(scope="module")
def model(frontend: LogMelFrontEnd) -> actprobe.Model:
    """A network whose output `high` follows from the bands of the voice alone, `low` from the others."""
    network = keras.Sequential(
        [
            keras.layers.Input((FRAMES, MELS, 1)),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(4, activation="relu", name="hidden"),
            keras.layers.Dense(2, activation="sigmoid", name="classes"),
        ]
    )
    above = np.asarray(frontend.band_edges_hz()[1:-1]) > CUT_HZ
    kernel = np.zeros((FRAMES, MELS, 4), np.float32)
    kernel[:, above, 0] = kernel[:, ~above, 1] = 0.01
    head = floats([[1, 0], [0, 1], [0, 0], [0, 0]])
    network.get_layer("hidden").set_weights([kernel.reshape(-1, 4), np.full(4, 3, np.float32)])
    network.get_layer("classes").set_weights([head, np.full(2, -3, np.float32)])
    return actprobe.wrap_model(network, frontend=frontend, outputs=["high", "low"])


def evaluate(model: actprobe.Model, corpus: Any, folder: Path, **given: Any) -> AttributionScoresResult:
    chosen: dict[str, Any] = {
        "target": "high", "methods": ["gradient", "gradient_x_input"], "excerpts": 2, "removal_steps": 4,
        "cascade": 3,
    }  # fmt: skip
    return actprobe.evaluate_attributions(model, corpus, **{**chosen, **given}, output_dir=folder)


@pytest.fixture(scope="module")
def found(
    model: actprobe.Model, songs: Path, tmp_path_factory: pytest.TempPathFactory
) -> AttributionScoresResult:
    return evaluate(model, songs, tmp_path_factory.mktemp("scores"))


class TestRun:
    def test_what_looks_at_the_voice_points_at_it(self, found: AttributionScoresResult) -> None:
        for metric in ("truth_auc", "truth_share", "truth_pointing"):
            assert value_of(found, "gradient", metric, "minimum") > 0.97
        share = value_of(found, "chance", "truth_share", "minimum")
        assert abs(value_of(found, "random", "truth_share", "minimum") - share) < 0.1
        assert value_of(found, "chance", "truth_auc", "minimum") == 0.5
        assert abs(value_of(found, "random", "truth_auc", "minimum") - 0.5) < 0.1
        faithful = found.faithful[(found.faithful["method"] == "gradient")]
        assert faithful["faithful"][faithful["metric"] == "truth_auc"].all()

    def test_what_looks_elsewhere_does_not(self, model: actprobe.Model, songs: Path, tmp_path: Path) -> None:
        found = evaluate(model, songs, tmp_path, target="low", methods=["gradient"], cascade=0)
        assert value_of(found, "gradient", "truth_auc", "minimum") < 0.03
        assert not found.faithful["faithful"][found.faithful["metric"] == "truth_auc"].any()
        assert found.randomisation.empty
        other = evaluate(
            model, songs, tmp_path, target="low", methods=["gradient"], concept="rest", cascade=0
        )
        assert value_of(other, "gradient", "truth_auc", "minimum") > 0.97

    def test_every_metric_has_a_row_for_each_method_and_fill(self, found: AttributionScoresResult) -> None:
        rows = found.table[found.table["method"] == "gradient"]
        assert rows["metric"].tolist() == [each for each in METRICS for _ in range(2)]
        assert rows["fill"].tolist() == ["mean_spectrum", "minimum"] * len(METRICS)
        assert (rows["n"] == 3).all()
        inside = (rows["low"] <= rows["value"] + 1e-9) & (rows["value"] <= rows["high"] + 1e-9)
        assert inside.all()

    def test_columns_are_those_of_the_reference(self, found: AttributionScoresResult) -> None:
        for name in (
            "attribution_scores.csv",
            "attribution_differences.csv",
            "attribution_randomisation.csv",
        ):
            assert list(found.frame(name).columns) == list(TABLES[name])

    def test_the_last_step_of_the_cascade_is_full_randomisation(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        found = evaluate(model, songs, tmp_path, excerpts=1)
        assert found.randomisation["layer"].tolist() == ["classes", "hidden"] * 2
        last = found.randomisation.iloc[-1]
        assert last["method"] == "gradient_x_input"
        for kind in ("signed", "absolute", "partial"):
            full = value_of(found, "gradient_x_input", f"randomisation_{kind}", "mean_spectrum")
            assert last[kind] == pytest.approx(full, abs=1e-5)

    def test_figures_are_drawn_and_the_run_opens_again(self, found: AttributionScoresResult) -> None:
        names = {path.name for path in (found.folder / "figures").iterdir()}
        assert names == {"scores.png", "scores.pdf", "randomisation.png", "randomisation.pdf"}
        assert isinstance(actprobe.load_run(found.folder), AttributionScoresResult)
        assert len(found.plot().axes) == 16
        assert "gradient: deletion" in found.summary

    def test_a_killed_run_goes_on(
        self, found: AttributionScoresResult, model: actprobe.Model, songs: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        scored: list[str] = []

        def until_killed(*given: Any) -> RecordingScores:
            if len(scored) == 2:
                raise KeyboardInterrupt
            scored.append(given[3].recording)
            return score_recording(*given)

        monkeypatch.setattr(passes, "score_recording", until_killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, songs, tmp_path)
        scored.clear()
        again = evaluate(model, songs, tmp_path)
        assert scored == ["c.wav"]
        assert (again.folder / again.TABLE).read_bytes() == (found.folder / found.TABLE).read_bytes()

    def test_a_bad_recording_costs_only_itself_and_one_without_parts_only_the_truth(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.wav").write_bytes(b"RIFF")
        soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
        corpus = [songs.parent / "a.wav", tmp_path / "broken.wav", tmp_path / "nan.wav"]
        found = evaluate(model, corpus, tmp_path / "out", methods=["gradient"], cascade=1)
        assert found.recordings["status"].tolist() == ["ok", "failed", "failed"]
        assert not found.table["metric"].str.startswith("truth").any()
        assert found.record["without_truth"] == 1
        with pytest.raises(CorpusError, match=r"none of 2 recordings could be used; the first: .*broken"):
            evaluate(model, corpus[1:], tmp_path / "none")
        assert (tmp_path / "none" / "recordings.csv").is_file()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"methods": ["magic"]}, "there is no method 'magic'"),
            ({"fills": ["noise"]}, "there is no fill 'noise'"),
            ({"fills": ["minimum", "minimum"]}, "fill minimum is named more than once"),
            ({"fills": []}, "name at least one fill"),
            ({"fills": ["training_mean"]}, "does not standardise"),
            ({"target": "guitar"}, "target 'guitar'"),
            ({"excerpts": 0}, "excerpts=0: at least 1"),
            ({"random_seeds": 0}, "random_seeds=0: at least 1"),
            ({"removal_steps": 1}, "removal_steps=1: at least 2"),
            ({"concept": "drums"}, "there is no part 'drums'; there is voice, rest"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_sentence(
        self, model: actprobe.Model, songs: Path, tmp_path: Path, wrong: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            evaluate(model, songs, tmp_path, **wrong)


class TestCascade:
    def test_layers_are_randomised_from_the_target_down_and_lent_for_the_time_of_computing(
        self, model: actprobe.Model
    ) -> None:
        digest = model.digest()
        examples = np.random.default_rng(0).standard_normal((2, FRAMES, MELS)).astype(np.float32)
        wanted = [*model.layers]

        def layers_of(network: actprobe.Model) -> dict[str, Floats]:
            return network.activations(examples, wanted)

        cascade = Cascade(model, Target("classes/linear", 0), seed=1)
        assert cascade.layers == ["classes", "hidden"]
        trained, random = layers_of(model), layers_of(model.with_random_weights(1))
        np.testing.assert_array_equal(layers_of(cascade.model)["classes"], trained["classes"])
        cascade.depth = 1
        np.testing.assert_array_equal(layers_of(cascade.model)["hidden"], trained["hidden"])
        assert not np.allclose(layers_of(cascade.model)["classes"], trained["classes"])
        cascade.depth = 2
        np.testing.assert_allclose(layers_of(cascade.model)["classes"], random["classes"], rtol=1e-5)
        assert model.digest() == digest

    def test_layers_behind_the_target_do_not_count(self, model: actprobe.Model) -> None:
        assert Cascade(model, Target("hidden", 2), seed=1).layers == ["hidden"]

    def test_a_network_of_the_catalog(self, random_svd: actprobe.Model) -> None:
        cascade = Cascade(random_svd, Target("fc8", 0), seed=1)
        assert cascade.layers == ["fc8", "fc7", "conv5", "conv4", "conv2", "conv1"]

    def test_a_network_without_gradients_has_none(
        self, model: actprobe.Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(model), "has_gradients", False)
        with pytest.raises(UsageError, match="its layers cannot be randomised one by one"):
            Cascade(model, Target("classes", 0), seed=1)
