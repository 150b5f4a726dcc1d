"""Activation maximisation: the search is the stated one, the best excerpt is that of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import own_networks
import pytest
import soundfile
from conftest import ROOT
from numpy.typing import NDArray

import actprobe
from actprobe import backend
from actprobe.analyses.inversion.exciting import run as exciting_run
from actprobe.analyses.inversion.exciting.ascent import Ascent, Excited, shifted
from actprobe.analyses.inversion.exciting.neuron import COLUMNS, Exciter, likeness
from actprobe.analyses.inversion.exciting.reach import Reach, merge_reaches, reach_of
from actprobe.analyses.inversion.exciting.result import ExcitationResult
from actprobe.analyses.inversion.exciting.settings import ExcitationSettings
from actprobe.analyses.inversion.exciting.survey import INPUT
from actprobe.columns import TABLES
from actprobe.errors import UsageError
from actprobe.models.target import Target

TIME, MEL = 12, 6
RATE = 16000
BARE: dict[str, Any] = {"time_weight": 0, "mel_weight": 0, "jitter_frames": 0}

Floats = NDArray[np.float32]


def linear(kernel: NDArray[Any]) -> actprobe.Model:
    """A network whose output is the sum of its input weighted by a kernel [time, mel]."""
    layers = backend.keras.layers
    given = layers.Input((*kernel.shape, 1))
    network = backend.keras.Model(
        given, layers.Dense(1, name="sum")(layers.Flatten(name="flat")(given)), name="linear"
    )
    network.get_layer("sum").set_weights([kernel.reshape(-1, 1), np.zeros(1)])
    return actprobe.wrap_model(network, name="linear")


def bounds() -> Reach:
    low = np.linspace(-3, -1, MEL).astype(np.float32)
    high = low + np.linspace(1, 4, MEL).astype(np.float32)
    return Reach(low, high, np.tile((low + high) / 2, (TIME, 1)))


def background() -> Floats:
    return np.random.default_rng(1).normal(-1, 0.5, (8, TIME, MEL)).astype(np.float32)


def search(model: actprobe.Model, **options: Any) -> Excited:
    settings = ExcitationSettings(**{"steps": 120, **BARE, **options})
    return Ascent(model, Target("sum", 0), settings, bounds(), background()).run()


@pytest.fixture(scope="module")
def signs() -> NDArray[Any]:
    kernel = np.random.default_rng(0).choice([-1.0, 1.0], (TIME, MEL))
    kernel[3] = 0
    return kernel


# --- the search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["mean", "noise"])
def test_a_linear_neuron_is_driven_to_the_bounds_that_maximise_it(signs: NDArray[Any], start: str) -> None:
    found, reach = search(linear(signs), start=start), bounds()
    wanted = np.where(signs > 0, reach.high, reach.low)
    assert np.array_equal(found.input[signs != 0], wanted[signs != 0])
    assert found.value == pytest.approx(np.sum(np.where(signs == 0, 0, signs * wanted)), rel=1e-6)
    assert np.array_equal(found.input[3], found.start[3])  # what does not matter stays
    assert len(found.values) == 121
    assert found.values[0] == pytest.approx(found.value_start, rel=1e-5)


def test_objective_is_the_stated_one(signs: NDArray[Any]) -> None:
    settings = ExcitationSettings(time_weight=0.3, mel_weight=0.7)
    ascent = Ascent(linear(signs), Target("sum", 0), settings, bounds(), background())
    x = background()[:2]
    found, values = ascent.objective(backend.tf.constant(x))
    usual = np.sum(background() * signs, axis=(1, 2))
    width = np.mean(bounds().high - bounds().low)
    for i in range(2):
        value = np.sum(x[i] * signs)
        expected = (
            np.arcsinh((value - usual.mean()) / usual.std())
            - 0.3 * np.mean((np.diff(x[i], axis=0) / width) ** 2)
            - 0.7 * np.mean((np.diff(x[i], axis=1) / width) ** 2)
        )
        assert float(values[i]) == pytest.approx(value, rel=1e-4)
        assert float(found[i]) == pytest.approx(expected, rel=1e-4)


def test_a_planted_template_is_found_and_random_weights_do_not_find_it() -> None:
    template = np.zeros((TIME, MEL))
    template[4:8, 2:4] = 1
    model = linear(template - template.mean())
    settings = ExcitationSettings(steps=120, time_weight=2, mel_weight=2, jitter_frames=1)
    both = [
        Ascent(each, Target("sum", 0), settings, bounds(), background()).run()
        for each in (model, model.with_random_weights(1))
    ]
    shares = bounds().shares(both[0].input)
    assert shares[4:8, 2:4].min() > shares[template == 0].max()
    agreement = likeness(*both)
    assert agreement is not None
    assert abs(agreement) < 0.5
    assert likeness(both[0], both[0]) == pytest.approx(1)


def test_total_variation_acts_along_its_own_axis(signs: NDArray[Any]) -> None:
    def roughness(axis: int, **weights: float) -> float:
        return float(np.mean(np.diff(search(linear(signs), **weights).input, axis=axis) ** 2))

    assert roughness(0, time_weight=30) < 0.5 * roughness(0, mel_weight=30)
    assert roughness(1, mel_weight=30) < 0.5 * roughness(1, time_weight=30)


def test_jitter_is_in_time_alone() -> None:
    """A network that looks at one place: what moves there within the jitter is excited, no other band."""
    kernel = np.zeros((TIME, MEL))
    kernel[6, 2] = 1
    changed = np.abs(
        np.diff([(each := search(linear(kernel), jitter_frames=2)).start, each.input], axis=0)[0]
    )
    assert set(np.flatnonzero(changed.max(axis=1))) == {4, 5, 6, 7, 8}
    assert set(np.flatnonzero(changed.max(axis=0))) == {2}


def test_a_shift_repeats_the_frame_at_the_end() -> None:
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert shifted(values, 1).numpy()[:, 0].tolist() == [2, 4, 6, 6]
    assert shifted(values, -2).numpy()[:, 0].tolist() == [0, 0, 0, 2]


def test_the_best_of_all_steps_is_kept() -> None:
    """-|x - c| is passed and left again with large steps."""
    layers = backend.keras.layers
    given = layers.Input((TIME, MEL, 1))
    both = layers.Dense(2, "relu", name="both")(layers.Flatten(name="flat")(given))
    network = backend.keras.Model(given, layers.Dense(1, name="sum")(both), name="peak")
    ones = np.ones(TIME * MEL)
    network.get_layer("both").set_weights([np.stack([ones, -ones], axis=1), np.array([50.0, -50.0])])
    network.get_layer("sum").set_weights([-np.ones((2, 1)), np.zeros(1)])
    found = search(actprobe.wrap_model(network, name="peak"), steps=7, learning_rate=0.9)
    assert found.value == pytest.approx(found.values.max(), rel=1e-4)
    assert found.values[-1] < found.values.max() - 1


def test_features_of_an_inverter_are_driven_to_their_bounds(signs: NDArray[Any]) -> None:
    layers = backend.keras.layers
    given = layers.Input((3,))
    inverter = backend.keras.Model(
        given, layers.Reshape((TIME, MEL))(layers.Dense(TIME * MEL, use_bias=False, name="made")(given))
    )
    made = np.random.default_rng(2).normal(size=(3, TIME * MEL)).astype(np.float32)
    inverter.get_layer("made").set_weights([made])
    space = Reach(np.array([0, -1, 2], np.float32), np.array([1, 1, 2], np.float32), np.zeros(3, np.float32))
    settings = ExcitationSettings(steps=100, **BARE)
    found = Ascent(
        linear(signs), Target("sum", 0), settings, bounds(), background(), inverter=inverter, space=space
    ).run()
    features = np.where(made @ signs.ravel() > 0, space.high, space.low)
    assert found.input == pytest.approx((features @ made).reshape(TIME, MEL), abs=1e-5)


def test_reach_is_that_of_recordings() -> None:
    rng = np.random.default_rng(0)
    recordings = [rng.normal(i, 1 + i, (5, TIME, MEL)).astype(np.float32) for i in range(3)]
    found = merge_reaches("x", [reach_of(each).arrays("x") for each in recordings])
    ends = np.array([np.percentile(each.reshape(-1, MEL), (1, 99), axis=0) for each in recordings])
    assert found.low == pytest.approx(np.median(ends[:, 0], axis=0), rel=1e-5)
    assert found.high == pytest.approx(ends[:, 1].max(axis=0), rel=1e-5)
    assert found.mean == pytest.approx(np.mean([each.mean(axis=0) for each in recordings], axis=0), abs=1e-5)
    assert found.share_within(found.at(found.shares(recordings[2][0]))) == 1
    outside = np.full((2, MEL), found.high + 1)
    outside[0] = found.low
    assert found.share_within(outside) == 0.5
    with pytest.raises(UsageError, match="bounds nothing"):
        merge_reaches("x", [reach_of(np.ones((2, TIME, MEL), np.float32)).arrays("x")])


# --- the run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones in noise, one shorter than an example, and a file that cannot be read."""
    where = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for hertz, seconds in [(300, 2.0), (1200, 2.5), (4000, 0.3)]:
        times = np.arange(int(seconds * RATE)) / RATE
        swell = np.minimum(times, 1)
        sound = 0.3 * swell * np.sin(2 * np.pi * hertz * times) + 0.01 * rng.standard_normal(len(times))
        soundfile.write(where / f"tone{hertz}.wav", sound, RATE)
    (where / "broken.wav").write_bytes(b"RIFF")
    return where


@pytest.fixture(scope="module")
def model() -> actprobe.Model:
    return actprobe.wrap_model(*own_networks.keras2())


@pytest.fixture(scope="module")
def excited(binary: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExcitationResult:
    """A user's own Keras model, by the binary."""
    out = tmp_path_factory.mktemp("excited")
    done = binary(
        "actprobe-excite", f"--model={ROOT}/tests/own_networks.py:keras2", "--neurons=conv2/5,classes/1",
        f"--input={folder}", "--steps=20", f"--output_dir={out}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "conv2/5, ascent: " in done.stdout
    found = actprobe.load_run(out)
    assert isinstance(found, ExcitationResult)
    return found


def test_columns_are_those_that_are_written(excited: ExcitationResult) -> None:
    assert tuple(excited.table.columns) == tuple(TABLES["excited.csv"]) == COLUMNS


def test_best_excerpt_is_that_of_the_whole_corpus(
    excited: ExcitationResult, model: actprobe.Model, folder: Path
) -> None:
    examples, places, whole = [], [], []
    for path in sorted(folder.glob("tone*.wav")):
        waveform = actprobe.load_audio(path, RATE)
        of_it = model.frontend(waveform)
        starts = model.frontend.example_starts(len(waveform.samples)) / RATE
        examples.append(of_it)
        places += [(path.name, start) for start in starts]
        if waveform.seconds > model.example_seconds:
            whole.append(of_it)
    together = np.concatenate(examples)
    activations = model.activations(together, ["conv2", "classes"])
    values = [activations["conv2"][..., 5].mean(axis=(1, 2)), activations["classes"][:, 1]]
    for row, of_neuron in zip(excited.table.to_dict("records"), values, strict=True):
        best = int(np.argmax(of_neuron))
        assert (row["best_recording"], row["best_start_seconds"]) == places[best]
        assert row["best_excerpt_value"] == pytest.approx(of_neuron[best], rel=1e-4)
        assert row["corpus_p95"] == pytest.approx(np.percentile(of_neuron, 95), rel=1e-4)
        assert row["percentile"] == pytest.approx(100 * np.mean(of_neuron < row["value"]))
        neuron = f"{row['layer']}/{row['unit']}"
        assert excited.inputs[neuron]["best"] == pytest.approx(together[best], abs=1e-5)
    merged = merge_reaches(INPUT, [reach_of(each).arrays(INPUT) for each in whole])
    assert excited.arrays["high"] == pytest.approx(merged.high, abs=1e-5)


def test_values_are_those_of_the_network(excited: ExcitationResult, model: actprobe.Model) -> None:
    for neuron, row in zip(excited.neurons, excited.table.to_dict("records"), strict=True):
        named = ["ascent/start", "ascent", "ascent/random_weights"]
        inputs = np.stack([excited.arrays[f"{neuron}/{name}"] for name in named])
        found = model.activations(inputs, [row["layer"]])[row["layer"]][..., row["unit"]]
        values = found.reshape(3, -1).mean(axis=1)
        told = [row[name] for name in ("value_start", "value", "random_weights_value")]
        assert told == pytest.approx(values, rel=1e-3, abs=1e-5)
        assert row["value"] > row["value_start"]
        assert row["within_bounds"] == 1


def test_a_run_leaves_sounds_figures_and_provenance(excited: ExcitationResult) -> None:
    assert set(excited.sounds["conv2/5"]) == {"original", "best", "ascent"}
    for path in excited.sounds["conv2/5"].values():
        sound, rate = soundfile.read(path)
        assert rate == RATE
        assert np.abs(sound).max() > 0
    for name in ("conv2-5", "classes-1"):
        assert (excited.folder / "figures" / f"{name}.png").is_file()
    titles = [axes.get_title() for axes in excited.plot("classes/1").axes]
    assert [title.splitlines()[0] for title in titles if title] == [
        "start (mean)", "ascent", "best excerpt", "with random weights",
    ]  # fmt: skip
    statuses = excited.recordings.set_index("path")["status"]
    assert statuses.to_dict()["broken.wav"] == "failed"
    assert excited.record["settings"]["steps"] == 20
    assert len(excited.arrays["times"]) == len(excited.inputs["classes/1"]["ascent"])
    with pytest.raises(UsageError, match="was not excited"):
        excited.plot("conv1/0")


def test_a_killed_run_goes_on_and_a_front_end_without_sound_has_none(
    model: actprobe.Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an inverter in place of plain ascent."""
    inverter = actprobe.load_inverter(model, "pool1", seed=2)
    done: list[str] = []
    first = Exciter.excite

    def killed(self: Exciter, neuron: int, target: Target) -> Any:
        if len(done) == 1 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        done.append(str(target))
        return first(self, neuron, target)

    def silent(*values: Any, **options: Any) -> Any:
        raise UsageError("it has no sound")

    monkeypatch.setattr(Exciter, "excite", killed)
    monkeypatch.setattr(model.frontend, "sound", silent)

    def go() -> ExcitationResult:
        return actprobe.excite(
            model, ["conv2/5", "classes/1"], folder, methods=["latent"], inverters=[inverter], steps=2,
            output_dir=tmp_path / "out",
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        go()
    (tmp_path / "again").touch()
    found = go()
    assert done == ["conv2/5", "classes/1"]
    assert found.table["space"].tolist() == ["pool1", "pool1"]
    assert found.inputs["classes/1"]["latent pool1"].shape == model.frontend.example_shape
    assert found.sounds == {}


def test_a_network_of_waveforms_is_excited(folder: Path, tmp_path: Path) -> None:
    network = own_networks.waveform()
    found = actprobe.excite(network, ["filters/3"], folder, steps=2, output_dir=tmp_path)
    assert found.inputs["filters/3"]["ascent"].shape == (8000, 1)
    assert set(found.sounds["filters/3"]) == {"original", "ascent"}
    sound, _ = soundfile.read(found.sounds["filters/3"]["original"])
    assert sound == pytest.approx(found.inputs["filters/3"]["best"][:, 0], abs=1e-4)


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"neurons": ["conv9/1"]}, "conv9/1.*takes LAYER/UNIT"),
        ({"neurons": ["conv2/8"]}, "0 to 7"),
        ({"neurons": []}, "give a list"),
        ({"neurons": "conv2/5"}, "give a list"),
        ({"neurons": ["conv2/5", "conv2/5"]}, "named more than once"),
        ({"methods": ["dream"]}, "no method 'dream'; there is ascent, latent"),
        ({"methods": []}, "name at least one method of ascent, latent"),
        ({"start": "silence"}, "no start 'silence'; there is mean, noise"),
        ({"steps": 0}, "steps=0: at least 1"),
        ({"time_weight": -1}, "time_weight=-1: 0 or more"),
        ({"mel_weight": float("nan")}, "mel_weight=nan"),
        ({"jitter_frames": -1}, "jitter_frames=-1"),
        ({"inverters": "FOLDER"}, "inverters are of the method latent"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    model: actprobe.Model, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        actprobe.excite(model, **{"neurons": ["conv2/5"], "output_dir": tmp_path / "out", **options})
    assert not (tmp_path / "out").exists()


def test_networks_that_cannot_be_excited_are_refused(
    model: actprobe.Model, signs: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="wrapped without a front end"):
        actprobe.excite(linear(signs), ["sum/0"], output_dir=tmp_path)
    monkeypatch.setattr(type(model), "has_gradients", False)
    with pytest.raises(UsageError, match="gradients are not available"):
        actprobe.excite(model, ["classes/1"], output_dir=tmp_path)


def test_a_neuron_that_does_not_change_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, frontend = own_networks.keras2()
    kernel, bias = network.get_layer("conv2").get_weights()
    network.get_layer("conv2").set_weights([kernel, bias - 1e4])
    found = actprobe.wrap_model(network, frontend)
    monkeypatch.setattr(exciting_run, "save_figure", None)  # nothing gets so far
    with pytest.raises(UsageError, match=r"relu2/5 does not change .* pre-activation, relu2/linear/5"):
        actprobe.excite(found, ["relu2/5"], folder, output_dir=tmp_path)
