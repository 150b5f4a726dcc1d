"""A convolutional network that the project has never seen gets what the catalog's networks get."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import actprobe
from actprobe import backend
from actprobe.corpora.phantom import write_phantom
from actprobe.frontends import SvdFrontEnd

LABELS = ["dog", "siren", "rain"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> actprobe.Corpus:
    return actprobe.open_corpus(write_phantom(tmp_path_factory.mktemp("corpus"), recordings=6, seconds=4.0))


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    keras = backend.keras
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((115, 80, 1)),
            keras.layers.Conv2D(8, (5, 5), activation="relu", name="edges"),
            keras.layers.BatchNormalization(name="scale"),
            keras.layers.MaxPooling2D((3, 4), name="coarse"),
            keras.layers.Conv2D(12, (3, 3), activation="elu", name="shapes"),
            keras.layers.GlobalAveragePooling2D(name="summary"),
            keras.layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="siren_net",
    )
    return actprobe.wrap_model(network, frontend=SvdFrontEnd(hop=10), outputs=LABELS)


def test_its_outputs_have_labels(model: actprobe.Model) -> None:
    assert [str(output) for output in model.outputs] == LABELS


def test_its_neurons_come_from_dense_evaluation(
    model: actprobe.Model, corpus: actprobe.Corpus, tmp_path: Path
) -> None:
    found = actprobe.neurons(
        model, corpus, layers=["coarse", "classes"], output_dir=tmp_path, random_seeds=1, permutations=50
    )
    assert found.record["evaluation"] == "dense"
    assert len(found.table) == 2 * (8 + 3)
    examples = model.frontend(actprobe.load_audio(corpus[0].path))
    one_by_one = model.activations(examples, ["classes"])["classes"].mean(axis=0)
    np.testing.assert_allclose(found.activity["classes"][0], one_by_one, rtol=1e-4)


def test_its_maps_are_compared(model: actprobe.Model, corpus: actprobe.Corpus, tmp_path: Path) -> None:
    found = actprobe.maps(
        model, corpus, layers=["edges"], features=["percussive"], output_dir=tmp_path, null_partners=1
    )
    assert len(found.table) == 8
    assert found.plot("edges/0", "percussive", model=model).axes


@pytest.fixture(scope="module")
def inverted(
    model: actprobe.Model, corpus: actprobe.Corpus, tmp_path_factory: pytest.TempPathFactory
) -> actprobe.Result:
    return actprobe.invert(
        model,
        corpus[0].path,
        layers=["coarse"],
        method="gradient",
        gradient_steps=3,
        seconds=3.0,
        output_dir=tmp_path_factory.mktemp("inverted"),
    )


def test_a_span_longer_than_an_example_is_inverted(inverted: actprobe.Result) -> None:
    with np.load(inverted.folder / "inversion.npz") as arrays:
        assert arrays["coarse"].shape == arrays["input"].shape == (210, 80)


def test_its_inversions_can_be_heard(inverted: actprobe.Result) -> None:
    for name in ("input", "coarse", "coarse-own-phase"):
        samples, rate = soundfile.read(inverted.folder / "sounds" / f"{name}.wav")
        assert rate == 22050
        assert np.abs(samples).max() > 1e-3


def test_its_inverter_learns(model: actprobe.Model, corpus: actprobe.Corpus, tmp_path: Path) -> None:
    trained = actprobe.train_inverter(
        model,
        corpus,
        layer="coarse",
        loss="input",
        epochs=2,
        steps_per_epoch=3,
        batch_size=4,
        output_dir=tmp_path,
    )
    assert trained.table["loss"].iloc[-1] < trained.table["loss"].iloc[0]
    again = actprobe.invert(
        model, corpus[1].path, inverters=str(trained.path), sound=False, output_dir=tmp_path / "inverted"
    )
    assert list(again.table["layer"]) == ["coarse"]
    assert again.table["error"].notna().all()


def test_it_is_exported_with_its_front_end(model: actprobe.Model, tmp_path: Path) -> None:
    exported = actprobe.export(model, output_dir=tmp_path, layers=["coarse", "classes"])
    assert "from_waveform" in exported.signatures
    assert exported.deviation < 1e-5


def test_it_has_a_layers_tab(inverted: actprobe.Result, tmp_path: Path) -> None:
    table = {row["name"]: row for row in inverted.record["layer_table"]}
    assert table["coarse"]["hop_seconds"] == pytest.approx(3 * 315 / 22050)
    page = actprobe.report(inverted, output_dir=tmp_path)
    shown = "".join(path.read_text("utf-8") for path in Path(page.path).parent.rglob("*.js"))
    shown += Path(page.path).read_text("utf-8")
    assert "siren_net" in shown
    assert all(json.dumps(name)[1:-1] in shown for name in ("edges", "shapes", "summary"))
