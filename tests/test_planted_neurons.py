"""Planted truth: a network whose neurons are known is told apart from chance, and chance is not.

Of its 64 units one sums the energy, one counts rises of the spectrum, one is wired to nothing; the others
fold the spectrum into numbers that have no order (the sine of a large random projection). Recordings and
their features come from the phantom corpus, as a user's would from a folder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import actprobe
from actprobe import backend
from actprobe.analyses.neurons.table import neuron_table
from actprobe.audio import load_audio
from actprobe.corpora import open_corpus
from actprobe.corpora.phantom import write_phantom
from actprobe.features import compute_scalars
from actprobe.frontends import SvdFrontEnd

UNITS, LOUDNESS, ONSET_RATE, NOTHING = 64, 0, 1, 2
FEATURES = ("onset_rate", "loudness")
SEEDS = range(20)


class Planted(NamedTuple):
    """The network and what it is shown."""

    model: Any
    noise: Any
    examples: NDArray[Any]
    groups: NDArray[Any]
    features: dict[str, NDArray[Any]]

    def activity(self, seed: int) -> NDArray[Any]:
        """Excerpts by units, with noise of a seed: [excerpts, 64]."""
        kernel = np.random.default_rng(seed).normal(0, 100, (80, UNITS - 2)).astype(np.float32)
        kernel[:, 0] = 0
        self.noise.set_weights([kernel])
        values: NDArray[Any] = self.model.activations(self.examples, ["units"], batch_size=64)["units"]
        return values

    def by_recording(self, seed: int) -> NDArray[Any]:
        excerpts = self.activity(seed).astype(np.float64)
        return np.stack([excerpts[self.groups == i].mean(axis=0) for i in range(self.groups.max() + 1)])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    frontend = SvdFrontEnd(hop=40)  # not normalised: log-mel, so that level is there to be found
    keras, tf = backend.keras, backend.tf
    layers = keras.layers
    mel = keras.Input(frontend.example_shape)
    energy = layers.Dense(1, use_bias=False, name="energy")(layers.Activation("exponential")(mel))
    rise = layers.DepthwiseConv1D(4, activation="relu", use_bias=False, name="rise")(mel)
    rises = layers.Dense(1, activation="sigmoid", name="rises")(rise)
    noise = layers.Dense(UNITS - 2, use_bias=False, name="noise")
    folded = layers.Activation(tf.math.sin)(noise(layers.GlobalAveragePooling1D()(mel)))
    means = [layers.GlobalAveragePooling1D()(course) for course in (energy, rises)]
    network = keras.Model(mel, layers.Concatenate(name="units")([*means, folded]))
    difference = np.zeros((4, 80, 1), np.float32)
    difference[0], difference[3] = -1, 1
    network.get_layer("energy").set_weights([np.ones((80, 1), np.float32)])
    network.get_layer("rise").set_weights([difference])
    network.get_layer("rises").set_weights(
        [np.full((80, 1), 20 / 80, np.float32), np.array([-6], np.float32)]
    )
    model = actprobe.wrap_model(network, frontend, name="planted")

    manifest = write_phantom(
        tmp_path_factory.mktemp("phantom"), recordings=40, seconds=4.0, sample_rate=16000
    )
    examples, groups, scalars = [], [], []
    for i, recording in enumerate(open_corpus(manifest)):
        waveform = load_audio(recording.path)
        scalars.append(compute_scalars(waveform, FEATURES))
        examples.append(model.frontend(waveform.resample(frontend.sample_rate)))
        groups += [i] * len(examples[-1])
    features = {name: np.array([row[name] for row in scalars]) for name in FEATURES}
    return Planted(model, noise, np.concatenate(examples), np.array(groups), features)


def first(table: Any, feature: str) -> Any:
    rows = table[table["feature"] == feature]
    return rows.loc[rows["r"].abs().idxmax()]


@pytest.mark.parametrize("units", ["recordings", "excerpts"])
def test_wired_neurons_are_first_for_their_feature_and_beyond_chance(planted: Planted, units: str) -> None:
    if units == "recordings":
        found = neuron_table(
            "planted", {"units": planted.by_recording(0)}, planted.features, permutations=1000
        )
    else:
        features = {name: values[planted.groups] for name, values in planted.features.items()}
        found = neuron_table(
            "planted", {"units": planted.activity(0)}, features, groups=planted.groups, permutations=1000
        )
    for feature, unit in (("loudness", LOUDNESS), ("onset_rate", ONSET_RATE)):
        best = first(found.neurons, feature)
        assert best.neuron == unit
        assert best.r > 0.7
        assert best.q < 0.01
        assert best.p_max < 0.01
    assert (found.detail["recordings"] == 40).all()
    nothing = found.neurons[found.neurons["neuron"] == NOTHING]
    assert nothing[["r", "p", "q", "p_max"]].isna().all(axis=None)


@pytest.mark.parametrize("units", ["recordings", "excerpts"])
def test_over_20_seeds_noise_is_found_no_more_often_than_the_named_rate(planted: Planted, units: str) -> None:
    """40 tests (20 seeds, 2 features) at 5 %: more than 6 have a chance of 0.7 %, were the rate 5 %."""
    bound = int(stats.binom.ppf(0.99, 40, 0.05))
    assert bound == 6
    groups = None
    features = planted.features
    if units == "excerpts":
        groups = planted.groups
        features = {name: values[groups] for name, values in features.items()}
    by_q, by_permuted_q, by_best, single = [], [], [], []
    for seed in SEEDS:
        activity = planted.by_recording(seed) if groups is None else planted.activity(seed)
        found = neuron_table(
            "noise",
            {"units": activity[:, NOTHING + 1 :]},
            features,
            groups=groups,
            permutations=199,
            seed=seed,
        )
        by_q += (found.layers["discoveries"] > 0).tolist()
        by_permuted_q += (found.layers["discoveries_permuted"] > 0).tolist()
        by_best += (found.layers["above_null"] > 0).tolist()
        single += (found.neurons["p"] <= 0.05).tolist()
    assert len(by_q) == len(by_best) == 40
    assert sum(by_q) <= bound
    assert sum(by_permuted_q) <= bound
    assert sum(by_best) <= bound
    assert len(single) == 20 * 2 * 61
    assert np.mean(single) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(single))


def test_the_wired_neurons_are_themselves_and_not_each_other_given_the_other(planted: Planted) -> None:
    detail = neuron_table(
        "planted", {"units": planted.by_recording(0)}, planted.features, given="loudness"
    ).detail
    r_partial = detail.set_index(["feature", "neuron"])["r_partial"]
    assert r_partial["onset_rate", ONSET_RATE] > 0.7
    assert abs(r_partial["onset_rate", LOUDNESS]) < 0.4
