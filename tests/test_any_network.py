"""Networks of every kind go through every analysis, from the command line.

A convolutional network in tf-keras, the same in Keras 3 and in PyTorch, what the first of these computed as
stored activations, a network of waveforms and a recurrent one.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import actprobe
from actprobe.analyses.neurons.result import NeuronResult
from actprobe.corpora.phantom import write_phantom

ROOT = Path(__file__).resolve().parents[1]
SAME = ("keras2", "keras3", "pytorch", "stored")
# name -> layers of neurons, layers of maps, layer that is inverted
LAYERS = {
    **dict.fromkeys(SAME, ("relu1,pool1,mean,classes", "pool1", "mean")),
    "waveform": ("filters,mean", "", "second"),
    "recurrent": ("steps,last,classes", "", "last"),
}
needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed (actprobe[torch])"
)
NETWORKS = [pytest.param(name, marks=needs_torch) if name == "pytorch" else name for name in LAYERS]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("corpus"), recordings=6, seconds=2.5)


@pytest.fixture(scope="module")
def run_of(corpus: Path, binary: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Take a network through all analyses once; gives the folder of its runs."""

    @cache
    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        model = f"--model={ROOT}/tests/own_networks.py:{name}"
        if name == "stored":
            model = f"--activations={run('keras2') / 'activations'}"
        layers, maps, inverted = LAYERS[name]
        every = f"{layers},{inverted}" if inverted not in layers.split(",") else layers
        first = actprobe.open_corpus(corpus)[0].path

        def out(kind: str) -> str:
            return f"--output_dir={folder / kind}"

        source = f"--input={corpus}"
        few = ["--permutations=20", "--random_seeds=1", "--figures=1", "--playlists=1"]
        steps = ["--loss=input", "--epochs=1", "--steps_per_epoch=20", "--batch_size=8"]
        calls = [
            ["actprobe-neurons", model, source, f"--layers={layers}", *few, out("neurons")],
            ["actprobe-train-inverter", model, source, f"--layer={inverted}", *steps, out("training")],
            ["actprobe-invert", model, f"--input={first}", f"--layer={inverted}",
             f"--inverters={folder / 'training'}", out("inversion")],
            ["actprobe-neurons", f"--compare={folder / 'neurons'},{folder / 'neurons'}", out("comparison")],
        ]  # fmt: skip
        if maps:
            few = ["--features=harmonic", "--null_partners=1", "--figures=1"]
            calls.append(["actprobe-maps", model, source, f"--layers={maps}", *few, out("maps")])
        if name == "keras2":
            calls.append(["actprobe-activations", model, source, f"--layers={every}", out("activations")])
        runs = [f"--run={folder / kind}" for kind in ("neurons", "inversion", *(["maps"] if maps else []))]
        calls.append(["actprobe-report", *runs, out("page"), "--audio_mib=1"])
        for call in calls:
            done = binary(*call)
            assert done.returncode == 0, done.stderr[-3000:]
        return folder

    return run


@pytest.mark.parametrize("name", NETWORKS)
def test_every_neuron_has_a_row(name: str, run_of: Any) -> None:
    found = actprobe.load_run(run_of(name) / "neurons")
    assert isinstance(found, NeuronResult)
    sizes = {layer: found.activity[layer].shape[1] for layer in LAYERS[name][0].split(",")}
    assert found.table.groupby("layer")["neuron"].nunique().to_dict() == sizes
    assert (found.table["n"] == 6).all()
    assert found.table["r"].abs().max() > 0.5  # some channel of a convolution follows loudness


@pytest.mark.parametrize("name", ["keras3", pytest.param("pytorch", marks=needs_torch), "stored"])
@pytest.mark.parametrize("kind", ["neurons", "maps"])
def test_the_same_network_gives_the_same_table(name: str, kind: str, run_of: Any) -> None:
    wanted, found = (pd.read_csv(run_of(each) / kind / f"{kind}.csv") for each in ("keras2", name))
    columns = [column for column in wanted.select_dtypes("number") if "random" not in str(column)]
    assert list(found["layer"]) == list(wanted["layer"])
    np.testing.assert_allclose(found[columns], wanted[columns], atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_controls_have_other_weights_where_there_are_weights(name: str, run_of: Any) -> None:
    table = actprobe.load_run(run_of(name) / "neurons").table
    if name == "stored":
        assert table["r_random"].isna().all()
    else:
        assert (table["r_random"] - table["r"]).abs().max() > 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_most_similar_to_itself(name: str, run_of: Any) -> None:
    table = pd.read_csv(run_of(name) / "comparison" / "alignment.csv")
    same = table[table["layer_a"] == table["layer_b"]]
    np.testing.assert_allclose(same["r"].dropna(), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_inversion_makes_a_sound(name: str, run_of: Any) -> None:
    folder = run_of(name)
    metrics = json.loads((folder / "training" / "metrics.json").read_text("utf-8"))
    assert metrics["valid_input"] > 0
    samples, rate = soundfile.read(folder / "inversion" / "sounds" / f"{LAYERS[name][2]}.wav")
    assert rate == 16000
    assert np.abs(samples).max() > 1e-3
    original, _ = soundfile.read(folder / "inversion" / "sounds" / "original.wav")
    assert len(samples) == pytest.approx(len(original), abs=512)


@pytest.mark.parametrize("name", NETWORKS)
def test_its_report_names_its_layers(name: str, run_of: Any) -> None:
    page = (run_of(name) / "page" / "report" / "index.html").read_text("utf-8")
    for layer in LAYERS[name][0].split(","):
        assert layer in page
