"""Four planted channels are named rightly by all analyses together, and the report shows what is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from attribution_support import RATE, small_frontend
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

import actprobe
from actprobe.backend import keras
from actprobe.batch.tables import read_frame
from actprobe.columns import TABLES
from actprobe.explorer.evidence import evidence, verdict
from actprobe.explorer.page import ReportResult
from actprobe.explorer.reading import shown_runs
from actprobe.models import Model

Doubles = NDArray[np.float64]

FRAMES, MELS = 32, 12
RECORDINGS, SECONDS = 100, 2
LEVEL, ONSETS, UNNAMED, IDLE = range(4)
JUMP = 2.0  # of ln power from frame to frame, beyond which a band counts as an onset


def planted(weights: Doubles, bias: float) -> Model:
    """A network of four units: level, onsets, a tilt that has no name, and level again."""
    inputs = keras.Input((FRAMES, MELS))
    mean = keras.layers.GlobalAveragePooling1D(name="mean")(inputs)
    level = keras.layers.Dense(1, name="level")
    rises = keras.layers.Conv1D(MELS, 2, activation="relu", name="rises")
    onsets = keras.layers.Dense(1, name="onsets")
    tilt = keras.layers.Dense(1, name="tilt")
    counted = onsets(keras.layers.GlobalAveragePooling1D(name="counted")(rises(inputs)))
    units = keras.layers.Concatenate(name="units")([level(mean), counted, tilt(mean), level(mean)])
    answer = keras.layers.Dense(1, activation="sigmoid", name="answer")
    network = keras.Model(inputs, answer(units))
    level.set_weights([np.full((MELS, 1), 1 / MELS), np.zeros(1)])
    rises.set_weights([np.stack([-np.eye(MELS), np.eye(MELS)]), np.full(MELS, -JUMP)])
    onsets.set_weights([np.full((MELS, 1), 1 / MELS), np.zeros(1)])
    tilt.set_weights([np.where(np.arange(MELS) < MELS // 2, 1, -1)[:, None] / MELS, np.zeros(1)])
    answer.set_weights([weights[:, np.newaxis], np.array([bias])])
    return actprobe.wrap_model(network, small_frontend(FRAMES, MELS), name="planted")


def write_corpus(folder: Path) -> Doubles:
    """Bursts of noise of independent levels, rates and tilts; gives [recordings, 3], each from 0 to 1."""
    rng = np.random.default_rng(0)
    places = np.stack([rng.permutation(np.linspace(0, 1, RECORDINGS)) for _ in range(3)], axis=1)
    low = butter(2, 900, "lowpass", fs=RATE, output="sos")
    high = butter(2, 900, "highpass", fs=RATE, output="sos")
    time = np.arange(SECONDS * RATE)
    for number, (level, rate, tilt) in enumerate(places):
        noise = rng.standard_normal(len(time))
        bands = 10 ** (tilt - 0.5) * sosfilt(low, noise) + 10 ** (0.5 - tilt) * sosfilt(high, noise)
        period = RATE / (1 + 7 * rate)
        envelope = 0.05 + np.exp(-(time % period) / (0.03 * RATE))
        sound = bands * envelope
        sound *= 10 ** ((-40 + 25 * level) / 20) / np.sqrt(np.mean(sound**2))
        soundfile.write(folder / f"{number:02d}.wav", sound, RATE, subtype="FLOAT")
    return np.asarray(places, np.float64)


def units_of(model: Model, path: Path) -> Doubles:
    examples = model.frontend(actprobe.load_audio(path))
    return np.asarray(model.activations(examples, ["units"])["units"].mean(axis=0), np.float64)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "corpus").mkdir()
    write_corpus(folder / "corpus")
    # The answer is the sum of what it uses, each standardised; the truth is what it answers.
    bare = planted(np.zeros(4), 0.0)
    means = np.stack([units_of(bare, path) for path in sorted((folder / "corpus").glob("*.wav"))])
    weights = np.array([1, 1, 1.1, 0]) / means.std(axis=0)
    bias = -float(np.median(means @ weights))
    table = pd.DataFrame({"path": [f"{number:02d}.wav" for number in range(RECORDINGS)]})
    table["high"] = (means @ weights + bias > 0).astype(int)
    table.to_csv(folder / "corpus" / "manifest.csv", index=False)
    model, corpus = planted(weights, bias), folder / "corpus" / "manifest.csv"
    neurons = actprobe.neurons(
        model, corpus, layers=["units"], features=["loudness", "onset_rate"], output_dir=folder / "neurons",
        figures=0, random_seeds=1,
    )  # fmt: skip
    tuned = actprobe.tune(
        model, layers=["units"], factors=["level", "onset_rate"], output_dir=folder / "tuned"
    )
    ablated = actprobe.ablate(
        model, corpus, layers=["units"], labels="high", excerpts=4, neurons=neurons, sizes=[1],
        output_dir=folder / "ablated",
    )  # fmt: skip
    return actprobe.report(neurons, tuned, ablated, output_dir=folder / "report")


def test_every_planted_channel_is_named_rightly(reported: ReportResult) -> None:
    found: Any = reported.evidence.set_index("neuron")
    judged = {number: tuple(found.loc[number, ["follows", "responds", "matters"]]) for number in range(4)}
    assert found.loc[LEVEL, "verdict"] == "follows loudness, responds to level, matters"
    assert found.loc[ONSETS, "verdict"] == "follows onset_rate, responds to onset_rate, matters"
    assert (judged[UNNAMED][0], judged[UNNAMED][2]) == (False, True)
    assert found.loc[IDLE, "verdict"] == "follows loudness, responds to level, is not used"


def test_the_report_shows_it(reported: ReportResult) -> None:
    page = reported.path.read_text("utf-8")
    assert 'id="causal"' in page
    assert "Tuning curves: planted" in page
    assert "Ablation: planted" in page
    assert "follow a feature, respond when a factor changes, and matter: 2 (units/0, units/1);" in page
    assert "follow a feature and are not shown to matter: 1 (units/3)." in page
    assert list(reported.evidence) == list(TABLES["evidence.csv"])
    (data,) = reported.path.parent.glob("assets/data/causal-planted-units-*.js")
    neurons = json.loads(data.read_text("utf-8").partition(",")[2].rstrip().removesuffix(");"))
    curve = next(each for each in neurons[str(LEVEL)]["curves"] if each["factor"] == "level")
    assert (curve["unit"], curve["log"]) == ("dBFS", False)
    assert curve["random"] == pytest.approx(reported.evidence.set_index("neuron").loc[LEVEL, "tuning_random"])
    assert len(curve["dose"]) == len(curve["mean"]) == len(curve["low"])
    assert len(neurons[str(IDLE)]["ablated"]) == 3  # metrics


def test_what_was_not_run_is_unknown() -> None:
    assert verdict({"follows": True, "feature": "loudness"}) == "follows loudness"
    assert verdict({"matters": False, "idle": True}) == "is not used"
    assert verdict({"matters": False, "idle": False}) == "is not shown to matter"


def test_a_unit_that_changes_an_output_and_no_metric_is_used(reported: ReportResult, tmp_path: Path) -> None:
    """Without unit 1 the ranking of the excerpts, and so the AUC, is what it was."""
    runs = reported.path.parents[2]
    shutil.copytree(runs / "ablated", tmp_path / "ablated")
    table = read_frame(runs / "ablated" / "ablation.csv")
    table.loc[table["units"].astype(str) == "1", ["metric_change", "metric_q"]] = [0.0, 1.0]
    table.to_csv(tmp_path / "ablated" / "ablation.csv", index=False)
    found: Any = evidence(shown_runs([runs / "neurons", tmp_path / "ablated"])).set_index("neuron")
    assert found.loc[1, "verdict"].endswith("is not shown to matter")
    assert found.loc[IDLE, "verdict"].endswith("is not used")


def test_one_kind_of_analysis_is_no_evidence(reported: ReportResult) -> None:
    runs = shown_runs([reported.path.parents[2] / "neurons"])
    assert evidence(runs).empty


def test_runs_of_other_weights_are_not_joined(reported: ReportResult, tmp_path: Path) -> None:
    runs = reported.path.parents[2]
    shutil.copytree(runs / "ablated", tmp_path / "other")
    record = json.loads((tmp_path / "other/run.json").read_text("utf-8"))
    record["weights"]["sha256"] = "0" * 64
    (tmp_path / "other/run.json").write_text(json.dumps(record), "utf-8")
    assert evidence(shown_runs([runs / "neurons", tmp_path / "other"])).empty
    assert len(evidence(shown_runs([runs / "neurons", runs / "ablated"]))) == 4


def test_the_smallest_q_of_many_outputs_is_corrected(reported: ReportResult, tmp_path: Path) -> None:
    runs = reported.path.parents[2]
    shutil.copytree(runs / "ablated", tmp_path / "many")
    table = read_frame(runs / "ablated" / "ablation.csv")
    more = [table.assign(target=f"answer/{number}", metric_q=1.0) for number in range(1, 100)]
    pd.concat([table, *more]).to_csv(tmp_path / "many" / "ablation.csv", index=False)
    found = evidence(shown_runs([runs / "neurons", tmp_path / "many"]))
    assert not found["matters"].any()
