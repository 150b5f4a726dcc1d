"""The linear readout beside the inverters, and the oracle: what a layer holds at least, and at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import actprobe
from actprobe import backend
from actprobe.analyses.inversion.evaluation.readout.ridge import STRENGTHS, dual, primal
from actprobe.analyses.inversion.inverting.gradient import GradientInverter, GradientSettings
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import UsageError
from actprobe.frontends import LogMelFrontEnd

RATE = 16_000
FRAMES, MELS = 12, 8
VALUES = FRAMES * MELS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings of noise, each through a filter of its own that changes on the way."""
    where = tmp_path_factory.mktemp("noises")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        samples = rng.standard_normal(2 * RATE)
        swell = np.exp(np.interp(np.arange(2 * RATE), np.linspace(0, 2 * RATE, 40), rng.standard_normal(40)))
        kernel = rng.standard_normal(8)
        samples = np.convolve(samples * swell, kernel, "same")
        soundfile.write(where / f"noise{seed}.wav", 0.1 * samples / np.abs(samples).max(), RATE)
    return where


@pytest.fixture(scope="module")
def model() -> Any:
    """Layers that hold the excerpt (a rotation of it), nothing of it (a constant), and noise made of it."""
    keras = backend.keras
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((VALUES, VALUES)))[0]
    scramble = 300 * np.random.default_rng(1).standard_normal((VALUES, 400))
    inputs = keras.layers.Input((FRAMES, MELS, 1))
    flat = keras.layers.Flatten(name="flat")(inputs)
    rotated = keras.layers.Dense(VALUES, name="rotated")(flat)
    constant = keras.layers.Dense(5, name="constant")(rotated)
    noise = keras.layers.Dense(400, activation=backend.tf.sin, name="noise")(flat)
    joined = keras.layers.Concatenate(name="joined")([constant, noise])
    network = keras.Model(inputs, keras.layers.Dense(2, name="classes")(joined))
    network.get_layer("rotated").set_weights([rotation, np.ones(VALUES)])
    network.get_layer("constant").set_weights([np.zeros((VALUES, 5)), np.ones(5)])
    network.get_layer("noise").set_weights([scramble, np.zeros(400)])
    frontend = LogMelFrontEnd(sample_rate=RATE, n_fft=512, hop_length=256, n_mels=MELS, frames=FRAMES, hop=1)
    return actprobe.wrap_model(network, frontend=frontend, outputs=["a", "b"])


def evaluated(model: Any, folder: Any, output: Path, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "methods": ["oracle"],
        "layers": ["rotated", "constant", "noise"],
        "gradient_steps": 2,
    }
    settings |= {"draws": 2, "excerpts_per_recording": 8, "output_dir": output, **options}
    return actprobe.evaluate_inverters(model, folder, **settings)


@pytest.fixture(scope="module")
def found(model: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evaluated(model, folder, tmp_path_factory.mktemp("out"))


def nre_of(found: Any, layer: str, method: str = "linear readout") -> float:
    rows = found.detail
    rows = rows[
        (rows["measure"] == "nre") & (rows["class"] == "all") & ~rows["against"].fillna("").astype(bool)
    ]
    (value,) = rows[(rows["layer"].fillna("") == layer) & (rows["method"] == method)]["value"]
    return float(value)


# Ridge regression


@pytest.mark.parametrize(("excerpts", "features"), [(12, 13), (12, 40)])
def test_primal_and_dual_predict_alike(excerpts: int, features: int) -> None:
    """Where there are fewer excerpts than features, which is when the dual is taken."""
    rng = np.random.default_rng(2)
    x, other = rng.standard_normal((excerpts, features)) + 3, rng.standard_normal((7, features))
    y = rng.standard_normal((excerpts, 5))
    for strength in STRENGTHS:
        one = primal(x).predict(other, y, strength)
        two = dual(x @ x.T).predict(other @ x.T, y, strength)
        assert one == pytest.approx(two, rel=1e-6, abs=1e-8)


def test_it_is_the_ridge_regression_of_the_textbook() -> None:
    """Centred, with a penalty of the strength times the mean eigenvalue of X'X."""
    rng = np.random.default_rng(3)
    x, y, other = (rng.standard_normal(shape) for shape in ((30, 6), (30, 4), (5, 6)))
    centred = x - x.mean(0)
    penalty = 0.1 * np.trace(centred.T @ centred) / 6
    slopes = np.linalg.solve(centred.T @ centred + penalty * np.eye(6), centred.T @ (y - y.mean(0)))
    expected = (other - x.mean(0)) @ slopes + y.mean(0)
    assert primal(x).predict(other, y, 0.1) == pytest.approx(expected, rel=1e-9)


# In an evaluation


def test_a_layer_that_holds_the_excerpt_is_read_out(found: Any) -> None:
    assert nre_of(found, "rotated") < 0.02


def test_a_layer_that_holds_nothing_is_no_better_than_the_mean_excerpt(found: Any) -> None:
    mean = nre_of(found, "", "mean excerpt")
    assert nre_of(found, "constant") == pytest.approx(mean, rel=0.1)
    assert nre_of(found, "constant") > mean


def test_no_readout_has_seen_what_it_reconstructs(found: Any) -> None:
    """400 values of noise tell every excerpt from any other: a readout fitted on it would be exact."""
    assert nre_of(found, "noise") > nre_of(found, "", "mean excerpt")


def test_the_table_the_figure_and_run_json_have_it(found: Any) -> None:
    assert set(found.table["method"]) == {"linear readout", "oracle"}
    for layer in ("rotated", "constant", "noise"):
        facts = found.record["readout"][layer]
        assert facts["fitted_on"] == "other folds of the evaluated recordings"
        assert len(facts["strengths"]) == 5
    labels = [text.get_text() for text in found.plot().legends[0].get_texts()]
    assert "linear readout" in labels
    assert not (found.folder / "shards/readout").exists()


def test_repeating_the_command_gives_the_same_table(model: Any, folder: Path, found: Any) -> None:
    before = (found.folder / "nre.csv").read_bytes()
    again = evaluated(model, folder, found.folder)
    assert (again.folder / "nre.csv").read_bytes() == before


def test_the_recordings_for_training_are_what_it_is_fitted_on(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    splits = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    paths = [str(folder / f"noise{i}.wav") for i in range(10)]
    pd.DataFrame({"path": paths, "split": splits}).to_csv(tmp_path / "corpus.csv", index=False)
    found = evaluated(model, tmp_path / "corpus.csv", tmp_path / "out", layers=["rotated"], split="test")
    facts = found.record["readout"]["rotated"]
    assert facts["fitted_on"].endswith("train")
    assert facts["chosen_on"].endswith("valid")
    assert nre_of(found, "rotated") < 0.02


def test_few_recordings_have_no_readout_and_run_json_says_why(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    few = [each.path for each in open_labelled(folder, "unused").recordings[:4]]
    found = evaluated(model, few, tmp_path, layers=["rotated"])
    assert "linear readout" not in set(found.table["method"])
    assert found.record["readout"] == {"left_out": "cross-fitting needs 6 recordings, not 4"}


def test_it_can_be_left_out(model: Any, folder: Path, tmp_path: Path) -> None:
    found = evaluated(model, folder, tmp_path, layers=["rotated"], readout="none")
    assert "linear readout" not in set(found.table["method"])
    with pytest.raises(UsageError, match="is not evaluated"):
        evaluated(model, folder, tmp_path, readout="none", reference="linear readout")


# The oracle


def test_the_oracle_starts_at_the_mean_spectrum_and_only_descends(model: Any) -> None:
    excerpts = np.random.default_rng(4).standard_normal((3, FRAMES, MELS)).astype(np.float32)
    start = np.broadcast_to(excerpts.mean(axis=1, keepdims=True), excerpts.shape)
    features = model.activations(excerpts, ["rotated"])["rotated"]
    inverter = GradientInverter(model, "rotated", GradientSettings(steps=30))
    inverted, end, begin = inverter.search(features, start)
    assert begin == pytest.approx(np.asarray(inverter.objective(start, features)), rel=1e-5)
    assert (end < begin).all()
    assert np.square(inverted - excerpts).mean() < np.square(start - excerpts).mean()
